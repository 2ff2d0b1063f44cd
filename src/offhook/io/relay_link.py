"""A stream (TCP or TLS) to a TURN server, connected beside the media loop and read by it without waiting."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Final

from offhook.errors import ParseError, SetupError
from offhook.io.threads import begin
from offhook.media.messages import TurnServer
from offhook.media.turn import split_stream

CONNECT_S: Final = 3.0
READ: Final = 65_536
MAX_WAITING: Final = 256 * 1024
"""Bytes that wait for a network that is behind: older sound is worth nothing, so what comes then is dropped."""


class LateRelayLink:
    """Connects on a thread of its own; what is sent before that waits. The certificate of a TLS server is checked."""

    def __init__(self, server: TurnServer) -> None:
        self.problem = ""
        self._server = server
        self._socket: socket.socket | None = None
        self._waiting = bytearray()
        self._arrived = bytearray()
        self._closed = False
        self._lock = threading.Lock()
        try:
            begin(self._connect, "offhook-relay")
        except SetupError as error:
            self.problem = str(error)

    def _connect(self) -> None:
        end: socket.socket | None = None
        try:
            end = socket.create_connection(self._server.address, CONNECT_S)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._server.transport == "tls":
                name = self._server.name or self._server.address[0]
                end = ssl.create_default_context().wrap_socket(end, server_hostname=name)
            end.setblocking(False)
        except OSError as error:
            self.problem = str(error)
            if end is not None:
                end.close()
            return
        with self._lock:
            if not self._closed:
                self._socket = end
                return
        end.close()

    def send(self, data: bytes) -> None:
        """Send a message, or keep it until the stream is there."""
        if len(self._waiting) + len(data) <= MAX_WAITING:
            self._waiting += data
        self._flush()

    def _flush(self) -> None:
        end = self._socket
        if end is None or not self._waiting:
            return
        try:
            while self._waiting:
                sent = end.send(self._waiting)
                del self._waiting[:sent]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._break(str(error))

    def receive(self) -> list[bytes]:
        """Return the whole messages that have come."""
        self._flush()
        end = self._socket
        if end is None:
            return []
        try:
            while piece := end.recv(READ):
                self._arrived += piece
                if len(self._arrived) > MAX_WAITING:
                    break
            else:
                self._break("the server has closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._break(str(error))
        try:
            return split_stream(self._arrived)
        except ParseError as error:
            self._break(error.detail)
            return []

    def _break(self, problem: str) -> None:
        self.problem = self.problem or problem
        self.close()

    def close(self) -> None:
        """Let go of the connection, also when it is only being made."""
        with self._lock:
            self._closed = True
            end, self._socket = self._socket, None
        if end is not None:
            self._waiting.clear()
            with contextlib.suppress(OSError):
                end.close()
