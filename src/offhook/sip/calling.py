"""The caller's side of a session: INVITE, forks, redirects, CANCEL (RFC 3261 8.1, 9.1, 13.2)."""

from __future__ import annotations

from typing import Final

from offhook.sip import events
from offhook.sip.bodies import sdp_of
from offhook.sip.dialog import Dialog
from offhook.sip.events import Body, Flow, HeaderList, Identity
from offhook.sip.message import Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.redirects import USE_PROXY, targets
from offhook.sip.reliable import RAck, reliable_number
from offhook.sip.session import Session, Sessions, SessionState
from offhook.sip.session_timer import SessionTimer
from offhook.sip.stack import ALLOW, Hop, Items, encrypted, header_list, hop_to
from offhook.sip.uri import NameAddr, Uri

MAX_FORKS: Final = 256
"""So many of those who ring are known, more than there are anywhere: whoever is called can make up any number of them."""


class Calling(Session):
    """A session we started."""

    def __init__(self, sessions: Sessions, command: events.Invite, identity: Identity) -> None:
        super().__init__(sessions, command.session, identity, identity.contact_user, SessionState.CALLING)
        self.command = command
        self.call_id = self.stack.ids.token(24)
        self.local = identity.address.without_tag().with_tag(self.stack.tag())
        self.offers.owner = True
        self._cseq = 0
        self._out: Outgoing | None = None
        self._told = False
        self._ringing = False  # a provisional came, so that CANCEL may go (RFC 3261 9.1)
        self._cancel: HeaderList | None = None
        self._tried: list[Uri] = []
        self._targets: list[tuple[Uri, int, Flow | None]] = []  # with the status that named them, and where it came from
        self._redirects = 0
        self._via: Uri | None = None  # the proxy that a 305 named
        self._began: Flow | None = None  # where a server of ours has sent us on to another one
        self._invite_cseq = 0
        self._heard: dict[tuple[str, int], int] = {}  # the latest RSeq by the tag of the fork and the CSeq of the INVITE
        self._numbers: dict[str, int] = {}  # the CSeq that was reached with forks which have lost
        self._unheard: tuple[Dialog, str, Response] | None = None  # the PRACK that waits for our answer to the offer it is for
        if self.stack.policy.session_expires:
            self.timer = SessionTimer(self)

    def start(self, now: float) -> None:
        """Send the first INVITE."""
        self._invite(self.command.target, now)

    def _invite(self, target: Uri, now: float) -> None:
        self._tried.append(target)
        identity, via = self.identity, self._via
        hop = first_hop(identity, via or target, self.stack.service_route(identity))
        hop = encrypted(hop) if target.scheme == "sips" else hop
        routes = self.stack.routes_of(identity)
        if via is not None:
            routes.append(("Route", f"<{via if via.is_loose else via.with_param('lr')}>"))
        items: Items = [*routes, ("From", str(self.local)), ("To", f"<{self.command.target}>"),
                        ("Call-ID", self.call_id), ("Allow", ALLOW), ("Supported", f"{self.stack.supported}, 199"),
                        *(self.timer.asked() if self.timer is not None else ()), *self.command.headers]
        if self.stack.policy.reliable == "required":
            items.append(("Require", "100rel"))
        self._ringing = False
        self._out = Outgoing(self.stack, "INVITE", target, items, hop=hop, flow=self.stack.registered_flow(identity, hop),
                             next_cseq=self._next_cseq, on_answer=self._answered, identity=identity,
                             contact_user=self.contact_user, body=self.command.offer, on_sent=self._sent)
        self._out.began = self._began
        self._out.start(now)

    def _next_cseq(self) -> int:
        self._cseq += 1
        return self._cseq

    def _sent(self, _out: Outgoing, _now: float) -> None:
        if not self._told:
            self._told = True
            self.stack.emit(events.SessionCalling(self.id, self.call_id))

    # --- answers ---

    def _answered(self, out: Outgoing, status: int, reason: str, response: Response | None, now: float) -> None:
        if status < 200 and response is not None:
            self._progressed(out, response, now)
        elif status < 300 and response is not None:
            self._accepted(out, response, now)
        elif out is self._out and self.state is SessionState.CALLING:
            self._refused(status, reason, response, now)

    def _progressed(self, out: Outgoing, response: Response, now: float) -> None:
        if out is not self._out:
            if out.late:
                out.cancel((), now)  # it rings where we gave up waiting, while another address is asked
            return
        first, self._ringing = not self._ringing, True
        if self._cancel is not None:
            if first:
                # RFC 3261 9.1: the CANCEL that had to wait for a provisional
                out.cancel(self._cancel, now)
            return
        if self.state is not SessionState.CALLING or response.status == 100:
            return
        tag = response.to.tag or ""
        if tag and self._is_one_too_many(tag):
            return  # it is known when it answers
        fork = self._fork(out, response) if tag else None
        if fork is not None and "RSeq" in response.headers and not self._acknowledge(out, fork, response, now):
            return
        if response.status == 199 and fork is not None:
            self._left(fork)
        else:
            self.note_peer(response, out.flow, fork)
        body = sdp_of(response) if response.status != 199 else None
        web = fork is not None and fork.target.transport in ("ws", "wss")  # RFC 7118 5.2.4
        self.stack.emit(events.SessionProgress(self.id, tag, response.status, response.reason, body, web))

    def _is_one_too_many(self, tag: str) -> bool:
        there = self.dialogs.values()
        return len(there) + len(self._numbers) >= MAX_FORKS and all(each.remote_tag != tag for each in there)

    def _left(self, fork: Dialog) -> None:
        """One of those who may answer will not (RFC 6228 4): what was agreed with it is over, the INVITE is not."""
        self._numbers[fork.remote_tag] = fork.local_cseq
        self.release(fork)
        self.offers.leave(fork)
        if self._unheard is not None and self._unheard[0] is fork:
            self._unheard = None

    def _acknowledge(self, out: Outgoing, fork: Dialog, response: Response, now: float) -> bool:
        """Send PRACK for a reliable provisional; False for a copy, or one that came before its turn (RFC 3262 4)."""
        number = reliable_number(response)
        if number is None:
            return True
        heard = fork.remote_tag, out.cseq  # RFC 3262 3: each INVITE, said again after a 422, say, has numbers of its own
        last = self._heard.get(heard)
        if last is not None and number != last + 1:
            return False
        self._heard[heard] = number
        rack = str(RAck(number, out.cseq, "INVITE"))
        body = sdp_of(response)
        if body is not None and self.command.offer is None and not self.offers.settled:
            # RFC 3262 5: an offer in it is answered in the PRACK
            self._unheard = fork, rack, response
            self.stack.emit(events.OfferReceived(self.id, body, fork.remote_tag))
        else:
            if body is not None:
                self.offers.settle(fork, response)
            self.request("PRACK", now, headers=(("RAck", rack),), dialog=fork)
        return True

    def _fork(self, out: Outgoing, response: Response) -> Dialog | None:
        """Return the dialog of this response, made on its first sight."""
        if out.request is None or out.flow is None:
            return None
        fresh = Dialog.of_response(out.request, response, out.flow)
        known = self.dialogs.get(fresh.key)
        if known is None:
            fresh.hop, fresh.began = out.hop, out.began or fresh.began
            self.register(fresh)
            return fresh
        return known

    def _accepted(self, out: Outgoing, response: Response, now: float) -> None:
        if self.acknowledge_again(response, now):
            return
        dialog = self._fork(out, response)
        if dialog is None or dialog is self.dialog:
            return
        dialog.confirm(response)
        dialog.local_cseq = max(dialog.local_cseq, out.cseq, self._numbers.get(dialog.remote_tag, 0))
        if self.state is not SessionState.CALLING or out.late:
            # RFC 3261 13.2.2.4 and 15: a fork that lost, or a 2xx that crossed our CANCEL: ACK, then BYE
            self.ack(dialog, out.cseq, None, now)
            self.bye((), now, dialog)
            return
        self._establish(out, dialog, response, now)

    def _establish(self, out: Outgoing, dialog: Dialog, response: Response, now: float) -> None:
        self.dialog = dialog
        self.offers.unsettle(dialog)
        for early in [each for each in self.dialogs.values() if each is not dialog]:
            self._numbers[early.remote_tag] = early.local_cseq
            self.release(early)
        # RFC 3261 13.2.1: what the final answer repeats of an early one is ignored; here only if that is outdated.
        body = None if dialog.remote_tag in self.offers.renewed else sdp_of(response)
        offered = self.command.offer is not None or self.offers.settled
        self._invite_cseq = out.cseq
        self.state = SessionState.ESTABLISHED if offered or body is None else SessionState.UNACKNOWLEDGED
        if self.state is SessionState.ESTABLISHED:
            self.ack(dialog, out.cseq, None, now)
        if self.timer is not None:
            self.timer.agreed(response, now)
        self.note_peer(response, out.flow, dialog)
        self.unname_others(dialog)
        self.stack.emit(events.SessionAnswered(self.id, dialog.remote_tag, body if offered else None, response.to,
                                               header_list(response)))
        if not offered and body is not None:
            self.stack.emit(events.OfferReceived(self.id, body, dialog.remote_tag))

    def answer_offer(self, body: Body, now: float) -> None:
        """Answer the offer of the 2xx in the ACK, that of a reliable provisional in the PRACK, or a later one."""
        if self._unheard is not None:
            (fork, rack, said), self._unheard = self._unheard, None
            self.offers.settle(fork, said)
            self.request("PRACK", now, headers=(("RAck", rack),), dialog=fork, body=body)
            return
        if self.state is SessionState.UNACKNOWLEDGED and self.dialog is not None:
            self.state = SessionState.ESTABLISHED
            self.ack(self.dialog, self._invite_cseq, body, now)
        else:
            super().answer_offer(body, now)

    def refuse_offer(self, status: int, now: float) -> None:
        """Refuse an offer. That of a 2xx cannot be refused: ACK and BYE (RFC 3261 13.2.2.4)."""
        if self.state is SessionState.UNACKNOWLEDGED or self._unheard is not None:
            self.end((), now)
        else:
            super().refuse_offer(status, now)

    # --- refusals ---

    def _refused(self, status: int, reason: str, response: Response | None, now: float) -> None:
        self.release()
        self.offers.unsettle()
        self._unheard = None
        if status == 422 and response is not None and self.timer is not None and self.timer.lengthen(response):
            self._invite(self._tried.pop(), now)  # RFC 4028 7.3
            return
        headers = header_list(response) if response is not None else ()
        if 300 <= status < 400 and response is not None:
            self._collect(response)
        if status < 600 and self._targets and self._redirects < self.command.max_redirects:
            self._redirect(now)
            return
        self.close("remote" if response is not None else "network", status, reason, headers)

    def _redirect(self, now: float) -> None:
        uri, why, said_at = self._targets.pop(0)
        self._redirects += 1
        leads = self.identity is not None and self.stack.door.may_lead(self.identity, uri)
        self._began = said_at if leads else None
        if why == USE_PROXY:
            # RFC 3261 21.3.4: the same request, by that proxy
            self._via = uri
            self._invite(self._tried[-1], now)
            return
        self._via, self._asserted = None, ""
        self.stack.emit(events.SessionRedirected(self.id, why, uri))
        self._invite(uri, now)

    def _collect(self, response: Response) -> None:
        """Queue the contacts of a redirect, without those already tried."""
        said_at = self._out.flow if self._out is not None else None
        known = [*self._tried, *([self._via] if self._via else []), *(target for target, _, _ in self._targets)]
        self._targets += [(uri, response.status, said_at) for uri in targets(response, known)]

    # --- ending ---

    def end(self, headers: HeaderList, now: float) -> None:
        """CANCEL (now, or after the first provisional), or BYE."""
        if self.state is SessionState.UNACKNOWLEDGED and self.dialog is not None:
            self.ack(self.dialog, self._invite_cseq, None, now)
        if self.state is not SessionState.CALLING:
            super().end(headers, now)
            return
        out = self._out
        self.close("local", 487, "Request Terminated")
        self.release()
        if out is None or not out.sent:
            if out is not None:
                out.abandon()
            return
        out.over = True  # no challenge is answered and no other flow tried any more
        self._cancel = headers
        if self._ringing:
            out.cancel(headers, now)


def first_hop(identity: Identity | None, target: Uri, service_route: tuple[NameAddr, ...] = ()) -> Hop:
    """Return where a request outside dialogs goes: the outbound proxy, the service route, else what the target names.

    A target without host (tel:) goes to the identity's domain, which knows numbers. What an address of another domain does
    not say, the name service does (RFC 3263 4.1).
    """
    hop = _first_hop(identity, target, service_route)
    return encrypted(hop) if target.scheme == "sips" else hop


def _first_hop(identity: Identity | None, target: Uri, service_route: tuple[NameAddr, ...]) -> Hop:
    if identity is None:
        return hop_to(target, "auto")
    if identity.proxy is not None:
        return hop_to(identity.proxy, identity.transport)
    if service_route:
        return hop_to(service_route[0].uri, identity.transport)
    domain = identity.address.uri
    if not target.host:
        return hop_to(domain, identity.transport)
    return hop_to(target, identity.transport if target.host.lower() == domain.host.lower() else "auto")
