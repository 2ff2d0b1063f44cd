"""Connections to a running phone by its local socket: JSON lines, for requests and events as for a call's sound."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import msgspec

from offhook.api.connections import MAX_MESSAGE, Connection, Voice, Word
from offhook.api.failures import ConnectionLost, PhoneGone
from offhook.control.channel.serving import open_stream
from offhook.control.schema import error_from_problem
from offhook.media.messages import AudioRate

_GONE: Final = "the phone has ended the connection"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Word).decode


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
            _greet(await lines.receive())
        except BaseException:
            lines.close()
            raise
        return lines

    async def connect_audio(self, call: str, rate: AudioRate) -> Voice:
        """Connect, and turn the connection into the call's sound."""
        connection = await self.connect()
        try:
            await connection.send(msgspec.json.encode({"id": 1, "op": "audio", "call": call, "rate": rate}))
            _greet(await connection.receive())
        except BaseException:
            connection.close()
            raise
        return _SoundLines(connection)


class _Greeting(msgspec.Struct):
    ok: bool = False
    error: dict[str, Any] = {}


def _greet(answer: bytes) -> None:
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


class _SoundLines:
    """A call's sound: lines with base64 both ways (see offhook.control.audio_lines)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.close = connection.close

    async def say(self, pcm: bytes) -> None:
        await self._connection.send(_encode({"audio": pcm}))

    async def clear(self, number: int) -> None:
        await self._connection.send(_encode({"clear": number}))

    async def hear(self) -> Word:
        return _decode(await self._connection.receive())
