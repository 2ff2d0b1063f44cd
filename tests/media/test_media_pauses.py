"""Pauses: described instead of sent, and heard as noise of the level that was told."""

from __future__ import annotations

import pytest
from virtual_media import Pair, SeededIds
from voice import frames, sine, voice

from offhook.media import pcm
from offhook.media.comfort import Background, build, parse
from offhook.media.messages import SendDigits, StartPlayback, StartRecording, StopPlayback, StreamStalled
from offhook.media.negotiate import LocalMedia, accept_answer, make_answer, make_offer
from offhook.media.pauses import HANGOVER_FRAMES, REPEAT_FRAMES, Pause, Pauses, level_dbov
from offhook.media.rtp import HEADER
from offhook.media.sources import SILENCE


def noise(level: float, count: int, seed: int = 1) -> list[bytes]:
    maker = Pause(8000, SeededIds(seed))
    maker.describe(build(Background(round(level))))
    return [maker.frame() for _ in range(count)]


def test_a_pause_is_described_once_and_now_and_then_again() -> None:
    pauses = Pauses()
    said = [pauses.hear(SILENCE) for _ in range(HANGOVER_FRAMES + REPEAT_FRAMES + 10)]
    assert said[:HANGOVER_FRAMES] == [None] * HANGOVER_FRAMES
    rest = said[HANGOVER_FRAMES:]
    assert [place for place, each in enumerate(rest) if each] == [0, REPEAT_FRAMES]
    assert set(rest) == {b"", bytes((90,))}


@pytest.mark.parametrize("level", [-70, -55, -45])
def test_the_level_of_the_background_is_told(level: int) -> None:
    pauses = Pauses()
    told = [payload for frame in noise(level, 200) if (payload := pauses.hear(frame))]
    assert told
    assert parse(told[-1]).level_dbov == pytest.approx(level, abs=2)
    assert len(told) < 8


def test_speech_is_sent_also_before_a_noise() -> None:
    pauses = Pauses()
    background = noise(-50, 400)
    talk = frames(voice(4000, 8000), 8000)
    for frame in background[:150]:
        pauses.hear(frame)
    kept = []
    for place, frame in enumerate(talk):
        mixed = pcm.add(frame, background[150 + place])
        kept.append((level_dbov(frame) > -35, pauses.hear(mixed) is None))
    assert all(sent for loud, sent in kept if loud)
    assert not all(sent for _, sent in kept), "half a second between the syllables is a pause"


def test_a_change_of_the_background_is_told() -> None:
    pauses = Pauses()
    told = [payload for frame in (*noise(-70, 60), *noise(-62, 60)) if (payload := pauses.hear(frame))]
    levels = [parse(payload).level_dbov for payload in told]
    assert levels[0] == pytest.approx(-70, abs=2)
    assert levels[-1] == pytest.approx(-62, abs=3)


def test_noise_follows_what_is_told_without_a_jump() -> None:
    pause = Pause(16000, SeededIds())
    assert pause.describe(build(Background(-60)))
    assert [level_dbov(pause.frame()) for _ in range(20)] == pytest.approx([-60] * 20, abs=1)
    pause.describe(build(Background(-40)))
    levels = [level_dbov(pause.frame()) for _ in range(30)]
    assert levels[0] == pytest.approx(-59, abs=1)
    assert levels[-1] == pytest.approx(-40, abs=1)
    assert len(pause.frame()) == 640
    assert not pause.describe(b"")


# --- in a stream ---------------------------------------------------------------------------------------------------


def test_our_pauses_are_described_and_speech_is_not() -> None:
    pair = Pair()
    pair.configure(0, comfort_noise=True)
    pair.do(1, StartRecording("c", "/rec", "/rec", "stereo"))
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(440.0,)))
    pair.run(1.0)
    pair.do(0, StopPlayback("c", "p"))
    pair.run(5.0)
    pair.do(0, StartPlayback("c", "q", "tone", frequencies=(440.0,)))
    pair.run(1.0)
    headers = [HEADER.unpack_from(packet) for side, port, packet in pair.sent if side == 0 and port == 4000]
    kinds = [second & 0x7F for _, second, *_ in headers]
    assert kinds.count(13) == 3
    assert kinds.count(0) == pytest.approx(100 + HANGOVER_FRAMES, abs=2)
    marked = [place for place, (_, second, *_) in enumerate(headers) if second & 0x80]
    assert marked == [0, kinds.index(0, kinds.index(13))]
    assert (headers[-1][3] - headers[0][3]) & 0xFFFFFFFF == pytest.approx(7 * 8000, abs=400)
    statistics = pair.engines[1].streams["c"].statistics()
    assert statistics.packets_lost == 0
    assert pair.of(1, StreamStalled) == []
    far = pair.studios[1].recorders["/rec"].far
    assert pcm.rms(b"".join(far[120:280])) <= 2
    assert pcm.rms(b"".join(far[-30:-5])) == pytest.approx(7336 / 2**0.5, rel=0.05)


