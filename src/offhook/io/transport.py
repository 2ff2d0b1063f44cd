"""SIP's sockets: one UDP port in each address family, listeners for streams, and bytes sent where a Flow says."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from offhook.errors import SetupError
from offhook.io import clock
from offhook.io.binding import bind_both, bind_listener, plain
from offhook.io.connection import MAX_PENDING
from offhook.io.connections import (
    ACCEPTED_IDLE,
    CONNECT_TIMEOUT,
    FIRST_BYTES,
    HANDSHAKE_WITHIN,
    MAX_ACCEPTED,
    Connections,
    Deliver,
)
from offhook.io.ports import address_in, without_link
from offhook.sip.events import Address, ConnectionTerms, Datagram, Flow, FlowFailed, FlowUp, StreamChunk, TransportName

__all__ = ["MAX_PENDING", "Listeners", "Transports"]

ADDRESS_TTL = 30.0
"""Seconds the local address towards a remote is believed before it is asked again (networks change)."""

MAX_ADDRESSES = 4096
"""Remotes whose local address is remembered; then the memory starts afresh."""

MAX_WATCHED = 8
"""Remotes whose way is looked at for changes: servers, and some far ends."""

BACKLOG = 100
"""Connections to a TLS listener that the system keeps for us until we take them."""

MAX_DATAGRAM = 65535
"""Bytes of a datagram. The event loop's own transport makes room for four times that, anew for each datagram."""

DATAGRAMS_A_TURN = 32
"""Datagrams read before others have their turn of the event loop."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where connections are taken besides TCP: a port for each transport (0: any), and our certificate and key (PEM files).

    `tell` is told of ones that were renewed and cannot be used.
    """

    ports: Mapping[TransportName, int]
    certificate: str = ""
    key: str = ""
    tell: Callable[[str], object] = lambda _: None


