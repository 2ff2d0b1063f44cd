"""The way of packets in encrypted streams: two streams with keys, and strangers between them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from virtual_media import Pair, Weather, level

from offhook.media.messages import (
    DigitReceived,
    SdesKeys,
    SendDigits,
    StartPlayback,
    StreamFailed,
    StreamStats,
)
from offhook.media.sdes import SUITES, key_bytes

STRANGER = ("10.0.0.66", 6000)


def keys(side: int, suite: str = "AES_CM_128_HMAC_SHA1_80", seed: int = 0) -> SdesKeys:
    length = key_bytes(suite)
    both = [bytes((7 * who + seed + number) % 256 for number in range(length)) for who in (0, 1)]
    return SdesKeys(suite, send=both[side], receive=both[1 - side])


def sealed_pair(suite: str = "AES_CM_128_HMAC_SHA1_80", weather: Weather | None = None, mux: bool = False) -> Pair:
    pair = Pair(weather)
    for side in (0, 1):
        remote = (f"10.0.0.{2 - side}", 4000)
        pair.configure(side, security=keys(side, suite), rtcp_mux=mux, remote_rtcp=(remote[0], 4000 + (not mux)))
    pair.sent.clear()
    return pair


def heard(pair: Pair, side: int, seconds: float = 1.0, frequency: float = 600.0) -> float:
    pair.do(1 - side, StartPlayback("c", "pb", "tone", frequencies=(frequency,), duration_ms=0))
    pair.run(0.3)
    frames = []
    for _ in range(int(seconds / 0.02)):
        pair.run(0.02)
        frames.append(pair.engines[side].streams["c"].far)
    return level(frames, frequency)


def stats(pair: Pair, side: int) -> StreamStats:
    return pair.engines[side].streams["c"].statistics()


@pytest.mark.parametrize("suite", sorted(SUITES))
@pytest.mark.parametrize("mux", [False, True])
def test_sound_digits_and_reports_pass_and_nobody_else_can_read_them(suite: str, mux: bool) -> None:
    pair = sealed_pair(suite, mux=mux)
    assert heard(pair, 1) > 1000
    pair.do(0, SendDigits("c", "d1", "42#"))
    pair.run(12.0)
    assert [report.digit for report in pair.of(1, DigitReceived)] == ["4", "2", "#"]
    assert stats(pair, 0).rtt_ms is not None  # RTCP came through
    assert {port for _, port, _ in pair.sent} == ({4000} if mux else {4000, 4001})
    longest = 172 + 16  # what AEAD adds
    for _, port, packet in pair.sent:
        control = port == 4001 or 192 <= packet[1] < 224
        assert len(packet) > 172 or control or len(packet) > 12 + 4
        assert control or len(packet) <= longest
        assert b"side0@test" not in packet
        assert b"side1@test" not in packet


def test_a_stranger_is_neither_heard_nor_followed() -> None:
    pair = sealed_pair()
    for number in range(100):
        pair.inject(1, 4000, struct.pack("!BBHII", 0x80, 0, number, 160 * number, 99) + bytes(160), STRANGER)
        pair.inject(1, 4000, struct.pack("!BBHII", 0x80, 0, number, 160 * number, 99) + bytes(170), STRANGER)
        pair.inject(1, 4001, struct.pack("!BBHI", 0x80, 203, 1, 99), ("10.0.0.1", 4001))
    assert pair.engines[1].streams["c"].garbage == 300
    assert pair.engines[1].streams["c"].peer == ("10.0.0.1", 4000)
    assert heard(pair, 1) > 1000
    assert stats(pair, 1).packets_lost == 0


def test_a_repeated_packet_is_dropped() -> None:
    pair = sealed_pair(weather=Weather(double=1.0))
    pair.run(2.0)
    seen = stats(pair, 1)
    assert seen.packets_received == pytest.approx(100, abs=3)
    assert pair.engines[1].streams["c"].garbage >= 95


def test_the_wrong_key_is_silence_not_noise() -> None:
    pair = sealed_pair()
    pair.configure(0, security=keys(0, seed=1))
    assert heard(pair, 1) < 1.0
    assert stats(pair, 1).packets_received == 0


def test_a_new_key_of_the_far_end_takes_over_and_ours_goes_on_counting() -> None:
    pair = sealed_pair()
    pair.run(2.0)
    old, new = keys(0), keys(0, seed=50)
    pair.configure(0, security=SdesKeys(old.suite, send=new.send, receive=old.receive))
    pair.configure(1, security=SdesKeys(old.suite, send=old.receive, receive=new.send))
    before = stats(pair, 0).packets_received, stats(pair, 1).packets_received
    pair.run(1.0)
    assert stats(pair, 0).packets_received - before[0] == pytest.approx(50, abs=2)
    assert stats(pair, 1).packets_received - before[1] == pytest.approx(50, abs=2)
    assert heard(pair, 1) > 1000


def test_a_far_end_is_heard_under_its_former_key_until_it_uses_the_new_one() -> None:
    pair = sealed_pair()
    pair.run(1.0)
    for seed in (50, 90):  # named by one answer after the other, and not used
        pair.configure(1, security=SdesKeys(keys(1).suite, send=keys(1).send, receive=keys(1, seed=seed).receive))
        assert heard(pair, 1) > 1000
    pair.configure(0, security=SdesKeys(keys(0).suite, send=keys(0, seed=90).send, receive=keys(0).receive))
    assert heard(pair, 1) > 1000
    pair.configure(0, security=keys(0))
    before = stats(pair, 1).packets_received
    pair.run(1.0)
    assert stats(pair, 1).packets_received - before <= 1, "from then on the former key opens nothing"


def test_packets_may_be_marked_from_some_time_on() -> None:
    pair = sealed_pair()
    pair.run(1.0)
    seen = [stats(pair, side).packets_received for side in (0, 1)]
    for side in (0, 1):
        marks = {"send_mki": b"\0\1", "receive_mki": b"\7"} if side == 0 else {"send_mki": b"\7", "receive_mki": b"\0\1"}
        pair.configure(side, security=structs.replace(keys(side), **marks))
    pair.run(1.0)
    assert [stats(pair, side).packets_received - seen[side] for side in (0, 1)] == pytest.approx([50, 50], abs=3)
    assert heard(pair, 1) > 1000


def test_an_encrypted_call_may_become_a_plain_one_where_both_say_so() -> None:
    pair = sealed_pair()
    pair.run(0.5)
    for side in (0, 1):
        pair.configure(side, security=None)
    assert heard(pair, 1) > 1000


def test_keys_that_are_none_fail_the_stream_and_nothing_leaves_in_the_clear() -> None:
    pair = Pair()
    pair.run(0.1)
    pair.configure(0, security=SdesKeys("ROT13", b"", b""))
    assert [report.reason for report in pair.of(0, StreamFailed)] == ["no SRTP with ROT13: 'ROT13'"]


@pytest.mark.lengthy
@given(rubbish=st.lists(st.tuples(st.sampled_from([4000, 4001]), st.binary(max_size=1600)), max_size=40))
@settings(max_examples=2 * settings().max_examples)
def test_rubbish_is_counted_and_nothing_else(rubbish: list[tuple[int, bytes]]) -> None:
    pair = sealed_pair()
    for port, packet in rubbish:
        pair.inject(0, port, packet, ("10.0.0.2", port))
    pair.run(0.2)
    assert stats(pair, 0).packets_received > 0
    assert pair.engines[0].streams["c"].garbage == len(rubbish)
