"""A phone that is a Windows program, and one that is not: they register, call each other, hear each other; one is killed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offhook.exchange.server import Exchange
from offhook.phone.commands import Answer, Dial, Hangup, ListCalls, Play, Record, SendDtmf
from offhook.phone.settings import AccountSettings
from offhook.sip.stack import host_port
from offhook.testing.ears import dominant_frequency, level_dbfs, read_wav
from offhook.testing.live import LivePhone, live_phone, quiet_config
from offhook.testing.windows import Windows, WindowsProcess, windows_path

pytestmark = [pytest.mark.windows, pytest.mark.timeout(180)]

THEIR_TONE = 440.0
OUR_TONE = 600.0
THEIRS = 1
"""The far end's channel of a stereo recording."""

PATIENCE = 30.0
"""Seconds for what a Windows program on a busy machine does in one."""


class WindowsPhone:
    """`offhook run` as a Windows program, registered as 1001, and its command line."""

    def __init__(self, windows: Windows, folder: Path, domain: str) -> None:
        self.windows = windows
        self.socket = f"\\\\.\\pipe\\{folder.name}"
        self._file = folder / "offhook.toml"
        self._file.write_text(
            f'[sip]\nhost = "127.0.0.1"\nport = 0\n[media]\nsound = "null"\n[account.work]\ndomain = "{domain}"\n'
            'username = "1001"\npassword = "practice-1001"\n', "utf-8",
        )  # fmt: skip
        self.environment = {"OFFHOOK_SOCKET": self.socket, "OFFHOOK_HOME": windows_path(folder / "home")}
        self.process: WindowsProcess

    def start(self) -> None:
        """Start it; it takes commands when this returns."""
        arguments = ("-m", "offhook", "run", "--config", windows_path(self._file))
        self.process = self.windows.start(*arguments, environment=self.environment)
        self.process.wait_for("offhook is running")

    def command(self, *arguments: str) -> str:
        """Run the command line; it has to succeed."""
        done = self.windows.offhook(*arguments, environment=self.environment)
        assert done.code == 0, done.output
        return done.output

    def until(self, condition: Callable[[Any], bool], *arguments: str) -> Any:
        """Ask again and again, until the answer is what is waited for; returns it."""
        deadline = time.monotonic() + PATIENCE
        while not condition(found := json.loads(self.command(*arguments, "--json"))):
            assert time.monotonic() < deadline, found
        return found

    def events(self, *more: str) -> WindowsProcess:
        """Start to follow the events, one JSON line each."""
        return self.windows.start("-m", "offhook", "events", "--follow", "--json", *more, environment=self.environment)

    def follow(self) -> WindowsProcess:
        """Follow the events from now on; the first that comes is one of our own making."""
        found = self.events()
        for volume in range(100):
            self.command("volume", str(100 - volume))
            if '"audio.changed"' in found.text:
                return found
        raise found.failed("follows nothing")

    def quit(self) -> None:
        """End it in order."""
        self.command("quit")
        assert self.process.wait(PATIENCE) == 0, self.process.text


@pytest.fixture
def phone(windows: Windows, exchange: Exchange, tmp_path: Path) -> Iterator[WindowsPhone]:
    """Return a phone that is not yet started."""
    made = WindowsPhone(windows, tmp_path, host_port(exchange.address))
    yield made
    if hasattr(made, "process"):
        made.process.stop()


@asynccontextmanager
async def far_end(exchange: Exchange) -> AsyncIterator[LivePhone]:
    """Run a phone on this system, registered as 1002."""
    account = AccountSettings(id="far", domain=host_port(exchange.address), username="1002", password="practice-1002")
    async with live_phone(replace(quiet_config(), accounts=(account,))) as found:
        await found.event("account.registered")
        yield found


def registered(accounts: Any) -> bool:
    return bool(accounts[0]["registration"] == "registered")


def heard(file: Path) -> tuple[float, float]:
    """Return frequency and level of the far end in the middle of a stereo recording, before there are digits."""
    wav = read_wav(file)
    pcm = wav.channels[THEIRS][wav.rate : 2 * wav.rate]  # half a second, from the first half second on
    return dominant_frequency(pcm, wav.rate), level_dbfs(pcm)


