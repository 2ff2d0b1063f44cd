"""A program that hears and speaks in a call, the same from inside and over the socket."""

from __future__ import annotations

import array
import asyncio
import base64
import gc
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from offhook import CallHandle, Softphone
from offhook.api.audio import _leaving
from offhook.control.channel.serving import open_stream
from offhook.errors import CommandError, Forbidden, InvalidArgument, InvalidState
from offhook.media.messages import AudioRate
from offhook.testing.http import serving
from offhook.testing.live import live_phone
from offhook.testing.softphones import own_phone, phone_by, served_phone

Peer = tuple[Softphone, str]


@pytest.fixture(params=["own", "socket", "http"])
async def phone(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Softphone]:
    async with phone_by(request.param, tmp_path) as (driver, _):
        yield driver


def tone(milliseconds: int, rate: int = 16000, frequency: float = 440.0) -> bytes:
    count = rate * milliseconds // 1000
    return array.array("h", (int(9000 * math.sin(2 * math.pi * frequency * n / rate)) for n in range(count))).tobytes()


def loudness(pcm: bytes) -> float:
    samples = array.array("h", pcm)
    return math.sqrt(sum(sample * sample for sample in samples) / max(1, len(samples)))


async def talk(phone: Softphone, peer: Peer) -> tuple[CallHandle, CallHandle]:
    far, uri = peer
    incoming = far.incoming
    call = await phone.dial(uri)
    theirs = await anext(incoming)
    await theirs.answer()
    await call.wait_active(timeout=5)
    return call, theirs


@pytest.mark.lengthy
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
async def test_what_one_program_says_the_other_hears(phone: Softphone, peer: Peer, rate: AudioRate) -> None:
    call, theirs = await talk(phone, peer)
    async with call.open_audio(rate=rate) as audio, asyncio.timeout(10):
        await audio.write(tone(400, rate))
        async for frame in theirs.audio:
            assert len(frame) == 640
            if loudness(frame) > 2000:
                break
        await theirs.audio.write(tone(400))
        async for frame in audio:
            assert len(frame) == rate // 50 * 2
            if loudness(frame) > 2000:
                break
        await audio.drain()
        assert audio.buffered_ms == 0
    await call.hangup()
    assert all([len(frame) == 640 async for frame in theirs.audio])  # and it ends


async def test_clear_silences_at_once_and_says_what_was_not_played(phone: Softphone, peer: Peer) -> None:
    call, _theirs = await talk(phone, peer)
    async with call.open_audio() as audio, asyncio.timeout(10):
        await audio.write(tone(900))
        assert 500 <= await audio.clear() <= 900
        assert audio.buffered_ms == 0
        await audio.drain()
    await call.hangup()


@pytest.mark.lengthy
async def test_clear_ends_a_write_that_waits(phone: Softphone, peer: Peer) -> None:
    call, _theirs = await talk(phone, peer)
    async with call.open_audio(rate=8000) as audio, asyncio.timeout(10):
        await audio.write(tone(200, 8000))
        speaking = asyncio.create_task(audio.write(tone(9000, 8000)))  # another task, as a bot has one for what it says
        async for _ in audio:
            if audio.buffered_ms > 1000:
                break
        assert 8500 <= await audio.clear() <= 9200
        await speaking
        assert audio.buffered_ms == 0  # nothing of it came behind the silence
        await audio.write(tone(100, 8000))
        await audio.drain()
    await call.hangup()


@pytest.mark.lengthy
async def test_writing_waits_for_the_playing(phone: Softphone, peer: Peer) -> None:
    call, _theirs = await talk(phone, peer)
    async with call.open_audio(rate=8000) as audio:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await audio.write(tone(5000, 8000))
        assert audio.buffered_ms <= 2100
        await audio.clear()
    await call.hangup()


async def test_after_the_call_nothing_is_said_any_more(phone: Softphone, peer: Peer) -> None:
    call, theirs = await talk(phone, peer)
    async with call.open_audio() as audio:
        await theirs.hangup()
        await call.wait_ended(timeout=5)
        async with asyncio.timeout(5):
            async for _ in audio:
                pass
        with pytest.raises(InvalidState):
            await audio.write(tone(20))
        await audio.drain()
    with pytest.raises(CommandError):
        await call.open_audio().write(b"")


