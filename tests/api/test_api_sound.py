"""What is done with a call's sound, through real calls over real sockets, and measured at the other end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from offhook import CallHandle, OperationFailed, Softphone
from offhook.errors import NotFound
from offhook.media import wav
from offhook.phone.commands import StopRecord
from offhook.phone.model import CallState
from offhook.testing.ears import read_wav
from offhook.testing.softphones import own_phone

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "media" / "detect"))
from detect_material import cadence, quiet, tone, vowels

Peer = tuple[Softphone, str]
pytestmark = pytest.mark.slow

HZ = (400.0, 700.0, 1200.0, 1900.0)


@pytest.fixture
async def hub() -> AsyncIterator[Peer]:
    async with own_phone() as made:
        yield made


def sound(folder: Path, name: str, audio: bytes, rate: int = 8000) -> Path:
    path = folder / name
    path.write_bytes(wav.header(1, rate, len(audio)) + audio)
    return path


def who(path: Path, channel: int = 1) -> set[int]:
    """Return whose tones are in the middle of a stereo recording's channel: 1 is what its phone heard."""
    from array import array

    from offhook.media.detect.digits import power_at

    audio = read_wav(path)
    side = audio.channels[channel]
    samples = array("h", side[len(side) // 3 & ~1 : len(side) * 2 // 3 & ~1])
    found = set()
    for number, frequency in enumerate(HZ):
        power = power_at(samples, frequency, audio.rate)
        assert power > 1e6 or power < 3e3, (number, power)  # who is not heard is 25 dB and more below
        if power > 1e6:
            found.add(number)
    return found


class Table:
    """A phone in the middle (the hub) and some around it, each in a call with it and singing one tone."""

    def __init__(self, stack: AsyncExitStack, hub: Peer) -> None:
        self.stack = stack
        self.hub, self.uri = hub
        self.ours: list[CallHandle] = []
        self.theirs: list[CallHandle] = []
        self.times = 0

    async def seat(self) -> None:
        phone, _ = await self.stack.enter_async_context(own_phone())
        incoming = self.hub.incoming
        call = await phone.dial(self.uri)
        ours = await anext(incoming)
        while ours.id in {other.id for other in self.ours}:
            ours = await anext(incoming)
        await ours.answer(hold_others=False)
        await call.wait_active(timeout=5)
        await call.play(tone=str(int(HZ[len(self.theirs)])))
        self.ours.append(ours)
        self.theirs.append(call)

    async def heard(self, folder: Path) -> list[set[int]]:
        """Return whom each of those around hears."""
        self.times += 1
        recordings = [
            await call.record(folder / f"{number}-{self.times}.wav", channels="stereo")
            for number, call in enumerate(self.theirs)
        ]
        await asyncio.sleep(1.2)
        return [who(await recording.stop()) for recording in recordings]


@pytest.mark.parametrize("size", [3, 4])
async def test_in_a_conference_everybody_hears_all_but_themselves(hub: Peer, size: int, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        table = Table(stack, hub)
        for _ in range(size):
            await table.seat()
        await hub[0].create_conference(table.ours)
        await asyncio.sleep(0.5)
        assert await table.heard(tmp_path) == [set(range(size)) - {number} for number in range(size)]


async def test_a_supervisor_listens_and_whispers(hub: Peer, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        table = Table(stack, hub)
        for _ in range(3):
            await table.seat()
        customer, agent, boss = table.ours
        await hub[0].create_conference([customer, agent])
        await boss.tap(customer)
        await asyncio.sleep(0.5)
        assert await table.heard(tmp_path) == [{1}, {0}, {0, 1}]
        await boss.tap(agent, speak="far")  # the agent hears the supervisor, the customer does not
        await asyncio.sleep(0.3)
        assert await table.heard(tmp_path) == [{1}, {0, 2}, {0, 1}]
        (view,) = await hub[0].taps()
        assert (view.by, view.call, view.speak) == (boss.id, agent.id, "far")
        await boss.stop_tap()
        await asyncio.sleep(0.3)
        assert (await table.heard(tmp_path))[2] == set()


async def pair(hub: Peer, stack: AsyncExitStack, **options: object) -> tuple[CallHandle, CallHandle]:
    """Return a call of the hub to another phone, and that one's end."""
    other, uri = await stack.enter_async_context(own_phone())
    incoming = other.incoming
    call = await hub[0].dial(uri, **options)  # type: ignore[arg-type]
    theirs = await anext(incoming)
    await theirs.answer()
    await call.wait_active(timeout=5)
    return call, theirs


async def test_music_on_hold_is_heard_and_the_microphone_is_not(tmp_path: Path) -> None:
    from dataclasses import replace

    from offhook.testing.live import quiet_config
    from offhook.testing.softphones import own_uri

    base = quiet_config()
    config = replace(base, phone=replace(base.phone, hold_music="tone:700"))
    async with Softphone(config, journal="") as holder, AsyncExitStack() as stack:
        call, theirs = await pair((holder, own_uri(holder)), stack)
        await call.hold()
        await asyncio.sleep(0.3)
        recording = await theirs.record(tmp_path / "held.wav", channels="stereo")
        await asyncio.sleep(0.8)
        assert who(await recording.stop()) == {1}
        await call.resume()
        await asyncio.sleep(0.3)
        recording = await theirs.record(tmp_path / "talk.wav", channels="stereo")
        await asyncio.sleep(0.6)
        assert who(await recording.stop()) == set()


async def test_playbacks_in_turn_and_beside(hub: Peer, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        call, theirs = await pair(hub, stack)
        recording = await theirs.record(tmp_path / "a.wav", channels="stereo")
        one = await call.play(tone="400", duration_ms=900)
        two = await call.play(tone="700", duration_ms=900, mode="mix")
        three = await call.play(tone="1200", duration_ms=300, mode="queue")
        states = [view.state for view in await call.playbacks()]
        assert states[-1] == "waiting"
        assert [await playback.wait(timeout=5) for playback in (one, two, three)] == [900, 900, 300]
        assert who(await recording.stop()) >= {0, 1}
        endless = [await call.play(tone="400", mode="mix") for _ in range(3)]
        await endless[1].stop()
        assert len(await call.playbacks()) == 2
        await call.stop_playing()
        assert [playback.is_finished for playback in endless]
        await call.stop_playing()


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "opus"])
async def test_what_was_recorded_can_be_played(hub: Peer, form: str, tmp_path: Path) -> None:
    if form != "wav":
        pytest.importorskip("soundfile", reason="needs the extra `recording`")
    async with AsyncExitStack() as stack:
        call, theirs = await pair(hub, stack)
        await theirs.play(tone="1200")
        await asyncio.sleep(0.3)
        recording = await call.record(tmp_path / f"talk.{form}")
        await asyncio.sleep(1.0)
        path = await recording.stop()
        (view,) = await call.recordings()
        assert (view.state, view.format, view.size) == ("finished", form, path.stat().st_size)
        assert 800 <= view.duration_ms <= 1500
        heard = await theirs.record(tmp_path / "heard.wav", channels="stereo")
        assert await (await call.play(path)).wait(timeout=5) >= 800
        assert 2 in who(await heard.stop())


async def test_a_recording_without_a_place_fails_and_the_call_goes_on(hub: Peer, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        call, _ = await pair(hub, stack)
        recording = await call.record(tmp_path / "no" / "talk.flac")
        with pytest.raises(OperationFailed):
            await recording.wait(timeout=5)
        assert call.state is CallState.ACTIVE
        with pytest.raises(NotFound):
            await hub[0].execute(StopRecord(call=call.id))


MACHINE = quiet(300) + vowels(4500) + quiet(700) + tone((1000.0,), 400) + quiet(600)
PERSON = quiet(500) + vowels(700) + quiet(3000)


@pytest.mark.parametrize(("audio", "expected"), [
    (MACHINE, ("machine", "long_greeting")), (PERSON, ("human", "short_greeting")),
])  # fmt: skip
async def test_a_person_or_a_machine(hub: Peer, audio: bytes, expected: tuple[str, str], tmp_path: Path) -> None:
    said = sound(tmp_path, "said.wav", audio)
    async with AsyncExitStack() as stack:
        other, uri = await stack.enter_async_context(own_phone())
        incoming = other.incoming
        call = await hub[0].dial(uri, detect=["amd", "vad"])
        events = call.events
        await (await anext(incoming)).answer(play=said)
        found = await call.wait_amd(timeout=10)
        assert (found.result, found.reason) == expected
        types = []
        async with asyncio.timeout(10):
            async for event in events:
                types.append(event.type)
                if event.type == ("tone.detected" if expected[0] == "machine" else "vad.speech_stopped"):
                    break
        assert "vad.speech_started" in types


async def test_busy_is_heard_in_a_call(hub: Peer, tmp_path: Path) -> None:
    said = sound(tmp_path, "busy.wav", cadence((425.0,), (500, 500), times=4))
    async with AsyncExitStack() as stack:
        call, theirs = await pair(hub, stack)
        await call.detect("tones")
        events = call.events
        await theirs.play(said)
        async with asyncio.timeout(10):
            async for event in events:
                if event.type == "tone.detected":
                    break
        assert event.tone == "busy"  # type: ignore[attr-defined]
