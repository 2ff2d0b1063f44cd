"""What a client can ask for by name: every command, and the few things around them (history, help, the older interfaces)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from offhook.control import legacy
from offhook.control.backend import Accepted, Backend
from offhook.control.schema import EVENT_TYPES, OPERATIONS, command_from_json, command_help, to_json
from offhook.errors import FieldError, InvalidArgument

STREAM_EVENTS = ("stream.slow_consumer",)
"""Events about a subscription itself; only the subscriber concerned sees them."""

MAX_HISTORY = 1000
"""Most entries one request for the history gets; older ones by `before`."""


class Operations:
    """Carries out operations for one surface. Holds nothing but what an older form has to remember."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._memory = legacy.SpeakerMemory()

    def run(self, operation: str, params: Mapping[str, Any]) -> Any:
        """Return the JSON-able result of one operation; raise CommandError if it is refused."""
        extra = EXTRA.get(operation)
        if extra is not None:
            return extra(self, params)
        return accepted_json(self._backend.execute(command_from_json(operation, params)))

    def _ping(self, params: Mapping[str, Any]) -> Any:
        _only(params)
        return {}

    def _about(self, params: Mapping[str, Any]) -> Any:
        _only(params)
        return to_json(self._backend.about())

    def _help(self, params: Mapping[str, Any]) -> Any:
        _only(params)
        return {"commands": to_json(command_help()), "operations": list(EXTRA), "events": [*EVENT_TYPES, *STREAM_EVENTS]}

    def _history(self, params: Mapping[str, Any]) -> Any:
        _only(params, "limit", "before")
        limit = _value(params, "limit", int, 50)
        if not 1 <= limit <= MAX_HISTORY:
            raise InvalidArgument.field("limit", f"must be 1 to {MAX_HISTORY}")
        return {"entries": to_json(self._backend.history(limit, _value(params, "before", str, "")))}

    def _delete_history(self, params: Mapping[str, Any]) -> Any:
        _only(params, "entry")
        self._backend.delete_history(_value(params, "entry", str))
        return {}

    def _clear_history(self, params: Mapping[str, Any]) -> Any:
        _only(params)
        self._backend.clear_history()
        return {}

    def _dde(self, params: Mapping[str, Any]) -> Any:
        _only(params, "text")
        return {"text": legacy.run_dde(self._backend.execute, _value(params, "text", str))}

    def _dde_request(self, params: Mapping[str, Any]) -> Any:
        _only(params, "item")
        return {"text": legacy.dde_request(self._backend.execute, _value(params, "item", str))}

    def _copydata(self, params: Mapping[str, Any]) -> Any:
        """`data` as a client in UTF-8 sends it; `wide` as MicroSIP.exe does (UTF-16LE, a command line)."""
        _only(params, "code", "data", "wide")
        encoding = "utf-16-le" if _value(params, "wide", bool, False) else "utf-8"
        payload = _value(params, "data", str, "").encode(encoding, errors="replace")
        result = legacy.run_copydata(self._backend.execute, _value(params, "code", int), payload, self._memory)
        return {"lresult": result.lresult, "text": result.text}

    def _legacy(self, params: Mapping[str, Any]) -> Any:
        _only(params, "args")
        arguments = _value(params, "args", list)
        if not all(isinstance(argument, str) for argument in arguments):
            raise InvalidArgument.field("args", "must be a list of strings")
        return {"text": legacy.run_command_line(self._backend.execute, arguments, self._memory)}


EXTRA: dict[str, Callable[[Operations, Mapping[str, Any]], Any]] = {
    "ping": Operations._ping,
    "about": Operations._about,
    "help": Operations._help,
    "history": Operations._history,
    "delete_history": Operations._delete_history,
    "clear_history": Operations._clear_history,
    "dde": Operations._dde,
    "dde_request": Operations._dde_request,
    "copydata": Operations._copydata,
    "legacy": Operations._legacy,
}
"""Operations that are not commands of the phone."""

assert not EXTRA.keys() & OPERATIONS.keys()


def accepted_json(accepted: Accepted) -> dict[str, Any]:
    """Return the answer to a command as every socket sends it."""
    return {"call": accepted.call, "operation": accepted.operation, "value": to_json(accepted.value)}


def event_types(patterns: object) -> frozenset[str]:
    """Return the event types that `patterns` name: "call.ended", "call.*" or "*". A pattern that names none is an error."""
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise InvalidArgument.field("types", 'must be a list such as ["call.*", "dtmf.received"]')
    known = (*EVENT_TYPES, *STREAM_EVENTS)
    chosen: set[str] = set()
    for index, pattern in enumerate(patterns):
        stem = pattern.removesuffix("*")
        if pattern == "*" or pattern.endswith(".*"):
            found = {name for name in known if name.startswith(stem)}
        else:
            found = {pattern} & set(known)
        if not found:
            detail = f"there is no event {pattern[:64]!r}; `offhook help types` lists them"
            raise InvalidArgument(f"types: {detail}", errors=(FieldError(f"/types/{index}", detail),))
        chosen |= found
    return frozenset(chosen)


_REQUIRED: Any = object()


def _value(params: Mapping[str, Any], name: str, kind: type, default: Any = _REQUIRED) -> Any:
    value = params.get(name, default)
    if value is _REQUIRED:
        raise InvalidArgument.field(name, "is required")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidArgument.field(name, f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def _only(params: Mapping[str, Any], *names: str) -> None:
    unknown = [name for name in params if name not in names]
    if unknown:
        raise InvalidArgument.field(unknown[0][:64], f"no such field; there are: {', '.join(names) or 'none'}")
