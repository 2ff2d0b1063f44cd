"""One reader's way through the journal: its own place, its own choice of types, its own pace.

The journal is the queue: a reader holds nothing but a cursor, so a slow one costs no memory, and one that comes back goes on
where it was. Whoever falls too far behind is told so and let go; its cursor still works.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import msgspec

from offhook.control.backend import Cursor, Journal, Recorded
from offhook.control.schema import EVENT_TYPES
from offhook.errors import FieldError, InvalidArgument
from offhook.io.journal import ENVELOPE_VERSION, rfc3339

PAGE: Final = 500
"""Events read in one go; others have their turn between two pages."""

STREAM_EVENTS: Final = ("stream.gap", "stream.slow_consumer", "stream.heartbeat", "stream.ended")
"""Events about a subscription itself; only the subscriber concerned sees them, and they have no number."""

COALESCED: Final = frozenset({"media.stats", "audio.level", "call.level"})
"""Of these a reader that is behind gets only the latest for each subject."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Choice:
    """Which events a reader wants: types, and subjects ("calls/c_1"; empty: all)."""

    types: frozenset[str]
    subjects: frozenset[str] = frozenset()

    def __contains__(self, event: Recorded) -> bool:
        return event.type in self.types and (not self.subjects or event.subject in self.subjects)


def event_types(patterns: object) -> frozenset[str]:
    """Return the event types that `patterns` name: "call.ended", "call.*" or "*". A pattern that names none is an error."""
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise InvalidArgument.field("types", 'must be a list such as ["call.*", "dtmf.received"]')
    known = (*EVENT_TYPES, *STREAM_EVENTS)
    chosen: set[str] = set()
    for index, pattern in enumerate(patterns):
        stem = pattern.removesuffix("*")
        if pattern == "*" or pattern.endswith(".*"):
            found = {name for name in known if name.startswith(stem)}
        else:
            found = {pattern} & set(known)
        if not found:
            detail = f"there is no event {pattern[:64]!r}; `offhook help types` lists them"
            raise InvalidArgument(f"types: {detail}", errors=(FieldError(f"/types/{index}", detail),))
        chosen |= found
    return frozenset(chosen)


def cursor_from(text: str, name: str = "after") -> Cursor:
    """Return the cursor for an event id a client gives; raise InvalidArgument for what is none."""
    try:
        return Cursor.parse(text)
    except ValueError as error:
        raise InvalidArgument.field(name, str(error)) from None


def stream_event(type_: str, **data: Any) -> bytes:
    """Return the JSON of an event about the subscription itself."""
    return _encode({"v": ENVELOPE_VERSION, "type": type_, "time": rfc3339(time.time()), "subject": "stream", "data": data})


@dataclass(frozen=True, slots=True)
class Note:
    """An event about the subscription itself, beside those of the journal; `cursor` is the place it speaks of."""

    cursor: Cursor
    type: str
    json: bytes
    subject: str = "stream"


class Reader:
    """One place in the journal that moves on. Not for several tasks at once.

    `render` writes an event down; without it that is its JSON. `limit` is the most events read in one go.
    """

    def __init__(
        self,
        journal: Journal,
        choice: Choice,
        after: Cursor | None = None,
        *,
        render: Callable[[Recorded], bytes] = attrgetter("json"),
        limit: int = PAGE,
    ) -> None:
        self.cursor = after or journal.head
        self.choice = choice
        self._journal = journal
        self._render = render
        self._limit = limit

    @property
    def behind(self) -> int:
        """How many events of this run it has not seen yet."""
        head = self._journal.head
        return head.seq - self.cursor.seq if self.cursor.epoch == head.epoch else head.seq

    def at_once(self) -> list[bytes] | None:
        """Return what memory holds behind the cursor as JSON, and move on; None: `page` is needed, it may wait for the disk."""
        found = self._journal.recent(self.cursor, self._limit)
        return None if found is None else self._take(found)

    async def page(self) -> list[bytes]:
        """Return the next events as JSON, and move on; [] when all has been read. A lost range becomes a stream.gap."""
        while True:
            page = await self._journal.read(self.cursor, self._limit)
            if not page.events:
                return []
            lines = self._take(page.events)
            if page.lost is not None:
                first = page.events[0].cursor
                note = stream_event("stream.gap", after=str(page.lost), next=str(first))
                lines.insert(0, self._render(Note(page.lost, "stream.gap", note)))
            if lines:
                return lines

    def _take(self, events: tuple[Recorded, ...]) -> list[bytes]:
        if not events:
            return []
        self.cursor = events[-1].cursor
        wanted = [event for event in events if event in self.choice]
        return [self._render(event) for event in _coalesced(wanted)]


def _coalesced(events: list[Recorded]) -> Iterable[Recorded]:
    latest = {(event.type, event.subject): index for index, event in enumerate(events) if event.type in COALESCED}
    if not latest:
        return events
    return [
        event
        for index, event in enumerate(events)
        if event.type not in COALESCED or latest[event.type, event.subject] == index
    ]
