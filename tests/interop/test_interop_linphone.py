"""linphone as the far end, over TLS and SRTP through Kamailio: calls both ways, what is heard, hold, digits and transfers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.media.codecs.kinds import missing
from offhook.phone.commands import (
    AcceptTransfer,
    Dial,
    Hangup,
    Hold,
    ListCalls,
    Play,
    Record,
    Resume,
    SendDtmf,
    Transfer,
)
from offhook.phone.settings import AccountSettings, SrtpSettings
from offhook.testing.ears import dominant_frequency, read_wav
from offhook.testing.kamailio import Kamailio, kamailio
from offhook.testing.linphone import SAMPLE_RATE, TONE, Linphone, linphone
from offhook.testing.live import LivePhone, live_phone, over, quiet_config

pytestmark = pytest.mark.interop

PASSWORDS = {"1001": "secret-1", "1002": "secret-2", "1003": "secret-3"}
OUR_TONE = 600.0


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Kamailio]:
    with kamailio(tmp_path_factory.mktemp("kamailio"), PASSWORDS, certificate=certificates / "peer.pem") as running:
        yield running


@pytest.fixture(scope="module")
def registered_linphone(proxy: Kamailio, tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Linphone]:
    """Return the one linphone of all tests: it takes a second to start."""
    with linphone(tmp_path_factory.mktemp("linphone"), trusted=certificates / "ca.pem") as running:
        running.register("1002", PASSWORDS["1002"], domain(proxy), f"sip:{domain(proxy)};transport=tls")
        yield running


@pytest.fixture
def peer(registered_linphone: Linphone) -> Iterator[Linphone]:
    """Return it without a call and without old events."""
    registered_linphone.events()
    registered_linphone.use("PCMU/8000/1")
    yield registered_linphone
    registered_linphone.wait_over()


def domain(proxy: Kamailio) -> str:
    """Return a name and not an address: linphone's TLS library compares none."""
    return f"localhost:{proxy.tls_port}"


def ours(proxy: Kamailio) -> str:
    """Return our address as linphone has to be told: it knows no way for a domain."""
    return f"sip:1001@{domain(proxy)};transport=tls"


@asynccontextmanager
async def registered(proxy: Kamailio, certificates: Path, user: str = "1001", answer: str = "off") -> AsyncIterator[LivePhone]:
    account = AccountSettings(
        id="kam", domain=domain(proxy), username=user, password=PASSWORDS[user], transport="tls",
        tls_ca=str(certificates / "ca.pem"),
    )  # fmt: skip
    config = quiet_config(status_linger=0.2, auto_answer=answer)
    async with live_phone(replace(config, accounts=(account,), srtp=SrtpSettings("required"))) as running:
        await running.event("account.registered")
        yield running


async def hear_linphone(phone: LivePhone, folder: Path) -> None:
    """Find its tone in the right channel, where the far end is; it takes a second or two to open its microphone (again)."""
    found = 0.0
    for _ in range(10):
        since = len(phone.events)
        file = folder / f"{since}.wav"
        phone.execute(Record(file=str(file), channels="stereo", max_seconds=0.5))
        await phone.event("recording.finished", since)
        heard = read_wav(file)
        found = dominant_frequency(heard.channels[1], heard.rate)
        if found == pytest.approx(TONE, abs=5):
            break
    assert found == pytest.approx(TONE, abs=5)


async def hear_each_other(phone: LivePhone, peer: Linphone, folder: Path) -> None:
    await phone.event("media.started")
    phone.execute(Play(tone=str(OUR_TONE)))
    heard, _ = await asyncio.gather(asyncio.to_thread(peer.hear, 1.2), hear_linphone(phone, folder))
    # The sound server plays what it had in store before.
    assert dominant_frequency(heard[SAMPLE_RATE:]) == pytest.approx(OUR_TONE, abs=5)


