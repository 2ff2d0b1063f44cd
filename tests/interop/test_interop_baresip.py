"""baresip as the far end, through Kamailio: calls both ways, what is heard, hold, digits and transfers."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from baresips import OUR_TONE, THEIR_TONE, hear_each_other, heard_by, loudest_frequency, recorded, says, started, tell

from offhook.media.detect.digits import power_at
from offhook.phone.commands import (
    AcceptTransfer,
    Answer,
    CreateConference,
    Dial,
    Hangup,
    HangupAll,
    Hold,
    ListAccounts,
    ListCalls,
    Loopback,
    Play,
    Resume,
    SendDtmf,
    StopPlay,
    Tap,
    Transfer,
)
from offhook.phone.settings import AccountSettings
from offhook.testing.ears import decode_dtmf, dominant_frequency
from offhook.testing.kamailio import Kamailio, kamailio
from offhook.testing.live import LivePhone, live_phone, quiet_config
from offhook.testing.peers import Baresip

pytestmark = pytest.mark.interop

PASSWORDS = {"1001": "secret-1", "1002": "secret-2", "1003": "secret-3", "1004": "secret-4"}
TRANSPORTS: tuple[Literal["udp", "tcp"], ...] = ("udp", "tcp")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    with kamailio(tmp_path_factory.mktemp("kamailio"), PASSWORDS) as running:
        yield running


@asynccontextmanager
async def registered(
    proxy: Kamailio, user: str, transport: Literal["udp", "tcp"] = "udp", **phone: Any
) -> AsyncIterator[LivePhone]:
    account = AccountSettings(id="kam", domain=proxy.domain, username=user, password=PASSWORDS[user], transport=transport)
    async with live_phone(replace(quiet_config(status_linger=0.2, **phone), accounts=(account,))) as running:
        await running.until(lambda: running.execute(ListAccounts()).value[0].registration == "registered", "registered")
        yield running


@asynccontextmanager
async def bob(
    proxy: Kamailio, folder: Path, user: str = "1002", *, transport: Literal["udp", "tcp"] = "udp",
    answer: Literal["auto", "manual"] = "auto", codecs: str = "PCMU,PCMA", source: str = "ausine,440",
) -> AsyncIterator[Baresip]:
    """Run a registered baresip."""
    async with started(
        folder / user, user=user, password=PASSWORDS[user], registrar=proxy.address, transport=transport, answer=answer,
        codecs=codecs, source=source,
    ) as peer:  # fmt: skip
        yield peer


def digits(phone: LivePhone) -> str:
    return "".join(e.data["digit"] for e in phone.events if e.type == "dtmf.received")


async def sound_after_hold(phone: LivePhone, peer: Baresip, folder: Path) -> None:
    """Hear baresip's tone again; our sound arrives there if a digit does: baresip 1.0 stops its WAV file at a hold."""
    assert dominant_frequency(await recorded(phone, folder / "after.wav")) == pytest.approx(THEIR_TONE, abs=5)
    phone.execute(SendDtmf(digits="7"))
    assert (await says(peer, "CALL_DTMF_START"))["param"] == "7"
    phone.execute(Hangup())
    await phone.over()
    await says(peer, "CALL_CLOSED")


# --- calls and sound -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("codecs", ["PCMU", "PCMA"])
async def test_we_call_baresip_and_hear_each_other(
    proxy: Kamailio, tmp_path: Path, transport: Literal["udp", "tcp"], codecs: str
) -> None:
    async with (
        bob(proxy, tmp_path, transport=transport, codecs=codecs) as peer,
        registered(proxy, "1001", transport) as phone,
    ):
        phone.execute(Dial(to="1002"))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        assert phone.execute(ListCalls()).value[0].media.codec.upper().startswith(codecs)
        await hear_each_other(phone, peer, tmp_path)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_baresip_calls_us_and_we_hear_each_other(
    proxy: Kamailio, tmp_path: Path, transport: Literal["udp", "tcp"]
) -> None:
    async with (
        bob(proxy, tmp_path, transport=transport) as peer,
        registered(proxy, "1001", transport, auto_answer="all") as phone,
    ):
        await tell(peer, "dial", f"sip:1001@{proxy.domain}")
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        assert (await phone.event("call.incoming")).data["call"]["remote"]["uri"] == f"sip:1002@{proxy.domain}"
        await hear_each_other(phone, peer, tmp_path)


