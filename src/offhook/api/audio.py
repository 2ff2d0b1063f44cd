"""A call's sound, as a program hears and makes it."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Final

from offhook.api.line import CallLine
from offhook.api.links import Sound
from offhook.errors import InvalidArgument, OffhookError
from offhook.media.messages import AudioRate

if TYPE_CHECKING:
    from typing_extensions import Buffer  # type checkers have it without the package; collections.abc, from Python 3.12 on

AHEAD_MS: Final = 1000
"""How far `write` runs ahead of what is played before it waits."""

_SAMPLES: Final = frozenset({"B", "b", "c", "h", "<h"})
"""Formats of a buffer (see the module `struct`) that holds bytes or 16-bit integers."""


def samples(pcm: Buffer) -> bytes:
    """Return the bytes of 16-bit samples; raises InvalidArgument for an array of others, TypeError for what is none at all."""
    if isinstance(pcm, bytes):
        return pcm
    view = memoryview(pcm)
    if view.format not in _SAMPLES or view.ndim != 1:  # floating-point numbers would be heard, as noise
        form = f"these are {view.ndim}-dimensional, of the format {view.format!r}"
        raise InvalidArgument.field("pcm", f"bytes, or a one-dimensional array of 16-bit integers; {form}")
    return view.tobytes()


class _Rest:
    """What of one `write` has not been handed over yet, in bytes."""

    def __init__(self, size: int) -> None:
        self.size = size


class Audio:
    """The sound of one call: 16-bit little-endian mono samples at `rate` Hz, both ways. It ends with the call.

    Iterating gives what the far end says, 20 ms of bytes at a time; a program that is more than a second late misses the
    oldest. What is written goes to the far end besides the microphone.
    """

    def __init__(self, line: CallLine, rate: AudioRate) -> None:
        self.rate = rate
        self._line = line
        self._sound: Sound | None = None
        self._forgotten: weakref.finalize[..., Audio]
        self._opening = asyncio.Lock()
        self._rests: set[_Rest] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Audio of call {self._line.call} at {self.rate} Hz{' (closed)' if self._closed else ''}>"

    async def __aenter__(self) -> Audio:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _open(self) -> Sound:
        async with self._opening:
            if self._sound is None:
                self._sound = await self._line.open_sound(self.rate)
                # Who leaves its loop early may forget to close it, on any thread; and a call has few of them.
                self._forgotten = weakref.finalize(self, _let_go_soon, asyncio.get_running_loop(), self._sound)
                self._forgotten.atexit = False
            return self._sound

    async def close(self) -> None:
        """End it; the call goes on."""
        self._closed = True
        async with self._opening:
            if self._sound is not None:
                self._forgotten.detach()
                self._sound.close()

    def __aiter__(self) -> Audio:
        return self

    async def __anext__(self) -> bytes:
        frame = await (await self._open()).next()
        if frame is None:
            raise StopAsyncIteration
        return frame

    async def write(self, pcm: Buffer) -> None:
        """Say this after what was said before; any length. Waits while more than a second is not played yet.

        Bytes, or an array of 16-bit integers (numpy, `array`). A `clear` meanwhile ends it, too. Raises InvalidState when the
        call is over, InvalidArgument for an array of anything else.
        """
        pcm = samples(pcm)
        sound = await self._open()
        step = self.rate * 2 * AHEAD_MS // 1000
        rest = _Rest(len(pcm))
        self._rests.add(rest)
        try:
            for start in range(0, len(pcm), step):
                await sound.wait_buffered(AHEAD_MS)
                if rest not in self._rests:
                    return
                sound.write(pcm[start : start + step])
                rest.size -= step
        finally:
            self._rests.discard(rest)

    async def clear(self) -> int:
        """Be silent at once; returns how many milliseconds of what was written were not played.

        That includes what a `write` in another task still waits to say.
        """
        sound = await self._open()
        rests, self._rests = self._rests, set()  # or they would go on speaking right behind the silence
        waited_ms = sum(max(0, rest.size) for rest in rests) * 1000 // (self.rate * 2)
        return await sound.clear() + waited_ms

    async def drain(self) -> None:
        """Wait until all that was written has been played, or the call is over."""
        await (await self._open()).wait_buffered(0)

    @property
    def buffered_ms(self) -> int:
        """How much of what was written is not played yet."""
        return self._sound.buffered_ms if self._sound is not None else 0


_leaving: set[asyncio.Task[None]] = set()
"""What nobody else holds."""


def _let_go_soon(loop: asyncio.AbstractEventLoop, sound: Sound) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed, and the sound with it
        loop.call_soon_threadsafe(_let_go, sound)


def _let_go(sound: Sound) -> None:
    leaving = asyncio.get_running_loop().create_task(_play_out(sound))
    _leaving.add(leaving)
    leaving.add_done_callback(_leaving.discard)


async def _play_out(sound: Sound) -> None:
    """Close it when what was written has been played: who wrote it wants it to be heard."""
    try:
        with contextlib.suppress(OffhookError):
            await sound.wait_buffered(0)
    finally:
        sound.close()
