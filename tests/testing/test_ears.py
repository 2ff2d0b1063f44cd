"""The ears measure what was played."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from offhook.errors import ParseError
from offhook.media import pcm, wav
from offhook.media.tones import dtmf_frames, tone_source
from offhook.testing import ears


def tone(*frequencies: float, gain_db: float = 0.0) -> bytes:
    return b"".join(iter(tone_source(frequencies, 1000, gain_db).read, None))


@pytest.mark.parametrize("frequency", [60.0, 440.0, 1336.0, 3900.0])
def test_frequency(frequency: float) -> None:
    assert ears.dominant_frequency(tone(frequency)) == pytest.approx(frequency, abs=1)
    assert ears.dominant_frequency(tone(frequency), 48_000) == pytest.approx(6 * frequency, abs=6)


def test_stronger_of_two() -> None:
    mixed = pcm.add(tone(500.0), tone(900.0, gain_db=-6))
    assert ears.dominant_frequency(mixed) == pytest.approx(500, abs=1)


def test_silence_has_no_frequency_and_no_level() -> None:
    assert ears.dominant_frequency(bytes(16_000)) == 0.0
    assert ears.dominant_frequency(b"") == 0.0
    assert ears.level_dbfs(bytes(100)) == -math.inf
    assert ears.level_dbfs(b"") == -math.inf


def test_level() -> None:
    assert ears.level_dbfs(tone(440.0)) == pytest.approx(-13.0, abs=0.1)
    assert ears.level_dbfs(tone(440.0, gain_db=-20)) == pytest.approx(-33.0, abs=0.1)


def test_has_tone() -> None:
    assert ears.has_tone(tone(440.0), 440.0)
    assert not ears.has_tone(tone(440.0), 450.0)
    assert not ears.has_tone(bytes(16_000), 440.0)


def test_digits() -> None:
    audio = b"".join(b"".join(dtmf_frames(digit, 100)) + bytes(1600) for digit in "2580*#")
    assert ears.decode_dtmf(audio) == "2580*#"
    assert ears.decode_dtmf(bytes(16_000)) == ""


def test_read_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav.header(2, 16_000, 8) + b"aabbccdd")
    assert ears.read_wav(path) == ears.WavAudio(16_000, (b"aacc", b"bbdd"))
    path.write_bytes(b"nothing")
    with pytest.raises(ParseError):
        ears.read_wav(path)


def test_the_longest_gap() -> None:
    sound = tone(440.0)
    assert ears.longest_gap_ms(sound) == 0
    assert ears.longest_gap_ms(sound[:4000] + bytes(960) + sound[4000:8000] + bytes(320) + sound[8000:]) == 60
    quiet = b"".join(bytes(2) if at < 800 else sound[at:at + 2] for at in range(0, len(sound), 2))
    assert ears.longest_gap_ms(quiet) == 50
    assert ears.longest_gap_ms(bytes(1600)) == 100
    assert ears.longest_gap_ms(b"") == 0
