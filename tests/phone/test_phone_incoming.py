"""Calls that come in: refused, forwarded, answered by a person or by themselves."""

from __future__ import annotations

from typing import Literal

import pytest

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.answer_mode import asked_delay
from offhook.phone.incoming import PORT_WITHIN, RING_LONGEST
from offhook.phone.model import CallState, HeaderList
from offhook.phone.settings import AccountSettings, PhoneSettings
from offhook.sip.events import Datagram, Flow
from offhook.sip.headers import Headers
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone, over, rings, settle, talk, two_phones
from offhook.testing.wire import Wire

ACTIVE = CallState.ACTIVE


@pytest.mark.parametrize(("headers", "delay"), [
    ((), None),
    ((("Call-Info", "<sip:x>;answer-after=0"),), 0.0),
    ((("Call-Info", "<uri>;Answer-After = 7"),), 7.0),
    ((("Call-Info", '<uri>; answer-after="5"'),), 5.0),
    ((("Alert-Info", "<http://x>;info=alert-autoanswer;delay=0"),), 0.0),
    ((("Alert-Info", "<http://x>; info=alert-autoanswer; delay=3"),), 3.0),
    ((("Alert-Info", "<http://x>;info=external;delay=3"),), None),
    ((("Alert-Info", "Auto Answer"),), 0.0),
    ((("Alert-Info", "<http://x>;info=auto-answer"),), 0.0),
    ((("Alert-Info", "<http://x>;info=ring-2"),), None),
    ((("X-AUTOANSWER", "TRUE"),), 0.0),
    ((("x-autoanswer", " 1 "),), 0.0),
    ((("X-AUTOANSWER", "FALSE"),), None),
    ((("Subject", "auto answer"),), None),
    ((("Answer-Mode", "Auto"),), 0.0),
    ((("answer-mode", "AUTO ;require"),), 0.0),
    ((("Priv-Answer-Mode", "Auto;x=y"),), 0.0),
    ((("Answer-Mode", "Manual"), ("Call-Info", "<x>;answer-after=0")), None),
    ((("Answer-Mode", "Manual"), ("Priv-Answer-Mode", "Auto")), 0.0),
    ((("Answer-Mode", "Automatic"),), None),
    ((("Answer-Mode", "Automatic"), ("Call-Info", "<x>;answer-after=2")), 2.0),
])
def test_who_asks_to_be_answered(headers: HeaderList, delay: float | None) -> None:
    assert asked_delay(Headers(headers).items()) == delay


@pytest.mark.parametrize(("settings", "headers", "after"), [
    (PhoneSettings(), (("Call-Info", "<x>;answer-after=0"),), None),
    (PhoneSettings(auto_answer="header"), (), None),
    (PhoneSettings(auto_answer="header"), (("Call-Info", "<x>;answer-after=3"),), 3.0),
    (PhoneSettings(auto_answer="header"), (("Alert-Info", "<x>;info=alert-autoanswer"),), 0.0),
    (PhoneSettings(auto_answer="header", auto_answer_delay=5.0), (("X-AUTOANSWER", "TRUE"),), 5.0),
    (PhoneSettings(), (("Answer-Mode", "Auto"),), None),
    (PhoneSettings(auto_answer="header"), (("Answer-Mode", "Auto;require"),), 0.0),
    (PhoneSettings(auto_answer="header", auto_answer_delay=2.0), (("Answer-Mode", "Auto"),), 2.0),
    (PhoneSettings(auto_answer="header"), (("Answer-Mode", "Manual;require"),), None),
    (PhoneSettings(auto_answer="all"), (("Answer-Mode", "Manual"),), 0.0),
    (PhoneSettings(auto_answer="all"), (), 0.0),
    (PhoneSettings(auto_answer="all", auto_answer_delay=4.0), (), 4.0),
])
def test_auto_answer(settings: PhoneSettings, headers: HeaderList, after: float | None) -> None:
    alice, bob = two_phones(Wire(), other=settings)
    wire = alice.wire
    alice.dial(bob, headers=headers)
    wire.run_until(lambda: bool(bob.calls))
    began = wire.now
    if after is None:
        settle(wire, 60)
        assert bob.states == [CallState.INCOMING]
        return
    wire.run_until(lambda: bob.states == [ACTIVE], 60)
    assert wire.now - began == pytest.approx(after, abs=0.01)
    assert bob.of_call(bob.only.id) == ["call.incoming", "call.answered", "call.active"]
    wire.run_until(lambda: alice.states == [ACTIVE], 5)


