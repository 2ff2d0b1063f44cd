"""Parts of voice processing are switched while they run, and nothing that is fed does harm."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rooms import FRAME, RATE, as_pcm, cleaned, decibels, hiss, numpy, room, talker, through, tone

from offhook.media.messages.card import VoiceProcessing
from offhook.media.voice.chain import GainVoice, OwnVoice
from offhook.media.voice.suppress import Suppressor

ECHO = VoiceProcessing(echo_cancellation=True)
Step: TypeAlias = tuple[str, str | None, VoiceProcessing, int, int, bool]
"""What the microphone hears, what was played, what is wanted, by how much that moved, how much was skipped, another device."""
ALL = [VoiceProcessing(*parts) for parts in product((False, True), repeat=3)]


def rough(sound: Any) -> float:
    """Return the sharpest bend of a sound: that of low tones is small, a click's large."""
    return float(numpy.abs(numpy.diff(sound.astype(numpy.float64), 2)).max())


def switched(first: VoiceProcessing, then: VoiceProcessing, near: Any, far: Any, turns: tuple[int, int]) -> Any:
    """Return what goes out where these are exchanged twice, as 16-bit samples."""
    voice, made = OwnVoice(RATE, first), []
    for turn, start in enumerate(range(0, len(near) - FRAME + 1, FRAME)):
        if turn in turns:
            voice.change(then if turn == turns[0] else first)
        made.append(voice.process(as_pcm(near[start : start + FRAME]), as_pcm(far[start : start + FRAME])))
    return numpy.frombuffer(b"".join(made), "<i2")


@pytest.mark.lengthy
@pytest.mark.parametrize("first", ALL)
def test_no_switch_clicks(first: VoiceProcessing) -> None:
    """Somebody hums; everything is switched to everything and back."""
    near = tone(0.4, 180, 0.1)
    for then in ALL:
        made = switched(first, then, near, numpy.zeros_like(near), (8, 14))
        assert rough(made[6 * FRAME : 18 * FRAME]) < 1.6 * rough(as_pcm_samples(near)) + 8, then
        # Noise suppression takes a hum for noise; but for that nothing falls into a hole.
        levels = [decibels(made[at : at + FRAME] / 32768) for at in range(6 * FRAME, 18 * FRAME, FRAME)]
        quiet = first.noise_suppression or then.noise_suppression
        assert quiet or max(abs(one - other) for one, other in pairwise(levels)) < 4, then


@pytest.mark.lengthy
def test_the_echo_comes_and_goes_without_a_step() -> None:
    near, far = tone(1.4, 180, 0.1), tone(1.4, 130, 0.2)
    heard = near + through(far, room(0.05, 30))
    for then in (VoiceProcessing(), VoiceProcessing(noise_suppression=True)):
        made = switched(ECHO, then, heard, far, (52, 58))
        settled = rough(made[40 * FRAME : 51 * FRAME])
        assert rough(made[51 * FRAME : 54 * FRAME]) < 1.5 * settled + 8, then
        assert rough(made[57 * FRAME : 60 * FRAME]) < 1.5 * settled + 8, then


def as_pcm_samples(sound: Any) -> Any:
    """Return 16-bit samples as an array."""
    return numpy.frombuffer(as_pcm(sound), "<i2")


def test_what_is_off_costs_nothing_and_delays_nothing() -> None:
    voice = OwnVoice(RATE, ECHO)
    frame = as_pcm(hiss(FRAME, -30))
    voice.process(frame, frame)
    voice.change(VoiceProcessing())
    assert voice.process(frame, frame) is not frame  # fades
    assert voice.process(frame, frame) is frame


def test_the_level_alone_is_switched_too() -> None:
    voice = GainVoice()
    voice.gain.gain_db = 6.0
    frame = as_pcm(tone(0.02, 150, 0.05))
    assert voice.process(frame, None) != frame
    voice.change(VoiceProcessing())
    voice.restart()
    assert voice.process(frame, None) != frame  # on its way down
    assert voice.process(frame, None) is frame


@pytest.mark.lengthy
def test_the_room_is_known_when_the_canceller_is_switched_on_again() -> None:
    far = talker(8, 1)
    heard = through(far, room(0.1, 60)) + hiss(len(far), -75)
    voice, made = OwnVoice(RATE, ECHO), []
    for start in range(0, len(far) - FRAME + 1, FRAME):
        if start in (4 * RATE, 5 * RATE):
            voice.change(ECHO if start == 5 * RATE else VoiceProcessing(noise_suppression=True))
        made.append(voice.process(as_pcm(heard[start : start + FRAME]), as_pcm(far[start : start + FRAME])))
    left = numpy.frombuffer(b"".join(made), "<i2").astype(numpy.float32) / 32768
    assert decibels(heard, 3, 4) - decibels(left, 3, 4) > 25
    assert decibels(heard, 4.1, 5) - decibels(left, 4.1, 5) < 3
    assert decibels(heard, 5.5, 6.5) - decibels(left, 5.5, 6.5) > 25


