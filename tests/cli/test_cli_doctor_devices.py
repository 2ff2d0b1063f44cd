"""What the doctor says of sound devices, and of what is done to the microphone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from doctor_case import case_in, only, settings

from offhook.cli.doctor import devices
from offhook.cli.doctor.case import Case, PhoneFacts
from offhook.cli.doctor.finding import Finding
from offhook.io.audio.backend import BackendError, FoundDevice, OpenDevice, Pull, Push
from offhook.media.messages import DeviceInfo


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr("offhook.storage.secrets._keyring_backend", lambda: None)
    return case_in(tmp_path)


class FakeSound:
    """A sound library. What a device does is its name: "works", "mute" (never calls back), "hangs", or why it fails."""

    latency = 0.01

    def __init__(self, *names: str) -> None:
        self.closed = 0
        self.hang = threading.Event()
        sides: tuple[Literal["input", "output"], ...] = ("input", "output")
        self.devices = [FoundDevice(DeviceInfo(f"{side}-{place}", side, name, place, place == 0), name)
                        for side in sides for place, name in enumerate(names)]

    def find(self) -> list[FoundDevice]:
        return self.devices

    def _open(self, native: object | None, call: Callable[[], object]) -> OpenDevice:
        name = native if native is not None else self.devices[0].native
        if name == "works":
            call()
        elif name == "hangs":
            self.hang.wait(5)
        elif name != "mute":
            raise BackendError(str(name))
        return self

    def open_output(self, native: object | None, rate: int, pull: Pull) -> OpenDevice:
        return self._open(native, lambda: pull(80))

    def open_input(self, native: object | None, rate: int, push: Push) -> OpenDevice:
        return self._open(native, lambda: push(bytes(160)))

    def close(self) -> None:
        self.closed += 1


def sound(case: Case, monkeypatch: pytest.MonkeyPatch, *names: str) -> dict[str, Finding]:
    fake = FakeSound(*names)
    monkeypatch.setattr(devices, "system_backend", lambda: fake)
    monkeypatch.setattr(devices, "OPEN_WITHIN", 0.1)
    monkeypatch.setattr(devices, "RUN_WITHIN", 0.05)
    found = {finding.name: finding for finding in devices.look_at_devices(case)}
    fake.hang.set()
    return found


def test_devices_are_listed_and_opened(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sound(case, monkeypatch, "works", "is broken")
    assert found["microphone"].text == found["loudspeaker"].text == "works (default), is broken"
    assert "opens, and sound passes after" in found["microphone, default"].text
    assert found["loudspeaker, others"].level == "ok"
    assert "is broken (does not open: is broken)" in found["loudspeaker, others"].text


@pytest.mark.lengthy
@pytest.mark.parametrize(("name", "text"), [
    ("held by another", "does not open: held by another"), ("mute", "opens, but no sound passes within 0.05 s"),
    ("hangs", "does not open within 0.1 s"),
])  # fmt: skip
def test_a_default_device_that_does_not_work_is_wrong(
    case: Case, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    found = sound(case, monkeypatch, name)["loudspeaker, default"]
    assert (found.level, found.text) == ("wrong", text)
    assert "another program may hold it" in found.advice


def test_the_chosen_device_is_the_one_that_counts(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.phone = PhoneFacts(audio={"input_device": "input-1"})
    settings(case, "phone", output_device="gone")
    found = sound(case, monkeypatch, "is broken", "works")
    assert found["microphone, works"].level == "ok"
    assert found["loudspeaker, use"].level == "wrong"
    assert "no output device is called 'gone'" in found["loudspeaker, use"].text
    assert "`offhook devices set output DEVICE`" in found["loudspeaker, use"].advice
    case.phone.calls = 1
    assert "not opened: the phone is in a call" in sound(case, monkeypatch, "works")["microphone, use"].text


def test_no_sound_at_all_is_said_plainly(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sound(case, monkeypatch)
    assert [found[name].level for name in ("microphone", "loudspeaker")] == ["warning", "warning"]
    assert "calls work, but without it" in found["microphone"].advice
    settings(case, "media", sound="null")
    assert "switched off" in sound(case, monkeypatch)["sound"].text
    settings(case, "media", sound="loud")
    assert sound(case, monkeypatch)["sound"].level == "wrong"
    case.phone = PhoneFacts(about={"sound": "file:in.wav,out.wav"})
    assert "files stand in" in sound(case, monkeypatch)["sound"].text


def test_what_is_done_to_the_microphone_and_what_is_missing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert sound(case, monkeypatch, "works")["voice"].text == "echo cancellation on"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    missing = sound(case, monkeypatch, "works")["voice"]
    assert (missing.level, "numpy" in missing.advice) == ("warning", True)
    case.phone = PhoneFacts(audio={"echo_cancellation": False, "gain_control": True})
    assert sound(case, monkeypatch, "works")["voice"].level == "ok"
    case.phone = PhoneFacts(audio={"echo_cancellation": False})
    assert "as it is" in sound(case, monkeypatch, "works")["voice"].text


def test_a_sound_system_that_is_not_there(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> FakeSound:
        raise BackendError("no library")

    monkeypatch.setattr(devices, "system_backend", refuse)
    found = only(devices.look_at_devices(case))
    assert found.level == "wrong"
    assert "the sound system cannot be used: no library" in found.text
