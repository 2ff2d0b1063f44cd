"""Whole calls between two phones (RFC 3665 3), through networks that lose nothing, a tenth and nearly a third."""

from __future__ import annotations

import pytest

from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.phone.settings import PhoneSettings
from offhook.testing.phones import VirtualPhone, over, rings, settle, talk, two_phones
from offhook.testing.wire import Wire

ACTIVE, HELD_LOCAL, HELD_REMOTE, HELD_BOTH = CallState.ACTIVE, CallState.HELD_LOCAL, CallState.HELD_REMOTE, CallState.HELD_BOTH


def test_a_call_answered_and_ended_by_the_callee(wire: Wire) -> None:
    # RFC 3665 3.1
    alice, bob = two_phones(wire)
    call = alice.dial(bob)
    assert alice.status == 1
    wire.run_until(rings(bob))
    assert bob.only.state.status == 1
    settle(wire, 2)
    # RFC 3261 13.3.1: provisional answers are not sent again: through a bad network the 180 may be missed.
    heard = ["call.ringing"] if alice.only.state is CallState.RINGING else []
    assert heard or wire.weather.loss
    accepted = bob.execute(c.Answer())
    wire.run_until(lambda: alice.only.is_connected, 60)
    settle(wire, 5)
    assert alice.states == bob.states == [ACTIVE]
    assert alice.of_call(call) == ["call.created", "call.calling", *heard, "call.answered", "call.active"]
    bob.execute(c.Hangup())
    over(alice, bob)
    assert bob.of_call(accepted.call) == ["call.incoming", "call.answered", "call.active", "call.ended"]
    here, there = alice.ended().end, bob.ended().end
    assert here is not None
    assert there is not None
    assert (here.by, here.sip_status, there.by, there.sip_status) == ("remote", 0, "local", 0)
    assert alice.outcome("op_1") == e.OperationSucceeded(operation="op_1", command="dial", call=call)


def test_a_call_ended_by_the_caller(wire: Wire) -> None:
    alice, bob = two_phones(wire)
    call, _ = talk(alice, bob)
    settle(wire, 10)
    assert alice.execute(c.Hangup()).call == call
    assert not alice.calls, "over for us at once"
    over(alice, bob)
    ended = bob.of(e.CallEnded)[0]
    assert ended.call.end is not None
    assert ended.call.end.by == "remote"
    assert ended.duration > 10
    assert alice.of(e.CallEnded)[0].duration > 10


def test_both_hang_up_at_once(wire: Wire) -> None:
    alice, bob = two_phones(wire)
    talk(alice, bob)
    alice.execute(c.Hangup())
    bob.execute(c.Hangup())
    over(alice, bob)


@pytest.mark.parametrize("status", [404, 480, 486, 603])
def test_a_refused_call(wire: Wire, status: int) -> None:
    # RFC 3665 3.8, 3.9
    alice, bob = two_phones(wire)
    call = alice.dial(bob)
    wire.run_until(rings(bob))
    bob.execute(c.Reject(status=status))
    over(alice, bob)
    here = alice.ended(call).end
    assert here is not None
    assert (here.by, here.sip_status) == ("remote", status)
    failed = alice.outcome("op_1")
    assert isinstance(failed, e.OperationFailed)
    assert failed.sip_status == status
    assert failed.call == call


@pytest.mark.parametrize(("settings", "status"), [
    (PhoneSettings(dnd=True), 486), (PhoneSettings(max_calls=1), 486), (PhoneSettings(call_waiting=False), 486),
])
def test_a_phone_that_takes_no_more_calls(wire: Wire, settings: PhoneSettings, status: int) -> None:
    alice, bob = two_phones(wire, other=settings)
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    if not settings.dnd:
        talk(carol, bob)
    before = len(bob.of(e.CallIncoming))
    alice.dial(bob)
    wire.run_until(lambda: not alice.calls, 60)
    end = alice.ended().end
    assert end is not None
    assert (end.by, end.sip_status) == ("remote", status)
    assert len(bob.of(e.CallIncoming)) == before
    carol.execute(c.HangupAll())
    over(alice, bob, carol)


