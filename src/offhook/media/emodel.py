"""How well people hear each other, from what was measured: the E-model (ITU-T G.107, for wide bands G.107.1).

A rating R is 100 for perfect narrowband speech; wideband reaches 129. What takes from it: the noise and loudness of any
connection (`BASE`), the delay with its echo (`delay_impairment`), the codec with the packets it lost (`effective_equipment`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, log2, log10, pow, sqrt
from typing import Final

MOST_NARROW: Final = 100.0
MOST_WIDE: Final = 129.0  # G.107.1 7.1: the rating of perfect wideband speech
TELR_DB: Final = 65.0  # G.107 table 2: the talker's own voice comes back this much weaker
WEPL_DB: Final = 110.0  # G.107 table 2: weighted echo path loss, for what a listener hears twice
HIGHEST_BURST_RATIO: Final = 8.0  # G.107 7.3 is fitted to mild bursts; beyond this a figure would be invented
_LONGEST_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Equipment:
    """A codec's share (ITU-T G.113 appendices I and IV): `impairment` (Ie) without loss, `robustness` (Bpl) against loss.

    `wide`: both are on the scale of G.107.1.
    """

    impairment: float
    robustness: float
    wide: bool = False


EQUIPMENT: Final[dict[str, Equipment]] = {
    "PCMU": Equipment(0, 25.1),  # with concealment as in G.711 appendix I, which ours is measured against
    "PCMA": Equipment(0, 25.1),
    "G726-32": Equipment(7, 25.1),
    "G729": Equipment(10, 17.0),
    "G729A": Equipment(11, 19.0),
    "G723": Equipment(15, 16.1),
    "GSM": Equipment(20, 10.0),
    "GSM-EFR": Equipment(5, 10.0),
    "ILBC": Equipment(11, 32.0),
    "G722": Equipment(13, 10.0, wide=True),
    "AMR": Equipment(5, 10.0),
    "AMR-WB": Equipment(7, 13.0, wide=True),
    # G.113 lists none of these. What has no coding loses nothing to it; the rest are our own cautious estimates.
    "L16": Equipment(0, 10.0, wide=True),
    "L16/8000": Equipment(0, 25.1),
    "OPUS": Equipment(5, 15.0, wide=True),
    "OPUS/8000": Equipment(8, 15.0),
    "SPEEX": Equipment(11, 15.0),
}
"""By encoding name in capitals, with a rate where that makes the difference.

