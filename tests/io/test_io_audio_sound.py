"""The sound card's own logic, over a library that does what the test says, in virtual time."""

from __future__ import annotations

import struct
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from offhook.errors import InvalidArgument, NotFound
from offhook.io.audio import lines
from offhook.io.audio.backend import BackendError, FoundDevice, OpenDevice, Pull, Push, kept_apart, stable_id
from offhook.io.audio.files import FileCard
from offhook.io.audio.null import NullCard
from offhook.io.audio.sound import LOOK_EVERY, SystemCard, open_sound_card
from offhook.io.audio.sounddevice_backend import SounddeviceBackend
from offhook.media.devices import resolve_device
from offhook.media.messages import DeviceFailed, DeviceInfo, DeviceRecovered, DevicesListed
from offhook.media.messages.card import VoiceFailed, VoiceProcessing
from offhook.media.sources import SILENCE


def frame(value: int) -> bytes:
    return struct.pack("<h", value) * 160


def device(identity: str, kind: Literal["input", "output"] = "output", index: int = 0) -> FoundDevice:
    return FoundDevice(DeviceInfo(identity, kind, f"Device {identity}", index, index == 0), identity)


class Opened:
    latency = 0.03

    def __init__(self, native: object | None, pull: Pull | None = None, push: Push | None = None) -> None:
        self.native, self.pull, self.push, self.closed = native, pull, push, False

    def close(self) -> None:
        self.closed = True


class Library:
    """A sound library with these devices."""

    def __init__(self, *found: FoundDevice) -> None:
        self.found = list(found)
        self.opened: list[Opened] = []
        self.now = 100.0
        self.broken: set[object] = set()

    def find(self) -> list[FoundDevice]:
        return list(self.found)

    def open_output(self, native: object | None, rate: int, pull: Pull) -> OpenDevice:
        if native in self.broken:
            raise BackendError("busy")
        self.opened.append(Opened(native, pull=pull))
        return self.opened[-1]

    def open_input(self, native: object | None, rate: int, push: Push) -> OpenDevice:
        self.opened.append(Opened(native, push=push))
        return self.opened[-1]

    def wait(self, card: SystemCard, seconds: float, *, calling_back: bool = False) -> None:
        """Let time pass; with `calling_back` all open devices run, ten times slower than real ones."""
        for _ in range(round(seconds / 0.1)):
            self.now += 0.1
            for entry in self.opened:
                if calling_back and not entry.closed:
                    if entry.pull is not None:
                        entry.pull(80)
                    if entry.push is not None:
                        entry.push(frame(3))
            card.check()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setattr(SystemCard, "_start", lambda self: None)  # the test drives check() itself
    return Library(device("mic", "input"), device("out"), device("head", index=1))


def next_failure(card: SystemCard) -> object:
    """Return the next report that is no list of devices; there are more of those while one is in use."""
    while isinstance(report := card.poll(), DevicesListed):
        pass
    return report


def card_of(library: Library) -> SystemCard:
    return SystemCard(lambda: library, lambda: library.now, rate=8000)


def test_devices_open_when_first_used(library: Library) -> None:
    card = card_of(library)
    card.check()
    assert library.opened == []
    assert card.capture() == SILENCE
    card.play(SILENCE)
    card.check()
    assert [entry.native for entry in library.opened] == [None, None]


def test_microphone_reaches_the_tick(library: Library) -> None:
    card = card_of(library)
    card.capture()
    card.check()
    push = library.opened[0].push
    assert push is not None
    push(frame(5) + frame(6)[:100])
    assert card.capture()[-2:] == frame(4)[:2]  # faded in
    assert card.capture() is SILENCE
    push(frame(6)[100:])
    assert card.capture() == frame(6)


def test_selection_changes_a_running_device_when_the_new_one_runs(library: Library) -> None:
    card = card_of(library)
    card.play(frame(1000))
    library.wait(card, 1.0, calling_back=True)
    card.select("output", "head")
    card.check()
    assert [(entry.native, entry.closed) for entry in library.opened] == [(None, False), ("head", False)]
    library.wait(card, 0.5, calling_back=True)
    library.wait(card, lines.FADED + 0.1, calling_back=True)
    assert [(entry.native, entry.closed) for entry in library.opened] == [(None, True), ("head", False)]
    assert card.poll() is None


