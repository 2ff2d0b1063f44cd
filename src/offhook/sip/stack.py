"""What all SIP machines of one endpoint share: timers, transactions, the outbox, identities, and names being resolved."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final, TypeAlias

from msgspec import structs

from offhook.ids import Ids
from offhook.sip.auth import Credentials
from offhook.sip.door import Door, Rules
from offhook.sip.events import (
    SECURE,
    WEB,
    Address,
    Body,
    ConnectionTerms,
    Dropped,
    Flow,
    FlowFailed,
    HeaderList,
    Identity,
    IdentityId,
    Resolve,
    Resolved,
    SetPolicy,
    SipOutput,
    Transmit,
    TransportChoice,
    TransportName,
)
from offhook.sip.message import Request, Response, encode_message
from offhook.sip.responses import REASON_PHRASES, response_fields
from offhook.sip.timers import TimerQueue
from offhook.sip.transactions import ServerTransaction, Transactions
from offhook.sip.uri import NameAddr, Uri

ALLOW: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, REFER, NOTIFY, UPDATE, PRACK"
METHODS: Final = frozenset(ALLOW.split(", "))
ACCEPT: Final = "application/sdp, message/sipfrag"

SUSPECT_FOR: Final = 60.0
"""Seconds for which an address that failed is asked after its brothers."""
USERS_KEPT: Final = 8
"""Users that one identity has been of late: its calls of those days may still run."""
MAX_SEEN: Final = 256
"""Far ends of which it is remembered how they see us; one more is told our own address."""
MAX_SUSPECTS: Final = 256
"""Addresses remembered as failing; above that the memory starts afresh."""

Items: TypeAlias = list[tuple[str, str]]
OnResolved: TypeAlias = Callable[[Resolved, float], None]


@dataclass(frozen=True, slots=True)
class Hop:
    """Where the next message goes: a name still to be resolved. `port` None: what SRV says, else the default.

    `secure`: only encrypted transports will do.
    """

    host: str
    port: int | None
    transport: TransportChoice
    secure: bool = False

    def reached_by(self, flow: Flow) -> bool:
        """Whether this flow already leads there. A connection counts for its host: its far port says nothing about 5060."""
        if self.host.lower() != flow.remote[0].lower() or (self.secure and flow.transport not in SECURE):
            return False
        return flow.connection > 0 or flow.remote[1] == (self.port or default_port(flow.transport))


def default_port(transport: str) -> int:
    """Return where a transport is spoken unless something else is said (RFC 3261 19.1.2, RFC 7118 5.2: those of HTTP)."""
    return _DEFAULT_PORTS.get(transport, 5060)


_DEFAULT_PORTS: Final = {"tls": 5061, "ws": 80, "wss": 443}
_NAMED: Final[dict[str | None, TransportName]] = {"udp": "udp", "tcp": "tcp", "tls": "tls", "ws": "ws", "wss": "wss"}
_ENCRYPTED: Final[dict[TransportChoice, TransportChoice]] = {
    "auto": "auto", "udp": "tls", "tcp": "tls", "tls": "tls", "ws": "wss", "wss": "wss",
}


@dataclass(slots=True)
class Way:
    """What one registration has shown of the way to us: next hop and flow (None: lost), Service-Route, who accepted it."""

    hop: Hop
    flow: Flow | None
    routes: tuple[NameAddr, ...]
    registrar: str


def hop_to(uri: Uri, default: TransportChoice = "udp") -> Hop:
    """Return the next hop a URI names (RFC 3261 8.1.2); without a transport parameter, `default`."""
    if uri.transport is None and uri.scheme == "sip":
        return Hop(uri.target_host, uri.port, default)
    named: TransportChoice = _NAMED.get(uri.transport, default)
    if named == "ws" and default == "wss":
        named = "wss"  # RFC 7118 5.4: the parameter is "ws" for both
    hop = Hop(uri.target_host, uri.port, named)
    return encrypted(hop) if uri.scheme == "sips" else hop


def encrypted(hop: Hop) -> Hop:
    """Return the same hop by encrypted transports only, as a sips: address demands (RFC 3261 26.2.2)."""
    return replace(hop, transport=_ENCRYPTED[hop.transport], secure=True)


def host_port(address: Address) -> str:
    """Return `host:port` as Via and Contact write it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def contact_uri(user: str, flow: Flow, *, secure: bool = False) -> str:
    """Return our Contact URI as the peer of this flow reaches us; `user` is plain text. `secure` makes it a sips: one."""
    if not (user.isascii() and user.isalnum()):
        user = Uri.sip(user, "host").user or ""
    who = f"{user}@" if user else ""
    if secure:
        # RFC 5630 3.1.3: the scheme says TLS; the parameter names what carries it
        return f"sips:{who}{host_port(flow.local)}{_SECURE_PARAMETER.get(flow.transport, '')}"
    return f"sip:{who}{host_port(flow.local)}{_PARAMETER[flow.transport]}"


