"""Agreeing on encryption: every policy against every policy, and what the far end may say wrongly."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import MediaNegotiationFailed, SecurityRequired
from offhook.media.messages import DtlsPeer, SdesKeys
from offhook.media.negotiate import LocalMedia, accept_answer, audio_protocol, make_answer, make_offer
from offhook.media.sdes import SUITES, Crypto, key_bytes
from offhook.media.sdp import parse_sdp
from offhook.media.security import Keying, Security, SrtpPolicy, agreed

PRINT = "sha-256 " + ":".join(f"{number:02X}" for number in range(32))
OTHER = "sha-256 " + ":".join(f"{number:02X}" for number in range(32, 64))
CM_80, CM_32, GCM = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM"


def key(suite: str, seed: int) -> bytes:
    return bytes((seed + number) % 256 for number in range(key_bytes(suite)))


def lines(*suites: str, seed: int = 1) -> tuple[Crypto, ...]:
    return tuple(Crypto(tag, suite, key(suite, seed)) for tag, suite in enumerate(suites, 1))


def phone(policy: SrtpPolicy, keying: Keying = "sdes", *, seed: int = 1, suites: tuple[str, ...] = tuple(SUITES),
          fingerprint: str = PRINT) -> LocalMedia:  # fmt: skip
    security = Security(policy, keying, lines(*suites, seed=seed), fingerprint)
    return LocalMedia(f"192.0.2.{seed}", 4000 + 2 * seed, security=security, rtcp_mux=keying == "dtls")


def offer_of(*media: str) -> bytes:
    head = ["v=0", "o=x 7 7 IN IP4 198.51.100.7", "s=-", "c=IN IP4 198.51.100.7", "t=0 0"]
    return "\r\n".join([*head, *media, ""]).encode()


def inline(suite: str, seed: int = 9) -> str:
    return "inline:" + base64.b64encode(key(suite, seed)).decode()


policies: st.SearchStrategy[SrtpPolicy] = st.sampled_from(get_args(SrtpPolicy))
keyings: st.SearchStrategy[Keying] = st.sampled_from(get_args(Keying))
some_suites = st.permutations(sorted(SUITES)).flatmap(lambda each: st.integers(1, 4).map(lambda n: tuple(each[:n])))


@given(mine=policies, theirs=policies, how=keyings, other=keyings, ours=some_suites, others=some_suites, dtls=st.booleans())
def test_both_sides_agree_or_there_is_no_call(
    mine: SrtpPolicy, theirs: SrtpPolicy, how: Keying, other: Keying, ours: tuple[str, ...], others: tuple[str, ...],
    dtls: bool,
) -> None:
    alice = phone(mine, how, seed=1, suites=ours)
    bob = phone(theirs, other, seed=2, suites=others, fingerprint=OTHER if dtls else "")
    offer = make_offer(alice, 1, 1)
    possible = dtls if how == "dtls" else bool(set(ours) & set(others))
    refused = "required" in (mine, theirs) and ("off" in (mine, theirs) or not possible)
    try:
        answer, at_bob = make_answer(bob, offer, 2, 1)
        at_alice = accept_answer(alice, offer, answer)
    except MediaNegotiationFailed:
        assert refused
        return
    assert not refused
    if mine == "off" or theirs == "off" or not possible:
        assert at_alice.security is at_bob.security is None
    elif how == "sdes":
        assert isinstance(at_alice.security, SdesKeys)
        assert isinstance(at_bob.security, SdesKeys)
        # RFC 4568 5.1.2: the first of the offer that both have.
        assert at_alice.security.suite == at_bob.security.suite == next(suite for suite in ours if suite in others)
        assert at_alice.security.send == at_bob.security.receive == key(at_alice.security.suite, 1)
        assert at_bob.security.send == at_alice.security.receive == key(at_bob.security.suite, 2)
    else:
        assert at_bob.security == DtlsPeer("client", (("sha-256", PRINT.split()[1]),))
        assert at_alice.security == DtlsPeer("server", (("sha-256", OTHER.split()[1]),))
        assert at_alice.rtcp_mux
        assert at_bob.rtcp_mux
        assert at_alice.remote_rtcp == at_alice.remote
    assert audio_protocol(answer) == audio_protocol(offer)


def test_profiles_by_policy() -> None:
    assert audio_protocol(make_offer(phone("off"), 1, 1)) == "RTP/AVP"
    assert b"crypto" not in make_offer(phone("off"), 1, 1)
    assert audio_protocol(make_offer(phone("optional"), 1, 1)) == "RTP/AVP"
    assert audio_protocol(make_offer(phone("required"), 1, 1)) == "RTP/SAVP"
    assert audio_protocol(make_offer(phone("required", "dtls"), 1, 1)) == "UDP/TLS/RTP/SAVP"
    with pytest.raises(SecurityRequired, match=r"offhook\[dtls\]"):
        make_offer(phone("required", "dtls", fingerprint=""), 1, 1)


def test_a_secure_offer_is_refused_with_a_reason_where_srtp_is_off() -> None:
    with pytest.raises(MediaNegotiationFailed, match=r"wants encrypted sound .RTP/SAVP., and srtp is off here"):
        make_answer(phone("off"), make_offer(phone("required"), 1, 1), 1, 1)


def test_a_plain_offer_is_refused_with_a_reason_where_srtp_is_required() -> None:
    with pytest.raises(SecurityRequired, match="offers no encryption, and srtp is required here"):
        make_answer(phone("required"), make_offer(phone("off"), 1, 1), 1, 1)


def test_a_plain_answer_is_refused_where_srtp_is_required() -> None:
    offer = make_offer(phone("required"), 1, 1)
    plain = offer_of("m=audio 30000 RTP/AVP 0")
    with pytest.raises(SecurityRequired, match="answered without encryption"):
        accept_answer(phone("required"), offer, plain)


def test_the_encrypted_of_two_lines_is_taken() -> None:
    offer = offer_of("m=audio 30000 RTP/AVP 0", "m=audio 30002 RTP/SAVP 0", f"a=crypto:4 {CM_80} {inline(CM_80)}")
    answer, config = make_answer(phone("optional"), offer, 1, 1)
    assert [line.port > 0 for line in parse_sdp(answer).media] == [False, True]
    assert parse_sdp(answer).media[1].values("crypto")[0].startswith(f"4 {CM_80} inline:")
    assert isinstance(config.security, SdesKeys)
    answer, config = make_answer(phone("off"), offer, 1, 1)
    assert [line.port > 0 for line in parse_sdp(answer).media] == [True, False]
    assert config.security is None


def test_lines_that_cannot_be_used_are_passed_over() -> None:
    offer = offer_of(
        "m=audio 30000 RTP/SAVP 0", f"a=crypto:1 {GCM} {inline(GCM)}|1:4;{inline(GCM, 8)}|2:4",
        f"a=crypto:2 {CM_32} {inline(CM_32)}",
    )  # fmt: skip
    answer, _ = make_answer(phone("optional"), offer, 1, 1)
    assert parse_sdp(answer).media[0].values("crypto")[0].startswith(f"2 {CM_32}")
    with pytest.raises(MediaNegotiationFailed, match="MKI"):
        make_answer(phone("optional"), offer_of("m=audio 3 RTP/SAVP 0", f"a=crypto:1 {GCM} {inline(GCM)}|1:0"), 1, 1)
    with pytest.raises(MediaNegotiationFailed, match="without any key"):
        make_answer(phone("optional"), offer_of("m=audio 3 RTP/SAVP 0"), 1, 1)


def test_who_marks_packets_is_answered_in_kind_and_so_it_stays() -> None:
    bob = phone("required")
    answer, config = make_answer(bob, offer_of("m=audio 9 RTP/SAVP 0", f"a=crypto:7 {GCM} {inline(GCM)}|2^20|1066:4"), 1, 1)
    mki = b"\0\0\4\x2a"
    said = f"{GCM} {inline(GCM, 1)}"
    assert parse_sdp(answer).media[0].values("crypto") == [f"7 {said}|1066:4"]
    assert config.security == SdesKeys(GCM, key(GCM, 1), key(GCM, 9), send_mki=mki, receive_mki=mki)
    later = replace(bob, security=agreed(bob.security, config, "RTP/SAVP"))
    offer = make_offer(later, 1, 2)
    marked = [each for each in parse_sdp(offer).media[0].values("crypto") if "|" in each]
    assert [each.partition(" ")[2] for each in marked] == [f"{said}|1066:4"]
    # The far end's word counts for its own packets, ours for ours.
    answer = offer_of("m=audio 9 RTP/SAVP 0", f"a=crypto:{marked[0].partition(' ')[0]} {GCM} {inline(GCM)}")
    assert accept_answer(later, offer, answer).security == SdesKeys(GCM, key(GCM, 1), key(GCM, 9), send_mki=mki)


@pytest.mark.parametrize(("crypto", "reason"), [
    ((f"2 {CM_32} {inline(CM_32)}",), "was not offered"),
    ((f"1 {GCM} {inline(GCM)}", f"2 {CM_80} {inline(CM_80)}"), "more than one"),
    ((f"1 {GCM} {inline(CM_80)}",), "28 bytes"),
])  # fmt: skip
def test_answers_that_break_the_rules(crypto: tuple[str, ...], reason: str) -> None:
    alice = phone("optional", suites=(GCM, CM_80))
    answer = offer_of("m=audio 30000 RTP/AVP 0", *(f"a=crypto:{line}" for line in crypto))
    with pytest.raises(MediaNegotiationFailed, match=reason):
        accept_answer(alice, make_offer(alice, 1, 1), answer)


@pytest.mark.parametrize("tag", ["9", "1"])  # of nothing that was offered, of another suite
def test_the_suite_of_an_answer_counts_whatever_its_tag(tag: str) -> None:
    alice = phone("optional", suites=(GCM, CM_80))
    answer = offer_of("m=audio 30000 RTP/AVP 0", f"a=crypto:{tag} {CM_80} {inline(CM_80)}")
    keys = accept_answer(alice, make_offer(alice, 1, 1), answer).security
    assert isinstance(keys, SdesKeys)
    assert (keys.suite, keys.send) == (CM_80, alice.security.lines[1].key)


@pytest.mark.parametrize(("setup", "ours", "role"), [
    ("actpass", "active", "client"), ("passive", "active", "client"), ("active", "passive", "server"),
])  # fmt: skip
def test_the_answer_says_who_begins(setup: str, ours: str, role: str) -> None:
    offer = offer_of("m=audio 30000 UDP/TLS/RTP/SAVPF 0", f"a=fingerprint:{OTHER.lower()}", f"a=setup:{setup}", "a=rtcp-mux")
    answer, config = make_answer(phone("optional"), offer, 1, 1)
    assert config.security == DtlsPeer(role, (("sha-256", OTHER.split()[1]),))  # type: ignore[arg-type]
    assert parse_sdp(answer).media[0].attribute("setup") == ours
    assert parse_sdp(answer).media[0].attribute("fingerprint") == PRINT


@pytest.mark.parametrize("keying", ["sdes", "dtls"])
def test_the_other_way_to_agree_on_keys_is_taken_where_there_is_no_choice(keying: Keying) -> None:
    sdes = offer_of("m=audio 30000 RTP/SAVP 0", f"a=crypto:1 {CM_80} {inline(CM_80)}")
    dtls = offer_of("m=audio 30000 UDP/TLS/RTP/SAVPF 0", f"a=fingerprint:{OTHER}", "a=setup:actpass", "a=rtcp-mux")
    assert isinstance(make_answer(phone("required", keying), sdes, 1, 1)[1].security, SdesKeys)
    assert isinstance(make_answer(phone("required", keying), dtls, 1, 1)[1].security, DtlsPeer)


@pytest.mark.parametrize("setup", ["actpass", "holdconn", ""])
def test_an_answer_has_to_say_who_begins(setup: str) -> None:
    """RFC 5763 5: the answer is active or passive."""
    alice = phone("required", "dtls")
    answer = offer_of("m=audio 30000 UDP/TLS/RTP/SAVPF 0", f"a=fingerprint:{OTHER}", f"a=setup:{setup}", "a=rtcp-mux")
    if setup:
        with pytest.raises(MediaNegotiationFailed, match=setup):
            accept_answer(alice, make_offer(alice, 1, 1), answer)
    else:
        accept_answer(alice, make_offer(alice, 1, 1), answer.replace(b"a=setup:\r\n", b""))


@pytest.mark.parametrize(("setup", "fingerprint", "ours"), [
    ("actpass", OTHER, "passive"),  # the same handshake: as it was
    ("active", OTHER, "passive"),
    ("passive", OTHER, "active"),  # the far end wants it otherwise
    ("actpass", OTHER.replace("3F", "FF"), "active"),  # another certificate: a new handshake, which begins with the answer
])  # fmt: skip
def test_who_has_waited_for_the_handshake_goes_on_to(setup: str, fingerprint: str, ours: str) -> None:
    """Browsers end the call where the roles of a handshake that is over are turned around (RFC 8842 5.5)."""
    alice = phone("required", "dtls")
    offer = make_offer(alice, 1, 1)
    answer = offer_of("m=audio 30000 UDP/TLS/RTP/SAVPF 0", f"a=fingerprint:{OTHER}", "a=setup:active", "a=rtcp-mux")
    config = accept_answer(alice, offer, answer)
    assert config.security == DtlsPeer("server", (("sha-256", OTHER.split()[1]),))
    alice = replace(alice, security=agreed(alice.security, config, audio_protocol(answer)))
    later = answer.replace(b"setup:active", f"setup:{setup}".encode()).replace(OTHER.encode(), fingerprint.encode())
    assert parse_sdp(make_answer(alice, later, 1, 2)[0]).media[0].attribute("setup") == ours


def test_fingerprints_of_the_whole_session_count() -> None:
    offer = re.sub(b"t=0 0\r\n", f"t=0 0\r\na=fingerprint:{OTHER}\r\na=setup:actpass\r\n".encode(),
                   offer_of("m=audio 30000 UDP/TLS/RTP/SAVP 0"))  # fmt: skip
    assert isinstance(make_answer(phone("optional"), offer, 1, 1)[1].security, DtlsPeer)


@pytest.mark.parametrize(("attributes", "reason"), [
    ((), "without a fingerprint"),
    (("a=fingerprint:md5 " + ":".join(["00"] * 16), "a=setup:actpass"), "without a fingerprint"),
    (("a=fingerprint:sha-256 zz", "a=setup:actpass"), "without a fingerprint"),
    ((f"a=fingerprint:{OTHER}", "a=setup:holdconn"), "holdconn cannot be answered"),
])  # fmt: skip
def test_dtls_offers_that_cannot_be_answered(attributes: tuple[str, ...], reason: str) -> None:
    with pytest.raises(MediaNegotiationFailed, match=reason):
        make_answer(phone("optional"), offer_of("m=audio 30000 UDP/TLS/RTP/SAVP 0", *attributes), 1, 1)


def test_dtls_without_the_extra_says_what_to_install() -> None:
    offer = make_offer(phone("required", "dtls"), 1, 1)
    with pytest.raises(MediaNegotiationFailed, match=r"pip install 'offhook\[dtls\]'"):
        make_answer(phone("optional", fingerprint=""), offer, 1, 1)


@given(mine=policies, theirs=policies, how=keyings)
def test_later_offers_keep_what_was_agreed(mine: SrtpPolicy, theirs: SrtpPolicy, how: Keying) -> None:
    alice, bob = phone(mine, how, seed=1), phone(theirs, seed=2, fingerprint=OTHER)
    offer = make_offer(alice, 1, 1)
    try:
        answer, at_bob = make_answer(bob, offer, 2, 1)
    except MediaNegotiationFailed:
        return
    later = replace(bob, security=agreed(bob.security, at_bob, audio_protocol(answer)), rtcp_mux=at_bob.rtcp_mux)
    again = make_offer(later, 2, 2, "sendonly", previous=answer)
    if at_bob.security is not None:
        assert audio_protocol(again) == audio_protocol(answer)
    reply, at_alice = make_answer(alice, again, 1, 2)
    assert type(at_alice.security) is type(accept_answer(later, again, reply).security)
    assert type(at_alice.security) is type(at_bob.security) or mine == "off" or theirs != mine
