"""The timer values of RFC 3261 and one queue of timers that runs on the caller's clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Final

T1: Final = 0.5
"""Seconds: the estimate of a round trip (RFC 3261 17.1.1.1)."""
T2: Final = 4.0
"""Seconds: the longest pause between retransmissions of a non-INVITE request or a final answer."""
T4: Final = 5.0
"""Seconds: how long the network may hold a message."""
TIMEOUT: Final = 64 * T1
"""Seconds: timers B, F, H, J, L and M."""
TIMER_D: Final = 32.0
"""Seconds: how long a refused INVITE stays to acknowledge late copies of the refusal."""

TRYING_AFTER: Final = 0.2
"""Seconds: RFC 3261 17.2.1, an INVITE that has no answer of its own by then is told 100."""

_TIDY_ABOVE: Final = 64
"""Dead entries below this number are not worth a rebuild of the heap."""


class Timer:
    """One started timer; stop it with `stop()`. It is a no-op once it has fired."""

    __slots__ = ("action", "at", "queue")

    def __init__(self, at: float, action: Callable[[float], None], queue: TimerQueue) -> None:
        self.at = at
        self.action: Callable[[float], None] | None = action
        self.queue = queue

    def stop(self) -> None:
        """Never fire."""
        if self.action is not None:
            self.action = None
            self.queue.note_stopped()


class TimerQueue:
    """All timers of one endpoint: a heap in which stopped timers stay until they surface."""

    __slots__ = ("_dead", "_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._dead = 0

    def __len__(self) -> int:
        return len(self._heap) - self._dead

    def start(self, at: float, action: Callable[[float], None]) -> Timer:
        """Call `action(now)` from the first `expire` at or after `at` seconds."""
        timer = Timer(at, action, self)
        heapq.heappush(self._heap, (at, next(self._order), timer))
        return timer

    def note_stopped(self) -> None:
        """Count a dead entry, and rebuild the heap when most of it is dead."""
        self._dead += 1
        if self._dead > _TIDY_ABOVE and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    def deadline(self) -> float | None:
        """Return when the next timer fires, None without one."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
            self._dead -= 1
        return heap[0][0] if heap else None

    def expire(self, now: float) -> None:
        """Fire what is due, in order of time; timers started meanwhile and due already fire too."""
        while True:
            at = self.deadline()
            if at is None or at > now:
                return
            timer = heapq.heappop(self._heap)[2]
            action = timer.action
            timer.action = None
            if action is not None:
                action(now)
