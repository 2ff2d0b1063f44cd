"""Captured sound in the trace: who may have it, what is in the file, and what its keys open."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Any

import httpx
import pytest

from offhook.control.access import Client
from offhook.control.operations import BLOCKING, Operations
from offhook.control.tracing import keys_json, keys_text, opened, pcap
from offhook.errors import Forbidden, InvalidArgument, NotFound
from offhook.io.captures import Captured
from offhook.media.messages import CapturedPacket, SdesKeys, StreamKeys
from offhook.media.sdes import parse_crypto
from offhook.media.srtp import Opening, Sealing
from offhook.phone.events import AuditCommand
from offhook.phone.model import CallState, CallView, Party, wall
from offhook.testing.backend import FakeBackend
from offhook.testing.http import Served

SUITE = "AES_CM_128_HMAC_SHA1_80"
OURS, THEIRS, THEIRS_CONTROL = bytes(range(30)), bytes(range(30, 60)), bytes(range(60, 90))
HERE, THERE = ("10.0.0.1", 4000), ("10.0.0.2", 5000)
HERE_CONTROL, THERE_CONTROL = ("10.0.0.1", 4001), ("10.0.0.2", 5001)
REPORT = b"\x80\xc9\0\1\0\0\0\x63"


CALL = CallView(
    "c_1", "office", "outgoing", CallState.ACTIVE, Party("sip:1001@h", ""), Party("sip:1002@h", ""), "x@y", wall(0.0)
)


def rtp(number: int) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, number, 160 * number, 99) + b"sound" * 32


def sealed() -> Captured:
    """Return a capture with packets of both sides and both ports, a handshake, and what the keys do not open."""
    ours, theirs, control = (Sealing(SUITE, key) for key in (OURS, THEIRS, THEIRS_CONTROL))
    packets: list[CapturedPacket] = [
        (1.6, True, HERE, THERE, b"\x16\xfe\xfd a handshake"),
        (1.61, True, HERE, THERE, ours.seal(rtp(1))),
        (1.62, False, HERE, THERE, theirs.seal(rtp(1))),
        (1.63, False, HERE, THERE, ours.seal(rtp(2))),  # ours, sent back to us
        (1.64, False, HERE_CONTROL, THERE_CONTROL, control.seal_control(REPORT)),
        (1.9, False, HERE, THERE, theirs.seal_control(REPORT)),  # RTCP beside RTP
    ]
    keys = [
        StreamKeys("c_1", 1.5, 1, SdesKeys(SUITE, OURS, THEIRS)),
        StreamKeys("c_1", 1.55, 2, SdesKeys(SUITE, OURS, THEIRS_CONTROL)),
    ]
    return Captured(packets, keys)


def records(data: bytes) -> list[tuple[float, bytes]]:
    """Return time and packet of each record of a pcap file."""
    found, place = [], 24
    while place < len(data):
        seconds, micros, kept, length = struct.unpack_from("<IIII", data, place)
        assert kept == length
        found.append((round(seconds + micros / 1e6, 6), data[place + 16:place + 16 + kept]))
        place += 16 + kept
    return found


@pytest.fixture
def phone(backend: FakeBackend) -> FakeBackend:
    backend.calls = (CALL,)
    backend.capture = sealed()
    return backend


def ask(phone: FakeBackend, operation: str, *scopes: Any, **params: Any) -> dict[str, Any]:
    operations, client = Operations(phone), Client("crm", frozenset(scopes))
    if operation in BLOCKING:
        found: dict[str, Any] = asyncio.run(operations.run_aside(operation, params, client))
    else:
        found = operations.run(operation, params, client)
    return found


def test_the_file_has_sip_and_sound_in_the_order_of_time(phone: FakeBackend) -> None:
    found = records(base64.b64decode(ask(phone, "trace", "read", "record", format="pcap", media=True)["pcap"]))
    assert [at for at, _ in found] == [1.5, 1.6, 1.61, 1.62, 1.63, 1.64, 1.75, 1.9]  # SIP is at 1.5 and 1.75
    kept = [packet[4] for packet in sealed().packets]
    assert [packet[28:] for at, packet in found if at not in (1.5, 1.75)] == kept
    source, target, port, other = struct.unpack_from(">4s4sHH", found[3][1], 12)
    assert (source, target, port, other) == (bytes((10, 0, 0, 2)), bytes((10, 0, 0, 1)), 5000, 4000)  # received: from there
    alone = base64.b64decode(ask(phone, "trace", "read", format="pcap")["pcap"])
    assert [at for at, _ in records(alone)] == [1.5, 1.75]
    assert phone.said == []


def test_who_may_have_what(phone: FakeBackend) -> None:
    with pytest.raises(Forbidden, match="record"):
        ask(phone, "trace", "read", "keys", format="pcap", media=True)
    with pytest.raises(Forbidden, match="keys"):
        ask(phone, "trace", "read", "record", "admin", format="pcap", media=True, opened=True)
    with pytest.raises(Forbidden, match="keys"):
        ask(phone, "capture_keys", "read", "record", "admin", "config")
    with pytest.raises(Forbidden, match="read"):
        ask(phone, "trace", "record", "keys", format="pcap", media=True)
    for fields in ({"media": True}, {"format": "text", "media": True}, {"format": "pcap", "opened": True}):
        with pytest.raises(InvalidArgument):
            ask(phone, "trace", "read", "record", "keys", **fields)
    assert phone.said == []


def test_what_is_opened_is_told(phone: FakeBackend) -> None:
    answer = ask(phone, "trace", "read", "record", "keys", format="pcap", media=True, opened=True)
    found = records(base64.b64decode(answer["pcap"]))
    kept = [packet[4] for packet in sealed().packets]
    sound = [packet[28:] for at, packet in found if at not in (1.5, 1.75)]
    assert sound == [kept[0], rtp(1), rtp(1), kept[3], REPORT, REPORT]
    ask(phone, "capture_keys", "keys")
    assert phone.said == [
        AuditCommand(client="crm", command="trace", outcome="accepted", call="c_1", detail="opened with its keys"),
        AuditCommand(client="crm", command="capture_keys", outcome="accepted", call="c_1"),
    ]


def test_keys_are_lines_that_can_be_read_and_used(phone: FakeBackend) -> None:
    answer = ask(phone, "capture_keys", "keys")
    assert [(each["component"], each["direction"]) for each in answer["keys"]] == [
        ("rtp", "sent"), ("rtp", "received"), ("rtcp", "sent"), ("rtcp", "received"),
    ]  # fmt: skip
    assert base64.b64decode(answer["keys"][1]["key"]) == THEIRS
    line = answer["text"].splitlines()[2]
    assert line.startswith("1970-01-01T00:00:01.500000Z rtp received 1 ")
    crypto = parse_crypto(line.partition(" received ")[2])
    assert Opening(crypto.suite, crypto.key).open(sealed().packets[2][4]) == rtp(1)
    assert keys_text("c_1", []).count("\n") == 1


def test_no_file_has_a_key_in_it(phone: FakeBackend) -> None:
    for data in (pcap([], sealed().packets), pcap([], opened(sealed()))):
        for key in (OURS, THEIRS, THEIRS_CONTROL):
            assert key not in data
            assert base64.b64encode(key) not in data


def test_a_later_key_opens_what_came_after_it() -> None:
    first, second = Sealing(SUITE, THEIRS), Sealing(SUITE, THEIRS_CONTROL)
    packets: list[CapturedPacket] = [
        (1.0 + number / 100, False, HERE, THERE, (first if number < 5 else second).seal(rtp(number))) for number in range(10)
    ]
    keys = [
        StreamKeys("c", 0.5, 1, SdesKeys(SUITE, OURS, THEIRS)), StreamKeys("c", 1.07, 1, SdesKeys(SUITE, OURS, THEIRS_CONTROL)),
    ]  # fmt: skip
    assert [packet[4] for packet in opened(Captured(packets, keys))] == [rtp(number) for number in range(10)]


def test_what_was_captured_late_in_a_call_is_opened() -> None:
    sealing = Sealing(SUITE, THEIRS)
    for number in range(0, 600_000, 30_000):  # more than three hours
        sealing.seal(rtp(number % 65_536))
    packets: list[CapturedPacket] = [(1.0, False, HERE, THERE, sealing.seal(rtp(600_000 % 65_536)))]
    capture = Captured(packets, [StreamKeys("c", 0.5, 1, SdesKeys(SUITE, OURS, THEIRS))])
    assert [packet[4] for packet in opened(capture)] == [rtp(600_000 % 65_536)]


def test_what_went_by_a_channel_of_a_relay_is_opened_within_it() -> None:
    sealed_sound = Sealing(SUITE, OURS).seal(rtp(1))
    channel = b"\x40\0" + len(sealed_sound).to_bytes(2, "big") + sealed_sound + bytes(-len(sealed_sound) % 4)
    capture = Captured([(1.0, True, HERE, THERE, channel)], [StreamKeys("c", 0.5, 1, SdesKeys(SUITE, OURS, THEIRS))])
    assert [packet[4] for packet in opened(capture)] == [b"\x40\0" + len(rtp(1)).to_bytes(2, "big") + rtp(1)]


def test_marked_packets_are_opened_and_their_keys_can_be_used() -> None:
    keys = SdesKeys(SUITE, OURS, THEIRS, receive_mki=b"\0\1")
    sealing = Sealing(SUITE, THEIRS, b"\0\1")
    packets: list[CapturedPacket] = [
        (1.0, False, HERE, THERE, sealing.seal(rtp(1))), (1.1, False, HERE, THERE, sealing.seal_control(REPORT)),
    ]  # fmt: skip
    capture = Captured(packets, [StreamKeys("c", 0.5, 1, keys)])
    assert [packet[4] for packet in opened(capture)] == [rtp(1), REPORT]
    assert [each["mki"] for each in keys_json(capture.keys)] == ["", "1:2"]
    sent, received = keys_text("c", capture.keys).splitlines()[1:]
    assert parse_crypto(sent.partition(" sent ")[2]).mki == b""
    crypto = parse_crypto(received.partition(" received ")[2])
    assert Opening(crypto.suite, crypto.key, crypto.mki).open(packets[0][4]) == rtp(1)


def test_what_was_not_captured_is_not_there(phone: FakeBackend) -> None:
    phone.capture = Captured(sealed().packets)
    for operation, fields in (("trace", {"format": "pcap", "media": True, "opened": True}), ("capture_keys", {})):
        with pytest.raises(NotFound, match="keys"):
            ask(phone, operation, "read", "record", "keys", **fields)
    assert phone.said == []  # nobody has seen anything
    phone.capture = None
    with pytest.raises(NotFound, match="captured"):
        ask(phone, "trace", "read", "record", format="pcap", media=True)


async def test_over_http(served: Served, http: httpx.AsyncClient, phone: FakeBackend) -> None:
    reader = {"Authorization": f"Bearer {served.tokens.create('reader', ['read', 'record'])}"}
    path = "/v1/calls/c_1/trace?format=pcap&media=true"
    answer = await http.get(path, headers=reader)
    assert answer.status_code == 200
    assert len(records(answer.content)) == 8
    for forbidden in (path + "&opened=true", "/v1/calls/c_1/capture/keys"):
        assert (await http.get(forbidden, headers=reader)).status_code == 403
    keys = await http.get("/v1/calls/c_1/capture/keys")
    assert keys.status_code == 200
    assert len(keys.json()["keys"]) == 4
    assert rtp(1) in (await http.get(path + "&opened=true")).content
    assert rtp(1) not in answer.content
