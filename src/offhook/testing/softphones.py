"""Phones for programs, driven each way: from inside, over the local socket, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from offhook import Softphone
from offhook.api.links import OwnPhone
from offhook.control.local import LocalServer
from offhook.storage.tokens import TokenFile
from offhook.testing.live import live_phone, quiet_config


def own_uri(phone: Softphone) -> str:
    """Return an address a phone of this program is reached under."""
    assert isinstance(phone._link, OwnPhone)
    return f"sip:offhook@127.0.0.1:{phone._link.phone.address[1]}"


@asynccontextmanager
async def own_phone() -> AsyncIterator[tuple[Softphone, str]]:
    """Run a phone in this program; gives it and its address."""
    async with Softphone(quiet_config(), journal="") as phone:
        yield phone, own_uri(phone)


@asynccontextmanager
async def served_phone(socket: Path) -> AsyncIterator[tuple[Softphone, str]]:
    """Run a phone with a local socket and drive it over that; gives the driver and the phone's address."""
    async with live_phone() as live:
        server = LocalServer(live.running, socket)
        await server.start()
        try:
            async with Softphone.connect(socket, reconnect=5.0) as phone:
                yield phone, live.uri
        finally:
            await server.close()


@asynccontextmanager
async def web_phone(folder: Path) -> AsyncIterator[tuple[Softphone, str]]:
    """Run a phone with the HTTP surface and drive it over its WebSocket; gives the driver and the phone's address."""
    from offhook.control.http.binding import Listen
    from offhook.control.http.server import HttpServer

    tokens = TokenFile(folder / "tokens.json")
    token = tokens.create("python")
    async with live_phone() as live:
        server = HttpServer(live.running, tokens, Listen())
        await server.start()
        try:
            async with Softphone.connect(url=server.url, token=token, reconnect=5.0) as phone:
                yield phone, live.uri
        finally:
            await server.close()


@asynccontextmanager
async def phone_by(way: str, folder: Path) -> AsyncIterator[tuple[Softphone, str]]:
    """Run a phone and drive it one of the ways."""
    made = own_phone() if way == "own" else served_phone(folder / "s") if way == "socket" else web_phone(folder)
    async with made as found:
        yield found
