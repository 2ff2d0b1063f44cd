"""Brings speech to an even level: a gain that follows slowly and only while somebody speaks, and a limiter behind it."""

from __future__ import annotations

import math
from typing import Final

from offhook.media import pcm
from offhook.media.fades import ramp

TARGET_DB: Final = -23.0  # of active speech, against full scale (ITU-T P.56); networks are built for -26 and bear more
MOST_UP, MOST_DOWN = 24.0, -12.0  # dB
UP_A_FRAME, DOWN_A_FRAME = 0.06, 0.3  # dB: 3 and 15 dB a second
QUIETEST_DB: Final = -60.0  # whatever lies below is no speech
ABOVE_NOISE_DB: Final = 10.0  # … nor is what stands out of the noise by less
NOISE_UP: Final = 0.02  # dB a frame: 1 dB a second, so that a long word does not become noise
PEAK: Final = 29_204  # -1 dB
RELEASE: Final = 0.1  # dB a frame
SILENT_DB: Final = -96.0


def level_db(frame: bytes) -> float:
    """Return the level in dB against full scale (dBov, RFC 6464: 0 is as loud as can be), -96 for silence."""
    power = pcm.rms(frame)
    return max(SILENT_DB, 20.0 * math.log10(power / 32768.0)) if power else SILENT_DB


class GainControl:
    """One stream of frames of 20 ms."""

    def __init__(self) -> None:
        self._noise = -50.0
        self._speech = TARGET_DB
        self.gain_db = 0.0
        self._limit_db = 0.0
        self._was = 1.0

    def process(self, frame: bytes) -> bytes:
        """Return the frame at the level it should have."""
        level = level_db(frame)
        self._noise = min(level, self._noise + NOISE_UP) if level > SILENT_DB else self._noise
        if level > max(QUIETEST_DB, self._noise + ABOVE_NOISE_DB):
            # Louder moments count more: the level of speech is that of its vowels, not of its pauses.
            self._speech += (0.1 if level > self._speech else 0.02) * (level - self._speech)
            wanted = min(MOST_UP, max(MOST_DOWN, TARGET_DB - self._speech))
            self.gain_db += min(UP_A_FRAME, max(-DOWN_A_FRAME, wanted - self.gain_db))
        return self._apply(frame)

    def leave(self, frame: bytes) -> bytes:
        """Return the frame on its way back to its own level: it ends there, and those after it are left alone."""
        was, self._was = self._was, 1.0
        self._limit_db = 0.0
        if was == 1.0:
            return frame
        top = max(was, 1.0)
        return ramp(pcm.scale(frame, top), was / top, 1.0 / top)

    def _apply(self, frame: bytes) -> bytes:
        loudest = pcm.peak(frame)
        peak = loudest * pcm.factor(self.gain_db)
        room = 20.0 * math.log10(PEAK / peak) if peak > PEAK else 0.0
        self._limit_db = min(room, self._limit_db + RELEASE)
        now = pcm.factor(self.gain_db + self._limit_db)
        was, self._was = self._was, now
        top = max(was, now)
        # A limiter has to be down before the peak is there, so a sudden one takes its frame without a ramp.
        if loudest * top > PEAK + 1 or abs(now - was) < 0.002:
            return pcm.scale(frame, now)
        return ramp(pcm.scale(frame, top), was / top, now / top)
