"""The same request sent twice is done once: what an Idempotency-Key was answered with is kept for a day."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from offhook.control.http.answers import Answer
from offhook.control.http.limits import KEY_SECONDS, MAX_KEY, MAX_KEYS
from offhook.control.http.problems import HttpRefusal
from offhook.errors import IdempotencyMismatch, InvalidArgument


@dataclass(slots=True)
class _Kept:
    fingerprint: bytes
    until: float
    answer: Answer | None = None


class Replays:
    """The answers by client and key. A refusal is not kept: it changed nothing, and the next attempt may succeed.

    `clock` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, str], _Kept] = {}

    def begin(self, client: str, key: str, fingerprint: bytes) -> Answer | None:
        """Return the answer of the first time; None: this is the first, so do it and then `finish` or `forget`.

        Raises IdempotencyMismatch for a key of another request, HttpRefusal while the first is still under way.
        """
        now = self._clock()
        self._tidy(now)
        known = self._kept.get((client, key))
        if known is None:
            self._kept[client, key] = _Kept(fingerprint, now + KEY_SECONDS)
            return None
        if known.fingerprint != fingerprint:
            raise IdempotencyMismatch("this Idempotency-Key came with another request before: take a new one")
        if known.answer is None:
            raise HttpRefusal("in-flight", "wait for its answer, or ask again a little later", retry_after=1)
        return known.answer

    def finish(self, client: str, key: str, answer: Answer) -> None:
        """Keep the answer."""
        known = self._kept.get((client, key))
        if known is not None:
            known.answer = answer

    def forget(self, client: str, key: str) -> None:
        """The request failed: the key is free again."""
        self._kept.pop((client, key), None)

    def _tidy(self, now: float) -> None:
        # All live equally long, so the oldest are the first.
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) < MAX_KEYS and self._kept[oldest].until > now:
                return
            del self._kept[oldest]


def key_from(header: str) -> str:
    """Return the key; it may stand in quotes, as structured headers write text (RFC 9651 3.3.3)."""
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise InvalidArgument.field("Idempotency-Key", f"1-{MAX_KEY} printable characters")
    return key


def fingerprint(method: str, target: str, body: bytes) -> bytes:
    """Return what tells one request from another."""
    return hashlib.sha256(f"{method} {target}\n".encode("utf-8", "replace") + body).digest()
