"""What stands between a stream and its sockets when a call is more than RTP in the clear: it sorts, opens and seals packets.

A stream without keys never meets this. With a path, everything the stream says goes through `append` and everything that comes
through `receive`: nothing leaves unsealed that has to be sealed, nothing reaches the stream that the far end has not sealed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from offhook.errors import OffhookError
from offhook.media.handshakes import Handshake, Handshakes
from offhook.media.messages import DtlsPeer, MediaReport, SdesKeys, StreamConfig, StreamFailed, StreamId, StreamSecured
from offhook.media.receiving import Address
from offhook.media.sending import Outbox, Transmit
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
        self._port = port
        self._outbox = outbox
        self._receive = receive
        self._receive_control = receive_control
        self._secure = False
        self._keys: SdesKeys | None = None
        self._sealing: Sealing | None = None
        self._opening: Opening | None = None

    @property
    def sealed(self) -> bool:
        """Return whether packets are sealed, and so known to be the far end's."""
        return self._secure

    @property
    def refused(self) -> int:
        """Return how many datagrams came that the far end has not sealed, or that are nothing we know."""
        return self._refused + (self._handshakes.refused if self._handshakes is not None else 0)

    def configure(self, config: StreamConfig, now: float) -> None:
        """Take the keys, or begin to agree on some. Raises ParseError for keys that are none; then nothing has changed."""
        security = config.security
        if isinstance(security, SdesKeys):
            self._take_keys(security)
            self._handshakes = None
        self._secure = security is not None
        if isinstance(security, DtlsPeer):
            self._shake_hands(security, config.remote, now)

    def timeout(self, now: float) -> None:
        """Do what is due; to be called a few times a second."""
        if self._handshakes is not None:
            self._handshakes.timeout(now)

    def _shake_hands(self, peer: DtlsPeer, remote: Address, now: float) -> None:
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
        self._outbox.append((self._port, datagram, address))

    def _take_keys(self, keys: SdesKeys) -> None:
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
        if len(packet) < 2 or packet[0] not in RTP_FIRST:
            self._receive_other(packet, source, now)
        elif packet[1] in CONTROL_KINDS:
            self.receive_control(packet, source, now)
        elif not self._secure:
            self._receive(packet, source, now)
        else:
            opened = self._opening.open(packet) if self._opening is not None else b""
            if opened:
                self._receive(opened, source, now)
            else:
                self._refused += 1

    def _receive_other(self, packet: bytes, source: Address, now: float) -> None:
        if packet and packet[0] in DTLS_FIRST and self._handshakes is not None:
            self._handshakes.receive(packet, source, now)
        else:
            self._refused += 1

    def receive_control(self, packet: bytes, source: Address, now: float) -> None:
        """Take a datagram from the RTCP port."""
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
            if self._sealing is None:
                return
            packet = self._sealing.seal_control(packet) if control else self._sealing.seal(packet)
            if not packet:
                return
        self._outbox.append((port, packet, address))

    def through(self, transmit: Transmit) -> Transmit:
        """Return what sends audio through a connected socket, sealed."""

        def send(packet: bytes) -> None:
            if self._secure:
                packet = self._sealing.seal(packet) if self._sealing is not None else b""
            if packet:
                transmit(packet)

        return send
