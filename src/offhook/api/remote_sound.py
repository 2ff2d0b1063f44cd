"""A call's sound over a connection of its own, whichever: lines on the local socket, or messages of a WebSocket."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import Final

import msgspec

from offhook.api.connections import Voice, Word
from offhook.api.failures import ConnectionLost
from offhook.api.streams import Bell
from offhook.control.schema import error_from_problem
from offhook.errors import CommandError, InvalidState, MediaLost
from offhook.media.messages import AudioRate

FRAME_MS: Final = 20
FRAMES_KEPT: Final = 50
"""A second for a reader that is late; the oldest is dropped beyond."""

MAX_PCM: Final = 24_000
"""Bytes of sound in one line: far below the longest line the phone takes, also as base64."""


class RemoteSound:
    """The Sound of a call of a phone that runs elsewhere. `timeout` is seconds for an answer."""

    def __init__(self, voice: Voice, rate: AudioRate, timeout: float) -> None:
        self._voice = voice
        self._timeout = timeout
        self._millisecond = 2 * rate // 1000
        self._frames: deque[bytes] = deque(maxlen=FRAMES_KEPT)
        self._bell = Bell()
        self._unsent: deque[bytes | int] = deque()  # samples, or the number of a clear
        self._half = b""
        self._sent = 0  # bytes
        self._gone_ms = self._cleared_ms = 0
        self._clears = itertools.count(1)
        self._cleared: dict[int, asyncio.Future[int]] = {}
        self._over = False
        self._error: MediaLost | None = None
        self._tasks: list[asyncio.Task[None]] = []
        for work in (self._read(), self._send()):  # which may be done at once, in a program with eager tasks
            self._tasks.append(asyncio.get_running_loop().create_task(work))

    @property
    def buffered_ms(self) -> int:
        """How much of what was written is not played yet, as far as is known here."""
        return max(0, self._sent // self._millisecond - max(self._gone_ms, self._cleared_ms))

    async def next(self) -> bytes | None:
        """Return the next 20 ms of the far end."""
        while not self._frames:
            if self._error is not None:
                raise self._error
            if self._over:
                return None
            await self._bell.wait()
        return self._frames.popleft()

    def write(self, pcm: bytes) -> None:
        """Say this after what was said before."""
        self._must_go_on()
        samples = self._half + pcm
        whole = len(samples) & ~1
        self._half = samples[whole:]
        for start in range(0, whole, MAX_PCM):
            self._put(samples[start : min(start + MAX_PCM, whole)])
        self._sent += whole

    async def wait_buffered(self, most_ms: float) -> None:
        """Wait until no more than this is not played yet."""
        while self.buffered_ms > most_ms and not self._over:
            await self._bell.wait()
        if self._error is not None:
            raise self._error

    async def clear(self) -> int:
        """Be silent at once; raises TimeoutError if the phone does not say that it is."""
        self._must_go_on()
        number, done = next(self._clears), asyncio.get_running_loop().create_future()
        self._cleared[number] = done
        self._half = b""
        self._cleared_ms = self._sent // self._millisecond
        self._put(number)
        try:
            async with asyncio.timeout(self._timeout):
                return int(await done)
        except TimeoutError:
            raise TimeoutError(f"the phone has not answered clear for {self._timeout:g} s") from None
        finally:
            self._cleared.pop(number, None)

    def close(self) -> None:
        """End it."""
        self._finish(None)

    # --- the connection

    def _must_go_on(self) -> None:
        if self._over:
            raise InvalidState("the call, or its sound, is over")

    def _put(self, what: bytes | int) -> None:
        self._unsent.append(what)
        self._bell.ring()

    async def _send(self) -> None:
        try:
            while not self._over:
                while self._unsent:
                    what = self._unsent.popleft()
                    await (self._voice.clear(what) if isinstance(what, int) else self._voice.say(what))
                if not self._over:
                    await self._bell.wait()
        except ConnectionLost as error:
            self._finish(MediaLost(str(error)))

    async def _read(self) -> None:
        try:
            while not self._over:
                self._take(await self._voice.hear())
        except (ConnectionLost, msgspec.DecodeError) as error:
            self._finish(MediaLost(str(error)))
        except CommandError as error:
            self._finish(MediaLost(error.detail))

    def _take(self, word: Word) -> None:
        if word.error is not None:
            raise error_from_problem(word.error)
        if word.audio:
            self._frames.append(word.audio)
        if word.gone_ms is not None:
            self._gone_ms = word.gone_ms
        done = self._cleared.get(word.clear) if word.clear is not None else None
        if done is not None and not done.done():
            done.set_result(word.dropped_ms)
        if word.end is not None:
            self._finish(MediaLost(word.end) if word.end else None)
        self._bell.ring()

    def _finish(self, error: MediaLost | None) -> None:
        if self._over:
            return
        self._over, self._error = True, error
        self._voice.close()
        for done in self._cleared.values():
            if not done.done():
                done.set_result(self.buffered_ms)
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._bell.ring()
