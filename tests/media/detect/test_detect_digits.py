"""DTMF in the sound: found when it is there, in noise and through G.711, and not found in other sounds."""

from __future__ import annotations

import math
from array import array
from random import Random

import pytest

from offhook.media import pcm
from offhook.media.detect.digits import DtmfDetector, has_tone, key_in
from offhook.media.tones import DTMF, dtmf_frames, tone_source

GAP = bytes(2 * 8 * 60)
ALL = "".join(DTMF)


def keyed(digits: str, duration_ms: int = 80) -> bytes:
    return b"".join(b"".join(dtmf_frames(digit, duration_ms)) + GAP for digit in digits)


def heard(audio: bytes, piece: int = 320) -> list[tuple[str, int]]:
    detector = DtmfDetector()
    found = []
    for start in range(0, len(audio), piece):
        found += detector.feed(audio[start:start + piece])
    return found + detector.finish()


@pytest.mark.parametrize("duration_ms", [40, 60, 80, 200])
def test_every_digit_once_with_its_length(duration_ms: int) -> None:
    found = heard(keyed(ALL, duration_ms))
    assert "".join(digit for digit, _ in found) == ALL
    assert all(abs(length - duration_ms) <= 30 for _, length in found)


@pytest.mark.parametrize("piece", [2, 100, 320, 5000])
def test_pieces_do_not_matter(piece: int) -> None:
    assert heard(keyed("19#"), piece) == heard(keyed("19#"))


def test_through_g711_and_quiet() -> None:
    audio = pcm.ulaw_to_linear(pcm.linear_to_ulaw(pcm.scale(keyed(ALL), 0.1)))
    assert "".join(digit for digit, _ in heard(audio)) == ALL


def test_in_noise() -> None:
    chance = Random(7)
    audio = keyed(ALL)
    noise = array("h", (int(chance.gauss(0, 1000)) for _ in range(len(audio) // 2))).tobytes()
    assert "".join(digit for digit, _ in heard(pcm.add(audio, noise))) == ALL


def test_repeated_digit_counts_twice() -> None:
    assert [digit for digit, _ in heard(keyed("5555"))] == list("5555")


def test_a_dropout_is_no_second_press() -> None:
    tone = b"".join(dtmf_frames("7", 200))
    broken = tone[:1600] + bytes(160) + tone[1760:]
    assert [digit for digit, _ in heard(broken)] == ["7"]


def test_still_sounding_at_the_end() -> None:
    assert [digit for digit, _ in heard(b"".join(dtmf_frames("4", 100)))] == ["4"]


def sounding(row: float, column: float, amplitude: float) -> bytes:
    """Return every digit with its two frequencies so many times what they should be."""
    return b"".join(
        array("h", (int(amplitude * (math.sin(low * place) + math.sin(high * place))) for place in range(800))).tobytes() + GAP
        for low, high in ((math.tau * row * one / 8000, math.tau * column * other / 8000) for one, other in DTMF.values())
    )


@pytest.mark.parametrize(("row", "column", "found"), [
    (1.015, 1.015, ALL), (0.985, 0.985, ALL), (1.015, 0.985, ALL),
    (1.035, 1.0, ""), (0.965, 1.0, ""), (1.0, 1.035, ""), (1.0, 0.965, ""),
])  # fmt: skip
def test_frequencies_may_be_off_by_as_much_as_the_standard_says(row: float, column: float, found: str) -> None:
    """ITU-T Q.24: 1.5 % is still a digit, 3.5 % is none."""
    assert "".join(digit for digit, _ in heard(sounding(row, column, 6000))) == found


@pytest.mark.parametrize(("dbfs", "found"), [(-30, ALL), (-45, "")])
def test_what_is_heard_from_afar_is_no_key(dbfs: float, found: str) -> None:
    assert "".join(digit for digit, _ in heard(sounding(1.0, 1.0, 32767 * 10 ** (dbfs / 20)))) == found


def test_other_sounds_are_no_digits() -> None:
    chance = Random(3)
    noise = array("h", (int(chance.gauss(0, 6000)) for _ in range(16_000))).tobytes()
    assert heard(noise) == []
    assert heard(bytes(32_000)) == []
    for frequencies in ((697.0,), (1336.0,), (425.0,), (440.0, 480.0), (350.0, 440.0), (697.0, 770.0)):
        source = tone_source(frequencies, 1000)
        assert heard(b"".join(frame for frame in iter(source.read, None))) == []


@pytest.mark.lengthy
def test_voice_like_harmonics_are_no_digits() -> None:
    for pitch in range(90, 260, 7):
        step = math.tau * pitch / 8000
        voice = array(
            "h", (int(sum(6000 / order * math.sin(order * step * place) for order in range(1, 9))) for place in range(1600))
        )
        assert heard(voice.tobytes()) == [], pitch


def test_twisted_pairs_are_refused() -> None:
    row = [10_000 * math.sin(math.tau * 697 * place / 8000) for place in range(102)]
    column = [2_000 * math.sin(math.tau * 1209 * place / 8000) for place in range(102)]
    assert key_in(array("h", (int(one + other) for one, other in zip(row, column, strict=True))).tobytes()) == ""
    assert key_in(array("h", (int(one + 5 * other) for one, other in zip(row, column, strict=True))).tobytes()) == "1"


def test_has_tone() -> None:
    samples = array("h", b"".join(iter(tone_source((440.0,), 400).read, None)))
    assert has_tone(samples, 440.0)
    assert not has_tone(samples, 600.0)
    assert not has_tone([0] * 800, 440.0)
