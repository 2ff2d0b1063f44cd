"""A dialog: its tags, route set, remote target and sequence numbers (RFC 3261 chapter 12)."""

from __future__ import annotations

from typing import TypeAlias

from offhook.sip.events import SECURE, WEB, Flow
from offhook.sip.message import Request, Response
from offhook.sip.stack import Hop, Items, hop_to, host_port
from offhook.sip.uri import NameAddr, Uri

DialogKey: TypeAlias = tuple[str, str, str]
"""Call-ID, our tag, their tag."""


class Dialog:
    """One dialog seen from us. Mutable: sequence numbers, and the remote target when a request refreshes it."""

    __slots__ = (
        "asserted", "began", "call_id", "flow", "heard", "hop", "local", "local_cseq", "local_tag", "over_wss", "remote",
        "remote_cseq", "remote_tag", "routes", "target",
    )

    def __init__(self, call_id: str, local: NameAddr, remote: NameAddr, target: Uri, routes: list[NameAddr],
                 local_cseq: int, remote_cseq: int, flow: Flow | None) -> None:
        self.call_id = call_id
        self.local = local
        self.remote = remote
        self.local_tag = local.tag or ""
        self.remote_tag = remote.tag or ""
        self.target = target
        self.routes = routes
        self.local_cseq = local_cseq
        self.remote_cseq = remote_cseq
        self.flow = self.began = self.heard = flow
        """Where it is, where it began (who has redirected the call), and where its far end was heard first."""
        self.over_wss = flow is not None and flow.transport == "wss"
        self.hop: Hop | None = None
        self.asserted = ""
        """Whom our own server has named at its far end."""

    @classmethod
    def of_request(cls, request: Request, local_tag: str, flow: Flow) -> Dialog:
        """Open the callee's side (RFC 3261 12.1.1). Without a Contact, which is a mistake, From stands in."""
        contacts = request.contacts
        target = contacts[0].uri if contacts else request.from_.uri
        return cls(request.call_id, request.to.with_tag(local_tag), request.from_, target, request.record_routes, 0,
                   request.cseq.number, flow)

    @classmethod
    def of_response(cls, request: Request, response: Response, flow: Flow) -> Dialog:
        """Open the caller's side (RFC 3261 12.1.2): the route set is the Record-Route list backwards."""
        contacts = response.contacts
        target = contacts[0].uri if contacts else request.uri
        routes = _routes_of(response, flow)
        return cls(request.call_id, request.from_, response.to, target, routes, request.cseq.number, -1, flow)

    @property
    def key(self) -> DialogKey:
        """What requests inside it are matched by."""
        return self.call_id, self.local_tag, self.remote_tag

    def confirm(self, response: Response) -> None:
        """Recompute route set and target from the 2xx (RFC 3261 13.2.2.4)."""
        self.routes = _routes_of(response, self.flow)
        self.refresh(response)

    def refresh(self, message: Request | Response) -> None:
        """Take a new remote target from a target refresh request or its 2xx (RFC 3261 12.2)."""
        contacts = message.contacts
        if contacts:
            self.target = contacts[0].uri

    def accepts(self, number: int) -> bool:
        """Count the far end's CSeq; False if it is lower than what it already sent (RFC 3261 12.2.2)."""
        if number < self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def next_cseq(self) -> int:
        """Return the number for our next request."""
        self.local_cseq += 1
        return self.local_cseq

    def request_parts(self) -> tuple[Uri, Items, Uri]:
        """Return Request-URI, the fixed headers and the URI of the next hop (RFC 3261 12.2.1.1)."""
        items: Items
        if not self.routes:
            uri, items, hop = self.target, [], self.target
        elif self.routes[0].uri.is_loose:
            uri, items, hop = self.target, [("Route", str(route)) for route in self.routes], self.routes[0].uri
        else:
            # a strict router wants to be addressed itself, and finds the target at the end of the list
            uri = hop = self.routes[0].uri.without_params("method")
            items = [("Route", str(route)) for route in self.routes[1:]]
            items.append(("Route", f"<{self.target}>"))
        items += [("From", str(self.local)), ("To", str(self.remote)), ("Call-ID", self.call_id)]
        return uri, items, hop

    @property
    def is_orphan(self) -> bool:
        """Whether its WebSocket is gone, and no proxy has named another way than where that began."""
        return self.flow is None and not self.routes and self.began is not None and self.began.transport in WEB

    def way(self, uri: Uri) -> tuple[Hop, Flow | None]:
        """Return the next hop and, where it is the one we talked to last, the flow that leads there.

        Over a WebSocket it always does: what stands in Contact there (Asterisk's port for UDP, the inner address of a server
        behind another one) is often nowhere to connect to, and a web page has this one connection.
        """
        # RFC 7118 5.4: a URI says "ws" for both kinds; ours is the encrypted one if that is how we talk
        hop = hop_to(uri, "wss" if self.over_wss and uri.transport == "ws" else "udp")
        flow = self.flow
        if flow is not None and flow.transport in WEB and (self.over_wss or not hop.secure):
            return hop, flow
        if flow is None or not (hop == self.hop or hop.reached_by(flow)):
            return hop, None
        if uri.transport is not None and hop.transport != flow.transport:
            return hop, None
        return hop, flow

    def last_resort(self, hop: Hop) -> Flow | None:
        """Return the flow to take where `hop` leads nowhere; None where it is not as secure as that demands.

        RFC 3261 12.2.1.1 knows only Route and Contact. What they name may be known in the far end's own network alone: its 2xx
        would be left without an ACK then, and the call without an end. By UDP nothing tells whether an address is one that
        hears us, but that the far end was heard where it first came from.
        """
        flow, heard = self.flow, self.heard
        if heard is not None and (flow.transport if flow is not None else heard.transport) == "udp":
            flow = heard  # also after the network has changed, which ends connections
        return flow if flow is not None and (not hop.secure or flow.transport in SECURE) else None


def _routes_of(response: Response, flow: Flow | None) -> list[NameAddr]:
    """Return the caller's route set: the Record-Route list backwards (RFC 3261 12.1.2).

    A proxy whose name cannot be read is passed by, but for the one next to us: that is where the request went.
    """
    routes = response.record_routes[::-1]
    if flow is not None and response.hides_nearest:
        transport = "ws" if flow.transport == "wss" else flow.transport
        routes.insert(0, NameAddr(Uri.parse(f"sip:{host_port(flow.remote)};transport={transport};lr")))
    return routes


def key_of(request: Request) -> DialogKey:
    """Return the key of the dialog an incoming request belongs to."""
    return request.call_id, request.to.tag or "", request.from_.tag or ""


