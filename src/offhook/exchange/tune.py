"""The melody of the music line: a few bars of our own, as a WAV file."""

from __future__ import annotations

import math
import struct
from array import array
from functools import cache
from typing import Final

from offhook.media.wav import header

RATE: Final = 8000
BEAT: Final = 0.25
"""Seconds of a quarter note."""
LEVEL: Final = 7000

# (semitones above A4, beats); a rest is None
_NOTES: Final[tuple[tuple[int | None, int], ...]] = (
    (3, 1), (7, 1), (10, 2), (8, 1), (7, 1), (5, 2), (2, 1), (5, 1), (8, 2), (7, 1), (5, 1), (3, 2), (None, 2),
    (10, 1), (12, 1), (15, 2), (14, 1), (12, 1), (10, 2), (8, 1), (7, 1), (5, 1), (2, 1), (3, 3), (None, 1),
)


@cache
def melody() -> bytes:
    """Return the melody: a WAV file, 8 kHz 16-bit mono, about eight seconds that can be repeated."""
    samples = array("h")
    for semitone, beats in _NOTES:
        samples.extend(_note(semitone, round(beats * BEAT * RATE)))
    data = struct.pack(f"<{len(samples)}h", *samples)
    return header(1, RATE, len(data)) + data


def _note(semitone: int | None, count: int) -> list[int]:
    if semitone is None:
        return [0] * count
    step = math.tau * 440.0 * 2 ** (semitone / 12) / RATE
    # Struck like a small bell: a quick attack, then a slow fade, with some of the octave above.
    return [round(LEVEL * min(1.0, place / 80) * math.exp(-2.5 * place / count) * (1.0 - place / count)
                  * (math.sin(step * place) + 0.3 * math.sin(2 * step * place))) for place in range(count)]
