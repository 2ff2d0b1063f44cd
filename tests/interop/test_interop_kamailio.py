"""Kamailio as registrar and proxy: what our phones do with a real exchange between them, over UDP and TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from offhook.phone.commands import (
    AcceptTransfer,
    AddAccount,
    Answer,
    Dial,
    Hangup,
    HangupAll,
    Hold,
    ListAccounts,
    ListCalls,
    RegisterAccount,
    Reject,
    Resume,
    SendDtmf,
    SendMessage,
    SetAutoAnswer,
    SetDnd,
    SetForwarding,
    Transfer,
    UnregisterAccount,
)
from offhook.phone.settings import AccountSettings
from offhook.testing.kamailio import Kamailio, kamailio
from offhook.testing.live import LivePhone, connect, live_phone, over, quiet_config

pytestmark = pytest.mark.interop

PASSWORDS = {"1001": "secret-1", "1002": "secret-2", "1003": "secret-3"}
TRANSPORTS: tuple[Literal["udp", "tcp"], ...] = ("udp", "tcp")
MIN_EXPIRES = 10
"""Seconds below which the Kamailio of `peers` grants no registration."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    with kamailio(tmp_path_factory.mktemp("kamailio"), PASSWORDS) as running:
        yield running


def account(proxy: Kamailio, user: str, /, **changes: Any) -> AccountSettings:
    return replace(AccountSettings(id="kam", domain=proxy.domain, username=user, password=PASSWORDS[user]), **changes)


@asynccontextmanager
async def registered(proxy: Kamailio, user: str, /, **changes: Any) -> AsyncIterator[LivePhone]:
    config = replace(quiet_config(status_linger=0.2), accounts=(account(proxy, user, **changes),))
    async with live_phone(config) as phone:
        await phone.until(lambda: registration(phone) == "registered", f"{user} registered")
        yield phone


def registration(phone: LivePhone) -> str:
    state: str = phone.execute(ListAccounts()).value[0].registration
    return state


async def call(caller: LivePhone, callee: LivePhone, number: str) -> None:
    """Call through the proxy and answer."""
    since = len(callee.events)
    caller.execute(Dial(to=number))
    await callee.event("call.incoming", since)
    callee.execute(Answer())
    await caller.reaches(2)
    await callee.reaches(2)


def state(phone: LivePhone) -> str:
    return str(phone.execute(ListCalls()).value[0].state)


def digits(phone: LivePhone) -> str:
    return "".join(e.data["digit"] for e in phone.events if e.type == "dtmf.received")


# --- registering ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_phone_registers_with_its_password_and_unregisters(proxy: Kamailio, transport: str) -> None:
    async with registered(proxy, "1001", transport=transport) as phone, registered(proxy, "1002") as other:
        phone.execute(UnregisterAccount(account="kam"))
        await phone.event("account.unregistered")
        assert registration(phone) == "unregistered"
        other.execute(Dial(to="1001"))
        await other.over()
        assert other.last_end["sip_status"] == 404
        phone.execute(RegisterAccount(account="kam"))
        await phone.until(lambda: registration(phone) == "registered", "registered again")
        await call(other, phone, "1001")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_wrong_password_is_told_and_the_phone_goes_on(proxy: Kamailio, transport: str) -> None:
    config = replace(quiet_config(), accounts=(account(proxy, "1001", password="wrong", transport=transport),))
    async with live_phone(config) as phone, live_phone() as other:
        failure = (await phone.event("account.register_failed")).data["account"]
        assert failure["sip_status"] in {401, 403}
        assert registration(phone) == "failed"
        await connect(other, phone)
        phone.execute(Hangup())
        await over(phone, other)
        phone.execute(AddAccount(account=account(proxy, "1001", transport=transport)))
        await phone.event("account.registered")


async def test_an_account_that_goes_leaves_no_contact_behind(proxy: Kamailio) -> None:
    async with registered(proxy, "1001") as phone:
        async with registered(proxy, "1002"):
            pass
        phone.execute(Dial(to="1002"))
        await phone.over()
        assert phone.last_end["sip_status"] == 404


