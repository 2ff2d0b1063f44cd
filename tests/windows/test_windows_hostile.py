"""What hostile, mistaken and dying programs do to the phone under Wine: nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from windows_drivers import Dde, Window
from windows_scene import Scene

from offhook.testing import ears
from offhook.testing.windows import Windows

pytest_plugins = ["windows_fixtures"]

pytestmark = [pytest.mark.windows, pytest.mark.timeout(240)]

RATE: Final = 8000
TONE = 600


async def heard(scene: Scene, work: asyncio.Future[list[str]]) -> tuple[bytes, int]:
    """Return what the Linux phone hears until the work is done, and how many milliseconds of it never came."""
    link = scene.there.running.open_audio(rate=RATE)
    pcm = bytearray()
    try:
        async for frame in link:
            pcm += frame.pcm
            if work.done():
                return bytes(pcm), link.gone_ms
    finally:
        link.close()
    raise AssertionError("the call has ended")


async def test_ten_thousand_hostile_messages_during_a_call(scene: Scene, another: Callable[[str], Window]) -> None:
    """Null pointers, wrong sizes, huge ones, what is no UTF-8, unknown codes, words of every kind: thousands a second."""
    scene.window.request("set_volume", volume=50)
    await scene.connected()
    calls = scene.window.request("list_calls")["value"]
    scene.window.request("play", tone=str(TONE))
    noisy = [another("window") for _ in range(2)]
    flood = asyncio.gather(*(each.does(f"flood 5000 {number}", 120) for number, each in enumerate(noisy)))
    pcm, gone = await heard(scene, flood)
    for answer in await flood:
        assert answer.startswith("flooded 5000 in")
    assert scene.status == 2
    found = scene.window.request("list_calls")["value"]
    assert [call["id"] for call in found] == [call["id"] for call in calls], "nothing was dialled, nothing was hung up"
    assert scene.phone.process.alive()
    second = 2 * RATE
    pieces = [pcm[at:at + second] for at in range(second, len(pcm) - second, second)]
    assert pieces
    undisturbed = [ears.has_tone(piece, TONE, RATE) for piece in pieces]
    assert undisturbed.count(False) <= len(pieces) // 20, f"{undisturbed}, {gone} ms gone"
    assert all(ears.level_dbfs(piece) > -40 for piece in pieces)


def malformed(seed: int) -> list[str]:
    """Return strings that are nearly DDE, in hex."""
    chance = random.Random(seed)
    parts = [b"[", b"]", b"(", b")", b'"', b",", b"Dial", b"SetVolume", b"1001", b"/transfer:", b"\xff", b"\xc3\x28", b"& calc",
             b"%COMSPEC%", b"\t", b"\x00", b"A" * 5000, "ü".encode("utf-16-le"), b"[[", b"Close Close"]  # fmt: skip
    return [b"".join(chance.choices(parts, k=chance.randint(1, 8))).hex() for _ in range(300)]


@pytest.mark.parametrize("kind", ["ANSI", "Unicode"])
async def test_malformed_dde_strings(scene: Scene, kind: str) -> None:
    await scene.connected()
    for text in malformed(len(kind)):
        assert (await scene.dde.does(f"raw {text}")).startswith("refused")
    assert scene.dde.item("Status") == "ACTIVE"
    assert len(scene.window.request("list_calls")["value"]) == 1


async def test_messages_that_are_no_messages(scene: Scene) -> None:
    for size in (1, 1000, 2**31, 2**32 - 1):
        assert scene.window.ask(f"null 1 {size}") == "lresult 0"
    for lparam in (0, 1, 2**63):
        scene.window.ask(f"raw {lparam}")
    for message in (0x8000, 0x8001, 0x12, 0x10000 + 7, 0x3E0, 0x3E8):
        scene.window.ask(f"post {message} 5")
    assert scene.send("STATUS") == 0


async def test_a_program_that_answers_by_asking_again(scene: Scene) -> None:
    await scene.connected()
    atom = scene.send("ACTIVECALL")
    assert await scene.window.does("nest 50") == f"lresult {atom}"
    assert scene.window.told("nested").count("0") == 1, "somewhere it ends"
    assert scene.status == 2


async def test_clients_that_die(
    scene: Scene, another: Callable[[str], Dde], windows: Windows, programs: dict[str, Path]
) -> None:
    """In an advise loop, and while events are sent to their window."""
    for kind in ("ANSI", "Unicode"):
        dying = another(kind)
        assert dying.ask("connect MicroSIP control") == "connected"
        for item in ("Event", "Status"):
            assert dying.ask(f"advise {item}") == "advised"
        dying.process.write("1 die\n")
        await asyncio.to_thread(dying.process.wait, 10)
    subscribed = Window(windows.start_program(programs["window"]))
    assert subscribed.send(100) == 1
    subscribed.process.stop()
    await scene.connected()
    assert scene.send("HANGUP") == 1
    await scene.reaches(0)
    alive = another("Unicode")
    assert alive.ask("connect MicroSIP control") == "connected"
    assert alive.ask("advise Event") == "advised"
    scene.send("MUTE", "1")
    await alive.tells("audit.command")
