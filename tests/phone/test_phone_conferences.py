"""Conferences: who is in, who is heard, and what is refused."""

from __future__ import annotations

import pytest

from offhook.errors import CommandError, InvalidArgument, InvalidState, NotFound
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState, ConferenceView
from offhook.testing.phones import VirtualPhone, over, settle, talk, two_phones
from offhook.testing.wire import Wire


@pytest.fixture
def house() -> tuple[VirtualPhone, VirtualPhone, tuple[str, str]]:
    """Alice with two calls to Bob."""
    alice, bob = two_phones(Wire())
    first, _ = talk(alice, bob)
    second = alice.dial(bob, hold_others=False)
    settle(alice.wire, 1)
    bob.execute(c.Answer(hold_others=False))
    settle(alice.wire, 1)
    return alice, bob, (first, second)


def test_a_conference_from_the_first_to_the_last(house: tuple[VirtualPhone, VirtualPhone, tuple[str, str]]) -> None:
    alice, bob, (first, second) = house
    assert alice.execute(c.CreateConference(id="room", calls=(first,))).value == ConferenceView("room", (first,))
    assert alice.execute(c.JoinConference(conference="room", call=second)).value.members == (first, second)
    assert alice.did(media.SetBridge)[-1] == media.SetBridge("room", (first, second)), "they hear each other"
    assert alice.execute(c.MuteMember(call=second)).value.muted == (second,)
    alice.execute(c.MuteMember(call=second))
    assert alice.snapshot().conferences == (ConferenceView("room", (first, second), (second,)),)
    assert alice.did(media.SetBridge)[-1] == media.SetBridge("room", (first, second), (second,))
    assert alice.execute(c.UnmuteMember(call=second)).value == ConferenceView("room", (first, second))
    assert alice.did(media.SetBridge)[-1] == media.SetBridge("room", (first, second))
    alice.execute(c.LeaveConference(call=first))
    alice.execute(c.Hangup(call=second))
    assert alice.execute(c.ListConferences()).value == ()
    assert [type(event) for event in alice.events if isinstance(event, e.ConferenceEvent)] == [
        e.ConferenceCreated, e.ConferenceJoined, e.ConferenceJoined, e.ConferenceUpdated, e.ConferenceUpdated,
        e.ConferenceLeft, e.ConferenceLeft, e.ConferenceEnded,
    ]  # fmt: skip
    assert alice.did(media.SetBridge)[-1] == media.SetBridge("room", ())
    alice.execute(c.HangupAll())
    over(alice, bob)


def test_a_conference_that_a_program_named_as_the_phone_would_name_one_is_left_alone() -> None:
    alice, _ = two_phones(Wire())
    of_its_own = int(alice.execute(c.CreateConference()).value.id.removeprefix("conf_"))
    chosen = [f"conf_{of_its_own + more}" for more in (1, 2)]
    for name in chosen:
        alice.execute(c.CreateConference(id=name))
    another = alice.execute(c.CreateConference()).value.id
    assert [room.id for room in alice.snapshot().conferences] == [f"conf_{of_its_own}", *chosen, another]


def test_a_member_that_holds_is_not_heard_by_the_others(house: tuple[VirtualPhone, VirtualPhone, tuple[str, str]]) -> None:
    """Its hold music would be all that they hear."""
    alice, bob, (first, second) = house
    room = alice.execute(c.CreateConference(calls=(first, second))).value.id
    theirs = alice.calls[second].sip_call_id
    held = next(call.id for call in bob.calls.values() if call.sip_call_id == theirs)
    bob.execute(c.Hold(call=held))
    settle(alice.wire, 1)
    assert alice.did(media.SetBridge)[-1] == media.SetBridge(room, (first, second), (second,))
    assert alice.snapshot().conferences == (ConferenceView(room, (first, second)),), "nobody has muted it"
    bob.execute(c.Resume(call=held))  # which holds the other one
    settle(alice.wire, 1)
    assert alice.did(media.SetBridge)[-1] == media.SetBridge(room, (first, second), (first,))
    alice.execute(c.HangupAll())
    over(alice, bob)