class Transports:
    """The SIP sockets of one phone: IPv4, IPv6, or with the host `::` both, on the same ports.

    `deliver` is called on the event loop for everything that arrives, never from inside `send` or `close_flow`. With
    `any_port`, a busy `port` is replaced by a free one instead of raising SetupError. `listen` adds listeners; their ports are
    in `ports` after `start`.
    """

    def __init__(
        self, host: str, port: int, deliver: Deliver, *, any_port: bool = False, listen: Listeners | None = None,
        max_accepted: int = MAX_ACCEPTED, first_bytes: float = FIRST_BYTES, accepted_idle: float = ACCEPTED_IDLE,
        connect_timeout: float = CONNECT_TIMEOUT, handshake_within: float = HANDSHAKE_WITHIN,
    ) -> None:
        self.host = host
        self.port = port
        self.tcp_port = port
        self._any_port = any_port
        self._listen = listen
        self._deliver = deliver
        self._wildcard = False
        self._streams = Connections(
            self._deliver_unless_closed, max_accepted=max_accepted, first_bytes=first_bytes, accepted_idle=accepted_idle,
            connect_timeout=connect_timeout, handshake_within=handshake_within,
        )
        self._udp: dict[bool, socket.socket] = {}  # by whether it speaks IPv6
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._servers: list[asyncio.Server] = []
        self._secure: list[tuple[socket.socket, asyncio.Task[None]]] = []
        self._addresses: dict[str, tuple[float, str]] = {}
        self._watched: dict[str, str] = {}
        self._closed = False
        # A message is copied out of here: one shortened from the largest size pins memory far larger than itself.
        self._received = memoryview(bytearray(MAX_DATAGRAM))

    # --- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind; then `port` and `tcp_port` are the real numbers. Raises SetupError when the address is not free."""
        loop = asyncio.get_running_loop()
        pairs = bind_both(self.host, self.port, any_port=self._any_port)
        self.port, self.tcp_port = (end.getsockname()[1] for end in pairs[0])
        self._wildcard = ipaddress.ip_address(self.host.partition("%")[0]).is_unspecified
        self._streams.link = "".join(self.host.partition("%")[1:])
        for udp, tcp in pairs:
            self._udp[udp.family == socket.AF_INET6] = udp
            try:
                loop.add_reader(udp, self._read_datagrams, udp)
            except NotImplementedError:  # Windows' usual event loop watches no sockets, it reads them itself
                transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
                self._datagrams.append(transport)
            await self._accept_on(tcp, "tcp")
        if self._listen is not None:
            await self._start_listeners(self._listen)
        self._streams.start()

    async def _start_listeners(self, listen: Listeners) -> None:
        try:
            for kind, port in listen.ports.items():
                context = None
                if kind in ("tls", "wss"):
                    from offhook.io.tls import renewing

                    context = renewing(listen.certificate, listen.key, tell=listen.tell)
                for listener in bind_listener(self.host, port, any_port=self._any_port):
                    await self._accept_on(listener, kind, context)
        except SetupError:
            await self.close()
            raise

    async def _accept_on(self, sock: socket.socket, kind: TransportName, tls: Callable[[], Any] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._streams.listening[kind] = sock.getsockname()[1]
        if tls is None:
            self._servers.append(await loop.create_server(lambda: self._streams.make(kind), sock=sock))
        else:
            sock.listen(BACKLOG)
            self._secure.append((sock, loop.create_task(self._streams.take_secure(sock, kind, tls))))

    @property
    def ports(self) -> Mapping[TransportName, int]:
        """Our port for each transport that is listened on."""
        return {"udp": self.port, **self._streams.listening}

    async def close(self) -> None:
        """Flush what was sent, then close every socket. No FlowFailed is delivered any more."""
        self._closed = True
        for server in self._servers:
            server.close()
        for listener, taking in self._secure:
            taking.cancel()
            await asyncio.wait({taking})
            listener.close()
        await self._streams.close()
        for transport in self._datagrams:
            transport.close()
        if not self._datagrams:
            for udp in self._udp.values():
                asyncio.get_running_loop().remove_reader(udp)
                udp.close()
        self._udp = {}
        # Turns of the loop in which accepted connections that nobody wants any more, and the sockets above, go away.
        for _ in range(3):
            await asyncio.sleep(0)

    # --- addresses -------------------------------------------------------------------------------------------------

    def reaches(self, host: str) -> bool:
        """Say whether the literal address `host` is of a family these sockets speak."""
        return (":" in host) in self._udp

    def local_for(self, remote: Address, transport: TransportName = "udp") -> Address:
        """Return the address under which `remote` (a literal) sees us. Raises OSError when there is no route to it."""
        return self._local_host(remote), self.port if transport == "udp" else self.tcp_port

    def _local_host(self, remote: Address) -> str:
        if not self._wildcard:
            return without_link(self.host)
        known = self._addresses.get(remote[0])
        if known is not None and clock.now() < known[0]:
            return known[1]
        return self._ask_route(remote)

    def flow_to(self, remote: Address, transport: TransportName, terms: ConnectionTerms | None = None) -> Flow:
        """Return the flow for first contact with `remote` (a literal). Raises OSError when there is no route to it."""
        host = self._local_host(remote)
        if self._wildcard:
            self._watch(remote[0], host)
        if transport in ("udp", "tcp"):
            return Flow(transport, (host, self.port if transport == "udp" else self.tcp_port), remote)
        flow = Flow(transport, (host, 0), remote, 0, terms)
        return structs.replace(flow, local=(flow.local[0], self._streams.local_port(flow)))

    def _watch(self, host: str, ours: str) -> None:
        self._watched.pop(host, None)
        self._watched[host] = ours
        if len(self._watched) > MAX_WATCHED:
            del self._watched[next(iter(self._watched))]

    def watched(self) -> Mapping[str, str]:
        """Return the remotes that we asked for the way to, the latest ones, each with the address of ours that it was told."""
        return self._watched

    def forget_addresses(self) -> None:
        """Ask every route anew: the network has changed. Connections from addresses that are not ours any more are cut."""
        self._addresses.clear()
        self._streams.drop_local(_is_gone)

    def _ask_route(self, remote: Address) -> str:
        # Connecting a UDP socket sends nothing; it makes the kernel choose the source address.
        with socket.socket(socket.AF_INET6 if ":" in remote[0] else socket.AF_INET, socket.SOCK_DGRAM) as probe:
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
        if flow.transport != "udp":
            self._streams.send(flow, data)
        elif (udp := self._udp.get(":" in flow.remote[0])) is None:
            self._streams.fail_later(flow, "no UDP socket of this address family is open")
        else:
            self._send_datagram(udp, flow, data)

    def close_flow(self, flow: Flow) -> None:
        """Close this connection; nothing more is delivered for it."""
        self._streams.close_flow(flow)

    def _send_datagram(self, udp: socket.socket, flow: Flow, data: bytes) -> None:
        try:
            udp.sendto(data, flow.remote)
        except BlockingIOError:
            pass  # the network card is behind: lost as datagrams are, and sent again by its transaction
        except OSError as exc:
            self._streams.fail_later(flow, plain(exc))
        except (ValueError, OverflowError) as exc:  # a name or a port number that is no socket address
            self._streams.fail_later(flow, str(exc))

    # --- what arrives ----------------------------------------------------------------------------------------------

    def _deliver_unless_closed(self, item: Datagram | StreamChunk | FlowUp | FlowFailed) -> None:
        if not self._closed:
            self._deliver(item)

    def _datagram(self, data: bytes, remote: Address) -> None:
        if "%" in remote[0]:
            remote = without_link(remote[0]), remote[1]
        try:
            local = self.local_for(remote)
        except OSError:  # no route back: nothing we could answer, so nothing to look at
            return
        self._deliver_unless_closed(Datagram(Flow("udp", local, remote), data))

    def _read_datagrams(self, udp: socket.socket) -> None:
        """Take what has arrived: often two at once, as an ACK and the BYE behind it."""
        for _ in range(DATAGRAMS_A_TURN):
            if self._closed:
                return
            try:
                size, remote = udp.recvfrom_into(self._received)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of unknown origin; the transaction's own timer covers it
            self._datagram(bytes(self._received[:size]), remote[:2])


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP socket's receiving end, where the event loop reads it."""

    def __init__(self, owner: Transports) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._owner._datagram(data, (addr[0], addr[1]))


def _is_gone(address: str) -> bool:
    """Say whether this machine does not have the address any more."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(address_in(probe.family, address, 0))
    except OSError:
        return True
    return False
