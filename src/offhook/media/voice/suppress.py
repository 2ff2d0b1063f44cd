"""What is left of echo and noise, turned down frequency by frequency: Wiener gains in windows of two blocks.

The gain rule is Ephraim and Malah's decision-directed one (1984): the estimate of a frequency leans on what was let through the
block before, so single peaks of noise do not sing. Costs one block (10 ms) of delay, which the overlapping windows need.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from offhook.media.voice.noise import NoiseFloor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAN: Final = 0.95  # on the block before
ECHO_FLOOR: Final = 0.003  # the least gain where echo is expected: -50 dB
NOISE_FLOOR: Final = 0.18  # … and where only noise is: -15 dB; less would make speech hollow
MOST_LEAK: Final = 1.0  # of the echo that was taken, as much may still be there at the start
LEAK_DOWN: Final = 0.03
LEAK_UP: Final = 1.004  # a block: 1.7 dB a second
HANG: Final = 0.85  # reverberation beyond the filter dies away by this a block
CAUTION: Final = 1.7  # what is left is taken for so much more: a word is sooner missed than an echo forgiven
LEAST: Final = 1e-9


class Suppressor:
    """One stream of blocks; `noise` and `echo` say what is to be turned down and may change at any time."""

    def __init__(self, block: int, *, echo: bool, noise: bool) -> None:
        import numpy

        self._np = numpy
        self.block = block
        self.echo, self.noise = echo, noise
        places = numpy.arange(2 * block)
        self._window = numpy.sin(numpy.pi * (places + 0.5) / (2 * block)).astype(numpy.float32)
        self._heard = numpy.zeros(2 * block, numpy.float32)
        self._taken = numpy.zeros(2 * block, numpy.float32)
        self._half = numpy.zeros(block, numpy.float32)
        bins = block + 1
        self._leak = numpy.full(bins, MOST_LEAK, numpy.float32)
        self._power = numpy.zeros(bins, numpy.float32)
        self._echo_power = numpy.zeros(bins, numpy.float32)
        self._left = numpy.zeros(bins, numpy.float32)
        self._passed = numpy.zeros(bins, numpy.float32)
        self._floor = NoiseFloor(bins)

    def begin(self, before: NDArray[np.float32]) -> None:
        """Begin, or go on after a gap, behind these two blocks, which went out as they were."""
        self._heard[:] = before
        self._taken[:] = 0.0
        self._half = (before * self._window**2)[self.block :]
        self._left[:] = 0.0

    def forget(self) -> None:
        """Expect any echo to stay again, after another room."""
        self._leak[:] = MOST_LEAK

    def process(
        self, samples: NDArray[np.float32], taken: NDArray[np.float32] | None = None, doubt: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the block before this one, cleaned. `taken` is the echo that was subtracted, `doubt` by what power it errs."""
        numpy, block = self._np, self.block
        self._heard[:block] = self._heard[block:]
        self._heard[block:] = samples
        spectrum = numpy.fft.rfft(self._heard * self._window)
        power = spectrum.real**2 + spectrum.imag**2
        unwanted, least = self._unwanted(power, taken, doubt)
        ratio = power / unwanted
        likely = LEAN * self._passed / unwanted + (1 - LEAN) * numpy.maximum(ratio - 1, 0)
        gain = numpy.maximum(likely / (1 + likely), least)
        if taken is not None and self.echo:
            gain *= self._no_louder(power)
        gain[0] = 0.0  # no speech there, and the hum of a cheap microphone
        self._passed = gain * gain * power
        made = numpy.fft.irfft(spectrum * gain) * self._window
        out = self._half + made[:block]
        self._half = made[block:]
        cleaned: NDArray[np.float32] = out.astype(numpy.float32, copy=False)
        return cleaned

    def _no_louder(self, power: NDArray[np.float32]) -> float:
        """Return what keeps the window from being louder than the microphone was: a filter that is wrong adds an echo."""
        numpy = self._np
        was = (self._heard + self._taken) * self._window
        now = 2.0 * float(power.sum()) / len(was)  # Parseval, but for the two real bins
        before = float(numpy.dot(was, was))
        return math.sqrt((before + LEAST) / (now + LEAST)) if now > before else 1.0

    def _unwanted(
        self, power: NDArray[np.float32], taken: NDArray[np.float32] | None, doubt: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | float]:
        """Return the power of what is to go, and the gains that may not be gone below."""
        numpy = self._np
        floor = self._floor.update(power)
        noise = floor if self.noise else floor * LEAST
        usual = NOISE_FLOOR if self.noise else 1.0
        if not self.echo or taken is None or doubt is None:
            return noise + LEAST, usual
        left = self._residual(power, taken, doubt)
        # No lower than the room's own noise: silence between the words of the far end would be heard as a gate.
        room = floor * (NOISE_FLOOR**2 if self.noise else 1.0)
        least = numpy.clip(numpy.sqrt(room / (power + LEAST)), ECHO_FLOOR, 1.0)
        return left + noise + LEAST, numpy.where(left > noise, least, usual)

    def _residual(
        self, power: NDArray[np.float32], taken: NDArray[np.float32], doubt: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        numpy, block = self._np, self.block
        self._taken[:block] = self._taken[block:]
        self._taken[block:] = taken
        spectrum = numpy.fft.rfft(self._taken * self._window)
        echo = spectrum.real**2 + spectrum.imag**2
        self._power += 0.4 * (power - self._power)
        self._echo_power += 0.4 * (echo - self._echo_power)
        loud = self._echo_power > 4 * self._floor.level + 1e-6
        # How much of the echo stays is learnt downwards: what is more than that is somebody who speaks.
        ratio = numpy.minimum(self._power / (self._echo_power + LEAST), self._leak)
        learnt = numpy.minimum(self._leak * LEAK_UP + LEAK_DOWN * (ratio - self._leak), MOST_LEAK)
        self._leak = numpy.where(loud, learnt, self._leak)
        now = CAUTION * numpy.maximum(self._leak * self._echo_power, doubt)
        self._left = numpy.maximum(now, HANG * self._left)
        return self._left
