"""How long a period is at the end of a sound, going on with it, joining pieces: what filling gaps and changing the speed need.

Samples are `array("h")`: 16-bit PCM in the machine's order, as `audioop` has it. The searches run in C.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import Final, TypeAlias

from offhook.media import pcm

Samples: TypeAlias = "array[int]"

SHORTEST_MS: Final = 4  # 250 Hz; a higher voice is found with two or three of its periods, which does as well
LONGEST_MS: Final = 15  # 66 Hz, the lowest voice
WINDOW_MS: Final = 6  # how much of the end is compared: what was said long ago says little of what comes next
STEP_MS: Final = 10  # after so long one period more is repeated, so that it does not buzz
MOST_PERIODS: Final = 3
SEAM_MS: Final = 2  # from the last sample to its repetition
_LOUDEST: Final = 32767
_SEARCH_RATE: Final = 8000  # the search need not be finer than this at first
_BITS: Final = 15  # of a weight
_HALF: Final = 1 << _BITS - 1


def samples(frame: bytes) -> Samples:
    """Return PCM as samples."""
    return array("h", frame)


def period(sound: Samples, rate: int, longest_ms: int = LONGEST_MS) -> int:
    """Return how many samples before its end the sound was most like its end: one period, or some.

    The sound must be longer than `longest_ms` and WINDOW_MS together.
    """
    step = max(1, rate // _SEARCH_RATE)
    coarse = sound[(len(sound) - 1) % step :: step] if step > 1 else sound
    a_ms = rate // step / 1000
    low, high, window = round(SHORTEST_MS * a_ms), round(longest_ms * a_ms), round(WINDOW_MS * a_ms)
    lag = high - pcm.fit(coarse[-window - high : -low].tobytes(), coarse[-window:].tobytes())
    if step > 1:
        window, lag = window * step, lag * step
        near = sound[-window - lag - step : len(sound) - lag + step]
        lag += step - pcm.fit(near.tobytes(), sound[-window:].tobytes())
    return lag


def fade(first: Samples, second: Samples) -> Samples:
    """Return samples that begin as `first` and end as `second`, of equal lengths."""
    mixed = zip(first, second, _weights(len(first), 0.0, 1.0), strict=True)
    return array("h", [one + ((other - one) * weight + _HALF >> _BITS) for one, other, weight in mixed])


def ramp(sound: Samples, start: float, end: float) -> Samples:
    """Return the sound, its volume going evenly from `start` to `end` (0 to 1)."""
    weights = _weights(len(sound), start, end)
    return array("h", [sample * weight + _HALF >> _BITS for sample, weight in zip(sound, weights, strict=True)])


@lru_cache(256)
def _weights(count: int, start: float, end: float) -> list[int]:
    slope = (end - start) / (count + 1)
    return [round((start + slope * place) * (1 << _BITS)) for place in range(1, count + 1)]


def continued(sound: Samples, count: int, rate: int, longest_ms: int = LONGEST_MS) -> Samples:
    """Return `count` samples that go on where `sound` ends, periodic as its end is. See `period` for its length."""
    lag = period(sound, rate, longest_ms)
    step = STEP_MS * rate // 1000
    out: Samples = array("h")
    ahead: Samples = array("h")  # how the piece before would have gone on
    for periods in range(1, MOST_PERIODS + 1):
        until = count if periods == MOST_PERIODS else min(count, periods * step)
        if until <= len(out):
            break
        while periods * lag + lag // 4 > len(sound):
            periods -= 1
        cycle = _cycle(sound, periods * lag, lag // 4)
        phase = len(out) % lag
        need = until - len(out)
        piece = cycle[phase:]
        while len(piece) < need + lag // 4:
            piece += cycle
        if not out:
            _join(piece, sound[-1] - sound[-1 - lag], SEAM_MS * rate // 1000)
        elif ahead:
            overlap = min(len(ahead), need)
            piece[:overlap] = fade(ahead[:overlap], piece[:overlap])
        out += piece[:need]
        ahead = piece[need : need + lag // 4]
    return out


def _cycle(sound: Samples, length: int, overlap: int) -> Samples:
    """Return the last `length` samples, their end changed so that their beginning may follow."""
    cycle = sound[-length:]
    if overlap:
        cycle[-overlap:] = fade(cycle[-overlap:], sound[-length - overlap : -length])
    return cycle


def _join(piece: Samples, step: int, count: int) -> None:
    """Take the step between the last sample and its repetition back little by little."""
    for place in range(min(count, len(piece))):
        left = count - 1 - place
        piece[place] = max(-_LOUDEST, min(_LOUDEST, piece[place] + step * left * left // (count * count)))
