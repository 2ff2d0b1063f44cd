"""What a connection to a socket can be asked for about itself, and what it tells of a subscription."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from offhook.media.messages import AudioRate
from offhook.phone import commands as c


@dataclass(frozen=True, slots=True)
class HelloRequest:
    """Give this connection a name, which stands in audit events and in the cause of events."""

    client: str


@dataclass(frozen=True, slots=True)
class HelloAnswer:
    """The name."""

    client: str


@dataclass(frozen=True, slots=True)
class AudioRequest:
    """Make this connection one call's sound, and nothing else: JSON lines with 16-bit PCM in base64 (docs/sockets.md)."""

    call: str = ""
    rate: AudioRate = 16000


@dataclass(frozen=True, slots=True)
class AudioOpened:
    """The audio link, its call, and the samples a second."""

    audio: str
    call: str
    rate: int


@dataclass(frozen=True, slots=True)
class AuthenticateRequest:
    """Say who you are, where no header could."""

    token: str


@dataclass(frozen=True, slots=True)
class AuthenticateAnswer:
    """Whose token it is, and what it allows."""

    client: str
    scopes: tuple[c.Scope, ...]


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    """Ask for events: of these types (call.ended, call.*, *), about these resources (calls/c_1; none: all).

    With `after` those after the event of that id, else those from now on. A second subscription adds to the first.
    """

    types: tuple[str, ...] = ("*",)
    subjects: tuple[str, ...] = ()
    after: str | None = None


@dataclass(frozen=True, slots=True)
class SubscribeAnswer:
    """The types that will come, and the event after which they begin."""

    types: tuple[str, ...]
    after: str


@dataclass(frozen=True, slots=True)
class UnsubscribeRequest:
    """Ask for no more events of these types."""

    types: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class UnsubscribeAnswer:
    """The types that still come."""

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CancelWaitRequest:
    """Wait no more: `wait` is the `id` of the request that waits."""

    wait: Any


@dataclass(frozen=True, slots=True)
class CancelWaitAnswer:
    """How many requests of that name waited; each is answered, with a refusal."""

    cancelled: int




@dataclass(frozen=True, slots=True)
class StreamGap:
    """Events are lost: those after `after` and before `next` are not kept any more. Take a snapshot."""

    after: str
    next: str


@dataclass(frozen=True, slots=True)
class StreamSlowConsumer:
    """You read too slowly, and the connection ends; come back and go on after `last`."""

    last: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The phone ends, or your token does; come back and go on after `last`."""

    last: str


@dataclass(frozen=True, slots=True)
class StreamHeartbeat:
    """Nothing has happened for a while."""


STREAM_SHAPES: Final[Mapping[str, type]] = {
    "stream.gap": StreamGap,
    "stream.slow_consumer": StreamSlowConsumer,
    "stream.ended": StreamEnded,
    "stream.heartbeat": StreamHeartbeat,
}
