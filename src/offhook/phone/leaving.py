"""How the phone ends: first no new calls if so wished, then good-bye to everybody who waits for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.closing import Closing
from offhook.phone.desk import Desk
from offhook.sip import events as s

QUIT_WITHIN: Final = 4.0
"""Seconds for BYE and un-REGISTER to be answered before the phone ends anyway."""
QUIT_POLL: Final = 0.01
"""Seconds between looks whether everything is answered: a BYE in a local network is, by the second look."""


class Leaving:
    """Draining and quitting. `withdraw` is called when calls have been hung up, to end what is watched and published."""

    def __init__(self, desk: Desk, closing: Closing, withdraw: Callable[[], None]) -> None:
        self._desk = desk
        self._closing = closing
        self._withdraw = withdraw
        self._quit_at = 0.0
        self._operation = ""

    def drain(self, command: c.Drain) -> c.Accepted:
        """Take no new calls, or take them again."""
        if command.enabled != self._desk.draining:
            self._desk.draining = command.enabled
            self._desk.emit(e.SystemDraining(enabled=command.enabled))
        return c.Accepted()

    def quit(self, _command: c.Quit) -> c.Accepted:
        """Hang up, unregister, and end when that is answered."""
        desk = self._desk
        desk.emit(e.SystemStopping())
        for call in list(desk.calls.values()):
            self._closing.hangup(call, reason="the phone stops")
        desk.stopping = True
        self._withdraw()
        for account in desk.accounts.values():
            if account.state != "unregistered":
                desk.attempt(s.Unregister(account.settings.id))
        self._quit_at = desk.now + QUIT_WITHIN
        desk.timers.start(desk.now, self._look_whether_done)
        self._operation = desk.begin("quit")
        return c.Accepted(operation=self._operation)

    def _look_whether_done(self, now: float) -> None:
        desk = self._desk
        waiting = any(account.state in ("registered", "registering") for account in desk.accounts.values())
        if (waiting or desk.sip.busy) and now < self._quit_at:
            desk.timers.start(now + QUIT_POLL, self._look_whether_done)
            return
        desk.emit(e.OperationSucceeded(operation=self._operation, command="quit"))
        desk.emit(e.SystemStopped())