def test_calls_on_hold_come_off_it_and_stay_together() -> None:
    """As a person does it: one call, then a second one, which puts the first on hold; now both in one conference."""
    alice, bob = two_phones(Wire())
    first, _ = talk(alice, bob)
    second = alice.dial(bob)
    settle(alice.wire, 1)
    bob.execute(c.Answer())
    settle(alice.wire, 1)
    assert [alice.calls[each].state for each in (first, second)] == ["held_local", "active"]
    room = alice.execute(c.CreateConference(calls=(first, second))).value.id
    settle(alice.wire, 1)
    assert [alice.calls[each].state for each in (first, second)] == ["active", "active"]
    third = alice.dial(bob)
    settle(alice.wire, 1)
    bob.execute(c.Answer())
    settle(alice.wire, 1)
    assert [alice.calls[each].state for each in (first, second, third)] == ["held_local", "held_local", "active"]
    for each in (first, second):
        alice.execute(c.Resume(call=each))
        settle(alice.wire, 1)
    assert [alice.calls[each].state for each in (first, second, third)] == ["active", "active", "held_local"]
    alice.execute(c.JoinConference(conference=room, call=third))
    settle(alice.wire, 1)
    assert {call.state for call in alice.calls.values()} == {"active"}
    alice.execute(c.HangupAll())
    over(alice, bob)


def test_a_member_on_hold_hears_nothing_of_the_others(house: tuple[VirtualPhone, VirtualPhone, tuple[str, str]]) -> None:
    alice, _, (first, second) = house
    alice.execute(c.CreateConference(id="room", calls=(first, second)))
    alice.execute(c.MuteMember(call=second))
    alice.execute(c.Hold(call=first))
    settle(alice.wire, 1)
    assert alice.calls[first].held_by_us
    assert alice.did(media.SetBridge)[-1] == media.SetBridge("room", (second,), (second,))
    assert alice.snapshot().conferences == (ConferenceView("room", (first, second), (second,)),)
    alice.execute(c.Hold(call=second))
    settle(alice.wire, 1)
    assert alice.did(media.SetBridge)[-1] == media.SetBridge("room", ())
    alice.execute(c.Resume(call=second))
    settle(alice.wire, 1)
    alice.execute(c.Resume(call=first))
    settle(alice.wire, 1)
    assert alice.did(media.SetBridge)[-1] == media.SetBridge("room", (first, second), (second,))
    alice.execute(c.LeaveConference(call=first))
    alice.execute(c.Hold(call=first))
    settle(alice.wire, 1)
    assert alice.did(media.SetBridge)[-1] == media.SetBridge("room", (second,), (second,))


def test_ending_it_leaves_the_calls_connected(house: tuple[VirtualPhone, VirtualPhone, tuple[str, str]]) -> None:
    alice, _, calls = house
    room = alice.execute(c.CreateConference(calls=calls)).value.id
    assert alice.execute(c.EndConference(conference=room)).value == ConferenceView(room, ())
    assert len(alice.of(e.ConferenceEnded)) == 1
    assert len(alice.calls) == 2
    assert isinstance(alice.refuses(c.EndConference(conference=room)), NotFound)


def test_what_is_refused_changes_nothing(house: tuple[VirtualPhone, VirtualPhone, tuple[str, str]]) -> None:
    alice, _, (first, second) = house
    alice.execute(c.CreateConference(id="room", calls=(first,)))
    before = alice.snapshot()
    refusals: tuple[tuple[c.Command, type[CommandError]], ...] = (
        (c.CreateConference(id="room"), InvalidArgument),
        (c.CreateConference(id="a b"), InvalidArgument),
        (c.CreateConference(id="x" * 65), InvalidArgument),
        (c.CreateConference(id="new", calls=(second, first)), InvalidState),
        (c.CreateConference(id="new", calls=(second, "c_9")), NotFound),
        (c.JoinConference(conference="new", call=second), NotFound),
        (c.JoinConference(conference="room", call=first), InvalidState),
        (c.LeaveConference(call=second), InvalidState),
        (c.MuteMember(call=second), InvalidState),
        (c.UnmuteMember(call="c_9"), NotFound),
    )
    for command, error in refusals:
        assert isinstance(alice.refuses(command), error), command
    assert alice.snapshot() == before


