"""From one sample rate to another, piece by piece: a polyphase FIR where numpy is installed, else straight lines.

numpy is imported at the first use only, and never for 8 kHz audio.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

from offhook.media import pcm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOWEST_RATE: Final = 1_000
HIGHEST_RATE: Final = 384_000
TAPS: Final = 32  # zero crossings in the filter: at least 80 dB against aliases beyond the transition
KAISER_BETA: Final = 8.0
PASSBAND: Final = 0.975  # of half the lower rate is where it has fallen by 6 dB: the 3.4 kHz of a telephone are all there
MAX_PHASES: Final = 1_024  # odd pairs of rates (44,101 to 8,000) share the nearest phase: an error below -60 dB


class Resampler(Protocol):
    """Changes the rate of a stream of 16-bit mono samples."""

    def feed(self, samples: bytes) -> bytes:
        """Take the next piece, of any even length, and return what is ready."""
        ...

    def flush(self) -> bytes:
        """Return what was still in the filter; the stream is over."""
        ...


def resampler(rate_in: int, rate_out: int) -> Resampler:
    """Return a resampler; raises ValueError for rates outside 1 to 384 kHz."""
    if not (LOWEST_RATE <= rate_in <= HIGHEST_RATE and LOWEST_RATE <= rate_out <= HIGHEST_RATE):
        raise ValueError("a sample rate lies between 1000 and 384000 Hz")
    if rate_in == rate_out:
        return Unchanged()
    try:
        return Polyphase(rate_in, rate_out)
    except ImportError:
        return Linear(rate_in, rate_out)


def resample(samples: bytes, rate_in: int, rate_out: int) -> bytes:
    """Return a whole piece of 16-bit mono audio at another rate."""
    stream = resampler(rate_in, rate_out)
    return stream.feed(samples) + stream.flush()


class Unchanged:
    """Equal rates."""

    def feed(self, samples: bytes) -> bytes:
        """Return the piece itself."""
        return samples

    def flush(self) -> bytes:
        """Return nothing: nothing was kept."""
        return b""


class Linear:
    """Straight lines between samples. Aliases when going down: audible, but speech stays intelligible."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._rates = rate_in, rate_out
        self._state: object | None = None

    def feed(self, samples: bytes) -> bytes:
        """Return the piece at the other rate."""
        converted, self._state = pcm.change_rate(samples, *self._rates, self._state)
        return converted

    def flush(self) -> bytes:
        """Return nothing: at most one sample was kept."""
        return b""


class Polyphase:
    """A windowed sinc, one set of taps for each position an output sample can have between two input samples."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        import numpy

        common = math.gcd(rate_in, rate_out)
        self._up, self._down = rate_out // common, rate_in // common
        self._numpy = numpy
        self._bank = _bank(rate_in, rate_out, min(self._up, MAX_PHASES))
        self._taps = int(self._bank.shape[1])
        # Half a filter of silence in front: then output sample 0 lies on input sample 0 and no delay is added.
        self._history: NDArray[np.float32] = numpy.zeros(self._taps // 2 - 1, numpy.float32)
        self._position = 0  # of the next output sample after the start of the history, in 1/up input samples
        self._fed = self._made = 0

    def feed(self, samples: bytes) -> bytes:
        """Return what is ready; half a filter's length lies back until the next piece."""
        self._fed += len(samples) // 2
        return self._run(samples)

    def flush(self) -> bytes:
        """Push the rest out with silence."""
        total = -(-self._fed * self._up // self._down)
        missing = 2 * (total - self._made)
        return self._run(bytes(2 * self._taps))[:max(0, missing)]

    def _run(self, samples: bytes) -> bytes:
        numpy = self._numpy
        fresh = numpy.frombuffer(samples, "<i2").astype(numpy.float32)
        signal = numpy.concatenate((self._history, fresh))
        last = (len(signal) - self._taps) * self._up  # the last position for which all taps have input
        count = max(0, (last - self._position) // self._down + 1)
        positions = self._position + self._down * numpy.arange(count)
        starts = positions // self._up
        phases = (positions % self._up) * self._bank.shape[0] // self._up
        windows = signal[starts[:, None] + numpy.arange(self._taps)]
        made = numpy.einsum("ij,ij->i", windows, self._bank[phases])
        self._position += self._down * count
        done = min(self._position // self._up, len(signal))
        self._history = signal[done:]
        self._position -= done * self._up
        self._made += count
        return bytes(numpy.clip(numpy.rint(made), -32768, 32767).astype("<i2").tobytes())


def _bank(rate_in: int, rate_out: int, phases: int) -> NDArray[np.float32]:
    """Return the taps by phase; `cutoff` is in cycles per input sample."""
    import numpy

    lower = min(1.0, rate_out / rate_in)
    half = math.ceil(TAPS / 2 / lower)
    cutoff = PASSBAND * lower / 2
    # Tap k of phase p sits this many input samples from the output sample.
    offsets = numpy.arange(-half + 1, half + 1)[None, :] - (numpy.arange(phases) / phases)[:, None]
    window = numpy.i0(KAISER_BETA * numpy.sqrt(numpy.clip(1 - (offsets / half) ** 2, 0, None)))
    taps = numpy.sinc(2 * cutoff * offsets) * window
    taps /= taps.sum(axis=1, keepdims=True)
    return taps.astype(numpy.float32)
