"""Programs that say what becomes of an incoming call, within two seconds."""

from __future__ import annotations

from typing import Any

import pytest

from offhook.errors import CommandError, InvalidArgument, InvalidState, NotFound
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.incoming import DECISION_WITHIN
from offhook.phone.model import CallState
from offhook.phone.settings import PhoneSettings
from offhook.testing.phones import VirtualPhone, over, rings, settle, two_phones
from offhook.testing.wire import Wire

ELSEWHERE = "sip:offhook@10.0.0.3"


def called(wire: Wire, **settings: Any) -> tuple[VirtualPhone, VirtualPhone]:
    """Return a caller and a phone that has its call waiting for a decision."""
    alice, bob = two_phones(wire, other=PhoneSettings(decide=True, **settings))
    alice.dial(bob)
    wire.run_until(rings(bob), 60)
    return alice, bob


def decided(bob: VirtualPhone) -> list[tuple[str, bool]]:
    return [(event.action, event.rings) for event in bob.of(e.CallDecided)]


def test_the_event_comes_at_once_and_nothing_else_happens_for_two_seconds(wire: Wire) -> None:
    alice, bob = called(wire, auto_answer="all")
    began = bob.only.created
    (event,) = bob.of(e.CallIncoming)
    assert not event.rings
    assert event.call.ringing is None
    wire.run_until(lambda: bool(bob.of(e.CallDecided)), 10)
    assert bob.of_call(bob.only.id)[:2] == ["call.incoming", "call.decided"]
    assert bob.phone.desk.wall - began == pytest.approx(DECISION_WITHIN, abs=0.01)
    assert decided(bob) == [("default", False)]
    wire.run_until(lambda: alice.states == [CallState.ACTIVE], 60)
    alice.execute(c.Hangup())
    over(alice, bob)


def test_the_caller_does_not_hear_ringing_before_the_decision() -> None:
    alice, bob = called(Wire())
    settle(alice.wire, 1.5)
    assert alice.states == [CallState.CALLING]
    assert bob.states == [CallState.INCOMING]
    bob.execute(c.Decide(action="ring"))
    settle(alice.wire, 0.5)
    assert alice.states == [CallState.RINGING]
    assert decided(bob) == [("ring", True)]
    assert bob.only.view().ringing is not None
    settle(alice.wire, 30)
    assert decided(bob) == [("ring", True)], "the two seconds are over, and so is the matter"


@pytest.mark.parametrize("settings", [
    {"auto_answer": "all"}, {"forwarding": ELSEWHERE}, {"forwarding": ELSEWHERE, "forwarding_delay": 5.0},
])
def test_ring_means_nothing_but_ring(settings: dict[str, Any]) -> None:
    alice, bob = called(Wire(), **settings)
    bob.execute(c.Decide(action="ring"))
    settle(alice.wire, 60)
    assert (alice.states, bob.states) == ([CallState.RINGING], [CallState.INCOMING])


@pytest.mark.parametrize(("settings", "rings_now", "state"), [
    ({}, True, [CallState.INCOMING]),
    ({"auto_answer": "all"}, False, [CallState.ACTIVE]),
    ({"auto_answer": "all", "auto_answer_delay": 5.0}, True, [CallState.ACTIVE]),
    ({"forwarding": ELSEWHERE}, False, []),
    ({"forwarding": ELSEWHERE, "forwarding_delay": 5.0}, True, []),
])
@pytest.mark.parametrize("said", [True, False])
def test_without_a_decision_the_settings_hold(
    settings: dict[str, Any], rings_now: bool, state: list[CallState], said: bool
) -> None:
    alice, bob = called(Wire(), **settings)
    if said:
        bob.execute(c.Decide(action="default"))
    settle(alice.wire, 30)
    assert decided(bob) == [("default", rings_now)]
    assert bob.states == state
    alice.check_laws()
    bob.check_laws()