@pytest.mark.parametrize(("settings", "mode", "status"), [
    (PhoneSettings(), "Auto;require", 403), (PhoneSettings(auto_answer="all"), "Manual;require", 403),
    (PhoneSettings(decide=True), "Auto;require", 0), (PhoneSettings(), "Manual;require", 0),
])
def test_who_insists_on_a_way_to_be_answered_that_is_not_ours(settings: PhoneSettings, mode: str, status: int) -> None:
    alice, bob = two_phones(Wire(), other=settings)
    alice.dial(bob, headers=(("Answer-Mode", mode),))
    settle(alice.wire, 1)
    assert bob.types.count("call.incoming") == 1
    if status:
        for phone in (alice, bob):
            end = phone.ended().end
            assert end is not None
            assert end.sip_status == status
    else:
        assert bob.states == [CallState.INCOMING]


@pytest.mark.parametrize(("beside", "states"), [
    ("idle", [ACTIVE, CallState.INCOMING]), ("hold", [CallState.HELD_LOCAL, ACTIVE]), ("all", [ACTIVE, ACTIVE]),
])
def test_auto_answer_beside_another_call(beside: str, states: list[CallState]) -> None:
    alice, bob = two_phones(Wire(), other=PhoneSettings(auto_answer_calls=beside))  # type: ignore[arg-type]  # from the table
    carol = VirtualPhone(alice.wire, "carol", "10.0.0.3")
    talk(alice, bob)
    bob.execute(c.SetAutoAnswer(mode="all"))
    carol.dial(bob)
    settle(alice.wire, 5)
    assert bob.states == states
    waits = [sound.tone for sound in bob.did(media.PlayLocalTone)][-1:] == ["waiting"]
    assert waits == (CallState.INCOMING in states), "a person may answer what is not answered by itself"


def test_two_calls_at_one_moment_and_only_one_may_be_answered() -> None:
    wire = Wire()
    alice, carol = VirtualPhone(wire, "alice", "10.0.0.1"), VirtualPhone(wire, "carol", "10.0.0.3")
    bob = VirtualPhone(wire, "bob", "10.0.0.2", PhoneSettings(auto_answer="all", auto_answer_calls="idle"))
    alice.dial(bob)
    carol.dial(bob)
    settle(wire, 1)
    assert bob.states == [ACTIVE, CallState.INCOMING]
    assert [event.rings for event in bob.of(e.CallIncoming)] == [False, False]
    assert [event.rings for event in bob.of(e.CallDecided)] == [True], "said to be answered at once, and rings after all"
    assert carol.states == [CallState.RINGING]
    assert [sound.tone for sound in bob.did(media.PlayLocalTone)] == ["waiting"]


def test_a_call_that_waits_for_a_port_is_being_answered_already() -> None:
    wire = Wire()
    alice, carol = VirtualPhone(wire, "alice", "10.0.0.1"), VirtualPhone(wire, "carol", "10.0.0.3")
    bob = VirtualPhone(wire, "bob", "10.0.0.2", PhoneSettings(auto_answer="all", auto_answer_calls="idle"), ports=0)
    alice.dial(bob)
    settle(wire, 0.5)
    carol.dial(bob)
    settle(wire, 0.5)
    bob.receive(bob.media.fresh_ports(4))
    settle(wire, 1)
    assert bob.states == [ACTIVE, CallState.INCOMING]


def test_a_forwarding_that_leads_nowhere_refuses_and_says_so() -> None:
    # A number means something to an account's server alone, and this caller came to none.
    alice, bob = two_phones(Wire(), other=PhoneSettings(forwarding="1001"))
    alice.dial(bob)
    settle(alice.wire, 2)
    assert [event.reason.partition(":")[0] for event in bob.of(e.SystemError)] == ["forwarding"]
    end = alice.ended().end
    assert end is not None
    assert (end.by, end.sip_status) == ("remote", 480)
    over(alice, bob)


def test_a_caller_who_gives_up_at_once_has_called() -> None:
    """Sound of the other family than the call: whether there is a way for it is still being found out."""
    wire = Wire()
    bob = VirtualPhone(wire, "bob", "10.0.0.2")
    head = ("INVITE sip:offhook@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
            "To: <sip:offhook@10.0.0.2>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@10.0.0.9>\r\n")
    offer = "v=0\r\no=x 7 7 IN IP6 ::1\r\ns=-\r\nc=IN IP6 2001:db8::9\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\n"
    for text in (f"{head}Content-Type: application/sdp\r\n\r\n{offer}", head.replace("INVITE", "CANCEL") + "\r\n"):
        bob.node.receive(Datagram(Flow("udp", ("10.0.0.2", 5060), ("10.0.0.9", 5060)), text.encode()))
    settle(wire, 1)
    (call,) = {event.call.id for event in bob.events if isinstance(event, e.CallEvent)}
    assert bob.of_call(call) == ["call.incoming", "call.ended"]
    assert not bob.of(e.CallIncoming)[0].rings
    over(bob)


