"""Session timers: both roles, 422, refresh by UPDATE and re-INVITE, the far end that has vanished (RFC 4028)."""

from __future__ import annotations

import itertools

import pytest

from offhook.errors import InvalidArgument
from offhook.sip import events
from offhook.sip.message import Request
from offhook.sip.session_timer import CHOICES
from offhook.sip.uri import Uri
from offhook.testing.endpoints import ANSWER, OFFER, Peer, add_endpoint
from offhook.testing.wire import Node, Weather, Wire

BOB = Uri.sip("bob", "10.0.0.2")
PEER = Uri.sip("peer", "10.0.0.9")


def talking(wire: Wire, here: events.SetPolicy, there: events.SetPolicy) -> tuple[Node, Node, str]:
    """Alice has called bob; returns the session's id at bob too."""
    alice, bob = add_endpoint(wire, "alice", "10.0.0.1"), add_endpoint(wire, "bob", "10.0.0.2")
    alice.execute(here)
    bob.execute(there)
    alice.execute(events.Invite("c", "alice", BOB, OFFER))
    wire.run_until(lambda: bool(bob.of(events.SessionIncoming)), 90)
    session = bob.of(events.SessionIncoming)[0].session
    bob.execute(events.Accept(session, ANSWER))
    wire.run_until(lambda: bool(alice.of(events.SessionAnswered) and bob.of(events.SessionConfirmed)), 90)
    return alice, bob, session


