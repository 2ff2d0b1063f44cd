"""Periods, and going on with a sound."""

from __future__ import annotations

import math
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.media import pcm, pitch


def tone(hz: float, rate: int, count: int, start: int = 0) -> array[int]:
    return array("h", [round(9000 * math.sin(math.tau * hz * (start + place) / rate)) for place in range(count)])


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("hz", [70.0, 110.0, 180.0, 240.0, 440.0])
def test_the_period_of_a_tone_is_found_or_some_of_it(rate: int, hz: float) -> None:
    lag = pitch.period(tone(hz, rate, rate // 25), rate)
    assert 1000 * lag / rate + 0.2 >= pitch.SHORTEST_MS
    assert lag <= pitch.LONGEST_MS * rate / 1000 + 6
    periods = round(lag * hz / rate)
    assert periods >= 1
    assert lag == pytest.approx(periods * rate / hz, abs=1.0)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_tone_goes_on_as_it_was(rate: int) -> None:
    past, count = rate * 6 // 100, rate // 50
    made = pitch.continued(tone(200.0, rate, past), count, rate)
    exact = tone(200.0, rate, count, past)
    error = array("h", [one - other for one, other in zip(made, exact, strict=True)])
    assert pcm.rms(error.tobytes()) < 0.05 * pcm.rms(exact.tobytes())


def test_the_fit_is_the_least_difference_not_the_opposite() -> None:
    sound = tone(100.0, 8000, 120)
    assert pcm.fit(sound.tobytes(), sound[60:100].tobytes()) == 60
    assert pcm.fit(bytes(200), bytes(20)) in range(91)


def test_fading_from_one_to_the_other_and_to_nothing() -> None:
    one, other = array("h", [1000] * 9), array("h", [-1000] * 9)
    assert list(pitch.fade(one, other)) == [800, 600, 400, 200, 0, -200, -400, -600, -800]
    assert list(pitch.ramp(one, 1.0, 0.0)) == [900, 800, 700, 600, 500, 400, 300, 200, 100]
    assert not pitch.fade(array("h"), array("h"))


@given(st.integers(0, 2**32), st.sampled_from([8000, 16000, 44100, 48000]), st.integers(1, 2000), st.sampled_from([10, 15]))
def test_any_sound_can_be_gone_on_with(seed: int, rate: int, count: int, longest_ms: int) -> None:
    chance = random.Random(seed)
    past = array("h", chance.randbytes(2 * (rate // 50 * (1 if longest_ms == 10 else 2))))
    made = pitch.continued(past, count, rate, longest_ms)
    assert len(made) == count
