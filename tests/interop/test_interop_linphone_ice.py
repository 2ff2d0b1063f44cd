"""linphone and us with ICE and DTLS-SRTP, without a proxy: a way is found, keys are agreed on, and both hear each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from baresips import OUR_TONE, loudest_frequency

from offhook.phone.commands import Dial, Hangup, ListCalls, Play, Record
from offhook.phone.settings import NatSettings, SrtpSettings
from offhook.testing.ears import read_wav
from offhook.testing.linphone import SAMPLE_RATE, TONE, Linphone, linphone
from offhook.testing.live import live_phone, quiet_config
from offhook.testing.peers import coturn

pytestmark = pytest.mark.interop

HEAR_SECONDS = 3.5
"""Its sound server has up to two seconds in store after a handshake."""


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linphone]:
    with (
        coturn(tmp_path_factory.mktemp("coturn")) as turn,
        linphone(tmp_path_factory.mktemp("linphone"), encryption="dtls") as running,
    ):
        # Without a STUN server it does no ICE.
        running.command(f"firewall-policy ice 127.0.0.1:{turn.port}")
        yield running


@pytest.mark.parametrize("caller", ["we", "linphone"])
async def test_ice_and_dtls(peer: Linphone, tmp_path: Path, caller: str) -> None:
    config = replace(quiet_config(auto_answer="all"), srtp=SrtpSettings("required", "dtls"), nat=NatSettings("ice"))
    async with live_phone(config) as phone:
        if caller == "we":
            phone.execute(Dial(to=peer.uri))
            await asyncio.to_thread(peer.wait_state, "IncomingReceived")
            await asyncio.to_thread(peer.command, "answer")
        else:
            await asyncio.to_thread(peer.call, phone.uri)
        await phone.reaches(2)
        await phone.event("media.route")
        assert (await phone.event("media.security")).data["srtp"] == "dtls"
        await phone.event("media.started")
        assert phone.execute(ListCalls()).value[0].media.srtp == "dtls"
        phone.execute(Play(tone=str(OUR_TONE)))
        phone.execute(Record(file=str(tmp_path / "theirs.wav"), channels="stereo", max_seconds=HEAR_SECONDS))
        heard = await asyncio.to_thread(peer.hear, HEAR_SECONDS)
        await phone.event("recording.finished")
        assert loudest_frequency(heard, SAMPLE_RATE) == pytest.approx(OUR_TONE, abs=5)
        theirs = read_wav(tmp_path / "theirs.wav")
        assert loudest_frequency(theirs.channels[1], theirs.rate) == pytest.approx(TONE, abs=5)
        phone.execute(Hangup())
        await phone.over()
        await asyncio.to_thread(peer.wait_over)