def test_digits_go_out_in_a_pause() -> None:
    pair = Pair()
    pair.configure(0, comfort_noise=True)
    pair.run(2.0)
    pair.do(0, SendDigits("c", "r", "12", "rtp"))
    pair.run(1.5)
    assert [report.digit for report in pair.reports[1] if hasattr(report, "digit")] == ["1", "2"]


@pytest.mark.lengthy
def test_the_far_ends_pause_is_heard_at_its_level_until_it_speaks_again() -> None:
    pair = Pair(direction="recvonly")
    pair.configure(1)
    pair.do(1, StartRecording("c", "/rec", "/rec", "stereo"))
    far, tone = ("10.0.0.1", 4000), frames(sine(440.0, 1000, 8000), 8000)
    number = 0

    def speak() -> None:
        nonlocal number
        for frame in tone:
            packet = HEADER.pack(0x80, 0, number, 160 * (time + number), 7) + pcm.linear_to_ulaw(frame)
            pair.inject(1, 4000, packet, far)
            number += 1
            pair.run(0.020)

    time = 0
    speak()
    pair.inject(1, 4000, HEADER.pack(0x80, 13, number, 160 * number, 7) + build(Background(-50)), far)
    number += 1
    pair.run(5.0)
    assert pair.of(1, StreamStalled) == [], "a pause that was announced is no broken line"
    time = 250
    speak()
    heard = pair.studios[1].recorders["/rec"].far
    assert all(level_dbov(frame) == pytest.approx(-50, abs=2.5) for frame in heard[62:295])
    assert pcm.rms(b"".join(heard[-40:-5])) == pytest.approx(7336 / 2**0.5, rel=0.05)
    assert not pair.engines[1].streams["c"].garbage


@pytest.mark.parametrize("payload", [b"\xff", bytes(200), b"\x00" + b"\xff" * 60])
def test_odd_descriptions_do_no_harm(payload: bytes) -> None:
    pair = Pair(direction="recvonly")
    pair.configure(1)
    pair.do(1, StartRecording("c", "/rec", "/rec", "stereo"))
    for number in range(20):
        pair.inject(1, 4000, HEADER.pack(0x80, 13, number, 160 * number, 7) + payload, ("10.0.0.1", 4000))
        pair.run(0.1)
    assert level_dbov(b"".join(pair.studios[1].recorders["/rec"].far)) <= -19.5


# --- agreeing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs", "codecs", "agreed"), [
    (True, True, ("PCMU",), True), (True, False, ("PCMU",), False), (False, True, ("PCMU",), False),
    (True, True, ("G722",), True), (True, True, ("L16/16000",), False),
])  # fmt: skip
def test_it_takes_both(ours: bool, theirs: bool, codecs: tuple[str, ...], agreed: bool) -> None:
    mine = LocalMedia("192.0.2.1", 30000, codecs, comfort_noise=ours)
    other = LocalMedia("192.0.2.2", 30000, codecs, comfort_noise=theirs)
    offer = make_offer(mine, 1, 1)
    assert (b"a=rtpmap:13 CN/8000" in offer) == (ours and codecs != ("L16/16000",))
    answer, at_theirs = make_answer(other, offer, 1, 1)
    assert accept_answer(mine, offer, answer).comfort_noise == at_theirs.comfort_noise == agreed


def test_a_pause_before_the_first_word_of_another_rate() -> None:
    pair = Pair(direction="recvonly")
    pair.configure(1, codec="L16/16000", payload_type=96, receive_types=((96, "L16/16000"),), clock_rate=16000)
    pair.do(1, StartRecording("c", "/rec", "/rec", "stereo"))
    packets = [HEADER.pack(0x80, 13, 0, 0, 7) + b"\x30"]
    packets += [HEADER.pack(0x80, 96, number, 320 * number, 7) + bytes(640) for number in range(1, 20)]
    for packet in packets:
        pair.inject(1, 4000, packet, ("10.0.0.1", 4000))
        assert len(pair.engines[1].streams["c"].far) in (320, pair.engines[1].streams["c"].far_rate // 25)
        pair.run(0.020)
    assert {len(frame) for frame in pair.studios[1].recorders["/rec"].far} == {640}
