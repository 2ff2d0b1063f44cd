"""baresip and linphone as the far end of encrypted calls: both ways, every keying, and what is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from offhook.phone.commands import Dial, Hangup, Hold, ListCalls, Play, Record, Resume
from offhook.phone.settings import SrtpSettings
from offhook.testing import peers
from offhook.testing.ears import dominant_frequency, level_dbfs, read_wav
from offhook.testing.live import LivePhone, live_phone, quiet_config
from offhook.testing.peers import Baresip, PeerMissing, baresip

pytestmark = pytest.mark.interop

THEIR_TONE = 440.0
OUR_TONE = 600.0
Policy = Literal["off", "optional", "required"]


@pytest.fixture(autouse=True)
def baresip_is_here() -> None:
    try:
        peers.program("baresip", "baresip-core")
    except PeerMissing as exc:
        pytest.skip(str(exc))


@asynccontextmanager
async def bob(folder: Path, **options: Any) -> AsyncIterator[Baresip]:
    """Run baresip without a registrar; starting and stopping it must not hold up the phone, which lives in this loop."""
    runner = baresip(folder / "bob", **options)
    peer = await asyncio.to_thread(runner.__enter__)
    try:
        yield peer
    finally:
        await asyncio.to_thread(runner.__exit__, None, None, None)


@asynccontextmanager
async def phone_with(policy: Policy, keying: Literal["sdes", "dtls"] = "sdes", **phone: Any) -> AsyncIterator[LivePhone]:
    config = replace(quiet_config(status_linger=0.2, **phone), srtp=SrtpSettings(policy, keying))
    async with live_phone(config) as running:
        yield running


async def says(peer: Baresip, kind: str) -> dict[str, Any]:
    return await asyncio.to_thread(peer.wait_event, kind)


async def recorded(phone: LivePhone, file: Path) -> bytes:
    """Record a second of the call and return the far end's side."""
    since = len(phone.events)
    phone.execute(Record(file=str(file), channels="stereo", max_seconds=1.0))
    await phone.event("recording.finished", since)
    return max(read_wav(file).channels, key=level_dbfs)


async def hear_each_other(phone: LivePhone, peer: Baresip, folder: Path) -> None:
    """Hear baresip's tone, play ours, hang up, and find ours in what baresip heard."""
    assert dominant_frequency(await recorded(phone, folder / "theirs.wav")) == pytest.approx(THEIR_TONE, abs=5)
    since = len(phone.events)
    phone.execute(Play(tone=str(OUR_TONE), duration_ms=1500))
    await phone.event("playback.finished", since)
    phone.execute(Hangup())
    await phone.until(lambda: not phone.execute(ListCalls()).value, "no calls")
    await says(peer, "CALL_CLOSED")
    heard = read_wav(peer.heard()[-1])
    size = heard.rate
    pcm = heard.channels[0]
    pieces = [pcm[start:start + size] for start in range(0, max(1, len(pcm) - size), size // 4 & ~1)]
    assert dominant_frequency(max(pieces, key=level_dbfs), heard.rate) == pytest.approx(OUR_TONE, abs=5)


def sound(phone: LivePhone) -> tuple[str, str]:
    media = phone.execute(ListCalls()).value[0].media
    return media.srtp, media.cipher


@pytest.mark.parametrize(("ours", "theirs", "srtp"), [
    ("optional", "srtp", "sdes"), ("required", "srtp-mand", "sdes"), ("required", "srtp", "sdes"), ("optional", "", ""),
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
