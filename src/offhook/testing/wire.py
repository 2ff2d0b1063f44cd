"""A network in virtual time: connects five-verb objects, and loses, doubles, delays and reorders what they send."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Protocol

from offhook.sip.events import (
    Address,
    CloseFlow,
    Datagram,
    Flow,
    FlowFailed,
    Resolve,
    Resolved,
    StreamChunk,
    Transmit,
    TransportName,
)

STEP_LIMIT: Final = 2_000_000
"""Steps of one run: more means that two nodes feed each other without end."""


class FiveVerbs(Protocol):
    """What can be put on the wire: `sip.endpoint.Endpoint`, `phone.Phone`."""

    def execute(self, command: Any, now: float) -> Any:
        """Do a command."""
        ...

    def receive(self, happened: Any, now: float) -> None:
        """Take an input."""
        ...

    def timeout(self, now: float) -> None:
        """The deadline has passed."""
        ...

    def poll(self) -> Any:
        """Return the next output or None."""
        ...

    def deadline(self) -> float | None:
        """Return when timeout() is wanted."""
        ...


@dataclass(slots=True)
class Weather:
    """How bad the network is. Probabilities 0-1 for each datagram, times in seconds. TCP only has the delay."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.01
    jitter: float = 0.0


@dataclass(slots=True)
class Sent:
    """One datagram or chunk that left, for looking at in tests."""

    at: float
    source: Address
    destination: Address
    transport: TransportName
    data: bytes

    @property
    def line(self) -> str:
        """The first line."""
        return self.data.split(b"\r\n", 1)[0].decode("utf-8", "replace")


@dataclass(slots=True)
class Node:
    """One object on the wire. `outputs` are those the wire does not handle itself: the events."""

    name: str
    core: FiveVerbs
    address: Address
    wire: Wire
    on_output: Callable[[Any, float], None] | None = None
    outputs: list[Any] = field(default_factory=list)
    tcp: bool = True

    def execute(self, command: Any) -> Any:
        """Give it a command now; returns the core's result and drains its outputs."""
        result = self.core.execute(command, self.wire.now)
        self.wire.drain(self)
        return result

    def receive(self, happened: Any) -> None:
        """Give it an input now, and drain."""
        self.core.receive(happened, self.wire.now)
        self.wire.drain(self)

    def of(self, *kinds: type) -> list[Any]:
        """Return the collected outputs of these types."""
        return [output for output in self.outputs if isinstance(output, kinds)]


class Raw:
    """A peer that a test plays by hand: it keeps what it gets in `inputs` and sends what it is told."""

    def __init__(self, on_input: Callable[[Any, float], None] | None = None) -> None:
        self.inputs: list[Any] = []
        self.on_input = on_input
        self._outputs: list[Any] = []

    def execute(self, command: Any, now: float) -> None:
        """Send: the command is an output, as it is."""
        self._outputs.append(command)

    def receive(self, happened: Any, now: float) -> None:
        """Keep it."""
        self.inputs.append(happened)
        if self.on_input is not None:
            self.on_input(happened, now)

    def timeout(self, now: float) -> None:
        """Nothing waits."""

    def poll(self) -> Any:
        """Return what execute() was given."""
        return self._outputs.pop(0) if self._outputs else None

    def deadline(self) -> float | None:
        """No timers."""
        return None


