"""SIP over WebSocket (RFC 7118), on top of a TCP or TLS connection: one message of SIP is one message of the WebSocket."""

from __future__ import annotations

from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from offhook.io import clock
from offhook.io.connection import MAX_PENDING, Connection, Owner
from offhook.sip.events import Datagram, Flow, StreamChunk, TransportName
from offhook.sip.parsing import MAX_MESSAGE
from offhook.sip.stack import default_port

SIP: Final = Subprotocol("sip")
"""RFC 7118 4.1: the sub-protocol both ends have to agree on."""


class WebConnection(Connection):
    """A connection that begins with the handshake of HTTP. A double line end is sent as a Ping (RFC 7118 6)."""

    def __init__(self, owner: Owner, kind: TransportName, flow: Flow | None = None) -> None:
        super().__init__(owner, kind, flow)
        self._web: ClientProtocol | ServerProtocol
        if flow is not None:
            self._web = ClientProtocol(parse_uri(_uri_of(flow)), subprotocols=[SIP], max_size=MAX_MESSAGE)
        else:
            self._web = ServerProtocol(subprotocols=[SIP], max_size=MAX_MESSAGE)
        self._pieces: list[bytes] = []

    def begin(self) -> None:
        if isinstance(self._web, ClientProtocol):
            self._web.send_request(self._web.connect())
            self._flush()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self.used_at = clock.now()
        if self.closing:
            return
        self._web.receive_data(data)
        for event in self._web.events_received():
            self._take(event)
        self._flush()
        if self.transport is not None and self.transport.get_write_buffer_size() > MAX_PENDING:
            self.owner.overflow(self)  # of Pongs: each Ping makes one, and it reads none
            self.abort()
        elif not self.stood and self._web.handshake_exc is not None:
            self.owner.lost(self, f"no WebSocket there: {_plain(self._web.handshake_exc)}")
            self.abort()
        elif self._web.close_expected() and self.transport is not None:
            self.owner.lost(self, self._why_closed())
            self.transport.close()

    def _why_closed(self) -> str:
        """Return why it is over: what the far end says, or what it did wrong (RFC 6455 7.1.7)."""
        wrong, said = self._web.parser_exc, self._web.close_rcvd
        if isinstance(wrong, WebSocketException):
            return f"what came is no WebSocket: {str(wrong)[:200]}"
        if said is None or said.code == CloseCode.NORMAL_CLOSURE:
            return "the peer closed the connection"
        return f"the peer closed the connection: {str(said)[:200]}"

    def _take(self, event: Request | Response | Frame) -> None:
        if isinstance(event, Request):
            self._answer(event)
        elif isinstance(event, Response):
            self._judge()
        elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if event.data:  # empty ones count towards no limit, and could come for ever
                self._pieces.append(bytes(event.data))
            if event.fin:
                message, self._pieces = b"".join(self._pieces), []
                if self.flow is not None:
                    self.owner.deliver(Datagram(self.flow, message))
        elif event.opcode is Opcode.PONG and self.flow is not None:
            self.owner.deliver(StreamChunk(self.flow, b"\r\n"))

    def _answer(self, request: Request) -> None:
        """Accept who wants to speak SIP, and nobody else."""
        if not isinstance(self._web, ServerProtocol):
            return
        response = self._web.accept(request)
        if response.status_code == 101 and self._web.subprotocol != SIP:
            response = self._web.reject(400, "This WebSocket speaks the sub-protocol sip\n")
        self._web.send_response(response)
        self.stood = self._web.state is State.OPEN

    def _judge(self) -> None:
        if self._web.state is not State.OPEN:
            return
        if self._web.subprotocol != SIP:
            self.owner.lost(self, "the WebSocket there does not speak SIP (it did not agree to the sub-protocol)")
            self.abort()
        else:
            self.ready()

    def put(self, data: bytes) -> None:
        if self._web.state is not State.OPEN:
            return
        if not data.strip(b"\r\n"):
            # RFC 6455 5.5.3: a Pong needs no words of ours; a lone line end would be one
            if len(data) > 2:
                self._web.send_ping(b"")
        elif _is_text(data):
            self._web.send_text(data)
        else:
            self._web.send_binary(data)
        self._flush()

    def close(self) -> None:
        if not self.closing and self._web.state is State.OPEN:
            self._web.send_close(1000)
            self._flush()
        super().close()

    def _flush(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            for data in self._web.data_to_send():
                if data:
                    self.transport.write(data)


def _uri_of(flow: Flow) -> str:
    host, port = flow.remote
    terms = flow.terms
    name = terms.name if terms is not None and terms.name and not terms.name.startswith("*") else host
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    where = name if port == default_port(flow.transport) else f"{name}:{port}"
    return f"{flow.transport}://{where}{terms.path if terms is not None else '/'}"


def _plain(error: Exception) -> str:
    text = str(error) if isinstance(error, InvalidHandshake) else type(error).__name__
    return text[:200]


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
