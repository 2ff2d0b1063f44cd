"""Replaces: the header, the rules of RFC 3891 3 for who may take whose place, and what is put into Refer-To."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import InvalidArgument, InvalidState, NotFound, ParseError
from offhook.sip import events
from offhook.sip.replaces import REFUSALS, Replaces, Standing, refer_target, split_target
from offhook.sip.session import SessionState
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.endpoints import ANSWER, OFFER, Peer, add_endpoint
from offhook.testing.wire import Node, Wire

BOB = Uri.sip("bob", "10.0.0.2")

words = st.text("abcXYZ019-.!%*_+`'~@", min_size=1, max_size=20)
tags = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=20)


@given(words, tags, tags, st.booleans())
def test_what_is_printed_is_read_back_also_from_refer_to(call_id: str, to_tag: str, from_tag: str, early: bool) -> None:
    replaces = Replaces(call_id, to_tag, from_tag, early)
    assert Replaces.parse(str(replaces)) == replaces
    target = refer_target(Uri.parse("sip:carol@example.org;transport=tcp;method=BYE"), replaces)
    there = NameAddr.parse(str(NameAddr(target))).uri
    assert split_target(there) == (Uri.parse("sip:carol@example.org;transport=tcp"), replaces)


@pytest.mark.parametrize("text", [
    "", ";to-tag=1;from-tag=2", "c", "c;to-tag=1", "c;from-tag=2", "c;to-tag;from-tag=2", "c;to-tag=1;from-tag=2;to-tag=3",
    'c;to-tag="a b";from-tag=2', "c d;to-tag=1;from-tag=2",
])
def test_what_is_no_replaces(text: str) -> None:
    with pytest.raises(ParseError):
        Replaces.parse(text)


@given(st.text(max_size=60))
def test_anything_is_a_replaces_or_the_documented_error(text: str) -> None:
    with contextlib.suppress(ParseError):
        Replaces.parse(text)


def test_headers_in_refer_to_other_than_replaces_are_not_obeyed() -> None:
    uri = Uri.parse("sip:carol@example.org?Route=%3Csip:evil%3E&Subject=x")
    assert split_target(uri) == (Uri.parse("sip:carol@example.org"), None)
    with pytest.raises(ParseError):
        split_target(Uri.parse("sip:c@h?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2"))


def test_the_table_lists_every_pair() -> None:
    assert REFUSALS.keys() == {(standing, early) for standing in Standing for early in (False, True)}


# --- on the wire


def incoming(wire: Wire) -> tuple[Node, Peer, str]:
    """Bob has a call from a peer that a test plays by hand; returns the session's id too."""
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")
    peer.send(invite("one", "here"), bob)
    wire.run(1)
    return bob, peer, bob.of(events.SessionIncoming)[0].session


def invite(call_id: str, tag: str, *more: str, method: str = "INVITE") -> bytes:
    lines = [
        f"{method} sip:bob@10.0.0.2 SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{call_id}", "Max-Forwards: 70",
        f"From: <sip:peer@10.0.0.9>;tag={tag}", "To: <sip:bob@10.0.0.2>", f"Call-ID: {call_id}", f"CSeq: 1 {method}",
        "Contact: <sip:peer@10.0.0.9:5060>", *more,
    ]
    if method == "INVITE":
        lines.append("Content-Type: application/sdp")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (OFFER.data if method == "INVITE" else b"")


def ack(call_id: str, tag: str, to: str) -> bytes:
    return invite(call_id, tag, method="ACK").replace(b"To: <sip:bob@10.0.0.2>", b"To: " + to.encode())


def establish(wire: Wire, bob: Node, peer: Peer, session: str) -> str:
    """Answer the first call; returns bob's tag."""
    bob.execute(events.Accept(session, ANSWER))
    wire.run(wire.now + 1)
    answer = peer.responses()[-1]
    peer.send(ack("one", "here", str(answer.to)).replace(b"z9hG4bKone", b"z9hG4bKack"))
    wire.run(wire.now + 1)
    return answer.to.tag or ""


def ask(wire: Wire, peer: Peer, replaces: str, call_id: str = "two", *more: str) -> int:
    """Send an INVITE with Replaces; returns the final status, 0 if there is none yet."""
    peer.send(invite(call_id, "there", f"Replaces: {replaces}", *more), wire.nodes["10.0.0.2", 5060])
    wire.run(wire.now + 1)
    found = [r.status for r in peer.responses() if r.call_id == call_id and r.status >= 200]
    return found[-1] if found else 0


