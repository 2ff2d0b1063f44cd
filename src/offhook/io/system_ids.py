"""Identifiers and chance from the operating system's random source."""

from __future__ import annotations

import secrets

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"

_SYSTEM = secrets.SystemRandom()


class SystemIds:
    """An `offhook.ids.Ids` whose tokens cannot be guessed (RFC 3261 19.3: tags need at least 32 random bits)."""

    def token(self, length: int) -> str:
        """Return `length` characters of `[0-9a-z]`."""
        # One extra byte beyond log2(36) bits a character keeps the bias of the remainder below 2**-8 of one character.
        number = secrets.randbits(length * 6 + 8)
        characters = []
        for _ in range(length):
            number, digit = divmod(number, 36)
            characters.append(ALPHABET[digit])
        return "".join(characters)

    def integer(self, bits: int) -> int:
        """Return an unsigned integer of at most `bits` bits."""
        return secrets.randbits(bits)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return _SYSTEM.uniform(low, high)