def test_one_plays_as_long_as_the_other_does_not(library: Library) -> None:
    card = card_of(library)
    card.play(frame(1000))
    card.check()
    old = library.opened[0].pull
    assert old is not None
    for _ in range(10):
        card.play(frame(1000))
        old(160)
    card.select("output", "head")
    card.check()
    new = library.opened[1].pull
    assert new is not None
    for _ in range(6):
        card.play(frame(1000))
    for count in range(lines.SETTLED_CALLS):
        library.now += 0.01
        card.play(frame(1000))
        assert new(160) == SILENCE
        assert old(160) == frame(1000), count
        card.check()
    card.play(frame(1000))
    card.play(frame(1000))
    faded, risen = struct.unpack("<160h", old(160)), struct.unpack("<160h", new(160))
    assert list(faded) == sorted(faded, reverse=True)
    assert list(risen) == sorted(risen)
    assert (faded[0], risen[0]) == (1000, 0)
    assert risen[-1] > 980
    assert old(160) == SILENCE
    assert new(160) == frame(1000)


def test_input_passes_from_one_device_to_the_next_without_a_step(library: Library) -> None:
    library.found.append(device("mic2", "input", index=1))
    card = card_of(library)
    card.capture()
    card.check()
    old = library.opened[0].push
    assert old is not None
    for _ in range(4):
        library.now += 0.02
        old(frame(1000))
        card.capture()
    card.select("input", "mic2")
    card.check()
    new = library.opened[1].push
    assert new is not None
    heard: list[int] = []
    for _ in range(10):
        library.now += 0.02
        old(frame(1000))
        new(frame(-1000))
        card.check()
        heard += struct.unpack("<160h", card.capture())
    assert heard[0] == 1000
    assert heard[-1] == -1000
    assert max(abs(here - there) for here, there in pairwise(heard)) < 20


def test_an_input_that_dies_before_its_first_frame_is_passed_over(library: Library) -> None:
    card = card_of(library)
    card.capture()
    library.wait(card, 1.0, calling_back=True)
    library.opened[0].closed = True  # it is silent from now on, and so is the next one
    library.wait(card, 20.0)
    assert isinstance(failed := next_failure(card), DeviceFailed)
    assert failed.kind == "input"
    library.wait(card, 5.0, calling_back=True)
    assert card.capture()[-2:] == frame(2)[:2]  # faded in


def test_busy_device_is_taken_after_the_old_one_was_let_go(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 1.0, calling_back=True)
    library.broken.add("head")
    card.select("output", "head")
    card.check()
    assert next_failure(card) == DeviceFailed("output", "head", "busy")
    assert library.opened[0].closed  # who chose a headset does not want the loudspeaker to go on
    library.broken.clear()
    library.wait(card, 3.0, calling_back=True)
    assert next_failure(card) == DeviceRecovered("output", "head")


def test_default_is_followed(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 1.0, calling_back=True)
    library.found[1:] = [device("out", index=1), device("head", index=0)]
    library.wait(card, LOOK_EVERY + 1.0, calling_back=True)
    assert [(entry.native, entry.closed) for entry in library.opened] == [(None, True), (None, False)]


def test_chosen_device_stays_when_the_default_moves(library: Library) -> None:
    card = card_of(library)
    card.select("output", "head")
    card.play(SILENCE)
    library.wait(card, 1.0, calling_back=True)
    library.found[1], library.found[2] = device("out", index=1), device("head", index=0)
    library.wait(card, LOOK_EVERY + 1.0, calling_back=True)
    assert len(library.opened) == 1


def test_who_comes_and_goes_is_told(library: Library) -> None:
    card = card_of(library)
    card.check()
    library.wait(card, 10.0)
    assert card.poll() is None
    library.found.append(device("usb", index=2))
    library.wait(card, 10.0)
    listed = card.poll()
    assert isinstance(listed, DevicesListed)
    assert [entry.id for entry in listed.devices] == ["mic", "out", "head", "usb"]
    library.found.pop()
    library.wait(card, 10.0)
    listed = card.poll()
    assert isinstance(listed, DevicesListed)
    assert len(listed.devices) == 3


def test_a_device_in_use_has_figures(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 1.0, calling_back=True)
    figures = {entry.id: entry.latency_ms for entry in card._listed().devices}
    assert figures["out"] >= 30
    assert figures["head"] == 0


def test_unused_devices_are_closed_and_opened_again(library: Library) -> None:
    card = card_of(library)
    card.capture()
    library.wait(card, lines.UNUSED + 1.0, calling_back=True)
    assert library.opened[0].closed
    card.capture()
    library.wait(card, 1.0, calling_back=True)
    assert len(library.opened) == 2
    assert not library.opened[1].closed


