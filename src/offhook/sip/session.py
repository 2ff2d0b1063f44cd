"""An INVITE session: what caller and callee have in common once there is a dialog."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum, auto
from typing import Final, Literal, TypeAlias

from offhook.errors import InvalidState, NotFound
from offhook.sip import events
from offhook.sip.asserted import asserted_identity
from offhook.sip.bodies import sdp_of
from offhook.sip.dialog import Dialog, DialogKey, key_of
from offhook.sip.events import Body, Flow, HeaderList, Identity, SessionId
from offhook.sip.message import Request, Response
from offhook.sip.offers import Offers
from offhook.sip.outgoing import OnAnswer, Outgoing
from offhook.sip.session_timer import SessionTimer
from offhook.sip.stack import ALLOW, Items, Stack, body_of, contact_uri, header_list
from offhook.sip.timers import T1, T2, TIMEOUT, Timer
from offhook.sip.transactions import ServerTransaction
from offhook.sip.transfer import Transfers

OnAck: TypeAlias = Callable[[Body | None, float], None]
Ender: TypeAlias = Literal["local", "remote", "network"]

DIALOG_GONE: Final = frozenset({408, 481})
"""RFC 3261 12.2.1.2: these answers to a request inside the dialog mean that the far end has no dialog."""

ACKS_KEPT: Final = 16
"""ACKs kept for copies of their 2xx: the forks of the INVITE and the latest re-INVITEs."""

SAY_AGAIN: Final = 3
"""How often a request is said again that a later one of ours overtook on the way."""


class SessionState(IntEnum):
    """Where a session is."""

    CALLING = auto()
    UNACKNOWLEDGED = auto()  # the 2xx had the offer; the ACK waits for our answer
    INCOMING = auto()
    ACCEPTED = auto()  # our 2xx is out, the ACK not yet in
    ESTABLISHED = auto()
    ENDED = auto()


_ANSWERED: Final = frozenset({SessionState.ACCEPTED, SessionState.ESTABLISHED})
_EARLY: Final = frozenset({SessionState.CALLING, SessionState.INCOMING})
_TALKING: Final = frozenset({SessionState.ESTABLISHED})

# Which command fits which state. What is not listed raises InvalidState and changes nothing.
ALLOWED: Final[dict[type, frozenset[SessionState]]] = {
    events.Progress: frozenset({SessionState.INCOMING}),
    events.Accept: frozenset({SessionState.INCOMING}),
    events.Refuse: frozenset({SessionState.INCOMING}),
    events.End: frozenset(SessionState) - {SessionState.ENDED},
    events.Reoffer: _TALKING | _EARLY,
    events.AnswerOffer: _TALKING | _EARLY | {SessionState.UNACKNOWLEDGED},
    events.RefuseOffer: _TALKING | _EARLY | {SessionState.UNACKNOWLEDGED},
    events.Refer: _ANSWERED,
    events.AcceptRefer: _ANSWERED,
    events.RefuseRefer: _ANSWERED,
    events.NotifyRefer: _ANSWERED,
    events.SendInfo: _ANSWERED,
}


class Sessions:
    """All sessions of one endpoint, by id and by dialog."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.by_id: dict[SessionId, Session] = {}
        self.dialogs: dict[DialogKey, Session] = {}

    def find(self, session: SessionId) -> Session:
        """Return a session; NotFound if it has ended or never was."""
        found = self.by_id.get(session)
        if found is None:
            raise NotFound(f"there is no session {session}")
        return found


