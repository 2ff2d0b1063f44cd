"""Pauses that are not sent as sound: when we make one, and what is heard in the far end's. RFC 3389."""

from __future__ import annotations

import math
from typing import Final

from offhook.errors import ParseError
from offhook.ids import Ids
from offhook.media import pcm
from offhook.media.comfort import Background, ComfortNoise, build, parse
from offhook.media.sources import SILENCE

ABOVE_FLOOR_DB: Final = 9.0  # what is so much louder than the background is no part of it …
QUIET_DBOV: Final = -60.0  # … and what is quieter than this is nobody, however quiet the line
LOUDEST_FLOOR_DBOV: Final = -30.0  # nothing louder is believed to be a background
FLOOR_RISES_DB: Final = 0.05  # a frame, 2.5 dB a second
HANGOVER_FRAMES: Final = 15  # 300 ms: stops of consonants and gaps between words are shorter
CHANGE_DB: Final = 3.0  # RFC 3389 5: packets are sent again when the noise has changed noticeably
REPEAT_FRAMES: Final = 100  # 2 s: that a pause is no broken line, and a NAT keeps its door open
SMOOTH: Final = 0.1  # share of a frame in the level that is told
STEP_DB: Final = 1.0  # a frame: so fast the noise that is heard follows what is told
NOTHING_DBOV: Final = -90.0


def level_dbov(frame: bytes) -> float:
    """Return how loud a frame is; 0 is the loudest there can be."""
    loud = pcm.rms(frame)
    return 20.0 * math.log10(loud / 32768.0) if loud else NOTHING_DBOV


class Pauses:
    """Says frame by frame what becomes of our own sound where the far end takes comfort noise."""

    __slots__ = ("_floor", "_hangover", "_level", "_since", "_told")

    def __init__(self) -> None:
        self._floor = LOUDEST_FLOOR_DBOV
        self._hangover = HANGOVER_FRAMES
        self._level = NOTHING_DBOV
        self._told: float | None = None  # the level of the latest packet of this pause, None while somebody speaks
        self._since = 0  # frames

    def hear(self, frame: bytes) -> bytes | None:
        """Take a frame; return None: send it; a payload: send that as comfort noise; b"": send nothing."""
        level = NOTHING_DBOV if frame is SILENCE else level_dbov(frame)
        speaks = level > max(QUIET_DBOV, self._floor + ABOVE_FLOOR_DB)
        if level > NOTHING_DBOV:
            self._floor = min(LOUDEST_FLOOR_DBOV, level, self._floor + FLOOR_RISES_DB)
        if speaks:
            self._hangover, self._told = HANGOVER_FRAMES, None
            return None
        self._level += SMOOTH * (level - self._level) if self._hangover < HANGOVER_FRAMES else level - self._level
        if self._hangover:
            self._hangover -= 1
            return None
        self._since += 1
        if self._told is not None and self._since < REPEAT_FRAMES and abs(self._level - self._told) < CHANGE_DB:
            return b""
        self._told, self._since = self._level, 0
        return build(Background(round(self._level)))


class Pause:
    """The background of the far end while it says nothing, as its packets describe it."""

    __slots__ = ("_level", "_noise", "_wanted", "rate")

    def __init__(self, rate: int, ids: Ids) -> None:
        self.rate = rate
        self._noise = ComfortNoise(rate, ids)
        self._wanted = NOTHING_DBOV
        self._level: float | None = None

    def describe(self, payload: bytes) -> bool:
        """Take a packet of comfort noise; say whether it could be understood."""
        try:
            background = parse(payload)
        except ParseError:
            return False
        self._wanted = float(background.level_dbov)
        self._noise.colour(background.reflections)
        return True

    def frame(self) -> bytes:
        """Return the noise of this tick."""
        level = self._wanted if self._level is None else self._level
        self._level = min(self._wanted, level + STEP_DB) if level < self._wanted else max(self._wanted, level - STEP_DB)
        return self._noise.frame(self._level)
