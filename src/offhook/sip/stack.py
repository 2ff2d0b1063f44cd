"""What all SIP machines of one endpoint share: timers, transactions, the outbox, identities, and names being resolved."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from offhook.ids import Ids
from offhook.sip.auth import Credentials
from offhook.sip.events import (
    Address,
    Body,
    Dropped,
    Flow,
    HeaderList,
    Identity,
    IdentityId,
    Resolve,
    Resolved,
    SetPolicy,
    SipOutput,
    Transmit,
    TransportName,
)
from offhook.sip.message import REASON_PHRASES, Request, Response, encode_message, response_fields
from offhook.sip.timers import TimerQueue
from offhook.sip.transactions import ServerTransaction, Transactions
from offhook.sip.uri import Uri

ALLOW: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, REFER, NOTIFY, UPDATE, PRACK"
METHODS: Final = frozenset(ALLOW.split(", "))
ACCEPT: Final = "application/sdp, message/sipfrag"

Items: TypeAlias = list[tuple[str, str]]
OnResolved: TypeAlias = Callable[[Resolved, float], None]


@dataclass(frozen=True, slots=True)
class Hop:
    """Where the next message goes: a name still to be resolved. `port` None: the default, or what SRV says."""

    host: str
    port: int | None
    transport: TransportName

    def reached_by(self, flow: Flow) -> bool:
        """Whether this flow already leads there. A connection counts for its host: its far port says nothing about 5060."""
        if self.host.lower() != flow.remote[0].lower():
            return False
        return flow.connection > 0 or flow.remote[1] == (self.port or 5060)


def hop_to(uri: Uri, default: TransportName = "udp") -> Hop:
    """Return the next hop a URI names (RFC 3261 8.1.2); without a transport parameter, `default`."""
    named = uri.transport
    return Hop(uri.hostname, uri.port, "tcp" if named == "tcp" else "udp" if named == "udp" else default)


def host_port(address: Address) -> str:
    """Return `host:port` as Via and Contact write it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def contact_uri(user: str, flow: Flow) -> str:
    """Return our Contact URI as the peer of this flow reaches us; `user` is plain text."""
    if not (user.isascii() and user.isalnum()):
        user = Uri.sip(user, "host").user or ""
    who = f"{user}@" if user else ""
    kind = ";transport=tcp" if flow.transport == "tcp" else ""
    return f"sip:{who}{host_port(flow.local)}{kind}"


def body_of(message: Request | Response) -> Body | None:
    """Return the body with its type, None if it is empty."""
    if not message.body:
        return None
    return Body(message.headers.get("Content-Type") or "", message.body)


def header_list(message: Request | Response) -> HeaderList:
    """Return every header in order."""
    return tuple(message.headers.items())


class Stack:
    """The common ground. Machines emit through it and never see the endpoint."""

    def __init__(self, ids: Ids, user_agent: str) -> None:
        self.ids = ids
        self.user_agent = user_agent
        self.outputs: deque[SipOutput] = deque()
        self.timers = TimerQueue()
        self.transactions = Transactions(self.timers, self.transmit)
        self.identities: dict[IdentityId, Identity] = {}
        self.set_policy(SetPolicy())
        self._credentials: dict[IdentityId, Credentials] = {}
        self._queries: dict[int, OnResolved] = {}
        self._query = 0

    def emit(self, output: SipOutput) -> None:
        """Queue an event or request to the outside."""
        self.outputs.append(output)

    def transmit(self, flow: Flow, payload: bytes) -> None:
        """Queue bytes."""
        self.outputs.append(Transmit(flow, payload))

    def drop(self, source: Address, reason: str) -> None:
        """Report bytes that led nowhere."""
        self.outputs.append(Dropped(source, reason))

    def resolve(self, hop: Hop, then: OnResolved) -> None:
        """Ask where `hop` is; `then` gets the answer."""
        self._query += 1
        self._queries[self._query] = then
        self.outputs.append(Resolve(self._query, hop.host, hop.port, hop.transport))

    def resolved(self, answer: Resolved, now: float) -> None:
        """Pass an answer on, once."""
        then = self._queries.pop(answer.query, None)
        if then is not None:
            then(answer, now)

    def set_identity(self, identity: Identity) -> None:
        """Add or replace an identity. Its nonces survive unless user or password changed."""
        self.identities[identity.id] = identity
        username = identity.auth_username or identity.address.uri.user_decoded
        known = self._credentials.get(identity.id)
        if known is None or (known.username, known.password) != (username, identity.password):
            self._credentials[identity.id] = Credentials(username, identity.password)

    def remove_identity(self, identity: IdentityId) -> None:
        """Forget an identity and its nonces."""
        self.identities.pop(identity, None)
        self._credentials.pop(identity, None)

    def set_policy(self, policy: SetPolicy) -> None:
        """Take over how calls are made, and with it which extensions are understood (`supported`, `extensions`)."""
        self.policy = policy
        tags = ["replaces"]
        tags += ["timer"] if policy.session_expires else []
        tags += ["100rel"] if policy.reliable != "off" else []
        self.supported = ", ".join(tags)
        self.extensions = frozenset(tags)

    def credentials(self, identity: Identity | None) -> Credentials | None:
        """Return what answers challenges for this identity, None without a password."""
        if identity is None or not (identity.password or identity.auth_username):
            return None
        return self._credentials.get(identity.id)

    def tag(self) -> str:
        """Return a fresh tag."""
        return self.ids.token(10)

    def respond(self, server: ServerTransaction, status: int, now: float, *, reason: str = "", tag: str = "",
                headers: Iterable[tuple[str, str]] = (), body: Body | None = None) -> bytes:
        """Answer a request; returns the bytes sent."""
        payload = self.response(server.request, status, reason=reason, tag=tag, headers=headers, body=body)
        server.send(status, payload, now)
        return payload

    def response(self, request: Request, status: int, *, reason: str = "", tag: str = "",
                 headers: Iterable[tuple[str, str]] = (), body: Body | None = None) -> bytes:
        """Return an encoded response (RFC 3261 8.2.6)."""
        if status > 100 and not tag and not request.to.tag:
            # RFC 3261 8.2.6.2: every response but 100 carries a To tag
            tag = self.tag()
        fields = response_fields(request, status, tag)
        fields += headers
        if status > 100:
            fields.append(("Server", self.user_agent))
        if body is not None:
            fields.append(("Content-Type", body.content_type))
        start = f"SIP/2.0 {status} {reason or REASON_PHRASES.get(status, '')}"
        return encode_message(start, fields, b"" if body is None else body.data)
