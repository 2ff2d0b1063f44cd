"""Streams of other rates than 8 kHz: among themselves, with others, with the sound card, files, tones and programs."""

from __future__ import annotations

import math
from array import array
from itertools import pairwise
from typing import Any

import pytest
from msgspec import structs
from virtual_media import CONFIG, FakeCard, Pair, level

from offhook.media.messages import (
    AttachSound,
    AudioFrames,
    ConfigureStream,
    DigitReceived,
    OpenAudio,
    OpenStream,
    PlayLocalTone,
    SendDigits,
    SetBridge,
    SetLoopback,
    StartPlayback,
    StartRecording,
    StreamFailed,
    StreamStats,
    WriteAudio,
)
from offhook.media.rtp import HEADER
from offhook.testing import ears

TONE = 7336.0  # what one sine of a playback has: -13 dBFS


def wide(name: str = "L16/16000", number: int = 96) -> dict[str, Any]:
    rate = int(name.split("/")[1])
    return {"codec": name, "payload_type": number, "receive_types": ((number, name), (0, "PCMU")), "clock_rate": rate}


def sine(frequency: float, milliseconds: int, rate: int) -> bytes:
    step = math.tau * frequency / rate
    return array("h", (round(TONE * math.sin(step * place)) for place in range(rate * milliseconds // 1000))).tobytes()


def record(pair: Pair, side: int = 1, path: str = "/rec") -> None:
    pair.do(side, StartRecording("c", path, path, "stereo"))


def far(pair: Pair, side: int = 1, path: str = "/rec", skip: int = 20) -> list[bytes]:
    return pair.studios[side].recorders[path].far[skip:]


@pytest.mark.parametrize("name", ["L16/8000", "L16/16000", "L16/48000"])
def test_a_tone_keeps_frequency_and_level(name: str) -> None:
    pair = Pair(**wide(name))
    rate = int(name.split("/")[1])
    record(pair)
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(3000.0,)))
    pair.run(2.0)
    assert pair.studios[1].recorders["/rec"].rate == rate
    assert level(far(pair), 3000.0, rate) == pytest.approx(TONE, rel=0.01)
    headers = [HEADER.unpack_from(packet) for side, port, packet in pair.sent if side == 0 and port == 4000]
    assert {(after[3] - before[3]) & 0xFFFFFFFF for before, after in pairwise(headers)} == {rate // 50}
    (stats,) = pair.of(1, StreamStats)[:1] or [pair.engines[1].streams["c"].statistics()]
    assert (stats.packets_lost, stats.packets_late) == (0, 0)


def test_a_lost_packet_is_concealed_at_the_codecs_rate() -> None:
    pair = Pair(**wide())
    record(pair)
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(440.0,)))
    pair.run(1.0)
    pair.weather.loss = 1.0
    pair.run(0.020)
    pair.weather.loss = 0.0
    pair.run(1.0)
    assert all(any(frame) for frame in far(pair))
    assert pair.engines[1].streams["c"].statistics().packets_lost == 1


def conference(pair: Pair, names: tuple[str, str]) -> None:
    """Join the streams c (to engine 1) and d (to a second stream there) in a bridge of engine 0."""
    for side, other in ((0, 1), (1, 0)):
        pair.configure(side, **(wide(names[0]) if "/" in names[0] else {}))
        pair.do(side, OpenStream("d", 5000, "d"))
        config = structs.replace(CONFIG, remote=(f"10.0.0.{1 + other}", 5000), remote_rtcp=(f"10.0.0.{1 + other}", 5001))
        changes = wide(names[1], 97) if "/" in names[1] else {}
        pair.do(side, ConfigureStream("d", structs.replace(config, **changes)))
    pair.do(0, SetBridge("b", ("c", "d")))


