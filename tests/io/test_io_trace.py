"""The latest SIP messages: bounded, and found again by their Call-ID."""

from __future__ import annotations

from offhook.io.trace import MAX_BYTES, MAX_MESSAGES, Trace
from offhook.sip.events import Flow

FLOW = Flow("udp", ("10.0.0.1", 5060), ("10.0.0.2", 5060))


def message(call_id: str, name: str = "Call-ID", more: bytes = b"") -> bytes:
    return f"BYE sip:x SIP/2.0\r\n{name}: {call_id}\r\n".encode() + more + b"\r\n"


def test_messages_are_found_by_their_call_id() -> None:
    trace = Trace()
    trace.note(1.0, True, FLOW, message("a@x"))
    trace.note(2.0, False, FLOW, message("a@x", "i"))
    trace.note(3.0, False, FLOW, message("b", more=b"Subject: a@x\r\n"))
    trace.note(4.0, False, FLOW, message("b") + b"Call-ID: a@x\r\n")
    assert [(found.at, found.sent) for found in trace.about("a@x", 100.0)] == [(101.0, True), (102.0, False)]
    assert not trace.about("", 0.0)
    assert (trace.sent, trace.received) == (1, 3)


def test_the_oldest_go_first() -> None:
    trace = Trace()
    for number in range(MAX_MESSAGES + 10):
        trace.note(float(number), True, FLOW, message("a"))
    found = trace.about("a", 0.0)
    assert (len(found), found[0].at) == (MAX_MESSAGES, 10.0)
    trace.note(0.0, True, FLOW, message("big", more=b"X: " + b"x" * (MAX_BYTES - 1000) + b"\r\n"))
    assert len(trace.about("a", 0.0)) < 40
    assert trace.sent == MAX_MESSAGES + 11


def test_keys_of_the_sound_are_not_shown() -> None:
    body = (
        b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"Ab+/" * 10 + b"|2^31\r\n"
        b"a=ice-ufrag:name\r\na=ice-pwd:secretpassword\r\na=crypto:2 AEAD_AES_128_GCM inline:AAAA+/==\r\n"
    )
    trace = Trace()
    trace.note(1.0, True, FLOW, message("a@x") + body)
    shown = trace.about("a@x", 0.0)[0].data
    assert shown == message("a@x") + (
        b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"*" * 40 + b"|2^31\r\n"
        b"a=ice-ufrag:name\r\na=ice-pwd:**************\r\na=crypto:2 AEAD_AES_128_GCM inline:********\r\n"
    )
