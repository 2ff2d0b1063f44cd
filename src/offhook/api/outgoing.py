"""A call's sound on its way to a program's WebSocket, as the program that ordered it sees it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from offhook.api.failures import OperationFailed
from offhook.api.streams import wait_until
from offhook.errors import NotFound
from offhook.phone import commands as c
from offhook.phone import events as e

if TYPE_CHECKING:
    from offhook.api.call import CallHandle

LAST_WORDS: Final = 10.0
"""Seconds that the end of a stream may take after its call has ended (a program that does not say goodbye)."""


class AudioStream:
    """A stream of a call's sound to a program. It ends with the call, and is not connected again."""

    def __init__(self, call: CallHandle, stream: str) -> None:
        self.id = stream
        self._call = call

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.id in self._call._finished

    async def wait(self, *, timeout: float | None = None) -> str:
        """Wait until it is over; returns why: "stopped", "the call ended", "the program ended it".

        Raises OperationFailed if it broke, TimeoutError.
        """
        call = self._call
        await wait_until(call._bell, lambda: self.is_over or call._is_over, timeout)
        if not self.is_over and call._error is None:
            with contextlib.suppress(TimeoutError):
                await wait_until(call._bell, lambda: self.is_over or call._error is not None, LAST_WORDS)
        found = call._finished.get(self.id)
        if isinstance(found, e.AudioStreamStopped):
            return found.reason
        if isinstance(found, e.AudioStreamFailed):
            raise OperationFailed("stream_audio", reason=found.reason)
        raise call._error or OperationFailed("stream_audio", reason="the call ended, and no word of its stream came")

    async def stop(self) -> str:
        """End it; the call goes on. Harmless when it is over."""
        if not (self.is_over or self._call._is_over):
            with contextlib.suppress(NotFound):  # it ended a moment ago
                await self._call._do(c.StopAudioStream(stream=self.id))
        return await self.wait()
