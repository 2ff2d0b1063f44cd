"""One identity's registration over one flow, or over two at once where the registrar knows RFC 5626 (outbound)."""

from __future__ import annotations

from typing import Final, Literal

from offhook.sip import events
from offhook.sip.events import Flow, FlowFailed, Identity, IdentityId
from offhook.sip.outgoing import NO_OTHER_ADDRESS
from offhook.sip.registration import Registration, RegistrationState
from offhook.sip.stack import Stack, is_number

TOLD_ONCE: Final = "the registrar keeps one registration of this phone only"
"""Why a second flow ends that an identity could have."""
LACKS_OUTBOUND: Final = 439
"""RFC 5626 11.6: First Hop Lacks Outbound Support."""

_UNDER_WAY: Final = frozenset({RegistrationState.SENDING, RegistrationState.REGISTERED})


class Flows:
    """Keeps an identity registered. The second flow begins when the first one's registrar says that it knows outbound.

    What is told of the identity as a whole: it is registered while one of its flows is; it has failed when none is and none is
    being tried. What becomes of each flow is told besides, from the time there are two.
    """

    __slots__ = ("_expires", "_first", "_leaving", "_second", "_single", "_tried", "identity", "stack", "two")

    def __init__(self, stack: Stack, identity: IdentityId) -> None:
        self.stack = stack
        self.identity = identity
        self.two = False
        """Whether there are two flows, standing or being tried."""
        self._first = Registration(stack, identity, self)
        self._second: Registration | None = None
        self._leaving: list[Registration] = []  # those whose bindings are being removed behind the others
        self._single = False  # a second one is of no use: no other address, or a registrar that does not know outbound
        self._expires = 300
        self._tried: dict[int, set[int]] = {}  # servers that failed since a flow stood last, by its number

    @property
    def _all(self) -> list[Registration]:
        return [self._first] if self._second is None else [self._first, self._second]

    # --- what the endpoint asks

    def register(self, expires: int, now: float) -> None:
        """Register now, and keep it up."""
        identity = self.stack.identities[self.identity]
        servers = identity.proxies
        wanted = servers.index(identity.proxy) if identity.proxy in servers else 0
        self._expires, self._single = expires, False
        self._tried.clear()
        used = {each.server for each in self._all}
        if self._second is None or wanted not in used or max(used) >= max(len(servers), 1):
            self._dismiss("", now)
            self._first.server = wanted
        for each in self._all:
            each.register(expires, now)

    def unregister(self, now: float) -> None:
        """Remove all bindings; ends with RegistrationEnded, at once if nothing can be bound."""
        for each in self._all:
            each.unregister(now)

    def stop(self) -> None:
        """Drop everything without a word."""
        for each in [*self._all, *self._leaving]:
            each.stop()

    def flow_failed(self, failed: FlowFailed, now: float) -> None:
        """Some flow is gone; perhaps it is one of ours."""
        for each in self._all:
            each.flow_failed(failed, now)

    def network_changed(self, now: float, reason: str) -> None:
        """Our address may be another one."""
        self._tried.clear()
        for each in self._all:
            each.network_changed(now, reason)

    def pong(self, flow: Flow, now: float) -> None:
        """A ping on this flow was answered."""
        for each in self._all:
            each.pong(flow, now)

    def stun_answer(self, flow: Flow, data: bytes, now: float) -> None:
        """A STUN message came on this flow."""
        for each in self._all:
            each.stun_answer(flow, data, now)

    # --- what the flows tell (`registration.Owner`)

    def registering(self, flow: Registration) -> None:
        """A REGISTER has left."""
        if flow in self._leaving:
            return
        if flow is self._second and not self.two:
            self.two = True
            self._tell(self._first, "registered" if self._first.stands else "registering")
        if not any(each.stands for each in self._all):
            self.stack.emit(events.Registering(self.identity))
        if not flow.stands:
            self._tell(flow, "registering")

    def registered(self, flow: Registration, granted: int, moved: bool, now: float) -> None:
        """It is accepted: look whether there is to be another one."""
        self._tried.pop(flow.number, None)
        self.stack.emit(events.Registered(self.identity, granted, moved))
        self._tell(flow, "registered")
        if not flow.by_outbound and self._second is not None:
            # RFC 5626 4.2.1: such a registrar would take two bindings for two phones
            self._single = True
            self._dismiss(TOLD_ONCE, now)
        else:
            self._begin_second(now)

    def lost(self, flow: Registration, reason: str, wait: float) -> None:
        """Calls come in over the other one, if that stands."""
        if not any(each.stands for each in self._all):
            self.stack.emit(events.RegistrationLost(self.identity, reason, wait))
        self._tell(flow, "failed", reason, wait)

    def failed(self, flow: Registration, status: int, reason: str, wait: float, now: float) -> None:
        """It was refused or not answered."""
        if flow is self._second and (reason == NO_OTHER_ADDRESS or status == LACKS_OUTBOUND):
            self._single = True
            self._dismiss(reason, now)
            return
        self._tell(flow, "failed", reason, wait)
        beside = self.beside(flow)
        if beside is None or beside.state not in _UNDER_WAY:
            self.stack.emit(events.RegistrationFailed(self.identity, status, reason, wait))

    def ended(self, flow: Registration, now: float) -> None:
        """It has ended as it was to."""
        if flow in self._leaving:
            self._leaving.remove(flow)
            self._begin_second(now)
        elif all(each.state is RegistrationState.IDLE for each in self._all):
            for each in self._all:
                self._tell(each, "ended")
            self._second, self.two = None, False
            self.stack.emit(events.RegistrationEnded(self.identity))

    def beside(self, flow: Registration) -> Registration | None:
        """Return the other one, None if this is the only one."""
        return self._second if flow is self._first else self._first if flow is self._second else None

    def moves_on(self, flow: Registration) -> bool:
        """Give it another server, which nobody uses; False if there is none that was not tried."""
        if not self.two or flow in self._leaving:
            return False  # with one flow the room above chooses the server
        tried = self._tried.setdefault(flow.number, set())
        tried.add(flow.server)
        beside = self.beside(flow)
        used = {*tried, beside.server} if beside is not None else tried
        free = next((each for each in range(len(self._servers)) if each not in used), None)
        if free is not None:
            flow.server = free
            return True
        tried.clear()
        flow.server = self._free_server(flow)
        return False

    # --- a second flow

    @property
    def _servers(self) -> tuple[object, ...]:
        identity = self.stack.identities.get(self.identity)
        return identity.proxies if identity is not None else ()

    def _free_server(self, flow: Registration) -> int:
        """Return the first server that the other flow does not use; its own where there is one server with two addresses."""
        beside = self.beside(flow)
        used = beside.server if beside is not None else -1
        return next((each for each in range(len(self._servers)) if each != used), max(used, 0))

    def _may_have_two(self) -> bool:
        identity = self.stack.identities.get(self.identity)
        if identity is None or self._single or not identity.instance:
            return False
        return len(identity.proxies) > 1 or not is_number(_host_of(identity))

    def _begin_second(self, now: float) -> None:
        """Begin a second flow where there may be one, but not before a former one's binding is gone: they have one reg-id."""
        first = self._first
        if first.stands and first.by_outbound and self._second is None and not self._leaving and self._may_have_two():
            self._second = Registration(self.stack, self.identity, self, 2)
            self._second.server = self._free_server(self._second)
            self._second.register(self._expires, now)

    def _dismiss(self, reason: str, now: float) -> None:
        """Do without a second flow."""
        second = self._second
        if second is None:
            return
        for each in self._all:
            self._tell(each, "ended", reason)
        self._second, self.two = None, False
        self._leaving.append(second)
        second.unregister(now)

    def _tell(self, flow: Registration, state: Literal["registering", "registered", "failed", "ended"], reason: str = "",
              retry_in: float | None = None) -> None:
        if self.two and flow not in self._leaving:
            remote = flow.flow.remote if flow.flow is not None else None
            self.stack.emit(events.RegistrationFlow(self.identity, flow.number, flow.server, state, remote, reason, retry_in))


def _host_of(identity: Identity) -> str:
    return (identity.proxy or identity.address.uri).target_host
