"""Requests on their way out: silent addresses, those that answer late, and where the next one is found."""

from __future__ import annotations

import pytest

from offhook.sip import auth, events
from offhook.sip.events import Body
from offhook.sip.outgoing import FAILOVER_AFTER, INVITE_FAILOVER_AFTER, Outgoing
from offhook.sip.uri import Uri
from offhook.testing.endpoints import ANSWER, OFFER, Peer, add_endpoint
from offhook.testing.wire import Node, Wire

TARGET = Uri.sip("peer", "pbx.example")
ADDRESSES = ("10.0.0.7", "10.0.0.8", "10.0.0.9")


def stage(count: int = 2) -> tuple[Wire, Node, list[Peer]]:
    """Return a caller and peers that are all called pbx.example, in this order; the first hears everything and says nothing."""
    wire = Wire()
    return wire, add_endpoint(wire, "alice", "10.0.0.1"), [Peer(wire, "pbx.example", host) for host in ADDRESSES[:count]]


def dial(wire: Wire, alice: Node) -> None:
    alice.execute(events.Invite("c", "alice", TARGET, OFFER))
    wire.run(wire.now + INVITE_FAILOVER_AFTER + 0.1)


def settled(wire: Wire, alice: Node) -> bool:
    wire.run(wire.now + 200)
    return set(alice.core.statistics().values()) == {0}  # type: ignore[attr-defined]  # an Endpoint


def methods(peer: Peer) -> list[str]:
    return [each.method for each in peer.got if not hasattr(each, "status")]


def test_a_call_goes_on_to_the_next_address_after_a_few_seconds_of_silence() -> None:
    wire, alice, (dead, alive) = stage()
    dial(wire, alice)
    first, second = dead.requests("INVITE"), alive.requests("INVITE")
    assert len(first) == 4
    assert len(second) == 1
    assert second[0].cseq == first[0].cseq  # whoever gets both sees that they are one call (RFC 3261 8.2.2.2)
    assert second[0].call_id == first[0].call_id
    assert second[0].via.branch != first[0].via.branch
    alive.answer(second[0], 200, tag="b", body=ANSWER)
    wire.run(40)
    assert alice.of(events.SessionAnswered)[0].fork == "b"
    assert len(dead.requests("INVITE")) == 4  # no more copies after that
    assert not dead.requests("CANCEL")  # RFC 3261 9.1: it never said anything
    alice.execute(events.End("c"))
    wire.run(41)
    alive.answer(alive.requests("BYE")[0], 200)
    assert settled(wire, alice)


@pytest.mark.plain
def test_a_twin_stands_where_its_request_stands() -> None:
    request = object.__new__(Outgoing)
    for name in Outgoing.__slots__:
        setattr(request, name, name)
    twin = request._twin()
    differ = {name for name in Outgoing.__slots__ if getattr(twin, name) != name}
    assert differ == {"late", "over"}  # and nothing that was forgotten when an attribute was added
    assert twin.late
    assert twin.over


def test_who_was_silent_lately_is_asked_last() -> None:
    wire, alice, (dead, alive) = stage()
    dial(wire, alice)
    alive.answer(alive.requests("INVITE")[0], 486, tag="b")
    wire.run(10)
    alice.execute(events.Invite("d", "alice", TARGET, OFFER))
    wire.run(10.1)
    assert alive.requests("INVITE")[-1].call_id != alive.requests("INVITE")[0].call_id
    assert len(dead.requests("INVITE")) == 4


def test_three_silent_addresses_end_in_a_time_out() -> None:
    wire, alice, peers = stage(3)
    dial(wire, alice)
    wire.run(60)
    assert [len(peer.requests("INVITE")) for peer in peers] == [4, 4, 7]
    ended = alice.of(events.SessionEnded)[0]
    assert (ended.by, ended.status) == ("network", 408)
    assert ended.reason == "Request Timeout"
    assert settled(wire, alice)


