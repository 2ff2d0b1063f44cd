"""The callee's side of a session: ringing, accepting, refusing, being cancelled (RFC 3261 9.2, 13.3)."""

from __future__ import annotations

from typing import Final

from offhook.errors import InvalidArgument
from offhook.sip import events
from offhook.sip.bodies import sdp_of
from offhook.sip.dialog import Dialog
from offhook.sip.events import Body, Flow, HeaderList, Identity, SessionId
from offhook.sip.message import Request
from offhook.sip.offers import OfferState
from offhook.sip.reliable import Provisional, Reliable, asks_reliable
from offhook.sip.session import Session, Sessions, SessionState
from offhook.sip.stack import ALLOW, header_list
from offhook.sip.timers import Timer
from offhook.sip.transactions import ServerTransaction

PROGRESS_REPEAT: Final = 60.0
"""Seconds: RFC 3261 13.3.1.1, a provisional is repeated each minute so that proxies on the way do not give up."""


class Answering(Session):
    """A session the far end started."""

    def __init__(self, sessions: Sessions, request: Request, server: ServerTransaction, flow: Flow,
                 identity: Identity | None, replaces: SessionId = "") -> None:
        user = identity.contact_user if identity is not None else request.uri.user_decoded
        super().__init__(sessions, sessions.stack.ids.token(16), identity, user, SessionState.INCOMING)
        self.request_in = request
        self.server = server
        self.tag = self.stack.tag()
        self._repeat: Timer | None = None
        self._reliable: Reliable | None = None
        self._deferred: tuple[Body, HeaderList] | None = None
        self.dialog = Dialog.of_request(request, self.tag, flow)
        self.register(self.dialog)
        server.on_cancel = self._cancelled
        offer = sdp_of(request)
        self._asserted = self.asserted_by(request, flow)
        self.stack.emit(events.SessionIncoming(
            self.id, identity.id if identity is not None else None, request.from_, request.to, request.uri, request.call_id,
            offer, header_list(request), flow, replaces, self._asserted,
            offer is None and self._goes_reliably(None)))

    def progress(self, status: int, body: Body | None, headers: HeaderList, now: float) -> None:
        """Send a provisional answer, and again each minute."""
        if not 101 <= status < 200:
            raise InvalidArgument.field("status", "a provisional status from 101 to 199")
        if self._goes_reliably(body):
            if self._reliable is None:
                self._reliable = Reliable(self)
            self._stop_repeat()
            self._reliable.send(Provisional(status, body, headers), now)
        else:
            self._send_progress(status, self.provisional(status, body, headers), now)

    def provisional(self, status: int, body: Body | None, headers: HeaderList) -> bytes:
        """Return a provisional answer."""
        items = (*self.contact(self.server), ("Allow", ALLOW), *headers)
        return self.stack.response(self.request_in, status, tag=self.tag, headers=items, body=body)

    def _goes_reliably(self, body: Body | None) -> bool:
        """Whether the caller is to acknowledge this answer: it requires that, or it is worth it (RFC 3262 3)."""
        policy, headers = self.stack.policy.reliable, self.request_in.headers
        if policy == "off" or not ("Require" in headers or "Supported" in headers):
            return False
        required = any(name.lower() == "100rel" for name in headers.values("Require"))
        return required or ((policy == "required" or body is not None) and asks_reliable(self.request_in))

    def receive_prack(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take a PRACK, with the answer to our offer or a new offer (RFC 3262 5)."""
        reliable = self._reliable
        found = reliable.acknowledge(request, self.request_in.cseq.number, now) if reliable is not None else None
        if reliable is None or found is None:
            self.respond(server, 481, now)
            return
        body = sdp_of(request)
        if body is not None and self.request_in.body:
            self._settled_by(found)
            self.offers.receive_update(request, server, now)
        else:
            self.respond(server, 200, now)
            if body is not None or self.request_in.body:  # else our offer is answered in the ACK
                self._settled_by(found)
            if body is not None and found.body is not None:
                self.stack.emit(events.OfferAnswered(self.id, body, request.from_.tag or ""))
        if self.state is SessionState.INCOMING:
            self._repeat = self.stack.timers.start(
                now + PROGRESS_REPEAT, lambda then: self.progress(found.status, None, found.headers, then))
            reliable.proceed(now)
        elif reliable.open is None:
            self._accept_deferred(now)

    def _settled_by(self, answer: Provisional) -> None:
        if answer.body is not None and self.dialog is not None:
            self.offers.settle(self.dialog, self.request_in)

    def never_acknowledged(self, now: float) -> None:
        """No PRACK has come: the call is over."""
        self._deferred = None
        self._finish(504, "", (), now)
        self.close("network", 504, "No PRACK")
        self.release()

    def _send_progress(self, status: int, payload: bytes, now: float) -> None:
        self._stop_repeat()
        self.server.send(status, payload, now)
        self._repeat = self.stack.timers.start(now + PROGRESS_REPEAT, lambda then: self._send_progress(status, payload, then))

    def accept(self, body: Body, headers: HeaderList, now: float) -> None:
        """Answer with 200."""
        self._stop_repeat()
        self.state = SessionState.ACCEPTED
        reliable = self._reliable
        open_answer = reliable.open if reliable is not None else None
        if (open_answer is not None and open_answer.body is not None) or self.offers.state is OfferState.SENT:
            # RFC 3262 3: no 2xx before the PRACK for an answer with a session description; nor while an UPDATE has no answer
            self._deferred = body, headers
        else:
            self._accept(body, headers, now)

    def offer_over(self, now: float) -> None:
        """Say the 200 that waited for an UPDATE of ours."""
        if self._reliable is None or self._reliable.open is None:
            self._accept_deferred(now)

    def _accept_deferred(self, now: float) -> None:
        if self._deferred is not None:
            (body, headers), self._deferred = self._deferred, None
            self._accept(body, headers, now)

    def _accept(self, body: Body, headers: HeaderList, now: float) -> None:
        if self._reliable is not None:
            self._reliable.stop()
        headers = (*headers, *self.agree_on_timer(self.request_in, now))
        said = self.offers.settled and not self.request_in.body  # our offer, and it is answered
        self.accept_invite(self.server, self.tag, headers, None if said else body, self._acknowledged, now)

    def refuse(self, status: int, reason: str, headers: HeaderList, now: float) -> None:
        """Refuse with a final status."""
        if not 300 <= status < 700:
            raise InvalidArgument.field("status", "a final status from 300 to 699")
        self._finish(status, reason, headers, now)
        self.close("local", status, reason)
        self.release()

    def end(self, headers: HeaderList, now: float) -> None:
        """Decline while it rings, BYE later."""
        if self.state is SessionState.INCOMING:
            self.refuse(603, "Decline", headers, now)
        elif self._deferred is not None:
            self._deferred = None
            self._finish(480, "", headers, now)  # accepted, but not yet said so
            self.close("local", 0, "")
            self.release()
        else:
            super().end(headers, now)

    def drop_pending(self, now: float) -> None:
        """The caller said BYE before we answered (RFC 3261 15.1.2): the INVITE gets 487."""
        if self.state is SessionState.INCOMING or self._deferred is not None:
            self._deferred = None
            self._finish(487, "", (), now)
        super().drop_pending(now)

    def _acknowledged(self, body: Body | None, now: float) -> None:
        self.state = SessionState.ESTABLISHED
        self.stack.emit(events.SessionConfirmed(self.id, body if not self.request_in.body else None))
        self.transfers.confirmed(now)

    def _cancelled(self, cancel: Request, now: float) -> None:
        if self.state is not SessionState.INCOMING and self._deferred is None:
            return
        self._deferred = None
        self._finish(487, "", (), now)
        self.close("remote", 487, "Request Terminated", header_list(cancel))
        self.release()

    def _finish(self, status: int, reason: str, headers: HeaderList, now: float) -> None:
        self._stop_repeat()
        if self._reliable is not None:
            self._reliable.stop()
        self.stack.respond(self.server, status, now, reason=reason, tag=self.tag, headers=headers)

    def _stop_repeat(self) -> None:
        if self._repeat is not None:
            self._repeat.stop()
            self._repeat = None
