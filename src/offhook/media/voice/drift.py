"""Measures how far the clocks of two devices run apart: by how much the echo comes later than the filter expects it.

An echo that comes later by a part of a sample leaves an error that is its own derivative times that part. How much of the error
is that is asked of each frequency, and those are believed that are loud beside what is no echo (the estimate of greatest
likelihood). The filter would follow the lag by itself, only too slowly; so a lag never grows large, and its sum is the drift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from offhook.media.voice.echo import Cleaned

MOST: Final = 5e-4  # 500 ppm: each of two bad crystals has 100, and sound servers that resample overshoot
LAG_MOST: Final = 1.0  # samples: what looks like more is no drift
AT_ONCE: Final = 0.1  # of a lag, corrected in the next block …
LEARNT: Final = 0.01  # … and taken for drift that goes on: together the loop swings in within a second, without ringing
SURE: Final = 300.0  # the information at which a lag is believed by half: it errs by 1/24 of a sample then
LEAST: Final = 1e-7


class Drift:
    """One loudspeaker and one microphone; blocks of `block` samples."""

    def __init__(self, block: int) -> None:
        import numpy

        self._np = numpy
        self._block = block
        self._turns = (numpy.pi * numpy.arange(block + 1) / block).astype(numpy.float32)  # radians a sample
        self._padded = numpy.zeros(2 * block, numpy.float32)
        self.rate = 0.0  # samples by which the echo gets later in each sample

    def update(self, cleaned: Cleaned) -> float:
        """Return by how many samples the delay is to grow in the next block."""
        numpy, block = self._np, self._block
        self._padded[block:] = cleaned.echo
        echo = numpy.fft.rfft(self._padded)
        error = cleaned.error
        weights = self._turns / (cleaned.near + LEAST)
        moved = float(numpy.dot(weights, echo.imag * error.real - echo.real * error.imag))
        information = float(numpy.dot(weights * self._turns, echo.real**2 + echo.imag**2))
        lag = max(-LAG_MOST, min(LAG_MOST, moved / (information + LEAST))) * information / (information + SURE)
        self.rate = max(-MOST, min(MOST, self.rate + LEARNT * lag / block))
        return self.rate * block + AT_ONCE * lag