class Acceptance:
    """Our 2xx to an INVITE: repeated until its ACK comes, whatever the transport (RFC 3261 13.3.1.4)."""

    __slots__ = ("_again", "_interval", "_until", "complete", "cseq", "on_ack", "on_lost", "payload", "server", "stack")

    def __init__(self, stack: Stack, server: ServerTransaction, payload: bytes, on_ack: OnAck,
                 on_lost: Callable[[float], None]) -> None:
        self.stack = stack
        self.server = server
        self.payload = payload
        self.cseq = server.request.cseq.number
        self.complete = bool(server.request.body)  # nothing is negotiated in the ACK
        self.on_ack = on_ack
        self.on_lost = on_lost
        self._interval = T1
        self._until = 0.0
        self._again: Timer | None = None

    def start(self, now: float) -> None:
        """Send it for the first time."""
        self.server.send(200, self.payload, now)
        self._until = now + TIMEOUT
        self._again = self.stack.timers.start(now + T1, self._repeat)

    def stop(self) -> None:
        """No more copies."""
        if self._again is not None:
            self._again.stop()

    def acknowledged(self, request: Request, now: float) -> None:
        """Take the ACK. The transaction lives on for half a minute, but not with all of its session."""
        self.stop()
        self.server.on_ack = self.server.on_cancel = None
        self.on_ack(sdp_of(request), now)

    def implied(self, now: float) -> None:
        """Take a later request of the far end for the ACK, which was lost: it can only come from one that has our 2xx."""
        self.stop()
        self.server.on_ack = self.server.on_cancel = None
        self.on_ack(None, now)

    def _repeat(self, now: float) -> None:
        if now >= self._until:
            self.on_lost(now)
            return
        self.server.send(200, self.payload, now)
        self._interval = min(self._interval * 2, T2)
        self._again = self.stack.timers.start(min(now + self._interval, self._until), self._repeat)


