"""The program's end of an audio link: frames out of a call, PCM into it, on the phone's event loop.

`RunningPhone.open_audio` makes an AudioLink. What it hears comes past the phone, straight from the media host; what it is told
besides (marks, underruns) are the phone's events too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple, TypeAlias, TypeVar

from offhook.errors import InvalidArgument, InvalidState, MediaLost
from offhook.io.journal import Envelope
from offhook.media.messages import (
    SPEAK_LIMIT_MS,
    AudioCleared,
    AudioClosed,
    AudioFrames,
    AudioId,
    AudioMarkReached,
    AudioOverrun,
    AudioRate,
    AudioReport,
    AudioUnderrun,
    ClearAudio,
    EngineTrouble,
    MarkAudio,
    MediaCommand,
    MediaReport,
    StreamClosed,
    StreamFailed,
    WriteAudio,
)
from offhook.phone.events import CallEnded

FRAME_MS: Final = 20
HEAR_LIMIT_MS: Final = 1000
"""What a link keeps for a reader that is late; the oldest is dropped beyond. Talk that old helps nobody."""
TICKS_KEPT: Final = 200
"""Ticks of the media engine (5 ms) that wait for an event loop that is busy: a second."""
OVERRUN_S: Final = 1.0
NAME_LIMIT: Final = 256
"""Characters of a mark's name: it travels through every event."""


class Frame(NamedTuple):
    """20 ms of what the far end says: s16le mono at the link's rate. Numbers count from 0; a gap is what was dropped."""

    number: int
    pcm: bytes


_T = TypeVar("_T")
Send: TypeAlias = Callable[[MediaCommand], None]
OnFrame: TypeAlias = Callable[[Frame], None]
OnReport: TypeAlias = Callable[[AudioReport], None]
OnEnd: TypeAlias = Callable[[MediaLost | None], None]