@pytest.mark.parametrize(("command", "status"), [
    (c.Decide(action="reject"), 486), (c.Decide(action="reject", status=603), 603), (c.Decide(action="dnd"), 486),
])
def test_refusing(wire: Wire, command: c.Decide, status: int) -> None:
    alice, bob = called(wire, auto_answer="all")
    bob.execute(command)
    over(alice, bob)
    end = alice.ended().end
    assert end is not None
    assert end.sip_status == status
    assert decided(bob) == [(command.action, False)]


def test_sending_the_caller_elsewhere(wire: Wire) -> None:
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    alice, bob = called(wire)
    bob.execute(c.Decide(action="redirect", to=ELSEWHERE))
    wire.run_until(lambda: bool(carol.calls), 60)
    assert not bob.calls
    assert bob.of(e.CallRedirected)[0].target == ELSEWHERE
    alice.execute(c.Hangup())
    over(alice, bob, carol)


def test_answering(wire: Wire) -> None:
    alice, bob = called(wire, forwarding=ELSEWHERE)
    accepted = bob.execute(c.Decide(action="answer"))
    assert bob.of_call(accepted.call) == ["call.incoming", "call.decided", "call.answered", "call.active"]
    wire.run_until(lambda: alice.states == [CallState.ACTIVE], 60)
    settle(wire, 10)
    assert bob.states == [CallState.ACTIVE]
    alice.execute(c.Hangup())
    over(alice, bob)


def test_a_person_may_be_quicker() -> None:
    alice, bob = called(Wire())
    bob.execute(c.Answer())
    settle(alice.wire, 10)
    assert alice.states == bob.states == [CallState.ACTIVE]
    assert not bob.of(e.CallDecided)
    assert isinstance(bob.refuses(c.Decide(action="ring", call=bob.only.id)), InvalidState)


def test_the_caller_may_give_up_meanwhile(wire: Wire) -> None:
    alice, bob = called(wire)
    alice.execute(c.Hangup())
    over(alice, bob)
    assert not bob.of(e.CallDecided)


@pytest.mark.parametrize(("command", "error"), [
    (c.Decide(action="reject", status=200), InvalidArgument),
    (c.Decide(action="redirect"), InvalidArgument),
    (c.Decide(action="redirect", to="sip:x@y\r\nA: b"), InvalidArgument),
    (c.Decide(action="ring", call="c_99"), NotFound),
])
def test_a_bad_decision_changes_nothing(command: c.Decide, error: type[CommandError]) -> None:
    alice, bob = called(Wire())
    settle(alice.wire, 1)
    assert isinstance(bob.refuses(command), error)
    bob.execute(c.Decide(action="ring"))
    assert decided(bob) == [("ring", True)]


def test_nothing_to_decide() -> None:
    alice, bob = two_phones(Wire())
    assert isinstance(bob.refuses(c.Decide(action="ring")), NotFound)
    alice.dial(bob)
    alice.wire.run_until(rings(bob), 60)
    assert bob.of(e.CallIncoming)[0].rings
    settle(alice.wire, 1)
    assert isinstance(bob.refuses(c.Decide(action="ring")), NotFound)
    assert isinstance(bob.refuses(c.Decide(action="ring", call=bob.only.id)), InvalidState)


@pytest.mark.parametrize(("settings", "rings_now"), [
    (PhoneSettings(), True), (PhoneSettings(auto_answer="all"), False),
    (PhoneSettings(auto_answer="all", auto_answer_delay=3.0), True), (PhoneSettings(auto_answer="header"), True),
])
def test_the_event_says_whether_it_rings(settings: PhoneSettings, rings_now: bool) -> None:
    alice, bob = two_phones(Wire(), other=settings)
    alice.dial(bob)
    alice.wire.run_until(lambda: bool(bob.calls), 60)
    assert [event.rings for event in bob.of(e.CallIncoming)] == [rings_now]
