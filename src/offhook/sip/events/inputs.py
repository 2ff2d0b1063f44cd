"""What the world tells the SIP endpoint."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from offhook.sip.events.base import Flow


class Datagram(Struct, frozen=True):
    """A UDP datagram arrived, or a message on a WebSocket, which needs no framing either (RFC 7118 5)."""

    flow: Flow
    data: bytes


class StreamChunk(Struct, frozen=True):
    """Bytes arrived on a TCP or TLS connection; framing is done here."""

    flow: Flow
    data: bytes


class FlowUp(Struct, frozen=True):
    """A connection that we make stands; `detail` says how it is secured ("" if it is not)."""

    flow: Flow
    detail: str = ""


class FlowFailed(Struct, frozen=True):
    """A send failed or a connection broke or was closed (RFC 3261 18.4: a transport error, as 503 for its transactions).

    `stood`: the connection had been there, so that a new one may well come about.
    """

    flow: Flow
    reason: str
    stood: bool = False


class NetworkChanged(Struct, frozen=True):
    """This machine's addresses or routes are others now, or it slept: what was known of flows is worth nothing any more."""

    reason: str


class Resolved(Struct, frozen=True):
    """The answer to Resolve: flows to try in order (empty: the name has no address; `reason` says why)."""

    query: int
    flows: tuple[Flow, ...]
    reason: str = ""


SipInput: TypeAlias = Datagram | StreamChunk | FlowUp | FlowFailed | NetworkChanged | Resolved
