"""Frames of 20 ms from one rate to another: constant length, a constant delay of 2 ms at 8 kHz, no seams.

`resample` serves files, which have an end; this serves talk, which has a clock. What a filter remembers are the latest samples
and nothing else, so the slow way and the fast one (numpy, where it has been loaded) can take turns within a stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from offhook.media import pcm
from offhook.media.sources import FRAMES_A_SECOND, SILENCE, silence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TAPS: Final = 32  # samples of the lower rate a filter spans; half of them is the delay
KAISER_BETA: Final = 6.2  # images and aliases 64 dB down …
CUTOFF: Final = 0.4875  # … from 0.55 of the lower rate on (4.4 of 8 kHz), with everything below 0.425 (3.4) untouched
HEADROOM: Final = 2.5  # sums are kept so much smaller until they are done (a filter may overshoot to 2.42); then comes clipping
MOST_FACTORS: Final = 12  # long numbers to multiply for one frame; 44.1 kHz would need hundreds, and gets straight lines

LINK_RATES: Final = (8000, 16000, 24000, 48000)

Filter: TypeAlias = Callable[[bytes], bytes]


class Rates:
    """All filters of an engine. `fast` says whether numpy can be had now (and begins to load it, beside, when asked first)."""

    def __init__(self, fast: Callable[[], bool]) -> None:
        self._fast = fast
        self._is_fast = False
        self._filters: dict[tuple[int, int], Filter] = {}

    def filter(self, rate_in: int, rate_out: int) -> Filter:
        """Return the best filter there is now; one does for all streams, for it remembers nothing."""
        if not self._is_fast and self._fast():
            self._is_fast = True
            self._filters.clear()
        found = self._filters.get((rate_in, rate_out))
        if found is None:
            make = fast_filter if self._is_fast else plain_filter
            found = self._filters[rate_in, rate_out] = make(rate_in, rate_out)
        return found

    def changer(self, rate_in: int, rate_out: int) -> Changer:
        """Return what takes one stream of frames from one rate to the other."""
        return Changer(rate_in, rate_out, lambda: self.filter(rate_in, rate_out))


class Changer:
    """One stream of frames on its way to another rate; `make` gives the filter of the moment."""

    __slots__ = ("_make", "_silent", "_tail", "_was_silent")

    def __init__(self, rate_in: int, rate_out: int, make: Callable[[], Filter]) -> None:
        self._make = make
        self._tail = bytes(tail_bytes(rate_in, rate_out))
        self._silent = silence(rate_in)
        self._was_silent = True

    def feed(self, frame: bytes) -> bytes:
        """Return the frame at the other rate. Silence that follows silence costs nothing and is `SILENCE` itself."""
        if frame is SILENCE or frame == self._silent:
            if self._was_silent:
                return SILENCE
            self._was_silent = True
            frame = self._silent
        else:
            self._was_silent = False
        samples = self._tail + frame
        self._tail = samples[len(frame):]
        return self._make()(samples)


class Shares:
    """One sound at the rates that others want it in: made once a tick for each rate, however many ask for it.

    Who asks does so in every tick; a rate nobody asked for is forgotten. `turn` begins the next tick.
    """

    __slots__ = ("_changers", "_frames", "_rates")

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._changers: dict[tuple[int, int], Changer] = {}
        self._frames: dict[tuple[int, int], bytes] = {}

    def __len__(self) -> int:
        return len(self._changers)

    def at(self, frame: bytes, rate_in: int, rate_out: int) -> bytes:
        """Return this tick's `frame` at another rate; `SILENCE` itself where nothing is to be heard."""
        key = rate_in, rate_out
        made = self._frames.get(key)
        if made is None:
            changer = self._changers.get(key)
            if changer is None:
                changer = self._changers[key] = self._rates.changer(rate_in, rate_out)
            made = self._frames[key] = changer.feed(frame)
        return made

    def turn(self) -> None:
        """Begin the next tick."""
        if len(self._frames) < len(self._changers):
            self._changers = {key: self._changers[key] for key in self._frames}
        self._frames.clear()


# --- filters -------------------------------------------------------------------------------------------------------


@lru_cache
def steps(rate_in: int, rate_out: int) -> tuple[int, int]:
    """Return (p, q): of q samples p are made."""
    common = math.gcd(rate_in, rate_out)
    return rate_out // common, rate_in // common


