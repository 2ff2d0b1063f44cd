"""Calls over IPv6, and phones that speak both families: real sockets, sound that is measured at the far end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from offhook.phone.commands import Answer, Dial, Hangup, Play, Record
from offhook.phone.settings import NatSettings
from offhook.storage.config import Config
from offhook.testing.ears import dominant_frequency, level_dbfs, read_wav
from offhook.testing.ipv6 import NO_IPV6, has_ipv6
from offhook.testing.live import LivePhone, live_phone, quiet_config

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)]

TONE = 440.0


def listening_on(host: str, policy: str = "off") -> Config:
    config = quiet_config()
    return replace(config, sip=replace(config.sip, host=host), nat=NatSettings(policy=policy))  # type: ignore[arg-type]


def uri(phone: LivePhone, host: str) -> str:
    return f"sip:offhook@{host}:{phone.running.transports.port}"


def descriptions(phone: LivePhone) -> list[str]:
    """Return the c= and a=candidate lines of each session description that came or went."""
    calls = {event.data["call"]["sip_call_id"] for event in phone.events if event.type == "call.ended"}
    bodies = [message.data.partition(b"\r\n\r\n")[2] for call in calls for message in phone.running.engine.trace.about(call, 0)]
    lines = [line for body in bodies if body.startswith(b"v=0") for line in body.decode().splitlines()]
    return [line for line in lines if line.startswith(("c=", "a=candidate"))]


async def heard(caller: LivePhone, callee: LivePhone, host: str, file: Path) -> tuple[float, float, float]:
    """Call, answer and play; return frequency and level of what the caller hears, and the share of lost packets."""
    since = len(callee.events)
    caller.execute(Dial(to=uri(callee, host)))
    await callee.event("call.incoming", since)
    callee.execute(Answer())
    await caller.reaches(2)
    await callee.reaches(2)
    callee.execute(Play(tone=f"{TONE:g}"))
    await caller.event("media.started")
    caller.execute(Record(file=str(file), channels="stereo"))
    before = len(caller.events)
    await caller.event("media.stats", before)
    caller.execute(Hangup())
    ended = await caller.event("recording.finished")
    assert ended.data
    await callee.event("call.ended", since)
    wav = read_wav(file)
    pcm = wav.channels[1][wav.rate : 2 * wav.rate]
    stats = next(event for event in caller.events[before:] if event.type == "media.stats")
    return dominant_frequency(pcm, wav.rate), level_dbfs(pcm), stats.data["stats"]["loss"]


async def test_a_tone_over_ipv6(tmp_path: Path) -> None:
    async with live_phone(listening_on("::1")) as caller, live_phone(listening_on("::1")) as callee:
        frequency, level, loss = await heard(caller, callee, "[::1]", tmp_path / "a.wav")
        assert abs(frequency - TONE) < 3
        assert level > -20
        assert loss == 0
        assert set(descriptions(caller)) == {"c=IN IP6 ::1"}


@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_a_phone_of_both_families_is_heard_in_each(tmp_path: Path, host: str, other: str) -> None:
    async with live_phone(listening_on("::")) as both, live_phone(listening_on(host)) as one:
        family = "IP6 ::1" if host == "::1" else "IP4 127.0.0.1"
        for number, (caller, callee) in enumerate(((both, one), (one, both))):
            frequency, _, loss = await heard(caller, callee, other, tmp_path / f"{number}.wav")
            assert abs(frequency - TONE) < 3
            assert loss == 0
        assert set(descriptions(both)) == {f"c=IN {family}"}


async def test_ice_finds_a_way_over_ipv6(tmp_path: Path) -> None:
    async with live_phone(listening_on("::1", "ice")) as caller, live_phone(listening_on("::1", "ice")) as callee:
        frequency, _, _ = await heard(caller, callee, "[::1]", tmp_path / "a.wav")
        assert abs(frequency - TONE) < 3
        route = await caller.event("media.route")
        assert route.data["address"].startswith("::1:")
        assert any(line.startswith("a=candidate") and " ::1 " in line for line in descriptions(caller))