@pytest.mark.slow
async def test_a_short_registration_is_refreshed_in_time(proxy: Kamailio) -> None:
    async with registered(proxy, "1001") as phone, registered(proxy, "1002", expires=MIN_EXPIRES) as other:
        # The one wait of this file: the clock that must pass is Kamailio's.
        await asyncio.sleep(MIN_EXPIRES + 1.5)
        await call(phone, other, "1002")
        assert "account.register_failed" not in other.types


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_proxy_that_was_away_is_found_again(proxy: Kamailio, tmp_path: Path, transport: str) -> None:
    async with AsyncExitStack() as phones:
        with kamailio(tmp_path / "first", PASSWORDS) as first:
            ann = await phones.enter_async_context(registered(first, "1001", transport=transport))
            bob = await phones.enter_async_context(registered(first, "1002", transport=transport))
            await call(ann, bob, "1002")
        # The proxy is gone: the call goes on without it, a new registration cannot. TCP says so at once; on UDP the request
        # is repeated for half a minute, and the proxy is back before that.
        ann.execute(RegisterAccount(account="kam"))
        if transport == "tcp":
            assert (await ann.event("account.register_failed")).data["account"]["retry_in"] > 0
        assert registration(ann) != "registered"
        assert state(ann) == "active"
        with kamailio(tmp_path / "second", PASSWORDS, port=first.port):
            bob.execute(RegisterAccount(account="kam"))
            if transport == "tcp":
                ann.execute(RegisterAccount(account="kam"))
            for phone in (ann, bob):
                await phone.until(lambda phone=phone: registration(phone) == "registered", "registered again")  # type: ignore[misc]
            ann.execute(Hold())  # through the new proxy, which keeps no state of the call
            await bob.event("call.remote_held")
            bob.execute(Hangup())
            await over(ann, bob)
            await call(bob, ann, "1001")
            ann.execute(Hangup())
            await over(ann, bob)
            for phone in (ann, bob):
                phone.execute(UnregisterAccount(account="kam"))
                await phone.event("account.unregistered")


# --- calls through the proxy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_call_with_hold_and_digits_through_the_proxy(proxy: Kamailio, transport: str) -> None:
    async with (
        registered(proxy, "1001", transport=transport) as ann,
        registered(proxy, "1002", transport=transport) as bob,
    ):
        await call(ann, bob, "1002")
        await ann.event("media.started")
        await bob.event("media.started")

        ann.execute(SendDtmf(digits="0123456789*#A", duration_ms=60, gap_ms=40))
        bob.execute(SendDtmf(digits="5D", duration_ms=60, gap_ms=40))
        await bob.until(lambda: digits(bob) == "0123456789*#A", "digits at bob")
        await ann.until(lambda: digits(ann) == "5D", "digits at ann")

        ann.execute(Hold())
        await bob.event("call.remote_held")
        await ann.reaches(3)
        bob.execute(Hold())
        await ann.event("call.remote_held")
        ann.execute(Resume())
        await bob.event("call.remote_resumed")
        bob.execute(Resume())
        await ann.event("call.remote_resumed")
        await ann.reaches(2)
        await bob.reaches(2)

        ann.execute(Hangup())
        await over(ann, bob)
        assert (ann.last_end["by"], bob.last_end["by"]) == ("local", "remote")


@pytest.mark.parametrize(("caller", "callee"), [("udp", "tcp"), ("tcp", "udp")])
async def test_the_called_side_hangs_up_and_the_proxy_changes_the_transport(
    proxy: Kamailio, caller: str, callee: str
) -> None:
    async with registered(proxy, "1001", transport=caller) as ann, registered(proxy, "1002", transport=callee) as bob:
        await call(ann, bob, "1002")
        bob.execute(Hold())
        await ann.event("call.remote_held")
        bob.execute(Resume())
        await ann.event("call.remote_resumed")
        bob.execute(Hangup())
        await over(ann, bob)
        assert (ann.last_end["by"], bob.last_end["by"]) == ("remote", "local")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_call_to_a_phone_that_wants_no_calls_is_busy(proxy: Kamailio, transport: str) -> None:
    async with registered(proxy, "1001", transport=transport) as ann, registered(proxy, "1002") as bob:
        bob.execute(SetDnd(enabled=True))
        ann.execute(Dial(to="1002"))
        await ann.over()
        assert (ann.last_end["by"], ann.last_end["sip_status"]) == ("remote", 486)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_unknown_number_is_not_found(proxy: Kamailio, transport: str) -> None:
    async with registered(proxy, "1001", transport=transport) as ann:
        ann.execute(Dial(to="4711"))
        await ann.over()
        assert ann.last_end["sip_status"] == 404


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_call_is_taken_back_while_it_rings(proxy: Kamailio, transport: str) -> None:
    async with registered(proxy, "1001", transport=transport) as ann, registered(proxy, "1002", transport=transport) as bob:
        ann.execute(Dial(to="1002"))
        await bob.event("call.incoming")
        await ann.event("call.ringing")
        ann.execute(Hangup())
        await over(ann, bob)
        assert ann.last_end["by"] == "local"
        assert bob.last_end["by"] == "remote"
        assert "call.answered" not in bob.types


