"""SIP messages by call: found again by their Call-ID, and bounded so that running calls stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.io.trace import CALL_BYTES, CALL_MESSAGES, FIRST_KEPT, MAX_BYTES, MAX_MESSAGES, RUNNING_BYTES, Trace
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


def invite(call_id: str, size: int = 0) -> bytes:
    return message(call_id, more=b"X: " + b"x" * size + b"\r\n").replace(b"BYE", b"INVITE", 1)


@pytest.mark.lengthy
def test_the_oldest_calls_go_first() -> None:
    trace = Trace()
    for number in range(MAX_MESSAGES + 10):
        trace.note(float(number), True, FLOW, message(f"c{number}"))
    assert not trace.about("c9", 0.0)
    assert [found.at for found in trace.about("c10", 0.0)] == [10.0]
    assert trace.sent == MAX_MESSAGES + 10
    trace.note(0.0, True, FLOW, message("big", more=b"X: " + b"x" * (MAX_BYTES - 1000) + b"\r\n"))
    assert trace.about("big", 0.0)
    assert not trace.about(f"c{MAX_MESSAGES - 30}", 0.0)


@pytest.mark.lengthy
def test_a_running_call_is_kept_however_many_come_and_go() -> None:
    trace = Trace()
    trace.note(1.0, False, FLOW, invite("long"))
    trace.note(2.0, True, FLOW, b"SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nCall-ID: long\r\n\r\n")
    for number in range(MAX_MESSAGES):
        trace.note(3.0, False, FLOW, invite(f"c{number}", 1000))
        trace.note(3.0, True, FLOW, message(f"c{number}"))
    assert [found.at for found in trace.about("long", 0.0)] == [1.0, 2.0]
    trace.note(4.0, False, FLOW, message("long"))
    assert [found.at for found in trace.about("long", 0.0)] == [1.0, 2.0, 4.0]
    for number in range(MAX_MESSAGES):
        trace.note(5.0, True, FLOW, message(f"d{number}"))
    assert not trace.about("long", 0.0), "it is over"


@pytest.mark.lengthy
@pytest.mark.parametrize("end", [b"BYE sip:x SIP/2.0", b"CANCEL sip:x SIP/2.0", b"SIP/2.0 486 Busy Here", b"SIP/2.0 302 Moved"])
def test_what_ends_a_call(end: bytes) -> None:
    trace = Trace()
    trace.note(1.0, False, FLOW, invite("a"))
    trace.note(2.0, True, FLOW, end + b"\r\nCSeq: 1 INVITE\r\nCall-ID: a\r\n\r\n")
    for number in range(MAX_MESSAGES):
        trace.note(3.0, True, FLOW, message(f"c{number}"))
    assert not trace.about("a", 0.0)


def test_a_challenge_is_no_end() -> None:
    trace = Trace()
    trace.note(1.0, True, FLOW, invite("a"))
    trace.note(2.0, False, FLOW, b"SIP/2.0 401 Unauthorized\r\nCSeq: 1 INVITE\r\nCall-ID: a\r\n\r\n")
    trace.note(3.0, True, FLOW, invite("a"))
    for number in range(MAX_MESSAGES):
        trace.note(4.0, True, FLOW, message(f"c{number}"))
    assert [found.at for found in trace.about("a", 0.0)] == [1.0, 2.0, 3.0]


def test_one_call_that_talks_without_end_keeps_its_beginning_and_its_latest() -> None:
    trace = Trace()
    trace.note(0.0, True, FLOW, invite("quiet"))
    for number in range(1000):
        trace.note(float(number), True, FLOW, invite("loud"))
    found = [each.at for each in trace.about("loud", 0.0)]
    assert len(found) == CALL_MESSAGES
    assert found[:FIRST_KEPT] == [float(number) for number in range(FIRST_KEPT)]
    assert found[FIRST_KEPT:] == [float(number) for number in range(1000 - CALL_MESSAGES + FIRST_KEPT, 1000)]
    assert trace.about("quiet", 0.0)
    for number in range(100):
        trace.note(float(number), True, FLOW, invite("fat", CALL_BYTES // 10))
    assert sum(len(each.data) for each in trace.about("fat", 0.0)) <= CALL_BYTES
    assert trace.about("fat", 0.0)[-1].at == 99.0


def test_running_calls_are_bounded_too() -> None:
    trace = Trace()
    for number in range(100):
        trace.note(float(number), True, FLOW, invite(f"c{number}", RUNNING_BYTES // 50))
    assert not trace.about("c0", 0.0)
    assert trace.about("c99", 0.0)
    assert trace._running.bytes <= RUNNING_BYTES


methods = st.sampled_from(["INVITE", "BYE", "OPTIONS"])


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), methods, st.integers(0, 5000)), max_size=300))
def test_the_sums_are_right(items: list[tuple[str, str, int]]) -> None:
    trace = Trace()
    for call, method, size in items:
        trace.note(0.0, True, FLOW, invite(call, size).replace(b"INVITE", method.encode(), 1))
        for group in (trace._running, trace._others):
            kept = [item for found in group.calls.values() for item in found]
            assert (group.messages, group.bytes) == (len(kept), sum(len(item[3]) for item in kept))
    assert not trace._running.calls.keys() & trace._others.calls.keys()


@given(st.binary(max_size=300))
def test_anything_may_come(data: bytes) -> None:
    trace = Trace()
    trace.note(0.0, False, FLOW, data)
    trace.about("x", 0.0)


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
