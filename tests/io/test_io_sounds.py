"""Sounds from the web: fetched whole into a file that is gone afterwards, and everything a server can do wrong."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from offhook.io import sounds
from offhook.io.sounds import WebSounds
from offhook.media import wav
from offhook.phone.commands import Play
from offhook.phone.urls import Url
from offhook.phone.web_requests import FetchSound, SoundFetched
from offhook.testing.ears import dominant_frequency
from offhook.testing.live import connect, live_phone

WAV = wav.header(1, 8000, 1600) + bytes(1600)
CHUNKS = b"7\r\n" + WAV[:7] + b"\r\n" + b"%x\r\n" % (len(WAV) - 7) + WAV[7:] + b"\r\n0\r\n\r\n"

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


def says(head: str, body: bytes = b"") -> Behaviour:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)
        await writer.drain()

    return behave


async def hangs(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nRIFF")
    await asyncio.Event().wait()


async def floods(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + WAV)
    while True:
        writer.write(bytes(65536))
        await writer.drain()


class Asked(list[bytes]):
    """The requests so far; `news` is set by each."""

    def __init__(self) -> None:
        super().__init__()
        self.news = asyncio.Event()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self) < count:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def server(behave: Behaviour) -> AsyncIterator[tuple[str, Asked]]:
    """Run a web server that does as told; gives an address there, and the requests that came."""
    asked = Asked()
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            asked.news.set()
            await behave(writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            running.discard(task)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/a.wav?key=1", asked
    finally:
        listening.close()
        for task in list(running):
            task.cancel()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that fetched sounds are in."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def read(path: str) -> bytes:
    return Path(path).read_bytes()


class Fetching:
    """Fetches one sound at a time, and waits for what becomes of it."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[SoundFetched] = asyncio.Queue()
        self.sounds = WebSounds(lambda text: Url.parse(text), self.told.put_nowait, within=0.5, most=100_000)

    async def fetch(self, url: str) -> SoundFetched:
        self.sounds.fetch(FetchSound("pb_1", "c_1", url))
        async with asyncio.timeout(5):
            return await self.told.get()


@pytest.mark.parametrize("behave", [
    says(f"200 OK\r\nContent-Length: {len(WAV)}", WAV + b"more"),
    says("200 OK\r\nConnection: close", WAV),
    says("200 OK\r\nTransfer-Encoding: chunked", CHUNKS),
    says("100 Continue\r\n\r\nHTTP/1.1 200 OK", WAV),
], ids=["length", "close", "chunked", "interim"])  # fmt: skip
async def test_a_sound_is_fetched_and_dropped(folder: Path, behave: Behaviour) -> None:
    fetching = Fetching()
    async with server(behave) as (url, asked):
        found = await fetching.fetch(url)
    assert (found.playback, found.call, found.error) == ("pb_1", "c_1", "")
    assert read(found.path) == WAV
    assert asked[0].startswith(b"GET /a.wav?key=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    fetching.sounds.drop("pb_1")
    fetching.sounds.drop("pb_1")
    assert not left_in(folder)


@pytest.mark.parametrize(("behave", "reason"), [
    (says("404 Not Found"), "the answer is 404"),
    (says("302 Found\r\nLocation: http://127.0.0.1:1/"), "redirects are not followed"),
    (says("206 Partial Content", WAV), "the answer is 206"),
    (says("200 OK", b"<html>not a sound at all</html>"), "no WAV, MP3"),
    (says("200 OK", b"RIFF"), "no WAV, MP3"),
    (says("200 OK\r\nContent-Length: 0"), "no WAV, MP3"),
    (says(f"200 OK\r\nContent-Length: {len(WAV) + 1}", WAV), "ended before"),
    (says("200 OK\r\nTransfer-Encoding: chunked", b"zz\r\n"), "not HTTP"),
    (floods, "longer than 100000 bytes"),
    (hangs, "within 0.5 s"),
])  # fmt: skip
async def test_what_cannot_be_had_is_told_and_leaves_no_file(folder: Path, behave: Behaviour, reason: str) -> None:
    fetching = Fetching()
    async with server(behave) as (url, asked):
        found = await fetching.fetch(url)
    assert reason in found.error
    assert "key=1" not in found.error
    assert found.path == ""
    assert len(asked) == 1
    assert not left_in(folder)


async def test_nobody_there_and_addresses_that_may_not_be_used(folder: Path) -> None:
    fetching = Fetching()
    async with server(hangs) as (url, _):
        pass
    assert "no connection" in (await fetching.fetch(url)).error
    assert "in the clear" in (await fetching.fetch("http://sounds.invalid/a.wav")).error
    assert not left_in(folder)


async def test_dropping_and_closing_stop_what_is_under_way(folder: Path) -> None:
    fetching = Fetching()
    async with server(hangs) as (url, asked):
        fetching.sounds.fetch(FetchSound("pb_1", "c_1", url))
        fetching.sounds.fetch(FetchSound("pb_2", "c_1", url))
        await asked.until(2)
        fetching.sounds.drop("pb_1")
        await fetching.sounds.close()
    assert fetching.told.empty()
    assert not left_in(folder)


async def test_a_file_that_is_still_read_is_deleted_when_it_no_longer_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink
    refused: list[str] = []

    def busy(path: str) -> None:
        if len(refused) < 2:
            refused.append(path)
            raise PermissionError(13, "somebody has it open", path)
        unlink(path)

    fetching = Fetching()
    async with server(says("200 OK", WAV)) as (url, _):
        found = await fetching.fetch(url)
    monkeypatch.setattr(os, "unlink", busy)
    monkeypatch.setattr(sounds, "SWEEP_EVERY", 0.0)
    fetching.sounds.drop("pb_1")
    assert left_in(folder) == [Path(found.path)]
    await fetching.sounds.close()
    assert refused == [found.path, found.path]
    assert not left_in(folder)


@pytest.mark.lengthy
async def test_the_far_end_hears_it(folder: Path, tone_440: bytes) -> None:
    async with live_phone() as here, live_phone() as there, server(says("200 OK", tone_440)) as (url, _):
        await connect(here, there)
        listening = there.running.open_audio(rate=8000, speak=False)
        here.execute(Play(url=url, loop=True))
        await here.event("playback.started")
        heard = b""
        async with asyncio.timeout(10):
            while len(heard) < 16000:
                frame = (await anext(listening)).pcm
                heard += frame if any(frame) else b""
        assert dominant_frequency(heard, 8000) == pytest.approx(440, abs=3)
        assert len(left_in(folder)) == 1
    assert not left_in(folder)


@pytest.fixture
def tone_440() -> bytes:
    from offhook.media.tones import tone_source

    source = tone_source((440.0,), 1000, 0.0)
    frames = b"".join(iter(source.read, None))
    return wav.header(1, 8000, len(frames)) + frames
