"""Encrypted sound as the phone sees it: policies, what is told, and why a call cannot be."""

from __future__ import annotations

from typing import get_args

import pytest

from offhook.errors import SecurityRequired
from offhook.media import messages as media
from offhook.media.sdp import parse_sdp
from offhook.media.security import Keying, SrtpPolicy
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import Party
from offhook.phone.secrecy import IN_THE_CLEAR, MOST_REMEMBERED, NOT_ENCRYPTED
from offhook.phone.settings import AccountSettings, SrtpSettings
from offhook.sip.events import Body
from offhook.sip.message import Request
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone, over, rings, settle, talk
from offhook.testing.wire import Wire

POLICIES: tuple[SrtpPolicy, ...] = get_args(SrtpPolicy)
PRINT = "sha-256 " + ":".join(["AB"] * 32)


class PaperCertificate:
    """A certificate that nobody checks."""

    def fingerprint(self) -> str:
        return PRINT

    def pem(self) -> bytes:
        return b"key and certificate"


def phones(one: SrtpSettings, other: SrtpSettings, *, dtls: bool = False) -> tuple[VirtualPhone, VirtualPhone]:
    wire = Wire()
    certificate = PaperCertificate() if dtls else None
    return (
        VirtualPhone(wire, "alice", "10.0.0.1", srtp=one, certificate=certificate),
        VirtualPhone(wire, "bob", "10.0.0.2", srtp=other, certificate=certificate),
    )


def keys(phone: VirtualPhone) -> media.SdesKeys:
    found = phone.did(media.ConfigureStream)[-1].config.security
    assert isinstance(found, media.SdesKeys)
    return found


@pytest.mark.parametrize("one", POLICIES)
@pytest.mark.parametrize("other", POLICIES)
def test_every_policy_meets_every_other(one: SrtpPolicy, other: SrtpPolicy) -> None:
    alice, bob = phones(SrtpSettings(one), SrtpSettings(other))
    if {one, other} == {"off", "required"}:
        alice.dial(bob)
        settle(alice.wire)
        assert alice.ended().end is not None
        assert alice.ended().end.sip_status == 488  # type: ignore[union-attr]
        refused = bob.ended().end
        assert refused is not None
        assert ("srtp is off here" if other == "off" else "srtp is required here") in refused.reason
        assert [name for name in bob.types if name[:5] == "call."] == ["call.incoming", "call.ended"]  # it never rang
        assert not bob.of(e.CallIncoming)[0].rings
        return
    talk(alice, bob)
    views = [phone.only.view().media for phone in (alice, bob)]
    if "off" in (one, other):
        assert [view.srtp for view in views] == ["", ""]
        # Who wished for it hears that it was not to be.
        wished = [phone for phone, policy in ((alice, one), (bob, other)) if policy == "optional"]
        for phone in wished:
            assert [(event.srtp, event.warning) for event in phone.of(e.MediaSecurity)] == [("", NOT_ENCRYPTED)]
    else:
        assert [(view.srtp, view.cipher) for view in views] == [("sdes", "AEAD_AES_256_GCM")] * 2
        assert keys(alice).send == keys(bob).receive != keys(alice).receive
        for phone in (alice, bob):
            assert [(event.srtp, event.warning) for event in phone.of(e.MediaSecurity)] == [("sdes", IN_THE_CLEAR)]
    over_after_hangup(alice, bob)


def over_after_hangup(alice: VirtualPhone, bob: VirtualPhone) -> None:
    alice.execute(c.Hangup())
    over(alice, bob)


def test_an_account_has_a_policy_of_its_own() -> None:
    alice, bob = phones(SrtpSettings("off"), SrtpSettings("required", suites=("AES_CM_128_HMAC_SHA1_80",)))
    account = AccountSettings("a", "10.0.0.2", "alice", register=False, srtp="required")
    alice.add_account(account)
    talk(alice, bob, account="a")
    assert alice.only.view().media.cipher == "AES_CM_128_HMAC_SHA1_80"
    over_after_hangup(alice, bob)


