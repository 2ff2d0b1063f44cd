"""What the microphone's cleaning is worth: echo taken away in rooms made of numbers, two who speak at once, and what it costs.

Run: python bench/bench_echo.py [--webrtc] [--noise]. Speech is made by espeak-ng (a Debian package); quality is PESQ, wide band
(the extra quality; without it that column is empty). With --webrtc the other canceller (the extra aec) is measured beside ours.
"""

from __future__ import annotations

import argparse
import io
import math
import shutil
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from offhook.io.audio.voices import make_voice
from offhook.media.messages.card import VoiceProcessing
from offhook.media.resample import resample
from offhook.media.voice.chain import Voice

RATE = 16_000
FRAME = RATE // 50
Samples: TypeAlias = Any
"""An array of 32-bit floats from -1 to 1."""
Make: TypeAlias = Callable[[VoiceProcessing], Voice]

FAR = (
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. It is easy to tell the depth of a "
    "well. These days a chicken leg is a rare dish. Rice is often served in round bowls. The juice of lemons makes fine punch. "
    "The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage."
)
NEAR = (
    "Four hours of steady work faced us. A large size in stockings is hard to sell. The boy was there when the sun rose. A rod "
    "is used to catch pink salmon."
)
"""Sentences of the Harvard list (IEEE 1969)."""


def speech(voice: str, text: str) -> Samples:
    """Return somebody reading, at 16 kHz and -26 dB while speaking."""
    if shutil.which("espeak-ng") is None:
        sys.exit("this needs espeak-ng: apt-get install espeak-ng")
    made = subprocess.run(["espeak-ng", "-v", voice, "--stdout", text], capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(made)) as file:
        pcm, rate = file.readframes(len(made)), file.getframerate()
    sound = np.frombuffer(resample(pcm, rate, RATE), "<i2").astype(np.float32) / 32768
    return (sound * 0.05 / np.sqrt((sound[np.abs(sound) > 0.01] ** 2).mean())).astype(np.float32)


