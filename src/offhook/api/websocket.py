"""Connections to the HTTP surface of a phone: WebSocket /v1/socket, which speaks what the local socket speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from offhook.api.connections import MAX_MESSAGE, Connection
from offhook.api.failures import ConnectionLost, PhoneGone
from offhook.errors import Forbidden, InvalidArgument, InvalidState, SetupError, Unauthenticated
from offhook.media.messages import AudioRate

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_REFUSALS: Final = {401: Unauthenticated, 403: Forbidden}


class WebSocket:
    """The phone whose HTTP surface is at `url`. Raises SetupError where the package `websockets` is not installed."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.netloc:
            raise InvalidArgument.field("url", "write the phone's address, as http://127.0.0.1:5080")
        try:
            import websockets.asyncio.client  # noqa: F401  # looked for here, where the answer helps
        except ImportError:
            raise SetupError("Softphone.connect(url=…) needs the package websockets: pip install websockets") from None
        self.where = url
        self._address = urlunsplit((_SCHEMES[parts.scheme], parts.netloc, "/v1/socket", "", ""))
        self._token = token

    async def connect(self) -> Connection:
        """Connect, with the token in the first request."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidStatus, WebSocketException

        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            wire = await connect(self._address, additional_headers=headers, max_size=MAX_MESSAGE, proxy=None)
        except InvalidStatus as error:
            status = error.response.status_code
            raise _REFUSALS.get(status, PhoneGone)(f"{self.where} answers {status} {error.response.reason_phrase}") from None
        except (OSError, TimeoutError, WebSocketException) as error:
            raise PhoneGone(f"no phone answers at {self.where}: {error}") from None
        return _Messages(wire)

    async def connect_audio(self, call: str, rate: AudioRate) -> Connection:
        """Refuse: this socket carries no sound."""
        raise InvalidState("a call's sound is carried by the local socket only: Softphone.connect(socket_path)")


class _Messages:
    """One WebSocket."""

    def __init__(self, wire: ClientConnection) -> None:
        self._wire = wire

    async def send(self, message: bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._wire.send(message, text=True)
        except ConnectionClosed as error:
            raise ConnectionLost(f"the phone has ended the connection: {error}") from None

    async def receive(self) -> bytes:
        from websockets.exceptions import ConnectionClosed

        try:
            return await self._wire.recv(decode=False)
        except ConnectionClosed as error:
            raise ConnectionLost(f"the phone has ended the connection: {error}") from None

    def close(self) -> None:
        # Without the closing handshake: nothing that matters can follow, and nobody should have to wait for it.
        self._wire.transport.abort()
