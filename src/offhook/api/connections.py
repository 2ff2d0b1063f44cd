"""Message connections to a running phone: JSON lines on the local socket. One small protocol, so that others fit in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from offhook.api.failures import ConnectionLost, PhoneGone
from offhook.control.channel.serving import open_stream
from offhook.control.schema import error_from_problem
from offhook.media.messages import AudioRate

if TYPE_CHECKING:
    from offhook.api.remote_sound import Voice

MAX_MESSAGE: Final = 16 * 1024 * 1024
"""Longest message taken from the phone, in bytes; a history of 1000 calls is far below."""

_GONE: Final = "the phone has ended the connection"


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


class LocalSocket:
    """The local socket at `path`. `client` is the name that audit events and causes show."""

    def __init__(self, path: str, client: str) -> None:
        self.where = path
        self._hello = msgspec.json.encode({"id": 0, "op": "hello", "client": client})

    async def connect(self) -> Connection:
        """Connect."""
        try:
            reader, writer = await open_stream(self.where, MAX_MESSAGE)
        except OSError as error:
            reason = error.strerror or error
            raise PhoneGone(f"no phone is running at {self.where} ({reason}); `offhook run` starts one") from None
        lines = _Lines(reader, writer)
        try:
            await lines.send(self._hello)
            greet(await lines.receive())
        except BaseException:
            lines.close()
            raise
        return lines

    async def connect_audio(self, call: str, rate: AudioRate) -> Voice:
        """Connect, and turn the connection into the call's sound."""
        from offhook.api.remote_sound import SoundLines

        connection = await self.connect()
        try:
            await connection.send(msgspec.json.encode({"id": 1, "op": "audio", "call": call, "rate": rate}))
            greet(await connection.receive())
        except BaseException:
            connection.close()
            raise
        return SoundLines(connection)


class _Greeting(msgspec.Struct):
    ok: bool = False
    error: dict[str, Any] = {}


def greet(answer: bytes) -> None:
    """Look at the phone's first answer; raises what it refuses us for."""
    try:
        found = msgspec.json.decode(answer, type=_Greeting)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PhoneGone("what listens there does not speak like a phone") from None
    if not found.ok:
        raise error_from_problem(found.error)


class _Lines:
    """A stream of lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: bytes) -> None:
        if self._writer.is_closing():
            raise ConnectionLost(_GONE)
        try:
            self._writer.write(message + b"\n")
            await self._writer.drain()
        except OSError as error:
            raise ConnectionLost(f"{_GONE}: {error}") from None

    async def receive(self) -> bytes:
        try:
            line = await self._reader.readline()
        except OSError as error:
            raise ConnectionLost(f"{_GONE}: {error}") from None
        except ValueError:
            self.close()
            raise ConnectionLost("what listens there does not speak like a phone") from None
        if not line.endswith(b"\n"):
            self.close()
            raise ConnectionLost(_GONE)
        return line

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: so is everything on it
            self._writer.close()