@lru_cache
def tail_bytes(rate_in: int, rate_out: int) -> int:
    """Return how much of the past a filter wants in front of each frame."""
    made, taken = steps(rate_in, rate_out)
    past = (TAPS * max(made, taken) - taken) // made
    return 2 * taken * -(-past // taken)  # whole groups, so that the plain way has as many of each phase


def link_rate(rate: int) -> int:
    """Return the rate of an audio link if it can have this one; raises ValueError otherwise."""
    if rate not in LINK_RATES:
        raise ValueError("an audio link has 8000, 16000, 24000 or 48000 Hz")
    return rate


def plain_filter(rate_in: int, rate_out: int) -> Filter:
    """Return a filter between two rates: past and frame in, frame out. Needs no numpy."""
    made, taken = steps(rate_in, rate_out)
    if made * taken > MOST_FACTORS:
        return _lines(rate_in, rate_out)
    return _Plain(rate_in, rate_out)


def fast_filter(rate_in: int, rate_out: int) -> Filter:
    """Return the same as a product of matrices, three to five times as fast. Not for several threads. Raises ImportError."""
    import numpy

    _, taken = steps(rate_in, rate_out)
    bank = numpy.array(_bank(rate_in, rate_out), numpy.float32) / numpy.float32(HEADROOM)
    return _Product(numpy.ascontiguousarray(bank), taken, rate_in // FRAMES_A_SECOND // taken)


def _bank(rate_in: int, rate_out: int) -> list[list[float]]:
    """Return one row of weights for each sample in a window (past, then one group), a column for each sample made of it."""
    made, taken = steps(rate_in, rate_out)
    taps = _taps(TAPS * max(made, taken), CUTOFF / max(made, taken))
    past = tail_bytes(rate_in, rate_out) // 2
    rows = []
    for place in range(-past, taken):
        # On a clock that has both rates sample `place` comes at place * made, and what is made of the group ends with it.
        lags = [column * taken + taken - 1 - place * made for column in range(made)]
        rows.append([made * taps[lag] if 0 <= lag < len(taps) else 0.0 for lag in lags])
    return rows


def _taps(count: int, cutoff: float) -> list[float]:
    """Return a low-pass of unit gain; `cutoff` is in cycles a tap."""
    middle = (count - 1) / 2
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

    def __init__(self, bank: NDArray[np.float32], step: int, groups: int) -> None:
        import numpy

        length, columns = bank.shape
        self._numpy = numpy
        self._bank = bank
        self._signal = numpy.zeros(step * (groups - 1) + length, numpy.float32)
        self._windows = numpy.lib.stride_tricks.as_strided(self._signal, (groups, length), (4 * step, 4))
        self._spread = numpy.empty((groups, length), numpy.float32)
        self._made = numpy.empty((groups, columns), numpy.float32)
        self._out = numpy.empty((groups, columns), "<i2")

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
_UNIT: Final = 65536 / HEADROOM
_MIDDLE: Final = 32768  # samples are packed as 0 to 65535; what that adds is taken off again


class _Plain:
    """A long number for each place in a group of samples, times one for each sample made of the group."""

    __slots__ = ("_columns", "_groups", "_made", "_past", "_taken")

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._made, self._taken = steps(rate_in, rate_out)
        self._groups = rate_in // FRAMES_A_SECOND // self._taken
        self._past = tail_bytes(rate_in, rate_out) // 2 // self._taken  # groups
        bank = [[round(weight * _UNIT) for weight in row] for row in _bank(rate_in, rate_out)]
        self._columns = []
        for column in range(self._made):
            weights = [row[column] for row in bank]
            factors = [_number(weights[phase :: self._taken][::-1]) for phase in range(self._taken)]
            # What takes the middle of the samples off again, and rounds.
            correction = _number([0x8000 - _MIDDLE * sum(weights)] * (self._groups + 2 * self._past))
            self._columns.append((factors, correction))

    def __call__(self, samples: bytes) -> bytes:
        shifted, taken = pcm.unsigned(samples), self._taken
        numbers = [_packed(shifted, phase, taken, self._groups + self._past) for phase in range(taken)]
        out = bytearray(2 * self._made * self._groups)
        for column, (factors, total) in enumerate(self._columns):
            for number, factor in zip(numbers, factors, strict=True):
                total += number * factor
            self._unpack(total, out, column)
        return pcm.scale(bytes(out), HEADROOM)

    def _unpack(self, number: int, out: bytearray, column: int) -> None:
        """Put the upper halves of the digits for which all taps had samples where this column belongs."""
        digits = number.to_bytes(_DIGIT * (self._groups + 2 * self._past + 2), "little", signed=True)
        first = _DIGIT * self._past
        last = first + _DIGIT * self._groups
        out[2 * column :: 2 * self._made] = digits[first + 2 : last : _DIGIT]
        out[2 * column + 1 :: 2 * self._made] = digits[first + 3 : last : _DIGIT]


def _number(digits: list[int]) -> int:
    return sum(digit << (8 * _DIGIT * place) for place, digit in enumerate(digits))


def _packed(shifted: bytes, phase: int, step: int, count: int) -> int:
    """Return every `step`-th sample, each as a digit."""
    digits = bytearray(_DIGIT * count)
    digits[0::_DIGIT] = shifted[2 * phase :: 2 * step]
    digits[1::_DIGIT] = shifted[2 * phase + 1 :: 2 * step]
    return int.from_bytes(digits, "little")


def _lines(rate_in: int, rate_out: int) -> Filter:
    """Return what draws straight lines between samples."""
    made = 2 * (rate_out // FRAMES_A_SECOND)

    def filtered(samples: bytes) -> bytes:
        changed, _ = pcm.change_rate(samples, rate_in, rate_out, None)
        return changed[-made:].rjust(made, b"\0")

    return filtered
