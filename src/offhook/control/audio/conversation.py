"""One program in one call: what the far end says goes out, what the program says goes in, until either side ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, assert_never

from offhook.control.access import Client
from offhook.control.audio.dialects import (
    FRAME_MS,
    MAX_MESSAGE,
    Action,
    Clear,
    Dialect,
    Digits,
    Hangup,
    Leave,
    Mark,
    Message,
    Track,
    Write,
)
from offhook.control.backend import Envelope
from offhook.control.operations import Operations
from offhook.control.schema import problem
from offhook.errors import CommandError, InvalidArgument, MediaLost
from offhook.io.audio_link import AudioLink, Frame
from offhook.media.messages import AudioOverrun, AudioReport
from offhook.phone.commands import GetCall, SendDtmf
from offhook.phone.commands import Hangup as EndCall
from offhook.phone.events import DtmfReceived

MAX_QUEUED: Final = 100
"""Messages that wait for a slow program: two seconds of sound. Frames beyond that are dropped, and that is told."""

MAX_WORDS: Final = 10_000
"""A program that lets so many answers wait is let go. Thousands of marks may come true in one moment."""

Send: TypeAlias = Callable[[Message], Awaitable[bool]]
"""Sends one message; False once nobody takes it any more. It may wait for a slow program: frames are dropped meanwhile."""


class Conversation:
    """Carries one dialect over one link: `open`, then `run`, with the program's messages given to `take` meanwhile."""

    def __init__(self, operations: Operations, client: Client, dialect: Dialect, send: Send) -> None:
        self._operations = operations
        self._client = client
        self._dialect = dialect
        self._send = send
        self._link: AudioLink | None = None
        self._tap: AudioLink | None = None  # hears what we send, where that is wanted besides
        self._out: asyncio.Queue[Message | None] = asyncio.Queue()
        self._reason = ""
        self._lost = False
        self._dropped = 0

    def open(self, call: str, *, hear: bool = True, speak: bool = True) -> None:
        """Join the call; raises CommandError if that cannot be done."""
        open_audio, tracks = self._operations.open_audio, self._dialect.tracks
        outbound = tracks[0] == "outbound"
        link = open_audio(self._client, call, self._dialect.rate, hear=hear, speak=speak, near=outbound)
        self._link = link
        link.on_frame = lambda frame: self._heard(frame, tracks[0])
        if len(tracks) > 1:
            try:
                self._tap = open_audio(self._client, link.call, self._dialect.rate, speak=False, near=True)
            except CommandError:
                link.close()
                raise
            self._tap.on_frame = lambda frame: self._heard(frame, tracks[1])
        link.on_report = self._told
        link.on_end = self._ended
        view = self._operations.backend.execute(GetCall(call=link.call)).value  # who may hear a call may know which it is
        self._say(*self._dialect.opened(view, link.id))

    async def run(self) -> None:
        """Speak until the call, the program or `close` ends it, and say the last words."""
        link = self._link
        if link is None:
            return
        unsubscribe = self._operations.backend.subscribe(self._event, DtmfReceived)
        try:
            while (message := await self._out.get()) is not None:
                if not await self._send(message):
                    return
            for message in self._dialect.ended(self._reason, self._lost):
                await self._send(message)
        finally:
            unsubscribe()
            link.on_end = None  # this end is ours, not the call's
            link.close()
            if self._tap is not None:
                self._tap.close()

    @property
    def end(self) -> tuple[str, bool]:
        """Why it ended, and whether that was because its sound broke."""
        return self._reason, self._lost

    def close(self, reason: str = "closed") -> None:
        """End the conversation, not the call."""
        if not self._reason:
            self._reason = reason
            self._out.put_nowait(None)

    def take(self, message: Message) -> None:
        """Do what a message of the program asks for; what cannot be done is answered, and nothing else happens."""
        try:
            if len(message) > MAX_MESSAGE:
                raise InvalidArgument(f"a message has at most {MAX_MESSAGE} bytes")
            for action in self._dialect.received(message):
                self._do(action)
        except CommandError as error:
            self._say(*self._dialect.refused(problem(error)))

    def _do(self, action: Action) -> None:
        link = self._link
        if link is None:
            return
        match action:
            case Write(pcm=samples):
                link.write(samples)
            case Clear():
                link.clear()
            case Mark(name=name):
                link.mark(name)
            case Digits(digits=digits):
                self._operations.execute(SendDtmf(digits=digits, call=link.call), self._client)
            case Hangup():
                self._operations.execute(EndCall(call=link.call), self._client)
            case Leave():
                self.close()
            case _:
                assert_never(action)

    # --- out

    def _say(self, *messages: Message) -> None:
        if self._out.qsize() > MAX_WORDS:
            self.close("too slow")
            return
        for message in messages:
            self._out.put_nowait(message)

    def _heard(self, frame: Frame, track: Track) -> None:
        link = self._link
        if link is None:
            return
        if self._out.qsize() >= MAX_QUEUED:
            self._dropped += 1
            return
        if self._dropped:
            dropped_ms, self._dropped = self._dropped * FRAME_MS, 0
            self._told(AudioOverrun(link.call, link.id, "hear", dropped_ms))
        self._say(*self._dialect.heard(frame.number, frame.pcm, link.buffered_ms, link.gone_ms, track))

    def _told(self, report: AudioReport) -> None:
        self._say(*self._dialect.told(report))

    def _ended(self, error: MediaLost | None) -> None:
        self._lost = error is not None
        self.close(str(error) if error else "the call ended")

    def _event(self, envelope: Envelope) -> None:
        event = envelope.event
        if isinstance(event, DtmfReceived) and self._link is not None and event.call.id == self._link.call:
            self._say(*self._dialect.pressed(event.digit, event.method, event.duration_ms))
