"""Sound devices: chosen, cleaned, metered, tested, coming and going."""

from __future__ import annotations

from typing import Literal

import pytest
from msgspec import structs

from offhook.errors import DeviceUnavailable, InvalidArgument, InvalidState, NotFound
from offhook.media import messages as media
from offhook.media.messages import card
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.inputs import Configured
from offhook.phone.settings import PhoneSettings
from offhook.testing.phones import VirtualPhone, settle, talk, two_phones
from offhook.testing.wire import Wire

MIC = media.DeviceInfo("mic-1", "input", "Desk microphone", 0, True)
HEADSET = media.DeviceInfo("mic-2", "input", "Headset", 1, False)
SPEAKER = media.DeviceInfo("spk-1", "output", "Loudspeaker", 0, True)
LISTED = (MIC, HEADSET, SPEAKER)
USB = media.DeviceInfo("spk-9", "output", "USB Headset", 1, False)


def test_a_device_by_a_part_of_its_name() -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    alice.execute(c.SetDevice(kind="input", device="headset"))
    assert alice.snapshot().audio.input_device == "mic-2"
    assert alice.did(media.SelectDevice) == [media.SelectDevice("input", "mic-2")]


@pytest.mark.parametrize(("kind", "tone"), [("output", "ringback"), ("ring", "ring")])
def test_a_device_is_heard_for_a_moment(kind: Literal["output", "ring"], tone: str) -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    operation = alice.execute(c.TestDevice(kind=kind)).operation
    assert [command.tone for command in alice.did(media.PlayLocalTone)] == [tone]
    assert isinstance(alice.refuses(c.TestDevice()), InvalidState)
    settle(alice.wire, 3)
    assert [command.tone for command in alice.did(media.PlayLocalTone)] == [tone, "none"]
    assert isinstance(alice.outcome(operation), e.OperationSucceeded)


def test_a_device_that_fails_or_a_call_ends_the_test() -> None:
    alice, bob = two_phones(Wire())
    operation = alice.execute(c.TestDevice()).operation
    alice.receive(media.DeviceFailed("input", "mic-1", "unplugged"))
    assert alice.outcome(operation) is None, "it is the loudspeaker that is being tested"
    alice.receive(media.DeviceFailed("output", "hdmi", "unplugged"))
    alice.receive(media.DeviceRecovered("output", "hdmi"))
    assert [(event.kind, event.device, event.reason) for event in alice.of(e.DeviceError)] == [
        ("input", "mic-1", "unplugged"), ("output", "hdmi", "unplugged"),
    ]  # fmt: skip
    assert [(event.kind, event.device) for event in alice.of(e.DeviceRecovered)] == [("output", "hdmi")]
    outcome = alice.outcome(operation)
    assert isinstance(outcome, e.OperationFailed)
    assert outcome.reason == "unplugged"
    second = alice.execute(c.TestDevice()).operation
    talk(alice, bob)
    assert isinstance(alice.outcome(second), e.OperationFailed)
    assert isinstance(alice.refuses(c.TestDevice()), InvalidState)


def test_what_is_not_there_is_not_tested() -> None:
    alice, _ = two_phones(Wire())
    alice.receive(media.DevicesListed((SPEAKER,), ()))
    refused = alice.refuses(c.TestDevice(kind="input"))
    assert isinstance(refused, DeviceUnavailable)
    assert "microphone" in str(refused)
    alice.receive(media.DevicesListed((MIC,), ()))
    assert isinstance(alice.refuses(c.TestDevice(kind="ring")), DeviceUnavailable)
    assert alice.execute(c.TestDevice(kind="input")).operation


def test_a_microphone_is_recorded_and_played_back() -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    operation = alice.execute(c.TestDevice(kind="input")).operation
    assert alice.did(card.TestMicrophone) == [card.TestMicrophone(1000)]
    alice.receive(card.MicrophoneTested(-31.5))
    tested = alice.of(e.DeviceTested)
    assert [(event.kind, event.heard, event.level_db) for event in tested] == [("input", True, -31.5)]
    settle(alice.wire, 2)
    assert isinstance(alice.outcome(operation), e.OperationSucceeded)


@pytest.mark.parametrize(("level", "words"), [(-96.0, "is it switched off"), (-85.0, "next to nothing is heard (-85 dB)")])
def test_a_microphone_that_hears_nothing(level: float, words: str) -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    operation = alice.execute(c.TestDevice(kind="input")).operation
    alice.receive(card.MicrophoneTested(level))
    outcome = alice.outcome(operation)
    assert isinstance(outcome, e.OperationFailed)
    assert words in outcome.reason
    assert not alice.of(e.DeviceTested)[0].heard


def test_a_microphone_that_never_comes() -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    operation = alice.execute(c.TestDevice(kind="input")).operation
    settle(alice.wire, 11)
    outcome = alice.outcome(operation)
    assert isinstance(outcome, e.OperationFailed)
    assert "brings no sound" in outcome.reason
    assert alice.did(card.TestMicrophone)[-1] == card.TestMicrophone(0)
    alice.receive(card.MicrophoneTested(-20.0))  # too late: nobody asks any more
    assert alice.of(e.DeviceTested) == []


