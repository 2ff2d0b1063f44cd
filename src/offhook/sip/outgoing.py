"""One request on its way out: next hop, flow, transaction, the next flow after a failure, and answers to challenges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from offhook.sip.auth import CHALLENGE_LIMIT, read_challenges
from offhook.sip.events import Body, Flow, HeaderList, Identity, Resolved
from offhook.sip.headers import Headers
from offhook.sip.message import Request, Response
from offhook.sip.stack import Hop, Items, Stack, contact_uri, host_port
from offhook.sip.timers import TIMEOUT
from offhook.sip.transactions import MAGIC_COOKIE, ClientTransaction, Input
from offhook.sip.uri import Uri

UDP_LIMIT: Final = 1300
"""Octets: RFC 3261 18.1.1, a request within 200 bytes of a 1500 byte path MTU goes over TCP."""

OnAnswer: TypeAlias = Callable[["Outgoing", int, str, Response | None, float], None]
"""Called with (outgoing, status, reason, response, now); response is None for a status made here (408, 503)."""


class Outgoing:
    """A request that keeps trying until it has an answer. ACK (to a 2xx) has no answer: it is sent, and sent again on demand.

    `headers` holds From, To, Call-ID, Route and whatever else is fixed; Via, CSeq, Contact and credentials are made for
    each attempt, because they depend on the flow and on how often we were challenged.
    """

    __slots__ = (
        "_answered", "_challenges", "_flows", "_payload", "_resolved", "_tcp_asked", "body", "branch", "client",
        "contact_user", "cseq", "flow", "headers", "hop", "identity", "method", "next_cseq", "on_answer", "on_sent", "over",
        "request", "stack", "uri",
    )

    def __init__(self, stack: Stack, method: str, uri: Uri, headers: Items, *, hop: Hop, next_cseq: Callable[[], int],
                 on_answer: OnAnswer | None = None, identity: Identity | None = None, contact_user: str | None = None,
                 body: Body | None = None, flow: Flow | None = None,
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
        self.body = body
        self.flow: Flow | None = None
        self.request: Request | None = None
        self.client: ClientTransaction | None = None
        self.cseq = 0
        self.branch = ""
        self.over = False
        self._flows: list[Flow] = [flow] if flow is not None else []
        self._resolved = False
        self._tcp_asked = False
        self._answered: set[tuple[str, bool]] = set()
        self._challenges = 0
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

    @property
    def sent(self) -> bool:
        """Whether it has left at least once."""
        return self.request is not None

    def resend(self) -> None:
        """Send an ACK once more."""
        if self.flow is not None and self._payload:
            self.stack.transmit(self.flow, self._payload)

    def cancel(self, headers: HeaderList, now: float) -> None:
        """Send CANCEL for the INVITE in progress (RFC 3261 9.1: same Request-URI, Via branch, CSeq number and Route)."""
        request, flow = self.request, self.flow
        if request is None or flow is None or self.client is None:
            return
        source = request.headers
        items: Items = [("Via", source.get_all("Via")[0]), ("Max-Forwards", "70")]
        items += [("Route", value) for value in source.get_all("Route")]
        items += [(name, source.get(name) or "") for name in ("From", "To", "Call-ID")]
        items += [("CSeq", f"{self.cseq} CANCEL"), *headers]
        cancel = Request("CANCEL", request.uri, Headers.from_wire(items), b"")
        self.stack.transactions.request(flow, cancel, cancel.encode(), self.branch, _ignore_response, _ignore_failure, now)
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
            self.stack.resolve(self.hop, self._on_resolved)
        else:
            self._finish(503, why or "Service Unavailable", None, now)

    def _on_resolved(self, answer: Resolved, now: float) -> None:
        self._flows = [*answer.flows, *self._flows]
        self._try_next(answer.reason or "no address", now)

    def _send(self, flow: Flow, now: float) -> None:
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
        if first and self.on_sent is not None:
            self.on_sent(self, now)

    def _build(self, flow: Flow) -> Request:
        self.branch = MAGIC_COOKIE + self.stack.ids.token(16)
        via = f"SIP/2.0/{flow.transport.upper()} {host_port(flow.local)};branch={self.branch};rport"
        items: Items = [("Via", via), ("Max-Forwards", "70"), *self.headers, ("CSeq", f"{self.cseq} {self.method}")]
        if self.contact_user is not None:
            items.append(("Contact", f"<{contact_uri(self.contact_user, flow)}>"))
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
        if response.status in (401, 407) and not self.over and self._answer_challenge(response, now):
            return
        if response.status >= 300:
            self._finish(response.status, response.reason, response, now)
        elif self.on_answer is not None:
            # 2xx too: copies and forks of a 2xx to INVITE go on arriving
            self.on_answer(self, response.status, response.reason, response, now)

    def _on_failure(self, status: int, reason: str, now: float) -> None:
        if status == 503:
            self._try_next("Transport Error", now)
        else:
            self._finish(status, reason, None, now)

    def _finish(self, status: int, reason: str, response: Response | None, now: float) -> None:
        if self.over:
            return
        self.over = True
        if self.on_answer is not None:
            self.on_answer(self, status, reason, response, now)

    def _answer_challenge(self, response: Response, now: float) -> bool:
        credentials = self.stack.credentials(self.identity)
        if credentials is None or self._challenges >= CHALLENGE_LIMIT or self.flow is None:
            return False
        challenges = read_challenges(response.headers.get_all("WWW-Authenticate"),
                                     response.headers.get_all("Proxy-Authenticate"))
        for challenge in challenges:
            # RFC 3261 22.1: the same credentials are not tried again, unless only the nonce was stale
            if (challenge.realm, challenge.proxy) in self._answered and not challenge.stale:
                credentials.forget(self._place)
                return False
        if not challenges:
            return False
        for challenge in challenges:
            credentials.learn(self._place, challenge, self.stack.ids)
            self._answered.add((challenge.realm, challenge.proxy))
        self._challenges += 1
        self.cseq = self.next_cseq()
        self._flows.insert(0, self.flow)
        self._try_next("", now)
        return True


def _ignore_response(_response: Response, _now: float) -> None:
    pass


def _ignore_failure(_status: int, _reason: str, _now: float) -> None:
    pass
