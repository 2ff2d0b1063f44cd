"""What the phone has done outside besides SIP and media: programs to connect to, sounds to fetch; and what became of it."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from offhook.media.messages import AudioRate
from offhook.phone.model import HeaderList, StreamDialect, StreamTrack


class ConnectStream(Struct, frozen=True):
    """Output: connect to `url` and carry the call's sound; answer with StreamConnected, and in any case StreamOver."""

    stream: str
    call: str
    url: str
    dialect: StreamDialect
    rate: AudioRate
    track: StreamTrack
    speak: bool
    parameters: HeaderList
    control: bool


class LeaveStream(Struct, frozen=True):
    """Output: end it; StreamOver follows with this reason."""

    stream: str
    reason: str


class FetchSound(Struct, frozen=True):
    """Output: get a WAV file from the web; answer with SoundFetched."""

    playback: str
    call: str
    url: str


class DropSound(Struct, frozen=True):
    """Output: the sound of this playback is not needed (any more)."""

    playback: str


class StreamConnected(Struct, frozen=True):
    """Input: the program is there and has been told about the call."""

    stream: str


class StreamOver(Struct, frozen=True):
    """Input: it is over, and why; `failed` if it could not be connected, or broke."""

    stream: str
    reason: str
    failed: bool


class SoundFetched(Struct, frozen=True):
    """Input: the sound is in the file `path`, or `error` says why not."""

    playback: str
    call: str
    path: str = ""
    error: str = ""


WebRequest: TypeAlias = ConnectStream | LeaveStream | FetchSound | DropSound
