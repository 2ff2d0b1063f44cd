"""Asks a TURN server for an allocation, and a STUN server beside it, from one socket; for people who look for faults."""

from __future__ import annotations

import contextlib
import select
import socket
from dataclasses import dataclass
from typing import Final

from offhook.errors import ParseError
from offhook.io import clock
from offhook.io.relay_link import LateRelayLink
from offhook.io.system_ids import SystemIds
from offhook.media.address import Address
from offhook.media.messages import TurnServer
from offhook.media.stun import TRANSACTION_BYTES, binding_request, parse_stun
from offhook.media.turn import Turn, TurnState

STEP_S: Final = 0.05
AGAIN_S: Final = 0.5


@dataclass(slots=True)
class RelaySeen:
    """The relayed address (None: `problem` says why), and what each of the two servers sees of our socket."""

    relayed: Address | None = None
    by_turn: Address | None = None
    by_stun: Address | None = None
    problem: str = ""


def ask_relay(server: TurnServer, stun: Address | None = None, *, host: str = "", patience: float = 3.0) -> RelaySeen:
    """Return what the servers say; never raises. The allocation is given back at once."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.bind((host, 0))
            end.setblocking(False)
            return _Asking(server, stun, end).ask(patience)
    except OSError as error:
        return RelaySeen(problem=error.strerror or str(error))


class _Asking:
    """One question to each server."""

    def __init__(self, server: TurnServer, stun: Address | None, end: socket.socket) -> None:
        self._server, self._stun, self._end = server, stun, end
        self._link = LateRelayLink(server) if server.transport != "udp" else None
        send = self._link.send if self._link is not None else self._to_server
        self._turn = Turn(server, SystemIds(), send, lambda _data, _peer: None, clock.now())
        self._question = binding_request(SystemIds().integer(8 * TRANSACTION_BYTES).to_bytes(TRANSACTION_BYTES, "big"))
        self._seen: Address | None = None

    def _to_server(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # no way there just now: it is asked again, and then there is no answer
            self._end.sendto(data, self._server.address)

    def ask(self, patience: float) -> RelaySeen:
        """Wait for both answers, at most so long."""
        deadline = clock.now() + patience
        again = 0.0
        while clock.now() < deadline and not self._done():
            if self._stun is not None and self._seen is None and clock.now() >= again:
                again = clock.now() + AGAIN_S
                with contextlib.suppress(OSError):
                    self._end.sendto(self._question, self._stun)
            self._listen()
            self._turn.timeout(clock.now())
        problem = self._turn.problem or (self._link.problem if self._link is not None else "")
        seen = RelaySeen(self._turn.relayed, self._turn.mapped if self._link is None else None, self._seen, problem)
        if seen.relayed is None and not seen.problem:
            seen.problem = "no answer"
        self._turn.close(clock.now())
        if self._link is not None:
            self._link.receive()  # lets go of what waits
            self._link.close()
        return seen

    def _done(self) -> bool:
        lost = self._link is not None and bool(self._link.problem)
        return (self._turn.state is not TurnState.ASKING or lost) and (self._stun is None or self._seen is not None)

    def _listen(self) -> None:
        if self._link is not None:
            for message in self._link.receive():
                self._turn.receive(message, clock.now())
        if not select.select([self._end], [], [], STEP_S)[0]:
            return
        with contextlib.suppress(OSError, ParseError):
            data, source = self._end.recvfrom(2048)
            if data[8:20] == self._question[8:20]:
                self._seen = parse_stun(data).mapped
            elif source == self._server.address:
                self._turn.receive(data, clock.now())