_PARAMETER: Final = {"udp": "", "tcp": ";transport=tcp", "tls": ";transport=tls", "ws": ";transport=ws", "wss": ";transport=ws"}
_SECURE_PARAMETER: Final = {"wss": ";transport=ws"}


def body_of(message: Request | Response) -> Body | None:
    """Return the body with its type, None if it is empty."""
    if not message.body:
        return None
    return Body(message.headers.get("Content-Type") or "", message.body)


def header_list(message: Request | Response) -> HeaderList:
    """Return every header in order."""
    return tuple(message.headers.items())


def plain_address(host: str) -> str:
    """Return an IP address in its usual spelling, "" if this is none."""
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


def is_number(host: str) -> bool:
    """Whether this is an IP address, of which there is only one."""
    return ":" in host or host.replace(".", "").isdigit()


def _nobody(_failed: FlowFailed, _now: float) -> None:
    pass


class Stack:
    """The common ground. Machines emit through it and never see the endpoint."""

    def __init__(self, ids: Ids, user_agent: str, rules: Rules | None = None) -> None:
        self.ids = ids
        self.user_agent = user_agent
        self.outputs: deque[SipOutput] = deque()
        self.timers = TimerQueue()
        self.transactions = Transactions(self.timers, self.transmit)
        self.identities: dict[IdentityId, Identity] = {}
        self.set_policy(SetPolicy())
        self._credentials: dict[IdentityId, dict[tuple[str, str], Credentials]] = {}  # by user name and domain
        self.outbound: set[IdentityId] = set()  # those whose registrar reaches us over the flow alone (RFC 5626)
        self.ways: dict[IdentityId, dict[int, Way]] = {}  # by which each is registered, by reg-id
        self._seen: dict[tuple[Address, Address], Address] = {}  # how those far ends see our UDP socket from outside
        self.pinged: set[Flow] = set()  # connections on which an answer to a ping is due
        self.flow_failed: Callable[[FlowFailed, float], None] = _nobody
        self._suspects: dict[tuple[str, Address], float] = {}
        self._queries: dict[int, OnResolved] = {}
        self._query = 0
        self.door = Door(self, rules or Rules())

    def emit(self, output: SipOutput) -> None:
        """Queue an event or request to the outside."""
        self.outputs.append(output)

    def transmit(self, flow: Flow, payload: bytes) -> None:
        """Queue bytes."""
        self.outputs.append(Transmit(flow, payload))

    def drop(self, source: Address, reason: str) -> None:
        """Report bytes that led nowhere."""
        self.outputs.append(Dropped(source, reason))

    def resolve(self, hop: Hop, then: OnResolved, terms: ConnectionTerms | None = None) -> None:
        """Ask where `hop` is; `then` gets the answer."""
        self._query += 1
        self._queries[self._query] = then
        self.outputs.append(Resolve(self._query, hop.host, hop.port, hop.transport, hop.secure, terms))

    @property
    def is_resolving(self) -> bool:
        """Whether a message waits for an address."""
        return bool(self._queries)

    def resolved(self, answer: Resolved, now: float) -> None:
        """Pass an answer on, once."""
        then = self._queries.pop(answer.query, None)
        if then is not None:
            then(answer, now)

    def learn(self, flow: Flow, response: Response) -> None:
        """Note under which address the far end of a UDP flow sees us (RFC 3581 4), if it says so in its answer."""
        if flow.transport != "udp":
            return
        key, via = (flow.local, flow.remote), response.via
        seen = plain_address(via.received) if via.received else flow.local[0], via.rport or flow.local[1]
        if seen == flow.local:
            self._seen.pop(key, None)
        elif seen[0] and (key in self._seen or len(self._seen) < MAX_SEEN):
            self._seen[key] = seen

    def forget_seen(self) -> None:
        """The network has changed: what others have seen of us is no longer so."""
        self._seen.clear()

    def seen(self, identity: Identity | None, flow: Flow) -> Flow:
        """Return the flow with the address that its far end reaches us under."""
        if not self._seen or identity is None or not identity.rewrite_contact or identity.id in self.outbound:
            return flow
        outside = self._seen.get((flow.local, flow.remote)) if flow.transport == "udp" else None
        return flow if outside is None else structs.replace(flow, local=outside)

    def suspect(self, flow: Flow, now: float) -> None:
        """Ask this address last for a while: it was silent, unreachable, or had no time."""
        if len(self._suspects) >= MAX_SUSPECTS:
            self._suspects.clear()
        self._suspects[flow.transport, flow.remote] = now + SUSPECT_FOR

    def trusted_first(self, flows: tuple[Flow, ...], now: float) -> tuple[Flow, ...]:
        """Return the flows in their order, those that failed lately last."""
        if not self._suspects or len(flows) < 2:
            return flows
        return tuple(sorted(flows, key=lambda flow: self._suspects.get((flow.transport, flow.remote), 0.0) > now))

    def routes_of(self, identity: Identity | None) -> Items:
        """Return the Route headers of requests outside dialogs: the outbound proxy, then the service route (RFC 3608 5)."""
        if identity is None:
            return []
        items: Items = []
        if identity.proxy is not None:
            proxy = identity.proxy if identity.proxy.is_loose else identity.proxy.with_param("lr")
            items.append(("Route", f"<{proxy}>"))
        for route in self.service_route(identity):
            if identity.proxy is None or route.uri.host.lower() != identity.proxy.host.lower():
                items.append(("Route", str(route)))
        return items

    def service_route(self, identity: Identity | None) -> tuple[NameAddr, ...]:
        """Return the way the registrar wants requests of this identity to take, empty if it said nothing."""
        ways = self.ways.get(identity.id) if identity is not None else None
        if not ways or identity is None:
            return ()
        hop = hop_to(identity.proxy or identity.address.uri, identity.transport)
        fitting = [way for way in ways.values() if way.hop == hop] or list(ways.values())
        return next((way for way in fitting if way.flow is not None), fitting[0]).routes

    def set_identity(self, identity: Identity) -> None:
        """Add or replace an identity. Its nonces survive unless user, domain or password changed.

        Calls that it has as another user, or of another domain, go on with the password of that: of the new one their server
        is to learn nothing, and could not use it.
        """
        self.identities[identity.id] = identity
        self.door.learn(identity)
        kept, user = self._credentials.setdefault(identity.id, {}), _user_of(identity)
        known = kept.pop(user, None)
        if known is None or known.password != identity.password:
            known = Credentials(user[0], identity.password)
        kept[user] = known
        if len(kept) > USERS_KEPT:
            del kept[next(iter(kept))]

    def remove_identity(self, identity: IdentityId) -> None:
        """Forget an identity and its nonces."""
        self.identities.pop(identity, None)
        self._credentials.pop(identity, None)
        self.door.forget(identity)
        self.ways.pop(identity, None)
        self.outbound.discard(identity)

    def learn_way(self, identity: IdentityId, number: int, way: Way) -> None:
        """Take over what a registration has shown of the way to us; `number` tells two of one identity apart."""
        self.ways.setdefault(identity, {})[number] = way

    def forget_way(self, identity: IdentityId, number: int) -> None:
        """Forget what the registrar told of one way for this identity."""
        ways = self.ways.get(identity, {})
        ways.pop(number, None)
        if not ways:
            self.ways.pop(identity, None)
            self.outbound.discard(identity)

    def forget_way_flow(self, identity: IdentityId, number: int) -> None:
        """Send nothing more over the flow of this way."""
        way = self.ways.get(identity, {}).get(number)
        if way is not None:
            way.flow = None

    def registered_flow(self, identity: Identity | None, hop: Hop) -> Flow | None:
        """Return a flow over which the identity is registered, where it leads to the same next hop (RFC 5626 4.3)."""
        for way in self.ways.get(identity.id, {}).values() if identity is not None else ():
            if way.flow is not None and (way.hop == hop or hop.reached_by(way.flow)):
                return way.flow
        return None

    def web_flow(self, identity: Identity | None) -> Flow | None:
        """Return the WebSocket over which the identity is registered, wherever it leads."""
        ways = self.ways.get(identity.id, {}).values() if identity is not None else ()
        return next((way.flow for way in ways if way.flow is not None and way.flow.transport in WEB), None)

    def is_registered_at(self, identity: Identity, address: Address) -> bool:
        """Whether the registration of the identity goes to this address, port and all."""
        return any(way.flow is not None and way.flow.remote == address for way in self.ways.get(identity.id, {}).values())

    def renewed(self, identity: Identity | None, flow: Flow) -> Flow:
        """Return the flow with the address of ours that its far end knows now: it may have rung before the network changed."""
        for way in self.ways.get(identity.id, {}).values() if identity is not None else ():
            now = way.flow
            if now is not None and (now.transport, now.remote) == (flow.transport, flow.remote):
                return structs.replace(flow, local=now.local)
        return flow

    def forget_flow(self, failed: Callable[[Flow], bool]) -> None:
        """Send nothing more over flows of which `failed` says that they are gone."""
        for ways in self.ways.values():
            for way in ways.values():
                if way.flow is not None and failed(way.flow):
                    way.flow = None

    def set_policy(self, policy: SetPolicy) -> None:
        """Take over how calls are made, and with it which extensions are understood (`supported`, `extensions`)."""
        self.policy = policy
        tags = ["replaces"]
        tags += ["timer"] if policy.session_expires else []
        tags += ["100rel"] if policy.reliable != "off" else []
        self.supported = ", ".join(tags)
        self.extensions = (*tags, "answermode", "privanswermode")  # RFC 5373; only who asks hears of these

    def is_server(self, identity: Identity, flow: Flow) -> bool:
        """Whether what comes this way comes from the identity's own registrar or proxy, whose word counts for more."""
        host = flow.remote[0]
        if any(way.registrar == host for way in self.ways.get(identity.id, {}).values()):
            return True
        servers = (identity.proxy, identity.address.uri, *identity.proxies)
        return any(uri is not None and uri.target_host == host for uri in servers)

    def credentials(self, identity: Identity | None) -> Credentials | None:
        """Return what answers challenges for this identity, None without a password."""
        if identity is None or not (identity.password or identity.auth_username):
            return None
        return self._credentials.get(identity.id, {}).get(_user_of(identity))

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
                 headers: Iterable[tuple[str, str]] = (), body: Body | None = None, agent: bool = True) -> bytes:
        """Return an encoded response (RFC 3261 8.2.6); `agent` False leaves out who we are."""
        if status > 100 and not tag and not request.to.tag:
            # RFC 3261 8.2.6.2: every response but 100 carries a To tag
            tag = self.tag()
        fields = response_fields(request, status, tag)
        fields += headers
        if status > 100 and agent:
            fields.append(("Server", self.user_agent))
        if body is not None:
            fields.append(("Content-Type", body.content_type))
        start = f"SIP/2.0 {status} {reason or REASON_PHRASES.get(status, '')}"
        return encode_message(start, fields, b"" if body is None else body.data)


def _user_of(identity: Identity) -> tuple[str, str]:
    """Return whom a password is of: the user name that goes with it, and the domain."""
    uri = identity.address.uri
    return identity.auth_username or uri.user_decoded, f"{uri.host.lower()}:{uri.port or ''}"
