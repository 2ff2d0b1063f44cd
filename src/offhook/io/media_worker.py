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
from collections.abc import Sequence
from typing import IO, Final

from offhook.io.collector import keep_collector_quiet
from offhook.io.media_loop import MediaLoop
from offhook.io.media_pipe import BREATH_S, ParentPipe, ReportQueue
from offhook.io.media_studio import LocalStudio
from offhook.io.media_wire import MediaOptions, read_message, write_message
from offhook.media.messages import MediaReport

NICENESS: Final = -11  # what sound servers take
LAST_WORDS_S: Final = 1.0  # how long the end waits for a parent that does not read


class _Writer:
    """Reports on a thread, so that a parent that is busy never makes a tick late."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._queue = ReportQueue()
        self._news = threading.Event()
        self._finished = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, batch: Sequence[MediaReport]) -> None:
        """Have them written."""
        self._queue.put(batch)
        self._news.set()

    def finish(self) -> None:
        """Write everything that waits, and end."""
        self._finished = True
        self._news.set()
        self._thread.join(LAST_WORDS_S)

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # the parent is gone; the end of the input says the same
            while True:
                self._news.wait()
                self._news.clear()
                finished = self._finished
                if waiting := self._queue.take():
                    write_message(self._pipe, waiting)
                if finished:
                    return
                time.sleep(BREATH_S)


def _read_commands(pipe: IO[bytes], loop: MediaLoop) -> None:
    try:
        while (commands := read_message(pipe)) is not None:
            for command in commands:  # type: ignore[attr-defined]  # the parent sends lists of commands and at last None
                loop.send(command)
    except (EOFError, OSError, pickle.UnpicklingError):
        pass
    loop.stop()


def claim_resources() -> None:
    """Ask for what many calls need: several descriptors each, and a turn at once when a packet is due.

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
    source = os.fdopen(os.dup(0), "rb", buffering=0)  # nothing but the options may be read here
    target = os.fdopen(os.dup(1), "wb")
    # Sound libraries may print; on the descriptor of the reports that would be the end of the conversation.
    os.dup2(2, 1)
    try:
        options = read_message(source)
    except EOFError:
        sys.exit("the phone has ended before its media worker could begin")
    if not isinstance(options, MediaOptions):
        sys.exit("the first message must be the options")
    if sys.platform == "win32":
        _run_with_threads(options, source, target)
    else:
        _run_polled(options, source, target)
    sys.stderr.flush()
    # The reader may still sit in a read that the interpreter's shutdown would wait for.
    os._exit(0)


def _run_polled(options: MediaOptions, source: IO[bytes], target: IO[bytes]) -> None:
    parent = ParentPipe(source.fileno(), target.fileno())
    loop = MediaLoop(options, LocalStudio(options.sound, options.host, voice=options.voice), parent)
    keep_collector_quiet()
    claim_resources()
    loop.run()
    parent.finish(LAST_WORDS_S)


def _run_with_threads(options: MediaOptions, source: IO[bytes], target: IO[bytes]) -> None:
    writer = _Writer(target)
    loop = MediaLoop(options, LocalStudio(options.sound, options.host, voice=options.voice), writer.put)
    threading.Thread(target=_read_commands, args=(source, loop), daemon=True).start()
    keep_collector_quiet()
    claim_resources()  # after the other threads have started: only this one is in a hurry
    loop.run()
    writer.finish()


if __name__ == "__main__":
    main()
