"""The one door to `audioop`: arithmetic on 16-bit samples in C (standard up to Python 3.12, `audioop-lts` from 3.13)."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # Python 3.11 and 3.12 announce the removal at import; the package of the same name takes over from 3.13.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

WIDTH = 2


def add(one: bytes, other: bytes) -> bytes:
    """Return the sum of two frames of equal length, clipped at the 16-bit limits."""
    return audioop.add(one, other, WIDTH)


def scale(frame: bytes, factor: float) -> bytes:
    """Return the frame times `factor`, clipped."""
    return audioop.mul(frame, WIDTH, factor)


def rms(frame: bytes) -> int:
    """Return the root mean square of a frame, 0-32767."""
    return audioop.rms(frame, WIDTH)


def similarity(frame: bytes, reference: bytes) -> float:
    """Return the factor by which `reference`, of the same length, comes nearest to the frame (0: nothing in common)."""
    return audioop.findfactor(frame, reference)


def linear_to_ulaw(frame: bytes) -> bytes:
    """Return G.711 mu-law, one byte a sample."""
    return audioop.lin2ulaw(frame, WIDTH)


def ulaw_to_linear(payload: bytes) -> bytes:
    """Return two bytes a sample."""
    return audioop.ulaw2lin(payload, WIDTH)


def linear_to_alaw(frame: bytes) -> bytes:
    """Return G.711 A-law, one byte a sample."""
    return audioop.lin2alaw(frame, WIDTH)


def alaw_to_linear(payload: bytes) -> bytes:
    """Return two bytes a sample."""
    return audioop.alaw2lin(payload, WIDTH)


def factor(gain_db: float) -> float:
    """Return the linear factor of a gain in decibels."""
    return float(10.0 ** (gain_db / 20.0))


def to_16_bit(samples: bytes, width: int) -> bytes:
    """Return WAV samples of `width` bytes (1: unsigned; 3, 4: signed) as 16-bit ones."""
    if width == 1:
        samples = audioop.bias(samples, 1, -128)
    return audioop.lin2lin(samples, width, WIDTH)


def change_rate(samples: bytes, rate_in: int, rate_out: int, state: object | None) -> tuple[bytes, object]:
    """Return mono samples at another rate by straight lines between samples, and the state for the next piece."""
    return audioop.ratecv(samples, WIDTH, 1, rate_in, rate_out, state)  # type: ignore[arg-type]


def samples(frame: bytes) -> memoryview[int]:
    """Return the samples of a frame, without copying it."""
    return memoryview(frame).cast("h")


def swapped(samples: bytes) -> bytes:
    """Return samples in the other byte order."""
    return audioop.byteswap(samples, WIDTH)


def unsigned(samples: bytes) -> bytes:
    """Return samples of -32768 to 32767 as 0 to 65535."""
    return audioop.bias(samples, WIDTH, 32768)


def fit(sound: bytes, sample: bytes) -> int:
    """Return at which sample of `sound` the shorter `sample` fits best: the squares of the differences sum up to the least."""
    # The search in C looks for the greatest correlation of either sign. Far from zero (where all is positive and the volume
    # hardly changes anything) that is the same as the least difference.
    shifted = (audioop.bias(audioop.mul(each, WIDTH, 0.5), WIDTH, 16384) for each in (sound, sample))
    return audioop.findfit(*shifted)[0]


def peak(frame: bytes) -> int:
    """Return the largest sample without its sign, 0-32768."""
    return audioop.max(frame, WIDTH)
