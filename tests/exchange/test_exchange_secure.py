"""The practice exchange over TLS and WebSocket: whole phones register and call its lines and each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from offhook.exchange.server import Exchange
from offhook.phone.commands import Answer, Dial, Hangup, Hold, ListAccounts
from offhook.phone.settings import AccountSettings, NatSettings, SrtpSettings
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
async def phone(
    exchange: Exchange, user: str, transport: TransportName, folder: Path, srtp: SrtpSettings | None = None,
    nat: NatSettings | None = None,
) -> AsyncIterator[LivePhone]:
    host, port = exchange.address
    account = AccountSettings(
        "a", f"{host}:{port}", user, f"practice-{user}", transport=transport, proxy=f"sip:{host}:{exchange.ports[transport]}",
        tls_ca=str(folder / "ca.pem"),
    )
    config = replace(quiet_config(status_linger=0.1), accounts=(account,))
    config = replace(config, srtp=srtp or config.srtp, nat=nat or config.nat)
    async with live_phone(config) as running:
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


@pytest.mark.slow
@pytest.mark.parametrize(("keying", "nat"), [("sdes", "off"), ("dtls", "off"), ("dtls", "ice")])
async def test_the_lines_take_the_encryption_that_is_offered(
    tmp_path: Path, keying: Literal["sdes", "dtls"], nat: Literal["off", "ice"]
) -> None:
    srtp, reach = SrtpSettings("required", keying), NatSettings(nat)
    async with exchange_running(tmp_path) as exchange, phone(exchange, "1001", "ws", tmp_path, srtp, reach) as ann:
        ann.execute(Dial(to="callback"))
        assert (await ann.event("media.security")).data["srtp"] == keying
        await ann.event("media.started")
        since = len(ann.events)
        await ann.event("call.incoming", since)
        ann.execute(Answer())
        assert (await ann.event("media.security", since)).data["srtp"] == keying
        await ann.event("media.started", since)
        since = len(ann.events)
        ann.execute(Hold())
        await ann.event("call.held", since)
        ann.execute(Hangup())
        await ann.event("call.ended", since)