class Wire:
    """The network. Same seed, same run."""

    def __init__(self, seed: int = 0, weather: Weather | None = None) -> None:
        self.now = 0.0
        self.weather = weather or Weather()
        self.names: dict[str, list[Address]] = {}
        self.sources: dict[str, str] = {}  # under which address a host sees everybody, "" for none: as in another family
        self.sent: list[Sent] = []
        self.dropper: Callable[[Sent], bool] | None = None
        self.nodes: dict[Address, Node] = {}
        self._random = random.Random(seed)  # noqa: S311  # repeatable is the point
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._connections: dict[frozenset[Address], tuple[int, Address]] = {}  # the number, and who made it
        self._ready: dict[tuple[frozenset[Address], Address], float] = {}

    def add(self, name: str, core: FiveVerbs, address: Address, *, on_output: Callable[[Any, float], None] | None = None,
            tcp: bool = True) -> Node:
        """Put an object on the wire; `name` and the address' host resolve to it. `tcp` False: it takes no connections."""
        node = Node(name, core, address, self, on_output, tcp=tcp)
        self.nodes[address] = node
        self.names.setdefault(name, []).append(address)
        self.drain(node)
        return node

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Call `action` at this virtual time."""
        heapq.heappush(self._queue, (when, next(self._order), action))

    # --- running ---

    def run(self, until: float) -> None:
        """Run until this virtual time."""
        self._run(until, lambda: False)
        self.now = max(self.now, until)

    def run_until(self, predicate: Callable[[], bool], limit: float = 3600.0) -> None:
        """Run until `predicate()` holds; AssertionError if `limit` seconds of virtual time pass without."""
        self._run(self.now + limit, predicate)
        if not predicate():
            raise AssertionError(f"it did not happen within {limit} virtual seconds")

    def _run(self, until: float, predicate: Callable[[], bool]) -> None:
        for _ in range(STEP_LIMIT):
            if predicate():
                return
            at, step = self._next()
            if step is None or at > until:
                return
            self.now = max(self.now, at)
            step()
        raise AssertionError("the nodes feed each other without end")

    def _next(self) -> tuple[float, Callable[[], None] | None]:
        best: tuple[float, Callable[[], None] | None] = (0.0, None)
        if self._queue:
            best = self._queue[0][0], self._step_queue
        for node in self.nodes.values():
            deadline = node.core.deadline()
            if deadline is not None and (best[1] is None or deadline < best[0]):
                best = deadline, lambda node=node: self._time_out(node)  # type: ignore[misc]  # bound to this node
        return best

    def _step_queue(self) -> None:
        heapq.heappop(self._queue)[2]()

    def _time_out(self, node: Node) -> None:
        node.core.timeout(self.now)
        self.drain(node)

    def drain(self, node: Node) -> None:
        """Take everything the node wants done."""
        while (output := node.core.poll()) is not None:
            if isinstance(output, Transmit):
                self._transmit(node, output)
            elif isinstance(output, Resolve):
                self._resolve(node, output)
            elif isinstance(output, CloseFlow):
                self.break_connection(output.flow.local, output.flow.remote)
            else:
                node.outputs.append(output)
                if node.on_output is not None:
                    node.on_output(output, self.now)

    # --- names ---

    def _resolve(self, node: Node, query: Resolve) -> None:
        addresses = self.names.get(query.host)
        if addresses is None:
            addresses = [(query.host, query.port or 5060)] if query.host[:1].isdigit() or ":" in query.host else []
        transport = "udp" if query.transport == "auto" else query.transport
        terms = query.terms if transport in ("tls", "ws", "wss") else None
        flows = tuple(
            Flow(transport, (self.sources.get(host, node.address[0]), node.address[1]), (host, query.port or port), terms=terms)
            for host, port in addresses if self.sources.get(host, "known")
        )  # fmt: skip
        answer = Resolved(query.query, flows, "" if flows else "no such name")
        self._later(self.now, node, answer)

    # --- bytes ---

    def _transmit(self, node: Node, output: Transmit) -> None:
        flow = output.flow
        sent = Sent(self.now, node.address, flow.remote, flow.transport, output.data)
        self.sent.append(sent)
        if flow.transport != "udp":
            self._send_stream(node, flow, output.data)
        elif self.dropper is None or not self.dropper(sent):
            self._send_datagram(node, flow, output.data)

    def _send_datagram(self, node: Node, flow: Flow, data: bytes) -> None:
        peer = self.nodes.get(flow.remote)
        if peer is None:
            return
        weather, chance = self.weather, self._random.random
        copies = 2 if weather.duplicate and chance() < weather.duplicate else 1
        for _ in range(copies):
            if weather.loss and chance() < weather.loss:
                continue
            delay = weather.delay + (chance() * weather.jitter if weather.jitter else 0.0)
            self._later(self.now + delay, peer, Datagram(Flow("udp", peer.address, node.address), data))

    def _send_stream(self, node: Node, flow: Flow, data: bytes) -> None:
        peer = self.nodes.get(flow.remote)
        pair = frozenset((node.address, flow.remote))
        if peer is None or not (peer.tcp or pair in self._connections):
            self._later(self.now + self.weather.delay, node, FlowFailed(flow, "connection refused"))
            return
        self._connections.setdefault(pair, (len(self._connections) + 1, node.address))
        ready = max(self.now + self.weather.delay + self._random.random() * self.weather.jitter,
                    self._ready.get((pair, peer.address), 0.0))
        self._ready[pair, peer.address] = ready  # a stream does not overtake itself
        number = self._number(pair, peer.address)
        self._later(ready, peer, StreamChunk(Flow(flow.transport, peer.address, node.address, number), data))

    def _number(self, pair: frozenset[Address], end: Address) -> int:
        """Return what a connection is called at this end of it: 0 where it was made, as in `io`."""
        number, maker = self._connections[pair]
        return 0 if maker == end else number

    def break_connection(self, one: Address, other: Address) -> None:
        """Close the TCP connection between two nodes; both learn of it."""
        pair = frozenset((one, other))
        if pair not in self._connections:
            return
        numbers = {end: self._number(pair, end) for end in pair}
        del self._connections[pair]
        for here, there in ((one, other), (other, one)):
            node = self.nodes.get(here)
            if node is not None:
                self._later(self.now, node, FlowFailed(Flow("tcp", here, there, numbers[here]), "connection closed", True))

    def _later(self, when: float, node: Node, happened: Any) -> None:
        self.at(when, lambda: node.receive(happened))