class Session:
    """A session from either side. `dialog` is the one that counts; early forks and losers are in `dialogs` only."""

    def __init__(self, sessions: Sessions, session: SessionId, identity: Identity | None, contact_user: str,
                 state: SessionState) -> None:
        self.sessions = sessions
        self.stack = sessions.stack
        self.id = session
        self.identity = identity
        self.contact_user = contact_user
        self.state = state
        self.dialog: Dialog | None = None
        self.dialogs: dict[DialogKey, Dialog] = {}
        self.acceptance: Acceptance | None = None
        self.acks: dict[tuple[str, int], Outgoing] = {}
        self.offers = Offers(self)
        self.transfers = Transfers(self)
        self.timer: SessionTimer | None = None
        self._asserted = ""
        self._named_in: Dialog | None = None  # the dialog in which that was said
        sessions.by_id[session] = self

    # --- what the two sides do differently ---

    def end(self, headers: HeaderList, now: float) -> None:
        """End it, whatever its state."""
        self.drop_pending(now)
        self.close("local", 0, "")
        if self.acceptance is None:
            self.bye(headers, now)
        # else RFC 3261 15: no BYE before the ACK for our 2xx has come or is given up; Acceptance calls back

    def answer_offer(self, body: Body, now: float) -> None:
        """Answer the far end's open offer."""
        self.offers.answer(body, now)

    def refuse_offer(self, status: int, now: float) -> None:
        """Refuse the far end's open offer."""
        self.offers.refuse(status, now)

    def offer_over(self, now: float) -> None:
        """An offer of ours has its answer, or none: go on with what waited for that."""

    def receive_prack(self, _request: Request, server: ServerTransaction, now: float) -> None:
        """Take a PRACK: only the callee's side has something it could acknowledge."""
        self.respond(server, 481, now)

    def drop_pending(self, now: float) -> None:
        """Answer what is still open when the far end says BYE."""
        self.offers.drop(now)
        self.transfers.drop(now)

    @property
    def is_established(self) -> bool:
        """Whether both sides have agreed."""
        return self.state is SessionState.ESTABLISHED

    @property
    def is_over(self) -> bool:
        """Whether it has ended; its transactions may still finish."""
        return self.state is SessionState.ENDED

    @property
    def is_early(self) -> bool:
        """Whether the INVITE has no final answer yet."""
        return self.state in _EARLY

    # --- commands both sides share ---

    def require(self, command: type) -> None:
        """Raise InvalidState unless the table lists the command for this state."""
        if self.state not in ALLOWED[command]:
            raise InvalidState(f"{command.__name__} does not fit a session that is {self.state.name.lower()}")

    def send_info(self, request: str, body: Body, now: float) -> None:
        """Send INFO; its outcome is RequestDone."""
        def done(_out: Outgoing, status: int, reason: str, response: Response | None, then: float) -> None:
            if status >= 200:
                headers = header_list(response) if response is not None else ()
                self.stack.emit(events.RequestDone(request, status, reason, headers))
                self.check_gone(status, reason, then)
        self.request("INFO", now, body=body, on_answer=done)

    # --- ending ---

    def close(self, by: Ender, status: int, reason: str, headers: HeaderList = ()) -> None:
        """Tell that it is over. Transactions finish behind it; the dialogs stay until release()."""
        if self.state is SessionState.ENDED:
            return
        self.state = SessionState.ENDED
        self.sessions.by_id.pop(self.id, None)
        self.offers.stop()
        self.transfers.stop()
        if self.timer is not None:
            self.timer.stop()
        self.stack.emit(events.SessionEnded(self.id, by, status, reason, headers))

    def release(self, dialog: Dialog | None = None) -> None:
        """Forget one dialog, or all of them: requests for them get 481 from now on."""
        for key in [dialog.key] if dialog is not None else list(self.dialogs):
            self.dialogs.pop(key, None)
            if self.sessions.dialogs.get(key) is self:
                del self.sessions.dialogs[key]

    def bye(self, headers: HeaderList, now: float, dialog: Dialog | None = None) -> None:
        """Send BYE. The dialog stays until its answer, so that a BYE that crosses ours gets 200."""
        leaving = dialog or self.dialog
        if leaving is None:
            return

        def done(_out: Outgoing, status: int, _reason: str, _response: Response | None, _now: float) -> None:
            if status >= 200:
                self.release(leaving)
        self.request("BYE", now, headers=headers, on_answer=done, dialog=leaving)

    def check_gone(self, status: int, reason: str, now: float) -> None:
        """End the session if this answer to a request inside it says that the far end has lost it (RFC 3261 12.2.1.2)."""
        if status in DIALOG_GONE:
            self.lost(status, reason, now)

    def lost(self, status: int, reason: str, now: float, headers: HeaderList = ()) -> None:
        """Give up on the far end, and say BYE in case it still hears."""
        if self.state is not SessionState.ENDED:
            self.drop_pending(now)
            self.close("network", status, reason)
            self.bye(headers, now)

    # --- session timers

    def supported(self) -> HeaderList:
        """Return the header that names the extensions we understand."""
        return (("Supported", self.stack.supported),)

    def agree_on_timer(self, request: Request, now: float) -> HeaderList:
        """Return what the 2xx to an INVITE or UPDATE of theirs says about the session timer."""
        if self.is_early:
            return ()  # RFC 4028 9: the 2xx to the INVITE starts it; a call that rings has a time of its own
        if self.timer is None:
            if "Session-Expires" not in request.headers or not self.stack.policy.session_expires:
                return ()
            self.timer = SessionTimer(self)
        return self.timer.answer(request, now)

    # --- requests of ours inside the dialog ---

    def register(self, dialog: Dialog) -> None:
        """Make a dialog known for incoming requests."""
        self.dialogs[dialog.key] = dialog
        self.sessions.dialogs[dialog.key] = self

    def request(self, method: str, now: float, *, body: Body | None = None, headers: Iterable[tuple[str, str]] = (),
                on_answer: OnAnswer | None = None, dialog: Dialog | None = None, contact: bool = False) -> Outgoing | None:
        """Send a request inside the dialog."""
        inside = dialog or self.dialog
        if inside is None:
            return None
        items, tries = [*headers], SAY_AGAIN

        def answered(out: Outgoing, status: int, reason: str, response: Response | None, then: float) -> None:
            nonlocal tries
            waits = response is not None and "Retry-After" in response.headers
            if status == 500 and tries and not waits and out.cseq < inside.local_cseq:
                # RFC 3261 12.2.2: refused because a later request of ours came first, so it was not carried out
                tries -= 1
                self._outgoing(method, inside, items, inside.next_cseq, body, contact, answered).start(then)
            elif on_answer is not None:
                on_answer(out, status, reason, response, then)
        out = self._outgoing(method, inside, items, inside.next_cseq, body, contact, answered)
        out.start(now)
        return out

    def ack(self, dialog: Dialog, number: int, body: Body | None, now: float) -> None:
        """Acknowledge a 2xx; kept, because each copy of the 2xx asks for it again (RFC 3261 13.2.2.4)."""
        out = self._outgoing("ACK", dialog, [], lambda: number, body, False, None)
        self.acks[dialog.remote_tag, number] = out
        if len(self.acks) > ACKS_KEPT:
            del self.acks[next(iter(self.acks))]
        out.start(now)

    def acknowledge_again(self, response: Response, now: float) -> bool:
        """Send the ACK for a copy of a 2xx; False if it is not one of ours."""
        ack = self.acks.get((response.to.tag or "", response.cseq.number))
        if ack is None:
            return False
        ack.resend(now)
        return True

    def _outgoing(self, method: str, dialog: Dialog, headers: Items, next_cseq: Callable[[], int], body: Body | None,
                  contact: bool, on_answer: OnAnswer | None) -> Outgoing:
        uri, items, next_uri = dialog.request_parts()
        hop, flow = dialog.way(next_uri)
        if dialog.is_orphan:
            flow = self.stack.web_flow(self.identity)

        def remember(out: Outgoing, _now: float) -> None:
            dialog.flow, dialog.hop = out.flow, out.hop
            if method == "INVITE":
                self.offers.sent = out

        def answered(out: Outgoing, status: int, reason: str, response: Response | None, now: float) -> None:
            if response is not None and not out.late:
                dialog.flow, dialog.hop = out.flow, out.hop  # it may be another address than the one that was asked first
            if on_answer is not None:
                on_answer(out, status, reason, response, now)
        out = Outgoing(self.stack, method, uri, items + headers, hop=hop, next_cseq=next_cseq, on_answer=answered,
                       identity=self.identity, contact_user=self.contact_user if contact else None, body=body, flow=flow,
                       on_sent=remember)
        out.began = dialog.began
        held = dialog.last_resort(hop)
        out.held = self.stack.renewed(self.identity, held) if held is not None else None
        return out

    def forget_flow(self, failed: Callable[[Flow], bool]) -> None:
        """What is sent from now on does not go over flows that are gone."""
        for dialog in self.dialogs.values():
            if dialog.flow is not None and failed(dialog.flow):
                dialog.flow = None
        for ack in self.acks.values():
            if ack.flow is not None and failed(ack.flow):
                ack.forget_flow()

    # --- answers of ours ---

    def respond(self, server: ServerTransaction, status: int, now: float, *, reason: str = "", headers: HeaderList = (),
                body: Body | None = None) -> None:
        """Answer a request inside the dialog."""
        self.stack.respond(server, status, now, reason=reason, headers=headers, body=body)

    def accept_invite(self, server: ServerTransaction, tag: str, headers: HeaderList, body: Body | None, on_ack: OnAck,
                      now: float) -> None:
        """Answer an INVITE with 200 and repeat that until the ACK."""
        items = (*self.contact(server), ("Allow", ALLOW), *self.supported(), *headers)
        payload = self.stack.response(server.request, 200, tag=tag, headers=items, body=body)

        def acknowledged(answer: Body | None, then: float) -> None:
            self.acceptance = None
            if self.state is SessionState.ENDED:
                self.bye((), then)
            else:
                on_ack(answer, then)
        self.acceptance = Acceptance(self.stack, server, payload, acknowledged, self._never_acknowledged)
        server.on_ack = self.receive_ack
        self.acceptance.start(now)

    def contact(self, server: ServerTransaction) -> HeaderList:
        """Return our Contact header towards the peer of this transaction."""
        flow = self.stack.seen(self.identity, self.stack.renewed(self.identity, server.flow))
        uri = contact_uri(self.contact_user, flow, secure=server.request.uri.scheme == "sips")
        return (("Contact", f"<{uri}{self._outbound_parameter}>"),)

    @property
    def _outbound_parameter(self) -> str:
        # RFC 5626 4.3: requests inside the dialog come over the flow we are registered on
        return ";ob" if self.identity is not None and self.identity.id in self.stack.outbound else ""

    def _never_acknowledged(self, now: float) -> None:
        # RFC 3261 13.3.1.4: no ACK within 64*T1: the dialog is confirmed, but the session ends with BYE
        self.acceptance = None
        self.drop_pending(now)
        self.close("network", 408, "No ACK")
        self.bye((), now)

    # --- what comes in ---

    def receive_ack(self, request: Request, now: float) -> None:
        """Take an ACK for our 2xx."""
        acceptance = self.acceptance
        if acceptance is not None and acceptance.cseq == request.cseq.number:
            acceptance.acknowledged(request, now)

    def implies_ack(self, request: Request, now: float) -> None:
        """Let a later offer of the far end stand for the ACK that was lost on its way (a proxy that went down with it, say)."""
        acceptance = self.acceptance
        if acceptance is not None and acceptance.complete and request.cseq.number > acceptance.cseq:
            acceptance.implied(now)

    def receive(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Take a request inside the dialog (MESSAGE and OPTIONS are answered before)."""
        dialog = self.dialogs[key_of(request)]
        if dialog.flow is None and server.flow.transport != "udp":
            dialog.flow = server.flow  # our connection is gone, and the far end has made another one
        if not dialog.accepts(request.cseq.number):
            self.respond(server, 500, now)
        elif request.method == "BYE":
            self._receive_bye(request, server, dialog, now)
        elif self.state is SessionState.ENDED:
            self.respond(server, 481, now)
        elif request.method == "INVITE":
            self.note_peer(request, server.flow, dialog)
            self.offers.receive_invite(request, server, now)
        elif request.method == "UPDATE":
            self.note_peer(request, server.flow, dialog)
            self.offers.receive_update(request, server, now)
        elif request.method == "PRACK":
            self.receive_prack(request, server, now)
        elif request.method == "INFO":
            self._receive_info(request, server, now)
        elif request.method == "REFER":
            if self.state in _ANSWERED:
                self.transfers.receive_refer(request, server, now)
            else:
                self.respond(server, 491, now)  # nobody could decide about it before the call is answered
        else:
            self.transfers.receive_notify(request, server, now)  # what is none of ours was refused before

    def asserted_by(self, message: Request | Response, flow: Flow | None) -> str:
        """Return whom the message names at the other end, "" where it does not come by way of our own server."""
        identity = self.identity
        if identity is None or flow is None or not self.stack.is_server(identity, flow):
            return ""
        return asserted_identity(message.headers)

    def note_peer(self, message: Request | Response, flow: Flow | None, dialog: Dialog | None = None) -> None:
        """Tell who is at the other end, where that is news. What a `dialog` has told of its far end need not be said again."""
        asserted = self.asserted_by(message, flow)
        if dialog is not None:
            asserted = dialog.asserted = asserted or dialog.asserted
        if asserted:
            self._named_in = dialog
        if asserted and asserted != self._asserted:
            self._asserted = asserted
            self.stack.emit(events.PeerNamed(self.id, asserted))

    def unname_others(self, dialog: Dialog) -> None:
        """Whoever answers in this dialog and was never named has not the name of somebody else who rang."""
        if self._asserted and self._named_in not in (None, dialog):
            self._asserted = ""
            self.stack.emit(events.PeerNamed(self.id, ""))

    def _receive_info(self, request: Request, server: ServerTransaction, now: float) -> None:
        if "Info-Package" in request.headers:
            # RFC 6086 4.2.2: a package we never said we receive
            self.respond(server, 469, now, headers=(("Recv-Info", ""),))
            return
        self.respond(server, 200, now)
        self.stack.emit(events.InfoReceived(self.id, body_of(request)))

    def _receive_bye(self, request: Request, server: ServerTransaction, dialog: Dialog, now: float) -> None:
        self.respond(server, 200, now)
        if self.dialog is not None and dialog is not self.dialog:
            self.release(dialog)
        elif self.state is SessionState.CALLING:
            self.release(dialog)  # a fork that gave up; the INVITE decides
        else:
            if self.acceptance is not None:
                self.acceptance.stop()
                self.acceptance = None
            self.transfers.left()
            self.drop_pending(now)
            self.close("remote", 0, "", header_list(request))
            self.release()
