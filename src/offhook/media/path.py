"""What stands between a stream and its sockets when a call is more than RTP in the clear: it sorts, opens and seals packets.

A stream without keys never meets this. With a path, everything the stream says goes through `append` and everything that comes
through `receive`: nothing leaves unsealed that has to be sealed, nothing reaches the stream that the far end has not sealed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from offhook.errors import OffhookError
from offhook.ids import Ids
from offhook.media.handshakes import Handshake, Handshakes
from offhook.media.messages import (
    DtlsPeer,
    GatherCandidates,
    MediaReport,
    SdesKeys,
    StreamConfig,
    StreamFailed,
    StreamId,
    StreamSecured,
    TurnServer,
)
from offhook.media.receiving import Address
from offhook.media.route import RTCP, RTP, RelayLink, Route
from offhook.media.sending import Outbox, Transmit

if TYPE_CHECKING:
    from offhook.media.srtp import Opening, Sealing

Take = Callable[[bytes, Address, float], object]

# RFC 7983 7: the first octet of a datagram says which protocol it is.
RTP_FIRST: Final = range(128, 192)
DTLS_FIRST: Final = range(20, 64)
# RFC 5761 4: RTCP packet types where both share a port.
CONTROL_KINDS: Final = range(192, 224)


class Path:
    """The way of one stream's packets. `handshake` begins a DTLS handshake (or raises OffhookError)."""

    def __init__(
        self, name: StreamId, port: int, outbox: Outbox, receive: Take, receive_control: Take, *,
        report: Callable[[MediaReport], object], handshake: Callable[[DtlsPeer], Handshake],
    ) -> None:
        self._refused = 0
        self._name = name
        self._report = report
        self._handshake = handshake
        self._handshakes: Handshakes | None = None
        self._config: StreamConfig | None = None
        self._route: Route | None = None
        self._port = port
        self._outbox = outbox
        self._receive = receive
        self._receive_control = receive_control
        self._secure = False
        self._keys: SdesKeys | None = None
        self._sealing: Sealing | None = None
        self._opening: Opening | None = None

    @property
    def straight(self) -> bool:
        """Return whether packets go from the socket to the far end's address, and so may take a connected socket.

        A handshake is no business for one: its packets are few, and longer than those of sound.
        """
        shaking = self._handshakes is not None and self._opening is None
        return not shaking and (self._route is None or self._route.straight)

    @property
    def refused(self) -> int:
        """Return how many datagrams came that the far end has not sealed, or that are nothing we know."""
        others = (self._handshakes, self._route)
        return self._refused + sum(other.refused for other in others if other is not None)

    def gather(
        self, request: GatherCandidates, addresses: tuple[str, ...], ids: Ids, link: Callable[[TurnServer], RelayLink],
        now: float,
    ) -> None:  # fmt: skip
        """Find out where the stream can be reached, and use what is found from now on."""
        if self._route is None:
            self._route = Route(
                request, self._port, addresses, ids, now,
                send=self._put, on_data=self._relayed, on_way=self._shake_hands, report=self._report, link=link,
            )  # fmt: skip

    def _put(self, component: int, datagram: bytes, address: Address) -> None:
        self._outbox.append((self._port + component - 1, datagram, address))

    def _relayed(self, component: int, packet: bytes, source: Address, now: float) -> None:
        """Take what came over the relay."""
        if packet[0] in RTP_FIRST and len(packet) > 1:
            if component == RTCP or packet[1] in CONTROL_KINDS:
                self._open_control(packet, source, now)
            else:
                self._open(packet, source, now)
        else:
            self._receive_other(packet, source, now)

    def configure(self, config: StreamConfig, now: float) -> None:
        """Take the keys, or begin to agree on some. Raises ParseError for keys that are none; then nothing has changed."""
        security = config.security
        if isinstance(security, SdesKeys):
            self._take_keys(security)
            self._handshakes = None
        self._secure = security is not None
        if self._route is not None:
            self._route.configure(config, now)
        self._config = config
        if self._route is None or self._route.open:
            self._shake_hands(now)

    def timeout(self, now: float) -> None:
        """Do what is due; to be called a few times a second."""
        if self._handshakes is not None:
            self._handshakes.timeout(now)

    @property
    def route(self) -> Route | None:
        """Return what wants its `timeout` in every tick, if there is any."""
        return self._route

    def _shake_hands(self, now: float) -> None:
        """Begin to agree on keys, once there is a way to the far end."""
        if self._config is None or not isinstance(self._config.security, DtlsPeer):
            return
        peer = self._config.security
        remote = self._config.remote if self._route is None else self._route.far_end
        if self._handshakes is None:
            self._keys = self._sealing = self._opening = None
            self._handshakes = Handshakes(self._handshake, self._post, self._agreed, self._failed)
        try:
            self._handshakes.expect(peer, remote, now)
        except OffhookError as error:
            self._failed(str(error))

    def _agreed(self, keys: SdesKeys) -> None:
        self._take_keys(keys)
        self._report(StreamSecured(self._name, keys.suite))

    def _failed(self, reason: str) -> None:
        self._report(StreamFailed(self._name, f"no encryption: {reason}"))

    def _post(self, datagram: bytes, address: Address) -> None:
        self._leave(RTP, datagram, address)

    def _leave(self, component: int, datagram: bytes, address: Address) -> None:
        if self._route is None:
            self._outbox.append((self._port + component - 1, datagram, address))
        else:
            self._route.send(component, datagram, address)

    def _take_keys(self, keys: SdesKeys) -> None:
        from offhook.media.srtp import Opening, Sealing  # a route alone needs no keys

        old = self._keys
        # RFC 4568 7.1.4, RFC 3711 3.3.1: a key that stays keeps its count of packets, else the far end could not follow.
        sealing, opening = self._sealing, self._opening
        if sealing is None or old is None or (old.suite, old.send) != (keys.suite, keys.send):
            sealing = Sealing(keys.suite, keys.send)
        if opening is None or old is None or (old.suite, old.receive) != (keys.suite, keys.receive):
            opening = Opening(keys.suite, keys.receive)
        self._keys, self._sealing, self._opening = keys, sealing, opening

    # --- in --------------------------------------------------------------------------------------------------------

    def receive(self, packet: bytes, source: Address, now: float) -> None:
        """Take a datagram from the RTP port."""
        if self._route is not None:
            self._arrive(RTP, packet, source, now)
        elif len(packet) < 2 or packet[0] not in RTP_FIRST:
            self._receive_other(packet, source, now)
        elif packet[1] in CONTROL_KINDS:
            self._open_control(packet, source, now)
        else:
            self._open(packet, source, now)

    def _arrive(self, component: int, packet: bytes, source: Address, now: float) -> None:
        """Let the route say what a datagram is, and whose."""
        route = self._route
        if route is None or len(packet) < 2 or route.take(component, packet, source, now):
            return
        origin = route.origin(component, source, False)
        if origin is None:
            self._refused += 1
        else:
            self._relayed(component, packet, origin, now)

    def _open(self, packet: bytes, source: Address, now: float) -> None:
        if self._secure:
            packet = self._opening.open(packet) if self._opening is not None else b""
            if not packet:
                self._refused += 1
                return
        self._receive(packet, source, now)

    def _receive_other(self, packet: bytes, source: Address, now: float) -> None:
        if packet and packet[0] in DTLS_FIRST and self._handshakes is not None:
            self._handshakes.receive(packet, source, now)
        else:
            self._refused += 1

    def receive_control(self, packet: bytes, source: Address, now: float) -> None:
        """Take a datagram from the RTCP port."""
        if self._route is not None:
            self._arrive(RTCP, packet, source, now)
        else:
            self._open_control(packet, source, now)

    def _open_control(self, packet: bytes, source: Address, now: float) -> None:
        if self._secure:
            packet = self._opening.open_control(packet) if self._opening is not None else b""
            if not packet:
                self._refused += 1
                return
        self._receive_control(packet, source, now)

    # --- out -------------------------------------------------------------------------------------------------------

    def append(self, item: tuple[int, bytes, Address]) -> None:
        """Send a packet of the stream; it has the form of an outbox for that."""
        port, packet, address = item
        if self._secure:
            control = port != self._port or packet[1] in CONTROL_KINDS
            # RFC 5764 4.1: RTCP on a port of its own has a handshake of its own, which we do not do; so it is left out.
            if self._sealing is None or (port != self._port and self._handshakes is not None):
                return
            packet = self._sealing.seal_control(packet) if control else self._sealing.seal(packet)
            if not packet:
                return
        self._leave(port - self._port + 1, packet, address)

    def through(self, transmit: Transmit) -> Transmit:
        """Return what sends audio through a connected socket, sealed."""

        def send(packet: bytes) -> None:
            if self._secure:
                packet = self._sealing.seal(packet) if self._sealing is not None else b""
            if packet:
                transmit(packet)

        return send
