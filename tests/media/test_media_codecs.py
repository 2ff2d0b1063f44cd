"""Every codec: tones keep frequency and level, lengths are what they say, and nothing that comes from the network harms."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from virtual_media import Pair, Weather, level
from voice import frames, sine, voice

from offhook.media.codecs import Codec, codec, opus_library
from offhook.media.codecs import opus as opus_module
from offhook.media.codecs.kinds import KINDS, kind_of, missing, usable
from offhook.media.codecs.opus import Opus, has_copy, parameters
from offhook.media.messages import AudioFrames, OpenAudio, StartPlayback, StartRecording, StreamFailed, WriteAudio
from offhook.media.rtp import HEADER
from offhook.media.sources import FRAMES_A_SECOND, silence
from offhook.testing import ears

TONE = 7336.0


def chosen(name: str, fmtp: str = "") -> Codec:
    if reason := missing(name):
        pytest.skip(reason)
    return codec(name, fmtp)


def through(name: str, audio: bytes) -> tuple[Codec, bytes]:
    """Return what comes out behind a codec's both ends."""
    out, back = chosen(name), chosen(name)
    return out, b"".join(back.decode(out.encode(frame)) for frame in frames(audio, out.rate))


@pytest.mark.parametrize("name", KINDS)
def test_a_tone_keeps_its_frequency_and_level(name: str) -> None:
    rate = chosen(name).rate
    _, heard = through(name, sine(1000.0, 1500, rate))
    assert ears.dominant_frequency(heard[rate:], rate) == pytest.approx(1000.0, abs=2)
    assert level([heard[rate:]], 1000.0, rate) == pytest.approx(TONE, rel=0.12)


@pytest.mark.parametrize(
    ("name", "frequency"), [("G722", 6000.0), ("OPUS", 10_000.0), ("OPUS/16000", 6000.0), ("L16/16000", 7500.0)]
)
def test_wideband_codecs_carry_what_a_telephone_does_not(name: str, frequency: float) -> None:
    rate = chosen(name).rate
    _, heard = through(name, sine(frequency, 1500, rate))
    assert level([heard[rate:]], frequency, rate) > 0.5 * TONE


@pytest.mark.parametrize("name", KINDS)
def test_frames_have_the_length_they_say(name: str) -> None:
    out, back = chosen(name), chosen(name)
    assert kind_of(out.name).format[1] == out.clock_rate
    assert kind_of(out.name).payload_type == out.payload_type
    for frame in (silence(out.rate), *frames(voice(100, out.rate), out.rate)):
        payload = out.encode(frame)
        assert len(payload) == out.frame_payload or not out.frame_payload
        assert out.units(payload) * FRAMES_A_SECOND == out.clock_rate
        assert len(back.decode(payload)) == len(frame)


