"""The HTTP surface's life: a listening socket, uvicorn's protocols on it, and an end that leaves no stream hanging."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from uvicorn.server import ServerState

from offhook.control.access import Denials
from offhook.control.audio.dialects import MAX_MESSAGE
from offhook.control.backend import Backend
from offhook.control.http.binding import Listen, check_bind, listening_socket, tls_context
from offhook.control.http.dispatch import Application
from offhook.control.http.guard import Guard, Tokens
from offhook.control.http.idempotency import Store
from offhook.control.http.limits import IDLE_SECONDS, PING_SECONDS
from offhook.control.http.surface import Surface
from offhook.control.http.wire import HttpConnection, SocketConnection
from offhook.control.session import FLUSH_SECONDS
from offhook.errors import SetupError
from offhook.phone.events import SystemError

BACKLOG: Final = 128
TLS_WITHIN: Final = 10.0
"""Seconds a TLS handshake may take."""

READ_WITHIN: Final = 0.2
"""Seconds for which the start waits for the file of earlier requests; behind that only those that need it wait."""


class HttpServer:
    """Serves one phone over HTTP. `start` raises SetupError for what must be mended first.

    `requests` opens the file of what was asked with an Idempotency-Key; without it that ends with the phone.
    """

    def __init__(
        self, backend: Backend, tokens: Tokens, listen: Listen, requests: Callable[[], Store] | None = None
    ) -> None:
        self._backend = backend
        self._tokens = tokens
        self._listen = listen
        self._requests = requests
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._reading: asyncio.Task[None] | None = None
        self.surface: Surface | None = None
        self.library: uvicorn.Config | None = None
        self.address = ("", 0)

    @property
    def url(self) -> str:
        """How programs reach it."""
        host, port = self.address
        scheme = "https" if self._listen.certificate else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    async def start(self) -> None:
        """Listen from now on."""
        check_bind(self._listen, bool(self._tokens.list()))
        loop = asyncio.get_running_loop()
        tell: Callable[[str], None] = lambda reason: self._backend.say(SystemError(reason=reason))  # noqa: E731 - typed in place
        context = await loop.run_in_executor(None, tls_context, self._listen, tell) if self._listen.certificate else None
        listener = listening_socket(self._listen)
        self.address = listener.getsockname()[:2]
        self.surface = Surface(self._backend, self._guard(), self._requests)
        self._reading = loop.create_task(self._know_requests(self.surface))
        await asyncio.wait({self._reading}, timeout=READ_WITHIN)
        config = self.library = _config(Application(self.surface))
        with_tls: dict[str, Any] = {"ssl": context, "ssl_handshake_timeout": TLS_WITHIN} if context else {}
        self._server = await loop.create_server(
            lambda: HttpConnection(config=config, server_state=self._state, app_state={}, _loop=loop),
            sock=listener, backlog=BACKLOG, **with_tls,
        )  # fmt: skip

    async def close(self) -> None:
        """Stop listening, let every stream say its last word, and cut off who does not read it within a moment."""
        if self._server is None or self.surface is None:
            return
        self._server.close()
        self._server = None
        self.surface.close()
        for connection in tuple(self._state.connections):
            if isinstance(connection, HttpConnection):
                connection.shutdown()
        if tasks := tuple(self._state.tasks):
            await asyncio.wait(tasks, timeout=FLUSH_SECONDS)
        left = tuple(self._state.connections)
        for connection in left:
            connection.transport.close()
        if any(connection.transport.get_write_buffer_size() for connection in left):
            await asyncio.sleep(FLUSH_SECONDS)
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        if tasks := tuple(self._state.tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=FLUSH_SECONDS)
        await self.surface.replays.close()
        if self._reading is not None:
            await asyncio.wait({self._reading})
        await asyncio.sleep(0)  # closed connections say so in the loop's next turn

    async def _know_requests(self, surface: Surface) -> None:
        try:
            await surface.replays.ready()
        except SetupError as error:
            text = f"requests with an Idempotency-Key are refused: {error}; each of them tries again"
            self._backend.say(SystemError(reason=text))

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._state.connections)

    def _guard(self) -> Guard:
        host = self._listen.host
        everywhere = ipaddress.ip_address(host).is_unspecified
        hosts = (*self._listen.hosts, f"[{host}]" if ":" in host else host)
        denials = Denials(self._backend, "http", time.monotonic)
        return Guard(self._tokens, denials, hosts=hosts, any_address=everywhere, origins=self._listen.origins)


def _config(application: Application) -> uvicorn.Config:
    config = uvicorn.Config(
        application, http=HttpConnection, ws=SocketConnection, interface="asgi3", lifespan="off",
        # Warnings of the library are about what strangers send; they must not fill a log.
        log_config=None, log_level="error", access_log=False,
        proxy_headers=False, server_header=False, date_header=False, timeout_keep_alive=IDLE_SECONDS,
        ws_max_size=MAX_MESSAGE, ws_ping_interval=PING_SECONDS, ws_ping_timeout=PING_SECONDS, ws_per_message_deflate=False,
    )  # fmt: skip
    config.load()
    return config
