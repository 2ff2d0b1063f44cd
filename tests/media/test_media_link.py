"""Audio links in virtual time: what a program says is heard, cleared, marked, and never grows without bound."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_media import Pair

from offhook.media import pcm, rates
from offhook.media.link import Link, Links
from offhook.media.messages import (
    MARKS_LIMIT,
    SPEAK_LIMIT_MS,
    AudioCleared,
    AudioClosed,
    AudioFrames,
    AudioMarkReached,
    AudioOverrun,
    AudioRate,
    AudioUnderrun,
    ClearAudio,
    CloseAudio,
    CloseStream,
    MarkAudio,
    MediaReport,
    OpenAudio,
    OpenStream,
    SetBridge,
    SetStreamMute,
    StartPlayback,
    StartRecording,
    WriteAudio,
)
from offhook.media.rates import Rates, Shares
from offhook.media.sources import SILENCE
from offhook.testing import ears

R = TypeVar("R")
RATES = get_args(AudioRate)


def sine(frequency: float, rate: int, seconds: float, amplitude: int = 8000) -> bytes:
    step = math.tau * frequency / rate
    return array("h", (round(amplitude * math.sin(step * place)) for place in range(int(rate * seconds)))).tobytes()


LEVEL = 20 * math.log10(8000 / 32767)


class Talk(Pair):
    """A pair whose links are easy to use: side 0 speaks on "mouth", side 1 hears on "ear"."""

    def open(self, side: int, audio: str, rate: Any = 8000, *, hear: bool = True, speak: bool = True) -> None:
        self.do(side, OpenAudio("c", audio, rate, hear, speak))

    def write(self, pcm: bytes, audio: str = "mouth", side: int = 0) -> None:
        self.do(side, WriteAudio("c", audio, pcm))

    def frames(self, side: int, audio: str) -> list[tuple[int, bytes, int]]:
        return [frame[1:] for report in self.of(side, AudioFrames) for frame in report.frames if frame[0] == audio]

    def heard(self, audio: str = "ear", side: int = 1) -> bytes:
        return b"".join(pcm for _, pcm, _ in self.frames(side, audio))


@pytest.mark.lengthy
@pytest.mark.parametrize("rate", RATES)
def test_a_tone_arrives_at_its_frequency_and_level(rate: AudioRate) -> None:
    talk = Talk()
    talk.open(0, "mouth", rate, hear=False)
    talk.open(1, "ear", rate, speak=False)
    talk.write(sine(440, rate, 1.5))
    talk.run(1.4)
    frames = talk.frames(1, "ear")
    assert [number for number, _, _ in frames] == list(range(70))
    assert {len(pcm) for _, pcm, _ in frames} == {rate // 50 * 2}
    middle = talk.heard()[rate // 2 * 2 : rate * 2]
    assert ears.dominant_frequency(middle, rate) == pytest.approx(440, abs=0.5)
    assert ears.level_dbfs(middle) == pytest.approx(LEVEL, abs=0.2)


@pytest.mark.lengthy
@pytest.mark.parametrize("rate", [16000, 24000, 48000])
def test_a_written_tone_has_no_images(rate: AudioRate) -> None:
    """What leaves the far end's filter carries G.711's noise, some -38 dB in all; an image would be one strong line in it."""
    talk = Talk()
    talk.open(0, "mouth", rate, hear=False)
    talk.open(1, "ear", rate, speak=False)
    talk.write(sine(440, rate, 1.5))
    talk.run(1.4)
    middle = array("h", talk.heard()[rate // 2 * 2 : rate * 2])
    tone = level(middle, 440, rate)
    for place in range(8000, rate // 2 + 1, 8000):
        for image in (place - 440, place + 440):
            if image < rate / 2:
                assert 20 * math.log10(max(level(middle, image, rate), 1e-6) / tone) < -50


def level(samples: array[int], frequency: float, rate: int) -> float:
    total = sum(sample * complex(math.cos(angle), -math.sin(angle)) for place, sample in enumerate(samples)
                for angle in (math.tau * frequency * place / rate,))  # fmt: skip
    return 2 * abs(total) / len(samples)


def test_the_clock_is_steady_while_nobody_sends() -> None:
    talk = Talk()
    talk.configure(0, direction="inactive")
    talk.open(0, "ear", 16000)
    talk.run(0.2)
    assert [frame[:2] for frame in talk.frames(0, "ear")] == [(number, bytes(640)) for number in range(10)]


def test_loss_is_concealed_and_no_frame_is_missing() -> None:
    talk = Talk()
    talk.weather.loss = 0.2
    talk.open(0, "mouth")
    talk.open(1, "ear")
    talk.write(sine(440, 8000, 2.1))
    talk.run(2.0)
    assert [number for number, _, _ in talk.frames(1, "ear")] == list(range(100))
    assert ears.dominant_frequency(talk.heard()[4000:]) == pytest.approx(440, abs=4)


def test_clear_silences_the_next_frame_and_says_how_much_was_played() -> None:
    talk = Talk()
    talk.open(0, "mouth", 16000, hear=False)
    talk.write(sine(440, 16000, 1.0))
    talk.do(0, MarkAudio("c", "mouth", "end"))
    talk.run(0.4)
    talk.sent.clear()
    talk.do(0, ClearAudio("c", "mouth"))
    assert talk.of(0, AudioCleared) == [AudioCleared("c", "mouth", 400, 600, ("end",))]
    talk.run(0.1)
    payloads = [packet[12:] for side, port, packet in talk.sent if side == 0 and port == 4000]
    quiet = {0xFF, 0x7F}
    # It fades out in 5 ms, and the filter has a tail of 4; then nothing.
    assert set(payloads[0][80:]) <= quiet
    assert all(set(payload) <= quiet for payload in payloads[1:])
    assert talk.of(0, AudioMarkReached) == []
    assert talk.of(0, AudioUnderrun) == [], "it did not run dry, it was stopped"


@pytest.mark.parametrize("rate", [8000, 24000])
def test_what_is_cleared_breaks_off_without_a_click(rate: AudioRate) -> None:
    talk = Talk(codec="L16/8000", payload_type=96, receive_types=((96, "L16/8000"),))
    talk.open(0, "mouth", rate, hear=False)
    talk.write(sine(440, rate, 2.0))
    talk.run(0.51)
    talk.do(0, ClearAudio("c", "mouth"))
    talk.run(0.1)
    sent = pcm.swapped(b"".join(packet[12:] for side, port, packet in talk.sent if side == 0 and port == 4000))
    assert ears.click(sent[2000:], 440) < 0.1
    assert not any(sent[-1280:])


def test_what_is_cleared_on_hold_is_not_heard_afterwards() -> None:
    talk = Talk()
    talk.open(0, "mouth", hear=False)
    talk.write(sine(440, 8000, 2.0))
    talk.run(0.5)
    talk.configure(0, direction="inactive")
    talk.do(0, ClearAudio("c", "mouth"))
    talk.run(0.1)
    talk.sent.clear()
    talk.configure(0)
    talk.run(0.1)
    assert all(set(packet[12:]) <= {0xFF, 0x7F} for side, port, packet in talk.sent if side == 0 and port == 4000)


def test_after_a_clear_it_goes_on_with_what_is_new() -> None:
    talk = Talk()
    talk.open(0, "mouth")
    talk.open(1, "ear")
    talk.write(sine(440, 8000, 5.0))
    talk.run(0.2)
    talk.do(0, ClearAudio("c", "mouth"))
    talk.write(sine(1000, 8000, 1.0))
    talk.run(1.0)
    assert ears.dominant_frequency(talk.heard()[6400:]) == pytest.approx(1000, abs=1)
    talk.do(0, ClearAudio("c", "mouth"))
    assert [(report.played_ms, report.dropped_ms) for report in talk.of(0, AudioCleared)] == [(200, 4800), (1200, 0)]


def test_marks_come_in_order_when_they_have_been_played() -> None:
    talk = Talk()
    talk.open(0, "mouth", 16000)
    talk.do(0, MarkAudio("c", "mouth", "at once"))
    assert talk.of(0, AudioMarkReached) == [AudioMarkReached("c", "mouth", "at once", 0)]
    for milliseconds, name in ((100, "a"), (7, "b"), (0, "c"), (200, "d")):
        talk.write(sine(440, 16000, milliseconds / 1000))
        talk.do(0, MarkAudio("c", "mouth", name))
    talk.run(0.1)
    assert [report.name for report in talk.of(0, AudioMarkReached)] == ["at once", "a"]
    talk.run(0.02)
    assert [report.name for report in talk.of(0, AudioMarkReached)] == ["at once", "a", "b", "c"]
    talk.run(0.3)
    assert [report.played_ms for report in talk.of(0, AudioMarkReached)] == [0, 100, 107, 107, 307]


def test_underrun_is_told_once_each_time() -> None:
    talk = Talk()
    talk.open(0, "mouth")
    talk.run(0.1)
    assert talk.of(0, AudioUnderrun) == [], "nothing was ever written"
    talk.write(sine(440, 8000, 0.04))
    talk.run(0.2)
    talk.write(sine(440, 8000, 0.05))
    talk.run(0.2)
    assert talk.of(0, AudioUnderrun) == [AudioUnderrun("c", "mouth", 40), AudioUnderrun("c", "mouth", 90)]


def test_overrun_refuses_what_does_not_fit_and_is_told_once_a_second() -> None:
    talk = Talk()
    talk.open(0, "mouth", 16000, hear=False)
    second = bytes(32000)
    for _ in range(SPEAK_LIMIT_MS // 1000 + 3):
        talk.write(second)
    talk.run(0.1)
    assert talk.of(0, AudioOverrun) == [AudioOverrun("c", "mouth", "speak", 3000)]
    # Counted as gone, so that its writer knows what waits: 3 s refused, and what was played.
    assert talk.frames(0, "mouth")[-1][2] == 3 * 32000 + 5 * 640
    for _ in range(25):
        talk.write(second)
        talk.run(0.02)
    assert len(talk.of(0, AudioOverrun)) == 1
    talk.run(1.0)
    assert [report.dropped_ms for report in talk.of(0, AudioOverrun)] == [3000, 25000 - 100 - 24 * 20]
    talk.do(0, ClearAudio("c", "mouth"))
    assert talk.of(0, AudioCleared)[0].dropped_ms <= SPEAK_LIMIT_MS


def test_what_the_writer_held_back_is_told_too() -> None:
    talk = Talk()
    talk.open(0, "mouth", 16000)
    talk.do(0, WriteAudio("c", "mouth", b"", refused=3200))
    talk.run(0.02)
    assert talk.of(0, AudioOverrun) == [AudioOverrun("c", "mouth", "speak", 100)]


def test_a_flood_of_marks_is_bounded() -> None:
    talk = Talk()
    talk.open(0, "mouth")
    talk.write(sine(440, 8000, 0.5))
    for number in range(MARKS_LIMIT + 44):
        talk.do(0, MarkAudio("c", "mouth", str(number)))
    talk.run(0.6)
    assert [report.name for report in talk.of(0, AudioMarkReached)] == [str(number) for number in range(MARKS_LIMIT)]
    assert talk.of(0, AudioOverrun) == [AudioOverrun("c", "mouth", "speak", 0, 44)]


@pytest.mark.lengthy
@pytest.mark.parametrize("rate", RATES)
def test_bytes_may_be_cut_anywhere(rate: AudioRate) -> None:
    talk = Talk()
    talk.open(0, "mouth", rate)
    talk.open(1, "ear", rate)
    whole = sine(440, rate, 1.0)
    for start in range(0, len(whole), 333):
        talk.write(whole[start:start + 333])
    talk.run(1.0)
    assert ears.dominant_frequency(talk.heard()[rate // 2:], rate) == pytest.approx(440, abs=1)
    assert ears.level_dbfs(talk.heard()[rate // 2:]) == pytest.approx(LEVEL, abs=0.3)


def test_half_a_sample_waits_for_the_other_half() -> None:
    talk = Talk()
    talk.open(0, "mouth", hear=False)
    talk.write(b"\1")
    talk.do(0, MarkAudio("c", "mouth", "m"))
    talk.run(0.1)
    assert talk.of(0, AudioUnderrun) == []
    assert [report.name for report in talk.of(0, AudioMarkReached)] == ["m"]
    talk.write(b"\2")
    talk.run(0.1)
    assert talk.frames(0, "mouth")[-1][2] == 2
    talk.do(0, ClearAudio("c", "mouth"))
    assert talk.of(0, AudioCleared)[0].dropped_ms == 0


def test_several_links_hear_the_same_and_their_talk_is_mixed() -> None:
    talk = Talk()
    for name, rate, frequency in (("bot", 16000, 440), ("prompter", 8000, 1300)):
        talk.open(0, name, rate)
        talk.write(sine(frequency, rate, 1.5), name)
    talk.open(0, "monitor", 8000, speak=False)
    talk.open(1, "ear")
    talk.open(1, "ear 2")
    talk.run(1.0)
    heard = array("h", talk.heard()[8000:])
    assert talk.heard() == talk.heard("ear 2")
    for frequency in (440, 1300):
        assert 20 * math.log10(level(heard, frequency, 8000) / 8000) == pytest.approx(0.0, abs=0.3)
    assert len(talk.frames(0, "monitor")) == 50
    talk.do(0, CloseAudio("c", "bot"))
    talk.run(0.6)
    heard = array("h", talk.heard()[-4800:-1600])
    assert level(heard, 440, 8000) < 100 < 7000 < level(heard, 1300, 8000)


def test_it_mixes_with_a_playback_and_is_recorded_and_mute_is_for_the_microphone() -> None:
    talk = Talk()
    talk.do(0, SetStreamMute("c", True))
    talk.do(0, StartRecording("c", "r", "/r.wav", "stereo"))
    talk.do(0, StartPlayback("c", "p", "tone", frequencies=(1300.0,), gain_db=-12.0))
    talk.open(0, "mouth")
    talk.open(1, "ear")
    talk.write(sine(440, 8000, 1.0))
    talk.run(1.0)
    heard = array("h", talk.heard()[8000:])
    near = array("h", b"".join(talk.studios[0].recorders["/r.wav"].near)[8000:])
    for frequency in (440, 1300):
        assert level(heard, frequency, 8000) > 1500
        assert level(near, frequency, 8000) > 1500


def test_nothing_is_played_on_hold_and_it_goes_on_afterwards() -> None:
    talk = Talk()
    talk.open(0, "mouth")
    talk.write(sine(440, 8000, 0.5))
    talk.run(0.1)
    talk.configure(0, direction="inactive")
    talk.run(1.0)
    assert talk.frames(0, "mouth")[-1][2] == 1600
    assert talk.of(0, AudioUnderrun) == []
    talk.configure(0)
    talk.run(0.5)
    assert talk.of(0, AudioUnderrun) == [AudioUnderrun("c", "mouth", 500)]


def test_a_link_ends_with_its_stream_or_by_itself() -> None:
    talk = Talk()
    talk.open(0, "one", 16000)
    talk.open(0, "two")
    talk.write(bytes(32000), "one")
    talk.run(0.1)
    talk.do(0, CloseAudio("c", "two"))
    talk.do(0, CloseStream("c"))
    assert talk.of(0, AudioClosed) == [AudioClosed("c", "two"), AudioClosed("c", "one", 100, 900)]
    talk.write(bytes(99), "one")
    for command in (ClearAudio("c", "one"), MarkAudio("c", "one", "m"), CloseAudio("c", "one")):
        talk.do(0, command)
    talk.run(0.1)
    assert len(talk.of(0, AudioClosed)) == 2
    assert not talk.of(0, AudioCleared)
    assert not talk.of(0, AudioMarkReached)


def test_a_link_that_cannot_be_opened_is_closed_with_the_reason() -> None:
    talk = Talk()
    talk.open(0, "b")
    talk.open(0, "b")
    talk.open(0, "c", 44100)
    assert [(report.audio, report.error) for report in talk.of(0, AudioClosed)] == [
        ("b", "already open"), ("c", "an audio link has 8000, 16000, 24000 or 48000 Hz"),
    ]  # fmt: skip
    talk.run(0.1)
    assert len(talk.frames(0, "b")) == 5, "the first one lives on"


def test_a_link_may_be_opened_and_written_to_before_its_stream() -> None:
    talk = Talk()
    talk.do(0, CloseStream("c"))
    talk.open(0, "mouth", 16000)
    talk.open(0, "given up")
    talk.open(1, "ear")
    talk.write(sine(440, 16000, 0.5))
    talk.do(0, MarkAudio("c", "mouth", "said"))
    talk.do(0, CloseAudio("c", "given up"))
    talk.run(0.2)
    assert not talk.frames(0, "mouth")
    talk.do(0, OpenStream("c", 4000, "again@test"))
    talk.configure(0)
    talk.run(1.6)
    assert len(talk.frames(0, "mouth")) == 80
    assert talk.of(0, AudioMarkReached) == [AudioMarkReached("c", "mouth", "said", 500)]
    assert ears.dominant_frequency(talk.heard().strip(b"\0")) == pytest.approx(440, abs=2)
    assert [report.audio for report in talk.of(0, AudioClosed)] == ["given up"]


def test_a_link_that_was_opened_to_hear_does_not_speak() -> None:
    talk = Talk()
    talk.open(0, "mouth", speak=False)
    talk.open(1, "ear")
    talk.write(sine(440, 8000, 1.0))
    talk.run(0.5)
    assert not any(talk.heard())


def test_the_frames_follow_a_stream_into_another_phase() -> None:
    talk = Talk()
    talk.open(0, "ear", 8000)
    talk.run(0.1)
    talk.do(0, SetBridge("b", ("c",)))
    talk.run(0.1)
    assert [number for number, _, _ in talk.frames(0, "ear")] == list(range(10))


@dataclass
class FakeStream:
    """What a link needs of a stream."""

    name: str = "c"
    phase: int = 0
    far: bytes = SILENCE
    near: bytes = SILENCE
    tapped: bool = False
    voices: tuple[Link, ...] = field(default=())
    shares: Shares = field(default_factory=lambda: Shares(Rates(lambda: False)))

    def heard_at(self, rate: int) -> bytes:
        return self.far if rate == 8000 else self.shares.at(self.far, 8000, rate)

    def near_at(self, rate: int) -> bytes:
        return self.near if rate == 8000 else self.shares.at(self.near, 8000, rate)

    def set_voices(self, voices: tuple[Link, ...], *, tapped: bool) -> None:
        self.voices, self.tapped = voices, tapped


def test_the_last_two_milliseconds_come_out_of_the_filter_too() -> None:
    stream = FakeStream()
    links = Links(lambda report: None, Rates(lambda: False))
    links.execute(OpenAudio("c", "a", 16000), stream)
    links.execute(WriteAudio("c", "a", sine(440, 16000, 0.02)), stream)
    (link,) = stream.voices
    first, tail = link.speak(8000), link.speak(8000)
    assert any(first[-32:])
    assert any(tail[:32])
    assert link.speak(8000) is SILENCE


def test_numpy_is_used_as_soon_as_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    plain = rates.plain_filter

    def noted(kind: str) -> Any:
        def make(rate_in: int, rate_out: int) -> rates.Filter:
            used.append(kind)
            return plain(rate_in, rate_out)

        return make

    monkeypatch.setattr(rates, "plain_filter", noted("plain"))
    monkeypatch.setattr(rates, "fast_filter", noted("fast"))
    asked: list[int] = []

    def loaded() -> bool:
        asked.append(1)
        return len(asked) > 2

    every = Rates(loaded)
    stream = FakeStream(far=sine(440, 8000, 0.02), shares=Shares(every))
    links = Links(lambda report: None, every)
    links.execute(OpenAudio("c", "a", 8000), stream)
    links.tick(0)
    assert asked == [], "8 kHz needs no filter"
    links.execute(OpenAudio("c", "b", 16000), stream)
    links.execute(OpenAudio("c", "d", 16000), stream)
    for _ in range(5):
        links.tick(0)
        stream.shares.turn()
    assert used == ["plain", "fast"]
    assert len(asked) == 3


STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 4000)),
    st.tuples(st.just("mark"), st.just(0)),
    st.tuples(st.just("clear"), st.just(0)),
    st.tuples(st.just("tick"), st.integers(1, 8)),
)


@pytest.mark.lengthy
@given(st.sampled_from(RATES), st.lists(STEPS, max_size=60))
def test_whatever_a_program_does_the_books_balance(rate: AudioRate, steps: list[tuple[str, int]]) -> None:
    said: list[MediaReport] = []
    stream = FakeStream()
    links = Links(said.append, Rates(lambda: False))
    links.execute(OpenAudio("c", "a", rate, hear=False), stream)
    (link,) = stream.voices
    written = names = 0
    for step, amount in steps:
        if step == "write":
            links.execute(WriteAudio("c", "a", bytes(amount)), stream)
            written += amount
        elif step == "mark":
            links.execute(MarkAudio("c", "a", str(names)), stream)
            names += 1
        elif step == "clear":
            links.execute(ClearAudio("c", "a"), stream)
        for _ in range(amount if step == "tick" else 0):
            assert len(link.speak(8000)) == 320
            links.tick(0)
    gone = [frame[3] for report in said if isinstance(report, AudioFrames) for frame in report.frames]
    assert gone == sorted(set(gone)), "only news is told"
    for _ in range(written // (rate // 25) + 3):
        link.speak(8000)
        links.tick(0)
    gone = [frame[3] for report in said if isinstance(report, AudioFrames) for frame in report.frames]
    assert not written or written - (gone[-1] if gone else 0) in (0, 1), "but for half a sample"
    reached = [int(report.name) for report in said if isinstance(report, AudioMarkReached)]
    cleared = [int(name) for report in said if isinstance(report, AudioCleared) for name in report.marks]
    assert reached == sorted(reached)
    assert sorted(reached + cleared) == list(range(names))
    played = [report.played_ms for report in said if isinstance(report, AudioMarkReached | AudioCleared | AudioUnderrun)]
    assert played == sorted(played)
    assert link.played_ms <= written // (rate // 500)
