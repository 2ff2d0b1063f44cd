"""Attended transfer between three phones, and calls that take the place of others (RFC 5359 2.5, RFC 5589 7)."""

from __future__ import annotations

import pytest

from offhook.errors import AmbiguousCall, InvalidArgument, InvalidState, NotFound
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.testing.phones import VirtualPhone, over, rings, settle, talk, two_phones
from offhook.testing.wire import Wire


def consulted(wire: Wire) -> tuple[VirtualPhone, VirtualPhone, VirtualPhone, str, str]:
    """Alice talks to bob, then consults carol; returns the two calls' ids at alice too."""
    alice, bob = two_phones(wire)
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    first, _ = talk(alice, bob)
    second, _ = talk(alice, carol)
    wire.run_until(lambda: alice.calls[first].held_by_us, 60)
    settle(wire, 5)
    return alice, bob, carol, first, second


def asked(phone: VirtualPhone) -> bool:
    return bool(phone.of(e.TransferRequested))


def test_the_two_others_are_connected(wire: Wire) -> None:
    alice, bob, carol, first, second = consulted(wire)
    before = carol.only.id
    operation = alice.execute(c.TransferAttended()).operation
    assert alice.of(e.TransferStarted)[0].with_call == second
    wire.run_until(lambda: asked(bob), 60)
    assert bob.of(e.TransferRequested)[0].attended
    bob.execute(c.AcceptTransfer())
    wire.run_until(lambda: not alice.calls, 90)
    settle(wire, 10)
    assert bob.states == carol.states == [CallState.ACTIVE]
    (replaced,) = carol.of(e.CallReplaced)
    assert replaced.replaced == before
    assert replaced.call.parent == before
    assert ("Referred-By", "<sip:offhook@localhost>") in replaced.call.headers
    assert not carol.of(e.CallRinging)
    assert carol.ended(before).end is not None
    assert carol.ended(before).end.reason == "replaced"  # type: ignore[union-attr]  # asserted above
    assert isinstance(alice.outcome(operation), e.OperationSucceeded)
    assert alice.of_call(first)[-2:] == ["transfer.completed", "call.ended"]
    bob.execute(c.Hangup())
    over(alice, bob, carol)


def test_also_when_the_one_consulted_called_us(wire: Wire) -> None:
    alice, bob = two_phones(wire)
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    first, _ = talk(alice, bob)
    talk(carol, alice)
    settle(wire, 5)
    alice.execute(c.TransferAttended(call=first, with_call="last"))
    wire.run_until(lambda: asked(bob), 60)
    bob.execute(c.AcceptTransfer())
    wire.run_until(lambda: not alice.calls, 90)
    settle(wire, 10)
    assert bob.states == carol.states == [CallState.ACTIVE]
    carol.execute(c.Hangup())
    over(alice, bob, carol)


def test_the_call_that_was_held_stays_held(wire: Wire) -> None:
    alice, bob, carol, _, _ = consulted(wire)
    carol.execute(c.Hold())
    wire.run_until(lambda: carol.states == [CallState.HELD_LOCAL], 60)
    settle(wire, 5)
    alice.execute(c.TransferAttended(call=next(iter(alice.calls)), with_call="last"))
    wire.run_until(lambda: asked(bob), 60)
    bob.execute(c.AcceptTransfer())
    wire.run_until(lambda: not alice.calls, 90)
    settle(wire, 20)
    assert carol.states == [CallState.HELD_LOCAL]
    assert bob.states == [CallState.HELD_REMOTE]
    bob.execute(c.Hangup())
    over(alice, bob, carol)


def test_a_conference_keeps_the_place(wire: Wire) -> None:
    alice, bob, carol, first, _ = consulted(wire)
    carol.execute(c.CreateConference(id="another"))
    carol.execute(c.CreateConference(id="room", calls=(carol.only.id,)))
    carol.execute(c.MuteMember())
    alice.execute(c.TransferAttended(call=first))
    wire.run_until(lambda: asked(bob), 60)
    bob.execute(c.AcceptTransfer())
    wire.run_until(lambda: not alice.calls, 90)
    settle(wire, 10)
    another, room = carol.execute(c.ListConferences()).value
    assert (room.members, room.muted, another.members) == ((carol.only.id,), (carol.only.id,), ())
    assert not carol.of(e.ConferenceEnded)
    bob.execute(c.Hangup())
    over(alice, bob, carol)


def test_the_one_consulted_has_gone_meanwhile(wire: Wire) -> None:
    alice, bob, carol, first, _ = consulted(wire)
    operation = alice.execute(c.TransferAttended()).operation
    wire.run_until(lambda: asked(bob), 60)
    carol.execute(c.Hangup())
    settle(wire, 10)
    bob.execute(c.AcceptTransfer())
    wire.run_until(lambda: alice.outcome(operation) is not None, 90)
    failed = alice.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert failed.sip_status == 481
    settle(wire, 20)
    assert list(alice.calls) == [first]
    assert not carol.calls
    assert len(carol.of(e.CallIncoming)) == 1, "nobody is rung for a dialog that is over"
    alice.execute(c.Hangup())
    over(alice, bob, carol)


def test_the_other_does_not_want_it(wire: Wire) -> None:
    alice, bob, carol, first, second = consulted(wire)
    operation = alice.execute(c.TransferAttended()).operation
    wire.run_until(lambda: asked(bob), 60)
    bob.execute(c.RejectTransfer())
    wire.run_until(lambda: alice.outcome(operation) is not None, 60)
    assert list(alice.calls) == [first, second]
    settle(wire, 5)
    alice.execute(c.HangupAll())
    over(alice, bob, carol)


def test_what_is_refused_changes_nothing() -> None:
    wire = Wire(1)
    alice, bob = two_phones(wire)
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    assert isinstance(alice.refuses(c.TransferAttended()), NotFound)
    first, _ = talk(alice, bob)
    assert isinstance(alice.refuses(c.TransferAttended()), NotFound)
    second = alice.dial(carol)
    wire.run_until(rings(carol), 60)
    settle(wire, 2)
    assert isinstance(alice.refuses(c.TransferAttended(call=first, with_call=second)), InvalidState)
    carol.execute(c.Answer())
    settle(wire, 5)
    assert isinstance(alice.refuses(c.TransferAttended(call=second, with_call=second)), InvalidArgument)
    third, _ = talk(alice, carol)
    settle(wire, 5)
    assert isinstance(alice.refuses(c.TransferAttended(with_call=third)), AmbiguousCall)
    alice.execute(c.TransferAttended(call=first, with_call=third))
    assert isinstance(alice.refuses(c.TransferAttended(call=second, with_call=first)), InvalidState)
    alice.execute(c.HangupAll())
    over(alice, bob, carol)


@pytest.mark.parametrize("target", [
    "sip:x@10.0.0.3?Replaces=broken", "sip:x@10.0.0.3;method=BYE", "sip:x@10.0.0.3?Replaces=a%3Bto-tag%3D1",
])
def test_what_nobody_can_mean_is_refused_without_asking(target: str) -> None:
    from offhook.sip.events import Refer, ReferProgress
    from offhook.sip.uri import Uri
    wire = Wire(1)
    alice, bob = two_phones(wire)
    here, _ = talk(alice, bob)
    heard: list[ReferProgress] = []
    alice.phone._sip_events[ReferProgress] = heard.append
    alice.phone.desk.signal(Refer(here, Uri.parse(target)))
    wire.drain(alice.node)
    settle(wire, 5)
    assert heard[-1].status in (400, 603)
    assert not asked(bob)
    alice.execute(c.Hangup())
    over(alice, bob)
