"""What is said on an audio WebSocket, in two dialects. Pure: messages in, what to do out, and the reverse.

`Native` carries 16-bit PCM in binary messages and words in text messages. `MediaStreams` speaks the messages that Twilio
documents for its Media Streams (JSON, G.711 mu-law at 8 kHz in base64), so that programs written for those need not change.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec

from offhook.errors import InvalidArgument
from offhook.media import pcm
from offhook.media.messages import (
    AudioCleared,
    AudioMarkReached,
    AudioOverrun,
    AudioRate,
    AudioReport,
    AudioUnderrun,
)
from offhook.phone.model import CallView

FRAME_MS: Final = 20

MAX_MESSAGE: Final = 512 * 1024
"""Bytes of one message of a program. Many send all that is to be said in one: 30 s in base64 are 320 KB."""

BUFFERED_EVERY_MS: Final = range(FRAME_MS, 1001)
"""How often a program may want to be told how much waits to be played: with each frame, or once a second."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode

Track: TypeAlias = Literal["inbound", "outbound"]
"""What the far end says, or what we send."""

Message: TypeAlias = str | bytes
"""A text or a binary message."""


@dataclass(frozen=True, slots=True)
class Write:
    """Say these samples (s16le)."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class Clear:
    """Be silent at once."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Tell when everything written so far has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class Digits:
    """Send digits."""

    digits: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Leave:
    """End the conversation, not the call."""


Action: TypeAlias = Write | Clear | Mark | Digits | Hangup | Leave


class Dialect(Protocol):
    """One way to talk. `rate` is that of the samples in Write and in `heard`, `tracks` what is to be heard."""

    rate: AudioRate
    tracks: tuple[Track, ...]

    def opened(self, call: CallView, audio: str) -> Iterable[Message]:
        """Return what is said first."""
        ...

    def heard(self, number: int, samples: bytes, buffered_ms: int, gone_ms: int, track: Track) -> Iterable[Message]:
        """Return what is said for 20 ms of a voice.

        Of the program's words `buffered_ms` wait to be played, and `gone_ms` have been played or cleared.
        """
        ...

    def told(self, report: AudioReport) -> Iterable[Message]:
        """Return what is said about marks, clears, underruns and overruns."""
        ...

    def pressed(self, digit: str, method: str, duration_ms: int) -> Iterable[Message]:
        """Return what is said when the far end pressed a key."""
        ...

    def refused(self, problem: Mapping[str, Any]) -> Iterable[Message]:
        """Return what is said when something that was asked for cannot be done."""
        ...

    def ended(self, reason: str, lost: bool) -> Iterable[Message]:
        """Return the last words; `lost` says that the sound broke."""
        ...

    def received(self, message: Message) -> Iterable[Action]:
        """Return what a message asks for; raises InvalidArgument for what makes no sense."""
        ...


# --- ours ------------------------------------------------------------------------------------------------------------