async def test_baresip_hangs_up(proxy: Kamailio, tmp_path: Path) -> None:
    async with bob(proxy, tmp_path) as peer, registered(proxy, "1001") as phone:
        phone.execute(Dial(to="1002"))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        await tell(peer, "hangup")
        await phone.over()
        assert phone.last_end["by"] == "remote"


async def test_calls_that_are_not_answered(proxy: Kamailio, tmp_path: Path) -> None:
    async with bob(proxy, tmp_path, answer="manual") as peer, registered(proxy, "1001") as phone:
        phone.execute(Dial(to="1002"))
        await says(peer, "CALL_INCOMING")
        await phone.event("call.ringing")
        phone.execute(Hangup())
        await phone.over()
        await says(peer, "CALL_CLOSED")

        phone.execute(Dial(to="1002"))
        await says(peer, "CALL_INCOMING")
        await tell(peer, "hangup")
        await phone.over()
        assert phone.last_end["by"] == "remote"
        assert phone.last_end["sip_status"] >= 400
        await says(peer, "CALL_CLOSED")

        await tell(peer, "dial", f"sip:1001@{proxy.domain}")
        await phone.event("call.incoming")
        await says(peer, "CALL_RINGING")
        await tell(peer, "hangup")
        await phone.over()
        assert phone.last_end["by"] == "remote"


# --- hold ----------------------------------------------------------------------------------------------------------


async def test_we_hold_and_the_sound_comes_back(proxy: Kamailio, tmp_path: Path) -> None:
    async with bob(proxy, tmp_path) as peer, registered(proxy, "1001") as phone:
        phone.execute(Dial(to="1002"))
        await phone.reaches(2)
        await phone.event("media.started")
        for _ in range(2):
            since = len(phone.events)
            phone.execute(Hold())
            await phone.event("call.held", since)
            assert phone.execute(ListCalls()).value[0].media.direction in {"sendonly", "inactive"}
            phone.execute(Resume())
            await phone.event("call.resumed", since)
            await phone.reaches(2)
            assert phone.execute(ListCalls()).value[0].media.direction == "sendrecv"
        await sound_after_hold(phone, peer, tmp_path)


async def test_baresip_holds_and_the_sound_comes_back(proxy: Kamailio, tmp_path: Path) -> None:
    async with bob(proxy, tmp_path) as peer, registered(proxy, "1001", auto_answer="all") as phone:
        await tell(peer, "dial", f"sip:1001@{proxy.domain}")
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        for _ in range(2):
            since = len(phone.events)
            await tell(peer, "hold")
            await phone.event("call.remote_held", since)
            assert phone.status == 3
            await tell(peer, "resume")
            await phone.event("call.remote_resumed", since)
            await phone.reaches(2)
        await sound_after_hold(phone, peer, tmp_path)


# --- digits --------------------------------------------------------------------------------------------------------


async def test_digits_both_ways(proxy: Kamailio, tmp_path: Path) -> None:
    ours, theirs = "0123456789*#", "147*2580369#"
    async with bob(proxy, tmp_path) as peer, registered(proxy, "1001") as phone:
        phone.execute(Dial(to="1002"))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        phone.execute(SendDtmf(digits=ours, duration_ms=100, gap_ms=60))
        heard = [(await says(peer, "CALL_DTMF_START"))["param"] for _ in ours]
        assert "".join(heard) == ours
        for digit in theirs:
            await tell(peer, "sndcode", digit)
        await phone.until(lambda: len(digits(phone)) >= len(theirs), "baresip's digits")
        assert digits(phone) == theirs


