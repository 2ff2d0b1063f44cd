"""How loud two directions are: the mean power of the frames of an interval, in decibels."""

from __future__ import annotations

import math

from offhook.media import pcm
from offhook.media.messages import SILENT_DB
from offhook.media.sources import FRAME_MS, SILENCE


def decibels(power: float) -> float:
    """Return a mean square of 16-bit samples in dB against full scale."""
    return max(SILENT_DB, round(10.0 * math.log10(power / 32768.0**2), 1)) if power > 0 else SILENT_DB


class Meter:
    """Measures for `duration_ms`; when an interval is `due`, `take` gives its levels and begins the next one."""

    __slots__ = ("_every", "_frames", "_left", "_one", "_other")

    def __init__(self, interval_ms: int, duration_ms: int) -> None:
        self._every = max(1, interval_ms // FRAME_MS)
        self._left = max(1, duration_ms // FRAME_MS)
        self._frames = 0
        self._one = self._other = 0.0

    def feed(self, one: bytes, other: bytes) -> None:
        """Take a frame of each direction."""
        self._frames += 1
        self._left -= 1
        self._one += 0.0 if one is SILENCE else float(pcm.rms(one)) ** 2
        self._other += 0.0 if other is SILENCE else float(pcm.rms(other)) ** 2

    @property
    def due(self) -> bool:
        """Return whether an interval is complete."""
        return self._frames >= self._every or self.over

    @property
    def over(self) -> bool:
        """Return whether the time is up."""
        return self._left <= 0

    def take(self) -> tuple[float, float]:
        """Return the levels of both directions since the last time, in dB against full scale (dBov)."""
        levels = decibels(self._one / self._frames), decibels(self._other / self._frames)
        self._frames, self._one, self._other = 0, 0.0, 0.0
        return levels
