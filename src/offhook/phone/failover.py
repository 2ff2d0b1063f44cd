"""An account's further servers: the next one when one cannot be reached, back to the first; two at once by RFC 5626."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import structs

from offhook.phone.desk import UNREACHABLE, Account, Desk
from offhook.phone.events import AccountFailover, AccountFlowDown, AccountFlowUp, AccountRegisterFailed
from offhook.phone.identities import hidden_identity_of, identity_of
from offhook.phone.model import AccountFlow, AccountView
from offhook.sip.events import Register, RegistrationFlow, RemoveIdentity, RequestDone, SendRequest, SetIdentity
from offhook.sip.stack import host_port
from offhook.sip.uri import Uri

LOOK_BACK: Final = 60.0
"""Seconds between looks whether the first server is well again."""
PROBE: Final = "~probe"
"""What an account's id ends with in the identity, and the request, that asks the first server."""

class Failover:
    """Chooses the server of each account. `view` shows an account."""

    def __init__(self, desk: Desk, view: Callable[[Account], AccountView]) -> None:
        self.desk = desk
        self._view = view

    def use(self, account: Account, server: int) -> None:
        """Let everything new go through this one of the account's servers."""
        desk, settings = self.desk, account.settings
        account.server = server
        desk.signal(SetIdentity(identity_of(settings, desk.user_agent, desk.settings.instance_id, server)))
        if settings.hide_caller_id:
            desk.signal(SetIdentity(hidden_identity_of(settings, desk.user_agent, server)))

    def failed(self, account: Account) -> bool:
        """Go on to the next server, if the failure speaks of this one; say whether there was a next one."""
        if len(account.servers) < 2 or account.flows or account.sip_status not in UNREACHABLE:
            return False  # two flows go on by themselves
        if account.server + 1 == len(account.servers):
            self.use(account, 0)  # none is left: the next attempt, after its wait, begins anew
            return False
        reason = account.reason
        account.retry_at = self.desk.now
        self.desk.emit(AccountRegisterFailed(account=self._view(account)))
        self._move(account, account.server + 1, reason)
        return True

    def _move(self, account: Account, server: int, reason: str) -> None:
        self.use(account, server)
        account.state, account.failed, account.retry_at = "registering", False, None
        self.desk.emit(AccountFailover(account=self._view(account), reason=reason))
        self.desk.signal(Register(account.settings.id, account.settings.expires))

    def flow(self, event: RegistrationFlow) -> None:
        """One of two flows has come or gone: tell it, and let what is new go through a server whose flow stands."""
        account = self.desk.accounts.get(event.identity)
        if account is None:
            return
        remote = host_port(event.remote) if event.remote is not None else ""
        server = account.servers[event.server] if event.server < len(account.servers) else ""
        flow = AccountFlow(event.number, server, event.state, remote, event.reason, event.retry_in)
        known = account.flows.pop(event.number, None)
        account.flows_retry_at.pop(event.number, None)
        if event.state != "ended":
            account.flows[event.number] = flow
            if event.retry_in is not None:
                account.flows_retry_at[event.number] = self.desk.now + event.retry_in
        self._choose(account, event)
        if event.state == "registered" and (known is None or known.state != "registered" or known.remote != remote):
            self.desk.emit(AccountFlowUp(account=self._view(account), flow=flow))
        elif event.state == "failed" or (event.state == "ended" and event.reason):
            self.desk.emit(AccountFlowDown(account=self._view(account), flow=flow))

    def _choose(self, account: Account, event: RegistrationFlow) -> None:
        """Use the first server that has a flow; where none has, what is in use stays."""
        stand = [account.servers.index(flow.server) for flow in account.flows.values() if flow.state == "registered"]
        if stand and min(stand) != account.server:
            self.use(account, min(stand))
            reason = event.reason or f"flow {event.number} stands again"
            self.desk.emit(AccountFailover(account=self._view(account), reason=reason))

    def registered(self, account: Account) -> None:
        """While another server than the first is used, look now and then whether the first is well."""
        if account.server and account.looks_back is None:
            account.looks_back = self.desk.timers.start(self.desk.now + LOOK_BACK, lambda _now: self._look_back(account))

    def unregistered(self, account: Account) -> None:
        """Look no more: an account that is not to be registered would be, by what the first server answers."""
        if account.looks_back is not None:
            account.looks_back.stop()
            account.looks_back = None

    def _look_back(self, account: Account) -> None:
        name = account.settings.id
        if not account.server or account.flows or self.desk.accounts.get(name) is not account or self.desk.stopping:
            account.looks_back = None
            return
        probe = structs.replace(identity_of(account.settings, self.desk.user_agent), id=name + PROBE)
        self.desk.signal(SetIdentity(probe))
        target = Uri("sip", None, probe.address.uri.host, probe.address.uri.port)
        self.desk.signal(SendRequest(name + PROBE, name + PROBE, "OPTIONS", target))

    def request_done(self, event: RequestDone) -> bool:
        """Take the answer of the first server; say whether it was one of our questions."""
        name = event.request.removesuffix(PROBE)
        if name == event.request:
            return False
        self.desk.attempt(RemoveIdentity(event.request))
        account = self.desk.accounts.get(name)
        if account is None or account.looks_back is None:
            return True
        account.looks_back = None
        if not account.server:
            return True
        if event.status in UNREACHABLE:
            self.registered(account)
        else:
            self._move(account, 0, "the first server answers again")
        return True
