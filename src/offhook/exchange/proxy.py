"""The proxy: where every message that reaches the exchange goes next (RFC 3261 chapter 16). Pure, five verbs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from msgspec import structs

from offhook.errors import ParseError
from offhook.exchange.authority import Authority
from offhook.exchange.fork import Fork, Target
from offhook.exchange.registrar import Registrar, literal
from offhook.ids import Ids
from offhook.sip.events import Address, CloseFlow, Datagram, Flow, FlowFailed, SipInput, StreamChunk, Transmit, TransportName
from offhook.sip.framing import StreamFramer, is_keep_alive
from offhook.sip.headers import Via
from offhook.sip.message import Request, Response
from offhook.sip.parsing import MessageError, parse_message
from offhook.sip.responses import response_to
from offhook.sip.sanity import check
from offhook.sip.timers import TimerQueue
from offhook.sip.transactions import MAGIC_COOKIE, Input, ServerTransaction, Transactions, client_key, server_key
from offhook.sip.uri import Uri

OUR_BRANCH: Final = MAGIC_COOKIE + "-px-"
"""How the Vias of this proxy begin; all other branches at this address belong to the lines."""

MAX_OWN_VIAS: Final = 4
"""Times one request may come back to us. A spiral through a forwarding phone is fine, a loop is not (RFC 5393)."""

MAX_WAITING: Final = 10_000
"""Server transactions at once; above that new requests are dropped and come again."""

MAX_CALLS: Final = 10_000
"""Calls and subscriptions remembered: what belongs to one is passed on to wherever its two ends say. The oldest go first."""

ALLOW: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, REFER, INFO, NOTIFY, SUBSCRIBE, UPDATE"

DOMAINS: Final = ("localhost", "practice.local")

_AUTHENTICATED: Final = frozenset({"INVITE", "MESSAGE", "REFER", "SUBSCRIBE", "PUBLISH"})
_RECORDED: Final = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})


@dataclass(frozen=True, slots=True)
class ToLine:
    """This message is for the lines: a whole SIP message, just as it came. `user` is whom a request asks for."""

    flow: Flow
    data: bytes
    user: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person watching the exchange likes to read."""

    text: str


ProxyOutput: TypeAlias = Transmit | CloseFlow | ToLine | Note


