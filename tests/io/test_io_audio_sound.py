"""The sound card's own logic, over a library that does what the test says, in virtual time."""

from __future__ import annotations

import struct
from typing import Literal

import pytest

from offhook.errors import InvalidArgument, NotFound
from offhook.io.audio import sound
from offhook.io.audio.backend import BackendError, FoundDevice, OpenDevice, Pull, Push, stable_id
from offhook.io.audio.files import FileCard
from offhook.io.audio.null import NullCard
from offhook.io.audio.sound import Microphone, Speaker, SystemCard, open_sound_card
from offhook.media.devices import resolve_device
from offhook.media.messages import DeviceFailed, DeviceInfo, DeviceRecovered, DevicesListed
from offhook.media.sources import SILENCE


def frame(value: int) -> bytes:
    return struct.pack("<h", value) * 160


def device(identity: str, kind: Literal["input", "output"] = "output", index: int = 0) -> FoundDevice:
    return FoundDevice(DeviceInfo(identity, kind, f"Device {identity}", index, index == 0), identity)


class Opened:
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

    def find(self) -> list[FoundDevice]:
        return list(self.found)

    def open_output(self, native: object | None, pull: Pull) -> OpenDevice:
        self.opened.append(Opened(native, pull=pull))
        return self.opened[-1]

    def open_input(self, native: object | None, push: Push) -> OpenDevice:
        self.opened.append(Opened(native, push=push))
        return self.opened[-1]

    def wait(self, card: SystemCard, seconds: float, *, calling_back: bool = False) -> None:
        for _ in range(round(seconds / 0.1)):
            self.now += 0.1
            for entry in self.opened:
                if calling_back and entry.pull is not None and not entry.closed:
                    entry.pull(80)
            card.check()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setattr(SystemCard, "_start", lambda self: None)  # the test drives check() itself
    return Library(device("mic", "input"), device("out"), device("head", index=1))


def card_of(library: Library) -> SystemCard:
    return SystemCard(lambda: library, lambda: library.now)


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
    assert card.capture() == frame(5)
    assert card.capture() == SILENCE
    push(frame(6)[100:])
    assert card.capture() == frame(6)


def test_selection_changes_a_running_device(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    card.check()
    card.select("output", "head")
    card.check()
    assert [(entry.native, entry.closed) for entry in library.opened] == [(None, True), ("head", False)]
    assert card.poll() is None


def test_ring_has_its_own_device_or_shares(library: Library) -> None:
    card = card_of(library)
    card.ring(frame(10))
    card.ring(frame(10))
    card.play(frame(1))
    card.check()
    assert len(library.opened) == 1
    pull = library.opened[0].pull
    assert pull is not None
    assert pull(160) == frame(11)
    assert pull(160) == frame(10)
    card.select("ring", "head")
    card.ring(SILENCE)
    card.check()
    assert [entry.native for entry in library.opened] == [None, "head"]


def test_slow_start_is_no_failure(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 1.8)
    library.wait(card, 3.0, calling_back=True)
    assert card.poll() is None
    assert len(library.opened) == 1


def test_one_early_call_and_a_pause_is_no_failure(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 0.1)
    library.wait(card, 0.1, calling_back=True)
    library.wait(card, 2.5)
    library.wait(card, 3.0, calling_back=True)
    assert card.poll() is None
    assert len(library.opened) == 1


def test_device_that_never_starts(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 5.5)
    assert card.poll() == DeviceFailed("output", "", "the device does not start")


def test_silent_death_is_noticed_and_mended(library: Library) -> None:
    card = card_of(library)
    card.play(SILENCE)
    library.wait(card, 1.0, calling_back=True)
    library.wait(card, 1.5)
    assert card.poll() == DeviceFailed("output", "", "the device has stopped")
    assert library.opened[0].closed
    library.wait(card, 3.0, calling_back=True)
    assert card.poll() == DeviceRecovered("output", "")
    assert card.poll() is None


def test_vanished_device_fails_once_and_returns(library: Library) -> None:
    card = card_of(library)
    card.select("output", "head")
    card.play(SILENCE)
    library.wait(card, 1.0, calling_back=True)
    head = library.found.pop()
    library.wait(card, 60.0)
    reports = [card.poll(), card.poll(), card.poll()]
    assert reports[0] == DeviceFailed("output", "head", "the device has stopped")
    assert isinstance(reports[1], DevicesListed)
    assert reports[2] is None
    library.found.append(head)
    library.wait(card, 6.0, calling_back=True)
    assert isinstance(card.poll(), DevicesListed)
    assert card.poll() == DeviceRecovered("output", "head")


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

    def surprise(_native: object, _pull: Pull) -> OpenDevice:
        raise ZeroDivisionError("driver")

    monkeypatch.setattr(library, "open_output", surprise)
    card.play(SILENCE)
    card.devices()
    card.devices()
    assert card.poll() == DeviceFailed("output", "", "ZeroDivisionError: driver")
    card.close()


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


def test_speaker_waits_for_two_frames_and_never_grows() -> None:
    speaker = Speaker()
    speaker.frames.append(frame(1))
    assert speaker.pull(160) == SILENCE
    speaker.frames.append(frame(2))
    assert speaker.pull(100) + speaker.pull(220) == frame(1) + frame(2)
    assert speaker.pull(160) == SILENCE
    speaker.frames.extend(frame(value) for value in range(50))
    assert len(speaker.frames) == sound.PLAY_FRAMES
    assert len(speaker.pull(8000)) == 16_000


def test_microphone_sheds_what_has_piled_up() -> None:
    microphone = Microphone()
    microphone.push(b"".join(frame(value) for value in range(50)))
    reads = [microphone.read() for _ in range(10)]
    assert reads[0] == frame(50 - sound.CAPTURE_FRAMES + 1)
    assert reads[-1] == SILENCE


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
