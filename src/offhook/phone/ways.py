"""What the phone tells of its connections and of the network, and how calls move to a new address."""

from __future__ import annotations

from typing import Final

from offhook.phone.desk import Desk
from offhook.phone.events import NetworkChanged, TransportDown, TransportError, TransportUp
from offhook.phone.model import CallState
from offhook.phone.outgoing import Outgoing
from offhook.sip import events as s
from offhook.sip.stack import host_port

TOLD_FOR: Final = 60.0
"""Seconds for which the same trouble with the same far end is told once: a network that is down fails at every datagram."""
MAX_TOLD: Final = 256
"""Troubles remembered; then the memory starts afresh."""


class Ways:
    """Follows the flows that are ours; those of strangers who connect to us are not worth an event."""

    def __init__(self, desk: Desk, outgoing: Outgoing) -> None:
        self.desk = desk
        self.outgoing = outgoing
        self._told: dict[tuple[str, s.Address, str], float] = {}

    def up(self, item: s.FlowUp) -> None:
        """A connection of ours stands."""
        self._told.clear()
        flow = item.flow
        self.desk.emit(TransportUp(transport=flow.transport, remote=host_port(flow.remote), local=host_port(flow.local),
                                   security=item.detail))

    def failed(self, item: s.FlowFailed) -> None:
        """A flow is gone, or does not come about."""
        flow = item.flow
        if not flow.connection and self._is_news(item):
            told = TransportDown if item.stood else TransportError
            self.desk.emit(told(transport=flow.transport, remote=host_port(flow.remote), local=host_port(flow.local),
                                reason=item.reason))
        self.desk.sip.receive(item, self.desk.now)

    def _is_news(self, item: s.FlowFailed) -> bool:
        if item.stood:
            return True
        key = item.flow.transport, item.flow.remote, item.reason
        if self.desk.now < self._told.get(key, 0.0):
            return False
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told[key] = self.desk.now + TOLD_FOR
        return True

    def network_changed(self, item: s.NetworkChanged) -> None:
        """Tell it, register anew, and ask for every call under which address its far end sees us now.

        A call that rings is answered from there. One that we have placed and nobody has answered is placed anew.
        """
        self._told.clear()
        self.desk.emit(NetworkChanged(reason=item.reason))
        self.desk.sip.receive(item, self.desk.now)
        for call in list(self.desk.calls.values()):
            if call.state is not CallState.INCOMING or not call.local_sdp:
                self.outgoing.ask_address_again(call)
