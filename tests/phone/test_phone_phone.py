"""The phone as a whole: STATUS, names of calls, texts, quitting."""

from __future__ import annotations

import pytest

from offhook.errors import AmbiguousCall, Draining, InvalidArgument, InvalidState, NotFound
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.phone.settings import PhoneSettings
from offhook.testing.phones import VirtualPhone, over, rings, settle, talk, two_phones
from offhook.testing.wire import Wire


@pytest.mark.parametrize("linger", [0.0, 3.0, 10.0])
def test_status_over_a_call(linger: float) -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(status_linger=linger))
    assert alice.status == 0
    talk(alice, bob)
    assert alice.status == 2
    alice.execute(c.Hold())
    settle(alice.wire, 1)
    assert alice.status == 3
    alice.execute(c.Hangup())
    if linger:
        assert alice.status == 4
        settle(alice.wire, linger - 0.01)
        assert alice.status == 4
    settle(alice.wire, 0.02)
    assert alice.status == 0
    alice.dial(bob)
    assert alice.status == 1
    alice.execute(c.Hangup())
    alice.dial(bob)
    assert alice.status == 1, "a new call ends 'disconnected'"


def test_status_of_several_calls() -> None:
    alice, bob = two_phones(Wire())
    carol = VirtualPhone(alice.wire, "carol", "10.0.0.3")
    first, _ = talk(alice, bob)
    second, _ = talk(alice, carol)
    assert (alice.snapshot().status.call, alice.status) == (second, 2)
    alice.execute(c.Hold())
    settle(alice.wire, 1)
    assert (alice.snapshot().status.call, alice.status) == (second, 3), "the one held last"
    bob.execute(c.Hangup())
    settle(alice.wire, 1)
    assert (alice.snapshot().status.call, alice.status) == (second, 3)
    bob.dial(alice)
    settle(alice.wire, 1)
    assert alice.status == 1, "ringing goes before held"
    alice.execute(c.Resume(call=second))
    settle(alice.wire, 1)
    assert (alice.snapshot().status.call, alice.status) == (second, 2), "active goes before ringing"
    assert alice.snapshot().status.calls == 2
    assert first not in alice.calls


def test_names_of_calls() -> None:
    alice, bob = two_phones(Wire())
    carol = VirtualPhone(alice.wire, "carol", "10.0.0.3")
    settle(alice.wire, 1)
    for name in ("", "active", "ringing", "last", "c_9"):
        assert isinstance(alice.refuses(c.Hangup(call=name)), NotFound)
    talk(alice, bob)
    second, _ = talk(alice, carol, hold_others=False)
    assert isinstance(alice.refuses(c.Hold(call="active")), AmbiguousCall)
    assert alice.execute(c.GetCall(call="last")).call == second
    alice.dial(bob)
    alice.dial(carol)
    assert isinstance(alice.refuses(c.Hangup(call="ringing")), AmbiguousCall)


def test_an_ended_call_is_remembered() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    alice.execute(c.Hangup())
    view = alice.execute(c.GetCall(call=call)).value
    assert alice.execute(c.GetCall(call="last")).value == view, "the latest, when no call runs"
    assert isinstance(alice.refuses(c.Hold(call="last")), NotFound)
    assert view.state is CallState.ENDED
    assert isinstance(alice.refuses(c.Hangup(call=call)), NotFound)


@pytest.mark.parametrize(("which", "left"), [("all", 0), ("incoming", 2), ("calling", 2), ("not_incoming", 1)])
def test_hang_up_several(which: str, left: int) -> None:
    alice, bob = two_phones(Wire())
    carol = VirtualPhone(alice.wire, "carol", "10.0.0.3")
    talk(alice, bob)
    carol.dial(alice)
    alice.wire.run_until(rings(alice))
    alice.dial(carol)
    settle(alice.wire, 1)
    assert alice.execute(c.HangupAll(which=which)).value == {"ended": 3 - left}  # type: ignore[arg-type]  # from the table
    assert len(alice.calls) == left
    alice.execute(c.HangupAll())
    over(alice, bob, carol)


def test_texts_and_infos_that_are_refused() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    for command in (c.SendMessage(to="sip:x@10.0.0.2", text=""), c.SendMessage(to="sip:x@10.0.0.2", text="x" * 16385),
                    c.SendInfo(body="x", content_type="text"), c.SendInfo(body="x", content_type="a/b\r\nX: y"),
                    c.SendInfo(body="x" * 16385)):
        assert isinstance(alice.refuses(command), InvalidArgument)
    assert isinstance(alice.outcome(alice.execute(c.SendInfo(body="hello")).operation), type(None))
    settle(alice.wire, 1)


def test_a_phone_that_stops_takes_no_commands_and_no_calls() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    alice.execute(c.Quit())
    for command in (c.Dial(to="sip:x@10.0.0.2"), c.Answer(), c.Quit(), c.SetVolume(volume=1)):
        assert isinstance(alice.refuses(command), Draining)
    assert alice.execute(c.Status()).value.calls == 0
    bob.dial(alice)
    over(alice, bob)
    ends = [event.call.end for event in bob.of(e.CallEnded)]
    assert ends[-1] is not None
    assert ends[-1].sip_status == 503


def test_info_outside_a_call_is_refused() -> None:
    alice, bob = two_phones(Wire())
    alice.dial(bob)
    alice.wire.run_until(rings(bob))
    assert isinstance(alice.refuses(c.SendInfo(body="x")), InvalidState)
