"""All commands of the engine and the reports they bring."""

from __future__ import annotations

from array import array
from itertools import pairwise

import pytest
from virtual_media import CONFIG, ListSource, MemoryStudio, Pair, SeededIds, level

from offhook.errors import ParseError
from offhook.media import engine, pcm
from offhook.media.engine import PHASES, TOGETHER, Engine
from offhook.media.messages import (
    AttachSound,
    CloseStream,
    ConfigureStream,
    DeviceRecovered,
    DevicesListed,
    DigitsDone,
    DigitSent,
    ListDevices,
    OpenStream,
    PausePlayback,
    PauseRecording,
    PlaybackDone,
    PlaybackStarted,
    PlayLocalTone,
    RecordingDone,
    RecordingStarted,
    SelectDevice,
    SendDigits,
    SetBridge,
    SetLevels,
    SetLoopback,
    SetStreamMute,
    StartPlayback,
    StartRecording,
    StopPlayback,
    StopRecording,
    StreamClosed,
    StreamConfig,
    StreamFailed,
)
from offhook.media.sources import SILENCE


def constant(value: int) -> bytes:
    return array("h", [value] * 160).tobytes()


def middle(frame: bytes) -> int:
    return array("h", frame)[80]


class House:
    """One engine with many streams whose far ends are played by the test: what each is sent comes right back decoded."""

    def __init__(self) -> None:
        self.studio = MemoryStudio()
        self.engine = Engine(SeededIds(), self.studio)
        self.now = 0.0
        self.said: dict[str, bytes] = {}
        self.sent: dict[str, bytes] = {}
        self.count = 0

    def open(self, *names: str) -> None:
        for name in names:
            port = 4000 + 2 * len(self.engine.streams)
            self.engine.execute(OpenStream(name, port, "x"), self.now)
            config = StreamConfig(("10.0.0.9", port), ("10.0.0.9", port + 1), "PCMU", 0, ((0, "PCMU"),))
            self.engine.execute(ConfigureStream(name, config), self.now)

    def run(self, frames: int) -> None:
        """Let the far ends say `said`, note in `sent` what they get."""
        from offhook.media.codecs import codec
        from offhook.media.rtp import HEADER

        g711 = codec("PCMU")
        for _ in range(frames):
            for number, (name, stream) in enumerate(self.engine.streams.items()):
                payload = g711.encode(self.said.get(name, SILENCE))
                header = HEADER.pack(0x80, 0, self.count & 0xFFFF, 160 * self.count, number + 1)
                stream.wiring.receive(header + payload, ("10.0.0.9", stream.port), self.now)
            self.count += 1
            for phase in range(PHASES):
                self.now += 0.005
                self.engine.tick(phase, self.now)
            ports = {stream.port: name for name, stream in self.engine.streams.items()}
            for port, packet, _ in self.engine.outbox:
                if port in ports:
                    self.sent[ports[port]] = g711.decode(packet[12:])
            self.engine.outbox.clear()


def test_playback_of_a_file() -> None:
    pair = Pair()
    source = ListSource([b"", b"", *[constant(1000)] * 25])
    pair.studios[0].files["/a.wav"] = source
    pair.do(0, StartPlayback("c", "p", "file", path="/a.wav", gain_db=6.0206))
    pair.do(1, StartRecording("c", "r", "/r", "stereo"))
    pair.run(0.02)
    assert pair.of(0, PlaybackStarted) == []
    pair.run(1.0)
    assert pair.of(0, PlaybackStarted) == [PlaybackStarted("c", "p")]
    assert pair.of(0, PlaybackDone) == [PlaybackDone("c", "p", "finished", 500)]
    assert source.closed
    heard = [middle(frame) for frame in pair.studios[1].recorders["/r"].far]
    assert 24 <= sum(abs(value - 2000) < 100 for value in heard) <= 26


