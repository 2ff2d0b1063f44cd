"""What tests with baresip share: it runs beside the phone's loop, is told what to do, and what each hears is measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from offhook.media.resample import resample
from offhook.phone.commands import Hangup, Play, Record
from offhook.testing.ears import WavAudio, dominant_frequency, level_dbfs, read_wav
from offhook.testing.live import LivePhone
from offhook.testing.peers import Baresip, baresip

THEIR_TONE = 440.0
OUR_TONE = 600.0
RIFF_HEADER, WAV_HEADER = 8, 44


@asynccontextmanager
async def started(folder: Path, **options: Any) -> AsyncIterator[Baresip]:
    """Run a baresip; starting and stopping it must not hold up the phone, which lives in this loop."""
    runner = baresip(folder, **options)
    peer = await asyncio.to_thread(runner.__enter__)
    try:
        yield peer
    finally:
        await asyncio.to_thread(runner.__exit__, None, None, None)


async def tell(peer: Baresip, name: str, parameters: str = "") -> None:
    """Have it carry out a command."""
    await asyncio.to_thread(peer.command, name, parameters)


async def says(peer: Baresip, kind: str) -> dict[str, Any]:
    """Wait for one of its events."""
    return await asyncio.to_thread(peer.wait_event, kind)


async def recorded(phone: LivePhone, file: Path, call: str = "") -> bytes:
    """Record a second of the call, both sides in their channels; return the louder one, which is the far end's, at 8 kHz."""
    since = len(phone.events)
    phone.execute(Record(call=call, file=str(file), channels="stereo", max_seconds=1.0))
    await phone.event("recording.finished", since)
    heard = read_wav(file)
    return resample(max(heard.channels, key=level_dbfs), heard.rate, 8000)


async def hear_each_other(phone: LivePhone, peer: Baresip, folder: Path) -> None:
    """Hear baresip's tone, play ours, hang up, and find ours in what baresip heard."""
    assert dominant_frequency(await recorded(phone, folder / "theirs.wav")) == pytest.approx(THEIR_TONE, abs=5)
    since = len(phone.events)
    phone.execute(Play(tone=str(OUR_TONE), duration_ms=1500))
    await phone.event("playback.finished", since)
    phone.execute(Hangup())
    await phone.over()
    await says(peer, "CALL_CLOSED")
    heard = await heard_by(peer)
    assert loudest_frequency(heard.channels[0], heard.rate) == pytest.approx(OUR_TONE, abs=5)


async def heard_by(peer: Baresip) -> WavAudio:
    """Return what it heard in its last call, which is over: it says so a moment before it closes the file."""
    file = peer.heard()[-1]

    def closed() -> bool:
        data = file.read_bytes()
        return int.from_bytes(data[4:8], "little") + RIFF_HEADER == len(data) > WAV_HEADER

    await asyncio.to_thread(peer.process.wait_until, closed, "done with its recording")
    return read_wav(file)


def loudest_frequency(pcm: bytes, rate: int) -> float:
    """Return the frequency of the loudest half second: the rest of a call is silence."""
    size = rate
    pieces = [pcm[start:start + size] for start in range(0, max(1, len(pcm) - size), size // 4 & ~1)]
    return dominant_frequency(max(pieces, key=level_dbfs), rate)
