"""Transfers: what is refused, and what happens to those nobody decides on."""

from __future__ import annotations

from offhook.errors import Draining, InvalidArgument, InvalidState, NotFound, TooManyCalls
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.phone.settings import AccountSettings, PhoneSettings
from offhook.sip.events import Body, Datagram, Flow
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone, over, settle, talk, two_phones
from offhook.testing.wire import Wire

CAROL = "sip:offhook@10.0.0.3"
SDP = Body("application/sdp", b"v=0\r\no=- 1 1 IN IP4 10.0.0.3\r\ns=-\r\nc=IN IP4 10.0.0.3\r\nt=0 0\r\n"
                              b"m=audio 30000 RTP/AVP 0\r\n")  # fmt: skip


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


def test_the_limit_on_calls_is_none_on_transfers() -> None:
    """The new call takes the place of the one that asked for it."""
    alice, bob = two_phones(Wire(), other=PhoneSettings(transfers="accept", max_calls=1))
    carol = VirtualPhone(alice.wire, "carol", "10.0.0.3", PhoneSettings(auto_answer="all"))
    talk(alice, bob)
    assert isinstance(bob.refuses(c.Dial(to=CAROL)), TooManyCalls)
    operation = alice.execute(c.Transfer(to=CAROL)).operation
    settle(alice.wire, 5)
    assert isinstance(alice.outcome(operation), e.OperationSucceeded)
    assert (bob.states, carol.states) == ([CallState.ACTIVE], [CallState.ACTIVE])
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


def test_a_transfer_that_by_setting_is_taken_and_cannot_be_placed_is_refused_at_once() -> None:
    alice, bob = two_phones(Wire(), other=PhoneSettings(transfers="accept"))
    talk(alice, bob)
    bob.execute(c.Drain())
    operation = alice.execute(c.Transfer(to=CAROL)).operation
    settle(alice.wire, 1)
    failed = alice.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert (failed.sip_status, alice.states, bob.states) == (603, [CallState.ACTIVE], [CallState.ACTIVE])
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


def test_of_a_phone_that_stops_ringing_among_several_the_transferor_hears_nothing() -> None:
    # RFC 6228 4: a 199 speaks of one early dialog alone
    alice, bob = two_phones(Wire())
    peer = Peer(alice.wire, "peer", "10.0.0.9")
    talk(alice, bob)
    alice.execute(c.Transfer(to="sip:x@10.0.0.9"))
    settle(alice.wire, 1)
    bob.execute(c.AcceptTransfer())
    settle(alice.wire, 0.1)
    for status in (180, 199):
        peer.answer(peer.requests("INVITE")[0], status, tag="t")
        settle(alice.wire, 1)
    assert [event.sip_status for event in alice.of(e.TransferProgress)] == [100, 180]


def test_who_asks_twice_at_once_is_asked_to_wait() -> None:
    alice, bob, _ = asked_by_alice()
    (asked,) = bob.of(e.TransferRequested)
    invite = next(sent for sent in alice.wire.sent if sent.line.startswith("REFER"))
    again = invite.data.replace(b"z9hG4bK", b"z9hG4bKagain", 1).replace(b" REFER\r\n", b"9 REFER\r\n", 1)
    alice.wire.at(alice.wire.now, lambda: bob.node.receive(Datagram(Flow("udp", bob.node.address, alice.node.address), again)))
    settle(alice.wire, 0.1)
    assert [sent.line for sent in alice.wire.sent if b"9 REFER" in sent.data] == ["SIP/2.0 491 Request Pending"]
    assert bob.of(e.TransferRequested) == [asked]


def asked_by_alice() -> tuple[VirtualPhone, VirtualPhone, str]:
    """Alice talks to bob and asks him to call carol, who is not there; the operation is alice's."""
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    operation = alice.execute(c.Transfer(to=CAROL)).operation
    settle(alice.wire, 1)
    return alice, bob, operation


def test_the_call_that_is_asked_for_goes_by_the_account_of_the_one_that_asked() -> None:
    wire = Wire()
    alice, bob = two_phones(wire)
    VirtualPhone(wire, "carol", "10.0.0.3")
    for name in ("first", "second"):
        bob.add_account(AccountSettings(name, domain="10.0.0.1", username=name, register=False))
    bob.dial(alice, account="second")
    settle(wire, 1)
    alice.execute(c.Answer())
    settle(wire, 1)
    alice.execute(c.Transfer(to=CAROL))
    settle(wire, 1)
    placed = bob.execute(c.AcceptTransfer()).call
    settle(wire, 1)
    assert (bob.calls[placed].account, bob.calls[placed].local.uri) == ("second", "sip:second@10.0.0.1")


