"""Sounds for tests: a sine, and something with the shape of speech, which codecs treat otherwise than a tone."""

from __future__ import annotations

import math
from array import array


def sine(frequency: float, milliseconds: int, rate: int, amplitude: float = 7336.0) -> bytes:
    step = math.tau * frequency / rate
    return array("h", (round(amplitude * math.sin(step * place)) for place in range(rate * milliseconds // 1000))).tobytes()


def voice(milliseconds: int, rate: int) -> bytes:
    """Return syllables: pulses of 90 to 130 Hz through a formant of 700 Hz, coming and going twice a second."""
    radius = math.exp(-math.pi * 120 / rate)
    one, two = 2 * radius * math.cos(math.tau * 700 / rate), -radius * radius
    samples, last, before, turn = array("h"), 0.0, 0.0, 0.0
    for place in range(rate * milliseconds // 1000):
        moment = place / rate
        turn += (110 + 20 * math.sin(math.tau * 1.3 * moment)) / rate
        pulse, turn = (9000.0, turn - 1) if turn >= 1 else (0.0, turn)
        last, before = pulse + one * last + two * before, last
        envelope = max(0.0, math.sin(math.tau * 2.1 * moment))
        samples.append(max(-32000, min(32000, int(0.3 * last * envelope))))
    return samples.tobytes()


def frames(audio: bytes, rate: int) -> list[bytes]:
    size = rate // 25
    return [audio[start:start + size] for start in range(0, len(audio) - size + 1, size)]
