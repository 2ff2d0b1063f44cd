"""Calls with phones in web pages, which speak a handshake and ICE and nothing else, whatever the settings say."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from msgspec import structs
from test_phone_secrecy import PRINT, PaperCertificate

from offhook.media import messages as media
from offhook.media.sdp import MediaDescription, SessionDescription, parse_sdp
from offhook.media.security import WEB_PROFILE
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.reach import NatServers
from offhook.phone.settings import NatPolicy, NatSettings, SrtpSettings
from offhook.sip.events import Body
from offhook.sip.message import Request
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone, over, rings, settle
from offhook.testing.wire import Wire

SERVERS = NatServers(("9.9.9.9", 3478), media.TurnServer(("9.9.9.9", 3478), "user", "secret"))
PUBLIC = "203.0.113.99"


def line_of(sdp: bytes) -> MediaDescription:
    return parse_sdp(sdp).media[0]


def config(phone: VirtualPhone) -> media.StreamConfig:
    return phone.did(media.ConfigureStream)[-1].config


def page_and_phone(policy: NatPolicy = "off", srtp: SrtpSettings | None = None) -> tuple[VirtualPhone, VirtualPhone]:
    """Return a phone that can be made to offer what browsers do, and one of ours."""
    wire = Wire()
    page = VirtualPhone(wire, "page", "10.0.0.1", srtp=SrtpSettings("optional", "dtls"), nat=NatSettings("ice"),
                        certificate=PaperCertificate())  # fmt: skip
    phone = VirtualPhone(wire, "bob", "10.0.0.2", srtp=srtp or SrtpSettings("optional"),
                         nat=NatSettings(policy, PUBLIC if policy in ("off", "address") else ""),
                         certificate=PaperCertificate())  # fmt: skip
    phone.receive(SERVERS)
    return page, phone


def become_page(page: VirtualPhone) -> None:
    """Have the next offer of its call be one of a browser."""
    call = page.only
    call.security = replace(page.phone.secrecy.of(call), protocol=WEB_PROFILE)


def call_from_page(page: VirtualPhone, phone: VirtualPhone) -> None:
    page.dial(phone)
    become_page(page)
    settle(page.wire, 1)


@pytest.mark.parametrize("policy", get_args(NatPolicy))
def test_a_page_that_calls_is_answered_with_ice_and_a_handshake(policy: NatPolicy) -> None:
    page, bob = page_and_phone(policy)
    call_from_page(page, bob)
    asked = bob.did(media.GatherCandidates)
    assert len(asked) == 1, "while it rings"
    assert (asked[0].stun is not None, asked[0].turn is not None) == (policy in ("stun", "ice"), policy in ("turn", "ice"))
    assert asked[0].addresses == ((PUBLIC,) if policy == "address" else ())
    bob.execute(c.Answer())
    assert bob.states[0] == "active", "at once"
    settle(page.wire, 1)
    one, other = config(page), config(bob)
    assert one.ice is not None
    assert other.ice is not None
    assert (one.ice.remote_ufrag, other.ice.remote_ufrag) == (other.ice.ufrag, one.ice.ufrag)
    assert isinstance(other.security, media.DtlsPeer)
    for who in (page, bob):
        who.execute(c.Hold())
        settle(page.wire, 1)
        assert line_of(who.only.local_sdp).attribute("ice-ufrag")
        who.execute(c.Resume())
        settle(page.wire, 1)
    assert config(bob).ice == other.ice, "no new search"
    page.execute(c.Hangup())
    over(page, bob)


def test_the_address_that_is_named_beside_is_the_one_we_are_reached_by() -> None:
    page, bob = page_and_phone()
    call_from_page(page, bob)
    found = bob.only.candidates
    assert found is not None
    others = tuple(structs.replace(each, address="172.17.0.1", foundation="h1") for each in found)
    bob.only.candidates = (*others, *found)
    bob.execute(c.Answer())
    described = parse_sdp(bob.only.local_sdp)
    assert described.connection is not None
    assert described.connection.address == "10.0.0.2"
    settle(page.wire, 1)
    page.execute(c.Hangup())
    over(page, bob)


def test_without_encryption_a_page_is_told_so() -> None:
    page, bob = page_and_phone(srtp=SrtpSettings("off"))
    call_from_page(page, bob)
    assert {event.rings for event in bob.of(e.CallIncoming)} == {False}
    end = page.ended().end
    assert end is not None
    assert end.sip_status == 488
    assert not bob.did(media.GatherCandidates)


@pytest.mark.parametrize("policy", get_args(NatPolicy))
def test_a_call_whose_far_end_becomes_a_page_finds_out_where_it_is_reached(policy: NatPolicy) -> None:
    page, bob = page_and_phone(policy)
    page.dial(bob)
    page.wire.run_until(rings(bob))
    settle(page.wire, 1)
    bob.execute(c.Answer())
    settle(page.wire, 1)
    before = len(bob.did(media.GatherCandidates))
    assert (config(bob).ice is not None) == (policy == "ice")
    become_page(page)
    page.execute(c.Hold())
    settle(page.wire, 1)
    assert page.only.state == "held_local"
    assert line_of(bob.only.local_sdp).protocol == WEB_PROFILE
    assert config(bob).ice is not None
    assert len(bob.did(media.GatherCandidates)) == before + (policy != "ice")
    page.execute(c.Hangup())
    over(page, bob)


class Page(Peer):
    """A phone in a page, which refuses what it cannot take only when somebody answers."""

    def __init__(self, wire: Wire, refusal: int = 488, contact: str = "<sip:x@y.invalid;transport=ws>") -> None:
        super().__init__(wire, "page", "10.0.0.9")
        self.refusal, self.contact = refusal, contact
        self.offers: list[SessionDescription] = []
        self.on_request = self.play

    @property
    def profiles(self) -> list[str]:
        return [offer.media[0].protocol for offer in self.offers]

    def play(self, request: Request) -> None:
        if request.method == "BYE":
            self.answer(request, 200)
        if request.method != "INVITE":
            return
        offer = parse_sdp(request.body)
        line = offer.media[0]
        self.offers.append(offer)
        self.answer(request, 180, tag="t", contact=self.contact)
        if not (line.attribute("fingerprint") and line.attribute("ice-ufrag")):
            self.answer(request, self.refusal, tag="t")
            return
        lines = ["v=0", "o=x 1 1 IN IP4 10.0.0.9", "s=-", "c=IN IP4 0.0.0.0", "t=0 0", "a=group:BUNDLE 0",
                 f"m=audio 9 {line.protocol} 0", "a=mid:0", "a=rtcp-mux", "a=setup:active", f"a=fingerprint:{PRINT}",
                 "a=ice-ufrag:theirs", f"a=ice-pwd:{'p' * 24}", "a=candidate:1 1 udp 1 somewhere.local 4000 typ host", ""]
        self.answer(request, 200, tag="t", body=Body("application/sdp", "\r\n".join(lines).encode()))


ANYWHERE = "<sip:x@10.0.0.9:5060>"


@pytest.mark.parametrize(("settings", "contact", "before"), [
    (SrtpSettings("optional"), "<sip:x@y.invalid;transport=ws>", ["RTP/AVP"]),
    (SrtpSettings("optional"), ANYWHERE, ["RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVP"]),
    (SrtpSettings("optional", "dtls"), ANYWHERE, ["RTP/AVP", "UDP/TLS/RTP/SAVP", "RTP/SAVP"]),
    (SrtpSettings("required"), ANYWHERE, ["RTP/SAVP"]),
    (SrtpSettings("required", "dtls"), ANYWHERE, ["UDP/TLS/RTP/SAVP"]),
])  # fmt: skip
def test_a_page_that_refuses_is_offered_what_it_can_take(settings: SrtpSettings, contact: str, before: list[str]) -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1", srtp=settings, certificate=PaperCertificate())
    page = Page(wire, contact=contact)
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 2)
    assert page.profiles == [*before, WEB_PROFILE]
    assert page.offers[-1].media[0].attribute("mid") == "0"
    assert "BUNDLE 0" in [item.value for item in page.offers[-1].attributes]
    assert alice.only.is_connected
    found = config(alice)
    assert found.ice is not None
    assert found.ice.controlling
    assert found.direction == "sendrecv"
    assert found.remote[0] not in ("0.0.0.0", ""), "its checks tell where it is, and it is sent to then"
    assert isinstance(found.security, media.DtlsPeer)
    alice.execute(c.Hangup())
    over(alice)


@pytest.mark.parametrize(("contact", "tried"), [("<sip:x@y.invalid;transport=ws>", 2), (ANYWHERE, 1)])
def test_pages_have_a_status_of_their_own_for_what_they_cannot_take(contact: str, tried: int) -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1", srtp=SrtpSettings("optional"), certificate=PaperCertificate())
    page = Page(wire, 480, contact)
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 2)
    assert len(page.profiles) == tried
    if tried == 2:
        assert alice.only.is_connected
        alice.execute(c.Hangup())
    over(alice)


def test_without_the_package_there_is_nothing_more_to_offer() -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1", srtp=SrtpSettings("optional"))
    page = Page(wire)
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 2)
    assert page.profiles == ["RTP/AVP", "RTP/SAVP"]
    end = alice.ended().end
    assert end is not None
    assert (end.by, end.sip_status) == ("remote", 488)
    over(alice)


def test_a_call_may_be_hung_up_before_a_page_is_offered_what_it_can_take() -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1", srtp=SrtpSettings("required"), certificate=PaperCertificate())
    page = Page(wire)
    alice.dial("sip:x@10.0.0.9")
    wire.run_until(lambda: bool(alice.did(media.GatherCandidates)))
    alice.execute(c.Hangup())
    settle(wire, 40)
    assert page.profiles == ["RTP/SAVP"]
    assert len(alice.of(e.CallEnded)) == 1
    over(alice)
