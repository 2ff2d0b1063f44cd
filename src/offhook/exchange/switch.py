"""The whole exchange without sockets: proxy and lines behind one address. Pure, five verbs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import structs

from offhook.exchange.authority import ALGORITHMS, Authority
from offhook.exchange.directory import find_line
from offhook.exchange.lines import Lines
from offhook.exchange.proxy import DOMAINS, Note, Proxy, ToLine
from offhook.exchange.registrar import literal
from offhook.ids import Ids
from offhook.media.messages import MediaCommand, MediaReport
from offhook.phone.secrecy import NoCertificate, OwnCertificate
from offhook.sip.events import (
    Address,
    CloseFlow,
    Datagram,
    Flow,
    FlowFailed,
    Resolve,
    Resolved,
    SipInput,
    StreamChunk,
    Transmit,
    TransportName,
)
from offhook.sip.uri import Uri

SwitchOutput: TypeAlias = Transmit | CloseFlow | Resolve | MediaCommand | Note


class Switch:
    """The exchange. What the proxy and the lines send each other never leaves it."""

    def __init__(self, address: Address, accounts: Mapping[str, str], ids: Ids, *, music: str,
                 recording: Callable[[str], str], domains: tuple[str, ...] = DOMAINS,
                 ports: Mapping[TransportName, int] | None = None, algorithms: tuple[str, ...] = ALGORITHMS,
                 certificate: OwnCertificate = NoCertificate()) -> None:  # noqa: B008 - it has no state
        self.address = address
        self.proxy = Proxy(address, Authority(accounts, ids, algorithms=algorithms), ids,
                           is_line=lambda user: find_line(user) is not None, domains=domains, ports=ports)
        self.lines = Lines(address, ids, music=music, recording=recording, certificate=certificate)
        self._inbox: deque[Datagram] = deque()
        self._out: deque[SwitchOutput] = deque()

    def receive(self, item: SipInput | MediaReport, now: float) -> None:
        """Take something from a socket, the resolver or the media engine."""
        if isinstance(item, Datagram | StreamChunk):
            self.proxy.receive(item, now)
        elif isinstance(item, FlowFailed):
            self.proxy.receive(item, now)
            self.lines.receive(item, now)
        else:
            self.lines.receive(item, now)
        self._settle(now)

    def timeout(self, now: float) -> None:
        """Run what is due."""
        self.proxy.timeout(now)
        self.lines.timeout(now)
        self._settle(now)

    def poll(self) -> SwitchOutput | None:
        """Return the next thing to do, None if there is nothing."""
        return self._out.popleft() if self._out else None

    def deadline(self) -> float | None:
        """Return when `timeout` wants to be called."""
        return min((at for at in (self.proxy.deadline(), self.lines.deadline()) if at is not None), default=None)

    def hang_up(self, now: float) -> None:
        """End all calls of the lines (the exchange closes)."""
        self.lines.hang_up(now)
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Pass messages between proxy and lines until both are quiet."""
        moved = True
        while moved:
            moved = self._drain_proxy(now) or self._drain_lines(now)
            while self._inbox:
                self.proxy.receive(self._inbox.popleft(), now)
                moved = True

    def _drain_proxy(self, now: float) -> bool:
        moved = False
        while (output := self.proxy.poll()) is not None:
            moved = True
            if isinstance(output, ToLine):
                line = find_line(output.user)
                if line is not None:
                    self.lines.introduce(line)
                self.lines.receive(Datagram(output.flow, output.data), now)
            elif isinstance(output, Transmit):
                self._transmit(output)
            else:
                self._out.append(output)
        return moved

    def _drain_lines(self, now: float) -> bool:
        moved = False
        while (output := self.lines.poll()) is not None:
            moved = True
            if isinstance(output, Transmit):
                self._transmit(output)
            elif isinstance(output, Resolve):
                self._resolve(output, now)
            else:
                self._out.append(output)
        return moved

    def _transmit(self, output: Transmit) -> None:
        if output.flow.remote == self.address:
            self._inbox.append(Datagram(structs.replace(output.flow, local=self.address), output.data))
        else:
            self._out.append(output)

    def _resolve(self, query: Resolve, now: float) -> None:
        where = literal(Uri("sip", None, query.host, query.port))
        if where is None:
            self._out.append(query)
            return
        transport: TransportName = "tcp" if query.transport == "tcp" else "udp"
        self.lines.receive(Resolved(query.query, (Flow(transport, self.address, where),)), now)
