"""DTMF digits sent as sound (ITU-T Q.23, Q.24): found in noise and through codecs, not found in speech."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from offhook.media import pcm
from offhook.media.detect.bank import Bank, level
from offhook.media.sources import SAMPLE_RATE
from offhook.media.tones import DTMF

# A block of 102 samples (12.75 ms) puts all eight frequencies near the middle of a bin of 78 Hz and fits three times into
# the 40 ms that ITU-T Q.24 says every receiver must accept.
BLOCK: Final = 102
BLOCK_BYTES: Final = 2 * BLOCK
MIN_LEVEL_DBFS: Final = -36.0
MAX_TWIST_DB: Final = 9.5  # between row and column, either way; Q.24 asks for 8 where the row is the louder one, else for 4
DOMINANCE: Final = 6.3  # each of the two is 8 dB above every other frequency of its group
PURITY: Final = 0.65  # share of all power that lies in the two: speech seldom has it, a digit on G.711 over 0.9
MAX_DRIFT: Final = 0.025  # Q.24: 1.5 % off must be a digit, 3.5 % off must not; a voice glides
CONFIRM_BLOCKS: Final = 2
END_BLOCKS: Final = 2  # a gap of less is a dropout

ROWS: Final = (697, 770, 852, 941)
COLUMNS: Final = (1209, 1336, 1477, 1633)
KEYS: Final = {pair: key for key, pair in DTMF.items()}

_BANK: Final = Bank((*ROWS, *COLUMNS), BLOCK)


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
    return total > level(MIN_LEVEL_DBFS) and power_at(samples, frequency, rate) >= purity * total


class DtmfDetector:
    """Finds digits in a stream of frames; each is given once, when it has ended, with its length."""

    def __init__(self) -> None:
        self._rest = b""
        self._candidate = ""
        self._block = b""  # the latest one
        self._digit = ""
        self._agreeing = 0
        self._missing = 0
        self._blocks = 0

    def feed(self, frame: bytes) -> list[tuple[str, int]]:
        """Take 8 kHz mono audio of any even length; return the (digit, duration in ms) that ended in it."""
        rest = self._rest + frame
        ended: list[tuple[str, int]] = []
        for start in range(0, len(rest) - BLOCK_BYTES + 1, BLOCK_BYTES):
            ended += self._heard(rest[start : start + BLOCK_BYTES])
        self._rest = rest[len(rest) - len(rest) % BLOCK_BYTES :]
        return ended

    def finish(self) -> list[tuple[str, int]]:
        """Return the digit that was still sounding, if any."""
        digit, self._digit = self._digit, ""
        return [(digit, self._blocks * BLOCK * 1000 // SAMPLE_RATE)] if digit else []

    def _heard(self, block: bytes) -> list[tuple[str, int]]:
        key, before, self._block = key_in(block), self._block, block
        ended: list[tuple[str, int]] = []
        if self._digit:
            if key == self._digit:
                self._blocks += 1 + self._missing
                self._missing = 0
                return []
            self._missing += 1
            if self._missing >= END_BLOCKS:
                ended = self.finish()
        if key and key == self._candidate and _steady(key, before, block):
            self._agreeing += 1
        else:
            self._agreeing = int(bool(key))
        self._candidate = key
        if not self._digit and self._agreeing >= CONFIRM_BLOCKS:
            self._digit, self._blocks, self._missing = key, self._agreeing, 0
        return ended


def key_in(block: bytes) -> str:
    """Return the digit that a block of `BLOCK` samples is, "" for anything else."""
    total = float(pcm.rms(block)) ** 2
    if total < level(MIN_LEVEL_DBFS):
        return ""
    powers = _BANK.powers(block)
    rows, columns = powers[:4], powers[4:]
    row, column = max(rows), max(columns)
    if not (_dominates(rows) and _dominates(columns)) or row + column < PURITY * total:
        return ""
    if abs(10.0 * math.log10(row / column)) > MAX_TWIST_DB:
        return ""
    return KEYS[ROWS[rows.index(row)], COLUMNS[columns.index(column)]]


def _steady(key: str, before: bytes, after: bytes) -> bool:
    """Tell whether both frequencies are where the digit has them, by their phases in two blocks that follow each other.

    Half a block later they show what is so far off that it has turned right round by the next one, that some hertz.
    """
    half = BLOCK // 2
    begin, middle, end = map(_BANK.amplitudes, (before, before[2 * half :] + after[: 2 * half], after))
    for frequency in DTMF[key]:
        place = _BANK.frequencies.index(frequency)
        for later, apart in ((middle[place], half), (end[place], BLOCK)):
            if abs(_BANK.drift(place, begin[place], later, apart)) > MAX_DRIFT * frequency:
                return False
    return True


def _dominates(powers: list[float]) -> bool:
    second, first = sorted(powers)[-2:]
    return first > DOMINANCE * second
