"""Finds an echo again whose delay has jumped (a buffer ran dry, a server changed its mind) in a room that is known.

What is known of the room says what the echo should sound like. The moment at which the microphone heard just that is found by
correlation, within a fifth of a second, and exactly to a sample; so nothing has to be learnt again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW_MS: Final = 180  # of the microphone, compared
FARTHEST_MS: Final = 160  # a jump; one towards the front half the window at most
ALIKE: Final = 0.7  # of the power has to be explained by the echo at its new place …
BETTER: Final = 0.5  # … and so much less than at the old one may remain unexplained
LEAST: Final = 1e-4  # the sum of the squares of what nobody hears


class JumpFinder:
    """One microphone, in blocks."""

    def __init__(self, rate: int) -> None:
        import numpy

        self._np = numpy
        self._window = rate * WINDOW_MS // 1000
        self._farthest = rate * FARTHEST_MS // 1000
        self._heard = numpy.zeros(self._window, numpy.float32)
        self._lates = numpy.arange(-self._window // 2, self._farthest)

    def feed(self, heard: NDArray[np.float32]) -> None:
        """Take what the microphone heard."""
        self._heard = self._np.concatenate((self._heard[len(heard) :], heard))

    def restart(self) -> None:
        """Forget what the microphone heard."""
        self._heard[:] = 0.0

    def reach(self, taps: int) -> int:
        """Return how many samples of the played sound `find` wants for a room of so many taps."""
        return self._window + self._farthest + taps

    def find(self, taps: NDArray[np.float32], played: NDArray[np.float32]) -> int | None:
        """Return by how many samples the echo of `played` in the room `taps` comes later than expected, None where none does.

        `played` are the newest `reach` samples.
        """
        numpy, window, farthest, lates = self._np, self._window, self._farthest, self._lates
        size = 1 << (len(played) - 1).bit_length()
        expected = numpy.fft.irfft(numpy.fft.rfft(taps, size) * numpy.fft.rfft(played, size))[len(taps) : len(played)]
        size = 1 << (len(expected) + window - 1).bit_length()
        alike = numpy.fft.irfft(numpy.fft.rfft(self._heard, size) * numpy.fft.rfft(expected, size).conj())
        # An echo `late` samples later: heard[n] = expected[farthest + n - late], as far as both are there.
        alike = alike[(lates - farthest) % size]
        heard, echo = self._sums(self._heard), self._sums(expected)
        ends = numpy.minimum(window, window + lates)
        powers = (heard[ends] + LEAST) * (echo[farthest - lates + ends] - echo[farthest - lates] + LEAST)
        explained = numpy.maximum(alike, 0.0) ** 2 / powers
        best = int(numpy.argmax(explained))
        if explained[best] < ALIKE or 1 - explained[best] > BETTER * (1 - explained[window // 2]):
            return None
        return int(lates[best])

    def _sums(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the power of the first 0, 1, 2, … samples."""
        sums = self._np.zeros(len(samples) + 1)
        self._np.cumsum(self._np.square(samples, dtype=self._np.float64), out=sums[1:])
        return sums
