"""The loop a phone of its own runs in: what it returns, and how fine its clock is."""

from __future__ import annotations

import asyncio
import itertools
import time

from offhook.io.loop import run


async def steps() -> list[float]:
    """Return the steps in which the loop's clock goes on, as far as 20 ms show them."""
    loop = asyncio.get_running_loop()
    seen = [loop.time()]
    until = time.perf_counter() + 0.02
    while time.perf_counter() < until:
        if (now := loop.time()) != seen[-1]:
            seen.append(now)
    return [later - earlier for earlier, later in itertools.pairwise(seen)]


def test_it_returns_what_the_program_returns_and_its_clock_is_fine() -> None:
    found = run(steps())
    assert len(found) > 100
    assert min(found) < 0.0002


def test_timers_come_in_their_time() -> None:
    async def wait() -> float:
        began = time.perf_counter()
        await asyncio.sleep(0.03)
        return time.perf_counter() - began

    assert 0.029 < run(wait()) < 1.0
