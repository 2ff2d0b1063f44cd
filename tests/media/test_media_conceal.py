"""Frames that did not come: what is heard instead has the pitch, the volume and no clicks."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.media import pcm
from offhook.media.codecs import Codec, codec
from offhook.media.codecs.kinds import missing as lacking
from offhook.media.conceal import GONE_MS, OWN_LIMIT, Concealer, OwnConcealer
from offhook.media.jitter import MOST_BRIDGED
from offhook.media.sources import SILENCE, frame_bytes

RATES = [8000, 16000]
OTHER_RATES = [*RATES, 44100, 48000]
FORMANTS = ((700, 130), (1200, 180), (2600, 260))  # of an "a": frequency and width, Hz


@lru_cache
def vowel(rate: int, seconds: float, pitch: float = 120.0) -> array[int]:
    weights = [
        (harmonic * pitch, sum(1 / (1 + ((harmonic * pitch - at) / width) ** 2) for at, width in FORMANTS))
        for harmonic in range(1, int(3600 / pitch))
    ]
    # Phases that are no two alike, so that it is no row of pulses.
    parts = [(math.tau * hz, weight, place * place) for place, (hz, weight) in enumerate(weights)]
    return wave(rate, seconds, lambda t: 2500 * sum(weight * math.sin(hz * t + phase) for hz, weight, phase in parts))


@lru_cache
def chord(rate: int, seconds: float) -> array[int]:
    return wave(rate, seconds, lambda t: 2500 * sum(math.sin(math.tau * hz * t) for hz in (262, 330, 392, 523)))


@lru_cache
def hiss(rate: int, seconds: float) -> array[int]:
    chance = random.Random(1)
    return wave(rate, seconds, lambda _: chance.gauss(0, 1500))


def wave(rate: int, seconds: float, at: Callable[[float], float]) -> array[int]:
    return array("h", [round(at(place / rate)) for place in range(int(rate * seconds))])


def hear(sound: array[int], rate: int, lost: set[int], *, ahead: bool = False) -> array[int]:
    """Return the sound as it is heard without the frames `lost`; `ahead`: with the one after a gap at hand in time."""
    size = frame_bytes(rate)
    raw = sound.tobytes()
    frames = [raw[at : at + size] for at in range(0, len(raw) - size + 1, size)]
    concealer = Concealer(rate)
    heard = array("h")
    for number, frame in enumerate(frames):
        if number not in lost:
            piece = concealer.good(frame)
        elif ahead and number + 1 not in lost:
            piece = concealer.bridge(1, frames[number + 1])
        else:
            piece = concealer.lost()
        heard.frombytes(bytes(size) if piece is SILENCE else piece)
    return heard


def roughness(sound: array[int]) -> int:
    """Return the greatest second difference: what a click has more of than speech."""
    return max(abs(sound[at + 1] - 2 * sound[at] + sound[at - 1]) for at in range(1, len(sound) - 1))


def smooth(sound: array[int]) -> float:
    """Return the roughness up to which nobody hears a click: near the sound's own, or little beside its volume."""
    return 2 * roughness(sound) + 0.35 * level(sound)


def level(sound: array[int]) -> int:
    return pcm.rms(sound.tobytes())


