"""Faster and slower: the pitch stays, nothing clicks."""

from __future__ import annotations

import math
import random
from array import array

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.media.lateness import BLOCKS, FIRST_S, LEAST_S, Lateness
from offhook.media.stretch import lengthen, shorten, with_twice, without


def tone(rate: int, count: int, hz: float = 150.0) -> array[int]:
    return array("h", [round(9000 * math.sin(math.tau * hz * place / rate)) for place in range(count)])


def bend(sound: bytes) -> int:
    samples = array("h", sound)
    return max(abs(samples[at + 1] - 2 * samples[at] + samples[at - 1]) for at in range(1, len(samples) - 1))


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("hz", [90.0, 150.0, 233.0])
def test_a_tone_becomes_shorter_and_longer_by_whole_periods(rate: int, hz: float) -> None:
    piece = tone(rate, rate // 25, hz).tobytes()
    for changed in (shorten(piece, rate), lengthen(piece[: len(piece) // 2 + rate // 100 * 2], rate)):
        if hz == 90.0 and changed is None:
            continue  # a single frame does not hold two of its periods
        assert changed is not None
        assert bend(changed) <= 1.3 * bend(piece) + 2
    shorter = shorten(piece, rate)
    assert shorter is not None
    periods = (len(piece) - len(shorter)) / 2 * hz / rate
    assert periods == pytest.approx(round(periods), abs=0.03)


def test_what_has_no_period_is_only_changed_by_force() -> None:
    chance = random.Random(2)
    noise = array("h", [round(chance.gauss(0, 3000)) for _ in range(320)]).tobytes()
    assert shorten(noise, 8000) is None
    assert lengthen(noise[:320], 8000) is None
    shorter, longer = shorten(noise, 8000, force=True), lengthen(noise[:320], 8000, force=True)
    assert shorter is not None
    assert longer is not None
    assert 320 <= len(shorter) < 640
    assert len(longer) > 320
    assert shorten(noise[:340], 8000, force=True) is None, "a frame has to be left"


@given(st.integers(0, 2**32), st.sampled_from([8000, 16000, 48000]), st.sampled_from([1, 2]))
@example(5754, 16000, 1)  # its period is two samples longer than what may be left out
def test_lengths_add_up(seed: int, rate: int, grain: int) -> None:
    chance = random.Random(seed)
    frame = rate // 50
    piece = chance.randbytes(2 * chance.randrange(frame, 2 * frame))
    lag = chance.randrange(1, frame // 2)
    assert len(with_twice(piece, lag, rate)) == len(piece) + 2 * lag
    double = chance.randbytes(4 * frame)
    assert len(without(double, frame, rate)) == 2 * frame
    for changed in (shorten(piece, rate, grain, force=True), lengthen(piece, rate, grain, force=True)):
        assert changed is None or len(changed) >= 2 * frame
        assert changed is None or (len(changed) - len(piece)) // 2 % grain == 0


def test_lateness_rises_at_once_and_falls_within_seconds() -> None:
    lateness = Lateness()
    assert lateness.peak == FIRST_S
    for _ in range(8):
        lateness.late(0.100)
    assert lateness.peak > 0.099
    for _ in range(BLOCKS):
        lateness.review(0.100)
    assert lateness.peak == pytest.approx(0.100, abs=0.001)
    for _ in range(2 * BLOCKS):
        lateness.review(0.0)
    assert lateness.peak == pytest.approx(LEAST_S, abs=0.001)


def test_a_single_late_block_is_forgotten_at_once() -> None:
    lateness = Lateness()
    for _ in range(BLOCKS):
        lateness.review(0.010)
    lateness.late(0.200)
    assert lateness.peak > 0.100
    lateness.review(0.200)
    for _ in range(10):
        lateness.review(0.010)
    assert lateness.peak == pytest.approx(0.010, abs=0.010)


def test_an_earlier_packet_makes_all_others_later() -> None:
    lateness = Lateness()
    for _ in range(BLOCKS):
        lateness.review(0.020)
    lateness.move(0.030)
    assert lateness.peak == pytest.approx(0.050, abs=0.001)
    lateness.review(0.050)
    assert lateness.peak == pytest.approx(0.050, abs=0.001)
