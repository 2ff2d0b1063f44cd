"""Mixing frames: sums with saturation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from offhook.media import pcm
from offhook.media.sources import SILENCE


def mix(frames: Sequence[bytes]) -> bytes:
    """Return the sum of frames, clipped at the 16-bit limits; silence for none."""
    return reduce(pcm.add, frames) if frames else SILENCE
