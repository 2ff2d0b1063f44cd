"""What is heard in place of a frame that did not come.

For most codecs the sound goes on as it was, fading out (`Concealer`); some know better themselves (`OwnConcealer`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Final, Protocol

from offhook.media.pitch import LONGEST_MS, Samples, continued, fade, ramp, samples
from offhook.media.sources import FRAME_MS, FRAMES_A_SECOND, SILENCE

PAST_FRAMES: Final = 3  # what has to be remembered: three of the longest periods and a quarter
FULL_MS: Final = 10  # made up as loud as before
GONE_MS: Final = 80  # silent
EXIT_MS: Final = (4, 10)  # how long old and new sound overlap where it goes on: after one lost frame, and at most
SHORT_MS: Final = 10  # the longest period that is looked for in a single frame
OWN_LIMIT: Final = 25  # frames a codec conceals by itself: what it makes up after half a second is no speech any more
_GONE_FRAMES: Final = GONE_MS // FRAME_MS


class Concealment(Protocol):
    """Stands in for frames that did not come, of one stream and at its rate."""

    def good(self, frame: bytes) -> bytes:
        """Take a frame that came and return what is to be heard: that, its beginning joined to what filled a gap."""
        ...

    def lost(self) -> bytes:
        """Return a stand-in for one that did not; `sources.SILENCE` itself once there is nothing more to be made up."""
        ...

    def bridge(self, following: bytes) -> bytes:
        """Return a stand-in for one that did not, when the next frame, `following`, is here already."""
        ...


class OwnConcealer:
    """Lets the codec do it: it remembers what it has decoded."""

    __slots__ = ("_conceal", "_missing")

    def __init__(self, conceal: Callable[[], bytes]) -> None:
        self._conceal = conceal
        self._missing = OWN_LIMIT  # nothing was heard yet

    def good(self, frame: bytes) -> bytes:
        """Take note that one came."""
        self._missing = 0
        return frame

    def bridge(self, following: bytes) -> bytes:
        """Return what the codec makes up: it knows best how it will go on."""
        return self.lost()

    def lost(self) -> bytes:
        """Return what the codec makes up, for half a second."""
        if self._missing >= OWN_LIMIT:
            return SILENCE
        self._missing += 1
        return self._conceal()


class Concealer:
    """Fills the gaps of one stream of 20 ms frames at `rate` (Hz). Costs something only when a frame is missing.

    The end of what was heard is repeated in steps of its pitch period, and soon gets quieter; where the frame after the gap is
    here already, the gap is filled from both of its ends. The idea of repeating is that of ITU-T G.711 Appendix I.
    """

    __slots__ = ("_bridged", "_going_on", "_missing", "_past", "_rate")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._past: list[bytes] = []
        self._missing = 0
        self._bridged = False
        self._going_on: Samples = array("h")  # how the sound would have gone on since the gap began

    def good(self, frame: bytes) -> bytes:
        """Take a frame that came and return what is to be heard: the frame, its beginning joined to what filled a gap."""
        if self._missing:
            frame = self._resume(frame)
        past = self._past
        past.append(frame)
        if len(past) > PAST_FRAMES:
            del past[0]
        return frame

    def lost(self) -> bytes:
        """Return what is heard in place of a missing frame; `sources.SILENCE` itself where that is nothing."""
        sound = self._fading(self._missing)
        self._missing += 1
        self._bridged = False
        return sound.tobytes() if sound else SILENCE

    def bridge(self, following: bytes) -> bytes:
        """Return what is heard in place of a missing frame of which the next one, `following`, is here."""
        count = self._rate // FRAMES_A_SECOND
        backwards = samples(following)
        backwards.reverse()
        backwards = continued(backwards, count, self._rate, SHORT_MS)
        backwards.reverse()
        forwards = self._fading(self._missing) or array("h", bytes(2 * count))
        self._missing += 1
        self._bridged = True
        return fade(forwards, backwards).tobytes()

    def _fading(self, frame: int) -> Samples:
        """Return one frame of how the sound would have gone on, getting quieter; nothing when it has faded out."""
        if not self._past or frame >= _GONE_FRAMES:
            return array("h")
        count = self._rate // FRAMES_A_SECOND
        if not frame:
            past = array("h", b"".join(self._past))
            if not any(past[-count:]):
                self._going_on = array("h")
                return array("h")
            longest_ms = LONGEST_MS if len(self._past) > 1 else SHORT_MS
            self._going_on = continued(past, (_GONE_FRAMES + 1) * count, self._rate, longest_ms)
        return self._quieter(frame * count, count)

    def _quieter(self, start: int, count: int) -> Samples:
        piece = self._going_on[start : start + count]
        full, gone = FULL_MS * self._rate // 1000, GONE_MS * self._rate // 1000
        loud = max(0, min(full - start, len(piece)))
        first, last = (max(0.0, (gone - at) / (gone - full)) for at in (start + loud, start + len(piece)))
        return piece[:loud] + ramp(piece[loud:], first, last)

    def _resume(self, frame: bytes) -> bytes:
        missing, self._missing = self._missing, 0
        if self._bridged:
            return frame
        start = missing * (self._rate // FRAMES_A_SECOND)
        least, most = EXIT_MS
        count = min(most, least * missing) * self._rate // 1000
        old = self._quieter(start, count) if missing < _GONE_FRAMES else array("h")
        old.extend([0] * (count - len(old)))
        sound = samples(frame)
        sound[:count] = fade(old, sound[:count])
        return sound.tobytes()
