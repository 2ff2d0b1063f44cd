"""How loud the room is when nobody speaks, for each frequency: the least of the smoothed power over the last second and a half.

Minimum statistics, after Martin, "Noise power spectral density estimation based on optimal smoothing and minimum statistics"
(2001), with constant smoothing and bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SMOOTH: Final = 0.85
PART_BLOCKS: Final = 25
PARTS: Final = 6
BIAS: Final = 1.9  # the least of so many smoothed values lies that much below their mean
QUIETEST: Final = 1e-7


class NoiseFloor:
    """The noise under one stream of spectra."""

    def __init__(self, bins: int) -> None:
        import numpy

        self._np = numpy
        self._smooth = numpy.zeros(bins, numpy.float32)
        self._least = numpy.full(bins, numpy.inf, numpy.float32)
        self._parts: list[NDArray[np.float32]] = []
        self._count = 0
        self.level = numpy.full(bins, QUIETEST, numpy.float32)

    def update(self, power: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the power spectrum of a block; return the noise's."""
        numpy = self._np
        self._smooth = SMOOTH * self._smooth + (1 - SMOOTH) * power if self._count else power.copy()
        self._count += 1
        self._least = numpy.minimum(self._least, self._smooth)
        if self._count % PART_BLOCKS == 0:
            self._parts = [*self._parts[1 - PARTS :], self._least]
            self._least = self._smooth.copy()
        least = self._least
        for part in self._parts:
            least = numpy.minimum(least, part)
        self.level = numpy.maximum(BIAS * least, QUIETEST)
        return self.level
