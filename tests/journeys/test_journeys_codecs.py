"""Another codec in the middle of a call between two whole phones: what is heard before and after, and that nothing is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from offhook.media.codecs.kinds import missing
from offhook.phone.commands import Detect, Hangup, ListCalls, MeterCall, Play, Record, SetCodecs, StopRecord
from offhook.phone.settings import SrtpSettings
from offhook.storage.config import Config
from offhook.testing.ears import dominant_frequency, longest_gap_ms, read_wav
from offhook.testing.live import LivePhone, connect, live_phone, quiet_config

pytestmark = pytest.mark.slow

CODECS = ("PCMU", "OPUS", "G722")
MOST_GAP_MS = 40
"""Two packets: what may be missing where a codec changes."""


def config(*codecs: str, srtp: Literal["off", "required"] = "off") -> Config:
    quiet = quiet_config()
    return replace(quiet, media=replace(quiet.media, codecs=codecs), srtp=SrtpSettings(policy=srtp))


def codec_of(phone: LivePhone) -> str:
    (view,) = phone.execute(ListCalls()).value
    codec: str = view.media.codec
    return codec


class Punctuality:
    """How late the media of these phones ever was: a machine that has no time for it loses as much, whatever the codec."""

    def __init__(self, *phones: LivePhone) -> None:
        self._phones = phones
        self._latest = 0.0

    async def sleep(self, seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(left, 0.4))
            for phone in self._phones:
                self._latest = max([self._latest, *(worker.latest_ms for worker in phone.running.load().workers)])

    @property
    def most_gap_ms(self) -> float:
        return MOST_GAP_MS + 2 * self._latest


async def outcome(phone: LivePhone, operation: str) -> tuple[str, int]:
    def ended() -> list[tuple[str, int]]:
        return [(each.type, each.data.get("sip_status", 0)) for each in phone.events
                if each.type.startswith("operation.") and each.data["operation"] == operation]
    await phone.until(ended, operation)
    return ended()[0]


@pytest.mark.parametrize("srtp", ["off", "required"])
async def test_from_g711_to_opus_to_g722(srtp: Literal["off", "required"], tmp_path: Path) -> None:
    for reason in filter(None, map(missing, CODECS)):
        pytest.skip(reason)
    async with live_phone(config(*CODECS, srtp=srtp)) as alice, live_phone(config(*CODECS, srtp=srtp)) as bob:
        await connect(alice, bob)
        time = Punctuality(alice, bob)
        files = {phone: tmp_path / name for phone, name in ((alice, "alice.wav"), (bob, "bob.wav"))}
        for phone, tone in ((alice, "1000"), (bob, "600")):
            phone.execute(Play(tone=tone))
            phone.execute(Detect(what=("dtmf",)))
        for phone, file in files.items():
            phone.execute(Record(file=str(file), channels="stereo"))
        await time.sleep(1.5)
        for name, asks in (("OPUS", alice), ("G722", bob)):
            operation = asks.execute(SetCodecs(codecs=(name, "G722"))).operation
            assert (await outcome(asks, operation))[0] == "operation.succeeded"
            await time.sleep(0.2)
            assert (codec_of(alice), codec_of(bob)) == (name, name)
            await time.sleep(1.3)
        for phone in files:
            phone.execute(StopRecord())
            await phone.event("recording.finished")
        for phone, frequency in ((alice, 600.0), (bob, 1000.0)):
            heard = read_wav(files[phone])
            assert heard.rate == 8000, "as it began"
            far = next(pcm for pcm in heard.channels if dominant_frequency(pcm) == pytest.approx(frequency, abs=5))
            for start in (0.4, 1.9, 3.3):
                piece = far[16 * round(1000 * start) :][:16 * 600]
                assert dominant_frequency(piece) == pytest.approx(frequency, abs=5), start
            assert longest_gap_ms(far[16 * 400 :], below_db=12.0) <= time.most_gap_ms
        assert "call.ended" not in alice.types
        alice.execute(Hangup())
        await bob.event("call.ended")


async def test_a_codec_that_is_refused_and_what_is_heard_meanwhile(tmp_path: Path) -> None:
    async with live_phone(config("PCMU", "L16/16000")) as alice, live_phone(config("PCMU")) as bob:
        await connect(alice, bob)
        time = Punctuality(alice, bob)
        bob.execute(Play(tone="600"))
        alice.execute(MeterCall(interval_ms=100, seconds=10))
        alice.execute(Record(file=str(tmp_path / "heard.wav"), channels="stereo"))
        await alice.event("recording.started")
        await time.sleep(1.1)
        operation = alice.execute(SetCodecs(codecs=("L16/16000",))).operation
        assert await outcome(alice, operation) == ("operation.failed", 488)
        await time.sleep(1.1)
        assert (codec_of(alice), codec_of(bob)) == ("PCMU", "PCMU")
        alice.execute(StopRecord())
        await alice.event("recording.finished")
        far = max(read_wav(tmp_path / "heard.wav").channels, key=dominant_frequency)
        assert longest_gap_ms(far[16 * 200 :], below_db=12.0) <= time.most_gap_ms
        levels = [each.data for each in alice.events if each.type == "call.level"]
        assert len(levels) >= 8
        assert levels[-1]["far_db"] == pytest.approx(-16.0, abs=1.5)
        assert levels[-1]["near_db"] == -96.0
