"""How one stream is wired to its two ports: straight, or by way of what seals packets and finds them a way (`media.path`).

Nothing of it is done for each packet: who runs the stream asks where datagrams go (`receive`) after each change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from offhook.ids import Ids
from offhook.media.address import Address, reachable
from offhook.media.handshakes import Handshake
from offhook.media.messages import (
    DtlsPeer,
    GatherCandidates,
    MediaReport,
    SdesKeys,
    StreamConfig,
    StreamId,
    TurnServer,
)
from offhook.media.receiving import DTLS_FIRST
from offhook.media.sending import Outbox, Sender, Transmit

if TYPE_CHECKING:
    from offhook.media.path import Path
    from offhook.media.route import RelayLink, Route, SeeMessage

Take: TypeAlias = Callable[[bytes, Address, float], object]

MOST_EARLY: Final = 8
"""Datagrams of handshakes kept until there is an answer: first flights for both ports, twice."""
_UNSET: Final[Address] = ("", 0)


class Wiring:
    """Where a stream's datagrams come from and go to. `hear` and `hear_control` take what was meant for the stream itself.

    `receive` and `receive_control` take a datagram (packet, source, now) from the RTP port and from the RTCP port. What changes
    the wiring may change them.
    """

    __slots__ = (
        "_config", "_early", "_handshake", "_hear", "_hear_control", "_ids", "_name", "_outbox", "_port", "_report",
        "_sender", "control_peer", "path", "receive", "receive_control",
    )  # fmt: skip

    def __init__(
        self, name: StreamId, port: int, sender: Sender, outbox: Outbox, hear: Take, hear_control: Take, *,
        ids: Ids, report: Callable[[MediaReport], object], handshake: Callable[[DtlsPeer], Handshake],
    ) -> None:  # fmt: skip
        self._name = name
        self._port = port
        self._sender = sender
        self._outbox: Outbox = outbox
        self._hear = hear
        self._hear_control = hear_control
        self._ids = ids
        self._report = report
        self._handshake = handshake
        self._config: StreamConfig | None = None
        self._early: list[tuple[bool, bytes, Address]] = []  # handshakes before the answer: on RTCP's port?, by whom
        self.path: Path | None = None  # what seals and opens packets; None: they go in the clear
        self.control_peer: Address = _UNSET  # where RTCP goes
        self.receive: Take = self._receive_early
        self.receive_control: Take = self._receive_early_control

    # --- before there is an answer ---------------------------------------------------------------------------------

    def _receive_early(self, packet: bytes, source: Address, now: float, *, control: bool = False) -> None:
        """Take what comes before anything is agreed on: handshakes wait for it.

        RFC 5763 5: the far end may begin as soon as it has answered, and its first flight overtakes the answer.
        """
        if len(packet) > 1 and packet[0] in DTLS_FIRST and len(self._early) < MOST_EARLY:
            self._early.append((control, packet, source))
            return
        hear, hear_control = self._takers()
        (hear_control if control else hear)(packet, source, now)

    def _receive_early_control(self, packet: bytes, source: Address, now: float) -> None:
        self._receive_early(packet, source, now, control=True)

    def hear_early(self, now: float) -> None:
        """Listen from now on, and first to what came early."""
        self.receive, self.receive_control = self._takers()
        early, self._early = self._early, []
        for control, packet, source in early:
            (self.receive_control if control else self.receive)(packet, source, now)

    # --- the way ---------------------------------------------------------------------------------------------------

    def configure(self, config: StreamConfig, now: float) -> None:
        """Obey what was agreed on. Raises ParseError for keys that are none; then nothing has changed."""
        if config.security is not None or self.path is not None:
            self._path_in_between().configure(config, now)
        if self._config is None or self._config.remote_rtcp != config.remote_rtcp:
            self.control_peer = config.remote_rtcp
        self._config = config

    def connect(self, transmit: Transmit | None) -> None:
        """Send audio through this until the peer is another; None, and whenever it raises OSError: through the outbox."""
        self._sender.connect(self.path.through(transmit) if transmit and self.path else transmit)

    def gather(
        self, request: GatherCandidates, addresses: tuple[str, ...], link: Callable[[TurnServer], RelayLink], now: float
    ) -> None:
        """Find out where this stream can be reached (CandidatesGathered); packets take the way that is agreed on."""
        path = self._path_in_between()
        begun = path.route is not None
        path.gather(request, addresses, self._ids, link, now)
        if self._config is not None and not begun:
            path.configure(self._config, now)  # in the midst of a call, which goes on as it is

    @property
    def waits(self) -> bool:
        """Return whether what is said now would be lost: keys, or the way, are still being agreed on."""
        return self.path is not None and self.path.waits

    @property
    def straight(self) -> bool:
        """Return whether packets go between our socket and the far end's address, so that the socket may be connected."""
        return self.path is None or self.path.straight

    @property
    def route(self) -> Route | None:
        """Return what wants its `timeout` in every tick, if there is any."""
        return self.path.route if self.path is not None else None

    @property
    def refused(self) -> int:
        """Return how many datagrams came that the far end has not sealed, or that are nothing we know."""
        return self.path.refused if self.path is not None else 0

    def watch_keys(self, take: Callable[[int, SdesKeys], object] | None) -> None:
        """Tell of the keys of a component, present and future ones; None ends it. `receive` and the like may change."""
        if take is not None or self.path is not None:
            self._path_in_between().watch_keys(take)

    def watch_streams(self, see: SeeMessage | None) -> None:
        """Show what streams to a relay carry; None ends it."""
        if self.route is not None:
            self.route.watch_streams(see)

    def _path_in_between(self) -> Path:
        """Put a path between the stream and its sockets, if none is there."""
        from offhook.media.path import Path  # only who needs it pays for it

        if self.path is None:
            path = Path(
                self._name, self._port, self._outbox, self._hear, self._hear_control,
                report=self._report, handshake=self._handshake, move_to=self._sender.move_to,
                move_control_to=self._move_control_to,
            )  # fmt: skip
            self.path = self._outbox = path
            self._sender.reroute(path)
            if self._config is not None:  # else handshakes go on waiting for the answer
                self.receive, self.receive_control = self._takers()
        return self.path

    def _takers(self) -> tuple[Take, Take]:
        """Return who takes what comes to the RTP port and to the RTCP port."""
        if self.path is None:
            return self._hear, self._hear_control
        return self.path.receive, self.path.receive_control

    def _move_control_to(self, address: Address) -> None:
        self.control_peer = address

    # --- RTCP ------------------------------------------------------------------------------------------------------

    def send_control(self, packet: bytes) -> None:
        """Send RTCP to the far end, if that can be reached."""
        mux = self._config is not None and self._config.rtcp_mux
        peer = self._sender.peer if mux else self.control_peer  # RFC 5761 5.1.1: where RTP goes
        if self._config is not None and reachable(self._config.remote) and reachable(peer):
            self._outbox.append((self._port + (not mux), packet, peer))
