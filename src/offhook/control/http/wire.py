"""The connections: uvicorn's two protocols with limits, so that no client can hold one for nothing or fill the memory."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from offhook.control.http.limits import HEAD_WITHIN, MAX_CONNECTIONS, MAX_HEAD, MAX_TARGET, UNHEARD_SECONDS
from offhook.control.http.problems import MEDIA_TYPE, HttpRefusal, problem_object
from offhook.control.session import FLUSH_SECONDS, MAX_UNSENT, STALL_SECONDS

if TYPE_CHECKING:
    from websockets.http11 import Request

EXTENSION: Final = "offhook"
"""Where the application finds its connection in the scope."""

UNFRAMED: Final = "offhook.unframed"
"""Where it finds uvicorn's exchange with a client of HTTP/1.0, which knows no chunks: a stream ends with its connection."""

_PHRASES: Final = {400: b"Bad Request", 408: b"Request Timeout", 414: b"URI Too Long", 431: b"Request Header Fields Too Large",
                   503: b"Service Unavailable"}  # fmt: skip


class Stall:
    """Notices that a client takes nothing any more: then `is_over`, and whoever waits to write is woken to say goodbye."""

    def __init__(self) -> None:
        self.is_over = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, connection: HttpConnection | SocketConnection) -> None:
        """The buffer is full."""
        self._timer = asyncio.get_running_loop().call_later(STALL_SECONDS, self._end, connection)

    def stop(self) -> None:
        """The client reads again, or is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, connection: HttpConnection | SocketConnection) -> None:
        self.is_over = True
        connection.let_go()


class HttpConnection(HttpToolsProtocol):
    """One HTTP connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stall = Stall()
        self._due: asyncio.TimerHandle | None = None
        self._head = 0
        self._in_head = True
        self._handed_over = False  # it is a WebSocket now
        self._refusal = HttpRefusal("malformed", "this is not HTTP")
        self._data = b""  # what the parser is reading
        self._again = b""  # what of it has to be read again

    # --- life

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _prepare(transport)
        transport.set_write_buffer_limits(high=MAX_UNSENT)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(HttpRefusal("overloaded", f"at most {MAX_CONNECTIONS} connections", retry_after=5))
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_no_more()
        self.stall.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stall.begin(self)

    def resume_writing(self) -> None:
        self.stall.stop()
        super().resume_writing()

    def let_go(self) -> None:
        """The client has taken nothing for too long: a stream says its last word, and the connection is cut soon."""
        self.flow.resume_writing()
        self.loop.call_later(FLUSH_SECONDS, self.transport.abort)

    # --- requests

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head += len(data)
        while data:
            self._data, self._again = data, b""
            super().data_received(data)
            data = self._again
        self._data = b""
        if self._handed_over:
            return
        if self._in_head and self._head > MAX_HEAD and not self.transport.is_closing():
            self._refuse(HttpRefusal("head-too-large", f"at most {MAX_HEAD} bytes"))
        elif self._in_head and self._due is None and self.timeout_keep_alive_task is None and self._is_silent:
            self._expect()  # an empty line between requests must not keep the connection for ever

    @property
    def _is_silent(self) -> bool:
        """Whether no answer is under way."""
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]  # None before the first

    @property
    def _may_answer(self) -> bool:
        """Whether nothing has been said to this request, and everything to those before it."""
        if self._in_head or self.cycle is None:
            return self._is_silent
        return not self.pipeline and not self.cycle.response_started

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._expect()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_TARGET:
            self._fail(HttpRefusal("target-too-long", f"at most {MAX_TARGET} bytes"))

    def on_headers_complete(self) -> None:
        if self._would_rather_speak_another:
            return
        self._in_head = False
        self._head = 0
        if sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            self._fail(HttpRefusal("head-too-large", f"at most {MAX_HEAD} bytes"))
        self.scope[EXTENSION] = self  # type: ignore[typeddict-unknown-key]  # ASGI lets servers add their own
        super().on_headers_complete()
        if self.scope["http_version"] == "1.0":
            self.scope[UNFRAMED] = self.cycle  # type: ignore[typeddict-unknown-key]

    def on_message_complete(self) -> None:
        if self._would_rather_speak_another:
            return
        self._expect_no_more()
        self._in_head = True
        super().on_message_complete()

    @property
    def _would_rather_speak_another(self) -> bool:
        """Whether the client offers another protocol, no WebSocket, as Java's HttpClient does (h2c): this one is spoken."""
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT" and not self._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Read a request again without its offer: with it the parser takes the end of the head for the end of the request."""
        stopped = sys.exception()
        if not isinstance(stopped, httptools.HttpParserUpgrade) or not self._would_rather_speak_another:
            return
        head = [b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        head += [b"%s: %s\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
        self._again = b"".join([*head, b"\r\n", self._data[stopped.args[0] :]])

    def handle_websocket_upgrade(self) -> None:
        self._expect_no_more()
        self._handed_over = True
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused; its own words stay out of the answer."""
        self._refuse(self._refusal)

    def _fail(self, refusal: HttpRefusal) -> None:
        """Stop the parser, from inside one of its callbacks."""
        self._refusal = refusal
        raise httptools.HttpParserError(refusal.code)

    def _refuse(self, refusal: HttpRefusal) -> None:
        """Answer without an application and close, unless this request has an answer (begun) already: then only close."""
        self._expect_no_more()
        if self._may_answer:
            self.transport.write(_raw_answer(refusal))
        self.transport.close()
        self.loop.call_later(FLUSH_SECONDS, self.transport.abort)

    def _expect(self) -> None:
        self._expect_no_more()
        self._due = self.loop.call_later(HEAD_WITHIN, self._too_late)

    def _expect_no_more(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _too_late(self) -> None:
        self._due = None
        if not self.transport.is_closing():
            self._refuse(HttpRefusal("request-timeout", f"a whole request within {HEAD_WITHIN:.0f} s"))


class SocketConnection(WebSocketsSansIOProtocol):
    """One WebSocket. `push` writes frames that are made already, many of them at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stall = Stall()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=MAX_UNSENT)

    def connection_lost(self, exc: Exception | None) -> None:
        self.stall.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stall.begin(self)

    def resume_writing(self) -> None:
        self.stall.stop()
        super().resume_writing()

    def let_go(self) -> None:
        """The client has taken nothing for too long."""
        self.writable.set()
        self.cut_soon()

    def cut_soon(self) -> None:
        """End the connection in a moment, whether or not the client has read the last words."""
        self.loop.call_later(FLUSH_SECONDS, self.transport.abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.cut_soon()  # a client that is gone takes nothing: without this the connection would stay for minutes

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope[EXTENSION] = self  # type: ignore[typeddict-unknown-key]  # ASGI lets servers add their own

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # refused, and answered; uvicorn would call that a mistake in the phone's log

    def send_receive_event_to_app(self) -> None:
        # RFC 6455 8.1: text that is not UTF-8 fails the connection.
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.conn.fail(1007, "not UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    async def push(self, frames: bytes) -> bool:
        """Write frames made by `text_frames`; False once the connection is closing."""
        if not self.writable.is_set():
            await self.writable.wait()
        if self.disconnected or self.close_sent or not self.handshake_complete or self.transport.is_closing():
            return False
        self.transport.write(frames)
        return True


def text_frames(messages: list[bytes]) -> bytes:
    """Return messages as unmasked text frames (RFC 6455 5.2): the same bytes for every client, so made once."""
    return b"".join([part for message in messages for part in (_frame_head(len(message)), message)])


def _frame_head(length: int) -> bytes:
    if length < 126:
        return bytes((0x81, length))
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


def _raw_answer(refusal: HttpRefusal) -> bytes:
    import msgspec

    body = msgspec.json.encode(problem_object(refusal))
    retry = b"retry-after: %d\r\n" % refusal.retry_after if refusal.retry_after else b""
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n%sconnection: close\r\n\r\n"
        % (refusal.status, _PHRASES[refusal.status], MEDIA_TYPE.encode(), len(body), retry)
        + body
    )


def _prepare(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is None:
        return
    # Small answers and events must not wait for the acknowledgement of what went before (Nagle).
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A client whose machine is gone says nothing: without these an event stream to it would stay for a quarter of an hour.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNHEARD_SECONDS * 1000))
