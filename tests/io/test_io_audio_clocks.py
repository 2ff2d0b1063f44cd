"""Microphone and loudspeaker with clocks of their own, callbacks, rings and the canceller between: the echo goes."""

from __future__ import annotations

from typing import Any

import pytest

from offhook.io.audio.ends import Speaker
from offhook.io.audio.rings import Capture, Playout, Reference, Ring
from offhook.media.messages.card import VoiceProcessing
from offhook.media.voice.chain import OwnVoice

numpy = pytest.importorskip("numpy")
RATE, FRAME, SECONDS = 16_000, 320, 24


def syllables() -> Any:
    """Return coloured noise in syllables, 24 s."""
    random = numpy.random.default_rng(5)
    white = random.standard_normal(SECONDS * RATE)
    coloured = numpy.convolve(white, numpy.exp(-numpy.arange(32) / 6), "same")
    loud = numpy.repeat(random.choice([0.02, 0.5, 1.0], SECONDS * 5), RATE // 5)
    return (0.03 * coloured * loud).astype(numpy.float32)


def played(far: bytes, ppm: int, microphone: Any) -> tuple[Any, Any, list[int]]:
    """Run everything: a tick each 20 ms, a loudspeaker that is faster by `ppm`, a microphone that hears this (None: nothing).

    Return what the loudspeaker was given, what goes into calls, and the steps that the reference told.
    """
    ring, reference, capture = Ring(RATE), Reference(RATE), Capture(RATE)
    speaker = Speaker(Playout(ring, RATE))
    speaker.reference = reference
    voice = OwnVoice(RATE, VoiceProcessing(echo_cancellation=True))
    given, made, steps = [], [], []
    pulls, pushes = 0, 0
    for millisecond in range(1000 * SECONDS):
        if millisecond % 20 == 0:
            ring.write(far[32 * millisecond : 32 * millisecond + 640])
            if microphone is not None and (got := capture.read()) is not None:
                beside = reference.beside(capture.ring, got[1], FRAME)
                if beside.fresh:
                    voice.restart()
                steps += [beside.moved] if beside.moved else []
                made.append(voice.process(got[0], beside.samples, beside.moved))
        if pulls * 160 < millisecond * 16 * (1 + ppm * 1e-6):  # each 10 ms of its own clock
            given.append(speaker.pull(160))
            pulls += 1
        if microphone is not None and pushes * 160 <= millisecond * 16 - 160:
            capture.ring.write(microphone[320 * pushes : 320 * pushes + 320])
            pushes += 1
    return b"".join(given), b"".join(made), steps


def decibels(pcm: bytes, start: int) -> float:
    """Return the level from this second on."""
    samples = numpy.frombuffer(pcm, "<i2").astype(numpy.float64)[start * RATE :] / 32768
    return float(10 * numpy.log10((samples**2).mean() + 1e-12))


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [0, 300, -450])
def test_the_echo_goes_through_rings_and_clocks(ppm: int) -> None:
    far = numpy.rint(syllables() * 32768).astype("<i2").tobytes()
    given, _, _ = played(far, ppm, None)
    # A room 60 ms away, heard by the microphone's clock.
    random = numpy.random.default_rng(1)
    way = numpy.concatenate((numpy.zeros(960), random.standard_normal(2400) * 10 ** (-3 * numpy.arange(2400) / 3200)))
    way *= 0.4 / numpy.sqrt((way**2).sum())
    size = 1 << 20
    spectrum = numpy.fft.rfft(numpy.frombuffer(given, "<i2").astype(numpy.float64), size) * numpy.fft.rfft(way, size)
    finer = numpy.fft.irfft(numpy.concatenate((spectrum * 8, numpy.zeros(size * 8 // 2 - size // 2))), size * 8)
    places = numpy.arange(SECONDS * RATE) * (1 + ppm * 1e-6) * 8
    heard = numpy.interp(places, numpy.arange(size * 8), finer) + 3 * random.standard_normal(SECONDS * RATE)
    pcm = numpy.rint(heard).astype("<i2").tobytes()
    again, made, steps = played(far, ppm, pcm)
    assert again == given
    assert bool(steps) == (ppm < 0)  # a slower loudspeaker makes the reference step in the midst of it
    assert decibels(pcm, 12) - decibels(made, 12) > 25
