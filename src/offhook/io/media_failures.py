"""When packets that cannot be sent are worth the call: not before nothing could be sent for a while."""

from __future__ import annotations

from typing import Final

PATIENCE_S: Final = 30.0
"""Seconds in which nothing could be sent. A network that is left for another one is gone for some of them, and that a call is
silent is told after three; ICE waits as long (RFC 7675 5.1)."""

PAUSE_S: Final = 10.0
"""Seconds after which a failure has nothing to do with the one before: packets may have been sent by another way between."""


class Failures:
    """Since when nothing could be sent, by port."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[float, float]] = {}  # the first failure and the latest
        self._told: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._since)

    def failed(self, port: int, now: float, *, for_good: bool) -> bool:
        """Note that a packet could not be sent; say, once, that this has gone on for too long, or that it will not end."""
        since, latest = self._since.get(port, (now, now))
        if now - latest > PAUSE_S:
            since = now
        self._since[port] = since, now
        if port in self._told or not (for_good or now - since >= PATIENCE_S):
            return False
        self._told.add(port)
        return True

    def forget(self, port: int) -> None:
        """A packet was sent, or the port is not ours any more."""
        self._since.pop(port, None)
        self._told.discard(port)
