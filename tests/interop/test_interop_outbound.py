"""Two flows (RFC 5626) to Kamailio: its outbound, path and registrar modules as two edge proxies before a registrar."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offhook.phone.commands import Answer, Dial, Hangup, ListAccounts
from offhook.phone.settings import AccountSettings
from offhook.testing.edges import Kamailios, kamailios
from offhook.testing.kamailio import kamailio
from offhook.testing.live import LivePhone, live_phone, quiet_config

pytestmark = pytest.mark.interop

PASSWORDS = {"1001": "secret-1", "1002": "secret-2"}
INSTANCE = "urn:uuid:00000000-0000-1000-8000-00000000{:04}"


@pytest.fixture
def proxies(tmp_path: Path) -> Iterator[Kamailios]:
    with kamailios(tmp_path, PASSWORDS) as running:
        yield running


def account(proxies: Kamailios, user: str, transport: str, **changes: Any) -> AccountSettings:
    one, two = (f"sip:127.0.0.1:{port};lr" for port in proxies.edges)
    settings = AccountSettings(
        id="kam", domain=proxies.domain, username=user, password=PASSWORDS[user], proxy=one, backups=(two,),
        transport=transport,  # type: ignore[arg-type]  # one of the transports
    )
    return replace(settings, **changes)


def caller(proxies: Kamailios) -> AccountSettings:
    """Return an account that needs no edge."""
    return account(proxies, "1002", "udp", proxy="", backups=(), outbound=False)


class Wire:
    """A TCP wire to a port that can be cut: with an end to the connection, or so that nobody notices."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self.calls = 0
        """INVITEs that came to the phone since it was mended."""
        self._up = True
        self._ends: list[asyncio.StreamWriter] = []

    def cut(self, *, silently: bool) -> None:
        self._up = False
        if not silently:
            self._close()

    def mend(self) -> None:
        self._close()
        self._up, self.calls = True, 0

    def _close(self) -> None:
        for end in self._ends:
            end.close()
        self._ends.clear()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._up:
            writer.close()
            return
        there, to_there = await asyncio.open_connection("127.0.0.1", self._target)
        self._ends += [writer, to_there]
        with contextlib.suppress(OSError):
            await asyncio.gather(self._carry(reader, to_there), self._carry(there, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.calls += data.startswith(b"INVITE ")
            if self._up:
                writer.write(data)
        writer.close()


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    wire = Wire(port)
    server = await asyncio.start_server(wire.connected, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        wire.cut(silently=False)


@asynccontextmanager
async def phone(settings: AccountSettings) -> AsyncIterator[LivePhone]:
    config = quiet_config(status_linger=0.2, instance_id=INSTANCE.format(settings.username))
    async with live_phone(replace(config, accounts=(settings,))) as running:
        yield running


def flows(phone: LivePhone) -> list[str]:
    return [flow.state for flow in phone.execute(ListAccounts()).value[0].flows]


async def stand(phone: LivePhone, *states: str) -> None:
    await phone.until(lambda: flows(phone) == list(states), f"flows {states}")


async def rings(caller: LivePhone, callee: LivePhone, *, ends: bool = True) -> None:
    """Call, answer and hang up: the callee does, unless its requests would go past the wire."""
    since = len(callee.events)
    caller.execute(Dial(to="1001"))
    await callee.event("call.incoming", since)
    callee.execute(Answer())
    await caller.reaches(2)
    await callee.reaches(2)
    (callee if ends else caller).execute(Hangup())
    for each in (caller, callee):
        await each.over()


@pytest.fixture(autouse=True)
def of_a_tests_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the wait after a failure, and that for the answer to a keep-alive, shorter than a test."""
    monkeypatch.setattr("offhook.sip.registration.BACKOFF_BESIDE", 1.0)
    monkeypatch.setattr("offhook.sip.keepalive.STUN_ATTEMPTS", 2)
    monkeypatch.setattr("offhook.sip.keepalive.T1", 0.1)
    monkeypatch.setattr("offhook.sip.keepalive.PONG_WITHIN", 1.0)


@pytest.mark.plain
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_calls_come_in_over_the_flow_that_is_left(proxies: Kamailios, transport: str) -> None:
    one, two = proxies.edges
    async with phone(account(proxies, "1001", transport)) as ann, phone(caller(proxies)) as bob:
        await stand(ann, "registered", "registered")
        await bob.event("account.registered")
        await rings(bob, ann)
        for dead, left in ((one, ("failed", "registered")), (two, ("registered", "failed"))):
            proxies.stop(dead)
            await stand(ann, *left)
            await rings(bob, ann)
            proxies.start(dead)
            await stand(ann, "registered", "registered")
        await rings(bob, ann)
        assert "account.register_failed" not in ann.types
        assert ann.types.count("account.registered") == 1


@pytest.mark.parametrize("silently", [False, True])
async def test_one_connection_dies_while_its_edge_lives(proxies: Kamailios, silently: bool) -> None:
    async with wire_to(proxies.edges[0]) as wire:
        settings = account(proxies, "1001", "tcp", proxy=f"sip:127.0.0.1:{wire.port};lr")
        async with phone(settings) as ann, phone(caller(proxies)) as bob:
            await stand(ann, "registered", "registered")
            await bob.event("account.registered")
            wire.cut(silently=silently)
            await rings(bob, ann)
            assert "account.register_failed" not in ann.types
            await stand(ann, "failed", "registered")
            down = next(event for event in ann.events if event.type == "account.flow_down")
            assert down.data["flow"]["number"] == 1
            assert ("no answer to keep-alives" in down.data["flow"]["reason"]) is silently
            wire.mend()
            await stand(ann, "registered", "registered")
            await rings(bob, ann, ends=False)
            assert wire.calls == 1


async def test_a_registrar_without_outbound_gets_one_registration(tmp_path: Path) -> None:
    with kamailio(tmp_path, PASSWORDS) as plain:
        here = f"127.0.0.1:{plain.port}"
        settings = AccountSettings(id="kam", domain=here, username="1001", password=PASSWORDS["1001"], proxy=f"sip:{here};lr",
                                   backups=(f"sip:localhost:{plain.port};lr",), transport="tcp")
        async with phone(settings) as ann:
            await ann.event("account.registered")
            assert flows(ann) == []
            assert not ann.running.phone.desk.sip._stack.outbound
