"""Tones have the frequency, level, length and rhythm they are asked for."""

from __future__ import annotations

import pytest

from offhook.media.sources import FRAME_BYTES, SILENCE, Source
from offhook.media.tones import DTMF, CadenceKind, cadence_source, dtmf_frames, tone_source
from offhook.testing import ears


def take(source: Source, frames: int) -> list[bytes]:
    read = [source.read() for _ in range(frames)]
    return [frame for frame in read if frame is not None]


@pytest.mark.parametrize("frequency", [100.0, 425.0, 440.0, 1004.5, 3400.0])
def test_frequency_and_level(frequency: float) -> None:
    audio = b"".join(take(tone_source((frequency,), 0, -7.0), 50))
    assert abs(ears.dominant_frequency(audio) - frequency) < 1
    assert ears.level_dbfs(audio) == pytest.approx(-20.0, abs=0.1)


def test_endless_tone_has_no_seam() -> None:
    audio = b"".join(take(tone_source((441.0,), 0), 200))
    assert ears.has_tone(audio, 441.0, purity=0.999)


@pytest.mark.parametrize(("duration_ms", "frames"), [(1, 1), (20, 1), (21, 2), (50, 3), (1000, 50)])
def test_length(duration_ms: int, frames: int) -> None:
    source = tone_source((440.0,), duration_ms)
    read = take(source, frames)
    assert len(read) == frames
    assert all(len(frame) == FRAME_BYTES for frame in read)
    assert source.read() is None
    assert source.read() is None


def test_padding_is_silent() -> None:
    assert take(tone_source((440.0,), 30), 2)[1][FRAME_BYTES // 2:] == bytes(FRAME_BYTES // 2)


def test_closed_tone_ends() -> None:
    source = tone_source((440.0,), 0)
    source.close()
    assert source.read() is None


@pytest.mark.parametrize("frequencies", [(0.0,), (4000.0,), (-5.0,), (float("nan"),), (100.0,) * 9])
def test_impossible_tones(frequencies: tuple[float, ...]) -> None:
    with pytest.raises(ValueError):
        tone_source(frequencies, 100)


def test_loud_tone_is_clipped_not_wrapped() -> None:
    assert ears.level_dbfs(b"".join(take(tone_source((440.0,), 0, 30.0), 10))) > 0


@pytest.mark.parametrize(
    ("kind", "on", "period"), [("ringback", 50, 250), ("busy", 25, 50), ("congestion", 12, 24), ("waiting", 20, 250)]
)
def test_rhythm(kind: CadenceKind, on: int, period: int) -> None:
    frames = take(cadence_source(kind), 2 * period)
    assert sum(frame != SILENCE for frame in frames[:period]) == on
    assert frames[:period] == frames[period:]
    assert abs(ears.dominant_frequency(b"".join(frames[:10])) - 425.0) < 5


@pytest.mark.parametrize("digit", sorted(DTMF))
def test_each_digit_has_its_two_frequencies(digit: str) -> None:
    frames = dtmf_frames(digit, 100)
    assert len(frames) == 5
    assert ears.decode_dtmf(b"".join(frames)) == digit


def test_letters_in_small_are_digits_too() -> None:
    assert dtmf_frames("a", 60) == dtmf_frames("A", 60)
    with pytest.raises(KeyError):
        dtmf_frames("x", 60)
