"""The signals of the telephone network: dial tone, ringback, busy, congestion, special information, fax; and the beep.

Which frequencies sound is told every 20 ms; which signal it is, by how long they sound and pause (ITU-T E.180, with what most
countries have made of it; T.30 for fax).
"""

from __future__ import annotations

from typing import Final, TypeAlias

from msgspec import Struct

from offhook.media import pcm
from offhook.media.detect.bank import Bank
from offhook.media.detect.whistle import Steady
from offhook.media.messages import ToneName
from offhook.media.sources import FRAME_MS, FRAME_SAMPLES, SILENCE

Key: TypeAlias = tuple[int, ...]

WINDOW_FRAMES: Final = 4
"""80 ms: long enough to tell 440 Hz from 480."""
MIN_RMS: Final = 100
"""About -47 dBFS."""
SINGLES: Final = (400, 425, 440, 450)
PAIRS: Final[tuple[Key, ...]] = ((350, 440), (440, 480), (480, 620), (400, 450))
FREQUENCIES: Final = (350, 400, 425, 440, 450, 480, 620)
PURE: Final = 0.8
"""Share of the power that a single tone has, or both of a pair together."""
EACH: Final = 0.2
"""Share that each of a pair has at least."""

DIAL_MS: Final = 3000
"""Longer than any country's ringing."""
RINGBACK_ON: Final = range(640, 2500)
RINGBACK_OFF_MS: Final = 1500
DOUBLE_ON: Final = range(280, 560)  # two short ones and a pause, as in Britain
DOUBLE_GAP: Final = range(120, 360)
CONGESTION: Final = range(120, 320)
BUSY: Final = range(320, 800)
UNEVEN: Final = 0.35
"""How much longer one of tone and pause may be, as a share."""
FORGET_MS: Final = 6000
"""Silence after which the same signal is worth another word."""

CALLING: Final = (1055, 1145, 360)  # T.30: 1100 Hz ± 38 for half a second; (lowest, highest, least ms)
ANSWERING: Final = (2075, 2125, 500)  # T.30: 2100 Hz ± 15 for some seconds
INFORMATION: Final = ((900, 1000), (1350, 1450), (1750, 1830))  # E.180: three in a row, 330 ms each
INFORMATION_MS: Final = range(200, 480)
INFORMATION_GAP: Final = 5  # frames
CALLING_MOST_MS: Final = 700
BEEP_HZ: Final = (350.0, 3000.0)
BEEP_MS: Final = range(120, 2600)


class Heard(Struct, frozen=True):
    """A signal that was recognised; its frequency in Hz (the lower of two), and how long it sounded."""

    tone: ToneName
    frequency: int
    duration_ms: int


class Progress:
    """Finds the signals of the network in a stream of 20 ms frames of 8 kHz."""

    def __init__(self) -> None:
        self._bank = Bank(FREQUENCIES, WINDOW_FRAMES * FRAME_SAMPLES, smooth=True)
        self._window = [SILENCE] * WINDOW_FRAMES
        self._key: Key = ()
        self._run_ms = 0
        self._runs: list[tuple[Key, int]] = []  # what sounded, or () for a pause, and for how long; the latest four
        self._told: ToneName | None = None

    def feed(self, frame: bytes) -> Heard | None:
        """Take a frame; return a signal in the moment it is certain, once until it stops."""
        self._window = [*self._window[1:], frame]
        key = self._sounds(b"".join(self._window))
        if key == self._key:
            self._run_ms += FRAME_MS
        else:
            self._runs = [*self._runs[-3:], (self._key, self._run_ms)]
            self._key, self._run_ms = key, FRAME_MS
        if not key and self._run_ms > FORGET_MS:
            self._told, self._runs = None, []
        found = self._recognised()
        if found is None or found.tone == self._told:
            return None
        self._told = found.tone
        return found

    @property
    def sounds(self) -> bool:
        """Return whether tones of the network sound now."""
        return bool(self._key)

    def _sounds(self, window: bytes) -> Key:
        total = float(pcm.rms(window)) ** 2
        if total < MIN_RMS**2:
            return ()
        shares = dict(zip(FREQUENCIES, (power / total for power in self._bank.powers(window)), strict=True))
        best = max(SINGLES, key=shares.__getitem__)
        if shares[best] > PURE:
            return (best,)
        for low, high in PAIRS:
            if shares[low] + shares[high] > PURE and min(shares[low], shares[high]) > EACH:
                return (low, high)
        return ()

    def _recognised(self) -> Heard | None:
        key, run_ms, runs = self._key, self._run_ms, self._runs
        if key:
            steady = key in ((350, 440), (400, 450)) or len(key) == 1
            return Heard("dial", key[0], run_ms) if steady and run_ms >= DIAL_MS else None
        if not runs or not runs[-1][0]:
            return None
        tone, on_ms = runs[-1]
        if run_ms >= RINGBACK_OFF_MS and tone != (480, 620) and (on_ms in RINGBACK_ON or self._rang_twice(on_ms)):
            return Heard("ringback", tone[0], on_ms)
        if len(runs) >= 3 and runs[-3][0] == tone and not runs[-2][0]:
            return _interrupted(tone, on_ms, runs[-2][1], runs[-3][1], run_ms)
        return None

    def _rang_twice(self, on_ms: int) -> bool:
        runs = self._runs
        return len(runs) >= 3 and on_ms in DOUBLE_ON and runs[-3][1] in DOUBLE_ON and runs[-2][1] in DOUBLE_GAP


