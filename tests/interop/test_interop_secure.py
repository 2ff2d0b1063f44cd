"""baresip as the far end of encrypted calls: both ways, every keying, and what is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from baresips import THEIR_TONE, hear_each_other, recorded, says, started

from offhook.phone.commands import Dial, Hold, ListCalls, Resume
from offhook.phone.settings import SrtpSettings
from offhook.testing.ears import dominant_frequency
from offhook.testing.live import LivePhone, live_phone, quiet_config
from offhook.testing.peers import Baresip

pytestmark = pytest.mark.interop

Policy = Literal["off", "optional", "required"]


@asynccontextmanager
async def bob(folder: Path, **options: Any) -> AsyncIterator[Baresip]:
    """Run baresip without a registrar."""
    async with started(folder / "bob", **options) as peer:
        yield peer


@asynccontextmanager
async def phone_with(policy: Policy, keying: Literal["sdes", "dtls"] = "sdes", **phone: Any) -> AsyncIterator[LivePhone]:
    config = replace(quiet_config(status_linger=0.2, **phone), srtp=SrtpSettings(policy, keying))
    async with live_phone(config) as running:
        yield running


def sound(phone: LivePhone) -> tuple[str, str]:
    media = phone.execute(ListCalls()).value[0].media
    return media.srtp, media.cipher


@pytest.mark.parametrize(("ours", "theirs", "srtp"), [
    ("optional", "srtp", "sdes"), ("required", "srtp-mand", "sdes"), ("required", "srtp", "sdes"), ("optional", "", ""),
    ("optional", "srtp-mand", "sdes"),  # which takes keys on RTP/SAVP only: it is called once more
])  # fmt: skip
async def test_we_call_baresip_with_sdes(tmp_path: Path, ours: Policy, theirs: str, srtp: str) -> None:
    async with bob(tmp_path, mediaenc=theirs) as peer, phone_with(ours) as phone:
        phone.execute(Dial(to=peer.uri))
        await phone.reaches(2)
        assert sound(phone)[0] == srtp
        await hear_each_other(phone, peer, tmp_path)


@pytest.mark.parametrize(("ours", "theirs", "srtp"), [
    ("optional", "srtp", "sdes"), ("required", "srtp-mand", "sdes"), ("optional", "srtp-mand", "sdes"), ("off", "srtp", ""),
])  # fmt: skip
async def test_baresip_calls_us_with_sdes(tmp_path: Path, ours: Policy, theirs: str, srtp: str) -> None:
    async with bob(tmp_path, mediaenc=theirs) as peer, phone_with(ours, auto_answer="all") as phone:
        await asyncio.to_thread(peer.command, "dial", phone.uri)
        await phone.reaches(2)
        assert sound(phone)[0] == srtp
        await hear_each_other(phone, peer, tmp_path)


async def test_hold_and_resume_of_an_encrypted_call(tmp_path: Path) -> None:
    async with bob(tmp_path, mediaenc="srtp-mand") as peer, phone_with("required") as phone:
        phone.execute(Dial(to=peer.uri))
        await phone.reaches(2)
        assert dominant_frequency(await recorded(phone, tmp_path / "before.wav")) == pytest.approx(THEIR_TONE, abs=5)
        phone.execute(Hold())
        await phone.event("call.held")
        phone.execute(Resume())
        await phone.event("call.resumed")
        assert dominant_frequency(await recorded(phone, tmp_path / "after.wav")) == pytest.approx(THEIR_TONE, abs=5)
        assert phone.types.count("media.security") == 1


async def test_what_cannot_be_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with bob(tmp_path, mediaenc="srtp-mand") as peer, phone_with("off", auto_answer="all") as phone:
        await asyncio.to_thread(peer.command, "dial", phone.uri)
        ended = (await phone.event("call.ended")).data["call"]["end"]
        assert "srtp is off here" in ended["reason"]
        assert "488" in (await says(peer, "CALL_CLOSED"))["param"]
    async with bob(tmp_path, mediaenc="") as peer, phone_with("required") as phone:
        phone.execute(Dial(to=peer.uri))
        ended = (await phone.event("call.ended")).data["call"]["end"]
        assert ended["sip_status"] == 488 or "encryption" in ended["reason"]


async def test_we_call_baresip_with_dtls(tmp_path: Path) -> None:
    async with bob(tmp_path, mediaenc="dtls_srtp") as peer, phone_with("required", "dtls") as phone:
        phone.execute(Dial(to=peer.uri))
        await phone.reaches(2)
        assert (await phone.event("media.security")).data["srtp"] == "dtls"
        assert sound(phone)[0] == "dtls"
        await hear_each_other(phone, peer, tmp_path)


@pytest.mark.parametrize("keying", ["sdes", "dtls"])
async def test_baresip_calls_us_with_dtls(tmp_path: Path, keying: Literal["sdes", "dtls"]) -> None:
    async with bob(tmp_path, mediaenc="dtls_srtp") as peer, phone_with("required", keying, auto_answer="all") as phone:
        await asyncio.to_thread(peer.command, "dial", phone.uri)
        await phone.reaches(2)
        assert (await phone.event("media.security")).data["srtp"] == "dtls"
        await hear_each_other(phone, peer, tmp_path)


@pytest.mark.parametrize("caller", ["we", "they"])
async def test_reports_pass_where_rtcp_has_a_handshake_of_its_own(tmp_path: Path, caller: str) -> None:
    """baresip keeps RTCP on its own port; whoever calls is the server of both handshakes (RFC 5763 5)."""
    async with bob(tmp_path, mediaenc="dtls_srtp") as peer, phone_with("required", "dtls", auto_answer="all") as phone:
        if caller == "we":
            phone.execute(Dial(to=peer.uri))
        else:
            await asyncio.to_thread(peer.command, "dial", phone.uri)
        await phone.reaches(2)
        said = phone.running.traced(phone.execute(ListCalls()).value[0].sip_call_id)
        assert any(b"a=fingerprint:" in message.data for message in said if not message.sent)
        assert not any(b"a=rtcp-mux" in message.data for message in said if not message.sent)
        stats = await phone.event("media.stats")
        while stats.data["stats"]["rtt_ms"] is None:
            stats = await phone.event("media.stats", len(phone.events))
        assert stats.data["stats"]["rtt_ms"] < 1000
