"""Frames at other rates: the tone stays, images and aliases go, frames join without a seam, with numpy and without."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from itertools import pairwise

import pytest

from offhook.media import rates
from offhook.media.rates import Changer, Filter, fast_filter, plain_filter, ratio_of
from offhook.testing import ears

RATIOS = (2, 3, 6)
LOUD = 16000


def sine(frequency: float, rate: int, seconds: float = 0.6, amplitude: int = LOUD) -> bytes:
    step = math.tau * frequency / rate
    return array("h", (round(amplitude * math.sin(step * place)) for place in range(int(rate * seconds)))).tobytes()


@pytest.fixture(params=["fast", "plain"])
def make(request: pytest.FixtureRequest) -> Callable[[int, bool], Filter]:
    if request.param == "fast":
        pytest.importorskip("numpy")
    maker = fast_filter if request.param == "fast" else plain_filter
    return lambda ratio, up: maker(ratio, up=up)


def changed(audio: bytes, ratio: int, up: bool, make: Callable[[int, bool], Filter]) -> bytes:
    one = make(ratio, up)
    changer = Changer(ratio, up=up, make=lambda: one)
    size = 320 if up else 320 * ratio
    return b"".join(changer.feed(audio[start:start + size]) for start in range(0, len(audio) - size + 1, size))


def amplitude(audio: bytes, frequency: float, rate: int) -> float:
    """Return the amplitude at a frequency over the middle half second, with a window that hides what is 90 dB off."""
    samples = array("h", audio)
    start = (len(samples) - rate // 2) // 2
    total = 0j
    weights = 0.0
    for place in range(rate // 2):
        turn = math.tau * place / (rate // 2)
        weight = 0.42 - 0.5 * math.cos(turn) + 0.08 * math.cos(2 * turn)
        angle = math.tau * frequency * place / rate
        total += weight * samples[start + place] * complex(math.cos(angle), -math.sin(angle))
        weights += weight
    return 2 * abs(total) / weights


def decibels(audio: bytes, frequency: float, rate: int) -> float:
    return 20 * math.log10(max(amplitude(audio, frequency, rate), 1e-3) / LOUD)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("frequency", [440, 3300])
def test_upwards_there_are_no_images(ratio: int, frequency: int, make: Callable[[int, bool], Filter]) -> None:
    rate = 8000 * ratio
    audio = changed(sine(frequency, 8000), ratio, True, make)
    assert len(audio) == 30 * 320 * ratio
    assert decibels(audio, frequency, rate) == pytest.approx(0.0, abs=0.1)
    images = [8000 * times + sign * frequency for times in range(1, ratio) for sign in (-1, 1)]
    for image in [image for image in images if image < rate / 2]:
        assert decibels(audio, image, rate) < -60


@pytest.mark.parametrize("ratio", RATIOS)
def test_downwards_the_tone_stays(ratio: int, make: Callable[[int, bool], Filter]) -> None:
    audio = changed(sine(440, 8000 * ratio), ratio, False, make)
    assert len(audio) == 30 * 320
    assert ears.dominant_frequency(audio) == pytest.approx(440, abs=0.5)
    assert decibels(audio, 440, 8000) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("frequency", [4500, 5000, 7000])
def test_downwards_there_are_no_aliases(ratio: int, frequency: int, make: Callable[[int, bool], Filter]) -> None:
    audio = changed(sine(frequency, 8000 * ratio), ratio, False, make)
    assert ears.level_dbfs(audio[640:]) < -60


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("up", [True, False])
def test_frames_join_without_a_seam(ratio: int, up: bool, make: Callable[[int, bool], Filter]) -> None:
    """A click at a seam would be a step larger than a sine of this frequency can make."""
    rate_out = 8000 * ratio if up else 8000
    samples = array("h", changed(sine(440, 8000 if up else 8000 * ratio), ratio, up, make))[400:]
    steepest = max(abs(after - before) for before, after in pairwise(samples))
    assert steepest <= LOUD * math.tau * 440 / rate_out * 1.02 + 2


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("up", [True, False])
def test_the_delay_is_two_milliseconds(ratio: int, up: bool, make: Callable[[int, bool], Filter]) -> None:
    rate_in, rate_out = (8000, 8000 * ratio) if up else (8000 * ratio, 8000)
    # A hump 4 ms wide, its middle at 10 ms.
    frame = array("h", (
        round(LOUD * max(0.0, math.cos(math.tau * (place / rate_in - 0.010) / 0.008))) if abs(place / rate_in - 0.010) < 0.002
        else 0 for place in range(rate_in // 50)
    ))
    silence = bytes(2 * len(frame))
    audio = array("h", changed(frame.tobytes() + silence, ratio, up, make))
    moment = sum(place * sample for place, sample in enumerate(audio)) / sum(audio) / rate_out
    assert moment == pytest.approx(0.012, abs=0.0002)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("up", [True, False])
def test_both_ways_give_the_same_and_may_take_turns(ratio: int, up: bool) -> None:
    pytest.importorskip("numpy")
    filters = [fast_filter(ratio, up=up), plain_filter(ratio, up=up)]
    count = 0

    def alternating() -> Filter:
        nonlocal count
        count += 1
        return filters[count % 2]

    audio = sine(1000, 8000 if up else 8000 * ratio, 0.2)
    size = 320 if up else 320 * ratio
    mixed = Changer(ratio, up=up, make=alternating)
    made = array("h", b"".join(mixed.feed(audio[start:start + size]) for start in range(0, len(audio), size)))
    whole = array("h", changed(audio, ratio, up, lambda _ratio, _up: filters[0]))
    assert max(abs(one - other) for one, other in zip(made, whole, strict=True)) <= 4


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("up", [True, False])
def test_full_scale_is_clipped_and_does_not_wrap(ratio: int, up: bool, make: Callable[[int, bool], Filter]) -> None:
    wide = 1 if up else ratio
    soft, loud = (array("h", ([top] * 20 * wide + [-top] * 20 * wide) * 40).tobytes() for top in (8000, 32000))
    expected = [max(-32768, min(32767, 4 * sample)) for sample in array("h", changed(soft, ratio, up, make))]
    heard = array("h", changed(loud, ratio, up, make))
    assert 32767 in heard
    assert max(abs(one - other) for one, other in zip(heard, expected, strict=True)) <= 16


def test_silence_costs_nothing_and_tails_come_out() -> None:
    fed = 0
    inner = plain_filter(2, up=True)

    def counted(samples: bytes) -> bytes:
        nonlocal fed
        fed += 1
        return inner(samples)

    changer = Changer(2, up=True, make=lambda: counted)
    assert changer.feed(bytes(320)) == bytes(640)
    assert (fed, changer.at_rest) == (0, True)
    changer.feed(sine(440, 8000, 0.02))
    assert not changer.at_rest
    tail = changer.feed(bytes(320))
    assert any(tail)
    assert not any(tail[-200:])
    assert (fed, changer.at_rest) == (2, True)
    assert changer.feed(bytes(320)) == bytes(640)
    assert fed == 2


def test_what_a_filter_remembers() -> None:
    assert rates.tail_bytes(6, up=True) == 2 * 31
    assert rates.tail_bytes(6, up=False) == 2 * 31 * 6


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_rates(rate: int) -> None:
    assert ratio_of(rate) * 8000 == rate


@pytest.mark.parametrize("rate", [0, -8000, 4000, 11025, 44100, 96000, 8001])
def test_impossible_rates(rate: int) -> None:
    with pytest.raises(ValueError):
        ratio_of(rate)