def test_hold_and_resume_keep_the_keys() -> None:
    alice, bob = phones(SrtpSettings("optional"), SrtpSettings("optional"))
    talk(alice, bob)
    before = keys(alice), keys(bob)
    for phone in (bob, alice):
        phone.execute(c.Hold())
        settle(alice.wire, 2)
        phone.execute(c.Resume())
        settle(alice.wire, 2)
        assert (keys(alice), keys(bob)) == before
    assert len(alice.of(e.MediaSecurity)) == len(bob.of(e.MediaSecurity)) == 1
    assert alice.did(media.ConfigureStream)[-1].config.direction == "sendrecv"
    over_after_hangup(alice, bob)


def test_the_answer_to_a_call_that_cannot_be_says_why() -> None:
    alice, bob = phones(SrtpSettings("off"), SrtpSettings("off"))
    alice.dial(bob)
    alice.wire.run_until(rings(bob))
    bob.phone.secrecy.settings = SrtpSettings("required")
    bob.only.security = None
    with pytest.raises(SecurityRequired, match="offers no encryption") as refusal:
        bob.execute(c.Answer())
    assert refusal.value.code == "security-required"


def test_dtls_is_offered_and_told_when_its_handshake_is_done() -> None:
    alice, bob = phones(SrtpSettings("optional", "dtls"), SrtpSettings("optional"), dtls=True)
    call, _ = talk(alice, bob)
    roles = [phone.did(media.ConfigureStream)[-1].config for phone in (alice, bob)]
    assert [config.security.role for config in roles if isinstance(config.security, media.DtlsPeer)] == ["server", "client"]
    assert all(config.rtcp_mux for config in roles)
    assert [config.security.certificate for config in roles if isinstance(config.security, media.DtlsPeer)] == [
        b"key and certificate"] * 2
    assert alice.of(e.MediaSecurity) == []
    alice.receive(media.StreamSecured(call, "AEAD_AES_128_GCM"))
    assert [(event.srtp, event.cipher, event.warning) for event in alice.of(e.MediaSecurity)] == [
        ("dtls", "AEAD_AES_128_GCM", "")
    ]
    over_after_hangup(alice, bob)


def test_keys_are_in_no_event() -> None:
    alice, bob = phones(SrtpSettings("required"), SrtpSettings("required"))
    talk(alice, bob)
    over_after_hangup(alice, bob)
    for text in (repr(alice.events), repr(bob.events), repr(alice.media.commands)):
        assert repr(keys(alice).send) not in text
        assert "inline:" not in text


class Strict(Peer):
    """A phone that takes keys on a secure profile only."""

    def __init__(self, wire: Wire, profile: str, refusal: int = 488) -> None:
        super().__init__(wire, "strict", "10.0.0.9")
        self.profile, self.refusal = profile, refusal
        self.offers: list[str] = []
        self.on_request = self.play

    def play(self, request: Request) -> None:
        if request.method == "BYE":
            self.answer(request, 200)
        if request.method != "INVITE":
            return
        line = parse_sdp(request.body).media[0]
        self.offers.append(line.protocol)
        if line.protocol != self.profile:
            head = ["v=0", "o=x 1 1 IN IP4 10.0.0.9", "s=-", "c=IN IP4 10.0.0.9", "t=0 0", f"m=audio 0 {line.protocol} 0", ""]
            none = Body("application/sdp", "\r\n".join(head).encode()) if self.refusal == 200 else None
            self.answer(request, 180, tag="t")
            self.answer(request, self.refusal, tag="t", body=none)
            return
        keys = [f"a={each.name}:{each.value}" for each in line.attributes if each.name == "crypto"][:1]
        keys = keys or ["a=setup:active", f"a=fingerprint:{PRINT}"]
        head = ["v=0", "o=x 1 1 IN IP4 10.0.0.9", "s=-", "c=IN IP4 10.0.0.9", "t=0 0", f"m=audio 9000 {line.protocol} 0"]
        self.answer(request, 200, tag="t", body=Body("application/sdp", "\r\n".join([*head, *keys, ""]).encode()))


