"""Identifiers and chance from the operating system's random source."""

from __future__ import annotations

import os
import secrets
from typing import Final

ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

_POOL_BYTES: Final = 1024
"""Random bytes asked for at a time: some dozens of tokens for one system call."""

# 252 is the greatest multiple of 36 in a byte: values from there on would make some characters likelier than others.
_CHARACTERS: Final = bytes(ord(ALPHABET[byte % 36]) for byte in range(256))
_BIASED: Final = bytes(range(252, 256))

_SYSTEM = secrets.SystemRandom()


class SystemIds:
    """An `offhook.ids.Ids` whose tokens cannot be guessed (RFC 3261 19.3: tags need at least 32 random bits)."""

    def __init__(self) -> None:
        self._pool = ""

    def token(self, length: int) -> str:
        """Return `length` characters of `[0-9a-z]`."""
        while len(self._pool) < length:
            self._pool += os.urandom(_POOL_BYTES).translate(_CHARACTERS, _BIASED).decode("ascii")
        found, self._pool = self._pool[:length], self._pool[length:]
        return found

    def integer(self, bits: int) -> int:
        """Return an unsigned integer of at most `bits` bits."""
        return secrets.randbits(bits)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return _SYSTEM.uniform(low, high)
