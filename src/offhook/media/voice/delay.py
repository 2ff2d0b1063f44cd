"""Finds how long an echo is under way, so that the echo filter need not reach that far.

Generalised cross-correlation with phase transform (Knapp and Carter, "The generalized correlation method for estimation of time
delay", 1976).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_MS: Final = 512
EVERY_MS: Final = 250
KEEP: Final = 0.8  # of the former correlation
SURE: Final = 14.0  # how far a peak has to stand out of the mean
AGREE_MS: Final = 4  # estimates that close to one another agree …
AGREE_FIRST: Final = 2  # … and so many in a row are believed at first …
AGREE_LATER: Final = 6  # … and so many against what is known already: two voices can agree by chance for a second
LOUD: Final = 1e-5  # mean power of what was played; below there is nothing to be found


class DelayFinder:
    """One loudspeaker and one microphone."""

    def __init__(self, rate: int) -> None:
        import numpy

        self._np = numpy
        self._rate = rate
        self._span = rate * LONGEST_MS // 1000
        self._heard = numpy.zeros(self._span, numpy.float32)
        self._played = numpy.zeros(2 * self._span, numpy.float32)
        self._cross = numpy.zeros(self._span + 1, numpy.complex64)
        self._window = numpy.hanning(self._span).astype(numpy.float32)
        self._nothing = numpy.zeros(self._span, numpy.float32)
        self._fresh = 0
        self._last: int | None = None
        self._agreeing = 0
        self._known: int | None = None

    def feed(self, heard: NDArray[np.float32], played: NDArray[np.float32]) -> int | None:
        """Take equally long pieces; return the delay in samples when it has been found again, else None."""
        count = len(heard)
        self._heard = self._np.concatenate((self._heard[count:], heard))
        self._played = self._np.concatenate((self._played[count:], played))
        self._fresh += count
        if self._fresh < self._rate * EVERY_MS // 1000:
            return None
        self._fresh = 0
        return self._look()

    def restart(self) -> None:
        """Forget everything: another device, or a gap in what was fed."""
        self._heard[:] = self._played[:] = 0.0
        self._known = None
        self._fresh = 0
        self.moved(0)

    def moved(self, late: int) -> None:
        """The delay has become longer by so many samples, as somebody else has found out: what was measured is of the past."""
        self._cross[:] = 0.0
        self._last, self._agreeing = None, 0
        if self._known is not None:
            self._known += late

    def _look(self) -> int | None:
        numpy, span = self._np, self._span
        if float(numpy.dot(self._played, self._played)) / len(self._played) < LOUD:
            return None
        # What was heard lies at the end of its window; what was played may reach a window further back.
        padded = numpy.concatenate((self._nothing, self._heard * self._window))
        cross = numpy.fft.rfft(padded) * numpy.fft.rfft(self._played).conj()
        self._cross = KEEP * self._cross + (1 - KEEP) * cross
        found = numpy.fft.irfft(self._cross / (numpy.abs(self._cross) + 1e-12))[:span]
        place = int(numpy.argmax(found))
        if found[place] < SURE * float(numpy.abs(found).mean()):
            self._last = None
            return None
        self._agreeing = self._agreeing + 1 if self._agree(place, self._last) else 1
        self._last = place
        if self._agreeing < (AGREE_FIRST if self._known is None or self._agree(place, self._known) else AGREE_LATER):
            return None
        self._known = place
        return place

    def _agree(self, one: int, other: int | None) -> bool:
        return other is not None and abs(one - other) <= self._rate * AGREE_MS // 1000