def test_ring_has_its_own_device_or_shares(library: Library) -> None:
    card = card_of(library)
    for _ in range(2):
        card.ring(frame(100))
    for _ in range(3):
        card.play(frame(1))
    card.check()
    assert len(library.opened) == 1
    pull = library.opened[0].pull
    assert pull is not None
    pull(160)  # faded in
    assert pull(160) == frame(101)
    card.select("ring", "head")
    card.ring(SILENCE)
    card.check()
    assert [entry.native for entry in library.opened] == [None, "head"]


def test_the_loudspeaker_rings_while_the_ring_device_is_not_there(library: Library) -> None:
    card = card_of(library)
    card.select("ring", "head")
    head = library.found.pop()
    card.ring(frame(100))
    card.check()
    assert next_failure(card) == DeviceFailed("ring", "head", "the selected device is not there")
    for _ in range(4):
        card.ring(frame(100))
    card.check()
    (speaker,) = library.opened
    assert speaker.native is None
    assert speaker.pull is not None
    speaker.pull(160)  # faded in
    assert speaker.pull(160) == frame(100)
    library.found.append(head)
    library.wait(card, 6.0, calling_back=True)
    assert next_failure(card) == DeviceRecovered("ring", "head")
    before = card._shared_ring.written
    card.ring(frame(100))
    assert card._shared_ring.written == before


def test_voice_is_cleaned_with_what_was_played(library: Library) -> None:
    pytest.importorskip("numpy")
    card = card_of(library)
    card.process(VoiceProcessing(echo_cancellation=True))
    card.capture()
    card.play(SILENCE)
    card.check()
    assert card._voice is not None
    push, pull = library.opened[0].push, library.opened[1].pull
    assert push is not None
    assert pull is not None
    for _ in range(5):
        card.play(frame(1000))
        pull(160)
        push(frame(500))
        assert len(card.capture()) in (320,)
    card.process(VoiceProcessing())
    card.check()
    push(frame(500))
    assert card.capture() != frame(500)  # fades
    push(frame(500))
    assert card.capture() == frame(500)


def test_the_voice_begins_anew_with_another_device(library: Library) -> None:
    class Listening:
        restarts = 0

        def process(self, frame: bytes, played: bytes | None, moved: int = 0) -> bytes:
            return frame

        def change(self, wanted: VoiceProcessing) -> None: ...

        def restart(self) -> None:
            self.restarts += 1

    card = card_of(library)
    card.capture()
    card.play(SILENCE)
    card.check()
    card._voice = voice = Listening()

    def talk() -> int:
        for _ in range(5):
            library.wait(card, 0.2, calling_back=True)
            card.capture()
            card.play(SILENCE)
        return voice.restarts

    assert talk() == 1
    assert talk() == 1
    card.select("output", "head")
    assert talk() == 2
    assert talk() == 2


def test_voice_processing_that_gives_up_is_left_out(library: Library) -> None:
    class Broken:
        def process(self, frame: bytes, played: bytes | None, moved: int = 0) -> bytes:
            raise RuntimeError("no more")

        def change(self, wanted: VoiceProcessing) -> None: ...

        def restart(self) -> None: ...

    card = card_of(library)
    card.capture()
    card.check()
    card._voice = Broken()
    push = library.opened[0].push
    assert push is not None
    push(frame(5))
    assert card.capture()[-2:] == frame(4)[:2]
    push(frame(6))
    assert card.capture() == frame(6)
    failures = [report for report in iter(card.poll, None) if isinstance(report, VoiceFailed)]
    assert [failure.reason for failure in failures] == ["voice processing has stopped: no more"]


