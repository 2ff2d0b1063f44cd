"""Frames of 20 ms from 8 kHz to a program's rate and back: constant length, constant delay of 2 ms, no seams.

`resample` serves files, which have an end; this serves talk, which has a clock. What a filter remembers are the latest samples
and nothing else, so the slow way and the fast one (numpy, where it has been loaded) can take turns within a stream.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from offhook.media import pcm
from offhook.media.sources import FRAME_SAMPLES, SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TAPS: Final = 32  # samples of 8 kHz a filter spans; half of them is the delay
KAISER_BETA: Final = 6.2  # images and aliases 64 dB down …
CUTOFF: Final = 0.4875  # … from 4.4 kHz on, with everything below 3.4 kHz untouched
HEADROOM: Final = 2.5  # sums are kept so much smaller until they are done: a filter overshoots, and clipping comes last

Filter: TypeAlias = Callable[[bytes], bytes]


def tail_bytes(ratio: int, *, up: bool) -> int:
    """Return how much of the past a filter wants in front of each frame."""
    return 2 * (TAPS - 1) if up else 2 * (TAPS - 1) * ratio


def plain_filter(ratio: int, *, up: bool) -> Filter:
    """Return a filter from 8 kHz to `ratio` times that, or down: past and frame in, frame out. Needs no numpy."""
    return _plain_up(ratio) if up else _plain_down(ratio)


def fast_filter(ratio: int, *, up: bool) -> Filter:
    """Return the same made of one product of matrices, six times as fast. Not for several threads. Raises ImportError."""
    import numpy

    taps = numpy.array(_taps(ratio), numpy.float32) / HEADROOM
    # Column p makes the p-th of the samples that stand for one at 8 kHz.
    bank = taps.reshape(TAPS, ratio)[::-1] * ratio if up else taps[:, None]
    return _Product(numpy.ascontiguousarray(bank), 1 if up else ratio)


class Changer:
    """One stream of frames on its way to another rate; `make` gives the filter of the moment."""

    __slots__ = ("_make", "_silent_in", "_silent_out", "_tail", "_was_silent")

    def __init__(self, ratio: int, *, up: bool, make: Callable[[], Filter]) -> None:
        self._make = make
        self._tail = bytes(tail_bytes(ratio, up=up))
        self._silent_in = bytes(2 * FRAME_SAMPLES * (1 if up else ratio))
        self._silent_out = bytes(2 * FRAME_SAMPLES * (ratio if up else 1))
        self._was_silent = True

    @property
    def at_rest(self) -> bool:
        """Return whether nothing of what was fed is still to come out."""
        return self._was_silent

    def feed(self, frame: bytes) -> bytes:
        """Return the frame at the other rate. Silence that follows silence costs nothing."""
        if frame == self._silent_in:
            if self._was_silent:
                return self._silent_out
            self._was_silent = True
        else:
            self._was_silent = False
        samples = self._tail + frame
        self._tail = samples[len(frame):]
        return self._make()(samples)


def ratio_of(rate: int) -> int:
    """Return how many times 8 kHz a rate is; raises ValueError for one that is no multiple."""
    ratio, rest = divmod(rate, SAMPLE_RATE)
    if rest or not 1 <= ratio <= 6:
        raise ValueError("an audio link has 8000, 16000, 24000 or 48000 Hz")
    return ratio


def _taps(ratio: int) -> list[float]:
    """Return a low-pass of `TAPS` samples of 8 kHz at `ratio` times that rate, of unit gain."""
    count = TAPS * ratio
    middle = (count - 1) / 2
    cutoff = CUTOFF / ratio
    taps = []
    for place in range(count):
        offset = place - middle
        sinc = 2 * cutoff if offset == 0 else math.sin(math.tau * cutoff * offset) / (math.pi * offset)
        taps.append(sinc * _bessel(KAISER_BETA * math.sqrt(1 - (offset / (middle + 0.5)) ** 2)))
    total = sum(taps)
    return [tap / total for tap in taps]


def _bessel(x: float) -> float:
    """Return I0, the modified Bessel function of a Kaiser window."""
    total = term = 1.0
    for place in range(1, 40):
        term *= (x / 2 / place) ** 2
        total += term
    return total


# --- numpy ---------------------------------------------------------------------------------------------------------


class _Product:
    """Windows of the samples, `step` apart, times the bank. The arrays are made once: small frames are all overhead."""

    __slots__ = ("_bank", "_made", "_numpy", "_out", "_signal", "_spread", "_windows")

    def __init__(self, bank: NDArray[np.float32], step: int) -> None:
        import numpy

        length, columns = bank.shape
        self._numpy = numpy
        self._bank = bank
        self._signal = numpy.zeros(step * (FRAME_SAMPLES - 1) + length, numpy.float32)
        self._windows = numpy.lib.stride_tricks.as_strided(self._signal, (FRAME_SAMPLES, length), (4 * step, 4))
        self._spread = numpy.empty((FRAME_SAMPLES, length), numpy.float32)
        self._made = numpy.empty((FRAME_SAMPLES, columns), numpy.float32)
        self._out = numpy.empty((FRAME_SAMPLES, columns), "<i2")

    def __call__(self, samples: bytes) -> bytes:
        numpy = self._numpy
        self._signal[:] = numpy.frombuffer(samples, "<i2")
        numpy.copyto(self._spread, self._windows)  # overlapping rows would take the slow way through the product
        numpy.dot(self._spread, self._bank, self._made)
        self._out[...] = self._made
        return pcm.scale(self._out.tobytes(), HEADROOM)


# --- without numpy -------------------------------------------------------------------------------------------------


def _plain_up(ratio: int) -> Filter:
    taps = _taps(ratio)
    banks = [[taps[(TAPS - 1 - place) * ratio + phase] * ratio / HEADROOM for place in range(TAPS)] for phase in range(ratio)]

    def up(samples: bytes) -> bytes:
        wide = pcm.widen(samples)
        out = array("h", bytes(2 * FRAME_SAMPLES * ratio))
        for phase, bank in enumerate(banks):
            parts = (wide[4 * place : 4 * (place + FRAME_SAMPLES)] for place in range(TAPS))
            out[phase::ratio] = array("h", pcm.weigh(parts, bank, HEADROOM))
        return out.tobytes()

    return up


def _plain_down(ratio: int) -> Filter:
    taps = [tap / HEADROOM for tap in _taps(ratio)]

    def down(samples: bytes) -> bytes:
        wide = array("i", pcm.widen(samples))
        last = ratio * (FRAME_SAMPLES - 1) + 1
        parts = (wide[place : place + last : ratio].tobytes() for place in range(len(taps)))
        return pcm.weigh(parts, taps, HEADROOM)

    return down