@pytest.mark.parametrize(("keying", "profile"), [("sdes", "RTP/SAVP"), ("dtls", "UDP/TLS/RTP/SAVP")])
@pytest.mark.parametrize("refusal", [200, 415, 488, 606])
def test_who_wants_a_secure_profile_is_offered_one(keying: Keying, profile: str, refusal: int) -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1", srtp=SrtpSettings("optional", keying), certificate=PaperCertificate())
    strict = Strict(wire, profile, refusal)
    call = alice.dial("sip:x@10.0.0.9")
    settle(wire, 2)
    assert strict.offers == ["RTP/AVP", profile]
    assert alice.only.is_connected
    assert len({request.call_id for request in strict.requests("INVITE")}) == 2
    told = [name for name in alice.of_call(call) if name.startswith("call.")]
    assert told == ["call.created", "call.calling", "call.ringing", "call.updated", "call.answered", "call.active"]
    assert len(strict.requests("BYE")) == (refusal == 200)
    assert alice.only.view().sip_call_id == strict.requests("INVITE")[-1].call_id
    security = alice.did(media.ConfigureStream)[-1].config.security
    assert isinstance(security, media.SdesKeys if keying == "sdes" else media.DtlsPeer)
    alice.execute(c.Hold())
    settle(wire, 2)
    assert strict.offers[2:] == [profile]  # what holds is offered again


@pytest.mark.parametrize(("keying", "offers"), [
    ("sdes", ["RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVP"]), ("dtls", ["RTP/AVP", "UDP/TLS/RTP/SAVP", "RTP/SAVP"]),
])
@pytest.mark.parametrize("refusal", [200, 488])
@pytest.mark.parametrize("takes", [True, False])
def test_who_wants_the_other_kind_of_keys_is_offered_it(keying: Keying, offers: list[str], refusal: int, takes: bool) -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1", srtp=SrtpSettings("optional", keying), certificate=PaperCertificate())
    strict = Strict(wire, offers[-1] if takes else "none", refusal)
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 3)
    assert strict.offers == (offers if takes else [*offers, "UDP/TLS/RTP/SAVPF"])  # at last what browsers take
    assert bool(alice.calls) is takes
    if takes:
        security = alice.did(media.ConfigureStream)[-1].config.security
        assert isinstance(security, media.DtlsPeer if keying == "sdes" else media.SdesKeys)


def called(alice: VirtualPhone, strict: Strict) -> list[str]:
    """Call, hang up, and return what was offered on the way."""
    before = len(strict.offers)
    alice.dial("sip:x@10.0.0.9")
    settle(alice.wire, 3)
    assert alice.only.is_connected
    alice.execute(c.Hangup())
    settle(alice.wire, 1)
    return strict.offers[before:]


@pytest.mark.parametrize("refusal", [200, 488])
@pytest.mark.parametrize(("profile", "first"), [
    ("RTP/SAVP", ["RTP/AVP", "RTP/SAVP"]), ("UDP/TLS/RTP/SAVP", ["RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVP"]),
    ("UDP/TLS/RTP/SAVPF", ["RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"]),
])  # fmt: skip
def test_who_has_taken_something_else_than_the_usual_is_offered_that_at_once(
    profile: str, first: list[str], refusal: int
) -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1", srtp=SrtpSettings("optional"), certificate=PaperCertificate())
    strict = Strict(wire, profile, refusal)
    assert called(alice, strict) == first
    assert called(alice, strict) == [profile]
    assert called(alice, strict) == [profile]
    strict.profile = "RTP/AVP"  # another phone is there now
    assert called(alice, strict) == [profile, "RTP/AVP"]
    assert called(alice, strict) == ["RTP/AVP"]