def test_missing_numpy_is_told_once(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise ImportError("pip install numpy")

    monkeypatch.setattr("offhook.io.audio.voices.OwnVoice", without)
    card = card_of(library)
    card.process(VoiceProcessing(noise_suppression=True))
    card.capture()
    library.wait(card, 2.0, calling_back=True)
    failures = [report for report in iter(card.poll, None) if isinstance(report, VoiceFailed)]
    assert len(failures) == 1
    assert "numpy" in failures[0].reason
    assert card.capture() != SILENCE


def test_slow_start_is_no_failure(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 1.8)
    library.wait(card, 3.0, calling_back=True)
    assert next_failure(card) is None
    assert len(library.opened) == 1


def test_one_early_call_and_a_pause_is_no_failure(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 0.1)
    library.wait(card, 0.1, calling_back=True)
    library.wait(card, 2.5)
    library.wait(card, 3.0, calling_back=True)
    assert next_failure(card) is None
    assert len(library.opened) == 1


def test_device_that_never_starts(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 5.5)
    assert next_failure(card) == DeviceFailed("output", "", "the device does not start")


def test_silent_death_is_noticed_and_mended(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 1.0, calling_back=True)
    library.wait(card, 1.5)
    assert next_failure(card) == DeviceFailed("output", "", "the device has stopped")
    assert library.opened[0].closed
    library.wait(card, 3.0, calling_back=True)
    assert next_failure(card) == DeviceRecovered("output", "")
    assert next_failure(card) is None


def test_vanished_device_fails_once_and_returns(library: Library) -> None:
    card = card_of(library)
    card.select("output", "head")
    card.play(SILENCE)
    library.wait(card, 1.0, calling_back=True)
    head = library.found.pop()
    library.wait(card, 60.0)
    reports = list(iter(card.poll, None))
    assert isinstance(reports[0], DevicesListed)  # what is gone is told before it is missed
    failures = [report for report in reports if not isinstance(report, DevicesListed)]
    assert failures == [DeviceFailed("output", "head", "the device has stopped")]
    library.found.append(head)
    library.wait(card, 6.0, calling_back=True)
    assert isinstance(card.poll(), DevicesListed)
    assert next_failure(card) == DeviceRecovered("output", "head")


def test_a_default_that_moves_mends_what_had_failed(library: Library) -> None:
    card = card_of(library)
    library.found.clear()
    card.play(SILENCE)
    library.wait(card, 3.0)
    assert next_failure(card) == DeviceFailed("output", "", "this machine has no output device")
    library.found.append(device("usb"))
    library.wait(card, 9.0, calling_back=True)
    assert next_failure(card) == DeviceRecovered("output", "")
    assert next_failure(card) is None


def test_a_sound_system_that_hangs_is_told_while_it_does(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 1.0, calling_back=True)
    told: list[object] = []

    def hanging() -> list[FoundDevice]:
        for _ in range(0 if told else 30):  # the tick goes on meanwhile
            library.now += 1.0
            told.append(next_failure(card))
            if told[-1] is not None:
                assert all(found.latency_ms == 0 for found in card._with_figures())
        return list(library.found)

    with monkeypatch.context() as patched:
        patched.setattr(library, "find", hanging)
        library.wait(card, LOOK_EVERY)
    assert [at for at, report in enumerate(told) if report is not None] == [5]  # seconds, and once
    assert told[5] == DeviceFailed("output", "", "the sound system does not answer")
    library.wait(card, 3.0, calling_back=True)
    assert next_failure(card) == DeviceRecovered("output", "")
    assert next_failure(card) is None


def test_a_sound_system_that_hangs_from_the_start_is_told_once(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    card = card_of(library)
    told: list[object] = []

    def hanging() -> list[FoundDevice]:
        for _ in range(0 if told else 10):
            library.now += 1.0
            card.play(SILENCE)
            told.append(next_failure(card))
        return list(library.found)

    monkeypatch.setattr(library, "find", hanging)
    library.wait(card, 0.1)
    assert [report for report in told if report is not None] == [
        DeviceFailed("output", "", "the sound system does not answer")
    ]
    library.wait(card, 3.0, calling_back=True)
    assert next_failure(card) == DeviceRecovered("output", "")
    assert next_failure(card) is None


def test_a_library_that_takes_its_time_fails_nothing_that_plays(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 1.0, calling_back=True)

    def slow() -> list[FoundDevice]:
        for _ in range(30):
            library.now += 1.0
            library.opened[0].pull(80)  # type: ignore[misc]
            assert next_failure(card) is None
        return list(library.found)

    monkeypatch.setattr(library, "find", slow)
    library.wait(card, LOOK_EVERY)


def test_no_sound_at_all(library: Library) -> None:
    library.found.clear()
    card = card_of(library)
    card.capture()
    card.play(SILENCE)
    library.wait(card, 30.0)
    reports = [card.poll(), card.poll()]
    assert all(isinstance(report, DeviceFailed) for report in reports)
    assert card.poll() is None
    assert card.capture() == SILENCE


def test_library_that_cannot_be_loaded() -> None:
    def broken() -> Library:
        raise BackendError("no library")

    card = SystemCard(broken)
    assert card.devices().devices == ()
    card.close()


def test_surprise_in_the_library_is_a_failed_device(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(device("out"))
    card = SystemCard(lambda: library)

    def surprise(_native: object, _rate: int, _pull: Pull) -> OpenDevice:
        raise ZeroDivisionError("driver")

    monkeypatch.setattr(library, "open_output", surprise)
    card.play(SILENCE)
    card.devices()
    card.devices()
    assert card.poll() == DeviceFailed("output", "", "ZeroDivisionError: driver")
    card.close()


def test_what_portaudio_opens_and_cannot_start_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Stream:
        def __init__(self, **_: object) -> None: ...

        def start(self) -> None:
            raise OSError("unplugged")

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(RawOutputStream=Stream, PortAudioError=OSError))
    with pytest.raises(BackendError, match="unplugged"):
        SounddeviceBackend().open_output(None, 48000, lambda frames: bytes(2 * frames))
    assert closed == [True]


def test_own_thread_lists_and_opens() -> None:
    library = Library(device("mic", "input"), device("out"))
    card = SystemCard(lambda: library)
    listed = card.devices()
    assert [entry.id for entry in listed.devices] == ["mic", "out"]
    assert dict(listed.selected) == {"input": "", "output": "", "ring": ""}
    card.play(SILENCE)
    card.devices()  # answered by the same thread, so what was wanted before is open after the round
    card.close()
    assert all(entry.closed for entry in library.opened)


def test_words_for_a_card() -> None:
    assert isinstance(open_sound_card("null"), NullCard)
    assert isinstance(open_sound_card("file:,"), FileCard)
    assert isinstance(open_sound_card("auto"), SystemCard)
    with pytest.raises(InvalidArgument):
        open_sound_card("loud")


def test_null_card() -> None:
    card = NullCard()
    card.select("ring", "x")
    card.play(SILENCE)
    card.ring(SILENCE)
    assert card.capture() == SILENCE
    assert dict(card.devices().selected)["ring"] == "x"
    assert card.poll() is None
    card.close()


DEVICES = (
    DeviceInfo("aa11", "output", "Built-in Speakers", 0, True),
    DeviceInfo("bb22", "output", "USB Headset", 1, False),
    DeviceInfo("cc33", "output", "USB Headset Pro", 2, False),
    DeviceInfo("dd44", "input", "USB Headset", 0, True),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("bb22", "bb22"), ("2", "cc33"), ("usb headset", "bb22"), ("speak", "aa11"), ("Pro", "cc33"), (" 0 ", "aa11")],
)
def test_resolve_device(text: str, expected: str) -> None:
    found = resolve_device(DEVICES, "ring", text)
    assert found is not None
    assert found.id == expected


def test_resolve_device_refuses() -> None:
    assert resolve_device(DEVICES, "output", "") is None
    assert resolve_device(DEVICES, "output", "default") is None
    with pytest.raises(NotFound):
        resolve_device(DEVICES, "input", "speakers")
    with pytest.raises(InvalidArgument, match="several"):
        resolve_device(DEVICES, "output", "USB")


def test_stable_ids_tell_apart() -> None:
    ids = {stable_id("a", "input", b"1", "x"), stable_id("a", "output", b"1", "x"), stable_id("a", "input", b"1", "y")}
    assert len(ids) == 3
    assert stable_id("a", "input", b"1", "x") in ids


def test_devices_of_one_id_are_numbered() -> None:
    twins = [FoundDevice(DeviceInfo("ab", "output", "USB Headset", index, False), index) for index in range(3)]
    assert [entry.info.id for entry in kept_apart(twins)] == ["ab", "ab-2", "ab-3"]


def test_names_in_native_ids(tmp_path: Path) -> None:
    backend = pytest.importorskip("offhook.io.audio.miniaudio_backend")
    (tmp_path / "card1").mkdir()
    (tmp_path / "card1" / "id").write_bytes(b"Headset\n")
    assert backend._by_card_name(b"hw:1,0", tmp_path) == b"hw:CARD=Headset,0"
    assert backend._by_card_name(b":1,0", tmp_path) == b":CARD=Headset,0"
    assert backend._by_card_name(b"hw:2,0", tmp_path) == b"hw:2,0"
    assert backend._by_card_name(b"default", tmp_path) == b"default"
    assert backend._native_key("PulseAudio", b"one.monitor\0rest") == b"one.monitor"
    assert backend._native_key("WASAPI", "{0.0}".encode("utf-16-le") + b"\0\0rest") == "{0.0}".encode("utf-16-le")
