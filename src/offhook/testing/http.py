"""A real HTTP server on a free loopback port before any phone, for tests of what is served over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offhook.control.backend import Backend
from offhook.control.http.binding import Listen
from offhook.control.http.idempotency import Store
from offhook.control.http.server import HttpServer
from offhook.control.http.surface import Surface
from offhook.storage.tokens import SCOPES, TokenFile

PATIENCE = 30.0
"""Seconds a test waits for something that normally takes milliseconds."""


@dataclass
class Served:
    """A running server, its phone and its tokens. `token` may do everything."""

    server: HttpServer
    backend: Backend
    tokens: TokenFile
    token: str

    @property
    def url(self) -> str:
        """Where it is."""
        return self.server.url

    @property
    def port(self) -> int:
        """Its port."""
        return self.server.address[1]

    @property
    def bearer(self) -> dict[str, str]:
        """The header of a client that may do everything."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def surface(self) -> Surface:
        """What its requests share."""
        assert self.server.surface is not None
        return self.server.surface

    async def raw(self, data: bytes) -> bytes:
        """Send bytes as they are, and return everything that comes until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(PATIENCE):
                return await reader.read()
        finally:
            writer.close()

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the loop turn until it holds."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, "waited in vain"
            await asyncio.sleep(0.001)


@asynccontextmanager
async def serving(
    backend: Backend, folder: Path, *, requests: Callable[[], Store] | None = None, **listen: Any
) -> AsyncIterator[Served]:
    """Serve `backend` during the block, with the tokens in `folder`; the first of them may do everything."""
    tokens = TokenFile(folder / "tokens.json")
    token = tokens.create("all", SCOPES) if not tokens.list() else ""
    server = HttpServer(backend, tokens, Listen(**listen), requests)
    await server.start()
    try:
        yield Served(server, backend, tokens, token)
    finally:
        await server.close()
