"""Events on their way out: each gets its number, its time and its JSON once for everybody, and the latest can be read again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from offhook.phone.events import AccountEvent, CallEvent, Event, MessageReceived

ENVELOPE_VERSION: Final = 1

RECENT: Final = 5000
"""Events kept in memory: half a minute of a hundred calls a second, so that whoever keeps up never touches the disk."""

RECENT_BYTES: Final = 32 * 1024 * 1024
"""Of these, in JSON: three times what so many usually have. A stranger's text makes an event a hundred times as long."""

_encoder = msgspec.json.Encoder()

_LINE_ENDS: Final = {character.encode(): f"\\u{ord(character):04x}".encode() for character in "\x85\u2028\u2029"}
"""What JSON may hold as it is, and many readers of lines take for an end of one (`str.splitlines`, httpx, requests)."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What brought an event about: the operation it belongs to, the client that asked and its own name for the request."""

    op: str = ""
    client: str = ""
    request_id: str = ""


class Cursor(NamedTuple):
    """A place between two events: after the event `seq` of `epoch`. `str()` is the id of that event ("k7q2-10432")."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor after the event with the id `text`; raises ValueError for what is no event id."""
        epoch, dash, number = text.rpartition("-")
        if not (dash and epoch.isalnum() and epoch.isascii() and number.isascii() and number.isdecimal() and len(number) < 18):
            raise ValueError('an event id is written "epoch-number", such as k7q2-10432')
        return cls(epoch, int(number))


class Recorded(Protocol):
    """What readers of the journal see of an event, whether it comes from memory or from the disk."""

    @property
    def cursor(self) -> Cursor:
        """The place right after this event."""
        ...

    @property
    def type(self) -> str:
        """As "call.ended"."""
        ...

    @property
    def subject(self) -> str:
        """As "calls/c_1"."""
        ...

    @property
    def json(self) -> bytes:
        """The whole envelope as one JSON object without a newline."""
        ...


class Envelope(Struct, frozen=True, dict=True):
    """One event as every surface sends it. `seq` has no gaps within an `epoch`; `data` holds the event's fields, JSON-able.

    `time` is RFC 3339 in UTC ("2026-01-31T08:00:00.123Z"), `subject` the resource ("calls/c_1"), `account` "" where none fits.
    """

    cursor: Cursor
    seconds: float
    event: Event
    cause: Cause | None
    instance: str
    json: bytes
    """The envelope as one JSON object without a newline, for all readers."""

    @property
    def epoch(self) -> str:
        """The run of the phone this event belongs to."""
        return self.cursor.epoch

    @property
    def seq(self) -> int:
        """Its number within the epoch, from 1."""
        return self.cursor.seq

    @property
    def id(self) -> str:
        """`epoch-seq`, unique and ordered within the epoch."""
        return str(self.cursor)

    @property
    def type(self) -> str:
        """As "call.ended"."""
        return self.event.type

    @property
    def subject(self) -> str:
        """As "calls/c_1"."""
        return self.event.subject

    @property
    def time(self) -> str:
        """When it happened."""
        return rfc3339(self.seconds)

    @property
    def account(self) -> str:
        """The account concerned, or ""."""
        return _account_of(self.event)

    @cached_property
    def data(self) -> dict[str, Any]:
        """The event's fields."""
        found: dict[str, Any] = msgspec.to_builtins(self.event)
        return found



class _Printed(Struct):
    """An envelope as JSON has it."""

    v: int
    epoch: str
    seq: int
    id: str
    type: str
    time: str
    instance: str
    subject: str
    account: str
    cause: Cause | None
    data: Event


class EnvelopeMaker:
    """Turns events into envelopes of one epoch, counting from 1. `clock` gives Unix seconds."""

    def __init__(self, epoch: str, clock: Callable[[], float], instance: str = "") -> None:
        self.epoch = epoch
        self.seq = 0
        self._clock = clock
        self._instance = instance

    def make(self, event: Event, cause: Cause | None = None) -> Envelope:
        """Return the envelope of `event`; each call takes the next sequence number."""
        self.seq += 1
        epoch, seq, seconds = self.epoch, self.seq, self._clock()
        json = _in_one_line(_encoder.encode(_Printed(
            ENVELOPE_VERSION, epoch, seq, f"{epoch}-{seq}", event.type, rfc3339(seconds), self._instance, event.subject,
            _account_of(event), cause, event,
        )))  # fmt: skip
        return Envelope(Cursor(epoch, seq), seconds, event, cause, self._instance, json)


