"""Signs of life on the flow of a registration, and what their absence means (RFC 5626 3.5, 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from offhook.sip.events import Flow
from offhook.sip.stack import Stack
from offhook.sip.timers import T1, Timer

PING: Final = b"\r\n\r\n"
"""RFC 5626 3.5.1. On a WebSocket it becomes a Ping frame."""
PONG_WITHIN: Final = 10.0
"""Seconds: RFC 5626 4.4.1, a connection without an answer for so long has failed."""
STUN_ATTEMPTS: Final = 7
"""RFC 8489 6.2.1: copies of a request (Rc). The last is followed by a wait of 16 times the first pause (Rm)."""
JITTER: Final[Sequence[float]] = (0.8, 1.0)
"""RFC 5626 4.4: the pause is drawn between 80 and 100 % of its length."""

_COOKIE: Final = b"\x21\x12\xa4\x42"
_BINDING_REQUEST: Final = b"\x00\x01\x00\x00" + _COOKIE
_BINDING_SUCCESS: Final = b"\x01\x01"
_XOR_MAPPED_ADDRESS: Final = 0x0020


def is_stun(data: bytes) -> bool:
    """Tell a STUN message from a SIP one on the same socket (RFC 5626 8: its first two bits are zero)."""
    return len(data) >= 20 and data[0] < 2 and data[4:8] == _COOKIE


class KeepAlive:
    """Keeps one flow alive until `stop`. `on_dead` gets the reason when the flow is found to be gone."""

    def __init__(self, stack: Stack, flow: Flow, period: float, on_dead: Callable[[str, float], None], *, stun: bool,
                 strict: bool) -> None:
        self.stack = stack
        self.flow = flow
        self.period = period
        self._on_dead = on_dead
        self._stun = stun and flow.transport == "udp"
        self._strict = strict  # the far end has promised an answer; from others it is expected once they have given one
        self.answered = False
        """Whether the far end has given a sign of life."""
        self.asked = False
        """Whether we have."""
        self._waiting = False
        self._transaction = b""
        self._mapped = b""
        self._attempts = 0
        self._timer: Timer | None = None

    def start(self, now: float) -> None:
        """Begin, with a pause."""
        self._again(now)

    def stop(self) -> None:
        """No more."""
        self.stack.pinged.discard(self.flow)
        self._quiet()

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _again(self, now: float) -> None:
        self._quiet()
        self._timer = self.stack.timers.start(now + self.period * self.stack.ids.uniform(*JITTER), self._ping)

    def _ping(self, now: float) -> None:
        self.asked = True
        if self._stun:
            self._transaction, self._attempts = self.stack.ids.integer(96).to_bytes(12, "big"), 0
            self._ask(now)
            return
        self.stack.transmit(self.flow, PING)
        if self.flow.transport != "udp":
            self.stack.pinged.add(self.flow)
        if self._strict and self.flow.transport != "udp":
            self._waiting = True
            self._timer = self.stack.timers.start(now + PONG_WITHIN, self._silent)
        else:
            self._again(now)

    def _ask(self, now: float) -> None:
        if self._attempts >= STUN_ATTEMPTS:
            self._silent(now)
            return
        self.stack.transmit(self.flow, _BINDING_REQUEST + self._transaction)
        pause = T1 * 16 if self._attempts == STUN_ATTEMPTS - 1 else T1 * 2**self._attempts
        self._attempts += 1
        self._timer = self.stack.timers.start(now + pause, self._ask)

    def _silent(self, now: float) -> None:
        self.stop()
        self._on_dead("no answer to keep-alives", now)

    def pong(self, now: float) -> None:
        """The far end has answered a ping, or pinged by itself."""
        self._strict = self.answered = True
        if self._waiting:
            self._waiting = False
            self._again(now)

    def stun_answer(self, data: bytes, now: float) -> None:
        """Take a STUN message that came on the flow; another mapped address means another flow (RFC 5626 4.4.2)."""
        if data[:2] != _BINDING_SUCCESS or data[8:20] != self._transaction:
            return
        self._transaction = b""
        self.answered = True
        mapped = _mapped_address(data)
        if self._mapped and mapped and mapped != self._mapped:
            self.stop()
            self._on_dead("the address under which the registrar sees us has changed", now)
            return
        self._mapped = mapped or self._mapped
        self._again(now)


def _mapped_address(data: bytes) -> bytes:
    """Return the value of XOR-MAPPED-ADDRESS. It is only compared, so it need not be read."""
    at = 20
    while at + 4 <= len(data):
        kind, length = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == _XOR_MAPPED_ADDRESS:
            # RFC 8489 14.2: for IPv6 the transaction is mixed in, so the value of an equal address differs each time
            value = data[at + 4 : at + 4 + length]
            return _unmixed(value, data[4:20]) if length == 20 else value
        at += 4 + (length + 3) // 4 * 4
    return b""


def _unmixed(value: bytes, key: bytes) -> bytes:
    return value[:4] + bytes(a ^ b for a, b in zip(value[4:], key, strict=False))