@pytest.mark.parametrize("name", KINDS)
def test_hostile_payloads_do_no_harm(name: str) -> None:
    back = chosen(name)

    @given(st.lists(st.binary(max_size=400), max_size=8))
    @example([b"\x00", b"\xff", b"\xff" * 3, b"\x03\x00", b"\x03\x3f", b"\x03\xff" + bytes(50), bytes(1276), bytes(1277)])
    @example([b"\xfc" + bytes(60_000), b"\x03\x81\xff\xff", b"\x0b" + b"\x41" * 1500])
    def holds(payloads: list[bytes]) -> None:
        for payload in payloads:
            units = back.units(payload)
            assert units >= 0
            if not payload or not units:
                continue
            made = back.decode(payload)
            assert len(made) % 2 == 0
            assert len(made) == units * back.rate // back.clock_rate * 2
            if back.recover is not None:
                assert len(back.recover(payload)) in (0, back.rate // 25)
            if back.conceal is not None:
                assert len(back.conceal()) == back.rate // 25

    holds()


def test_names_of_others_are_understood() -> None:
    assert kind_of("opus/48000/2").name == kind_of("Opus").name == "OPUS"
    assert kind_of("PCMA/8000/1").name == "PCMA"
    assert kind_of("G722/16000/1").name == kind_of("g.722").name == "G722"
    assert kind_of("L16").name == "L16/16000"
    assert kind_of("opus/16000").name == "OPUS/16000"
    for name in ("", "G729", "opus/11025", "PCMU/16000", "L16/44100/2", "x" * 10_000):
        with pytest.raises(LookupError):
            kind_of(name)
        assert missing(name).startswith("there is no codec")
        assert len(missing(name)) < 300


def test_what_is_not_installed_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "G722", None)
    monkeypatch.setitem(sys.modules, "av", None)
    assert missing("amr") == "AMR needs a package that is not installed: pip install 'offhook[codecs]'"
    assert missing("g722") == "G722 needs a package that is not installed: pip install 'offhook[g722]'"
    assert "G722" not in usable()

    def nothing() -> object:
        raise opus_library.Missing("libopus is not on this machine")

    monkeypatch.setattr(opus_library, "library", nothing)
    assert missing("opus/16000") == "OPUS/16000 needs a package that is not installed: pip install 'offhook[opus]'"
    assert usable() == ("PCMU", "PCMA", "L16/8000", "L16/16000", "L16/48000")
    pair = Pair()
    pair.configure(0, codec="OPUS", payload_type=96, receive_types=((96, "OPUS"),))
    assert [report.reason for report in pair.of(0, StreamFailed)] == [missing("OPUS")]