async def test_two_phones_of_one_account_ring_and_one_takes_the_call(proxy: Kamailio) -> None:
    async with registered(proxy, "1001") as ann, registered(proxy, "1002") as desk, registered(proxy, "1002") as pocket:
        for taker, other in ((desk, pocket), (pocket, desk)):
            since, since_other = len(taker.events), len(other.events)
            ann.execute(Dial(to="1002"))
            await taker.event("call.incoming", since)
            await other.event("call.incoming", since_other)
            taker.execute(Answer())
            await ann.reaches(2)
            await other.over()
            assert other.last_end["by"] == "remote"
            await taker.reaches(2)
            ann.execute(Hangup())
            await over(ann, taker)


async def test_both_phones_of_one_account_are_cancelled(proxy: Kamailio) -> None:
    async with registered(proxy, "1001") as ann, registered(proxy, "1002") as desk, registered(proxy, "1002") as pocket:
        ann.execute(Dial(to="1002"))
        await desk.event("call.incoming")
        await pocket.event("call.incoming")
        ann.execute(Hangup())
        await over(ann, desk, pocket)


async def test_a_phone_that_forwards_sends_the_caller_elsewhere(proxy: Kamailio) -> None:
    async with (
        registered(proxy, "1001") as ann,
        registered(proxy, "1002") as bob,
        registered(proxy, "1003") as cat,
    ):
        bob.execute(SetForwarding(to="1003"))
        ann.execute(Dial(to="1002"))
        await cat.event("call.incoming")
        assert (await ann.event("call.redirected")).data["target"] == f"sip:1003@{proxy.domain}"
        cat.execute(Answer())
        await ann.reaches(2)
        cat.execute(Hangup())
        await over(ann, bob, cat)


async def test_a_phone_calls_itself(proxy: Kamailio) -> None:
    async with registered(proxy, "1001") as ann:
        outgoing = ann.execute(Dial(to="1001")).call
        incoming = (await ann.event("call.incoming")).data["call"]["id"]
        assert incoming != outgoing
        ann.execute(Answer(call=incoming))
        await ann.until(lambda: {"active"} == {str(c.state) for c in ann.execute(ListCalls()).value}, "both active")
        assert len(ann.execute(ListCalls()).value) == 2
        ann.execute(Hangup(call=incoming))
        await ann.over()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_both_sides_do_the_same_at_once(proxy: Kamailio, transport: str) -> None:
    async with registered(proxy, "1001", transport=transport) as ann, registered(proxy, "1002", transport=transport) as bob:
        await call(ann, bob, "1002")
        # RFC 3261 14.1: the two re-INVITEs cross, both get 491 and come again after different waits.
        ann.execute(Hold())
        bob.execute(Hold())
        await ann.until(lambda: state(ann) == "held_both", "held from both sides")
        await bob.until(lambda: state(bob) == "held_both", "held from both sides")
        ann.execute(Resume())
        bob.execute(Resume())
        await ann.until(lambda: state(ann) == "active", "active again")
        await bob.until(lambda: state(bob) == "active", "active again")
        ann.execute(Hangup())
        bob.execute(Hangup())
        await over(ann, bob)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_hanging_up_at_once_leaves_nothing_ringing(proxy: Kamailio, transport: str) -> None:
    async with registered(proxy, "1001", transport=transport) as ann, registered(proxy, "1002", transport=transport) as bob:
        for _ in range(5):
            ann.execute(Dial(to="1002"))
            ann.execute(Hangup())
        await over(ann, bob)
        assert "call.answered" not in bob.types
        # The line is as good as new.
        await call(ann, bob, "1002")


async def test_many_calls_at_once(proxy: Kamailio) -> None:
    async with registered(proxy, "1001") as ann, registered(proxy, "1002", transport="tcp") as bob:
        bob.execute(SetAutoAnswer(mode="all"))
        for _ in range(12):
            ann.execute(Dial(to="1002", hold_others=False))
        await ann.until(lambda: ann.types.count("call.active") == 12, "12 calls active")
        bob.execute(HangupAll())
        await over(ann, bob)
        assert {e.data["call"]["end"]["by"] for e in ann.events if e.type == "call.ended"} == {"remote"}


