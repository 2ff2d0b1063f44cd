"""Level meters of calls: who asks is told how loud a call is, both ways, for a while."""

from __future__ import annotations

from typing import Final

from offhook.errors import InvalidArgument, InvalidState
from offhook.media.messages import MeterStream, StreamLevels
from offhook.phone.call import Call
from offhook.phone.commands import Accepted, MeterCall
from offhook.phone.desk import Desk
from offhook.phone.devices import MOST_INTERVAL_MS, MOST_METERED
from offhook.phone.events import CallLevel

LEAST_CALL_INTERVAL_MS: Final = 100
"""Ten figures a second are what an eye follows; each is an event with the whole call, and written down."""
METERED_CALLS: Final = 20
"""Calls that are metered at once: 200 events a second at most, of which a reader that is behind gets only the latest."""


class Meters:
    """The calls that are metered, and until when."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._until: dict[str, float] = {}

    def meter(self, command: MeterCall) -> Accepted:
        """Tell a call's levels for a while, or no more."""
        if not LEAST_CALL_INTERVAL_MS <= command.interval_ms <= MOST_INTERVAL_MS:
            raise InvalidArgument.field(
                "interval_ms", f"{LEAST_CALL_INTERVAL_MS}-{MOST_INTERVAL_MS}, not {command.interval_ms}"
            )
        if not 0 <= command.seconds <= MOST_METERED:
            raise InvalidArgument.field("seconds", f"0-{MOST_METERED:g}, not {command.seconds:g}")
        call = self.desk.find(command.call)
        if not call.port:
            raise InvalidState(f"call {call.id} is {call.state}: it has no sound yet")
        now = self.desk.now
        self._until = {name: until for name, until in self._until.items() if until > now and name in self.desk.calls}
        self._until.pop(call.id, None)
        if command.seconds:
            if len(self._until) >= METERED_CALLS:
                raise InvalidState(f"{METERED_CALLS} calls are metered already")
            self._until[call.id] = now + command.seconds
        self.desk.media(MeterStream(call.id, command.interval_ms, round(1000 * command.seconds)))
        return Accepted(call=call.id)

    def measured(self, report: StreamLevels, call: Call) -> None:
        """Tell the levels."""
        self.desk.emit(CallLevel(call=call.view(), near_db=report.near_db, far_db=report.far_db))
