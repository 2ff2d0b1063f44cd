"""One request on its way out: next hop, flow, transaction, the next flow after a failure, and answers to challenges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from offhook.sip.auth import CHALLENGE_LIMIT, REALMS_KEPT, foreign_ways, read_challenges
from offhook.sip.events import Body, ConnectionTerms, Flow, HeaderList, Identity, Resolved
from offhook.sip.headers import Headers
from offhook.sip.message import Request, Response
from offhook.sip.stack import Hop, Items, Stack, contact_uri, host_port, is_number
from offhook.sip.timers import TIMEOUT
from offhook.sip.transactions import MAGIC_COOKIE, ClientTransaction, Input, State, same_path
from offhook.sip.uri import Uri

UDP_LIMIT: Final = 1300
"""Octets: RFC 3261 18.1.1, a request within 200 bytes of a 1500 byte path MTU goes over TCP."""

UNHEARD_ACKS: Final = 3
"""Copies of a 2xx after which our ACKs to its Contact are taken for unheard: they came for 3.5 s then (RFC 3261 13.3.1.4)."""

NOT_HERE: Final = frozenset({404, 481})
"""What a proxy that is not on the way of a call says to a request inside it."""

FAILOVER_AFTER: Final = 6.0
"""Seconds of silence after which the next address of the same name is asked: four copies of the request got no answer."""

INVITE_FAILOVER_AFTER: Final = 4.0
"""Seconds: the same for an INVITE, for which somebody waits; four copies have left after 3.5 s, and who got one says 100 within
0.2 s. The call goes to the address that answers first; where it rings later it is cancelled, an answer gets ACK and BYE."""

NO_OTHER_ADDRESS: Final = "it has no other address"
"""The reason where all addresses are to be avoided."""

ADDRESS_CHANGED: Final = "our address has changed before it was answered"
"""The reason where an INVITE was heard at an address that is not ours any more: its answer would go there."""

OnAnswer: TypeAlias = Callable[["Outgoing", int, str, Response | None, float], None]
"""Called with (outgoing, status, reason, response, now); response is None for a status made here (408, 503)."""


class Outgoing:
    """A request that keeps trying until it has an answer. ACK (to a 2xx) has no answer: it is sent, and sent again on demand.

    `headers` holds From, To, Call-ID, Route and whatever else is fixed; Via, CSeq, Contact and credentials are made for
    each attempt, because they depend on the flow and on how often we were challenged. `late` marks the twin that hears what an
    address still says that was given up for another one.
    """

    __slots__ = (
        "_answered",
        "_broken",
        "_challenges",
        "_copies",
        "_elsewhere",
        "_flows",
        "_heard",
        "_left",
        "_payload",
        "_reconnected",
        "_resolved",
        "_tcp_asked",
        "_turned_away",
        "avoids",
        "began",
        "body",
        "branch",
        "cancelled",
        "client",
        "contact_params",
        "contact_user",
        "cseq",
        "flow",
        "former_contact",
        "headers",
        "held",
        "hop",
        "identity",
        "late",
        "method",
        "next_cseq",
        "on_answer",
        "on_sent",
        "over",
        "request",
        "stack",
        "uri",
    )

    def __init__(self, stack: Stack, method: str, uri: Uri, headers: Items, *, hop: Hop, next_cseq: Callable[[], int],
                 on_answer: OnAnswer | None = None, identity: Identity | None = None, contact_user: str | None = None,
                 body: Body | None = None, flow: Flow | None = None, contact_params: str = "",
                 on_sent: Callable[[Outgoing, float], None] | None = None) -> None:
        self.stack = stack
        self.method = method
        self.uri = uri
        self.headers = headers
        self.hop = hop
        self.next_cseq = next_cseq
        self.on_answer = on_answer
        self.on_sent = on_sent
        self.identity = identity
        self.contact_user = contact_user
        self.contact_params = contact_params
        self.avoids: Callable[[Flow], bool] | None = None  # addresses that will not do
        self.former_contact = ""  # of a REGISTER: the binding to take away if ours is another one now
        self.began: Flow | None = None  # over which the dialog was set up that this is in
        self.held: Flow | None = None  # one that stands, for when nobody says where to go, or nobody takes a connection there
        self.body = body
        self.flow: Flow | None = None
        self.request: Request | None = None
        self.client: ClientTransaction | None = None
        self.cseq = 0
        self.branch = ""
        self.over = False
        self.late = False
        self.cancelled = False
        self._flows: list[Flow] = [flow] if flow is not None else []
        self._resolved = False
        self._tcp_asked = False
        self._reconnected = False
        self._broken: Flow | None = None  # the connection that broke, until it is said again on a new one
        self._answered: set[tuple[str, bool]] = set()
        self._challenges = 0
        self._heard = False  # a provisional came
        self._copies = 0  # of the 2xx that this acknowledges
        self._left: list[Outgoing] = []  # twins, each at an address that was given up
        self._elsewhere: tuple[Flow, bytes] | None = None  # where else this ACK goes, and how it reads there
        self._turned_away: Response | None = None  # what was said at the last resort, when the call was unknown there
        self._payload = b""

    def start(self, now: float) -> None:
        """Send it, or first ask where the next hop is."""
        self.cseq = self.next_cseq()
        self._try_next("", now)

    def abandon(self) -> None:
        """Forget it: no retransmission, no answer."""
        self.over = True
        if self.client is not None:
            self.client.step(Input.ABANDON, 0.0)
        self._forget_left(0.0)

    @property
    def sent(self) -> bool:
        """Whether it has left at least once."""
        return self.request is not None

    def resend(self, now: float) -> None:
        """Send an ACK once more: on a new connection where its own is gone, to where the call began where it goes unheard."""
        self._copies += 1
        if self.flow is not None and self._payload:
            self.stack.transmit(self.flow, self._payload)
            if self._elsewhere is not None:
                self.stack.transmit(*self._elsewhere)
            elif self._copies >= UNHEARD_ACKS and self._leads_elsewhere:
                self._send_at_last_resort(now)
        elif self.request is not None:
            self._try_next("", now)

    def _send_at_last_resort(self, now: float) -> None:
        """Say it there as well, and each time from now on; what follows in this dialog goes there first."""
        assert self.held is not None, "there is one"
        assert self.flow is not None, "it has gone elsewhere"
        self._elsewhere = self.flow, self._payload
        self._send(self.held, now)
        if self.on_sent is not None:
            self.on_sent(self, now)

    def forget_flow(self) -> None:
        """The flow is gone: ask anew where the next hop is when this is sent again."""
        self.flow, self._flows, self._resolved, self._elsewhere = None, [], False, None

    def cancel(self, headers: HeaderList, now: float) -> None:
        """Send CANCEL for the INVITE in progress (RFC 3261 9.1: same Request-URI, Via branch, CSeq number and Route)."""
        request, flow = self.request, self.flow
        if request is None or flow is None or self.client is None or self.cancelled:
            return
        self.cancelled = True
        source = request.headers
        items: Items = [("Via", source.get_all("Via")[0]), ("Max-Forwards", "70")]
        items += [("Route", value) for value in source.get_all("Route")]
        items += [(name, source.get(name) or "") for name in ("From", "To", "Call-ID")]
        items += [("CSeq", f"{self.cseq} CANCEL"), *headers]
        cancel = Request("CANCEL", request.uri, Headers.from_wire(items), b"")
        branch, payload, start = self.branch, cancel.encode(), self.stack.transactions.request

        def elsewhere(answer: Resolved, then: float) -> None:
            for other in answer.flows[:1]:
                start(other, cancel, payload, branch, _ignore_response, _ignore_failure, then)

        def failed(status: int, _reason: str, _now: float) -> None:
            if status == 503:  # our address went with the connection, say; who has the INVITE knows it by its branch
                self.stack.resolve(self.hop, elsewhere, self._terms)
        start(flow, cancel, payload, branch, _ignore_response, failed, now)
        # RFC 3261 9.1: without a final answer within 64*T1 the INVITE transaction is considered over
        client = self.client
        self.stack.timers.start(now + TIMEOUT, lambda then: self._cancel_expired(client, then))

    def _cancel_expired(self, client: ClientTransaction, now: float) -> None:
        if client.step(Input.ABANDON, now):
            self._finish(487, "Request Terminated", None, now)

    def _try_next(self, why: str, now: float) -> None:
        if self.over:
            return
        if self._flows:
            self._send(self._flows.pop(0), now)
        elif not self._resolved:
            self._resolved = True
            self.stack.resolve(self.hop, self._on_resolved, self._terms)
        else:
            self._finish(503, why or "Service Unavailable", None, now)

    @property
    def _terms(self) -> ConnectionTerms | None:
        return self.identity.terms if self.identity is not None else None

    def _on_resolved(self, answer: Resolved, now: float) -> None:
        if self.identity is not None:
            self.stack.door.learn(self.identity, self.hop, answer.flows)
        flows = self._usable(answer.flows)
        # What waits is the UDP address behind its TCP one, which need not be open: where it failed lately it is asked last.
        flows = self.stack.trusted_first(self._with_last_resort((*flows, *self._flows)), now)
        if self._broken is not None:
            there = self._broken.remote
            flows = tuple(sorted(flows, key=lambda flow: flow.remote != there))
        self._flows = list(flows)
        self._try_next(answer.reason or (NO_OTHER_ADDRESS if answer.flows and not flows else "no address"), now)

    def _with_last_resort(self, flows: tuple[Flow, ...]) -> tuple[Flow, ...]:
        """Put the flow behind them that leads to the far end, whatever it calls itself."""
        held = self.held
        return flows if held is None or any(same_path(held, flow) for flow in flows) else (*flows, held)

    def _usable(self, flows: tuple[Flow, ...]) -> tuple[Flow, ...]:
        avoids = self.avoids
        return flows if avoids is None else tuple(flow for flow in flows if not avoids(flow))

    def _send(self, flow: Flow, now: float) -> None:
        if self._rings_at_former(flow):
            self.flow = flow
            self.cancel((), now)
            self._finish(503, ADDRESS_CHANGED, None, now)
            return
        request = self._build(flow)
        payload = request.encode()
        if flow.transport == "udp" and len(payload) > UDP_LIMIT and not self._tcp_asked and self.method != "ACK":
            # RFC 3261 18.1.1: too long for UDP goes over TCP; should that fail, UDP stays behind it in the list
            self._tcp_asked = True
            self._flows.insert(0, flow)
            self.stack.resolve(Hop(self.hop.host, self.hop.port, "tcp"), self._on_resolved)
            return
        first = self.request is None
        self.flow, self.request, self._payload = flow, request, payload
        if self.method == "ACK":
            self.stack.transmit(flow, payload)
        else:
            self.client = self.stack.transactions.request(flow, request, payload, self.branch, self._on_response,
                                                          self._on_failure, now)
            if self._may_go_elsewhere:
                self._limit_silence(self.client, now)
        if first and self.on_sent is not None:
            self.on_sent(self, now)

    def _rings_at_former(self, flow: Flow) -> bool:
        """Whether an INVITE that is in progress would be said again from another address: there it is a second one (482)."""
        broken = self._broken
        return (self.method == "INVITE" and broken is not None and self._heard and flow.remote == broken.remote
                and flow.local[0] != broken.local[0])

    def _build(self, flow: Flow) -> Request:
        broken, self._broken = self._broken, None
        if broken is None or (flow.transport, flow.local, flow.remote) != (broken.transport, broken.local, broken.remote):
            self.branch = MAGIC_COOKIE + self.stack.ids.token(16)
        # Else it is a copy of what the far end may have had: under another branch it would be another request (8.2.2.2).
        via = f"SIP/2.0/{flow.transport.upper()} {host_port(flow.local)};branch={self.branch};rport"
        items: Items = [("Via", via), ("Max-Forwards", "70"), *self.headers, ("CSeq", f"{self.cseq} {self.method}")]
        if self.contact_user is not None:
            uri = contact_uri(self.contact_user, self.stack.seen(self.identity, flow), secure=self.uri.scheme == "sips")
            if self.identity is not None and self.identity.id in self.stack.outbound and not self.contact_params:
                uri += ";ob"  # RFC 5626 4.3: requests inside the dialog come over this flow too
            items.append(("Contact", f"<{uri}>{self.contact_params}"))
            if self.former_contact not in ("", uri):
                items.append(("Contact", f"<{self.former_contact}>;expires=0"))
        content = self.body.data if self.body is not None else b""
        credentials = self.stack.credentials(self.identity)
        if credentials is not None and credentials.known:
            items += credentials.headers(self._place, self.method, str(self.uri), content)
        agent = self.identity.user_agent if self.identity is not None else ""
        items.append(("User-Agent", agent or self.stack.user_agent))
        if self.body is not None:
            items.append(("Content-Type", self.body.content_type))
        return Request(self.method, self.uri, Headers.from_wire(items), content)

    @property
    def _place(self) -> str:
        return self.hop.host.lower()

    def _on_response(self, response: Response, now: float) -> None:
        self._heard = response.status < 200
        if self.flow is not None:
            self.stack.learn(self.flow, response)
        if response.status in (401, 407) and not self.over and self._answer_challenge(response, now):
            return
        if response.status == 503 and self._flows and not self.over and self.flow is not None:
            # RFC 3263 4.3: this server has no time for us, the next one may have
            self.stack.suspect(self.flow, now)
            self._try_next(response.reason, now)
        elif not self.over and self._goes_back(response, now):
            pass
        elif response.status >= 300:
            self._finish(response.status, _reason(response), response, now)
        else:
            if response.status >= 200 and self.method != "INVITE":
                self._forget_left(now)
            if self.on_answer is not None:
                # 2xx too: copies and forks of a 2xx to INVITE go on arriving
                self.on_answer(self, response.status, response.reason, response, now)

    def _on_failure(self, status: int, reason: str, now: float) -> None:
        broken = self.client.broken if self.client is not None else None
        if broken is not None and broken.stood and not self._reconnected:
            # It was sent on a connection that the far end had closed, or the connection broke: a new one may well stand.
            self._reconnected, self._resolved = True, False
            self._broken, self._flows = self.flow, []
        elif self.flow is not None:
            self.stack.suspect(self.flow, now)
        if status == 503 or self._flows:
            # RFC 3263 4.3: a transport error, or a transaction that timed out: the next address
            self._try_next(reason, now)
        else:
            self._finish(status, reason, None, now)

    @property
    def _may_go_elsewhere(self) -> bool:
        """Whether another address may do: one is known, or the name we came here by may have more."""
        if self._flows or not (self._resolved or is_number(self.hop.host)):
            return True
        return self._leads_elsewhere or self._is_last_resort

    @property
    def _leads_elsewhere(self) -> bool:
        """Whether there is a last resort, and we are not there."""
        return self.held is not None and self.flow is not None and not same_path(self.held, self.flow)

    @property
    def _is_last_resort(self) -> bool:
        """Whether we are there, and not where Contact or Route lead."""
        held, flow, hop = self.held, self.flow, self.hop
        if held is None or flow is None or not same_path(held, flow):
            return False
        return is_number(hop.host) and not hop.reached_by(flow)

    def _goes_back(self, response: Response, now: float) -> bool:
        """Go back to an address that was given up, if that is what this refusal calls for."""
        if response.status == 482:
            return self._return(now)
        return response.status in NOT_HERE and self._turn_back(response, now)

    def _turn_back(self, response: Response, now: float) -> bool:
        """Leave the last resort where this call is unknown, a proxy that is not on its way, say; False if there is no other.

        What the address named in Contact did not answer may have been lost.
        """
        if not self._is_last_resort:
            return False
        self.held, self._turned_away = None, response
        if self._return(now):
            return True
        if self._resolved:
            return False
        self._try_next("", now)
        return True

    def _limit_silence(self, client: ClientTransaction, now: float) -> None:
        """Where there are further addresses, a silent one is not waited for as long as a transaction lives."""
        def silent(then: float) -> None:
            if client.state not in _UNHEARD or client is not self.client or self.over:
                return
            if self._flows:
                self._pass_over(client, then)
            else:
                self._resolved = True
                self.stack.resolve(self.hop, lambda answer, later: self._look_further(client, answer, later), self._terms)
        self.stack.timers.start(now + (INVITE_FAILOVER_AFTER if self.method == "INVITE" else FAILOVER_AFTER), silent)

    def _look_further(self, client: ClientTransaction, answer: Resolved, now: float) -> None:
        """Take the other addresses of a name of which we knew only the flow that is silent now."""
        flows = self._with_last_resort(self._usable(answer.flows))
        others = [each for each in flows if not same_path(each, client.flow)]
        if others and client.state in _UNHEARD and client is self.client and not self.over:
            self._flows = others
            self._pass_over(client, now)

    def _pass_over(self, client: ClientTransaction, now: float) -> None:
        """Ask the next address, this one being silent (RFC 3263 4.3)."""
        self.stack.suspect(client.flow, now)
        self._leave(client, now)
        self._try_next("", now)

    def _leave(self, client: ClientTransaction, now: float) -> None:
        """Stop asking an address, and have a twin hear what it may still say."""
        twin = self._twin()
        if self.method != "INVITE":
            twin.on_answer = None  # one answer is enough; a second call would have to be ended
        self._left.append(twin)
        client.on_response = lambda response, then: self._on_late_response(twin, client, response, then)
        client.on_failure = _ignore_failure
        client.step(Input.HUSH, now)

    def _twin(self) -> Outgoing:
        """Return one that stands where this one stands, to hear what comes too late."""
        twin = Outgoing(self.stack, self.method, self.uri, self.headers, hop=self.hop, next_cseq=self.next_cseq,
                        on_answer=self.on_answer, identity=self.identity, contact_user=self.contact_user, body=self.body,
                        contact_params=self.contact_params, on_sent=self.on_sent)
        twin.avoids, twin.former_contact, twin.held, twin.began = self.avoids, self.former_contact, self.held, self.began
        twin.flow, twin.request, twin.client = self.flow, self.request, self.client
        twin.cseq, twin.branch, twin.cancelled = self.cseq, self.branch, self.cancelled
        twin.over = twin.late = True
        twin._flows, twin._resolved, twin._left = self._flows, self._resolved, self._left
        twin._tcp_asked, twin._reconnected, twin._broken = self._tcp_asked, self._reconnected, self._broken
        twin._answered, twin._challenges, twin._payload = self._answered, self._challenges, self._payload
        twin._heard, twin._copies, twin._elsewhere = self._heard, self._copies, self._elsewhere
        twin._turned_away = self._turned_away
        return twin

    def _on_late_response(self, twin: Outgoing, client: ClientTransaction, response: Response, now: float) -> None:
        """Take the address that answers first. One that comes too late is the twin's: it does not ring at two places."""
        asked = self.client
        if self.over or asked is None or asked.state not in _UNHEARD or twin.cseq != self.cseq:
            twin._on_response(response, now)
            return
        self._leave(asked, now)
        self._take_back(twin, client)
        self._on_response(response, now)

    def _take_back(self, twin: Outgoing, client: ClientTransaction) -> None:
        """Go on where this twin was."""
        self._left.remove(twin)
        client.on_response, client.on_failure = self._on_response, self._on_failure
        self.client, self.flow, self.request, self.branch = client, twin.flow, twin.request, twin.branch
        self.cseq, self._payload = twin.cseq, twin._payload

    def _return(self, now: float) -> bool:
        """Go back to an address that was given up: who answers 482 has the request from there (RFC 3261 8.2.2.2).

        Two addresses of one server, or two proxies before one phone; the answer comes the way the first copy went.
        """
        waiting = [(twin, twin.client) for twin in self._left
                   if twin.client is not None and twin.client.state in _UNHEARD and twin.cseq == self.cseq]
        if not waiting:
            return False
        for _, client in waiting:
            client.step(Input.RETRY, now)  # an answer that was lost is said again
        self._take_back(*waiting[-1])
        self._flows = []
        return True

    def _forget_left(self, now: float) -> None:
        """What silent addresses may still say is of no interest any more."""
        for twin in self._left:
            if twin.client is not None:
                twin.client.step(Input.ABANDON, now)
        self._left = []

    def _finish(self, status: int, reason: str, response: Response | None, now: float) -> None:
        if self.over:
            return
        self.over = True
        if response is None and self._turned_away is not None:
            response = self._turned_away
            status, reason = response.status, response.reason
        if self.method != "INVITE":
            self._forget_left(now)
        if self.on_answer is not None:
            self.on_answer(self, status, reason, response, now)

    def _answer_challenge(self, response: Response, now: float) -> bool:
        credentials = self.stack.credentials(self.identity)
        if credentials is None or self.identity is None or self._challenges >= CHALLENGE_LIMIT or self.flow is None:
            return False
        if not self.stack.door.may_challenge(self.identity, self.hop, self.flow, self.began, now):
            return False
        challenges = read_challenges(*_challenges_of(response))[:REALMS_KEPT]
        for challenge in challenges:
            # RFC 3261 22.1: the same credentials are not tried again, unless only the nonce was stale
            if (challenge.realm, challenge.proxy) in self._answered and not challenge.stale:
                credentials.forget(self._place)
                return False
        if not challenges:
            return False
        for challenge in challenges:
            credentials.learn(self._place, challenge, self.stack.ids, self.method)
            self._answered.add((challenge.realm, challenge.proxy))
        self._challenges += 1
        self.cseq = self.next_cseq()
        self._flows.insert(0, self.flow)
        self._try_next("", now)
        return True


_UNHEARD: Final = frozenset({State.CALLING, State.TRYING})
"""States of a transaction that has had no answer at all."""


def _challenges_of(response: Response) -> tuple[list[str], list[str]]:
    return response.headers.get_all("WWW-Authenticate"), response.headers.get_all("Proxy-Authenticate")


def _reason(response: Response) -> str:
    """Return why a request was refused; "Unauthorized" says too little where a password is asked for in unknown ways alone."""
    if response.status in (401, 407) and not read_challenges(*_challenges_of(response)):
        ways = foreign_ways(*_challenges_of(response))
        if ways:
            return f"{response.reason}: asked for by {', '.join(ways)[:80]}, which this phone does not know"
    return response.reason


def _ignore_response(_response: Response, _now: float) -> None:
    pass


def _ignore_failure(_status: int, _reason: str, _now: float) -> None:
    pass
