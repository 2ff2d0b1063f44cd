"""Another codec in the middle of a call: sound goes on without a gap, for everybody who hears it; and the meters of a call."""

from __future__ import annotations

import math
from array import array
from itertools import pairwise
from typing import Any

import pytest
from virtual_media import Pair, Weather

from offhook.media.codecs import codec
from offhook.media.codecs.kinds import kind_of, missing
from offhook.media.messages import (
    AudioFrames,
    ConfigureStream,
    Detect,
    DigitReceived,
    MeterStream,
    OpenAudio,
    OpenStream,
    SendDigits,
    SetBridge,
    SetTap,
    StartPlayback,
    StartRecording,
    StreamLevels,
    ToneHeard,
)
from offhook.media.receiving import Receiver
from offhook.media.rtp import HEADER, PLAIN
from offhook.testing import ears
from offhook.testing.badnet import FAR

NUMBERS = {"PCMU": 0, "PCMA": 8, "G722": 9, "OPUS": 111, "L16/16000": 96, "L16/48000": 97}


def skip_without(*names: str) -> None:
    for name in names:
        if reason := missing(name):
            pytest.skip(reason)


def speaking(name: str) -> dict[str, Any]:
    number, clock = NUMBERS[name], kind_of(name).format[1]
    return {"codec": name, "payload_type": number, "receive_types": ((number, name),), "clock_rate": clock}


def change(pair: Pair, name: str, *, answer_after: float = 0.1) -> None:
    """Do what two phones do: who asks understands both codecs at once, and speaks the new one when the answer is here."""
    before = pair.engines[0].streams["c"]._config
    assert before is not None
    both = dict(before.receive_types) | {NUMBERS[name]: name}
    pair.configure(0, codec=before.codec, payload_type=before.payload_type, receive_types=tuple(both.items()),
                   clock_rate=before.clock_rate)  # fmt: skip
    pair.run(answer_after / 2)
    pair.configure(1, **speaking(name))
    pair.run(answer_after / 2)
    pair.configure(0, **speaking(name))


@pytest.mark.lengthy
@pytest.mark.parametrize("weather", [Weather(), Weather(delay=0.05, jitter=0.06)], ids=["calm", "rough"])
@pytest.mark.parametrize("names", [("PCMU", "OPUS", "G722"), ("G722", "PCMU", "L16/48000"), ("OPUS", "PCMA", "OPUS")])
def test_a_tone_goes_on_over_changes_of_codec(names: tuple[str, ...], weather: Weather) -> None:
    skip_without(*names)
    pair = Pair(weather, **speaking(names[0]))
    for side, frequency in ((0, 1000.0), (1, 600.0)):
        pair.do(1 - side, StartRecording("c", "/rec", "/rec", "stereo"))
        pair.do(side, StartPlayback("c", "p", "tone", frequencies=(frequency,)))
    pair.run(2.0)
    for name in names[1:]:
        change(pair, name)
        pair.run(2.0)
    for side, frequency in ((0, 600.0), (1, 1000.0)):
        recorder = pair.studios[side].recorders["/rec"]
        assert recorder.rate == kind_of(names[0]).make("").rate, "as it began"
        heard = b"".join(recorder.far[50:])
        assert ears.longest_gap_ms(heard, recorder.rate, below_db=10.0) <= 20
        for start in (0.5, 2.6, 4.7):
            piece = recorder.far[50 * round(start * 10) // 10 :][:40]
            assert ears.dominant_frequency(b"".join(piece), recorder.rate) == pytest.approx(frequency, abs=4)
        stats = pair.engines[side].streams["c"].statistics()
        assert (stats.packets_lost, pair.engines[side].streams["c"].garbage) == (0, 0), "everything is understood"


def test_on_the_wire_nothing_is_missing_and_the_number_changes_once() -> None:
    pair = Pair(**speaking("PCMU"))
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(1000.0,)))
    pair.run(1.0)
    change(pair, "L16/48000")
    pair.run(1.0)
    headers = [HEADER.unpack_from(packet) for side, port, packet in pair.sent if side == 0 and port == 4000]
    assert all((after[2] - before[2]) & 0xFFFF == 1 for before, after in pairwise(headers))
    kinds = [header[1] & 0x7F for header in headers]
    assert kinds == [0] * kinds.count(0) + [97] * kinds.count(97)
    assert min(kinds.count(0), kinds.count(97)) >= 45
    assert len({header[4] for header in headers}) == 1


