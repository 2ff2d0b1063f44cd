"""The link to a phone that runs elsewhere: requests over one connection, each stream of events over one of its own.

A connection that breaks is made again. Events go on after the last one seen, so none is lost or seen twice; a request that was
under way fails with ConnectionLost, for only its caller knows whether it may be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from offhook.api.connections import Connection, Dialer, Voice
from offhook.api.failures import ConnectionLost, PhoneGone
from offhook.api.links import Done, Feed, Heard, Sound, heard_from_json
from offhook.api.remote_sound import RemoteSound
from offhook.control.feed import cursor_from, event_types
from offhook.control.schema import error_from_problem, params_of, value_from_json
from offhook.media.messages import AudioRate
from offhook.phone.commands import Accepted, Command

FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 2.0
"""Seconds between two attempts to connect again: doubled from the one to the other."""

_encode = msgspec.json.Encoder().encode


class _Answer(msgspec.Struct):
    id: Any = None
    ok: bool = False
    result: Any = None
    error: dict[str, Any] = {}
    event: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Answer).decode


def _parsed(message: bytes) -> _Answer:
    try:
        return _decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PhoneGone(f"what listens there does not speak like a phone: {error}") from None


class Timely:
    """A dialer that gives up after `timeout` seconds: a phone may let us in and say nothing."""

    def __init__(self, dialer: Dialer, timeout: float) -> None:
        self._dialer = dialer
        self._timeout = timeout

    @property
    def where(self) -> str:
        """Where the phone is."""
        return self._dialer.where

    async def connect(self) -> Connection:
        """Connect."""
        async with self._in_time():
            return await self._dialer.connect()

    async def connect_audio(self, call: str, rate: AudioRate) -> Voice:
        """Connect to a call's sound."""
        async with self._in_time():
            return await self._dialer.connect_audio(call, rate)

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError:
            raise PhoneGone(f"the phone at {self.where} has let nobody in for {self._timeout:g} s") from None


class Reconnecting:
    """Makes connections, again and again for `patience` seconds after one broke."""

    def __init__(self, dialer: Dialer, patience: float) -> None:
        self.dialer = dialer
        self.patience = patience
        self.closing = asyncio.Event()

    async def connect(self) -> Connection:
        """Return a connection to the phone; raises PhoneGone when it does not come back in time."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self.patience, FIRST_PAUSE
        while True:
            if self.closing.is_set():
                raise PhoneGone("the connection to the phone was closed")
            try:
                return await self.dialer.connect()
            except PhoneGone:
                if loop.time() + pause > deadline:
                    raise
            await self.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until the link is closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, LONGEST_PAUSE)):
                await self.closing.wait()


class RemotePhone:
    """The link to a running phone. `timeout` is seconds for an answer, `patience` for a phone that went away to come back."""

    def __init__(self, dialer: Dialer, *, timeout: float, patience: float) -> None:
        self._again = Reconnecting(Timely(dialer, timeout), patience)
        self._timeout = timeout
        self._requests: _Requests | None = None
        self._connecting = asyncio.Lock()
        self._feeds: set[_RemoteFeed] = set()
        self._sounds: weakref.WeakSet[RemoteSound] = weakref.WeakSet()

    async def open(self) -> None:
        """Connect; raises PhoneGone at once if no phone is there."""
        self._requests = await self._begun(await self._again.dialer.connect())

    async def close(self) -> None:
        """End all connections. The phone goes on."""
        self._again.closing.set()
        for feed in list(self._feeds):
            feed.close()
        for sound in list(self._sounds):
            sound.close()
        if self._requests is not None:
            await self._requests.close()
        for _ in range(2):  # turns of the loop in which the closed sockets go away
            await asyncio.sleep(0)

    @property
    def dialer(self) -> Dialer:
        """Makes further connections."""
        return self._again.dialer

    async def execute(self, command: Command) -> Done:
        """Carry out a command."""
        found, epoch = await self._ask(command.operation, params_of(command))
        value = value_from_json(type(command), found.get("value"))
        return Done(Accepted(call=found.get("call", ""), operation=found.get("operation", ""), value=value), epoch)

    async def request(self, operation: str, params: Mapping[str, Any]) -> Any:
        """Carry out an operation."""
        return (await self._ask(operation, params))[0]

    async def _ask(self, operation: str, params: Mapping[str, Any]) -> tuple[Any, str]:
        requests = await self._connected()
        return await self._in_time(requests, operation, params), requests.epoch

    async def _in_time(self, requests: _Requests, operation: str, params: Mapping[str, Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await requests.ask(operation, params)
        except TimeoutError:
            text = f"the phone at {self.dialer.where} has not answered {operation} for {self._timeout:g} s"
            raise TimeoutError(text) from None

    async def _connected(self) -> _Requests:
        async with self._connecting:
            if self._requests is None or self._requests.broken:
                if self._requests is not None:
                    await self._requests.close()
                self._requests = None
                self._requests = await self._begun(await self._again.connect())
            return self._requests

    async def _begun(self, connection: Connection) -> _Requests:
        """Return the requests of a new connection, which knows which run of the phone it leads to."""
        requests = _Requests(connection)
        try:
            requests.epoch = str((await self._in_time(requests, "ping", {}))["as_of"]).rpartition("-")[0]
        except BaseException:
            await requests.close()
            raise
        return requests

    async def open_audio(self, call: str, rate: AudioRate) -> Sound:
        """Open the call's sound on a connection of its own."""
        sound = RemoteSound(await self._again.dialer.connect_audio(call, rate), rate, self._timeout)
        self._sounds.add(sound)
        return sound

    def events(self, types: Sequence[str], after: str) -> Feed:
        """Subscribe on a connection of its own."""
        event_types(list(types))  # a mistake is the caller's, at once, not the stream's
        if after:
            cursor_from(after)
        feed = _RemoteFeed(self._again, tuple(types), after, self._feeds.discard)
        self._feeds.add(feed)
        return feed