@pytest.mark.parametrize("names", [("PCMU", "L16/16000"), ("L16/16000", "PCMA"), ("L16/48000", "L16/16000")])
def test_a_conference_of_two_rates_passes_a_tone_both_ways(names: tuple[str, str]) -> None:
    pair = Pair()
    conference(pair, names)
    pair.do(1, StartRecording("c", "/c", "/c"))
    pair.do(1, StartRecording("d", "/d", "/d"))
    pair.do(1, StartPlayback("c", "p", "tone", frequencies=(700.0,)))
    pair.do(1, StartPlayback("d", "p", "tone", frequencies=(1900.0,)))
    pair.run(2.0)
    for path, heard, own in (("/c", 1900.0, 700.0), ("/d", 700.0, 1900.0)):
        rate = pair.studios[1].recorders[path].rate
        frames = far(pair, 1, path)
        assert level(frames, heard, rate) == pytest.approx(TONE, rel=0.05)
        assert level(frames, own, rate) < 0.01 * TONE, "nobody hears themselves, but for the noise of G.711"


def test_what_the_narrow_side_cannot_carry_does_not_alias() -> None:
    pair = Pair()
    conference(pair, ("L16/16000", "PCMU"))
    pair.do(1, StartRecording("d", "/d", "/d"))
    pair.do(1, OpenAudio("c", "mouth", 16000, hear=False))
    step = sine(5500.0, 1000, 16000)
    pair.do(1, WriteAudio("c", "mouth", step * 2))
    pair.run(1.8)
    assert ears.level_dbfs(b"".join(far(pair, 1, "/d", 40))) < -55


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("name", ["PCMU", "L16/16000"])
def test_the_sound_card_works_at_its_own_rate(name: str, rate: int) -> None:
    pair = Pair(**(wide(name) if "/" in name else {}))
    card = pair.studios[1].card = FakeCard(rate)
    pair.do(1, AttachSound("c", True))
    record(pair, 0)
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(1000.0,)))
    tone = sine(600.0, 20, rate)  # a whole number of periods
    card.mic = tone
    pair.run(1.5)
    assert level(card.played[20:], 1000.0, rate) == pytest.approx(TONE, rel=0.03)
    own = pair.studios[0].recorders["/rec"].rate
    assert ears.dominant_frequency(b"".join(far(pair, 0)), own) == pytest.approx(600.0, abs=2)
    pair.do(1, PlayLocalTone("busy"))
    pair.run(0.3)


def test_a_card_that_turns_to_silence_is_silent() -> None:
    pair = Pair(**wide())
    pair.studios[1].card = FakeCard(48000)
    pair.do(1, AttachSound("c", True))
    pair.run(0.5)
    assert not any(b"".join(pair.studios[1].card.played))


@pytest.mark.lengthy
@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_a_program_hears_and_speaks_at_its_own_rate(rate: int) -> None:
    pair = Pair(**wide())
    pair.do(0, OpenAudio("c", "mouth", rate, hear=False))  # type: ignore[arg-type]
    pair.do(1, OpenAudio("c", "ear", rate))  # type: ignore[arg-type]
    pair.do(1, OpenAudio("c", "other", 16000))
    pair.do(0, WriteAudio("c", "mouth", sine(1000.0, 2000, rate)))
    pair.run(1.5)
    heard = [pcm for report in pair.of(1, AudioFrames) for name, _, pcm, _ in report.frames if name == "ear"]
    assert {len(frame) for frame in heard} == {rate // 25}
    assert ears.dominant_frequency(b"".join(heard[20:]), rate) == pytest.approx(1000.0, abs=1)


def test_tones_of_digits_come_out_at_the_streams_rate() -> None:
    pair = Pair(**wide())
    record(pair)
    pair.do(0, SendDigits("c", "r", "159#", "inband"))
    pair.run(2.5)
    assert ears.decode_dtmf(b"".join(far(pair, skip=0)), 16000) == "159#"


@pytest.mark.parametrize("clock", [8000, 16000, 48000])
def test_telephone_events_count_their_clock(clock: int) -> None:
    pair = Pair(**wide("L16/16000"), event_clock=clock, receive_events=((101, clock),))
    pair.do(0, SendDigits("c", "r", "42", "rtp", duration_ms=100))
    pair.run(1.5)
    assert [(report.digit, report.duration_ms) for report in pair.of(1, DigitReceived)] == [("4", 100), ("2", 100)]
    payloads = [packet[12:] for side, _, packet in pair.sent if side == 0 and len(packet) == 16 and packet[1] & 0x7F == 101]
    assert max(int.from_bytes(payload[2:], "big") for payload in payloads) == clock // 10


def test_an_echo_comes_back_at_the_rate_that_is_sent() -> None:
    pair = Pair()
    pair.configure(0, codec="PCMU", payload_type=0, receive_types=((96, "L16/16000"),))
    pair.configure(1, **wide())
    pair.do(1, SetLoopback("c", True))
    record(pair, 0)
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(440.0,)))
    pair.run(2.0)
    assert level(far(pair, 0, skip=30), 440.0, 8000) == pytest.approx(TONE, rel=0.05)


