"""Provisional answers that arrive for certain: RSeq, PRACK and their repetition, from the side that sends them (RFC 3262)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from offhook.errors import ParseError
from offhook.sip.events import Body, HeaderList
from offhook.sip.headers import parse_number
from offhook.sip.message import Request, Response
from offhook.sip.timers import T1, TIMEOUT, Timer

if TYPE_CHECKING:
    from offhook.sip.answering import Answering

HIGHEST: Final = 2**31 - 1
"""RFC 3262 3: the first RSeq is from 1 to this."""


@dataclass(frozen=True, slots=True)
class RAck:
    """What a PRACK acknowledges: the RSeq, and the CSeq of the INVITE."""

    rseq: int
    cseq: int
    method: str

    @classmethod
    def parse(cls, text: str) -> RAck:
        """Parse the header's value; ParseError (400) otherwise."""
        parts = text.split()
        if len(parts) != 3:
            raise ParseError(f"not a RAck: {text[:60]!r}")
        return cls(parse_number(parts[0], "RAck", 2**32 - 1), parse_number(parts[1], "RAck", HIGHEST), parts[2])

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"


def reliable_number(response: Response) -> int | None:
    """Return the RSeq of a provisional that wants a PRACK, None if it wants none (or cannot say so rightly)."""
    if "100rel" not in [name.lower() for name in response.headers.values("Require")]:
        return None
    try:
        return parse_number(response.headers.get("RSeq") or "", "RSeq", 2**32 - 1)
    except ParseError:
        return None


def asks_reliable(invite: Request) -> bool:
    """Whether the caller understands reliable provisional answers, or requires them."""
    headers = invite.headers
    return any(name.lower() == "100rel" for tag in ("Supported", "Require") for name in headers.values(tag))


@dataclass(frozen=True, slots=True)
class Provisional:
    """One answer to be sent."""

    status: int
    body: Body | None
    headers: HeaderList


class Reliable:
    """The reliable provisional answers of one incoming call, one after the other."""

    __slots__ = ("_again", "_interval", "_until", "_waiting", "open", "owner", "rseq")

    def __init__(self, owner: Answering) -> None:
        self.owner = owner
        self.rseq = owner.stack.ids.integer(30)  # below 2**31 for as many answers as ever follow
        self.open: Provisional | None = None
        self._waiting: deque[Provisional] = deque()
        self._interval = T1
        self._until = 0.0
        self._again: Timer | None = None

    def send(self, answer: Provisional, now: float) -> None:
        """Send it, after the one before has been acknowledged (RFC 3262 3)."""
        if self.open is not None:
            self._waiting.append(answer)
            return
        self.rseq += 1
        self.open = answer
        headers = (("Require", "100rel"), ("RSeq", str(self.rseq)), *answer.headers)
        payload = self.owner.provisional(answer.status, answer.body, headers)
        self._interval, self._until = T1, now + TIMEOUT
        self._transmit(answer.status, payload, now)

    def _transmit(self, status: int, payload: bytes, now: float) -> None:
        if now >= self._until:
            # RFC 3262 3: not acknowledged within 64*T1: the INVITE is refused with a 5xx
            self._stop()
            self.owner.never_acknowledged(now)
            return
        self.owner.server.send(status, payload, now)
        at = min(now + self._interval, self._until)
        self._interval *= 2  # RFC 3262 3: doubles without the bound T2
        self._again = self.owner.stack.timers.start(at, lambda then: self._transmit(status, payload, then))

    def acknowledge(self, request: Request, invite: int, now: float) -> Provisional | None:
        """Take a PRACK; returns the answer it is for, None if it is for none that is open (481). ParseError (400)."""
        named = RAck.parse(request.headers.get("RAck") or "")
        found = self.open
        if found is None or (named.rseq, named.cseq, named.method) != (self.rseq, invite, "INVITE"):
            return None
        self._stop()
        self.open = None
        return found

    def proceed(self, now: float) -> None:
        """Send the next one, if any waits."""
        if self._waiting and self.open is None:
            self.send(self._waiting.popleft(), now)

    def stop(self) -> None:
        """The INVITE has its final answer."""
        self._waiting.clear()
        self._stop()  # the PRACK for the open one may still come

    def _stop(self) -> None:
        if self._again is not None:
            self._again.stop()
            self._again = None
