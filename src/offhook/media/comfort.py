"""Comfort noise: what its packets say (RFC 3389), and the noise itself, made frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from offhook.errors import ParseError
from offhook.ids import Ids
from offhook.media import pcm

LOUDEST_DBOV: Final = -20.0  # nothing louder is a background, whatever a packet claims
QUIETEST_DBOV: Final = -90.0  # below the last bit of 16
MAX_ORDER: Final = 12  # reflection coefficients that are read; RFC 3389 3.3 leaves the rest to be ignored
SOFT: Final = 0.6  # weight of the sample before, where a packet says nothing of the colour: duller than white, as rooms are
_UNIFORM_RMS: Final = 32768 / math.sqrt(3)
_FULL: Final = 32768.0


@dataclass(frozen=True, slots=True)
class Background:
    """What one packet describes: the level in dBov (0 is the loudest there is, -127 the quietest), the colour as reflection
    coefficients (-1 to 1), none for whatever the receiver likes."""

    level_dbov: int
    reflections: tuple[float, ...] = ()


def parse(payload: bytes) -> Background:
    """Read the payload of a packet of type 13 (or a dynamic one of other rates). Raises ParseError for an empty one."""
    if not payload:
        raise ParseError("a comfort noise packet has at least one octet")
    # RFC 3389 3.1: "The most significant bit must be 0". 3.2: k = 258 * (N - 127) / 32768, N from 0 to 254.
    colour = tuple(258 * (min(octet, 254) - 127) / 32768 for octet in payload[1 : 1 + MAX_ORDER])
    return Background(-(payload[0] & 0x7F), colour)


def build(background: Background) -> bytes:
    """Return the payload that describes this."""
    level = min(127, max(0, -background.level_dbov))
    colour = (min(254, max(0, round(value * 32768 / 258) + 127)) for value in background.reflections[:MAX_ORDER])
    return bytes((level, *colour))


class ComfortNoise:
    """Makes noise of one stream, 20 ms at a time: some microseconds a frame, and never the same noise twice.

    Of the colour it keeps how much neighbouring samples agree: whether it hisses or rumbles.
    """

    __slots__ = ("_bits", "_frame_bytes", "_ids", "_last", "_tilt")

    def __init__(self, rate: int, ids: Ids) -> None:
        """`rate` in Hz; `ids` is where chance comes from."""
        self._ids = ids
        self._frame_bytes = 2 * (rate // 50)
        self._bits = 8 * self._frame_bytes
        self._last = bytes(2)  # the last sample before colour, so that frames join
        self._tilt = SOFT

    def colour(self, reflections: tuple[float, ...]) -> None:
        """Sound like this from the next frame on; () is the colour of a quiet room."""
        self._tilt = SOFT
        if reflections:
            # The first reflection coefficient is minus the correlation of neighbouring samples, r. Of noise through
            # 1 + g/z it is g / (1 + g²), 0.5 at most.
            agree = min(0.5, max(-0.5, -reflections[0]))
            self._tilt = (1.0 - math.sqrt(1.0 - 4.0 * agree * agree)) / (2.0 * agree) if agree else 0.0

    def frame(self, level_dbov: float) -> bytes:
        """Return 20 ms of noise of this level, little-endian 16-bit PCM."""
        level = min(LOUDEST_DBOV, max(QUIETEST_DBOV, level_dbov))
        tilt = self._tilt
        gain = _FULL * 10.0 ** (level / 20.0) / (_UNIFORM_RMS * math.sqrt(1.0 + tilt * tilt))
        white = self._ids.integer(self._bits).to_bytes(self._frame_bytes, "little")
        before = self._last + white[:-2]
        self._last = white[-2:]
        return pcm.add(pcm.scale(white, gain), pcm.scale(before, gain * tilt))
