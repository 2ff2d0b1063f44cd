"""Keys in SDP: the `a=crypto` lines of RFC 4568, read, printed and chosen from."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from offhook.errors import ParseError

# Cipher suites by name: bytes of master key and of master salt (RFC 4568 6.2, RFC 7714 14.2). The strongest first.
SUITES: Final[dict[str, tuple[int, int]]] = {
    "AEAD_AES_256_GCM": (32, 12),
    "AEAD_AES_128_GCM": (16, 12),
    "AES_CM_128_HMAC_SHA1_80": (16, 14),
    "AES_CM_128_HMAC_SHA1_32": (16, 14),
}
# RFC 4568 6.1: the greatest number of packets under one master key (RFC 3711 9.2: 2^48 SRTP packets).
MAX_LIFETIME: Final = 2**48
# RFC 4568 9.1: octets of an MKI. The greatest number in so many has 309 digits.
MAX_MKI: Final = 128
_MKI: Final = re.compile(r"([0-9]{1,309}):([0-9]{1,3})")
# RFC 4568 9.1: a tag has one to nine digits.
_TAG: Final = re.compile(r"[0-9]{1,9}")
# Lines of one description that are looked at: nobody offers a tenth of that.
MAX_LINES: Final = 32


@dataclass(frozen=True, slots=True)
class Crypto:
    """One `a=crypto` line: `key` is the master key followed by the salt, for what the writer of the line sends.

    `mki` marks the packets under it, b"" if they have no mark.
    """

    tag: int
    suite: str
    key: bytes
    mki: bytes = b""

    def __repr__(self) -> str:
        return f"Crypto({self.tag}, {self.suite}, …)"  # a key in a log is a key given away

    def __str__(self) -> str:
        mark = f"|{print_mki(self.mki)}" if self.mki else ""
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}{mark}"


def print_mki(mki: bytes) -> str:
    """Return an MKI as in `a=crypto` (RFC 4568 6.1): a number and how many octets it has, "" without one."""
    return f"{int.from_bytes(mki, 'big')}:{len(mki)}" if mki else ""


def key_bytes(suite: str) -> int:
    """Return the length of a suite's master key and salt together."""
    return sum(SUITES[suite])


def parse_crypto(text: str) -> Crypto:
    """Read the value of one line; raises ParseError for what is malformed, and for what we cannot do, saying which.

    Refused are suites that are not in SUITES, several keys in a line (RFC 4568 6.1: an MKI says which is meant), and session
    parameters that change the packets (RFC 4568 6.3); those that may be ignored ("-" before them, WSH) are.
    """
    parts = text.split()
    if len(parts) < 3 or not _TAG.fullmatch(parts[0]):
        raise ParseError("a=crypto is not <tag> <suite> <key>")
    suite = parts[1].upper()
    if suite not in SUITES:
        raise ParseError(f"a=crypto: the suite {parts[1][:40]} is not supported")
    for parameter in parts[3:]:
        # RFC 4568 6.3.7: an unknown parameter makes the line unusable unless a "-" says that it may be ignored.
        if not parameter.startswith("-") and not parameter.upper().startswith("WSH="):
            raise ParseError(f"a=crypto: the session parameter {parameter[:40]} is not supported")
    return Crypto(int(parts[0]), suite, *_key(parts[2], suite))


def _key(text: str, suite: str) -> tuple[bytes, bytes]:
    """Return the key and its MKI."""
    method, colon, rest = text.partition(":")
    if method.lower() != "inline" or not colon or ";" in rest:
        raise ParseError("a=crypto: one inline key is needed")
    encoded, *extras = rest.split("|")
    mki = b""
    for place, extra in enumerate(extras, 1):
        # RFC 4568 9.2: the lifetime is a number or 2^number; with a colon, and as the last of them, it is an MKI.
        if ":" in extra and place == len(extras):
            mki = _mki(extra)
        elif not 1 <= _lifetime(extra) <= MAX_LIFETIME:
            raise ParseError("a=crypto: the lifetime is out of range")
    try:
        # Some leave out the padding that RFC 4568 6.1 asks for.
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ParseError("a=crypto: the key is not base64") from None
    if len(key) != key_bytes(suite):
        raise ParseError(f"a=crypto: a key for {suite} has {key_bytes(suite)} bytes, not {len(key)}")
    return key, mki


def _mki(text: str) -> bytes:
    found = _MKI.fullmatch(text)
    size = int(found[2]) if found else 0
    if found is None or not 1 <= size <= MAX_MKI or int(found[1]).bit_length() > 8 * size:
        raise ParseError("a=crypto: the master key identifier (MKI) is not a number and how many octets it has")
    return int(found[1]).to_bytes(size, "big")


def _lifetime(text: str) -> int:
    base, power, exponent = text.partition("^")
    digits = exponent if power else base
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 15 or (power and base != "2"):
        raise ParseError("a=crypto: the lifetime is no number")
    if not power:
        return int(digits)
    return 2 ** int(digits) if int(digits) <= 64 else MAX_LIFETIME + 1


def read_lines(values: list[str]) -> tuple[list[Crypto], list[str]]:
    """Return the lines that can be used, in their order, and why the others cannot. Of a tag used twice the first counts."""
    usable: dict[int, Crypto] = {}
    problems = []
    for value in values[:MAX_LINES]:
        try:
            line = parse_crypto(value)
        except ParseError as error:
            problems.append(error.detail)
        else:
            usable.setdefault(line.tag, line)
    return list(usable.values()), problems
