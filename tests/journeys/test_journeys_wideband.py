"""Two phones that talk wideband, encrypted and not, and a program that hears them at its own rate."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from offhook.media.codecs.kinds import missing
from offhook.media.resample import resample
from offhook.phone.commands import Dial, HangupAll, ListCalls, Play, Record, SendDtmf
from offhook.phone.settings import SrtpSettings
from offhook.storage.config import Config
from offhook.testing.ears import dominant_frequency, level_dbfs, read_wav
from offhook.testing.live import live_phone, quiet_config

pytestmark = pytest.mark.slow


def config(codec: str, policy: Literal["off", "required"]) -> Config:
    quiet = quiet_config(auto_answer="all")
    return replace(quiet, media=replace(quiet.media, codecs=(codec, "PCMU")), srtp=SrtpSettings(policy=policy))


@pytest.mark.parametrize("policy", ["off", "required"])
@pytest.mark.parametrize(("codec", "rate"), [("OPUS", 48000), ("G722", 16000), ("L16/16000", 16000)])
async def test_a_call(codec: str, rate: int, policy: Literal["off", "required"], tmp_path: Path) -> None:
    if reason := missing(codec):
        pytest.skip(reason)
    async with live_phone(config(codec, policy)) as alice, live_phone(config(codec, policy)) as bob:
        alice.execute(Dial(to=bob.uri))
        await alice.reaches(2)
        await bob.reaches(2)
        (view,) = alice.execute(ListCalls()).value
        assert view.media.codec == codec
        assert bool(view.media.srtp) == (policy == "required")
        bob.execute(Record(file=str(tmp_path / "heard.wav"), channels="stereo", max_seconds=1.5))
        await bob.event("recording.started")
        alice.execute(Play(tone="3000", duration_ms=1200))
        await bob.event("recording.finished")
        heard = read_wav(tmp_path / "heard.wav")
        assert heard.rate == rate
        far = max(heard.channels, key=level_dbfs)
        middle = far[rate // 2 & ~1 : 2 * rate]
        assert dominant_frequency(resample(middle, rate, 8000)) == pytest.approx(3000, abs=3)
        alice.execute(SendDtmf(digits="7"))
        assert (await bob.event("dtmf.received")).data["digit"] == "7"
        alice.execute(HangupAll())
        await bob.reaches(0)


async def test_a_program_hears_what_a_telephone_does_not_carry() -> None:
    if reason := missing("OPUS"):
        pytest.skip(reason)
    async with live_phone(config("OPUS", "off")) as alice, live_phone(config("OPUS", "off")) as bob:
        alice.execute(Dial(to=bob.uri))
        await alice.reaches(2)
        await bob.reaches(2)
        (mine,), (theirs,) = alice.execute(ListCalls()).value, bob.execute(ListCalls()).value
        mouth, ear = alice.running.open_audio(mine.id, rate=24000), bob.running.open_audio(theirs.id, rate=48000)
        samples = array("h", (round(8000 * math.sin(math.tau * 9000 * n / 24000)) for n in range(24000)))
        mouth.write(samples.tobytes())
        heard = b""
        async for frame in ear:
            heard += frame.pcm
            if len(heard) > 2 * 48000:
                break
        assert dominant_frequency(heard[48000:], 48000) == pytest.approx(9000, abs=20)
