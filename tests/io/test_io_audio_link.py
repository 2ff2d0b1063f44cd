"""The program's end of an audio link: by itself, and in live calls with the media in a thread and in a worker process."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import threading
from array import array
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, get_args

import pytest
from msgspec import structs

from offhook.errors import InvalidArgument, InvalidState, MediaLost
from offhook.io.audio_link import HEAR_LIMIT_MS, NAME_LIMIT, TICKS_KEPT, AudioLink, AudioLinks, Frame
from offhook.io.media_host import MediaHost
from offhook.io.media_pipe import ReportQueue
from offhook.io.media_studio import LocalStudio
from offhook.media.messages import (
    MARKS_LIMIT,
    SPEAK_LIMIT_MS,
    AudioCleared,
    AudioClosed,
    AudioFrames,
    AudioMarkReached,
    AudioOverrun,
    AudioRate,
    AudioReport,
    AudioUnderrun,
    ClearAudio,
    EngineTrouble,
    MarkAudio,
    MediaCommand,
    MediaReport,
    StreamFailed,
    StreamResumed,
    WriteAudio,
)
from offhook.phone.commands import CloseAudio, Dial, Hangup, OpenAudio, Reject
from offhook.storage.config import Config
from offhook.testing import ears
from offhook.testing.live import PATIENCE, LivePhone, connect, live_phone, quiet_config

LEVEL = 20 * math.log10(8000 / 32767)


def sine(frequency: float, rate: int, seconds: float) -> bytes:
    step = math.tau * frequency / rate
    return array("h", (round(8000 * math.sin(step * place)) for place in range(int(rate * seconds)))).tobytes()


class Desk:
    """AudioLinks with a media host that the test plays."""

    def __init__(self) -> None:
        self.sent: list[MediaCommand] = []
        self.told: list[MediaReport] = []
        self.closed: list[str] = []
        self.links = AudioLinks(self.sent.append, self.told.append)

    def open(self, audio: str = "a", *, hear: bool = True, speak: bool = True, rate: AudioRate = 16000) -> AudioLink:
        return self.links.add("c", audio, rate, hear, speak, self.closed.append)

    def written(self) -> int:
        return sum(len(command.pcm) for command in self.sent if isinstance(command, WriteAudio))


def numbered(first: int, count: int, audio: str = "a") -> list[AudioFrames]:
    return [AudioFrames(((audio, number, bytes([number % 256]) * 640, 0),)) for number in range(first, first + count)]


async def test_frames_come_in_order_and_the_iterator_ends_after_them() -> None:
    desk = Desk()
    link = desk.open()
    for frames in numbered(0, 5):
        desk.links.take(frames)
    desk.links.note(AudioClosed("c", "a"))
    desk.links.take(numbered(5, 1)[0])
    assert [frame async for frame in link] == []
    other = desk.open("b")
    for frames in numbered(0, 5, "b"):
        desk.links.take(frames)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    other.close()
    assert [frame.number async for frame in other] == [0, 1, 2, 3, 4]
    assert desk.closed == ["b"]
    other.close()
    assert desk.closed == ["b"]
    assert len(desk.links) == 0


async def test_a_callback_gets_the_frames_and_its_mistakes_cost_nobody_anything() -> None:
    desk = Desk()
    heard: list[int] = []
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def careless(frame: Frame) -> None:
        heard.append(frame.number)
        raise ZeroDivisionError

    desk.open().on_frame = careless
    other = desk.open("b")
    desk.links.take(AudioFrames((("a", 0, b"", 0), ("b", 0, b"x", 0), ("gone", 0, b"", 0))))
    desk.links.take(AudioFrames((("a", 1, b"", 0),)))
    assert await anext(other) == Frame(0, b"x")
    assert heard == [0, 1]
    assert len(complaints) == 2


async def test_a_slow_reader_gets_the_newest_second_and_is_told() -> None:
    desk = Desk()
    link = desk.open()
    most = HEAR_LIMIT_MS // 20
    for frames in numbered(0, most + 30):
        desk.links.take(frames)
    first = await anext(link)
    assert first.number == 30
    assert link.dropped_frames == 30
    assert desk.told == [AudioOverrun("c", "a", "hear", 20)], "the first at once, the rest within a second"
    rest = [(await anext(link)).number for _ in range(most - 1)]
    assert rest == list(range(31, most + 30))


async def test_a_busy_loop_costs_frames_and_no_memory() -> None:
    desk = Desk()
    link = desk.open()
    heard: list[int] = []
    link.on_frame = lambda frame: heard.append(frame.number)

    def flood() -> None:
        for frames in numbered(0, TICKS_KEPT + 100):
            desk.links.take(frames)

    thread = threading.Thread(target=flood)
    thread.start()
    thread.join()  # the loop does not run meanwhile
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert heard == list(range(100, TICKS_KEPT + 100))
    assert link.dropped_frames == 100
    assert desk.told == [AudioOverrun("c", "a", "hear", 2000)]


async def test_the_worker_keeps_the_newest_second_for_a_parent_that_does_not_read() -> None:
    queue = ReportQueue()
    for frames in numbered(0, 500):
        queue.put([frames, StreamResumed("c")])
    taken = queue.take()
    frames_left = [report for report in taken if isinstance(report, AudioFrames)]
    assert [report.frames[0][1] for report in frames_left] == list(range(300, 500))
    assert len(taken) == 700, "nothing else is ever dropped"
    queue.put([StreamResumed("c")])
    assert queue.take() == [StreamResumed("c")]
    assert queue.take() == []


async def test_writing_is_bounded_and_counted() -> None:
    desk = Desk()
    link = desk.open(hear=False)
    second = bytes(32000)
    assert [link.write(second) for _ in range(30)] == [32000] * 30
    assert link.buffered_ms == SPEAK_LIMIT_MS
    assert link.write(second) == 0
    assert desk.sent[-1] == WriteAudio("c", "a", b"", refused=32000)
    link.take(0, b"", 640)
    assert link.write(second) == 640
    assert desk.sent[-1] == WriteAudio("c", "a", bytes(640), refused=32000 - 640)
    assert link.played_ms == 20
    assert desk.written() == 30 * 32000 + 640


async def test_half_a_sample_waits_here() -> None:
    desk = Desk()
    link = desk.open()
    assert link.write(b"\1") == 1
    assert desk.sent == []
    assert link.write(b"\2\3") == 2
    assert link.write(b"") == 0
    assert link.write(b"\4") == 1
    assert [command.pcm for command in desk.sent if isinstance(command, WriteAudio)] == [b"\1\2", b"\3\4"]
    link.write(b"\5")
    link.clear()
    link.write(b"\6\7")
    assert desk.sent[-1] == WriteAudio("c", "a", b"\6\7")


async def test_clear_and_marks_and_what_is_told() -> None:
    desk = Desk()
    link = desk.open()
    told: list[AudioReport] = []
    link.on_report = told.append
    link.write(bytes(32000))
    link.mark("m")
    first, second = link.clear(), link.clear()
    assert desk.sent[1:] == [MarkAudio("c", "a", "m"), ClearAudio("c", "a"), ClearAudio("c", "a")]
    reports: list[AudioReport] = [
        AudioMarkReached("c", "a", "m", 100), AudioCleared("c", "a", 100, 900), AudioCleared("c", "a", 100, 0),
        AudioUnderrun("c", "a", 100), AudioOverrun("c", "a", "speak", 7),
    ]  # fmt: skip
    for report in reports:
        desk.links.note(report)
        desk.links.note(structs.replace(report, audio="unknown"))
    assert (await first).dropped_ms == 900
    assert (await second).dropped_ms == 0
    assert told == reports
    link.take(0, bytes(640), 32000)
    assert (link.played_ms, link.buffered_ms) == (100, 0)


async def test_a_clear_that_nobody_awaits_any_more() -> None:
    desk = Desk()
    link = desk.open()
    link.clear().cancel()
    done = link.clear()
    desk.links.note(AudioCleared("c", "a", 0, 0))
    desk.links.note(AudioCleared("c", "a", 5, 6))
    assert (await done).dropped_ms == 6


async def test_waiting_for_room_and_for_the_end() -> None:
    desk = Desk()
    link = desk.open(hear=False)
    link.write(bytes(3200))
    room = asyncio.ensure_future(link.wait_buffered(60))
    empty = asyncio.ensure_future(link.drain())
    await asyncio.sleep(0)
    link.take(0, b"", 640)
    await asyncio.sleep(0)
    assert not room.done()
    link.take(0, b"", 1280)
    await room
    assert not empty.done()
    link.take(0, b"", 3200)
    await empty


async def test_the_end_releases_everybody_who_waits() -> None:
    desk = Desk()
    link = desk.open()
    ends: list[object] = []
    link.on_end = ends.append
    link.write(bytes(32000))
    cleared = link.clear()
    drained = asyncio.ensure_future(link.drain())
    frame = asyncio.ensure_future(anext(link, None))
    await asyncio.sleep(0)
    link.close()
    await drained
    assert await frame is None
    assert (await cleared).dropped_ms == 1000
    assert ends == [None]
    for misuse in (lambda: link.write(b"12"), lambda: link.mark("m"), link.clear):
        with pytest.raises(InvalidState):
            misuse()


async def test_a_broken_engine_is_an_error() -> None:
    desk = Desk()
    link, other = desk.open(), desk.links.add("d", "b", 8000, True, True, desk.closed.append)
    ends: list[MediaLost | None] = []
    link.on_end = ends.append
    link.write(bytes(320))
    desk.links.note(StreamFailed("c", "it broke"))
    with pytest.raises(MediaLost, match="it broke"):
        await anext(link)
    with pytest.raises(MediaLost, match="it broke"):
        await link.drain()
    assert [str(end) for end in ends] == ["it broke"]
    assert not other.ended
    desk.links.note(EngineTrouble("late", 300.0))
    assert not other.ended
    desk.links.note(EngineTrouble("the media worker ended", streams=("d",)))
    with pytest.raises(MediaLost, match="worker ended"):
        await other.drain()
    failed = desk.open("e")
    desk.links.note(AudioClosed("c", "e", error="already open"))
    with pytest.raises(MediaLost, match="already open"):
        await anext(failed)


async def test_misuse() -> None:
    desk = Desk()
    ear = desk.open(speak=False)
    for misuse in (lambda: ear.write(b"12"), lambda: ear.mark("m"), ear.clear):
        with pytest.raises(InvalidState):
            misuse()
    with pytest.raises(InvalidArgument):
        desk.open("b").mark("x" * (NAME_LIMIT + 1))
    assert desk.sent == []


def test_numpy_is_loaded_beside_the_packet_loop() -> None:
    pytest.importorskip("numpy")
    studio = LocalStudio("null")
    studio.fast_rates()
    for thread in threading.enumerate():
        if thread.name == "offhook-numpy":
            thread.join(10.0)
    assert studio.fast_rates()


def test_without_numpy_it_stays_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    studio = LocalStudio("null")
    assert not studio.fast_rates()
    for thread in threading.enumerate():
        if thread.name == "offhook-numpy":
            thread.join(10.0)
    assert not studio.fast_rates()


# --- live ----------------------------------------------------------------------------------------------------------


def config(mode: str) -> Config:
    quiet = quiet_config()
    return replace(quiet, media=replace(quiet.media, mode=mode))  # type: ignore[arg-type]


@asynccontextmanager
async def talking(mode: str) -> AsyncIterator[tuple[LivePhone, LivePhone]]:
    async with live_phone(config(mode)) as alice, live_phone(config("thread")) as bob:
        await connect(alice, bob)
        yield alice, bob


async def listen(link: AudioLink, frames: int) -> bytes:
    """Return so much of what is heard, from the first sound on."""
    heard: list[bytes] = []
    async with asyncio.timeout(PATIENCE):
        async for frame in link:
            if heard or any(frame.pcm):
                heard.append(frame.pcm)
            if len(heard) == frames:
                break
    return b"".join(heard)


async def hears(link: AudioLink, *tones: float) -> None:
    """Wait for 0.3 s in which there are these tones and nothing else: a busy machine may lose a frame before."""
    latest: deque[bytes] = deque(maxlen=15)
    async with asyncio.timeout(PATIENCE):
        async for frame in link:
            latest.append(frame.pcm)
            heard = b"".join(latest)
            if len(latest) == latest.maxlen and any(frame.pcm) and _has_only(heard, tones):
                return
    raise AssertionError("the link has ended")


def _has_only(heard: bytes, tones: tuple[float, ...]) -> bool:
    if len(tones) == 1:
        return ears.dominant_frequency(heard) == pytest.approx(tones[0], abs=3)
    return all(ears.has_tone(heard, tone, purity=0.3) for tone in tones)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["thread", "process"])
@pytest.mark.parametrize("rate", get_args(AudioRate))
async def test_a_tone_crosses_a_live_call(mode: str, rate: AudioRate) -> None:
    async with talking(mode) as (alice, bob):
        mouth, ear = alice.running.open_audio(rate=rate, hear=False), bob.running.open_audio(rate=rate, speak=False)
        mouth.write(sine(440, rate, 1.5))
        heard = (await listen(ear, 30))[rate // 5:]
        assert ears.dominant_frequency(heard, rate) == pytest.approx(440, abs=1)
        assert ears.level_dbfs(heard) == pytest.approx(LEVEL, abs=0.3)
        # And the other way: what crosses the process boundary towards the program.
        back, listener = bob.running.open_audio(rate=8000), alice.running.open_audio(rate=rate)
        back.write(sine(1000, 8000, 1.5))
        heard = (await listen(listener, 30))[rate // 5:]
        assert ears.dominant_frequency(heard, rate) == pytest.approx(1000, abs=1)
        assert ears.level_dbfs(heard) == pytest.approx(LEVEL, abs=0.3)
        assert listener.dropped_frames == 0


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["thread", "process"])
async def test_clear_cuts_and_says_how_much_was_played(mode: str) -> None:
    async with talking(mode) as (alice, bob):
        mouth, ear = alice.running.open_audio(rate=16000), bob.running.open_audio(rate=8000)
        mouth.write(sine(440, 16000, 20.0))
        mouth.mark("never")
        await listen(ear, 10)
        before = mouth.played_ms
        cleared = await mouth.clear()
        assert before <= cleared.played_ms <= before + 200
        assert cleared.played_ms + cleared.dropped_ms == 20000
        assert cleared.marks == ("never",)
        event = await alice.event("audio.cleared")
        assert event.data["played_ms"] == cleared.played_ms
        # The far end heard what was played and at most 40 ms more.
        loud = 10
        async with asyncio.timeout(PATIENCE):
            async for frame in ear:
                if not any(frame.pcm):
                    break
                loud += 1
        assert loud * 20 <= cleared.played_ms + 40
        assert mouth.buffered_ms == 0


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["thread", "process"])
async def test_marks_underrun_and_the_end_of_the_call(mode: str) -> None:
    async with talking(mode) as (alice, bob):
        mouth, ear = alice.running.open_audio(), bob.running.open_audio()
        for name in "abc":
            mouth.write(sine(440, 16000, 0.05))
            mouth.mark(name)
        await mouth.drain()
        assert mouth.played_ms == 150
        await alice.event("audio.underrun")
        marks = [event for event in alice.events if event.type == "audio.mark_reached"]
        assert [(event.data["name"], event.data["played_ms"]) for event in marks] == [("a", 50), ("b", 100), ("c", 150)]
        assert {event.data["audio"] for event in marks} == {mouth.id}
        bob.execute(Hangup())
        for link in (mouth, ear):
            async with asyncio.timeout(PATIENCE):
                async for _ in link:
                    pass
            assert link.ended
            assert link.error is None


async def test_a_link_ends_with_its_call_also_when_that_never_had_sound() -> None:
    async with live_phone() as alice, live_phone() as bob:
        alice.execute(Dial(to=bob.uri))
        await bob.event("call.incoming")
        link = bob.running.open_audio()
        ended: list[bool] = []
        bob.running.subscribe(lambda envelope: ended.append(link.ended) if envelope.type == "call.ended" else None)
        bob.execute(Reject())
        await bob.event("call.ended")
        assert ended == [True], "before anybody hears of it"
        assert await anext(link, None) is None
        assert link.error is None


@pytest.mark.slow
async def test_several_links_and_one_that_closes() -> None:
    async with talking("process") as (alice, bob):
        bot, prompter, monitor = (alice.running.open_audio(rate=rate) for rate in get_args(AudioRate)[:3])
        ear = bob.running.open_audio(rate=8000)
        bot.write(sine(440, 8000, 9.0))
        prompter.write(sine(1300, 16000, 9.0))
        await hears(ear, 440, 1300)
        bot.close()
        assert bot.ended
        async for _ in bot:
            pass
        await hears(ear, 1300)
        assert len(await asyncio.wait_for(anext(aiter(monitor)), 5)) == 2
        with pytest.raises(InvalidState):
            bot.write(b"12")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills with a POSIX signal")
async def test_a_link_ends_with_an_error_when_the_worker_is_killed() -> None:
    async with talking("process") as (alice, _):
        link = alice.running.open_audio()
        link.write(sine(440, 16000, 5.0))
        await anext(link)
        host = alice.running.media
        assert isinstance(host, MediaHost)
        worker = host._worker
        assert worker is not None
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(MediaLost):
            await listen(link, 1000)
        with pytest.raises(MediaLost):
            await link.drain()
        await alice.event("call.ended")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["thread", "process"])
async def test_a_runaway_program_hurts_only_itself(mode: str) -> None:
    async with talking(mode) as (alice, bob):
        wild, ear = alice.running.open_audio(rate=48000), bob.running.open_audio(rate=8000)
        megabytes = 5_000_001
        assert wild.write(bytes(megabytes)) == SPEAK_LIMIT_MS * 96
        for number in range(2000):
            wild.mark(str(number))
        overrun = await alice.event("audio.overrun")
        assert (overrun.data["audio"], overrun.data["direction"]) == (wild.id, "speak")
        assert overrun.data["dropped_ms"] == (megabytes - SPEAK_LIMIT_MS * 96) // 96
        assert len((await wild.clear()).marks) == MARKS_LIMIT
        wild.write(sine(440, 48000, 9.0))
        await hears(ear, 440)


async def test_a_link_opened_by_command_alone_is_harmless_and_can_be_closed() -> None:
    async with live_phone() as alice, live_phone() as bob:
        await connect(alice, bob)
        audio = alice.execute(OpenAudio()).value["audio"]
        assert alice.execute(CloseAudio(audio=audio)).call