def test_a_confirmed_dialog_is_replaced_and_its_tags_are_matched_the_right_way_round() -> None:
    wire = Wire(0)
    bob, peer, session = incoming(wire)
    tag = establish(wire, bob, peer, session)
    for wrong in (f"one;to-tag=here;from-tag={tag}", f"one;to-tag={tag};from-tag=x", f"x;to-tag={tag};from-tag=here"):
        assert ask(wire, peer, wrong, f"w{len(wrong)}{wrong[:3]}") == 481
        assert ask(wire, peer, f"{wrong};early-only", f"e{len(wrong)}{wrong[:3]}") == 481
    assert ask(wire, peer, f"one;to-tag={tag};from-tag=here;early-only", "early") == 486
    assert ask(wire, peer, f"one;to-tag={tag};from-tag=here", "right", "Require: replaces") == 0
    assert bob.of(events.SessionIncoming)[-1].replaces == session
    assert ask(wire, peer, f"one;to-tag={tag};from-tag=here", "joined", "Join: one;to-tag=1;from-tag=2") == 400
    bob.execute(events.End(session))
    assert ask(wire, peer, f"one;to-tag={tag};from-tag=here", "late") == 603, "the BYE has no answer yet"
    assert ask(wire, peer, f"one;to-tag={tag};from-tag=here;early-only", "later") == 603


def test_an_early_dialog_that_the_far_end_began_is_not_replaced() -> None:
    wire = Wire(0)
    bob, peer, session = incoming(wire)
    bob.execute(events.Progress(session))
    wire.run(2)
    tag = peer.responses()[-1].to.tag
    assert ask(wire, peer, f"one;to-tag={tag};from-tag=here") == 481
    assert ask(wire, peer, f"one;to-tag={tag};from-tag=here;early-only", "early") == 481


def test_an_early_dialog_that_we_began_is_replaced() -> None:
    wire = Wire(0)
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")
    bob.execute(events.Invite("c", "bob", Uri.sip("peer", "10.0.0.9"), OFFER))
    wire.run(1)
    request = peer.requests("INVITE")[-1]
    peer.answer(request, 180, tag="ringing")
    wire.run(2)
    ours = request.from_.tag
    assert ask(wire, peer, f"{request.call_id};to-tag={ours};from-tag=ringing;early-only") == 0
    assert bob.of(events.SessionIncoming)[-1].replaces == "c"


@pytest.mark.parametrize("method", ["OPTIONS", "MESSAGE"])
def test_replaces_belongs_to_invite_alone(method: str) -> None:
    wire = Wire(0)
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")
    peer.send(invite("o", "here", "Replaces: a;to-tag=1;from-tag=2", method=method), bob)
    wire.run(1)
    assert peer.responses()[-1].status == 400


def test_a_refer_names_the_other_sessions_dialog() -> None:
    wire = Wire(0)
    alice, bob, peer = (add_endpoint(wire, "alice", "10.0.0.1"), add_endpoint(wire, "bob", "10.0.0.2"),
                        Peer(wire, "peer", "10.0.0.9"))
    alice.execute(events.Invite("one", "alice", BOB, OFFER))
    wire.run(1)
    bob.execute(events.Accept(bob.of(events.SessionIncoming)[0].session, ANSWER))
    alice.execute(events.Invite("two", "alice", Uri.sip("peer", "10.0.0.9"), OFFER))
    wire.run(2)
    with pytest.raises(InvalidState):
        alice.execute(events.Refer("one", None, replaces="two"))  # not answered yet
    peer.answer(peer.requests("INVITE")[-1], 200, tag="theirs", body=ANSWER)
    wire.run(4)
    for command, error in ((events.Refer("one", None, replaces="x"), NotFound),
                           (events.Refer("one", None, replaces="one"), InvalidArgument),
                           (events.Refer("one", None), InvalidArgument)):
        with pytest.raises(error):
            alice.execute(command)
    alice.execute(events.Refer("one", None, replaces="two"))
    wire.run(6)
    (asked,) = bob.of(events.ReferRequested)
    target, replaces = split_target(asked.target.uri)
    consult = peer.requests("INVITE")[0]
    assert target.host == "10.0.0.9"
    assert replaces == Replaces(consult.call_id, "theirs", consult.from_.tag or "")


def test_every_state_of_a_session_has_a_standing() -> None:
    from offhook.sip.replaces import _STANDINGS
    assert _STANDINGS.keys() == set(SessionState)
