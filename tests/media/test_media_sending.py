"""The sending side: numbers, markers, and the way out."""

from __future__ import annotations

from typing import TypeAlias

import pytest
from virtual_media import SeededIds

from offhook.media import pcm
from offhook.media.address import Address
from offhook.media.codecs import codec
from offhook.media.rtp import HEADER
from offhook.media.sending import Sender

PEER = ("10.0.0.1", 4000)
SPEECH = b"\x11" * 160


Outbox: TypeAlias = list[tuple[int, bytes, Address]]


def sender() -> tuple[Sender, Outbox]:
    outbox: Outbox = []
    made = Sender(4000, SeededIds(), outbox)
    made.move_to(PEER)
    return made, outbox


def headers(outbox: Outbox) -> list[tuple[int, ...]]:
    return [HEADER.unpack_from(packet) for _, packet, _ in outbox]


def test_every_tick_moves_the_timestamp_and_every_packet_the_number() -> None:
    made, outbox = sender()
    begin = made.timestamp
    made.say(SPEECH)
    made.skip()
    made.press(101, b"\x01\x0a\x00\xa0", True)
    made.press(101, b"\x01\x8a\x01\x40", False)
    made.say(made.silence)
    found = headers(outbox)
    assert [second for _, second, *_ in found] == [0x80, 0x80 | 101, 101, 0]
    assert [(number - found[0][2]) & 0xFFFF for _, _, number, *_ in found] == [0, 1, 2, 3]
    assert [(timestamp - begin) & 0xFFFFFFFF for *_, timestamp, _ in found] == [0, 320, 320, 640]
    assert made.totals() == (4, 160 + 4 + 4 + 160)


def test_frames_are_gathered() -> None:
    made, outbox = sender()
    begin = made.timestamp
    made.configure(codec("PCMA"), 8, 3)
    for _ in range(6):
        made.speak(pcm.alaw_to_linear(SPEECH))
    assert [packet[12:] for _, packet, _ in outbox] == [SPEECH * 3] * 2
    assert [second for _, second, *_ in headers(outbox)] == [0x88, 8]
    assert [(timestamp - begin) & 0xFFFFFFFF for *_, timestamp, _ in headers(outbox)] == [0, 480]
    assert made.totals() == (2, 6 * 160)


@pytest.mark.lengthy
def test_numbers_wrap_and_totals_do_not() -> None:
    made, outbox = sender()
    for round_ in range(1, 5):
        for _ in range(25_000):
            made.say(SPEECH)
        outbox.clear()
        assert made.totals() == (25_000 * round_, 160 * 25_000 * round_)


def test_the_marker_is_set_again_after_a_pause() -> None:
    made, outbox = sender()
    made.say(SPEECH)
    made.say(SPEECH)
    made.mark()
    made.say(SPEECH)
    assert [second for _, second, *_ in headers(outbox)] == [0x80, 0, 0x80]


def test_a_connected_way_out_is_used_until_the_peer_moves() -> None:
    made, outbox = sender()
    direct: list[bytes] = []
    made.connect(direct.append)
    made.say(SPEECH)
    made.move_to(("10.0.0.9", 5000))
    made.say(SPEECH)
    made.connect(direct.append)
    made.connect(None)
    made.say(SPEECH)
    assert len(direct) == 1
    assert [(port, peer) for port, _, peer in outbox] == [(4000, ("10.0.0.9", 5000))] * 2


def test_what_the_way_out_refuses_goes_to_the_outbox_unless_it_is_only_busy() -> None:
    made, outbox = sender()
    errors: list[OSError] = [BlockingIOError(), ConnectionRefusedError()]

    def refuse(packet: bytes) -> None:
        raise errors.pop(0)

    made.connect(refuse)
    made.say(SPEECH)
    assert outbox == []
    made.say(SPEECH)
    assert len(outbox) == 1
    assert made.totals() == (2, 320)