def test_who_takes_nothing_any_more_is_offered_everything_once() -> None:
    wire = Wire()
    alice, strict = VirtualPhone(wire, "alice", "10.0.0.1", srtp=SrtpSettings("optional")), Strict(wire, "RTP/SAVP")
    called(alice, strict)
    strict.profile = "none"
    del strict.offers[:]
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 2)
    assert strict.offers == ["RTP/SAVP", "RTP/AVP", "RTP/SAVP"]
    assert not alice.calls


def test_what_far_ends_have_taken_is_remembered_of_so_many_only_and_obeys_the_settings() -> None:
    wire = Wire()
    alice, strict = VirtualPhone(wire, "alice", "10.0.0.1", srtp=SrtpSettings("optional")), Strict(wire, "RTP/SAVP")
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 2)
    call, secrecy = alice.only, alice.phone.secrecy
    alice.execute(c.Hangup())
    settle(wire, 1)
    secrecy.settings = SrtpSettings("off")
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 2)
    assert strict.offers[2:] == ["RTP/AVP"]
    secrecy.settings = SrtpSettings("optional")
    for number in range(MOST_REMEMBERED):
        call.remote = Party(f"sip:{number}@10.0.0.9", "")
        secrecy.remember(call)
    strict.profile = "RTP/AVP"
    assert called(alice, strict) == ["RTP/AVP"]


def test_of_a_group_whoever_answers_is_offered_a_secure_profile_whatever_another_one_said_before() -> None:
    wire = Wire()
    alice, group = VirtualPhone(wire, "alice", "10.0.0.1", srtp=SrtpSettings("optional")), Strict(wire, "RTP/SAVP", 200)
    play, group.on_request = group.play, None
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 1)
    head = ["v=0", "o=x 1 1 IN IP4 10.0.0.9", "s=-", "c=IN IP4 10.0.0.9", "t=0 0", "m=audio 9000 RTP/AVP 0", ""]
    first = group.requests("INVITE")[0]
    group.answer(first, 183, tag="early", body=Body("application/sdp", "\r\n".join(head).encode()))
    settle(wire, 1)
    group.on_request = play
    play(first)  # another phone of the group takes it, and no ordinary line
    settle(wire, 3)
    assert group.offers == ["RTP/AVP", "RTP/SAVP"]
    assert alice.only.is_connected
    assert alice.only.view().media.srtp == "sdes"


@pytest.mark.parametrize(("settings", "offers"), [
    (SrtpSettings("optional"), ["RTP/AVP", "RTP/SAVP"]), (SrtpSettings("off"), ["RTP/AVP"]),
    (SrtpSettings("required"), ["RTP/SAVP"]),
])
def test_who_refuses_either_is_asked_once_more_at_most(settings: SrtpSettings, offers: list[str]) -> None:
    wire = Wire()
    alice, strict = VirtualPhone(wire, "alice", "10.0.0.1", srtp=settings), Strict(wire, "none")
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 2)
    assert strict.offers == offers
    end = alice.ended().end
    assert end is not None
    assert (end.by, end.sip_status) == ("remote", 488)
    assert len(alice.of(e.CallEnded)) == 1
    settle(wire, 100)


@pytest.mark.parametrize(("settings", "offers"), [
    (SrtpSettings("optional"), ["RTP/AVP", "RTP/SAVP"]), (SrtpSettings("off"), ["RTP/AVP"]),
])
def test_who_takes_no_audio_at_all_is_asked_once_more_at_most(settings: SrtpSettings, offers: list[str]) -> None:
    wire = Wire()
    alice, strict = VirtualPhone(wire, "alice", "10.0.0.1", srtp=settings), Strict(wire, "none", 200)
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 2)
    assert strict.offers == offers
    assert len(strict.requests("BYE")) == len(offers)
    end = alice.ended().end
    assert end is not None
    assert (end.by, end.reason) == ("local", "no media: the far end refused audio")
    assert len(alice.of(e.CallEnded)) == 1
    settle(wire, 100)


