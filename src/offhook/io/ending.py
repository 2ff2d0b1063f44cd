"""The ways a person or the system tells a program to end: signals, on Windows the console's."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator

if sys.platform == "win32":

    @contextlib.contextmanager
    def told_to_end(told: Callable[[], object]) -> Iterator[None]:
        """Call `told` in the running event loop, however often, while the block runs: all that is to be closed fits in it."""
        from offhook.windows.console import Endings

        loop = asyncio.get_running_loop()
        endings = Endings(lambda: loop.call_soon_threadsafe(told))
        try:
            yield
        finally:
            endings.close()
else:
    import signal

    @contextlib.contextmanager
    def told_to_end(told: Callable[[], object]) -> Iterator[None]:
        """Call `told` in the running event loop, however often, while the block runs: all that is to be closed fits in it."""
        loop = asyncio.get_running_loop()
        heeded = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # who starts us with nohup wants a closed terminal to be no end
            heeded.append(signal.SIGHUP)
        for number in heeded:
            loop.add_signal_handler(number, told)
        try:
            yield
        finally:
            for number in heeded:
                loop.remove_signal_handler(number)
