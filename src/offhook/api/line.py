"""A call's line to the phone, as the call shares it with what runs in it: playbacks, recordings, streams of its sound."""

from __future__ import annotations

import contextlib
from typing import Final, Protocol

from offhook.api.failures import CLOSED, PhoneGone
from offhook.api.links import Sound
from offhook.api.streams import Bell, wait_until
from offhook.media.messages import AudioRate
from offhook.phone import events as e
from offhook.phone.commands import Accepted, Command

LAST_WORDS: Final = 10.0
"""Seconds that the end of a recording or a stream may take after its call (a slow disk, a program without a goodbye)."""


class Followed(Protocol):
    """The phone, as the program follows it (`api.book.Book`)."""

    ended: bool
    error: PhoneGone | None

    async def execute(self, command: Command, *, wait: bool = False) -> Accepted:
        """Carry out a command; with `wait` until what it began is done."""
        ...

    async def open_sound(self, call: str, rate: AudioRate) -> Sound:
        """Connect to a call's sound."""
        ...


class CallLine:
    """The line of the call `call`. It knows of each thing that ran in the call how it ended.

    `ended` says that the call is over, `lost` that nothing more is heard of it, and why; `silent` that it ended with its
    phone, so that nothing more is heard of what ran in it. `bell` rings at every change.
    """

    def __init__(self, phone: Followed, call: str) -> None:
        self.call = call
        self.bell = Bell()
        self.ended = False
        self.lost: PhoneGone | None = None
        self.silent: PhoneGone | None = None
        self._phone = phone
        self._endings: dict[str, e.CallEvent] = {}

    @property
    def is_over(self) -> bool:
        """Whether the call is over, or lost."""
        return self.ended or self.lost is not None

    async def execute(self, command: Command, *, wait: bool = False) -> Accepted:
        """Carry out a command; with `wait` until what it began is done. Raises CommandError, OperationFailed, PhoneGone."""
        return await self._phone.execute(command, wait=wait)

    async def open_sound(self, rate: AudioRate) -> Sound:
        """Connect to the call's sound."""
        return await self._phone.open_sound(self.call, rate)

    def take(self, event: e.CallEvent) -> None:
        """Note what has ended by this event."""
        match event:
            case e.PlaybackFinished() | e.PlaybackFailed():
                self._endings[event.playback] = event
            case e.RecordingFinished() | e.RecordingFailed():
                self._endings[event.recording] = event
            case e.AudioStreamStopped() | e.AudioStreamFailed():
                self._endings[event.stream.id] = event
            case _:
                pass

    def has_ended(self, thing: str) -> bool:
        """Whether what has this id has ended."""
        return thing in self._endings

    async def ending(self, thing: str, timeout: float | None, *, patience: float = LAST_WORDS) -> e.CallEvent | None:
        """Wait for the event that ends what has this id; None: the call is `patience` seconds over, and none came.

        Raises PhoneGone when nothing more is heard of the phone, TimeoutError.
        """
        def known() -> bool:
            return thing in self._endings or (self.lost or self.silent) is not None or self._phone.ended

        await wait_until(self.bell, lambda: known() or self.ended, timeout, f"{thing} was not over")
        if not known():
            with contextlib.suppress(TimeoutError):
                await wait_until(self.bell, known, patience)
        if thing not in self._endings and known():
            raise self.lost or self.silent or self._phone.error or PhoneGone(CLOSED)
        return self._endings.get(thing)


class CallPart:
    """Something that runs in a call and ends by itself; `id` is its name on every surface.

    It holds the call: nothing is told any more to calls that are over and that nobody holds.
    """

    def __init__(self, call: object, line: CallLine, part: str) -> None:
        self.id = part
        self._call = call
        self._line = line

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of call {self._line.call}{' (over)' if self._has_ended else ''}>"

    @property
    def _has_ended(self) -> bool:
        return self._line.has_ended(self.id)
