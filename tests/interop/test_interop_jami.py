"""Jami as the far end (PJSIP, as in MicroSIP): plain and encrypted calls, heard both ways, also after a hold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.media.tones import tone_source
from offhook.phone.commands import Dial, Hangup, Hold, Play, Record, Resume, SendDtmf
from offhook.phone.settings import SrtpSettings
from offhook.testing import ears
from offhook.testing.jami import Jami, jami
from offhook.testing.live import LivePhone, live_phone, over, quiet_config
from offhook.testing.peers import free_pair
from offhook.testing.pulse import PulseServer, until_heard

pytestmark = pytest.mark.interop

OURS, THEIRS = 1000.0, 440.0


@pytest.fixture
def sound(tmp_path: Path) -> Iterator[PulseServer]:
    folder = tmp_path / "sound"
    folder.mkdir()
    running = PulseServer(folder)
    running.control("set-default-sink", "one")
    running.control("set-default-source", "two.monitor")
    yield running
    running.close()


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def peer(request: pytest.FixtureRequest, tmp_path: Path, sound: PulseServer) -> Iterator[tuple[Jami, bool]]:
    with jami(tmp_path, sound, free_pair(), encrypted=request.param) as running:
        yield running, request.param


async def hears(phone: LivePhone, file: Path) -> None:
    """Record the far end, which has to be its tone."""
    since = len(phone.events)
    phone.execute(Record(file=str(file), channels="stereo", max_seconds=2))
    await phone.event("recording.finished", since)
    heard = await asyncio.to_thread(ears.read_wav, file)
    found = ears.dominant_frequency(heard.channels[1][heard.rate:], heard.rate)
    assert found == pytest.approx(THEIRS, abs=5)


@pytest.mark.parametrize("peer", [True], ids=["encrypted"], indirect=True)
async def test_optional_encryption_reaches_who_takes_a_secure_profile_only(peer: tuple[Jami, bool], tmp_path: Path) -> None:
    async with live_phone(replace(quiet_config(), srtp=SrtpSettings("optional"))) as phone:
        phone.execute(Dial(to=peer[0].uri))
        active = await phone.event("call.active")
        assert active.data["call"]["media"]["srtp"] == "sdes"
        told = [event.type for event in phone.events if event.type.startswith("call.")]
        assert told == ["call.created", "call.calling", "call.ringing", "call.updated", "call.answered", "call.active"]
        since = len(phone.events)
        phone.execute(Hold())
        await phone.event("call.held", since)
        phone.execute(Resume())
        await phone.event("call.resumed", since)
        phone.execute(Record(file=str(tmp_path / "heard.wav"), channels="stereo", max_seconds=1))
        await phone.event("recording.finished")
        assert not [event for event in phone.events if event.type == "media.stalled"]
        phone.execute(Hangup())
        await over(phone)


async def test_a_call(peer: tuple[Jami, bool], sound: PulseServer, tmp_path: Path) -> None:
    far, encrypted = peer
    speech = tmp_path / "tone.raw"
    source = tone_source((THEIRS,), 60_000)
    speech.write_bytes(b"".join(iter(source.read, None)))
    config = replace(quiet_config(), srtp=SrtpSettings("required" if encrypted else "off"))
    async with live_phone(config) as phone:
        speaking = sound.play("two", speech)
        try:
            phone.execute(Dial(to=far.uri))
            active = await phone.event("call.active")
            assert active.data["call"]["media"]["srtp"] == ("sdes" if encrypted else "")
            phone.execute(Play(tone=str(int(OURS)), loop=True))
            await until_heard(sound, "one", OURS)
            since = len(phone.events)
            phone.execute(Hold())
            await phone.event("call.held", since)
            phone.execute(Resume())
            await phone.event("call.resumed", since)
            await hears(phone, tmp_path / "after.wav")
            phone.execute(SendDtmf(digits="12#"))
            await phone.event("dtmf.sent", since)
            assert not [event for event in phone.events if event.type == "media.stalled"]
            phone.execute(Hangup())
            await over(phone)
        finally:
            speaking.terminate()
            speaking.wait(10)
