"""Two phones that can call each other, driven both ways: from inside, and over a local socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from offhook import Softphone
from offhook.api.links import OwnPhone
from offhook.control.local import LocalServer
from offhook.exchange.server import Exchange
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


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """Return a practice exchange. Ask for it before `phone`, which then has somebody to say goodbye to."""
    running = Exchange(port=0)
    await running.start()
    yield running
    await running.close()


@pytest.fixture(params=["own", "socket"])
async def phone(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Softphone]:
    """Return a phone, driven from inside or over its socket."""
    made = own_phone() if request.param == "own" else served_phone(tmp_path / "s")
    async with made as (driver, _):
        yield driver


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[tuple[Softphone, str]]:
    """Return another phone and its address."""
    async with own_phone() as made:
        yield made
