"""Offers inside a session: re-INVITE and UPDATE both ways, PRACK in, glare (RFC 3261 14, RFC 3264, RFC 3311, RFC 3262)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, auto
from typing import TYPE_CHECKING, Final

from offhook.errors import InvalidArgument, InvalidState
from offhook.sip import bodies, events
from offhook.sip.dialog import Dialog, key_of
from offhook.sip.events import Body
from offhook.sip.message import Request, Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.part import Part
from offhook.sip.session_timer import is_too_small
from offhook.sip.stack import ALLOW
from offhook.sip.timers import TIMEOUT, Timer
from offhook.sip.transactions import ServerTransaction

if TYPE_CHECKING:
    from offhook.sip.session import Session

GLARE_LIMIT: Final = 5
"""Times a re-INVITE is repeated after 491 before the offer counts as failed."""
GLARE_WAIT_OWNER: Final[Sequence[float]] = (2.1, 4.0)
"""Seconds: RFC 3261 14.1, for the side that chose the Call-ID."""
GLARE_WAIT_OTHER: Final[Sequence[float]] = (0.0, 2.0)
PATIENCE: Final = 40.0
"""Seconds: a re-INVITE without a final answer is cancelled then. Nobody is asked about ours, so no answer will come; until it
is settled the call can neither be held nor resumed. Longer than a transaction without any answer lives."""
BUSY_WAIT_LONGEST: Final = 10
"""Seconds: the Retry-After of who has not answered yet (RFC 3261 14.2); a longer one is another matter."""


class OfferState(IntEnum):
    """Whose offer is open."""

    NONE = auto()
    SENT = auto()  # our re-INVITE or UPDATE has no answer yet
    RECEIVED = auto()  # their re-INVITE waits for our answer
    UPDATE_RECEIVED = auto()  # their UPDATE waits for our answer
    WANTED = auto()  # their re-INVITE waits for our offer
    OFFERED = auto()  # our offer is in a 2xx, the answer comes in the ACK


_FOR_US_TO_ANSWER: Final = frozenset({OfferState.RECEIVED, OfferState.UPDATE_RECEIVED, OfferState.WANTED})


class Offers(Part):
    """The offers of one session: one open at a time."""

    __slots__ = (
        "_agreed_in", "_by_update", "_glare", "_glare_count", "_patience", "_refresh", "_server", "owner", "renewed",
        "sent", "settled", "state",
    )  # fmt: skip

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.state = OfferState.NONE
        self.owner = False  # whether we chose the Call-ID
        self.settled = False  # the INVITE's own offer was answered before its final answer, and acknowledged
        self.renewed: set[str] = set()  # tags of forks with another one since: what their final answer repeats counts no more
        self._agreed_in: Dialog | None = None  # that early answer's dialog
        self._by_update = False  # whose far end takes UPDATE
        self.sent: Outgoing | None = None  # our latest re-INVITE
        self._server: ServerTransaction | None = None
        self._glare: Timer | None = None
        self._glare_count = 0
        self._patience: Timer | None = None
        self._refresh = False  # ours is for the session timer alone

    @property
    def is_open(self) -> bool:
        """Whether an offer of either side is open, or about to be."""
        return self.state is not OfferState.NONE or self._glare is not None or self.session.acceptance is not None

    def settle(self, dialog: Dialog, said: Request | Response) -> None:
        """Note that the INVITE's offer is answered in an early dialog; `said` is what the far end told of itself there."""
        self.settled = True
        self._agreed_in = dialog
        # RFC 3311 4: UPDATE goes only to who allows it.
        self._by_update = "UPDATE" in ",".join(said.headers.get_all("Allow")).upper()

    def unsettle(self, answered: Dialog | None = None) -> None:
        """The INVITE leaves once more, or was `answered` in another dialog: what was agreed before that is over."""
        if answered is None:
            self.renewed.clear()
        if answered is None or answered is not self._agreed_in:
            self.settled = self._by_update = False
            self._agreed_in = None

    def leave(self, dialog: Dialog) -> None:
        """An early dialog is over, and with it what was agreed there."""
        self.renewed.discard(dialog.remote_tag)
        if dialog is self._agreed_in:
            self.settled = self._by_update = False
            self._agreed_in = None

    @property
    def may_be_early(self) -> bool:
        """Whether an offer of ours is possible before the answer (RFC 3311 5.1): the first one is answered, reliably."""
        return self._agreed_in is not None and self._by_update

    # --- ours ---

    def reoffer(self, body: Body, now: float, *, refresh: bool = False) -> None:
        """Send a re-INVITE, before the answer an UPDATE; InvalidState while another offer is open or this one is too early."""
        if self.is_open:
            raise InvalidState("another offer is still open")
        if self.session.is_early and not self.may_be_early:
            raise InvalidState("before the answer an offer needs early media that is acknowledged, and a far end with UPDATE")
        self._glare_count = 0
        self._refresh = refresh
        self._send(body, now)

    def _send(self, body: Body, now: float) -> None:
        self.state = OfferState.SENT

        def answered(out: Outgoing, status: int, reason: str, response: Response | None, then: float) -> None:
            self._answered(body, out, status, reason, response, then)
        session, timer = self.session, self.session.timer
        headers = (("Allow", ALLOW), *session.supported())
        if session.is_early:
            session.request("UPDATE", now, body=body, headers=headers, on_answer=answered, dialog=self._agreed_in, contact=True)
        else:
            headers = (*headers, *(timer.asked() if timer is not None else ()))
            out = session.request("INVITE", now, body=body, headers=headers, on_answer=answered, contact=True)
            if out is not None:
                self._patience = session.stack.timers.start(now + PATIENCE, lambda then: out.cancel((), then))

    def _answered(self, offer: Body, out: Outgoing, status: int, reason: str, response: Response | None, now: float) -> None:
        session = self.session
        if status < 200:
            return
        self._stop_patience()
        if status < 300 and response is not None:
            self._accepted(out, response, now)
            session.offer_over(now)
            return
        if self.state is not OfferState.SENT:
            return
        self.state = OfferState.NONE
        if session.is_over:
            return
        if (wait := self._wait_for(status, response)) is not None and self._glare_count < GLARE_LIMIT:
            self._wait_after_glare(offer, wait, now)
            session.offer_over(now)
            return
        if status == 422 and response is not None and session.timer is not None and session.timer.lengthen(response):
            self._send(offer, now)
            return
        self._failed(status, reason)
        if not session.is_early:  # before the answer the INVITE decides about the call
            session.check_gone(status, reason, now)
        session.offer_over(now)

    def _wait_for(self, status: int, response: Response | None) -> float | None:
        """Return after how many seconds a refused offer is made again, None if it is not."""
        if status == 491:
            # RFC 3261 14.1
            low, high = GLARE_WAIT_OWNER if self.owner else GLARE_WAIT_OTHER
            return round(self.session.stack.ids.uniform(low, high), 2)
        asked = response.headers.get("Retry-After") if response is not None and status == 500 else None
        if asked is None:
            return None
        # RFC 3261 14.2, RFC 3311 5.2: an offer of theirs was not answered yet; they name up to ten seconds
        return float(asked) if asked.isascii() and asked.isdigit() and int(asked) <= BUSY_WAIT_LONGEST else None

    def _failed(self, status: int, reason: str) -> None:
        if not self._refresh:  # the session timer asks again
            self.session.stack.emit(events.OfferFailed(self.session.id, status, reason))

    def _accepted(self, out: Outgoing, response: Response, now: float) -> None:
        session, by_update = self.session, out.method == "UPDATE"
        dialog = self._agreed_in if by_update else session.dialog
        if dialog is None:
            if self.state is OfferState.SENT:
                self.state = OfferState.NONE
                self._failed(481, "Early dialog is over")  # another one has answered, say
            return
        if not by_update and session.acknowledge_again(response, now):
            return
        dialog.refresh(response)
        session.note_peer(response, out.flow, dialog)
        if not by_update:
            session.ack(dialog, out.cseq, None, now)
        if self.state is not OfferState.SENT or (not by_update and self.sent is not None and self.sent.cseq != out.cseq):
            return  # the late answer of an address that was given up, to an earlier offer than the one that is open
        self.state = OfferState.NONE
        if by_update:
            self.renewed.add(dialog.remote_tag)
        elif session.timer is not None:
            session.timer.agreed(response, now)
        body = bodies.sdp_of(response)
        if body is None:
            self._failed(488, "The answer is missing")
        else:
            session.stack.emit(events.OfferAnswered(session.id, body, dialog.remote_tag))

    def _wait_after_glare(self, offer: Body, wait: float, now: float) -> None:
        self._glare_count += 1

        def again(then: float) -> None:
            self._glare = None
            if self.state is OfferState.NONE and self.session.acceptance is None:
                self._send(offer, then)
            else:
                self._wait_after_glare(offer, max(wait, 1.0), then)
        self._glare = self.session.stack.timers.start(now + wait, again)

    # --- theirs ---

    def receive_invite(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take a re-INVITE."""
        if not self._may_offer(request, server, now):
            return
        self._server = server
        server.on_cancel = self._cancelled
        body = bodies.sdp_of(request)
        if body is None:
            self.state = OfferState.WANTED
            self.session.stack.emit(events.OfferWanted(self.session.id))
        else:
            self.state = OfferState.RECEIVED
            self.session.stack.emit(events.OfferReceived(self.session.id, body, request.from_.tag or ""))

    def receive_update(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take an UPDATE: without an offer it only refreshes the target and the session timer (RFC 3311 5.2)."""
        body = bodies.sdp_of(request)
        if body is None:
            self._refreshed(request, server, now)
            return
        if not self._may_offer(request, server, now):
            return
        self._server = server
        self.state = OfferState.UPDATE_RECEIVED
        self.session.stack.emit(events.OfferReceived(self.session.id, body, request.from_.tag or ""))

    def _refreshed(self, request: Request, server: ServerTransaction, now: float) -> None:
        session = self.session
        if self.state is OfferState.UPDATE_RECEIVED:
            self._refuse_for_now(server, now)
        elif not self._asks_too_little(request, server, now):
            session.dialogs[key_of(request)].refresh(request)
            session.respond(server, 200, now, headers=(*session.contact(server), *session.agree_on_timer(request, now)))

    def _asks_too_little(self, request: Request, server: ServerTransaction, now: float) -> bool:
        policy = self.session.stack.policy
        if "Session-Expires" not in request.headers or not is_too_small(request, policy.session_least):
            return False
        self.session.respond(server, 422, now, headers=(("Min-SE", str(policy.session_least)),))
        return True

    def _refuse_for_now(self, server: ServerTransaction, now: float) -> None:
        wait = str(round(self.session.stack.ids.uniform(0, 10)))
        self.session.respond(server, 500, now, headers=(("Retry-After", wait),))

    def _may_offer(self, request: Request, server: ServerTransaction, now: float) -> bool:
        """Refuse an offer that cannot be taken now; else take its Contact."""
        session = self.session
        session.implies_ack(request, now)
        early = self.settled and session.is_early and request.method != "INVITE"
        if self.state in _FOR_US_TO_ANSWER or (session.is_early and not self.owner and not early):
            # RFC 3261 14.2 and RFC 3311 5.2: a second offer before the first is answered, that of the INVITE included
            self._refuse_for_now(server, now)
            return False
        if self.state is not OfferState.NONE or session.acceptance is not None or not (session.is_established or early):
            # RFC 3261 14.2: our own offer is under way (or the call not set up yet)
            session.respond(server, 491, now)
            return False
        refusal = bodies.refusal(request, bodies.SDP)
        if refusal is not None:
            session.respond(server, refusal[0], now, headers=refusal[1])
            return False
        if self._asks_too_little(request, server, now):
            return False
        session.dialogs[key_of(request)].refresh(request)
        return True

    def answer(self, body: Body, now: float) -> None:
        """Answer the open offer, or make the wanted one."""
        server = self._require_open()
        state = self.state
        self._server = None
        if state is OfferState.UPDATE_RECEIVED:
            self.state = OfferState.NONE
            self.renewed.add(server.request.from_.tag or "")
            headers = (*self.session.contact(server), *self.session.agree_on_timer(server.request, now))
            self.session.respond(server, 200, now, headers=headers, body=body)
            return
        self.state = OfferState.OFFERED if state is OfferState.WANTED else OfferState.NONE
        headers = self.session.agree_on_timer(server.request, now)
        self.session.accept_invite(server, "", headers, body, self._acknowledged, now)

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
        self._stop_patience()
        if self._glare is not None:
            self._glare.stop()
            self._glare = None

    def _stop_patience(self) -> None:
        if self._patience is not None:
            self._patience.stop()
            self._patience = None
