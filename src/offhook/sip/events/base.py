"""What commands, inputs and events have in common: addresses, flows, bodies, identities."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from offhook.sip.uri import NameAddr, Uri

SessionId: TypeAlias = str
IdentityId: TypeAlias = str
RequestId: TypeAlias = str
HeaderList: TypeAlias = tuple[tuple[str, str], ...]
Address: TypeAlias = tuple[str, int]
TransportName: TypeAlias = Literal["udp", "tcp", "tls", "ws", "wss"]
TransportChoice: TypeAlias = Literal["auto", "udp", "tcp", "tls", "ws", "wss"]
"""What an account or an address asks for; "auto" leaves it to the name service (RFC 3263 4.1), UDP if that says nothing."""

SECURE: Final[frozenset[str]] = frozenset({"tls", "wss"})
"""Transports that keep the promise of a sips: address."""
WEB: Final[frozenset[str]] = frozenset({"ws", "wss"})
"""Transports of RFC 7118, whose one connection is the only way between its two ends."""


class ConnectionTerms(Struct, frozen=True):
    """What a connection needs beyond an address: who the far end has to be, and who we are.

    `name` is what the far end's certificate must bear ("": the name that was looked up; RFC 5922 7.1). `ca` is a PEM file or a
    folder of those that may vouch for it ("": the system's), `certificate` and `key` are our own PEM files. With `verify` False
    anybody may answer. `path` is the resource of a WebSocket.
    """

    name: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True
    path: str = "/"


class Flow(Struct, frozen=True):
    """One way to reach one peer: a UDP socket and a remote address, or one connection (TCP, TLS, WebSocket).

    `connection` is 0 for UDP, and for a connection that `io` is to make (or reuse) on first use; accepted connections
    carry the positive number `io` gave them. `local` is the address the peer sees us under (for Via and Contact). `terms` are
    those of a TLS or WebSocket connection that we make.
    """

    transport: TransportName
    local: Address
    remote: Address
    connection: int = 0
    terms: ConnectionTerms | None = None


class Body(Struct, frozen=True):
    """A message body with its Content-Type. Opaque here."""

    content_type: str
    data: bytes


class Identity(Struct, frozen=True):
    """Who we are towards a registrar or proxy.

    `proxy` is the outbound proxy (a loose route) or None: the domain of `address`. `proxies` are all that may be registered
    through, `proxy` among them (empty: it alone); where the registrar knows RFC 5626 two are, at the same time. `contact_user`
    is the user part of our Contact, by which incoming requests find this identity. `transport` is what requests to the domain
    use, `terms` are those of its TLS and WebSocket connections. `instance` is the URN that tells this phone from others of the
    same user (RFC 5626 4.1; "": not told), `keep_alive` seconds between signs of life on the registered flow (0: none). With
    `rewrite_contact` our Contact over UDP is the address that the far end says it sees us under (Via received and rport), once
    it has said so.
    """

    id: IdentityId
    address: NameAddr
    auth_username: str = ""
    password: str = ""
    proxy: Uri | None = None
    transport: TransportChoice = "udp"
    contact_user: str = ""
    user_agent: str = "offhook"
    terms: ConnectionTerms | None = None
    instance: str = ""
    keep_alive: float = 0.0
    rewrite_contact: bool = True
    proxies: tuple[Uri | None, ...] = ()
