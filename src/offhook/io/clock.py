"""What time it is: monotonic seconds for the phone, wall-clock seconds for people."""

from __future__ import annotations

import sys
import time


def now() -> float:
    """Return monotonic seconds. Only differences mean anything; `perf_counter` is the finest clock on every system."""
    return time.perf_counter()


def wall() -> float:
    """Return Unix seconds."""
    return time.time()


def awake_or_asleep() -> float:
    """Return seconds that go on while the machine sleeps; where the system has no such clock, the wall's, which may be set."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time()