def test_lost_packets_about_the_change_are_concealed() -> None:
    pair = Pair(**speaking("PCMU"))
    pair.do(1, StartRecording("c", "/rec", "/rec", "stereo"))
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(500.0,)))
    pair.run(2.0)
    change(pair, "L16/16000")
    pair.weather.loss = 1.0
    pair.run(0.040)
    pair.weather.loss = 0.0
    pair.run(1.0)
    stats = pair.engines[1].streams["c"].statistics()
    assert (stats.packets_lost, stats.packets_late) == (2, 0)
    assert ears.longest_gap_ms(b"".join(pair.studios[1].recorders["/rec"].far[50:]), below_db=12.0) <= 40


@pytest.mark.lengthy
def test_who_hears_a_call_goes_on_hearing_it_at_the_new_rate() -> None:
    """A program, a detector, the other member of a conference, and a tap."""
    pair = Pair(**speaking("PCMU"))
    for name, port in (("mate", 4100), ("boss", 4200)):
        pair.do(1, OpenStream(name, port, name))
        config = pair.engines[1].streams["c"]._config
        assert config is not None
        pair.do(1, ConfigureStream(name, config))
    pair.do(1, SetBridge("room", ("c", "mate")))
    pair.do(1, SetTap("c", "boss", "far", "none"))
    pair.do(1, OpenAudio("c", "ear", 16000, speak=False))
    pair.do(1, Detect("c", ("dtmf", "beep")))
    for name in ("mate", "boss"):
        pair.do(1, StartRecording(name, name, f"/{name}", "stereo"))
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(1000.0,)))
    pair.run(1.0)
    change(pair, "L16/48000")
    pair.run(1.0)
    pair.do(0, SendDigits("c", "d", "5", method="inband"))
    pair.run(1.0)
    for name in ("mate", "boss"):
        near = b"".join(pair.studios[1].recorders[f"/{name}"].near[20:90])
        assert ears.longest_gap_ms(near, below_db=10.0) <= 20, name
        assert ears.dominant_frequency(near[-8000:]) == pytest.approx(1000.0, abs=4)
    frames = [frame for report in pair.of(1, AudioFrames) for frame in report.frames if frame[0] == "ear"]
    assert [frame[1] for frame in frames] == list(range(len(frames)))
    assert {len(frame[2]) for frame in frames} == {640}
    assert ears.longest_gap_ms(b"".join(frame[2] for frame in frames[20:90]), 16000, below_db=10.0) <= 20
    assert [(digit.digit, digit.method) for digit in pair.of(1, DigitReceived)] == [("5", "inband")]
    assert len([tone for tone in pair.of(1, ToneHeard) if tone.stream == "c"]) <= 1, "one tone, whatever carries it"


def test_a_digit_as_a_tone_ends_with_the_codec_it_was_made_for() -> None:
    pair = Pair(**speaking("PCMU"))
    pair.do(0, SendDigits("c", "d", "5", method="inband", duration_ms=1000))
    pair.run(0.5)
    pair.configure(0, **speaking("L16/48000"))
    pair.configure(1, **speaking("L16/48000"))
    pair.run(2.0)
    assert len({len(packet) for side, port, packet in pair.sent if side == 0 and port == 4000}) == 2


# --- meters --------------------------------------------------------------------------------------------------------


