"""The signals of networks and fax machines: each is known for what it is, through G.711, in noise and when it is quiet."""

from __future__ import annotations

import pytest
from detect_material import cadence, frames, noise, quiet, tone, vowels, with_noise

from offhook.media import pcm
from offhook.media.detect.tones import Progress, Signals
from offhook.media.detect.whistle import Whistle, pure_frequency

KNOWN = {
    "dial": [tone((350.0, 440.0), 3500), tone((425.0,), 3500)],
    "ringback": [
        cadence((440.0, 480.0), (2000, 4000), times=2), cadence((425.0,), (1000, 4000), times=2),
        cadence((400.0, 450.0), (400, 200), (400, 2000), times=2), cadence((440.0,), (1500, 3500), times=2),
    ],
    "busy": [cadence((480.0, 620.0), (500, 500), times=4), cadence((425.0,), (500, 500), times=4),
             cadence((400.0,), (375, 375), times=4), cadence((450.0,), (350, 350), times=4)],
    "congestion": [cadence((480.0, 620.0), (250, 250), times=5), cadence((425.0,), (240, 240), times=5)],
    "special_information": [
        tone((950.0,), 330) + tone((1400.0,), 330) + tone((1800.0,), 330),
        tone((913.8,), 274) + tone((1370.6,), 274) + tone((1776.7,), 380),
    ],
    "fax_calling": [tone((1100.0,), 500), tone((1066.0,), 500), tone((1134.0,), 500)],
    "fax_answer": [tone((2100.0,), 2600), tone((2086.0,), 2600)],
}  # fmt: skip

CASES = [pytest.param(name, audio, id=f"{name}-{number}") for name, all_ in KNOWN.items() for number, audio in enumerate(all_)]


def heard(audio: bytes, *, beeps: bool = False) -> list[str]:
    progress, whistle, signals = Progress(), Whistle(), Signals()
    found: list[str] = []
    for frame in frames(quiet(300) + audio + quiet(2500)):
        for what in (progress.feed(frame), signals.feed(whistle.feed(frame, pcm.rms(frame)), beeps=beeps)):
            if what is not None:
                found.append(what.tone)
    return found


@pytest.mark.parametrize(("name", "audio"), CASES)
def test_each_is_told_once(name: str, audio: bytes) -> None:
    assert heard(audio) == [name]


@pytest.mark.parametrize(("name", "audio"), CASES)
def test_through_a_codec_in_noise(name: str, audio: bytes) -> None:
    noisy = with_noise(pcm.ulaw_to_linear(pcm.linear_to_ulaw(audio)), 120)
    assert heard(noisy) == [name]


@pytest.mark.parametrize(("name", "audio"), CASES)
def test_quiet_ones(name: str, audio: bytes) -> None:
    assert heard(pcm.scale(audio, 0.1)) == [name]


@pytest.mark.parametrize("frequency", [440.0, 1000.0, 1400.0, 2000.0])
@pytest.mark.parametrize("duration_ms", [160, 400, 1200])
def test_beeps_of_answering_machines(frequency: float, duration_ms: int) -> None:
    audio = vowels(1500) + quiet(400) + tone((frequency,), duration_ms)
    assert heard(audio, beeps=True)[0] == "beep"
    assert "beep" not in heard(audio)  # who has not asked is not told


def test_a_beep_may_have_the_frequency_that_begins_special_information() -> None:
    assert heard(tone((950.0,), 330), beeps=True) == ["beep"]
    assert heard(tone((950.0,), 330) + tone((1400.0,), 330) + tone((500.0,), 330), beeps=True)[-1] == "beep"


@pytest.mark.parametrize(("tones", "duration_ms"), [
    ((1150.0, 1400.0, 1800.0), 330), ((950.0, 1250.0, 1800.0), 330), ((950.0, 1400.0, 1650.0), 330),
    ((950.0, 1400.0, 1800.0), 140), ((950.0, 1400.0, 1800.0), 600),
])
def test_three_tones_that_are_no_special_information(tones: tuple[float, ...], duration_ms: int) -> None:
    assert "special_information" not in heard(b"".join(tone((each,), duration_ms) for each in tones))


def test_busy_is_told_again_after_a_pause() -> None:
    busy = cadence((425.0,), (500, 500), times=6)
    assert heard(busy + quiet(7000) + busy) == ["busy", "busy"]


@pytest.mark.lengthy
@pytest.mark.parametrize("seed", range(4))
def test_other_sounds_are_no_signals(seed: int) -> None:
    assert heard(vowels(4000, pitch=90 + 40 * seed), beeps=True) == []
    assert heard(noise(4000, 3000, seed), beeps=True) == []
    assert heard(cadence((700.0,), (500, 500))) == []
    assert heard(tone((697.0, 1209.0), 1000), beeps=True) == []


def test_pure_frequency() -> None:
    for frequency in (210.0, 440.0, 1234.0, 3500.0):
        frame = tone((frequency,), 100)[640:960]
        assert abs(pure_frequency(frame, pcm.rms(frame)) - frequency) < 2
    loud = noise(20, 3000)
    assert pure_frequency(loud, pcm.rms(loud)) == 0.0
    assert pure_frequency(bytes(320), 0) == 0.0
