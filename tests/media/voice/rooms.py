"""Rooms and voices for tests of voice processing: made of numbers, the same each time."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest

from offhook.media.messages.card import VoiceProcessing
from offhook.media.voice.chain import OwnVoice

numpy = pytest.importorskip("numpy")
Samples: TypeAlias = Any
"""An array of 32-bit floats from -1 to 1; numpy need not be installed."""
RATE = 16_000
FRAME = 320


def talker(seconds: float, seed: int, pitch: float = 120.0) -> Samples:
    """Return something like speech: a buzz with moving formants, in syllables with pauses; samples from -1 to 1."""
    random = numpy.random.default_rng(seed)
    count = int(seconds * RATE)
    glide = pitch * (1 + 0.1 * numpy.sin(2 * numpy.pi * (0.5 + 0.13 * seed) * numpy.arange(count) / RATE + seed))
    phase = numpy.cumsum(glide) / RATE
    buzz = (phase % 1.0) - 0.5 + 0.1 * random.standard_normal(count)
    made = numpy.zeros(count)
    syllable = RATE // 5 + 97 * seed
    for start in range(0, count, syllable):
        piece = buzz[start : start + syllable]
        loud = random.choice([0.0, 0.3, 0.7, 1.0])
        spectrum = numpy.fft.rfft(piece)
        hertz = numpy.fft.rfftfreq(len(piece), 1 / RATE)
        shape = sum(numpy.exp(-(((hertz - formant) / 250) ** 2)) for formant in random.uniform(300, 3500, 3)) + 0.02
        made[start : start + len(piece)] = loud * numpy.fft.irfft(spectrum * shape, len(piece)) * numpy.hanning(len(piece))
    made *= 10 ** ((-20 - spoken(made)) / 20)
    return numpy.clip(made, -0.9, 0.9).astype(numpy.float32)


def room(reverberation: float, delay_ms: int, loss: float = 0.5, seed: int = 1) -> Samples:
    """Return the way from loudspeaker to microphone: a delay, a first wave, noise that dies away by 60 dB in this time."""
    random = numpy.random.default_rng(seed)
    count = int(1.2 * reverberation * RATE)
    tail = random.standard_normal(count) * 10 ** (-3 * numpy.arange(count) / RATE / reverberation)
    tail[0] = 4.0
    tail *= loss / numpy.sqrt((tail**2).sum())
    return numpy.concatenate((numpy.zeros(RATE * delay_ms // 1000), tail)).astype(numpy.float32)


def through(sound: Samples, way: Samples) -> Samples:
    """Return the sound as it arrives."""
    size = 1 << (len(sound) + len(way)).bit_length()
    made = numpy.fft.irfft(numpy.fft.rfft(sound, size) * numpy.fft.rfft(way, size), size)
    return made[: len(sound)].astype(numpy.float32)


def tone(seconds: float, hertz: float, loud: float = 0.5) -> Samples:
    """Return a sine."""
    return (loud * numpy.sin(2 * numpy.pi * hertz * numpy.arange(int(seconds * RATE)) / RATE)).astype(numpy.float32)


def drifting(sound: Samples, ppm: float) -> Samples:
    """Return the sound as a clock hears it that is so many millionths slower than ours, whatever its pitch.

    Drawn straight between samples a sixteenth apart: between those of 16 kHz that would take away 3 dB at 4 kHz, now and then.
    """
    count, finer = len(sound), 16
    spectrum = numpy.zeros(count * finer // 2 + 1, numpy.complex128)
    spectrum[: count // 2 + 1] = numpy.fft.rfft(sound) * finer
    places = numpy.arange(count) * finer
    made = numpy.interp(places * (1 + ppm * 1e-6), numpy.arange(count * finer), numpy.fft.irfft(spectrum, count * finer))
    return made.astype(numpy.float32)


def hiss(count: int, level_db: float, seed: int = 7) -> Samples:
    """Return white noise."""
    return (10 ** (level_db / 20) * numpy.random.default_rng(seed).standard_normal(count)).astype(numpy.float32)


def cleaned(
    heard: Samples, played: Samples | None, wanted: VoiceProcessing, voice: OwnVoice | None = None
) -> Samples:
    """Return the microphone's sound as it goes into calls, moved back by the 10 ms it takes."""
    voice = voice or OwnVoice(RATE, wanted)
    made = []
    for start in range(0, len(heard) - FRAME + 1, FRAME):
        frame = as_pcm(heard[start : start + FRAME])
        made.append(voice.process(frame, None if played is None else as_pcm(played[start : start + FRAME])))
    return numpy.frombuffer(b"".join(made), "<i2")[FRAME // 2 :].astype(numpy.float32) / 32768


def as_pcm(samples: Samples) -> bytes:
    """Return 16-bit samples."""
    return bytes(numpy.clip(samples * 32768, -32768, 32767).astype("<i2").tobytes())


def spoken(sound: Samples, start: float = 0.0) -> float:
    """Return the level of the frames in which somebody speaks: those less than 16 dB below the loudest (as P.56 has it)."""
    part = sound[int(start * RATE) :]
    power = (part[: len(part) // FRAME * FRAME].reshape(-1, FRAME) ** 2).mean(axis=1)
    return float(10 * numpy.log10(power[power > power.max() / 40].mean() + 1e-12))


def decibels(sound: Samples, start: float = 0.0, end: float | None = None) -> float:
    """Return the level between two moments in seconds."""
    part = sound[int(start * RATE) : None if end is None else int(end * RATE)]
    return float(10 * numpy.log10((part**2).mean() + 1e-12))
