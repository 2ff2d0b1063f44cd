"""All stream connections of SIP's sockets: made on first use, accepted within limits, swept when idle."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from msgspec import structs

from offhook.errors import SetupError
from offhook.io import clock
from offhook.io.binding import bound, plain
from offhook.io.connection import CLOSE_PATIENCE, Connection
from offhook.io.ports import without_link
from offhook.sip.door import source_name
from offhook.sip.events import Address, ConnectionTerms, Datagram, Flow, FlowFailed, FlowUp, StreamChunk, TransportName

if TYPE_CHECKING:
    import ssl

Deliver: TypeAlias = Callable[[Datagram | StreamChunk | FlowUp | FlowFailed], None]
Key: TypeAlias = tuple[TransportName, Address, int, ConnectionTerms | None]

CONNECT_TIMEOUT = 5.0
"""Seconds until an outgoing connection is given up: well inside timer F (32 s), so another address can be tried."""

MAX_ACCEPTED = 256
"""Connections others may hold open to us. More are refused at once."""

SHARES = 4
"""Into so many shares these are divided. The last one is for sources that have less than a share: nobody takes it all."""

FIRST_BYTES = 30.0
"""Seconds an accepted connection may stay silent before its first bytes."""

HANDSHAKE_WITHIN = 10.0
"""Seconds in which who connects to us has to finish the handshake of TLS. Until then a connection counts like any other."""

ACCEPT_AGAIN = 1.0
"""Seconds until the next connection is taken when this process or the system has no room for one more."""

ACCEPTED_IDLE = 900.0
"""Seconds without bytes in either direction after which an accepted connection is closed. Connections we made are kept:
a registrar reaches us through them (RFC 3261 18: SHOULD be kept open for some implementation-defined duration)."""

MAX_PREPARED = 64
"""Sockets that wait, bound, for their first use: one for each server that is about to be connected to."""


MAX_PORTS = 256
"""Servers for which our port is remembered."""


def key_of(flow: Flow) -> Key:
    """Return what a connection is found by."""
    return flow.transport, flow.remote, flow.connection, flow.terms


class Connections:
    """The connections of one phone. `listening` maps a transport to our port for it."""

    def __init__(self, deliver: Deliver, *, max_accepted: int = MAX_ACCEPTED, first_bytes: float = FIRST_BYTES,
                 accepted_idle: float = ACCEPTED_IDLE, connect_timeout: float = CONNECT_TIMEOUT,
                 handshake_within: float = HANDSHAKE_WITHIN) -> None:
        self._deliver = deliver
        self._max_accepted = max_accepted
        self._first_bytes = first_bytes
        self._accepted_idle = accepted_idle
        self._connect_timeout = connect_timeout
        self._handshake_within = handshake_within
        self.listening: dict[TransportName, int] = {}
        self.link = ""  # where our address is one of a link, as in fe80::1%eth0: "%eth0"
        self._numbers = itertools.count(1)
        self._connections: dict[Key, Connection] = {}
        self._prepared: dict[Key, socket.socket] = {}
        self._ports: dict[Key, int] = {}
        self._open: set[Connection] = set()
        self._accepted = 0
        self._shaking: dict[asyncio.Task[None], str] = {}  # and whose they are
        self._sweeper: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._closed = False

    # --- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look for idle connections."""
        period = min(self._first_bytes, self._accepted_idle) / 2
        self._sweeper = asyncio.get_running_loop().call_later(period, self._sweep)

    async def close(self) -> None:
        """Flush what was sent, then close everything. Nothing is delivered any more."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        begun = self._connecting | self._shaking.keys()
        for task in begun:
            task.cancel()
        if begun:
            await asyncio.wait(begun)
        for prepared in self._prepared.values():
            prepared.close()
        self._prepared.clear()
        for connection in self._open:
            connection.close()
        gone = [connection.gone for connection in self._open]
        if gone:
            await asyncio.wait(gone, timeout=CLOSE_PATIENCE)
        for connection in self._open:
            connection.abort()

    # --- addresses -------------------------------------------------------------------------------------------------

    def local_port(self, flow: Flow) -> int:
        """Return the port under which the peer of this flow sees us: our listener's, else the connection's own.

        A connection that does not stand yet has its socket bound here, so that Via and Contact can name it: the far end finds
        the connection again by that address. Raises OSError when there is no address to bind to.
        """
        port = self.listening.get(flow.transport)
        if port is not None:
            return port
        known = self._connections.get(key_of(flow))
        if known is not None and known.flow is not None:
            return known.flow.local[1]
        prepared = self._prepared.get(key_of(flow))
        if prepared is None or without_link(prepared.getsockname()[0]) != flow.local[0]:
            prepared = self._prepare(flow)
        number: int = prepared.getsockname()[1]
        return number

    def _prepare(self, flow: Flow) -> socket.socket:
        family = socket.AF_INET6 if ":" in flow.remote[0] else socket.AF_INET
        if len(self._prepared) >= MAX_PREPARED:
            self._prepared.pop(next(iter(self._prepared))).close()
        made = self._bind_again(family, flow)
        former = self._prepared.pop(key_of(flow), None)
        if former is not None:
            former.close()
        self._prepared[key_of(flow)] = made
        return made

    def _bind_again(self, family: socket.AddressFamily, flow: Flow) -> socket.socket:
        """Return a socket bound where our last connection to this server was, if that can be had.

        Then our Contact stays what it was, in the registration and in every call: a server that has just been started again
        finds us there, before anybody could have told it of another.
        """
        port = self._ports.pop(key_of(flow), 0)
        try:
            made = bound(family, socket.SOCK_STREAM, flow.local[0] + self.link, port)
        except OSError:
            if not port:
                raise
            made = bound(family, socket.SOCK_STREAM, flow.local[0] + self.link, 0)
        self._ports[key_of(flow)] = made.getsockname()[1]
        if len(self._ports) > MAX_PORTS:
            del self._ports[next(iter(self._ports))]
        return made

    # --- sending ---------------------------------------------------------------------------------------------------

    def send(self, flow: Flow, data: bytes) -> None:
        """Send `data` without waiting. What cannot be sent comes back as FlowFailed, later."""
        connection = self._connections.get(key_of(flow))
        if connection is None:
            if flow.connection:
                self.fail_later(flow, "the connection is closed", stood=True)
                return
            try:
                connection = self._connect(flow)
            except (ValueError, SetupError) as error:  # terms that no connection can be made on
                self.fail_later(flow, str(error))
                return
        connection.write(data)

    def close_flow(self, flow: Flow) -> None:
        """Close this connection; nothing more is delivered for it."""
        connection = self._connections.pop(key_of(flow), None)
        if connection is not None:
            connection.close()

    def drop_local(self, gone: Callable[[str], bool]) -> None:
        """Cut connections whose local address `gone` says is not ours any more: nothing comes through them, not even an end."""
        for connection in list(self._connections.values()):
            if connection.transport is None:
                continue
            name = connection.transport.get_extra_info("sockname")
            if name and gone(str(name[0])):
                self.lost(connection, "our address has changed")
                connection.abort()

    def _connect(self, flow: Flow) -> Connection:
        connection = self.make(flow.transport, flow)
        self._connections[key_of(flow)] = connection
        task = asyncio.get_running_loop().create_task(self._establish(connection, flow))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return connection

    def make(self, kind: TransportName, flow: Flow | None = None) -> Connection:
        """Return a connection of this kind; without a flow it is for somebody who connects to us."""
        if kind not in ("ws", "wss"):
            return Connection(self, kind, flow)
        from offhook.io.web_connection import WebConnection

        return WebConnection(self, kind, flow)

    async def _establish(self, connection: Connection, flow: Flow) -> None:
        name = flow.terms.name if flow.terms is not None and flow.terms.name else flow.remote[0]
        try:
            async with asyncio.timeout(self._connect_timeout):
                await self._open_socket(connection, flow)
                await connection.settled.wait()  # a WebSocket's upgrade is part of it: a server that takes the bytes may hang
        except TimeoutError:
            self.lost(connection, f"no {flow.transport.upper()} connection within {self._connect_timeout:g} s")
            connection.abort()
        except (OSError, ValueError, OverflowError, SetupError) as exc:
            self.lost(connection, _reason(exc, flow, name))

    async def _open_socket(self, connection: Connection, flow: Flow) -> None:
        loop = asyncio.get_running_loop()
        sock = self._prepared.pop(key_of(flow), None)
        if flow.transport in self.listening:
            family = socket.AF_INET6 if ":" in flow.remote[0] else socket.AF_INET
            sock = bound(family, socket.SOCK_STREAM, flow.local[0] + self.link, 0)
        elif sock is None or sock.getsockname()[1] != flow.local[1]:
            # A flow of a connection that is gone: its port is not ours any more, and nothing that was said depends on it.
            sock = sock or self._prepare(flow)
            self._prepared.pop(key_of(flow), None)
        try:
            tls = None
            if flow.transport in ("tls", "wss"):
                from offhook.io import tls as security

                terms = flow.terms or ConnectionTerms()
                tls = await loop.run_in_executor(None, security.context_for, terms)
            sock = await self._connect_socket(sock, flow)
            if connection.flow is not None:
                connection.flow = structs.replace(flow, local=(flow.local[0], self._port_of(flow, sock)))
            await loop.create_connection(
                lambda: connection, sock=sock, ssl=tls, server_hostname=_server_name(flow) if tls is not None else None
            )
        except BaseException:
            sock.close()
            raise

    async def _connect_socket(self, sock: socket.socket, flow: Flow) -> socket.socket:
        """Connect, from another port if the former connection between the same two ports still lingers in the kernel."""
        loop = asyncio.get_running_loop()
        # In full (flow label, scope), and no look-up: Windows' event loop takes every address of two parts for one of IPv4.
        remote = socket.getaddrinfo(*flow.remote, sock.family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4]
        try:
            await loop.sock_connect(sock, remote)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
                raise
            sock.close()
            self._ports.pop(key_of(flow), None)
            sock = bound(sock.family, socket.SOCK_STREAM, flow.local[0] + self.link, 0)
            await loop.sock_connect(sock, remote)
        return sock

    def _port_of(self, flow: Flow, sock: socket.socket) -> int:
        listening = self.listening.get(flow.transport)
        number: int = sock.getsockname()[1]
        return number if listening is None else flow.local[1]

    def fail_later(self, flow: Flow, reason: str, *, stood: bool = False) -> None:
        """Say in the next turn of the loop that this could not be sent."""
        asyncio.get_running_loop().call_soon(self._tell, FlowFailed(flow, reason, stood))

    # --- what connections report -----------------------------------------------------------------------------------

    def _tell(self, item: FlowFailed | FlowUp) -> None:
        if not self._closed:
            self._deliver(item)

    def deliver(self, item: Datagram | StreamChunk) -> None:
        if not self._closed:
            self._deliver(item)

    async def take_secure(self, listener: socket.socket, kind: TransportName, tls: Callable[[], ssl.SSLContext]) -> None:
        """Take connections to a TLS listener until cancelled; each is asked for its context anew.

        A server of asyncio's would tell of them after the handshake only: whoever connects and says nothing would cost us a
        descriptor for a minute, and nobody would count them.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                end, remote = await loop.sock_accept(listener)
            except ConnectionError:
                continue  # gone before we took it
            except OSError:
                await asyncio.sleep(ACCEPT_AGAIN)
                continue
            if not self._has_room(remote[0], self._accepted + len(self._shaking)):
                end.close()
                continue
            task = loop.create_task(self._shake(end, kind, tls()))
            self._shaking[task] = remote[0]
            task.add_done_callback(self._shaking.pop)

    def _has_room(self, host: str, taken: int) -> bool:
        """Say whether one more connection from there may come beside those that are taken."""
        share = self._max_accepted // SHARES
        if taken < self._max_accepted - share:
            return True
        hosts = [flow.remote[0] for each in self._connections.values() if each.accepted and (flow := each.flow) is not None]
        source = source_name(host)
        own = sum(source_name(each) == source for each in (*hosts, *self._shaking.values()))
        return own < share and taken < self._max_accepted

    async def _shake(self, end: socket.socket, kind: TransportName, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # of the handshake: it is the stranger's trouble
            await loop.connect_accepted_socket(
                lambda: self.make(kind), end, ssl=tls, ssl_handshake_timeout=self._handshake_within
            )

    def established(self, connection: Connection, detail: str) -> None:
        if connection.flow is not None:
            self._tell(FlowUp(connection.flow, detail))

    def made(self, connection: Connection) -> None:
        self._open.add(connection)

    def unmade(self, connection: Connection) -> None:
        self._open.discard(connection)

    def accept(self, connection: Connection, local: Address, remote: Address) -> bool:
        if self._closed or not self._has_room(remote[0], self._accepted):
            return False
        port = self.listening.get(connection.kind, local[1])
        here, there = without_link(local[0]), (without_link(remote[0]), remote[1])
        connection.flow = Flow(connection.kind, (here, port), there, next(self._numbers))
        connection.accepted = True
        connection.stood = connection.kind not in ("ws", "wss")
        self._accepted += 1
        self._connections[key_of(connection.flow)] = connection
        return True

    def lost(self, connection: Connection, reason: str) -> None:
        if connection.accepted:
            connection.accepted = False
            self._accepted -= 1
        flow = connection.flow
        if flow is not None and self._connections.get(key_of(flow)) is connection:
            del self._connections[key_of(flow)]
            self._tell(FlowFailed(flow, reason, connection.stood))

    def overflow(self, connection: Connection) -> None:
        asyncio.get_running_loop().call_soon(self.lost, connection, "the peer does not read what is sent to it")

    # --- idle connections ------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        for connection in list(self._idle(clock.now())):
            self.lost(connection, "the connection was idle")
            connection.close()
        self.start()

    def _idle(self, now: float) -> Iterator[Connection]:
        for connection in self._connections.values():
            limit = self._accepted_idle if connection.heard and connection.stood else self._first_bytes
            if connection.accepted and now - connection.used_at >= limit:
                yield connection


def _server_name(flow: Flow) -> str:
    """Return the name for the handshake (SNI); for one that is no host name the address stands, which sends none."""
    name = flow.terms.name if flow.terms is not None else ""
    with contextlib.suppress(UnicodeError):
        if name and "*" not in name and name.encode("idna"):
            return name.strip("[]")
    return flow.remote[0]


def _reason(error: Exception, flow: Flow, name: str) -> str:
    if flow.transport not in ("tls", "wss") or isinstance(error, SetupError):
        return plain(error) if isinstance(error, OSError) else str(error)
    from ssl import SSLError

    from offhook.io.tls import plain_reason

    return plain_reason(error, name) if isinstance(error, SSLError | ConnectionResetError) else plain(error)
