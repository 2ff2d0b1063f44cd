"""`a=crypto` lines: what can be used, and why the rest cannot."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.media.sdes import SUITES, Crypto, key_bytes, parse_crypto, read_lines

KEY = base64.b64encode(bytes(range(30))).decode()
CM_80 = "AES_CM_128_HMAC_SHA1_80"

cryptos = st.sampled_from(sorted(SUITES)).flatmap(
    lambda suite: st.builds(
        Crypto, st.integers(0, 999_999_999), st.just(suite), st.binary(min_size=key_bytes(suite), max_size=key_bytes(suite)),
        st.binary(max_size=128),
    )
)


@given(cryptos)
def test_what_is_printed_is_read(line: Crypto) -> None:
    assert parse_crypto(str(line)) == line
    assert base64.b64encode(line.key).decode() not in repr(line)


@pytest.mark.parametrize("text", [
    f"1 {CM_80} inline:{KEY}",
    f"1 aes_cm_128_hmac_sha1_80 INLINE:{KEY}",
    f"1 {CM_80} inline:{KEY}|2^48",
    f"1 {CM_80} inline:{KEY}|2^20",
    f"1 {CM_80} inline:{KEY}|1048576",
    f"1 {CM_80} inline:{KEY} WSH=64",
    f"1 {CM_80} inline:{KEY} -NEWS=1",
])  # fmt: skip
def test_lines_that_can_be_used(text: str) -> None:
    assert parse_crypto(text) == Crypto(1, CM_80, bytes(range(30)))


@pytest.mark.parametrize(("text", "mki"), [
    (f"1 {CM_80} inline:{KEY}|1:1", b"\1"),
    (f"1 {CM_80} inline:{KEY}|1:4", b"\0\0\0\1"),
    (f"1 {CM_80} inline:{KEY}|2^20|1066:4 WSH=64", b"\0\0\4\x2a"),
    (f"1 {CM_80} inline:{KEY}|65536|{256**128 - 1}:128", b"\xff" * 128),
])  # fmt: skip
def test_a_key_may_have_a_mark(text: str, mki: bytes) -> None:
    assert parse_crypto(text) == Crypto(1, CM_80, bytes(range(30)), mki)


@pytest.mark.parametrize(("text", "reason"), [
    ("", "not <tag>"),
    (f"1 {CM_80}", "not <tag>"),
    (f"x {CM_80} inline:{KEY}", "not <tag>"),
    (f"1234567890 {CM_80} inline:{KEY}", "not <tag>"),
    (f"1 F8_128_HMAC_SHA1_80 inline:{KEY}", "F8_128_HMAC_SHA1_80 is not supported"),
    (f"1 {CM_80} inline:{KEY}|1:0", "MKI"),
    (f"1 {CM_80} inline:{KEY}|1:129", "MKI"),
    (f"1 {CM_80} inline:{KEY}|256:1", "MKI"),
    (f"1 {CM_80} inline:{KEY}|:4", "MKI"),
    (f"1 {CM_80} inline:{KEY}|x:4", "MKI"),
    (f"1 {CM_80} inline:{KEY}|1:4|2^20", "lifetime is no number"),
    (f"1 {CM_80} inline:{KEY}|1:4;inline:{KEY}|2:4", "one inline key"),
    (f"1 {CM_80} inline:{KEY}|2^49", "out of range"),
    (f"1 {CM_80} inline:{KEY}|2^999999999", "out of range"),
    (f"1 {CM_80} inline:{KEY}|0", "out of range"),
    (f"1 {CM_80} inline:{KEY}|3^4", "no number"),
    (f"1 {CM_80} inline:{KEY}|x", "no number"),
    (f"1 {CM_80} inline:{KEY[:-4]}", "30 bytes, not 27"),
    (f"1 {CM_80} inline:!{KEY[1:]}", "not base64"), (f"1 {CM_80} inline:{KEY[:20]}!!!!{KEY[20:]}", "not base64"),
    (f"1 {CM_80} uri:{KEY}", "one inline key"),
    (f"1 {CM_80} inline:{KEY} UNENCRYPTED_SRTP", "UNENCRYPTED_SRTP is not supported"),
    (f"1 {CM_80} inline:{KEY} KDR=1", "KDR=1 is not supported"),
    (f"1 {CM_80} inline:{KEY} NEWS=1", "NEWS=1 is not supported"),
])  # fmt: skip
def test_lines_that_cannot(text: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason.replace("^", r"\^")):
        parse_crypto(text)


@given(st.text(max_size=200))
def test_anything_is_a_line_or_the_documented_error(text: str) -> None:
    with contextlib.suppress(ParseError):
        assert parse_crypto(text).suite in SUITES


def test_lines_are_sorted_into_usable_and_not() -> None:
    usable, problems = read_lines([f"1 NULL inline:{KEY}", f"2 {CM_80} inline:{KEY}", f"2 {CM_80} inline:{KEY[::-1]}", "?"])
    assert usable == [Crypto(2, CM_80, bytes(range(30)))]
    assert len(problems) == 2
