"""The same request sent twice is done once: what an Idempotency-Key was answered with is kept for a day, over restarts too.

What is to be done is noted before it is done, and its answer before that leaves. So a request that comes again after the phone
was killed gets its answer, or hears that it had been begun; it is never done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

import msgspec

from offhook.control.backend import Backend, Envelope
from offhook.control.http.answers import Answer
from offhook.control.http.limits import KEY_BYTES, KEY_SECONDS, MAX_KEY, MAX_KEYS
from offhook.control.http.problems import HttpRefusal
from offhook.control.outcomes import Operation
from offhook.errors import IdempotencyMismatch, InvalidArgument, NotFound
from offhook.phone.events import OperationFailed, OperationSucceeded

RESTARTED: Final = "the phone was started again before this was over"
"""What is told of an operation that a dead phone had begun."""

PART: Final = 100
"""Requests taken in at once: a millisecond, so that no call waits for them."""

_Name: TypeAlias = tuple[str, str]
"""A client and its key."""


class Store(Protocol):
    """Where requests outlive the phone; `offhook.storage.requests.RequestFile` is the real one."""

    def load(self) -> Iterable[tuple[str, str, float, bytes]]: ...
    def note(self, client: str, key: str, begun: float, note: bytes) -> None: ...
    def forget(self, client: str, key: str) -> None: ...
    def close(self) -> None: ...


class _Note(msgspec.Struct, omit_defaults=True):
    """What is kept of a request. `place` is the event after which it began; `operation` what its answer left under way."""

    fingerprint: bytes
    place: str
    answer: Answer | None = None
    operation: Operation | None = None


@dataclass(slots=True)
class _Kept:
    note: _Note
    begun: float  # Unix seconds
    until: float  # by the monotonic clock
    size: int = 0
    dead: bool = False  # it was begun by a phone that has ended meanwhile


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Note).decode


class Replays:
    """The answers by client and key. A refusal is not kept: it changed nothing, and the next attempt may succeed.

    `clock` gives monotonic seconds, `wall` Unix seconds. `opening` opens what outlives the phone, away from the loop: await
    `ready` before the first request. Without it everything ends with the phone.
    """

    def __init__(
        self, backend: Backend, clock: Callable[[], float], wall: Callable[[], float],
        opening: Callable[[], Store] | None = None,
    ) -> None:  # fmt: skip
        self._backend = backend
        self._clock = clock
        self._wall = wall
        self._kept: dict[_Name, _Kept] = {}
        self._bytes = 0
        self._opening = opening
        self._opened: asyncio.Task[None] | None = None
        self._store: Store | None = None
        self._under_way: dict[str, _Name] = {}
        self._unsubscribe: Callable[[], None] = lambda: None

    # --- life

    async def ready(self) -> None:
        """Know what earlier runs were asked. Raises SetupError while that cannot be read; it is tried each time."""
        if self._store is None and self._opening is not None:
            if self._opened is None:
                self._opened = asyncio.get_running_loop().create_task(self._open(self._opening))
            await asyncio.shield(self._opened)

    async def close(self) -> None:
        """Write what is waiting."""
        self._unsubscribe()
        if self._opened is not None:
            await asyncio.wait([self._opened])
        store, self._store, self._opening = self._store, None, None
        if store is not None:
            await asyncio.get_running_loop().run_in_executor(None, store.close)

    async def _open(self, opening: Callable[[], Store]) -> None:
        try:
            store, found = await asyncio.get_running_loop().run_in_executor(None, _read, opening)
            for start in range(0, len(found), PART):
                for name, kept in found[start : start + PART]:
                    self._restore(name, kept)
                await asyncio.sleep(0)
        finally:
            self._opened = None
        self._store = store
        self._tidy(self._clock())
        self._unsubscribe = self._backend.subscribe(self._over, OperationSucceeded, OperationFailed)

    def _restore(self, name: _Name, kept: _Kept) -> None:
        # A clock that was put back meanwhile makes nobody wait longer than a day from now.
        left = KEY_SECONDS - max(0.0, self._wall() - kept.begun)
        kept.until = self._clock() + left
        self._kept[name] = kept
        self._bytes += kept.size
        operation = kept.note.operation
        if operation is not None:
            ended = operation.state != "pending"
            self._backend.outcomes.restore(operation if ended else replace(operation, state="failed", reason=RESTARTED))

    # --- requests

    def begin(self, client: str, key: str, fingerprint: bytes) -> Answer | None:
        """Return the answer of the first time; None: this is the first, so do it and then `finish` or `forget`.

        Raises IdempotencyMismatch for a key of another request, HttpRefusal while the first is still under way, or where the
        phone ended in the middle of it.
        """
        now = self._clock()
        self._tidy(now)
        known = self._kept.get((client, key))
        if known is None:
            note = _Note(fingerprint, str(self._backend.journal.head))
            self._kept[client, key] = kept = _Kept(note, self._wall(), now + KEY_SECONDS)
            self._write((client, key), kept)
            return None
        if known.note.fingerprint != fingerprint:
            raise IdempotencyMismatch("this Idempotency-Key came with another request before: take a new one")
        if known.note.answer is None and known.dead:
            detail = f"GET /v1/events?after={known.note.place} tells what it had done; to have it done again, take a new key"
            raise HttpRefusal("interrupted", detail)
        if known.note.answer is None:
            raise HttpRefusal("in-flight", "wait for its answer, or ask again a little later", retry_after=1)
        return known.note.answer

    def finish(self, client: str, key: str, answer: Answer) -> None:
        """Keep the answer."""
        kept = self._kept.get((client, key))
        if kept is None:
            return
        kept.note.answer = answer
        if answer.operation and self._store is not None:
            self._follow((client, key), kept, answer.operation)
        self._write((client, key), kept)

    def forget(self, client: str, key: str) -> None:
        """The request failed: the key is free again."""
        self._drop((client, key))

    def _follow(self, name: _Name, kept: _Kept, operation: str) -> None:
        try:
            kept.note.operation = self._backend.outcomes.get(operation)
        except NotFound:
            return
        if kept.note.operation.state == "pending":
            self._under_way[operation] = name

    def _over(self, envelope: Envelope) -> None:
        """Keep what became of an operation beside the answer that named it."""
        event = envelope.event
        assert isinstance(event, OperationSucceeded | OperationFailed)
        name = self._under_way.pop(event.operation, None)
        kept = self._kept.get(name) if name is not None else None
        if name is not None and kept is not None:
            self._follow(name, kept, event.operation)
            self._write(name, kept)

    def _write(self, name: _Name, kept: _Kept) -> None:
        if self._store is not None:
            text = _encode(kept.note)
            self._bytes += len(text) - kept.size
            kept.size = len(text)
            self._store.note(*name, kept.begun, text)

    def _tidy(self, now: float) -> None:
        # All live equally long, so the oldest are the first.
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) < MAX_KEYS and self._bytes <= KEY_BYTES and self._kept[oldest].until > now:
                return
            self._drop(oldest)

    def _drop(self, name: _Name) -> None:
        kept = self._kept.pop(name, None)
        if kept is None:
            return
        self._bytes -= kept.size
        if kept.note.operation is not None:
            self._under_way.pop(kept.note.operation.id, None)
        if self._store is not None:
            self._store.forget(*name)


def _read(opening: Callable[[], Store]) -> tuple[Store, list[tuple[_Name, _Kept]]]:
    """Return what outlives the phone, and what is in it, the oldest first; waits for the disk."""
    store, found = opening(), []
    try:
        for client, key, begun, text in store.load():
            with contextlib.suppress(msgspec.DecodeError):  # another version wrote it
                found.append(((client, key), _Kept(_decode(text), begun, 0.0, len(text), dead=True)))
    except BaseException:
        store.close()
        raise
    return store, found


def key_from(header: str) -> str:
    """Return the key; it may stand in quotes, as structured headers write text (RFC 9651 3.3.3)."""
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise InvalidArgument.field("Idempotency-Key", f"1-{MAX_KEY} printable characters")
    return key


def fingerprint(method: str, target: str, body: bytes) -> bytes:
    """Return what tells one request from another."""
    return hashlib.sha256(f"{method} {target}\n".encode("utf-8", "replace") + body).digest()