def test_playbacks_that_fail() -> None:
    pair = Pair()
    pair.studios[0].files["/bad.wav"] = ListSource([b"", ParseError("not a WAV file")])
    pair.do(0, StartPlayback("c", "none", "file", path="/none.wav"))
    pair.do(0, StartPlayback("c", "bad", "file", path="/bad.wav"))
    pair.do(0, StartPlayback("c", "high", "tone", frequencies=(99_000.0,)))
    pair.run(0.1)
    done = {report.playback: report for report in pair.of(0, PlaybackDone)}
    assert {report.reason for report in done.values()} == {"failed"}
    assert "No such file" in done["none"].error
    assert done["bad"].error == "not a WAV file"
    assert done["high"].error


def test_playback_replaced_paused_stopped_closed() -> None:
    pair = Pair()
    pair.do(0, StartPlayback("c", "one", "silence"))
    pair.run(0.2)
    pair.do(0, StartPlayback("c", "two", "tone", frequencies=(300.0,)))
    pair.run(0.2)
    pair.do(0, PausePlayback("c", "two", True))
    pair.run(1.0)
    pair.do(0, PausePlayback("c", "two", False))
    pair.run(0.2)
    pair.do(0, StopPlayback("c", "one"))  # over already: nothing happens
    pair.do(0, StopPlayback("c", "two"))
    pair.do(0, StartPlayback("c", "three", "silence", duration_ms=5000))
    pair.run(0.2)
    pair.do(0, CloseStream("c"))
    assert [(report.playback, report.reason, report.played_ms) for report in pair.of(0, PlaybackDone)] == [
        ("one", "replaced", 200), ("two", "stopped", 400), ("three", "closed", 200),
    ]  # fmt: skip


def test_recording_of_both_sides() -> None:
    pair = Pair()
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(400.0,)))
    pair.do(1, StartPlayback("c", "p", "tone", frequencies=(1200.0,)))
    pair.do(0, StartRecording("c", "r", "/r", "stereo"))
    pair.run(1.0)
    pair.do(0, PauseRecording("c", "r", True))
    pair.run(0.5)
    pair.do(0, PauseRecording("c", "r", False))
    pair.run(0.5)
    pair.do(0, StopRecording("c", "r"))
    recorder = pair.studios[0].recorders["/r"]
    assert level(recorder.near, 400.0) > 2000 > 200 > level(recorder.near, 1200.0)
    assert level(recorder.far[10:], 1200.0) > 2000 > 200 > level(recorder.far[10:], 400.0)
    assert recorder.closed
    assert pair.of(0, RecordingStarted) == [RecordingStarted("c", "r")]
    assert pair.of(0, RecordingDone) == [RecordingDone("c", "r", "/r", "stopped", 1500, size=44 + 75 * 320)]


def test_recordings_end_by_limit_failure_and_close() -> None:
    pair = Pair()
    pair.do(0, StartRecording("c", "forbidden", "/forbidden/r"))
    pair.do(0, StartRecording("c", "short", "/short", max_ms=400))
    pair.do(0, StartRecording("c", "full", "/full"))
    pair.do(0, StartRecording("c", "long", "/long"))
    pair.run(0.2)
    pair.studios[0].recorders["/full"].error = "No space left on device"
    pair.run(0.8)
    pair.do(0, CloseStream("c"))
    done = {report.recording: report for report in pair.of(0, RecordingDone)}
    assert done["forbidden"].reason == "failed"
    assert "Permission denied" in done["forbidden"].error
    assert (done["short"].reason, done["short"].duration_ms) == ("limit", 400)
    assert (done["full"].reason, done["full"].error) == ("failed", "No space left on device")
    assert (done["long"].reason, done["long"].duration_ms) == ("closed", 1000)


def test_recording_goes_on_while_on_hold() -> None:
    pair = Pair()
    pair.configure(0, direction="inactive")
    pair.do(0, StartRecording("c", "r", "/r"))
    pair.run(1.0)
    assert len(pair.studios[0].recorders["/r"].near) == 50


def test_a_beep_is_heard_at_the_other_end() -> None:
    pair = Pair()
    pair.do(1, StartRecording("c", "r", "/r"))
    pair.do(0, StartRecording("c", "q", "/q", beep=True))
    pair.run(1.0)
    far = pair.studios[1].recorders["/r"].far
    assert level(far[:15], 1400.0) > 200
    assert level(far[25:], 1400.0) < 20