class Native:
    """PCM in binary messages; words in text messages: {"event": …} from the phone, {"op": …} from the program."""

    def __init__(
        self, rate: AudioRate, buffered_every_ms: int = 500, *, tracks: tuple[Track, ...] = ("inbound",),
        parameters: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.rate: AudioRate = rate
        self.tracks = tracks
        self._more = {"parameters": parameters} if parameters else {}
        self._every = buffered_every_ms // FRAME_MS
        self._frames = 0
        self._gone_ms = 0

    def opened(self, call: CallView, audio: str) -> Iterable[Message]:
        form = {"rate": self.rate, "frame_ms": FRAME_MS}
        return [_text(event="started", audio=audio, call=call.id, remote=call.remote.uri, **form, **self._more)]

    def heard(self, number: int, samples: bytes, buffered_ms: int, gone_ms: int, track: Track) -> Iterable[Message]:
        self._frames += 1
        if self._frames >= self._every and gone_ms != self._gone_ms:
            self._frames, self._gone_ms = 0, gone_ms
            yield _text(event="buffered", buffered_ms=buffered_ms, gone_ms=gone_ms)
        yield samples

    def told(self, report: AudioReport) -> Iterable[Message]:
        match report:
            case AudioMarkReached(name=name, played_ms=played):
                return [_text(event="mark_reached", name=name, played_ms=played)]
            case AudioCleared(played_ms=played, dropped_ms=dropped, marks=marks):
                return [_text(event="cleared", played_ms=played, dropped_ms=dropped, marks=marks)]
            case AudioUnderrun(played_ms=played):
                return [_text(event="underrun", played_ms=played)]
            case AudioOverrun(direction=direction, dropped_ms=dropped):
                return [_text(event="overrun", direction=direction, dropped_ms=dropped)]
            case _:
                return []

    def pressed(self, digit: str, method: str, duration_ms: int) -> Iterable[Message]:
        return [_text(event="digit", digit=digit, method=method, duration_ms=duration_ms)]

    def refused(self, problem: Mapping[str, Any]) -> Iterable[Message]:
        return [_text(event="error", error=problem)]

    def ended(self, reason: str, lost: bool) -> Iterable[Message]:
        return [_text(event="ended", reason=reason, lost=lost)]

    def received(self, message: Message) -> Iterable[Action]:
        if isinstance(message, bytes):
            return [Write(message)]
        found = _object(message)
        match found:
            case {"op": "clear"}:
                return [Clear()]
            case {"op": "mark", "name": str(name)}:
                return [Mark(name)]
            case {"op": "dtmf", "digits": str(digits)}:
                return [Digits(digits)]
            case {"op": "hangup"}:
                return [Hangup()]
            case {"op": "close"}:
                return [Leave()]
            case _:
                raise InvalidArgument.field("op", 'clear, mark with a "name", dtmf with "digits", hangup or close')


# --- as Twilio documents it ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class MediaStreams:
    """Messages as Twilio documents them: connected, start, media, mark, dtmf, stop; media, mark and clear from the program.

    `parameters` become `customParameters`. The identifiers have Twilio's form and are made of ours.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    rate: AudioRate = 8000
    tracks: tuple[Track, ...] = ("inbound",)
    _sequence: int = 0
    _chunks: dict[Track, int] = field(default_factory=dict)
    _account: str = ""
    _call: str = ""
    _stream: str = ""

    def opened(self, call: CallView, audio: str) -> Iterable[Message]:
        self._account = _sid("AC", call.account)
        self._call, self._stream = _sid("CA", call.id), _sid("MZ", f"{call.id}/{audio}")
        yield _text(event="connected", protocol="Call", version="1.0.0")
        start = {
            "accountSid": self._account, "callSid": self._call, "streamSid": self._stream, "tracks": self.tracks,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": self.rate, "channels": 1},
            "customParameters": {"call": call.id, "from": call.remote.uri, "to": call.local.uri, **self.parameters},
        }  # fmt: skip
        yield self._say("start", start=start)

    def heard(self, number: int, samples: bytes, buffered_ms: int, gone_ms: int, track: Track) -> Iterable[Message]:
        self._chunks[track] = self._chunks.get(track, 0) + 1
        media = {
            "track": track, "chunk": str(self._chunks[track]), "timestamp": str(number * FRAME_MS),
            "payload": base64.b64encode(pcm.linear_to_ulaw(samples)).decode("ascii"),
        }  # fmt: skip
        return [self._say("media", media=media)]

    def told(self, report: AudioReport) -> Iterable[Message]:
        match report:
            case AudioMarkReached(name=name):
                return [self._say("mark", mark={"name": name})]
            case AudioCleared(marks=marks):
                # What was cleared counts as played: its marks come back at once.
                return [self._say("mark", mark={"name": name}) for name in marks]
            case _:
                return []

    def pressed(self, digit: str, method: str, duration_ms: int) -> Iterable[Message]:
        return [self._say("dtmf", dtmf={"track": "inbound_track", "digit": digit})]

    def refused(self, problem: Mapping[str, Any]) -> Iterable[Message]:
        return []  # there is no message for it: what makes no sense is passed over

    def ended(self, reason: str, lost: bool) -> Iterable[Message]:
        return [self._say("stop", stop={"accountSid": self._account, "callSid": self._call})]

    def received(self, message: Message) -> Iterable[Action]:
        if isinstance(message, bytes):
            raise InvalidArgument("messages are text here")
        found = _object(message)
        match found:
            case {"event": "media", "media": {"payload": str(payload)}}:
                return [Write(pcm.ulaw_to_linear(_unpacked(payload)))]
            case {"event": "mark", "mark": {"name": str(name)}}:
                return [Mark(name)]
            case {"event": "clear"}:
                return [Clear()]
            case {"event": "stop" | "closed"}:
                return [Leave()]
            case {"event": "connected" | "start" | "dtmf"}:
                return []
            case _:
                raise InvalidArgument.field("event", "media, mark, clear or stop")

    def _say(self, event: str, **parts: Any) -> str:
        self._sequence += 1
        return _text(event=event, sequenceNumber=str(self._sequence), **parts, streamSid=self._stream)


def _sid(kind: str, of: str) -> str:
    return kind + hashlib.sha256(of.encode()).hexdigest()[:32]


def _unpacked(payload: str) -> bytes:
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument.field("media/payload", "is not base64") from None


def _text(**parts: Any) -> str:
    return _encode(parts).decode()


def _object(text: str) -> dict[str, Any]:
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidArgument(f"the message is not a JSON object: {error}") from None
