"""Sending digits: requests wait in line, each becomes telephone events or tones, one step for each 20 ms."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from offhook.media.dtmf import END_PACKETS, PAUSE, event_packets, normal
from offhook.media.messages import DigitsDone, DigitSent, MediaReport, SendDigits, StreamId
from offhook.media.sources import SAMPLE_RATE, SILENCE

# An event payload, whether it is the first of its digit, and how many seconds after that its segment begins; or PCM to send in
# place of the audio; or None: audio as usual.
Step: TypeAlias = tuple[bytes, bool, float] | bytes | None


class Keypad:
    """The digits of one stream. `active` says whether `step` wants to be called at each tick."""

    __slots__ = ("_frames", "_report", "_steps", "_stream", "_waiting", "active", "clock")

    def __init__(
        self, stream: StreamId, report: Callable[[MediaReport], object], frames: Callable[[str, int], Sequence[bytes]]
    ) -> None:
        self._stream = stream
        self._report = report
        self._frames = frames
        self.clock = SAMPLE_RATE  # of telephone events
        self._waiting: deque[SendDigits] = deque()
        self._steps: Iterator[Step] = iter(())
        self.active = False

    def press(self, request: SendDigits) -> None:
        """Send these digits after those that wait already."""
        try:
            normal(request.digits)
        except ValueError as error:
            self._report(DigitsDone(self._stream, request.request, str(error)))
            return
        self._waiting.append(request)
        if not self.active:
            self._steps = self._run(request)
            self.active = True

    def stop(self, error: str) -> None:
        """Drop the rest, answering each request with `error`."""
        for request in self._waiting:
            self._report(DigitsDone(self._stream, request.request, error))
        self._waiting.clear()
        self._steps = iter(())
        self.active = False

    def step(self) -> Step:
        """Return what to send now."""
        while self._waiting:
            for step in self._steps:
                return step
            self._report(DigitsDone(self._stream, self._waiting.popleft().request))
            if self._waiting:
                self._steps = self._run(self._waiting[0])
        self.active = False
        return None

    def _run(self, request: SendDigits) -> Iterator[Step]:
        for digit in normal(request.digits):
            if digit == PAUSE:
                yield from [None] * max(1, request.pause_ms // 20)
            elif request.method == "rtp":
                yield from self._key(request, digit)
            else:
                yield from self._tone(request, digit)

    def _key(self, request: SendDigits, digit: str) -> Iterator[Step]:
        first = told = False
        clock = self.clock
        for payload, since, is_end in event_packets(digit, request.duration_ms, clock):
            yield payload, not first, since / clock
            first = True
            if is_end and not told:
                told = True
                self._report(DigitSent(self._stream, request.request, digit))
        # The repeated end packets take the first 40 ms of the gap.
        yield from [None] * max(1, request.gap_ms // 20 - (END_PACKETS - 1))

    def _tone(self, request: SendDigits, digit: str) -> Iterator[Step]:
        yield from self._frames(digit, request.duration_ms)
        self._report(DigitSent(self._stream, request.request, digit))
        yield from [SILENCE] * max(1, request.gap_ms // 20)
