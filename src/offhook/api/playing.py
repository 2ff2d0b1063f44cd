"""What plays into a call, and what records it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from offhook.api.failures import OperationFailed, PhoneGone
from offhook.api.line import CallLine, CallPart
from offhook.errors import InvalidState, NotFound
from offhook.phone import commands as c
from offhook.phone import events as e

LAST_NOTES: Final = 2.0
"""Seconds that the end of a playback may take after its call: the media only has to say how much was heard."""


class Playback(CallPart):
    """Something that plays into a call."""

    @property
    def is_finished(self) -> bool:
        """Whether it is over."""
        return self._has_ended or self._line.is_over

    async def wait(self, *, timeout: float | None = None) -> int:
        """Wait until it is over, stopped or not; returns how many milliseconds were played, also when the call ended meanwhile.

        Raises OperationFailed for a file that cannot be played, TimeoutError.
        """
        try:
            found = await self._line.ending(self.id, timeout, patience=LAST_NOTES)
        except PhoneGone:
            return 0  # nobody will ever tell
        if isinstance(found, e.PlaybackFailed):
            raise OperationFailed("play", reason=found.reason)
        return found.played_ms if isinstance(found, e.PlaybackFinished) else 0

    async def stop(self) -> int:
        """Stop it; returns how many milliseconds were played. Harmless when it is over."""
        if not self.is_finished:
            with contextlib.suppress(InvalidState, NotFound):  # it ended a moment ago
                await self._line.execute(c.StopPlay(call=self._line.call, playback=self.id))
        return await self.wait()

    async def pause(self) -> None:
        """Pause it."""
        await self._line.execute(c.PausePlay(call=self._line.call, paused=True, playback=self.id))

    async def go_on(self) -> None:
        """Go on after `pause`."""
        await self._line.execute(c.PausePlay(call=self._line.call, paused=False, playback=self.id))


class Recording(CallPart):
    """A recording of a call. `file` is where it is written: not complete before `wait` or `stop` has returned."""

    def __init__(self, call: object, line: CallLine, recording: str, file: Path) -> None:
        super().__init__(call, line, recording)
        self.file = file

    @property
    def is_finished(self) -> bool:
        """Whether its file is complete."""
        return self._has_ended

    async def wait(self, *, timeout: float | None = None) -> Path:
        """Wait until it is over (the call ended, or its longest time has passed); returns the complete file.

        Raises OperationFailed if it broke off (disk full, no such folder), PhoneGone if nobody will ever tell, TimeoutError.
        """
        found = await self._line.ending(self.id, timeout)
        if isinstance(found, e.RecordingFinished):
            return Path(found.file)
        if isinstance(found, e.RecordingFailed):
            raise OperationFailed("record", reason=found.reason)
        raise OperationFailed("record", reason="the call ended, and no word of its recording came")

    async def stop(self) -> Path:
        """Finish it; returns the complete file. Harmless when it is over."""
        if not (self.is_finished or self._line.is_over):
            with contextlib.suppress(NotFound):  # it ended a moment ago
                await self._line.execute(c.StopRecord(call=self._line.call, recording=self.id))
        return await self.wait()

    async def pause(self) -> None:
        """Write nothing until `go_on`."""
        await self._line.execute(c.PauseRecord(call=self._line.call, paused=True, recording=self.id))

    async def go_on(self) -> None:
        """Go on after `pause`."""
        await self._line.execute(c.PauseRecord(call=self._line.call, paused=False, recording=self.id))
