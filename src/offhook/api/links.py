"""The way from a program to a phone: what both ways have in common, and the short one, to a phone in this very process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from offhook.api.failures import PhoneGone
from offhook.control.access import Client
from offhook.control.feed import Choice, Reader, cursor_from, event_types
from offhook.control.operations import BLOCKING, Operations
from offhook.control.schema import event_from_json, exact
from offhook.errors import ParseError
from offhook.io.audio_link import AudioLink
from offhook.media.messages import AudioRate
from offhook.phone.commands import Accepted, Command
from offhook.phone.events import Event, SystemStopped

if TYPE_CHECKING:
    from offhook.app.running import RunningPhone


class Heard(NamedTuple):
    """One event as a program gets it: `id` is the place to go on after, `time` RFC 3339 in UTC."""

    id: str
    time: str
    event: Event

    @property
    def epoch(self) -> str:
        """The run of the phone the event belongs to."""
        return self.id.rpartition("-")[0]


class StreamGap(Event, frozen=True, kw_only=True):
    """The events between `after` and `next` are not kept any more: ask for a snapshot to know how things are."""

    after: str
    next: str


class Done(NamedTuple):
    """The answer to a command, and the run of the phone that gave it: what that one began ends with it, told or not."""

    accepted: Accepted
    epoch: str


class Feed(Protocol):
    """Events in order, from one place in the journal on. `next` may be cancelled at any time without losing one."""

    async def next(self) -> Heard | None:
        """Return the next event, None after `close`; raises PhoneGone when the phone is gone for good."""
        ...

    def close(self) -> None:
        """Have `next` say None from now on."""
        ...


class Sound(Protocol):
    """A call's sound, for one program: 16-bit samples both ways."""

    @property
    def buffered_ms(self) -> int:
        """How much of what was written is not played yet."""
        ...

    async def next(self) -> bytes | None:
        """Return the next 20 ms of the far end, None when the call is over; raises MediaLost if its sound broke."""
        ...

    def write(self, pcm: bytes) -> None:
        """Say this after what was said before. Raises InvalidState when the call is over."""
        ...

    async def wait_buffered(self, most_ms: float) -> None:
        """Wait until no more than this is not played yet, or the call is over."""
        ...

    async def clear(self) -> int:
        """Be silent at once; returns the milliseconds that were written and not played."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Link(Protocol):
    """A way to a phone. Everything raises CommandError for what the phone refuses, and PhoneGone."""

    async def open(self) -> None:
        """Reach the phone."""
        ...

    async def close(self) -> None:
        """Let go of it (and end it, where it lives only for this link)."""
        ...

    async def execute(self, command: Command) -> Done:
        """Carry out a command."""
        ...

    async def request(self, operation: str, params: Mapping[str, Any]) -> Any:
        """Return the JSON-able result of an operation that is no command: snapshot, history …"""
        ...

    async def open_audio(self, call: str, rate: AudioRate) -> Sound:
        """Open a way to hear and speak in a call."""
        ...

    def events(self, types: Sequence[str], after: str) -> Feed:
        """Return the events of these types ("call.*") after the event `after`, from now on if that is ""."""
        ...


# --- events as JSON --------------------------------------------------------------------------------------------------


class _Envelope(msgspec.Struct):
    type: str
    data: msgspec.Raw
    id: str = ""
    time: str = ""


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def heard_from_json(line: bytes | msgspec.Raw) -> Heard | None:
    """Return the event in an envelope; None for one about the subscription, or of a type that only a newer phone knows."""
    try:
        envelope = _decode_envelope(line)
        if envelope.type == "stream.gap":
            return Heard("", envelope.time, msgspec.json.decode(envelope.data, type=StreamGap))
    except msgspec.DecodeError as error:
        raise ParseError(f"the event: {error}") from None
    event = event_from_json(envelope.type, envelope.data)
    return Heard(envelope.id, envelope.time, event) if event is not None else None


# --- in this process -------------------------------------------------------------------------------------------------


class OwnPhone:
    """The link to a phone that runs in this process, for as long as the link is open."""

    def __init__(self, start: Callable[[], Awaitable[RunningPhone]], client: Client) -> None:
        self._start = start
        self._client = client
        self._phone: RunningPhone | None = None
        self._operations: Operations | None = None
        self._feeds: set[_JournalFeed] = set()
        self._closed = False

    async def open(self) -> None:
        """Start the phone."""
        starting = asyncio.ensure_future(self._start())
        try:
            self._phone = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Half a phone cannot be taken down: it comes up first, which takes milliseconds.
            await (await starting).close()
            raise
        self._operations = Operations(self._phone)
        self._phone.engine.subscribe(lambda _: self._look(), SystemStopped)

    async def close(self) -> None:
        """Hang up, unregister, stop."""
        if self._phone is not None:
            await self._phone.close()
        self._closed = True
        for feed in list(self._feeds):
            feed.close()

    def _look(self) -> None:
        for feed in self._feeds:
            feed.look()

    @property
    def phone(self) -> RunningPhone:
        """The phone itself; raises PhoneGone before `open`."""
        if self._phone is None:
            raise PhoneGone("the phone is not open: use it in `async with`")
        return self._phone

    @property
    def _ready(self) -> Operations:
        if self._operations is None:
            raise PhoneGone("the phone is not open: use it in `async with`")
        return self._operations

    async def execute(self, command: Command) -> Done:
        """Carry out a command."""
        return Done(self._ready.execute(exact(command), self._client), self.phone.journal.head.epoch)

    async def request(self, operation: str, params: Mapping[str, Any]) -> Any:
        """Carry out an operation."""
        if operation in BLOCKING:
            return await self._ready.run_aside(operation, params, self._client)
        return self._ready.run(operation, params, self._client)

    async def open_audio(self, call: str, rate: AudioRate) -> Sound:
        """Open an audio link."""
        return _OwnSound(self.phone.open_audio(call, rate))

    def events(self, types: Sequence[str], after: str) -> Feed:
        """Read the journal."""
        choice = Choice(event_types(list(types)))
        reader = Reader(self.phone.journal, choice, cursor_from(after) if after else None)
        feed = _JournalFeed(self.phone, reader, self._feeds.discard)
        self._feeds.add(feed)
        if self._closed:
            feed.close()
        return feed


class _OwnSound:
    """An audio link of the phone in this process."""

    def __init__(self, link: AudioLink) -> None:
        self._link = link
        self.close = link.close
        self.wait_buffered = link.wait_buffered

    @property
    def buffered_ms(self) -> int:
        return self._link.buffered_ms

    async def next(self) -> bytes | None:
        try:
            return (await self._link.__anext__()).pcm
        except StopAsyncIteration:
            return None

    def write(self, pcm: bytes) -> None:
        self._link.write(pcm)

    async def clear(self) -> int:
        return (await self._link.clear()).dropped_ms


class _JournalFeed:
    """A reader of the journal; the journal is the queue."""

    def __init__(self, phone: RunningPhone, reader: Reader, forget: Callable[[Any], None]) -> None:
        self._reader = reader
        self._forget = forget
        self._ready: deque[Heard] = deque()
        self._news = asyncio.Event()
        self._closed = False
        self._phone = phone
        self.look = self._news.set
        self._unwatch = phone.journal.watch(self.look)

    async def next(self) -> Heard | None:
        """Return the next event."""
        while not self._ready:
            if self._closed:
                return None
            self._news.clear()
            lines = await self._reader.page()
            if lines:
                self._ready.extend(heard for line in lines if (heard := heard_from_json(line)) is not None)
                await asyncio.sleep(0)  # memory answers at once: others, who follow the same events, have their turn too
            elif self._phone.engine.stopped.is_set():
                self.close()  # it was told to quit: nothing more will come
            elif not self._closed:
                await self._news.wait()
        return self._ready.popleft()

    def close(self) -> None:
        """End it after what has been read."""
        self._closed = True
        self._forget(self)
        self._unwatch()
        self._news.set()
