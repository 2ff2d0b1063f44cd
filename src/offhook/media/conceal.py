"""What is heard in place of a frame that did not come: the last one again, fading out; and joining two frames into one."""

from __future__ import annotations

import array
import sys
from typing import Final

from offhook.media import pcm
from offhook.media.sources import SILENCE

# ITU-T G.711 Appendix I fades 20 % for each 10 ms after the first; here in steps of whole frames, silent after 80 ms.
FADE: Final = (0.9, 0.6, 0.3, 0.1)


class Concealer:
    """Remembers the last good frame of one stream."""

    __slots__ = ("_missing", "last")

    def __init__(self) -> None:
        self.last = SILENCE
        self._missing = 0

    def good(self, frame: bytes) -> None:
        """Take note of a frame that came."""
        self.last = frame
        self._missing = 0

    def lost(self) -> bytes:
        """Return a stand-in for one that did not; `sources.SILENCE` itself once the fade is over."""
        if self._missing >= len(FADE) or self.last is SILENCE:
            return SILENCE
        gain = FADE[self._missing]
        self._missing += 1
        return pcm.scale(self.last, gain)


def crossfade(first: bytes, second: bytes) -> bytes:
    """Return one frame that begins as `first` and ends as `second` (equal lengths): 20 ms vanish without a click."""
    out, other = _samples(first), _samples(second)
    length = len(out)
    for index in range(length):
        out[index] += (other[index] - out[index]) * index // length
    if sys.byteorder == "big":
        out.byteswap()
    return out.tobytes()


def _samples(frame: bytes) -> array.array[int]:
    samples = array.array("h", frame)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples
