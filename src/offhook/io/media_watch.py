"""Ends a media worker that hangs: it is there, so nothing else would notice, but its calls are silent and its pipe fills up."""

from __future__ import annotations

import subprocess
import threading
from typing import Final

LOOK_S: Final = 2.0
SILENT_LOOKS: Final = 5
"""A worker says something every two seconds at most (`media_loop.ALIVE_S`). Looks are counted, not seconds: where all of us
were stopped, or the machine slept, that is one look."""
STARTING_LOOKS: Final = 30
"""Until its first word; a slow disk and cold libraries take their time."""


class Watchdog:
    """Watches one worker process from `start` to `stop`; `barked` says that it had to be killed."""

    def __init__(self, worker: subprocess.Popen[bytes], name: str) -> None:
        self.barked = False
        self._worker = worker
        self._heard = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"offhook-watch {name}", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def heard(self) -> None:
        """Note that the worker has said something."""
        self._heard = True

    def stop(self) -> None:
        """The worker has ended."""
        self._over.set()

    def _watch(self) -> None:
        silent, patience = 0, STARTING_LOOKS
        while not self._over.wait(LOOK_S):
            if self._heard:
                self._heard, silent, patience = False, 0, SILENT_LOOKS
                continue
            silent += 1
            if silent >= patience:
                self.barked = True
                self._worker.kill()
                return