async def test_digits_in_info_are_understood_by_baresip(proxy: Kamailio, tmp_path: Path) -> None:
    async with bob(proxy, tmp_path) as peer, registered(proxy, "1001") as phone:
        phone.execute(Dial(to="1002"))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        phone.execute(SendDtmf(digits="4#", method="info"))
        assert [(await says(peer, "CALL_DTMF_START"))["param"] for _ in "4#"] == ["4", "#"]


async def test_digits_as_tones_are_in_the_sound_baresip_hears(proxy: Kamailio, tmp_path: Path) -> None:
    ours = "159D#"
    async with bob(proxy, tmp_path) as peer, registered(proxy, "1001") as phone:
        phone.execute(Dial(to="1002"))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        phone.execute(SendDtmf(digits=ours, method="inband", duration_ms=100, gap_ms=80))
        await phone.until(lambda: phone.types.count("dtmf.sent") == len(ours), "all digits sent")
        await recorded(phone, tmp_path / "rest.wav")  # the last digit is still in baresip's jitter buffer
        phone.execute(Hangup())
        await phone.over()
        await says(peer, "CALL_CLOSED")
        heard = await heard_by(peer)
        assert decode_dtmf(heard.channels[0], heard.rate) == ours


# --- what is done with the sound -----------------------------------------------------------------------------------


async def test_an_echo_line_gives_baresip_its_own_tone(proxy: Kamailio, tmp_path: Path) -> None:
    async with bob(proxy, tmp_path) as peer, registered(proxy, "1001", auto_answer="all") as phone:
        await tell(peer, "dial", f"sip:1001@{proxy.domain}")
        await phone.reaches(2)
        phone.execute(Loopback())
        await recorded(phone, tmp_path / "theirs.wav")
        phone.execute(Hangup())
        await phone.over()
        await says(peer, "CALL_CLOSED")
        heard = await heard_by(peer)
        assert loudest_frequency(heard.channels[0], heard.rate) == pytest.approx(THEIR_TONE, abs=5)


async def test_two_baresips_hear_each_other_in_our_conference(proxy: Kamailio, tmp_path: Path) -> None:
    async with (
        bob(proxy, tmp_path, "1002") as low,
        bob(proxy, tmp_path, "1003", source="ausine,700") as high,
        registered(proxy, "1001") as phone,
    ):
        calls = tuple(phone.execute(Dial(to=number, hold_others=False)).call for number in ("1002", "1003"))
        await phone.until(lambda: phone.types.count("call.active") == 2, "both active")
        phone.execute(CreateConference(id="room", calls=calls))
        await recorded(phone, tmp_path / "one.wav", calls[0])
        phone.execute(HangupAll())
        await phone.over()
        for peer, other in ((low, 700.0), (high, THEIR_TONE)):
            await says(peer, "CALL_CLOSED")
            heard = await heard_by(peer)
            assert loudest_frequency(heard.channels[0], heard.rate) == pytest.approx(other, abs=5)


