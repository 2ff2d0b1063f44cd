"""Other sample rates: the tone stays, its level stays, what cannot be carried goes."""

from __future__ import annotations

import math
from array import array

import pytest

from offhook.media.resample import Linear, resample, resampler
from offhook.testing import ears


def sine(frequency: float, rate: int, seconds: float = 0.5) -> bytes:
    step = math.tau * frequency / rate
    return array("h", (round(16000 * math.sin(step * place)) for place in range(int(rate * seconds)))).tobytes()


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 44101, 48000])
def test_tone_survives(rate: int) -> None:
    pytest.importorskip("numpy")
    audio = resample(sine(1000, rate), rate, 8000)
    assert abs(len(audio) // 2 - 4000) <= 1
    assert abs(ears.dominant_frequency(audio) - 1000) < 1
    assert ears.level_dbfs(audio[800:-800]) == pytest.approx(-6.23, abs=0.1)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(8000, 16000), (16000, 8000), (44100, 8000), (8000, 48000)])
def test_all_that_a_telephone_carries_stays_as_loud(rate_in: int, rate_out: int) -> None:
    pytest.importorskip("numpy")
    audio = resample(sine(3400, rate_in), rate_in, rate_out)
    assert ears.level_dbfs(audio[1600:-1600]) == pytest.approx(-6.23, abs=0.1)


@pytest.mark.lengthy
def test_upwards() -> None:
    assert abs(ears.dominant_frequency(resample(sine(1000, 8000), 8000, 48000), 48000) - 1000) < 2


@pytest.mark.parametrize("frequency", [5000, 7000, 12000, 20000])
def test_no_aliases(frequency: int) -> None:
    pytest.importorskip("numpy")
    assert ears.level_dbfs(resample(sine(frequency, 48000), 48000, 8000)[800:-800]) < -80


@pytest.mark.parametrize("rate", [11025, 44100, 48000])
def test_pieces_give_what_the_whole_gives(rate: int) -> None:
    audio = sine(700, rate)
    stream = resampler(rate, 8000)
    pieces = [stream.feed(audio[start:start + 734]) for start in range(0, len(audio), 734)]
    assert b"".join(pieces) + stream.flush() == resample(audio, rate, 8000)


def test_nothing_in_nothing_out() -> None:
    assert resample(b"", 48000, 8000) == b""
    assert len(resample(b"\1\0", 48000, 8000)) <= 2


def test_without_numpy() -> None:
    stream = Linear(16000, 8000)
    audio = stream.feed(sine(500, 16000)) + stream.flush()
    assert abs(len(audio) // 2 - 4000) <= 1
    assert abs(ears.dominant_frequency(audio) - 500) < 2


@pytest.mark.parametrize("rates", [(0, 8000), (8000, 10), (8000, 10**6)])
def test_impossible_rates(rates: tuple[int, int]) -> None:
    with pytest.raises(ValueError):
        resampler(*rates)