def test_the_microphone_is_cleaned_as_chosen() -> None:
    alice, _ = two_phones(Wire())
    assert alice.did(card.VoiceProcessing) == [card.VoiceProcessing(True, False, False)]
    view = alice.execute(c.SetVoice(noise_suppression=True)).value
    assert (view.echo_cancellation, view.noise_suppression, view.gain_control) == (True, True, False)
    alice.execute(c.SetVoice(echo_cancellation=False, gain_control=True))
    assert alice.did(card.VoiceProcessing)[1:] == [
        card.VoiceProcessing(True, True, False), card.VoiceProcessing(False, True, True),
    ]  # fmt: skip
    assert [event.audio.gain_control for event in alice.of(e.AudioChanged)] == [False, True]
    alice.receive(card.VoiceFailed("pip install"))
    assert "pip install" in alice.of(e.SystemError)[0].reason


def test_a_ring_device_is_one_of_the_loudspeakers_and_chosen_by_itself() -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    view = alice.execute(c.SetDevice(kind="ring", device="loudspeaker")).value
    assert (view.ring_device, view.output_device, view.input_device) == ("spk-1", "", "")
    assert alice.did(media.SelectDevice) == [media.SelectDevice("ring", "spk-1")]
    assert alice.of(e.AudioChanged)[-1].audio.ring_device == "spk-1"
    assert isinstance(alice.refuses(c.SetDevice(kind="ring", device="Headset")), NotFound), "a microphone does not ring"
    alice.execute(c.SetDevice(kind="ring", device=""))
    assert alice.did(media.SelectDevice)[-1] == media.SelectDevice("ring", "")


def test_a_configured_ring_device_is_used_from_the_start() -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1", PhoneSettings(ring_device="spk-1"))
    settle(wire, 1)
    assert alice.did(media.SelectDevice) == [media.SelectDevice("ring", "spk-1")]


def test_levels_are_told_while_somebody_asks() -> None:
    alice, _ = two_phones(Wire())
    alice.execute(c.MeterAudio(interval_ms=100, seconds=5))
    alice.execute(c.MeterAudio(seconds=0))
    assert alice.did(card.MeterLevels) == [card.MeterLevels(100, 5000), card.MeterLevels(200, 0)]
    alice.receive(card.LevelsMeasured(-20.5, -96.0))
    assert [(event.input_db, event.output_db) for event in alice.of(e.AudioLevel)] == [(-20.5, -96.0)]


@pytest.mark.parametrize("command", [
    c.MeterAudio(interval_ms=49), c.MeterAudio(interval_ms=10_001), c.MeterAudio(seconds=-1), c.MeterAudio(seconds=3601),
    c.MeterAudio(seconds=float("nan")),
])  # fmt: skip
def test_a_meter_that_is_refused(command: c.MeterAudio) -> None:
    alice, _ = two_phones(Wire())
    assert isinstance(alice.refuses(command), InvalidArgument)
    assert alice.did(card.MeterLevels) == []


def test_devices_come_go_and_change() -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    alice.receive(media.DevicesListed((*LISTED, USB), ()))
    alice.receive(media.DevicesListed(
        (MIC, structs.replace(SPEAKER, default=False), structs.replace(USB, default=True)), ()
    ))  # fmt: skip
    assert [event.device.id for event in alice.of(e.DeviceAdded)] == ["spk-9"]
    assert [event.device.id for event in alice.of(e.DeviceRemoved)] == ["mic-2"]
    changed = [(event.device.id, event.device.default) for event in alice.of(e.DeviceChanged)]
    assert changed == [("spk-1", False), ("spk-9", True)]
    assert len(alice.of(e.DeviceListed)) == 3


def test_figures_alone_are_no_news() -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    told = len(alice.of(e.DeviceListed))
    alice.receive(media.DevicesListed((MIC, HEADSET, structs.replace(SPEAKER, latency_ms=70, underruns=2)), ()))
    assert len(alice.of(e.DeviceListed)) == told
    assert alice.execute(c.ListDevices()).value[2].latency_ms == 70


def test_a_device_that_is_configured_by_name_is_found_when_it_comes() -> None:
    alice, _ = two_phones(Wire(), one=PhoneSettings(output_device="usb"))
    settle(alice.wire, 1)
    assert alice.did(media.SelectDevice) == [media.SelectDevice("output", "usb")]
    alice.receive(media.DevicesListed((*LISTED, USB), ()))
    assert alice.did(media.SelectDevice)[-1] == media.SelectDevice("output", "spk-9")
    assert alice.snapshot().audio.output_device == "spk-9"


def test_a_device_that_the_changed_file_names_is_found_when_it_comes() -> None:
    alice, _ = two_phones(Wire(), one=PhoneSettings(input_device="headset"))
    settle(alice.wire, 1)
    assert alice.snapshot().audio.input_device == "mic-2"
    alice.receive(Configured(PhoneSettings(input_device="headset", output_device="usb", ring_device="loud")))
    audio = alice.snapshot().audio
    assert (audio.input_device, audio.output_device, audio.ring_device) == ("mic-2", "usb", "spk-1")
    assert alice.of(e.AudioChanged)
    alice.receive(media.DevicesListed((*LISTED, USB), ()))
    assert alice.snapshot().audio.output_device == "spk-9"
    assert alice.did(media.SelectDevice)[-1] == media.SelectDevice("output", "spk-9")
    alice.execute(c.SetDevice(kind="input", device="desk"))
    alice.receive(Configured(PhoneSettings(input_device="headset")))
    audio = alice.snapshot().audio
    assert (audio.input_device, audio.output_device, audio.ring_device) == ("mic-1", "", ""), "what was chosen meanwhile stays"


def test_the_word_default_in_the_file_is_the_system_s_device() -> None:
    alice, _ = two_phones(Wire(), one=PhoneSettings(output_device="Default"))
    settle(alice.wire, 1)
    assert alice.snapshot().audio.output_device == ""
    assert alice.did(media.SelectDevice)[-1] == media.SelectDevice("output", "")
