"""What is said to the sound card beyond choosing its devices, and what it reports: voice processing, levels, a test."""

from __future__ import annotations

from typing import Final, TypeAlias

from msgspec import Struct

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


CardCommand: TypeAlias = VoiceProcessing | MeterLevels | TestMicrophone
VoiceReport: TypeAlias = VoiceFailed | LevelsMeasured | MicrophoneTested