@pytest.mark.parametrize("place", range(3))
def test_any_libopus_will_do(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the package, the system's, PyAV's: each that is here."""
    places = list(opus_library._places())
    if place >= len(places):
        pytest.skip("fewer places on this machine")
    monkeypatch.setattr(opus_library, "_places", lambda: iter(["/nowhere/libopus.so", places[place]]))
    opus_library.library.cache_clear()
    try:
        if reason := missing("OPUS"):
            pytest.skip(reason)
        both = codec("OPUS/16000")
        frame = sine(440.0, 20, 16000)
        assert len(both.decode(both.encode(frame))) == len(frame)
        assert "opus" in opus_library.version().lower()
    finally:
        opus_library.library.cache_clear()


# --- Opus ----------------------------------------------------------------------------------------------------------


@pytest.mark.lengthy
def test_a_lost_frame_comes_back_from_the_packet_after_it() -> None:
    out, back = chosen("OPUS/16000", "useinbandfec=1"), chosen("OPUS/16000")
    assert isinstance(out, Opus)
    audio = frames(voice(4000, 16000), 16000)
    out.encode(audio[0])
    out.expect_loss(0.1)
    packets = [out.encode(frame) for frame in audio]
    copies = [place for place, packet in enumerate(packets) if has_copy(packet) and place > 10]
    assert len(copies) > 50
    straight = [chosen("OPUS/16000")]
    whole = [straight[0].decode(packet) for packet in packets]
    assert back.recover is not None
    assert back.conceal is not None
    place = copies[len(copies) // 2]
    for packet in packets[: place - 1]:
        back.decode(packet)
    recovered = back.recover(packets[place])
    guessing = chosen("OPUS/16000")
    for packet in packets[: place - 1]:
        guessing.decode(packet)
    assert guessing.conceal is not None
    guessed = guessing.conceal()
    assert _distance(recovered, whole[place - 1]) < 0.7 * _distance(guessed, whole[place - 1])


def _distance(one: bytes, other: bytes) -> float:
    return math.dist(memoryview(one).cast("h").tolist(), memoryview(other).cast("h").tolist())


def test_without_the_far_ends_wish_there_are_no_copies() -> None:
    out = chosen("OPUS/16000")
    assert isinstance(out, Opus)
    audio = frames(voice(1000, 16000), 16000)
    out.encode(audio[0])
    out.expect_loss(0.2)
    assert not any(has_copy(out.encode(frame)) for frame in audio)


@pytest.mark.lengthy
def test_heavy_loss_makes_packets_smaller() -> None:
    out = chosen("OPUS")
    assert isinstance(out, Opus)
    audio = frames(voice(1000, 48000), 48000)
    before = sum(len(out.encode(frame)) for frame in audio)
    out.expect_loss(0.3)
    assert sum(len(out.encode(frame)) for frame in audio) < 0.95 * before


def test_copies_have_bits_of_their_own_within_what_the_far_end_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen("OPUS/16000")
    inner, told = opus_library.Encoder.set, dict[int, int]()

    def noted(encoder: opus_library.Encoder, what: int, value: int) -> None:
        told[what] = value
        inner(encoder, what, value)

    monkeypatch.setattr(opus_library.Encoder, "set", noted)
    rates = {}
    for fmtp in ("", "useinbandfec=1", "useinbandfec=1;maxaveragebitrate=31000"):
        out = chosen("OPUS/16000", fmtp)
        assert isinstance(out, Opus)
        out.encode(silence(16000))
        for loss in (0.0, 0.05, 0.2):
            out.expect_loss(loss)
            rates[fmtp, loss] = told[opus_library.SET_BITRATE]
    plain = opus_module.BITRATES[16000]
    assert [rates["", loss] for loss in (0.0, 0.05, 0.2)] == [plain, plain, plain * 4 // 5]
    assert [rates["useinbandfec=1", loss] for loss in (0.0, 0.05, 0.2)] == [plain, plain * 6 // 5, plain * 24 // 25]
    assert max(rate for (fmtp, _), rate in rates.items() if "max" in fmtp) == 31_000


def test_silence_is_not_sent_where_the_far_end_wants_that() -> None:
    quiet, told = chosen("OPUS", "usedtx=1"), chosen("OPUS")
    sent = [quiet.encode(silence(48000)) for _ in range(100)]
    assert sum(map(bool, sent)) < 30
    assert all(told.encode(silence(48000)) for _ in range(100))


@pytest.mark.parametrize(("fmtp", "rate"), [
    ("maxplaybackrate=8000", 8000), ("maxplaybackrate=16000;stereo=1", 16000), ("maxplaybackrate=20000", 24000),
    ("maxplaybackrate=1", 8000), ("maxplaybackrate=999999999", 48000), ("maxplaybackrate=-3", 48000), ("", 48000),
])  # fmt: skip
def test_no_more_is_sent_than_the_far_end_plays(fmtp: str, rate: int) -> None:
    assert chosen("OPUS", fmtp).rate == rate


@pytest.mark.lengthy
def test_the_far_ends_bitrate_is_a_limit() -> None:
    audio = frames(voice(1000, 48000), 48000)
    sizes = {}
    for fmtp in ("", "maxaveragebitrate=16000", "maxaveragebitrate=510000", "maxaveragebitrate=1"):
        out = chosen("OPUS", fmtp)
        sizes[fmtp] = sum(len(out.encode(frame)) for frame in audio)
    assert sizes["maxaveragebitrate=1"] < sizes["maxaveragebitrate=16000"] < sizes[""] == sizes["maxaveragebitrate=510000"]


@pytest.mark.lengthy
def test_constant_bitrate() -> None:
    out = chosen("OPUS", "cbr=1")
    assert len({len(out.encode(frame)) for frame in frames(voice(1000, 48000), 48000)}) == 1


@pytest.mark.parametrize("text", ["", ";", "=", "a", "a=b", "maxplaybackrate=", "x=١", "x=9999999999", "=5;;"])
def test_broken_parameters_are_left_out(text: str) -> None:
    assert {name: value for name, value in parameters(text).items() if name} == {}


def test_parameters() -> None:
    assert parameters(" MaxPlaybackRate = 16000 ; useinbandfec=1;stereo=0") == {
        "maxplaybackrate": 16000, "useinbandfec": 1, "stereo": 0
    }  # fmt: skip


def test_durations_are_those_of_the_rfc() -> None:
    """RFC 6716 3.1, table 2."""
    assert len(opus_module.DURATIONS) == 32
    assert opus_module.DURATIONS[:4] == (480, 960, 1920, 2880)
    assert opus_module.DURATIONS[12:16] == (480, 960, 480, 960)
    assert opus_module.DURATIONS[28:] == (120, 240, 480, 960)


# --- AMR -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["AMR", "AMR/OCTETS"])
@pytest.mark.parametrize(("fmtp", "size"), [("", 31.75), ("mode-set=0,2,4", 19.75), ("mode-set=0", 13.125)])
def test_amr_packets_are_as_long_as_the_rfc_says(name: str, fmtp: str, size: float) -> None:
    """RFC 4867 4.3.5: 10 bits before the speech; 4.4.5: 16, and the speech is filled up to octets."""
    out = chosen(name, fmtp)
    payload = out.encode(sine(440.0, 20, 8000))
    bits = {31.75: 244, 19.75: 148, 13.125: 95}[size]
    assert len(payload) == (-(-(bits + 10) // 8) if name == "AMR" else 2 + -(-bits // 8))
    assert payload[0] >> 4 == 15, "no mode is requested"
    assert out.units(payload) == 160


def test_both_forms_of_amr_carry_the_same_speech() -> None:
    plain, aligned = chosen("AMR"), chosen("AMR/OCTETS")
    audio = frames(voice(1000, 8000), 8000)
    heard = [[each.decode(each.encode(frame)) for frame in audio] for each in (plain, aligned)]
    assert heard[0] == heard[1]


@pytest.mark.parametrize("name", ["AMR", "AMR/OCTETS"])
def test_amr_frames_that_go_together(name: str) -> None:
    out, back, single = chosen(name), chosen(name), chosen(name)
    audio = voice(600, 8000)
    together = b"".join(back.decode(out.encode(audio[start:start + 960])) for start in range(0, len(audio), 960))
    alone = b"".join(single.decode(payload) for payload in map(chosen(name).encode, frames(audio, 8000)))
    assert together == alone


@pytest.mark.parametrize(
    "payload", [b"", b"\xf0", b"\xf0\x3c", b"\xf0\xbc" * 20, b"\xf4\xbc", b"\xff" * 40, b"\xf0\x48" + bytes(40)]
)
@pytest.mark.parametrize("name", ["AMR", "AMR/OCTETS"])
def test_broken_amr_is_told(name: str, payload: bytes) -> None:
    back = chosen(name)
    assert back.units(payload) == len(back.decode(payload)) // 2
    assert back.units(payload) in (0, 160)


def mode_of(payload: bytes, name: str) -> int:
    """Return the mode of the first frame (RFC 4867 4.3.2, 4.4.2)."""
    bits = int.from_bytes(payload[:2], "big")
    return bits >> (3 if name == "AMR/OCTETS" else 7) & 0x0F


def requesting(payload: bytes, mode: int) -> bytes:
    return bytes((mode << 4 | payload[0] & 0x0F,)) + payload[1:]


def modes_after(name: str, fmtp: str, request: int, count: int = 1) -> list[int]:
    """Return the modes of `count` frames that are sent after a payload with this request was heard."""
    speaking, hearing, far = chosen(name, fmtp), chosen(name), chosen(name)
    assert hearing.steer is not None
    hearing.steer(speaking)
    sound = sine(440.0, 20, 8000)
    speaking.encode(sound)
    hearing.units(requesting(far.encode(sound), request))
    return [mode_of(speaking.encode(sound), name) for _ in range(count)]


@pytest.mark.parametrize("name", ["AMR", "AMR/OCTETS"])
@pytest.mark.parametrize(
    ("fmtp", "request_", "mode"),
    [("", 0, 0), ("", 4, 4), ("", 7, 7), ("", 15, 7), ("mode-set=0,2,4", 7, 4), ("mode-set=0,2,4", 3, 2),
     ("mode-set=2,4", 1, 2), ("mode-set=0,2,4", 15, 4), ("", 8, 7), ("", 14, 7)],
)  # fmt: skip
def test_amr_is_sent_in_no_better_mode_than_the_far_end_requests(name: str, fmtp: str, request_: int, mode: int) -> None:
    assert modes_after(name, fmtp, request_) == [mode]


def test_an_amr_request_holds_until_the_next_one_and_what_is_none_is_ignored() -> None:
    speaking, hearing = chosen("AMR"), chosen("AMR")
    assert hearing.steer is not None
    hearing.steer(speaking)
    sound = sine(440.0, 20, 8000)
    said = []
    for request in (1, 9, 13, 5, 15):
        hearing.units(requesting(chosen("AMR").encode(sound), request))
        said.append(mode_of(speaking.encode(sound), "AMR"))
    assert said == [1, 1, 1, 5, 7]
    hearing.units(bytes((2 << 4,)))  # no payload at all
    assert mode_of(speaking.encode(sound), "AMR") == 7
    hearing.steer(chosen("PCMU"))
    hearing.units(requesting(chosen("AMR").encode(sound), 0))


def test_the_mode_of_amr_changes_as_the_far_end_can_follow() -> None:
    """RFC 4867 8.1: only in every other frame, and only to the next mode of the set."""
    assert modes_after("AMR", "mode-change-period=2", 0, 4) == [7, 0, 0, 0]
    assert modes_after("AMR", "mode-change-neighbor=1;mode-set=0,2,4,7", 0, 4) == [4, 2, 0, 0]
    assert modes_after("AMR", "mode-change-period=2; mode-change-neighbor=1", 5, 6) == [7, 6, 6, 5, 5, 5]


@pytest.mark.parametrize("name", ["AMR", "AMR/OCTETS"])
def test_amr_asks_for_slower_modes_while_much_is_lost(name: str) -> None:
    out, back = chosen(name, "mode-set=0,2,4"), chosen(name)
    assert out.ask is not None
    sound = sine(440.0, 20, 8000)
    asked = []
    for lost in (0.0, 0.06, 0.5, 0.5, 0.03, 0.0, 0.01, 0.0):
        out.ask(lost)
        payload = out.encode(sound)
        asked.append(payload[0] >> 4)
        assert back.units(payload) == 160
    assert asked == [15, 2, 0, 0, 0, 2, 15, 15]


@pytest.mark.lengthy
def test_two_phones_with_amr_slow_down_on_a_bad_line_and_come_back() -> None:
    """What side 0 loses makes it ask; side 1 obeys in what it sends, and only that."""
    pair = Pair(Weather(loss=0.15), **speaking("AMR"))
    pair.run(25.0)
    bad = [mode_of(packet[12:], "AMR") for side, port, packet in pair.sent if side == 1 and port == 4000][-20:]
    assert max(bad) < 7
    pair.weather = Weather()
    pair.run(70.0)
    good = [mode_of(packet[12:], "AMR") for side, port, packet in pair.sent if side == 1 and port == 4000][-20:]
    assert set(good) == {7}


# --- in streams ----------------------------------------------------------------------------------------------------


def speaking(name: str, number: int = 111, **more: Any) -> dict[str, Any]:
    if reason := missing(name):
        pytest.skip(reason)
    return {"codec": name, "payload_type": number, "receive_types": ((number, name),),
            "clock_rate": kind_of(name).format[1], **more}  # fmt: skip


@pytest.mark.lengthy
@pytest.mark.parametrize("name", ["G722", "OPUS", "OPUS/16000"])
@pytest.mark.parametrize("weather", [Weather(), Weather(loss=0.03, double=0.1, jitter=0.04)])
def test_a_call(name: str, weather: Weather) -> None:
    pair = Pair(weather, **speaking(name))
    pair.do(1, StartRecording("c", "/rec", "/rec", "stereo"))
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(1000.0,)))
    pair.run(3.0)
    recorder = pair.studios[1].recorders["/rec"]
    far = recorder.far[30:]
    assert level(far, 1000.0, recorder.rate) > 3 * max(level(far, 700.0, recorder.rate), level(far, 1300.0, recorder.rate))
    statistics = pair.engines[1].streams["c"].statistics()
    assert statistics.packets_received + statistics.packets_lost >= 148
    if not weather.loss:
        assert level(far, 1000.0, recorder.rate) == pytest.approx(TONE, rel=0.12)
        assert (statistics.packets_lost, statistics.packets_late) == (0, 0)


@pytest.mark.parametrize("ptime", [20, 40, 60])
@pytest.mark.parametrize("name", ["PCMU", "G722", "OPUS"])
def test_longer_packets(name: str, ptime: int) -> None:
    pair = Pair(**speaking(name, ptime_ms=ptime))
    pair.do(1, StartRecording("c", "/rec", "/rec", "stereo"))
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(1000.0,)))
    pair.run(1.8)
    recorder = pair.studios[1].recorders["/rec"]
    assert level(recorder.far[40:], 1000.0, recorder.rate) == pytest.approx(TONE, rel=0.12)
    sent = [packet for side, port, packet in pair.sent if side == 0 and port == 4000]
    assert len(sent) == pytest.approx(1800 / ptime, abs=1)


@pytest.mark.slow
def test_copies_are_sent_once_the_far_end_tells_of_loss_and_heard_when_packets_are_lost() -> None:
    pair = Pair(Weather(), **speaking("OPUS/16000", fmtp="useinbandfec=1"))
    pair.do(0, OpenAudio("c", "mouth", 16000, hear=False))
    pair.do(1, OpenAudio("c", "ear", 16000, speak=False))
    pair.do(0, WriteAudio("c", "mouth", voice(20_000, 16000)))
    recovered = 0
    receiver = pair.engines[1].streams["c"]._receiver
    pair.run(1.0)
    back = receiver._codecs[111]
    inner = back.recover
    assert inner is not None

    def counted(payload: bytes) -> bytes:
        nonlocal recovered
        found = inner(payload)
        recovered += bool(found)
        return found

    back.recover = counted  # type: ignore[misc]
    pair.weather.loss = 0.1
    pair.run(19.0)
    assert recovered > 10
    assert all(len(pcm) == 640 for report in pair.of(1, AudioFrames) for _, _, pcm, _ in report.frames)


@pytest.mark.lengthy
def test_silence_that_is_not_sent_is_no_loss() -> None:
    pair = Pair(**speaking("OPUS", fmtp="usedtx=1"))
    pair.do(1, StartRecording("c", "/rec", "/rec", "stereo"))
    pair.run(4.0)
    statistics = pair.engines[1].streams["c"].statistics()
    assert statistics.packets_received < 100
    assert statistics.packets_lost == 0
    headers = [HEADER.unpack_from(packet) for side, port, packet in pair.sent if side == 0 and port == 4000]
    assert (headers[-1][3] - headers[0][3]) & 0xFFFFFFFF > 3 * 48_000, "the timestamp goes on meanwhile"
    assert headers[-1][1] & 0x80, "the first packet after a pause has the marker"


@pytest.mark.lengthy
def test_garbage_in_a_call_is_counted() -> None:
    pair = Pair(direction="recvonly")
    pair.configure(1, **speaking("OPUS"))
    pair.do(1, OpenAudio("c", "ear", 48000, speak=False))
    payloads = [b"\x03\x00", b"\xff\xff", b"\x03\xff", bytes(1400), b"\xfc" * 5]
    for number in range(200):
        packet = HEADER.pack(0x80, 111, number, 960 * number, 7) + payloads[number % 5]
        pair.inject(1, 4000, packet, ("10.0.0.1", 4000))
        pair.run(0.020)
    assert pair.engines[1].streams["c"].garbage > 100
    assert {len(pcm) for report in pair.of(1, AudioFrames) for _, _, pcm, _ in report.frames} == {1920}


def test_silence_itself_is_encoded_by_codecs_with_a_memory() -> None:
    pair = Pair(**speaking("G722"))
    pair.run(1.0)
    sent = [packet[12:] for side, port, packet in pair.sent if side == 0 and port == 4000]
    assert {len(payload) for payload in sent} == {160}
    reference = chosen("G722")
    assert sent == [reference.encode(bytes(640)) for _ in sent]
    assert max(map(abs, memoryview(pair.engines[1].streams["c"].far).cast("h"))) < 30
