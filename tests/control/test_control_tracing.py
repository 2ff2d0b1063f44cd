"""A call's SIP for looking at: what is masked, the ladder, JSON, and a pcap file that is read back octet by octet."""

from __future__ import annotations

import struct

import pytest

from offhook.control.tracing import as_json, ladder, pcap, summary, without_secrets
from offhook.io.trace import TracedMessage
from offhook.sip.events import Flow

SECRET = (
    b"INVITE sip:2@h SIP/2.0\r\nAuthorization: Digest username=\"1001\", realm=\"pbx\", nonce=\"n0nce\", uri=\"sip:2@h\",\r\n"
    b" response=\"0123456789abcdef\", cnonce=\"xyzzy\"\r\nCSeq: 7 INVITE\r\nContent-Type: application/sdp\r\n\r\n"
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\na=ice-pwd:hidethis\r\n"
)


def traced(
    sent: bool, data: bytes, local: str = "10.0.0.1", remote: str = "10.0.0.2", at: float = 1_700_000_000.25
) -> TracedMessage:
    return TracedMessage(at, sent, Flow("udp", (local, 5060), (remote, 5070)), data)


def test_secrets_are_masked_and_the_rest_is_not() -> None:
    shown = without_secrets(SECRET)
    for secret in (b"0123456789abcdef", b"xyzzy", b"n0nce", b"WVNfX19z", b"hidethis"):
        assert secret not in shown
    for kept in (b'username="1001"', b"AES_CM_128_HMAC_SHA1_80 inline:", b"|2^20|1:4", b"CSeq: 7 INVITE"):
        assert kept in shown


@pytest.mark.parametrize(("data", "expected"), [
    (SECRET, "INVITE +sdp"), (b"SIP/2.0 180 Ringing\r\nCSeq: 1 INVITE\r\n\r\n", "180 Ringing (INVITE)"),
    (b"\r\n\r\n", ""), (b"\xff", "\ufffd"),
])
def test_what_a_message_is(data: bytes, expected: str) -> None:
    assert summary(data) == expected


def test_the_ladder_and_json() -> None:
    found = [traced(True, SECRET), traced(False, b"SIP/2.0 200 OK\r\nCSeq: 7 INVITE\r\n\r\n", at=1_700_000_000.75)]
    lines = ladder(found).splitlines()
    assert lines[0] == "2023-11-14 22:13:20.250Z  10.0.0.1:5060"
    assert "|-- INVITE +sdp -" in lines[1]
    assert lines[1].endswith(">| 10.0.0.2:5070 udp")
    assert "0.500 s  |<-- 200 OK (INVITE) -" in lines[2]
    assert ladder([]) == "no messages of this call are kept"
    first = as_json(found)[0]
    assert (first["direction"], first["time"], first["remote"]) == ("sent", "2023-11-14T22:13:20.250000Z", "10.0.0.2:5070")


@pytest.mark.parametrize(("local", "remote", "head"), [
    ("10.0.0.1", "10.0.0.2", 20), ("2001:db8::1", "2001:db8::2", 40), ("10.0.0.1", "2001:db8::2", 40), ("name", "10.0.0.2", 20),
])
def test_the_capture_file(local: str, remote: str, head: int) -> None:
    data = pcap([traced(True, b"OPTIONS", local, remote), traced(False, b"odd", local, remote)])
    assert struct.unpack("<IHHiIII", data[:24]) == (0xA1B2C3D4, 2, 4, 0, 0, 262144, 101)
    seconds, micros, kept, length = struct.unpack("<IIII", data[24:40])
    assert (seconds, micros, kept) == (1_700_000_000, 250_000, length)
    packet = data[40:40 + kept]
    assert packet[0] >> 4 == (4 if head == 20 else 6)
    assert struct.unpack(">HHH", packet[head:head + 6]) == (5060, 5070, 8 + 7)
    assert packet[head + 8:] == b"OPTIONS"
    second = data[40 + kept + 16:]
    assert struct.unpack(">HH", second[head:head + 4]) == (5070, 5060)
    if head == 20:
        total = sum(struct.unpack(">10H", packet[:20]))
        assert (total & 0xFFFF) + (total >> 16) == 0xFFFF, "the header's checksum is right"