def test_an_address_that_answers_late_is_cancelled_when_another_rings() -> None:
    wire, alice, (slow, quick) = stage()
    dial(wire, alice)
    quick.answer(quick.requests("INVITE")[0], 180, tag="b")
    wire.run(5)
    invite = slow.requests("INVITE")[0]
    slow.answer(invite, 180, tag="a")
    slow.answer(invite, 180, tag="a")
    wire.run(5.1)
    (cancel,) = slow.requests("CANCEL")
    assert cancel.via.branch == invite.via.branch
    assert [event.fork for event in alice.of(events.SessionProgress)] == ["b"]
    slow.answer(cancel, 200)
    slow.answer(invite, 487, tag="a")
    quick.answer(quick.requests("INVITE")[0], 200, tag="b", body=ANSWER)
    wire.run(6)
    assert methods(slow) == ["INVITE"] * 4 + ["CANCEL", "ACK"]
    assert alice.of(events.SessionAnswered)[0].fork == "b"
    assert not alice.of(events.SessionEnded)


def test_a_late_answer_is_acknowledged_and_ended() -> None:
    wire, alice, (slow, quick) = stage()
    dial(wire, alice)
    quick.answer(quick.requests("INVITE")[0], 180, tag="b")
    wire.run(5)
    answer = slow.answer(slow.requests("INVITE")[0], 200, tag="a", body=ANSWER)
    wire.run(5.1)
    assert methods(slow) == ["INVITE"] * 4 + ["ACK", "BYE"]
    assert {each.to.tag for each in slow.requests("ACK") + slow.requests("BYE")} == {"a"}
    slow.answer(slow.requests("BYE")[0], 200)
    slow.send(answer)  # its ACK may have been lost
    wire.run(5.2)
    assert len(slow.requests("ACK")) == 2
    quick.answer(quick.requests("INVITE")[0], 200, tag="b", body=ANSWER)
    wire.run(6)
    assert [event.fork for event in alice.of(events.SessionAnswered)] == ["b"]
    alice.execute(events.End("c"))
    wire.run(6.1)
    quick.answer(quick.requests("BYE")[0], 200)
    assert settled(wire, alice)


@pytest.mark.parametrize("status", [180, 200])
def test_who_answers_first_has_the_call_even_if_it_was_given_up(status: int) -> None:
    wire, alice, (slow, silent) = stage()
    dial(wire, alice)
    slow.answer(slow.requests("INVITE")[0], status, tag="a", body=ANSWER)
    wire.run(5)
    if status == 180:
        assert [event.fork for event in alice.of(events.SessionProgress)] == ["a"]
        slow.answer(slow.requests("INVITE")[0], 200, tag="a", body=ANSWER)
        wire.run(5.5)
    assert [event.fork for event in alice.of(events.SessionAnswered)] == ["a"]
    assert methods(slow) == ["INVITE"] * 4 + ["ACK"]
    copies = len(silent.requests("INVITE"))
    invite = silent.requests("INVITE")[0]
    silent.answer(invite, 100)
    wire.run(wire.now + 0.3)
    assert methods(silent) == ["INVITE"] * copies + ["CANCEL"]
    silent.answer(silent.requests("CANCEL")[0], 200)
    silent.answer(invite, 482, tag="x")  # it is the same phone, say
    wire.run(40)
    assert not alice.of(events.SessionEnded)


def test_hanging_up_cancels_wherever_it_begins_to_ring() -> None:
    wire, alice, (slow, other) = stage()
    dial(wire, alice)
    alice.execute(events.End("c"))
    wire.run(5)
    for peer in (slow, other):
        assert not peer.requests("CANCEL")
        peer.answer(peer.requests("INVITE")[0], 180, tag="t")
    wire.run(5.1)
    for peer in (slow, other):
        assert len(peer.requests("CANCEL")) == 1
        peer.answer(peer.requests("CANCEL")[0], 200)
        peer.answer(peer.requests("INVITE")[0], 487, tag="t")
    assert settled(wire, alice)
    assert len(alice.of(events.SessionEnded)) == 1


