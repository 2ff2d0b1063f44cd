"""How packets of one stream get through what lies between: addresses seen from outside, relays, and the way ICE has found.

It finds candidates (RFC 8445 5.1.1) and then carries packets: over the pair ICE selected, over the relay, or straight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from offhook.errors import OffhookError, ParseError
from offhook.ids import Ids
from offhook.media.address import Address
from offhook.media.ice import Agent, Base, Pair, candidate_priority
from offhook.media.messages import (
    Candidate,
    CandidatesGathered,
    GatherCandidates,
    MediaReport,
    StreamConfig,
    StreamFailed,
    StreamRouted,
    TurnServer,
)
from offhook.media.stun import BINDING_SUCCESS, TRANSACTION_BYTES, binding_request, parse_stun
from offhook.media.turn import CHANNELS, Turn, TurnState

RTP, RTCP = 1, 2  # RFC 8839 5.1: the components of a stream
STUN_FIRST: Final = range(4)
# A server that has not answered by then is not there; a caller waits for this.
PATIENCE_S: Final = 2.5
ASK_S: Final = 0.5  # between two questions to the STUN server
# A relay that is lost in the midst of a call may be back soon: so long it is waited for, and a stream to it tried so often.
RELAY_PATIENCE_S: Final = 60.0
RECONNECT_S: Final = 3.0

SendDatagram = Callable[[int, bytes, Address], object]
OnData = Callable[[int, bytes, Address, float], object]
SeeMessage = Callable[[bool, int, Address, bytes], object]
"""Told of what a stream to a relay carries: whether we have sent it, by component, with the relay's address."""


