"""Other programs' windows, as the phone sees them, for tests on any system."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from offhook.control.windows.reach import Owner
from offhook.phone.events import CallEnded
from offhook.phone.model import CallEnd, CallState, CallView, Party, wall

PATIENCE = 20.0

_HERE, _THERE = Party("sip:1001@pbx"), Party("sip:1002@pbx")
ENDED = CallEnded(
    call=CallView("c_1", "", "incoming", CallState.ENDED, _HERE, _THERE, "x@y", wall(0.0), end=CallEnd("remote")), duration=1.0
)
"""An event about a call: after one, surfaces look at the phone, not at what it says."""


async def until(condition: Callable[[], object]) -> None:
    """Wait for what other threads and timers bring about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a thread says nothing to the loop
            await asyncio.sleep(0.001)


class FakeReach:
    """Windows that take what is sent to them. Those in `deaf` hang."""

    def __init__(self, *windows: int) -> None:
        self.owners = {window: Owner(window * 10, window * 10 + 1) for window in windows}
        self.deaf: set[int] = set()
        self.sent: list[tuple[int, int, bytes]] = []
        self.atoms: dict[int, str] = {}
        self.on_send: Callable[[], None] = lambda: None
        self._next = 0xC000
        self._lock = threading.Lock()

    def owner(self, window: int) -> Owner | None:
        return self.owners.get(window)

    def send(self, window: int, code: int, payload: bytes) -> bool:
        self.on_send()
        with self._lock:
            self.sent.append((window, code, payload))
        return window not in self.deaf

    def add_atom(self, text: str) -> int:
        self._next += 1
        self.atoms[self._next] = text
        return self._next

    def delete_atom(self, atom: int) -> None:
        del self.atoms[atom]
