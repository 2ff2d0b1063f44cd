"""Whether somebody speaks: loud beside what is always there, and with the pitch that voices have."""

from __future__ import annotations

import math
from typing import Final

from offhook.media import pcm
from offhook.media.sources import FRAME_MS, SILENCE

QUIET_DBFS: Final = -55.0
"""What is quieter is nobody, however quiet the line is."""
ABOVE_FLOOR_DB: Final = 8.0
FLOOR_RISES_DB: Final = 0.06
"""A frame, 3 dB a second: so soon a noise that began is taken for what is always there."""
FLOOR_RISES_IN_SPEECH_DB: Final = 0.01
"""A frame: a pause comes before a sentence is taken for the floor."""
FLOOR_FALLS: Final = 0.15
"""Share of the way down in one frame."""
NOTHING_DBFS: Final = -75.0
"""Digital silence: a lost packet, or a pause that was not sent. It says nothing about the line."""
LOUDEST_FLOOR_DBFS: Final = -25.0

LAGS: Final = range(20, 134, 2)  # 60 to 400 Hz
PREEMPHASIS: Final = 0.9
"""Takes the rumble of streets and engines away, which is like itself a moment ago without any pitch."""
VOICED: Final = 0.3
"""Likeness to itself one period ago. The best of all lags stays below 0.2 in noise that has no pitch."""

ONSET_MS: Final = 40
"""So long of voice within the latest 120 ms begins speech: a click or a knock does not."""
WINDOW_MS: Final = 120
HANGOVER_MS: Final = 240
"""Stops of consonants and gaps between words are shorter; pauses are longer."""


class Speech:
    """Follows one stream of 20 ms frames of 8 kHz. `speaking` is the answer; it lags the beginning of speech by some 80 ms."""

    def __init__(self) -> None:
        self.speaking = False
        self._floor = -45.0
        self._before = SILENCE
        self._bright = SILENCE
        self._recent = 0  # one bit a frame: was it voice
        self._silent_ms = 0

    def feed(self, frame: bytes, rms: int) -> bool:
        """Take a frame and its root mean square; return whether somebody speaks."""
        level = 20.0 * math.log10(rms / 23170) if rms > 1 else -90.0
        loud = level > max(self._floor + ABOVE_FLOOR_DB, QUIET_DBFS)
        self._follow_floor(level)
        brighter = pcm.add(frame, pcm.scale(self._before[-2:] + frame[:-2], -PREEMPHASIS))
        voiced = loud and _is_voiced(self._bright + brighter)
        self._before, self._bright = frame, brighter
        self._recent = (self._recent << 1 | voiced) & (1 << WINDOW_MS // FRAME_MS) - 1
        if self.speaking:
            # Once begun, what is as loud belongs to it: s and f have no pitch.
            self._silent_ms = 0 if voiced else self._silent_ms + FRAME_MS // (2 if loud else 1)
            self.speaking = self._silent_ms < HANGOVER_MS
        elif self._recent.bit_count() * FRAME_MS >= ONSET_MS:
            self.speaking, self._silent_ms = True, 0
        return self.speaking

    def _follow_floor(self, level: float) -> None:
        if level < NOTHING_DBFS:
            return
        if level < self._floor:
            self._floor += (level - self._floor) * FLOOR_FALLS
        else:
            rise = FLOOR_RISES_IN_SPEECH_DB if self.speaking else FLOOR_RISES_DB
            self._floor = min(LOUDEST_FLOOR_DBFS, self._floor + rise)


def _is_voiced(window: bytes) -> bool:
    """Tell whether the latest 40 ms are like themselves one pitch period earlier."""
    size = len(window)
    for lag in LAGS:
        early, late = window[: size - 2 * lag], window[2 * lag :]
        # Both ways: a decaying thud is like its own past in one direction only.
        if pcm.similarity(late, early) > VOICED and pcm.similarity(early, late) > VOICED:
            return True
    return False
