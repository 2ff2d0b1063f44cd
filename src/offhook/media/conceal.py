"""What is heard in place of a frame that did not come, and joining two frames into one.

For most codecs that is the last frame again, fading out (`Concealer`); some know better themselves (`OwnConcealer`).
"""

from __future__ import annotations

import array
import sys
from collections.abc import Callable
from typing import Final, Protocol

from offhook.media import pcm
from offhook.media.sources import SILENCE

# ITU-T G.711 Appendix I fades 20 % for each 10 ms after the first; here in steps of whole frames, silent after 80 ms.
FADE: Final = (0.9, 0.6, 0.3, 0.1)


OWN_LIMIT: Final = 25  # frames a codec conceals by itself: what it makes up after half a second is no speech any more


class Concealment(Protocol):
    """Stands in for frames that did not come, of one stream and at its rate."""

    def good(self, frame: bytes) -> None:
        """Take note of the last frame that came; told before the first `lost` after it."""
        ...

    def lost(self) -> bytes:
        """Return a stand-in for one that did not; `sources.SILENCE` itself once there is nothing more to be made up."""
        ...


class OwnConcealer:
    """Lets the codec do it: it remembers what it has decoded."""

    __slots__ = ("_conceal", "_missing")

    def __init__(self, conceal: Callable[[], bytes]) -> None:
        self._conceal = conceal
        self._missing = OWN_LIMIT  # nothing was heard yet

    def good(self, frame: bytes) -> None:
        """Take note that one came."""
        self._missing = 0

    def lost(self) -> bytes:
        """Return what the codec makes up, for half a second."""
        if self._missing >= OWN_LIMIT:
            return SILENCE
        self._missing += 1
        return self._conceal()


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
