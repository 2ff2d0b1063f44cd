"""Who may do what: scopes, limits against toll fraud, and an audit event for every command that changes something."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, get_args

from offhook.control.backend import Accepted, Backend, Cause, Command
from offhook.errors import CommandError, Forbidden, RateLimited
from offhook.phone.commands import AcceptTransfer, Decide, Dial, Redirect, Scope, SendMessage, SetForwarding, Transfer
from offhook.phone.events import AuditCommand

ALL_SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))

COSTLY: Final = (Dial, Transfer, Redirect, AcceptTransfer, SetForwarding, SendMessage)
"""What can cause a call or a text to somebody, and so a bill."""

MINUTE: Final = 60.0


@dataclass(slots=True)
class Client:
    """Somebody who gives commands. `calls_per_minute` bounds what costs money; 0 is no bound.

    `name` stands in audit events and in the cause of events; it is not secret.
    """

    name: str
    scopes: frozenset[Scope] = ALL_SCOPES
    calls_per_minute: int = 0
    _costly: deque[float] = field(default_factory=deque)

    def check(self, scope: Scope) -> None:
        """Raise Forbidden if the client may not use operations of this scope."""
        if scope not in self.scopes:
            allowed = ", ".join(sorted(self.scopes)) or "nothing"
            raise Forbidden(f"this needs the scope {scope!r}; the token of {self.name!r} allows {allowed}")

    def spend(self, now: float) -> None:
        """Count one costly command; raise RateLimited beyond `calls_per_minute`."""
        while self._costly and self._costly[0] <= now - MINUTE:
            self._costly.popleft()
        if self.calls_per_minute and len(self._costly) >= self.calls_per_minute:
            wait = self._costly[0] + MINUTE - now
            raise RateLimited(f"{self.name!r} may make {self.calls_per_minute} calls a minute; try again in {wait:.0f} s")
        self._costly.append(now)


def local_client(name: str = "local") -> Client:
    """Return the client that is this machine's own user, who may do everything."""
    return Client(name)


class Gate:
    """Lets a client's commands through to the phone, or not. `clock` gives monotonic seconds."""

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock

    def execute(self, command: Command, client: Client, request_id: str = "") -> Accepted:
        """Carry out a command for a client; raises CommandError (Forbidden, RateLimited, or what the phone says)."""
        try:
            client.check(command.scope)
            if isinstance(command, COSTLY) or (isinstance(command, Decide) and command.action == "redirect"):
                client.spend(self._clock())
            accepted = self._backend.execute(command, Cause(client=client.name, request_id=request_id))
        except CommandError as error:
            self._audit(command, client, error.code, "", error.detail)
            raise
        self._audit(command, client, "accepted", accepted.call)
        return accepted

    def _audit(self, command: Command, client: Client, outcome: str, call: str, detail: str = "") -> None:
        if command.scope == "read":
            return
        self._backend.say(AuditCommand(
            client=client.name, command=command.operation, outcome=outcome, call=call or getattr(command, "call", ""),
            to=getattr(command, "to", ""), detail=detail,
        ))  # fmt: skip