def _interrupted(tone: Key, on_ms: int, off_ms: int, former_ms: int, pause_ms: int) -> Heard | None:
    """Return busy or congestion for tone, pause, tone, pause of about the same length each."""
    if not (_alike(on_ms, former_ms) and _alike(on_ms, off_ms) and pause_ms >= off_ms * (1 - UNEVEN)):
        return None
    if pause_ms > off_ms * (1 + UNEVEN):
        return None
    half = (on_ms + off_ms) // 2
    if half in CONGESTION:
        return Heard("congestion", tone[0], on_ms)
    return Heard("busy", tone[0], on_ms) if half in BUSY else None


def _alike(one: int, other: int) -> bool:
    return abs(one - other) <= max(UNEVEN * max(one, other), 3 * FRAME_MS)


class Signals:
    """Finds fax signals, special information tones and beeps in what `Whistle` follows."""

    def __init__(self) -> None:
        self._matched: list[Steady] = []  # the first of the three special information tones, if it was one
        self._patience = 0  # frames that the next of them may still be missing
        self._told_ms = -1

    def feed(self, steady: Steady | None, *, beeps: bool) -> Heard | None:
        """Take what sounds in this frame; `beeps`: any other short tone is worth a word."""
        if self._matched and steady is None:
            self._patience -= 1
            if not self._patience:
                return self._beep(beeps)
        if steady is None:
            return None
        frequency, length = round(steady.frequency), steady.duration_ms
        if _within(steady, ANSWERING) and self._told_ms != steady.begun_ms:
            self._told_ms = steady.begun_ms
            return Heard("fax_answer", frequency, length)
        if not steady.over:
            return None
        if _within(steady, CALLING) and length < CALLING_MOST_MS:
            return Heard("fax_calling", frequency, length)
        self._matched.append(steady)
        self._patience = INFORMATION_GAP
        if not _is_information(self._matched):
            return self._beep(beeps)
        if len(self._matched) < len(INFORMATION):
            return None
        self._matched.clear()
        return Heard("special_information", frequency, length)

    def _beep(self, beeps: bool) -> Heard | None:
        """What was waited with was no beginning of the three; return the last of it as a beep, if it is one."""
        last = self._matched[-1]
        self._matched.clear()
        if beeps and last.duration_ms in BEEP_MS and BEEP_HZ[0] <= last.frequency <= BEEP_HZ[1]:
            return Heard("beep", round(last.frequency), last.duration_ms)
        return None


def _is_information(steadies: list[Steady]) -> bool:
    return all(
        low <= steady.frequency <= high and steady.duration_ms in INFORMATION_MS
        for steady, (low, high) in zip(steadies, INFORMATION, strict=False)
    )


def _within(steady: Steady, kind: tuple[int, int, int]) -> bool:
    lowest, highest, least_ms = kind
    return lowest <= steady.frequency <= highest and steady.duration_ms >= least_ms
