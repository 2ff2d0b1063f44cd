"""A Unix socket for a client that blocks."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import socket


class Channel:
    """One connection."""

    def __init__(self, address: str, timeout: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(address)
        except BaseException:
            self._socket.close()
            raise

    def send(self, data: bytes, timeout: float) -> None:
        """Send all of it; raises TimeoutError if that takes longer than so many seconds, OSError if the connection broke."""
        self._socket.settimeout(timeout)
        self._socket.sendall(data)

    def receive(self, timeout: float | None) -> bytes:
        """Return what comes next, b"" at the end; raises TimeoutError after so many seconds (None: never) without any."""
        self._socket.settimeout(timeout)
        return self._socket.recv(65536)

    def close(self) -> None:
        """End it."""
        self._socket.close()


def connect(address: str, timeout: float) -> Channel:
    """Return a connection to the phone; raises OSError if none listens there."""
    return Channel(address, timeout)
