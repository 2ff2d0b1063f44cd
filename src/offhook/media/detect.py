"""What is heard: DTMF digits sent as sound (ITU-T Q.24), and single tones."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from typing import Final

from offhook.media.sources import SAMPLE_RATE
from offhook.media.tones import DTMF

# A block of 102 samples (12.75 ms) puts all eight frequencies near the middle of a bin of 78 Hz and fits three times into
# the 40 ms that ITU-T Q.24 says every receiver must accept.
BLOCK: Final = 102
MIN_LEVEL_DBFS: Final = -36.0
MAX_TWIST_DB: Final = 8.0  # between row and column, either way; Q.24 asks for 4 to 8
DOMINANCE: Final = 6.3  # each of the two is 8 dB above every other frequency of its group
PURITY: Final = 0.65  # share of all power that lies in the two: speech seldom has it, a digit on G.711 over 0.9
CONFIRM_BLOCKS: Final = 2
END_BLOCKS: Final = 2  # a gap of less is a dropout

ROWS: Final = (697, 770, 852, 941)
COLUMNS: Final = (1209, 1336, 1477, 1633)
KEYS: Final = {pair: key for key, pair in DTMF.items()}


def power_at(samples: Sequence[int], frequency: float, rate: int = SAMPLE_RATE) -> float:
    """Return the mean square that `frequency` (Hz) contributes to the samples (Goertzel's recurrence)."""
    factor = 2.0 * math.cos(math.tau * frequency / rate)
    last = before = 0.0
    for sample in samples:
        last, before = sample + factor * last - before, last
    return 2.0 * (last * last + before * before - factor * last * before) / (len(samples) ** 2 or 1)


def mean_square(samples: Sequence[int]) -> float:
    """Return the mean of the squares."""
    return sum(sample * sample for sample in samples) / (len(samples) or 1)


def has_tone(samples: Sequence[int], frequency: float, rate: int = SAMPLE_RATE, purity: float = PURITY) -> bool:
    """Tell whether most of the sound is this one frequency."""
    total = mean_square(samples)
    return total > _level(MIN_LEVEL_DBFS) and power_at(samples, frequency, rate) >= purity * total


class DtmfDetector:
    """Finds digits in a stream of frames; each is given once, when it has ended, with its length."""

    def __init__(self) -> None:
        self._rest: array[int] = array("h")
        self._candidate = ""
        self._digit = ""
        self._agreeing = 0
        self._missing = 0
        self._blocks = 0

    def feed(self, frame: bytes) -> list[tuple[str, int]]:
        """Take 8 kHz mono audio of any even length; return the (digit, duration in ms) that ended in it."""
        self._rest.extend(_samples(frame))
        ended = []
        while len(self._rest) >= BLOCK:
            block, self._rest = self._rest[:BLOCK], self._rest[BLOCK:]
            ended += self._heard(key_in(block))
        return ended

    def finish(self) -> list[tuple[str, int]]:
        """Return the digit that was still sounding, if any."""
        digit, self._digit = self._digit, ""
        return [(digit, self._blocks * BLOCK * 1000 // SAMPLE_RATE)] if digit else []

    def _heard(self, key: str) -> list[tuple[str, int]]:
        ended: list[tuple[str, int]] = []
        if self._digit:
            if key == self._digit:
                self._blocks += 1 + self._missing
                self._missing = 0
                return []
            self._missing += 1
            if self._missing >= END_BLOCKS:
                ended = self.finish()
        self._agreeing = self._agreeing + 1 if key and key == self._candidate else int(bool(key))
        self._candidate = key
        if not self._digit and self._agreeing >= CONFIRM_BLOCKS:
            self._digit, self._blocks, self._missing = key, self._agreeing, 0
        return ended


def key_in(block: Sequence[int]) -> str:
    """Return the digit that one block of samples is, "" for anything else."""
    total = mean_square(block)
    if total < _level(MIN_LEVEL_DBFS):
        return ""
    rows = [power_at(block, frequency) for frequency in ROWS]
    columns = [power_at(block, frequency) for frequency in COLUMNS]
    row, column = max(rows), max(columns)
    if not (_dominates(rows) and _dominates(columns)) or row + column < PURITY * total:
        return ""
    if abs(10.0 * math.log10(row / column)) > MAX_TWIST_DB:
        return ""
    return KEYS[ROWS[rows.index(row)], COLUMNS[columns.index(column)]]


def _dominates(powers: list[float]) -> bool:
    second, first = sorted(powers)[-2:]
    return first > DOMINANCE * second and first > 0.0


def _level(dbfs: float) -> float:
    """Return the mean square of a sine at this level (0 dBFS: a sine of full scale)."""
    return float(32767.0**2 / 2 * 10.0 ** (dbfs / 10.0))


def _samples(frame: bytes) -> array[int]:
    samples = array("h", frame)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples
