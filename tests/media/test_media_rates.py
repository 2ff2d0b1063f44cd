"""Frames at other rates: the tone stays, images and aliases go, frames join without a seam, with numpy and without."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy
import pytest

from offhook.media import rates
from offhook.media.rates import Changer, Filter, Rates, Shares, fast_filter, link_rate, plain_filter
from offhook.media.sources import SILENCE, solid
from offhook.testing import ears

RATES = (8000, 16000, 24000, 48000)
UP = [(low, high) for low in RATES for high in RATES if low < high]
DOWN = [(high, low) for low, high in UP]
LOUD = 16000


def sine(frequency: float, rate: int, seconds: float = 0.6, amplitude: int = LOUD) -> bytes:
    places = numpy.arange(int(rate * seconds))
    return bytes(numpy.rint(amplitude * numpy.sin(math.tau * frequency / rate * places)).astype(numpy.int16).tobytes())


@pytest.fixture(params=["fast", "plain"])
def make(request: pytest.FixtureRequest) -> Callable[[int, int], Filter]:
    return made_once(fast_filter if request.param == "fast" else plain_filter)


@cache
def made_once(make: Callable[[int, int], Filter]) -> Callable[[int, int], Filter]:
    """Return the same with a memory: a filter knows nothing of the frame before, and its weights take long to find."""
    return cache(make)


def changed(audio: bytes, rate_in: int, rate_out: int, make: Callable[[int, int], Filter]) -> bytes:
    one = make(rate_in, rate_out)
    changer = Changer(rate_in, rate_out, lambda: one)
    size = rate_in // 25
    return b"".join(solid(changer.feed(audio[start:start + size]), rate_out) for start in range(0, len(audio) - size + 1, size))


def amplitude(audio: bytes, frequency: float, rate: int) -> float:
    """Return the amplitude at a frequency over the middle half second, with a window that hides what is 90 dB off."""
    samples = numpy.frombuffer(audio, numpy.int16)
    start = (len(samples) - rate // 2) // 2
    places = numpy.arange(rate // 2)
    turns = math.tau * places / (rate // 2)
    weights = 0.42 - 0.5 * numpy.cos(turns) + 0.08 * numpy.cos(2 * turns)
    heard, angles = weights * samples[start : start + rate // 2], math.tau * frequency / rate * places
    total = math.hypot(numpy.dot(heard, numpy.cos(angles)), numpy.dot(heard, numpy.sin(angles)))
    return float(2 * total / weights.sum())


def decibels(audio: bytes, frequency: float, rate: int) -> float:
    return 20 * math.log10(max(amplitude(audio, frequency, rate), 1e-3) / LOUD)


@pytest.mark.parametrize(("low", "high"), UP)
@pytest.mark.parametrize("share", [0.055, 0.4125])
def test_upwards_there_are_no_images(low: int, high: int, share: float, make: Callable[[int, int], Filter]) -> None:
    frequency = int(share * low)  # 440 and 3300 of 8000
    audio = changed(sine(frequency, low), low, high, make)
    assert len(audio) == 30 * high // 25
    assert decibels(audio, frequency, high) == pytest.approx(0.0, abs=0.1)
    images = [low * times + sign * frequency for times in range(1, high // low + 1) for sign in (-1, 1)]
    for image in [image for image in images if image < high / 2]:
        assert decibels(audio, image, high) < -60


@pytest.mark.parametrize(("high", "low"), DOWN)
def test_downwards_the_tone_stays(high: int, low: int, make: Callable[[int, int], Filter]) -> None:
    audio = changed(sine(440, high), high, low, make)
    assert len(audio) == 30 * low // 25
    assert ears.dominant_frequency(audio, low) == pytest.approx(440, abs=0.5)
    assert decibels(audio, 440, low) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(("high", "low"), DOWN)
@pytest.mark.parametrize("share", [0.5625, 0.625, 0.73])
def test_downwards_there_are_no_aliases(high: int, low: int, share: float, make: Callable[[int, int], Filter]) -> None:
    audio = changed(sine(share * low, high), high, low, make)  # 4500, 5000, 5840 of 8000
    assert ears.level_dbfs(audio[2 * low // 25:]) < -60


@pytest.mark.parametrize(("rate_in", "rate_out"), UP + DOWN)
def test_frames_join_without_a_seam(rate_in: int, rate_out: int, make: Callable[[int, int], Filter]) -> None:
    """A click at a seam would be a step larger than a sine of this frequency can make."""
    samples = array("h", changed(sine(440, rate_in), rate_in, rate_out, make))[rate_out // 20:]
    steepest = max(abs(after - before) for before, after in pairwise(samples))
    assert steepest <= LOUD * math.tau * 440 / rate_out * 1.02 + 2


@pytest.mark.parametrize(("rate_in", "rate_out"), UP + DOWN)
def test_the_delay_is_half_a_filter(rate_in: int, rate_out: int, make: Callable[[int, int], Filter]) -> None:
    # A hump 4 ms wide, its middle at 10 ms.
    frame = array("h", (
        round(LOUD * max(0.0, math.cos(math.tau * (place / rate_in - 0.010) / 0.008))) if abs(place / rate_in - 0.010) < 0.002
        else 0 for place in range(rate_in // 50)
    ))
    silence = bytes(2 * len(frame))
    audio = array("h", changed(frame.tobytes() + silence, rate_in, rate_out, make))
    moment = sum(place * sample for place, sample in enumerate(audio)) / sum(audio) / rate_out
    assert moment == pytest.approx(0.010 + 16 / min(rate_in, rate_out), abs=0.0002)


@pytest.mark.parametrize(("rate_in", "rate_out"), UP + DOWN)
def test_both_ways_give_the_same_and_may_take_turns(rate_in: int, rate_out: int) -> None:
    filters = [fast_filter(rate_in, rate_out), plain_filter(rate_in, rate_out)]
    count = 0

    def alternating() -> Filter:
        nonlocal count
        count += 1
        return filters[count % 2]

    audio = sine(1000, rate_in, 0.2)
    size = rate_in // 25
    mixed = Changer(rate_in, rate_out, alternating)
    made = array("h", b"".join(mixed.feed(audio[start:start + size]) for start in range(0, len(audio), size)))
    whole = array("h", changed(audio, rate_in, rate_out, lambda _in, _out: filters[0]))
    assert max(abs(one - other) for one, other in zip(made, whole, strict=True)) <= 6


@pytest.mark.parametrize(("rate_in", "rate_out"), UP + DOWN)
def test_full_scale_is_clipped_and_does_not_wrap(rate_in: int, rate_out: int, make: Callable[[int, int], Filter]) -> None:
    wide = max(1, rate_in // rate_out)
    soft, loud = (array("h", ([top] * 20 * wide + [-top] * 20 * wide) * 60).tobytes() for top in (8000, 32000))
    expected = [max(-32768, min(32767, 4 * sample)) for sample in array("h", changed(soft, rate_in, rate_out, make))]
    heard = array("h", changed(loud, rate_in, rate_out, make))
    assert 32767 in heard
    assert max(abs(one - other) for one, other in zip(heard, expected, strict=True)) <= 16


@pytest.mark.lengthy
@pytest.mark.parametrize("other", [8000, 16000, 48000])
def test_rates_of_other_families_work_too(other: int, make: Callable[[int, int], Filter]) -> None:
    for rate_in, rate_out in ((44100, other), (other, 44100)):
        audio = changed(sine(440, rate_in), rate_in, rate_out, make)
        assert len(audio) == 30 * 2 * (rate_out // 50)
        assert ears.dominant_frequency(audio, rate_out) == pytest.approx(440, abs=0.5)


def test_silence_costs_nothing_and_tails_come_out() -> None:
    fed = 0
    inner = plain_filter(8000, 16000)

    def counted(samples: bytes) -> bytes:
        nonlocal fed
        fed += 1
        return inner(samples)

    changer = Changer(8000, 16000, lambda: counted)
    assert changer.feed(bytes(320)) is SILENCE
    assert fed == 0
    changer.feed(sine(440, 8000, 0.02))
    tail = changer.feed(SILENCE)
    assert any(tail)
    assert not any(tail[-200:])
    assert fed == 2
    assert changer.feed(bytes(320)) is SILENCE
    assert fed == 2


def test_a_sound_is_changed_once_a_tick_however_many_ask() -> None:
    fed = 0
    inner = plain_filter(16000, 8000)

    class Counted(Rates):
        def filter(self, rate_in: int, rate_out: int) -> Filter:
            nonlocal fed
            fed += 1
            return inner

    shares = Shares(Counted(lambda: False))
    frame = sine(440, 16000, 0.02)
    first = shares.at(frame, 16000, 8000)
    assert shares.at(frame, 16000, 8000) is first
    assert fed == 1
    shares.turn()
    assert shares.at(frame, 16000, 8000) != first, "what went before is remembered"
    assert fed == 2
    shares.turn()
    shares.turn()
    assert len(shares) == 0, "nobody asked in a tick: forgotten"
    assert shares.at(frame, 16000, 8000) == first


def test_what_a_filter_remembers() -> None:
    assert rates.tail_bytes(8000, 48000) == 2 * 31
    assert rates.tail_bytes(48000, 8000) == 2 * 31 * 6
    assert rates.tail_bytes(16000, 24000) == 2 * 32  # whole pairs


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_rates_of_links(rate: int) -> None:
    assert link_rate(rate) == rate


@pytest.mark.parametrize("rate", [0, -8000, 4000, 11025, 44100, 96000, 8001])
def test_impossible_rates_of_links(rate: int) -> None:
    with pytest.raises(ValueError):
        link_rate(rate)