async def test_a_baresip_listens_to_another_and_whispers_to_a_third(proxy: Kamailio, tmp_path: Path) -> None:
    """1003 taps the side of 1002 in a conference of ours with 1004: it hears both, and only 1002 hears it."""
    async with (
        bob(proxy, tmp_path, "1002") as agent,
        bob(proxy, tmp_path, "1003", source="ausine,700") as boss,
        bob(proxy, tmp_path, "1004", source="ausine,1900") as customer,
        registered(proxy, "1001") as phone,
    ):
        numbers = ("1002", "1003", "1004")
        calls = tuple(phone.execute(Dial(to=number, hold_others=False)).call for number in numbers)
        await phone.until(lambda: phone.types.count("call.active") == 3, "all active")
        phone.execute(CreateConference(id="room", calls=(calls[0], calls[2])))
        phone.execute(Tap(call=calls[0], by=calls[1], hear="both", speak="far"))
        await recorded(phone, tmp_path / "one.wav", calls[0])
        phone.execute(HangupAll())
        await phone.over()
        tones = (THEIR_TONE, 700.0, 1900.0)
        for peer, expected in ((agent, {700.0, 1900.0}), (boss, {THEIR_TONE, 1900.0}), (customer, {THEIR_TONE})):
            await says(peer, "CALL_CLOSED")
            heard = await heard_by(peer)
            side = heard.channels[0]
            middle = array("h", side[len(side) // 3 & ~1 : len(side) * 2 // 3 & ~1])
            powers = {tone: power_at(middle, tone, heard.rate) for tone in tones}
            loud = {tone for tone, power in powers.items() if power > max(powers.values()) / 100}
            assert loud == expected, powers


async def test_baresip_and_a_phone_whose_sound_has_its_own_process(proxy: Kamailio, tmp_path: Path) -> None:
    account = AccountSettings(id="kam", domain=proxy.domain, username="1001", password=PASSWORDS["1001"])
    config = quiet_config(auto_answer="all")
    config = replace(config, accounts=(account,), media=replace(config.media, mode="process"))
    async with bob(proxy, tmp_path) as peer, live_phone(config) as phone:
        await phone.event("account.registered")
        await tell(peer, "dial", f"sip:1001@{proxy.domain}")
        await phone.reaches(2)
        await hear_each_other(phone, peer, tmp_path)


# --- transfers -----------------------------------------------------------------------------------------------------


async def test_we_transfer_baresip_to_another_phone(proxy: Kamailio, tmp_path: Path) -> None:
    async with (
        bob(proxy, tmp_path) as peer,
        registered(proxy, "1001") as phone,
        registered(proxy, "1003") as target,
    ):
        phone.execute(Dial(to="1002"))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        phone.execute(Transfer(to="1003"))
        await target.event("call.incoming")
        target.execute(Answer())
        await phone.event("transfer.completed")
        await phone.over()
        await target.reaches(2)
        assert dominant_frequency(await recorded(target, tmp_path / "after.wav")) == pytest.approx(THEIR_TONE, abs=5)
        target.execute(Hangup())
        await target.over()


async def test_baresip_transfers_us_to_another_phone(proxy: Kamailio, tmp_path: Path) -> None:
    async with (
        bob(proxy, tmp_path) as peer,
        registered(proxy, "1001") as phone,
        registered(proxy, "1003", auto_answer="all") as target,
    ):
        phone.execute(Dial(to="1002"))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        await tell(peer, "transfer", f"sip:1003@{proxy.domain}")
        assert (await phone.event("transfer.requested")).data["target"] == f"sip:1003@{proxy.domain}"
        placed = phone.execute(AcceptTransfer()).call
        await target.reaches(2)
        await says(peer, "CALL_CLOSED")
        await phone.until(lambda: [c.id for c in phone.execute(ListCalls()).value] == [placed], "only the new call")
        await phone.reaches(2)
        phone.execute(Play(tone=str(OUR_TONE)))
        heard = await recorded(target, tmp_path / "after.wav")
        assert dominant_frequency(heard) == pytest.approx(OUR_TONE, abs=5)
        phone.execute(StopPlay())
        phone.execute(Hangup())
        await phone.over()
        await target.over()


async def test_we_transfer_a_phone_to_baresip(proxy: Kamailio, tmp_path: Path) -> None:
    async with (
        bob(proxy, tmp_path) as peer,
        registered(proxy, "1001", auto_answer="all") as phone,
        registered(proxy, "1003") as caller,
    ):
        caller.execute(Dial(to="1001"))
        await phone.reaches(2)
        await caller.reaches(2)
        phone.execute(Transfer(to="1002"))
        await caller.event("transfer.requested")
        caller.execute(AcceptTransfer())
        await says(peer, "CALL_ESTABLISHED")
        await phone.event("transfer.completed")
        await phone.over()
        await caller.reaches(2)
        assert dominant_frequency(await recorded(caller, tmp_path / "after.wav")) == pytest.approx(THEIR_TONE, abs=5)
        caller.execute(Hangup())
        await caller.over()