def shoebox(size: tuple[float, float, float], walls: float, delay_ms: int) -> Samples:
    """Return the way from a loudspeaker to a microphone 30 cm beside it, by image sources; `walls` is what a wall reflects."""
    heard, spoken = np.array(size) * (0.45, 0.4, 0.35), np.array(size) * (0.45, 0.4, 0.35) + (0.3, 0.05, 0.0)
    way = np.zeros(RATE // 2, np.float64)
    span = range(-12, 13)
    for x in span:
        for y in span:
            for z in span:
                for px in (0, 1):
                    for py in (0, 1):
                        for pz in (0, 1):
                            image = np.array([(1 - 2 * p) * s + 2 * n * length for p, s, n, length in
                                              zip((px, py, pz), spoken, (x, y, z), size, strict=True)])
                            distance = float(np.linalg.norm(image - heard))
                            place = distance / 343 * RATE
                            bounces = abs(2 * x - px) + abs(2 * y - py) + abs(2 * z - pz)
                            if place < len(way) - 1:
                                part = place - int(place)
                                power = walls**bounces / (4 * math.pi * distance)
                                way[int(place)] += (1 - part) * power
                                way[int(place) + 1] += part * power
    return late(way, delay_ms)


def dying(reverberation: float, delay_ms: int, seed: int = 1) -> Samples:
    """Return a first wave and noise that dies away by 60 dB in so many seconds."""
    random = np.random.default_rng(seed)
    count = int(1.2 * reverberation * RATE)
    way = random.standard_normal(count) * 10 ** (-3 * np.arange(count) / RATE / reverberation)
    way[0] = 4.0
    return late(way, delay_ms)


def late(way: NDArray[np.float64], delay_ms: int) -> Samples:
    """Return the way with a device's delay before it, 6 dB quieter than the loudspeaker."""
    return np.concatenate((np.zeros(RATE * delay_ms // 1000), 0.5 * way / np.sqrt((way**2).sum()))).astype(np.float32)


def through(sound: Samples, way: Samples) -> Samples:
    """Return the sound as it arrives."""
    size = 1 << (len(sound) + len(way)).bit_length()
    return np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(way, size), size)[: len(sound)].astype(np.float32)


def drifting(sound: Samples, ppm: float) -> Samples:
    """Return the sound as a clock hears it that goes wrong by so many millionths."""
    return np.interp(np.arange(len(sound)) * (1 + ppm * 1e-6), np.arange(len(sound)), sound).astype(np.float32)


def hiss(count: int, level_db: float) -> Samples:
    """Return white noise."""
    return (10 ** (level_db / 20) * np.random.default_rng(7).standard_normal(count)).astype(np.float32)


def run(voice: Voice, heard: Samples, played: Samples) -> tuple[Samples, list[float]]:
    """Return what goes into calls, and the seconds each frame took."""
    made, took = [], []
    for start in range(0, len(heard) - FRAME + 1, FRAME):
        one, other = pcm(heard[start : start + FRAME]), pcm(played[start : start + FRAME])
        began = time.perf_counter()
        made.append(voice.process(one, other))
        took.append(time.perf_counter() - began)
    return np.frombuffer(b"".join(made), "<i2").astype(np.float32) / 32768, took


def pcm(samples: Samples) -> bytes:
    """Return 16-bit samples."""
    return bytes(np.clip(samples * 32768, -32768, 32767).astype("<i2").tobytes())


def less(before: Samples, after: Samples, start: float, end: float) -> float:
    """Return by how many decibels it is quieter between two moments."""
    a, b = (part[int(start * RATE) : int(end * RATE)] for part in (before, after))
    return float(10 * np.log10((a**2).mean() / ((b**2).mean() + 1e-12)))


def quality(clean: Samples, heard: Samples) -> str:
    """Return PESQ (wide band) after moving both together, "" where it is not installed."""
    try:
        from pesq import pesq
    except ImportError:
        return ""
    count = min(len(clean), len(heard))
    size = 1 << (2 * count).bit_length()
    match = np.fft.irfft(np.fft.rfft(heard[:count], size) * np.fft.rfft(clean[:count], size).conj())
    lag = int(np.argmax(match[:4000]))
    score: Any = pesq(RATE, clean[: count - lag], heard[lag:count], "wb")
    return f"{float(score):.2f}"


def rooms(delay_ms: int) -> dict[str, Samples]:
    """Return the rooms."""
    return {
        "dead, 0.15 s": dying(0.15, delay_ms), "office, 0.3 s": dying(0.3, delay_ms), "hall, 0.5 s": dying(0.5, delay_ms),
        "box 4 x 3 x 2.5 m": shoebox((4.0, 3.0, 2.5), 0.75, delay_ms),
    }


def echo(name: str, make: Make) -> None:
    """Measure a canceller in all rooms."""
    wanted = VoiceProcessing(echo_cancellation=True)
    far, near = speech("en-us", FAR), speech("en-gb+f3", NEAR)
    far = np.concatenate((far, far))[: 24 * RATE]
    near = near[: 10 * RATE]
    cases = [(room, way, 0.0) for room, way in rooms(80).items()]
    cases += [("office, 250 ms late", dying(0.3, 250), 0.0), ("office, 50 ppm", dying(0.3, 80), 50.0)]
    print(f"\n{name}")
    print(f"{'room':22} {'ERLE 1-3 s':>10} {'8-12 s':>7} {'18-24 s':>8} {'both: PESQ':>11} {'as it is':>9} {'µs/20 ms':>9}")
    for room, way, ppm in cases:
        arrives = through(far, way)
        heard = (drifting(arrives, ppm) if ppm else arrives) + hiss(len(far), -75)
        left, took = run(make(wanted), heard, far)
        spoken = np.zeros_like(far)
        spoken[12 * RATE : 12 * RATE + len(near)] = near
        both, _ = run(make(wanted), heard + spoken, far)
        part = slice(12 * RATE, 12 * RATE + len(near))
        figures = [less(heard, left, start, end) for start, end in ((1, 3), (8, 12), (18, 24))]
        print(f"{room:22} {figures[0]:10.1f} {figures[1]:7.1f} {figures[2]:8.1f} {quality(spoken[part], both[part]):>11} "
              f"{quality(spoken[part], (heard + spoken)[part]):>9} {np.median(took) * 1e6:9.0f}")
    alone = np.concatenate((near, near))
    left, _ = run(make(wanted), alone + hiss(len(alone), -75), np.zeros_like(alone))
    print(f"nobody at the far end: PESQ {quality(alone, left)}")


def noise(name: str, make: Make) -> None:
    """Measure noise suppression."""
    wanted = VoiceProcessing(noise_suppression=True)
    clean = speech("en-us", FAR)
    print(f"\n{name}: noise suppression\n{'noise':>8} {'as it is':>9} {'PESQ':>6} {'noise less by':>14} {'µs/20 ms':>9}")
    for level in (-50, -45, -40):
        added = hiss(len(clean), level)
        made, took = run(make(wanted), clean + added, np.zeros_like(clean))
        quiet, _ = run(make(wanted), added, np.zeros_like(clean))
        print(f"{level:5} dB {quality(clean, clean + added):>9} {quality(clean, made):>6} {less(added, quiet, 4, 12):11.1f} dB "
              f"{np.median(took) * 1e6:9.0f}")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--webrtc", action="store_true")
    parser.add_argument("--noise", action="store_true")
    options = parser.parse_args()
    makers: dict[str, Make] = {"offhook": lambda wanted: _made("own", wanted)}
    if options.webrtc:
        makers["WebRTC (livekit)"] = lambda wanted: _made("webrtc", wanted)
    for name, make in makers.items():
        echo(name, make)
        if options.noise:
            noise(name, make)


def _made(engine: str, wanted: VoiceProcessing) -> Voice:
    voice = make_voice(RATE, wanted, None, engine)
    assert voice is not None
    return voice


if __name__ == "__main__":
    main()
