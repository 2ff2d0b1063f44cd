"""Two devices with two clocks: how far they run apart is measured, and the echo goes all the same."""

from __future__ import annotations

import pytest
from rooms import RATE, cleaned, decibels, drifting, hiss, numpy, room, talker, through

from offhook.media.messages.card import VoiceProcessing
from offhook.media.voice.chain import OwnVoice

ECHO = VoiceProcessing(echo_cancellation=True)


@pytest.mark.lengthy
@pytest.mark.parametrize("ppm", [200, -200])
def test_a_drift_is_measured(ppm: int) -> None:
    far = talker(6, 1)
    heard = drifting(through(far, room(0.1, 80)), ppm) + hiss(len(far), -75)
    voice = OwnVoice(RATE, ECHO)
    left = cleaned(heard, far, ECHO, voice)
    assert voice.drift_ppm == pytest.approx(-ppm, abs=20)
    assert decibels(heard, 4) - decibels(left, 4) > 25


@pytest.mark.slow
@pytest.mark.parametrize(("reverberation", "ppm"), [(0.3, 50), (0.3, -50), (0.3, 200), (0.3, -200), (0.5, 200), (0.3, 300)])
def test_an_echo_of_another_clock_goes(reverberation: float, ppm: int) -> None:
    far = talker(14, 1)
    heard = drifting(through(far, room(reverberation, 80)), ppm) + hiss(len(far), -75)
    voice = OwnVoice(RATE, ECHO)
    left = cleaned(heard, far, ECHO, voice)
    assert decibels(heard, 8) - decibels(left, 8) > 30
    assert voice.drift_ppm == pytest.approx(-ppm, abs=10)


@pytest.mark.slow
def test_no_drift_is_seen_in_somebody_who_speaks() -> None:
    far, near = talker(12, 1), talker(12, 2, 210.0)
    near[: 6 * RATE] = 0
    heard = through(far, room(0.3, 80)) + near + hiss(len(far), -75)
    voice = OwnVoice(RATE, ECHO)
    cleaned(heard, far, ECHO, voice)
    assert abs(voice.drift_ppm) < 15


@pytest.mark.lengthy
def test_what_is_said_alone_moves_nothing() -> None:
    near = talker(2, 2)
    voice = OwnVoice(RATE, ECHO)
    cleaned(near, numpy.zeros_like(near), ECHO, voice)
    assert voice.drift_ppm == 0.0
