"""Programs the phone connects to: a server written from Twilio's documentation, one for PCM, and all that can go wrong."""

from __future__ import annotations

import array
import asyncio
import base64
import contextlib
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from offhook.media import pcm
from offhook.phone.commands import Hangup, ListAudioStreams, Play, SendDtmf, StopAudioStream, StreamAudio
from offhook.phone.model import HeaderList, StreamDialect, StreamTrack
from offhook.storage.config import OutgoingSettings
from offhook.testing.ears import dominant_frequency, level_dbfs
from offhook.testing.live import LivePhone, connect, live_phone, quiet_config

Talk = Callable[["Caller"], Awaitable[None]]


@dataclass
class Caller:
    """One stream, as the server of a program sees it: its connection, and what has come so far."""

    wire: ServerConnection
    came: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, event: str) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                message = await self.wire.recv()
                if isinstance(message, str):
                    self.came.append(json.loads(message))
                    if self.came[-1]["event"] == event:
                        return self.came[-1]

    async def voice(self, frames: int, track: str = "inbound") -> bytes:
        """Return the sound of so many `media` messages of one track."""
        heard = b""
        while len(heard) < 320 * frames:
            media = (await self.until("media"))["media"]
            if media["track"] == track:
                heard += pcm.ulaw_to_linear(base64.b64decode(media["payload"]))
        return heard

    async def say(self, event: str, **parts: Any) -> None:
        stream = next(each["streamSid"] for each in self.came if each["event"] == "start")
        await self.wire.send(json.dumps({"event": event, "streamSid": stream, **parts}))


@contextlib.asynccontextmanager
async def program(talk: Talk, *, answer: Callable[..., Response | None] | None = None) -> AsyncIterator[str]:
    """Run a program's server; gives its address. What fails in `talk` fails the test."""
    failures: list[BaseException] = []

    async def handle(wire: ServerConnection) -> None:
        try:
            await talk(Caller(wire))
        except ConnectionClosed:
            pass
        except BaseException as failure:
            failures.append(failure)

    def choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return offered[0] if offered else None

    async with serve(handle, "127.0.0.1", 0, process_request=answer, select_subprotocol=choose) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/calls"
    for failure in failures:
        raise failure


@pytest.fixture
async def pair() -> AsyncIterator[tuple[LivePhone, LivePhone]]:
    async with live_phone() as here, live_phone() as there:
        await connect(here, there)
        yield here, there


def tone(frequency: float, rate: int, seconds: float) -> bytes:
    count = int(rate * seconds)
    return array.array("h", (int(9000 * math.sin(math.tau * frequency * n / rate)) for n in range(count))).tobytes()


def loud(sound: bytes) -> bytes:
    return b"".join(sound[at : at + 320] for at in range(0, len(sound), 320) if level_dbfs(sound[at : at + 320]) > -30)


@pytest.mark.lengthy
async def test_a_program_written_for_media_streams(pair: tuple[LivePhone, LivePhone]) -> None:
    here, there = pair
    done = asyncio.Event()

    async def talk(caller: Caller) -> None:
        connected, start = await caller.until("connected"), await caller.until("start")
        assert (connected["protocol"], start["sequenceNumber"]) == ("Call", "1")
        assert start["start"]["customParameters"]["language"] == "de"
        assert start["start"]["tracks"] == ["inbound"]
        assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        heard = await caller.voice(60)
        assert dominant_frequency(loud(heard), 8000) == pytest.approx(440, abs=5)
        payload = base64.b64encode(pcm.linear_to_ulaw(tone(700, 8000, 0.6))).decode()
        await caller.say("media", media={"payload": payload})
        await caller.say("mark", mark={"name": "said"})
        assert (await caller.until("mark"))["mark"] == {"name": "said"}
        there.execute(SendDtmf(digits="5"))
        assert (await caller.until("dtmf"))["dtmf"]["digit"] == "5"
        done.set()
        assert (await caller.until("stop"))["stop"]["callSid"] == start["start"]["callSid"]

    async with program(talk) as url:
        there.execute(Play(tone="440"))
        listening = there.running.open_audio(rate=8000, speak=False)
        accepted = here.execute(StreamAudio(url=f"{url}?key=secret", parameters=(("language", "de"),)))
        started = await here.event("audio.stream_started")
        assert started.data["stream"]["url"] == url
        await here.until(lambda: any(e.type == "operation.succeeded" and e.data["operation"] == accepted.operation
                                     for e in here.events))
        said = b""
        async with asyncio.timeout(10):
            while len(loud(said)) < 8000:
                said += (await anext(listening)).pcm
            await done.wait()
        assert dominant_frequency(loud(said), 8000) == pytest.approx(700, abs=5)
        there.execute(Hangup())
        stopped = await here.event("audio.stream_stopped")
        assert (stopped.data["reason"], stopped.data["call"]["state"]) == ("the call ended", "ended")
    assert "secret" not in str([e.data for e in here.events])
    assert here.execute(ListAudioStreams()).value == ()


