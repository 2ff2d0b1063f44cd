"""STUN, TURN and ICE with other people's programs: coturn, aioice, baresip."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from offhook.phone.commands import Capture, Dial, Hangup, ListCalls, Play, Record
from offhook.phone.settings import NatPolicy, NatSettings, SrtpSettings
from offhook.testing import peers
from offhook.testing.ears import dominant_frequency, read_wav
from offhook.testing.live import LivePhone, live_phone, quiet_config
from offhook.testing.peers import Baresip, Coturn, baresip, coturn

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    with coturn(tmp_path_factory.mktemp("coturn")) as running:
        yield running


def nat(relay: Coturn, policy: NatPolicy, transport: str = "udp", password: str = "") -> NatSettings:
    return NatSettings(
        policy, stun=f"127.0.0.1:{relay.port}", turn=f"turn:127.0.0.1:{relay.port}?transport={transport}",
        turn_username=relay.user, turn_password=password or relay.password,
    )  # fmt: skip


@asynccontextmanager
async def phone_with(settings: NatSettings, srtp: SrtpSettings | None = None, **phone: Any) -> AsyncIterator[LivePhone]:
    config = replace(quiet_config(status_linger=0.2, **phone), nat=settings, srtp=srtp or SrtpSettings())
    async with live_phone(config) as running:
        if settings.stun:
            await running.until(lambda: running.running.phone.reach.servers.stun is not None, "servers")
        yield running


async def recorded(phone: LivePhone, file: Path) -> bytes:
    """Return what the phone heard."""
    since = len(phone.events)
    phone.execute(Record(file=str(file), channels="stereo", max_seconds=1.0))
    await phone.event("recording.finished", since)
    return read_wav(file).channels[1]


async def talk(one: LivePhone, other: LivePhone, folder: Path) -> None:
    """Call, and hear a tone that one plays at the other."""
    one.execute(Dial(to=other.uri))
    await one.reaches(2)
    await one.event("media.started")
    await other.event("media.started")
    one.execute(Play(tone="600", duration_ms=0))
    assert dominant_frequency(await recorded(other, folder / "heard.wav")) == pytest.approx(600, abs=5)


def addresses(phone: LivePhone) -> list[str]:
    event = next(event for event in phone.events if event.type == "media.candidates")
    assert event.data["problems"] == ()
    return [text.split()[0] for text in event.data["candidates"]]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_sound_goes_over_the_relay_for_a_far_end_that_knows_nothing_of_it(
    relay: Coturn, tmp_path: Path, transport: str
) -> None:
    async with phone_with(nat(relay, "turn", transport)) as one, phone_with(NatSettings(), auto_answer="all") as other:
        await talk(one, other, tmp_path)
        assert addresses(one) == ["host", "relay"]
        call = next(iter(other.running.phone.desk.calls.values()))  # what the other was told
        assert call.config is not None
        assert 50_000 <= call.config.remote[1] < 51_000


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_what_goes_over_the_relay_is_captured(relay: Coturn, tmp_path: Path, transport: str) -> None:
    async with phone_with(nat(relay, "turn", transport)) as one, phone_with(NatSettings(), auto_answer="all") as other:
        await talk(one, other, tmp_path)
        one.execute(Capture(seconds=1))
        assert (await one.event("capture.finished")).data["packets"] == pytest.approx(100, abs=15)


@pytest.mark.parametrize(("transport", "policy"), [("udp", "turn"), ("tcp", "turn"), ("udp", "ice")])
async def test_a_call_survives_a_relay_that_is_started_again(tmp_path: Path, transport: str, policy: NatPolicy) -> None:
    with ExitStack() as first, ExitStack() as second:
        relay = first.enter_context(coturn(tmp_path / "first"))
        async with (
            phone_with(nat(relay, policy, transport)) as one, phone_with(NatSettings(), auto_answer="all") as other,
        ):
            await talk(one, other, tmp_path)
            call = next(iter(other.running.phone.desk.calls.values()))
            assert call.config is not None
            before, since = call.config.remote, len(one.events)
            first.close()
            second.enter_context(coturn(tmp_path / "second", port=relay.port))
            told = await one.event("media.candidates", since)
            assert told.data["problems"] == ()
            await other.until(lambda: call.config is not None and call.config.remote != before, "the new address")
            assert dominant_frequency(await recorded(other, tmp_path / "after.wav")) == pytest.approx(600, abs=5)
            other.execute(Play(tone="700", duration_ms=0))
            assert dominant_frequency(await recorded(one, tmp_path / "back.wav")) == pytest.approx(700, abs=5)


async def test_stun_alone_says_the_address_seen_from_outside(relay: Coturn, tmp_path: Path) -> None:
    async with phone_with(nat(relay, "stun")) as one, phone_with(NatSettings(), auto_answer="all") as other:
        await talk(one, other, tmp_path)
        assert addresses(one) == ["host"]  # on loopback it looks the same from outside


@pytest.mark.parametrize("srtp", ["off", "required"])
async def test_ice_prefers_the_direct_way(relay: Coturn, tmp_path: Path, srtp: Literal["off", "required"]) -> None:
    keys = SrtpSettings(srtp, "dtls")
    async with phone_with(nat(relay, "ice"), keys) as one, phone_with(nat(relay, "ice"), keys, auto_answer="all") as other:
        await talk(one, other, tmp_path)
        routes = [(await phone.event("media.route")).data for phone in (one, other)]
        assert [(route["local"], route["remote"]) for route in routes] == [("host", "host")] * 2
        assert "relay" in addresses(one)


async def test_a_wrong_password_is_said_and_the_call_goes_on_without(relay: Coturn, tmp_path: Path) -> None:
    settings = nat(relay, "ice", password="guessed")
    async with phone_with(settings) as one, phone_with(NatSettings("ice"), auto_answer="all") as other:
        await talk(one, other, tmp_path)
        problems = (await one.event("media.candidates")).data["problems"]
        assert len(problems) == 1
        assert "401" in problems[0]
        assert "password" in problems[0]


async def test_a_server_that_is_not_there_costs_a_moment(tmp_path: Path) -> None:
    settings = NatSettings("ice", stun=f"127.0.0.1:{peers.free_port()}")
    async with phone_with(settings) as one, phone_with(NatSettings("ice"), auto_answer="all") as other:
        await talk(one, other, tmp_path)
        assert "does not answer" in (await one.event("media.candidates")).data["problems"][0]


# --- baresip ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def bob(folder: Path, **options: Any) -> AsyncIterator[Baresip]:
    runner = baresip(folder / "bob", **options)
    peer = await asyncio.to_thread(runner.__enter__)
    try:
        yield peer
    finally:
        await asyncio.to_thread(runner.__exit__, None, None, None)


@pytest.mark.parametrize("ours", ["calls", "is called"])
@pytest.mark.parametrize("secure", [False, True])
async def test_baresip_and_ice(tmp_path: Path, ours: str, secure: bool) -> None:
    srtp = SrtpSettings("required", "dtls") if secure else SrtpSettings()
    options = {"medianat": "ice", "mediaenc": "dtls_srtp" if secure else ""}
    async with bob(tmp_path, **options) as peer, phone_with(NatSettings("ice"), srtp, auto_answer="all") as phone:
        if ours == "calls":
            phone.execute(Dial(to=peer.uri))
        else:
            await asyncio.to_thread(peer.command, "dial", phone.uri)
        await phone.reaches(2)
        await phone.event("media.route")
        if secure:
            await phone.event("media.security")
        assert dominant_frequency(await recorded(phone, tmp_path / "theirs.wav")) == pytest.approx(440, abs=5)
        if secure:
            assert phone.execute(ListCalls()).value[0].media.srtp == "dtls"
        phone.execute(Hangup())
