"""A call's sound on its way to a program's WebSocket, as the program that ordered it sees it."""

from __future__ import annotations

import contextlib

from offhook.api.failures import OperationFailed
from offhook.api.line import CallPart
from offhook.errors import NotFound
from offhook.phone import commands as c
from offhook.phone import events as e


class AudioStream(CallPart):
    """A stream of a call's sound to a program. It ends with the call, and is not connected again."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._has_ended

    async def wait(self, *, timeout: float | None = None) -> str:
        """Wait until it is over; returns why: "stopped", "the call ended", "the program ended it".

        Raises OperationFailed if it broke, PhoneGone if nobody will ever tell, TimeoutError.
        """
        found = await self._line.ending(self.id, timeout)
        if isinstance(found, e.AudioStreamStopped):
            return found.reason
        if isinstance(found, e.AudioStreamFailed):
            raise OperationFailed("stream_audio", reason=found.reason)
        raise OperationFailed("stream_audio", reason="the call ended, and no word of its stream came")

    async def stop(self) -> str:
        """End it; the call goes on. Harmless when it is over."""
        if not (self.is_over or self._line.is_over):
            with contextlib.suppress(NotFound):  # it ended a moment ago
                await self._line.execute(c.StopAudioStream(stream=self.id))
        return await self.wait()
