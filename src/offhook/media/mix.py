"""Mixing frames: sums with saturation, and for a conference everybody's sum without themselves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from offhook.media import pcm
from offhook.media.sources import SILENCE


def mix(frames: Sequence[bytes]) -> bytes:
    """Return the sum of frames, clipped at the 16-bit limits; silence for none."""
    return reduce(pcm.add, frames) if frames else SILENCE


def mix_minus_one(frames: Sequence[bytes]) -> list[bytes]:
    """Return for each place the sum of all other frames (RFC 7667 3.4.1: nobody hears themselves).

    Sums from both ends make this three additions a place. Taking a frame out of the total would be one, but the total has
    been clipped and a loud moment would leave everyone's own voice in the mix.
    """
    count = len(frames)
    before = [SILENCE] * count
    after = [SILENCE] * count
    for place in range(1, count):
        before[place] = pcm.add(before[place - 1], frames[place - 1])
        after[-1 - place] = pcm.add(after[-place], frames[-place])
    return [pcm.add(one, other) for one, other in zip(before, after, strict=True)]