@pytest.mark.parametrize(("codec", "theirs"), [("PCMU", "PCMU/8000/1"), ("OPUS", "opus/48000/2"), ("G722", "G722/8000/1")])
async def test_we_call_linphone_and_hear_each_other(
    proxy: Kamailio, certificates: Path, peer: Linphone, tmp_path: Path, codec: str, theirs: str
) -> None:
    if reason := missing(codec):
        pytest.skip(reason)
    await asyncio.to_thread(peer.use, theirs)
    async with registered(proxy, certificates) as phone:
        phone.execute(Dial(to="1002", codecs=(codec, "PCMA")))
        await asyncio.to_thread(peer.wait_state, "IncomingReceived")
        await phone.event("call.ringing")
        await asyncio.to_thread(peer.command, "answer")
        await phone.reaches(2)
        await asyncio.to_thread(peer.wait_state, "StreamsRunning")
        media = phone.execute(ListCalls()).value[0].media
        assert (media.srtp, media.codec) == ("sdes", codec)
        await hear_each_other(phone, peer, tmp_path)
        phone.execute(Hangup())
        await phone.over()


async def test_linphone_calls_us_with_hold_and_digits_both_ways(
    proxy: Kamailio, certificates: Path, peer: Linphone, tmp_path: Path
) -> None:
    async with registered(proxy, certificates, answer="all") as phone:
        number = await asyncio.to_thread(peer.call, ours(proxy))
        await phone.reaches(2)
        await asyncio.to_thread(peer.wait_state, "StreamsRunning")
        await hear_each_other(phone, peer, tmp_path)

        phone.execute(Hold())
        await phone.event("call.held")
        await asyncio.to_thread(peer.wait_state, "PausedByRemote")
        phone.execute(Resume())
        await phone.event("call.resumed")
        await asyncio.to_thread(peer.wait_state, "StreamsRunning")
        await asyncio.to_thread(peer.command, f"call-pause {number}")
        await phone.event("call.remote_held")
        await asyncio.to_thread(peer.wait_state, "Paused", number)
        await asyncio.to_thread(peer.command, f"call-resume {number}")
        await phone.event("call.remote_resumed")
        await asyncio.to_thread(peer.wait_state, "StreamsRunning")

        phone.execute(SendDtmf(digits="159*#A", duration_ms=80, gap_ms=40))
        assert await asyncio.to_thread(peer.digits, 6) == "159*#A"
        await asyncio.to_thread(peer.command, "dtmf 7")
        assert (await phone.event("dtmf.received")).data["digit"] == "7"
        await hear_linphone(phone, tmp_path)
        await asyncio.to_thread(peer.command, "terminate")
        await phone.over()
        assert next(e for e in phone.events if e.type == "call.ended").data["call"]["end"]["by"] == "remote"


async def test_what_is_not_answered(proxy: Kamailio, certificates: Path, peer: Linphone) -> None:
    async with registered(proxy, certificates) as phone:
        phone.execute(Dial(to="1002"))
        await asyncio.to_thread(peer.wait_state, "IncomingReceived")
        phone.execute(Hangup())
        await phone.over()
        await asyncio.to_thread(peer.wait_over)
        phone.execute(Dial(to="1002"))
        await asyncio.to_thread(peer.wait_state, "IncomingReceived")
        await asyncio.to_thread(peer.command, "terminate")
        await phone.over()
        assert phone.events[-1].data["call"]["end"]["sip_status"] == 603
        await asyncio.to_thread(peer.call, ours(proxy))
        await phone.event("call.incoming")
        await asyncio.to_thread(peer.command, "terminate")
        await phone.over()


async def test_transfers_both_ways(proxy: Kamailio, certificates: Path, peer: Linphone, tmp_path: Path) -> None:
    async with registered(proxy, certificates, answer="all") as phone, registered(proxy, certificates, "1003", "all") as other:
        # We send linphone to another phone …
        number = await asyncio.to_thread(peer.call, ours(proxy))
        await phone.reaches(2)
        await asyncio.to_thread(peer.wait_state, "StreamsRunning", number)
        phone.execute(Transfer(to="1003"))
        await phone.event("transfer.completed")
        await phone.over()
        await other.reaches(2)
        await other.event("media.started")
        await hear_linphone(other, tmp_path)
        # … and linphone sends that one back to us.
        since = len(phone.events)
        current = await asyncio.to_thread(peer.current)
        await asyncio.to_thread(peer.command, f"call-transfer {current} {ours(proxy)}")
        await other.event("transfer.requested")
        placed = other.execute(AcceptTransfer()).call
        await phone.event("call.active", since)
        await asyncio.to_thread(peer.command, f"terminate {current}")  # its daemon leaves that to who drives it
        await other.until(lambda: [c.id for c in other.execute(ListCalls()).value] == [placed], "only the new call")
        other.execute(Hangup())
        await over(phone, other)
