"""One stream connection of SIP over TCP or TLS, ours or accepted."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Protocol

from offhook.io import clock
from offhook.io.binding import plain
from offhook.sip.events import Address, Datagram, Flow, StreamChunk, TransportName

if TYPE_CHECKING:
    import ssl

MAX_PENDING = 256 * 1024
"""Bytes that may wait for one peer. A peer that reads nothing is dropped, not remembered for ever."""

CLOSE_PATIENCE = 1.0
"""Seconds a closing connection may take to flush what was written before it is cut."""

UNACKNOWLEDGED = 20_000
"""Milliseconds until Linux gives up a connection whose far end acknowledges nothing: without this it takes a quarter of an
hour, and whatever was sent meanwhile is lost (RFC 5482)."""


class Owner(Protocol):
    """What a connection tells (`io.connections.Connections`)."""

    def deliver(self, item: Datagram | StreamChunk) -> None:
        """Bytes or a message arrived."""
        ...

    def established(self, connection: Connection, detail: str) -> None:
        """A connection of ours stands and may be used."""
        ...

    def accept(self, connection: Connection, local: Address, remote: Address) -> bool:
        """Somebody connected; say whether they may stay. Then the connection has its flow."""
        ...

    def made(self, connection: Connection) -> None:
        """There is a socket to be closed."""
        ...

    def unmade(self, connection: Connection) -> None:
        """The socket is closed."""
        ...

    def lost(self, connection: Connection, reason: str) -> None:
        """It is of no use any more."""
        ...

    def overflow(self, connection: Connection) -> None:
        """The peer does not read."""
        ...


class Connection(asyncio.Protocol):
    """One connection. `flow` is there from the start if we make it; an accepted one gets it from its owner."""

    def __init__(self, owner: Owner, kind: TransportName, flow: Flow | None = None) -> None:
        self.owner = owner
        self.kind = kind
        self.flow = flow
        self.accepted = False
        self.heard = False
        self.stood = False
        self.used_at = clock.now()
        self.transport: asyncio.Transport | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.settled = asyncio.Event()
        """Set when it may be used, and when it never will be."""
        self._waiting: list[bytes] = []
        self._pending = 0
        self.closing = False

    # --- what the event loop says

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.owner.made(self)
        _set_options(transport.get_extra_info("socket"))
        if self.flow is None:
            local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
            if remote is None or not self.owner.accept(self, local[:2], remote[:2]):
                transport.abort()
            return
        reason = self._distrust(transport)
        if reason:
            self.owner.lost(self, reason)
            self.abort()
        elif self.closing:
            transport.abort()
        else:
            self.begin()

    def begin(self) -> None:
        """The connection is there; a transport on top of it may have more to do first."""
        self.ready()

    def ready(self) -> None:
        """Send what waited."""
        self.stood = True
        self.settled.set()
        tls: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object") if self.transport else None
        detail = ""
        if tls is not None:
            from offhook.io.tls import describe

            detail = describe(tls)
        self.owner.established(self, detail)
        waiting, self._waiting, self._pending = self._waiting, [], 0
        for data in waiting:
            self.put(data)

    def _distrust(self, transport: asyncio.Transport) -> str:
        """Return why the far end is not the one we want, "" if it is."""
        terms = self.flow.terms if self.flow is not None else None
        if terms is None or not terms.verify or transport.get_extra_info("ssl_object") is None:
            return ""
        from offhook.io.tls import name_fault

        return name_fault(transport.get_extra_info("peercert"), terms.name)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self.used_at = clock.now()
        if self.flow is not None and not self.closing:
            # Windows' event loop hands over a bytearray, slices of which are no keys of a dictionary.
            self.owner.deliver(StreamChunk(self.flow, bytes(data)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.owner.unmade(self)
        if not self.gone.done():
            self.gone.set_result(None)
        self.settled.set()
        self.owner.lost(self, "the peer closed the connection" if exc is None else plain(exc))

    # --- what the phone wants

    def write(self, data: bytes) -> None:
        """Send, or keep until the connection stands; a peer that lets too much pile up is cut off."""
        if self.closing:
            return
        self.used_at = clock.now()
        waiting = self._pending if self.transport is None or not self.stood else self.transport.get_write_buffer_size()
        if waiting + len(data) > MAX_PENDING:
            self.owner.overflow(self)
            self.abort()
        elif self.stood:
            self.put(data)
        else:
            self._waiting.append(data)
            self._pending += len(data)

    def put(self, data: bytes) -> None:
        """Hand bytes to the socket."""
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """Flush and close; cut the connection if the peer does not let us."""
        self.closing = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
            cut = asyncio.get_running_loop().call_later(CLOSE_PATIENCE, self.transport.abort)
            self.gone.add_done_callback(lambda _: cut.cancel())

    def abort(self) -> None:
        """Cut the connection without flushing."""
        self.closing = True
        if self.transport is not None:
            self.transport.abort()


def _set_options(stream: socket.socket | None) -> None:
    if stream is None:
        return
    # RFC 3261 messages are small and each is wanted now; Nagle's wait only delays them.
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
