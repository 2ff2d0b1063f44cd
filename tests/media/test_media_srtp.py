"""SRTP against RFC 3711's own figures and against AES and HMAC from another library."""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.media import srtp
from offhook.media.sdes import SUITES, key_bytes
from offhook.media.srtp import SEARCHES, LateOpening, Opening, Sealing

SSRC = 0xCAFEBABE
CM_80, GCM = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"
suites = st.sampled_from(sorted(SUITES))


def derive(key: bytes, salt: bytes, label: int, length: int) -> bytes:
    """RFC 3711 4.3.3, with a key derivation rate of 0. RFC 7714 11: a short salt is padded on the right."""
    start = int.from_bytes(salt.ljust(14, b"\0"), "big") ^ label << 48
    counter = (start << 16).to_bytes(16, "big")
    return Cipher(AES(key), CTR(counter)).encryptor().update(bytes(length))


def packet(sequence: int, payload: bytes = b"what is said") -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence, 160 * sequence, SSRC) + payload


def key_of(suite: str) -> bytes:
    return bytes(range(key_bytes(suite)))


def test_keys_are_derived_as_rfc_3711_says(testdata: Path) -> None:
    given_ = json.loads((testdata / "vectors" / "rfc3711_appB.json").read_text())["b3_kdf"]
    key, salt = bytes.fromhex(given_["master_key"]), bytes.fromhex(given_["master_salt"])
    assert derive(key, salt, 0, 16) == bytes.fromhex(given_["cipher_key"])
    assert derive(key, salt, 2, 14) == bytes.fromhex(given_["cipher_salt"])
    assert derive(key, salt, 1, 94) == bytes.fromhex(given_["auth_key"])


@pytest.mark.parametrize(("suite", "tag"), [(CM_80, 10), ("AES_CM_128_HMAC_SHA1_32", 4)])
def test_a_packet_is_what_aes_and_hmac_make_of_it(suite: str, tag: int) -> None:
    master = key_of(suite)
    key, salt = master[:16], master[16:]
    plain = packet(7)
    iv = int.from_bytes(derive(key, salt, 2, 14), "big") << 16 ^ SSRC << 64 ^ 7 << 16  # RFC 3711 4.1.1
    cipher = Cipher(AES(derive(key, salt, 0, 16)), CTR(iv.to_bytes(16, "big"))).encryptor()
    sealed = plain[:12] + cipher.update(plain[12:])
    code = hmac.new(derive(key, salt, 1, 20), sealed + bytes(4), hashlib.sha1).digest()[:tag]
    assert Sealing(suite, master).seal(plain) == sealed + code


@pytest.mark.parametrize(("suite", "size"), [("AEAD_AES_128_GCM", 16), (GCM, 32)])
def test_a_packet_is_what_gcm_makes_of_it(suite: str, size: int) -> None:
    master = key_of(suite)
    key, salt = master[:size], master[size:]
    plain = packet(7)
    # RFC 7714 8.1: two zero octets, SSRC, rollover counter, sequence number, XORed with the salt.
    iv = int.from_bytes(derive(key, salt, 2, 12), "big") ^ (SSRC << 48 | 7)
    expected = AESGCM(derive(key, salt, 0, size)).encrypt(iv.to_bytes(12, "big"), plain[12:], plain[:12])
    assert Sealing(suite, master).seal(plain) == plain[:12] + expected


@pytest.mark.parametrize(("suite", "tag", "control_tag"), [
    (CM_80, 10, 10), ("AES_CM_128_HMAC_SHA1_32", 4, 10), ("AEAD_AES_128_GCM", 0, 0), (GCM, 0, 0),
])  # fmt: skip
def test_a_mark_stands_before_the_tag_or_behind_what_has_it_within(suite: str, tag: int, control_tag: int) -> None:
    """RFC 3711 3.1, 3.4, RFC 4568 6.2.2 (RTCP has the long tag), RFC 7714 8.2, 9.2. libsrtp 2.5 makes the same octets."""
    mki, report = b"\0\0\4\x2a", struct.pack("!BBHI", 0x80, 201, 1, SSRC)
    plain, marked = Sealing(suite, key_of(suite)), Sealing(suite, key_of(suite), mki)
    opening = Opening(suite, key_of(suite), mki)
    for number in range(3):
        sealed = plain.seal(packet(number))
        found = marked.seal(packet(number))
        assert found == sealed[:len(sealed) - tag] + mki + sealed[len(sealed) - tag:]
        assert opening.open(sealed) == b""
        assert opening.open(found) == packet(number)
        sealed = plain.seal_control(report)
        found = marked.seal_control(report)
        assert found == sealed[:len(sealed) - control_tag] + mki + sealed[len(sealed) - control_tag:]
        assert opening.open_control(sealed) == b""
        assert opening.open_control(found) == report


