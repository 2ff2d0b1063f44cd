"""The figures of a real call: while it runs, when it is over, and in the history."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from offhook.app.running import Files, RunningPhone
from offhook.phone.commands import CallStats, Hangup, Play
from offhook.phone.model import StatsView
from offhook.testing.live import LivePhone, connect, live_phone, quiet_config

pytestmark = pytest.mark.slow


async def test_a_call_is_rated_by_both_ends_and_kept(tmp_path: Path) -> None:
    running = await RunningPhone.start(quiet_config(), Files(history=tmp_path / "history.sqlite3"))
    try:
        caller = LivePhone(running)
        async with live_phone() as callee:
            await connect(caller, callee)
            for phone in (caller, callee):
                phone.execute(Play(tone="440"))
            await caller.until(lambda: figures(caller).stats is not None, "figures")
            await caller.until(lambda: (found := figures(caller).stats) is not None and found.remote_mos is not None, "theirs")
            seen = figures(caller)
            assert seen.stats is not None
            assert seen.stats.mos > 4
            assert seen.stats.remote_mos is not None
            assert seen.stats.remote_mos > 4
            assert seen.stats.remote_buffer_ms is not None, "both can extended reports"
            assert seen.media.mos == seen.stats.mos
            caller.execute(Hangup())
            for phone in (caller, callee):
                await phone.until(lambda phone=phone: finals(phone) == [True], "the final figures")  # type: ignore[misc]
            ended = caller.execute(CallStats(call=seen.call)).value
            assert ended.state == "ended"
            assert ended.stats is not None
            assert ended.stats.packets_received >= seen.stats.packets_received
            await asyncio.sleep(0)
            (entry,) = await asyncio.to_thread(running.history, 10, "")
            assert (entry["codec"], entry["mos"], entry["remote_mos"]) == ("PCMU", ended.media.mos, ended.media.remote_mos)
            assert entry["loss"] == 0
    finally:
        await running.close()


def figures(phone: LivePhone) -> StatsView:
    found: StatsView = phone.execute(CallStats(call="last")).value
    return found


def finals(phone: LivePhone) -> list[bool]:
    return [event.data["final"] for event in phone.events if event.type == "media.stats" and event.data["final"]]