def count(wire: Wire, method: str) -> int:
    return sum(sent.line.startswith(method + " ") for sent in wire.sent)


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
def test_a_call_is_refreshed_as_long_as_both_live(loss: float) -> None:
    wire = Wire(3, Weather(loss=loss))
    alice, bob, _ = talking(wire, events.SetPolicy(600), events.SetPolicy(1800))
    wire.run(wire.now + 3 * 3600)
    assert not alice.of(events.SessionEnded) + bob.of(events.SessionEnded)
    assert count(wire, "UPDATE") >= 30  # every five minutes
    alice.execute(events.End("c"))
    wire.run(wire.now + 200)
    assert not any(alice.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint
    assert not any(bob.core.statistics().values())  # type: ignore[attr-defined]


@pytest.mark.parametrize("gone", ["alice", "bob"])
def test_a_call_ends_when_the_far_end_has_vanished(gone: str) -> None:
    wire = Wire(3)
    alice, bob, _ = talking(wire, events.SetPolicy(600), events.SetPolicy(1800))
    wire.run(wire.now + 1000)
    lost, left = (alice, bob) if gone == "alice" else (bob, alice)
    wire.dropper = lambda sent: lost.address in (sent.source, sent.destination)
    began = wire.now
    wire.run_until(lambda: bool(left.of(events.SessionEnded)), 700)
    ended = left.of(events.SessionEnded)[0]
    assert (ended.by, ended.status) == ("network", 408)
    assert wire.now - began < 600
    byes = [sent for sent in wire.sent if sent.line.startswith("BYE ") and sent.source == left.address]
    assert byes
    assert gone == "bob" or b"Session timer expired" in byes[0].data


def test_too_short_is_refused_and_said_again_longer() -> None:
    wire = Wire(1)
    alice, bob, _ = talking(wire, events.SetPolicy(120), events.SetPolicy(1800, 300))
    refusals = [sent for sent in wire.sent if sent.line.startswith("SIP/2.0 422")]
    assert len(refusals) == 1
    assert b"Min-SE: 300" in refusals[0].data
    invites = [sent.data for sent in wire.sent if sent.line.startswith("INVITE ")]
    assert b"Session-Expires: 120\r\n" in invites[0]
    assert b"Session-Expires: 300\r\n" in invites[1]
    assert b"Min-SE: 300\r\n" in invites[1]
    assert len(alice.of(events.SessionCalling)) == 1
    wire.run(wire.now + 1000)
    assert not alice.of(events.SessionEnded) + bob.of(events.SessionEnded)


@pytest.mark.parametrize(("here", "there"), [(0, 1800), (1800, 0)])
def test_who_wants_none_gets_none(here: int, there: int) -> None:
    wire = Wire(1)
    alice, bob, _ = talking(wire, events.SetPolicy(here), events.SetPolicy(there))
    wire.run(wire.now + 20000)
    assert not count(wire, "UPDATE")
    assert not alice.of(events.SessionEnded) + bob.of(events.SessionEnded)


def test_a_policy_that_cannot_be_kept_is_refused() -> None:
    node = add_endpoint(Wire(), "alice", "10.0.0.1")
    for policy in (events.SetPolicy(80), events.SetPolicy(100, 200), events.SetPolicy(1800, 30)):
        with pytest.raises(InvalidArgument):
            node.execute(policy)


# --- against a far end that a test plays by hand


def called(headers: tuple[tuple[str, str], ...]) -> tuple[Wire, Node, Peer, Request]:
    """Alice has called the peer, which answered with these headers; returns its view of the INVITE."""
    wire = Wire(5)
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(0.2)
    (request,) = peer.requests("INVITE")
    peer.answer(request, 200, tag="t", body=ANSWER, headers=headers)
    wire.run(wire.now + 1)
    return wire, alice, peer, request


def test_the_caller_refreshes_with_a_new_offer_where_there_is_no_update() -> None:
    wire, alice, peer, _ = called((("Session-Expires", "200;refresher=uac"),))
    wire.run_until(lambda: bool(alice.of(events.RefreshWanted)), 110)
    alice.execute(events.Reoffer("c", OFFER, refresh=True))
    wire.run(wire.now + 1)
    again = peer.requests("INVITE")[-1]
    assert again.headers.get("Session-Expires") == "200;refresher=uac"
    assert "timer" in (again.headers.get("Supported") or "")
    peer.answer(again, 500)
    wire.run(wire.now + 15)
    assert not alice.of(events.OfferFailed), "the person who phones did not ask for anything"
    assert len(alice.of(events.RefreshWanted)) == 2, "there is time to try again"
    wire.run(wire.now + 200)
    assert alice.of(events.SessionEnded)[0].status == 408


@pytest.mark.parametrize(("status", "headers", "then"), [
    (422, (("Min-SE", "400"),), "longer"), (405, (), "offer"), (501, (), "offer"), (481, (), "over"), (500, (), "again"),
])
def test_what_a_refused_update_means(status: int, headers: tuple[tuple[str, str], ...], then: str) -> None:
    wire, alice, peer, _ = called((("Session-Expires", "200;refresher=uac"), ("Allow", "INVITE, UPDATE")))
    wire.run_until(lambda: bool(peer.requests("UPDATE")), 110)
    peer.answer(peer.requests("UPDATE")[0], status, headers=headers)
    wire.run(wire.now + 0.1)
    assert [event.status for event in alice.of(events.SessionEnded)] == ([481] if then == "over" else [])
    longer = peer.requests("UPDATE")[1:]
    assert [each.headers.get("Session-Expires") for each in longer] == ["400;refresher=uac"] * (then == "longer")
    assert [each.headers.get("Min-SE") for each in longer] == ["400"] * (then == "longer")
    for update in longer:
        peer.answer(update, 200, headers=(("Session-Expires", "400;refresher=uac"),))
    wire.run(wire.now + 15)
    assert bool(alice.of(events.RefreshWanted)) == (then == "offer"), "RFC 4028 7.4: by a re-INVITE, where UPDATE is not known"
    assert len({each.via.branch for each in peer.requests("UPDATE")}) == (2 if then in ("longer", "again") else 1)


def test_a_new_offer_that_asks_for_too_little_is_made_again_with_more() -> None:
    wire, alice, peer, _ = called((("Session-Expires", "1800;refresher=uac"),))
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(wire.now + 0.1)
    peer.answer(peer.requests("INVITE")[-1], 422, headers=(("Min-SE", "4000"),))
    wire.run(wire.now + 0.1)
    again = peer.requests("INVITE")[-1]
    assert (again.headers.get("Session-Expires"), again.headers.get("Min-SE")) == ("4000;refresher=uac", "4000")
    peer.answer(again, 200, body=ANSWER, headers=(("Session-Expires", "4000;refresher=uac"),))
    wire.run(wire.now + 0.1)
    assert alice.of(events.OfferAnswered)
    assert not alice.of(events.OfferFailed)


def test_an_offer_under_way_is_a_sign_of_life_too() -> None:
    wire, alice, peer, _ = called((("Session-Expires", "90;refresher=uac"), ("Allow", "INVITE, UPDATE")))
    wire.run(44)
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(50)
    assert not peer.requests("UPDATE")
    peer.answer(peer.requests("INVITE")[-1], 200, body=ANSWER, headers=(("Session-Expires", "90;refresher=uac"),))
    wire.run(90)
    assert not peer.requests("UPDATE")
    wire.run(96)
    assert peer.requests("UPDATE")


@pytest.mark.parametrize("said", [(("Session-Expires", "soon"),), (("Session-Expires", ""),), ()])
def test_an_answer_that_names_no_time_means_no_timer(said: tuple[tuple[str, str], ...]) -> None:
    wire, alice, peer, _ = called((*said, ("Allow", "INVITE, UPDATE")))
    wire.run(wire.now + 7200)
    assert not peer.requests("UPDATE")
    assert not alice.of(events.SessionEnded)


def test_an_answer_to_a_new_offer_that_names_no_time_ends_the_timer() -> None:
    wire, alice, peer, _ = called((("Session-Expires", "90;refresher=uac"), ("Allow", "INVITE, UPDATE")))
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(wire.now + 1)
    peer.answer(peer.requests("INVITE")[-1], 200, body=ANSWER)  # RFC 4028 7.2
    wire.run(wire.now + 600)
    assert not peer.requests("UPDATE")
    assert not alice.of(events.SessionEnded)


def test_who_answers_a_refresh_may_have_moved() -> None:
    wire, alice, peer, _ = called((("Session-Expires", "90;refresher=uac"), ("Allow", "INVITE, UPDATE")))
    wire.run(50)
    peer.answer(peer.requests("UPDATE")[0], 200, contact="<sip:moved@10.0.0.9:5060>",
                headers=(("Session-Expires", "90;refresher=uac"),))
    wire.run(51)
    alice.execute(events.End("c"))
    wire.run(52)
    assert str(peer.requests("BYE")[0].uri) == "sip:moved@10.0.0.9:5060"


def test_who_does_not_know_session_timers_is_given_none() -> None:
    wire, alice, peer, request = called((("Session-Expires", "200;refresher=uac"), ("Allow", "INVITE, UPDATE")))
    peer.send(in_dialog(request, "UPDATE", 1, "Allow: INVITE, UPDATE"), alice)
    wire.run(wire.now + 1)
    assert "Session-Expires" not in peer.responses("UPDATE")[-1].headers
    wire.run(wire.now + 600)
    assert not peer.requests("UPDATE")
    assert not alice.of(events.SessionEnded)


@pytest.mark.parametrize(("refresher", "ours"), [("uac", "uas"), ("uas", "uac")])
def test_a_hold_that_says_nothing_of_the_timer_does_not_end_it(refresher: str, ours: str) -> None:
    wire, alice, peer, request = called((("Session-Expires", f"200;refresher={refresher}"), ("Allow", "INVITE, UPDATE")))
    peer.send(in_dialog(request, "UPDATE", 1, "Supported: timer", "Allow: INVITE, UPDATE"), alice)
    wire.run(wire.now + 1)
    # RFC 4028 9; who refreshed goes on doing it: in this answer that is the other word
    assert peer.responses("UPDATE")[-1].headers.get("Session-Expires") == f"200;refresher={ours}"
    wire.run(wire.now + 120)
    assert bool(peer.requests("UPDATE")) == (refresher == "uac")


def test_the_caller_waits_for_the_refreshes_of_the_far_end() -> None:
    wire, alice, peer, request = called((("Session-Expires", "120;refresher=uas"), ("Allow", "INVITE, UPDATE")))
    for number in range(1, 6):
        wire.run(wire.now + 60)
        update = in_dialog(request, "UPDATE", number, "Session-Expires: 120;refresher=uac", "Supported: timer")
        peer.send(update, alice)
        wire.run(wire.now + 1)
        answer = peer.responses("UPDATE")[-1]
        assert (answer.status, answer.headers.get("Session-Expires")) == (200, "120;refresher=uac")
        assert answer.headers.get("Require") == "timer"
    assert not alice.of(events.SessionEnded)
    wire.run(wire.now + 100)
    assert alice.of(events.SessionEnded)[0].reason == "Session expired"
    assert b"Session timer expired" in peer.requests("BYE")[0].encode()


def in_dialog(invite: Request, method: str, number: int, *lines: str) -> bytes:
    """Return a request of the far end inside the dialog of this INVITE of ours."""
    contact = invite.contacts[0].uri
    head = [
        f"{method} {contact} SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{method}{number}", "Max-Forwards: 70",
        f"From: {invite.to};tag=t", f"To: {invite.from_}", f"Call-ID: {invite.call_id}", f"CSeq: {number} {method}",
        "Contact: <sip:peer@10.0.0.9:5060>", *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def test_an_update_that_asks_for_too_little_gets_422() -> None:
    wire, alice, peer, request = called((("Session-Expires", "120;refresher=uas"),))
    peer.send(in_dialog(request, "UPDATE", 1, "Session-Expires: 20", "Supported: timer"), alice)
    wire.run(wire.now + 1)
    answer = peer.responses("UPDATE")[-1]
    assert (answer.status, answer.headers.get("Min-SE")) == (422, "90")


def test_the_time_of_a_session_does_not_run_while_it_rings() -> None:
    wire = Wire(5)
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(0.1)
    invite = peer.requests("INVITE")[0]
    peer.answer(invite, 180, tag="t")
    peer.send(in_dialog(invite, "UPDATE", 1, "Session-Expires: 90;refresher=uac", "Supported: timer"), alice)
    wire.run(0.3)
    assert "Session-Expires" not in peer.responses("UPDATE")[-1].headers
    wire.run(300)
    assert not alice.of(events.SessionEnded)
    peer.answer(invite, 200, tag="t", body=ANSWER, headers=(("Session-Expires", "90;refresher=uas"),))
    wire.run(301)
    wire.run_until(lambda: bool(alice.of(events.SessionEnded)), 90)


def test_a_422_without_min_se_ends_the_call() -> None:
    for headers in ((), (("Min-SE", "10"),), (("Min-SE", "x"),)):
        wire = Wire(5)
        alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
        alice.execute(events.Invite("c", "alice", PEER, OFFER))
        wire.run(1)
        peer.answer(peer.requests("INVITE")[0], 422, tag="t", headers=headers)
        wire.run(2)
        assert alice.of(events.SessionEnded)[0].status == 422


def test_a_far_end_that_always_wants_more_is_given_up() -> None:
    wire = Wire(5)
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    wanted = itertools.count(2000, 1000)

    def refuse(request: Request) -> None:
        if request.method == "INVITE":
            peer.answer(request, 422, tag="t", headers=(("Min-SE", str(next(wanted))),))
    peer.on_request = refuse
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(30)
    assert alice.of(events.SessionEnded)[0].status == 422
    assert len(peer.requests("INVITE")) == 4


@pytest.mark.parametrize("supported", [False, True])
@pytest.mark.parametrize("named", ["", "uac", "uas"])
def test_the_answerer_chooses_as_the_table_says(supported: bool, named: str) -> None:
    wire = Wire(1)
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")
    lines = ["Session-Expires: 300" + (f";refresher={named}" if named else "")] + ["Supported: timer"] * supported
    peer.send(("\r\n".join([
        "INVITE sip:bob@10.0.0.2 SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKa", "Max-Forwards: 70",
        "From: <sip:peer@10.0.0.9>;tag=here", "To: <sip:bob@10.0.0.2>", "Call-ID: one", "CSeq: 1 INVITE",
        "Contact: <sip:peer@10.0.0.9:5060>", "Content-Type: application/sdp", *lines,
    ]) + "\r\n\r\n").encode() + OFFER.data, bob)
    wire.run(1)
    bob.execute(events.Accept(bob.of(events.SessionIncoming)[0].session, ANSWER))
    wire.run(2)
    answer = peer.responses("INVITE")[-1]
    chosen = CHOICES[supported, named]
    assert answer.headers.get("Session-Expires") == f"300;refresher={chosen}"
    assert (answer.headers.get("Require") == "timer") == (chosen == "uac")
