"""A registration over one flow: register, refresh, survive refusals, silence and lost flows (RFC 3261 10.2, RFC 5626)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum, auto
from typing import Final, Protocol

from msgspec import structs

from offhook.errors import ParseError
from offhook.sip import events
from offhook.sip.bindings import EXPIRES_LONGEST, asks_outbound, contact_of, granted_seconds, is_translated, number_in
from offhook.sip.events import Flow, FlowFailed, Identity, IdentityId
from offhook.sip.keepalive import KeepAlive
from offhook.sip.message import Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.redirects import Detour
from offhook.sip.stack import Items, Stack, Way, encrypted, hop_to
from offhook.sip.timers import Timer
from offhook.sip.transactions import same_path
from offhook.sip.uri import NameAddr, Uri

BACKOFF_FIRST: Final = 30.0
"""Seconds before the second attempt; doubles with each failure (RFC 5626 4.5)."""
BACKOFF_BESIDE: Final = 90.0
"""Seconds: the same while another flow stands (RFC 5626 4.5: base-time-not-failed)."""
BACKOFF_LONGEST: Final = 1800.0
"""Seconds: RFC 5626 4.5."""
UNREACHABLE_LONGEST: Final = 120.0
"""Seconds: the longest wait while the registrar cannot be reached. A phone that is deaf for half an hour after an outage is of
no use, and unlike a wrong password a question that finds nobody disturbs nobody."""
RECONNECT_WITHIN: Final[Sequence[float]] = (0.1, 1.0)
"""Seconds until a lost flow is replaced, drawn by chance: all phones of a restarted registrar lose theirs at once."""
PROVEN_AFTER: Final = 120.0
"""Seconds after which a flow has proved itself even if nothing answered a keep-alive."""
UDP_PAUSE: Final = 25.0
"""Seconds: address translation forgets a silent UDP flow after 30 seconds at the earliest (RFC 4787 4.3 asks for 120)."""
FLOW_TIMER_LONGEST: Final = 3600
"""Seconds: a Flow-Timer above this is taken as this."""
SILENT_LEAST: Final = 20.0
"""Seconds a connection stood silent at least, if it was closed for its silence: shorter ones are other troubles."""
BACKOFF_JITTER: Final[Sequence[float]] = (0.5, 1.0)
"""RFC 5626 4.5: the wait is drawn between half of it and all of it, so that a restarted registrar is not stormed."""
RETRY_AFTER_LONGEST: Final = 3600.0
"""Seconds: a Retry-After above this is not believed."""
MARGIN_FRACTION: Final = 0.1
MARGIN_LEAST: Final = 32.0
"""Seconds: a refresh is sent early enough that a whole transaction can time out before the binding does."""
REWRITES_LIMIT: Final = 2
"""How often in a row a registration is said again because the registrar sees us elsewhere: a NAT may move us once more."""


class RegistrationState(IntEnum):
    """Where a registration is."""

    IDLE = auto()
    SENDING = auto()
    REGISTERED = auto()
    WAITING = auto()
    UNREGISTERING = auto()


class Owner(Protocol):
    """Whom a registration tells what became of it, and asks about the others of its identity (`sip.outbound.Flows`)."""

    def registering(self, flow: Registration) -> None:
        """A REGISTER has left."""
        ...

    def registered(self, flow: Registration, granted: int, moved: bool, now: float) -> None:
        """It is accepted."""
        ...

    def lost(self, flow: Registration, reason: str, wait: float) -> None:
        """It was registered, and its flow is gone."""
        ...

    def failed(self, flow: Registration, status: int, reason: str, wait: float, now: float) -> None:
        """It is refused, or got no answer."""
        ...

    def ended(self, flow: Registration, now: float) -> None:
        """It was to end, and has."""
        ...

    def beside(self, flow: Registration) -> Registration | None:
        """Return the other one, None if this is the only one."""
        ...

    def moves_on(self, flow: Registration) -> bool:
        """Give it another server that nobody uses; False if there is none that was not tried."""
        ...


class Registration:
    """Keeps one identity registered over one flow from `register()` until `unregister()`.

    `number` is its reg-id (RFC 5626 4.2), `server` which of the identity's proxies it goes through.
    """

    __slots__ = ("_bound", "_contact", "_cseq", "_detour", "_expires", "_failures", "_flow", "_keeper", "_out", "_pause",
                 "_plain", "_proxy", "_rewrites", "_since", "_timer", "_too_brief", "_unproven", "_until", "by_outbound",
                 "call_id", "identity", "number", "owner", "server", "stack", "state", "tag")

    def __init__(self, stack: Stack, identity: IdentityId, owner: Owner, number: int = 1) -> None:
        self.stack = stack
        self.identity = identity
        self.owner = owner
        self.number = number
        self.server = 0
        self.state = RegistrationState.IDLE
        self.by_outbound = False  # the registrar says that it reaches us over the flow (RFC 5626 6)
        # RFC 3261 10.2: one Call-ID for all registrations of this start, with a rising CSeq
        self.call_id = stack.ids.token(24)
        self.tag = stack.tag()
        self._cseq = 0
        self._expires = 300
        self._failures = 0
        self._too_brief = 0
        self._rewrites = 0
        self._bound = False
        self._plain = False  # without RFC 5626: the registrar says that something on the way does not know it
        self._contact = ""  # what is bound now
        self._proxy: Uri | None = None  # and by way of whom
        self._detour = Detour()
        self._flow: Flow | None = None
        self._since = 0.0  # when that flow was first used
        self._until = 0.0  # when the binding runs out
        self._unproven = False  # the flow before it was lost before it had proved itself
        self._keeper: KeepAlive | None = None
        self._pause = math.inf  # the longest one between signs of life that the far end puts up with, as far as is known
        self._out: Outgoing | None = None
        self._timer: Timer | None = None

    def register(self, expires: int, now: float) -> None:
        """Register now, and keep it up."""
        self._expires = expires
        self._pause = math.inf
        self._failures = self._too_brief = 0
        self._plain = self._unproven = False
        self._detour = Detour()
        self._send(RegistrationState.SENDING, now)

    def unregister(self, now: float) -> None:
        """Remove the binding; ends with RegistrationEnded, at once if nothing can be bound."""
        if self.state is RegistrationState.UNREGISTERING:
            return
        if not self._bound and self.state is not RegistrationState.SENDING:
            self.stop()
            self.owner.ended(self, now)
        else:
            self._send(RegistrationState.UNREGISTERING, now)

    def stop(self) -> None:
        """Drop everything without a word."""
        self.state = RegistrationState.IDLE
        self._bound = False
        self._contact = ""
        self._leave_flow()
        self.stack.forget_way(self.identity, self.number)
        self._quiet()

    # --- flows

    @property
    def stands(self) -> bool:
        """Whether calls come in over it now, as they do while it is refreshed."""
        return self._flow is not None and self.state in (RegistrationState.REGISTERED, RegistrationState.SENDING)

    @property
    def flow(self) -> Flow | None:
        """The flow it is registered over, None while there is none."""
        return self._flow

    def flow_failed(self, failed: FlowFailed, now: float) -> None:
        """The flow we are registered on is gone: nothing reaches us there. Register on another one."""
        if self._flow is not None and self.state is RegistrationState.REGISTERED and same_path(self._flow, failed.flow):
            self._lost(failed.reason, now)

    def network_changed(self, now: float, reason: str) -> None:
        """Our address may be another one: register at once, whatever was planned."""
        if self.state in (RegistrationState.REGISTERED, RegistrationState.SENDING, RegistrationState.WAITING):
            self._failures = self._too_brief = 0
            self._unproven = False
            self._detour = Detour()
            self._leave_flow()
            self._quiet()
            self.state = RegistrationState.WAITING
            self.owner.lost(self, reason, 0.0)
            self._send(RegistrationState.SENDING, now)

    def _lost(self, reason: str, now: float) -> None:
        # RFC 5626 4.5: a flow counts as a success once a keep-alive was answered. One that breaks sooner is replaced at once
        # the first time (the registrar restarts, say), then as after a failure.
        proven = now - self._since >= PROVEN_AFTER or (self._keeper is not None and self._keeper.answered)
        wait = self.stack.ids.uniform(*RECONNECT_WITHIN)
        stood = now - self._since
        if stood >= SILENT_LEAST and self._keeper is not None and not self._keeper.asked:
            # Whoever closes a connection before our first sign of life may close silent ones: balancers do, after 30 or 50 s.
            self._pause = stood / 2
        if proven:
            self._failures = 0
        elif self._unproven:
            wait = self._back_off(unreachable=True)
        self._unproven = not proven
        self._leave_flow()
        self._quiet()
        self.state = RegistrationState.WAITING
        self._timer = self.stack.timers.start(now + wait, self._again)
        self.owner.lost(self, reason, wait)

    def _back_off(self, *, unreachable: bool) -> float:
        """Count a failure and return the seconds until the next attempt (RFC 5626 4.5)."""
        beside = self.owner.beside(self)
        base, power = BACKOFF_FIRST, self._failures
        if beside is not None:
            # RFC 5626 4.5: the first failure counts already, and there is no hurry while another flow stands.
            base, power = BACKOFF_BESIDE if beside.stands else BACKOFF_FIRST, self._failures + 1
        most = UNREACHABLE_LONGEST if unreachable and not (beside is not None and beside.stands) else BACKOFF_LONGEST
        self._failures += 1
        return min(base * 2.0 ** min(power, 10), most) * self.stack.ids.uniform(*BACKOFF_JITTER)

    def _dead(self, reason: str, now: float) -> None:
        """The keep-alive found the flow dead. Its connection may not know yet."""
        flow = self._flow
        if flow is None:
            return
        if flow.transport == "udp":
            self.stack.suspect(flow, now)
            self._lost(reason, now)
        else:
            self.stack.emit(events.CloseFlow(flow))
            self.stack.flow_failed(FlowFailed(flow, reason, True), now)

    def pong(self, flow: Flow, now: float) -> None:
        """A ping on this flow was answered."""
        if self._keeper is not None and same_path(self._keeper.flow, flow):
            self._keeper.pong(now)

    def stun_answer(self, flow: Flow, data: bytes, now: float) -> None:
        """A STUN message came on this flow."""
        if self._keeper is not None and self._keeper.flow.remote == flow.remote:
            self._keeper.stun_answer(data, now)

    def _leave_flow(self, *, bound: bool = False) -> None:
        """Do without it. While something is `bound`, calls may come over it all the same: it is kept alive."""
        self._flow = None
        self.stack.forget_way_flow(self.identity, self.number)
        if self._keeper is not None and not bound:
            self._keeper.stop()
            self._keeper = None

    def _keep_alive(self, out: Outgoing, response: Response, now: float) -> None:
        """Keep the flow of a good registration alive as the registrar wants it, else where it needs it."""
        identity, flow = out.identity, out.flow
        if identity is None or flow is None:
            return
        asked = number_in(response, "Flow-Timer")
        outbound = identity.id in self.stack.outbound
        period = min(asked, FLOW_TIMER_LONGEST) if asked else identity.keep_alive
        if flow.transport == "udp" and not asked and not outbound:
            # between us and a registrar that sees our own address nothing forgets the flow
            period = min(period, UDP_PAUSE) if is_translated(out, response) else 0.0
        period = min(period, self._pause)
        if self._flow == flow and self._keeper is not None and self._keeper.period == period:
            return
        if self._flow != flow:
            self._since = now
        self._leave_flow()
        self._flow = flow
        if period > 0:
            self._keeper = KeepAlive(self.stack, flow, period, self._dead, stun=outbound, strict=outbound or bool(asked))
            self._keeper.start(now)

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self._out is not None:
            self._out.abandon()
            self._out = None

    def _send(self, state: RegistrationState, now: float) -> None:
        self._quiet()
        identity = self.stack.identities.get(self.identity)
        if identity is None:
            return
        self.state = state
        expires = self._expires if state is RegistrationState.SENDING else 0
        if self.number == 1 and self.owner.beside(self) is None and identity.proxy in identity.proxies:
            self.server = identity.proxies.index(identity.proxy)  # by itself it goes where the room above wants it
        proxy = identity.proxies[self.server] if self.server < len(identity.proxies) else identity.proxy
        if self._bound and state is RegistrationState.UNREGISTERING:
            proxy = self._proxy  # a binding is removed where it was made
        self._proxy = proxy
        detour = self._detour
        if detour.proxy is not None:
            proxy = detour.proxy
        if proxy != identity.proxy:
            identity = structs.replace(identity, proxy=proxy)
        address = identity.address.without_tag()
        items: Items = []
        if proxy is not None:
            items.append(("Route", f"<{proxy if proxy.is_loose else proxy.with_param('lr')}>"))
        told = bool(identity.instance) and not self._plain
        items += [("From", str(address.with_tag(self.tag))), ("To", str(address)), ("Call-ID", self.call_id),
                  ("Expires", str(expires)), ("Supported", "path, outbound" if told else "path")]
        registrar = detour.registrar or _registrar(identity)
        hop = hop_to(proxy or detour.registrar or address.uri, identity.transport)
        if detour.began is not None and detour.began.transport in events.SECURE:
            hop = encrypted(hop)  # nobody is sent on into the open
        self._out = Outgoing(self.stack, "REGISTER", registrar, items, hop=hop, next_cseq=self._next_cseq,
                             on_answer=self._answered, identity=identity, contact_user=identity.contact_user,
                             contact_params=f';reg-id={self.number};+sip.instance="<{identity.instance}>"' if told else "",
                             on_sent=self._sent)
        self._out.began = detour.began
        self._out.avoids = self._is_taken
        self._out.held = self._flow
        if self.identity not in self.stack.outbound:
            self._out.former_contact = self._contact  # where calls would ring for nobody once our address is another one
        self._out.start(now)

    def _is_taken(self, flow: Flow) -> bool:
        """Whether the other flow leads there. Two to the same address would fail together (RFC 5626 4.2.1)."""
        beside = self.owner.beside(self)
        return beside is not None and beside.flow is not None and beside.flow.remote == flow.remote

    def _next_cseq(self) -> int:
        self._cseq += 1
        return self._cseq

    def _sent(self, _out: Outgoing, _now: float) -> None:
        if self.state is RegistrationState.SENDING and not self._rewrites:
            self.owner.registering(self)

    def _answered(self, out: Outgoing, status: int, reason: str, response: Response | None, now: float) -> None:
        if out is not self._out or status < 200:
            return
        if self.state is RegistrationState.UNREGISTERING:
            # Whatever the answer: we have stopped, and the binding runs out
            self._out = None
            self.stop()
            self.owner.ended(self, now)
        elif status < 300 and response is not None:
            self._registered(out, response, now)
        elif status == 423 and response is not None and self._raise_expires(response):
            self._send(RegistrationState.SENDING, now)
        elif status == 439 and not self._plain and self.number == 1:
            # RFC 5626 11.6: something on the way does not know outbound, so there is no second flow either
            self._plain = True
            self._send(RegistrationState.SENDING, now)
        elif self._sent_on(out, status, response):
            self._send(RegistrationState.SENDING, now)
        else:
            self._failed(status, reason, response, now)

    def _sent_on(self, out: Outgoing, status: int, response: Response | None) -> bool:
        """Whether the registrar sends us on, or there is another address to which it has sent us."""
        if 300 <= status < 400 and response is not None:
            self._detour.learn(self.stack, out, response)
        return status < 600 and self._detour.go_on()

    def _registered(self, out: Outgoing, response: Response, now: float) -> None:
        granted = granted_seconds(out, response, self._expires)
        if granted < 1:
            # accepted and gone in one: to ask again at once would be a storm
            self._failed(500, "The registrar granted no time", None, now)
            return
        if self._rewrites < REWRITES_LIMIT and self._reached_elsewhere(out, response):
            # Without a challenge the first answer told where the registrar sees us: calls to the address we gave would be lost.
            self._rewrites += 1
            self._bound = True
            self._contact = contact_of(out)
            self._send(RegistrationState.SENDING, now)
            return
        self._out = None
        self._too_brief = self._rewrites = 0
        if not self._unproven:
            self._failures = 0
        self._bound, self._until = True, now + granted
        if self._detour.began is not None and out.identity is not None and out.flow is not None:
            self.stack.door.follow(out.identity, out.flow.remote[0])
        self.state = RegistrationState.REGISTERED
        former = self._contact
        self._learn_way(out, response, now)
        margin = min(max(granted * MARGIN_FRACTION, MARGIN_LEAST), granted / 2)
        # a little earlier by chance, so that a thousand phones do not refresh in one second
        wait = (granted - margin) * self.stack.ids.uniform(0.95, 1.0)
        self._timer = self.stack.timers.start(now + max(wait, 1.0), self._again)
        self.owner.registered(self, granted, former not in ("", self._contact), now)

    def _reached_elsewhere(self, out: Outgoing, response: Response) -> bool:
        """Whether the registrar sees us under another address than the Contact that it has taken, and will call us there."""
        if out.flow is None or out.request is None or out.identity is None or asks_outbound(response):
            return False
        seen, bound = self.stack.seen(out.identity, out.flow), out.request.contacts[0].uri
        return seen is not out.flow and (bound.hostname, bound.port) != seen.local

    def _learn_way(self, out: Outgoing, response: Response, now: float) -> None:
        """Keep what the registrar tells of the way to us and through it."""
        stack = self.stack
        self._contact = contact_of(out)
        try:
            routes = tuple(NameAddr.parse(value) for value in response.headers.values("Service-Route"))
        except ParseError:
            routes = ()  # RFC 3608 6.1: it was an offer, not a duty
        self.by_outbound = asks_outbound(response)
        if self.by_outbound:
            stack.outbound.add(self.identity)
        elif self.number == 1:
            stack.outbound.discard(self.identity)
        self._keep_alive(out, response, now)
        if out.flow is not None:
            stack.learn_way(self.identity, self.number, Way(out.hop, out.flow, routes, out.flow.remote[0]))

    def _again(self, now: float) -> None:
        self._timer = None
        self._detour = Detour()
        self._send(RegistrationState.SENDING, now)

    def _raise_expires(self, response: Response) -> bool:
        """Take Min-Expires (RFC 3261 10.3); False if that cannot help."""
        wanted = number_in(response, "Min-Expires")
        if wanted is None or not self._expires < wanted <= EXPIRES_LONGEST or self._too_brief >= 2:
            return False
        self._too_brief += 1
        self._expires = wanted
        return True

    def _failed(self, status: int, reason: str, response: Response | None, now: float) -> None:
        asked_over, self._out = self._out.flow if self._out is not None else None, None
        self.state = RegistrationState.WAITING
        # What a registrar has bound it keeps where it does not take a refresh, or does not hear of it.
        self._leave_flow(bound=now < self._until)
        self._detour = Detour()
        if response is None and status == 408 and asked_over is not None:
            self._give_up(asked_over, now)
        unreachable = response is None or status in (408, 503)
        if unreachable and self.owner.moves_on(self):
            self._unproven = False  # that was another server
            self.owner.failed(self, status, reason, 0.0, now)
            if self.state is RegistrationState.WAITING:
                self._send(RegistrationState.SENDING, now)
            return
        wait = self._back_off(unreachable=unreachable)
        asked = number_in(response, "Retry-After") if response is not None else None
        if asked is not None:
            wait = max(min(float(asked), RETRY_AFTER_LONGEST), wait if self._failures > 1 else 1.0)
        self._timer = self.stack.timers.start(now + wait, self._again)
        self.owner.failed(self, status, reason, wait, now)


    def _give_up(self, flow: Flow, now: float) -> None:
        """Close a connection over which no answer came, unless others are registered over it: the next attempt makes a new one.

        Whoever took the bytes may be a server that hangs, or a balancer before one that is gone: it never breaks.
        """
        others = (way.flow for ways in self.stack.ways.values() for way in ways.values())
        if flow.transport != "udp" and not any(other is not None and same_path(other, flow) for other in others):
            self.stack.emit(events.CloseFlow(flow))
            self.stack.flow_failed(FlowFailed(flow, "no answer over this connection", True), now)


def _registrar(identity: Identity) -> Uri:
    """Return the Request-URI of REGISTER: the domain, without user part (RFC 3261 10.2)."""
    uri = identity.address.uri
    return Uri("sip", None, uri.host, uri.port)