def test_levels_of_both_ways_at_the_rate_that_was_asked_for() -> None:
    pair = Pair(**speaking("L16/16000"))
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(1000.0,)))
    pair.run(1.0)
    for side in (0, 1):
        pair.do(side, MeterStream("c", 100, 2000))
    pair.run(3.0)
    here, there = pair.of(0, StreamLevels), pair.of(1, StreamLevels)
    assert len(here) == len(there) == 20, "two seconds, and no longer"
    for levels, loud, silent in ((here, "near_db", "far_db"), (there, "far_db", "near_db")):
        assert [getattr(each, loud) for each in levels] == pytest.approx([-16.0] * 20, abs=0.3)
        assert {getattr(each, silent) for each in levels} == {-96.0}


def test_a_meter_that_is_ended_and_one_that_is_replaced() -> None:
    pair = Pair()
    pair.do(0, MeterStream("c", 100, 60_000))
    pair.run(0.5)
    count = len(pair.of(0, StreamLevels))
    assert count in (4, 5)
    pair.do(0, MeterStream("c", 1000, 60_000))
    pair.run(2.1)
    assert len(pair.of(0, StreamLevels)) == count + 2
    pair.do(0, MeterStream("c", 1000, 0))
    pair.run(2.0)
    assert len(pair.of(0, StreamLevels)) == count + 2
    assert not pair.engines[0].streams["c"]._has_work, "and it costs nothing any more"


def test_levels_of_a_call_on_hold_and_while_digits_go_out() -> None:
    pair = Pair()
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(1000.0,)))
    pair.do(0, MeterStream("c", 100, 60_000))
    pair.run(0.5)
    pair.do(0, SendDigits("c", "d", "5", duration_ms=400))
    pair.run(0.4)
    assert pair.of(0, StreamLevels)[-2].near_db == -96.0, "an event is no sound"
    pair.configure(0, direction="inactive")
    count = len(pair.of(0, StreamLevels))
    pair.run(1.0)
    held = pair.of(0, StreamLevels)[count + 1 :]
    assert len(held) >= 8
    assert {(each.near_db, each.far_db) for each in held} == {(-96.0, -96.0)}


@pytest.mark.parametrize(("name", "longer_ms"), [("G722", 40), ("G722", 60), ("OPUS", 60)])
def test_a_far_end_that_goes_on_with_longer_packets_is_heard_as_it_spoke(name: str, longer_ms: int) -> None:
    """A longer packet is decoded when it comes, and those before it, which wait, are before it then: the decoder remembers."""
    skip_without(name)
    far = codec(name)
    step = far.rate // 50
    tone = array("h", [int(9000 * math.sin(2 * math.pi * 440 * place / far.rate)) for place in range(90 * step)]).tobytes()
    receiver = Receiver(lambda _: None, lambda: None, lambda _: None, lambda *_: None)
    receiver.configure({96: codec(name)}, {})
    receiver.listen(True)
    receiver.expect(FAR, False, 0.0)
    begun, packets, sizes = 0, [], [1] * 30 + [longer_ms // 20] * (60 * 20 // longer_ms)
    for number, size in enumerate(sizes):
        payload = far.encode(tone[2 * step * begun : 2 * step * (begun + size)])
        head = HEADER.pack(PLAIN, 96, number, begun * far.clock_rate // 50, 7)
        packets.append((0.02 * begun, head + payload))
        begun += size
    heard = b""
    for tick in range(95):
        while packets and packets[0][0] <= 0.02 * tick + 0.007:
            receiver.receive(packets[0][1], FAR, packets.pop(0)[0])
        receiver.hear(0.02 * tick + 0.007)
        heard += receiver.far
    whole = array("h", heard)
    # A tone that goes on has no bend: each sample follows from the two before it.
    bend = 2 * math.cos(2 * math.pi * 440 / far.rate)
    bends = [abs(whole[place] - bend * whole[place - 1] + whole[place - 2]) for place in range(10 * step, 85 * step)]
    assert max(bends) < 4 * sorted(bends)[len(bends) * 9 // 10] + 200
