"""Where a request outside dialogs goes, as far as those who are asked send it on (RFC 3261 8.1.3.4)."""

from __future__ import annotations

from offhook.sip.calling import first_hop
from offhook.sip.events import Flow, Identity
from offhook.sip.message import Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.redirects import MAX_REDIRECTS, USE_PROXY, targets
from offhook.sip.stack import Hop, Items, Stack, encrypted
from offhook.sip.uri import Uri


class Trail:
    """The addresses of one MESSAGE or SUBSCRIBE, one after another."""

    __slots__ = ("_left", "_tried", "_via", "began", "identity", "stack", "target")

    def __init__(self, stack: Stack, identity: Identity, target: Uri) -> None:
        self.stack = stack
        self.identity = identity
        self.target = target
        self.began: Flow | None = None  # who has sent it on, where that leads to another server of the account
        self._via: Uri | None = None  # the proxy that a 305 named
        self._tried = [target]
        self._left: list[tuple[Uri, int, Flow | None]] = []

    def goes_on(self, out: Outgoing, status: int, response: Response | None) -> bool:
        """Whether there is another address to ask after this answer; it is taken then."""
        if response is not None and 300 <= status < 400:
            known = [*self._tried, *(uri for uri, _, _ in self._left)]
            self._left += [(uri, status, out.flow) for uri in targets(response, known)]
        if not 300 <= status < 600 or not self._left or len(self._tried) > MAX_REDIRECTS:
            return False
        uri, why, said_at = self._left.pop(0)
        self._tried.append(uri)
        self.began = said_at if self.stack.door.may_lead(self.identity, uri) else None
        if why == USE_PROXY:
            self._via = uri if uri.is_loose else uri.with_param("lr")
        else:
            self.target, self._via = uri, None
        return True

    def way(self) -> tuple[Hop, Items]:
        """Return the next hop, and the Route headers of the way there."""
        identity, stack, via = self.identity, self.stack, self._via
        hop = first_hop(identity, via or self.target, stack.service_route(identity))
        routes = stack.routes_of(identity)
        if via is not None:
            routes.append(("Route", f"<{via}>"))
        return encrypted(hop) if self.target.scheme == "sips" else hop, routes
