"""One forwarded request: its branches, the best answer, and who is cancelled (RFC 3261 16.6 to 16.10)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from offhook.sip.events import Flow
from offhook.sip.headers import Headers
from offhook.sip.message import Request, Response
from offhook.sip.responses import response_to
from offhook.sip.timers import TIMEOUT, Timer, TimerQueue
from offhook.sip.transactions import ClientTransaction, Input, ServerTransaction, Transactions
from offhook.sip.uri import Uri

TIMER_C: Final = 181.0
"""Seconds a phone may ring without a sign of life: RFC 3261 16.6 step 11 asks for more than three minutes."""

_URGENT: Final = (401, 407, 415, 420, 484)
"""RFC 3261 16.7 step 6: prefer answers that tell the caller how to succeed."""

_ELSEWHERE: Final = 'SIP;cause=200;text="Call completed elsewhere"'
"""RFC 3326: with this in the CANCEL, a phone that has stopped ringing has missed nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one branch goes."""

    uri: Uri
    flow: Flow


class Router(Protocol):
    """What a fork needs of the proxy around it."""

    transactions: Transactions
    timers: TimerQueue

    def outgoing(self, request: Request, target: Target, branch: str, source: Flow) -> Request:
        """Return the copy of `request` that goes to `target`, with our Via on top."""
        ...

    def new_branch(self) -> str:
        """Return a fresh branch parameter."""
        ...

    def new_tag(self) -> str:
        """Return a fresh To tag."""
        ...


@dataclass(slots=True)
class Branch:
    """One copy of the request on its way. `final` is its last word; `ringing`: it has given a provisional answer; `why` is
    the Reason of its CANCEL.
    """

    request: Request
    id: str
    flow: Flow
    client: ClientTransaction | None = None
    final: Response | None = None
    ringing: bool = False
    cancelling: bool = False
    cancelled: bool = False
    why: str = ""
    patience: Timer | None = None


class Fork:
    """A request and its branches. It lives as long as its transactions hold on to it."""

    def __init__(self, router: Router, server: ServerTransaction) -> None:
        self._router = router
        self._server = server
        self._request = server.request
        self._invite = server.request.method == "INVITE"
        self._branches: list[Branch] = []
        self._answered = False

    def start(self, targets: Iterable[Target], now: float) -> None:
        """Send the request to all targets at once."""
        for target in targets:
            branch = self._router.new_branch()
            copy = self._router.outgoing(self._request, target, branch, self._server.flow)
            self._branches.append(Branch(copy, branch, target.flow))
        # All branches exist before the first is sent: a transport error must not find a fork that looks finished.
        for each in self._branches:
            self._launch(each, now)

    def cancel(self, now: float) -> None:
        """The caller has hung up: cancel whatever is not final (RFC 3261 16.10)."""
        for branch in self._branches:
            self._cancel(branch, now)

    def _launch(self, branch: Branch, now: float) -> None:
        self._wait(branch, TIMER_C, now)
        branch.client = self._router.transactions.request(
            branch.flow, branch.request, branch.request.encode(), branch.id,
            lambda response, then: self._on_response(branch, response, then),
            lambda status, reason, then: self._on_failure(branch, status, then), now)

    # --- what branches say -------------------------------------------------------------------------------------------

    def _on_response(self, branch: Branch, response: Response, now: float) -> None:
        upstream = without_top_via(response)
        if response.status < 200:
            branch.ringing = True
            if branch.cancelling:
                self._send_cancel(branch, now)
            elif response.status > 100:
                # RFC 3261 16.7 step 2: timer C starts anew with every provisional answer but 100.
                self._wait(branch, TIMER_C, now)
                if not self._answered:
                    self._server.send(response.status, upstream.encode(), now)
            return
        branch.final = upstream
        self._calm(branch)
        if response.status < 300:
            self._pass_success(upstream, now)
        else:
            if response.status >= 600:
                self._cancel_others(branch, now)
            self._conclude(now)

    def _pass_success(self, response: Response, now: float) -> None:
        # RFC 3261 16.7 step 5: every 2xx to an INVITE goes through, also a second one.
        if self._invite or not self._answered:
            self._answered = True
            self._server.send(response.status, response.encode(), now)
        for each in self._branches:
            self._cancel(each, now, _ELSEWHERE)

    def _on_failure(self, branch: Branch, status: int, now: float) -> None:
        self._calm(branch)
        if branch.final is None:
            # RFC 3261 16.9: no answer counts as 408, a transport error as 503.
            branch.final = response_to(self._request, status, to_tag=self._router.new_tag())
        self._conclude(now)

    def _conclude(self, now: float) -> None:
        finals = [branch.final for branch in self._branches if branch.final is not None]
        if self._answered or len(finals) < len(self._branches):
            return
        self._answered = True
        best = choose_best(finals)
        if best.status == 408 and not self._invite:
            # RFC 4320 4.2: a 408 to a non-INVITE always comes too late; say nothing.
            self._router.transactions.forget(self._server)
            return
        if best.status == 503:
            # RFC 3261 16.7 step 6: 503 would mean that we are overloaded, not the one we asked.
            best = response_to(self._request, 500, to_tag=self._router.new_tag())
        self._server.send(best.status, best.encode(), now)

    # --- cancelling --------------------------------------------------------------------------------------------------

    def _cancel_others(self, branch: Branch, now: float) -> None:
        for each in self._branches:
            if each is not branch:
                self._cancel(each, now)

    def _cancel(self, branch: Branch, now: float, why: str = "") -> None:
        if not self._invite or branch.final is not None or branch.cancelling:
            return
        branch.cancelling, branch.why = True, why
        # RFC 3261 9.1: if there is no final answer 64*T1 after the CANCEL, there will be none.
        self._wait(branch, TIMEOUT, now)
        # RFC 3261 9.1: a CANCEL must not overtake its INVITE, so it waits for a provisional answer.
        if branch.ringing:
            self._send_cancel(branch, now)

    def _send_cancel(self, branch: Branch, now: float) -> None:
        if branch.cancelled:
            return
        branch.cancelled = True
        cancel = make_cancel(branch.request, branch.why)
        self._router.transactions.request(branch.flow, cancel, cancel.encode(), branch.id, _ignore_response, _ignore_failure,
                                          now)

    def _wait(self, branch: Branch, seconds: float, now: float) -> None:
        self._calm(branch)
        if self._invite:
            branch.patience = self._router.timers.start(now + seconds, lambda then: self._on_patience(branch, then))

    @staticmethod
    def _calm(branch: Branch) -> None:
        if branch.patience is not None:
            branch.patience.stop()
            branch.patience = None

    def _on_patience(self, branch: Branch, now: float) -> None:
        if branch.final is not None:
            return
        if not branch.cancelling and branch.ringing:
            # RFC 3261 16.8: timer C of a branch that rings makes a CANCEL.
            self._cancel(branch, now)
            return
        branch.final = response_to(self._request, 487 if branch.cancelling else 408, to_tag=self._router.new_tag())
        if branch.client is not None:
            # RFC 3261 9.1: the transaction is over; behind a provisional answer it has no timer of its own
            branch.client.step(Input.ABANDON, now)
        self._conclude(now)


def _ignore_response(response: Response, now: float) -> None:
    """What becomes of a CANCEL shows in the INVITE's answer."""


