"""SIP's sockets: one UDP port and one TCP listener, turned into SipInputs, and bytes sent where a Flow says."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import itertools
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from offhook.errors import SetupError
from offhook.io import clock
from offhook.sip.events import Address, Datagram, Flow, FlowFailed, StreamChunk, TransportName

Deliver: TypeAlias = Callable[[Datagram | StreamChunk | FlowFailed], None]

CONNECT_TIMEOUT = 5.0
"""Seconds until an outgoing TCP connection is given up: well inside timer F (32 s), so another address can be tried."""

MAX_PENDING = 256 * 1024
"""Bytes that may wait for one TCP peer. A peer that reads nothing is dropped, not remembered for ever."""

MAX_ACCEPTED = 256
"""TCP connections others may hold open to us. More are refused at once."""

FIRST_BYTES = 30.0
"""Seconds an accepted connection may stay silent before its first bytes."""

ACCEPTED_IDLE = 900.0
"""Seconds without bytes in either direction after which an accepted connection is closed. Connections we made are kept:
a registrar reaches us through them (RFC 3261 18: SHOULD be kept open for some implementation-defined duration)."""

CLOSE_PATIENCE = 1.0
"""Seconds a closing connection may take to flush what was written before it is cut."""

ADDRESS_TTL = 30.0
"""Seconds the local address towards a remote is believed before it is asked again (networks change)."""

MAX_ADDRESSES = 4096
"""Remotes whose local address is remembered; then the memory starts afresh."""

UDP_RECEIVE_BUFFER = 1 << 20
"""Bytes the kernel may queue for us: about 1500 requests, so that a burst waits instead of being lost."""

MAX_DATAGRAM = 65535
"""Bytes of a datagram. The event loop's own transport makes room for four times that, anew for each datagram."""

DATAGRAMS_A_TURN = 32
"""Datagrams read before others have their turn of the event loop."""

SAME_PORT_ATTEMPTS = 32
"""Free UDP ports tried until the TCP port of the same number is free as well."""


