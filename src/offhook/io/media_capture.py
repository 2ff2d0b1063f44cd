"""Shows the packets of one stream as its sockets carry them, while somebody asks for that; else it is not there at all."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from offhook.media.address import Address
from offhook.media.messages import (
    CapturedPacket,
    CaptureEnd,
    CaptureEnded,
    CaptureStream,
    MediaReport,
    SdesKeys,
    StreamCaptured,
    StreamKeys,
)

BATCH_S: Final = 0.25
BATCH: Final = 100
"""Packets are told of so many together: the pipe to the phone is not for one at a time."""
AROUND: Final = 16 + 20 + 8
"""Bytes before each payload in a pcap file: those of the record, of IPv4, of UDP."""
AROUND_IPV6: Final = AROUND + 20
MOST_HOSTS: Final = 64
"""Far ends whose way out is remembered; strangers send from anywhere."""
_ANYWHERE: Final = ("0.0.0.0", "::")


class End(Protocol):
    """What the loop asks of a socket."""

    def recvfrom(self, size: int, /) -> tuple[bytes, Any]:
        """Return a datagram and where it comes from. Raises OSError."""
        ...

    def sendto(self, data: bytes, address: Address, /) -> int:
        """Send a datagram. Raises OSError."""
        ...

    def fileno(self) -> int:
        """Return the descriptor."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Capture:
    """Collects what the ends of a stream carry, until there is no more room. `tell` takes the reports."""

    def __init__(self, wish: CaptureStream, tell: Callable[[MediaReport], object]) -> None:
        self.stream = wish.stream
        self._over = False
        self._tell = tell
        self._room = wish.max_bytes
        self._packets = self._size = 0
        self._batch: list[CapturedPacket] = []
        self._told = 0.0
        self._ways: dict[str, str] = {}

    def note(self, sent: bool, local: Address, remote: Address, data: bytes) -> None:
        """Keep one datagram, unless there is no room for it."""
        size = len(data) + (AROUND_IPV6 if ":" in remote[0] else AROUND)
        if self._size + size > self._room:
            self.end("full")
        if self._over:
            return
        now = time.time()
        self._packets += 1
        self._size += size
        if local[0] in _ANYWHERE:
            local = self._source(remote[0]), local[1]
        self._batch.append((now, sent, local, remote, data))
        if len(self._batch) >= BATCH or now - self._told >= BATCH_S:
            self.flush(now)

    def _source(self, host: str) -> str:
        """Return our address as the way to a far end has it: a socket that listens everywhere does not say."""
        from offhook.io.network import source_towards  # only who captures needs it

        if host not in self._ways:
            if len(self._ways) >= MOST_HOSTS:
                self._ways.clear()
            self._ways[host] = source_towards(host) or ("::" if ":" in host else "0.0.0.0")
        return self._ways[host]

    def flush(self, now: float) -> None:
        """Tell of what has come."""
        self._told = now
        if self._batch:
            self._tell(StreamCaptured(self.stream, tuple(self._batch)))
            self._batch.clear()

    def end(self, reason: CaptureEnd) -> None:
        """Say the last word, once."""
        if not self._over:
            self._over = True
            self.flush(0.0)
            self._tell(CaptureEnded(self.stream, reason, self._packets, self._size))

    def take_keys(self, component: int, keys: SdesKeys) -> None:
        """Tell of keys, for who has asked for them."""
        if not self._over:
            self._tell(StreamKeys(self.stream, time.time(), component, keys))


class CapturedEnd:
    """A socket in whose place this stands while its packets are captured."""

    def __init__(self, end: socket.socket, capture: Capture) -> None:
        self.plain = end
        self._capture = capture
        self._local: Address = end.getsockname()[:2]
        self.fileno = end.fileno
        self.close = end.close

    def recvfrom(self, size: int, /) -> tuple[bytes, Any]:
        """Return a datagram and where it comes from. Raises OSError."""
        packet, source = self.plain.recvfrom(size)
        self._capture.note(False, self._local, source[:2], packet)
        return packet, source

    def sendto(self, data: bytes, address: Address, /) -> int:
        """Send a datagram. Raises OSError; then it was not on the wire."""
        count = self.plain.sendto(data, address)
        self._capture.note(True, self._local, address, data)
        return count