def test_a_refusal_of_the_silent_address_changes_nothing_for_who_rings() -> None:
    wire, alice, (slow, quick) = stage()
    dial(wire, alice)
    quick.answer(quick.requests("INVITE")[0], 180, tag="b")
    wire.run(5)
    slow.answer(slow.requests("INVITE")[0], 486, tag="a")
    wire.run(5.1)
    assert methods(slow)[-1] == "ACK"
    assert not alice.of(events.SessionEnded)


def register(wire: Wire, alice: Node, peer: Peer) -> None:
    alice.execute(events.Register("alice"))
    wire.run(0.1)
    register = peer.requests("REGISTER")[0]
    peer.answer(register, 200, tag="r", headers=(("Contact", f"{register.contacts[0]};expires=300"),))
    wire.run(0.2)
    peer.got.clear()


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_a_registered_flow_that_falls_silent_has_the_name_asked_for_others(method: str) -> None:
    wire = Wire()
    first, second = (Peer(wire, "pbx.example", host) for host in ADDRESSES[:2])
    alice = add_endpoint(wire, "alice", "10.0.0.1", domain="pbx.example")
    register(wire, alice, first)
    patience = INVITE_FAILOVER_AFTER if method == "INVITE" else FAILOVER_AFTER
    if method == "INVITE":
        alice.execute(events.Invite("c", "alice", TARGET, OFFER))
    else:
        alice.execute(events.SendRequest("o", "alice", "OPTIONS", TARGET))
    wire.run(0.2 + patience - 0.1)
    assert not second.got
    wire.run(0.2 + patience + 0.1)
    assert len(second.requests(method)) == 1
    second.answer(second.requests(method)[0], 200, tag="b", body=ANSWER)
    wire.run(20)
    assert alice.of(events.SessionAnswered if method == "INVITE" else events.RequestDone)


def test_a_registered_flow_is_waited_for_where_there_is_no_other() -> None:
    wire = Wire()
    only = Peer(wire, "pbx.example", ADDRESSES[0])
    alice = add_endpoint(wire, "alice", "10.0.0.1", domain="pbx.example")
    register(wire, alice, only)
    dial(wire, alice)
    wire.run(10)
    only.answer(only.requests("INVITE")[0], 200, tag="b", body=ANSWER)
    wire.run(11)
    assert alice.of(events.SessionAnswered)
    assert len({each.via.branch for each in only.requests("INVITE")}) == 1


def talking(contact: str = "<sip:peer@pbx.example>") -> tuple[Wire, Node, list[Peer]]:
    """Return a call that stands, by way of the first of two addresses; what was said until then is forgotten."""
    wire, alice, peers = stage()
    alice.execute(events.Invite("c", "alice", TARGET, OFFER))
    wire.run(0.1)
    peers[0].answer(peers[0].requests("INVITE")[0], 200, tag="a", body=ANSWER, contact=contact)
    wire.run(0.2)
    peers[0].got.clear()
    return wire, alice, peers


def test_a_new_offer_in_a_call_goes_on_to_the_next_address_and_so_does_all_that_follows() -> None:
    wire, alice, (dead, alive) = talking()
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(wire.now + INVITE_FAILOVER_AFTER + 0.1)
    first, second = dead.requests("INVITE"), alive.requests("INVITE")
    assert len(first) == 4
    (again,) = second
    assert (again.cseq, again.to.tag) == (first[0].cseq, "a")  # RFC 3263 4.3: the same request under another branch
    assert again.via.branch != first[0].via.branch
    alive.answer(again, 200, body=ANSWER)
    wire.run(wire.now + 0.2)
    assert alice.of(events.OfferAnswered)
    assert methods(alive) == ["INVITE", "ACK"]
    alice.execute(events.End("c"))
    wire.run(wire.now + 0.2)
    assert methods(dead) == ["INVITE"] * 4, "the address that was silent is not asked again"
    alive.answer(alive.requests("BYE")[0], 200)
    assert settled(wire, alice)