def _in_one_line(json: bytes) -> bytes:
    """Return the same JSON as one line to whoever reads it: a caller's name must not begin lines of a stream of events."""
    if json.isascii():
        return json
    for character, escaped in _LINE_ENDS.items():
        json = json.replace(character, escaped)
    return json


@dataclass(frozen=True, slots=True)
class Page:
    """Some events in order. With `lost` the events between that cursor and the first of these are not kept any more."""

    events: tuple[Recorded, ...]
    lost: Cursor | None = None


News: TypeAlias = Callable[[], object]
"""Is told that there are new events. It returns False where nobody reads them at present."""


class Journal(Protocol):
    """The events so far. Reading is by cursor: whoever knows the last event it has seen can go on from there."""

    @property
    def head(self) -> Cursor:
        """The place after the latest event."""
        ...

    def append(self, envelopes: Sequence[Envelope]) -> None:
        """Keep events, in order, before anybody is told of them."""
        ...

    def announce(self) -> bool:
        """Tell the readers that there is news; returns whether there are any."""
        ...

    def watch(self, news: News) -> Callable[[], None]:
        """Call `news` after every append, when readers may read on; the returned function ends that."""
        ...

    def recent(self, after: Cursor, limit: int) -> tuple[Recorded, ...] | None:
        """Return up to `limit` events after the cursor if memory still holds them all, else None: ask `read`."""
        ...

    async def read(self, after: Cursor, limit: int) -> Page:
        """Return up to `limit` events after the cursor, from wherever they are kept; none: try again at the next news."""
        ...

    def close(self) -> None:
        """Write what is waiting."""
        ...


class MemoryJournal:
    """The latest events of this run, for phones that keep nothing on the disk."""

    def __init__(self, epoch: str, keep: int = RECENT, keep_bytes: int = RECENT_BYTES) -> None:
        self._epoch = epoch
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._events: deque[Envelope] = deque()
        self._bytes = 0
        self._last = 0
        self._watchers: dict[object, News] = {}

    @property
    def head(self) -> Cursor:
        """The place after the latest event."""
        return Cursor(self._epoch, self._last)

    def append(self, envelopes: Sequence[Envelope]) -> None:
        """Keep events; the oldest make room."""
        events = self._events
        events.extend(envelopes)
        self._bytes += sum([len(envelope.json) for envelope in envelopes])
        while len(events) > self._keep or (self._bytes > self._keep_bytes and len(events) > 1):
            self._bytes -= len(events.popleft().json)
        self._last = envelopes[-1].seq

    def announce(self) -> bool:
        """Tell the readers that there is news; returns whether there are any."""
        read = False
        for news in tuple(self._watchers.values()):
            if news() is not False:
                read = True
        return read

    def watch(self, news: News) -> Callable[[], None]:
        """Call `news` at every announcement; the returned function ends that."""
        key = object()
        self._watchers[key] = news

        def end() -> None:
            self._watchers.pop(key, None)

        return end

    def recent(self, after: Cursor, limit: int) -> tuple[Recorded, ...] | None:
        """Return up to `limit` events after the cursor, None if some of them are gone."""
        first = self._last - len(self._events) + 1
        if after.epoch != self._epoch or after.seq < first - 1:
            return None
        if after.seq >= self._last:
            return ()
        # The reader is usually near the end: count from there.
        behind = self._last - after.seq
        newest_first: Iterable[Envelope] = islice(reversed(self._events), behind)
        return tuple(reversed(tuple(newest_first)))[:limit]

    async def read(self, after: Cursor, limit: int) -> Page:
        """Return up to `limit` events after the cursor, or after the oldest there is, saying that some are lost."""
        found = self.recent(after, limit)
        if found is not None:
            return Page(found)
        first = Cursor(self._epoch, self._last - len(self._events))
        return Page(self.recent(first, limit) or (), lost=after)

    def close(self) -> None:
        """Nothing waits to be written."""


def rfc3339(seconds: float) -> str:
    """Return Unix `seconds` as RFC 3339 text in UTC with milliseconds."""
    whole, micro = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_to_the_second(whole)}.{micro // 1000:03d}Z"


@lru_cache(8)  # many events fall into one second
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


def _account_of(event: Event) -> str:
    match event:
        case CallEvent():
            return event.call.account
        case AccountEvent():
            return event.account.id
        case MessageReceived():
            return event.account
        case _:
            return ""
