"""A call's sound on its way to a program's WebSocket, as the program that ordered it sees it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from offhook.api.failures import OperationFailed
from offhook.errors import NotFound
from offhook.phone import commands as c
from offhook.phone import events as e

if TYPE_CHECKING:
    from offhook.api.call import CallHandle


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

        Raises OperationFailed if it broke, PhoneGone if nobody will ever tell, TimeoutError.
        """
        found = await self._call._outcome(self.id, timeout)
        if isinstance(found, e.AudioStreamStopped):
            return found.reason
        if isinstance(found, e.AudioStreamFailed):
            raise OperationFailed("stream_audio", reason=found.reason)
        raise OperationFailed("stream_audio", reason="the call ended, and no word of its stream came")

    async def stop(self) -> str:
        """End it; the call goes on. Harmless when it is over."""
        if not (self.is_over or self._call._is_over):
            with contextlib.suppress(NotFound):  # it ended a moment ago
                await self._call._do(c.StopAudioStream(stream=self.id))
        return await self.wait()