class AudioLink:
    """One program in one call. Use it on the phone's event loop only.

    Hearing: `async for frame in link`, or `on_frame`, a callback, which then gets all of them. Speaking: `write`, `mark`,
    `clear`, with `wait_buffered` or `buffered_ms` as the brake. `on_report` is told of marks, clears, underruns and overruns
    of this link. When the call ends, or after `close`, the iterator finishes (after what it still has) and `on_end` is called
    once; if the media engine broke, the iterator raises MediaLost and `on_end` gets it.
    """

    def __init__(
        self, call: str, audio: AudioId, rate: AudioRate, hears: bool, speaks: bool, *,
        send: Send, report: Callable[[MediaReport], None], close: Callable[[AudioLink], None],
    ) -> None:  # fmt: skip
        self.call = call
        self.id = audio
        self.rate = rate
        self.hears = hears
        self.speaks = speaks
        self.ended = False
        self.error: MediaLost | None = None
        self.dropped_frames = 0  # heard, but not taken in time
        self.on_frame: OnFrame | None = None
        self.on_report: OnReport | None = None
        self.on_end: OnEnd | None = None
        self._send = send
        self._tell = report
        self._close = close
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._millisecond = 2 * rate // 1000
        self._frames: deque[Frame] = deque()
        self._next = 0
        self._untold = 0  # dropped frames that no report has told of
        self._told_at = 0.0
        self._half = b""
        self._sent = self._gone = 0  # bytes, since the opening
        self._cleared = 0  # of what was sent, so much is sure to be gone before the next write arrives
        self._dropped_ms = 0
        self._clears: deque[asyncio.Future[AudioCleared]] = deque()

    # --- speaking

    @property
    def buffered_ms(self) -> int:
        """Return how much of what was written waits to be played, as known from the latest frame."""
        return self._waiting // self._millisecond

    @property
    def _waiting(self) -> int:
        return self._sent - max(self._gone, self._cleared)

    @property
    def gone_ms(self) -> int:
        """Return how much of what was written has been played or cleared, as known from the latest frame."""
        return (self._sent - self._waiting) // self._millisecond

    @property
    def played_ms(self) -> int:
        """Return how much of what was written has been played, to 20 ms."""
        return self._gone // self._millisecond - self._dropped_ms

    def write(self, pcm: bytes) -> int:
        """Say this after all that was written before; returns how many bytes were taken.

        Any length will do; half a sample waits for its other half. Fewer bytes than given are taken when SPEAK_LIMIT_MS are
        waiting (then audio.overrun is reported): go on from there when there is room, or let the rest go. Raises InvalidState
        when the link has ended or does not speak.
        """
        self._must_speak()
        samples = self._half + pcm
        whole = len(samples) & ~1
        room = max(0, SPEAK_LIMIT_MS * self._millisecond - self._waiting)
        if whole > room:
            taken = max(0, room - len(self._half))
            self._half = b"" if room else self._half
            self._send(WriteAudio(self.call, self.id, samples[:room], refused=len(pcm) - taken))
            self._sent += room
            return taken
        self._half = samples[whole:]
        if whole:
            self._send(WriteAudio(self.call, self.id, samples[:whole]))
            self._sent += whole
        return len(pcm)

    def mark(self, name: str) -> None:
        """Have AudioMarkReached reported when all that was written so far has been played. Raises as `write` does."""
        self._must_speak()
        if len(name) > NAME_LIMIT:
            raise InvalidArgument.field("name", f"at most {NAME_LIMIT} characters")
        self._send(MarkAudio(self.call, self.id, name))

    def clear(self) -> asyncio.Future[AudioCleared]:
        """Be silent at once: what was written and not yet played is forgotten. What is written from here on is played.

        Await the result to learn how much had been played and how much was dropped. Raises as `write` does.
        """
        self._must_speak()
        self._half = b""
        self._cleared = self._sent
        self._send(ClearAudio(self.call, self.id))
        done: asyncio.Future[AudioCleared] = self._loop.create_future()
        self._clears.append(done)
        return done

    async def wait_buffered(self, most_ms: float) -> None:
        """Wait until at most so much is waiting to be played, or the link has ended. Raises MediaLost if that was why."""
        while self.buffered_ms > most_ms and not self.ended:
            await self._next_news()
        if self.error is not None:
            raise self.error

    async def drain(self) -> None:
        """Wait until all that was written has been played (or cleared, or the link has ended). Raises as `wait_buffered`."""
        await self.wait_buffered(0)

    def _must_speak(self) -> None:
        if self.ended:
            raise InvalidState(f"the audio link {self.id} has ended")
        if not self.speaks:
            raise InvalidState(f"the audio link {self.id} was opened only to hear")

    # --- hearing

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self

    async def __anext__(self) -> Frame:
        while not self._frames:
            if self.error is not None:
                raise self.error
            if self.ended:
                raise StopAsyncIteration
            await self._next_news()
        return self._frames.popleft()

    async def _next_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    # --- ending

    def close(self) -> None:
        """End the link; harmless when repeated."""
        if not self.ended:
            self._close(self)

    # --- for AudioLinks

    def take(self, number: int, pcm: bytes, gone: int) -> None:
        """Take this link's share of a tick."""
        self._gone = gone
        if self.hears and number >= self._next:
            self._lose(number - self._next)
            self._next = number + 1
            if self.on_frame is not None:
                self._call(self.on_frame, Frame(number, pcm))
            else:
                if len(self._frames) >= HEAR_LIMIT_MS // FRAME_MS:
                    self._frames.popleft()
                    self._lose(1)
                self._frames.append(Frame(number, pcm))
        self._news.set()

    def _lose(self, frames: int) -> None:
        self.dropped_frames += frames
        self._untold += frames
        if self._untold and self._loop.time() - self._told_at >= OVERRUN_S:
            self._told_at = self._loop.time()
            dropped_ms, self._untold = self._untold * FRAME_MS, 0
            self._tell(AudioOverrun(self.call, self.id, "hear", dropped_ms))

    def note(self, report: AudioReport) -> None:
        """Take a report about this link."""
        if isinstance(report, AudioCleared):
            self._dropped_ms += report.dropped_ms
            if self._clears and not (done := self._clears.popleft()).done():
                done.set_result(report)
        if self.on_report is not None:
            self._call(self.on_report, report)

    def finish(self, error: MediaLost | None = None) -> None:
        """Be over."""
        if self.ended:
            return
        self.ended, self.error = True, error
        lost = AudioCleared(self.call, self.id, self.played_ms, (self._sent - self._gone) // self._millisecond)
        for done in self._clears:
            if not done.done():
                done.set_result(lost)  # what was not played never will be: as good an answer as any
        self._news.set()
        if self.on_end is not None:
            self._call(self.on_end, error)

    def _call(self, function: Callable[[_T], None], argument: _T) -> None:
        try:
            function(argument)
        except Exception as error:  # a program's mistake must not cost the others their frames
            self._loop.call_exception_handler({"message": f"a callback of the audio link {self.id} failed", "exception": error})


class AudioLinks:
    """All links of a phone. `take` is for the media host's thread, everything else for the event loop."""

    def __init__(self, send: Send, report: Callable[[MediaReport], None]) -> None:
        self._send = send
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._links: dict[AudioId, AudioLink] = {}
        self._waiting: deque[AudioFrames] = deque(maxlen=TICKS_KEPT)
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._links)

    def add(
        self, call: str, audio: AudioId, rate: AudioRate, hear: bool, speak: bool, close: Callable[[AudioId], object]
    ) -> AudioLink:
        """Return the program's end of a link that the phone has just opened; `close` closes it there."""

        def end(link: AudioLink) -> None:
            self._finish(link)
            close(link.id)

        link = AudioLink(call, audio, rate, hear, speak, send=self._send, report=self._report, close=end)
        self._links[audio] = link
        return link

    def take(self, frames: AudioFrames) -> None:
        """Take a tick's frames; never waits. While the loop is busy, the newest second is kept."""
        self._waiting.append(frames)
        if not self._scheduled:
            self._scheduled = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        waiting, links = self._waiting, self._links
        while waiting:
            for audio, number, pcm, gone in waiting.popleft().frames:
                link = links.get(audio)
                if link is not None:
                    link.take(number, pcm, gone)

    def note(self, report: MediaReport) -> None:
        """Look at a report before the phone does."""
        match report:
            case AudioClosed(audio=audio, error=error):
                link = self._links.get(audio)
                if link is not None:
                    link.note(report)
                    self._finish(link, MediaLost(error) if error else None)
            case AudioMarkReached() | AudioCleared() | AudioUnderrun() | AudioOverrun():
                link = self._links.get(report.audio)
                if link is not None:
                    link.note(report)
            case StreamFailed(stream=call, reason=reason):
                self._finish_call(call, MediaLost(reason))
            case StreamClosed(stream=call):
                self._finish_call(call)
            case EngineTrouble(reason=reason, late_ms=0, streams=streams):
                for call in streams:  # it was started again and knows of none of them
                    self._finish_call(call, MediaLost(reason))
            case _:
                pass

    def see(self, envelope: Envelope) -> None:
        """Look at the end of a call: its links end with it, not when its media has been wound up."""
        if isinstance(envelope.event, CallEnded):
            self._finish_call(envelope.event.call.id)

    def _finish_call(self, call: str, error: MediaLost | None = None) -> None:
        for link in [link for link in self._links.values() if link.call == call]:
            self._finish(link, error)

    def _finish(self, link: AudioLink, error: MediaLost | None = None) -> None:
        self._links.pop(link.id, None)
        link.finish(error)