async def test_calls_both_ways_are_heard_and_told(phone: WindowsPhone, exchange: Exchange, tmp_path: Path) -> None:
    run = asyncio.to_thread
    await run(phone.start)
    follow = await run(phone.follow)
    async with far_end(exchange) as far:
        await run(phone.until, registered, "accounts")
        assert (await run(phone.command, "status")).strip() == "idle"

        # They call us.
        far.execute(Dial(to="1001"))
        await run(follow.wait_for, '"call.incoming"')
        assert (await run(phone.command, "status")).startswith("ringing")
        await run(phone.command, "answer", "--wait")
        await far.reaches(2)
        far.execute(Play(tone=f"{THEIR_TONE:g}"))
        await run(phone.command, "record", "--stereo", "--file", windows_path(tmp_path / "near.wav"))
        await run(phone.command, "play", "--tone", f"{OUR_TONE:g}")
        far.execute(Record(file=str(tmp_path / "far.wav"), channels="stereo"))
        await asyncio.sleep(1.5)

        # Digits, both ways.
        far.execute(SendDtmf(digits="12#"))
        await run(follow.wait_for, '"digit": "#"')
        await run(phone.command, "dtmf", "45*", "--wait")
        await far.until(lambda: far.types.count("dtmf.received") == 3, "three digits")
        assert [e.data["digit"] for e in far.events if e.type == "dtmf.received"] == ["4", "5", "*"]
        await run(phone.command, "hangup")
        await far.event("call.ended")
        await run(follow.wait_for, '"recording.finished"')
        await far.event("recording.finished")
        near_tone, near_level = heard(tmp_path / "near.wav")
        far_tone, far_level = heard(tmp_path / "far.wav")
        assert near_tone == pytest.approx(THEIR_TONE, abs=2)
        assert far_tone == pytest.approx(OUR_TONE, abs=2)
        assert min(near_level, far_level) > -30

        # We call them.
        await run(phone.command, "dial", "1002")
        await far.event("call.incoming", since=len(far.events) - 5)
        far.execute(Answer())
        await far.reaches(2)
        found = await run(phone.until, lambda calls: calls and calls[0]["state"] == "active", "calls")
        assert found[0]["media"]["codec"]
        assert (await run(phone.command, "status")).startswith("active: ")
        far.execute(Hangup())
        await run(phone.until, lambda calls: not calls, "calls")
        assert not far.execute(ListCalls()).value
    await run(phone.quit)
    await run(follow.wait_for, '"system.stopped"')
    follow.stop()
    events = [json.loads(line) for line in follow.text.splitlines() if line.startswith("{")]
    numbers = [event["seq"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    digits = [event["data"]["digit"] for event in events if event["type"] == "dtmf.received"]
    assert digits == ["1", "2", "#"]
    assert events[-1]["type"] == "system.stopped"


async def test_a_second_phone_is_refused(phone: WindowsPhone) -> None:
    await asyncio.to_thread(phone.start)
    run = ("run", "--config", windows_path(phone._file))
    environment = {**phone.environment, "OFFHOOK_HOME": phone.environment["OFFHOOK_HOME"] + "2"}
    done = await asyncio.to_thread(phone.windows.offhook, *run, environment=environment)
    assert done.code != 0
    assert f"a phone is already running at {phone.socket}" in done.output
    assert (await asyncio.to_thread(phone.command, "status")).strip() == "idle"
    await asyncio.to_thread(phone.quit)


async def test_a_killed_phone_has_lost_no_event_it_told_of(phone: WindowsPhone, exchange: Exchange) -> None:
    run = asyncio.to_thread
    await run(phone.start)
    follow = await run(phone.follow)
    async with far_end(exchange) as far:
        await run(phone.until, registered, "accounts")
        far.execute(Dial(to="1001"))
        await run(follow.wait_for, '"call.incoming"')
        await run(phone.command, "answer", "--wait")
        await run(phone.command, "volume", "33")
        await run(follow.wait_for, '"output_volume": 33')
        phone.process.stop()
        said = [json.loads(line) for line in follow.text.splitlines() if line.startswith("{")]
        told = [event["id"] for event in said]
        assert told

        # The pipe is free, and the next phone tells what the last one did.
        await run(phone.start)
        after = told[0].rpartition("-")[0] + "-0"
        again = phone.events("--after", after)
        await run(again.wait_for, told[-1])
        found = [json.loads(line)["id"] for line in again.text.splitlines() if line.startswith("{")]
        assert [each for each in found if each in set(told)] == told
        far.execute(Hangup())
    again.stop()
    follow.stop()
    await run(phone.quit)
