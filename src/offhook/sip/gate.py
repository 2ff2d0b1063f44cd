"""The gate: what the door's rules mean for each message, given with whom we talk and what rings already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from offhook.sip.answering import Answering
from offhook.sip.dialog import key_of
from offhook.sip.door import RINGING_ALL, RINGING_EACH, Standing
from offhook.sip.events import Flow
from offhook.sip.message import Request
from offhook.sip.parsing import MessageError, answerable
from offhook.sip.session import Sessions, SessionState
from offhook.sip.stack import Stack
from offhook.sip.transactions import ServerTransaction

PEERS_KNOWN: Final = 0.25
"""Seconds for which the hosts we talk with are remembered while strangers shout: they are looked for again after that."""


class Gate:
    """Stands before an endpoint whose door is not open to everybody. `answer_fault` answers without a transaction."""

    def __init__(self, stack: Stack, sessions: Sessions, answer_fault: Callable[[Flow, MessageError], None]) -> None:
        self.door = stack.door
        self._stack = stack
        self._sessions = sessions
        self._answer_fault = answer_fault
        self._peers_known: tuple[frozenset[str], float] = frozenset(), float("-inf")

    def glance(self, flow: Flow, now: float) -> bool:
        """Say whether what came this way is worth reading."""
        return self.door.glance(flow.remote[0], now) or flow.remote[0] in self._peers(now)

    def _peers(self, now: float) -> frozenset[str]:
        """Return the hosts we are in a call with or have asked something; they may go on although strangers shout."""
        known, at = self._peers_known
        if at > now - PEERS_KNOWN:
            return known
        hosts = {client.flow.remote[0] for client in self._stack.transactions.clients.values()}
        for session in self._sessions.by_id.values():
            dialog = session.dialog
            if dialog is not None:
                hosts.add(dialog.target.target_host)
                if dialog.flow is not None and session.is_established:
                    hosts.add(dialog.flow.remote[0])
        self._peers_known = frozenset(hosts), now
        return self._peers_known[0]

    def is_strange(self, flow: Flow) -> bool:
        """Say whether this comes from somebody we do not know."""
        return self.door.source(flow.remote[0]).standing is not Standing.KNOWN

    def admits(self, flow: Flow, request: Request, server: ServerTransaction | None, now: float) -> bool:
        """Say whether a request is let in: always what belongs to a dialog, of a stranger only so much."""
        door, host = self.door, flow.remote[0]
        if request.to.tag and key_of(request) in self._sessions.dialogs:
            return True
        standing = door.source(host).standing
        if standing is Standing.KNOWN:
            return True
        if not door.charge(host, now):
            return False
        if server is not None or request.method == "ACK":
            return True
        if standing is Standing.SHUT_OUT:
            door.tell(host, f"{request.method} from a network that is not accepted", now)
            if flow.transport != "udp":
                # Over UDP silence: who forges or scans learns nothing. Here the sender is who it seems to be.
                self._answer_fault(flow, MessageError("not accepted from there", status=403, partial=answerable(request)))
            return False
        if request.to.tag:
            door.tell(host, f"{request.method} for a dialog that does not exist", now)
        return True

    def rings_enough(self, flow: Flow, now: float) -> bool:
        """Say whether as many of strangers ring as may."""
        door, host = self.door, flow.remote[0]
        if not door.rules.rate or (source := door.source(host)).standing is Standing.KNOWN:
            return False
        ringing = [door.source(session.server.flow.remote[0]) for session in self._sessions.by_id.values()
                   if isinstance(session, Answering) and session.state is SessionState.INCOMING]
        strangers = [each for each in ringing if each.standing is not Standing.KNOWN]
        if len(strangers) < RINGING_ALL and strangers.count(source) < RINGING_EACH:
            return False
        door.tell(host, "too many calls at the same time", now)
        return True
