"""How many calls there can be: a stated number, and what the media workers can carry. Running calls are never touched."""

from __future__ import annotations

from typing import Final

from offhook.media.messages import EngineLoad
from offhook.phone.desk import Desk
from offhook.phone.events import SystemOverloaded, SystemRelieved

AGAIN: Final = 10
"""Seconds after which a caller who met a phone at its limit may try again (Retry-After)."""
BUSY, UNAVAILABLE = 486, 503


class Capacity:
    """Says whether there is room for another call, and tells when that changes."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.refused = 0
        self._told = False

    def lacks_room(self, *, in_place: bool = False) -> str:
        """Say why another call cannot be had, "" if it can. `in_place`: of one that runs, which the stated number allows."""
        most = self.desk.settings.max_calls
        if most and len(self.desk.calls) - in_place >= most:
            return f"{len(self.desk.calls)} calls are running, which is the limit"
        return self.desk.workers.busy()

    def refuse(self, reason: str) -> int:
        """Count a call that was refused for this reason; return the SIP status to refuse it with."""
        self.refused += 1
        status = self.desk.settings.overload_status
        if not status:
            # RFC 3261 21.4.24 and 21.5.4: a callee who is busy, and a server that is overloaded
            status = UNAVAILABLE if self.desk.workers.busy() else BUSY
        if not self._told:
            self._told = True
            self.desk.emit(SystemOverloaded(reason=reason, calls=len(self.desk.calls), status=status))
        return status

    def note(self, load: EngineLoad) -> None:
        """Take a worker's measurement."""
        self.desk.workers.note(load)
        self.look()

    def look(self) -> None:
        """Tell that there is room again, if that was not so."""
        if self._told and not self.lacks_room():
            self._told = False
            self.desk.emit(SystemRelieved(refused=self.refused))
            self.refused = 0