@given(suite=suites, payload=st.binary(max_size=1200))
def test_what_is_sealed_opens_once(suite: str, payload: bytes) -> None:
    sealing, opening = Sealing(suite, key_of(suite)), Opening(suite, key_of(suite))
    sealed = sealing.seal(packet(1, payload))
    assert opening.open(sealed) == packet(1, payload)
    assert opening.open(sealed) == b""  # a packet that was here before
    report = struct.pack("!BBHI", 0x80, 201, 1, SSRC)
    closed = sealing.seal_control(report)
    assert report[8:] not in closed or len(closed) > len(report)
    assert opening.open_control(closed) == report
    assert opening.open_control(closed) == b""


@given(suite=suites, place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_no_octet_can_be_changed(suite: str, place: int, change: int) -> None:
    sealed = bytearray(Sealing(suite, key_of(suite)).seal(packet(1)))
    sealed[place % len(sealed)] ^= change
    assert Opening(suite, key_of(suite)).open(bytes(sealed)) == b""


@given(suite=suites, rubbish=st.binary(max_size=3000), mki=st.binary(max_size=4))
def test_rubbish_opens_to_nothing(suite: str, rubbish: bytes, mki: bytes) -> None:
    opening = Opening(suite, key_of(suite), mki)
    assert opening.open(rubbish) == b""
    assert opening.open_control(rubbish) == b""
    assert opening.open(Sealing(suite, key_of(suite), mki).seal(packet(1))) == packet(1)


@given(suite=suites, cut=st.integers(0, 60))
def test_a_cut_packet_opens_to_nothing(suite: str, cut: int) -> None:
    sealed = Sealing(suite, key_of(suite)).seal(packet(1))
    assert Opening(suite, key_of(suite)).open(sealed[:min(cut, len(sealed) - 1)]) == b""


def test_the_wrong_key_opens_nothing() -> None:
    for suite in SUITES:
        assert Opening(suite, key_of(suite)[::-1]).open(Sealing(suite, key_of(suite)).seal(packet(1))) == b""


def test_sequence_numbers_may_begin_again_at_zero() -> None:
    sealing, opening = Sealing(CM_80, key_of(CM_80)), Opening(CM_80, key_of(CM_80))
    for sequence in range(65_000, 66_500):
        plain = packet(sequence % 65_536)
        assert opening.open(sealing.seal(plain)) == plain


def test_disorder_within_the_window_is_no_harm() -> None:
    sealing, opening = Sealing(GCM, key_of(GCM)), Opening(GCM, key_of(GCM))
    sealed = [sealing.seal(packet(number)) for number in range(100)]
    assert all(opening.open(each) for each in sealed[::-1])
    assert not any(opening.open(each) for each in sealed)


@given(suite=suites, turns=st.integers(0, 40), first=st.integers(0, 65_535), mki=st.binary(max_size=2))
def test_what_is_seen_in_the_midst_of_a_call_opens(suite: str, turns: int, first: int, mki: bytes) -> None:
    sealing = Sealing(suite, key_of(suite), mki)
    index = turns * 65_536 + first
    for before in range(0, index, 30_000):
        sealing.seal(packet(before % 65_536))
    sealed = [(plain, sealing.seal(plain)) for plain in (packet((index + number) % 65_536) for number in range(60))]
    late = LateOpening(suite, key_of(suite), mki)
    for plain, each in (sealed[40], *sealed[:20], *sealed[41:]):
        assert late.open(each) == plain
        assert late.open(each) == b""
    if index > 65_535:
        assert Opening(suite, key_of(suite), mki).open(sealed[0][1]) == b""


@pytest.mark.plain
def test_what_opens_nothing_is_searched_for_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    late, sealing = LateOpening(CM_80, key_of(CM_80)), Sealing(CM_80, key_of(CM_80))
    assert not any(late.open(packet(number, bytes(20))) for number in range(SEARCHES))
    monkeypatch.setattr(srtp, "Sealing", None)  # which each search needs
    assert not any(late.open(each) for each in (packet(100, bytes(20)), b"", b"\x80"))
    report = struct.pack("!BBHI", 0x80, 201, 1, SSRC)
    assert late.open_control(sealing.seal_control(report)) == report


def test_what_is_too_long_is_not_sent() -> None:
    assert Sealing(GCM, key_of(GCM)).seal(packet(1, bytes(1490))) == b""
    assert Sealing(GCM, key_of(GCM)).seal_control(bytes(1490)) == b""


def test_keys_that_are_none_are_refused() -> None:
    for suite, key in ((CM_80, b"short"), ("ROT13", bytes(30))):
        with pytest.raises(ParseError):
            Sealing(suite, key)
        with pytest.raises(ParseError):
            Opening(suite, key)
