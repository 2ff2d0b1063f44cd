"""For which account a call is, and when nobody can say (485)."""

from __future__ import annotations

import pytest

from offhook.sip import events
from offhook.sip.events import Identity
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.endpoints import OFFER, Peer, add_endpoint
from offhook.testing.wire import Wire

ACCOUNTS = (
    ("a", "1001@a.example", "1001", ""), ("b", "1001@b.example", "1001", "sip:10.0.0.9"), ("c", "2002@a.example", "2002", ""),
    ("b~hidden", "anonymous@anonymous.invalid", "1001", "sip:10.0.0.9"), ("d", "3003@d.example", "3003", ""),
    ("e", "3003@e.example", "3003", ""),
)  # fmt: skip


@pytest.mark.parametrize(("uri", "to", "expected"), [
    ("sip:2002@10.0.0.2", "sip:2002@10.0.0.2", "c"),
    ("sip:1001@10.0.0.2", "sip:1001@a.example", "a"),  # by what the server was called for
    ("sip:1001@10.0.0.2", "sip:1001@A.Example", "a"),
    ("sip:1001@10.0.0.2", "sip:1001@10.0.0.2", "b"),  # it comes from this one's server
    ("sip:other@d.example", "sip:3003@e.example", "e"),
    ("sip:3003@10.0.0.2", "sip:3003@10.0.0.2", 485),
    ("sip:3003@10.0.0.2", "sip:3003@d.example", "d"),
    ("sip:3003@e.example", "sip:3003@e.example", "e"),
    ("sip:+49301234@10.0.0.2", "sip:+49301234@10.0.0.2", "b"),  # a trunk, one of its numbers
    ("sip:10.0.0.2", "sip:10.0.0.2", "b"),
])
def test_whose_call_it_is(uri: str, to: str, expected: str | int | None) -> None:
    wire = Wire()
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")
    for name, address, contact, proxy in ACCOUNTS:
        bob.execute(events.SetIdentity(Identity(
            name, NameAddr.parse(f"<sip:{address}>"), contact_user=contact, proxy=Uri.parse(proxy) if proxy else None)))
    lines = (
        f"INVITE {uri} SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK1", "Max-Forwards: 70",
        "From: <sip:peer@10.0.0.9>;tag=f", f"To: <{to}>", "Call-ID: one", "CSeq: 1 INVITE", "Contact: <sip:peer@10.0.0.9:5060>",
        "Content-Type: application/sdp", f"Content-Length: {len(OFFER.data)}", "", "",
    )  # fmt: skip
    peer.send("\r\n".join(lines).encode() + OFFER.data, bob)
    wire.run(0.3)
    if expected == 485:
        assert [answer.status for answer in peer.responses("INVITE")] == [485]
        assert "Contact" not in peer.responses("INVITE")[0].headers
    else:
        assert [event.identity for event in bob.of(events.SessionIncoming)] == [expected]


@pytest.mark.parametrize("to", ["sip:1001@10.0.0.9", "sip:1001@pbx.example", "sip:+49301234@10.0.0.9"])
@pytest.mark.parametrize("port", [5060, 5070])
def test_two_servers_of_one_host_are_told_apart_by_their_ports(port: int, to: str) -> None:
    """A second exchange on the same machine, with the same number: whose call it is decides which password it is ended with."""
    wire = Wire()
    bob = add_endpoint(wire, "bob", "10.0.0.2")
    bob.execute(events.RemoveIdentity("bob"))
    peers = {number: Peer(wire, str(number), "10.0.0.9", number) for number in (5060, 5070)}
    for name, number in (("first", 5060), ("second", 5070)):
        address = NameAddr.parse(f"<sip:1001@10.0.0.9{'' if number == 5060 else ':5070'}>")
        bob.execute(events.SetIdentity(Identity(name, address, contact_user="1001")))
        bob.execute(events.Register(name, 600))
        wire.run(wire.now + 0.3)
        (register,) = peers[number].requests("REGISTER")
        peers[number].answer(register, 200, tag="t", contact=f"{register.contacts[0]};expires=600")
    wire.run(wire.now + 0.3)
    user = to.removeprefix("sip:").partition("@")[0]
    peers[port].send("\r\n".join((
        f"INVITE sip:{user}@10.0.0.2 SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9:{port};branch=z9hG4bK1", "Max-Forwards: 70",
        "From: <sip:peer@10.0.0.9>;tag=f", f"To: <{to}>", "Call-ID: one", "CSeq: 1 INVITE",
        f"Contact: <sip:peer@10.0.0.9:{port}>", "Content-Type: application/sdp", f"Content-Length: {len(OFFER.data)}", "", "",
    )).encode() + OFFER.data, bob)  # fmt: skip
    wire.run(wire.now + 0.3)
    assert [event.identity for event in bob.of(events.SessionIncoming)] == ["first" if port == 5060 else "second"]