def test_the_call_for_consulting_ends_with_the_transfer_though_its_far_end_says_nothing() -> None:
    wire = Wire()
    alice, bob = two_phones(wire)
    carol = Peer(wire, "carol", "10.0.0.3")
    first, _ = talk(alice, bob)
    alice.dial("sip:carol@10.0.0.3")
    settle(wire, 0.1)
    carol.answer(carol.requests("INVITE")[0], 200, tag="c", body=SDP)
    settle(wire, 0.1)
    alice.execute(c.TransferAttended(call=first))
    settle(wire, 0.1)
    bob.execute(c.AcceptTransfer())
    settle(wire, 0.1)
    asked = carol.requests("INVITE")[-1]
    assert asked.headers.get("Replaces")
    carol.answer(asked, 200, tag="d", body=SDP)
    settle(wire, 0.1)
    assert not alice.calls
    assert [request.to.tag for request in carol.requests("BYE")] == ["c"]
    assert bob.states == [CallState.ACTIVE]


def test_a_transfer_that_cannot_be_carried_out_waits_for_another_decision() -> None:
    alice, bob, operation = asked_by_alice()
    bob.execute(c.Drain())
    assert isinstance(bob.refuses(c.AcceptTransfer()), Draining)
    settle(alice.wire, 1)
    assert alice.outcome(operation) is None
    assert bob.states == [CallState.ACTIVE]
    bob.execute(c.RejectTransfer())
    settle(alice.wire, 1)
    assert [event.sip_status for event in alice.of(e.TransferFailed)] == [603]
    bob.execute(c.Hangup())
    over(alice, bob)


def test_a_failed_transfer_leaves_the_hold_of_a_person_alone() -> None:
    alice, bob, operation = asked_by_alice()
    bob.execute(c.Hold())
    settle(alice.wire, 1)
    bob.execute(c.AcceptTransfer())
    settle(alice.wire, 60)
    assert isinstance(alice.outcome(operation), e.OperationFailed)
    assert bob.states == [CallState.HELD_LOCAL]
    bob.execute(c.Hangup())
    over(alice, bob)


def test_a_failed_transfer_does_not_disturb_another_call() -> None:
    alice, bob, operation = asked_by_alice()
    dora = VirtualPhone(alice.wire, "dora", "10.0.0.4")
    bob.execute(c.AcceptTransfer())
    settle(alice.wire, 1)
    talk(dora, bob)
    settle(alice.wire, 60)
    assert isinstance(alice.outcome(operation), e.OperationFailed)
    assert bob.states == [CallState.HELD_LOCAL, CallState.ACTIVE]
    bob.execute(c.HangupAll())
    over(alice, bob, dora)


def test_a_transfer_leaves_those_alone_who_talk_beside_it() -> None:
    """Of many calls at once, as a dialler has them, one far end has us call another: the rest of them talk on."""
    alice, bob = two_phones(Wire(), other=PhoneSettings(auto_answer="all", transfers="accept"))
    dora = VirtualPhone(alice.wire, "dora", "10.0.0.4")
    carol = VirtualPhone(alice.wire, "carol", "10.0.0.3", PhoneSettings(auto_answer="all"))
    for each in (alice, dora):
        each.dial(bob)
        settle(alice.wire, 1)
    assert bob.states == [CallState.ACTIVE, CallState.ACTIVE]
    alice.execute(c.Transfer(to=CAROL))
    settle(alice.wire, 5)
    assert (bob.states, dora.states, carol.states) == ([CallState.ACTIVE] * 2, [CallState.ACTIVE], [CallState.ACTIVE])
    assert not dora.of(e.CallRemoteHeld)
    bob.execute(c.HangupAll())
    over(alice, bob, carol, dora)


def test_a_failed_transfer_beside_other_calls_leaves_all_as_they_were() -> None:
    alice, bob = two_phones(Wire(), other=PhoneSettings(auto_answer="all", transfers="accept"))
    dora = VirtualPhone(alice.wire, "dora", "10.0.0.4")
    for each in (alice, dora):
        each.dial(bob)
        settle(alice.wire, 1)
    alice.execute(c.Transfer(to=CAROL))
    settle(alice.wire, 1)
    assert bob.states[:2] == [CallState.HELD_LOCAL, CallState.ACTIVE], "who asked is on hold, as one is who dials"
    settle(alice.wire, 60)
    assert bob.states == [CallState.ACTIVE, CallState.ACTIVE]
    bob.execute(c.HangupAll())
    over(alice, bob, dora)


def test_who_asks_while_on_hold_has_us_call_as_we_would_ourselves() -> None:
    """The new call takes the place of nobody who talks: who does is put on hold for it."""
    alice, bob, _ = asked_by_alice()
    dora = VirtualPhone(alice.wire, "dora", "10.0.0.4")
    talk(dora, bob)
    assert bob.states == [CallState.HELD_LOCAL, CallState.ACTIVE]
    bob.execute(c.AcceptTransfer(call=next(iter(bob.calls))))
    settle(alice.wire, 1)
    assert bob.states[:2] == [CallState.HELD_LOCAL, CallState.HELD_LOCAL]
    bob.execute(c.HangupAll())
    over(alice, bob, dora)
