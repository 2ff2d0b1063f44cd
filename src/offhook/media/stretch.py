"""Playing a little faster or slower: one pitch period is left out, or heard twice (the idea of WSOLA), so the pitch stays.

Pieces are 16-bit PCM. What is left out or doubled lies at the end of the piece, where the sound before it is most like it.
"""

from __future__ import annotations

from array import array
from typing import Final

from offhook.media import pcm
from offhook.media.pitch import LONGEST_MS, SHORTEST_MS, WINDOW_MS, Samples, fade, period, samples
from offhook.media.sources import FRAME_MS

ALIKE: Final = 0.5  # the difference may have this much of the volume: voices, tones and hum, but not the beginning of a word
SHORT_MS: Final = 10  # the longest period that is looked for in a single frame


def shorten(piece: bytes, rate: int, grain: int = 1, *, force: bool = False) -> bytes | None:
    """Return a piece of more than a frame without one of its periods, a frame at least; None where it has none.

    With `force` it is shortened nevertheless. As many samples are left out as a multiple of `grain`.
    """
    sound = samples(piece)
    longest_ms = min(LONGEST_MS, 1000 * len(sound) // rate - FRAME_MS)
    if longest_ms <= SHORTEST_MS:
        return None
    most = len(sound) - rate * FRAME_MS // 1000
    lag = min(_lag(sound, rate, grain, longest_ms), most - most % grain)  # a period is found to a few samples only
    return without(piece, lag, rate) if force or _alike(sound, lag, rate) else None


def lengthen(piece: bytes, rate: int, grain: int = 1, *, force: bool = False) -> bytes | None:
    """Return a piece of at least 20 ms with one of its periods doubled; None where it has none (`force`: nevertheless)."""
    sound = samples(piece)
    lag = _lag(sound, rate, grain, SHORT_MS)
    return with_twice(piece, lag, rate) if force or _alike(sound, lag, rate) else None


def without(piece: bytes, lag: int, rate: int) -> bytes:
    """Return the piece with `lag` samples left out before its end."""
    sound, overlap = samples(piece), WINDOW_MS * rate // 1000
    overlap = min(overlap, len(sound) - lag)
    cut = len(sound) - lag - overlap
    return (sound[:cut] + fade(sound[cut : cut + overlap], sound[len(sound) - overlap :])).tobytes()


def with_twice(piece: bytes, lag: int, rate: int) -> bytes:
    """Return the piece with its last `lag` samples heard twice."""
    sound, overlap = samples(piece), WINDOW_MS * rate // 1000
    overlap = min(overlap, len(sound) - lag)
    joint = len(sound) - overlap
    return (sound[:joint] + fade(sound[joint:], sound[joint - lag : len(sound) - lag]) + sound[len(sound) - lag :]).tobytes()


def _lag(sound: Samples, rate: int, grain: int, longest_ms: int) -> int:
    lag = period(sound, rate, longest_ms)
    return lag - lag % grain


def _alike(sound: Samples, lag: int, rate: int) -> bool:
    """Say whether the end is much like what is heard `lag` samples before it."""
    window = WINDOW_MS * rate // 1000
    end, before = sound[-window:], sound[-window - lag : -lag]
    difference = array("h", [(one - other) // 2 for one, other in zip(end, before, strict=True)])
    return 2 * pcm.rms(difference.tobytes()) <= ALIKE * max(pcm.rms(end.tobytes()), pcm.rms(before.tobytes()))
