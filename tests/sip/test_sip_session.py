"""Calls between two endpoints in virtual time: set-up, loss, CANCEL races, forks, redirects, offers and glare."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from offhook.errors import CommandError, InvalidState, NotFound
from offhook.sip import events
from offhook.sip.endpoint import Endpoint
from offhook.sip.message import Request
from offhook.sip.uri import Uri
from offhook.testing.endpoints import ANSWER, OFFER, Peer, add_endpoint
from offhook.testing.wire import Node, Sent, Weather, Wire

BOB = Uri.sip("bob", "10.0.0.2")
PEER = Uri.sip("peer", "10.0.0.9")


@dataclass
class Pair:
    """A caller and a callee; the call is `c` at the caller."""

    wire: Wire
    alice: Node
    bob: Node
    session: str = ""

    def ring(self) -> None:
        self.alice.execute(events.Invite("c", "alice", BOB, OFFER))
        self.wire.run_until(lambda: bool(self.bob.of(events.SessionIncoming)), 60)
        self.session = self.bob.of(events.SessionIncoming)[-1].session

    def talk(self) -> None:
        self.ring()
        self.bob.execute(events.Accept(self.session, ANSWER))
        self.wire.run_until(lambda: bool(self.alice.of(events.SessionAnswered) and self.bob.of(events.SessionConfirmed)), 60)

    def settle(self) -> None:
        """Let every transaction end, and check that nothing is left behind."""
        self.wire.run(self.wire.now + 200)
        for node in (self.alice, self.bob):
            assert set(node.core.statistics().values()) == {0}  # type: ignore[attr-defined]  # an Endpoint


def make_pair(seed: int = 0, weather: Weather | None = None) -> Pair:
    wire = Wire(seed, weather)
    alice, bob = (add_endpoint(wire, name, host, seed=str(seed)) for name, host in (("alice", "10.0.0.1"), ("bob", "10.0.0.2")))
    return Pair(wire, alice, bob)


def caller(name: str = "alice") -> tuple[Wire, Node, Peer]:
    wire = Wire()
    return wire, add_endpoint(wire, name, "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")


def statuses(node: Node) -> list[int]:
    return [event.status for event in node.of(events.SessionEnded)]


def test_a_whole_call_in_order() -> None:
    pair = make_pair()
    pair.ring()
    pair.bob.execute(events.Progress(pair.session))
    pair.wire.run(1)
    pair.bob.execute(events.Accept(pair.session, ANSWER))
    pair.wire.run(2)
    pair.alice.execute(events.End("c"))
    assert statuses(pair.alice) == [0]  # at once
    pair.settle()
    assert [type(event) for event in pair.alice.outputs] == [
        events.SessionCalling, events.SessionProgress, events.SessionAnswered, events.SessionEnded]
    assert [type(event) for event in pair.bob.outputs] == [
        events.SessionIncoming, events.SessionConfirmed, events.SessionEnded]
    assert pair.bob.outputs[-1].by == "remote"
    incoming = pair.bob.outputs[0]
    assert (incoming.identity, incoming.offer, incoming.flow.remote) == ("bob", OFFER, ("10.0.0.1", 5060))
    assert pair.alice.of(events.SessionAnswered)[0].body == ANSWER
    lines = [sent.line.split(" sip:")[0] for sent in pair.wire.sent]
    assert lines == ["INVITE", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK", "ACK", "BYE", "SIP/2.0 200 OK"]


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(12))
def test_calls_survive_loss_duplication_and_reordering(seed: int, loss: float) -> None:
    pair = make_pair(seed, Weather(loss=loss, duplicate=loss / 2, delay=0.02, jitter=0.2))
    pair.talk()
    offerer, answerer, session = (pair.alice, pair.bob, "c") if seed % 2 else (pair.bob, pair.alice, pair.session)
    other = pair.session if seed % 2 else "c"
    offerer.execute(events.Reoffer(session, OFFER))
    pair.wire.run_until(lambda: bool(answerer.of(events.OfferReceived) or offerer.of(events.OfferFailed)), 120)
    if answerer.of(events.OfferReceived):
        answerer.execute(events.AnswerOffer(other, ANSWER))
        pair.wire.run_until(lambda: bool(offerer.of(events.OfferAnswered)), 120)
    offerer.execute(events.End(session))
    pair.wire.run_until(lambda: bool(answerer.of(events.SessionEnded)), 60)
    pair.settle()
    for node in (pair.alice, pair.bob):
        assert len(node.of(events.SessionEnded)) == 1
    assert len(pair.bob.of(events.SessionIncoming)) == 1
    assert len(pair.alice.of(events.SessionAnswered)) == len(pair.bob.of(events.SessionConfirmed)) == 1


def test_refusals_and_decline() -> None:
    for command, status in ((events.Refuse("", 486), 486), (events.End(""), 603)):
        pair = make_pair()
        pair.ring()
        if isinstance(command, events.Refuse):
            pair.bob.execute(events.Refuse(pair.session, 486, "Busy", (("Reason", 'Q.850;cause=17'),)))
        else:
            pair.bob.execute(events.End(pair.session))
        pair.settle()
        assert statuses(pair.alice) == statuses(pair.bob) == [status]
        assert pair.alice.of(events.SessionEnded)[0].by == "remote"


def test_nobody_answers_and_no_address() -> None:
    wire, alice, _ = caller()
    alice.execute(events.Invite("c", "alice", Uri.sip("x", "10.9.9.9"), OFFER))
    alice.execute(events.Invite("d", "alice", Uri.sip("x", "no.such.name"), OFFER))
    wire.run(100)
    assert [(end.session, end.by, end.status) for end in alice.of(events.SessionEnded)] == [
        ("d", "network", 503), ("c", "network", 408)]


def test_cancel_while_ringing() -> None:
    pair = make_pair()
    pair.ring()
    pair.bob.execute(events.Progress(pair.session))
    pair.wire.run(1)
    pair.alice.execute(events.End("c", (("Reason", "SIP;cause=200"),)))
    assert statuses(pair.alice) == [487]
    pair.wire.run(2)
    ended = pair.bob.of(events.SessionEnded)[0]
    assert (ended.by, ended.status) == ("remote", 487)
    assert ("Reason", "SIP;cause=200") in ended.headers
    pair.settle()


def test_cancel_waits_for_a_provisional() -> None:
    wire, alice, peer = caller()
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(0.1)
    alice.execute(events.End("c"))
    wire.run(0.3)
    assert not peer.requests("CANCEL")
    invite = peer.requests("INVITE")[0]
    peer.answer(invite, 100)
    wire.run(0.4)
    cancel = peer.requests("CANCEL")[0]
    assert str(cancel.via) == str(invite.via)
    assert cancel.cseq.number == invite.cseq.number
    peer.answer(cancel, 200)
    peer.answer(invite, 487, tag="t")
    wire.run(100)
    assert peer.requests("ACK")
    assert len(alice.of(events.SessionEnded)) == 1
    assert set(alice.core.statistics().values()) == {0}  # type: ignore[attr-defined]  # an Endpoint


def test_2xx_that_crosses_cancel_is_acknowledged_and_ended() -> None:
    wire, alice, peer = caller()
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(0.1)
    invite = peer.requests("INVITE")[0]
    peer.answer(invite, 180, tag="t")
    wire.run(0.2)
    alice.execute(events.End("c"))
    peer.answer(invite, 200, tag="t", body=ANSWER)
    wire.run(0.3)
    assert [len(peer.requests(each)) for each in ("CANCEL", "ACK", "BYE")] == [1, 1, 1]
    assert not alice.of(events.SessionAnswered)
    assert len(alice.of(events.SessionEnded)) == 1


def test_end_before_the_name_is_known_sends_nothing() -> None:
    wire, alice, peer = caller()
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    alice.execute(events.End("c"))
    wire.run(50)
    assert not peer.got
    assert statuses(alice) == [487]


def test_a_challenge_that_meets_a_call_given_up_is_not_answered() -> None:
    wire = Wire()
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1", password="secret", domain="10.0.0.9"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(0.1)
    alice.execute(events.End("c"))
    peer.answer(peer.requests("INVITE")[0], 401, tag="t", headers=(("WWW-Authenticate", 'Digest realm="r", nonce="n"'),))
    wire.run(1)
    assert [each.method for each in peer.got if isinstance(each, Request)] == ["INVITE", "ACK"]
    assert statuses(alice) == [487]


def test_forks_one_wins_the_others_get_bye() -> None:
    wire, alice, peer = caller()
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(0.1)
    invite = peer.requests("INVITE")[0]
    for tag in ("one", "two"):
        peer.answer(invite, 183, tag=tag, body=ANSWER)
    peer.answer(invite, 200, tag="two", body=ANSWER)
    wire.run(0.2)
    peer.answer(invite, 200, tag="one", body=ANSWER)
    late = peer.answer(invite, 200, tag="three", body=ANSWER)
    peer.send(late)
    wire.run(0.3)
    assert [event.fork for event in alice.of(events.SessionProgress)] == ["one", "two"]
    assert [event.fork for event in alice.of(events.SessionAnswered)] == ["two"]
    assert [ack.to.tag for ack in peer.requests("ACK")] == ["two", "one", "three", "three"]
    assert sorted(str(bye.to.tag) for bye in peer.requests("BYE")) == ["one", "three"]


def test_stray_2xx_is_acknowledged_after_the_transaction_is_gone() -> None:
    wire, alice, peer = caller()
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(0.1)
    answer = peer.answer(peer.requests("INVITE")[0], 200, tag="t", body=ANSWER)
    wire.run(60)
    assert len(peer.requests("ACK")) == 1
    peer.send(answer)
    wire.run(61)
    assert len(peer.requests("ACK")) == 2


def test_copy_of_the_first_2xx_after_a_reoffer_harms_nothing() -> None:
    wire, alice, peer = caller()
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(0.1)
    first = peer.answer(peer.requests("INVITE")[0], 200, tag="t", body=ANSWER)
    wire.run(0.2)
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(0.3)
    peer.answer(peer.requests("INVITE")[1], 200, body=ANSWER)
    wire.run(0.4)
    peer.send(first)
    wire.run(0.5)
    assert [ack.cseq.number for ack in peer.requests("ACK")] == [1, 2, 1]
    assert not peer.requests("BYE")


def test_redirects_are_followed_best_first_and_without_loops() -> None:
    wire, alice, peer = caller()

    def play(request: Request) -> None:
        if request.method != "INVITE":
            return
        if request.uri.user == "peer":
            contacts = "<sip:low@10.0.0.9>;q=0.1, <sip:peer@10.0.0.9>, <sip:high@10.0.0.9>;q=0.9"
            peer.answer(request, 302, tag="t", contact=contacts)
        else:
            peer.answer(request, 486, tag="t")
    peer.on_request = play
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(10)
    assert [str(event.target) for event in alice.of(events.SessionRedirected)] == ["sip:high@10.0.0.9", "sip:low@10.0.0.9"]
    assert statuses(alice) == [486]
    alice.execute(events.Invite("d", "alice", PEER, OFFER, max_redirects=0))
    wire.run(20)
    ended = alice.of(events.SessionEnded)[1]
    assert ended.status == 302
    assert any(name == "Contact" for name, _ in ended.headers)


def test_a_proxy_that_sends_to_itself_is_used_once() -> None:
    wire, alice, peer = caller()

    def play(request: Request) -> None:
        if request.method == "INVITE":
            peer.answer(request, 305, tag="t", contact="<sip:10.0.0.9>")
    peer.on_request = play
    alice.execute(events.Invite("c", "alice", PEER, OFFER))
    wire.run(10)
    assert statuses(alice) == [305]
    invites = [each for each in peer.requests("INVITE") if each.headers.get("CSeq") == "2 INVITE"]
    assert [(str(each.uri), [str(route) for route in each.routes]) for each in invites] == [(str(PEER), ["<sip:10.0.0.9;lr>"])]
    assert max(each.cseq.number for each in peer.requests("INVITE")) == 2


def test_offerless_invite_is_answered_in_the_ack() -> None:
    pair = make_pair()
    pair.alice.execute(events.Invite("c", "alice", BOB, None))
    pair.wire.run(1)
    session = pair.bob.of(events.SessionIncoming)[0]
    assert session.offer is None
    pair.bob.execute(events.Accept(session.session, OFFER))
    pair.wire.run(2)
    assert pair.alice.of(events.OfferReceived)[0].body == OFFER
    pair.alice.execute(events.AnswerOffer("c", ANSWER))
    pair.wire.run(3)
    assert pair.bob.of(events.SessionConfirmed)[0].body == ANSWER
    pair.alice.execute(events.End("c"))
    pair.settle()


def test_no_ack_ends_with_bye() -> None:
    pair = make_pair()
    pair.ring()
    pair.wire.dropper = lambda sent: sent.data.startswith(b"ACK")
    pair.bob.execute(events.Accept(pair.session, ANSWER))
    pair.wire.run(60)
    ended = pair.bob.of(events.SessionEnded)[0]
    assert (ended.by, ended.status) == ("network", 408)
    assert pair.alice.of(events.SessionEnded)[0].by == "remote"
    copies = [round(sent.at - 0.01, 2) for sent in pair.wire.sent if sent.line == "SIP/2.0 200 OK" and b"1 INVITE" in sent.data]
    assert copies[:6] == [0, 0.5, 1.5, 3.5, 7.5, 11.5]
    pair.settle()


def test_local_end_before_the_ack_waits_with_the_bye() -> None:
    pair = make_pair()
    pair.ring()
    pair.bob.execute(events.Accept(pair.session, ANSWER))
    pair.bob.execute(events.End(pair.session))
    assert len(pair.bob.of(events.SessionEnded)) == 1
    assert not any(sent.line.startswith("BYE") for sent in pair.wire.sent)
    bob = pair.bob.core
    assert isinstance(bob, Endpoint)
    assert bob.busy, "who closes now waits for the ACK, and the BYE behind it"
    pair.settle()
    assert len(pair.alice.of(events.SessionEnded)) == 1
    assert not bob.busy


def test_offer_refused_and_offer_wanted() -> None:
    pair = make_pair()
    pair.talk()
    pair.alice.execute(events.Reoffer("c", OFFER))
    with pytest.raises(InvalidState):
        pair.alice.execute(events.Reoffer("c", OFFER))
    pair.wire.run(pair.wire.now + 1)
    pair.bob.execute(events.RefuseOffer(pair.session))
    pair.wire.run(pair.wire.now + 1)
    assert pair.alice.of(events.OfferFailed)[0].status == 488
    assert not pair.alice.of(events.SessionEnded)
    with pytest.raises(InvalidState):
        pair.bob.execute(events.AnswerOffer(pair.session, ANSWER))


def test_glare_is_resolved_by_waiting() -> None:
    pair = make_pair()
    pair.talk()
    pair.alice.execute(events.Reoffer("c", OFFER))
    pair.bob.execute(events.Reoffer(pair.session, OFFER))
    answered = 0
    for _ in range(40):
        pair.wire.run(pair.wire.now + 0.25)
        for node, session in ((pair.alice, "c"), (pair.bob, pair.session)):
            if len(node.of(events.OfferReceived)) > len([e for e in node.outputs if e == "answered"]):
                node.outputs.append("answered")
                node.execute(events.AnswerOffer(session, ANSWER))
                answered += 1
    assert answered == 2
    assert len(pair.alice.of(events.OfferAnswered)) == len(pair.bob.of(events.OfferAnswered)) == 1
    assert sum(sent.line == "SIP/2.0 491 Request Pending" for sent in pair.wire.sent) == 2
    pair.alice.execute(events.End("c"))
    pair.settle()


def test_lost_dialog_ends_the_session() -> None:
    for status in (481, 408):
        wire, alice, peer = caller()
        alice.execute(events.Invite("c", "alice", PEER, OFFER))
        wire.run(0.1)
        peer.answer(peer.requests("INVITE")[0], 200, tag="t", body=ANSWER)
        wire.run(0.2)
        alice.execute(events.SendInfo("c", "i", events.Body("application/dtmf-relay", b"Signal=1")))
        wire.run(0.3)
        peer.answer(peer.requests("INFO")[0], status)
        wire.run(0.4)
        assert alice.of(events.RequestDone)[0].status == status
        assert alice.of(events.SessionEnded)[0].by == "network"
        assert peer.requests("BYE")


def test_info_goes_through() -> None:
    pair = make_pair()
    pair.talk()
    body = events.Body("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n")
    pair.alice.execute(events.SendInfo("c", "i1", body))
    pair.wire.run(pair.wire.now + 1)
    assert pair.bob.of(events.InfoReceived)[0].body == body
    assert pair.alice.of(events.RequestDone)[0].status == 200


def test_bye_that_crosses_bye_is_answered_200() -> None:
    pair = make_pair()
    pair.talk()
    pair.alice.execute(events.End("c"))
    pair.bob.execute(events.End(pair.session))
    pair.settle()
    assert not any("481" in sent.line for sent in pair.wire.sent)


def test_provisionals_are_repeated_each_minute() -> None:
    pair = make_pair()
    pair.ring()
    pair.bob.execute(events.Progress(pair.session))
    pair.wire.run(130)
    assert len(pair.alice.of(events.SessionProgress)) == 3
    pair.bob.execute(events.Refuse(pair.session, 480))
    pair.settle()


def test_commands_that_do_not_fit_change_nothing() -> None:
    pair = make_pair()
    with pytest.raises(NotFound):
        pair.alice.execute(events.End("none"))
    with pytest.raises(NotFound):
        pair.alice.execute(events.Invite("c", "nobody", BOB, OFFER))
    pair.ring()
    wrong: list[events.SipCommand] = [
        events.Invite("c", "alice", BOB, OFFER), events.Accept("c", ANSWER), events.Progress("c"), events.Refuse("c", 486),
        events.Reoffer("c", OFFER), events.AnswerOffer("c", ANSWER), events.Refer("c", BOB), events.NotifyRefer("c", "r", 200),
        events.Invite("d", "alice", Uri("mailto", "x", ""), OFFER), events.Invite("d", "alice", BOB, OFFER, (("X", "a\r\nb"),)),
        events.Invite("d", "alice", BOB, OFFER, (("a b", "c"),)), events.End("c", (("Reason", "\ud800"),)),
    ]
    before = len(pair.wire.sent), len(pair.alice.outputs)
    for command in wrong:
        with pytest.raises(CommandError):
            pair.alice.execute(command)
    for status in (99, 100, 200, 299, 700):
        for command in (events.Refuse(pair.session, status), events.RefuseOffer(pair.session, status)):
            with pytest.raises(CommandError):
                pair.bob.execute(command)
    for status in (100, 200):
        with pytest.raises(CommandError, match="from 101 to 199"):
            pair.bob.execute(events.Progress(pair.session, status))
    assert before == (len(pair.wire.sent), len(pair.alice.outputs))


@pytest.mark.lengthy
def test_many_calls_under_loss_leave_nothing_behind() -> None:
    pair = make_pair(7, Weather(loss=0.2, duplicate=0.1, jitter=0.3))

    def answer(output: object, _now: float) -> None:
        if isinstance(output, events.SessionIncoming):
            session = output.session
            pair.wire.at(pair.wire.now + 0.5, lambda: _try(pair.bob, events.Accept(session, ANSWER)))

    pair.bob.on_output = answer
    for number in range(60):
        name = f"c{number}"
        pair.wire.at(number * 0.1, lambda name=name: pair.alice.execute(  # type: ignore[misc]  # bound to this call
            events.Invite(name, "alice", BOB, OFFER)))
        pair.wire.at(number * 0.1 + number * 0.05, lambda name=name: _try(pair.alice, events.End(name)))  # type: ignore[misc]
    pair.wire.run(300)
    assert len(pair.alice.of(events.SessionEnded)) == 60
    assert len(pair.bob.of(events.SessionIncoming)) == len(pair.bob.of(events.SessionEnded))
    pair.settle()


def _try(node: Node, command: events.SipCommand) -> None:
    try:
        node.execute(command)
    except CommandError:
        return


def test_a_later_offer_of_the_caller_stands_for_an_ack_that_was_lost() -> None:
    pair = make_pair()
    pair.ring()
    pair.wire.dropper = lambda sent: sent.data.startswith(b"ACK")
    pair.bob.execute(events.Accept(pair.session, ANSWER))
    pair.wire.run_until(lambda: bool(pair.alice.of(events.SessionAnswered)), 60)
    # No copy of the 200 asks for the ACK again: the proxy that knew the way is gone.
    pair.wire.dropper = lambda sent: sent.data.startswith((b"ACK", b"SIP/2.0 200"))
    pair.wire.run(pair.wire.now + 1)
    assert not pair.bob.of(events.SessionConfirmed)
    pair.wire.dropper = None
    pair.alice.execute(events.Reoffer("c", OFFER))
    pair.wire.run(pair.wire.now + 0.1)
    assert pair.bob.of(events.SessionConfirmed)
    assert pair.bob.of(events.OfferReceived)
    pair.bob.execute(events.AnswerOffer(pair.session, ANSWER))
    pair.wire.run(pair.wire.now + 60)
    assert pair.alice.of(events.OfferAnswered)
    assert not pair.bob.of(events.SessionEnded)


def test_dropper_sees_datagrams() -> None:
    pair = make_pair()
    seen: list[Sent] = []

    def drop(sent: Sent) -> bool:
        seen.append(sent)
        return True
    pair.wire.dropper = drop
    pair.alice.execute(events.Invite("c", "alice", BOB, OFFER))
    pair.wire.run(1)
    assert [each.line for each in seen] == ["INVITE sip:bob@10.0.0.2 SIP/2.0"] * 2
