"""The callee's side of a session: ringing, accepting, refusing, being cancelled (RFC 3261 9.2, 13.3)."""

from __future__ import annotations

from typing import Final

from offhook.errors import InvalidArgument
from offhook.sip import events
from offhook.sip.dialog import Dialog
from offhook.sip.events import Body, Flow, HeaderList, Identity, SessionId
from offhook.sip.message import Request
from offhook.sip.session import Session, Sessions, SessionState
from offhook.sip.stack import ALLOW, body_of, header_list
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
        self.dialog = Dialog.of_request(request, self.tag, flow)
        self.register(self.dialog)
        server.on_cancel = self._cancelled
        self.stack.emit(events.SessionIncoming(
            self.id, identity.id if identity is not None else None, request.from_, request.to, request.uri, request.call_id,
            body_of(request), header_list(request), flow, replaces))

    def progress(self, status: int, body: Body | None, headers: HeaderList, now: float) -> None:
        """Send a provisional answer, and again each minute."""
        if not 101 <= status < 200:
            raise InvalidArgument.field("status", "a provisional status from 101 to 199")
        items = (*self.contact(self.server), ("Allow", ALLOW), *headers)
        payload = self.stack.response(self.request_in, status, tag=self.tag, headers=items, body=body)
        self._send_progress(status, payload, now)

    def _send_progress(self, status: int, payload: bytes, now: float) -> None:
        self._stop_repeat()
        self.server.send(status, payload, now)
        self._repeat = self.stack.timers.start(now + PROGRESS_REPEAT, lambda then: self._send_progress(status, payload, then))

    def accept(self, body: Body, headers: HeaderList, now: float) -> None:
        """Answer with 200."""
        self._stop_repeat()
        self.state = SessionState.ACCEPTED
        self.accept_invite(self.server, self.tag, headers, body, self._acknowledged, now)

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
        else:
            super().end(headers, now)

    def drop_pending(self, now: float) -> None:
        """The caller said BYE before we answered (RFC 3261 15.1.2): the INVITE gets 487."""
        if self.state is SessionState.INCOMING:
            self._finish(487, "", (), now)
        super().drop_pending(now)

    def _acknowledged(self, body: Body | None, now: float) -> None:
        self.state = SessionState.ESTABLISHED
        self.stack.emit(events.SessionConfirmed(self.id, body if not self.request_in.body else None))
        self.transfers.confirmed(now)

    def _cancelled(self, cancel: Request, now: float) -> None:
        if self.state is not SessionState.INCOMING:
            return
        self._finish(487, "", (), now)
        self.close("remote", 487, "Request Terminated", header_list(cancel))
        self.release()

    def _finish(self, status: int, reason: str, headers: HeaderList, now: float) -> None:
        self._stop_repeat()
        self.stack.respond(self.server, status, now, reason=reason, tag=self.tag, headers=headers)

    def _stop_repeat(self) -> None:
        if self._repeat is not None:
            self._repeat.stop()
            self._repeat = None
