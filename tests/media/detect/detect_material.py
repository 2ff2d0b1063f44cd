"""Sound to be recognised: tones in their cadences, noise, and something like a voice."""

from __future__ import annotations

import math
from array import array
from functools import cache
from random import Random

from offhook.media import pcm
from offhook.media.tones import tone_source


@cache
def tone(frequencies: tuple[float, ...], duration_ms: int, gain_db: float = -3.0) -> bytes:
    return b"".join(iter(tone_source(frequencies, duration_ms, gain_db).read, None))[: 16 * duration_ms]


def quiet(duration_ms: int) -> bytes:
    return bytes(16 * duration_ms)


def cadence(frequencies: tuple[float, ...], *pattern: tuple[int, int], times: int = 3) -> bytes:
    return b"".join(tone(frequencies, on) + quiet(off) for _ in range(times) for on, off in pattern)


@cache
def noise(duration_ms: int, rms: float, seed: int = 1) -> bytes:
    chance = Random(seed)
    return array("h", (int(chance.gauss(0, rms)) for _ in range(8 * duration_ms))).tobytes()


def with_noise(audio: bytes, rms: float) -> bytes:
    return pcm.add(audio, noise(len(audio) // 16, rms))


@cache
def vowels(duration_ms: int, level: float = 2500.0, pitch: float = 120.0) -> bytes:
    """Pulses of a gliding pitch through three resonances that move: what makes a voice one."""
    samples, phase = [], 0.0
    states = [[0.0, 0.0] for _ in range(3)]
    radius = math.exp(-math.pi * 90 / 8000)
    for place in range(8 * duration_ms):
        second = place / 8000
        phase += pitch * (1 + 0.15 * math.sin(math.tau * 2.1 * second)) / 8000
        pulse = 0.0
        if phase >= 1.0:
            phase -= 1.0
            pulse = 1.0
        value = 0.0
        for state, base, swing in zip(states, (550, 1500, 2500), (250, 500, 200), strict=True):
            frequency = base + swing * math.sin(math.tau * 2.7 * second)
            now = pulse + 2 * radius * math.cos(math.tau * frequency / 8000) * state[0] - radius**2 * state[1]
            state[1], state[0] = state[0], now
            value += now
        samples.append(value)
    scale = level / math.sqrt(sum(value * value for value in samples) / len(samples))
    return array("h", (max(-32768, min(32767, int(scale * value))) for value in samples)).tobytes()


def frames(audio: bytes) -> list[bytes]:
    return [audio[start : start + 320].ljust(320, b"\0") for start in range(0, len(audio), 320)]