def test_a_new_offer_that_is_answered_late_is_acknowledged_and_counts_once() -> None:
    wire, alice, (slow, quick) = talking()
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(wire.now + INVITE_FAILOVER_AFTER + 0.1)
    second = quick.requests("INVITE")[0]
    quick.answer(second, 100)
    wire.run(wire.now + 0.2)
    answer = slow.answer(slow.requests("INVITE")[0], 200, body=ANSWER)
    wire.run(wire.now + 0.2)
    assert len(alice.of(events.OfferAnswered)) == 1, "whichever way it comes, the far end of a call is one"
    quick.answer(second, 491)
    slow.send(answer)
    wire.run(wire.now + 6)
    assert len(alice.of(events.OfferAnswered)) == 1
    assert [each.cseq.number for each in quick.requests("ACK") + slow.requests("ACK")] == [2, 2, 2]
    assert len(quick.requests("INVITE")) == 1
    assert not alice.of(events.SessionEnded)


def test_a_late_answer_to_an_offer_that_was_made_again_is_not_that_of_the_new_one() -> None:
    wire, alice, (slow, quick) = talking()
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(wire.now + INVITE_FAILOVER_AFTER + 0.1)
    quick.answer(quick.requests("INVITE")[0], 491)
    wire.run_until(lambda: len(quick.requests("INVITE")) == 2, 5)
    slow.answer(slow.requests("INVITE")[0], 200, body=ANSWER)
    wire.run(wire.now + 0.2)
    assert not alice.of(events.OfferAnswered)
    assert [each.cseq.number for each in slow.requests("ACK")] == [2]  # where its Contact says it is
    quick.answer(quick.requests("INVITE")[1], 200, body=ANSWER)
    wire.run(wire.now + 0.2)
    assert len(alice.of(events.OfferAnswered)) == 1
    assert not alice.of(events.SessionEnded)


def test_a_new_offer_waits_where_the_far_end_has_one_address() -> None:
    wire, alice, (first, second) = talking("<sip:peer@10.0.0.7>")
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(20)
    assert not second.got
    assert len({each.via.branch for each in first.requests("INVITE")}) == 1
    wire.run(40)
    assert [(each.by, each.status) for each in alice.of(events.SessionEnded)] == [("network", 408)]


def test_any_other_request_in_a_call_goes_on_to_the_next_address() -> None:
    wire, alice, (dead, alive) = talking()
    alice.execute(events.SendInfo("c", "i", Body("text/plain", b"x")))
    wire.run(wire.now + FAILOVER_AFTER + 0.1)
    alive.answer(alive.requests("INFO")[0], 100)
    wire.run(wire.now + 0.2)
    dead.answer(dead.requests("INFO")[0], 200)  # too late: the other one has begun
    alive.answer(alive.requests("INFO")[0], 200)
    wire.run(wire.now + 0.2)
    assert [(each.request, each.status) for each in alice.of(events.RequestDone)] == [("i", 200)]
    dead.answer(dead.requests("INFO")[0], 200)  # now it says so, too
    wire.run(wire.now + 0.2)
    assert len(alice.of(events.RequestDone)) == 1
    alice.execute(events.End("c"))
    wire.run(wire.now + 0.2)
    alive.answer(alive.requests("BYE")[0], 200)
    assert settled(wire, alice)


# --- two addresses of one server


def test_a_server_that_has_the_call_from_its_other_address_is_waited_for_there() -> None:
    wire, alice, (slow, other) = stage()
    dial(wire, alice)
    other.answer(other.requests("INVITE")[0], 482, tag="m")
    wire.run(5)
    assert not alice.of(events.SessionEnded)
    invite = slow.requests("INVITE")[0]
    assert len(slow.requests("INVITE")) == 5, "one copy more, in case an answer was lost"
    slow.answer(invite, 180, tag="a")
    wire.run(6)
    slow.answer(invite, 200, tag="a", body=ANSWER)
    wire.run(6.1)
    assert [event.fork for event in alice.of(events.SessionAnswered)] == ["a"]
    assert methods(other) == ["INVITE", "ACK"]
    alice.execute(events.End("c"))
    wire.run(7)
    slow.answer(slow.requests("BYE")[0], 200)
    assert settled(wire, alice)


