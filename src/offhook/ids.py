"""Where identifiers and chance come from: an argument, so that the pure rooms stay repeatable."""

from __future__ import annotations

from typing import Protocol


class Ids(Protocol):
    """A source of identifiers. `io` gives one fed by the operating system, tests give a seeded one."""

    def token(self, length: int) -> str:
        """Return `length` characters of `[0-9a-z]`, unguessable outside tests (tags, branches, Call-IDs, cnonces)."""
        ...

    def integer(self, bits: int) -> int:
        """Return an unsigned integer of at most `bits` bits (SSRC, first sequence number, first timestamp)."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high` (jitter of retries, RFC 3261 14.1 glare waits)."""
        ...