def test_the_codec_changes_in_the_middle_of_the_call() -> None:
    """A re-INVITE: recording and playback go on at the rate they began with, the sound keeps its frequency."""
    pair = Pair()
    record(pair)
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(1000.0,)))
    pair.run(1.0)
    for side in (0, 1):
        pair.configure(side, **wide())
    pair.run(1.0)
    frames = pair.studios[1].recorders["/rec"].far
    assert pair.studios[1].recorders["/rec"].rate == 8000
    assert len(frames) == 100
    for part in (frames[20:48], frames[70:98]):
        assert level(part, 1000.0) == pytest.approx(TONE, rel=0.05)
    for side in (0, 1):
        pair.configure(side)
    pair.run(1.0)
    assert level(pair.studios[1].recorders["/rec"].far[120:148], 1000.0) == pytest.approx(TONE, rel=0.05)


def test_the_far_end_changes_its_payload_type_by_itself() -> None:
    pair = Pair()
    pair.configure(1, receive_types=((96, "L16/16000"), (0, "PCMU")))
    pair.do(1, OpenAudio("c", "ear", 16000, speak=False))
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(1000.0,)))
    pair.run(1.0)
    pair.configure(0, **wide())
    pair.run(1.0)
    heard = [pcm for report in pair.of(1, AudioFrames) for _, _, pcm, _ in report.frames]
    for part in (heard[20:48], heard[70:98]):
        assert level(part, 1000.0, 16000) == pytest.approx(TONE, rel=0.05)
    assert pair.engines[1].streams["c"].garbage == 0


def test_pieces_of_other_lengths_are_put_together() -> None:
    pair = Pair(direction="recvonly")
    pair.configure(1, **wide())
    pair.do(1, OpenAudio("c", "ear", 16000, speak=False))
    samples = array("h", sine(1000.0, 2000, 16000))
    samples.byteswap()
    audio, start = samples.tobytes(), 0
    for number in range(60):
        packet = HEADER.pack(0x80, 96, number, 4711 + start // 2, 7) + audio[start:start + 960]
        start += 960
        pair.inject(1, 4000, packet, ("10.0.0.1", 4000))
        pair.run(0.030)
    heard = [pcm for report in pair.of(1, AudioFrames) for _, _, pcm, _ in report.frames]
    assert {len(frame) for frame in heard} == {640}
    assert ears.dominant_frequency(b"".join(heard[10:80]), 16000) == pytest.approx(1000.0, abs=1)


def test_an_unknown_codec_changes_nothing() -> None:
    pair = Pair()
    pair.configure(0, codec="L16/11025", payload_type=99, receive_types=((99, "L16/11025"),))
    assert [report.reason for report in pair.of(0, StreamFailed)] == ["no such codec: L16/11025"]
    pair.do(1, StartRecording("c", "/rec", "/rec"))
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(440.0,)))
    pair.run(1.0)
    assert any(b"".join(far(pair)))
