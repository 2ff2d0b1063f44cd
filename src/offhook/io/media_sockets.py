"""The sockets of the open streams: which packet is whose, and which socket a packet leaves by."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from offhook.io.media_capture import Capture, CapturedEnd, End
from offhook.io.media_ports import MAX_DATAGRAM, SocketPair, Twins
from offhook.io.poller import Poller
from offhook.io.ports import without_link
from offhook.media.address import Address
from offhook.media.stream import Stream

_Handler: TypeAlias = Callable[[bytes, Address, float], object]


class StreamSockets:
    """Pairs of sockets, RTP and RTCP, of each address family one, by the port of RTP; and the connected twins beside them."""

    def __init__(self, poller: Poller) -> None:
        self.twins = Twins(poller)
        self._poller = poller
        # By family, which is told by the colon in an IPv6 address, then by port.
        self._ends: dict[bool, dict[int, socket.socket | CapturedEnd]] = {False: {}, True: {}}
        self._inputs: dict[int, tuple[End, _Handler]] = {}
        self._talkers: dict[int, tuple[socket.socket, Stream]] = {}  # by the descriptor of the RTP port

    def open(self, stream: Stream, pairs: Sequence[SocketPair]) -> None:
        """Have a stream hear and speak by these pairs, bound to its port and the one above."""
        for pair in pairs:
            ends = self._ends[pair[0].family == socket.AF_INET6]
            for offset, end in enumerate(pair):
                ends[stream.port + offset] = end
                self._poller.add(end.fileno())
            self._talkers[pair[0].fileno()] = pair[0], stream
        self.listen(stream)

    def listen(self, stream: Stream) -> None:
        """Have what comes to the stream's ports go where it wants it now."""
        for port, handle in ((stream.port, stream.wiring.receive), (stream.port + 1, stream.wiring.receive_control)):
            for is_ipv6, ends in self._ends.items():
                if (end := ends.get(port)) is not None:
                    self._inputs[end.fileno()] = (end, _two_part(handle) if is_ipv6 else handle)

    def read(self, descriptor: int, now: float) -> bool:
        """Take a packet from a socket that hears everybody; False if this is none."""
        found = self._inputs.get(descriptor)
        if found is None:
            return False
        end, handle = found
        try:
            packet, source = end.recvfrom(MAX_DATAGRAM)
        except OSError:
            return True  # nothing there after all, or (Windows) the far end's port was closed
        handle(packet, source, now)
        talker = self._talkers.get(descriptor)
        if talker is not None:
            self.twins.follow(*talker, source[:2], len(packet))
        return True

    def leaving(self, port: int, address: Address) -> End | None:
        """Return the socket that packets to this address leave by; None for a family that we do not speak."""
        return self._ends[":" in address[0]].get(port)

    def capture(self, stream: Stream, capture: Capture) -> None:
        """Put captures in the place of a stream's sockets. No twin carries anything past them."""
        self.twins.close(stream.port)
        for number, ends in self._ends_of(stream.port):
            if isinstance(end := ends[number], socket.socket):
                self._talkers.pop(end.fileno(), None)
                ends[number] = CapturedEnd(end, capture)
        self.listen(stream)

    def end_capture(self, stream: Stream) -> None:
        """Put the sockets themselves back."""
        for number, ends in self._ends_of(stream.port):
            if isinstance(end := ends[number], CapturedEnd):
                ends[number] = end.plain
                if number == stream.port:
                    self._talkers[end.fileno()] = end.plain, stream
        self.listen(stream)

    def close(self, port: int) -> None:
        """Close the sockets of the stream on this port."""
        self.twins.close(port)
        for number, ends in self._ends_of(port):
            end = ends.pop(number)
            self._talkers.pop(end.fileno(), None)
            self._poller.remove(end.fileno())
            del self._inputs[end.fileno()]
            end.close()

    def close_all(self) -> None:
        """Close all of them, and the twins."""
        self.twins.close_all()
        for ends in self._ends.values():
            for end in ends.values():
                end.close()
            ends.clear()

    def _ends_of(self, port: int) -> Iterator[tuple[int, dict[int, socket.socket | CapturedEnd]]]:
        """Yield where the sockets of a stream stand: the number, and the table that has it."""
        for number in (port, port + 1):
            for ends in self._ends.values():
                if number in ends:
                    yield number, ends


def _two_part(handle: _Handler) -> _Handler:
    """Return a handler of IPv6 packets: their source has four parts, and may have its link in the address (`%eth0`), too."""
    def take(packet: bytes, source: Address, now: float) -> object:
        host, port = source[:2]
        return handle(packet, (without_link(host) if "%" in host else host, port), now)
    return take
