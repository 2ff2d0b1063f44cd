"""Taps: one call hears another; who may, what is told, and how it ends."""

from __future__ import annotations

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import TapView
from offhook.testing.phones import VirtualPhone, over, settle, talk, two_phones
from offhook.testing.wire import Wire


def two_calls() -> tuple[VirtualPhone, VirtualPhone, str, str]:
    """Return alice with two active calls to bob, and their names."""
    wire = Wire()
    alice, bob = two_phones(wire)
    first, _ = talk(alice, bob)
    bob.execute(c.Dial(to="sip:alice@10.0.0.1", hold_others=False))
    settle(wire, 1)
    second = alice.execute(c.Answer(hold_others=False)).call
    settle(wire, 1)
    return alice, bob, first, second


def test_monitor_then_whisper_then_nothing() -> None:
    alice, _, customer, boss = two_calls()
    assert alice.execute(c.Tap(call=customer, by=boss)).value == TapView(boss, customer, "both", "none")
    assert alice.did(media.SetTap) == [media.SetTap(customer, boss, "both", "none")]
    assert alice.did(media.AttachSound)[-1] == media.AttachSound(boss, False)
    alice.execute(c.Tap(call=customer, by=boss, speak="near"))
    assert alice.execute(c.ListTaps()).value == (TapView(boss, customer, "both", "near"),)
    alice.execute(c.StopTap(by=boss))
    assert alice.did(media.SetTap)[-1] == media.SetTap(customer, boss, "none", "none")
    assert alice.did(media.AttachSound)[-1] == media.AttachSound(boss, True)
    assert [kind for kind in alice.of_call(customer) if kind.startswith("tap.")] == ["tap.started", "tap.changed", "tap.ended"]
    assert isinstance(alice.refuses(c.StopTap(by=boss)), NotFound)


def test_it_ends_with_either_call() -> None:
    for ends in (0, 1):
        alice, bob, *calls = two_calls()
        alice.execute(c.Tap(call=calls[0], by=calls[1]))
        alice.execute(c.Hangup(call=calls[ends]))
        assert alice.execute(c.ListTaps()).value == ()
        assert len(alice.of(e.TapEnded)) == 1
        alice.execute(c.HangupAll())
        over(alice, bob)


def test_what_cannot_be() -> None:
    alice, _, customer, boss = two_calls()
    assert isinstance(alice.refuses(c.Tap(call=customer, by=customer)), InvalidArgument)
    assert isinstance(alice.refuses(c.Tap(call=customer, by=boss, hear="none")), InvalidArgument)
    assert isinstance(alice.refuses(c.Tap(call=customer, by=boss, hear="left")), InvalidArgument)  # type: ignore[arg-type]
    assert isinstance(alice.refuses(c.Tap(call=customer, by="c_9")), NotFound)
    alice.execute(c.Tap(call=customer, by=boss))
    assert isinstance(alice.refuses(c.Tap(call=boss, by=customer)), InvalidArgument), "in a circle"
    alice.calls[boss].worker = 1
    assert isinstance(alice.refuses(c.Tap(call=customer, by=boss)), InvalidState)


def test_a_call_that_taps_stays_off_the_sound_card_when_it_is_held_and_resumed() -> None:
    alice, _, customer, boss = two_calls()
    alice.execute(c.Tap(call=customer, by=boss))
    before = len(alice.did(media.AttachSound))
    alice.execute(c.Hold(call=boss))
    settle(alice.wire, 1)
    alice.execute(c.StopTap(by=boss))
    assert alice.did(media.AttachSound)[before:] == [media.AttachSound(boss, False)], "it is on hold"


def test_who_listens_goes_on_when_the_person_changes_calls() -> None:
    alice, bob, customer, boss = two_calls()
    alice.execute(c.Tap(call=customer, by=boss))
    alice.execute(c.Hold(call=customer))
    settle(alice.wire, 1)
    alice.execute(c.Resume(call=customer))
    settle(alice.wire, 1)
    other = alice.dial(bob)  # which holds the customer, as ever
    settle(alice.wire, 1)
    assert [str(alice.calls[call].state) for call in (customer, boss)] == ["held_local", "active"]
    alice.execute(c.Hangup(call=other))
    alice.execute(c.Hold(call=boss))
    alice.execute(c.Resume(call=customer))
    settle(alice.wire, 1)
    alice.execute(c.Resume(call=boss))
    settle(alice.wire, 1)
    assert [str(alice.calls[call].state) for call in (customer, boss)] == ["active", "active"]


def test_who_joins_the_conference_of_a_call_taps_it_no_longer() -> None:
    """It would hear the others twice, and itself."""
    alice, bob, customer, boss = two_calls()
    agent = alice.dial(bob, hold_others=False)
    settle(alice.wire, 1)
    bob.execute(c.Answer(hold_others=False))
    settle(alice.wire, 1)
    room = alice.execute(c.CreateConference(calls=(customer, agent))).value.id
    alice.execute(c.Tap(call=customer, by=boss, speak="far"))
    alice.execute(c.JoinConference(conference=room, call=boss))
    assert [event.tap for event in alice.of(e.TapEnded)] == [TapView(boss, customer, "both", "far")]
    assert alice.did(media.AttachSound)[-1] == media.AttachSound(boss, True)
    assert isinstance(alice.refuses(c.Tap(call=customer, by=boss)), InvalidState)
    alice.execute(c.LeaveConference(call=boss))
    alice.execute(c.Tap(call=customer, by=boss))