def test_nobody_answers(wire: Wire) -> None:
    # RFC 3665 3.8: CANCEL after ring_timeout
    alice, bob = two_phones(wire)
    operation = alice.execute(c.Dial(to=f"sip:offhook@{bob.host}", ring_timeout=25.0)).operation
    wire.run_until(rings(bob))
    wire.run(24.9)
    assert alice.calls
    wire.run(25.1)
    assert not alice.calls
    over(alice, bob)
    here, there = alice.ended().end, bob.ended().end
    assert here is not None
    assert there is not None
    assert (here.by, here.sip_status, here.reason) == ("local", 487, "no answer")
    assert (there.by, there.sip_status) == ("remote", 487)
    failed = alice.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert (failed.sip_status, failed.reason) == (0, "no answer"), "the far end said nothing"


def test_cancel_while_it_rings(wire: Wire) -> None:
    alice, bob = two_phones(wire)
    alice.dial(bob)
    wire.run_until(rings(bob))
    settle(wire, 3)
    alice.execute(c.Hangup())
    over(alice, bob)
    there = bob.ended().end
    assert there is not None
    assert there.by == "remote"


@pytest.mark.parametrize("gap", [0.0, 0.005, 0.01, 0.02])
@pytest.mark.parametrize("first", ["answer", "cancel"])
def test_cancel_meets_the_answer(wire: Wire, gap: float, first: str) -> None:
    # RFC 3261 9.1: a 200 that crosses the CANCEL is acknowledged and followed by BYE
    alice, bob = two_phones(wire)
    alice.dial(bob)
    wire.run_until(rings(bob))
    settle(wire, 3)

    def answer() -> None:
        if bob.calls:
            bob.execute(c.Answer())

    def cancel() -> None:
        if alice.calls:
            alice.execute(c.Hangup())

    one, two = (answer, cancel) if first == "answer" else (cancel, answer)
    one()
    wire.at(wire.now + gap, two)
    over(alice, bob)


def test_the_caller_gives_up_before_anything_left(wire: Wire) -> None:
    alice, bob = two_phones(wire)
    alice.dial(bob)
    alice.execute(c.Hangup())
    over(alice, bob)
    end = alice.ended().end
    assert end is not None
    assert end.by == "local"


@pytest.mark.parametrize("delay", [0.0, 8.0])
def test_a_call_is_forwarded(wire: Wire, delay: float) -> None:
    # RFC 3665 3.6 with 302; RFC 5806: Diversion
    alice, bob = two_phones(wire, other=PhoneSettings(forwarding="sip:offhook@10.0.0.3", forwarding_delay=delay))
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    call = alice.dial(bob)
    wire.run_until(rings(carol), 60)
    redirects = [sent.data for sent in wire.sent if sent.line.startswith("SIP/2.0 302")]
    reason = b"no-answer" if delay else b"unconditional"
    assert b"\r\nDiversion: <" in redirects[0]
    assert b";reason=" + reason in redirects[0]
    assert b"\r\nContact: <sip:offhook@10.0.0.3>" in redirects[0]
    carol.execute(c.Answer())
    wire.run_until(lambda: alice.only.is_connected, 60)
    assert [event.target for event in alice.of(e.CallRedirected, call)] == ["sip:offhook@10.0.0.3"]
    assert alice.only.remote.uri == "sip:offhook@10.0.0.3"
    carol.execute(c.Hangup())
    over(alice, bob, carol)
    assert ("call.incoming" in bob.types) == bool(delay)


def test_a_ringing_call_is_deflected(wire: Wire) -> None:
    alice, bob = two_phones(wire)
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    alice.dial(bob)
    wire.run_until(rings(bob))
    there = bob.only.id
    bob.execute(c.Redirect(to="sip:offhook@10.0.0.3"))
    assert bob.of_call(there) == ["call.incoming", "call.redirected", "call.ended"]
    wire.run_until(rings(carol), 60)
    carol.execute(c.Reject())
    over(alice, bob, carol)
    end = alice.ended().end
    assert end is not None
    assert end.sip_status == 486