def kinds(count: int) -> dict[str, Any]:
    """Return sounds that nobody should send."""
    square = numpy.where(numpy.arange(count) // 40 % 2, 0.999, -1.0).astype(numpy.float32)
    return {
        "silence": numpy.zeros(count, numpy.float32), "constant": numpy.full(count, 0.7, numpy.float32), "square": square,
        "least": numpy.full(count, 1 / 32768, numpy.float32), "hiss": hiss(count, -6),
        "clipped": numpy.sign(hiss(count, 0)) * 0.999,
        "click": numpy.eye(1, count, count // 2, dtype=numpy.float32)[0], "talk": talker(count / RATE, 3),
    }


@pytest.mark.lengthy
@settings(max_examples=15, deadline=None)
@given(
    rate=st.sampled_from([8_000, 16_000]),
    script=st.lists(
        st.tuples(
            st.sampled_from(sorted(kinds(RATE))), st.sampled_from([*sorted(kinds(RATE)), None]), st.sampled_from(ALL),
            st.sampled_from([0, 0, 0, 1, -1, 7, -60, 500, 40_000, -40_000]), st.integers(0, 900), st.booleans(),
        ), min_size=1, max_size=5,
    ),
)  # fmt: skip
def test_nothing_that_is_fed_does_harm(rate: int, script: list[Step]) -> None:
    frame, sounds = rate // 50, kinds(RATE)
    voice = OwnVoice(rate, ECHO)
    for heard, played, wanted, moved, more, restart in script:
        voice.change(wanted)
        if restart:
            voice.restart()
        for turn in range(8):
            at = turn * frame
            extra = max(-frame, min(8_000, moved + more)) if turn == 0 else 0
            far = None if played is None else as_pcm(sounds[played][at : at + frame + extra])
            made = voice.process(as_pcm(sounds[heard][at : at + frame]), far, moved if turn == 0 else 0)
            assert len(made) == 2 * frame
    assert numpy.isfinite(voice.attenuation_db)
    assert numpy.isfinite(voice.drift_ppm)
    # Whatever it was: half a second later somebody who speaks is heard.
    voice.change(ECHO)
    voice.restart()
    near = talker(1.2, 2)[RATE // 4 :]
    made_ = [voice.process(as_pcm(near[at : at + frame]), None) for at in range(0, len(near) - frame + 1, frame)]
    heard_ = numpy.frombuffer(b"".join(made_), "<i2").astype(numpy.float32) / 32768
    assert abs(decibels(heard_, 0.5) - decibels(near, 0.5)) < 2


def test_an_echo_that_is_put_in_is_kept_down() -> None:
    """A filter that is sure of a wrong room makes it louder by 20 dB, until it is found out."""
    suppressor = Suppressor(160, echo=True, noise=False)
    suppressor._leak[:] = 0.001
    heard, wrong = hiss(RATE, -40, 3), hiss(RATE, -20, 4)
    made = numpy.concatenate([
        suppressor.process((heard - wrong)[at : at + 160], wrong[at : at + 160], numpy.zeros(161, numpy.float32))
        for at in range(0, RATE, 160)
    ])
    assert decibels(heard - wrong) > -21
    assert decibels(made) < -39


@pytest.mark.lengthy
@pytest.mark.parametrize("name", ["tanh", "clipped", "noise", "wrong"])
def test_it_is_never_louder_than_without(name: str) -> None:
    """Loudspeakers that distort, a microphone in noise, an echo of something else than what was played."""
    far = talker(4, 1)
    way = room(0.2, 60)
    heard = {
        "tanh": through(numpy.tanh(4 * far).astype(numpy.float32) / 4, way),
        "clipped": numpy.clip(4 * through(far, way), -0.1, 0.1),
        "noise": through(far, way) + hiss(len(far), -30),
        "wrong": through(talker(4, 4, 170.0), way),
    }[name]
    left = cleaned(heard, far, ECHO)
    for start in range(2, 38):
        before = max(decibels(heard, at, at + 0.1) for at in (start / 10 - 0.02, start / 10, start / 10 + 0.02))
        assert decibels(left, start / 10, start / 10 + 0.1) < max(before, -75) + 0.5, start
    limits = {"tanh": 12, "clipped": 5, "noise": -1, "wrong": -1}
    assert decibels(heard, 2) - decibels(left, 2) > limits[name]
