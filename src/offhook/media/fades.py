"""Seams that are not heard: 16-bit samples that grow louder, or pass from one sound to another."""

from __future__ import annotations

from array import array

from offhook.media import pcm


def ramp(samples: bytes, start: float, stop: float) -> bytes:
    """Return the samples, the first `start` times as loud and the last nearly `stop` times; neither may be above 1."""
    values = array("h", samples)
    step = (stop - start) / max(1, len(values))
    return array("h", [int(value * (start + place * step)) for place, value in enumerate(values)]).tobytes()


def crossfade(old: bytes, new: bytes) -> bytes:
    """Return what begins as `old` and ends as `new`, both of one length."""
    return pcm.add(ramp(old, 1.0, 0.0), ramp(new, 0.0, 1.0))
