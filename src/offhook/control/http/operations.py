"""What became of things that need the far end: `operations/{id}`, and waiting for it (`Prefer: wait=10`)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from offhook.control.backend import Backend, Envelope
from offhook.control.http.limits import MAX_OPERATIONS, MAX_WAIT
from offhook.errors import NotFound
from offhook.io.journal import rfc3339
from offhook.phone.events import OperationFailed, OperationSucceeded

OperationState: TypeAlias = Literal["pending", "succeeded", "failed"]

# RFC 7240 2: preferences are separated by commas, their parameters by semicolons; 4.3: wait is whole seconds.
_WAIT: Final = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d{1,6})"?\s*(?=$|[,;])', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Operation:
    """One piece of work. `sip_status` is the far end's answer if it failed there, else 0; times are RFC 3339, "" if unknown."""

    id: str
    command: str
    state: OperationState
    call: str = ""
    sip_status: int = 0
    reason: str = ""
    began: str = ""
    ended: str = ""


class Registry:
    """The operations of this run of the phone, the latest MAX_OPERATIONS of them. `clock` gives Unix seconds."""

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, Operation] = {}
        self._waiting: dict[str, list[asyncio.Future[Operation]]] = {}
        self._unsubscribe = backend.subscribe(self._note)

    def close(self) -> None:
        """Hear no more events."""
        self._unsubscribe()

    def begin(self, operation: str, command: str, call: str) -> None:
        """An operation is under way, if it is not over already."""
        if operation not in self._known:
            self._keep(Operation(operation, command, "pending", call, began=rfc3339(self._clock())))

    def get(self, operation: str) -> Operation:
        """Return what is known of it."""
        found = self._known.get(operation)
        if found is None:
            raise NotFound(f"no operation {operation[:64]!r} is known (any more)")
        return found

    def outcome(self, operation: str) -> asyncio.Future[Operation]:
        """Return what will hold the operation once it is over; cancel it to stop waiting."""
        future: asyncio.Future[Operation] = asyncio.get_running_loop().create_future()
        found = self._known.get(operation)
        if found is not None and found.state != "pending":
            future.set_result(found)
            return future
        waiting = self._waiting.setdefault(operation, [])
        waiting.append(future)
        future.add_done_callback(lambda done: self._stop_waiting(operation, done))
        return future

    def _stop_waiting(self, operation: str, future: asyncio.Future[Operation]) -> None:
        waiting = self._waiting.get(operation)
        if waiting is not None and future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._waiting[operation]

    def _note(self, envelope: Envelope) -> None:
        event = envelope.event
        if not isinstance(event, OperationSucceeded | OperationFailed):
            return
        known = self._known.pop(event.operation, None) or Operation(event.operation, event.command, "pending", event.call)
        found = replace(known, state="succeeded", ended=envelope.time, call=known.call or event.call)
        if isinstance(event, OperationFailed):
            found = replace(found, state="failed", sip_status=event.sip_status, reason=event.reason)
        self._keep(found)
        for future in self._waiting.pop(event.operation, ()):
            if not future.done():
                future.set_result(found)

    def _keep(self, operation: Operation) -> None:
        self._known[operation.id] = operation
        if len(self._known) > MAX_OPERATIONS:
            del self._known[next(iter(self._known))]


def wait_from(prefer: str | None) -> int:
    """Return the seconds of `Prefer: wait=…`, at most MAX_WAIT; 0 for none. What is not understood is ignored (RFC 7240 2)."""
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), int(MAX_WAIT)) if found else 0