@pytest.mark.lengthy
async def test_both_tracks_are_told_apart(pair: tuple[LivePhone, LivePhone]) -> None:
    here, there = pair
    heard: dict[str, bytes] = {"inbound": b"", "outbound": b""}

    async def talk(caller: Caller) -> None:
        assert (await caller.until("start"))["start"]["tracks"] == ["inbound", "outbound"]
        chunks: dict[str, list[int]] = {"inbound": [], "outbound": []}
        while min(map(len, (loud(sound) for sound in heard.values()))) < 6400:
            media = (await caller.until("media"))["media"]
            chunks[media["track"]].append(int(media["chunk"]))
            heard[media["track"]] += pcm.ulaw_to_linear(base64.b64decode(media["payload"]))
        for numbers in chunks.values():
            assert numbers == list(range(1, len(numbers) + 1))

    async with program(talk) as url:
        there.execute(Play(tone="440"))
        here.execute(Play(tone="1000"))
        here.execute(StreamAudio(url=url, track="both", speak=False))
        assert (await here.event("audio.stream_stopped")).data["reason"] == "the program ended it"
    for track, frequency in (("inbound", 440), ("outbound", 1000)):
        assert dominant_frequency(loud(heard[track]), 8000) == pytest.approx(frequency, abs=5)
    assert here.status == 2


@pytest.mark.lengthy
@pytest.mark.parametrize("control", [False, True])
async def test_a_program_for_pcm_may_do_what_it_was_given(pair: tuple[LivePhone, LivePhone], control: bool) -> None:
    here, there = pair

    async def talk(caller: Caller) -> None:
        assert caller.wire.subprotocol == "offhook.audio.v1"
        started = await caller.until("started")
        assert (started["rate"], started["parameters"]) == (24000, {"a": "b"})
        await caller.wire.send('{"op":"dtmf","digits":"7"}')
        if not control:
            assert (await caller.until("error"))["error"]["code"] == "forbidden"
            return
        await there.event("dtmf.received")
        await caller.wire.send('{"op":"hangup"}')
        assert (await caller.until("ended"))["reason"] == "the call ended"

    async with program(talk) as url:
        command = StreamAudio(url=url, dialect="pcm", rate=24000, parameters=(("a", "b"),), control=control)
        here.execute(command)
        reason = (await here.event("audio.stream_stopped")).data["reason"]
    assert reason == ("the call ended" if control else "the program ended it")
    assert here.status == (4 if control else 2)


async def test_stopping_says_goodbye_and_leaves_the_call(pair: tuple[LivePhone, LivePhone]) -> None:
    here, _ = pair
    last: list[str] = []

    async def talk(caller: Caller) -> None:
        await caller.until("stop")
        last.append("stop")

    async with program(talk) as url:
        stream = here.execute(StreamAudio(url=url, end_call=True)).value.id
        await here.event("audio.stream_started")
        here.execute(StopAudioStream(stream=stream))
        assert (await here.event("audio.stream_stopped")).data["reason"] == "stopped"
    assert last == ["stop"]
    assert here.status == 2


async def test_the_call_ends_with_its_program_where_that_is_wanted(pair: tuple[LivePhone, LivePhone]) -> None:
    here, _ = pair

    async def talk(caller: Caller) -> None:
        await caller.until("start")

    async with program(talk) as url:
        here.execute(StreamAudio(url=url, end_call=True))
        await here.event("call.ended")
        assert (await here.event("audio.stream_stopped")).data["reason"] == "the program ended it"


async def failure(here: LivePhone, url: str, dialect: StreamDialect = "twilio", track: StreamTrack = "inbound",
                  parameters: HeaderList = ()) -> str:
    here.execute(StreamAudio(url=url, dialect=dialect, track=track, parameters=parameters))
    reason: str = (await here.event("audio.stream_failed")).data["reason"]
    await here.event("operation.failed")
    assert here.status == 2
    return reason


