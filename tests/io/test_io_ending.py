"""Being told to end: by a signal, on Windows by the console."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from offhook.io.ending import told_to_end


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
async def test_a_signal_tells(name: str) -> None:
    number = signal.Signals[name]
    before = signal.signal(number, signal.SIG_DFL)  # whoever runs the tests in the background may have it ignored
    told = asyncio.Event()
    try:
        with told_to_end(told.set):
            os.kill(os.getpid(), number)
            async with asyncio.timeout(5):
                await told.wait()
        assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
async def test_a_signal_that_was_ignored_stays_so() -> None:
    number = signal.Signals["SIGHUP"]
    before = signal.signal(number, signal.SIG_IGN)
    told = asyncio.Event()
    try:
        with told_to_end(told.set):
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.01)
            assert not told.is_set()
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


WAITS = """
import asyncio
from offhook.io.ending import told_to_end
from offhook.io.loop import run

async def main():
    told = asyncio.Event()
    with told_to_end(told.set):
        print("ready", flush=True)
        await asyncio.wait_for(told.wait(), 20)
    print("told", flush=True)

run(main())
"""

if sys.platform == "win32":

    def test_ctrl_break_tells() -> None:
        with subprocess.Popen(
            [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            try:
                process.send_signal(signal.CTRL_BREAK_EVENT)
            except (OSError, SystemError):
                process.kill()
                pytest.skip("there is no console to press keys at")
            assert process.stdout.read() == "told\n"
            assert process.wait(10) == 0

    @pytest.mark.parametrize("kind", [0, 1, 2])
    async def test_every_way_tells_and_a_closing_console_waits_for_the_end(kind: int) -> None:
        from offhook.windows.console import Endings

        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        endings = Endings(lambda: loop.call_soon_threadsafe(told.set))
        heard = asyncio.ensure_future(asyncio.to_thread(endings._heard, kind))
        async with asyncio.timeout(5):
            await told.wait()
            if kind < 2:
                assert await heard
            else:
                await asyncio.sleep(0.05)
                assert not heard.done()
                endings.close()
                assert await heard
        endings.close()
