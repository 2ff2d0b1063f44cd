"""What stands between a stream and its sockets when a call is more than RTP in the clear: it sorts, opens and seals packets.

A stream without keys never meets this. With a path, everything the stream says goes through `append` and everything that comes
through `receive`: nothing leaves unsealed that has to be sealed, nothing reaches the stream that the far end has not sealed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from offhook.errors import OffhookError
from offhook.ids import Ids
from offhook.media.address import Address
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
from offhook.media.receiving import DTLS_FIRST
from offhook.media.route import RTCP, RTP, RelayLink, Route
from offhook.media.sending import Outbox, Transmit

if TYPE_CHECKING:
    from offhook.media.srtp import Changeover, Opening, Sealing

Take = Callable[[bytes, Address, float], object]

# RFC 7983 7: the first octet of a datagram says which protocol it is.
RTP_FIRST: Final = range(128, 192)
# RFC 5761 4: RTCP packet types where both share a port.
CONTROL_KINDS: Final = range(192, 224)


class Cipher:
    """What seals and opens the packets of a component (or of both), as far as there are keys."""

    __slots__ = ("keys", "opening", "sealing")

    def __init__(self) -> None:
        self.keys: SdesKeys | None = None
        self.sealing: Sealing | None = None
        self.opening: Opening | Changeover | None = None

    def take(self, keys: SdesKeys) -> None:
        """Use these keys. Raises ParseError for keys that are none; then nothing has changed."""
        from offhook.media.srtp import Changeover, Opening, Sealing  # a route alone needs no keys

        old = self.keys
        # RFC 4568 7.1.4, RFC 3711 3.3.1: a key that stays keeps its count of packets, else the far end could not follow.
        sealing, opening = self.sealing, self.opening
        if sealing is None or old is None or (old.suite, old.send) != (keys.suite, keys.send):
            sealing = Sealing(keys.suite, keys.send, keys.send_mki)
        if opening is None or old is None:
            opening = Opening(keys.suite, keys.receive, keys.receive_mki)
        elif (old.suite, old.receive) != (keys.suite, keys.receive):
            former = opening.proven if isinstance(opening, Changeover) else opening
            opening = Changeover(Opening(keys.suite, keys.receive, keys.receive_mki), former)
        sealing.mki, opening.mki = keys.send_mki, keys.receive_mki
        self.keys, self.sealing, self.opening = keys, sealing, opening


class Path:
    """The way of one stream's packets. `handshake` begins a DTLS handshake (or raises OffhookError).

    `move_to` and `move_control_to` are told where the far end has proved to be, if that is not where the signalling says.
    """

    def __init__(
        self, name: StreamId, port: int, outbox: Outbox, receive: Take, receive_control: Take, *,
        report: Callable[[MediaReport], object], handshake: Callable[[DtlsPeer], Handshake],
        move_to: Callable[[Address], object], move_control_to: Callable[[Address], object],
    ) -> None:  # fmt: skip
        self._refused = 0
        self._move_to = move_to
        self._move_control_to = move_control_to
        self._name = name
        self._report = report
        self._handshake = handshake
        self._handshakes: dict[int, Handshakes] = {}  # by component
        self._config: StreamConfig | None = None
        self._route: Route | None = None
        self._port = port
        self._outbox = outbox
        self._receive = receive
        self._receive_control = receive_control
        self._secure = False
        # RFC 5764 4.1: RTCP on a port of its own has keys of its own, if DTLS agrees on them; else these are one and the same.
        self._cipher = self._control_cipher = Cipher()
        self._watcher: Callable[[int, SdesKeys], object] | None = None

    @property
    def straight(self) -> bool:
        """Return whether packets go from the socket to the far end's address, and so may take a connected socket.

        A handshake is no business for one: its packets are few, and longer than those of sound.
        """
        shaking = bool(self._handshakes) and self._cipher.opening is None
        return not shaking and (self._route is None or self._route.straight)

    @property
    def waits(self) -> bool:
        """Return whether what is said now would be lost: there are no keys to seal it with yet, or there is no way."""
        return (self._secure and self._cipher.sealing is None) or (self._route is not None and self._route.searches)

    @property
    def refused(self) -> int:
        """Return how many datagrams came that the far end has not sealed, or that are nothing we know."""
        shaken = sum(shakes.refused for shakes in self._handshakes.values())
        return self._refused + shaken + (self._route.refused if self._route is not None else 0)

    def gather(
        self, request: GatherCandidates, addresses: tuple[str, ...], ids: Ids, link: Callable[[TurnServer], RelayLink],
        now: float,
    ) -> None:  # fmt: skip
        """Find out where the stream can be reached, and use what is found from now on; again, if it was found out before."""
        if self._route is not None:
            self._route.again(request, addresses, now)
        else:
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
                self._open_control(component, packet, source, now)
            else:
                self._open(packet, source, now)
        else:
            self._receive_other(component, packet, source, now)

    def configure(self, config: StreamConfig, now: float) -> None:
        """Take the keys, or begin to agree on some. Raises ParseError for keys that are none; then nothing has changed."""
        security = config.security
        if isinstance(security, SdesKeys):
            before = self._cipher.keys
            self._cipher.take(security)
            self._control_cipher = self._cipher
            self._handshakes.clear()
            if self._watcher is not None and security != before:
                self._watcher(RTP, security)
        self._secure = security is not None
        if self._route is not None:
            self._route.configure(config, now)
        self._config = config
        if self._route is None or self._route.open:
            self._shake_hands(now)

    def watch_keys(self, take: Callable[[int, SdesKeys], object] | None) -> None:
        """Tell of the keys of each component (RTP's alone, where they are the same), now and whenever there are new ones."""
        self._watcher = take
        if take is not None:
            for component, cipher in ((RTP, self._cipher), (RTCP, self._control_cipher)):
                if cipher.keys is not None and (component == RTP or cipher is not self._cipher):
                    take(component, cipher.keys)

    def timeout(self, now: float) -> None:
        """Do what is due; to be called a few times a second."""
        for shakes in self._handshakes.values():
            shakes.timeout(now)

    @property
    def route(self) -> Route | None:
        """Return what wants its `timeout` in every tick, if there is any."""
        return self._route

    def _shake_hands(self, now: float) -> None:
        """Begin to agree on keys, once there is a way to the far end."""
        config = self._config
        if config is None or not isinstance(config.security, DtlsPeer):
            return
        if not self._handshakes:
            self._cipher = Cipher()
            self._handshakes[RTP] = self._handshakes_of(RTP)
        far_ends = (config.remote, config.remote_rtcp) if self._route is None else self._route.far_ends
        try:
            anywhere = config.ice is not None  # RFC 8842 4: which of its addresses is used is no matter of DTLS then
            self._handshakes[RTP].expect(config.security, far_ends[0], now, anywhere=anywhere)
            if config.rtcp_mux:
                self._handshakes.pop(RTCP, None)
                self._control_cipher = self._cipher
            else:
                # RFC 5764 4.1: two ports are two associations, each with a handshake and keys of its own.
                if RTCP not in self._handshakes:
                    self._control_cipher = Cipher()
                    self._handshakes[RTCP] = self._handshakes_of(RTCP)
                self._handshakes[RTCP].expect(config.security, far_ends[1], now, anywhere=anywhere)
        except OffhookError as error:
            self._failed(RTP, str(error))

    def _handshakes_of(self, component: int) -> Handshakes:
        return Handshakes(
            self._handshake,
            lambda datagram, address: self._leave(component, datagram, address),
            lambda keys, source: self._agreed(component, keys, source),
            lambda reason: self._failed(component, reason),
        )

    def _agreed(self, component: int, keys: SdesKeys, source: Address) -> None:
        cipher = self._cipher if component == RTP else self._control_cipher
        cipher.take(keys)
        if self._watcher is not None:
            self._watcher(component, keys)
        if self._route is None and self._config is not None:  # RFC 5764 3: sound goes the way its keys came
            if component == RTCP:
                self._move_control_to(source)
            elif source != self._config.remote:
                self._move_to(source)
        if component == RTP:
            self._report(StreamSecured(self._name, keys.suite))

    def _failed(self, component: int, reason: str) -> None:
        if component == RTP:  # without keys for RTCP the call lacks its reports, no more
            self._report(StreamFailed(self._name, f"no encryption: {reason}"))

    def _leave(self, component: int, datagram: bytes, address: Address) -> None:
        if self._route is None:
            self._outbox.append((self._port + component - 1, datagram, address))
        else:
            self._route.send(component, datagram, address)

    # --- in --------------------------------------------------------------------------------------------------------

    def receive(self, packet: bytes, source: Address, now: float) -> None:
        """Take a datagram from the RTP port."""
        if self._route is not None:
            self._arrive(RTP, packet, source, now)
        elif len(packet) < 2 or packet[0] not in RTP_FIRST:
            self._receive_other(RTP, packet, source, now)
        elif packet[1] in CONTROL_KINDS:
            self._open_control(RTP, packet, source, now)
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
            opening = self._cipher.opening
            packet = opening.open(packet) if opening is not None else b""
            if not packet:
                self._refused += 1
                return
        self._receive(packet, source, now)

    def _receive_other(self, component: int, packet: bytes, source: Address, now: float) -> None:
        shakes = self._handshakes.get(component)
        if packet and packet[0] in DTLS_FIRST and shakes is not None:
            shakes.receive(packet, source, now)
        else:
            self._refused += 1

    def receive_control(self, packet: bytes, source: Address, now: float) -> None:
        """Take a datagram from the RTCP port."""
        if self._route is not None:
            self._arrive(RTCP, packet, source, now)
        elif packet and packet[0] in DTLS_FIRST:
            self._receive_other(RTCP, packet, source, now)
        else:
            self._open_control(RTCP, packet, source, now)

    def _open_control(self, component: int, packet: bytes, source: Address, now: float) -> None:
        if self._secure:
            opening = (self._cipher if component == RTP else self._control_cipher).opening
            packet = opening.open_control(packet) if opening is not None else b""
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
            sealing = (self._cipher if port == self._port else self._control_cipher).sealing
            if sealing is None:
                return
            packet = sealing.seal_control(packet) if control else sealing.seal(packet)
            if not packet:
                return
        self._leave(port - self._port + 1, packet, address)

    def through(self, transmit: Transmit) -> Transmit:
        """Return what sends audio through a connected socket, sealed."""

        def send(packet: bytes) -> None:
            if self._secure:
                sealing = self._cipher.sealing
                packet = sealing.seal(packet) if sealing is not None else b""
            if packet:
                transmit(packet)

        return send
