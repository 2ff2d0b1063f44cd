"""Offers inside a session: re-INVITE both ways, UPDATE in, glare (RFC 3261 14, RFC 3264, RFC 3311)."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from offhook.errors import InvalidArgument, InvalidState
from offhook.sip import bodies, events
from offhook.sip.events import Body
from offhook.sip.message import Request, Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.stack import ALLOW, body_of
from offhook.sip.timers import TIMEOUT, Timer
from offhook.sip.transactions import ServerTransaction

if TYPE_CHECKING:
    from offhook.sip.session import Session

GLARE_LIMIT: Final = 5
"""Times a re-INVITE is repeated after 491 before the offer counts as failed."""
GLARE_WAIT_OWNER: Final = (2.1, 4.0)
"""Seconds: RFC 3261 14.1, for the side that chose the Call-ID."""
GLARE_WAIT_OTHER: Final = (0.0, 2.0)


class OfferState(Enum):
    """Whose offer is open."""

    NONE = auto()
    SENT = auto()  # our re-INVITE has no answer yet
    RECEIVED = auto()  # their re-INVITE waits for our answer
    UPDATE_RECEIVED = auto()  # their UPDATE waits for our answer
    WANTED = auto()  # their re-INVITE waits for our offer
    OFFERED = auto()  # our offer is in a 2xx, the answer comes in the ACK


_FOR_US_TO_ANSWER: Final = frozenset({OfferState.RECEIVED, OfferState.UPDATE_RECEIVED, OfferState.WANTED})


class Offers:
    """The offers of one session: one open at a time."""

    __slots__ = ("_glare", "_glare_count", "_server", "owner", "sent", "session", "state")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.state = OfferState.NONE
        self.owner = False  # whether we chose the Call-ID
        self.sent: Outgoing | None = None  # our latest re-INVITE
        self._server: ServerTransaction | None = None
        self._glare: Timer | None = None
        self._glare_count = 0

    # --- ours ---

    def reoffer(self, body: Body, now: float) -> None:
        """Send a re-INVITE; InvalidState while another offer is open."""
        if self.state is not OfferState.NONE or self._glare is not None or self.session.acceptance is not None:
            raise InvalidState("another offer is still open")
        self._glare_count = 0
        self._send(body, now)

    def _send(self, body: Body, now: float) -> None:
        self.state = OfferState.SENT

        def answered(out: Outgoing, status: int, reason: str, response: Response | None, then: float) -> None:
            self._answered(body, out, status, reason, response, then)
        self.session.request("INVITE", now, body=body, headers=(("Allow", ALLOW),), on_answer=answered, contact=True)

    def _answered(self, offer: Body, out: Outgoing, status: int, reason: str, response: Response | None, now: float) -> None:
        session = self.session
        if status < 200:
            return
        if status < 300 and response is not None:
            self._accepted(out, response, now)
            return
        if self.state is not OfferState.SENT:
            return
        self.state = OfferState.NONE
        if status == 491 and self._glare_count < GLARE_LIMIT:
            self._wait_after_glare(offer, now)
            return
        session.stack.emit(events.OfferFailed(session.id, status, reason))
        session.check_gone(status, reason, now)

    def _accepted(self, out: Outgoing, response: Response, now: float) -> None:
        session, dialog = self.session, self.session.dialog
        if dialog is None or session.acknowledge_again(response):
            return
        dialog.refresh(response)
        session.ack(dialog, out.cseq, None, now)
        if self.state is not OfferState.SENT:
            return
        self.state = OfferState.NONE
        body = body_of(response)
        if body is None:
            session.stack.emit(events.OfferFailed(session.id, 488, "The answer is missing"))
        else:
            session.stack.emit(events.OfferAnswered(session.id, body))

    def _wait_after_glare(self, offer: Body, now: float) -> None:
        self._glare_count += 1
        low, high = GLARE_WAIT_OWNER if self.owner else GLARE_WAIT_OTHER
        wait = round(self.session.stack.ids.uniform(low, high), 2)

        def again(then: float) -> None:
            self._glare = None
            if self.state is OfferState.NONE and self.session.acceptance is None:
                self._send(offer, then)
            else:
                self._wait_after_glare(offer, then)
        self._glare = self.session.stack.timers.start(now + wait, again)

    # --- theirs ---

    def receive_invite(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take a re-INVITE."""
        if not self._may_offer(request, server, now):
            return
        self._server = server
        server.on_cancel = self._cancelled
        body = body_of(request)
        if body is None:
            self.state = OfferState.WANTED
            self.session.stack.emit(events.OfferWanted(self.session.id))
        else:
            self.state = OfferState.RECEIVED
            self.session.stack.emit(events.OfferReceived(self.session.id, body))

    def receive_update(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take an UPDATE: without an offer it only refreshes the target."""
        if not self._may_offer(request, server, now):
            return
        body = body_of(request)
        if body is None:
            self.session.respond(server, 200, now, headers=self.session.contact(server))
            return
        self._server = server
        self.state = OfferState.UPDATE_RECEIVED
        self.session.stack.emit(events.OfferReceived(self.session.id, body))

    def _may_offer(self, request: Request, server: ServerTransaction, now: float) -> bool:
        """Refuse an offer that cannot be taken now; else take its Contact."""
        session = self.session
        if self.state in _FOR_US_TO_ANSWER:
            # RFC 3261 14.2: a second INVITE before the first is answered
            wait = str(round(session.stack.ids.uniform(0, 10)))
            session.respond(server, 500, now, headers=(("Retry-After", wait),))
            return False
        if self.state is not OfferState.NONE or session.acceptance is not None or not session.is_established:
            # RFC 3261 14.2: our own offer is under way (or the call not set up yet)
            session.respond(server, 491, now)
            return False
        refusal = bodies.refusal(request, bodies.SDP)
        if refusal is not None:
            session.respond(server, refusal[0], now, headers=refusal[1])
            return False
        if session.dialog is not None:
            session.dialog.refresh(request)
        return True

    def answer(self, body: Body, now: float) -> None:
        """Answer the open offer, or make the wanted one."""
        server = self._require_open()
        state = self.state
        self._server = None
        if state is OfferState.UPDATE_RECEIVED:
            self.state = OfferState.NONE
            self.session.respond(server, 200, now, headers=self.session.contact(server), body=body)
            return
        self.state = OfferState.OFFERED if state is OfferState.WANTED else OfferState.NONE
        self.session.accept_invite(server, "", (), body, self._acknowledged, now)

    def refuse(self, status: int, now: float) -> None:
        """Refuse the open offer."""
        if not 300 <= status < 700:
            raise InvalidArgument.field("status", "a final status from 300 to 699")
        server = self._require_open()
        self._server = None
        self.state = OfferState.NONE
        self.session.respond(server, status, now)

    def _require_open(self) -> ServerTransaction:
        if self._server is None or self.state not in _FOR_US_TO_ANSWER:
            raise InvalidState("no offer waits for an answer")
        return self._server

    def _acknowledged(self, answer: Body | None, _now: float) -> None:
        if self.state is not OfferState.OFFERED:
            return
        self.state = OfferState.NONE
        session = self.session
        if answer is None:
            session.stack.emit(events.OfferFailed(session.id, 488, "The answer is missing"))
        else:
            session.stack.emit(events.OfferAnswered(session.id, answer))

    def _cancelled(self, _request: Request, now: float) -> None:
        self.drop(now)

    # --- the end ---

    def drop(self, now: float) -> None:
        """Answer an open re-INVITE or UPDATE with 487; wait for the answer to ours no longer than a transaction lives."""
        sent = self.sent
        if sent is not None and self.state is OfferState.SENT:
            # RFC 3261 17.1.1.2 knows no timer behind a 100: a far end that is gone would leave the transaction for ever
            self.session.stack.timers.start(now + TIMEOUT, lambda _then: sent.abandon())
        if self._server is not None:
            self.session.respond(self._server, 487, now)
            self._server = None
            self.state = OfferState.NONE

    def stop(self) -> None:
        """No more retries."""
        if self._glare is not None:
            self._glare.stop()
            self._glare = None