class _Requests:
    """One connection's requests: many at once, each with its own answer."""

    def __init__(self, connection: Connection) -> None:
        self.broken = False
        self.epoch = ""
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def ask(self, operation: str, params: Mapping[str, Any]) -> Any:
        """Return the result of one operation."""
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (operation, answer)
        try:
            await self._connection.send(_encode({"id": number, "op": operation, "params": params}))
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the connection."""
        self._connection.close()
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        try:
            while True:
                self._take(_parsed(await self._connection.receive()))
        except PhoneGone as error:
            reason = str(error)
        finally:
            self.broken = True
        self._connection.close()
        for operation, answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(
                    ConnectionLost(f"{operation}: {reason} before the answer came; it may have been done, or not")
                )

    def _take(self, found: _Answer) -> None:
        _, answer = self._waiting.get(found.id, ("", None))
        if answer is None or answer.done():
            return  # who asked has stopped waiting
        if found.ok:
            answer.set_result(found.result)
        else:
            answer.set_exception(error_from_problem(found.error))


class _RemoteFeed:
    """A subscription that outlives its connections."""

    def __init__(self, again: Reconnecting, types: tuple[str, ...], after: str, forget: Callable[[Any], None]) -> None:
        self._again = again
        self._types = types
        self._after = after
        self._forget = forget
        self._ready: deque[Heard] = deque()
        self._connection: Connection | None = None
        self._closed = False
        self._breaks = 0  # since the last event

    async def next(self) -> Heard | None:
        """Return the next event."""
        while not self._closed:
            if self._connection is None and not await self._connect():
                continue
            assert self._connection is not None
            try:
                found = _parsed(await self._connection.receive())
            except ConnectionLost:
                self._drop()
                continue
            heard = self._heard(found)
            if heard is not None:
                return heard
        return None

    def _heard(self, found: _Answer) -> Heard | None:
        line = bytes(found.event)
        if not line:
            return None
        self._breaks = 0
        heard = heard_from_json(line)
        if heard is not None and heard.id:
            self._after = heard.id
        return heard

    async def _connect(self) -> bool:
        """Subscribe; whether it worked."""
        try:
            if self._breaks > 1:  # a phone that lets us in and throws us out again
                await self._again.pause(FIRST_PAUSE * 2 ** min(self._breaks, 7))
            connection = await self._again.connect()
        except PhoneGone:
            if self._closed or self._again.closing.is_set():
                self._closed = True
                return False
            raise
        place = {"after": self._after} if self._after else {}
        try:
            await connection.send(_encode({"id": 1, "op": "subscribe", "types": self._types, **place}))
            found = _parsed(await connection.receive())
        except ConnectionLost:
            self._breaks += 1
            connection.close()
            return False
        except BaseException:
            connection.close()
            raise
        if not found.ok:
            connection.close()
            raise error_from_problem(found.error)
        self._after = self._after or str(found.result["after"])
        self._connection = connection
        if self._closed:  # meanwhile
            self._drop()
        return not self._closed

    def _drop(self) -> None:
        self._breaks += 1
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """End it at once."""
        self._closed = True
        self._drop()
        self._forget(self)


