"""Encrypted sound as the phone sees it: policies, what is told, and why a call cannot be."""

from __future__ import annotations

from typing import get_args

import pytest

from offhook.errors import SecurityRequired
from offhook.media import messages as media
from offhook.media.security import SrtpPolicy
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.secrecy import IN_THE_CLEAR, NOT_ENCRYPTED
from offhook.phone.settings import AccountSettings, SrtpSettings
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
