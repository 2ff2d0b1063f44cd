"""SIP endpoints on a virtual wire: a caller, a callee, and a hand-played peer, one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from offhook.sip import events
from offhook.sip.endpoint import Endpoint
from offhook.sip.events import Body, Flow, Identity, TransportName
from offhook.sip.message import Request, Response
from offhook.sip.parsing import parse_message
from offhook.sip.responses import response_to
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.ids import SeededIds
from offhook.testing.wire import Node, Raw, Wire

SDP_TYPE: Final = "application/sdp"
OFFER: Final = Body(SDP_TYPE, b"v=0\r\no=offer\r\n")
ANSWER: Final = Body(SDP_TYPE, b"v=0\r\no=answer\r\n")


def add_endpoint(wire: Wire, name: str, host: str, *, seed: str = "", password: str = "", domain: str = "",
                 proxy: str = "", transport: TransportName = "udp") -> Node:
    """Put an endpoint with one identity (called like the node) on the wire."""
    node = wire.add(name, Endpoint(SeededIds(seed + name)), (host, 5060))
    address = NameAddr(Uri.sip(name, domain or host))
    node.execute(events.SetIdentity(Identity(
        name, address, password=password, proxy=Uri.parse(proxy) if proxy else None, transport=transport, contact_user=name)))
    return node


class Peer:
    """A peer played by hand: parsed messages in, messages out. `on_request` may answer by itself."""

    def __init__(self, wire: Wire, name: str, host: str, port: int = 5060) -> None:
        self.wire = wire
        self.raw = Raw(self._arrived)
        self.node = wire.add(name, self.raw, (host, port))
        self.got: list[Request | Response] = []
        self.on_request: Callable[[Request], None] | None = None
        self._flow: Flow | None = None

    def _arrived(self, happened: Any, _now: float) -> None:
        if isinstance(happened, events.Datagram | events.StreamChunk):
            self._flow = happened.flow
            message = parse_message(happened.data)
            self.got.append(message)
            if isinstance(message, Request) and self.on_request is not None:
                self.on_request(message)

    def requests(self, method: str) -> list[Request]:
        """Return the requests of a method so far, retransmissions included."""
        return [each for each in self.got if isinstance(each, Request) and each.method == method]

    def responses(self, method: str = "") -> list[Response]:
        """Return the responses so far (to a method)."""
        return [each for each in self.got if isinstance(each, Response) and (not method or each.cseq.method == method)]

    def send(self, message: Request | Response | bytes, to: Node | None = None) -> None:
        """Send to a node, or back to where the last message came from."""
        if to is not None:
            flow = Flow("udp", self.node.address, to.address)
        elif self._flow is not None:
            flow = self._flow
        else:
            raise ValueError("nobody to answer yet")
        self.node.execute(events.Transmit(flow, message if isinstance(message, bytes) else message.encode()))

    def answer(self, request: Request, status: int, *, tag: str = "", body: Body | None = None, contact: str = "",
               headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """Answer a request, and return the response (for sending it again)."""
        items = list(headers)
        if contact or (request.method == "INVITE" and 100 < status < 300):
            host = self.node.address[0]
            items.append(("Contact", contact or f"<sip:peer@{host}:5060>"))
        if body is not None:
            items.append(("Content-Type", body.content_type))
        response = response_to(request, status, "", tag, items)
        if body is not None:
            response.body = body.data
        self.send(response)
        return response
