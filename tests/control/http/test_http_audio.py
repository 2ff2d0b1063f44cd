"""A call's sound over a WebSocket: measured tones both ways, words in order, Twilio's messages, rude programs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import math
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from offhook.control.http import audio
from offhook.media import pcm
from offhook.phone.commands import Hangup, ListCalls, Play, SendDtmf
from offhook.testing.ears import dominant_frequency, level_dbfs
from offhook.testing.http import Served, serving

from offhook.testing.live import LivePhone, connect as talk, live_phone  # isort: skip

Pair = tuple[Served, LivePhone, LivePhone]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with live_phone() as here, live_phone() as there, serving(here.running, tmp_path) as served:
        await talk(here, there)
        yield served, here, there


def tone(frequency: float, rate: int, seconds: float, level: int = 8000) -> bytes:
    count = int(rate * seconds)
    return struct.pack(f"<{count}h", *(int(level * math.sin(math.tau * frequency * n / rate)) for n in range(count)))


def opened(served: Served, path: str = "/v1/calls/active/audio", **options: Any) -> connect:
    headers = {"Authorization": f"Bearer {served.token}"}
    return connect(f"ws://127.0.0.1:{served.port}{path}", additional_headers=headers, proxy=None, **options)


async def test_a_token_for_sound_is_enough_and_the_sound_ends_with_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, here, _ = pair
    monkeypatch.setattr(audio, "REVOKED_WITHIN", 0.05)
    headers = {"Authorization": f"Bearer {served.tokens.create('bot', ['media'])}"}
    url = f"ws://127.0.0.1:{served.port}/v1/calls/active/audio"
    async with connect(url, additional_headers=headers, proxy=None) as connection:
        await word(connection, "started")
        served.tokens.revoke("bot")
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(5):
                while True:
                    await connection.recv()
        assert connection.close_code == 1008
    assert len(here.execute(ListCalls()).value) == 1, "the call goes on"


async def word(connection: ClientConnection, event: str) -> dict[str, Any]:
    """Read on until this word comes."""
    async with asyncio.timeout(10):
        while True:
            message = await connection.recv()
            if isinstance(message, str):
                found = msgspec.json.decode(message, type=dict[str, Any])
                if found["event"] == event:
                    return found


async def sound(connection: ClientConnection, seconds: float, rate: int) -> bytes:
    heard = b""
    async with asyncio.timeout(10):
        while len(heard) < 2 * rate * seconds:
            message = await connection.recv()
            heard += message if isinstance(message, bytes) else b""
    return heard


@pytest.mark.lengthy
@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
async def test_a_tone_is_heard_at_every_rate(pair: Pair, rate: int) -> None:
    served, _, there = pair
    there.execute(Play(tone="440"))
    async with opened(served, f"/v1/calls/active/audio?rate={rate}") as program:
        first = msgspec.json.decode(await program.recv())
        assert (first["event"], first["rate"], first["frame_ms"]) == ("started", rate, 20)
        await sound(program, 0.3, rate)
        heard = await sound(program, 0.5, rate)
    assert dominant_frequency(heard, rate) == pytest.approx(440, abs=3)


@pytest.mark.lengthy
async def test_what_a_program_says_is_heard_and_marks_come_in_order(pair: Pair) -> None:
    served, _, there = pair
    listening = there.running.open_audio(rate=16000)
    async with opened(served) as program:
        await program.send(tone(700, 16000, 0.4))
        await program.send('{"op":"mark","name":"first"}')
        await program.send(tone(700, 16000, 0.2))
        await program.send('{"op":"mark","name":"second"}')
        heard = [(await word(program, "mark_reached")) for _ in range(2)]
    assert [found["name"] for found in heard] == ["first", "second"]
    assert heard[0]["played_ms"] == pytest.approx(400, abs=40)
    said = b"".join([(await anext(listening)).pcm for _ in range(50)])
    loud = [said[at : at + 640] for at in range(0, len(said), 640) if level_dbfs(said[at : at + 640]) > -30]
    assert len(loud) >= 25
    assert dominant_frequency(b"".join(loud), 16000) == pytest.approx(700, abs=5)


@pytest.mark.lengthy
async def test_clear_is_silent_at_once_and_says_how_much_was_played(pair: Pair) -> None:
    served, _, _ = pair
    async with opened(served, "/v1/calls/active/audio?buffered_every=20") as program:
        for _ in range(3):
            await program.send(tone(700, 16000, 1.0))
        while (await word(program, "buffered"))["gone_ms"] < 100:
            pass
        await program.send('{"op":"clear"}')
        cleared = await word(program, "cleared")
    assert 100 <= cleared["played_ms"] < 2900
    assert cleared["dropped_ms"] > 0


@pytest.mark.lengthy
async def test_digits_both_ways_and_hangup(pair: Pair) -> None:
    served, here, there = pair
    async with opened(served) as program:
        await program.send('{"op":"dtmf","digits":"7"}')
        assert (await there.event("dtmf.received")).data["digit"] == "7"
        there.execute(SendDtmf(digits="5"))
        assert (await word(program, "digit"))["digit"] == "5"
        await program.send('{"op":"hangup"}')
        assert (await word(program, "ended"))["reason"] == "the call ended"
        with contextlib.suppress(ConnectionClosed):
            await program.recv()
        assert program.close_code == 1000
    await here.event("call.ended")


async def test_the_far_end_hangs_up(pair: Pair) -> None:
    served, _, there = pair
    async with opened(served) as program:
        there.execute(Hangup())
        assert (await word(program, "ended"))["reason"] == "the call ended"


@pytest.mark.lengthy
@pytest.mark.parametrize("message", [
    "rubbish", "[]", "{}", '{"op":"moon"}', '{"op":"mark"}', '{"op":"mark","name":7}', '{"op":"dtmf","digits":"x"}',
    '{"op":"mark","name":"' + "x" * 300 + '"}',
])  # fmt: skip
async def test_nonsense_is_answered_and_the_sound_goes_on(pair: Pair, message: str) -> None:
    served, here, _ = pair
    async with opened(served) as program:
        await program.send(message)
        assert (await word(program, "error"))["error"]["code"] == "invalid-argument"
        await program.send(b"\x01")
        await sound(program, 0.1, 16000)
    assert here.status == 2


@pytest.mark.parametrize(("path", "status"), [
    ("/v1/calls/nobody/audio", 404), ("/v1/calls/active/audio?rate=11025", 422), ("/v1/calls/active/audio?rate=x", 422),
    ("/v1/calls/active/audio?moon=1", 422), ("/v1/calls/active/audio?hear=false&speak=false", 422),
])  # fmt: skip
async def test_what_cannot_be_opened_is_refused_before_the_handshake(pair: Pair, path: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(pair[0], path):
            pass
    assert refused.value.response.status_code == status


async def test_a_token_that_may_only_read_hears_nothing(pair: Pair) -> None:
    served, _, _ = pair
    for header, status in (({"Authorization": f"Bearer {served.tokens.create('r', {'read'})}"}, 403), ({}, 401)):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://127.0.0.1:{served.port}/v1/calls/active/audio", additional_headers=header, proxy=None):
                pass
        assert refused.value.response.status_code == status


@pytest.mark.lengthy
async def test_a_program_that_does_not_read_loses_sound_and_nobody_else_does(pair: Pair) -> None:
    served, here, there = pair
    async with opened(served, max_queue=1) as deaf:
        there.execute(Play(tone="440"))
        async with opened(served) as program:
            heard = await sound(program, 1.0, 16000)
        assert dominant_frequency(heard[16000:], 16000) == pytest.approx(440, abs=3)
        deaf.transport.abort()
    assert here.status == 2


# --- the messages Twilio documents ---------------------------------------------------------------------------------


class Bot:
    """A program as their documentation describes it: it reads `connected` and `start`, then answers `media` with `media`."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.stream = ""
        self.numbers: list[int] = []

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            found = msgspec.json.decode(await self.connection.recv(), type=dict[str, Any])
        if "sequenceNumber" in found:
            self.numbers.append(int(found["sequenceNumber"]))
        return found

    async def until(self, event: str) -> dict[str, Any]:
        while True:
            found = await self.read()
            if found["event"] == event:
                return found

    async def send(self, event: str, **parts: Any) -> None:
        await self.connection.send(msgspec.json.encode({"event": event, "streamSid": self.stream, **parts}).decode())


