"""What was played, read at a place that moves by fractions of a sample: two devices have two clocks.

Windowed sinc interpolation, as in Laakso, Välimäki, Karjalainen, Laine, "Splitting the unit delay" (1996).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HALF: Final = 16  # samples on either side that an interpolated one is made of
LONGEST_MS: Final = 700  # a delay: what the delay finder can see, and what jumps and drift may add
KEEP_MS: Final = LONGEST_MS + 800  # what a look for a jump wants behind that


class PlayedLine:
    """One loudspeaker's sound; `delay` (samples, with a fraction) is how far behind the newest of it the reading is."""

    def __init__(self, rate: int) -> None:
        import numpy

        self._np = numpy
        self._keep = rate * KEEP_MS // 1000
        self.longest = float(rate * LONGEST_MS // 1000)
        self._samples = numpy.zeros(5 * self._keep, numpy.float32)
        self._end = 2 * self._keep
        self._places = numpy.arange(-HALF, HALF, dtype=numpy.float64)
        self.delay = 0.0

    def feed(self, played: NDArray[np.float32]) -> None:
        """Take what was played since the last time."""
        samples, count = self._samples, min(len(played), self._keep)
        if self._end + count > len(samples):
            samples[: 2 * self._keep] = samples[self._end - 2 * self._keep : self._end].copy()
            self._end = 2 * self._keep
        samples[self._end : self._end + count] = played[len(played) - count :]
        self._end += count

    def take_back(self, count: int) -> None:
        """Forget the newest samples: others come in their place."""
        if self._end - count < self._keep:
            self.clear()
        else:
            self._end -= count

    def clear(self) -> None:
        """Forget what was played."""
        self._samples[:] = 0.0
        self._end = 2 * self._keep

    def newest(self, count: int) -> NDArray[np.float32]:
        """Return the latest samples, behind no delay."""
        return self._samples[self._end - count : self._end]

    def later(self, by: float) -> None:
        """Read from so much further behind (less than 0: from nearer), as far as there is anything."""
        self.delay = min(max(0.0, self.delay + by), self.longest)

    def read(self, count: int, move: float = 0.0) -> NDArray[np.float32]:
        """Return the newest `count` samples behind the delay, which meanwhile grows by `move`."""
        before = self.delay
        self.later(move)
        if move and self.delay < HALF + 1:
            self.delay = before  # the samples after it, which interpolation wants, have not been played yet
        return self._between(self._end, before, self.delay, count)

    def history(self, blocks: int, block: int, move: float = 0.0) -> NDArray[np.float32]:
        """Return the newest so many blocks as they would have been read had the delay grown by `move` a block until now."""
        made = [
            self._between(
                self._end - age * block, max(0.0, self.delay - (age + 1) * move), max(0.0, self.delay - age * move), block
            )
            for age in range(blocks)
        ]
        return self._np.concatenate(made[::-1])

    def _between(self, end: int, before: float, after: float, count: int) -> NDArray[np.float32]:
        numpy = self._np
        whole = int(before)
        start = end - count - whole
        if before == after == whole or whole < HALF:
            return self._samples[start : start + count].copy()
        beside = self._samples[start - HALF : start + count + HALF - 1]
        made: NDArray[np.float32] = numpy.correlate(beside, self._taps(before - whole), "valid")
        if after != before:
            # Between two delays so near to one another the sound may be faded: what that errs is 80 dB below it.
            later = numpy.correlate(beside, self._taps(after - whole), "valid")
            made += numpy.linspace(0.0, 1.0, count, dtype=numpy.float32) * (later - made)
        return made

    def _taps(self, part: float) -> NDArray[np.float32]:
        numpy = self._np
        places = self._places + part
        window = numpy.cos(places * (numpy.pi / (2 * HALF + 2))) ** 2
        taps: NDArray[np.float32] = (numpy.sinc(places) * window).astype(numpy.float32)
        return taps