class Transports:
    """The SIP sockets of one phone.

    `deliver` is called on the event loop for everything that arrives, never from inside `send` or `close_flow`. With
    `any_port`, a busy `port` is replaced by a free one instead of raising SetupError.
    """

    def __init__(
        self, host: str, port: int, deliver: Deliver, *, any_port: bool = False, max_accepted: int = MAX_ACCEPTED,
        first_bytes: float = FIRST_BYTES, accepted_idle: float = ACCEPTED_IDLE,
        connect_timeout: float = CONNECT_TIMEOUT,
    ) -> None:
        self.host = host
        self.port = port
        self.tcp_port = port
        self._any_port = any_port
        self._deliver = deliver
        self._max_accepted = max_accepted
        self._first_bytes = first_bytes
        self._accepted_idle = accepted_idle
        self._connect_timeout = connect_timeout
        self._wildcard = False
        self._family = socket.AF_INET
        self._numbers = itertools.count(1)
        self._connections: dict[tuple[Address, int], _Connection] = {}
        self._open_connections: set[_Connection] = set()
        self._accepted = 0
        self._udp: socket.socket | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._addresses: dict[str, tuple[float, str]] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._closed = False

    # --- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind; then `port` and `tcp_port` are the real numbers. Raises SetupError when the address is not free."""
        loop = asyncio.get_running_loop()
        udp, tcp = _bind_both(self.host, self.port, any_port=self._any_port)
        self.port, self.tcp_port = udp.getsockname()[1], tcp.getsockname()[1]
        self._wildcard = ipaddress.ip_address(udp.getsockname()[0].partition("%")[0]).is_unspecified
        self._family = udp.family
        self._udp = udp
        try:
            loop.add_reader(udp, self._read_datagrams)
        except NotImplementedError:  # Windows' usual event loop watches no sockets, it reads them itself
            self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        self._server = await loop.create_server(lambda: _Connection(self), sock=tcp)
        self._arm_sweeper()

    async def close(self) -> None:
        """Flush what was sent, then close every socket. No FlowFailed is delivered any more."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
        for task in self._connecting:
            task.cancel()
        if self._connecting:
            await asyncio.wait(self._connecting)
        for connection in self._open_connections:
            connection.close()
        await self._wait_gone(CLOSE_PATIENCE)
        for connection in self._open_connections:
            connection.abort()
        if self._datagrams is not None:
            self._datagrams.close()
        elif self._udp is not None:
            asyncio.get_running_loop().remove_reader(self._udp)
            self._udp.close()
        self._udp = None
        # Turns of the loop in which accepted connections that nobody wants any more, and the sockets above, go away.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _wait_gone(self, patience: float) -> None:
        gone = [connection.gone for connection in self._open_connections]
        if gone:
            await asyncio.wait(gone, timeout=patience)

    # --- addresses -------------------------------------------------------------------------------------------------

    def reaches(self, host: str) -> bool:
        """Say whether the literal address `host` is of the family these sockets speak."""
        version = ipaddress.ip_address(host).version
        return (version == 6) == (self._family == socket.AF_INET6)

    def local_for(self, remote: Address, transport: TransportName = "udp") -> Address:
        """Return the address under which `remote` (a literal) sees us. Raises OSError when there is no route to it."""
        port = self.port if transport == "udp" else self.tcp_port
        if not self._wildcard:
            return self.host, port
        known = self._addresses.get(remote[0])
        if known is not None and clock.now() < known[0]:
            return known[1], port
        return self._ask_route(remote), port

    def flow_to(self, remote: Address, transport: TransportName) -> Flow:
        """Return the flow for first contact with `remote` (a literal). Raises OSError when there is no route to it."""
        return Flow(transport, self.local_for(remote, transport), remote)

    def forget_addresses(self) -> None:
        """Ask every route anew: the network has changed."""
        self._addresses.clear()

    def _ask_route(self, remote: Address) -> str:
        # Connecting a UDP socket sends nothing; it makes the kernel choose the source address.
        with socket.socket(self._family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote[0], remote[1] or 5060))
            address = str(probe.getsockname()[0])
        if len(self._addresses) >= MAX_ADDRESSES:
            self._addresses.clear()
        self._addresses[remote[0]] = (clock.now() + ADDRESS_TTL, address)
        return address

    # --- sending ---------------------------------------------------------------------------------------------------

    def send(self, flow: Flow, data: bytes) -> None:
        """Send `data` without waiting. What cannot be sent comes back as FlowFailed, later."""
        if self._closed:
            return
        if flow.transport == "udp":
            self._send_datagram(flow, data)
            return
        connection = self._connections.get((flow.remote, flow.connection))
        if connection is None:
            if flow.connection:
                self._fail_later(flow, "the connection is closed")
                return
            connection = self._connect(flow)
        connection.write(data)

    def close_flow(self, flow: Flow) -> None:
        """Close this TCP connection; nothing more is delivered for it."""
        connection = self._connections.pop((flow.remote, flow.connection), None)
        if connection is not None:
            connection.close()

    def _send_datagram(self, flow: Flow, data: bytes) -> None:
        if self._udp is None:
            self._fail_later(flow, "the UDP socket is not open")
            return
        try:
            self._udp.sendto(data, flow.remote)
        except BlockingIOError:
            pass  # the network card is behind: lost as datagrams are, and sent again by its transaction
        except OSError as exc:
            self._fail_later(flow, _plain(exc))
        except (ValueError, OverflowError) as exc:  # a name or a port number that is no socket address
            self._fail_later(flow, str(exc))

    def _connect(self, flow: Flow) -> _Connection:
        connection = _Connection(self, flow)
        self._connections[flow.remote, 0] = connection
        task = asyncio.get_running_loop().create_task(self._open(connection, flow))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return connection

    async def _open(self, connection: _Connection, flow: Flow) -> None:
        source = None if self._wildcard else (self.host, 0)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await asyncio.get_running_loop().create_connection(lambda: connection, *flow.remote, local_addr=source)
        except TimeoutError:
            self._lost(connection, f"no TCP connection within {self._connect_timeout:g} s")
        except (OSError, ValueError, OverflowError) as exc:
            self._lost(connection, _plain(exc))

    def _fail_later(self, flow: Flow, reason: str) -> None:
        asyncio.get_running_loop().call_soon(self._deliver_unless_closed, FlowFailed(flow, reason))

    # --- what the protocols report ---------------------------------------------------------------------------------

    def _deliver_unless_closed(self, item: Datagram | StreamChunk | FlowFailed) -> None:
        if not self._closed:
            self._deliver(item)

    def _datagram(self, data: bytes, remote: Address) -> None:
        with contextlib.suppress(OSError):  # no route back: nothing we could answer, so nothing to look at
            self._deliver_unless_closed(Datagram(Flow("udp", self.local_for(remote), remote), data))

    def _read_datagrams(self) -> None:
        """Take what has arrived: often two at once, as an ACK and the BYE behind it."""
        udp = self._udp
        for _ in range(DATAGRAMS_A_TURN):
            if udp is None or self._closed:
                return
            try:
                data, remote = udp.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of unknown origin; the transaction's own timer covers it
            self._datagram(data, remote[:2])

    def _accept(self, connection: _Connection, local: Address, remote: Address) -> bool:
        if self._closed or self._accepted >= self._max_accepted:
            return False
        connection.flow = Flow("tcp", (local[0], self.tcp_port), remote, next(self._numbers))
        connection.accepted = True
        self._accepted += 1
        self._connections[remote, connection.flow.connection] = connection
        return True

    def _lost(self, connection: _Connection, reason: str) -> None:
        if connection.accepted:
            connection.accepted = False
            self._accepted -= 1
        flow = connection.flow
        if flow is not None and self._connections.get((flow.remote, flow.connection)) is connection:
            del self._connections[flow.remote, flow.connection]
            self._deliver_unless_closed(FlowFailed(flow, reason))

    def _overflow(self, connection: _Connection) -> None:
        asyncio.get_running_loop().call_soon(self._lost, connection, "the peer does not read what is sent to it")

    # --- idle connections ------------------------------------------------------------------------------------------

    def _arm_sweeper(self) -> None:
        period = min(self._first_bytes, self._accepted_idle) / 2
        self._sweeper = asyncio.get_running_loop().call_later(period, self._sweep)

    def _sweep(self) -> None:
        for connection in list(self._idle(clock.now())):
            self._lost(connection, "the connection was idle")
            connection.close()
        self._arm_sweeper()

    def _idle(self, now: float) -> Iterator[_Connection]:
        for connection in self._connections.values():
            limit = self._accepted_idle if connection.heard else self._first_bytes
            if connection.accepted and now - connection.used_at >= limit:
                yield connection


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP socket's receiving end, where the event loop reads it."""

    def __init__(self, owner: Transports) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._owner._datagram(data, (addr[0], addr[1]))


