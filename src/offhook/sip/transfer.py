"""Blind transfer inside a session: REFER both ways and the NOTIFYs of its implicit subscription (RFC 3515)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from offhook.errors import InvalidArgument, InvalidState, NotFound, ParseError
from offhook.sip import events
from offhook.sip.events import Body, HeaderList, RequestId
from offhook.sip.headers import parse_number
from offhook.sip.message import Request, Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.part import Part
from offhook.sip.responses import REASON_PHRASES
from offhook.sip.timers import TIMEOUT, Timer
from offhook.sip.transactions import ServerTransaction
from offhook.sip.uri import NameAddr, Uri

if TYPE_CHECKING:
    from offhook.sip.session import Session

SIPFRAG: Final = "message/sipfrag;version=2.0"
NOTIFY_EXPIRES: Final = 180
"""Seconds: how long the implicit subscription lives unless the call decides sooner."""
SUBSCRIPTION_GONE: Final = frozenset({404, 405, 408, 410, 480, 481, 489, 501})
"""RFC 5057 5.1: these answers to a NOTIFY end the subscription (not the session); the others concern that NOTIFY only."""

LONGEST: Final = 3600
"""Seconds: an `expires` above this is taken as this."""

_FRAGMENT: Final = re.compile(rb"SIP/2\.0[ \t]+([1-6][0-9][0-9])[ \t]*([^\r\n]*)")


def parse_sipfrag(body: bytes) -> tuple[int, str]:
    """Return status and reason of the status line a sipfrag begins with; ParseError without one."""
    match = _FRAGMENT.match(body.lstrip(b"\r\n"))
    if match is None:
        raise ParseError("the fragment has no status line")
    return int(match[1]), match[2].decode("utf-8", "replace").strip()


def listens_for(state: str) -> float:
    """Return for how many seconds after a NOTIFY with this Subscription-State the next one is waited for.

    As long as it says (RFC 3515 2.4.4) and a transaction's life more, for the last word; but no less than a call may ring.
    """
    params = (each.partition("=") for each in state.split(";")[1:])
    text = next((value for name, _, value in params if name.strip().lower() == "expires"), "")
    try:
        said = parse_number(text, "expires", 2**32 - 1)
    except ParseError:
        said = 0
    return min(max(said, NOTIFY_EXPIRES), LONGEST) + TIMEOUT


def _state_of(request: Request) -> str:
    return (request.headers.get("Subscription-State") or "").partition(";")[0].strip().lower()


class Transfers(Part):
    """The transfers of one session: at most one of ours at a time, any number asked of us."""

    __slots__ = ("_accepted", "_asked", "_count", "_goes_on", "_taken", "_timer", "_unsent", "_waiting")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._waiting = False  # our REFER is under way and its last word not heard
        self._taken = False  # the far end has said that it does what ours asks
        self._goes_on = False  # the outcome is known, and the subscription not over
        self._unsent: HeaderList = ()  # the REFER that waits for the ACK
        self._timer: Timer | None = None
        self._asked: dict[RequestId, ServerTransaction] = {}
        self._accepted: dict[RequestId, str] = {}  # the Event header of each subscription
        self._count = 0

    # --- ours ---

    def refer(self, target: Uri, headers: HeaderList, now: float) -> None:
        """Send REFER, after the ACK if that is not in yet; InvalidState while another one has no outcome."""
        if self._waiting:
            raise InvalidState("a transfer is already under way")
        self._waiting, self._taken = True, False
        items = [("Refer-To", f"<{target}>")]
        if self.session.dialog is not None:
            items.append(("Referred-By", f"<{self.session.dialog.local.uri}>"))
        self._unsent = (*items, *headers)
        # RFC 3261 13.3.1.4: until the ACK is in our 2xx may be lost, and a REFER would meet a far end without a dialog
        if self.session.is_established:
            self.confirmed(now)

    def confirmed(self, now: float) -> None:
        """Send the REFER that waited for the ACK, if there is one."""
        headers, self._unsent = self._unsent, ()
        if headers:
            self.session.request("REFER", now, headers=headers, on_answer=self._answered, contact=True)

    def _answered(self, _out: Outgoing, status: int, reason: str, response: Response | None, now: float) -> None:
        if status < 200 or not self._waiting:
            return
        if status < 300:
            told, self._taken = self._taken, True
            if response is not None and (response.headers.get("Refer-Sub") or "").strip().lower() == "false":
                # RFC 4488: no subscription, so this is the last word
                self._progress(status, reason, True)
            elif not told:  # a NOTIFY may have overtaken this answer
                # RFC 6665 4.1.2.4 timer N: the first NOTIFY must come within 64*T1
                self._timer = self.session.stack.timers.start(now + TIMEOUT, self._no_notify)
            return
        self._progress(status, reason, True)
        self.session.check_gone(status, reason, now)

    def _no_notify(self, _now: float) -> None:
        self._progress(408, "No NOTIFY", True)

    def left(self) -> None:
        """The far end hangs up. If it has not said that it does what our REFER asks, it does not."""
        if not self._taken:
            self._progress(0, "the far end hung up", True)

    def _progress(self, status: int, reason: str, final: bool) -> None:
        if not self._waiting:
            return
        if final:
            self._waiting = False
            self._stop_timer()
        self.session.stack.emit(events.ReferProgress(self.session.id, status, reason, final))

    def receive_notify(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take a NOTIFY about our REFER; 481 if there is none, 489 for other events."""
        event = (request.headers.get("Event") or "").partition(";")[0].strip().lower()
        if event != "refer":
            self.session.respond(server, 489, now, headers=(("Allow-Events", "refer"),))
        elif not self._waiting:
            # RFC 6665 4.1.3: until it is said to be terminated there is a subscription. Some end the call where there is none.
            self.session.respond(server, 200 if self._goes_on else 481, now)
            self._goes_on = self._goes_on and _state_of(request) != "terminated"
        else:
            self._notified(request, server, now)

    def _notified(self, request: Request, server: ServerTransaction, now: float) -> None:
        state = _state_of(request)
        try:
            status, reason = parse_sipfrag(request.body)
        except ParseError:
            if state != "terminated" and request.body:
                self.session.respond(server, 400, now)
                return
            # Without a body, which it must have (RFC 3515 2.4.5), it says that the transfer goes on, or that it is over.
            status, reason = (500, "No outcome given") if state == "terminated" else (100, "Trying")
        self.session.respond(server, 200, now)
        self._taken = True
        self._stop_timer()
        final = status >= 200 or state == "terminated"
        self._goes_on = final and state != "terminated"
        if not final:
            wait = listens_for(request.headers.get("Subscription-State") or "")
            self._timer = self.session.stack.timers.start(now + wait, self._no_notify)
        self._progress(status, reason, final)

    # --- theirs ---

    def receive_refer(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take a REFER: the application decides."""
        targets = request.headers.values("Refer-To")
        try:
            # RFC 3515 2.4.2: exactly one Refer-To
            (text,) = targets
            target = NameAddr.parse(text)
        except (ValueError, ParseError):
            self.session.respond(server, 400, now, reason="Bad Refer-To")
            return
        refer = self.session.stack.ids.token(12)
        self._asked[refer] = server
        referred_by = request.headers.get("Referred-By") or ""
        self.session.stack.emit(events.ReferRequested(self.session.id, refer, target, referred_by))

    def accept(self, refer: RequestId, now: float) -> None:
        """Answer 202 and open the subscription with a NOTIFY."""
        server = self._take(refer)
        self._count += 1
        # RFC 3515 2.4.6: the id parameter, the REFER's CSeq, is needed from the second REFER on
        self._accepted[refer] = "refer" if self._count == 1 else f"refer;id={server.request.cseq.number}"
        self.session.respond(server, 202, now, headers=self.session.contact(server))
        self._notify(refer, 100, "Trying", now)

    def refuse(self, refer: RequestId, status: int, now: float) -> None:
        """Refuse a REFER."""
        if not 300 <= status < 700:
            raise InvalidArgument.field("status", "a final status from 300 to 699")
        self.session.respond(self._take(refer), status, now)

    def notify(self, refer: RequestId, status: int, reason: str, now: float) -> None:
        """Report how the call for it is doing."""
        if refer not in self._accepted:
            raise NotFound(f"there is no accepted transfer {refer}")
        if not 100 <= status < 700:
            raise InvalidArgument.field("status", "a SIP status from 100 to 699")
        self._notify(refer, status, reason, now)

    def _notify(self, refer: RequestId, status: int, reason: str, now: float) -> None:
        event = self._accepted[refer]
        if status < 200:
            state = f"active;expires={NOTIFY_EXPIRES}"
        else:
            state = "terminated;reason=noresource"
            del self._accepted[refer]
        phrase = reason or REASON_PHRASES.get(status, "Status")
        body = Body(SIPFRAG, f"SIP/2.0 {status} {phrase}\r\n".encode("utf-8", "surrogateescape"))

        def answered(_out: Outgoing, answer: int, _reason: str, _response: Response | None, _now: float) -> None:
            if answer in SUBSCRIPTION_GONE:
                self._accepted.pop(refer, None)
        self.session.request("NOTIFY", now, body=body, headers=(("Event", event), ("Subscription-State", state)),
                             on_answer=answered, contact=True)

    def _take(self, refer: RequestId) -> ServerTransaction:
        server = self._asked.pop(refer, None)
        if server is None:
            raise NotFound(f"no transfer {refer} waits for a decision")
        return server

    # --- the end ---

    def stop(self) -> None:
        """The session is over: nothing more is told."""
        self._waiting = False
        self._unsent = ()
        self._stop_timer()

    def drop(self, now: float) -> None:
        """Answer the REFERs nobody decided on."""
        for server in self._asked.values():
            self.session.respond(server, 487, now)
        self._asked.clear()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