def test_what_is_switched_off_while_it_rings_does_not_happen() -> None:
    settings = PhoneSettings(forwarding="sip:x@10.0.0.9", forwarding_delay=20.0)
    for later, off in ((PhoneSettings(auto_answer="all", auto_answer_delay=20.0), c.SetAutoAnswer(mode="off")),
                       (settings, c.SetForwarding(to=""))):
        alice, bob = two_phones(Wire(), other=later)
        alice.dial(bob)
        settle(alice.wire, 5)
        bob.execute(off)
        settle(alice.wire, 30)
        assert bob.states == [CallState.INCOMING]
        assert not bob.of(e.SystemError)
        assert not bob.of(e.CallDecided), "it has been ringing all the time"
        assert [sound.tone for sound in bob.did(media.PlayLocalTone)] == ["ring"]


def test_a_call_that_is_decided_upon_does_not_ring() -> None:
    alice, bob = two_phones(Wire(), other=PhoneSettings(decide=True))
    alice.dial(bob)
    alice.wire.run_until(lambda: bob.states == [CallState.INCOMING])
    settle(alice.wire, 0.5)
    assert not bob.did(media.PlayLocalTone)
    bob.execute(c.Decide(action="ring"))
    assert [sound.tone for sound in bob.did(media.PlayLocalTone)] == ["ring"]


@pytest.mark.parametrize("auto", ["off", "all"])
def test_nothing_in_common(auto: Literal["off", "all"]) -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1", codecs=("PCMA",))
    bob = VirtualPhone(wire, "bob", "10.0.0.2", PhoneSettings(auto_answer=auto), codecs=("PCMU",))
    alice.dial(bob)
    over(alice, bob)
    end = alice.ended().end
    assert end is not None
    assert end.sip_status == 488
    # RFC 3261 13.3.1.3: it does not ring for nothing; it is told all the same
    assert [event.rings for event in bob.of(e.CallIncoming)] == [False]
    assert "no codec in common" in bob.ended().end.reason  # type: ignore[union-attr]  # it has ended
    assert any("Warning: 305 offhook" in sent.data.decode() for sent in wire.sent)
    assert not bob.of(e.SystemError)


def test_what_is_no_session_description_is_refused() -> None:
    wire = Wire()
    bob = VirtualPhone(wire, "bob", "10.0.0.2")
    bob.phone.receive(Datagram(Flow("udp", ("10.0.0.2", 5060), ("10.0.0.9", 5060)), (
        b"INVITE sip:offhook@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
        b"To: <sip:offhook@10.0.0.2>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@10.0.0.9>\r\n"
        b"Content-Type: application/sdp\r\n\r\nnonsense")), 0.0)
    wire.drain(bob.node)
    assert [sent.line for sent in wire.sent] == ["SIP/2.0 400 Bad Request"]
    assert bob.ended().state is CallState.ENDED


def test_a_trunk_calls_its_account_under_any_of_its_numbers() -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    phone.add_account(AccountSettings(id="trunk", domain="10.0.0.9", username="1001", register=False, codecs=("PCMA",)))
    wire.run(0.1)
    head = (
        "INVITE sip:+49301234@10.0.0.1 SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1", "To: <sip:+49301234@10.0.0.1>",
        "From: <sip:anonymous@anonymous.invalid>;tag=t", "P-Asserted-Identity: <tel:+49309999>", "Call-ID: one",
        "CSeq: 1 INVITE", "Contact: <sip:peer@10.0.0.9>", "Content-Length: 0", "", "",
    )  # fmt: skip
    peer.send("\r\n".join(head).encode(), phone.node)
    wire.run(0.2)
    assert (phone.only.account, phone.only.remote.asserted) == ("trunk", "<tel:+49309999>")
    phone.execute(c.Answer())
    wire.run(0.3)
    assert b"RTP/AVP 8" in peer.responses("INVITE")[-1].body, "the account's codecs"


def test_a_phone_that_drains_says_when_to_try_again() -> None:
    alice, bob = two_phones(Wire())
    bob.execute(c.Drain(enabled=True))
    alice.dial(bob)
    over(alice, bob)
    # RFC 3261 21.5.4: Retry-After
    (refusal,) = {sent.data for sent in alice.wire.sent if sent.line.startswith("SIP/2.0 503")}
    assert b"\r\nRetry-After: 30\r\n" in refusal


def test_a_call_whose_caller_died_does_not_ring_for_ever() -> None:
    alice, bob = two_phones(Wire())
    alice.dial(bob)
    alice.wire.run_until(rings(bob))
    alice.node.tcp = False
    del alice.wire.nodes["10.0.0.1", 5060]
    settle(alice.wire, RING_LONGEST + 1)
    end = bob.ended().end
    assert end is not None
    assert (end.by, end.sip_status, end.reason) == ("local", 480, "nobody answered")


