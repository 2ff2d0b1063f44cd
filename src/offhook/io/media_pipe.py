"""The worker's ends of the pipes to its parent, read and written by the packet loop itself, which never waits for them.

For systems whose pipes can be polled; elsewhere `io.media_worker` has a thread for each direction.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from offhook.io.media_wire import Frames, frame
from offhook.media.messages import AudioFrames, EngineAlive, EngineLoad, MediaReport, PortsReady, StreamCaptured, StreamClosed

TICKS_KEPT: Final = 200  # ticks (5 ms) of audio frames that wait for a parent that does not read
BREATH_S: Final = 0.01  # between two writes of reports: the first of a rush goes at once, the parent wakes once for the rest
PATIENCE_S: Final = 0.05  # nobody waits for these reports, and waking the parent costs more than they do: they go with others
PATIENT: Final = (PortsReady, StreamClosed, StreamCaptured, EngineAlive, EngineLoad)
CHUNK: Final = 65536  # bytes: what a pipe holds


class ReportQueue:
    """Reports on their way to the parent. All of them wait for a parent that is busy, but audio frames only a second."""

    def __init__(self) -> None:
        self._reports: deque[MediaReport] = deque()
        self._frames: deque[AudioFrames] = deque(maxlen=TICKS_KEPT)

    def put(self, batch: Sequence[MediaReport]) -> None:
        """Add reports; of audio frames the oldest make room. The numbers in them show the gap."""
        for report in batch:
            if isinstance(report, AudioFrames):
                self._frames.append(report)
            else:
                self._reports.append(report)

    def __bool__(self) -> bool:
        return bool(self._reports or self._frames)

    def take(self) -> list[MediaReport]:
        """Return all there are, frames first."""
        waiting: list[MediaReport] = []
        for queue in (self._frames, self._reports):
            waiting += [queue.popleft() for _ in range(len(queue))]
        return waiting


class ParentPipe:
    """Commands from `source`, reports to `target`. `due` is when `pump` wants to be called, None: not at all."""

    def __init__(self, source: int, target: int) -> None:
        os.set_blocking(source, False)  # type: ignore[attr-defined, unused-ignore]  # Windows' pipes are not for this class
        os.set_blocking(target, False)  # type: ignore[attr-defined, unused-ignore]
        self.descriptor = source
        self.due: float | None = None
        self._target = target
        self._frames = Frames()
        self._queue = ReportQueue()
        self._unsent = b""
        self._written = 0.0

    def receive(self) -> list[object]:
        """Return the messages that have come. Raises EOFError when the parent is gone."""
        try:
            data = os.read(self.descriptor, CHUNK)
        except BlockingIOError:
            return []
        except OSError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        return self._frames.feed(data)

    def put(self, batch: Sequence[MediaReport], now: float) -> None:
        """Send reports now, or with the next ones where nobody waits for them."""
        self._queue.put(batch)
        patient = all(isinstance(report, PATIENT) for report in batch)
        due = now + PATIENCE_S if patient else max(now, self._written + BREATH_S)
        if self.due is None or due < self.due:
            self.due = due
        if self.due <= now:
            self.pump(now)

    def pump(self, now: float) -> None:
        """Write what waits, as far as the parent takes it."""
        if not self._unsent:
            waiting = self._queue.take()
            if not waiting:
                self.due = None
                return
            self._unsent = frame(waiting)
        self._written = now
        try:
            self._unsent = self._unsent[os.write(self._target, self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = b""  # the parent is gone; the end of the input says the same
        self.due = now + BREATH_S if self._unsent or self._queue else None

    def finish(self, patience_s: float) -> None:
        """Write everything; wait so long at most for a parent that does not read."""
        until = time.perf_counter() + patience_s
        while self._unsent or self._queue:
            now = time.perf_counter()
            self.pump(now)
            if now >= until:
                return
            if self._unsent:
                time.sleep(0.001)