async def test_the_calls_sound_is_opened_again_after_it_was_closed(phone: Softphone, peer: Peer) -> None:
    call, _theirs = await talk(phone, peer)
    async with asyncio.timeout(10):
        for _ in range(2):
            async with call.audio as audio:
                assert call.audio is audio
                assert len(await anext(audio)) == 640
                await audio.write(bytes(640))
        assert len(await anext(call.audio)) == 640
    await call.hangup()
    assert all([len(frame) == 640 async for frame in call.audio])


@pytest.mark.lengthy
async def test_sound_that_is_forgotten_is_closed_when_it_was_heard(phone: Softphone, peer: Peer) -> None:
    call, theirs = await talk(phone, peer)
    async with asyncio.timeout(20):
        for _ in range(12):  # more than a call may have at once
            async for _frame in call.open_audio(rate=8000):
                break
            gc.collect()
            while _leaving:
                await asyncio.wait(_leaving)
            await phone.status()  # the phone has seen it, too
        await call.open_audio(rate=8000).write(tone(400, 8000))
        gc.collect()
        heard = 0
        async for frame in theirs.audio:
            heard += loudness(frame) > 2000
            if heard == 18:
                break
    await call.hangup()


async def test_arrays_of_samples_are_written_as_bytes_are(phone: Softphone, peer: Peer) -> None:
    call, _theirs = await talk(phone, peer)
    second = tone(1000, 8000)
    async with call.open_audio(rate=8000) as audio, asyncio.timeout(10):
        for given in (array.array("h", second), memoryview(second).cast("h"), bytearray(second)):
            await audio.write(given)
            assert 900 <= await audio.clear() <= 1000
        for wrong in (array.array("f", [0.5]), array.array("i", [5]), memoryview(bytes(4)).cast("h", [2, 1])):
            with pytest.raises(InvalidArgument, match="16-bit"):
                await audio.write(wrong)
    await call.hangup()


@pytest.mark.lengthy
async def test_the_lines_on_the_socket(tmp_path: Path) -> None:
    async with own_phone() as peer, served_phone(tmp_path / "s") as (phone, _), asyncio.timeout(10):
        call, _theirs = await talk(phone, peer)
        reader, writer = await open_stream(str(tmp_path / "s"), 2**16)

        async def ask(**line: object) -> None:
            writer.write(json.dumps(line).encode() + b"\n")

        async def answer(key: str) -> dict[str, object]:
            while True:
                found: dict[str, object] = json.loads(await reader.readline())
                if key in found:
                    return found

        await ask(id=1, op="audio", call=call.id, rate=11025)
        assert (await answer("ok"))["ok"] is False
        await ask(id=2, op="audio", call=call.id, speed=1)
        assert (await answer("ok"))["ok"] is False
        await ask(id=3, op="audio", call=call.id, rate=8000)
        assert (await answer("ok"))["ok"] is True
        await ask(audio=base64.b64encode(tone(60, 8000)).decode(), mark="said")
        marked = await answer("mark")
        assert (marked["mark"], marked["played_ms"]) == ("said", 60)
        await ask(audio=base64.b64encode(tone(600, 8000)).decode(), clear=7)
        assert (await answer("clear"))["clear"] == 7
        await ask(nonsense=1)
        assert await answer("error")
        await ask(mark="x" * 1000)
        assert await answer("error")
        for line in (b'{"mark":"\xff"}\n', b'{"mark":' + b"[" * 5000 + b"\n"):
            writer.write(line)
            assert await answer("error")
        heard = await answer("audio")
        assert len(base64.b64decode(str(heard["audio"]))) == 320
        await call.hangup()
        assert (await answer("end"))["end"] == ""
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_over_http_a_token_without_the_scope_media_has_no_sound(tmp_path: Path, peer: Peer) -> None:
    async with live_phone() as live, serving(live.running, tmp_path) as served:
        token = served.tokens.create("dialer", {"read", "call"})
        async with Softphone.connect(url=served.url, token=token) as phone:
            call, _theirs = await talk(phone, peer)
            with pytest.raises(Forbidden, match="media"):
                await call.audio.write(b"")
            await call.hangup()
