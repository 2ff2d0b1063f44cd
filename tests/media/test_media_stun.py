"""STUN messages against the RFC's own vectors, captures, and bytes that are none."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.media import stun

TRANSACTION = bytes(range(12))


def vector(testdata: Path, name: str) -> bytes:
    vectors = json.loads((testdata / "vectors" / "rfc5769_stun.json").read_text())
    return bytes.fromhex(vectors[name]["hex"])


@pytest.mark.parametrize(("name", "address"), [
    ("2.2 Sample IPv4 Response", "192.0.2.1"),
    ("2.3 Sample IPv6 Response", "2001:db8:1234:5678:11:2233:4455:6677"),
])  # fmt: skip
def test_the_vectors_of_rfc_5769_are_read(testdata: Path, name: str, address: str) -> None:
    message = stun.parse_stun(vector(testdata, name))
    assert message.kind == stun.BINDING_SUCCESS
    assert message.get(stun.SOFTWARE) == b"test vector"
    assert message.mapped == (address, 32853)
    assert message.transaction.hex() == "b7e7a701bc34d686fa87dfae"
    assert message.get(stun.XOR_MAPPED_ADDRESS) == stun.mapped_value(address, 32853, message.transaction)


def test_a_changed_bit_is_noticed_by_the_fingerprint(testdata: Path) -> None:
    data = bytearray(vector(testdata, "2.2 Sample IPv4 Response"))
    data[30] ^= 1
    with pytest.raises(ParseError, match="fingerprint"):
        stun.parse_stun(bytes(data))


def test_who_does_not_know_the_password_cannot_sign(testdata: Path) -> None:
    data, password = vector(testdata, "2.2 Sample IPv4 Response"), b"VOkJxbRl1RmTxUk/WvJxBt"
    assert stun.is_signed(data, password)
    assert not stun.is_signed(data, b"guessed")
    assert not stun.is_signed(stun.encode_signed(stun.parse_stun(data), b""), b"guessed")
    assert not stun.is_signed(stun.binding_request(TRANSACTION), password), "no signature is none"


def test_what_somebody_adds_behind_the_signature_is_ignored() -> None:
    """RFC 8489 14.5: it is not signed, so anybody on the way could have written it."""
    signed = stun.parse_stun(stun.encode_signed(stun.StunMessage(stun.BINDING_REQUEST, TRANSACTION, ((6, b"a:b"),)), b"key"))
    more = (*signed.attributes[:-1], (0x0025, b""), (stun.USERNAME, b"c:d"))  # USE-CANDIDATE; the fingerprint may be made anew
    message = stun.parse_stun(stun.encode_signed(stun.StunMessage(stun.BINDING_REQUEST, TRANSACTION, more), b""))
    assert stun.is_signed(stun.encode_signed(message, b""), b"key")
    assert message.get(stun.USERNAME) == b"a:b"
    assert message.get(0x0025) is None


def test_captured_messages_are_read(testdata: Path) -> None:
    folder = testdata / "stun"
    request, answer = (folder / "binding_request.bin").read_bytes(), (folder / "binding_response.bin").read_bytes()
    asked = stun.parse_stun(request)
    assert stun.binding_request(asked.transaction) == request
    answered = stun.parse_stun(answer)
    assert answered.transaction == asked.transaction
    assert answered.mapped == ("80.200.136.90", 53054)
    assert stun.encode_stun(answered) == answer
    for name in ("binding_request_ice_controlled.bin", "binding_request_ice_controlling.bin"):
        assert stun.parse_stun((folder / name).read_bytes()).kind == stun.BINDING_REQUEST


def test_an_old_server_says_it_without_the_key() -> None:
    value = bytes((0, 1)) + (5060).to_bytes(2, "big") + bytes((203, 0, 113, 9))
    message = stun.StunMessage(stun.BINDING_SUCCESS, TRANSACTION, ((stun.MAPPED_ADDRESS, value),))
    assert stun.parse_stun(stun.encode_stun(message)).mapped == ("203.0.113.9", 5060)


def test_an_error_has_its_code_and_reason() -> None:
    message = stun.StunMessage(stun.BINDING_ERROR, TRANSACTION, ((stun.ERROR_CODE, b"\0\0\x04\x14no way"),))
    assert stun.parse_stun(stun.encode_stun(message)).error == (420, "no way")
    assert stun.StunMessage(stun.BINDING_ERROR, TRANSACTION).error is None
    assert stun.StunMessage(stun.BINDING_SUCCESS, TRANSACTION).mapped is None


def test_a_transaction_id_has_twelve_bytes() -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        stun.binding_request(b"short")


@pytest.mark.parametrize("data", [
    b"", b"SIP/2.0 200 OK\r\n\r\n", stun.binding_request(TRANSACTION)[:-1], stun.binding_request(TRANSACTION) + b"\0\0\0\0",
    b"\x01\x01\x00\x04" + stun.MAGIC + TRANSACTION + b"\x00\x20\x00\x08",
])  # fmt: skip
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        stun.parse_stun(data)


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\3\0\0\0\0\0\0", b"\0\1\0\0\0", b"\0\2\0\0\0\0\0\0"])
def test_an_unreadable_address_is_refused(value: bytes) -> None:
    with pytest.raises(ParseError):
        _ = stun.StunMessage(stun.BINDING_SUCCESS, TRANSACTION, ((stun.XOR_MAPPED_ADDRESS, value),)).mapped


_ATTRIBUTES = st.lists(st.tuples(st.integers(0, 0x7FFF), st.binary(max_size=40)), max_size=8).map(tuple)


@given(st.integers(0, 0x3FFF), st.binary(min_size=12, max_size=12), _ATTRIBUTES)
def test_what_is_printed_is_read_back(kind: int, transaction: bytes, attributes: tuple[tuple[int, bytes], ...]) -> None:
    message = stun.StunMessage(kind, transaction, attributes)
    assert stun.parse_stun(stun.encode_stun(message)) == message


@given(st.binary(max_size=120))
def test_nothing_but_the_documented_error_is_raised(tail: bytes) -> None:
    length = len(tail).to_bytes(2, "big")
    for data in (tail, b"\x01\x01" + length + stun.MAGIC + tail):
        with contextlib.suppress(ParseError):
            assert stun.parse_stun(data).transaction == data[8:20]
            _ = stun.parse_stun(data).mapped
