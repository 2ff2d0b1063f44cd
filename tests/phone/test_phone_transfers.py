"""Transfers: what is refused, and what happens to those nobody decides on."""

from __future__ import annotations

import pytest

from offhook.errors import Draining, InvalidArgument, InvalidState, NotFound
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.phone.settings import PhoneSettings
from offhook.testing.phones import VirtualPhone, over, settle, talk, two_phones
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


def test_by_setting_the_far_end_may_transfer_us_without_being_asked() -> None:
    alice, bob = two_phones(Wire(), other=PhoneSettings(transfers="accept"))
    carol = VirtualPhone(alice.wire, "carol", "10.0.0.3", PhoneSettings(auto_answer="all"))
    talk(alice, bob)
    operation = alice.execute(c.Transfer(to=CAROL)).operation
    settle(alice.wire, 5)
    assert isinstance(alice.outcome(operation), e.OperationSucceeded)
    assert [event.target for event in bob.of(e.TransferRequested)] == [CAROL]
    assert (bob.states, carol.states) == ([CallState.ACTIVE], [CallState.ACTIVE])
    assert isinstance(bob.refuses(c.AcceptTransfer()), InvalidState), "decided already"
    bob.execute(c.Hangup())
    over(alice, bob, carol)


def test_by_setting_nobody_may_transfer_us() -> None:
    alice, bob = two_phones(Wire(), other=PhoneSettings(transfers="refuse"))
    talk(alice, bob)
    alice.execute(c.Transfer(to=CAROL))
    settle(alice.wire, 1)
    assert [event.sip_status for event in alice.of(e.TransferFailed)] == [603]
    assert not bob.of(e.TransferRequested)
    bob.execute(c.Hangup())
    over(alice, bob)


@pytest.mark.parametrize("by_itself", [True, False])
def test_a_transfer_that_cannot_be_placed_is_told_to_who_wanted_it(by_itself: bool) -> None:
    alice, bob = two_phones(Wire(), other=PhoneSettings(transfers="accept" if by_itself else "ask"))
    talk(alice, bob)
    bob.execute(c.Drain())
    operation = alice.execute(c.Transfer(to=CAROL)).operation
    settle(alice.wire, 1)
    if not by_itself:
        assert isinstance(bob.refuses(c.AcceptTransfer()), Draining)
    settle(alice.wire, 5)
    failed = alice.outcome(operation)
    assert (type(failed), alice.states, bob.states) == (e.OperationFailed, [CallState.ACTIVE], [CallState.ACTIVE])
    alice.execute(c.Transfer(to=CAROL))
    settle(alice.wire, 1)
    assert len(bob.of(e.TransferRequested)) == 2, "another wish is heard"
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