def test_merged_at_the_third_address_and_answered_by_the_second() -> None:
    wire, alice, (dead, slow, other) = stage(3)
    dial(wire, alice)
    wire.run(2 * INVITE_FAILOVER_AFTER + 0.1)
    other.answer(other.requests("INVITE")[0], 482, tag="m")
    wire.run(9)
    slow.answer(slow.requests("INVITE")[0], 200, tag="a", body=ANSWER)
    wire.run(9.1)
    assert [event.fork for event in alice.of(events.SessionAnswered)] == ["a"]
    alice.execute(events.End("c"))
    wire.run(9.2)
    slow.answer(slow.requests("BYE")[0], 200)
    assert not dead.requests("BYE")
    assert settled(wire, alice)


def test_a_merged_call_that_stays_silent_ends_in_a_time_out_and_a_loop_at_once() -> None:
    wire, alice, (_, other) = stage()
    dial(wire, alice)
    other.answer(other.requests("INVITE")[0], 482, tag="m")
    wire.run(31)
    assert not alice.of(events.SessionEnded)
    wire.run(33)
    assert [(each.by, each.status) for each in alice.of(events.SessionEnded)] == [("network", 408)]
    assert settled(wire, alice)
    alice.execute(events.Invite("d", "alice", Uri.sip("peer", ADDRESSES[1]), OFFER))
    wire.run(wire.now + 0.1)
    other.answer(other.requests("INVITE")[-1], 482, tag="m")
    wire.run(wire.now + 0.1)
    assert alice.of(events.SessionEnded)[-1].status == 482


def test_a_text_that_both_addresses_of_a_server_got_is_not_told_as_failed() -> None:
    wire, alice, (slow, other) = stage()
    alice.execute(events.SendRequest("m", "alice", "MESSAGE", TARGET, Body("text/plain", b"hello")))
    wire.run(FAILOVER_AFTER + 0.1)
    other.answer(other.requests("MESSAGE")[0], 482, tag="m")
    wire.run(7)
    slow.answer(slow.requests("MESSAGE")[0], 200, tag="a")
    wire.run(8)
    assert [each.status for each in alice.of(events.RequestDone)] == [200]
    assert settled(wire, alice)


def test_a_challenge_that_comes_late_does_not_end_the_call() -> None:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", password="secret", domain="pbx.example")
    slow, quick = (Peer(wire, "pbx.example", host) for host in ADDRESSES[:2])
    asks = (("Proxy-Authenticate", auth.make_challenge("pbx", "n")),)
    dial(wire, alice)
    quick.answer(quick.requests("INVITE")[0], 407, tag="q", headers=asks)
    wire.run(wire.now + 0.015)  # the answer to it is on its way
    slow.answer(slow.requests("INVITE")[0], 407, tag="s", headers=asks)
    wire.run(wire.now + 0.1)
    assert not alice.of(events.SessionEnded)
    quick.answer(quick.requests("INVITE")[-1], 200, tag="b", body=ANSWER)
    wire.run(wire.now + 0.1)
    assert [event.fork for event in alice.of(events.SessionAnswered)] == ["b"]


# --- CANCEL and ACK


def test_a_cancel_goes_the_way_of_its_invite() -> None:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", domain="home.example", proxy="sip:pbx.example")
    proxy = Peer(wire, "pbx.example", "10.0.0.7")
    alice.execute(events.Invite("c", "alice", Uri.sip("bob", "home.example"), OFFER))
    wire.run(0.1)
    (invite,) = proxy.requests("INVITE")
    proxy.answer(invite, 180, tag="t")
    wire.run(0.2)
    alice.execute(events.End("c", (("Reason", "SIP;cause=200"),)))
    wire.run(0.3)
    (cancel,) = proxy.requests("CANCEL")
    # RFC 3261 9.1: Request-URI, Call-ID, To, the number of CSeq and From are those of the INVITE, and one Via; so is the Route
    assert (cancel.uri, cancel.body) == (invite.uri, b"")
    assert cancel.headers.get_all("Via") == invite.headers.get_all("Via")
    for name in ("Route", "From", "To", "Call-ID"):
        assert cancel.headers.get_all(name) == invite.headers.get_all(name), name
    assert [str(route) for route in cancel.routes] == ["<sip:pbx.example;lr>"]
    assert (cancel.headers.get("CSeq"), cancel.headers.get("Max-Forwards")) == ("1 CANCEL", "70")
    assert cancel.headers.get("Reason") == "SIP;cause=200"