class _Connection(asyncio.Protocol):
    """One TCP connection, ours (with a flow from the start) or accepted (its flow comes with the connection)."""

    def __init__(self, owner: Transports, flow: Flow | None = None) -> None:
        self._owner = owner
        self.flow = flow
        self.accepted = False
        self.heard = False
        self.used_at = clock.now()
        self.transport: asyncio.Transport | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting: list[bytes] = []
        self._pending = 0
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._owner._open_connections.add(self)
        stream = transport.get_extra_info("socket")
        # RFC 3261 messages are small and each is wanted now; Nagle's wait only delays them.
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self.flow is None:
            local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
            if remote is None or not self._owner._accept(self, local[:2], remote[:2]):
                transport.abort()
        elif self._closing:
            transport.abort()
        else:
            transport.writelines(self._waiting)
            self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self.used_at = clock.now()
        if self.flow is not None and not self._closing:
            self._owner._deliver_unless_closed(StreamChunk(self.flow, data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner._open_connections.discard(self)
        if not self.gone.done():
            self.gone.set_result(None)
        self._owner._lost(self, "the peer closed the connection" if exc is None else _plain(exc))

    def write(self, data: bytes) -> None:
        """Send, or keep until the connection stands; a peer that lets too much pile up is cut off."""
        if self._closing:
            return
        self.used_at = clock.now()
        waiting = self._pending if self.transport is None else self.transport.get_write_buffer_size()
        if waiting + len(data) > MAX_PENDING:
            self._owner._overflow(self)
            self.abort()
        elif self.transport is None:
            self._waiting.append(data)
            self._pending += len(data)
        else:
            self.transport.write(data)

    def close(self) -> None:
        """Flush and close; cut the connection if the peer does not let us."""
        self._closing = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
            cut = asyncio.get_running_loop().call_later(CLOSE_PATIENCE, self.transport.abort)
            self.gone.add_done_callback(lambda _: cut.cancel())

    def abort(self) -> None:
        """Cut the connection without flushing."""
        self._closing = True
        if self.transport is not None:
            self.transport.abort()


# --- binding -------------------------------------------------------------------------------------------------------


def _bind_both(host: str, port: int, *, any_port: bool) -> tuple[socket.socket, socket.socket]:
    """Return bound UDP and TCP sockets, with the same port number if that can be had."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        raise SetupError(f"cannot listen on {host!r}: write an IP address of this machine, or 0.0.0.0") from None
    if port == 0:
        return _bind_free_pair(family, host)
    try:
        return _bind_pair(family, host, port)
    except OSError as exc:
        if any_port and exc.errno in (errno.EADDRINUSE, errno.EACCES):
            return _bind_free_pair(family, host)
        raise _bind_error(host, port, exc) from exc


def _bind_free_pair(family: socket.AddressFamily, host: str) -> tuple[socket.socket, socket.socket]:
    try:
        for _ in range(SAME_PORT_ATTEMPTS):
            udp = _bound(family, socket.SOCK_DGRAM, host, 0)
            try:
                return udp, _bound(family, socket.SOCK_STREAM, host, udp.getsockname()[1])
            except OSError:
                udp.close()
        udp = _bound(family, socket.SOCK_DGRAM, host, 0)
        try:
            return udp, _bound(family, socket.SOCK_STREAM, host, 0)
        except OSError:
            udp.close()
            raise
    except OSError as exc:
        raise _bind_error(host, 0, exc) from exc


def _bind_pair(family: socket.AddressFamily, host: str, port: int) -> tuple[socket.socket, socket.socket]:
    udp = _bound(family, socket.SOCK_DGRAM, host, port)
    try:
        return udp, _bound(family, socket.SOCK_STREAM, host, port)
    except OSError:
        udp.close()
        raise


def _bound(family: socket.AddressFamily, kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BUFFER)
        elif os.name == "posix":
            # On POSIX this only skips TIME_WAIT; on Windows it would let another program take the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_error(host: str, port: int, exc: OSError) -> SetupError:
    if exc.errno == errno.EADDRINUSE:
        return SetupError(f"SIP port {port} on {host} is taken by another program: stop it or set another sip.port")
    return SetupError(f"cannot listen for SIP on {host} port {port}: {_plain(exc)}")


def _plain(exc: BaseException) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or type(exc).__name__
