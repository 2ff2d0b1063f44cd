"""The person's sound devices: which are used, how the microphone is cleaned, how loud it is, and whether they work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import structs

from offhook.errors import CommandError, DeviceUnavailable, InvalidArgument, InvalidState
from offhook.media.devices import resolve_device
from offhook.media.messages import DeviceFailed, DeviceInfo, DeviceKind, DevicesListed, ListDevices, PlayLocalTone, SelectDevice
from offhook.media.messages import DeviceRecovered as DeviceWorks
from offhook.media.messages.card import (
    SILENT_DB,
    LevelsMeasured,
    MeterLevels,
    MicrophoneTested,
    TestMicrophone,
    VoiceFailed,
    VoiceProcessing,
)
from offhook.phone.commands import Accepted, MeterAudio, SetDevice, SetVoice, TestDevice
from offhook.phone.desk import Desk
from offhook.phone.events import (
    AudioLevel,
    DeviceAdded,
    DeviceChanged,
    DeviceError,
    DeviceListed,
    DeviceRecovered,
    DeviceRemoved,
    DeviceTested,
    OperationFailed,
    OperationSucceeded,
    SystemError,
)
from offhook.phone.settings import PhoneSettings

KINDS: Final[tuple[DeviceKind, ...]] = ("input", "output", "ring")
TEST_FOR: Final = 2.0
"""Seconds a loudspeaker is heard when it is tested."""
RECORD_FOR: Final = 1.0
"""Seconds a microphone is recorded when it is tested, and as long played back afterwards."""
ANSWER_WITHIN: Final = 10.0
"""Seconds a test of the microphone may take: a device that sleeps wakes after two."""
HEARD_DB: Final = -80.0
"""A microphone that is on brings the noise of its room, which is louder than this; one that is switched off is silent."""
LEAST_INTERVAL_MS, MOST_INTERVAL_MS = 50, 10_000
MOST_METERED: Final = 3600.0
"""Seconds a meter runs at most without being asked for again: whoever asked may be gone."""


class Devices:
    """What is chosen, listed and tested."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.testing = ""  # the operation of a test under way
        self._kind = "output"

    def start(self) -> None:
        """Tell the media engine what was chosen."""
        self.desk.media(ListDevices())
        for kind in KINDS:
            if wanted := str(getattr(self.desk.audio, f"{kind}_device")):
                self.desk.media(SelectDevice(kind, wanted))
        self.clean()

    def configured(self, before: PhoneSettings, after: PhoneSettings, change: Callable[..., Accepted]) -> None:
        """Take the devices that the configuration names now; as at the start, one that is not there yet when it comes."""
        for kind in KINDS:
            wanted = str(getattr(after, f"{kind}_device"))
            if wanted != getattr(before, f"{kind}_device"):
                self.desk.media(SelectDevice(kind, wanted))
                change(**{f"{kind}_device": wanted})
        self._settle()

    def clean(self) -> None:
        """Tell the media engine how the microphone is cleaned."""
        audio = self.desk.audio
        self.desk.media(VoiceProcessing(audio.echo_cancellation, audio.noise_suppression, audio.gain_control))

    def set_device(self, command: SetDevice, change: Callable[..., Accepted]) -> Accepted:
        """Switch a device."""
        found = resolve_device(self.desk.devices, command.kind, command.device)
        device = found.id if found else ""
        self.desk.media(SelectDevice(command.kind, device))
        return change(**{f"{command.kind}_device": device})

    def set_voice(self, command: SetVoice, change: Callable[..., Accepted]) -> Accepted:
        """Switch parts of the microphone's cleaning on or off."""
        names = ("echo_cancellation", "noise_suppression", "gain_control")
        wanted = {name: value for name in names if (value := getattr(command, name)) is not None}
        accepted = change(**wanted)
        self.clean()
        return accepted

    # --- levels

    def meter(self, command: MeterAudio) -> Accepted:
        """Tell levels for a while, or no more."""
        if not LEAST_INTERVAL_MS <= command.interval_ms <= MOST_INTERVAL_MS:
            raise InvalidArgument.field("interval_ms", f"{LEAST_INTERVAL_MS}-{MOST_INTERVAL_MS}, not {command.interval_ms}")
        if not 0 <= command.seconds <= MOST_METERED:
            raise InvalidArgument.field("seconds", f"0-{MOST_METERED:g}, not {command.seconds:g}")
        self.desk.media(MeterLevels(command.interval_ms, round(1000 * command.seconds)))
        return Accepted()

    def measured(self, report: LevelsMeasured) -> None:
        """Tell the levels."""
        self.desk.emit(AudioLevel(input_db=report.input_db, output_db=report.output_db))

    # --- tests

    def test(self, command: TestDevice) -> Accepted:
        """Let a device be heard, or hear it."""
        if self.desk.calls or self.testing:
            raise InvalidState("a device can be tested while there is no call, and one at a time")
        needed: DeviceKind = "input" if command.kind == "input" else "output"
        if self.desk.devices and all(device.kind != needed for device in self.desk.devices):
            thing = "microphone" if needed == "input" else "loudspeaker"
            raise DeviceUnavailable(f"this machine has no {thing}: plug one in (offhook devices lists what there is)")
        self.testing = operation = self.desk.begin("test_device")
        self._kind = command.kind
        if command.kind == "input":
            self.desk.media(TestMicrophone(round(1000 * RECORD_FOR)))
            self._end_after(ANSWER_WITHIN, operation, "the microphone brings no sound")
        else:
            self.desk.media(PlayLocalTone("ring" if command.kind == "ring" else "ringback"))
            self._end_after(TEST_FOR, operation, "")
        return Accepted(operation=operation)

    def interrupt(self) -> None:
        """A call comes in between."""
        self._end(self.testing, "a call came in between")

    def _end_after(self, seconds: float, operation: str, error: str) -> None:
        self.desk.timers.start(self.desk.now + seconds, lambda _now: self._end(operation, error))

    def microphone_tested(self, report: MicrophoneTested) -> None:
        """The recording is complete; it is being played back."""
        if not self.testing or self._kind != "input":
            return
        heard = report.level_db > HEARD_DB
        self.desk.emit(DeviceTested(kind="input", heard=heard, level_db=report.level_db))
        if heard:
            self._end_after(RECORD_FOR, self.testing, "")
        elif report.level_db <= SILENT_DB:
            self._end(self.testing, "the microphone brings silence: is it switched off, or muted by the system?")
        else:
            self._end(self.testing, f"next to nothing is heard ({report.level_db:g} dB): raise the microphone's level")

    def _end(self, operation: str, error: str) -> None:
        """The test is over; harmless when it was already."""
        if not operation or self.testing != operation:
            return
        self.testing = ""
        self.desk.media(TestMicrophone(0) if self._kind == "input" else PlayLocalTone("none"))
        if error:
            self.desk.emit(OperationFailed(operation=operation, command="test_device", reason=error))
        else:
            self.desk.emit(OperationSucceeded(operation=operation, command="test_device"))

    # --- what the card reports

    def listed(self, report: DevicesListed) -> None:
        """The list of devices is known, or changed."""
        before: _Listing = {(device.kind, device.id): _lasting(device) for device in self.desk.devices}
        after: _Listing = {(device.kind, device.id): _lasting(device) for device in report.devices}
        known, self.desk.devices = self.desk.devices, report.devices
        self._settle()
        if before == after:
            return  # only figures
        if known:  # else all of them are new
            self._tell_changes(before, after)
        self.desk.emit(DeviceListed(devices=report.devices))

    def _settle(self) -> None:
        """Find the devices that the configuration calls by a name or an index; they may be plugged in later, too."""
        ids = {device.id for device in self.desk.devices}
        for kind in KINDS:
            wanted = str(getattr(self.desk.audio, f"{kind}_device"))
            if wanted and wanted not in ids:
                with contextlib.suppress(CommandError):
                    found = resolve_device(self.desk.devices, kind, wanted)
                    device = found.id if found else ""
                    self.desk.set_audio(**{f"{kind}_device": device})
                    self.desk.media(SelectDevice(kind, device))

    def _tell_changes(self, before: _Listing, after: _Listing) -> None:
        for key, device in before.items():
            if key not in after:
                self.desk.emit(DeviceRemoved(device=device))
        for key, device in after.items():
            if key not in before:
                self.desk.emit(DeviceAdded(device=device))
            elif (before[key].name, before[key].default) != (device.name, device.default):
                self.desk.emit(DeviceChanged(device=device))

    def failed(self, report: DeviceFailed) -> None:
        """A device is gone."""
        if (report.kind == "input") == (self._kind == "input"):
            self._end(self.testing, report.reason)
        self.desk.emit(DeviceError(kind=report.kind, device=report.device, reason=report.reason))

    def works(self, report: DeviceWorks) -> None:
        """A device is back."""
        self.desk.emit(DeviceRecovered(kind=report.kind, device=report.device))

    def voice_failed(self, report: VoiceFailed) -> None:
        """The microphone is used as it is."""
        self.desk.emit(SystemError(reason=f"the microphone is used as it is: {report.reason}"))


_Listing: TypeAlias = dict[tuple[str, str], DeviceInfo]


def _lasting(device: DeviceInfo) -> DeviceInfo:
    """Return the device without the figures of its use."""
    return structs.replace(device, latency_ms=0, underruns=0, overruns=0)
