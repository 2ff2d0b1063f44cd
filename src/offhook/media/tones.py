"""Tones: sines, the signals of the telephone network, DTMF digits. Frames are computed once and repeated.

The levels keep a sum of two sines well below clipping; each partial of a tone is at -13 dBFS at gain 0.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, cycle, repeat
from typing import Final, Literal, TypeAlias

from offhook.media.sources import FRAME_MS, FRAMES_A_SECOND, SAMPLE_RATE, SILENCE, frame_bytes

Partials: TypeAlias = tuple[tuple[float, float], ...]  # (frequency in Hz, level in dBFS) of each
CadenceKind: TypeAlias = Literal["ringback", "busy", "congestion", "ring", "waiting"]

PARTIAL_DBFS: Final = -13.0
RAMP_S: Final = 0.002  # of fade at both ends: an abrupt start is heard as a click
MAX_REPEAT_FRAMES: Final = 50  # one second; every whole number of hertz repeats within it

# ITU-T Q.23: the row and the column frequency of each key.
DTMF: Final[dict[str, tuple[int, int]]] = {
    key: (row, column)
    for row, keys in ((697, "123A"), (770, "456B"), (852, "789C"), (941, "*0#D"))
    for column, key in zip((1209, 1336, 1477, 1633), keys, strict=True)
}

# ITU-T E.180 as Europe has it: (frequencies, ((on ms, off ms), ...)). The ring is what a person hears, not a line signal.
CADENCES: Final[dict[CadenceKind, tuple[tuple[float, ...], tuple[tuple[int, int], ...]]]] = {
    "ringback": ((425.0,), ((1000, 4000),)),
    "busy": ((425.0,), ((500, 500),)),
    "congestion": ((425.0,), ((240, 240),)),
    "ring": ((440.0, 480.0), ((400, 200), (400, 2000))),
    "waiting": ((425.0,), ((200, 600), (200, 4000))),
}


class FrameSource:
    """A Source over any iterator of whole frames."""

    __slots__ = ("_frames",)

    def __init__(self, frames: Iterator[bytes]) -> None:
        self._frames: Iterator[bytes] | None = frames

    def read(self) -> bytes | None:
        """Return the next frame, None at the end."""
        if self._frames is None:
            return None
        return next(self._frames, None)

    def close(self) -> None:
        """Stop; read() gives None from now on."""
        self._frames = None


def tone_source(
    frequencies: tuple[float, ...], duration_ms: int, gain_db: float = 0.0, rate: int = SAMPLE_RATE
) -> FrameSource:
    """Return a tone of one or more frequencies in Hz (0 to 4000) at a sample rate; `duration_ms` 0 means endless.

    Raises ValueError for a frequency that 8 kHz cannot carry, whatever the rate, and for more than eight of them.
    """
    if len(frequencies) > 8 or not all(0 < frequency < SAMPLE_RATE / 2 for frequency in frequencies):
        raise ValueError("a tone has one to eight frequencies between 0 and 4000 Hz")
    wanted = tuple(float(frequency) for frequency in frequencies)
    if duration_ms:
        return FrameSource(iter(_burst(wanted, duration_ms, gain_db, rate)))
    return FrameSource(_endless(wanted, gain_db, rate))


def cadence_source(kind: CadenceKind, rate: int = SAMPLE_RATE) -> FrameSource:
    """Return an endless network signal or the ring."""
    return FrameSource(cycle(_cadence(kind, rate)))


@lru_cache(maxsize=64)
def _dtmf(digit: str, duration_ms: int, rate: int) -> tuple[bytes, ...]:
    row, column = DTMF[digit]
    # ITU-T Q.23: the higher tone 2 dB above the lower one makes up for the line's slope.
    return tuple(_frames(_shape(_sum(((row, -11.0), (column, -9.0)), duration_ms * rate // 1000, rate), rate), rate))


def dtmf_frames(digit: str, duration_ms: int, rate: int = SAMPLE_RATE) -> list[bytes]:
    """Return a digit (0-9 * # A-D) as frames, without a gap after it. Raises KeyError for any other character."""
    return list(_dtmf(digit.upper(), duration_ms, rate))


@lru_cache(maxsize=8)
def _cadence(kind: CadenceKind, rate: int) -> tuple[bytes, ...]:
    frequencies, pattern = CADENCES[kind]
    frames: list[bytes] = []
    for on_ms, off_ms in pattern:
        frames += _burst(frequencies, on_ms, 0.0, rate)
        frames += [SILENCE] * _frame_count(off_ms)
    return tuple(frames)


def _burst(frequencies: tuple[float, ...], duration_ms: int, gain_db: float, rate: int) -> Iterator[bytes]:
    """Yield a tone with faded ends; the middle is made on the way, so that ten minutes cost no memory."""
    total, size = duration_ms * rate // 1000, rate // FRAMES_A_SECOND
    body = _endless(frequencies, gain_db, rate)
    count = -(-total // size)
    for index in range(count):
        frame = next(body)
        if 0 < index < count - 2:
            yield frame
            continue
        yield _faded_part(frame, index * size, total, rate)


def _faded_part(frame: bytes, start: int, total: int, rate: int) -> bytes:
    samples, ramp = _samples_of(frame), int(RAMP_S * rate)
    for place, sample in enumerate(samples):
        edge = min(start + place + 1, total - start - place)
        samples[place] = 0 if edge <= 0 else int(sample * min(1.0, edge / ramp))
    return _bytes_of(samples)


def _endless(frequencies: tuple[float, ...], gain_db: float, rate: int) -> Iterator[bytes]:
    """Repeat a second where that is seamless (whole hertz), else compute each frame from its absolute position."""
    partials, size = tuple((frequency, PARTIAL_DBFS + gain_db) for frequency in frequencies), rate // FRAMES_A_SECOND
    if all(frequency.is_integer() for frequency in frequencies):
        loop = [_bytes_of(_sum(partials, size, rate, index * size)) for index in range(_period(frequencies))]
        return cycle(loop)
    return _computed(partials, size, rate)


def _computed(partials: Partials, size: int, rate: int) -> Iterator[bytes]:
    for start in chain.from_iterable(repeat(range(0, 3600 * rate, size))):
        yield _bytes_of(_sum(partials, size, rate, start))


def _period(frequencies: tuple[float, ...]) -> int:
    """Return after how many frames whole-hertz frequencies repeat: a frame is 1/50 s, so at most 50."""
    common = math.gcd(MAX_REPEAT_FRAMES, *(int(frequency) for frequency in frequencies))
    return MAX_REPEAT_FRAMES // common


def _sum(partials: Partials, count: int, rate: int, start: int = 0) -> array[int]:
    """Return `count` samples from sample number `start` of the sum of (frequency Hz, level dBFS)."""
    steps = [(math.tau * frequency / rate, 32767.0 * 10.0 ** (level / 20.0)) for frequency, level in partials]
    samples = array("h", bytes(2 * count))
    for place in range(count):
        value = sum(peak * math.sin(step * (start + place)) for step, peak in steps)
        samples[place] = max(-32768, min(32767, round(value)))
    return samples


def _shape(samples: array[int], rate: int) -> array[int]:
    """Fade both ends in place."""
    ramp = int(RAMP_S * rate)
    for place in range(min(ramp, len(samples) // 2)):
        factor = (place + 1) / ramp
        samples[place] = int(samples[place] * factor)
        samples[-1 - place] = int(samples[-1 - place] * factor)
    return samples


def _frames(samples: array[int], rate: int) -> Iterator[bytes]:
    text, size = _bytes_of(samples), frame_bytes(rate)
    for start in range(0, len(text), size):
        yield text[start:start + size].ljust(size, b"\0")


def _frame_count(duration_ms: int) -> int:
    return -(-duration_ms // FRAME_MS)


def _bytes_of(samples: array[int]) -> bytes:
    if sys.byteorder == "big":
        samples = samples[:]
        samples.byteswap()
    return samples.tobytes()


def _samples_of(frame: bytes) -> array[int]:
    samples = array("h", frame)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples
