"""Ears for tests: what frequency, how loud, which digits arrived."""

from __future__ import annotations

import io
import math
import os
import sys
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy

from offhook.errors import ParseError
from offhook.media.detect import digits as detect
from offhook.media.detect.digits import DtmfDetector, mean_square
from offhook.media.resample import resample
from offhook.media.sources import SAMPLE_RATE
from offhook.media.wav import PCM, read_header

LOWEST_HZ = 50
MOST_SAMPLES = 16_000
GAP_STEPS = 100  # a second


@dataclass(frozen=True, slots=True)
class WavAudio:
    """A WAV file of 16-bit PCM: samples a second, and one piece of PCM for each channel."""

    rate: int
    channels: tuple[bytes, ...]

    @property
    def duration_ms(self) -> int:
        """Return the length."""
        return len(self.channels[0]) // 2 * 1000 // self.rate


def level_dbfs(pcm: bytes) -> float:
    """Return the level in dB, 0 for a sine of full scale; -inf for digital silence."""
    power = mean_square(_samples(pcm))
    return 10.0 * math.log10(2.0 * power / 32767.0**2) if power else -math.inf


def dominant_frequency(pcm: bytes, rate: int = SAMPLE_RATE) -> float:
    """Return the strongest frequency in Hz, to about 1 Hz over a second of audio; 0.0 for silence.

    At most the middle second is looked at.
    """
    samples = _middle(_samples(pcm), min(rate, MOST_SAMPLES))
    if len(samples) < 16 or not any(samples):
        return 0.0
    window = [0.5 - 0.5 * math.cos(math.tau * place / len(samples)) for place in range(len(samples))]
    shaped = [sample * weight for sample, weight in zip(samples, window, strict=True)]
    step = rate / len(samples)
    coarse = _strongest(shaped, step)
    return _refined(shaped, rate, coarse, step)


def click(pcm: bytes, frequency: float, rate: int = SAMPLE_RATE) -> float:
    """Return the greatest step (0-1, of the tone's amplitude) that is not the tone's own: 0.02 for a fade of 20 ms, 0.3 for
    a cut.

    A sine goes on as 2 cos(w) times its latest sample less the one before; whatever else comes is heard as a click.
    """
    samples = _samples(pcm)
    factor = 2.0 * math.cos(math.tau * frequency / rate)
    threes = zip(samples, samples[1:], samples[2:], strict=False)
    most = max((abs(now - factor * last + before) for before, last, now in threes), default=0.0)
    return most / max(1, max(map(abs, samples), default=1))


def has_tone(pcm: bytes, frequency: float, rate: int = SAMPLE_RATE, *, purity: float = 0.65) -> bool:
    """Tell whether at least `purity` (0-1) of the power is at this frequency (and there is sound at all)."""
    return detect.has_tone(_samples(pcm), frequency, rate, purity)


def decode_dtmf(pcm: bytes, rate: int = SAMPLE_RATE) -> str:
    """Return the digits heard, in order."""
    detector = DtmfDetector()
    heard = detector.feed(resample(pcm, rate, SAMPLE_RATE)) + detector.finish()
    return "".join(digit for digit, _ in heard)


def longest_gap_ms(pcm: bytes, rate: int = SAMPLE_RATE, below_db: float = 20.0) -> int:
    """Return the longest time in which it was that much quieter than usual, in steps of 10 ms; the whole of it for silence."""
    size = rate // GAP_STEPS * 2
    levels = [level_dbfs(pcm[at:at + size]) for at in range(0, len(pcm) - size + 1, size)]
    usual = sorted(levels)[len(levels) // 2] if levels else -math.inf
    longest = run = 0
    for level in levels:
        run = run + 1 if level <= usual - below_db or level == -math.inf else 0
        longest = max(longest, run)
    return longest * 1000 // GAP_STEPS


def read_wav(path: str | os.PathLike[str]) -> WavAudio:
    """Read a WAV file of 16-bit PCM; raises OSError or ParseError (also for other encodings)."""
    # From front to back in one go: a file that is just being recorded (sound first, then the header) stays consistent.
    whole = Path(path).read_bytes()
    form = read_header(io.BytesIO(whole), len(whole))
    if (form.tag, form.bits) != (PCM, 16):
        raise ParseError("only 16-bit PCM is read here")
    samples = array("h", whole[form.start : form.start + form.length])
    return WavAudio(form.rate, tuple(samples[place::form.channels].tobytes() for place in range(form.channels)))


def _strongest(shaped: list[float], step: float) -> float:
    spectrum = numpy.abs(numpy.fft.rfft(numpy.array(shaped)))
    first = min(max(1, round(LOWEST_HZ / step)), len(spectrum) - 1)
    return float(first + int(numpy.argmax(spectrum[first:]))) * step


def _refined(shaped: list[float], rate: int, near: float, step: float) -> float:
    """Close in on the peak by halving the distance between three frequencies."""
    distance = step
    best, power = near, _power(shaped, near, rate)
    while distance > 0.05:
        for candidate in (best - distance, best + distance):
            found = _power(shaped, candidate, rate)
            if found > power:
                best, power = candidate, found
        distance /= 2
    return round(best, 1)


def _power(samples: list[float], frequency: float, rate: int) -> float:
    heard, turns = numpy.asarray(samples), math.tau * frequency / rate * numpy.arange(len(samples))
    # Not by a complex exponential: Wine's C library has none.
    return float(numpy.dot(heard, numpy.cos(turns)) ** 2 + numpy.dot(heard, numpy.sin(turns)) ** 2)


def _samples(pcm: bytes) -> array[int]:
    samples = array("h", pcm[:len(pcm) - len(pcm) % 2])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _middle(samples: array[int], count: int) -> array[int]:
    start = max(0, (len(samples) - count) // 2)
    return samples[start:start + count]
