"""Audio links: how a program hears and speaks in a call, frame by frame. Pure; the engine owns one `Links`.

A link hears what its stream's far end says, once a tick, and has a buffer of what it wants to say, which the stream mixes into
what it sends. Positions are counted in written bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, assert_never

from offhook.media import pcm as samples
from offhook.media.fades import ramp
from offhook.media.messages import (
    MARKS_LIMIT,
    SPEAK_LIMIT_MS,
    AudioCleared,
    AudioClosed,
    AudioCommand,
    AudioFrame,
    AudioFrames,
    AudioId,
    AudioMarkReached,
    AudioOverrun,
    AudioUnderrun,
    ClearAudio,
    CloseAudio,
    MarkAudio,
    MediaReport,
    OpenAudio,
    StreamId,
    WriteAudio,
)
from offhook.media.rates import Changer, Rates, link_rate
from offhook.media.sources import FRAME_MS, SILENCE, solid

FADE_MS: Final = 5  # what is cleared in the midst of a word becomes silent in this: a step would click
OVERRUN_TICKS: Final = 1000 // FRAME_MS  # between two reports of the same trouble

Report = Callable[[MediaReport], object]


class Voiced(Protocol):
    """What a link needs of its stream."""

    name: StreamId
    phase: int

    def heard_at(self, rate: int) -> bytes:
        """Return what was heard in this tick."""
        ...

    def near_at(self, rate: int) -> bytes:
        """Return what was sent in this tick, as long as it is tapped."""
        ...

    def set_voices(self, voices: tuple[Link, ...], *, tapped: bool) -> None:
        """Mix what these say into what is sent; `tapped`: somebody wants to hear what is sent."""
        ...


class Link:
    """One program's ear and mouth. The order of a tick is the stream's `hear` and `speak`, then `frame` here."""

    def __init__(self, opened: OpenAudio, report: Report, rates: Rates) -> None:
        self.name = opened.audio
        self.stream_name = opened.stream
        self.stream: Voiced | None = None  # until the call has its sound
        self.hears = opened.hear
        self.speaks = opened.speak
        self.near = opened.near
        self._rate = link_rate(opened.rate)
        self._rates = rates
        self._report = report
        self._millisecond = 2 * opened.rate // 1000  # bytes
        self._frame_bytes = FRAME_MS * self._millisecond
        self._limit = SPEAK_LIMIT_MS * self._millisecond
        self._changer: Changer | None = None  # to the rate of the stream
        self._stream_rate = self._rate
        self._number = 0
        self._told = 0  # what the latest frame said is gone
        self._buffer = bytearray()
        self._fading = b""  # the beginning of what was cleared
        self._marks: deque[tuple[int, str]] = deque()
        self._played = self._dropped = self._refused = 0
        self._playing = False
        self._overrun = self._marks_refused = 0
        self._overrun_wait = 0

    @property
    def played_ms(self) -> int:
        """Return how much of what was written has been played, since the link was opened."""
        return self._played // self._millisecond

    # --- speaking --------------------------------------------------------------------------------------------------

    def write(self, pcm: bytes, refused: int) -> None:
        """Take what fits."""
        room = self._limit - len(self._buffer)
        self._buffer += pcm[:room]
        beyond = max(0, len(pcm) - room)
        self._refused += beyond
        self._overrun += beyond + refused

    def mark(self, name: str) -> None:
        """Put a mark behind what was written."""
        if len(self._marks) >= MARKS_LIMIT:
            self._marks_refused += 1
            return
        end = self._played + self._dropped + (len(self._buffer) & ~1)
        self._marks.append((end, name))
        self._pass_marks()

    def clear(self) -> None:
        """Be silent from the next frame on, in which what was heard fades out; that does not count as played."""
        dropped = len(self._buffer)
        if self._playing:
            self._fading = ramp(bytes(self._buffer[: min(dropped & ~1, FADE_MS * self._millisecond)]), 1.0, 0.0)
        self._buffer.clear()
        self._dropped += dropped
        marks = tuple(name for _, name in self._marks)
        self._marks.clear()
        self._playing = False
        self._report(AudioCleared(self.stream_name, self.name, self.played_ms, dropped // self._millisecond, marks))

    def speak(self, rate: int) -> bytes:
        """Return the next frame of what is to be said, at this rate; `SILENCE` itself when there is nothing."""
        if rate != self._stream_rate:
            self._stream_rate = rate
            self._changer = None if rate == self._rate else self._rates.changer(self._rate, rate)
        frame = self._next_frame()
        if self._fading:
            fading, self._fading = self._fading.ljust(self._frame_bytes, b"\0"), b""
            frame = fading if frame is SILENCE else samples.add(frame, fading)
        return frame if self._changer is None else self._changer.feed(frame)

    def _next_frame(self) -> bytes:
        buffer = self._buffer
        size = min(len(buffer) & ~1, self._frame_bytes)
        if not size:
            self._run_dry()
            return SILENCE
        piece = bytes(buffer[:size])
        del buffer[:size]
        self._played += size
        self._playing = True
        if self._marks:
            self._pass_marks()
        if size < self._frame_bytes:
            piece += bytes(self._frame_bytes - size)
            self._run_dry()
        return piece

    def _run_dry(self) -> None:
        if self._playing:
            self._playing = False
            self._report(AudioUnderrun(self.stream_name, self.name, self.played_ms))

    def _pass_marks(self) -> None:
        marks, position = self._marks, self._played + self._dropped
        while marks and marks[0][0] <= position:
            at, name = marks.popleft()
            played_ms = (self._played - (position - at)) // self._millisecond
            self._report(AudioMarkReached(self.stream_name, self.name, name, played_ms))

    # --- hearing ---------------------------------------------------------------------------------------------------

    def frame(self) -> AudioFrame | None:
        """Return this tick's frame: what was heard, and how far the buffer is; None where there is nothing to tell."""
        self._fading = b""  # of a call on hold nothing fades out, nor later
        if self._overrun_wait:
            self._overrun_wait -= 1
        elif self._overrun or self._marks_refused:
            self._tell_overrun()
        gone = self._played + self._dropped + self._refused
        number, told = self._number, self._told
        self._told = gone
        stream = self.stream
        if not self.hears or stream is None:
            return None if gone == told else (self.name, number, b"", gone)
        self._number = number + 1
        heard = stream.near_at(self._rate) if self.near else stream.heard_at(self._rate)
        return self.name, number, solid(heard, self._rate), gone

    def _tell_overrun(self) -> None:
        dropped_ms = self._overrun // self._millisecond
        self._report(AudioOverrun(self.stream_name, self.name, "speak", dropped_ms, self._marks_refused))
        self._overrun = self._marks_refused = 0
        self._overrun_wait = OVERRUN_TICKS

    def close(self) -> None:
        """Say that it is over, and what was not said any more."""
        if self._overrun or self._marks_refused:
            self._tell_overrun()
        dropped_ms = len(self._buffer) // self._millisecond
        self._report(AudioClosed(self.stream_name, self.name, self.played_ms, dropped_ms))


