"""What the microphone's cleaning is worth: echo taken away in rooms made of numbers, two who speak at once, and what it costs.

Run: python bench/bench_echo.py [--webrtc] [--noise] [--alone]. Speech is made by espeak-ng (a Debian package); quality is PESQ,
wide band (the extra quality; without it that column is empty). Steps and another room come at the tenth second; somebody speaks
from 12 to 22. With --webrtc the other canceller (the extra aec) is measured beside ours.
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
    """Return the sound as a clock hears it that goes wrong by so many millionths, whatever its pitch.

    Drawn straight between samples a sixteenth apart. Between those of 16 kHz that would take 3 dB from 4 kHz, now and
    then, and what is measured is the drawing.
    """
    count, finer = len(sound), 16
    spectrum = np.zeros(count * finer // 2 + 1, np.complex128)
    spectrum[: count // 2 + 1] = np.fft.rfft(sound) * finer
    places = np.arange(count) * finer * (1 + ppm * 1e-6)
    return np.interp(places, np.arange(count * finer), np.fft.irfft(spectrum, count * finer)).astype(np.float32)


def jumping(sound: Samples, by: int) -> Samples:
    """Return the sound that comes from the tenth second on so many samples later, or earlier."""
    begin, count = 10 * RATE, len(sound)
    moved = np.concatenate((np.zeros(max(0, by), np.float32), sound[max(0, -by) :], np.zeros(max(0, -by), np.float32)))[:count]
    return np.concatenate((sound[:begin], moved[begin:]))


def hiss(count: int, level_db: float) -> Samples:
    """Return white noise."""
    return (10 ** (level_db / 20) * np.random.default_rng(7).standard_normal(count)).astype(np.float32)


def run(voice: Voice, heard: Samples, played: Samples) -> tuple[Samples, list[float]]:
    """Return what goes into calls, and the seconds of CPU each frame took."""
    made, took = [], []
    for start in range(0, len(heard) - FRAME + 1, FRAME):
        one, other = pcm(heard[start : start + FRAME]), pcm(played[start : start + FRAME])
        began = time.process_time()
        made.append(voice.process(one, other))
        took.append(time.process_time() - began)
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


def cases(far: Samples) -> dict[str, Samples]:
    """Return what a microphone hears of the loudspeaker in all rooms, with clocks, steps, distortion and noise."""
    heard = {room: through(far, way) for room, way in rooms(80).items()}
    office, hall = heard["office, 0.3 s"], heard["hall, 0.5 s"]
    heard["office, 250 ms late"] = through(far, dying(0.3, 250))
    heard |= {f"office, {ppm:+d} ppm": drifting(office, ppm) for ppm in (50, -50, 200, -200, 300)}
    heard["hall, +200 ppm"] = drifting(hall, 200)
    heard |= {f"office, jumps {ms:+d} ms": jumping(office, RATE * ms // 1000) for ms in (-44, 31, 250)}
    heard["another room"] = np.concatenate((office[: 10 * RATE], through(far, dying(0.3, 80, 9))[10 * RATE :]))
    loudest = float(np.abs(far).max())
    heard["distorted"] = through((np.tanh(1.5 * far / loudest) / 1.5 * loudest).astype(np.float32), dying(0.3, 80))
    return {room: sound + hiss(len(far), -75) for room, sound in heard.items()} | {"noise -45 dB": office + hiss(len(far), -45)}


def echo(name: str, make: Make, spoken_too: bool) -> None:
    """Measure a canceller in all rooms."""
    wanted = VoiceProcessing(echo_cancellation=True)
    far, near = speech("en-us", FAR), speech("en-gb+f3", NEAR)
    far = np.concatenate((far, far))[: 24 * RATE]
    near = near[: 10 * RATE]
    print(f"\n{name}")
    print(f"{'':22} {'ERLE in dB, seconds':>32}  {'PESQ of both':>12} {'as it is':>9} {'ms CPU/s':>9}")
    print(f"{'room':22} {'1-3':>7} {'8-10':>7} {'10.5-12':>8} {'18-24':>7}")
    for room, heard in cases(far).items():
        left, took = run(make(wanted), heard, far)
        figures = [less(heard, left, start, end) for start, end in ((1, 3), (8, 10), (10.5, 12), (18, 24))]
        print(f"{room:22} {figures[0]:7.1f} {figures[1]:7.1f} {figures[2]:8.1f} {figures[3]:7.1f}", end=" ")
        part = slice(12 * RATE, 12 * RATE + len(near))
        spoken = np.zeros_like(far)
        spoken[part] = near
        both = run(make(wanted), heard + spoken, far)[0] if spoken_too else None
        print(f"{quality(spoken[part], both[part]) if both is not None else '':>13} "
              f"{quality(spoken[part], (heard + spoken)[part]):>9} {1000 * sum(took) / (len(far) / RATE):9.1f}", flush=True)
    alone = np.concatenate((near, near))
    left, _ = run(make(wanted), alone + hiss(len(alone), -75), np.zeros_like(alone))
    print(f"nobody at the far end: PESQ {quality(alone, left)}")


def noise(name: str, make: Make) -> None:
    """Measure noise suppression."""
    wanted = VoiceProcessing(noise_suppression=True)
    clean = speech("en-us", FAR)
    print(f"\n{name}: noise suppression\n{'noise':>8} {'as it is':>9} {'PESQ':>6} {'noise less by':>14} {'ms CPU/s':>9}")
    for level in (-50, -45, -40):
        added = hiss(len(clean), level)
        made, took = run(make(wanted), clean + added, np.zeros_like(clean))
        quiet, _ = run(make(wanted), added, np.zeros_like(clean))
        print(f"{level:5} dB {quality(clean, clean + added):>9} {quality(clean, made):>6} {less(added, quiet, 4, 12):11.1f} dB "
              f"{1000 * sum(took) / (len(clean) / RATE):9.1f}")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--webrtc", action="store_true")
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("--alone", action="store_true", help="nobody speaks at the phone: half the time, no PESQ")
    options = parser.parse_args()
    makers: dict[str, Make] = {"offhook": lambda wanted: _made("own", wanted)}
    if options.webrtc:
        makers["WebRTC (livekit)"] = lambda wanted: _made("webrtc", wanted)
    for name, make in makers.items():
        echo(name, make, not options.alone)
        if options.noise:
            noise(name, make)


def _made(engine: str, wanted: VoiceProcessing) -> Voice:
    voice = make_voice(RATE, wanted, None, engine)
    assert voice is not None
    return voice


if __name__ == "__main__":
    main()
