"""Reliable provisional answers, from both sides, and UPDATE before and after the answer (RFC 3262, RFC 3311)."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.sip import events
from offhook.sip.events import Body
from offhook.sip.message import Request, Response
from offhook.sip.reliable import RAck
from offhook.sip.uri import Uri
from offhook.testing.endpoints import ANSWER, OFFER, Peer, add_endpoint
from offhook.testing.wire import Node, Weather, Wire

BOB = Uri.sip("bob", "10.0.0.2")
PEER = Uri.sip("peer", "10.0.0.9")
SECOND = Body("application/sdp", b"v=0\r\no=second\r\n")
RELIABLE = (("Require", "100rel"),)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1), st.sampled_from(["INVITE", "UPDATE"]))
def test_rack_is_read_back(rseq: int, cseq: int, method: str) -> None:
    assert RAck.parse(str(RAck(rseq, cseq, method))) == RAck(rseq, cseq, method)


@pytest.mark.parametrize("text", ["", "1", "1 2", "x 1 INVITE", "1 x INVITE", "1 2 INVITE more", f"{2**32} 1 INVITE"])
def test_what_is_no_rack(text: str) -> None:
    with pytest.raises(ParseError):
        RAck.parse(text)


def pair(wire: Wire, here: Literal["off", "supported", "required"], there: Literal["off", "supported", "required"],
         offer: Body | None = OFFER) -> tuple[Node, Node, str]:
    """Alice calls bob; returns the session's id at bob, "" if it does not come to one."""
    alice, bob = add_endpoint(wire, "alice", "10.0.0.1"), add_endpoint(wire, "bob", "10.0.0.2")
    alice.execute(events.SetPolicy(reliable=here))
    bob.execute(events.SetPolicy(reliable=there))
    alice.execute(events.Invite("c", "alice", BOB, offer))
    wire.run_until(lambda: bool(bob.of(events.SessionIncoming) or alice.of(events.SessionEnded)), 60)
    found = bob.of(events.SessionIncoming)
    return alice, bob, found[0].session if found else ""