# --- who is calling, and which way ---------------------------------------------------------------------------------


async def test_the_name_of_the_caller_arrives(proxy: Kamailio) -> None:
    name = 'Ann "A" Grüße, 你好 \\ <x>'
    async with registered(proxy, "1001", display_name=name) as ann, registered(proxy, "1002") as bob:
        ann.execute(Dial(to="1002"))
        remote = (await bob.event("call.incoming")).data["call"]["remote"]
        assert (remote["display"], remote["uri"]) == (name, f"sip:1001@{proxy.domain}")
        bob.execute(Reject())
        await over(ann, bob)
        assert ann.last_end["sip_status"] == 486


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_outbound_proxy_is_the_way_to_a_domain_without_an_address(proxy: Kamailio, transport: str) -> None:
    changes = {"domain": "offhook.invalid", "proxy": proxy.domain, "transport": transport}
    async with registered(proxy, "1001", **changes) as ann, registered(proxy, "1002", **changes) as bob:
        await call(ann, bob, "1002")
        assert bob.execute(ListCalls()).value[0].remote.uri == "sip:1001@offhook.invalid"
        bob.execute(Hold())
        await ann.event("call.remote_held")
        ann.execute(Hangup())
        await over(ann, bob)


async def test_a_call_with_a_wrong_password_is_refused(proxy: Kamailio) -> None:
    config = replace(quiet_config(), accounts=(account(proxy, "1001", password="wrong", register=False),))
    async with live_phone(config) as phone, registered(proxy, "1002") as other:
        phone.execute(Dial(to="1002"))
        await phone.over()
        assert phone.last_end["sip_status"] == 407
        assert "call.incoming" not in other.types


# --- transfer and text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["caller", "callee"])
async def test_a_blind_transfer_through_the_proxy(proxy: Kamailio, by: str) -> None:
    async with (
        registered(proxy, "1001") as ann,
        registered(proxy, "1002", transport="tcp") as bob,
        registered(proxy, "1003") as cat,
    ):
        await call(ann, bob, "1002")
        giver, taker = (ann, bob) if by == "caller" else (bob, ann)
        operation = giver.execute(Transfer(to="1003")).operation
        assert (await taker.event("transfer.requested")).data["target"] == f"sip:1003@{proxy.domain}"
        taker.execute(AcceptTransfer())
        await cat.event("call.incoming")
        cat.execute(Answer())
        await giver.event("transfer.completed")
        await giver.over()
        assert await outcome(giver, operation) == "operation.succeeded"
        await taker.until(lambda: [c.remote.uri for c in taker.execute(ListCalls()).value] == [f"sip:1003@{proxy.domain}"])
        await taker.reaches(2)
        cat.execute(Hangup())
        await over(taker, cat)


async def test_a_transfer_to_nobody_leaves_the_call_as_it_was(proxy: Kamailio) -> None:
    async with registered(proxy, "1001") as ann, registered(proxy, "1002") as bob:
        await call(ann, bob, "1002")
        ann.execute(Transfer(to="4711"))
        await bob.event("transfer.requested")
        bob.execute(AcceptTransfer())
        failure = await ann.event("transfer.failed")
        assert failure.data["sip_status"] == 404
        await ann.reaches(2)
        await bob.reaches(2)
        ann.execute(Hangup())
        await over(ann, bob)


async def outcome(phone: LivePhone, operation: str) -> str:
    """Wait for the word about an operation and return its event type."""

    def words() -> list[str]:
        return [e.type for e in phone.events if e.type.startswith("operation.") and e.data["operation"] == operation]

    await phone.until(words, f"the outcome of {operation}")
    return words()[0]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_text_message_through_the_proxy(proxy: Kamailio, transport: str) -> None:
    async with registered(proxy, "1001", transport=transport) as ann, registered(proxy, "1002", transport=transport) as bob:
        text = "Grüße, 你好\nsecond line"
        sent = ann.execute(SendMessage(to="1002", text=text))
        received = await bob.event("message.received")
        assert received.data["text"] == text
        assert received.data["remote"]["uri"] == f"sip:1001@{proxy.domain}"
        assert received.data["account"] == "kam"
        assert await outcome(ann, sent.operation) == "operation.succeeded"
        lost = ann.execute(SendMessage(to="4711", text="anybody?"))
        assert await outcome(ann, lost.operation) == "operation.failed"
        assert (await ann.event("message.failed")).data["sip_status"] == 404
