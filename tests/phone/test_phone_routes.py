"""Under which address of ours the far end's sound can reach us: an answer follows the offer's address family."""

from __future__ import annotations

from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.settings import NatSettings
from offhook.sip.events import Body
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone
from offhook.testing.wire import Wire

FAR, OURS = "2001:db8::7", "2001:db8::1"


def sdp(address: str) -> Body:
    family = "IP6" if ":" in address else "IP4"
    lines = ("v=0", f"o=x 7 7 IN {family} {address}", "s=-", f"c=IN {family} {address}", "t=0 0", "m=audio 30000 RTP/AVP 0", "")
    return Body("application/sdp", "\r\n".join(lines).encode())


def message(method: str, phone: VirtualPhone, peer: Peer, *, to: str = "", cseq: int = 1, branch: str = "",
            offer: Body | None = None) -> None:
    """Send a request of the one call there is."""
    host, port = peer.node.address
    data = offer.data if offer is not None else b""
    lines = [
        f"{method} sip:offhook@{phone.host} SIP/2.0", f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch or cseq}",
        "Max-Forwards: 70", f"From: <sip:x@{host}>;tag=f", f"To: {to or f'<sip:offhook@{phone.host}>'}", "Call-ID: one",
        f"CSeq: {cseq} {method}", f"Contact: <sip:x@{host}:{port}>",
        *(["Content-Type: application/sdp"] if data else []), f"Content-Length: {len(data)}", "", "",
    ]  # fmt: skip
    peer.send("\r\n".join(lines).encode() + data, phone.node)


def stage(source: str | None = OURS) -> tuple[Wire, VirtualPhone, Peer]:
    wire = Wire()
    if source is not None:
        wire.sources[FAR] = source
    return wire, VirtualPhone(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")


def acknowledge(phone: VirtualPhone, peer: Peer, cseq: int = 1) -> str:
    """Send the ACK for the latest answer; return that answer's To."""
    to = str(peer.responses("INVITE")[-1].to)
    message("ACK", phone, peer, to=to, cseq=cseq, branch=f"ack{cseq}")
    return to


def configured(phone: VirtualPhone) -> media.StreamConfig:
    return [each for each in phone.media.commands if isinstance(each, media.ConfigureStream)][-1].config


def test_an_offer_of_ipv6_over_ipv4_is_answered_with_ipv6() -> None:
    wire, bob, peer = stage()
    message("INVITE", bob, peer, offer=sdp("2001:0db8::0007"))
    wire.run(1)
    bob.execute(c.Answer())
    wire.run(2)
    answer = peer.responses("INVITE")[-1]
    assert answer.status == 200
    assert f"c=IN IP6 {OURS}".encode() in answer.body
    assert configured(bob).remote == (FAR, 30000)
    assert str(answer.contacts[0].uri) == "sip:offhook@10.0.0.2:5060"  # the signalling stays where it is


def test_without_a_way_there_it_is_refused_before_it_rings() -> None:
    wire, bob, peer = stage("")
    message("INVITE", bob, peer, offer=sdp(FAR))
    wire.run(1)
    answer = peer.responses("INVITE")[-1]
    assert answer.status == 488
    assert f"on IPv6 ({FAR})" in (answer.headers.get("Warning") or "")
    assert not bob.calls
    assert not any(event.rings for event in bob.of(e.CallIncoming))


def test_with_ice_a_far_end_of_both_families_rings() -> None:
    """Its default address is of the other family; the way that counts is found later, among all of them."""
    wire = Wire()
    wire.sources[FAR] = ""
    bob, peer = VirtualPhone(wire, "bob", "10.0.0.2", nat=NatSettings("ice")), Peer(wire, "peer", "10.0.0.9")
    near = "a=candidate:h1 1 UDP 2130706430 10.0.0.9 30002 typ host"
    lines = ["a=ice-ufrag:theirs", f"a=ice-pwd:{'p' * 24}", f"a=candidate:h0 1 UDP 2130706431 {FAR} 30000 typ host", near, ""]
    message("INVITE", bob, peer, offer=Body("application/sdp", sdp(FAR).data + "\r\n".join(lines).encode()))
    wire.run(1)
    assert any(event.rings for event in bob.of(e.CallIncoming))
    bob.execute(c.Answer())
    wire.run(2)
    assert peer.responses("INVITE")[-1].status == 200
    assert configured(bob).remote == ("10.0.0.9", 30002)


def test_a_call_may_change_its_family_and_back() -> None:
    wire, bob, peer = stage()
    wire.sources["10.0.0.9"] = "10.0.0.2"
    message("INVITE", bob, peer, offer=sdp("10.0.0.9"))
    wire.run(1)
    bob.execute(c.Answer())
    wire.run(2)
    to = acknowledge(bob, peer)
    for number, (address, ours) in enumerate(((FAR, OURS), ("10.0.0.9", "10.0.0.2")), 2):
        message("INVITE", bob, peer, to=to, cseq=number, offer=sdp(address))
        wire.run(wire.now + 0.2)
        answer = peer.responses("INVITE")[-1]
        assert answer.status == 200
        assert f" {ours}\r\n".encode() in answer.body
        assert configured(bob).remote == (address, 30000)
        acknowledge(bob, peer, number)
        wire.run(wire.now + 0.2)
    assert len(bob.calls) == 1


def test_a_caller_that_gave_up_meanwhile_is_no_mistake() -> None:
    wire, bob, peer = stage()
    message("INVITE", bob, peer, offer=sdp(FAR))
    message("CANCEL", bob, peer)
    wire.run(5)
    assert not bob.calls
    assert [answer.status for answer in peer.responses("INVITE")][-1] == 487
