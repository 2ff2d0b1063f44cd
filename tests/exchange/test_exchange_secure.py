"""The practice exchange over TLS and WebSocket: whole phones register and call its lines and each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.exchange.server import Exchange
from offhook.phone.commands import Answer, Dial, Hangup, Hold, ListAccounts
from offhook.phone.settings import AccountSettings
from offhook.sip.events import TransportName
from offhook.testing.live import LivePhone, live_phone, quiet_config


@asynccontextmanager
async def exchange_running(folder: Path) -> AsyncIterator[Exchange]:
    exchange = Exchange(port=0, tls=str(folder / "ca.pem"))
    await exchange.start()
    try:
        yield exchange
    finally:
        await exchange.close()


@asynccontextmanager
async def phone(exchange: Exchange, user: str, transport: TransportName, folder: Path) -> AsyncIterator[LivePhone]:
    host, port = exchange.address
    account = AccountSettings(
        "a", f"{host}:{port}", user, f"practice-{user}", transport=transport, proxy=f"sip:{host}:{exchange.ports[transport]}",
        tls_ca=str(folder / "ca.pem"),
    )
    async with live_phone(replace(quiet_config(status_linger=0.1), accounts=(account,))) as running:
        await running.until(lambda: running.execute(ListAccounts()).value[0].registration == "registered", "registered")
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), [("tls", "wss"), ("ws", "udp"), ("tcp", "tls")])
async def test_phones_call_each_other_and_the_lines(tmp_path: Path, one: TransportName, other: TransportName) -> None:
    async with (
        exchange_running(tmp_path) as exchange,
        phone(exchange, "1001", one, tmp_path) as ann,
        phone(exchange, "1002", other, tmp_path) as bob,
    ):
        for caller, callee, number in ((ann, bob, "1002"), (bob, ann, "1001")):
            since = len(callee.events)
            caller.execute(Dial(to=number))
            await callee.event("call.incoming", since)
            callee.execute(Answer())
            await caller.reaches(2)
            await callee.reaches(2)
            since = len(caller.events)
            callee.execute(Hold())
            await caller.event("call.remote_held", since)
            caller.execute(Hangup())
            for each in (ann, bob):
                await each.over()
        ann.execute(Dial(to="echo"))
        await ann.reaches(2)
        await ann.event("media.started")
        ann.execute(Hangup())
        await ann.over()
