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
