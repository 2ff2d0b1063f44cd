"""The media worker process: the packet loop, commands on standard input, reports on standard output.

Both directions carry pickles with a length of four bytes before each; only the parent that started this process speaks on
them. It starts light (no asyncio, no numpy) and ends when its input ends, so it never outlives the phone.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import IO, Final

from offhook.io.collector import keep_collector_quiet
from offhook.io.media_loop import MediaLoop
from offhook.io.media_studio import LocalStudio
from offhook.io.media_wire import MediaOptions, read_message, write_message
from offhook.media.messages import AudioFrames, MediaReport

NICENESS: Final = -11  # what sound servers take
TICKS_KEPT: Final = 200  # ticks (5 ms) of audio frames that wait for a parent that does not read
BREATH_S: Final = 0.01  # between two writes of reports: the first of a rush goes at once, the parent wakes once for the rest


class ReportQueue:
    """Reports on their way to the pipe. All of them wait for a parent that is busy, but audio frames only a second.

    `put` and `finish` are the packet loop's and never wait; `take` is the writer's.
    """

    def __init__(self) -> None:
        self._reports: deque[MediaReport] = deque()
        self._frames: deque[AudioFrames] = deque(maxlen=TICKS_KEPT)
        self._news = threading.Event()
        self._finished = False

    def put(self, batch: Sequence[MediaReport]) -> None:
        """Add reports; of audio frames the oldest make room. The numbers in them show the gap."""
        for report in batch:
            if isinstance(report, AudioFrames):
                self._frames.append(report)
            else:
                self._reports.append(report)
        self._news.set()

    def finish(self) -> None:
        """Have `take` return None when all has been taken."""
        self._finished = True
        self._news.set()

    def take(self) -> list[MediaReport] | None:
        """Wait for reports and return all there are, frames first; None at the end."""
        while True:
            self._news.wait()
            self._news.clear()
            finished = self._finished
            waiting: list[MediaReport] = []
            for queue in (self._frames, self._reports):
                waiting += [queue.popleft() for _ in range(len(queue))]
            if finished:
                self._news.set()
            if waiting:
                return waiting
            if finished:
                return None


def _write_reports(pipe: IO[bytes], reports: ReportQueue) -> None:
    """Write on a thread, so that a parent that is busy never makes a tick late; in a rush several batches at once."""
    try:
        while (waiting := reports.take()) is not None:
            write_message(pipe, waiting)
            time.sleep(BREATH_S)
    except OSError:
        pass  # the parent is gone; the end of the input says the same


def _read_commands(pipe: IO[bytes], loop: MediaLoop) -> None:
    try:
        while (commands := read_message(pipe)) is not None:
            for command in commands:  # type: ignore[attr-defined]  # the parent sends lists of commands and at last None
                loop.send(command)
    except (EOFError, OSError, pickle.UnpicklingError):
        pass
    loop.stop()


def claim_resources() -> None:
    """Ask for what many calls need: three descriptors each, and a turn at once when a packet is due.

    On a busy machine a thread of usual priority waits 3 to 40 ms for one; where the system grants none better, so it stays.
    """
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def main() -> None:
    """Run until the parent says None or is gone."""
    # The terminal's interrupt is the parent's business; it closes us in its own time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source = os.fdopen(os.dup(0), "rb")
    target = os.fdopen(os.dup(1), "wb")
    # Sound libraries may print; on the descriptor of the reports that would be the end of the conversation.
    os.dup2(2, 1)
    options = read_message(source)
    if not isinstance(options, MediaOptions):
        sys.exit("the first message must be the options")
    reports = ReportQueue()
    loop = MediaLoop(options, LocalStudio(options.sound), reports.put)
    writer = threading.Thread(target=_write_reports, args=(target, reports), daemon=True)
    writer.start()
    threading.Thread(target=_read_commands, args=(source, loop), daemon=True).start()
    keep_collector_quiet()
    claim_resources()  # after the other threads have started: only this one is in a hurry
    loop.run()
    reports.finish()
    writer.join(timeout=1.0)
    # The reader may still sit in a read that the interpreter's shutdown would wait for.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
