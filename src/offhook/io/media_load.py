"""How punctual the packet loop is and what it costs, second by second."""

from __future__ import annotations

import time
from typing import Final

from offhook.media.messages import EngineLoad

LATE_S: Final = 0.010  # a tick this late is counted: half a frame, which a jitter buffer of 20 ms just bears
EVERY_S: Final = 1.0


class LoadMeter:
    """Counts ticks and how late they are; `due` says when `report` has something to tell."""

    __slots__ = ("_began", "_cpu", "_late_ticks", "_latest", "_ticks", "due", "late_ticks", "ticks", "worker")

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.ticks = self.late_ticks = 0
        self.due = 0.0
        self.rest(time.perf_counter())

    def rest(self, now: float) -> None:
        """Begin a new second: nothing was done until now."""
        self._began = now
        self.due = now + EVERY_S
        self._cpu = time.thread_time()
        self._ticks, self._late_ticks = self.ticks, self.late_ticks
        self._latest = 0.0

    def note(self, late: float) -> None:
        """Count a tick that came so many seconds after its time."""
        self.ticks += 1
        if late > self._latest:
            self._latest = late
        if late > LATE_S:
            self.late_ticks += 1

    def report(self, now: float, streams: int) -> EngineLoad:
        """Return how it was since the last time."""
        cpu, ticks = time.thread_time(), self.ticks - self._ticks
        load = EngineLoad(
            self.worker, streams, cpu=round((cpu - self._cpu) / max(now - self._began, 1e-6), 4),
            late=round((self.late_ticks - self._late_ticks) / ticks, 4) if ticks else 0.0,
            latest_ms=round(1000 * self._latest, 2), cpu_s=round(cpu, 3), ticks=self.ticks, late_ticks=self.late_ticks,
        )  # fmt: skip
        self.rest(now)
        return load
