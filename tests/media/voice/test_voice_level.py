"""Noise turned down, speech at an even level."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from rooms import FRAME, RATE, as_pcm, cleaned, decibels, hiss, numpy, spoken, talker

from offhook.media.messages.card import VoiceProcessing
from offhook.media.voice.chain import GainVoice
from offhook.media.voice.gain import MOST_UP, PEAK, TARGET_DB, GainControl, level_db

NOISE = VoiceProcessing(noise_suppression=True)


@pytest.mark.lengthy
def test_noise_is_turned_down_and_speech_is_not() -> None:
    speech = talker(6, 5)
    noise = hiss(len(speech), -45)
    silent = cleaned(noise, None, NOISE)
    assert decibels(noise, 3) - decibels(silent, 3) > 10
    both = cleaned(speech + noise, None, NOISE)
    assert abs(decibels(both, 3) - decibels(speech, 3)) < 1.5
    wrong_before, wrong_after = decibels(noise, 3), decibels(both - speech[: len(both)], 3)
    assert wrong_after < wrong_before - 3


@pytest.mark.lengthy
def test_speech_comes_to_one_level() -> None:
    speech = talker(30, 6)
    levels = [spoken(raised(speech * 10 ** ((level - spoken(speech)) / 20)), 20) for level in (-40, -30, -15)]
    assert max(levels) - min(levels) < 3
    assert sum(levels) / 3 == pytest.approx(TARGET_DB, abs=4)


@pytest.mark.lengthy
def test_what_is_very_quiet_is_raised_as_far_as_it_may_be() -> None:
    speech = talker(30, 6)
    speech *= 10 ** ((-52 - spoken(speech)) / 20)
    assert spoken(raised(speech), 20) == pytest.approx(-52 + MOST_UP, abs=3)


def raised(speech: Any) -> Any:
    control = GainControl()
    made = b"".join(control.process(as_pcm(speech[start : start + FRAME])) for start in range(0, len(speech), FRAME))
    return numpy.frombuffer(made, "<i2").astype(numpy.float32) / 32768


def test_silence_and_noise_are_not_raised() -> None:
    control = GainControl()
    noise = as_pcm(hiss(10 * RATE, -50))
    for start in range(0, len(noise), 640):
        control.process(noise[start : start + 640])
        control.process(bytes(640))
    assert control.gain_db < 1.0


def test_a_sudden_peak_is_limited() -> None:
    control = GainControl()
    control.gain_db = 20.0
    frame = control.process(struct.pack("<hh", 30_000, -30_000) * 160)
    assert max(map(abs, struct.unpack("<320h", frame))) <= PEAK + 1


def test_a_gain_that_is_left_goes_back_without_a_step() -> None:
    control = GainControl()
    frame = struct.pack("<hh", 1000, 1000) * 160
    control.gain_db = 12.0
    control.process(frame)
    loud = struct.unpack("<320h", control.process(frame))
    assert loud[0] > 3500
    left = struct.unpack("<320h", control.leave(frame))
    assert left[0] == pytest.approx(loud[-1], abs=15)
    assert left[-1] == pytest.approx(1000, abs=15)
    assert max(abs(left[place] - left[place + 1]) for place in range(319)) < 15
    assert control.leave(frame) is frame


def test_levels() -> None:
    assert level_db(bytes(640)) == -96.0
    assert level_db(struct.pack("<hh", 32767, -32767) * 160) == pytest.approx(0.0, abs=0.01)
    assert GainVoice().process(bytes(640), None) == bytes(640)
