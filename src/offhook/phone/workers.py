"""The media workers as the phone sees them: ports that are ready, how busy each is, and where a new call's sound goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from offhook.media.messages import EngineLoad
from offhook.phone.model import WorkerView

PORTS_HELD: Final = 4096
"""Media ports kept ready at most, for each worker."""
PATIENCE: Final = 3
"""Seconds in a row that a worker has to be too busy, or well again, until it is believed."""
RELIEF: Final = 0.9
"""A worker is well again when it is below this part of the limit: it must not be full and free by turns."""
LATE_MOST: Final = 0.01
"""Share of a worker's ticks that may be late."""
LATE_STREAMS: Final = 50
"""With fewer streams lateness is not our doing: the machine is busy with something else, and refusing calls would not help."""
MARGIN_MOST: Final = 0.002
"""Share of a core that a further call is thought to cost at most; with few calls the average says more than it costs."""


@dataclass(slots=True)
class Worker:
    """One worker. `calls` are those placed here, whether their stream is open yet or not."""

    number: int
    ports: deque[int] = field(default_factory=deque)
    calls: int = 0
    load: EngineLoad | None = None
    cpu: float = 0.0
    busy_for: int = 0
    well_for: int = 0
    full: bool = False

    @property
    def expected(self) -> float:
        """Return the share of a core that its calls take, those included that have come since it was measured."""
        if self.load is None:
            return 0.0
        new = max(0, self.calls - self.load.streams)
        return self.cpu + new * min(MARGIN_MOST, self.cpu / max(1, self.load.streams))

    def note(self, load: EngineLoad, limit: float) -> None:
        """Take a new measurement."""
        self.load = load
        if not load.streams:
            # What the last calls used says nothing about the next one, and there is no further report.
            self.cpu, self.busy_for, self.full = 0.0, 0, False
            return
        # One second's figure jumps; a quarter of it makes for a memory of some seconds.
        self.cpu += (load.cpu - self.cpu) * (0.25 if self.cpu else 1.0)
        late = load.late > LATE_MOST and load.streams >= LATE_STREAMS
        busy = bool(limit) and (load.cpu >= limit or late)
        well = not busy and (load.cpu < RELIEF * limit or not limit)
        self.busy_for = self.busy_for + 1 if busy else 0
        self.well_for = self.well_for + 1 if well else 0
        if self.busy_for >= PATIENCE:
            self.full = True
        elif self.well_for >= PATIENCE:
            self.full = False

    def view(self) -> WorkerView:
        """Return the worker as everyone sees it."""
        load = self.load or EngineLoad(self.number, 0)
        return WorkerView(
            self.number, self.calls, load.streams, load.cpu, load.cpu_s, load.late, load.latest_ms, load.ticks, load.late_ticks,
            self.full,
        )  # fmt: skip


class Workers:
    """All of them. Worker 0 is always there; others are known from their first ports on."""

    def __init__(self, limit: float) -> None:
        self.limit = limit  # share of a core; 0: none
        self._all: dict[int, Worker] = {0: Worker(0)}

    def views(self) -> tuple[WorkerView, ...]:
        """Return every worker."""
        return tuple(worker.view() for worker in self._all.values())

    # --- ports

    def ready(self, number: int, ports: Iterable[int]) -> None:
        """Hold these ports ready."""
        worker = self._all.setdefault(number, Worker(number))
        room = PORTS_HELD - len(worker.ports)
        worker.ports.extend(list(ports)[:room])

    def gone(self, number: int) -> None:
        """Forget what a worker had: it was started again."""
        worker = self._all.setdefault(number, Worker(number))
        worker.ports.clear()
        worker.load, worker.cpu, worker.busy_for, worker.well_for, worker.full = None, 0.0, 0, 0, False

    def has_port(self, number: int) -> bool:
        """Say whether a call placed there finds a port."""
        return bool(self._all[number].ports)

    def take_port(self, number: int) -> int:
        """Return a port, which is ready no longer. Raises IndexError where none is."""
        return self._all[number].ports.popleft()

    @property
    def ports(self) -> int:
        """Return how many ports are ready."""
        return sum(len(worker.ports) for worker in self._all.values())

    # --- calls

    def place(self, beside: int | None = None) -> int:
        """Choose a worker for a new call: that of the call beside it, else the least busy of those that have ports ready."""
        workers = self._all
        number = 0 if len(workers) == 1 else beside if beside is not None else min(workers, key=self._cost)
        workers[number].calls += 1
        return number

    def leave(self, number: int) -> None:
        """A call is over."""
        self._all[number].calls -= 1

    def _cost(self, number: int) -> tuple[bool, bool, int]:
        worker = self._all[number]
        return worker.full, not worker.ports, worker.calls

    # --- load

    def note(self, load: EngineLoad) -> None:
        """Take a measurement."""
        self._all.setdefault(load.worker, Worker(load.worker)).note(load, self.limit)

    def busy(self) -> str:
        """Say why no worker can carry another call, "" if one can."""
        reasons = [self._why(worker) for worker in self._all.values()]
        return reasons[0] if all(reasons) else ""

    def _why(self, worker: Worker) -> str:
        if not self.limit or worker.load is None:
            return ""
        if not worker.full and worker.expected < self.limit:
            return ""
        load = worker.load
        if load.late > LATE_MOST and load.cpu < self.limit:
            return f"sound is late: {100 * load.late:.1f} % of its ticks came more than 10 ms after their time"
        return f"the media uses {100 * max(worker.expected, load.cpu):.0f} % of a core, the limit is {100 * self.limit:.0f} %"