def test_a_call_that_expires_before_it_is_answered() -> None:
    # RFC 3261 13.3.1: the INVITE's Expires passes unanswered: 487
    wire = Wire()
    bob = VirtualPhone(wire, "bob", "10.0.0.2")
    bob.node.receive(Datagram(Flow("udp", ("10.0.0.2", 5060), ("10.0.0.9", 5060)), (
        b"INVITE sip:offhook@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
        b"To: <sip:offhook@10.0.0.2>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@10.0.0.9>\r\nExpires: 20\r\n\r\n")))
    settle(wire, 19)
    assert bob.states == [CallState.INCOMING]
    settle(wire, 2)
    assert not bob.states
    assert "SIP/2.0 487 Request Terminated" in [sent.line for sent in wire.sent]


def test_what_does_not_ring_is_not_answered() -> None:
    alice, bob = two_phones(Wire())
    settle(alice.wire, 1)
    for command in (c.Answer(), c.Reject(), c.Redirect(to="sip:x@10.0.0.9"), c.Answer(call="ringing"), c.Answer(call="c_9")):
        assert isinstance(bob.refuses(command), NotFound)
    call, there = talk(alice, bob)
    assert isinstance(bob.refuses(c.Answer(call=there)), InvalidState)
    assert isinstance(bob.refuses(c.Reject(call=there)), InvalidState)
    assert isinstance(alice.refuses(c.Answer(call=call)), InvalidState)


def test_a_bad_refusal_changes_nothing() -> None:
    alice, bob = two_phones(Wire())
    alice.dial(bob)
    alice.wire.run_until(rings(bob))
    settle(alice.wire, 1)
    for status in (1, 200, 299, 700, -1):
        assert isinstance(bob.refuses(c.Reject(status=status)), InvalidArgument)
    for to in ("", "1001", "sip:", "sip:x@y\r\nA: b"):
        assert isinstance(bob.refuses(c.Redirect(to=to)), InvalidArgument)


def test_an_answer_waits_for_a_port() -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1")
    bob = VirtualPhone(wire, "bob", "10.0.0.2", ports=0)
    alice.dial(bob)
    wire.run_until(rings(bob))
    operation = bob.execute(c.Answer()).operation
    settle(wire, 1)
    assert bob.states == [CallState.INCOMING]
    bob.receive(bob.media.fresh_ports(1))
    assert bob.states == [ACTIVE]
    assert isinstance(bob.outcome(operation), e.OperationSucceeded)


def test_who_answers_before_there_is_a_port_answers_beside_another_call_too() -> None:
    wire = Wire()
    alice, carol = VirtualPhone(wire, "alice", "10.0.0.1"), VirtualPhone(wire, "carol", "10.0.0.3")
    bob = VirtualPhone(wire, "bob", "10.0.0.2", PhoneSettings(auto_answer_calls="idle"), ports=1)
    talk(alice, bob)
    carol.dial(bob)
    wire.run_until(rings(bob))
    settle(wire, 1)
    operation = bob.execute(c.Answer()).operation
    assert bob.outcome(operation) is None
    bob.receive(bob.media.fresh_ports(1))
    settle(wire, 1)
    assert bob.states == [CallState.HELD_LOCAL, ACTIVE]
    assert isinstance(bob.outcome(operation), e.OperationSucceeded)


def test_a_call_that_no_port_is_left_for_is_refused_and_says_why() -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1")
    bob = VirtualPhone(wire, "bob", "10.0.0.2", ports=0, settings=PhoneSettings(auto_answer="all"))
    alice.dial(bob)
    settle(wire, PORT_WITHIN - 1)
    assert bob.states == [CallState.INCOMING], "the media engine may be starting"
    settle(wire, 2)
    ended = bob.ended().end
    assert ended is not None
    assert (ended.by, ended.sip_status, ended.reason) == ("local", 503, "no media port is free")
    alices = alice.ended().end
    assert alices is not None
    assert alices.sip_status == 503
    bob.receive(bob.media.fresh_ports(1))
    over(alice, bob)


def test_forwarding_that_cannot_work_is_refused() -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    assert isinstance(alice.refuses(c.SetForwarding(to="1001")), InvalidArgument)
    assert isinstance(alice.refuses(c.SetForwarding(to="sip:x@10.0.0.9", delay=301)), InvalidArgument)
    assert isinstance(alice.refuses(c.SetAutoAnswer(mode="all", delay=-1)), InvalidArgument)
    alice.execute(c.SetForwarding(to="sip:x@10.0.0.9", delay=10))
    assert alice.snapshot().forwarding == "sip:x@10.0.0.9"
    assert alice.types[-1] == "settings.changed"
