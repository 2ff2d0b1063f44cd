"""From a foreign thread to the loop and back: answers, refusals, and a bound on the wait that nothing outlives."""

from __future__ import annotations

import asyncio
import threading

import pytest

from offhook.control.windows.bridge import Bridge, Busy
from offhook.errors import NotFound


async def test_an_answer_comes_from_the_loop() -> None:
    bridge = Bridge(asyncio.get_running_loop())
    here = threading.get_ident()
    assert await asyncio.to_thread(bridge.ask, threading.get_ident) == here


async def test_what_is_raised_there_is_raised_here() -> None:
    def work() -> None:
        raise NotFound("no")

    with pytest.raises(NotFound):
        await asyncio.to_thread(Bridge(asyncio.get_running_loop()).ask, work)


async def test_what_was_not_begun_in_time_is_never_done() -> None:
    bridge = Bridge(asyncio.get_running_loop(), seconds=0.02)
    done: list[int] = []
    found: list[BaseException] = []

    def ask() -> None:
        try:
            bridge.ask(lambda: done.append(1))
        except Busy as busy:
            found.append(busy)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()  # the loop is busy with waiting for it
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert found
    assert not done


async def test_what_takes_long_is_given_up() -> None:
    bridge = Bridge(asyncio.get_running_loop(), seconds=0.02)
    forever: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with pytest.raises(Busy):
        await asyncio.to_thread(bridge.wait, forever)
    await asyncio.sleep(0)
    assert forever.cancelled()


async def test_what_waits_for_the_disk_comes_later() -> None:
    async def later() -> int:
        await asyncio.sleep(0)
        return 7

    assert await asyncio.to_thread(Bridge(asyncio.get_running_loop()).wait, later()) == 7


def test_a_loop_that_is_closed_is_busy_for_good() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(Busy):
        Bridge(loop).ask(lambda: 1)
