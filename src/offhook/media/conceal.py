"""What is heard in place of a frame that did not come.

For most codecs the sound goes on as it was, fading out (`Concealer`); some know better themselves (`OwnConcealer`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Final, Protocol

from offhook.media.pitch import LONGEST_MS, Samples, continued, fade, ramp, samples
from offhook.media.sources import FRAMES_A_SECOND, SILENCE, frame_bytes

PAST_FRAMES: Final = 3  # what has to be remembered: three of the longest periods and a quarter
FULL_MS: Final = 10  # made up as loud as before
GONE_MS: Final = 80  # silent
EXIT_MS: Final = (4, 10)  # how long old and new sound overlap where it goes on: after one lost frame, and at most
SHORT_MS: Final = 10  # the longest period that is looked for in a single frame
OWN_LIMIT: Final = 25  # frames a codec conceals by itself: what it makes up after half a second is no speech any more


class Concealment(Protocol):
    """Stands in for frames that did not come, of one stream and at its rate."""

    def good(self, frame: bytes) -> bytes:
        """Take a frame that came and return what is to be heard: that, its beginning joined to what filled a gap."""
        ...

    def turn(self) -> None:
        """Take note that the frame to come is not the one behind those before: another source speaks, or another time."""
        ...

    def lost(self) -> bytes:
        """Return a stand-in for one that did not; `sources.SILENCE` itself once there is nothing more to be made up."""
        ...

    def partial(self, piece: bytes) -> bytes:
        """Take the beginning of a frame of which the rest did not come, and return a whole one."""
        ...

    def bridge(self, missing: int, following: bytes) -> bytes:
        """Return a stand-in for the first of so many that did not, when the frame behind them, `following`, is here already."""
        ...

    def ahead(self, before: bytes) -> bytes:
        """Return what was heard, with `before` behind it, and two frames of how it would go on.

        b"" where that is not known, or a gap has begun already.
        """
        ...

    def between(self, before: bytes, following: bytes) -> bytes:
        """Return the frame between what was heard, with `before` behind it, and `following`; b"" where that is not known."""
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

    def turn(self) -> None:
        """Leave it to the codec, whose frames overlap."""

    def partial(self, piece: bytes) -> bytes:
        """Return the beginning and what the codec makes up."""
        self._missing = 0
        return piece + self._conceal()[len(piece) :]

    def bridge(self, missing: int, following: bytes) -> bytes:
        """Return what the codec makes up: it knows best how it will go on."""
        return self.lost()

    def ahead(self, before: bytes) -> bytes:
        """Return nothing: the codec knows what it has made up."""
        return b""

    def between(self, before: bytes, following: bytes) -> bytes:
        """Return nothing: the codec says it when its time has come."""
        return b""

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

    __slots__ = ("_bridged", "_going_on", "_made", "_past", "_planned", "_rate", "_turned")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._past: list[bytes] = []
        self._made = 0  # samples made up since the gap began
        self._bridged = self._turned = False
        self._planned = b""  # of what fills this gap, the frames to come
        self._going_on: Samples = array("h")  # how the sound would have gone on since then

    def good(self, frame: bytes) -> bytes:
        """Take a frame that came and return what is to be heard: the frame, its beginning joined to what filled a gap."""
        if self._made or self._turned:
            frame = self._resume(frame)
        past = self._past
        past.append(frame)
        if len(past) > PAST_FRAMES:
            del past[0]
        return frame

    def turn(self) -> None:
        """Have the sound pass over into the frame to come: a step would click."""
        if not self._made:
            self._going_on, self._turned = self._beyond(), True

    def lost(self) -> bytes:
        """Return what is heard in place of a missing frame; `sources.SILENCE` itself where that is nothing."""
        if self._planned:
            return self._first_of(samples(self._planned))
        sound = self._fading(self._rate // FRAMES_A_SECOND)
        self._bridged = False
        return sound.tobytes() if sound else SILENCE

    def partial(self, piece: bytes) -> bytes:
        """Return a whole frame of which only the beginning came."""
        piece = self.good(piece)
        count = self._rate // FRAMES_A_SECOND - len(piece) // 2
        self._bridged = False
        return piece + (self._fading(count).tobytes() or bytes(2 * count))

    def bridge(self, missing: int, following: bytes) -> bytes:
        """Return what is heard in place of the first of so many missing frames behind which there is `following`."""
        if self._planned:
            return self.lost()
        count = missing * self._rate // FRAMES_A_SECOND
        forwards = self._fading(count)
        forwards.extend([0] * (count - len(forwards)))
        self._bridged = True
        return self._first_of(fade(forwards, self._towards(following, count)))

    def _first_of(self, sound: Samples) -> bytes:
        """Return the first frame of what fills a gap, and keep the others."""
        size = frame_bytes(self._rate)
        whole = sound.tobytes()
        self._planned = whole[size:]
        return whole[:size]

    def ahead(self, before: bytes) -> bytes:
        """Return what was heard, with `before` behind it, and two frames of how it would go on; b"" within a gap."""
        past, frame = array("h", b"".join((*self._past, before))), self._rate // FRAMES_A_SECOND
        if self._made or len(past) < 2 * frame:
            return b""
        return (past + self._quieter(continued(past, 2 * frame, self._rate), 0)).tobytes()

    def between(self, before: bytes, following: bytes) -> bytes:
        """Return the frame between what was heard, with `before` behind it, and `following`."""
        past, count = array("h", b"".join((*self._past, before))), self._rate // FRAMES_A_SECOND
        if self._made or len(past) < 2 * count:
            return b""
        return fade(continued(past, count, self._rate), self._towards(following, count)).tobytes()

    def _towards(self, following: bytes, count: int) -> Samples:
        """Return so many samples before this frame, if all was as it is in this one."""
        backwards = samples(following)
        backwards.reverse()
        backwards = continued(backwards, count, self._rate, SHORT_MS)
        backwards.reverse()
        return backwards

    def _fading(self, count: int) -> Samples:
        """Return how the sound would have gone on next, getting quieter; nothing when it has faded out."""
        start, self._made = self._made, self._made + count
        if not start:
            self._going_on = self._beyond()
        if start >= GONE_MS * self._rate // 1000 or not self._going_on:
            return array("h")
        return self._quieter(self._going_on[start : start + count], start)

    def _beyond(self) -> Samples:
        """Return how the sound would go on from here, until it is inaudible; nothing where it is silent."""
        past, frame = array("h", b"".join(self._past)), self._rate // FRAMES_A_SECOND
        if len(past) < frame or not any(past[-frame:]):
            return array("h")
        longest_ms = LONGEST_MS if len(past) >= 2 * frame else SHORT_MS
        return continued(past, GONE_MS * self._rate // 1000 + frame, self._rate, longest_ms)

    def _quieter(self, piece: Samples, start: int) -> Samples:
        """Return a piece of what is made up as loud as it is so many samples after the gap's beginning."""
        full, gone = FULL_MS * self._rate // 1000, GONE_MS * self._rate // 1000
        loud = max(0, min(full - start, len(piece)))
        first, last = (max(0.0, (gone - at) / (gone - full)) for at in (start + loud, start + len(piece)))
        return piece[:loud] + ramp(piece[loud:], first, last)

    def _resume(self, frame: bytes) -> bytes:
        made, self._made, self._turned = self._made, 0, False
        planned, self._planned = self._planned, b""
        if self._bridged and not planned:
            return frame
        sound = samples(frame)
        least, most = (each * self._rate // 1000 for each in EXIT_MS)
        count = min(max(least, made // 5), most, len(sound))
        if planned:
            old = samples(planned)[:count]  # one of those that were believed to be missing has come
        else:
            old = self._quieter(self._going_on[made : made + count], made)
        old.extend([0] * (count - len(old)))
        sound[:count] = fade(old, sound[:count])
        return sound.tobytes()
