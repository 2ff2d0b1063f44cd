"""Runs checks beside each other, each with its time limit, and gives their findings in the order of the checks."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from offhook.cli.doctor.finding import Check, Finding
from offhook.io import clock

BESIDE: Final = 8
"""Checks at once: most of them only wait."""


def run_checks(checks: Sequence[Check], begin: Callable[[str], object]) -> Iterator[Finding]:
    """Yield the findings as they come, check after check; `begin` is told whose findings are waited for next."""
    runs = [_Run(check) for check in checks]
    for run in runs[:BESIDE]:
        run.start()
    for place, run in enumerate(runs):
        begin(run.check.name)
        yield from run.findings()
        if place + BESIDE < len(runs):
            runs[place + BESIDE].start()


class _Run:
    """One check on a thread of its own. A check that outlives its limit is left to itself: the thread ends with us."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self._queue: SimpleQueue[Finding | None] = SimpleQueue()
        self._until = 0.0

    def start(self) -> None:
        """Begin; the time limit runs from here."""
        self._until = clock.now() + self.check.limit
        Thread(target=self._work, name=f"offhook-doctor-{self.check.name}", daemon=True).start()

    def findings(self) -> Iterator[Finding]:
        """Yield what comes until the check is over or its time is up."""
        while True:
            try:
                found = self._queue.get(timeout=max(0.0, self._until - clock.now()))
            except Empty:
                yield Finding(self.check.name, "wrong", f"was not done within {self.check.limit:g} s, and is left alone",
                              "something under it hangs: the name service, a driver or a disk; other findings may tell")
                return
            if found is None:
                return
            yield found

    def _work(self) -> None:
        try:
            for finding in self.check.look():
                self._queue.put(finding)
        except Exception as error:  # the outermost loop of a check: the other checks must still be heard
            traceback.print_exc(file=sys.stderr)
            text = f"the check itself failed: {error!r}"
            self._queue.put(Finding(self.check.name, "wrong", text, "please report this as a mistake of offhook"))
        finally:
            self._queue.put(None)