Where the appendices have no Bpl for a codec, that of its nearest relative stands here.
"""
UNKNOWN: Final = Equipment(10, 10.0)


def equipment(codec: str) -> Equipment:
    """Return the figures of a codec ("PCMU", "L16/16000"); for one that is not in the table cautious ones."""
    name = codec.upper()
    return EQUIPMENT.get(name) or EQUIPMENT.get(name.partition("/")[0], UNKNOWN)


def effective_equipment(codec: Equipment, loss: float, burst_ratio: float = 1.0) -> float:
    """Return Ie,eff for a loss of 0-1. G.107 eq. 7-29: Ie + (95 - Ie) * Ppl / (Ppl / BurstR + Bpl).

    `burst_ratio` is how much longer the gaps are than chance would make them: 1 for independent losses.
    """
    percent = 100.0 * min(1.0, max(0.0, loss))
    ratio = min(HIGHEST_BURST_RATIO, max(1.0, burst_ratio))
    return codec.impairment + (95.0 - codec.impairment) * percent / (percent / ratio + codec.robustness)


def burst_ratio(loss: float, mean_run: float) -> float:
    """Return BurstR (G.107 3.2): the mean length of a run of losses over what it is when losses are independent.

    Those have runs of 1 / (1 - loss) packets.
    """
    return max(1.0, mean_run * (1.0 - loss)) if 0.0 < loss < 1.0 else 1.0


# --- noise and loudness --------------------------------------------------------------------------------------------

# G.107 table 2: the default values of an ordinary telephone in an ordinary room; dB, dBm0p and dB(A).
_SLR, _RLR, _STMR, _DS, _DR = 8.0, 2.0, 15.0, 3.0, 3.0
_NC, _NFOR, _PS, _PR, _QDU = -70.0, -64.0, 35.0, 35.0, 1.0


def _sum_of_powers(*decibels: float) -> float:
    return 10 * log10(sum(10 ** (level / 10) for level in decibels))


def _noise() -> float:
    """Return No, all noise as if it were in the line. G.107 eq. 7-4 to 7-7."""
    olr = _SLR + _RLR
    sender = _PS - _SLR - _DS - 100 + 0.004 * (_PS - olr - _DS - 14) ** 2
    listener = _PR + 10 * log10(1 + 10 ** ((10 - (_STMR + _DR)) / 10))  # with what the sidetone brings to the ear
    receiver = _RLR - 121 + listener + 0.008 * (listener - 35) ** 2
    return _sum_of_powers(_NC, sender, receiver, _NFOR + _RLR)


def _signal_to_noise() -> float:
    """Return Ro. G.107 eq. 7-3."""
    return 15 - 1.5 * (_SLR + _noise())


def _simultaneous() -> float:
    """Return Is, what comes together with the voice: loudness, sidetone, quantizing. G.107 eq. 7-8 to 7-17."""
    excess = _SLR + _RLR + 0.2 * (64 + _noise() - _RLR)
    loudness = 20 * (pow(1 + (excess / 8) ** 8, 1 / 8) - excess / 8)
    tone = -10 * log10(10 ** (-_STMR / 10) + 10 ** (-TELR_DB / 10))
    sidetone = (
        12 * pow(1 + ((tone - 13) / 6) ** 8, 1 / 8) - 28 * pow(1 + ((tone + 1) / 19.4) ** 35, 1 / 35)
        - 13 * pow(1 + ((tone - 3) / 33) ** 13, 1 / 13) + 29
    )  # fmt: skip
    q = 37 - 15 * log10(_QDU)
    g = 1.07 + 0.258 * q + 0.0602 * q * q
    y = (_signal_to_noise() - 100) / 15 + 46 / 8.4 - g / 9
    quantizing = 15 * log10(1 + 10**y + 10 ** (46 / 30 - g / 40))
    return loudness + sidetone + quantizing


BASE: Final = _signal_to_noise() - _simultaneous()
"""Ro - Is with all defaults. With Id of no delay at all, 0.15, this makes the 93.2 of a perfect call of G.711."""


# --- delay ---------------------------------------------------------------------------------------------------------


@lru_cache(512)
def _delay(milliseconds: int) -> float:
    """Return Id for a mouth-to-ear delay. G.107 eq. 7-18 to 7-27, with T = Ta and Tr = 2 Ta."""
    t = float(milliseconds)
    talker = TELR_DB - 40 * log10((1 + t / 10) / (1 + t / 150)) + 6 * exp(-0.3 * t**2)
    echo = 80 + 2.5 * (talker - 14)
    without = -1.5 * (_noise() - _RLR)
    first = (without - echo) / 2
    idte = (first + sqrt(first * first + 100) - 1) * (1 - exp(-t))
    listener = 10.5 * (WEPL_DB + 7) * pow(2 * t + 1, -0.25)
    second = (_signal_to_noise() - listener) / 2
    idle = second + sqrt(second * second + 169)
    return idte + idle + _absolute(t)


def _absolute(milliseconds: float) -> float:
    """Return Idd, what delay alone takes from a conversation. G.107 eq. 7-26."""
    if milliseconds <= 100:
        return 0.0
    x = log2(milliseconds / 100)
    return 25 * (pow(1 + x**6, 1 / 6) - 3 * pow(1 + (x / 3) ** 6, 1 / 6) + 2)


def delay_impairment(milliseconds: float) -> float:
    """Return Id for a mouth-to-ear delay in milliseconds, with the echo that a four-wire connection has by default."""
    return _delay(round(min(_LONGEST_MS, max(0.0, milliseconds))))


# --- the rating ----------------------------------------------------------------------------------------------------


def rating(codec: Equipment, loss: float, delay_ms: float, *, burst: float = 1.0) -> float:
    """Return R, 0-100 (wideband: 0-129). `loss` is what was not heard, 0-1; `delay_ms` mouth to ear; 0 for listening alone."""
    most, base = (MOST_WIDE, MOST_WIDE) if codec.wide else (MOST_NARROW, BASE)
    value = base - delay_impairment(delay_ms) - effective_equipment(codec, loss, burst)
    return min(most, max(0.0, value))


def opinion(value: float, *, wide: bool = False) -> float:
    """Return the mean opinion score 1.0-4.5 of a rating. G.107 eq. B-4; G.107.1 B: a wideband rating is R / 1.29 first."""
    if wide:
        value /= MOST_WIDE / MOST_NARROW
    if not 0.0 < value < inf:
        return 1.0
    if value >= MOST_NARROW:
        return 4.5
    return min(4.5, max(1.0, 1 + 0.035 * value + value * (value - 60) * (100 - value) * 7e-6))


@lru_cache(256)
def judged(codec: Equipment, loss: float, delay_ms: float, burst: float) -> tuple[float, float, float]:
    """Return R, the conversation's opinion score and that of listening alone, rounded as they are told.

    Kept: most calls of a phone are as good as its others.
    """
    value = rating(codec, loss, delay_ms, burst=burst)
    listening = rating(codec, loss, 0.0, burst=burst)
    return round(value, 1), round(opinion(value, wide=codec.wide), 2), round(opinion(listening, wide=codec.wide), 2)
