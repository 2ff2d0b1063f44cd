"""The words that messages of the media engine use."""

from __future__ import annotations

from typing import Literal, TypeAlias

StreamId: TypeAlias = str
Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
DeviceKind: TypeAlias = Literal["input", "output", "ring"]
LocalToneKind: TypeAlias = Literal["none", "ringback", "busy", "congestion", "ring", "waiting"]
AudioId: TypeAlias = str
AudioRate: TypeAlias = Literal[8000, 16000, 24000, 48000]
Detection: TypeAlias = Literal["dtmf", "tones", "beep", "vad", "amd"]
ToneName: TypeAlias = Literal[
    "dial", "ringback", "busy", "congestion", "special_information", "fax_calling", "fax_answer", "beep"
]
PlayMode: TypeAlias = Literal["replace", "queue", "mix"]
RecordingFormat: TypeAlias = Literal["wav", "flac", "mp3", "opus"]
Side: TypeAlias = Literal["none", "near", "far", "both"]
"""Of a call: `near` is this phone, with whoever speaks from it; `far` the far end."""
Verdict: TypeAlias = Literal["human", "machine", "unknown"]
VerdictReason: TypeAlias = Literal["short_greeting", "long_greeting", "many_words", "fax", "no_speech", "undecided"]
