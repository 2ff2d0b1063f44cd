"""What is said to the sound card and what it reports: devices, volumes, local tones, voice processing, levels, a test."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from offhook.media.messages.vocabulary import DeviceKind, LocalToneKind

SILENT_DB: Final = -96.0
"""The level of digital silence, and the least that is told, in dB against full scale (dBov)."""


class VoiceProcessing(Struct, frozen=True):
    """Clean the microphone from now on: take echo out, turn noise down, bring speech to an even level. Or VoiceFailed."""

    echo_cancellation: bool = False
    noise_suppression: bool = False
    gain_control: bool = False


class MeterLevels(Struct, frozen=True):
    """Report LevelsMeasured each `interval_ms` for `duration_ms`; 0 stops it. A later one replaces the former."""

    interval_ms: int
    duration_ms: int


class TestMicrophone(Struct, frozen=True):
    """Record for `duration_ms`, then play it back: MicrophoneTested when the recording is over."""

    duration_ms: int


class VoiceFailed(Struct, frozen=True):
    """The microphone is not cleaned as it should be; `reason` says what to install."""

    reason: str


class LevelsMeasured(Struct, frozen=True):
    """How loud microphone and loudspeaker were since the last report, in dB against full scale (dBov), -96 for silence."""

    input_db: float
    output_db: float


class MicrophoneTested(Struct, frozen=True):
    """How loud the loudest tenth of a second of the recording was, in dB against full scale, -96 for silence."""

    level_db: float


class SetLevels(Struct, frozen=True):
    """Loudspeaker and microphone volume 0-100 (100 is unity), microphone mute for all calls."""

    output_volume: int
    mic_volume: int
    mic_muted: bool


class SelectDevice(Struct, frozen=True):
    """Use the device with this stable id ("" is the system's default) from now on, also in running calls."""

    kind: DeviceKind
    device: str


class PlayLocalTone(Struct, frozen=True):
    """Play a signal to the person at the phone (ring on the ring device, the rest on the output); "none" stops it."""

    tone: LocalToneKind


class ListDevices(Struct, frozen=True):
    """Ask for DevicesListed (also re-enumerates)."""



class DeviceInfo(Struct, frozen=True):
    """One sound device. `id` is stable across restarts as far as the system allows; `index` is its place among its kind.

    The figures are 0 while the phone does not use it: how long sound takes through its buffers and ours, how often there was
    nothing to play or to hear in the middle of something, how often sound was skipped because too much had piled up.
    """

    id: str
    kind: Literal["input", "output"]
    name: str
    index: int
    default: bool
    latency_ms: int = 0
    underruns: int = 0
    overruns: int = 0


class DevicesListed(Struct, frozen=True):
    """All devices, and the ids in use by kind ("" is the system's default)."""

    devices: tuple[DeviceInfo, ...]
    selected: tuple[tuple[DeviceKind, str], ...]


class DeviceFailed(Struct, frozen=True):
    """A device vanished or refuses to open; calls go on with silence in its place and another attempt is made by itself."""

    kind: DeviceKind
    device: str
    reason: str


class DeviceRecovered(Struct, frozen=True):
    """The device works (again)."""

    kind: DeviceKind
    device: str


CardCommand: TypeAlias = VoiceProcessing | MeterLevels | TestMicrophone
VoiceReport: TypeAlias = VoiceFailed | LevelsMeasured | MicrophoneTested
CardReport: TypeAlias = DevicesListed | DeviceFailed | DeviceRecovered | VoiceFailed
