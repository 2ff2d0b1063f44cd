"""Reading what was played at a place that moves by parts of a sample."""

from __future__ import annotations

import pytest
from rooms import RATE, decibels, hiss, numpy, tone

from offhook.media.voice.line import HALF, PlayedLine


@pytest.mark.parametrize("hertz", [100, 1000, 4000, 6000])
@pytest.mark.parametrize("delay", [40, 40.25, 333.5, 700.999])
def test_a_part_of_a_sample_later(hertz: int, delay: float) -> None:
    line = PlayedLine(RATE)
    line.feed(tone(0.2, hertz))
    line.delay = delay
    places = numpy.arange(int(0.2 * RATE) - 320, int(0.2 * RATE)) - delay
    assert decibels(line.read(320) - 0.5 * numpy.sin(2 * numpy.pi * hertz * places / RATE)) < decibels(tone(0.2, hertz)) - 55


def test_a_delay_that_grows_makes_no_seams() -> None:
    line, sound, move = PlayedLine(RATE), tone(4.0, 1000), 0.06
    line.delay = 50.0
    made = []
    for start in range(0, len(sound), 320):
        line.feed(sound[start : start + 320])
        made.append(line.read(320, move))
    places = numpy.arange(len(sound))
    wanted = 0.5 * numpy.sin(2 * numpy.pi * 1000 * (places - 50 - places * move / 320) / RATE)
    assert line.delay == pytest.approx(50 + 200 * move)
    assert decibels(numpy.concatenate(made)[400:] - wanted[400:]) < -60


def test_history_is_what_was_read() -> None:
    line, sound, move = PlayedLine(RATE), hiss(3 * RATE, -20), -0.1
    line.delay = 200.0
    made = []
    for start in range(0, len(sound), 320):
        line.feed(sound[start : start + 320])
        made.append(line.read(320, move))
    assert numpy.abs(line.history(20, 320, move) - numpy.concatenate(made[-20:])).max() < 1e-6


def test_what_is_near_the_end_is_read_in_whole_samples() -> None:
    line = PlayedLine(RATE)
    line.feed(numpy.arange(1, 641, dtype=numpy.float32))
    assert list(line.read(4, 3.5)) == [637, 638, 639, 640]
    assert line.delay == 0.0
    line.delay = HALF + 1.0
    line.read(4, -0.5)
    assert line.delay == HALF + 1.0


def test_taken_back_and_bounded() -> None:
    line = PlayedLine(RATE)
    line.feed(numpy.arange(1, 641, dtype=numpy.float32))
    line.take_back(40)
    assert list(line.newest(2)) == [599, 600]
    line.later(1e9)
    assert line.delay == line.longest
    line.later(-1e9)
    assert line.delay == 0.0
    assert len(line.history(40, 320, 0.2)) == len(line.history(40, 320, -0.2)) == 12_800
    for _ in range(100):
        line.take_back(RATE // 2)
        line.feed(hiss(40 * 320, -20))
        assert len(line.history(20, 320)) == 6400
    line.clear()
    assert not line.newest(RATE).any()
