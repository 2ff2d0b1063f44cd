"""Identifiers that repeat: the same seed gives the same tags, branches and waits."""

from __future__ import annotations

import random
from typing import Final

_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class SeededIds:
    """An `Ids` for tests. Guessable on purpose."""

    def __init__(self, seed: int | str = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311  # repeatable is the point

    def token(self, length: int) -> str:
        """Return `length` characters of `[0-9a-z]`."""
        return "".join(self._random.choices(_LETTERS, k=length))

    def integer(self, bits: int) -> int:
        """Return an unsigned integer of at most `bits` bits."""
        return self._random.getrandbits(bits)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return self._random.uniform(low, high)