class RelayLink(Protocol):
    """A stream to a TURN server, as far as it is up. Neither call blocks; `problem` says why it is over."""

    problem: str

    def send(self, data: bytes) -> None:
        """Send a message, now or as soon as the stream is there."""
        ...

    def receive(self) -> list[bytes]:
        """Return the messages that have come."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Route:
    """The way of a stream's packets by component. `send` puts a datagram on a component's socket."""

    def __init__(
        self, request: GatherCandidates, port: int, addresses: tuple[str, ...], ids: Ids, now: float, *,
        send: SendDatagram, on_data: OnData, on_way: Callable[[float], object], report: Callable[[MediaReport], object],
        link: Callable[[TurnServer], RelayLink],
    ) -> None:  # fmt: skip
        self._request = request
        self._port = port
        self._addresses = addresses
        self._ids = ids
        self._send = send
        self._on_data = on_data
        self._on_way = on_way
        self._open = False
        self._report = report
        self._now = now
        self._since = now
        self._patience = PATIENCE_S
        self._reconnect_at = 0.0
        self._losses = 0
        self._gathered = False
        self._mapped: dict[int, Address] = {}
        self._questions: dict[bytes, int] = {}
        self._next_question = now
        self._problems: list[str] = []
        self._links: dict[int, RelayLink] = {}
        self._turns: dict[int, Turn] = {}
        self._connect = link
        self._see: SeeMessage | None = None
        self._agent: Agent | None = None
        self._may_search()
        self._config: StreamConfig | None = None
        self._told: Pair | None = None
        # What the stream knows the far end by, RTP and RTCP. The way may change at any moment; the name does not.
        self._names: tuple[Address, Address] = (("", 0), ("", 0))
        self._failed = False
        if request.turn is not None:
            self._ask_relays(request.turn)

    def _may_search(self) -> None:
        """Be there for the far end's checks, as soon as a request has a name for that."""
        request = self._request
        if self._agent is None and request.ufrag:
            spoken = frozenset(":" in address for address in self._addresses)
            self._agent = Agent(self._ids, self._send_check, request.ufrag, request.pwd, spoken)

    @property
    def refused(self) -> int:
        """Return how many STUN messages were not the far end's."""
        return self._agent.refused if self._agent is not None else 0

    # --- finding candidates ------------------------------------------------------------------------------------------

    def again(self, request: GatherCandidates, addresses: tuple[str, ...], now: float) -> None:
        """Find out anew, because this machine is somewhere else; packets go on as they are until something else is agreed."""
        former = self._request.turn
        self._request, self._addresses = request, addresses
        self._may_search()
        self._search(PATIENCE_S, now, anew=former != request.turn)

    def _search(self, patience: float, now: float, *, anew: bool = False) -> None:
        self._since, self._patience, self._next_question, self._gathered = now, patience, now, False
        self._mapped.clear()
        self._questions.clear()
        self._problems.clear()
        server = self._request.turn
        if server is not None and not anew and server.transport == "udp" and self._standing:
            for turn in self._turns.values():
                turn.check(now)
        else:
            self._reconnect(now)

    @property
    def _standing(self) -> bool:
        return bool(self._turns) and all(turn.state is not TurnState.FAILED for turn in self._turns.values())

    def _reconnect(self, now: float) -> None:
        """Ask the relay for other allocations, over streams of their own."""
        self.close(now)
        self._turns.clear()
        self._links.clear()
        self._reconnect_at = now + RECONNECT_S
        if self._request.turn is not None:
            self._ask_relays(self._request.turn)

    @property
    def _broken(self) -> bool:
        """Whether a stream to the relay is no more, or nobody answers there."""
        return any(link.problem or self._turns[number].state is TurnState.FAILED for number, link in self._links.items())

    def _relay_lost(self) -> bool:
        """Tell whether sound goes by allocations that are gone."""
        if self._agent is not None and self._config is not None and self._config.ice is not None:
            used = any(pair.base.relayed for pair in self._agent.selected.values())
        else:
            used = self._config is not None and self._config.relayed
        return used and (self._broken or self._lost != self._losses)

    @property
    def _lost(self) -> int:
        return sum(turn.losses for turn in self._turns.values())

    def _ask_relays(self, server: TurnServer) -> None:
        for component in (RTP, RTCP):
            if server.transport == "udp":
                send = self._to_server(component, server.address)
            else:
                try:
                    link = self._links[component] = self._connect(server)
                except OffhookError as error:
                    self._problems.append(f"TURN: {error}")
                    return
                send = self._by_stream(component, link)
            self._turns[component] = Turn(server, self._ids, send, self._from_relay(component), self._now)

    def _to_server(self, component: int, address: Address) -> Callable[[bytes], object]:
        return lambda data: self._send(component, data, address)

    def _by_stream(self, component: int, link: RelayLink) -> Callable[[bytes], object]:
        def send(data: bytes) -> None:
            if self._see is not None and self._request.turn is not None:
                self._see(True, component, self._request.turn.address, data)
            link.send(data)

        return send

    def watch_streams(self, see: SeeMessage | None) -> None:
        """Show what streams to the relay carry, which no socket of ours does; None ends it."""
        self._see = see

    def _from_relay(self, component: int) -> Callable[[bytes, Address], object]:
        return lambda data, peer: self._relayed(component, data, peer)

    def _relayed(self, component: int, data: bytes, peer: Address) -> None:
        if data and data[0] in STUN_FIRST:
            if self._agent is not None:
                self._agent.receive(Base(component, True), data, peer, self._now)
        elif (origin := self.origin(component, peer, True)) is not None:
            self._on_data(component, data, origin, self._now)

    def _gather(self, now: float) -> None:
        """Ask the STUN server again, and report when all have answered or there was time to."""
        stun = self._request.stun
        missing = [component for component in (RTP, RTCP) if component not in self._mapped] if stun else []
        waited = now - self._since
        over = waited > self._patience
        if self._patience > PATIENCE_S and self._broken and not over:
            if now >= self._reconnect_at:
                self._reconnect(now)
            return
        asking = any(turn.busy for turn in self._turns.values())
        if over or not (asking or (missing and waited <= PATIENCE_S)):
            self._gathered = True
            self._losses = self._lost
            self._open_relays(now)
            if missing and stun is not None:
                self._problems.append(f"STUN: {stun[0]}:{stun[1]} does not answer")
            self._problems += dict.fromkeys(self._problem_of(turn) for turn in self._turns.values() if turn.relayed is None)
            self._report(CandidatesGathered(self._request.stream, self.candidates(), tuple(self._problems)))
        elif stun is not None and now >= self._next_question:
            self._next_question = now + ASK_S
            for component in missing:
                transaction = self._ids.integer(8 * TRANSACTION_BYTES).to_bytes(TRANSACTION_BYTES, "big")
                self._questions[transaction] = component
                self._send(component, binding_request(transaction), stun)

    def _problem_of(self, turn: Turn) -> str:
        host, port = turn.server.address
        return f"TURN: {host}:{port}: {turn.problem or 'the server does not answer'}"

    def candidates(self) -> tuple[Candidate, ...]:
        """Return what was found, the best first."""
        found: list[Candidate] = []
        for component in (RTP, RTCP):
            port = self._port + component - 1
            own = [(address, port) for address in self._addresses]
            for place, (host, _) in enumerate(own):
                priority = candidate_priority("host", component, 65_535 - place)
                found.append(Candidate(f"h{place}", component, priority, host, port, "host"))
            turn = self._turns.get(component)
            mapped = self._mapped.get(component)
            if mapped is None and turn is not None and turn.server.transport == "udp":
                mapped = turn.mapped
            base = next((each for each in own if ":" not in each[0]), ("0.0.0.0", port))  # STUN and TURN are asked by IPv4
            # RFC 8445 5.1.3: what is seen from outside just as from inside is the same candidate.
            if mapped is not None and mapped not in own:
                found.append(Candidate("s", component, candidate_priority("srflx", component), *mapped, "srflx", base))
            if turn is not None and turn.relayed is not None:
                priority = candidate_priority("relay", component)
                found.append(Candidate("r", component, priority, *turn.relayed, "relay", mapped or base))
        return tuple(sorted(found, key=lambda each: (-each.priority, each.component)))

    # --- what was agreed ---------------------------------------------------------------------------------------------

    def configure(self, config: StreamConfig, now: float) -> None:
        """Take the way that was agreed."""
        before = self._config.ice if self._config is not None else None
        self._config = config
        if config.ice is None:
            self._open = True
            self._names = config.remote, config.remote_rtcp
        elif before is None or (before.ufrag, before.remote_ufrag) != (config.ice.ufrag, config.ice.remote_ufrag):
            self._open = False
            self._told = None
            self._names = config.remote, config.remote_rtcp
        if config.ice is not None and self._agent is not None:
            components = (RTP,) if config.rtcp_mux else (RTP, RTCP)
            relays = frozenset(number for number, turn in self._turns.items() if turn.state is TurnState.READY)
            for candidate in config.ice.candidates:
                turn = self._turns.get(candidate.component)
                if turn is not None and ":" not in candidate.address:
                    turn.permit((candidate.address, candidate.port), now)
            self._agent.start(config.ice, components, relays, now)
        else:
            self._open_relays(now)

    def _open_relays(self, now: float) -> None:
        """Have the relays let the far end's packets through that was agreed on without ICE."""
        config = self._config
        if config is not None and config.ice is None and config.relayed:
            for component, address in ((RTP, config.remote), (RTCP, config.remote_rtcp)):
                if component in self._turns:
                    self._turns[component].permit(address, now)
                    self._turns[component].bind(address, now)

    @property
    def far_ends(self) -> tuple[Address, Address]:
        """Return what the far end is called, for RTP and for RTCP."""
        return self._names

    @property
    def open(self) -> bool:
        """Return whether packets can be sent by now."""
        return self._open

    @property
    def searches(self) -> bool:
        """Return whether what is sent now would go nowhere, because ICE has yet to find a way."""
        config, agent = self._config, self._agent
        if config is None or config.ice is None or agent is None or self._failed:
            return False
        return agent.way(RTP) is None

    @property
    def straight(self) -> bool:
        """Return whether packets go from the socket to the far end as if there were no route."""
        return self._config is None or (self._config.ice is None and not self._config.relayed)

    def origin(self, component: int, source: Address, relayed: bool) -> Address | None:
        """Return the address that stands for the sender of a packet, None if it is not the far end's."""
        config = self._config
        if config is None:
            return None
        if config.ice is not None and self._agent is not None:
            return self._names[component - 1] if self._agent.knows(Base(component, relayed), source) else None
        return source if relayed == config.relayed else None

    def take(self, component: int, packet: bytes, source: Address, now: float) -> bool:
        """Take a datagram that belongs to STUN or TURN; False for any other."""
        self._now = now
        turn = self._turns.get(component)
        if turn is not None and source == turn.server.address and turn.server.transport == "udp":
            if packet[0] in CHANNELS:
                turn.receive(packet, now)
                return True
            if packet[0] in STUN_FIRST and not self._answers_question(packet):
                turn.receive(packet, now)
                return True
        if packet[0] not in STUN_FIRST:
            return False
        if not self._answers_question(packet) and self._agent is not None:
            self._agent.receive(Base(component, False), packet, source, now)
        return True

    def _answers_question(self, packet: bytes) -> bool:
        component = self._questions.get(packet[8:8 + TRANSACTION_BYTES])
        if component is None:
            return False
        try:
            message = parse_stun(packet)
            if message.kind == BINDING_SUCCESS and message.mapped is not None:
                self._mapped.setdefault(component, message.mapped)
        except ParseError:
            pass
        return True

    def send(self, component: int, packet: bytes, address: Address) -> None:
        """Send a packet the way that was agreed; before ICE has found one, nowhere."""
        config = self._config
        if config is None:
            return
        if config.ice is not None and self._agent is not None:
            pair = self._agent.way(component)
            if pair is not None and not self._failed:
                self._leave(pair.base, packet, pair.address)
        else:
            self._leave(Base(component, config.relayed), packet, address)

    def _leave(self, base: Base, packet: bytes, address: Address) -> None:
        turn = self._turns.get(base.component)
        if not base.relayed:
            self._send(base.component, packet, address)
        elif turn is not None:
            turn.permit(address, self._now)
            turn.send(packet, address)

    def _send_check(self, base: Base, data: bytes, address: Address) -> None:
        self._leave(base, data, address)

    # --- time --------------------------------------------------------------------------------------------------------

    def timeout(self, now: float) -> None:
        """Do what is due; to be called in every tick."""
        self._now = now
        for component, link in self._links.items():
            for message in link.receive():
                if self._see is not None:
                    self._see(False, component, self._turns[component].server.address, message)
                self._turns[component].receive(message, now)
        for turn in self._turns.values():
            turn.timeout(now)
        if self._gathered and self._relay_lost():
            self._search(RELAY_PATIENCE_S, now)
        if not self._gathered:
            self._gather(now)
        if self._agent is not None and self._config is not None and self._config.ice is not None:
            self._agent.timeout(now)
            self._tell(self._agent, now)

    def _tell(self, agent: Agent, now: float) -> None:
        if agent.failure and not self._failed:
            self._failed = True
            self._report(StreamFailed(self._request.stream, agent.failure))
        chosen = agent.selected.get(RTP)
        if chosen is None or chosen is self._told:
            return
        if not self._open:  # not at the first pair that works: the far end may not listen to it yet, and repeats take a second
            self._open = True
            self._on_way(now)
        self._told = chosen
        if chosen.base.relayed:
            for component, pair in agent.selected.items():
                if pair.base.relayed and component in self._turns:
                    self._turns[component].bind(pair.address, now)
        local = "relay" if chosen.base.relayed else "host"
        host, port = chosen.address
        self._report(StreamRouted(self._request.stream, local, chosen.remote.kind, f"{host}:{port}"))

    def close(self, now: float) -> None:
        """Give the relays back."""
        for turn in self._turns.values():
            turn.close(now)
        for link in self._links.values():
            link.close()
