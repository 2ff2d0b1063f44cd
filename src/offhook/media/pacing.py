"""Playing a little faster or slower, to have in hand what is needed: where it is noticed least, and how much at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from offhook.media import pcm
from offhook.media.sources import FRAMES_A_SECOND, frame_bytes
from offhook.media.stretch import lengthen, shorten, with_twice, without

SURPLUS_S: Final = 0.021  # a frame and a little more than needed: play faster
SHORTAGE_S: Final = 0.002  # less than needed by this: play slower
HURRY_S: Final = 0.060  # so far from where it should be, each frame is changed and not one of three
EXCESS_S: Final = 0.200  # so much more than needed: whole frames are left out, wherever they are
PACE_TICKS: Final = 2  # frames that are left alone in between otherwise
PAUSE_TICKS: Final = 3  # so many quiet frames are a pause, and not a stop within a word
PATIENCE_TICKS: Final = 250  # five seconds without a pause: then speech is shortened, too
FORCE_TICKS: Final = PATIENCE_TICKS + 25  # half a second more: then even what has no period
QUIET_RMS: Final = 150  # about -47 dBov: there anything may be left out or doubled
HUSHED: Final = 8  # times quieter than it was: as good as quiet, between two syllables
_VOLUME_DECAY: Final = 0.98  # a frame: a second
_FRAME_S: Final = 0.020


class Pace:
    """Decides for frame after frame of one stream whether it is heard as it is.

    `collect` takes PCM, the timestamp of its beginning and how many bytes are wanted; it returns the PCM with what is heard
    behind it, as far as that is here, and the timestamp of its end.
    """

    __slots__ = (
        "_collect", "_frame_bytes", "_grain", "_hush", "_paced", "_rate", "_step", "_unit_s", "_volume", "waited",
    )  # fmt: skip

    def __init__(self, collect: Callable[[bytes, int, int], tuple[bytes, int]], clock: int, rate: int) -> None:
        self._collect = collect
        self._volume = 0.0  # of the latest loud frame
        self._hush = 0  # quiet frames in a row
        self._paced = 0  # frames since one was changed
        self.waited = 0  # the same, since there was as much in hand as is needed
        self.tune(clock, rate)

    def tune(self, clock: int, rate: int) -> None:
        """Count this RTP clock, in PCM of this rate."""
        self._rate = rate
        self._step = clock // FRAMES_A_SECOND
        self._unit_s = 1 / clock
        self._frame_bytes = frame_bytes(rate)
        self._grain = max(1, rate // clock)  # samples that the clock cannot tell apart

    def restart(self) -> None:
        """Another source speaks."""
        self._paced = self.waited = 0

    def apply(self, audio: bytes, at: int, spare: float, off: int) -> tuple[bytes, int]:
        """Return what is heard of the frame at `at`, or in its place and that of the next one; and the timestamp of its end.

        `spare` is what there is beyond the target, `off` how far after the grid of the packets the next frame begins, in
        timestamps. What comes back is `audio` itself where it is heard as it is.
        """
        volume = pcm.rms(audio)
        self._volume = max(volume, self._volume * _VOLUME_DECAY)
        self._hush = self._hush + 1 if volume <= max(QUIET_RMS, self._volume / HUSHED) else 0
        self.waited += 1
        hurried = not -HURRY_S < spare < HURRY_S
        pressed = hurried or self.waited > PATIENCE_TICKS
        end = at + self._step
        if self._hush >= (1 if pressed or spare < -SHORTAGE_S else PAUSE_TICKS):
            units = self._step - off  # to the grid, or one frame
            if spare - units * self._unit_s >= 0.0 and (off or spare > SURPLUS_S):
                return self._leave_out(audio, at, units)
            return (self._double(audio, off), end) if off or spare < -SHORTAGE_S else (audio, end)
        self._paced += 1
        if -SHORTAGE_S <= spare <= SURPLUS_S or (self._paced <= PACE_TICKS and not hurried):
            return audio, end
        if spare < 0.0:
            return self._noted(lengthen(audio, self._rate, self._grain, force=spare < -_FRAME_S)) or audio, end
        if not pressed:
            return audio, end
        if spare > EXCESS_S:
            return self._leave_out(audio, at, self._step)
        sound, end = self._collect(audio, at, 2 * self._frame_bytes)
        return self._noted(shorten(sound, self._rate, self._grain, force=self.waited > FORCE_TICKS)) or sound, end

    def _noted(self, changed: bytes | None) -> bytes | None:
        """Note that this is a change, if it is one."""
        if changed is not None:
            self._paced = self.waited = 0
        return changed

    def _double(self, audio: bytes, off: int) -> bytes:
        """Double as much as brings a quiet frame to the grid, or all of it; but half a frame at most can be doubled in one."""
        self._paced = self.waited = 0
        units = min(off or self._step, self._step // 2)
        return with_twice(audio, units * self._frame_bytes // self._step // 2, self._rate)

    def _leave_out(self, audio: bytes, at: int, units: int) -> tuple[bytes, int]:
        """Leave out so much, which is at most a frame, if there is enough behind it."""
        sound, end = self._collect(audio, at, 2 * self._frame_bytes)
        if len(sound) < 2 * self._frame_bytes:
            return sound, end
        self._paced = self.waited = 0
        return without(sound, units * self._frame_bytes // self._step // 2, self._rate), end
