"""Offers of ours before the answer, by UPDATE (RFC 3311): when they may be made, what they meet, and what the answer does."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidState
from offhook.sip import events
from offhook.sip.events import Body
from offhook.sip.message import Request
from offhook.sip.offers import GLARE_LIMIT
from offhook.sip.uri import Uri
from offhook.testing.endpoints import ANSWER, OFFER, Peer, add_endpoint
from offhook.testing.wire import Node, Weather, Wire

PEER = Uri.sip("peer", "10.0.0.9")
BOB = Uri.sip("bob", "10.0.0.2")
HOLD = Body("application/sdp", b"v=0\r\no=hold\r\n")
HELD = Body("application/sdp", b"v=0\r\no=held\r\n")
WITH_UPDATE = (("Allow", "INVITE, ACK, BYE, CANCEL, PRACK, UPDATE"),)
RELIABLE = (("Require", "100rel"), ("RSeq", "1"))


def early(*, allow: tuple[tuple[str, str], ...] = WITH_UPDATE) -> tuple[Wire, Node, Peer, Request]:
    """Return a call with early media that is acknowledged."""
    wire = Wire()
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(0.1)
    invite = peer.requests("INVITE")[0]
    peer.answer(invite, 183, tag="t", body=ANSWER, headers=(*RELIABLE, *allow))
    wire.run(0.2)
    peer.answer(peer.requests("PRACK")[0], 200)
    wire.run(0.3)
    return wire, alice, peer, invite


def test_a_call_is_held_before_it_is_answered() -> None:
    wire, alice, peer, invite = early()
    alice.execute(events.Reoffer("c", HOLD))
    wire.run(0.4)
    (update,) = peer.requests("UPDATE")
    assert update.body == HOLD.data
    assert update.to.tag == "t"
    assert update.cseq.number > invite.cseq.number
    assert update.contacts
    assert "Session-Expires" not in update.headers
    with pytest.raises(InvalidState, match="still open"):
        alice.execute(events.Reoffer("c", OFFER))
    peer.answer(update, 200, body=HELD, contact="<sip:moved@10.0.0.9:5060>")
    wire.run(0.5)
    assert [(each.session, each.body, bool(each.fork)) for each in alice.of(events.OfferAnswered)] == [("c", HELD, True)]
    peer.answer(invite, 200, tag="t", body=ANSWER)  # repeats what was said first, and counts no more
    wire.run(0.6)
    assert alice.of(events.SessionAnswered)[0].body is None
    assert len(peer.requests("ACK")) == 1
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(0.7)
    assert len(peer.requests("INVITE")) == 2  # after the answer it is a re-INVITE


@pytest.mark.parametrize("allow", [(), (("Allow", "INVITE, ACK, BYE, CANCEL, PRACK"),)])
def test_only_who_allows_update_gets_one(allow: tuple[tuple[str, str], ...]) -> None:
    _, alice, peer, _ = early(allow=allow)
    with pytest.raises(InvalidState, match="a far end with UPDATE"):
        alice.execute(events.Reoffer("c", HOLD))
    assert not peer.requests("UPDATE")


def test_not_before_the_first_offer_is_answered_for_certain() -> None:
    wire = Wire()
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(0.1)
    peer.answer(peer.requests("INVITE")[0], 183, tag="t", body=ANSWER, headers=WITH_UPDATE)
    wire.run(0.2)
    with pytest.raises(InvalidState, match="acknowledged"):
        alice.execute(events.Reoffer("c", HOLD))


@pytest.mark.parametrize("tag", ["t", "u"])  # some have the same one for whoever comes again
@pytest.mark.parametrize("changed", [False, True])
def test_what_an_earlier_target_agreed_to_is_forgotten(tag: str, changed: bool) -> None:
    wire, alice, peer, invite = early()
    if changed:
        alice.execute(events.Reoffer("c", HOLD))
        wire.run(0.4)
        peer.answer(peer.requests("UPDATE")[0], 200, body=HELD)
        wire.run(0.45)
    peer.answer(invite, 302, tag="t", contact="<sip:other@10.0.0.9:5060>")
    wire.run(0.5)
    with pytest.raises(InvalidState):
        alice.execute(events.Reoffer("c", HOLD))
    second = peer.requests("INVITE")[-1]
    peer.answer(second, 200, tag=tag, body=ANSWER)
    wire.run(0.6)
    assert alice.of(events.SessionAnswered)[0].body == ANSWER


@pytest.mark.parametrize(("status", "headers", "low", "high"), [
    (491, (), 2.1, 4.0), (500, (("Retry-After", "3"),), 3.0, 3.0),
])
def test_who_is_busy_with_another_offer_is_asked_again(
    status: int, headers: tuple[tuple[str, str], ...], low: float, high: float
) -> None:
    wire, alice, peer, _ = early()
    alice.execute(events.Reoffer("c", HOLD))
    wire.run(0.4)
    peer.answer(peer.requests("UPDATE")[0], status, headers=headers)
    at = wire.now
    wire.run_until(lambda: len(peer.requests("UPDATE")) == 2, 10)
    assert low <= wire.now - at <= high + 0.1
    peer.answer(peer.requests("UPDATE")[1], 200, body=HELD)
    wire.run(wire.now + 0.1)
    assert [event.body for event in alice.of(events.OfferAnswered)] == [HELD]
    assert not alice.of(events.OfferFailed)


def test_who_is_always_busy_is_given_up() -> None:
    wire, alice, peer, _ = early()

    def busy(request: Request) -> None:
        if request.method == "UPDATE":
            peer.answer(request, 491)
    peer.on_request = busy
    for times in (1, 2):  # another offer is another matter
        alice.execute(events.Reoffer("c", HOLD))
        wire.run(60 * times)
        assert len(peer.requests("UPDATE")) == times * (GLARE_LIMIT + 1)
        assert [event.status for event in alice.of(events.OfferFailed)] == [491] * times


@pytest.mark.parametrize(("status", "headers"), [
    (481, ()), (488, ()), (500, ()), (500, (("Retry-After", "3600"),)), (501, ()), (500, (("Retry-After", "soon"),)),
])
def test_a_refused_offer_leaves_the_call_ringing(status: int, headers: tuple[tuple[str, str], ...]) -> None:
    wire, alice, peer, invite = early()
    alice.execute(events.Reoffer("c", HOLD))
    wire.run(0.4)
    peer.answer(peer.requests("UPDATE")[0], status, headers=headers)
    wire.run(30)
    assert [event.status for event in alice.of(events.OfferFailed)] == [status]
    assert not alice.of(events.SessionEnded)
    peer.answer(invite, 200, tag="t", body=ANSWER)
    wire.run(31)
    assert alice.of(events.SessionAnswered)[0].body == ANSWER


def test_an_answer_that_overtakes_the_update() -> None:
    wire, alice, peer, invite = early()
    alice.execute(events.Reoffer("c", HOLD))
    wire.run(0.4)
    peer.answer(invite, 200, tag="t")
    wire.run(0.5)
    assert alice.of(events.SessionAnswered)
    peer.answer(peer.requests("UPDATE")[0], 491)
    wire.run_until(lambda: len(peer.requests("INVITE")) == 2, 10)  # by now it is a re-INVITE
    assert peer.requests("INVITE")[1].body == HOLD.data


def test_an_end_while_the_update_is_open_leaves_nothing_behind() -> None:
    wire, alice, peer, invite = early()
    alice.execute(events.Reoffer("c", HOLD))
    wire.run(0.4)
    alice.execute(events.End("c"))
    wire.run(0.5)
    peer.answer(peer.requests("CANCEL")[0], 200)
    peer.answer(invite, 487, tag="t")
    peer.answer(peer.requests("UPDATE")[0], 481)
    wire.run(200)
    assert not alice.of(events.OfferFailed)
    assert not any(alice.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


def callee(seed: int = 0, loss: float = 0.0) -> tuple[Wire, Node, Node, str]:
    """Return two endpoints in a call with early media, and the session's id at the callee."""
    wire = Wire(seed, Weather(loss=loss, duplicate=loss / 2, jitter=0.05 if loss else 0.0))
    alice, bob = add_endpoint(wire, "alice", "10.0.0.1"), add_endpoint(wire, "bob", "10.0.0.2")
    alice.execute(events.Invite("c", "alice", BOB, OFFER))
    wire.run_until(lambda: bool(bob.of(events.SessionIncoming)), 60)
    session = bob.of(events.SessionIncoming)[0].session
    bob.execute(events.Progress(session, 183, ANSWER))
    wire.run_until(lambda: bool(alice.of(events.SessionProgress)), 60)
    wire.run(wire.now + 10)
    return wire, alice, bob, session


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_the_callee_may_offer_too_and_its_answer_waits(seed: int, loss: float) -> None:
    wire, alice, bob, session = callee(seed, loss)
    bob.execute(events.Reoffer(session, HOLD))
    bob.execute(events.Accept(session, ANSWER))
    wire.run_until(lambda: bool(alice.of(events.OfferReceived)), 60)
    assert not alice.of(events.SessionAnswered), "the 200 waits for the answer to the UPDATE"
    alice.execute(events.AnswerOffer("c", HELD))
    wire.run_until(lambda: bool(alice.of(events.SessionAnswered) and bob.of(events.SessionConfirmed)), 60)
    assert [event.body for event in bob.of(events.OfferAnswered)] == [HELD]
    alice.execute(events.End("c"))
    wire.run(wire.now + 200)
    for node in (alice, bob):
        assert not any(node.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


def test_both_at_once_before_the_answer() -> None:
    wire, alice, bob, session = callee()
    alice.execute(events.Reoffer("c", HOLD))
    bob.execute(events.Reoffer(session, HOLD))
    bob.execute(events.Accept(session, ANSWER))

    def answer(node: Node, name: str) -> None:
        done = 0

        def look(output: object, _now: float) -> None:
            nonlocal done
            if isinstance(output, events.OfferReceived) and not done:
                done += 1
                wire.at(wire.now, lambda: node.execute(events.AnswerOffer(name, HELD)))
        node.on_output = look
    answer(alice, "c")
    answer(bob, session)
    wire.run_until(lambda: bool(alice.of(events.OfferAnswered) and bob.of(events.OfferAnswered)), 60)
    assert bob.of(events.SessionConfirmed)
    assert not alice.of(events.OfferFailed) + bob.of(events.OfferFailed)


@pytest.mark.parametrize("offer", [OFFER, None])
def test_another_fork_answers_than_the_one_that_was_asked(offer: Body | None) -> None:
    wire = Wire()
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Invite("c", "alice", PEER, offer))
    wire.run(0.1)
    invite = peer.requests("INVITE")[0]
    peer.answer(invite, 183, tag="t", body=ANSWER, headers=(*RELIABLE, *WITH_UPDATE))
    wire.run(0.2)
    if offer is None:
        alice.execute(events.AnswerOffer("c", OFFER))
        wire.run(0.25)
    peer.answer(peer.requests("PRACK")[0], 200)
    wire.run(0.3)
    alice.execute(events.Reoffer("c", HOLD))
    wire.run(0.4)
    peer.answer(peer.requests("UPDATE")[0], 200, body=HELD)
    wire.run(0.5)
    peer.answer(invite, 200, tag="other", body=ANSWER)
    wire.run(0.6)
    answered = alice.of(events.SessionAnswered)[0]
    if offer is None:
        assert answered.body is None
        assert alice.of(events.OfferReceived)[-1].body == ANSWER, "this fork's description is an offer"
    else:
        assert answered.body == ANSWER
