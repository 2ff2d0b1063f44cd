"""Digest between us and SIPp, each on either side: who is challenged proves its password, and a wrong one is refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offhook.exchange.authority import MD5_ALONE
from offhook.exchange.server import Exchange
from offhook.phone.commands import Dial, Hangup, ListAccounts, RegisterAccount
from offhook.phone.settings import AccountSettings
from offhook.testing.live import live_phone, quiet_config
from offhook.testing.peers import Sipp, sipp
from offhook.testing.scenarios import (
    END,
    SDP,
    accepted,
    ack,
    answer,
    inside,
    invite,
    outside,
    recv,
    refused_ack,
    scenario,
    verified,
)

pytestmark = pytest.mark.interop

PASSWORD = "open sesame"
NONCE = "f84f1cec41e6cbe5aea9c8e88d359"


def challenge(status: int, nonce: str = NONCE, extra: str = "") -> str:
    header = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return answer(
        "401 Unauthorized" if status == 401 else "407 Proxy Authentication Required",
        f'{header}: Digest realm="sipp", nonce="{nonce}", algorithm=MD5{extra}', tag="[pid]Challenge[call_number]",
    )  # fmt: skip


# --- SIPp asks, we answer ------------------------------------------------------------------------------------------


def guarded_call(status: int, extra: str) -> str:
    """Return a callee that wants credentials, and its 403 if they are wrong.

    SIPp checks them in an Authorization only; what answers a 407 is checked by Kamailio in other tests.
    """
    header = "Authorization" if status == 401 else "Proxy-Authorization"
    check, passed = verified("1001", PASSWORD, answer("403 Forbidden", tag="No") + recv("ACK")) if status == 401 else ("", "")
    return scenario(
        recv("INVITE"), challenge(status, extra=extra), recv("ACK"),
        recv("INVITE", f'{header}: Digest .*nonce="{NONCE}"', action=check), passed,
        answer("200 OK", body=SDP, tag="Yes", again=True), recv("ACK"), recv("BYE"), answer("200 OK"), END,
    )  # fmt: skip


def account(peer: Sipp, **changes: Any) -> AccountSettings:
    settings = AccountSettings(
        id="sipp", domain=f"127.0.0.1:{peer.port}", username="1001", password=PASSWORD, register=False,
    )  # fmt: skip
    return replace(settings, **changes)


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize(
    "extra", ["", ', qop="auth"', ', qop="auth,auth-int", opaque="kept"'], ids=["RFC 2069", "qop", "opaque"]
)
async def test_sipp_challenges_our_call(tmp_path: Path, status: int, extra: str) -> None:
    with sipp(guarded_call(status, extra), tmp_path) as peer:
        async with live_phone(replace(quiet_config(), accounts=(account(peer),))) as phone:
            phone.execute(Dial(to="2000"))
            await phone.reaches(2)
            phone.execute(Hangup())
            await asyncio.to_thread(peer.wait)
            credentials = next(line for line in peer.messages().splitlines() if "uthorization: Digest" in line)
            assert ('opaque="kept"' in credentials) == ("kept" in extra)
            assert ("nc=00000001" in credentials) == ("qop" in extra)


async def test_sipp_refuses_a_wrong_password(tmp_path: Path) -> None:
    with sipp(guarded_call(401, ""), tmp_path) as peer:
        async with live_phone(replace(quiet_config(), accounts=(account(peer, password="wrong"),))) as phone:
            phone.execute(Dial(to="2000"))
            assert (await phone.over())["sip_status"] == 403
            await asyncio.to_thread(peer.wait)


async def test_a_callee_that_challenges_for_ever_is_given_up(tmp_path: Path) -> None:
    twice = scenario(recv("INVITE"), challenge(407), recv("ACK"), recv("INVITE"), challenge(407, "another"), recv("ACK"))
    with sipp(twice, tmp_path) as peer:
        async with live_phone(replace(quiet_config(), accounts=(account(peer),))) as phone:
            phone.execute(Dial(to="2000"))
            assert (await phone.over())["sip_status"] == 407
            await asyncio.to_thread(peer.wait)


async def test_sipp_as_a_registrar(tmp_path: Path) -> None:
    """A challenge, a refusal of a time that is too short, and a nonce that went stale."""
    check, passed = verified("1001", PASSWORD, answer("403 Forbidden"))
    granted = answer("200 OK", "Expires: 600").replace("Contact: <", "X-Server: <").replace(
        "Expires: 600", "[last_Contact:]\nExpires: 600")
    registrar = scenario(
        recv("REGISTER"), challenge(401, extra=', qop="auth"'),
        recv("REGISTER", f'Authorization: Digest .*nonce="{NONCE}"', action=check), passed,
        answer("423 Interval Too Brief", "Min-Expires: 500"),
        recv("REGISTER", "Expires: 500"), granted,
        recv("REGISTER", f'nonce="{NONCE}"'), challenge(401, "fresh", ', qop="auth", stale=true'),
        recv("REGISTER", 'nonce="fresh"', action=check.replace('"verified"', '"again"')),
        granted, recv("REGISTER", "Expires: 0"), answer("200 OK"), END,
    )  # fmt: skip
    with sipp(registrar, tmp_path) as peer:
        settings = account(peer, register=True, expires=300)
        async with live_phone(replace(quiet_config(), accounts=(settings,))) as phone:
            await phone.event("account.registered")
            since = len(phone.events)
            phone.execute(RegisterAccount(account="sipp"))
            await phone.event("account.registered", since)
            assert phone.execute(ListAccounts()).value[0].registration == "registered"
            assert "account.register_failed" not in phone.types
        await asyncio.to_thread(peer.wait)


async def test_a_registrar_refuses_a_wrong_password(tmp_path: Path) -> None:
    check, passed = verified("1001", PASSWORD, answer("403 Forbidden"))
    registrar = scenario(recv("REGISTER"), challenge(401), recv("REGISTER", action=check), passed, answer("200 OK"), END)
    with sipp(registrar, tmp_path) as peer:
        settings = account(peer, register=True, password="wrong")
        async with live_phone(replace(quiet_config(), accounts=(settings,))) as phone:
            failed = (await phone.event("account.register_failed")).data["account"]
            assert failed["sip_status"] == 403
            await asyncio.to_thread(peer.wait)


# --- our practice exchange asks, SIPp answers ----------------------------------------------------------------------

CREDENTIALS = "[authentication username=1001 password={}]"


def member(password: str, last: str) -> str:
    """Return a phone that registers, calls a line and hangs up; `last` is what its registration comes to."""
    here = CREDENTIALS.format(password)
    identity = ("From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag[call_number]",
                "From: <sip:1001@practice.local>;tag=[pid]SIPpTag[call_number]")
    registered = scenario(
        outside("REGISTER", "Expires: 60", to="sip:1001@practice.local"),
        recv("401", challenged=True),
        outside("REGISTER", "Expires: 60", here, to="sip:1001@practice.local", cseq=2), recv(last),
        *([] if last != "200" else [
            invite(cseq=3), recv("100", optional=True), recv("407", challenged=True), refused_ack(3),
            invite(here, cseq=4), accepted("m=audio [1-9]"), ack(4), inside("BYE", 5), recv("200"),
        ]),
    )  # fmt: skip
    return registered.replace(*identity)


@pytest.mark.parametrize(("password", "last"), [("practice-1001", "200"), ("wrong", "403")])
async def test_sipp_at_the_practice_exchange(tmp_path: Path, password: str, last: str) -> None:
    exchange = Exchange(port=0, media="thread", algorithms=MD5_ALONE)  # SIPp reads one challenge only, and knows no SHA-256
    await exchange.start()
    try:
        with sipp(member(password, last), tmp_path, remote=exchange.address, service="echo") as peer:
            await asyncio.to_thread(peer.wait)
    finally:
        await exchange.close()
