"""baresip with Opus, G.722 and L16, called and calling: what is agreed, and tones measured at both ends."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from baresips import OUR_TONE, THEIR_TONE, hear_each_other, heard_by, recorded, says, started, tell

from offhook.media.codecs import codec
from offhook.media.codecs.kinds import missing
from offhook.media.detect.digits import power_at
from offhook.phone.commands import (
    Answer,
    CreateConference,
    Dial,
    HangupAll,
    Hold,
    ListCalls,
    Play,
    Resume,
    SendDtmf,
    SetCodecs,
)
from offhook.testing.ears import dominant_frequency, level_dbfs, read_wav
from offhook.testing.live import LivePhone, live_phone, quiet_config

pytestmark = pytest.mark.interop

# Our name, baresip's, and the module it needs.
CODECS: Final = {
    "OPUS": ("opus/48000/2", "opus"), "OPUS/16000": ("opus/48000/2", "opus"), "G722": ("G722/16000/1", "g722"),
    "AMR/OCTETS": ("AMR/8000/1", "amr"),  # "octet-align mode is required", says baresip
    "L16/16000": ("L16/16000/1", "l16"),  # at 8000 baresip 1.0 loses every fortieth sample by itself
}  # fmt: skip
MODULES: Final = "".join(f"module {name}.so\n" for name in ("opus", "g722", "l16", "amr"))


def codec_of(phone: LivePhone) -> str:
    (view,) = phone.execute(ListCalls()).value
    codec: str = view.media.codec
    return codec


def skip_without(*names: str) -> None:
    for reason in filter(None, map(missing, names)):
        pytest.skip(reason)


@pytest.mark.parametrize("name", CODECS)
async def test_we_call(name: str, tmp_path: Path) -> None:
    skip_without(name)
    theirs, _ = CODECS[name]
    async with started(tmp_path / "peer", codecs=theirs, settings=MODULES) as peer, live_phone() as phone:
        phone.execute(Dial(to=peer.uri, codecs=(name, "PCMA")))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        assert codec_of(phone) == name
        await hear_each_other(phone, peer, tmp_path)
        assert read_wav(tmp_path / "theirs.wav").rate == codec(name).rate


@pytest.mark.parametrize("name", CODECS)
async def test_baresip_calls(name: str, tmp_path: Path) -> None:
    skip_without(name)
    theirs, _ = CODECS[name]
    config = quiet_config()
    config = replace(config, media=replace(config.media, codecs=("PCMU", name)))
    async with started(tmp_path / "peer", codecs=theirs, settings=MODULES) as peer, live_phone(config) as phone:
        await tell(peer, "dial", phone.uri)
        await phone.event("call.incoming")
        phone.execute(Answer())
        await phone.reaches(2)
        assert codec_of(phone) == name
        await hear_each_other(phone, peer, tmp_path)


@pytest.mark.parametrize("name", ["OPUS", "G722"])
async def test_digits_and_hold(name: str, tmp_path: Path) -> None:
    skip_without(name)
    theirs, _ = CODECS[name]
    async with started(tmp_path / "peer", codecs=theirs, settings=MODULES) as peer, live_phone() as phone:
        phone.execute(Dial(to=peer.uri, codecs=(name,)))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        phone.execute(SendDtmf(digits="5"))
        assert (await says(peer, "CALL_DTMF_START"))["param"] == "5"
        await tell(peer, "sndcode", "8")
        assert (await phone.event("dtmf.received")).data["digit"] == "8"
        phone.execute(Hold())
        await phone.event("call.held")
        phone.execute(Resume())
        await phone.event("call.resumed")
        assert codec_of(phone) == name
        assert dominant_frequency(await recorded(phone, tmp_path / "after.wav")) == pytest.approx(THEIR_TONE, abs=5)
        phone.execute(HangupAll())
        await phone.reaches(0)


async def test_a_conference_of_three_codecs(tmp_path: Path) -> None:
    """Each of three baresips (Opus, G.722, G.711) hears the tone that the phone plays to one of them, and the others' tones."""
    skip_without("OPUS", "G722")
    tones = {"OPUS": 500.0, "G722": 1100.0, "PCMU": 2300.0}
    async with (
        started(tmp_path / "OPUS", codecs="opus/48000/2", settings=MODULES, source="ausine,500") as one,
        started(tmp_path / "G722", codecs="G722/16000/1", settings=MODULES, source="ausine,1100") as two,
        started(tmp_path / "PCMU", codecs="PCMU/8000/1", settings=MODULES, source="ausine,2300") as three,
        live_phone() as phone,
    ):
        calls = {}
        for name, peer in (("OPUS", one), ("G722", two), ("PCMU", three)):
            accepted = phone.execute(Dial(to=peer.uri, codecs=(name,), hold_others=False))
            await says(peer, "CALL_ESTABLISHED")
            calls[name] = accepted.call
        phone.execute(CreateConference(calls=tuple(calls.values())))
        await phone.event("conference.created")
        since = len(phone.events)
        phone.execute(Play(call=calls["OPUS"], tone=str(OUR_TONE), duration_ms=1500))
        await phone.event("playback.finished", since)
        phone.execute(HangupAll())
        await phone.over()
        for name, peer in (("OPUS", one), ("G722", two), ("PCMU", three)):
            await says(peer, "CALL_CLOSED")
            heard = await heard_by(peer)
            middle = heard.channels[0][len(heard.channels[0]) // 2 & ~1 :]
            found = {other: _level(middle, frequency, heard.rate) for other, frequency in tones.items()}
            for other in tones:
                assert (found[other] > -20) == (other != name), (name, found)


def _level(pcm: bytes, frequency: float, rate: int) -> float:
    """Return how loud one frequency is in the loudest half second, in dBFS."""
    size = rate
    pieces = [pcm[start:start + size] for start in range(0, max(1, len(pcm) - size), size)]
    samples = memoryview(max(pieces, key=level_dbfs)).cast("h").tolist()
    return 10 * math.log10(max(power_at(samples, frequency, rate), 1e-3) / (32767.0**2 / 2))


@pytest.mark.parametrize(("first", "second"), [("PCMU", "PCMA"), ("PCMA", "PCMU"), ("G722", "L16/16000")])
async def test_another_codec_in_the_middle_of_a_call(first: str, second: str, tmp_path: Path) -> None:
    """baresip goes along, and refuses what it does not have.

    Of codecs of the same rate: baresip 1.0 takes any, but then feeds its encoder at the old rate ("opus encode error: 160
    samples"). From L16 to G.722 it goes on with 53 samples in a packet, of which G.722 makes 54.
    """
    skip_without(first, second)
    theirs = "PCMU/8000/1,PCMA/8000/1,G722/16000/1,L16/16000/1"
    async with started(tmp_path / "peer", codecs=theirs, settings=MODULES) as peer, live_phone() as phone:
        phone.execute(Dial(to=peer.uri, codecs=(first,)))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        assert codec_of(phone) == first
        assert dominant_frequency(await recorded(phone, tmp_path / "before.wav")) == pytest.approx(THEIR_TONE, abs=5)
        since = len(phone.events)
        phone.execute(SetCodecs(codecs=(second, first)))
        await phone.event("operation.succeeded", since)
        assert codec_of(phone) == second
        assert dominant_frequency(await recorded(phone, tmp_path / "after.wav")) == pytest.approx(THEIR_TONE, abs=5)
        since = len(phone.events)
        phone.execute(SetCodecs(codecs=("OPUS/16000",) if not missing("OPUS") else ("L16/8000",)))
        failed = (await phone.event("operation.failed", since)).data
        assert (failed["sip_status"], codec_of(phone)) == (488, second)
        await hear_each_other(phone, peer, tmp_path)