def test_digits_as_tones() -> None:
    pair = Pair(telephone_event=None)
    pair.do(1, StartRecording("c", "r", "/r"))
    pair.do(0, SendDigits("c", "d", "5", method="inband", duration_ms=400))
    pair.run(0.4)
    far = pair.studios[1].recorders["/r"].far[8:]
    assert min(level(far, 770.0), level(far, 1336.0)) > 10 * level(far, 941.0)
    pair.run(0.5)
    assert pair.of(0, DigitSent) == [DigitSent("c", "d", "5")]
    assert pair.of(0, DigitsDone) == [DigitsDone("c", "d")]


def test_closing_answers_the_digits_that_wait() -> None:
    pair = Pair()
    pair.do(0, SendDigits("c", "d", "123456"))
    pair.do(0, SendDigits("c", "e", "1"))
    pair.do(0, CloseStream("c"))
    assert [(report.request, report.error) for report in pair.of(0, DigitsDone)] == [
        ("d", "stream closed"), ("e", "stream closed"),
    ]  # fmt: skip
    assert isinstance(pair.reports[0][-1], StreamClosed)
    assert pair.engines[0].idle
    pair.do(0, SendDigits("c", "late", "1"))
    pair.do(0, CloseStream("c"))
    assert isinstance(pair.reports[0][-1], StreamClosed)


def test_open_twice_and_a_codec_that_is_not_here() -> None:
    pair = Pair()
    pair.do(0, OpenStream("c", 5000, "x"))
    pair.configure(0, codec="G729")
    assert pair.of(0, StreamFailed) == [StreamFailed("c", "already open"), StreamFailed("c", "no such codec: G729")]
    pair.run(0.5)
    assert pair.engines[0].streams["c"].statistics().packets_sent > 0