def around(sound: array[int], rate: int, first: int, count: int, margin_ms: int = 12) -> array[int]:
    margin = margin_ms * rate // 1000
    return sound[first * rate // 50 - margin : (first + count) * rate // 50 + margin]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("lost", [1, 2, 5])
def test_no_click_where_a_gap_begins_or_ends(rate: int, ahead: bool, lost: int) -> None:
    for sound in (vowel(rate, 0.5), vowel(rate, 0.5, 210.0), chord(rate, 0.5), hiss(rate, 0.5)):
        heard = hear(sound, rate, set(range(12, 12 + lost)), ahead=ahead)
        assert len(heard) == len(sound)
        assert heard[: 12 * rate // 50] == sound[: 12 * rate // 50]
        assert roughness(around(heard, rate, 12, lost)) <= smooth(sound)


@pytest.mark.parametrize("rate", RATES)
def test_one_lost_frame_is_as_loud_as_its_neighbours(rate: int) -> None:
    for sound in (vowel(rate, 0.4), hiss(rate, 0.4)):
        for ahead in (False, True):
            heard = hear(sound, rate, {10}, ahead=ahead)
            frame = slice(10 * rate // 50, 11 * rate // 50)
            # Noise of two ends does not add up where they meet: 3 dB less in the middle.
            assert 0.65 * level(sound) < level(heard[frame]) < 1.2 * level(sound)


@pytest.mark.parametrize("rate", RATES)
def test_a_long_gap_gets_quieter_and_then_silent(rate: int) -> None:
    sound = vowel(rate, 0.5)
    heard = hear(sound, rate, set(range(10, 20)))
    step = rate // 100
    levels = [level(heard[at : at + step]) for at in range(10 * rate // 50, 20 * rate // 50, step)]
    assert levels[0] > 0.8 * level(sound)
    assert all(later <= 1.1 * earlier for earlier, later in pairwise(levels))
    assert levels[3] < 0.9 * levels[0]
    assert not any(levels[GONE_MS // 10 :])
    assert heard[-rate // 50 * 4 :] == sound[-rate // 50 * 4 :], "and then goes on as it came"


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("pitch", [85.0, 120.0, 210.0, 290.0])
def test_a_vowel_keeps_its_pitch(rate: int, pitch: float) -> None:
    sound = vowel(rate, 0.4, pitch)
    for ahead in (False, True):
        heard = hear(sound, rate, {10}, ahead=ahead)
        start = 10 * rate // 50
        piece = heard[start - rate // 100 : start + rate // 50]

        def unlike(lag: int, piece: array[int] = piece) -> float:
            return sum((piece[at] - piece[at - lag]) ** 2 for at in range(lag, len(piece))) / (len(piece) - lag)

        exact = rate / pitch
        found = min(range(round(exact * 0.8), round(exact * 1.25)), key=unlike)
        assert found == pytest.approx(exact, rel=0.03, abs=1.0)


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_goes_through_a_gap_nearly_unharmed(rate: int) -> None:
    sound = wave(rate, 0.4, lambda t: 8000 * math.sin(math.tau * 440 * t))
    heard = hear(sound, rate, {10}, ahead=True)
    error = array("h", [one - other for one, other in zip(heard, sound, strict=True)])
    assert level(error[10 * rate // 50 : 11 * rate // 50]) < 0.2 * level(sound)
    assert not any(error[11 * rate // 50 :])


def test_a_gap_of_plain_silence_would_click() -> None:
    sound = chord(8000, 0.5)
    holed = sound[:1920] + array("h", bytes(320)) + sound[2080:]
    assert roughness(around(holed, 8000, 12, 1)) > 1.3 * smooth(sound)


def test_silence_stays_silence() -> None:
    for rate in RATES:
        concealer = Concealer(rate)
        assert concealer.lost() is SILENCE, "nothing was heard yet"
        for _ in range(5):
            concealer.good(bytes(frame_bytes(rate)))
        assert concealer.lost() is SILENCE
        assert not any(concealer.bridge(1, bytes(frame_bytes(rate))))
        assert not any(concealer.good(bytes(frame_bytes(rate))))


def test_speech_after_silence_and_after_a_long_gap_fades_in() -> None:
    rate = 8000
    sound = array("h", [6000] * 1600)
    heard = hear(sound, rate, set(range(2, 8)))
    step = max(abs(one - other) for one, other in pairwise(heard))
    assert step < 400


def planned(sound: array[int], rate: int, first: int, missing: int, comes: int) -> array[int]:
    """Return what is heard where so many frames are believed to be missing, but only the first `comes` of them are."""
    size = frame_bytes(rate)
    frames = [sound.tobytes()[at : at + size] for at in range(0, 2 * len(sound) - size + 1, size)]
    concealer = Concealer(rate)
    heard = array("h", b"".join(concealer.good(frame) for frame in frames[:first]))
    for number in range(first, first + comes):
        heard.frombytes(concealer.bridge(first + missing - number, frames[first + missing]))
    heard.frombytes(b"".join(concealer.good(frame) for frame in frames[first + comes :]))
    return heard


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("missing", [2, 3])
def test_a_gap_of_several_frames_is_filled_from_both_ends(rate: int, missing: int) -> None:
    sound = vowel(rate, 0.5)
    heard = planned(sound, rate, 12, missing, missing)
    assert len(heard) == len(sound)
    assert heard[(12 + missing) * rate // 50 :] == sound[(12 + missing) * rate // 50 :], "nothing has to be joined behind it"
    assert roughness(around(heard, rate, 12, missing)) <= smooth(sound)
    step = rate // 100
    levels = [level(heard[at : at + step]) for at in range(12 * rate // 50, (12 + missing) * rate // 50, step)]
    assert min(levels) > 0.35 * level(sound)
    assert levels[-1] > 0.8 * level(sound), "and not as quiet as it would be without its other end"


@pytest.mark.parametrize("rate", RATES)
def test_a_frame_that_was_believed_to_be_missing_comes_after_all(rate: int) -> None:
    sound = vowel(rate, 0.5)
    heard = planned(sound, rate, 12, 3, 1)
    assert len(heard) == len(sound)
    assert roughness(around(heard, rate, 12, 3)) <= smooth(sound)
    assert heard[14 * rate // 50 :] == sound[14 * rate // 50 :]


@pytest.mark.skipif(bool(lacking("G722")), reason=lacking("G722") or "here")
@pytest.mark.parametrize("pitch", [95.0, 120.0])
def test_g722_is_understood_sooner_after_a_loss(pitch: float) -> None:
    """The far end's predictor has gone on in the gap: what it would have made of that is told ours."""
    rate, size, lost = 16000, frame_bytes(16000), 15
    raw = vowel(rate, 0.5, pitch).tobytes()
    far, exact, stale, told = (codec("G722") for _ in range(4))
    payloads = [far.encode(raw[at : at + size]) for at in range(0, len(raw) - size + 1, size)]
    whole = [exact.decode(payload) for payload in payloads]
    concealer = Concealer(rate)
    for payload in payloads[:lost]:
        stale.decode(payload)
        concealer.good(told.decode(payload))
    assert told.resume is not None
    told.resume(concealer.ahead(b""))

    def harm(used: Codec) -> int:
        heard, right = (array("h", piece) for piece in (used.decode(payloads[lost + 1]), whole[lost + 1]))
        return level(array("h", [one - other for one, other in zip(heard, right, strict=True)]))

    assert harm(told) < 0.85 * harm(stale)


def test_what_is_ahead_goes_on_with_what_was_heard_and_is_not_told_within_a_gap() -> None:
    rate, size = 16000, frame_bytes(16000)
    raw = vowel(rate, 0.2).tobytes()
    concealer = Concealer(rate)
    assert concealer.ahead(b"") == b""
    for at in range(0, 5 * size, size):
        concealer.good(raw[at : at + size])
    ahead = concealer.ahead(b"")
    assert ahead[: 3 * size] == raw[2 * size : 5 * size]
    made = concealer.lost()
    made_up = array("h", ahead[3 * size : 4 * size])
    assert max(abs(one - other) for one, other in zip(made_up, array("h", made), strict=True)) < 10, "but for rounding"
    assert len(ahead) == 5 * size
    assert concealer.ahead(b"") == b""


@pytest.mark.lengthy
@given(st.lists(st.sampled_from(("good", "lost", "bridge")), max_size=40), st.integers(0, 2**32), st.sampled_from(OTHER_RATES))
def test_whatever_is_lost_there_is_a_frame(fates: list[str], seed: int, rate: int) -> None:
    chance = random.Random(seed)
    concealer = Concealer(rate)
    for fate in fates:
        kind = chance.randrange(3)
        frame = (
            chance.randbytes(frame_bytes(rate)) if kind == 0 else bytes(frame_bytes(rate)) if kind == 1
            else array("h", [chance.choice((-32768, 32767))] * (rate // 50)).tobytes()
        )  # fmt: skip
        many = chance.randint(1, MOST_BRIDGED)
        piece = (
            concealer.good(frame) if fate == "good" else concealer.lost() if fate == "lost" else concealer.bridge(many, frame)
        )
        assert piece is SILENCE or len(piece) == frame_bytes(rate)


def test_a_codec_that_conceals_by_itself_is_asked_for_half_a_second() -> None:
    concealer = OwnConcealer(lambda: b"made up")
    assert concealer.lost() is SILENCE
    assert concealer.good(b"frame") == b"frame"
    assert [concealer.bridge(1, b"frame") for _ in range(OWN_LIMIT)] == [b"made up"] * OWN_LIMIT
    assert concealer.lost() is SILENCE