def _ignore_failure(status: int, reason: str, now: float) -> None:
    """The INVITE's own timer takes over."""


def choose_best(finals: list[Response]) -> Response:
    """Return the answer that goes to the caller (RFC 3261 16.7 step 6), with all challenges (step 7)."""
    best = min(finals, key=_rank)
    if best.status in (401, 407):
        best = best.copy()
        name = "WWW-Authenticate" if best.status == 401 else "Proxy-Authenticate"
        for other in finals:
            if other.headers is not best.headers and other.status == best.status:
                present = best.headers.get_all(name)
                for value in other.headers.get_all(name):
                    if value not in present:
                        best.headers.add(name, value)
    return best


def _rank(response: Response) -> tuple[int, int, int]:
    status = response.status
    # A 6xx wins over all; then the lowest class; a 408 or 503 says least within its class.
    return 0 if status >= 600 else status // 100, 0 if status in _URGENT else 2 if status in (408, 503) else 1, status


def make_cancel(request: Request, why: str = "") -> Request:
    """Return the CANCEL for a request we sent (RFC 3261 9.1), with this Reason."""
    source = request.headers
    headers = Headers([("Via", source.get_all("Via")[0]), ("Max-Forwards", "70")])
    for name in ("From", "To", "Call-ID"):
        headers.add(name, source.get(name) or "")
    headers.add("CSeq", f"{request.cseq.number} CANCEL")
    for route in source.get_all("Route"):
        headers.add("Route", route)
    if why:
        headers.add("Reason", why)
    return Request("CANCEL", request.uri, headers)


def without_top_via(response: Response) -> Response:
    """Return the response as it goes on upstream (RFC 3261 16.7 step 3)."""
    copy = response.copy()
    rest = response.headers.values("Via")[1:]
    copy.headers.remove("Via")
    for value in reversed(rest):
        copy.headers.insert_first("Via", value)
    return copy
