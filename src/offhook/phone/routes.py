"""Under which address of ours another host sees us. The pure phone knows no routes: it asks, and goes on with the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from offhook.phone.call import Call
from offhook.phone.desk import Desk
from offhook.sip.events import ConnectionTerms, Resolve, Resolved
from offhook.sip.stack import Hop

OnRoute: TypeAlias = Callable[[Call, str, str, str], None]
"""Called with the call, our address ("" if there is no way), the transport that leads there, and else why not."""


class Routes:
    """The questions under way, by their numbers."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._asked: dict[int, tuple[str, OnRoute]] = {}

    def ask(self, call: Call, hop: Hop, then: OnRoute, terms: ConnectionTerms | None = None) -> None:
        """Ask for the way to `hop`; `then` is called once, unless the call is over by then."""
        # Negative numbers: the endpoint below counts its own queries upwards.
        query = -(len(self._asked) + self.desk.next_order())
        self._asked[query] = call.id, then
        self.desk.outbox.append(Resolve(query, hop.host, hop.port, hop.transport, hop.secure, terms))

    def resolved(self, answer: Resolved) -> None:
        """Take the answer to one of our own questions."""
        name, then = self._asked.pop(answer.query, ("", None))
        call = self.desk.calls.get(name)
        if call is None or then is None:
            return
        if answer.flows:
            flow = answer.flows[0]
            then(call, flow.local[0], flow.transport, "")
        else:
            then(call, "", "", answer.reason or "no address")