def test_a_cancel_whose_connection_breaks_is_said_on_a_new_one() -> None:
    wire, alice, (peer, _) = stage()
    alice.execute(events.Invite("c", "alice", Uri.parse("sip:peer@pbx.example;transport=tcp"), OFFER))
    wire.run(0.1)
    invite = peer.requests("INVITE")[0]
    peer.answer(invite, 180, tag="t")
    wire.run(0.2)
    peer.node.tcp = False
    alice.execute(events.End("c"))
    wire.run(0.205)
    peer.node.tcp = True
    wire.run(0.3)
    (cancel,) = peer.requests("CANCEL")
    assert cancel.via.branch == invite.via.branch
    peer.answer(cancel, 200)
    assert settled(wire, alice)


def test_a_2xx_that_is_repeated_on_a_new_connection_is_acknowledged_there() -> None:
    wire, alice, (peer, _) = stage()
    alice.execute(events.Invite("c", "alice", Uri.parse("sip:peer@pbx.example;transport=tcp"), OFFER))
    wire.run(0.1)
    answer = peer.answer(peer.requests("INVITE")[0], 200, tag="t", body=ANSWER, contact="<sip:peer@10.0.0.7;transport=tcp>")
    wire.run(0.2)
    (first,) = peer.requests("ACK")
    wire.break_connection(alice.address, peer.node.address)
    wire.run(0.3)
    peer.node.execute(events.Transmit(events.Flow("tcp", peer.node.address, alice.address), answer.encode()))
    wire.run(0.4)
    (_, again) = peer.requests("ACK")
    assert (again.cseq, again.uri, again.to) == (first.cseq, first.uri, first.to)


# --- connections that break


def test_a_call_that_rings_is_not_lost_with_its_connection() -> None:
    wire = Wire()
    alice, bob = (add_endpoint(wire, name, host) for name, host in (("alice", "10.0.0.1"), ("bob", "10.0.0.2")))
    alice.execute(events.Invite("c", "alice", Uri.parse("sip:bob@10.0.0.2;transport=tcp"), OFFER))
    wire.run(0.1)
    (ringing,) = bob.of(events.SessionIncoming)
    bob.execute(events.Progress(ringing.session))
    wire.run(0.2)
    assert [event.status for event in alice.of(events.SessionProgress)] == [180]
    wire.break_connection(alice.address, bob.address)
    wire.run(0.3)
    assert not alice.of(events.SessionEnded)
    bob.execute(events.Accept(ringing.session, ANSWER))
    wire.run(0.4)
    assert alice.of(events.SessionAnswered)
    assert bob.of(events.SessionConfirmed)
    assert len(bob.of(events.SessionIncoming)) == 1
    alice.execute(events.End("c"))
    assert settled(wire, alice)


def test_what_is_said_again_on_a_new_connection_is_the_same_request() -> None:
    wire, alice, (first, other) = stage()
    alice.execute(events.SendRequest("m", "alice", "MESSAGE", Uri.parse("sip:peer@pbx.example;transport=tcp"), OFFER))
    wire.run(0.1)
    wire.break_connection(alice.address, first.node.address)
    wire.run(0.2)
    assert len(first.requests("MESSAGE")) == 2
    assert len({each.via.branch for each in first.requests("MESSAGE")}) == 1
    first.node.tcp = False
    wire.break_connection(alice.address, first.node.address)  # once more: the next address is another matter
    wire.run(0.3)
    (elsewhere,) = other.requests("MESSAGE")
    assert elsewhere.via.branch != first.requests("MESSAGE")[0].via.branch
