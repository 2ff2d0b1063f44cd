"""Connections to the HTTP surface of a phone: /v1/socket, which speaks what the local socket speaks, and a call's sound."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from offhook.api.connections import MAX_MESSAGE, Connection, Voice, Word
from offhook.api.failures import ConnectionLost, PhoneGone
from offhook.api.remote_sound import FRAME_MS
from offhook.control.schema import error_from_problem
from offhook.errors import CommandError, InvalidArgument, SetupError
from offhook.media.messages import AudioRate

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import InvalidStatus

_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class WebSocket:
    """The phone whose HTTP surface is at `url`, below its path if it has one (as by a proxy).

    Raises SetupError where the package `websockets` is not installed.
    """

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.netloc:
            raise InvalidArgument.field("url", "write the phone's address, as http://127.0.0.1:5080")
        try:
            import websockets.asyncio.client  # noqa: F401  # looked for here, where the answer helps
        except ImportError:
            raise SetupError("Softphone.connect(url=…) needs the package websockets: pip install websockets") from None
        self.where = url
        self._address = urlunsplit((_SCHEMES[parts.scheme], parts.netloc, parts.path.rstrip("/") + "/v1", "", ""))
        self._token = token

    async def connect(self) -> Connection:
        """Connect, with the token in the first request."""
        return _Messages(await self._open("/socket"))

    async def connect_audio(self, call: str, rate: AudioRate) -> Voice:
        """Connect to a call's sound."""
        path = f"/calls/{quote(call, safe='') or 'current'}/audio?rate={rate}&buffered_every={FRAME_MS}"
        return _SoundMessages(await self._open(path))

    async def _open(self, path: str) -> ClientConnection:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidStatus, WebSocketException

        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            return await connect(self._address + path, additional_headers=headers, max_size=MAX_MESSAGE, proxy=None)
        except InvalidStatus as error:
            raise self._refusal(error) from None
        except (OSError, TimeoutError, WebSocketException) as error:
            raise PhoneGone(f"no phone answers at {self.where}: {error}") from None

    def _refusal(self, error: InvalidStatus) -> CommandError | PhoneGone:
        """Return what the answer in place of the handshake means: the phone's own words, if it is one."""
        answer = error.response
        if answer.headers.get("content-type", "").startswith("application/problem+json"):
            try:
                return error_from_problem(msgspec.json.decode(answer.body or b"", type=dict[str, Any]))
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass
        return PhoneGone(f"{self.where} answers {answer.status_code} {answer.reason_phrase}")


class _Wire:
    """One WebSocket."""

    def __init__(self, wire: ClientConnection) -> None:
        self._wire = wire

    async def _send(self, message: bytes, *, text: bool) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._wire.send(message, text=text)
        except ConnectionClosed as error:
            raise ConnectionLost(f"the phone has ended the connection: {error}") from None

    async def _receive(self, decode: bool | None) -> str | bytes:
        from websockets.exceptions import ConnectionClosed

        try:
            return await self._wire.recv(decode)
        except ConnectionClosed as error:
            raise ConnectionLost(f"the phone has ended the connection: {error}") from None

    def close(self) -> None:
        """End it without the closing handshake: nothing that matters can follow, and nobody should have to wait for it."""
        self._wire.transport.abort()


class _Messages(_Wire):
    """The one for requests and events."""

    async def send(self, message: bytes) -> None:
        await self._send(message, text=True)

    async def receive(self) -> bytes:
        found = await self._receive(False)
        return found if isinstance(found, bytes) else found.encode()


class _Told(msgspec.Struct):
    """The text messages of a call's sound, as far as they matter here."""

    event: str
    gone_ms: int | None = None
    dropped_ms: int = 0
    reason: str = ""
    lost: bool = False
    error: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Told).decode


class _SoundMessages(_Wire):
    """The one for a call's sound: samples as they are, words as text (see offhook.control.audio.dialects.Native)."""

    def __init__(self, wire: ClientConnection) -> None:
        super().__init__(wire)
        self._clears: deque[int] = deque()  # they are answered in their order

    async def say(self, pcm: bytes) -> None:
        await self._send(pcm, text=False)

    async def clear(self, number: int) -> None:
        self._clears.append(number)
        await self._send(b'{"op":"clear"}', text=True)

    async def hear(self) -> Word:
        found = await self._receive(None)
        if isinstance(found, bytes):
            return Word(audio=found)
        told = _decode(found)
        match told.event:
            case "buffered":
                return Word(gone_ms=told.gone_ms)
            case "cleared" if self._clears:
                return Word(clear=self._clears.popleft(), dropped_ms=told.dropped_ms)
            case "ended":
                return Word(end=told.reason if told.lost else "")
            case "error":
                return Word(error=told.error)
            case _:
                return Word()
