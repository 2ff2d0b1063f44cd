"""How strong given frequencies are in a block of samples, in C: each is compared with a cosine and a sine made beforehand."""

from __future__ import annotations

import cmath
import math
from array import array
from collections.abc import Sequence
from typing import Final

from offhook.media import pcm
from offhook.media.sources import SAMPLE_RATE

PEAK: Final = 32767


class Bank:
    """The waves of some frequencies (Hz) for blocks of `block` samples of 8 kHz.

    `smooth` weighs the block with a Hann window: a strong frequency then leaves more distant ones alone, at half the sharpness.
    """

    __slots__ = ("_factor", "_waves", "block", "frequencies")

    def __init__(self, frequencies: Sequence[float], block: int, *, smooth: bool = False) -> None:
        self.frequencies = tuple(frequencies)
        self.block = block
        # `findfactor` divides by the reference's energy. Means of the window and of its square: 1/2 and 3/8.
        self._factor = PEAK * (0.75 if smooth else 1.0)
        window = [math.sin(math.pi * (place + 0.5) / block) ** 2 if smooth else 1.0 for place in range(block)]
        self._waves = [(_wave(f, window, math.cos), _wave(f, window, math.sin)) for f in self.frequencies]

    def amplitudes(self, samples: bytes) -> list[complex]:
        """Return amplitude and phase of each frequency in one block of 16-bit samples; a full-scale sine has 32767."""
        factor, find = self._factor, pcm.similarity
        return [complex(find(samples, cosine), -find(samples, sine)) * factor for cosine, sine in self._waves]

    def powers(self, samples: bytes) -> list[float]:
        """Return the mean square that each frequency contributes."""
        return [power(amplitude) for amplitude in self.amplitudes(samples)]

    def drift(self, place: int, before: complex, after: complex, apart: int) -> float:
        """Return by how many Hz the frequency at `place` is off, from its phase in two blocks that begin `apart` samples apart.

        The further apart, the more exact; but what is off by more than half a turn between them seems to be off by less.
        """
        expected = cmath.rect(1.0, math.tau * self.frequencies[place] * apart / SAMPLE_RATE)
        turned = after * (before * expected).conjugate()
        return cmath.phase(turned) / math.tau * SAMPLE_RATE / apart


def power(amplitude: complex) -> float:
    """Return the mean square of a wave of this amplitude."""
    return (amplitude.real**2 + amplitude.imag**2) / 2


def level(dbfs: float) -> float:
    """Return the mean square of a sine at this level (0 dBFS: a sine of full scale)."""
    return float(PEAK**2 / 2 * 10.0 ** (dbfs / 10.0))


def _wave(frequency: float, window: list[float], form: object) -> bytes:
    assert callable(form)
    step = math.tau * frequency / SAMPLE_RATE
    return array("h", (round(PEAK * weight * form(step * place)) for place, weight in enumerate(window))).tobytes()
