"""Comfort noise: level, colour, no seams, and its packets."""

from __future__ import annotations

import math
import sys
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.media import comfort, pcm
from offhook.media.comfort import Background, ComfortNoise
from offhook.testing.ids import SeededIds


def dbov(sound: bytes) -> float:
    return 20 * math.log10(pcm.rms(sound) / 32768)


def agreement(sound: bytes) -> float:
    """Return the correlation of neighbouring samples."""
    samples = array("h", sound)
    if sys.byteorder == "big":
        samples.byteswap()
    return sum(one * other for one, other in pairwise(samples)) / sum(sample * sample for sample in samples)


def noise(maker: ComfortNoise, level: float, frames: int = 50) -> bytes:
    return b"".join(maker.frame(level) for _ in range(frames))


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("level", [-25.0, -40.0, -60.0])
def test_the_level_is_the_one_asked_for(rate: int, level: float) -> None:
    maker = ComfortNoise(rate, SeededIds(1))
    assert len(maker.frame(level)) == rate // 25
    assert dbov(noise(maker, level)) == pytest.approx(level, abs=0.7)


def test_nothing_is_louder_than_a_background_or_raises() -> None:
    maker = ComfortNoise(8000, SeededIds(1))
    assert dbov(noise(maker, 0.0)) == pytest.approx(comfort.LOUDEST_DBOV, abs=0.5)
    assert pcm.rms(maker.frame(-1000.0)) <= 1


@pytest.mark.parametrize("reflection", [0.4, 0.0, -0.4])
def test_the_colour_is_the_one_described(reflection: float) -> None:
    maker = ComfortNoise(8000, SeededIds(2))
    maker.colour((reflection, 0.1))
    assert agreement(noise(maker, -40.0)) == pytest.approx(-reflection, abs=0.05)
    maker.colour(())
    assert agreement(noise(maker, -40.0)) > 0.3


def test_no_frame_comes_twice_and_the_same_chance_gives_the_same_noise() -> None:
    one, other = ComfortNoise(8000, SeededIds(3)), ComfortNoise(8000, SeededIds(3))
    frames = [one.frame(-40.0) for _ in range(100)]
    assert len(set(frames)) == 100
    assert frames == [other.frame(-40.0) for _ in range(100)]


def test_packets() -> None:
    assert comfort.parse(b"\x3c") == Background(-60)
    assert comfort.parse(b"\xbc\x7f") == Background(-60, (0.0,))
    assert comfort.build(Background(-200)) == b"\x7f"
    with pytest.raises(ParseError, match="at least one octet"):
        comfort.parse(b"")


@given(st.binary(min_size=1, max_size=40))
def test_any_packet_is_read_and_bounded(payload: bytes) -> None:
    background = comfort.parse(payload)
    assert -127 <= background.level_dbov <= 0
    assert len(background.reflections) <= comfort.MAX_ORDER
    assert all(-1.0 <= value <= 1.0 for value in background.reflections)
    assert comfort.parse(comfort.build(background)) == background
    maker = ComfortNoise(8000, SeededIds(1))
    maker.colour(background.reflections)
    assert len(maker.frame(background.level_dbov)) == 320
