"""What the SIP endpoint wants done outside."""

from __future__ import annotations

from msgspec import Struct

from offhook.sip.events.base import ConnectionTerms, Flow, TransportChoice


class Transmit(Struct, frozen=True):
    """Send these bytes on this flow (connect first if there is no connection)."""

    flow: Flow
    data: bytes


class Resolve(Struct, frozen=True):
    """Find where `host` is. Literal addresses are asked too; `port` None means what SRV says, else the default.

    With `secure` only transports that are encrypted will do (sips:). `terms` become those of the flows.
    """

    query: int
    host: str
    port: int | None
    transport: TransportChoice
    secure: bool = False
    terms: ConnectionTerms | None = None


class CloseFlow(Struct, frozen=True):
    """This connection is of no use any more (what it sent cannot be framed, or it is dead); close it."""

    flow: Flow
