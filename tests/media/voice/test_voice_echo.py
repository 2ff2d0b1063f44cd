"""Echo cancellation in rooms that are made of numbers."""

from __future__ import annotations

import pytest
from rooms import RATE, cleaned, decibels, hiss, numpy, room, talker, through

from offhook.media.messages.card import VoiceProcessing
from offhook.media.voice.chain import OwnVoice
from offhook.media.voice.delay import DelayFinder
from offhook.media.voice.echo import EchoFilter

ECHO = VoiceProcessing(echo_cancellation=True)


@pytest.mark.slow
@pytest.mark.parametrize(("reverberation", "delay", "least"), [(0.15, 80, 30), (0.3, 80, 30), (0.5, 80, 22), (0.3, 250, 30)])
def test_an_echo_goes(reverberation: float, delay: int, least: float) -> None:
    far = talker(12, 1)
    heard = through(far, room(reverberation, delay)) + hiss(len(far), -75)
    left = cleaned(heard, far, ECHO)
    assert decibels(heard, 8) - decibels(left, 8) > least
    assert decibels(heard, 2, 4) - decibels(left, 2, 4) > 15  # … and early


@pytest.mark.slow
def test_who_speaks_meanwhile_is_heard() -> None:
    far, near = talker(14, 1), 0.5 * talker(14, 2, 210.0)
    near[: 8 * RATE] = 0
    heard = through(far, room(0.3, 80)) + near + hiss(len(far), -75)
    left = cleaned(heard, far, ECHO)
    count = len(left)
    # Before: the echo is as loud as the voice. After: the voice stands out of all that is wrong with it.
    before = decibels(near, 8) - decibels(heard - near, 8)
    after = decibels(near[:count], 8) - decibels(left - near[:count], 8)
    assert before < 5
    assert after > before + 5
    assert abs(decibels(left, 8) - decibels(near[:count], 8)) < 2


@pytest.mark.lengthy
def test_who_speaks_alone_is_left_alone() -> None:
    near = talker(2, 2)
    left = cleaned(near, numpy.zeros_like(near), ECHO)
    assert decibels(left - near[: len(left)]) < decibels(near) - 20
    assert decibels(cleaned(near, None, ECHO) - near[: len(left)]) < decibels(near) - 20


@pytest.mark.slow
def test_another_room_is_learnt() -> None:
    far = talker(14, 1)
    first, second = through(far, room(0.2, 60)), through(far, room(0.2, 60, seed=9))
    heard = numpy.concatenate((first[: 7 * RATE], second[7 * RATE :])) + hiss(len(far), -75)
    left = cleaned(heard, far, ECHO)
    assert decibels(heard, 10) - decibels(left, 10) > 25


@pytest.mark.lengthy
def test_the_filter_never_makes_it_louder() -> None:
    far = hiss(3 * RATE, -20, 1)
    heard = through(far, room(0.1, 5))
    filter_ = EchoFilter(160, 20)
    for start in range(0, len(far) - 160, 160):
        filter_.process(heard[start : start + 160], far[start : start + 160])
    filter_._room *= -3.0  # as wrong as can be
    left = numpy.concatenate([
        filter_.process(heard[start : start + 160], far[start : start + 160]).samples for start in range(0, RATE, 160)
    ])
    assert decibels(left, 0.3) < decibels(heard, 0.3, 1.0)


def test_what_was_learnt_moves_with_the_delay() -> None:
    far = hiss(3 * RATE, -20, 1)
    heard = through(far, room(0.05, 50))
    filter_ = EchoFilter(160, 10)
    end = 2 * RATE
    for start in range(0, end, 160):
        filter_.process(heard[start : start + 160], far[start : start + 160])
    late = numpy.concatenate((numpy.zeros(640, numpy.float32), far))  # four blocks later
    filter_.shift(4, late[end - filter_.reach : end])
    left = numpy.concatenate([
        filter_.process(heard[start : start + 160], late[start : start + 160]).samples for start in range(end, 3 * RATE, 160)
    ])
    assert decibels(heard, 2) - decibels(left) > 20
    late = far
    filter_.shift(-4, late[3 * RATE - filter_.reach : 3 * RATE])
    assert numpy.abs(filter_._room[:4]).max() == 0


@pytest.mark.parametrize("delay_ms", [0, 37, 160, 400])
def test_a_delay_is_found(delay_ms: int) -> None:
    far = talker(3, 3)
    heard = through(far, room(0.2, delay_ms)) + hiss(len(far), -60)
    finder = DelayFinder(RATE)
    found = [
        place for start in range(0, len(far) - 320, 320)
        if (place := finder.feed(heard[start : start + 320], far[start : start + 320])) is not None
    ]  # fmt: skip
    assert found
    assert {round(place * 1000 / RATE) for place in found} == {delay_ms}


def test_no_delay_is_found_where_there_is_no_echo() -> None:
    far, near = talker(3, 3), talker(3, 4, 210.0)
    finder = DelayFinder(RATE)
    found = [finder.feed(near[start : start + 320], far[start : start + 320]) for start in range(0, len(far) - 320, 320)]
    assert set(found) == {None}


@pytest.mark.lengthy
def test_figures_of_a_call() -> None:
    voice = OwnVoice(RATE, ECHO)
    far = talker(4, 1)
    heard = through(far, room(0.1, 60)) + hiss(len(far), -75)
    assert voice.delay_ms is None
    cleaned(heard, far, ECHO, voice)
    assert voice.delay_ms == 60
    assert voice.attenuation_db > 15
