"""Single steady tones of whatever frequency: fax signals, the beep of an answering machine, special information tones.

Three samples of one sine in a row have a fixed relation: the outer two sum up to the middle one times twice the cosine of the
step. So a handful of operations in C finds the frequency of a frame, and how much of its power that one sine leaves over.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from msgspec import Struct

from offhook.media import pcm
from offhook.media.detect.bank import Bank
from offhook.media.sources import FRAME_MS, SAMPLE_RATE

MIN_RMS: Final = 150
"""About -44 dBFS: what is quieter is no signal to anybody."""
WIDEST: Final = 0.4
"""Bandwidth in radians a sample: what one sine leaves over, beside its slope. Noise 18 dB below a tone of 1000 Hz makes 0.2."""
PURITY: Final = 0.75
"""Share of a frame's power that lies at the frequency found."""
GRID_HZ: Final = 5
HIGHEST_COSINE: Final = math.cos(math.tau * 200 / SAMPLE_RATE)
LOWEST_COSINE: Final = math.cos(math.tau * 3600 / SAMPLE_RATE)
GLIDE_HZ: Final = 40.0
"""How far a tone may move from frame to frame, and all together."""
HOLD_FRAMES: Final = 2
"""Frames that may be lost within a tone."""


class Steady(Struct, frozen=True):
    """A tone: its frequency in Hz, when it began (ms of this stream), how long it lasted, and whether it is over."""

    frequency: float
    begun_ms: int
    duration_ms: int
    over: bool


class Whistle:
    """Follows one stream of 20 ms frames of 8 kHz."""

    def __init__(self) -> None:
        self._now_ms = 0
        self._frequency = 0.0
        self._begun_ms = 0
        self._frames = 0
        self._missing = 0

    def feed(self, frame: bytes, rms: int) -> Steady | None:
        """Return the tone that sounds now or has just ended, None where there is none."""
        heard = pure_frequency(frame, rms)
        self._now_ms += FRAME_MS
        if self._frames and heard and abs(heard - self._frequency) <= GLIDE_HZ:
            self._frames += 1 + self._missing
            self._missing = 0
            self._frequency += (heard - self._frequency) / self._frames
            return self._state(over=False)
        if self._frames:
            self._missing += 1
            if self._missing <= HOLD_FRAMES and not heard:
                return self._state(over=False)
            ended = self._state(over=True)
            self._begin(heard)
            return ended
        self._begin(heard)
        return None

    def _begin(self, heard: float) -> None:
        self._frequency, self._missing = heard, 0
        self._frames = int(heard > 0)
        self._begun_ms = self._now_ms - FRAME_MS

    def _state(self, *, over: bool) -> Steady:
        return Steady(self._frequency, self._begun_ms, self._frames * FRAME_MS, over)


def pure_frequency(frame: bytes, rms: int) -> float:
    """Return the frequency in Hz if the frame is nearly one sine of 200-3600 Hz, else 0.0."""
    if rms < MIN_RMS:
        return 0.0
    half = pcm.scale(frame, 0.5)
    outer = pcm.add(half[:-4], half[4:])  # (x[n-1] + x[n+1]) / 2 = x[n] cos(step)
    middle = frame[2:-2]
    cosine = pcm.similarity(outer, middle)
    if not HIGHEST_COSINE > cosine > LOWEST_COSINE:
        return 0.0
    rest = pcm.add(outer, pcm.scale(middle, -cosine))
    if pcm.rms(rest) > WIDEST * rms * math.sqrt(1.0 - cosine * cosine):
        return 0.0
    frequency = math.acos(cosine) * SAMPLE_RATE / math.tau
    found = _bank_near(round(frequency / GRID_HZ), len(frame) // 2).powers(frame)[0]
    return frequency if found > PURITY * rms * rms else 0.0


@lru_cache(512)
def _bank_near(place: int, block: int) -> Bank:
    return Bank((place * GRID_HZ,), block)