class Links:
    """All links of an engine."""

    def __init__(self, report: Report, rates: Rates) -> None:
        self._report = report
        self._rates = rates
        self._links: dict[AudioId, Link] = {}

    def __len__(self) -> int:
        return len(self._links)

    def execute(self, command: AudioCommand, stream: Voiced | None) -> None:
        """Obey; what concerns a link that is gone does nothing."""
        link = self._links.get(command.audio)
        match command:
            case OpenAudio():
                self._open(command, stream)
            case WriteAudio():
                if link is not None and link.speaks:
                    link.write(command.pcm, command.refused)
            case ClearAudio():
                if link is not None:
                    link.clear()
            case MarkAudio():
                if link is not None:
                    link.mark(command.name)
            case CloseAudio():
                if link is not None:
                    self._close(link)
            case _:
                assert_never(command)

    def tick(self, phase: int) -> None:
        """Report what was heard in the streams of this phase."""
        frames = [
            frame
            for link in self._links.values()
            if link.stream is not None and link.stream.phase == phase and (frame := link.frame()) is not None
        ]
        if frames:
            self._report(AudioFrames(tuple(frames)))

    def open_stream(self, stream: Voiced) -> None:
        """Attach the links that waited for this stream."""
        if self._links:
            self._join(stream)

    def close_stream(self, name: StreamId) -> None:
        """Close the links of a stream that is being closed."""
        for link in [link for link in self._links.values() if link.stream_name == name]:
            self._close(link)

    def _open(self, command: OpenAudio, stream: Voiced | None) -> None:
        if command.audio in self._links:
            self._report(AudioClosed(command.stream, command.audio, error="already open"))
            return
        try:
            self._links[command.audio] = Link(command, self._report, self._rates)
        except ValueError as wrong:
            self._report(AudioClosed(command.stream, command.audio, error=str(wrong)))
            return
        if stream is not None:
            self._join(stream)

    def _close(self, link: Link) -> None:
        del self._links[link.name]
        if link.stream is not None:
            self._join(link.stream)
        link.close()

    def _join(self, stream: Voiced) -> None:
        links = [link for link in self._links.values() if link.stream_name == stream.name]
        for link in links:
            link.stream = stream
        stream.set_voices(tuple(link for link in links if link.speaks), tapped=any(link.near for link in links))
