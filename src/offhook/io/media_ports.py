"""The sockets that sound travels by: pairs kept ready for calls, and connected twins beside those in use."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from offhook.io.media_wire import MediaOptions
from offhook.io.poller import Poller
from offhook.io.ports import address_in, families_of, own_port
from offhook.media.address import Address
from offhook.media.stream import Stream

MAX_DATAGRAM: Final = 2048
SHORT_DATAGRAM: Final = 479  # what fits into the small blocks of Python's allocator, and holds 40 ms of G.711
BIND_ATTEMPTS: Final = 64
MOST_READY: Final = 128  # pairs of sockets kept ready after a rush
EXPEDITED: Final = 46 << 2  # RFC 4594: voice is DSCP EF

SocketPair: TypeAlias = tuple[socket.socket, socket.socket]
_TwinInput: TypeAlias = tuple[Callable[[int], bytes], int, Callable[[bytes, Address, float], object], Address]
"""How to read, how much, for whom, from whom."""


class Twin(NamedTuple):
    """A connected socket, whose audio it carries, and to whom."""

    end: socket.socket
    stream: Stream
    peer: Address


class PortPool:
    """Pairs of bound sockets, RTP on the even port and RTCP above it, ready before anybody asks: of each address family one.

    It is filled when half of them are taken, many at once, and holds more from then on when it was found empty: a rush of
    calls needs more than the eight that a desk phone does.
    """

    def __init__(self, options: MediaOptions) -> None:
        self.families = families_of(options.host)
        self._host = options.host
        self._range = options.port_range
        self._size = options.pool
        self._ready: dict[int, list[SocketPair]] = {}
        self._cursor = 0
        self._ready_once = False

    def fill(self) -> list[int]:
        """Bind what is missing and return the new RTP ports (fewer than wished where the range is used up)."""
        new: list[int] = []
        if len(self._ready) * 2 > self._size:
            return new
        if self._ready_once and not self._ready:
            self._size = min(self._size * 2, MOST_READY)
        self._ready_once = True
        while len(self._ready) < self._size and (pairs := self._bind_next()):
            port: int = pairs[0][0].getsockname()[1]
            self._ready[port] = pairs
            new.append(port)
        return new

    def take(self, port: int) -> list[SocketPair]:
        """Return the sockets of a ready port, which is ready no longer; none if it was not."""
        return self._ready.pop(port, [])

    def close(self) -> None:
        """Close what was not taken."""
        for pairs in self._ready.values():
            _close(pairs)
        self._ready.clear()

    def _bind_next(self) -> list[SocketPair]:
        if self._range is None:
            for _ in range(BIND_ATTEMPTS):
                if pairs := self._bind_anywhere():
                    return pairs
            return []
        low = self._range[0] + self._range[0] % 2
        count = (self._range[1] - low + 1) // 2
        for _ in range(max(0, count)):
            port = low + 2 * (self._cursor % count)
            self._cursor += 1  # a port is not used again at once: stragglers of the last call are still on their way
            if pairs := self._bind_all(port):
                return pairs
        return []

    def _bind_anywhere(self) -> list[SocketPair]:
        first = self._bind(self.families[0], 0)
        if first is None:
            return []
        port = first.getsockname()[1]
        second = self._bind(self.families[0], port ^ 1)
        if second is None:
            first.close()
            return []
        pair = (first, second) if port % 2 == 0 else (second, first)
        return self._complete([pair], port & ~1)

    def _bind_all(self, port: int) -> list[SocketPair]:
        return self._complete([], port)

    def _complete(self, pairs: list[SocketPair], port: int) -> list[SocketPair]:
        """Add what the other families need; without one of them the port is of no use."""
        for family in self.families[len(pairs):]:
            first = self._bind(family, port)
            second = self._bind(family, port + 1) if first is not None else None
            if first is None or second is None:
                if first is not None:
                    first.close()
                _close(pairs)
                return []
            pairs.append((first, second))
        return pairs

    def _bind(self, family: socket.AddressFamily, port: int) -> socket.socket | None:
        end = socket.socket(family, socket.SOCK_DGRAM)
        try:
            end.setblocking(False)
            own_port(end)
            if family == socket.AF_INET6:
                end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            with contextlib.suppress(OSError):  # a wish; some systems refuse it
                end.setsockopt(*_traffic_class(family), EXPEDITED)
            end.bind(address_in(family, self._host, port))
        except OSError:
            end.close()
            return None
        return end


def _close(pairs: list[SocketPair]) -> None:
    for pair in pairs:
        for end in pair:
            end.close()


def _traffic_class(family: int) -> tuple[int, int]:
    """Return the socket option that marks packets."""
    if family == socket.AF_INET6:
        return socket.IPPROTO_IPV6, socket.IPV6_TCLASS
    return socket.IPPROTO_IP, socket.IP_TOS


class Twins:
    """Second sockets on the RTP ports, each connected to the far end that its stream has latched on to (Linux).

    A connected socket saves the route and address of every packet. The first socket stays open beside it:
    the kernel gives the twin what comes from its peer and the first one everything else, so that a far end that moves is
    heard as before and nobody is told that the port is closed.
    """

    def __init__(self, poller: Poller) -> None:
        self.by_port: dict[int, Twin] = {}
        self.inputs: dict[int, _TwinInput] = {}
        self._poller = poller
        self._refused: set[int] = set()

    def follow(self, first: socket.socket, stream: Stream, source: Address, size: int) -> None:
        """Have a twin for the peer of this stream, if that is who sent a packet of this size just now."""
        if sys.platform != "linux" or not stream.wiring.straight or stream.peer != source or stream.port in self._refused:
            return
        twin = self.by_port.get(stream.port)
        if twin is None or twin.peer != source:
            self.close(stream.port)
            self._open(first, stream, source, SHORT_DATAGRAM if size < SHORT_DATAGRAM else MAX_DATAGRAM)

    def _open(self, first: socket.socket, stream: Stream, peer: Address, longest: int) -> None:
        end = socket.socket(first.family, socket.SOCK_DGRAM)
        try:
            end.setblocking(False)
            if first.family == socket.AF_INET6:
                end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            option = _traffic_class(first.family)
            end.setsockopt(*option, first.getsockopt(*option))
            # Only now and only for the two of them: otherwise a busy port would not be noticed when it is bound.
            for one in (first, end):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            end.bind(first.getsockname())
            end.connect(peer)
            self._poller.add(end.fileno())
        except OSError:
            end.close()
            self._refused.add(stream.port)  # no descriptors left, perhaps; the first socket does everything
            return
        finally:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        self.by_port[stream.port] = Twin(end, stream, peer)
        self.inputs[end.fileno()] = (end.recv, longest, stream.wiring.receive, peer)
        stream.wiring.connect(end.send)

    def widen(self, descriptor: int) -> None:
        """Read longer packets from this twin."""
        receive, _, handle, peer = self.inputs[descriptor]
        self.inputs[descriptor] = (receive, MAX_DATAGRAM, handle, peer)

    def close(self, port: int) -> None:
        """Close the twin of this port, if there is one."""
        self._refused.discard(port)
        twin = self.by_port.pop(port, None)
        if twin is not None:
            twin.stream.wiring.connect(None)
            del self.inputs[twin.end.fileno()]
            self._poller.remove(twin.end.fileno())
            twin.end.close()

    def close_all(self) -> None:
        """Close all of them."""
        for port in tuple(self.by_port):
            self.close(port)