def test_hold_and_resume_from_both_sides(wire: Wire) -> None:
    # RFC 5359 2.1
    alice, bob = two_phones(wire)
    here, there = talk(alice, bob)
    held = alice.execute(c.Hold())
    wire.run_until(lambda: (alice.states, bob.states) == ([HELD_LOCAL], [HELD_REMOTE]), 60)
    settle(wire)
    assert isinstance(alice.outcome(held.operation), e.OperationSucceeded)
    assert (alice.only.config and alice.only.config.direction) == "sendonly"
    assert (bob.only.config and bob.only.config.direction) == "recvonly"
    bob.execute(c.Hold())
    wire.run_until(lambda: alice.states == bob.states == [HELD_BOTH], 60)
    settle(wire)
    assert alice.status == bob.status == 3
    alice.execute(c.Resume())
    wire.run_until(lambda: (alice.states, bob.states) == ([HELD_REMOTE], [HELD_LOCAL]), 60)
    settle(wire)
    bob.execute(c.Resume())
    wire.run_until(lambda: alice.states == bob.states == [ACTIVE], 60)
    settle(wire)
    assert alice.states == bob.states == [ACTIVE]
    assert (alice.only.config and alice.only.config.direction) == (bob.only.config and bob.only.config.direction) == "sendrecv"
    assert [t for t in alice.of_call(here) if "held" in t or "resumed" in t] == [
        "call.held", "call.remote_held", "call.resumed", "call.remote_resumed"]
    assert [t for t in bob.of_call(there) if "held" in t or "resumed" in t] == [
        "call.remote_held", "call.held", "call.remote_resumed", "call.resumed"]
    alice.execute(c.Hangup())
    over(alice, bob)


def test_both_hold_at_the_same_moment(wire: Wire) -> None:
    # RFC 3261 14.1: 491, and each tries again after a while of its own
    alice, bob = two_phones(wire)
    talk(alice, bob)
    one, two = alice.execute(c.Hold()), bob.execute(c.Hold())
    wire.run_until(lambda: alice.states == bob.states == [HELD_BOTH], 90)
    settle(wire)
    assert alice.states == bob.states == [HELD_BOTH]
    assert isinstance(alice.outcome(one.operation), e.OperationSucceeded)
    assert isinstance(bob.outcome(two.operation), e.OperationSucceeded)
    three, four = alice.execute(c.Resume()), bob.execute(c.Resume())
    wire.run_until(lambda: alice.states == bob.states == [ACTIVE], 90)
    settle(wire)
    assert isinstance(alice.outcome(three.operation), e.OperationSucceeded)
    assert isinstance(bob.outcome(four.operation), e.OperationSucceeded)
    bob.execute(c.Hangup())
    over(alice, bob)


def test_a_person_who_cannot_decide(wire: Wire) -> None:
    alice, bob = two_phones(wire)
    talk(alice, bob)
    operations = [alice.execute(command).operation for command in (c.Hold(), c.Resume(), c.Hold(), c.ToggleHold(), c.Hold())]
    wire.run_until(lambda: (alice.states, bob.states) == ([HELD_LOCAL], [HELD_REMOTE]), 90)
    settle(wire)
    assert (alice.states, bob.states) == ([HELD_LOCAL], [HELD_REMOTE])
    assert all(alice.outcome(operation) is not None for operation in operations if operation)
    alice.execute(c.Hangup())
    over(alice, bob)