def test_busy_is_no_matter_of_keys() -> None:
    wire = Wire()
    alice, strict = VirtualPhone(wire, "alice", "10.0.0.1", srtp=SrtpSettings("optional")), Strict(wire, "none", 486)
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 2)
    assert strict.offers == ["RTP/AVP"]


@pytest.mark.parametrize(("keying", "key"), [("sdes", b"a=crypto:"), ("dtls", b"a=fingerprint:")])
def test_what_was_agreed_in_the_clear_goes_on_so_and_who_asks_for_our_offer_gets_keys(keying: Keying, key: bytes) -> None:
    """Janus takes keys out of a hold, answers without any, and hears nothing more."""
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1", srtp=SrtpSettings("optional", keying), certificate=PaperCertificate())
    plain = Peer(wire, "plain", "10.0.0.9")
    head = ["v=0", "o=x 1 1 IN IP4 10.0.0.9", "s=-", "c=IN IP4 10.0.0.9", "t=0 0", "m=audio 9000 RTP/AVP 0", ""]
    answer = Body("application/sdp", "\r\n".join(head).encode())

    def play(request: Request) -> None:
        if request.method == "INVITE":
            plain.answer(request, 200, tag="t", body=answer)

    plain.on_request = play
    alice.dial("sip:x@10.0.0.9")
    settle(wire, 1)
    alice.execute(c.Hold())
    settle(wire, 1)
    first, hold = plain.requests("INVITE")
    assert (key in first.body, key in hold.body) == (True, False)
    lines = (
        f"INVITE {first.contacts[0].uri} SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKb",
        f"From: {first.to.with_tag('t')}", f"To: {first.from_}", f"Call-ID: {first.call_id}", "CSeq: 1 INVITE",
        "Contact: <sip:peer@10.0.0.9>",
    )  # fmt: skip
    plain.send("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode(), alice.node)
    settle(wire, 0.1)
    assert key in plain.responses("INVITE")[-1].body, "it may be for somebody else"
    ack = "\r\n".join([*lines, "Content-Type: application/sdp", f"Content-Length: {len(answer.data)}", "", ""])
    plain.send(ack.replace("INVITE", "ACK").replace("bKb", "bKa").encode() + answer.data, alice.node)
    settle(wire, 0.1)
    alice.execute(c.Resume())
    settle(wire, 1)
    assert key not in plain.requests("INVITE")[-1].body
    assert len(plain.requests("INVITE")) == 3


def test_in_a_call_in_the_clear_the_far_end_may_bring_keys_later() -> None:
    alice, bob = phones(SrtpSettings("optional"), SrtpSettings("off"))
    talk(alice, bob)
    bob.phone.secrecy.settings = SrtpSettings("optional")
    bob.only.security = None
    bob.execute(c.Hold())
    settle(alice.wire, 2)
    assert [phone.only.view().media.srtp for phone in (alice, bob)] == ["sdes", "sdes"]
    alice.execute(c.Hold())
    settle(alice.wire, 2)
    assert keys(alice).send == keys(bob).receive
    over_after_hangup(alice, bob)


@pytest.mark.parametrize("policy", ["optional", "required"])
def test_a_secure_profile_is_answered_in_kind(policy: SrtpPolicy) -> None:
    alice, bob = phones(SrtpSettings("required"), SrtpSettings(policy))
    talk(alice, bob)
    answers = [sent.data for sent in alice.wire.sent if sent.line.startswith("SIP/2.0 200") and b"INVITE" in sent.data]
    assert b" RTP/SAVP 0" in answers[0]
    assert answers[0].count(b"a=crypto:") == 1
    assert [phone.only.view().media.srtp for phone in (alice, bob)] == ["sdes", "sdes"]
    over_after_hangup(alice, bob)