def count(wire: Wire, method: str) -> int:
    return len({sent.data for sent in wire.sent if sent.line.startswith(method + " ")})


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_progress_arrives_for_certain_once_and_in_order(seed: int, loss: float) -> None:
    wire = Wire(seed, Weather(loss=loss, duplicate=loss / 2, jitter=0.1))
    alice, bob, session = pair(wire, "required", "supported")
    for status in (180, 183, 180):
        bob.execute(events.Progress(session, status, ANSWER if status == 183 else None))
    wire.run_until(lambda: len(alice.of(events.SessionProgress)) == 2, 120)
    bob.execute(events.Accept(session, ANSWER))
    wire.run_until(lambda: bool(alice.of(events.SessionAnswered) and bob.of(events.SessionConfirmed)), 120)
    told = [event.status for event in alice.of(events.SessionProgress)]
    assert told in ([180, 183], [180, 183, 180])
    pracks = [sent.at for sent in wire.sent if sent.line.startswith("PRACK")]
    answers = [sent.at for sent in wire.sent if sent.line.startswith("SIP/2.0 200") and b"1 INVITE" in sent.data]
    assert pracks[1] < answers[0], "the answer waits for the PRACK of the description"
    alice.execute(events.End("c"))
    wire.run(wire.now + 200)
    for node in (alice, bob):
        assert not any(node.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


@pytest.mark.parametrize(("here", "there", "body", "expected"), [
    ("off", "supported", ANSWER, 0), ("supported", "off", ANSWER, 0), ("supported", "supported", None, 0),
    ("supported", "supported", ANSWER, 1), ("supported", "required", None, 1), ("required", "supported", None, 1),
])
def test_when_it_is_acknowledged(here: Literal["off", "supported", "required"],
                                 there: Literal["off", "supported", "required"], body: Body | None, expected: int) -> None:
    wire = Wire(1)
    _, bob, session = pair(wire, here, there)
    bob.execute(events.Progress(session, 183, body))
    wire.run(3)
    assert count(wire, "PRACK") == expected


@pytest.mark.parametrize(("here", "there", "status"), [("required", "off", 420), ("off", "required", 421)])
def test_who_insists_on_what_the_other_cannot_gets_no_call(
    here: Literal["off", "supported", "required"], there: Literal["off", "supported", "required"], status: int
) -> None:
    alice, _, session = pair(Wire(1), here, there)
    assert not session
    assert alice.of(events.SessionEnded)[0].status == status


def test_without_prack_the_call_is_over_after_half_a_minute() -> None:
    wire = Wire(1)
    alice, bob, session = pair(wire, "supported", "supported")
    wire.dropper = lambda sent: sent.line.startswith("PRACK")
    bob.execute(events.Progress(session, 183, ANSWER))
    bob.execute(events.Accept(session, ANSWER))
    wire.run(40)
    assert bob.of(events.SessionEnded)[0].status == 504
    assert alice.of(events.SessionEnded)[0].status == 504
    copies = [sent.at for sent in wire.sent if sent.line.startswith("SIP/2.0 183")]
    assert len(copies) >= 6
    assert copies[-1] - copies[-2] > 10, "the pauses double"


def test_the_caller_gives_up_while_the_answer_waits_for_a_prack() -> None:
    wire = Wire(1)
    alice, bob, session = pair(wire, "supported", "supported")
    wire.dropper = lambda sent: sent.line.startswith("PRACK")
    bob.execute(events.Progress(session, 183, ANSWER))
    bob.execute(events.Accept(session, ANSWER))
    wire.run(1)
    alice.execute(events.End("c"))
    wire.run(5)
    assert bob.of(events.SessionEnded)[0].status == 487
    wire.run(200)
    for node in (alice, bob):
        assert not any(node.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


@pytest.mark.parametrize("end", [True, False])
def test_an_offer_in_a_reliable_provisional_is_answered_in_the_prack(end: bool) -> None:
    wire = Wire(1)
    alice, bob, session = pair(wire, "supported", "supported", None)
    bob.execute(events.Progress(session, 183, OFFER))
    wire.run_until(lambda: bool(alice.of(events.OfferReceived)), 5)
    assert not count(wire, "PRACK")
    alice.execute(events.RefuseOffer("c") if end else events.AnswerOffer("c", ANSWER))
    wire.run(wire.now + 5)
    if end:
        assert bob.of(events.SessionEnded)[0].status == 487
        return
    assert [(each.session, each.body) for each in bob.of(events.OfferAnswered)] == [(session, ANSWER)]
    bob.execute(events.Accept(session, OFFER))
    wire.run(wire.now + 5)
    assert alice.of(events.SessionAnswered)
    assert bob.of(events.SessionConfirmed)


# --- against a far end that a test plays by hand


def ringing() -> tuple[Wire, Node, Peer, Request]:
    wire = Wire(5)
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(0.2)
    return wire, alice, peer, peer.requests("INVITE")[0]


def test_copies_and_gaps_are_not_told_and_each_fork_counts_for_itself() -> None:
    wire, alice, peer, invite = ringing()
    for tag, rseq in (("a", 7), ("a", 7), ("a", 9), ("a", 8), ("b", 1), ("b", 2), ("a", 9)):
        peer.answer(invite, 183, tag=tag, headers=(*RELIABLE, ("RSeq", str(rseq))))
        wire.run(wire.now + 0.1)
        for prack in peer.requests("PRACK"):
            peer.answer(prack, 200)
    assert [event.fork for event in alice.of(events.SessionProgress)] == ["a", "a", "b", "b", "a"]
    racks = list(dict.fromkeys((r.to.tag, r.headers.get("RAck")) for r in peer.requests("PRACK")))
    assert racks == [("a", "7 1 INVITE"), ("a", "8 1 INVITE"), ("b", "1 1 INVITE"), ("b", "2 1 INVITE"), ("a", "9 1 INVITE")]


def test_the_right_forks_answer_counts_and_a_late_one_is_ended() -> None:
    wire, alice, peer, invite = ringing()
    for tag in ("a", "b"):
        peer.answer(invite, 183, tag=tag, body=ANSWER)
    peer.answer(invite, 200, tag="b", body=ANSWER)
    peer.answer(invite, 200, tag="c", body=ANSWER)
    wire.run(wire.now + 1)
    assert [event.fork for event in alice.of(events.SessionAnswered)] == ["b"]
    assert {bye.to.tag for bye in peer.requests("BYE")} == {"c"}
    assert {ack.to.tag for ack in peer.requests("ACK")} == {"b", "c"}


def test_an_invite_that_is_said_again_has_numbers_of_its_own() -> None:
    wire, _, peer, invite = ringing()
    peer.answer(invite, 180, tag="t", headers=(*RELIABLE, ("RSeq", "40")))
    wire.run(wire.now + 0.1)
    peer.answer(peer.requests("PRACK")[-1], 200)
    peer.answer(invite, 422, tag="t", headers=(("Min-SE", "3600"),))
    wire.run(wire.now + 0.1)
    again = peer.requests("INVITE")[-1]
    assert again.cseq.number > invite.cseq.number
    peer.answer(again, 180, tag="t", headers=(*RELIABLE, ("RSeq", "7")))
    wire.run(wire.now + 0.1)
    assert peer.requests("PRACK")[-1].headers.get("RAck") == f"7 {again.cseq.number} INVITE"


def update(invite: Request, number: int, body: Body | None = None, method: str = "UPDATE") -> bytes:
    contact = invite.contacts[0].uri
    head = [
        f"{method} {contact} SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{method}{number}", "Max-Forwards: 70",
        f"From: {invite.to};tag=t", f"To: {invite.from_}", f"Call-ID: {invite.call_id}", f"CSeq: {number} {method}",
        "Contact: <sip:moved@10.0.0.9:5060>", *(["Content-Type: application/sdp"] if body else []),
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + (body.data if body else b"")


def test_an_update_before_the_answer() -> None:
    wire, alice, peer, invite = ringing()
    peer.answer(invite, 180, tag="t")
    peer.send(update(invite, 1, SECOND), alice)
    wire.run(wire.now + 1)
    assert peer.responses("UPDATE")[-1].status == 491, "our own offer has no answer yet"
    peer.send(update(invite, 2), alice)
    wire.run(wire.now + 1)
    assert peer.responses("UPDATE")[-1].status == 200, "without an offer it is only a sign of life"
    peer.answer(invite, 183, tag="t", body=ANSWER, headers=(*RELIABLE, ("RSeq", "1")))
    wire.run(wire.now + 0.2)
    peer.answer(peer.requests("PRACK")[-1], 200)
    peer.send(update(invite, 3, SECOND), alice)
    wire.run(wire.now + 0.2)
    assert alice.of(events.OfferReceived) == [events.OfferReceived("c", SECOND, "t")]
    peer.send(update(invite, 4, SECOND), alice)
    wire.run(wire.now + 0.2)
    refused = peer.responses("UPDATE")[-1]
    assert (refused.status, "Retry-After" in refused.headers) == (500, True), "a second one before the first is answered"
    alice.execute(events.AnswerOffer("c", ANSWER))
    wire.run(wire.now + 0.2)
    assert peer.responses("UPDATE")[-1].body == ANSWER.data
    peer.answer(invite, 200, tag="t")
    wire.run(wire.now + 1)
    assert alice.of(events.SessionAnswered)[0].body is None
    peer.send(update(invite, 5, SECOND), alice)
    wire.run(wire.now + 0.2)
    alice.execute(events.RefuseOffer("c"))
    wire.run(wire.now + 0.2)
    assert peer.responses("UPDATE")[-1].status == 488
    alice.execute(events.End("c"))
    wire.run(wire.now + 1)
    assert str(peer.requests("BYE")[0].uri) == "sip:moved@10.0.0.9:5060"


def answering_early() -> tuple[Wire, Node, Peer, str, Response]:
    """The peer calls bob, whose early answer it has not acknowledged yet; returns bob's session and that answer."""
    wire = Wire(2)
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")
    peer.send(request("INVITE", 1, "", OFFER, "Require: 100rel"), bob)
    wire.run(0.2)
    session = bob.of(events.SessionIncoming)[0].session
    bob.execute(events.Progress(session, 183, ANSWER))
    wire.run(0.3)
    return wire, bob, peer, session, peer.responses("INVITE")[-1]


def test_the_callee_takes_an_update_after_its_early_answer_was_acknowledged() -> None:
    wire, bob, peer, session, early = answering_early()
    tag, rseq = early.to.tag or "", early.headers.get("RSeq") or ""
    peer.send(request("UPDATE", 2, tag, SECOND), bob)
    wire.run(0.4)
    assert peer.responses("UPDATE")[-1].status == 500, "the INVITE's offer is answered, but that is not acknowledged"
    peer.send(request("PRACK", 3, tag, None, "RAck: 1 1 INVITE"), bob)
    wire.run(0.5)
    assert peer.responses("PRACK")[-1].status == 481
    peer.send(request("PRACK", 4, tag, None, f"RAck: {rseq} 1 INVITE"), bob)
    peer.send(request("UPDATE", 5, tag, SECOND), bob)
    wire.run(0.6)
    assert peer.responses("PRACK")[-1].status == 200
    assert bob.of(events.OfferReceived) == [events.OfferReceived(session, SECOND, "here")]
    bob.execute(events.AnswerOffer(session, ANSWER))
    bob.execute(events.Accept(session, ANSWER))
    wire.run(0.8)
    assert peer.responses("UPDATE")[-1].status == 200
    assert peer.responses("INVITE")[-1].status == 200


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("by", ["remote", "local"])
def test_who_hangs_up_while_an_early_answer_waits_for_its_prack(by: str, accepted: bool) -> None:
    wire, bob, peer, session, early = answering_early()
    if accepted:
        bob.execute(events.Accept(session, ANSWER))  # RFC 3262 3: the 200 waits for the PRACK
    if by == "remote":
        peer.send(request("BYE", 2, early.to.tag or "", None), bob)  # RFC 3261 15.1.2: the INVITE is answered with 487
    else:
        bob.execute(events.End(session))
    wire.run(0.6)
    final = peer.responses("INVITE")[-1]
    assert final.status == (487 if by == "remote" else 480 if accepted else 603)
    assert final.to.tag == early.to.tag
    assert [response.status for response in peer.responses("BYE")] == [200] * (by == "remote")
    assert [event.by for event in bob.of(events.SessionEnded)] == [by]
    peer.send(request("ACK", 1, early.to.tag or "", None), bob)
    wire.run(60)
    assert peer.responses("INVITE")[-1] is final
    assert not peer.requests("BYE")


def test_a_new_offer_in_the_prack_is_answered_in_its_200() -> None:
    wire, bob, peer, session, early = answering_early()
    rack = f"RAck: {early.headers.get('RSeq')} 1 INVITE"
    peer.send(request("PRACK", 2, early.to.tag or "", SECOND, rack), bob)
    wire.run(0.4)
    assert bob.of(events.OfferReceived) == [events.OfferReceived(session, SECOND, "here")]  # RFC 3262 5
    bob.execute(events.AnswerOffer(session, ANSWER))
    wire.run(0.5)
    (answer,) = peer.responses("PRACK")
    assert (answer.status, answer.body) == (200, ANSWER.data)
    before = len(peer.responses("INVITE"))
    wire.run(20)
    assert len(peer.responses("INVITE")) == before, "it is acknowledged"


def request(method: str, number: int, tag: str, body: Body | None, *lines: str) -> bytes:
    head = [
        f"{method} sip:bob@10.0.0.2 SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{number}", "Max-Forwards: 70",
        "From: <sip:peer@10.0.0.9>;tag=here", "To: <sip:bob@10.0.0.2>" + (f";tag={tag}" if tag else ""), "Call-ID: one",
        f"CSeq: {number} {method}", "Contact: <sip:peer@10.0.0.9:5060>", *lines,
        *(["Content-Type: application/sdp"] if body else []),
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + (body.data if body else b"")


@pytest.mark.parametrize("lines", [("RAck: x",), (), ("RAck: 1 1",)])
def test_a_prack_that_cannot_be_read(lines: tuple[str, ...]) -> None:
    wire = Wire(2)
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")
    peer.send(request("INVITE", 1, "", OFFER, "Require: 100rel"), bob)
    wire.run(0.2)
    bob.execute(events.Progress(bob.of(events.SessionIncoming)[0].session, 180))
    wire.run(0.3)
    peer.send(request("PRACK", 2, peer.responses("INVITE")[-1].to.tag or "", None, *lines), bob)
    wire.run(0.4)
    assert peer.responses("PRACK")[-1].status == 400


def test_a_prack_for_a_call_of_ours_means_nothing() -> None:
    wire, alice, peer, invite = ringing()
    peer.answer(invite, 180, tag="t")
    peer.send(update(invite, 1, method="PRACK"), alice)
    wire.run(wire.now + 1)
    assert peer.responses("PRACK")[-1].status == 481
