"""Transfers: what is refused, and what happens to those nobody decides on."""

from __future__ import annotations

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.testing.phones import over, settle, talk, two_phones
from offhook.testing.wire import Wire

CAROL = "sip:offhook@10.0.0.3"


def test_what_is_refused() -> None:
    alice, bob = two_phones(Wire())
    settle(alice.wire, 1)
    for command in (c.Transfer(to=CAROL), c.AcceptTransfer(), c.RejectTransfer()):
        assert isinstance(alice.refuses(command), NotFound)
    talk(alice, bob)
    for to in ("", "1001", "sips:x@y?a=b", CAROL + "?a=b"):
        assert isinstance(alice.refuses(c.Transfer(to=to)), InvalidArgument)
    assert isinstance(bob.refuses(c.AcceptTransfer()), InvalidState)
    assert isinstance(bob.refuses(c.RejectTransfer()), InvalidState)


def test_one_transfer_at_a_time() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    alice.execute(c.Transfer(to=CAROL))
    settle(alice.wire, 1)
    assert isinstance(alice.refuses(c.Transfer(to=CAROL)), InvalidState)
    bob.execute(c.RejectTransfer())
    assert isinstance(bob.refuses(c.AcceptTransfer()), InvalidState), "decided once"
    settle(alice.wire, 1)
    assert [event.sip_status for event in alice.of(e.TransferFailed)] == [603]
    bob.execute(c.Hangup())
    over(alice, bob)


def test_a_target_that_does_not_exist() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    operation = alice.execute(c.Transfer(to="sip:x@nowhere.invalid")).operation
    settle(alice.wire, 1)
    bob.execute(c.AcceptTransfer())
    settle(alice.wire, 5)
    failed = alice.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert failed.sip_status == 503
    assert alice.states == bob.states == [CallState.ACTIVE], "resumed, because the transfer failed"
    bob.execute(c.Hangup())
    over(alice, bob)