@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_microphone_is_taken_away_and_comes_back_without_a_click(rate: int) -> None:
    """As on hold with music, and when it goes to another call."""
    pair = Pair(codec="L16/8000", payload_type=96, receive_types=((96, "L16/8000"),))
    pair.studios[0].card.rate = rate
    pair.studios[0].card.mic = array("h", [8000] * (rate // 50)).tobytes()
    pair.do(0, AttachSound("c", True))
    pair.run(0.5)
    pair.do(0, AttachSound("c", False))
    pair.run(0.02)
    captured = pair.studios[0].card.captured
    pair.run(0.48)
    assert pair.studios[0].card.captured == captured, "nobody listens to the microphone any more"
    pair.do(0, AttachSound("c", True))
    pair.run(0.5)
    sent = pcm.swapped(b"".join(packet[12:] for side, port, packet in pair.sent if side == 0 and port == 4000))
    said = array("h", sent)[80:]
    assert max(abs(one - other) for one, other in pairwise(said)) <= 8000 // 12  # the filter to another rate begins anew
    assert said.count(0) >= 0.46 * 8000
    # What is said when the call is put on hold at once is not heard when that is over.
    pair.do(0, AttachSound("c", False))
    pair.configure(0, codec="L16/8000", payload_type=96, direction="inactive")
    pair.run(0.1)
    pair.sent.clear()
    pair.configure(0, codec="L16/8000", payload_type=96)
    pair.run(0.1)
    assert not any(b"".join(packet[12:] for side, port, packet in pair.sent if side == 0 and port == 4000))


def test_sound_card_both_ways_and_mute() -> None:
    house = House()
    house.open("a", "b")
    house.studio.card.mic = constant(4000)
    house.said = {"a": constant(1000), "b": constant(2000)}
    for name in ("a", "b"):
        house.engine.execute(AttachSound(name, True), house.now)
    house.run(20)
    assert middle(house.studio.card.played[-1]) == pytest.approx(3000, abs=150)
    assert middle(house.sent["a"]) == middle(house.sent["b"]) == pytest.approx(4000, abs=150)
    assert len(house.studio.card.played) == 20
    house.engine.execute(SetStreamMute("a", True), house.now)
    house.run(2)
    assert middle(house.sent["a"]) == 0
    assert middle(house.sent["b"]) == pytest.approx(4000, abs=150)
    house.engine.execute(SetLevels(50, 25, False), house.now)
    house.run(2)
    assert middle(house.studio.card.played[-1]) == pytest.approx(1500, abs=80)
    assert middle(house.sent["b"]) == pytest.approx(1000, abs=50)
    house.engine.execute(SetLevels(0, 100, True), house.now)
    house.run(2)
    assert (middle(house.studio.card.played[-1]), middle(house.sent["b"])) == (0, 0)
    house.engine.execute(AttachSound("b", False), house.now)
    house.engine.execute(AttachSound("a", False), house.now)
    house.run(1)  # in which the microphone becomes silent
    count = len(house.studio.card.played)
    house.run(2)
    assert len(house.studio.card.played) == count


def test_a_conference_hears_all_but_itself() -> None:
    house = House()
    house.open("a", "b", "c", "d")
    house.said = {"a": constant(1000), "b": constant(2000), "c": constant(4000), "d": constant(8000)}
    house.engine.execute(SetBridge("room", ("a", "b", "c")), house.now)
    house.run(20)
    assert [middle(house.sent[name]) for name in "abcd"] == [
        pytest.approx(6000, rel=0.05), pytest.approx(5000, rel=0.05), pytest.approx(3000, rel=0.05), 0,
    ]  # fmt: skip
    house.engine.execute(CloseStream("c"), house.now)
    house.run(5)
    assert [middle(house.sent[name]) for name in "ab"] == [pytest.approx(2000, rel=0.05), pytest.approx(1000, rel=0.05)]
    house.engine.execute(SetBridge("room", ()), house.now)
    house.run(5)
    assert [middle(house.sent[name]) for name in "ab"] == [0, 0]


def test_a_silent_member_hears_and_is_not_heard() -> None:
    house = House()
    house.open("a", "b", "c")
    house.said = {"a": constant(1000), "b": constant(2000), "c": constant(4000)}
    house.engine.execute(SetBridge("room", ("a", "b", "c"), silent=("c",)), house.now)
    house.run(20)
    assert [middle(house.sent[name]) for name in "abc"] == [
        pytest.approx(2000, rel=0.05), pytest.approx(1000, rel=0.05), pytest.approx(3000, rel=0.05),
    ]  # fmt: skip


def test_a_conference_with_the_person_at_the_phone() -> None:
    house = House()
    house.open("a", "b", "c")
    house.studio.card.mic = constant(500)
    house.said = {"a": constant(1000), "b": constant(2000)}
    house.engine.execute(SetBridge("room", ("a", "b")), house.now)
    for name in ("a", "b"):
        house.engine.execute(AttachSound(name, True), house.now)
    house.run(20)
    assert middle(house.sent["a"]) == pytest.approx(2500, rel=0.05)
    assert middle(house.sent["b"]) == pytest.approx(1500, rel=0.05)
    assert middle(house.studio.card.played[-1]) == pytest.approx(3000, rel=0.05)


def test_loopback_ends() -> None:
    house = House()
    house.open("a")
    house.said = {"a": constant(3000)}
    house.engine.execute(SetLoopback("a", True), house.now)
    house.run(10)
    assert middle(house.sent["a"]) == pytest.approx(3000, rel=0.05)
    house.engine.execute(SetLoopback("a", False), house.now)
    house.run(2)
    assert middle(house.sent["a"]) == 0


def test_local_tones() -> None:
    house = House()
    card = house.studio.card
    house.engine.execute(PlayLocalTone("ring"), house.now)
    assert not house.engine.idle
    house.run(10)
    assert len(card.rung) == 10
    assert card.played == []
    house.engine.execute(PlayLocalTone("busy"), house.now)
    house.run(10)
    assert len(card.rung) == 10
    assert any(map(any, card.played))
    house.engine.execute(PlayLocalTone("none"), house.now)
    assert house.engine.idle


def test_devices() -> None:
    house = House()
    card = house.studio.card
    house.engine.execute(SelectDevice("ring", "speaker"), house.now)
    house.engine.execute(ListDevices(), house.now)
    assert card.selected == [("ring", "speaker")]
    house.engine.poll_sound()
    assert house.engine.poll() == DevicesListed((), ())
    card.news.append(DeviceRecovered("ring", "speaker"))
    house.run(1)
    assert house.engine.reports() == [DeviceRecovered("ring", "speaker")]
    house.engine.close(house.now)
    assert card.closed


@pytest.mark.plain
def test_the_more_streams_the_more_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "IN_TWO", 2 * TOGETHER)
    house = House()

    def spread(count: int) -> list[int]:
        house.open(*(f"s{number}" for number in range(len(house.engine.streams), count)))
        return [len(phase) for phase in house.engine._phases]

    assert spread(TOGETHER) == [TOGETHER, 0, 0, 0]
    assert [house.engine.works_in(phase) for phase in range(PHASES)] == [True, False, False, False]
    assert spread(2 * TOGETHER) == [TOGETHER, 0, TOGETHER, 0]
    assert [house.engine.works_in(phase) for phase in range(PHASES)] == [True, False, True, False]
    assert spread(4 * TOGETHER) == [TOGETHER] * PHASES
    house.engine.close(house.now)
    assert spread(0) == [0] * PHASES
    assert sum(isinstance(report, StreamClosed) for report in house.engine.reports()) == 4 * TOGETHER


def test_a_stream_that_is_open_but_not_configured_is_silent_and_safe() -> None:
    engine = Engine(SeededIds(), MemoryStudio())
    engine.execute(OpenStream("c", 4000, "x"), 0.0)
    engine.execute(SendDigits("c", "d", "1"), 0.0)
    engine.receive(4000, bytes(172), ("10.0.0.1", 1), 0.0)
    engine.receive(4001, bytes(28), ("10.0.0.1", 1), 0.0)
    for tick in range(400):
        engine.tick(tick % PHASES, tick * 0.005)
    assert engine.outbox == []
    assert engine.reports() == [DigitsDone("c", "d", "not connected")]
    engine.execute(ConfigureStream("c", CONFIG), 2.0)
    engine.execute(CloseStream("c"), 2.0)


def test_calls_are_not_mixed_for_a_card_that_nobody_hears() -> None:
    """A server's calls keep their phases, and nothing is decoded that nobody asked for."""
    house = House()
    house.studio.silent = True
    names = [f"s{number}" for number in range(TOGETHER + PHASES)]
    house.open(*names)
    for name in names:
        house.engine.execute(AttachSound(name, True), house.now)
    streams = house.engine.streams
    assert {streams[name].phase for name in names} == {0, 2}
    assert not any(streams[name].sound for name in names)
    house.engine.execute(AttachSound(names[0], False), house.now)
    assert house.engine._handset.card is None


def test_a_call_that_is_muted_breaks_off_without_a_click_and_at_once() -> None:
    pair = Pair(codec="L16/8000", payload_type=96, receive_types=((96, "L16/8000"),))
    pair.studios[0].card.mic = array("h", [8000] * 160).tobytes()
    for side in (0, 1):
        pair.do(side, AttachSound("c", True))
    pair.run(0.5)
    pair.do(0, SetStreamMute("c", True))
    pair.run(0.5)
    pair.do(0, SetStreamMute("c", False))
    pair.run(0.5)
    heard = array("h", b"".join(pair.studios[1].card.played[10:]))
    assert min(heard) == 0
    assert max(abs(one - other) for one, other in pairwise(heard)) <= 8000 // 160 + 1
    assert heard.count(0) >= 0.46 * 8000
    # What is muted during a hold is not heard when that is over.
    pair.configure(0, direction="inactive")
    pair.do(0, SetStreamMute("c", True))
    played = len(pair.studios[1].card.played)
    pair.run(0.5)
    pair.configure(0, direction="sendrecv")
    pair.run(0.5)
    assert not any(array("h", b"".join(pair.studios[1].card.played[played + 20:])))