class Proxy:
    """The exchange's front door. `is_line` says whether a user name is a line of ours."""

    def __init__(self, address: Address, authority: Authority, ids: Ids, *, is_line: Callable[[str], bool],
                 domains: Iterable[str] = DOMAINS, ports: Mapping[TransportName, int] | None = None) -> None:
        self.address = address
        self._ports: dict[TransportName, int] = {"udp": address[1], "tcp": address[1], **(ports or {})}
        self.registrar = Registrar(authority, is_ours=self.is_ours)
        self.timers = TimerQueue()
        self.transactions = Transactions(self.timers, self._send)
        self._authority = authority
        self._ids = ids
        self._is_line = is_line
        self._names = {name.lower() for name in domains} | {address[0].lower()}
        self._framers: dict[Flow, StreamFramer] = {}
        self._forks: dict[ServerTransaction, Fork] = {}
        self._calls: dict[str, None] = {}
        self._tidy_above = 64
        self._out: deque[ProxyOutput] = deque()

    # --- the verbs ---------------------------------------------------------------------------------------------------

    def receive(self, item: SipInput, now: float) -> None:
        """Take something from a socket. Never raises for what a peer sends."""
        if isinstance(item, Datagram):
            self._take(item.data, item.flow, now)
        elif isinstance(item, StreamChunk):
            self._take_stream(item, now)
        elif isinstance(item, FlowFailed):
            self._framers.pop(item.flow, None)
            self._note(self.registrar.fail(item.flow))
            self.transactions.fail(item, now)

    def timeout(self, now: float) -> None:
        """Run what is due."""
        self.timers.expire(now)
        self._note(self.registrar.expire(now))
        self._tidy()

    def poll(self) -> ProxyOutput | None:
        """Return the next thing to do, None if there is nothing."""
        return self._out.popleft() if self._out else None

    def deadline(self) -> float | None:
        """Return when `timeout` wants to be called."""
        return min((at for at in (self.timers.deadline(), self.registrar.deadline()) if at is not None), default=None)

    # --- from bytes to messages --------------------------------------------------------------------------------------

    def _take_stream(self, chunk: StreamChunk, now: float) -> None:
        framer = self._framers.setdefault(chunk.flow, StreamFramer())
        pings = framer.pings
        try:
            frames = framer.feed(chunk.data)
        except ParseError:
            frames = []
        if framer.pings > pings:
            # RFC 5626 4.4.1: each ping is answered with one line end.
            self._send(chunk.flow, b"\r\n" * (framer.pings - pings))
        for frame in frames:
            self._take(frame, chunk.flow, now)
        if framer.fault is not None:
            self._framers.pop(chunk.flow, None)
            self._out.append(CloseFlow(chunk.flow))

    def _take(self, data: bytes, flow: Flow, now: float) -> None:
        if is_keep_alive(data):
            return
        try:
            message = parse_message(data)
            check(message)
            if isinstance(message, Response):
                self._take_response(message, data, flow, now)
            else:
                self._take_request(message, data, flow, now)
        except MessageError as error:
            if error.partial is not None and error.status:
                self._refuse_statelessly(error.partial, error.status, flow)
        except ParseError:
            return  # a header that only routing reads is broken: nobody to answer that could understand it
        self._tidy()

    def _refuse_statelessly(self, request: Request, status: int, flow: Flow) -> None:
        try:
            stamp_via(request, flow)
            back = response_flow(request, flow)
        except ParseError:
            return  # of its Via there is too little to find the way back
        self._send(back, response_to(request, status, to_tag=self._ids.token(8)).encode())

    def _take_response(self, response: Response, data: bytes, flow: Flow, now: float) -> None:
        branch = response.via.branch or ""
        client = self.transactions.clients.get(client_key(branch, response.cseq.method))
        if client is not None:
            client.receive(response, now)
        elif not branch.startswith(OUR_BRANCH):
            self._out.append(ToLine(flow, data))
        # RFC 6026 7.2 and 8.9: a response without a transaction is not forwarded.

    # --- requests ----------------------------------------------------------------------------------------------------

    def _take_request(self, request: Request, data: bytes, flow: Flow, now: float) -> None:
        server = self.transactions.servers.get(server_key(request))
        if server is not None:
            if request.method == "ACK" and server.step(Input.RECEIVE_ACK, now, request):
                return
            if request.method != "ACK":
                server.step(Input.RECEIVE_REQUEST, now, request)
                return
        if request.method == "CANCEL" and self._cancel(request, flow, now):
            return
        stamp_via(request, flow)
        if len(self.transactions.servers) < MAX_WAITING:
            self._route(request, data, flow, now)

    def _cancel(self, request: Request, flow: Flow, now: float) -> bool:
        server = self.transactions.servers.get((*server_key(request)[:-1], "INVITE"))
        if server is None:
            return False
        stamp_via(request, flow)
        self._answer(request, flow, 200, now)
        fork = self._forks.get(server)
        if fork is not None:
            fork.cancel(now)
        return True

    def _route(self, request: Request, data: bytes, flow: Flow, now: float) -> None:
        """Decide by Route, Request-URI and method (RFC 3261 16.3 to 16.5)."""
        inside = request.to.tag is not None
        self._take_own_route(request, flow)
        if self._blocked(request, flow, now):
            return
        if request.routes:
            self._forward_by_route(request, flow, now, inside=inside)
        elif not self._for_us(request.uri, flow, now):
            self._forward_outside(request, flow, now, inside=inside)
        elif request.method == "REGISTER":
            self._register(request, flow, now)
        elif inside or not self._challenged(request, flow, now):
            self._deliver(request, data, flow, now, inside=inside)

    def _blocked(self, request: Request, flow: Flow, now: float) -> bool:
        """Refuse what must go no further: too many hops, or round and round."""
        own = sum((via.branch or "").startswith(OUR_BRANCH) for via in request.vias)
        if own > MAX_OWN_VIAS:
            self._answer(request, flow, 482, now)
            return True
        return False

    def _take_own_route(self, request: Request, flow: Flow) -> None:
        """Remove ourselves from the route (RFC 3261 16.4)."""
        routes = request.routes
        if routes and request.uri.user is None and request.uri.is_loose and self._is_here(request.uri, flow):
            # RFC 3261 16.4: a strict router put our Record-Route into the Request-URI; the real one is the last Route.
            request.uri = routes.pop().uri
        while routes and self._is_here(routes[0].uri, flow):
            routes.pop(0)
        if len(routes) != len(request.routes):
            request.headers.remove("Route")
            for route in routes:
                request.headers.add("Route", str(route))

    def _for_us(self, uri: Uri, flow: Flow, now: float) -> bool:
        return self._is_here(uri, flow) and self.registrar.find(uri, now) is None

    def is_ours(self, uri: Uri) -> bool:
        """Whether the URI's host is one of our names. An absent port is forgiven: people leave it out."""
        port = uri.port or self.address[1]
        return bool(uri.host) and uri.hostname.lower() in self._names and port in self._ports.values()

    def _is_here(self, uri: Uri, flow: Flow) -> bool:
        if self.is_ours(uri):
            return True
        # A socket bound to all interfaces has no address of its own; the one the peer sees us under is ours then.
        return uri.hostname == flow.local[0] and (uri.port or flow.local[1]) in (flow.local[1], *self._ports.values())

    def _challenged(self, request: Request, flow: Flow, now: float) -> bool:
        """Ask our own accounts for their password (RFC 3261 22.3); strangers may call in, as from any other domain."""
        caller = request.from_.uri
        user = caller.user_decoded
        if request.method not in _AUTHENTICATED or user not in self._authority.accounts or not self._is_here(caller, flow):
            return False
        verdict = self._authority.check(request, user, now, proxy=True)
        if verdict.status:
            if verdict.reason:
                self._note([f"{user}: {request.method} refused ({verdict.reason})"])
            self._answer(request, flow, verdict.status, now, verdict.reason, verdict.headers)
        return bool(verdict.status)

    # --- who gets it -------------------------------------------------------------------------------------------------

    def _register(self, request: Request, flow: Flow, now: float) -> None:
        answer = self.registrar.register(request, flow, now)
        if answer.note:
            self._note([answer.note])
        self._answer(request, flow, answer.status, now, answer.reason, answer.headers)

    def _deliver(self, request: Request, data: bytes, flow: Flow, now: float, *, inside: bool) -> None:
        user = request.uri.user_decoded
        if request.method == "CANCEL" and not (inside or self._is_line(user)):
            self._answer(request, flow, 481, now)  # RFC 3261 16.10: what it would cancel is not here
        elif user in self._authority.accounts:
            self._ring(request, user, flow, now)
        elif inside or self._is_line(user):
            self._out.append(ToLine(flow, data, user))
        elif not user and request.method == "OPTIONS":
            self._answer(request, flow, 200, now, "", (("Allow", ALLOW),))
        else:
            self._answer(request, flow, 404, now)

    def _ring(self, request: Request, user: str, flow: Flow, now: float) -> None:
        targets = [Target(each.contact, each.flow) for each in self.registrar.bindings(user, now)]
        if not targets:
            # RFC 3261 16.5: the name is known, nobody is there.
            self._answer(request, flow, 480, now)
        else:
            self._forward(request, targets, flow, now)

    def _forward_by_route(self, request: Request, flow: Flow, now: float, *, inside: bool) -> None:
        if self._is_stranger(request, flow, now, inside=inside):
            return
        self._forward_to(request, request.routes[0].uri, flow, now)

    def _forward_outside(self, request: Request, flow: Flow, now: float, *, inside: bool) -> None:
        if self._is_stranger(request, flow, now, inside=inside):
            return
        self._forward_to(request, request.uri, flow, now)

    def _is_stranger(self, request: Request, flow: Flow, now: float, *, inside: bool) -> bool:
        """Refuse to relay between strangers: outside a dialog one end must be ours, and inside one it began here."""
        if request.method == "CANCEL" or self.registrar.find(request.uri, now) is not None:
            return False
        if inside or request.method == "ACK":
            if request.call_id in self._calls or flow.remote == flow.local:
                return False
            if request.method != "ACK":
                self._answer(request, flow, 481, now)
            return True
        caller = request.from_.uri
        if self._is_here(caller, flow) and caller.user_decoded in self._authority.accounts:
            return self._challenged(request, flow, now)
        if self._is_here(caller, flow) and flow.remote == flow.local:
            return False  # one of our lines
        self._answer(request, flow, 403, now, "This Exchange Relays Only For Its Own Accounts")
        return True

    def _forward_to(self, request: Request, next_hop: Uri, flow: Flow, now: float) -> None:
        binding = self.registrar.find(next_hop, now)
        if binding is not None:
            self._forward(request, [Target(request.uri, binding.flow)], flow, now)
            return
        where = literal(next_hop)
        if where is None or next_hop.scheme != "sip":
            self._answer(request, flow, 404 if next_hop.scheme != "sip" else 500, now)
            return
        if next_hop.transport in ("tls", "ws", "wss"):
            self._answer(request, flow, 480, now, "That Connection Is Gone")  # only the phone itself could make it anew
            return
        onward = Flow("tcp" if next_hop.transport == "tcp" else "udp", self._local(flow), where)
        self._forward(request, [Target(request.uri, onward)], flow, now)

    def _forward(self, request: Request, targets: list[Target], flow: Flow, now: float) -> None:
        hops = request.max_forwards
        if hops == 0:
            self._answer(request, flow, 483, now)
            return
        request.headers.set("Max-Forwards", str(70 if hops is None else hops - 1))
        if request.method == "ACK":
            # RFC 3261 16.11: the ACK of a 2xx is passed on without a transaction.
            for target in targets:
                self._send(target.flow, self.outgoing(request, target, self.new_branch(), flow).encode())
            return
        if request.method == "CANCEL":
            self._answer(request, flow, 481, now)
            return
        if request.to.tag is None and request.method in _RECORDED:
            self._calls.pop(request.call_id, None)  # the latest last
            self._calls[request.call_id] = None
            if len(self._calls) > MAX_CALLS:
                del self._calls[next(iter(self._calls))]
        server = self.transactions.serve(response_flow(request, flow), request, now)
        fork = self._forks[server] = Fork(self, server)
        if request.method == "INVITE":
            server.on_ack = lambda ack, then: self._pass_ack(ack, flow, then)
            server.send(100, response_to(request, 100).encode(), now)
        fork.start(targets, now)

    def _pass_ack(self, ack: Request, flow: Flow, now: float) -> None:
        """Forward the ACK of a 2xx from a peer that gave it the branch of its INVITE."""
        stamp_via(ack, flow)
        self._take_own_route(ack, flow)
        if ack.routes or not self._for_us(ack.uri, flow, now):
            self._forward_to(ack, ack.routes[0].uri if ack.routes else ack.uri, flow, now)

    # --- what a fork asks (fork.Router) ------------------------------------------------------------------------------

    def outgoing(self, request: Request, target: Target, branch: str, source: Flow) -> Request:
        """Return the copy for one target: its Request-URI, our Record-Route and Via (RFC 3261 16.6)."""
        copy = request.copy()
        copy.uri = replace(target.uri, headers=())
        copy.headers.remove("Proxy-Authorization")
        local = target.flow.local
        host = f"[{local[0]}]" if ":" in local[0] else local[0]
        if request.method in _RECORDED:
            for ours in self._routes_back(host, source.transport, target.flow.transport):
                copy.headers.insert_first("Record-Route", f"<{ours}>")
        via = Via(target.flow.transport.upper(), host, local[1], (("branch", branch), ("rport", None)))
        copy.headers.insert_first("Via", str(via))
        return copy

    def _routes_back(self, host: str, source: TransportName, target: TransportName) -> list[Uri]:
        """Return how requests of the call find us again: one way, or one for each side if they share none (RFC 5658)."""
        if source == target or {source, target} == {"udp", "tcp"}:
            return [self._way_back(host, source if source == target else "udp")]
        return [self._way_back(host, source), self._way_back(host, target)]

    def _way_back(self, host: str, transport: TransportName) -> Uri:
        named = {} if transport == "udp" else {"transport": "ws" if transport == "wss" else transport}
        return Uri.sip(None, host, self._ports.get(transport, self.address[1]), lr=None, **named)

    def _local(self, flow: Flow) -> Address:
        """Return our address for UDP and TCP towards the peer of any flow."""
        return flow.local if flow.transport in ("udp", "tcp") else (flow.local[0], self.address[1])

    def new_branch(self) -> str:
        """Return a fresh branch parameter."""
        return OUR_BRANCH + self._ids.token(16)

    def new_tag(self) -> str:
        """Return a fresh To tag."""
        return self._ids.token(8)

    # --- answers -----------------------------------------------------------------------------------------------------

    def _answer(self, request: Request, flow: Flow, status: int, now: float, reason: str = "",
                headers: Iterable[tuple[str, str]] = ()) -> None:
        if request.method == "ACK":
            return  # RFC 3261 17: nothing answers an ACK
        server = self.transactions.serve(response_flow(request, flow), request, now)
        server.send(status, response_to(request, status, reason, self.new_tag(), headers).encode(), now)

    def _send(self, flow: Flow, data: bytes) -> None:
        self._out.append(Transmit(flow, data))

    def _note(self, texts: Iterable[str]) -> None:
        self._out.extend(Note(text) for text in texts)

    def _tidy(self) -> None:
        """Forget the forks whose server transaction is over."""
        if len(self._forks) > self._tidy_above:
            alive = self.transactions.servers
            self._forks = {server: fork for server, fork in self._forks.items() if alive.get(server.key) is server}
            self._tidy_above = max(64, 2 * len(self._forks))


def stamp_via(request: Request, flow: Flow) -> None:
    """Note in the top Via where the request came from (RFC 3261 18.2.1, RFC 3581 4)."""
    via = request.via
    host, port = flow.remote
    if via.param("rport") is not None:
        via = via.with_param("received", host).with_param("rport", str(port))
    elif via.host.strip("[]").lower() != host.lower():
        via = via.with_param("received", host)
    else:
        return
    rest = request.headers.values("Via")[1:]
    request.headers.remove("Via")
    for value in (*reversed(rest), str(via)):
        request.headers.insert_first("Via", value)


def response_flow(request: Request, flow: Flow) -> Flow:
    """Return where responses to a (stamped) request go (RFC 3261 18.2.2)."""
    if flow.transport != "udp" or request.via.rport is not None:
        return flow
    return structs.replace(flow, remote=(flow.remote[0], request.via.port or 5060))
