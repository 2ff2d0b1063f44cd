"""Far ends that do what is unusual, or wrong, played by hand: what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from offhook.errors import InvalidState
from offhook.sip import events
from offhook.sip.calling import MAX_FORKS
from offhook.sip.events import Body, Flow
from offhook.sip.message import Request, Response
from offhook.sip.outgoing import FAILOVER_AFTER
from offhook.sip.responses import response_to
from offhook.sip.uri import Uri
from offhook.testing.endpoints import ANSWER, OFFER, Peer, add_endpoint
from offhook.testing.wire import Node, Wire

PEER = Uri.sip("peer", "10.0.0.9")
RELIABLE = (("Require", "100rel"), ("RSeq", "1"))
SIP_I = Body(
    'multipart/mixed; boundary="x"',
    b"--x\r\nContent-Type: application/ISUP;version=itu-t92+\r\n\r\n\x01\x00\r\n"
    b"--x\r\nContent-Type: application/sdp\r\n\r\n" + ANSWER.data + b"\r\n--x--\r\n",
)
ISUP_ALONE = Body("multipart/mixed;boundary=x", b"--x\r\nContent-Type: application/isup\r\n\r\n\x01\r\n--x--\r\n")


def calling(offer: Body | None = OFFER) -> tuple[Wire, Node, Peer, Request]:
    wire = Wire()
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Invite("c", "alice", PEER, offer))
    wire.run(0.1)
    return wire, alice, peer, peer.requests("INVITE")[0]


def inside(invite: Request, method: str, number: int, body: Body | None = None, *lines: str) -> bytes:
    """A request of the far end in the dialog with the tag "t"."""
    head = (
        f"{method} {invite.contacts[0].uri} SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK{method}{number}",
        f"From: {invite.to.with_tag('t')}", f"To: {invite.from_}", f"Call-ID: {invite.call_id}", f"CSeq: {number} {method}",
        "Contact: <sip:peer@10.0.0.9>", *lines, *([f"Content-Type: {body.content_type}"] if body else ()),
        f"Content-Length: {len(body.data) if body else 0}", "", "",
    )  # fmt: skip
    return "\r\n".join(head).encode() + (body.data if body else b"")


def incoming(body: Body | None, contact: str = "<sip:peer@10.0.0.9>") -> tuple[Wire, Node, Peer]:
    wire = Wire()
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")
    head = (
        "INVITE sip:bob@10.0.0.2 SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1", "From: <sip:peer@10.0.0.9>;tag=t",
        "To: <sip:bob@10.0.0.2>", "Call-ID: one", "CSeq: 1 INVITE", f"Contact: {contact}", "Max-Forwards: 70",
        *([f"Content-Type: {body.content_type}"] if body else ()), "", "",
    )  # fmt: skip
    peer.send("\r\n".join(head).encode() + (body.data if body else b""), bob)
    wire.run(0.1)
    return wire, bob, peer


@pytest.mark.parametrize("leaves", [False, True])
def test_a_far_end_that_makes_up_forks_fills_nothing(leaves: bool) -> None:
    wire, alice, peer, invite = calling()
    for number in range(2 * MAX_FORKS):
        for status in (180, 199) if leaves else (180,):
            peer.answer(invite, status, tag=f"t{number}")
        wire.run(wire.now + 0.01)
    assert len(alice.of(events.SessionProgress)) == MAX_FORKS * (2 if leaves else 1)
    peer.answer(invite, 180, tag="t1")
    peer.answer(invite, 200, tag="last", body=ANSWER)
    wire.run(wire.now + 1)
    assert [each.fork for each in alice.of(events.SessionAnswered)] == ["last"]
    assert peer.requests("ACK")


# --- names that nobody knows here ---


@pytest.mark.parametrize("headers", [(), (("Record-Route", "<sip:edge-7f3a;lr>"),)])
def test_a_call_whose_far_end_names_itself_in_a_way_only_its_network_knows_goes_on_where_it_answered(
    headers: tuple[tuple[str, str], ...]
) -> None:
    wire, alice, peer, invite = calling()
    contact = "<sip:peer@pbx-7f3a>" if not headers else ""
    peer.answer(invite, 200, tag="t", body=ANSWER, contact=contact, headers=headers)
    wire.run(0.2)
    assert [str(each.uri) for each in peer.requests("ACK")] == ["sip:peer@pbx-7f3a" if contact else "sip:peer@10.0.0.9:5060"]
    peer.answer(invite, 200, tag="t", body=ANSWER, contact=contact, headers=headers)
    alice.execute(events.SendInfo("c", "i", ANSWER))
    wire.run(0.3)
    assert len(peer.requests("ACK")) == 2
    peer.answer(peer.requests("INFO")[0], 200)
    alice.execute(events.End("c"))
    wire.run(0.4)
    peer.answer(peer.requests("BYE")[0], 200)
    wire.run(100)
    assert len(peer.requests("BYE")) == 1
    assert not any(alice.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


@pytest.mark.parametrize("breaks", [False, True])
def test_a_caller_that_nobody_can_connect_to_is_reached_over_its_own_connection(breaks: bool) -> None:
    """A server in a container names an address of the container; the connection over which it called stands."""
    wire = Wire()
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")
    peer.node.tcp = False

    def send(method: str, number: int, to: str) -> None:
        head = (
            f"{method} sip:bob@10.0.0.2;transport=tcp SIP/2.0", f"Via: SIP/2.0/TCP 10.0.0.9;branch=z9hG4bK{method}",
            "From: <sip:peer@10.0.0.9>;tag=t", f"To: {to}", "Call-ID: one", f"CSeq: {number} {method}", "Max-Forwards: 70",
            "Contact: <sip:peer@172.17.0.2:5060;transport=tcp>", "Content-Length: 0", "", "",
        )  # fmt: skip
        peer.node.execute(events.Transmit(Flow("tcp", peer.node.address, bob.address), "\r\n".join(head).encode()))
        wire.run(wire.now + 0.1)
    send("INVITE", 1, "<sip:bob@10.0.0.2>")
    session = bob.of(events.SessionIncoming)[0].session
    bob.execute(events.Accept(session, OFFER))
    wire.run(0.2)
    accepted = peer.responses("INVITE")[-1]
    send("ACK", 1, str(accepted.to))
    if breaks:
        wire.break_connection(peer.node.address, bob.address)
        send("UPDATE", 2, str(accepted.to))  # by another connection
    bob.execute(events.End(session))
    wire.run(wire.now + 1)
    peer.send(response_to(peer.requests("BYE")[0], 200))
    wire.run(wire.now + 100)
    assert [str(bye.uri) for bye in peer.requests("BYE")] == ["sip:peer@172.17.0.2:5060;transport=tcp"]
    assert not any(bob.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


def test_a_server_that_nobody_can_connect_to_at_its_contact_gets_our_ack_all_the_same() -> None:
    wire = Wire()
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Invite("c", "alice", Uri.parse("sip:peer@10.0.0.9;transport=tcp"), OFFER))
    wire.run(0.1)
    for _ in range(2):  # nothing is known of an ACK that was lost but that the answer is said again
        peer.answer(peer.requests("INVITE")[0], 200, tag="t", body=ANSWER, contact="<sip:peer@172.17.0.2;transport=tcp>")
        wire.run(wire.now + 0.5)
    assert [str(each.uri) for each in peer.requests("ACK")] == ["sip:peer@172.17.0.2;transport=tcp"]


@pytest.mark.parametrize(("contact", "routes", "uri"), [
    ("<sip:peer@pbx-7f3a:5060;maddr=10.0.0.8>", (), "sip:peer@pbx-7f3a:5060;maddr=10.0.0.8"),
    ("", (("Record-Route", "<sip:edge.example;maddr=10.0.0.8;lr>"),), "sip:peer@10.0.0.9:5060"),
])
def test_maddr_goes_before_the_host(contact: str, routes: tuple[tuple[str, str], ...], uri: str) -> None:
    # RFC 3263 4: the target is the value of maddr, if there is one
    wire, alice, peer, invite = calling()
    there = Peer(wire, "there", "10.0.0.8")
    peer.answer(invite, 200, tag="t", body=ANSWER, contact=contact, headers=routes)
    wire.run(0.2)
    alice.execute(events.End("c"))
    wire.run(0.3)
    assert [str(each.uri) for each in (*there.requests("ACK"), *there.requests("BYE"))] == [uri, uri]
    assert not peer.requests("ACK")


INNER = "<sip:peer@172.17.0.2>"
"""A Contact that leads nowhere here, by UDP: the address of a server in a container."""


def test_acks_that_nobody_hears_are_sent_to_where_the_answer_came_from() -> None:
    wire, alice, peer, invite = calling()
    for number, at in enumerate((0.2, 0.7, 1.7, 3.7), 1):
        peer.answer(invite, 200, tag="t", body=ANSWER, contact=INNER)
        wire.run(at)
        assert len(peer.requests("ACK")) == (number == 4)
    assert str(peer.requests("ACK")[0].uri) == "sip:peer@172.17.0.2"
    alice.execute(events.SendInfo("c", "i", ANSWER))
    wire.run(3.9)
    peer.answer(peer.requests("INFO")[0], 200)
    alice.execute(events.End("c"))
    wire.run(4.1)
    peer.answer(peer.requests("BYE")[0], 200)
    wire.run(100)
    assert len(peer.requests("BYE")) == 1
    assert not any(alice.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


def called_by_a_proxy(lost: float, copies: int = 5) -> tuple[Wire, Node, Peer, Peer, Request]:
    """A call by a proxy that names itself in no Record-Route, whose far end does not hear us until `lost`."""
    wire, alice, proxy, invite = calling()
    there = Peer(wire, "there", "10.0.0.8")
    wire.dropper = lambda sent: wire.now < lost and sent.destination == there.node.address
    for at in (0.2, 0.7, 1.7, 3.7, 7.7)[:copies]:
        proxy.answer(invite, 200, tag="t", body=ANSWER, contact="<sip:peer@10.0.0.8>")
        wire.run(at)
    return wire, alice, proxy, there, invite


def test_acks_that_were_lost_go_on_to_where_the_contact_says_as_well() -> None:
    _, _, proxy, there, _ = called_by_a_proxy(3.0)
    assert len(proxy.requests("ACK")) == 2
    assert len(there.requests("ACK")) == 1


@pytest.mark.parametrize("status", [404, 481, 0])
def test_what_a_proxy_that_is_not_on_the_way_refuses_or_drops_goes_where_the_contact_says(status: int) -> None:
    wire, alice, proxy, there, _ = called_by_a_proxy(4.0)
    alice.execute(events.End("c"))
    wire.run(8)
    (bye,) = proxy.requests("BYE")
    if status:
        proxy.answer(bye, status)
    wire.run(8.2 if status else 8 + FAILOVER_AFTER)
    there.send(response_to(there.requests("BYE")[0], 200), alice)
    wire.run(100)
    assert len(there.requests("BYE")) == 1
    assert not any(alice.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


def test_a_request_that_was_lost_four_times_is_said_again_where_the_contact_says() -> None:
    wire, alice, proxy, there, _ = called_by_a_proxy(0.0, 1)
    wire.dropper = lambda sent: wire.now < 6.4 and sent.destination == there.node.address
    alice.execute(events.SendInfo("c", "i", ANSWER))
    wire.run(0.2 + FAILOVER_AFTER + 0.3)
    proxy.answer(proxy.requests("INFO")[0], 404)
    wire.run(7)
    there.send(response_to(there.requests("INFO")[0], 200), alice)
    wire.run(8)
    assert [told.status for told in alice.of(events.RequestDone)] == [200]
    assert not alice.of(events.SessionEnded)


def test_the_last_resort_of_a_call_that_was_redirected_is_where_it_was_answered() -> None:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", domain="example.com")
    first, second = Peer(wire, "first", "10.0.0.9"), Peer(wire, "second", "10.0.0.8")
    wire.names |= {"example.com": [first.node.address], "two.example.com": [second.node.address]}
    alice.execute(events.Invite("c", "alice", Uri.sip("peer", "example.com"), OFFER))
    wire.run(0.1)
    first.answer(first.requests("INVITE")[0], 302, tag="r", contact="<sip:peer@two.example.com>")
    wire.run(0.2)
    for at in (0.4, 0.9, 1.9, 3.9):
        second.answer(second.requests("INVITE")[0], 200, tag="t", body=ANSWER, contact=INNER)
        wire.run(at)
    assert [str(ack.uri) for ack in second.requests("ACK")] == ["sip:peer@172.17.0.2"]
    assert len(first.requests("ACK")) == 1  # for its 302


def test_what_the_last_resort_said_stands_if_nobody_else_says_anything() -> None:
    wire, alice, peer, invite = calling()
    peer.answer(invite, 200, tag="t", body=ANSWER, contact=INNER)
    wire.run(0.2)
    alice.execute(events.SendInfo("c", "i", ANSWER))
    wire.run(0.3 + FAILOVER_AFTER)
    peer.answer(peer.requests("INFO")[0], 481)
    wire.run(100)
    assert [told.status for told in alice.of(events.RequestDone)] == [481]
    assert alice.of(events.SessionEnded)


def test_acks_that_are_lost_on_their_way_are_sent_nowhere_else() -> None:
    wire, alice, peer, invite = calling()
    for _ in range(6):
        peer.answer(invite, 200, tag="t", body=ANSWER)
        wire.run(wire.now + 0.5)
    assert len(peer.requests("ACK")) == 6
    assert len({ack.via.branch for ack in peer.requests("ACK")}) == 1
    del alice


def test_a_caller_at_an_address_that_is_silent_is_told_where_it_called_from() -> None:
    wire, bob, peer = incoming(OFFER, INNER)
    session = bob.of(events.SessionIncoming)[0].session
    bob.execute(events.Accept(session, ANSWER))
    wire.run(0.2)
    peer.send(acknowledging(peer), bob)
    wire.run(0.3)
    bob.execute(events.End(session))
    wire.run(0.3 + FAILOVER_AFTER + 0.1)
    (bye,) = peer.requests("BYE")
    peer.answer(bye, 200)
    wire.run(100)
    assert len(peer.requests("BYE")) == 1
    assert not any(bob.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


def acknowledging(peer: Peer) -> bytes:
    """The ACK for the 200 that the caller has got."""
    accepted = next(each for each in peer.responses("INVITE") if each.status == 200)
    return (
        f"ACK sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKack\r\nFrom: {accepted.from_}\r\n"
        f"To: {accepted.to}\r\nCall-ID: {accepted.call_id}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def test_a_call_that_wants_encryption_goes_on_nowhere_else() -> None:
    wire, alice, peer, invite = calling()
    peer.answer(invite, 200, tag="t", body=ANSWER, contact="<sips:peer@pbx-7f3a>")
    wire.run(0.2)
    assert not peer.requests("ACK")
    assert alice.of(events.SessionAnswered)


# --- one part among others ---


@pytest.mark.parametrize("status", [183, 200])
def test_a_session_description_beside_other_parts(status: int) -> None:
    wire, alice, peer, invite = calling()
    peer.answer(invite, status, tag="t", body=SIP_I)
    wire.run(0.2)
    told = alice.of(events.SessionProgress if status == 183 else events.SessionAnswered)
    assert told[-1].body == Body("application/sdp", ANSWER.data)


def test_other_parts_alone_are_none() -> None:
    wire, alice, peer, invite = calling()
    peer.answer(invite, 183, tag="t", body=ISUP_ALONE)
    wire.run(0.2)
    assert alice.of(events.SessionProgress)[-1].body is None


def test_an_answer_beside_other_parts_in_the_middle_of_the_call() -> None:
    wire, alice, peer, invite = calling()
    peer.answer(invite, 200, tag="t", body=ANSWER)
    wire.run(0.2)
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(0.3)
    peer.answer(peer.requests("INVITE")[-1], 200, body=SIP_I)
    wire.run(0.4)
    assert alice.of(events.OfferAnswered)[-1].body == Body("application/sdp", ANSWER.data)
    peer.send(inside(invite, "UPDATE", 1, SIP_I))
    wire.run(0.5)
    assert alice.of(events.OfferReceived)[-1].body == Body("application/sdp", ANSWER.data)


def test_an_answer_beside_other_parts_in_the_ack() -> None:
    wire, bob, peer = incoming(None)
    bob.execute(events.Accept(bob.of(events.SessionIncoming)[0].session, OFFER))
    wire.run(0.2)
    accepted = peer.responses("INVITE")[-1]
    ack = (
        f"ACK {accepted.contacts[0].uri} SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK2",
        "From: <sip:peer@10.0.0.9>;tag=t", f"To: {accepted.to}", "Call-ID: one", "CSeq: 1 ACK",
        f"Content-Type: {SIP_I.content_type}", "", "",
    )  # fmt: skip
    peer.send("\r\n".join(ack).encode() + SIP_I.data)
    wire.run(0.3)
    assert bob.of(events.SessionConfirmed)[0].body == Body("application/sdp", ANSWER.data)


# --- at the wrong time, to the wrong place ---


def test_a_refer_before_the_answer_is_refused_at_once() -> None:
    wire, alice, peer, invite = calling()
    peer.answer(invite, 180, tag="t")
    wire.run(0.2)
    peer.send(inside(invite, "REFER", 1, None, "Refer-To: <sip:z@10.0.0.8>"))
    wire.run(0.3)
    assert [response.status for response in peer.responses("REFER")] == [491]
    assert not alice.of(events.ReferRequested)


def test_the_bye_to_a_fork_that_lost_goes_on_counting() -> None:
    wire, _, peer, invite = calling()
    peer.answer(invite, 183, tag="t", headers=RELIABLE)
    wire.run(0.2)
    (prack,) = peer.requests("PRACK")
    peer.answer(prack, 200)
    peer.answer(invite, 200, tag="other", body=ANSWER)
    wire.run(1.0)
    peer.answer(invite, 200, tag="t", body=ANSWER)
    wire.run(1.2)
    (bye,) = peer.requests("BYE")
    assert bye.to.tag == "t"
    assert bye.cseq.number == prack.cseq.number + 1


def test_what_a_request_uri_cannot_have_is_taken_out_of_a_redirection() -> None:
    wire, _, peer, invite = calling()
    contact = "<sip:two@10.0.0.9;method=INVITE;x=y?Subject=hi&Replaces=z>"
    peer.answer(invite, 302, tag="t", contact=contact)
    wire.run(0.3)
    again = peer.requests("INVITE")[-1]
    assert str(again.uri) == "sip:two@10.0.0.9;x=y"
    assert "Subject" not in again.headers


@pytest.mark.parametrize("contact", ["<tel:123>", "<http://10.0.0.9/>"])
def test_a_contact_that_cannot_be_reached_by_sip_is_refused(contact: str) -> None:
    _, bob, peer = incoming(OFFER, contact)
    assert [response.status for response in peer.responses("INVITE")] == [400]
    assert not bob.of(events.SessionIncoming)


@pytest.mark.parametrize("how", ["another sent-by", "another port", "two Vias", "ours"])
def test_a_response_whose_via_is_not_ours_alone(how: str) -> None:
    wire, alice, peer, invite = calling()
    answer = peer.answer(invite, 180, tag="t")
    wire.run(0.2)
    via = answer.headers.get("Via") or ""
    changed = {
        "another sent-by": via.replace("10.0.0.1", "9.9.9.9", 1),
        "another port": via.replace("10.0.0.1:5060", "10.0.0.1:5070"),
        "two Vias": f"{via}, SIP/2.0/UDP 10.0.0.7;branch=z9hG4bKx", "ours": via,
    }[how]  # fmt: skip
    answered = Response(200, "OK", answer.headers.copy(), ANSWER.data)
    answered.headers.set("Via", changed)
    answered.headers.set("Content-Type", ANSWER.content_type)
    answered.headers.set("Contact", "<sip:peer@10.0.0.9>")
    peer.send(answered)
    wire.run(0.3)
    assert bool(alice.of(events.SessionAnswered)) == (how == "ours")


# --- inside a call that stands ---


def talking(offer: Body | None = OFFER, **answer: Any) -> tuple[Wire, Node, Peer, Request]:
    wire, alice, peer, invite = calling(offer)
    peer.answer(invite, 200, tag="t", body=ANSWER, **answer)
    wire.run(0.2)
    return wire, alice, peer, invite


def told(wire: Wire, peer: Peer, request: bytes) -> Response:
    """Have the far end send this; return the answer it gets."""
    before = len(peer.responses())
    peer.send(request)
    wire.run(wire.now + 0.2)
    (response,) = peer.responses()[before:]
    return response


@pytest.mark.parametrize(("headers", "again"), [((), 1), ((("Retry-After", "5"),), 0)])
def test_what_was_refused_because_a_later_request_came_first_is_said_again(
    headers: tuple[tuple[str, str], ...], again: int
) -> None:
    wire, alice, peer, _ = talking()
    for name in ("one", "two"):
        alice.execute(events.SendInfo("c", name, Body("application/dtmf-relay", name.encode())))
    wire.run(0.3)
    one, two = peer.requests("INFO")
    peer.answer(two, 200)
    peer.answer(one, 500, headers=headers)  # RFC 3261 12.2.2; who names a time says something else by it
    wire.run(0.4)
    copies = peer.requests("INFO")[2:]
    assert [(each.body, each.cseq.number > two.cseq.number) for each in copies] == [(b"one", True)] * again
    for copy in copies:
        peer.answer(copy, 200)
    wire.run(0.5)
    done = [(event.request, event.status) for event in alice.of(events.RequestDone)]
    assert done == [("two", 200), ("one", 200 if again else 500)]


def test_a_package_nobody_asked_for_is_refused() -> None:
    wire, alice, peer, invite = talking()
    refused = told(wire, peer, inside(invite, "INFO", 1, ANSWER, "Info-Package: foo"))
    assert (refused.status, refused.headers.get("Recv-Info")) == (469, "")  # RFC 6086 4.2.2
    assert told(wire, peer, inside(invite, "INFO", 2, ANSWER)).status == 200
    assert len(alice.of(events.InfoReceived)) == 1


@pytest.mark.parametrize("answered", [False, True])
def test_who_leaves_before_or_beside_the_answer_does_not_end_the_call(answered: bool) -> None:
    wire, alice, peer, invite = calling()
    peer.answer(invite, 180, tag="t")
    if answered:
        peer.answer(invite, 200, tag="other", body=ANSWER)
        peer.answer(invite, 200, tag="t", body=ANSWER)  # too late: ours says BYE, and so does the far end
    wire.run(0.2)
    assert told(wire, peer, inside(invite, "BYE", 1)).status == 200
    assert told(wire, peer, inside(invite, "INFO", 2)).status == 481
    assert not alice.of(events.SessionEnded)
    if not answered:
        peer.answer(invite, 200, tag="other", body=ANSWER)
        wire.run(wire.now + 0.1)
    assert [event.fork for event in alice.of(events.SessionAnswered)] == ["other"]


def test_hanging_up_while_the_far_ends_offer_waits_acknowledges_first() -> None:
    wire, alice, peer, _ = talking(None)
    assert alice.of(events.OfferReceived)
    assert not peer.requests("ACK")
    alice.execute(events.End("c"))
    wire.run(0.3)
    assert [each.method for each in peer.got if isinstance(each, Request)] == ["INVITE", "ACK", "BYE"]  # RFC 3261 15.1.1


def test_an_offer_that_the_far_end_takes_back_is_answered_487_and_another_one_fits() -> None:
    wire, alice, peer, invite = talking()
    offer = inside(invite, "INVITE", 1, OFFER)
    peer.send(offer)
    wire.run(0.3)
    assert alice.of(events.OfferReceived)
    peer.send(inside(invite, "CANCEL", 1).replace(b"z9hG4bKCANCEL", b"z9hG4bKINVITE"))
    wire.run(0.4)
    assert [(each.cseq.method, each.status) for each in peer.responses()] == [("CANCEL", 200), ("INVITE", 487)]
    with pytest.raises(InvalidState):
        alice.execute(events.AnswerOffer("c", ANSWER))
    peer.send(inside(invite, "INVITE", 2, OFFER))
    wire.run(0.5)
    alice.execute(events.AnswerOffer("c", ANSWER))
    wire.run(0.6)
    assert peer.responses("INVITE")[-1].status == 200
    assert not alice.of(events.SessionEnded)


def test_an_offer_in_a_body_nobody_reads_is_refused_and_the_call_goes_on() -> None:
    wire, alice, peer, invite = talking()
    refused = told(wire, peer, inside(invite, "INVITE", 1, Body("application/xml", b"<sdp/>")))
    assert (refused.status, refused.headers.get("Accept")) == (415, "application/sdp")
    assert not alice.of(events.OfferReceived, events.OfferWanted, events.SessionEnded)


def offering_anew(status: int) -> tuple[Wire, Node, Peer]:
    """Alice has made another offer in her call, which was answered so, without a description."""
    wire, alice, peer, _ = talking()
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(0.3)
    peer.answer(peer.requests("INVITE")[-1], status)
    wire.run(0.4)
    return wire, alice, peer


def test_an_answer_without_a_session_description_is_none() -> None:
    wire, alice, peer = offering_anew(200)
    assert [(event.status, event.reason) for event in alice.of(events.OfferFailed)] == [(488, "The answer is missing")]
    assert len(peer.requests("ACK")) == 2
    assert not alice.of(events.SessionEnded)
    alice.execute(events.Reoffer("c", OFFER))
    wire.run(0.5)
    assert len(peer.requests("INVITE")) == 3, "no offer is open any more, so another one leaves"


def test_an_offer_that_waits_to_be_made_again_is_not_made_after_the_end() -> None:
    wire, alice, peer = offering_anew(491)
    alice.execute(events.End("c"))
    wire.run(0.5)
    peer.answer(peer.requests("BYE")[-1], 200)
    before = len(peer.got)
    wire.run(100)
    assert len(peer.got) == before
    assert not alice.of(events.OfferFailed)


def test_of_a_transfer_nothing_is_told_after_the_end() -> None:
    wire, alice, peer, _ = talking()
    alice.execute(events.Refer("c", Uri.sip("z", "10.0.0.8")))
    wire.run(0.3)
    peer.answer(peer.requests("REFER")[0], 202)
    wire.run(0.4)
    alice.execute(events.End("c"))
    wire.run(0.5)
    peer.answer(peer.requests("BYE")[-1], 200)
    wire.run(200)
    assert [type(event) for event in alice.outputs][-1] is events.SessionEnded
    assert not any(alice.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


@pytest.mark.parametrize("status", [300, 301, 302, 305])
def test_whom_a_redirection_names_is_called(status: int) -> None:
    wire, alice, peer, invite = calling()
    peer.answer(invite, 100)
    wire.run(0.2)
    assert not alice.of(events.SessionProgress), "100 says only that the INVITE is there"
    peer.answer(invite, status, tag="t", contact="<sip:two@10.0.0.9>")
    wire.run(0.3)
    again = peer.requests("INVITE")[-1]
    assert again.cseq.number > invite.cseq.number
    assert again.uri.user == ("peer" if status == 305 else "two")


def test_an_end_while_an_offer_of_the_far_end_is_open_answers_that() -> None:
    wire, alice, peer, invite = talking()
    peer.send(inside(invite, "INVITE", 1, OFFER))
    wire.run(0.3)
    for request in (inside(invite, "REFER", 2, None, "Refer-To: <sip:z@10.0.0.8>"), inside(invite, "BYE", 3)):
        peer.send(request)
    wire.run(0.4)
    assert {(each.cseq.method, each.status) for each in peer.responses()} == {("BYE", 200), ("INVITE", 487), ("REFER", 487)}
    assert [event.by for event in alice.of(events.SessionEnded)] == ["remote"]


# --- registrars ---


@pytest.mark.parametrize(
    ("headers", "granted"),
    [
        ((("Contact", "<sip:alice@203.0.113.9:1024>;expires=60"),), 60),  # a box on the way has rewritten it
        ((("Contact", "<sip:alice@203.0.113.9>;expires=60"), ("Contact", "<sip:alice@203.0.113.8>;expires=50")), 300),
        ((("Contact", "<sip:alice@203.0.113.9>;expires=60"), ("Expires", "120")), 60),
        ((("Contact", "<sip:alice@203.0.113.9>"), ("Expires", "120")), 120),
        ((("Expires", "soon"),), 300),
    ],
)
def test_what_a_registrar_grants(headers: tuple[tuple[str, str], ...], granted: int) -> None:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", domain="10.0.0.9")
    peer = Peer(wire, "pbx", "10.0.0.9")

    def grant(request: Request) -> None:
        peer.answer(request, 200, tag="x", headers=headers)

    peer.on_request = grant
    alice.execute(events.Register("alice", 300))
    wire.run(1)
    assert [event.expires for event in alice.of(events.Registered)] == [granted]
