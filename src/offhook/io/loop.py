"""The event loop that a phone of its own runs in: the system's usual one, with a clock that is fine on Windows too."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

if sys.platform == "win32" and sys.version_info < (3, 13):
    import time

    class FineLoop(asyncio.ProactorEventLoop):
        """Windows' usual loop by `perf_counter`: before Python 3.13 its clock goes forward in steps of 15.6 ms."""

        _clock_resolution: float

        def __init__(self) -> None:
            super().__init__()
            # A timer counts as due so much earlier; asyncio takes this for the clock's step.
            self._clock_resolution = time.get_clock_info("perf_counter").resolution

        def time(self) -> float:
            """Return seconds on the loop's clock."""
            return time.perf_counter()

    def run(main: Coroutine[Any, Any, T]) -> T:
        """Run a program to its end and return what it returns."""
        with asyncio.Runner(loop_factory=FineLoop) as runner:
            return runner.run(main)
else:

    def run(main: Coroutine[Any, Any, T]) -> T:
        """Run a program to its end and return what it returns."""
        return asyncio.run(main)
