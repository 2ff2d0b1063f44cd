"""An echo whose delay jumps is found again, and told steps cost nothing."""

from __future__ import annotations

from typing import Any

import pytest
from rooms import FRAME, RATE, as_pcm, cleaned, decibels, hiss, numpy, room, talker, through

from offhook.media.messages.card import VoiceProcessing
from offhook.media.voice.canceller import EchoCanceller
from offhook.media.voice.chain import OwnVoice
from offhook.media.voice.jumps import JumpFinder

ECHO = VoiceProcessing(echo_cancellation=True)


def late(sound: Any, by: int, at: float) -> Any:
    """Return the sound, from a moment on so many samples later (less than 0: earlier)."""
    begin, made = int(at * RATE), sound.copy()
    made[begin:] = sound[begin - by : len(sound) - by] if by >= 0 else numpy.concatenate((sound[begin - by :], sound[by:] * 0))
    return made


@pytest.mark.parametrize("by", [-1440, -700, -3, 5, 160, 500, 2500])
def test_a_jump_is_found_to_the_sample(by: int) -> None:
    far, way = talker(2, 1), room(0.2, 10)
    finder = JumpFinder(RATE)
    reach = finder.reach(len(way))
    end = 27_000
    finder.feed(through(far, way)[end - 2880 - by : end - by] if end - by < len(far) else pytest.fail("too short"))
    assert finder.find(way, far[end - reach : end]) == by


def test_no_jump_is_found_where_there_is_none() -> None:
    far, near, way = talker(2, 1), talker(2, 2, 210.0), room(0.2, 10)
    finder = JumpFinder(RATE)
    reach = finder.reach(len(way))
    for heard in (through(far, way), near, near + through(far, way), numpy.zeros_like(far), hiss(len(far), -40)):
        finder.feed(heard[27_000 - 2880 : 27_000])
        assert finder.find(way, far[27_000 - reach : 27_000]) is None
    finder.restart()
    assert finder.find(way, far[27_000 - reach : 27_000]) is None


@pytest.mark.lengthy
@pytest.mark.parametrize("by", [496, -704])
def test_an_echo_that_jumps_is_gone_again_soon(by: int) -> None:
    far = talker(7, 1)
    heard = late(through(far, room(0.1, 80)), by, 4) + hiss(len(far), -75)
    left = cleaned(heard, far, ECHO)
    assert decibels(heard, 4.6) - decibels(left, 4.6) > 25


@pytest.mark.slow
@pytest.mark.parametrize("by", [4000, 6400])
def test_a_long_jump_is_found_too(by: int) -> None:
    far = talker(16, 1)
    heard = late(through(far, room(0.2, 80)), by, 6) + hiss(len(far), -75)
    left = cleaned(heard, far, ECHO)
    assert decibels(heard, 11) - decibels(left, 11) > 25


@pytest.mark.lengthy
@pytest.mark.parametrize(("skipped", "moved"), [(0, 400), (0, -77), (0, 3000), (800, 0), (640, -300), (500, 320)])
def test_a_step_that_is_told_costs_nothing(skipped: int, moved: int) -> None:
    """The microphone skips some sound, and what was played is taken from another place."""
    far = hiss(5 * RATE, -25, 1)
    heard = through(far, room(0.1, 80)) + hiss(len(far), -75)
    canceller = EchoCanceller(RATE)
    at, end, turn = 0, 800, 0  # positions in both sounds; what was played is ahead by as much as `moved` takes
    powers = []
    while max(at + FRAME, end + FRAME) < 4.8 * RATE:
        step = turn == 150
        at += skipped if step else 0
        start, end = end, end + FRAME + (skipped + moved if step else 0)
        cleaned_ = canceller.process(heard[at : at + FRAME], far[start:end], moved if step else 0)
        powers.append((float((heard[at : at + FRAME] ** 2).sum()), float((cleaned_.samples**2).sum())))
        at, turn = at + FRAME, turn + 1
    before, after = numpy.array(powers[100:150]).sum(axis=0), numpy.array(powers[152:200]).sum(axis=0)
    assert before[0] / before[1] > 100
    assert after[0] / after[1] > 100


def test_nonsense_about_steps_begins_anew() -> None:
    far = talker(3, 1)
    canceller = EchoCanceller(RATE)
    for played, moved in ((0, 0), (160, 0), (16_000, 0), (320, 10**9), (320, -(10**9)), (32_000, 31_000), (0, -320)):
        made = canceller.process(far[:FRAME], far[:played], moved)
        assert numpy.isfinite(made.samples).all()


@pytest.mark.slow
def test_other_devices_are_learnt_and_the_same_ones_are_known() -> None:
    far = talker(14, 1)
    first, second = through(far, room(0.2, 60)), through(far, room(0.2, 120, seed=9))
    for then, within, least in ((second, 3.0, 22), (first, 0.6, 25)):
        voice = OwnVoice(RATE, ECHO)
        heard = numpy.concatenate((first[: 7 * RATE], then[7 * RATE :])) + hiss(len(far), -75)
        made = []
        for start in range(0, len(far), FRAME):
            if start == 7 * RATE:
                voice.restart()
                assert voice.delay_ms is None
            made.append(voice.process(as_pcm(heard[start : start + FRAME]), as_pcm(far[start : start + FRAME])))
        left = numpy.frombuffer(b"".join(made), "<i2").astype(numpy.float32) / 32768
        assert decibels(heard, 7 + within) - decibels(left, 7 + within) > least
