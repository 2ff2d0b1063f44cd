"""STUN messages (RFC 8489): printed, read, signed and checked. What ICE and TURN add to them are attributes."""

from __future__ import annotations

import hashlib
import hmac
import zlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from offhook.errors import ParseError

MAGIC: Final = bytes.fromhex("2112a442")
"""RFC 8489 5: the cookie in every message, also the key of XOR-MAPPED-ADDRESS."""

DEFAULT_PORT: Final = 3478
"""RFC 8489 8.1: over UDP and TCP."""

TRANSACTION_BYTES: Final = 12
HEADER_BYTES: Final = 20
MAX_ATTRIBUTES: Final = 64  # a binding answer has five to ten

BINDING_REQUEST: Final = 0x0001
BINDING_SUCCESS: Final = 0x0101
BINDING_ERROR: Final = 0x0111

MAPPED_ADDRESS: Final = 0x0001
USERNAME: Final = 0x0006
MESSAGE_INTEGRITY: Final = 0x0008
ERROR_CODE: Final = 0x0009
REALM: Final = 0x0014
NONCE: Final = 0x0015
XOR_MAPPED_ADDRESS: Final = 0x0020
SOFTWARE: Final = 0x8022
FINGERPRINT: Final = 0x8028

_FINGERPRINT_KEY: Final = 0x5354554E
_FAMILY_BYTES: Final = {1: 4, 2: 16}


@dataclass(frozen=True, slots=True)
class StunMessage:
    """One message: its type as on the wire, its transaction id, its attributes in order (values without padding)."""

    kind: int
    transaction: bytes
    attributes: tuple[tuple[int, bytes], ...] = ()

    def get(self, attribute: int) -> bytes | None:
        """Return the first attribute of this type (RFC 8489 14: later ones of the same type may be ignored).

        RFC 8489 14.5: what follows MESSAGE-INTEGRITY is ignored; it is not signed, so anybody on the way could have added it.
        """
        for kind, value in self.attributes:
            if kind == attribute:
                return value
            if kind == MESSAGE_INTEGRITY:
                break
        return None

    @property
    def mapped(self) -> tuple[str, int] | None:
        """The address the server saw, None if it does not say. Raises ParseError if it cannot be read."""
        value = self.get(XOR_MAPPED_ADDRESS)
        if value is not None:
            return _address(value, MAGIC + self.transaction)
        # RFC 8489 14.1: servers of RFC 3489 know only MAPPED-ADDRESS.
        value = self.get(MAPPED_ADDRESS)
        return None if value is None else _address(value, bytes(HEADER_BYTES))

    def address(self, attribute: int) -> tuple[str, int] | None:
        """Return an XORed address attribute, None without; raises ParseError if it cannot be read."""
        value = self.get(attribute)
        return None if value is None else _address(value, MAGIC + self.transaction)

    @property
    def error(self) -> tuple[int, str] | None:
        """The code (300-699) and reason of an error answer, None without."""
        value = self.get(ERROR_CODE)
        if value is None or len(value) < 4:
            return None
        return (value[2] & 7) * 100 + value[3], value[4:].decode("utf-8", "replace")


def is_stun(data: bytes) -> bool:
    """Tell whether a datagram may be STUN: two zero bits and the cookie (RFC 8489 5)."""
    return len(data) >= HEADER_BYTES and data[0] < 0x40 and data[4:8] == MAGIC


def binding_request(transaction: bytes) -> bytes:
    """Return a request; `transaction` is 12 random bytes that the answer repeats."""
    if len(transaction) != TRANSACTION_BYTES:
        raise ValueError(f"a transaction id has {TRANSACTION_BYTES} bytes")
    return encode_stun(StunMessage(BINDING_REQUEST, transaction))


def encode_stun(message: StunMessage) -> bytes:
    """Print a message as it is: nothing is added."""
    body = b"".join(
        kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)
        for kind, value in message.attributes
    )
    return message.kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + MAGIC + message.transaction + body


