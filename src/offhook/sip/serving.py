"""Whose an incoming request is, once it has its transaction: a call's, a subscription's, a new call; or how it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from offhook.errors import ParseError
from offhook.sip import bodies, events
from offhook.sip.addressing import identity_of, is_ambiguous
from offhook.sip.answering import Answering
from offhook.sip.dialog import key_of
from offhook.sip.events import Body, Flow, HeaderList
from offhook.sip.gate import Gate
from offhook.sip.message import Request
from offhook.sip.reliable import asks_reliable
from offhook.sip.replaces import REFUSALS, read_replaces, standing_of
from offhook.sip.session import Session, Sessions
from offhook.sip.session_timer import is_too_small
from offhook.sip.stack import ACCEPT, ALLOW, METHODS, Stack, body_of
from offhook.sip.transactions import ServerTransaction

if TYPE_CHECKING:
    from offhook.sip.watching import Watching

CAPABILITIES: Final[HeaderList] = (
    ("Allow", ALLOW), ("Accept", f"{ACCEPT}, {bodies.TEXT}"), ("Accept-Encoding", "identity"), ("Accept-Language", "en"),
)  # fmt: skip
"""What OPTIONS is answered with (RFC 3261 11.2), beside the extensions."""

_REGISTRAR_ONLY: Final = frozenset({"REGISTER", "SUBSCRIBE", "PUBLISH"})
"""Methods we know of but do not serve: 405; what nobody has heard of gets 501 (RFC 3261 8.2.1)."""


class Serving:
    """Serves requests of others. `size` is that of the message at hand, in bytes; `watching` gives who knows subscriptions."""

    def __init__(self, stack: Stack, sessions: Sessions, gate: Gate | None, watching: Callable[[], Watching]) -> None:
        self.size = 0
        self._stack = stack
        self._sessions = sessions
        self._gate = gate
        self._watching = watching

    def dispatch(self, flow: Flow, request: Request, server: ServerTransaction, now: float) -> None:
        """Let the machine have it that it is for, or refuse it; ParseError where it cannot be read after all (400)."""
        method = request.method
        if method == "CANCEL":
            self._receive_cancel(request, server, now)
        elif method not in METHODS and not (method == "SUBSCRIBE" and self._stack.policy.packages):
            self.respond(server, 405 if method in _REGISTRAR_ONLY else 501, now, (("Allow", ALLOW),))
        elif request.uri.scheme == "sips" and flow.transport not in events.SECURE:
            # RFC 3261 26.2.2: sips promises TLS on each hop; this one was none
            self.respond(server, 416, now)
        elif "Require" in request.headers and (unknown := self._unknown(request.headers.values("Require"))):
            # RFC 3261 8.2.2.3: every extension that is required and not understood
            self.respond(server, 420, now, (("Unsupported", ", ".join(unknown)),))
        elif "Replaces" in request.headers and not self._may_replace(request, server, now):
            pass  # it has been refused
        elif request.to.tag:
            self._receive_in_dialog(flow, request, server, now)
        else:
            self._receive_outside(flow, request, server, now)

    def _unknown(self, required: list[str]) -> list[str]:
        return [name for name in required if name.lower() not in self._stack.extensions]

    def respond(self, server: ServerTransaction, status: int, now: float, headers: HeaderList = ()) -> None:
        """Answer a request that belongs to no machine."""
        payload = self._stack.response(server.request, status, headers=headers)
        if server.once and len(payload) > self.size:
            # To an address that may be forged no more is sent than came from there, as far as the RFC's MUSTs allow.
            needed = tuple(each for each in headers if status != 200)
            payload = self._stack.response(server.request, status, headers=needed, agent=False)
        server.send(status, payload, now)

    def _receive_cancel(self, request: Request, server: ServerTransaction, now: float) -> None:
        """Answer a CANCEL for itself, and let the INVITE's owner end it (RFC 3261 9.2)."""
        target = self._stack.transactions.servers.get((*server.key[:-1], "INVITE"))
        if target is None:
            self.respond(server, 481, now)
            return
        self.respond(server, 200, now)
        if target.on_cancel is not None:
            on_cancel, target.on_cancel = target.on_cancel, None
            on_cancel(request, now)

    def _receive_in_dialog(self, flow: Flow, request: Request, server: ServerTransaction, now: float) -> None:
        if self._receive_anywhere(flow, request, server, now):
            return
        session = self._sessions.dialogs.get(key_of(request))
        if request.method == "SUBSCRIBE":
            self._watching().receive_subscribe(request, server, flow, None, now)
        elif session is not None:
            session.receive(request, server, now)
        elif request.method != "NOTIFY" or not self._watching().receive_notify(request, server, flow, now):
            self.respond(server, 481, now)

    def _receive_outside(self, flow: Flow, request: Request, server: ServerTransaction, now: float) -> None:
        if self._receive_anywhere(flow, request, server, now):
            return
        if request.method == "SUBSCRIBE":
            self._watching().receive_subscribe(request, server, flow, identity_of(self._stack, request, flow), now)
        elif request.method == "NOTIFY" and self._watching().receive_unsolicited(
                request, server, flow, identity_of(self._stack, request, flow), now):
            pass
        elif request.method == "REFER":
            # RFC 3515 2.4.2: understood and declined; nobody calls at our cost whom we are not talking to
            self.respond(server, 603, now)
        elif request.method != "INVITE":
            # BYE, INFO, UPDATE, NOTIFY: only inside a dialog
            self.respond(server, 481, now)
        elif (refusal := bodies.refusal(request, bodies.SDP)) is not None:
            self.respond(server, refusal[0], now, refusal[1])
        elif not bodies.accepts_sdp(request):
            # RFC 4475 3.3.15, RFC 3261 21.4.7: the caller takes nothing that an answer could be written in
            self.respond(server, 406, now, (("Warning", '399 offhook "Accept lacks application/sdp"'),))
        elif is_ambiguous(self._stack, request, flow):
            # RFC 3261 21.4.23; which accounts these are is not told
            self.respond(server, 485, now)
        elif self._lacks_extension(request, server, now):
            pass  # it has been refused
        elif self._gate is not None and self._gate.rings_enough(flow, now):
            self.respond(server, 486, now)
        else:
            replaced, identity = self._replaced(request), identity_of(self._stack, request, flow)
            Answering(self._sessions, request, server, flow, identity, replaced.id if replaced else "")

    def _lacks_extension(self, request: Request, server: ServerTransaction, now: float) -> bool:
        """Refuse a call by who does not say what we insist on."""
        policy = self._stack.policy
        if policy.session_expires and "Session-Expires" in request.headers and is_too_small(request, policy.session_least):
            self.respond(server, 422, now, (("Min-SE", str(policy.session_least)),))
            return True
        if policy.reliable == "required" and not asks_reliable(request):
            self.respond(server, 421, now, (("Require", "100rel"),))
            return True
        return False

    def _replaced(self, request: Request) -> Session | None:
        """Return the session whose place an INVITE takes, None for a plain call or if it does not exist."""
        named = read_replaces(request)
        if named is None:
            return None
        for key in named.keys:
            if key in self._sessions.dialogs:
                return self._sessions.dialogs[key]
        return None

    def _may_replace(self, request: Request, server: ServerTransaction, now: float) -> bool:
        """Refuse a request whose Replaces cannot be obeyed (RFC 3891 3)."""
        named = read_replaces(request)
        if named is None or request.to.tag:
            raise ParseError("Replaces inside a dialog")
        refusal = REFUSALS[standing_of(self._replaced(request)), named.early_only]
        if refusal is not None:
            self.respond(server, refusal, now)
        return refusal is None

    def _receive_anywhere(self, flow: Flow, request: Request, server: ServerTransaction, now: float) -> bool:
        """Answer OPTIONS and MESSAGE, which mean the same inside a dialog and outside; False for other methods."""
        if request.method == "OPTIONS":
            if request.to.tag and key_of(request) not in self._sessions.dialogs:
                self.respond(server, 481, now)
            else:
                self.respond(server, 200, now, (*CAPABILITIES, ("Supported", ", ".join(self._stack.extensions))))
            return True
        if request.method != "MESSAGE":
            return False
        refusal = bodies.refusal(request, bodies.TEXT)
        if refusal is not None:
            self.respond(server, refusal[0], now, refusal[1])
            return True
        self.respond(server, 200, now)
        identity = identity_of(self._stack, request, flow)
        body = body_of(request) or Body(request.headers.get("Content-Type") or "text/plain", b"")
        self._stack.emit(events.MessageReceived(identity.id if identity else None, request.from_, body))
        return True
