"""What a client can ask for by name: every command, and the few things around them (history, help, the older interfaces)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from offhook.control import legacy
from offhook.control.access import Client, Gate, local_client
from offhook.control.backend import Accepted, Backend, Execute
from offhook.control.feed import STREAM_EVENTS
from offhook.control.schema import EVENT_TYPES, OPERATIONS, command_from_json, command_help, to_json
from offhook.errors import InvalidArgument
from offhook.phone.commands import Command, GetSnapshot

_REQUIRED: Any = object()

MAX_HISTORY = 1000
"""Most entries one request for the history gets; older ones by `before`."""


class Operations:
    """Carries out operations for one surface. Holds nothing but what an older form has to remember."""

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.monotonic) -> None:
        self.backend = backend
        self.memory = legacy.SpeakerMemory()
        self._gate = Gate(backend, clock)
        self._local = local_client()

    def run(self, operation: str, params: Mapping[str, Any], client: Client | None = None, request_id: str = "") -> Any:
        """Return the JSON-able result of one operation; raise CommandError if it is refused."""
        client = client or self._local
        extra = EXTRA.get(operation)
        if extra is not None:
            return extra(Request(self, params, client, request_id))
        return accepted_json(self.execute(command_from_json(operation, params), client, request_id))

    async def run_aside(self, operation: str, params: Mapping[str, Any], client: Client | None = None) -> Any:
        """Do what `run` does for one of BLOCKING, on another thread: the phone's loop waits for no disk."""
        return await asyncio.get_running_loop().run_in_executor(None, self.run, operation, params, client)

    def execute(self, command: Command, client: Client, request_id: str = "") -> Accepted:
        """Carry out a command for a client."""
        return self._gate.execute(command, client, request_id)


@dataclass(frozen=True, slots=True)
class Request:
    """One operation that is not a command of the phone, and who asks for it."""

    operations: Operations
    params: Mapping[str, Any]
    client: Client
    request_id: str

    @property
    def backend(self) -> Backend:
        """The phone."""
        return self.operations.backend

    @property
    def execute(self) -> Execute:
        """Carries out commands for this client."""
        return lambda command: self.operations.execute(command, self.client, self.request_id)

    def only(self, *names: str) -> None:
        """Refuse fields by any other name."""
        unknown = [name for name in self.params if name not in names]
        if unknown:
            raise InvalidArgument.field(unknown[0][:64], f"no such field; there are: {', '.join(names) or 'none'}")

    def value(self, name: str, kind: type, default: Any = _REQUIRED) -> Any:
        """Return one field, which must be of that kind."""
        value = self.params.get(name, default)
        if value is _REQUIRED:
            raise InvalidArgument.field(name, "is required")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InvalidArgument.field(name, f"expected {kind.__name__}, got {type(value).__name__}")
        return value


def _ping(request: Request) -> Any:
    """Say which run of the phone this is: its events, and its operations' ids, belong to that epoch."""
    request.only()
    return {"epoch": request.backend.journal.head.epoch}


def _about(request: Request) -> Any:
    request.only()
    return to_json(request.backend.about())


def _help(request: Request) -> Any:
    request.only()
    return {"commands": to_json(command_help()), "operations": list(EXTRA), "events": [*EVENT_TYPES, *STREAM_EVENTS]}


def _snapshot(request: Request) -> Any:
    """Everything at one moment, and the event after which it is true: subscribe with `after` from there."""
    request.only()
    found = to_json(request.execute(GetSnapshot()).value)
    return {"as_of": str(request.backend.journal.head), **found}


def _history(request: Request) -> Any:
    request.only("limit", "before")
    request.client.check("read")
    limit = request.value("limit", int, 50)
    if not 1 <= limit <= MAX_HISTORY:
        raise InvalidArgument.field("limit", f"must be 1 to {MAX_HISTORY}")
    return {"entries": to_json(request.backend.history(limit, request.value("before", str, "")))}


def _delete_history(request: Request) -> Any:
    request.only("entry")
    request.client.check("config")
    request.backend.delete_history(request.value("entry", str))
    return {}


def _clear_history(request: Request) -> Any:
    request.only()
    request.client.check("config")
    request.backend.clear_history()
    return {}


def _dde(request: Request) -> Any:
    request.only("text")
    return {"text": legacy.run_dde(request.execute, request.value("text", str))}


def _dde_request(request: Request) -> Any:
    request.only("item")
    return {"text": legacy.dde_request(request.execute, request.value("item", str))}


def _copydata(request: Request) -> Any:
    """`data` as a client in UTF-8 sends it; `wide` as MicroSIP.exe does (UTF-16LE, a command line)."""
    request.only("code", "data", "wide")
    encoding = "utf-16-le" if request.value("wide", bool, False) else "utf-8"
    payload = request.value("data", str, "").encode(encoding, errors="replace")
    result = legacy.run_copydata(request.execute, request.value("code", int), payload, request.operations.memory)
    return {"lresult": result.lresult, "text": result.text}


def _legacy(request: Request) -> Any:
    request.only("args")
    arguments = request.value("args", list)
    if not all(isinstance(argument, str) for argument in arguments):
        raise InvalidArgument.field("args", "must be a list of strings")
    return {"text": legacy.run_command_line(request.execute, arguments, request.operations.memory)}


EXTRA: dict[str, Callable[[Request], Any]] = {
    "ping": _ping,
    "about": _about,
    "help": _help,
    "snapshot": _snapshot,
    "history": _history,
    "delete_history": _delete_history,
    "clear_history": _clear_history,
    "dde": _dde,
    "dde_request": _dde_request,
    "copydata": _copydata,
    "legacy": _legacy,
}
"""Operations that are not commands of the phone."""

BLOCKING = frozenset({"history", "delete_history", "clear_history"})
"""Those that wait for the disk, and touch nothing of the phone's: `run_aside` is their way."""

assert not EXTRA.keys() & OPERATIONS.keys()


def accepted_json(accepted: Accepted) -> dict[str, Any]:
    """Return the answer to a command as every socket sends it."""
    return {"call": accepted.call, "operation": accepted.operation, "value": to_json(accepted.value)}
