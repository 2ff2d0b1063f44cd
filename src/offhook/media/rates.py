"""Frames of 20 ms from 8 kHz to a program's rate and back: constant length, constant delay of 2 ms, no seams.

`resample` serves files, which have an end; this serves talk, which has a clock. What a filter remembers are the latest samples
and nothing else, so the slow way and the fast one (numpy, where it has been loaded) can take turns within a stream.
"""

from __future__ import annotations

import math
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
HEADROOM: Final = 2.5  # sums are kept so much smaller until they are done (a filter may overshoot to 2.41); then comes clipping

Filter: TypeAlias = Callable[[bytes], bytes]


def tail_bytes(ratio: int, *, up: bool) -> int:
    """Return how much of the past a filter wants in front of each frame."""
    return 2 * (TAPS - 1) if up else 2 * (TAPS - 1) * ratio


def plain_filter(ratio: int, *, up: bool) -> Filter:
    """Return a filter from 8 kHz to `ratio` times that, or down: past and frame in, frame out. Needs no numpy."""
    return _plain_up(ratio) if up else _plain_down(ratio)


def fast_filter(ratio: int, *, up: bool) -> Filter:
    """Return the same as a product of matrices, three to five times as fast. Not for several threads. Raises ImportError."""
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

# A filter is a product of polynomials, and a product of polynomials is one of long numbers whose digits are wide enough
# (Kronecker's substitution): the interpreter multiplies those in C. A digit has 32 bits; a filtered sample is its upper half,
# and HEADROOM is what keeps it from running over into the next digit. A digit below zero borrows one from the next, which is
# nothing in its lower half.

_DIGIT: Final = 4  # bytes
_DIGITS: Final = FRAME_SAMPLES + TAPS - 1  # the past and the frame, at 8 kHz
_UNIT: Final = 65536 / HEADROOM
_MIDDLE: Final = 32768  # samples are packed as 0 to 65535; what that adds is taken off again


def _plain_up(ratio: int) -> Filter:
    taps = [round(tap * ratio * _UNIT) for tap in _taps(ratio)]
    phases = [taps[phase::ratio] for phase in range(ratio)]
    factors = [(_number(phase), _correction(sum(phase))) for phase in phases]

    def up(samples: bytes) -> bytes:
        number = _packed(pcm.unsigned(samples), 0, 1)
        out = bytearray(2 * FRAME_SAMPLES * ratio)
        for phase, (factor, correction) in enumerate(factors):
            _unpack(number * factor + correction, out, phase, ratio)
        return pcm.scale(bytes(out), HEADROOM)

    return up


def _plain_down(ratio: int) -> Filter:
    taps = [round(tap * _UNIT) for tap in _taps(ratio)]
    factors = [_number(taps[phase::ratio][::-1]) for phase in range(ratio)]
    correction = _correction(sum(taps))

    def down(samples: bytes) -> bytes:
        shifted = pcm.unsigned(samples)
        total = correction
        for phase, factor in enumerate(factors):
            total += _packed(shifted, phase, ratio) * factor
        out = bytearray(2 * FRAME_SAMPLES)
        _unpack(total, out, 0, 1)
        return pcm.scale(bytes(out), HEADROOM)

    return down


def _number(digits: list[int]) -> int:
    return sum(digit << (8 * _DIGIT * place) for place, digit in enumerate(digits))


def _correction(weight: int) -> int:
    """Return what takes the middle of the samples off again, and rounds."""
    return _number([0x8000 - _MIDDLE * weight] * (_DIGITS + TAPS))


def _packed(shifted: bytes, phase: int, ratio: int) -> int:
    """Return every `ratio`-th sample, each as a digit."""
    digits = bytearray(_DIGIT * _DIGITS)
    digits[0::_DIGIT] = shifted[2 * phase :: 2 * ratio]
    digits[1::_DIGIT] = shifted[2 * phase + 1 :: 2 * ratio]
    return int.from_bytes(digits, "little")


def _unpack(number: int, out: bytearray, phase: int, ratio: int) -> None:
    """Put the upper halves of the digits for which all taps had samples into every `ratio`-th place."""
    digits = number.to_bytes(_DIGIT * (_DIGITS + TAPS + 1), "little", signed=True)
    first, last = _DIGIT * (TAPS - 1), _DIGIT * _DIGITS
    out[2 * phase :: 2 * ratio] = digits[first + 2 : last : _DIGIT]
    out[2 * phase + 1 :: 2 * ratio] = digits[first + 3 : last : _DIGIT]