async def test_nobody_there(pair: tuple[LivePhone, LivePhone]) -> None:
    async with program(lambda _: asyncio.sleep(0)) as url:
        pass
    assert "no connection" in await failure(pair[0], url)


async def test_a_program_without_tls_where_the_address_says_wss(pair: tuple[LivePhone, LivePhone]) -> None:
    async with program(lambda _: asyncio.sleep(0)) as url:
        why = await failure(pair[0], url.replace("ws://", "wss://"))
    assert why.startswith("no connection: the other side ended it before TLS stood")


async def test_a_program_may_say_much_in_one_message_but_not_anything(pair: tuple[LivePhone, LivePhone]) -> None:
    here, there = pair

    async def talk(caller: Caller) -> None:
        await caller.until("start")
        await caller.say("media", media={"payload": base64.b64encode(b"\x10" * 8000 * 29).decode()})
        await caller.say("clear")
        await caller.say("mark", mark={"name": "taken"})
        assert (await caller.until("mark"))["mark"] == {"name": "taken"}
        await caller.say("media", media={"payload": "A" * 600_000})
        await caller.until("nothing more")

    async with program(talk) as url:
        here.execute(StreamAudio(url=url))
        failed = await here.event("audio.stream_failed")
    assert failed.data["reason"] == "the program sent a message of more than 524288 bytes"
    there.execute(Hangup())


async def test_a_redirect_is_not_followed(pair: tuple[LivePhone, LivePhone]) -> None:
    visited: list[str] = []

    async def talk(caller: Caller) -> None:
        visited.append("here")

    def elsewhere(wire: ServerConnection, request: Request) -> Response:
        answer = wire.respond(302, "")
        answer.headers["Location"] = target
        return answer

    async with program(talk) as target, program(talk, answer=elsewhere) as url:
        assert "302" in await failure(pair[0], url)
    assert not visited


async def test_a_program_that_breaks_off_is_a_failure_after_the_start(pair: tuple[LivePhone, LivePhone]) -> None:
    here, _ = pair

    async def talk(caller: Caller) -> None:
        await caller.until("media")
        caller.wire.transport.abort()

    async with program(talk) as url:
        here.execute(StreamAudio(url=url))
        failed = await here.event("audio.stream_failed")
    assert failed.data["reason"] == "the connection broke"
    assert failed.data["duration"] > 0
    assert here.status == 2


async def test_a_program_that_complains_is_quoted(pair: tuple[LivePhone, LivePhone]) -> None:
    here, _ = pair

    async def talk(caller: Caller) -> None:
        await caller.until("start")
        await caller.wire.close(1011, "out of tokens")

    async with program(talk) as url:
        here.execute(StreamAudio(url=url))
        assert (await here.event("audio.stream_failed")).data["reason"] == "the program ended it: 1011 out of tokens"


async def test_stopped_while_it_is_being_connected(pair: tuple[LivePhone, LivePhone]) -> None:
    here, _ = pair
    asked = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        stream = here.execute(StreamAudio(url=f"ws://127.0.0.1:{port}/")).value.id
        await asyncio.wait_for(asked.wait(), 5)
        here.execute(StopAudioStream(stream=stream))
        assert (await here.event("audio.stream_stopped")).data["reason"] == "stopped"
        await here.event("operation.failed")


async def test_in_the_clear_only_where_the_setting_says_so() -> None:
    config = quiet_config()
    async with live_phone(config) as here, live_phone() as there:
        await connect(here, there)
        assert "in the clear" in await failure(here, "ws://bot.example.org/")
    config = replace(config, outgoing=OutgoingSettings(allow_http=True))
    async with live_phone(config) as here, live_phone() as there:
        await connect(here, there)
        assert "no connection" in await failure(here, "ws://bot.invalid/")


async def test_closing_the_phone_says_goodbye() -> None:
    last: list[str] = []

    async def talk(caller: Caller) -> None:
        await caller.until("stop")
        last.append("stop")

    async with program(talk) as url:
        async with live_phone() as here, live_phone() as there:
            await connect(here, there)
            here.execute(StreamAudio(url=url))
            await here.event("audio.stream_started")
        assert last == ["stop"]
