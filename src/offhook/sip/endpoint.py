"""The SIP endpoint: the five verbs of `sip.events`, and the way of each message to the machine it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, assert_never

from offhook.errors import InvalidArgument, InvalidState, NotFound, ParseError
from offhook.ids import Ids
from offhook.sip import events, sanity
from offhook.sip.answering import Answering
from offhook.sip.calling import Calling
from offhook.sip.checking import check_target, check_text
from offhook.sip.dialog import Dialog, key_of
from offhook.sip.door import Rules
from offhook.sip.events import Flow, HeaderList, Identity, IdentityId, SipCommand, SipInput, SipOutput
from offhook.sip.framing import is_keep_alive
from offhook.sip.gate import Gate
from offhook.sip.keepalive import is_stun
from offhook.sip.message import Request, Response, encode_message
from offhook.sip.outbound import Flows
from offhook.sip.outgoing import Outgoing
from offhook.sip.parsing import MessageError, parse_message, sent_by_port
from offhook.sip.replaces import Replaces, refer_target
from offhook.sip.responses import REASON_PHRASES, response_fields
from offhook.sip.serving import Serving
from offhook.sip.session import Sessions
from offhook.sip.session_timer import LEAST
from offhook.sip.stack import ACCEPT, Hop, Items, Stack, header_list
from offhook.sip.streams import Streams
from offhook.sip.trail import Trail
from offhook.sip.transactions import MAGIC_COOKIE, Input, ServerKey, State, client_key, same_path, server_key
from offhook.sip.transfer import Transfers
from offhook.sip.uri import Uri

if TYPE_CHECKING:
    from offhook.sip import watching

_AnswerCommand: TypeAlias = events.Progress | events.Accept | events.Refuse
_TransferCommand: TypeAlias = events.AcceptRefer | events.RefuseRefer | events.NotifyRefer
_SessionCommand: TypeAlias = (
    _AnswerCommand | _TransferCommand | events.Refer | events.End | events.Reoffer | events.AnswerOffer | events.RefuseOffer
    | events.SendInfo
)

_UNANSWERED = frozenset({State.INITIAL, State.CALLING, State.TRYING, State.PROCEEDING})


class Endpoint:
    """One SIP user agent with any number of identities, on any number of flows.

    Single mutation: after each execute, receive or timeout, call poll() until None and arm one timer for deadline().
    """

    def __init__(self, ids: Ids, *, user_agent: str = "offhook", rules: Rules | None = None) -> None:
        self._stack = Stack(ids, user_agent, rules)
        self._sessions = Sessions(self._stack)
        self._gate = None if self._stack.door.is_open else Gate(self._stack, self._sessions, self._answer_fault)
        self._serving = Serving(self._stack, self._sessions, self._gate, lambda: self._watching)
        self._registrations: dict[IdentityId, Flows] = {}
        self._watched: watching.Watching | None = None
        self._stack.flow_failed = self._flow_failed
        self._streams = Streams(self._stack, self._receive_message, self._answer_fault, self._pong)

    @property
    def _watching(self) -> watching.Watching:
        """Subscriptions and what is published: read when the first is needed, for most phones have none."""
        if self._watched is None:
            from offhook.sip.watching import Watching

            self._watched = Watching(self._stack)
        return self._watched

    # --- the five verbs ---

    def execute(self, command: SipCommand, now: float) -> None:
        """Do a command; raises CommandError, with nothing changed, if it cannot be done."""
        check_text(command)
        match command:
            case events.SetIdentity():
                self._stack.set_identity(command.identity)
            case events.SetPolicy():
                self._set_policy(command)
            case events.RemoveIdentity():
                self._remove_identity(command)
            case events.Register():
                self._register(command, now)
            case events.Unregister():
                self._unregister(command, now)
            case events.Invite():
                self._invite(command, now)
            case (events.Subscribe() | events.Unsubscribe() | events.RenewSubscription() | events.AcceptWatcher()
                  | events.RefuseWatcher() | events.TellWatcher() | events.Publish()):
                self._watch(command, now)
            case events.SendRequest():
                self._send_request(command, now)
            case _:
                self._execute_in_session(command, now)

    def receive(self, happened: SipInput, now: float) -> None:
        """Take what the world sent. Never raises, whatever the bytes."""
        if isinstance(happened, events.Datagram):
            if self._gate is not None and not self._gate.glance(happened.flow, now):
                return
            if is_stun(happened.data):
                for registration in self._registrations.values():
                    registration.stun_answer(happened.flow, happened.data, now)
            elif not is_keep_alive(happened.data):
                self._receive_message(happened.flow, happened.data, now)
            elif happened.flow in self._stack.pinged:
                self._pong(happened.flow, now)
        elif isinstance(happened, events.StreamChunk):
            if self._gate is None or self._gate.glance(happened.flow, now):
                self._streams.receive(happened.flow, happened.data, now)
            else:
                self._streams.close(happened.flow)
        elif isinstance(happened, events.Resolved):
            self._stack.resolved(happened, now)
        elif isinstance(happened, events.FlowFailed):
            self._flow_failed(happened, now)
        elif isinstance(happened, events.NetworkChanged):
            self._network_changed(happened.reason, now)

    def timeout(self, now: float) -> None:
        """Fire what is due."""
        self._stack.timers.expire(now)

    def poll(self) -> SipOutput | None:
        """Return the next thing to do outside, None when there is nothing (left)."""
        outputs = self._stack.outputs
        return outputs.popleft() if outputs else None

    def deadline(self) -> float | None:
        """Return when timeout() wants to be called."""
        return self._stack.timers.deadline()

    def dialog_of(self, session: str) -> Dialog | None:
        """Return a session's dialog, for looking at it; None while there is none."""
        found = self._sessions.by_id.get(session)
        if found is None:
            return None
        return found.dialog or next(iter(found.dialogs.values()), None)

    def may_offer(self, session: str) -> bool:
        """Say whether Reoffer fits the session, apart from an offer that is open at this moment."""
        found = self._sessions.by_id.get(session)
        return found is not None and (found.is_established or (found.is_early and found.offers.may_be_early))

    @property
    def busy(self) -> bool:
        """A request of ours still waits for its final answer, for the address it goes to, or (a BYE) for the ACK before it."""
        return (
            any(client.state in _UNANSWERED for client in self._stack.transactions.clients.values())
            or self._stack.is_resolving
            or any(session.acceptance is not None for session in self._sessions.dialogs.values())
        )

    # --- what tests and statistics look at ---

    def identity(self, name: IdentityId) -> Identity | None:
        """Return what is set for this identity, None if there is none."""
        return self._stack.identities.get(name)

    def registered_flow(self, name: IdentityId, hop: Hop) -> Flow | None:
        """Return the flow by which a request of this identity goes without a look-up, None if there is none."""
        return self._stack.registered_flow(self.identity(name), hop)

    def statistics(self) -> dict[str, int]:
        """Return how many of each thing are alive."""
        stack = self._stack
        return {
            "sessions": len(self._sessions.by_id), "dialogs": len(self._sessions.dialogs), "timers": len(stack.timers),
            "client_transactions": len(stack.transactions.clients),
            "server_transactions": len(stack.transactions.servers),
        }

    # --- commands ---

    def _identity(self, identity: IdentityId) -> Identity:
        found = self._stack.identities.get(identity)
        if found is None:
            raise NotFound(f"there is no identity {identity}")
        return found

    def _set_policy(self, command: events.SetPolicy) -> None:
        if command.session_expires and command.session_expires < command.session_least:
            raise InvalidArgument.field("session_expires", "0, or at least session_least")
        if command.session_least < LEAST:
            raise InvalidArgument.field("session_least", f"at least {LEAST} seconds")
        self._stack.set_policy(command)

    def _watch(self, command: watching.Command, now: float) -> None:
        named = command.identity if isinstance(command, events.Subscribe | events.Publish) else ""
        if isinstance(command, events.Subscribe):
            check_target(command.target)
        self._watching.execute(command, self._stack.identities.get(named), now)

    def _remove_identity(self, command: events.RemoveIdentity) -> None:
        self._identity(command.identity)
        registration = self._registrations.pop(command.identity, None)
        if registration is not None:
            registration.stop()
        if self._watched is not None:
            self._watched.forget(command.identity)
        self._stack.remove_identity(command.identity)

    def _register(self, command: events.Register, now: float) -> None:
        self._identity(command.identity)
        if command.expires < 1:
            raise InvalidArgument.field("expires", "seconds, at least 1")
        registration = self._registrations.get(command.identity)
        if registration is None:
            registration = self._registrations[command.identity] = Flows(self._stack, command.identity)
        registration.register(command.expires, now)

    def _unregister(self, command: events.Unregister, now: float) -> None:
        self._identity(command.identity)
        registration = self._registrations.get(command.identity)
        if registration is None:
            self._stack.emit(events.RegistrationEnded(command.identity))
        else:
            registration.unregister(now)

    def _invite(self, command: events.Invite, now: float) -> None:
        identity = self._identity(command.identity)
        if command.session in self._sessions.by_id:
            raise InvalidState(f"there already is a session {command.session}")
        check_target(command.target)
        Calling(self._sessions, command, identity).start(now)

    def _send_request(self, command: events.SendRequest, now: float) -> None:
        identity = self._identity(command.identity)
        check_target(command.target)
        stack = self._stack
        sender = identity.address.without_tag().with_tag(stack.tag())
        items: Items = [("From", str(sender)), ("To", f"<{command.target}>"), ("Call-ID", stack.ids.token(24))]
        items += command.headers
        asks = command.method == "OPTIONS"
        if asks:
            items.append(("Accept", ACCEPT))
        cseq, trail = iter(range(1, 100)), Trail(stack, identity, command.target)

        def send(then: float) -> None:
            hop, routes = trail.way()
            out = Outgoing(stack, command.method, trail.target, routes + items, hop=hop,
                           flow=stack.registered_flow(identity, hop), next_cseq=lambda: next(cseq), on_answer=done,
                           identity=identity, contact_user=identity.contact_user if asks else None, body=command.body)
            out.began = trail.began
            out.start(then)

        def done(out: Outgoing, status: int, reason: str, response: Response | None, then: float) -> None:
            if not asks and trail.goes_on(out, status, response):  # to OPTIONS a redirection is an answer: somebody is there
                send(then)
            elif status >= 200:
                headers = header_list(response) if response is not None else ()
                stack.emit(events.RequestDone(command.request, status, reason, headers))
        send(now)

    def _execute_in_session(self, command: _SessionCommand, now: float) -> None:
        session = self._sessions.find(command.session)
        session.require(type(command))
        match command:
            case events.End():
                session.end(command.headers, now)
            case events.Reoffer():
                session.offers.reoffer(command.offer, now, refresh=command.refresh)
            case events.AnswerOffer():
                session.answer_offer(command.body, now)
            case events.RefuseOffer():
                session.refuse_offer(command.status, now)
            case events.SendInfo():
                session.send_info(command.request, command.body, now)
            case events.Progress() | events.Accept() | events.Refuse():
                if isinstance(session, Answering):  # by the table: only those ring
                    _answer(session, command, now)
            case events.Refer():
                session.transfers.refer(*self._refer(command), now)
            case _:
                _transfer(session.transfers, command, now)

    def _refer(self, command: events.Refer) -> tuple[Uri, HeaderList]:
        """Return what Refer-To names, and the headers beside it."""
        target = command.target
        if not command.replaces:
            if target is None:
                raise InvalidArgument.field("target", "an address, or a session to replace")
            return target, command.headers
        other = self._sessions.find(command.replaces)
        other.require(events.Refer)
        dialog = other.dialog
        if dialog is None or command.replaces == command.session:
            raise InvalidArgument.field("replaces", "another session that is answered")
        return refer_target(target or dialog.target, Replaces.of(dialog)), command.headers

    # --- bytes ---

    def _pong(self, flow: Flow, now: float) -> None:
        self._stack.pinged.discard(flow)
        for registration in self._registrations.values():
            registration.pong(flow, now)

    def _flow_failed(self, failed: events.FlowFailed, now: float) -> None:
        self._streams.failed(failed.flow)
        if failed.flow.transport != "udp":
            if not failed.stood:
                self._stack.suspect(failed.flow, now)  # an ACK has no transaction that would learn of it
            self._forget_flow(lambda flow: same_path(failed.flow, flow))
        self._stack.transactions.fail(failed, now)
        for registration in list(self._registrations.values()):
            registration.flow_failed(failed, now)

    def _network_changed(self, reason: str, now: float) -> None:
        """Reach everybody anew: registrars at once, the others with the next request."""
        self._forget_flow(lambda _flow: True)
        self._stack.forget_seen()
        for registration in list(self._registrations.values()):
            registration.network_changed(now, reason)

    def _forget_flow(self, failed: Callable[[Flow], bool]) -> None:
        self._stack.forget_flow(failed)
        for session in set(self._sessions.dialogs.values()):
            session.forget_flow(failed)

    def _receive_message(self, flow: Flow, data: bytes, now: float) -> None:
        self._serving.size = len(data)
        try:
            message = parse_message(data)
            sanity.check(message)
            if isinstance(message, Request):
                self._receive_request(flow, message, now)
            else:
                self._receive_response(flow, message, now)
        except MessageError as error:
            if self._gate is None or self._gate.door.hears(flow.remote[0], now):
                self._answer_fault(flow, error)
        except ParseError as error:
            # A header nobody had read so far. The request, if it was one, has its transaction: 400 there is the next best.
            self._stack.drop(flow.remote, error.detail)

    def _answer_fault(self, flow: Flow, error: MessageError) -> None:
        """Answer what can be answered without a transaction (RFC 3261 8.2.7), report the rest."""
        self._stack.drop(flow.remote, error.detail)
        partial = error.partial
        if partial is None:
            return
        try:
            back = self._reply_flow(flow, partial)
        except ParseError:
            # Of the Via there is the sent-by at most; it goes back as it came.
            port = sent_by_port(partial) or flow.remote[1]
            back = Flow("udp", flow.local, (flow.remote[0], port)) if flow.transport == "udp" else flow
        fields = response_fields(partial, error.status, self._stack.tag())
        start = f"SIP/2.0 {error.status} {REASON_PHRASES.get(error.status, '')}"
        try:
            self._stack.transmit(back, encode_message(start, fields, b""))
        except ValueError:
            return  # what it would have to repeat breaks lines

    def _receive_response(self, flow: Flow, response: Response, now: float) -> None:
        branch, method = response.via.branch or "", response.cseq.method
        client = self._stack.transactions.clients.get(client_key(branch, method))
        if client is not None:
            if client.sent_by_us(response):
                client.receive(response, now)
            else:
                self._stack.drop(flow.remote, "a response whose Via is not ours alone")
            return
        if method == "INVITE" and 200 <= response.status < 300:
            # RFC 6026 8: the transaction is gone, its session may still be there to acknowledge once more
            session = self._sessions.dialogs.get((response.call_id, response.from_.tag or "", response.to.tag or ""))
            if session is not None and session.acknowledge_again(response, now):
                return
        self._stack.drop(flow.remote, f"a {response.status} to no request of ours")
        if self._gate is not None:
            self._gate.door.charge(flow.remote[0], now)

    # --- requests ---

    def _reply_flow(self, flow: Flow, request: Request) -> Flow:
        """Note in the top Via where the request came from, and return where its responses go (RFC 3261 18.2, RFC 3581)."""
        via = request.via
        host, port = flow.remote
        if via.rport is not None:
            changed = via.with_param("received", host).with_param("rport", str(port))
            back = port
        elif via.host.strip("[]").lower() != host.lower():
            changed, back = via.with_param("received", host), via.port or 5060
        else:
            changed, back = via, via.port or 5060
        if changed is not via:
            if "," in (request.headers.get("Via") or ""):
                request.headers.set("Via", ", ".join([str(changed), *request.headers.values("Via")[1:]]))
            else:
                request.headers.replace_first("Via", str(changed))
            request.headers.parsed["top via"] = changed
        return flow if flow.transport != "udp" or back == port else Flow("udp", flow.local, (host, back))

    def _receive_request(self, flow: Flow, request: Request, now: float) -> None:
        transactions = self._stack.transactions
        key = server_key(request)
        server = transactions.servers.get(key)
        if self._gate is not None and not self._gate.admits(flow, request, server, now):
            return
        if request.method == "ACK":
            if server is None or not server.step(Input.RECEIVE_ACK, now, request):
                self._receive_ack(flow, request, now)
            return
        if server is not None:
            server.step(Input.RECEIVE_REQUEST, now)
            return
        if request.method == "CANCEL" and self._is_forged(flow, request, key):
            self._stack.door.tell(flow.remote[0], "CANCEL from elsewhere than its INVITE", now)
            self._answer_fault(flow, MessageError("a CANCEL from elsewhere than its INVITE", status=481, partial=request))
            return
        back = self._reply_flow(flow, request)
        # A CANCEL goes hop by hop: one comes along each path that its INVITE came (RFC 3261 9.2 knows no 482).
        merged = not request.to.tag and request.method != "CANCEL" and transactions.is_merged(request)
        server = transactions.serve(back, request, now, key)
        if self._gate is not None and flow.transport == "udp" and not request.to.tag:
            server.once = self._gate.is_strange(flow)
        try:
            if merged:
                # RFC 3261 8.2.2.2: the same request on another path
                self._serving.respond(server, 482, now)
            else:
                self._serving.dispatch(flow, request, server, now)
        except ParseError as error:
            self._stack.drop(flow.remote, error.detail)
            self._serving.respond(server, 400, now)

    def _is_forged(self, flow: Flow, request: Request, key: ServerKey) -> bool:
        """Say whether a CANCEL came another way than its INVITE, which goes hop by hop (RFC 3261 9.1).

        A caller without a proxy may have moved since. Branch, tag and Call-ID are known to it and us alone then, and prove as
        much as a dialog's tags do. Behind a proxy others whom it lets ring know them, but for the branch, which may be counted.
        """
        transactions = self._stack.transactions
        server = transactions.servers.get((*key[:-1], "INVITE"))
        if server is None or server.flow.remote[0] == flow.remote[0]:
            return False
        invite = server.request
        if server.state is not State.PROCEEDING or not key[0].startswith(MAGIC_COOKIE) or len(invite.headers.values("Via")) > 1:
            return True
        secret, given = ((each.from_.tag, each.call_id, each.cseq.number) for each in (invite, request))
        return not secret[0] or given != secret

    def _receive_ack(self, flow: Flow, request: Request, now: float) -> None:
        session = self._sessions.dialogs.get(key_of(request))
        if session is None:
            self._stack.drop(flow.remote, "an ACK for no session")
        else:
            session.receive_ack(request, now)


def _answer(session: Answering, command: _AnswerCommand, now: float) -> None:
    match command:
        case events.Progress():
            session.progress(command.status, command.body, command.headers, now)
        case events.Accept():
            session.accept(command.body, command.headers, now)
        case events.Refuse():
            session.refuse(command.status, command.reason, command.headers, now)
        case _:
            assert_never(command)


def _transfer(transfers: Transfers, command: _TransferCommand, now: float) -> None:
    match command:
        case events.AcceptRefer():
            transfers.accept(command.refer, now)
        case events.RefuseRefer():
            transfers.refuse(command.refer, command.status, now)
        case events.NotifyRefer():
            transfers.notify(command.refer, command.status, command.reason, now)
        case _:
            assert_never(command)