def encode_signed(message: StunMessage, key: bytes) -> bytes:
    """Print a message with MESSAGE-INTEGRITY (none without a key) and FINGERPRINT (RFC 8489 14.5, 14.7)."""
    text = encode_stun(message)
    if key:
        # The length in the header, as it is signed, counts what has been added so far and the attribute itself.
        text = _with_length(text, 24)
        text += MESSAGE_INTEGRITY.to_bytes(2, "big") + b"\0\x14" + hmac.digest(key, text, hashlib.sha1)
    text = _with_length(text, 8)
    return text + FINGERPRINT.to_bytes(2, "big") + b"\0\4" + (zlib.crc32(text) ^ _FINGERPRINT_KEY).to_bytes(4, "big")


def _with_length(text: bytes, more: int) -> bytes:
    """Return the message with a length that counts `more` octets to come."""
    return text[:2] + (len(text) - HEADER_BYTES + more).to_bytes(2, "big") + text[4:]


def is_signed(data: bytes, key: bytes) -> bool:
    """Tell whether a message that `parse_stun` has read carries the right MESSAGE-INTEGRITY."""
    place = HEADER_BYTES
    while place + 4 <= len(data):
        kind, length = int.from_bytes(data[place:place + 2], "big"), int.from_bytes(data[place + 2:place + 4], "big")
        if kind == MESSAGE_INTEGRITY and length == 20:
            signed = _with_length(data[:place], 24)
            return hmac.compare_digest(hmac.digest(key, signed, hashlib.sha1), data[place + 4:place + 24])
        place += 4 + length + -length % 4
    return False


def error_value(code: int, reason: str) -> bytes:
    """Return the value of ERROR-CODE (RFC 8489 14.8)."""
    return bytes((0, 0, code // 100, code % 100)) + reason.encode()


def mapped_value(address: str, port: int, transaction: bytes) -> bytes:
    """Return the value of XOR-MAPPED-ADDRESS for an address (RFC 8489 14.2)."""
    packed = IPv6Address(address).packed if ":" in address else IPv4Address(address).packed
    family = 2 if ":" in address else 1
    return bytes((0, family)) + _xor(port.to_bytes(2, "big"), MAGIC) + _xor(packed, MAGIC + transaction)


def parse_stun(data: bytes) -> StunMessage:
    """Read one message; raises ParseError (status 0) if it is none, is cut short, or its fingerprint is wrong."""
    if not is_stun(data):
        raise ParseError("not a STUN message", status=0)
    # RFC 8489 5: the length counts what follows the header and is a multiple of four.
    if int.from_bytes(data[2:4], "big") != len(data) - HEADER_BYTES or len(data) % 4:
        raise ParseError("the length of a STUN message is wrong", status=0)
    attributes: list[tuple[int, bytes]] = []
    place = HEADER_BYTES
    while place < len(data):
        kind, length = int.from_bytes(data[place:place + 2], "big"), int.from_bytes(data[place + 2:place + 4], "big")
        value = data[place + 4:place + 4 + length]
        if len(value) < length or len(attributes) >= MAX_ATTRIBUTES:
            raise ParseError("an attribute of a STUN message is cut short, or there are too many", status=0)
        if kind == FINGERPRINT:
            _check_fingerprint(data[:place], value)
        attributes.append((kind, value))
        place += 4 + length + -length % 4
    return StunMessage(int.from_bytes(data[:2], "big"), data[8:HEADER_BYTES], tuple(attributes))


def _check_fingerprint(before: bytes, value: bytes) -> None:
    # RFC 8489 14.7: the CRC-32 of all before it, XOR'ed with "STUN".
    if (zlib.crc32(before) ^ _FINGERPRINT_KEY).to_bytes(4, "big") != value:
        raise ParseError("the fingerprint of a STUN message is wrong", status=0)


def _address(value: bytes, key: bytes) -> tuple[str, int]:
    size = _FAMILY_BYTES.get(value[1], 0) if len(value) > 1 else 0
    if not size or len(value) != 4 + size:
        raise ParseError("an address in a STUN message cannot be read", status=0)
    port = int.from_bytes(_xor(value[2:4], key), "big")
    packed = _xor(value[4:], key)
    return str(IPv4Address(packed) if size == 4 else IPv6Address(packed)), port


def _xor(value: bytes, key: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(value, key, strict=False))
