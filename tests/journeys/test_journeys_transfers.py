"""Blind transfer between three phones (RFC 5359 2.4, RFC 3515)."""

from __future__ import annotations

import pytest

from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.testing.phones import VirtualPhone, over, rings, settle, talk, two_phones
from offhook.testing.wire import Wire

CAROL = "sip:offhook@10.0.0.3"


def three(wire: Wire) -> tuple[VirtualPhone, VirtualPhone, VirtualPhone, str, str]:
    """Alice calls bob; carol waits. Returns the call's ids at alice and bob too."""
    alice, bob = two_phones(wire)
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    here, there = talk(alice, bob)
    return alice, bob, carol, here, there


def asked(phone: VirtualPhone) -> bool:
    return bool(phone.of(e.TransferRequested))


def test_a_transfer_that_works(wire: Wire) -> None:
    alice, bob, carol, here, there = three(wire)
    operation = alice.execute(c.Transfer(to=CAROL)).operation
    wire.run_until(lambda: asked(bob), 60)
    assert bob.of(e.TransferRequested)[0].target == CAROL
    placed = bob.execute(c.AcceptTransfer()).call
    assert bob.calls[placed].parent == there
    wire.run_until(rings(carol), 60)
    settle(wire, 3)
    carol.execute(c.Answer())
    wire.run_until(lambda: not alice.calls, 60)
    wire.run_until(lambda: list(bob.calls) == [placed], 60)
    settle(wire, 3)
    assert bob.states == carol.states == [CallState.ACTIVE]
    assert isinstance(alice.outcome(operation), e.OperationSucceeded)
    assert [kind for kind in alice.of_call(here) if kind in ("transfer.started", "transfer.completed", "call.ended")] == [
        "transfer.started", "transfer.completed", "call.ended"]
    carol.execute(c.Hangup())
    over(alice, bob, carol)


@pytest.mark.parametrize("status", [486, 603])
def test_a_transfer_to_someone_who_refuses(wire: Wire, status: int) -> None:
    alice, bob, carol, here, there = three(wire)
    operation = alice.execute(c.Transfer(to=CAROL)).operation
    wire.run_until(lambda: asked(bob), 60)
    bob.execute(c.AcceptTransfer())
    wire.run_until(rings(carol), 60)
    carol.execute(c.Reject(status=status))
    wire.run_until(lambda: alice.outcome(operation) is not None, 60)
    failed = alice.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert failed.sip_status == status
    wire.run_until(lambda: alice.states == bob.states == [CallState.ACTIVE], 90)
    settle(wire)
    assert alice.states == bob.states == [CallState.ACTIVE], "the call is as before"
    assert list(alice.calls) == [here]
    assert list(bob.calls) == [there]
    again = alice.execute(c.Transfer(to=CAROL)).operation
    wire.run_until(lambda: len(bob.of(e.TransferRequested)) == 2, 60)
    bob.execute(c.AcceptTransfer())
    wire.run_until(rings(carol), 60)
    carol.execute(c.Answer())
    wire.run_until(lambda: alice.outcome(again) is not None, 60)
    assert isinstance(alice.outcome(again), e.OperationSucceeded)
    wire.run_until(lambda: not alice.calls, 60)
    bob.execute(c.HangupAll())
    over(alice, bob, carol)


@pytest.mark.parametrize("say_so", [True, False])
def test_a_transfer_that_the_other_does_not_want(wire: Wire, say_so: bool) -> None:
    alice, bob, carol, _, _ = three(wire)
    operation = alice.execute(c.Transfer(to=CAROL)).operation
    wire.run_until(lambda: asked(bob), 60)
    if say_so:
        bob.execute(c.RejectTransfer())
    settle(wire, 45)
    failed = alice.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert failed.sip_status == 603
    assert alice.states == bob.states == [CallState.ACTIVE]
    assert not carol.of(e.CallIncoming)
    bob.execute(c.Hangup())
    over(alice, bob, carol)


def test_the_transferor_hangs_up_meanwhile(wire: Wire) -> None:
    alice, bob, carol, here, _ = three(wire)
    operation = alice.execute(c.Transfer(to=CAROL)).operation
    wire.run_until(lambda: asked(bob), 60)
    bob.execute(c.AcceptTransfer())
    alice.execute(c.Hangup())
    assert isinstance(alice.outcome(operation), e.OperationFailed)
    wire.run_until(rings(carol), 60)
    carol.execute(c.Answer())
    wire.run_until(lambda: bob.states == [CallState.ACTIVE], 60)
    settle(wire, 3)
    bob.execute(c.Hangup())
    over(alice, bob, carol)
    assert alice.of_call(here)[-1] == "call.ended"


def test_the_one_asked_hangs_up_undecided(wire: Wire) -> None:
    alice, bob, carol, _, _ = three(wire)
    operation = alice.execute(c.Transfer(to=CAROL)).operation
    wire.run_until(lambda: asked(bob), 60)
    bob.execute(c.Hangup())
    over(alice, bob, carol)
    assert alice.outcome(operation) is not None


def test_bob_transfers_the_call_that_alice_placed(wire: Wire) -> None:
    alice, bob, carol, _, _ = three(wire)
    bob.execute(c.Hold())
    wire.run_until(lambda: bob.states == [CallState.HELD_LOCAL], 60)
    settle(wire, 3)
    operation = bob.execute(c.Transfer(to=CAROL)).operation
    wire.run_until(lambda: asked(alice), 60)
    alice.execute(c.AcceptTransfer())
    wire.run_until(rings(carol), 60)
    carol.execute(c.Answer())
    wire.run_until(lambda: not bob.calls, 60)
    assert isinstance(bob.outcome(operation), e.OperationSucceeded)
    carol.execute(c.Hangup())
    over(alice, bob, carol)
