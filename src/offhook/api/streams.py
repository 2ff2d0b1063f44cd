"""What a program iterates over: events, incoming calls, digits. Each ends by itself when its phone or call does."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from offhook.api.links import Feed
from offhook.phone.events import Event

T = TypeVar("T")


class Home:
    """The event loop in which something is waited for (None: any): in another one nothing would ever come."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop

    def check(self) -> None:
        """Raise RuntimeError in another loop."""
        loop = _running_loop()
        if loop is not self._loop and loop is not None and self._loop is not None:
            raise RuntimeError(
                "a Softphone is used in the event loop that opened it, and this is another one"
                " (with pytest: fixture and tests need the same loop scope; with asyncio.run: one for the whole program)"
            )


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Bell:
    """Wakes everybody who waits for a change."""

    def __init__(self) -> None:
        self._home = Home(_running_loop())
        self._sleepers: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Wake them."""
        sleepers, self._sleepers = self._sleepers, set()
        for sleeper in sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    async def wait(self) -> None:
        """Sleep until the next `ring`. Raises RuntimeError in another loop."""
        self._home.check()
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        try:
            await sleeper
        finally:
            self._sleepers.discard(sleeper)


class Stream(Generic[T]):
    """Things that come one after another, from the moment it was made; what is not taken yet waits. It ends with its source.

    For one reader. `async for` may be left and taken up again.
    """

    def __init__(self, first: Iterable[T] = ()) -> None:
        self._waiting: deque[T] = deque(first)
        self._bell = Bell()
        self._ended = False
        self._error: Exception | None = None

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        while not self._waiting:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            await self._bell.wait()
        return self._waiting.popleft()

    def _put(self, thing: T) -> None:
        if not self._ended:
            self._waiting.append(thing)
            self._bell.ring()

    def _end(self, error: Exception | None = None) -> None:
        if not self._ended:
            self._ended, self._error = True, error
            self._bell.ring()


class Streams(Generic[T]):
    """The streams of one kind that somebody still holds."""

    def __init__(self) -> None:
        self._streams: weakref.WeakSet[Stream[T]] = weakref.WeakSet()
        self._ended = False
        self._error: Exception | None = None

    def add(self, stream: Stream[T]) -> None:
        """Feed this one too."""
        if self._ended:
            stream._end(self._error)
        else:
            self._streams.add(stream)

    def put(self, thing: T) -> None:
        """Give something to all of them."""
        for stream in tuple(self._streams):
            stream._put(thing)

    def end(self, error: Exception | None = None) -> None:
        """End them all, present and future."""
        self._ended, self._error = True, error
        for stream in tuple(self._streams):
            stream._end(error)


class EventStream:
    """The phone's events, straight from its journal: none is lost however slowly they are read.

    `cursor` is the id of the latest event: keep it, and `phone.events(after=cursor)` goes on behind it, also in another
    program and after a restart. `time` is when that event happened (RFC 3339, UTC). A StreamGap among the events says that
    some are not kept any more. Close it with `close`, or use it in `async with`.
    """

    def __init__(self, feed: Feed, after: str) -> None:
        self.cursor = after
        self.time = ""
        self._feed = feed
        # Whoever forgets to close it may do so on any thread.
        self._forgotten = weakref.finalize(self, _close_soon, asyncio.get_running_loop(), feed)
        self._forgotten.atexit = False

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the stream."""
        self._forgotten.detach()
        self._feed.close()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        heard = await self._feed.next()
        if heard is None:
            raise StopAsyncIteration
        self.cursor, self.time = heard.id or self.cursor, heard.time
        return heard.event


def _close_soon(loop: asyncio.AbstractEventLoop, feed: Feed) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed, and the feed with it
        loop.call_soon_threadsafe(feed.close)


class DigitStream:
    """The keys that the far end of one call presses, from the first moment of the call. It ends with the call.

    All readers take from the same row: a key that `read` has returned does not come again in `async for`.
    """

    def __init__(self) -> None:
        self._digits: Stream[str] = Stream()

    def __aiter__(self) -> DigitStream:
        return self

    async def __anext__(self) -> str:
        return await self._digits.__anext__()

    async def read(self, count: int = 1, *, end: str = "", timeout: float | None = None) -> str:
        """Return the next keys: `count` of them, or those before a key in `end`, or what came before the call ended.

        `timeout` seconds are the longest pause before each key; a pause that is longer ends the reading too. So "" means that
        nothing, or only an `end` key, was pressed. A reading that is cancelled leaves its keys to the next.
        """
        read = ""
        try:
            while len(read) < count:
                async with asyncio.timeout(timeout):
                    digit = await self._digits.__anext__()
                if digit in end:
                    break
                read += digit
        except (StopAsyncIteration, TimeoutError):
            pass
        except asyncio.CancelledError:
            self._digits._waiting.extendleft(reversed(read))
            raise
        return read

    def clear(self) -> str:
        """Forget the keys that nobody has read yet; returns them."""
        waiting = "".join(self._digits._waiting)
        self._digits._waiting.clear()
        return waiting


async def wait_until(bell: Bell, condition: Callable[[], bool], timeout: float | None, missing: str = "") -> None:
    """Wait until `condition()` holds, looking at each ring; raises TimeoutError after `timeout` seconds.

    `missing` says in its text what has not come: "the call was not answered".
    """
    try:
        async with asyncio.timeout(timeout):
            while not condition():
                await bell.wait()
    except TimeoutError:
        raise TimeoutError(f"{missing} within {timeout:g} s") from None
