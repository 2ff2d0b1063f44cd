"""Blind transfer: REFER, the NOTIFYs about it, refusals, and what belongs to nobody."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from offhook.errors import CommandError, InvalidState, NotFound, ParseError
from offhook.sip import events
from offhook.sip.message import Request
from offhook.sip.transfer import parse_sipfrag
from offhook.sip.uri import Uri
from offhook.testing.endpoints import ANSWER, OFFER, Peer, add_endpoint
from offhook.testing.wire import Node, Weather, Wire

BOB = Uri.sip("bob", "10.0.0.2")
CAROL = Uri.parse("sip:carol@10.0.0.3?Replaces=abc")


@dataclass
class Talk:
    """An established call: `c` at alice, `session` at bob."""

    wire: Wire
    alice: Node
    bob: Node
    session: str

    def run(self, seconds: float = 1.0) -> None:
        self.wire.run(self.wire.now + seconds)


def make_talk(weather: Weather | None = None, seed: int = 0) -> Talk:
    wire = Wire(seed, weather)
    alice, bob = add_endpoint(wire, "alice", "10.0.0.1"), add_endpoint(wire, "bob", "10.0.0.2")
    alice.execute(events.Invite("c", "alice", BOB, OFFER))
    wire.run_until(lambda: bool(bob.of(events.SessionIncoming)))
    session = bob.of(events.SessionIncoming)[0].session
    bob.execute(events.Accept(session, ANSWER))
    wire.run_until(lambda: bool(bob.of(events.SessionConfirmed) and alice.of(events.SessionAnswered)))
    return Talk(wire, alice, bob, session)


def test_accepted_transfer_reports_progress_to_its_end() -> None:
    talk = make_talk()
    talk.alice.execute(events.Refer("c", CAROL))
    with pytest.raises(InvalidState):
        talk.alice.execute(events.Refer("c", CAROL))
    talk.run()
    asked = talk.bob.of(events.ReferRequested)[0]
    assert asked.target.uri == CAROL
    assert "alice" in asked.referred_by
    talk.bob.execute(events.AcceptRefer(talk.session, asked.refer))
    talk.run()
    talk.bob.execute(events.NotifyRefer(talk.session, asked.refer, 180))
    talk.run()
    talk.bob.execute(events.NotifyRefer(talk.session, asked.refer, 200, "Fine"))
    talk.run()
    assert [(e.status, e.reason, e.final) for e in talk.alice.of(events.ReferProgress)] == [
        (100, "Trying", False), (180, "Ringing", False), (200, "Fine", True)]
    for command in (events.NotifyRefer(talk.session, asked.refer, 200), events.AcceptRefer(talk.session, asked.refer)):
        with pytest.raises(NotFound):
            talk.bob.execute(command)
    talk.alice.execute(events.Refer("c", CAROL))  # another one may follow
    talk.run()
    talk.bob.execute(events.RefuseRefer(talk.session, talk.bob.of(events.ReferRequested)[1].refer))
    talk.run()
    assert talk.alice.of(events.ReferProgress)[-1] == events.ReferProgress("c", 603, "Decline", True)
    assert not talk.alice.of(events.SessionEnded)


def test_transfer_right_after_answering_waits_for_the_ack() -> None:
    wire = Wire(0)
    alice, bob = add_endpoint(wire, "alice", "10.0.0.1"), add_endpoint(wire, "bob", "10.0.0.2")
    wire.dropper = lambda sent: sent.data.startswith(b"ACK")
    alice.execute(events.Invite("c", "alice", BOB, OFFER))
    wire.run_until(lambda: bool(bob.of(events.SessionIncoming)))
    session = bob.of(events.SessionIncoming)[0].session
    bob.execute(events.Accept(session, ANSWER))
    bob.execute(events.Refer(session, CAROL))
    with pytest.raises(InvalidState):
        bob.execute(events.Refer(session, CAROL))
    wire.run(wire.now + 2)
    assert alice.of(events.SessionAnswered)
    assert not alice.of(events.ReferRequested)
    wire.dropper = None
    wire.run(wire.now + 3)
    assert bob.of(events.SessionConfirmed)
    assert [asked.target.uri for asked in alice.of(events.ReferRequested)] == [CAROL]


def test_transfer_of_a_session_never_acknowledged_is_not_sent() -> None:
    wire = Wire(0)
    alice, bob = add_endpoint(wire, "alice", "10.0.0.1"), add_endpoint(wire, "bob", "10.0.0.2")
    wire.dropper = lambda sent: sent.data.startswith(b"ACK")
    alice.execute(events.Invite("c", "alice", BOB, OFFER))
    wire.run_until(lambda: bool(bob.of(events.SessionIncoming)))
    session = bob.of(events.SessionIncoming)[0].session
    bob.execute(events.Accept(session, ANSWER))
    bob.execute(events.Refer(session, CAROL))
    wire.run(wire.now + 200)
    assert bob.of(events.SessionEnded)
    assert not [sent for sent in wire.sent if sent.data.startswith(b"REFER")]
    assert set(bob.core.statistics().values()) == {0}  # type: ignore[attr-defined]  # an Endpoint


@pytest.mark.parametrize("seed", range(6))
def test_transfer_survives_loss(seed: int) -> None:
    talk = make_talk(Weather(loss=0.25, duplicate=0.1, jitter=0.1), seed)
    talk.bob.execute(events.Refer(talk.session, CAROL))
    talk.wire.run_until(lambda: bool(talk.alice.of(events.ReferRequested)))
    talk.alice.execute(events.AcceptRefer("c", talk.alice.of(events.ReferRequested)[0].refer))
    talk.run(5)
    talk.alice.execute(events.NotifyRefer("c", talk.alice.of(events.ReferRequested)[0].refer, 486))
    talk.wire.run_until(lambda: any(event.final for event in talk.bob.of(events.ReferProgress)))
    assert talk.bob.of(events.ReferProgress)[-1].status in (486, 408)


def test_refer_without_notify_ends_by_itself() -> None:
    talk = make_talk()
    talk.wire.dropper = lambda sent: sent.data.startswith(b"NOTIFY")
    talk.alice.execute(events.Refer("c", CAROL))
    talk.run()
    talk.bob.execute(events.AcceptRefer(talk.session, talk.bob.of(events.ReferRequested)[0].refer))
    talk.run(40)
    assert [(e.status, e.final) for e in talk.alice.of(events.ReferProgress)] == [(408, True)]


def test_end_of_the_session_ends_the_transfer() -> None:
    talk = make_talk()
    talk.alice.execute(events.Refer("c", CAROL))
    talk.run()
    talk.alice.execute(events.End("c"))
    talk.wire.run(talk.wire.now + 200)
    for node in (talk.alice, talk.bob):
        assert set(node.core.statistics().values()) == {0}  # type: ignore[attr-defined]  # an Endpoint
    with pytest.raises(CommandError):
        talk.bob.execute(events.AcceptRefer(talk.session, talk.bob.of(events.ReferRequested)[0].refer))


def in_dialog(talk: Wire, peer: Peer, alice: Node, method: str, extra: str, body: bytes = b"", cseq: int = 5) -> int:
    """Send a request in the peer's dialog; return the answer's status."""
    invite = peer.requests("INVITE")[0]
    text = (f"{method} sip:alice@10.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{method}{cseq}\r\n"
            f"From: {invite.to};tag=t\r\nTo: {invite.from_}\r\nCall-ID: {invite.call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"{extra}Content-Length: {len(body)}\r\n\r\n")
    peer.send(text.encode() + body, alice)
    talk.run(talk.now + 0.1)
    return peer.responses(method)[-1].status


def test_wrong_notifies_and_refers() -> None:
    wire = Wire()
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")

    def answer(request: Request) -> None:
        if request.method == "INVITE":
            peer.answer(request, 200, tag="t", body=ANSWER)
        elif request.method == "REFER":
            peer.answer(request, 202)
    peer.on_request = answer
    alice.execute(events.Invite("c", "alice", Uri.sip("peer", "10.0.0.9"), OFFER))
    wire.run(0.2)
    frag = b"SIP/2.0 200 OK\r\n"
    assert in_dialog(wire, peer, alice, "NOTIFY", "Event: refer\r\n", frag, 5) == 481
    assert in_dialog(wire, peer, alice, "NOTIFY", "Event: presence\r\n", frag, 6) == 489
    assert in_dialog(wire, peer, alice, "REFER", "", b"", 7) == 400
    assert in_dialog(wire, peer, alice, "REFER", "Refer-To: <sip:a@b>, <sip:c@d>\r\n", b"", 8) == 400
    alice.execute(events.Refer("c", CAROL))
    wire.run(wire.now + 0.1)
    assert in_dialog(wire, peer, alice, "NOTIFY", "Event: refer\r\nSubscription-State: active\r\n", b"junk", 9) == 400
    assert in_dialog(wire, peer, alice, "NOTIFY", "Event: refer\r\nSubscription-State: active\r\n", frag, 2) == 500
    assert in_dialog(wire, peer, alice, "NOTIFY", "Event: refer\r\nSubscription-State: active\r\n", b"", 10) == 200
    assert alice.of(events.ReferProgress) == [events.ReferProgress("c", 100, "Trying", False)]
    assert in_dialog(wire, peer, alice, "NOTIFY", "Event: refer\r\nSubscription-State: terminated\r\n", b"", 11) == 200
    assert alice.of(events.ReferProgress)[1:] == [events.ReferProgress("c", 500, "No outcome given", True)]


def asked() -> tuple[Wire, Node, Peer, Request]:
    """A call that a peer has answered, and the REFER to it, which has no answer yet."""
    wire = Wire()
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Invite("c", "alice", Uri.sip("peer", "10.0.0.9"), OFFER))
    wire.run(0.1)
    peer.answer(peer.requests("INVITE")[0], 200, tag="t", body=ANSWER)
    wire.run(0.2)
    alice.execute(events.Refer("c", CAROL))
    wire.run(0.3)
    return wire, alice, peer, peer.requests("REFER")[0]


def test_a_notify_that_overtakes_the_answer_is_the_first_one() -> None:
    wire, alice, peer, refer = asked()
    ringing = "Event: refer\r\nSubscription-State: active;expires=180\r\n"
    assert in_dialog(wire, peer, alice, "NOTIFY", ringing, b"SIP/2.0 180 Ringing\r\n", 5) == 200
    peer.answer(refer, 202)
    wire.run(wire.now + 60)
    done = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n"
    assert in_dialog(wire, peer, alice, "NOTIFY", done, b"SIP/2.0 200 OK\r\n", 6) == 200
    assert [(event.status, event.final) for event in alice.of(events.ReferProgress)] == [(180, False), (200, True)]


def test_a_subscription_goes_on_behind_the_outcome_until_its_end() -> None:
    # RFC 6665 4.1.3: only a NOTIFY that says "terminated" ends it; 481 before that makes some end the call
    wire, alice, peer, refer = asked()
    peer.answer(refer, 202)
    active, over = "Event: refer\r\nSubscription-State: active\r\n", "Event: refer\r\nSubscription-State: terminated\r\n"
    busy = b"SIP/2.0 486 Busy Here\r\n"
    assert [in_dialog(wire, peer, alice, "NOTIFY", extra, busy, number)
            for number, extra in enumerate((active, active, over, over), start=5)] == [200, 200, 200, 481]
    assert alice.of(events.ReferProgress) == [events.ReferProgress("c", 486, "Busy Here", True)]


@pytest.mark.parametrize(("expires", "after"), [("", 212), (";expires=60", 212), (";expires=600", 632), (";expires=x", 212)])
def test_a_far_end_that_never_tells_the_outcome(expires: str, after: int) -> None:
    wire, alice, peer, refer = asked()
    peer.answer(refer, 202)
    extra = f"Event: refer\r\nSubscription-State: active{expires}\r\n"
    assert in_dialog(wire, peer, alice, "NOTIFY", extra, b"SIP/2.0 100 Trying\r\n", 5) == 200
    wire.run(wire.now + after - 1)
    assert [event.final for event in alice.of(events.ReferProgress)] == [False]
    wire.run(wire.now + 1)
    assert alice.of(events.ReferProgress)[1:] == [events.ReferProgress("c", 408, "No NOTIFY", True)]
    alice.execute(events.Refer("c", CAROL))


@pytest.mark.parametrize("accepted", [False, True])
def test_a_far_end_that_hangs_up_without_a_word_about_the_refer(accepted: bool) -> None:
    wire, alice, peer, refer = asked()
    if accepted:
        peer.answer(refer, 202)
    assert in_dialog(wire, peer, alice, "BYE", "", b"", 5) == 200
    told = alice.of(events.ReferProgress, events.SessionEnded)
    assert told[:-1] == ([] if accepted else [events.ReferProgress("c", 0, "the far end hung up", True)])
    assert isinstance(told[-1], events.SessionEnded)


@pytest.mark.parametrize(("body", "expected"), [
    (b"SIP/2.0 180 Ringing\r\n", (180, "Ringing")), (b"SIP/2.0 200\r\nTo: x\r\n\r\n", (200, "")),
    (b"\r\nSIP/2.0 603 \xff", (603, "\ufffd")),
])
def test_sipfrag(body: bytes, expected: tuple[int, str]) -> None:
    assert parse_sipfrag(body) == expected


@pytest.mark.parametrize("body", [b"", b"200 OK", b"SIP/2.0 999 x", b"INVITE sip:x SIP/2.0"])
def test_not_a_sipfrag(body: bytes) -> None:
    with pytest.raises(ParseError):
        parse_sipfrag(body)
