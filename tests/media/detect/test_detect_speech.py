"""Speech is found in what sounds like a voice, and in nothing else."""

from __future__ import annotations

import pytest
from detect_material import frames, noise, quiet, vowels, with_noise

from offhook.media import pcm
from offhook.media.detect.speech import HANGOVER_MS, ONSET_MS, Speech


def heard(audio: bytes) -> list[bool]:
    speech = Speech()
    return [speech.feed(frame, pcm.rms(frame)) for frame in frames(audio)]


def spans(found: list[bool]) -> list[tuple[int, int]]:
    """Return beginning and end of each span of speech, in ms."""
    edges = [place for place in range(1, len(found)) if found[place] != found[place - 1]]
    return [(20 * one, 20 * other) for one, other in zip(edges[::2], edges[1::2], strict=True)]


@pytest.mark.parametrize("floor", [0, 30, 250])
@pytest.mark.parametrize("pitch", [85.0, 120.0, 210.0, 300.0])
def test_a_voice(pitch: float, floor: int) -> None:
    audio = with_noise(quiet(1000) + vowels(1500, pitch=pitch) + quiet(1500), floor)
    (span,) = spans(heard(audio))
    assert 1000 <= span[0] <= 1000 + ONSET_MS + 60
    assert 2500 <= span[1] <= 2500 + HANGOVER_MS + 60


def test_a_gap_between_words_is_none_but_a_pause_is() -> None:
    assert len(spans(heard(quiet(500) + vowels(600) + quiet(120) + vowels(600) + quiet(800)))) == 1
    assert len(spans(heard(quiet(500) + vowels(600) + quiet(500) + vowels(600) + quiet(800)))) == 2


@pytest.mark.parametrize("rms", [20, 300, 3000])
def test_noise_is_nobody_however_loud(rms: int) -> None:
    assert not any(heard(quiet(500) + noise(5000, rms) + quiet(500)))


def test_clicks_are_nobody() -> None:
    click = b"".join((30000 >> place // 4).to_bytes(2, "little", signed=True) for place in range(64)).ljust(320, b"\0")
    assert not any(heard(quiet(500) + (click + quiet(180)) * 10))


@pytest.mark.lengthy
def test_a_long_talk_is_speech_to_its_end() -> None:
    found = heard(quiet(500) + vowels(10_000) + quiet(500))
    assert all(found[40:520])


def test_lost_packets_do_not_change_what_the_line_is_like() -> None:
    audio = frames(with_noise(quiet(3000) + vowels(1000) + quiet(3000), 200))
    broken = b"".join(bytes(320) if place % 17 == 3 else frame for place, frame in enumerate(audio))
    assert len(spans(heard(broken))) == 1
