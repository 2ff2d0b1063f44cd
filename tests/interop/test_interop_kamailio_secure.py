"""Kamailio over TLS and WebSocket, with RFC 5626: registering, calls both ways, and connections that die."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offhook.phone.commands import Answer, Dial, Hangup, Hold, ListAccounts, Resume
from offhook.phone.settings import AccountSettings
from offhook.testing.kamailio import Kamailio, kamailio
from offhook.testing.live import LivePhone, live_phone, over, quiet_config

pytestmark = pytest.mark.interop

PASSWORDS = {"1001": "secret-1", "1002": "secret-2"}
INSTANCE = "urn:uuid:00000000-0000-1000-8000-00000000{:04}"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Kamailio]:
    with kamailio(tmp_path_factory.mktemp("kamailio"), PASSWORDS, certificate=certificates / "peer.pem") as running:
        yield running


def account(proxy: Kamailio, ca: Path, user: str, transport: str, **changes: Any) -> AccountSettings:
    port = proxy.tls_port if transport in ("tls", "wss") else proxy.port
    settings = AccountSettings(
        id="kam", domain=f"127.0.0.1:{proxy.port}", proxy=f"sip:127.0.0.1:{port};lr", username=user, password=PASSWORDS[user],
        transport=transport, tls_ca=str(ca), keep_alive=1,  # type: ignore[arg-type]  # one of the transports
    )
    return replace(settings, **changes)


@asynccontextmanager
async def phone(settings: AccountSettings) -> AsyncIterator[LivePhone]:
    config = quiet_config(status_linger=0.2, instance_id=INSTANCE.format(settings.username))
    async with live_phone(replace(config, accounts=(settings,))) as running:
        yield running


def registration(phone: LivePhone) -> str:
    state: str = phone.execute(ListAccounts()).value[0].registration
    return state


async def registered(*phones: LivePhone) -> None:
    for phone in phones:
        await phone.until(lambda phone=phone: registration(phone) == "registered", "registered")  # type: ignore[misc]


async def call(caller: LivePhone, callee: LivePhone, number: str) -> None:
    since = len(callee.events)
    caller.execute(Dial(to=number))
    await callee.event("call.incoming", since)
    callee.execute(Answer())
    await caller.reaches(2)
    await callee.reaches(2)


@pytest.mark.parametrize(
    ("one", "other"),
    [("tls", "tls"), ("ws", "ws"), ("wss", "wss"), ("tls", "udp"), ("ws", "tcp"), ("tcp", "wss")],
)
async def test_calls_both_ways(proxy: Kamailio, certificates: Path, one: str, other: str) -> None:
    ca = certificates / "ca.pem"
    async with phone(account(proxy, ca, "1001", one)) as ann, phone(account(proxy, ca, "1002", other)) as bob:
        await registered(ann, bob)
        for caller, callee, number in ((ann, bob, "1002"), (bob, ann, "1001")):
            await call(caller, callee, number)
            await caller.event("media.started")
            since = len(caller.events)
            callee.execute(Hold())
            await caller.event("call.remote_held", since)
            callee.execute(Resume())
            await caller.event("call.remote_resumed", since)
            callee.execute(Hangup())
            await over(caller, callee)
        if one != "udp":
            up = (await ann.event("transport.up")).data
            assert up["transport"] == one
            assert bool(up["security"]) == (one in ("tls", "wss"))


@pytest.mark.parametrize("transport", ["tcp", "tls", "ws", "wss"])
async def test_a_proxy_that_was_away_is_found_again_without_being_told(
    tmp_path: Path, certificates: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offhook.sip.registration.BACKOFF_FIRST", 0.5)  # the wait after a failure, here of a test's length
    ca, certificate = certificates / "ca.pem", certificates / "peer.pem"
    with kamailio(tmp_path / "first", PASSWORDS, certificate=certificate) as first:
        settings = account(first, ca, "1001", transport)
        other = account(first, ca, "1002", transport)
        async with phone(settings) as ann, phone(other) as bob:
            await registered(ann, bob)
            await call(ann, bob, "1002")
            first.process.stop()
            lost = await ann.event("transport.down")
            assert lost.data["reason"]
            assert (await ann.event("account.register_failed")).data["account"]["retry_in"] > 0
            since = len(ann.events)
            with kamailio(tmp_path / "second", PASSWORDS, certificate=certificate, port=first.port):
                await registered(ann, bob)
                await ann.event("account.registered", since)
                ann.execute(Hold())
                await bob.event("call.remote_held")
                bob.execute(Hangup())
                await over(ann, bob)
                await call(bob, ann, "1001")
                ann.execute(Hangup())
                await over(ann, bob)


async def test_the_registrar_speaks_outbound_and_the_flow_stays_alive(proxy: Kamailio, certificates: Path) -> None:
    async with phone(account(proxy, certificates / "ca.pem", "1001", "tls")) as ann:
        await registered(ann)
        stack = ann.running.phone.desk.sip._stack
        assert stack.outbound == {"kam"}
        assert "account.registering" in ann.types


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tls_ca": ""}, "nobody this machine trusts has signed the certificate of 127.0.0.1"),
        ({"tls_name": "pbx.example"}, "not for pbx.example"),
    ],
)
async def test_a_certificate_that_does_not_fit_is_refused_in_plain_words(
    proxy: Kamailio, certificates: Path, changes: dict[str, Any], words: str
) -> None:
    settings = account(proxy, certificates / "ca.pem", "1001", "tls", **changes)
    async with phone(settings) as ann:
        failed = (await ann.event("account.register_failed")).data["account"]
        assert words in failed["reason"]
        assert words in (await ann.event("transport.error")).data["reason"]