def test_draining_takes_no_new_calls_and_keeps_the_running_ones() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    alice.execute(c.Drain())
    alice.execute(c.Drain())
    assert [event.enabled for event in alice.of(e.SystemDraining)] == [True]
    assert alice.refuses(c.Dial(to="sip:x@10.0.0.2")).code == "draining"
    second = bob.dial(alice, hold_others=False)
    settle(alice.wire, 2)
    end = bob.ended(second).end
    assert end is not None
    assert end.sip_status == 503
    assert alice.status == 2
    assert alice.snapshot().draining
    alice.execute(c.Drain(enabled=False))
    assert not alice.snapshot().draining
    alice.execute(c.Hangup())
    over(alice, bob)


@pytest.mark.parametrize("patient", [True, False])
def test_whom_a_member_transfers_itself_to_comes_in(
    house: tuple[VirtualPhone, VirtualPhone, tuple[str, str]], patient: bool
) -> None:
    """Whether the member waits until it is done, or hangs up as soon as it has asked."""
    alice, bob, (first, second) = house
    carol = VirtualPhone(alice.wire, "carol", "10.0.0.3")
    room = alice.execute(c.CreateConference(calls=(first, second))).value.id
    alice.execute(c.MuteMember(call=first))
    theirs = next(call.id for call in bob.calls.values() if call.sip_call_id == alice.calls[first].sip_call_id)
    bob.execute(c.Transfer(to="sip:offhook@10.0.0.3", call=theirs))
    settle(alice.wire, 1)
    placed = alice.execute(c.AcceptTransfer(call=first)).call
    settle(alice.wire, 1)
    if not patient:
        bob.execute(c.Hangup(call=theirs))
    settle(alice.wire, 1)
    assert alice.calls[second].state is CallState.ACTIVE, "who stays is not put on hold"
    carol.execute(c.Answer())
    settle(alice.wire, 2)
    assert alice.snapshot().conferences == (ConferenceView(room, (second, placed), (placed,)),)
    assert alice.states == [CallState.ACTIVE, CallState.ACTIVE]
    alice.execute(c.HangupAll())
    over(alice, bob, carol)


@pytest.mark.parametrize("leaves", [True, False])
def test_who_does_not_answer_or_is_not_wanted_comes_not_in(
    house: tuple[VirtualPhone, VirtualPhone, tuple[str, str]], leaves: bool
) -> None:
    alice, bob, (first, second) = house
    carol = VirtualPhone(alice.wire, "carol", "10.0.0.3")
    room = alice.execute(c.CreateConference(calls=(first, second))).value.id
    theirs = next(call.id for call in bob.calls.values() if call.sip_call_id == alice.calls[first].sip_call_id)
    bob.execute(c.Transfer(to="sip:offhook@10.0.0.3", call=theirs))
    settle(alice.wire, 1)
    placed = alice.execute(c.AcceptTransfer(call=first)).call
    settle(alice.wire, 1)
    if leaves:
        alice.execute(c.LeaveConference(call=first))
        carol.execute(c.Answer())
    else:
        carol.execute(c.Reject())
    settle(alice.wire, 2)
    members = (second,) if leaves else (first, second)
    assert alice.snapshot().conferences == (ConferenceView(room, members),)
    assert {call.id: call.state for call in alice.calls.values()} == dict.fromkeys(
        (second, placed) if leaves else members, CallState.ACTIVE
    )
    alice.execute(c.HangupAll())
    over(alice, bob, carol)


def test_who_is_expected_comes_into_no_later_conference_of_the_same_name(
    house: tuple[VirtualPhone, VirtualPhone, tuple[str, str]]
) -> None:
    alice, bob, (first, second) = house
    carol = VirtualPhone(alice.wire, "carol", "10.0.0.3")
    alice.execute(c.CreateConference(id="room", calls=(first,)))
    theirs = next(call.id for call in bob.calls.values() if call.sip_call_id == alice.calls[first].sip_call_id)
    bob.execute(c.Transfer(to="sip:offhook@10.0.0.3", call=theirs))
    settle(alice.wire, 1)
    alice.execute(c.AcceptTransfer(call=first))
    settle(alice.wire, 1)
    alice.execute(c.EndConference(conference="room"))
    alice.execute(c.CreateConference(id="room", calls=(second,)))
    carol.execute(c.Answer())
    settle(alice.wire, 2)
    assert alice.snapshot().conferences == (ConferenceView("room", (second,)),)
    alice.execute(c.HangupAll())
    over(alice, bob, carol)
