"""Requests on their way out: silent addresses, those that answer late, and where the next one is found."""

from __future__ import annotations

import pytest

from offhook.sip import events
from offhook.sip.outgoing import FAILOVER_AFTER, INVITE_FAILOVER_AFTER
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


def test_a_new_offer_in_a_call_stays_where_it_is() -> None:
    wire, alice, (first, second) = stage()
    alice.execute(events.Invite("c", "alice", TARGET, OFFER))
    wire.run(0.1)
    first.answer(first.requests("INVITE")[0], 200, tag="a", body=ANSWER, contact="<sip:peer@pbx.example>")
    wire.run(0.2)
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(20)
    assert not second.got
