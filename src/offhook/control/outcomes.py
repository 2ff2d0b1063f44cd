"""What became of the work that needs the far end: each operation by its id, while it runs and for a long time after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from offhook.errors import NotFound
from offhook.io.journal import Envelope, rfc3339
from offhook.io.subscribing import Subscribe
from offhook.phone.events import OperationFailed, OperationSucceeded

OperationState: TypeAlias = Literal["pending", "succeeded", "failed"]

MAX_OPERATIONS: Final = 10_000
"""Operations whose outcome is remembered; the oldest make room."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One piece of work. `sip_status` is the far end's answer if it failed there, else 0; times are RFC 3339, if known."""

    id: str
    command: str
    state: OperationState
    call: str = ""
    sip_status: int = 0
    reason: str = ""
    began: str | None = None
    ended: str | None = None


class Outcomes:
    """The operations of a phone, the latest MAX_OPERATIONS of them, whoever began them: of this run, and what is restored.

    `subscribe` is the phone's own; `clock` gives Unix seconds.
    """

    def __init__(self, subscribe: Subscribe, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, Operation] = {}
        subscribe(self._note, OperationSucceeded, OperationFailed)

    def begin(self, operation: str, command: str, call: str) -> None:
        """An operation is under way, if it is not over already."""
        if operation not in self._known:
            self._keep(Operation(operation, command, "pending", call, began=rfc3339(self._clock())))

    def restore(self, operation: Operation) -> None:
        """Know how an operation of an earlier run ended."""
        self._keep(operation)

    def get(self, operation: str) -> Operation:
        """Return what is known of it; raises NotFound."""
        found = self._known.get(operation)
        if found is None:
            raise NotFound(f"no operation {operation[:64]!r} is known (any more)")
        return found

    def _note(self, envelope: Envelope) -> None:
        event = envelope.event
        assert isinstance(event, OperationSucceeded | OperationFailed)
        known = self._known.pop(event.operation, None) or Operation(event.operation, event.command, "pending", event.call)
        found = replace(known, state="succeeded", ended=envelope.time, call=known.call or event.call)
        if isinstance(event, OperationFailed):
            found = replace(found, state="failed", sip_status=event.sip_status, reason=event.reason)
        self._keep(found)

    def _keep(self, operation: Operation) -> None:
        self._known[operation.id] = operation
        if len(self._known) > MAX_OPERATIONS:
            del self._known[next(iter(self._known))]