@contextlib.asynccontextmanager
async def bot(served: Served) -> AsyncIterator[Bot]:
    async with opened(served, subprotocols=[Subprotocol("twilio.media-streams.v1")]) as connection:
        yield Bot(connection)


@pytest.mark.lengthy
async def test_a_bot_written_for_media_streams(pair: Pair) -> None:
    served, _, there = pair
    listening = there.running.open_audio(rate=8000)
    there.execute(Play(tone="440"))
    async with bot(served) as found:
        assert (await found.read())["event"] == "connected"
        start = await found.read()
        found.stream = start["streamSid"]
        assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        assert start["start"]["streamSid"] == found.stream
        assert found.stream.startswith("MZ")
        media = [await found.until("media") for _ in range(40)]
        heard = b"".join(pcm.ulaw_to_linear(base64.b64decode(each["media"]["payload"])) for each in media)
        assert dominant_frequency(heard[8000:], 8000) == pytest.approx(440, abs=3)
        assert [int(each["media"]["chunk"]) for each in media] == list(range(1, 41))
        stamps = [int(each["media"]["timestamp"]) for each in media]
        assert [later - earlier for earlier, later in itertools.pairwise(stamps)] == [20] * 39
        payload = base64.b64encode(pcm.linear_to_ulaw(tone(700, 8000, 0.5))).decode()
        await found.send("media", media={"payload": payload})
        await found.send("mark", mark={"name": "said"})
        assert (await found.until("mark"))["mark"] == {"name": "said"}
        for _ in range(3):
            await found.send("media", media={"payload": payload})
        await found.send("mark", mark={"name": "cut"})
        await found.send("clear")
        assert (await found.until("mark"))["mark"] == {"name": "cut"}, "a cleared mark comes back at once"
        there.execute(SendDtmf(digits="9"))
        assert (await found.until("dtmf"))["dtmf"] == {"track": "inbound_track", "digit": "9"}
        assert found.numbers == list(range(1, len(found.numbers) + 1))
        there.execute(Hangup())
        stop = (await found.until("stop"))["stop"]
        assert stop == {name: start["start"][name] for name in ("accountSid", "callSid")}
    said = b""
    with contextlib.suppress(StopAsyncIteration):
        for _ in range(40):
            said += (await anext(listening)).pcm
    loud = b"".join(said[at : at + 320] for at in range(0, len(said), 320) if level_dbfs(said[at : at + 320]) > -30)
    assert dominant_frequency(loud, 8000) == pytest.approx(700, abs=5)


async def test_a_bot_may_say_half_a_minute_in_one_message_and_mark_it_thousandfold(pair: Pair) -> None:
    served, _, there = pair
    async with bot(served) as found:
        await found.send("media", media={"payload": base64.b64encode(b"\x10" * 8000 * 29).decode()})
        for number in range(1500):
            await found.send("mark", mark={"name": str(number)})
        await found.send("clear")
        assert [(await found.until("mark"))["mark"]["name"] for _ in range(1500)] == [str(number) for number in range(1500)]
        for number in range(3000):
            await found.send("mark", mark={"name": str(number)})
        assert [(await found.until("mark"))["mark"]["name"] for _ in range(3000)] == [str(number) for number in range(3000)]
        there.execute(Hangup())
        await found.until("stop")


@pytest.mark.lengthy
@pytest.mark.parametrize("message", ["rubbish", "{}", '{"event":"media","media":{"payload":"***"}}', '{"event":"media"}', b"x"])
async def test_a_bot_that_talks_nonsense_is_passed_over(pair: Pair, message: str | bytes) -> None:
    served, here, _ = pair
    async with bot(served) as found:
        await found.connection.send(message)
        for _ in range(5):
            await found.until("media")
    assert here.status == 2