def test_call_waiting_with_two_calls(wire: Wire) -> None:
    alice, bob = two_phones(wire)
    carol, dave = VirtualPhone(wire, "carol", "10.0.0.3"), VirtualPhone(wire, "dave", "10.0.0.4")
    _, first = talk(alice, bob)
    carol.dial(bob)
    wire.run_until(lambda: len(bob.calls) == 2, 60)
    dave.dial(bob)
    wire.run_until(lambda: len(bob.calls) == 3 and all(call.address for call in list(bob.calls.values())[1:]), 60)
    second, third = list(bob.calls)[1:]
    assert bob.status == 2
    assert bob.execute(c.Answer()).call == second, "the oldest that rings"
    wire.run_until(lambda: bob.calls[first].state is HELD_LOCAL and alice.states == [HELD_REMOTE], 60)
    bob.execute(c.Answer())
    wire.run_until(lambda: bob.states == [HELD_LOCAL, HELD_LOCAL, ACTIVE], 60)
    wire.run_until(lambda: (carol.states, dave.states) == ([HELD_REMOTE], [ACTIVE]), 60)
    bob.execute(c.Resume(call=first))
    wire.run_until(lambda: bob.states == [ACTIVE, HELD_LOCAL, HELD_LOCAL], 60)
    wire.run_until(lambda: (alice.states, dave.states) == ([ACTIVE], [HELD_REMOTE]), 60)
    bob.execute(c.Hangup(call=third))
    bob.execute(c.HangupAll())
    over(alice, bob, carol, dave)


@pytest.mark.parametrize("hold", [True, False])
def test_a_second_call_out(wire: Wire, hold: bool) -> None:
    alice, bob = two_phones(wire)
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    talk(alice, bob)
    talk(alice, carol, hold_others=hold)
    settle(wire)
    assert alice.states == ([HELD_LOCAL, ACTIVE] if hold else [ACTIVE, ACTIVE])
    assert bob.states == ([HELD_REMOTE] if hold else [ACTIVE])
    alice.execute(c.HangupAll())
    over(alice, bob, carol)


def test_texts(wire: Wire) -> None:
    # RFC 3428
    alice, bob = two_phones(wire)
    operation = alice.execute(c.SendMessage(to="sip:bob@10.0.0.2", text="Grüße, 你好")).operation
    wire.run_until(lambda: alice.outcome(operation) is not None, 60)
    assert [event.text for event in bob.of(e.MessageReceived)] == ["Grüße, 你好"]
    assert [event.operation for event in alice.of(e.MessageSent)] == [operation]
    over(alice, bob)


def test_a_text_to_nobody() -> None:
    wire = Wire(1)
    alice = VirtualPhone(wire, "alice", "10.0.0.1")
    operation = alice.execute(c.SendMessage(to="sip:bob@10.0.0.9", text="hello")).operation
    settle(wire, 40)
    failed = alice.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert failed.sip_status == 408
    assert alice.of(e.MessageFailed)[0].sip_status == 408
    over(alice)


def test_digits_over_info_when_nothing_else_was_agreed(wire: Wire) -> None:
    alice, bob = two_phones(wire)
    talk(alice, bob)
    operation = alice.execute(c.SendDtmf(digits="1,#d", method="info")).operation
    wire.run_until(lambda: alice.outcome(operation) is not None, 120)
    assert isinstance(alice.outcome(operation), e.OperationSucceeded)
    assert [event.digit for event in bob.of(e.DtmfReceived)] == list("1#D")
    assert [event.digit for event in alice.of(e.DtmfSent)] == list("1#D")
    assert {event.method for event in bob.of(e.DtmfReceived)} == {"info"}
    bob.execute(c.Hangup())
    over(alice, bob)


def test_quit_ends_everything(wire: Wire) -> None:
    alice, bob = two_phones(wire)
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    talk(alice, bob)
    alice.dial(carol)
    settle(wire, 3)
    operation = alice.execute(c.Quit()).operation
    over(alice, bob, carol)
    assert alice.types[-2:] == ["operation.succeeded", "system.stopped"]
    assert isinstance(alice.outcome(operation), e.OperationSucceeded)
    assert alice.types.count("system.stopping") == alice.types.count("system.stopped") == 1
