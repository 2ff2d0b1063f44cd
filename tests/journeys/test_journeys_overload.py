"""A real phone at the limit of what its media may use: it refuses new calls, and those that run are heard as before."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from offhook.phone.commands import CallStats, Dial, Hangup, HangupAll, Play
from offhook.phone.model import StatsView
from offhook.testing.live import LivePhone, live_phone, quiet_config

pytestmark = pytest.mark.slow

CALLS = 6
LITTLE = 0.004  # share of a core: even a few calls need more, on any machine


def ended(phone: LivePhone) -> list[int]:
    return [event.data["call"]["end"]["sip_status"] for event in phone.events if event.type == "call.ended"]


def count(phone: LivePhone, kind: str) -> int:
    return sum(event.type == kind for event in phone.events)


@pytest.mark.parametrize("mode", ["thread", "process"])
async def test_twice_as_many_calls_as_the_media_carries(mode: Literal["thread", "process"]) -> None:
    config = quiet_config(auto_answer="all", max_load=LITTLE)
    config = replace(config, media=replace(config.media, mode=mode))
    async with live_phone(config) as server, live_phone() as caller:
        for _ in range(CALLS):
            caller.execute(Dial(to=server.uri, hold_others=False))
        await caller.until(lambda: count(caller, "media.started") == CALLS, "sound in each call")
        running = [call.id for call in caller.running.phone.snapshot().calls]
        for call in server.running.phone.snapshot().calls:
            server.execute(Play(call=call.id, tone="440"))
        await server.until(lambda: server.running.phone.desk.workers.busy() != "", "a report of too much load")
        for _ in range(CALLS):
            caller.execute(Dial(to=server.uri, hold_others=False))
        await caller.until(lambda: len(ended(caller)) == CALLS, "an answer to each further call")
        assert ended(caller) == [503] * CALLS
        told = await server.event("system.overloaded")
        assert (told.data["calls"], told.data["status"]) == (CALLS, 503)
        assert "of a core" in told.data["reason"]

        before = count(caller, "media.stats")
        await caller.until(lambda: count(caller, "media.stats") >= before + CALLS, "figures of each")
        assert {call.id for call in caller.running.phone.snapshot().calls} == set(running)
        assert count(caller, "media.stalled") == 0
        for name in running:
            found: StatsView = caller.execute(CallStats(call=name)).value
            assert found.stats is not None
            assert found.stats.packets_received > 100
            assert found.stats.packets_lost == 0

        caller.execute(HangupAll())
        relieved = await server.event("system.relieved")
        assert relieved.data["refused"] == CALLS
        since = len(caller.events)
        caller.execute(Dial(to=server.uri))
        await caller.event("call.active", since)
        caller.execute(Hangup())
