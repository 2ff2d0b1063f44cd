"""Calls we place: what is refused, what they wait for, and how they are told."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidArgument, InvalidState, LineBusy, NoAccount, TooManyCalls
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.inputs import ClockSet
from offhook.phone.model import CallState
from offhook.phone.settings import PhoneSettings
from offhook.testing.phones import EPOCH, VirtualPhone, over, rings, settle, talk, two_phones
from offhook.testing.wire import Wire

BOB = "sip:offhook@10.0.0.2"


@pytest.mark.parametrize(("command", "error"), [
    (c.Dial(to=""), NoAccount),
    (c.Dial(to="1001"), NoAccount),
    (c.Dial(to=BOB, account="nobody"), NoAccount),
    (c.Dial(to="sip:a b@10.0.0.2"), InvalidArgument),
    (c.Dial(to=BOB + "?Subject=x"), InvalidArgument),
    (c.Dial(to="sips:bob@10.0.0.2?x=y"), InvalidArgument),
    (c.Dial(to=BOB + "\r\nX: y"), InvalidArgument),
    (c.Dial(to=BOB, id="active"), InvalidArgument),
    (c.Dial(to=BOB, id="current"), InvalidArgument),
    (c.Dial(to=BOB, id="a b"), InvalidArgument),
    (c.Dial(to=BOB, id="x" * 65), InvalidArgument),
    (c.Dial(to=BOB, ring_timeout=-1.0), InvalidArgument),
    (c.Dial(to=BOB, ring_timeout=float("nan")), InvalidArgument),
    (c.Dial(to=BOB, ring_timeout=float("inf")), InvalidArgument),
    (c.Dial(to=BOB, digits="12x"), InvalidArgument),
    (c.Dial(to=BOB, headers=(("X-A", "1\r\nVia: evil"),)), InvalidArgument),
    (c.Dial(to=BOB, headers=(("X-A", "1\nB"),)), InvalidArgument),
    (c.Dial(to=BOB, headers=(("X-A", "\x00"),)), InvalidArgument),
    (c.Dial(to=BOB, headers=(("X A", "1"),)), InvalidArgument),
    (c.Dial(to=BOB, headers=(("X-A:", "1"),)), InvalidArgument),
    (c.Dial(to=BOB, headers=(("", "1"),)), InvalidArgument),
    (c.Dial(to=BOB, headers=(("X-A", "x" * 1025),)), InvalidArgument),
    (c.Dial(to=BOB, headers=(("X-A", "1"),) * 33), InvalidArgument),
    *((c.Dial(to=BOB, headers=((name, "1"),)), InvalidArgument)
      for name in ("Via", "v", "FROM", "To", "t", "Call-ID", "i", "CSeq", "Contact", "m", "Route", "Record-Route",
                   "Content-Length", "l", "Content-Type", "Max-Forwards", "Authorization",
                   "Proxy-Authorization", "Require", "Supported")),
])
def test_a_bad_argument_refuses_all(command: c.Dial, error: type[Exception]) -> None:
    alice, bob = two_phones(Wire())
    settle(alice.wire, 1)
    assert isinstance(alice.refuses(command), error)
    settle(alice.wire, 1)
    assert not bob.of(e.CallIncoming)


def test_headers_and_tags_go_with_the_call() -> None:
    alice, bob = two_phones(Wire())
    call = alice.dial(bob, headers=(("X-Ticket", "4711"), ("Subject", "lunch")), tags=(("crm", "7"),))
    alice.wire.run_until(rings(bob))
    assert ("X-Ticket", "4711") in bob.only.headers
    assert ("Subject", "lunch") in bob.only.headers
    assert alice.calls[call].view().tags == (("crm", "7"),)
    assert not any(name == "crm" for name, _ in bob.only.headers)


def test_the_caller_chooses_the_id() -> None:
    alice, bob = two_phones(Wire())
    assert alice.dial(bob, id="my.call-1") == "my.call-1"
    assert isinstance(alice.refuses(c.Dial(to=BOB, id="my.call-1")), InvalidState)
    alice.execute(c.Hangup())
    settle(alice.wire, 1)
    assert isinstance(alice.refuses(c.Dial(to=BOB, id="my.call-1")), InvalidState), "an ended call keeps its id"
    over(alice, bob)


def test_limits() -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(max_calls=2))
    alice.dial(bob)
    settle(alice.wire, 1)
    assert isinstance(alice.refuses(c.Dial(to=BOB, only_if_idle=True)), LineBusy)
    alice.dial(bob)
    settle(alice.wire, 1)
    assert isinstance(alice.refuses(c.Dial(to=BOB)), TooManyCalls)


def test_a_call_waits_for_a_port() -> None:
    wire = Wire()
    bob = VirtualPhone(wire, "bob", "10.0.0.2")
    alice = VirtualPhone(wire, "alice", "10.0.0.1", ports=0)
    call = alice.dial(bob)
    settle(wire, 5)
    assert alice.of_call(call) == ["call.created"]
    alice.receive(alice.media.fresh_ports(1))
    wire.run_until(rings(bob))
    alice.dial(bob)
    settle(wire, 10.1)
    end = alice.of(e.CallEnded)[0].call.end
    assert end is not None
    assert (end.by, end.sip_status, end.reason) == ("network", 408, "no media port")
    alice.execute(c.Hangup())
    over(alice, bob)


def test_a_name_that_does_not_exist() -> None:
    alice, _ = two_phones(Wire())
    call = alice.dial("sip:bob@nowhere.invalid")
    settle(alice.wire, 1)
    end = alice.ended(call).end
    assert end is not None
    assert (end.by, end.sip_status) == ("network", 503)
    assert "nowhere.invalid cannot be reached" in end.reason
    over(alice)


def test_a_number_with_digits_behind_it() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob, digits="12,3")
    settle(alice.wire, 10)
    (sent,) = [command for command in alice.media.commands if type(command).__name__ == "SendDigits"]
    assert sent.digits == "12,3"  # type: ignore[union-attr]  # told by its name
    assert [event.digit for event in alice.of(e.DtmfSent)] == list("123")


def test_auto_hangup() -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(auto_hangup=30.0))
    talk(alice, bob)
    settle(alice.wire, 24)
    assert alice.states == [CallState.ACTIVE]
    settle(alice.wire, 3)
    over(alice, bob)
    assert 29.9 < alice.of(e.CallEnded)[0].duration < 30.1


@pytest.mark.parametrize("set_by", [200_000.0, -200_000.0])
def test_a_call_is_as_long_as_it_lasted_though_the_clock_is_set_meanwhile(set_by: float) -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    settle(alice.wire, 10)
    for phone in (alice, bob):
        phone.receive(ClockSet(EPOCH + set_by))
    settle(alice.wire, 10)
    alice.execute(c.Hangup())
    settle(alice.wire, 1)
    for phone in (alice, bob):
        (ended,) = phone.of(e.CallEnded)
        assert ended.duration == pytest.approx(24.0, abs=0.1)


def test_a_name_is_for_one_call() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob, id="mine")
    assert "there is a call" in alice.refuses(c.Dial(to="sip:x@10.0.0.9", id="mine")).detail
    alice.execute(c.Hangup())
    assert "there was a call" in alice.refuses(c.Dial(to="sip:x@10.0.0.9", id="mine")).detail
