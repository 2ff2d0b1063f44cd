"""What a connection to a running phone is: whole messages both ways, and one for a call's sound. Several kinds fit in."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from offhook.media.messages import AudioRate

MAX_MESSAGE: Final = 16 * 1024 * 1024
"""Longest message taken from the phone, in bytes; a history of 1000 calls is far below."""


class Connection(Protocol):
    """Whole JSON messages both ways. Both directions raise ConnectionLost once it has broken or was closed."""

    async def send(self, message: bytes) -> None:
        """Send one message; waits while the phone does not read."""
        ...

    async def receive(self) -> bytes:
        """Return the next message. May be cancelled without losing one."""
        ...

    def close(self) -> None:
        """End it; who waits for a message gets ConnectionLost."""
        ...


class Word(msgspec.Struct):
    """What the phone said: 20 ms of the far end, how far it has come with our words, what a `clear` did, or the end."""

    audio: bytes = b""
    gone_ms: int | None = None
    clear: int | None = None
    dropped_ms: int = 0
    end: str | None = None
    error: dict[str, Any] | None = None


class Voice(Protocol):
    """A connection that carries one call's sound. Everything raises ConnectionLost once it has broken."""

    async def say(self, pcm: bytes) -> None:
        """Have whole samples played."""
        ...

    async def clear(self, number: int) -> None:
        """Have the phone be silent; a Word with that number says what it did."""
        ...

    async def hear(self) -> Word:
        """Return the next word; raises msgspec.DecodeError for what is none."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Dialer(Protocol):
    """Makes connections to one phone. `where` names it in error messages."""

    @property
    def where(self) -> str:
        """The socket's path, or the address."""
        ...

    async def connect_audio(self, call: str, rate: AudioRate) -> Voice:
        """Return a new connection that carries nothing but one call's sound; raises CommandError, PhoneGone."""
        ...

    async def connect(self) -> Connection:
        """Return a new connection, ready for requests; raises PhoneGone if no phone is there."""
        ...
