"""What a request may say: in its path, behind it, in its headers and in its body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from offhook.control import shapes
from offhook.control.conditions import CALL_CONDITIONS
from offhook.control.feed import PAGE, STREAM_EVENTS
from offhook.control.http.limits import MAX_WAIT
from offhook.control.http.routes import CALL_WORDS, SOCKET, Parameter, Route
from offhook.control.json_schema import Schema, components
from offhook.control.openapi.problems import problem_codes
from offhook.control.openapi.shared import REF, sentence
from offhook.control.operations import MAX_HISTORY
from offhook.control.schema import EVENT_TYPES, OPERATIONS
from offhook.phone.contacts import MAX_PAGE, MAX_SEARCH

_PATH_TEXTS: Final[Mapping[str, str]] = {
    "call": f"A call's id, or one of {', '.join(CALL_WORDS)}.",
    "account": "An account's id.",
    "conference": "A conference's id.",
    "watch": "A watch's id.",
    "kind": "Which of the three.",
    "entry": "An entry's id.",
    "operation": "An operation's id.",
    "item": "A DDE item, such as Status.",
    "code": "A problem's code.",
    "webhook": "A webhook's id.",
    "contact": "A contact's id.",
    "stream": "An audio stream's id.",
    "playback": "A playback's id.",
    "recording": "A recording's id; where only one runs, also `current`.",
    "by": "The call that listens.",
}

_BOUNDS: Final[Mapping[tuple[str, str], Schema]] = {
    ("events", "wait"): {"minimum": 0, "maximum": MAX_WAIT},
    ("events", "limit"): {"minimum": 1, "maximum": PAGE},
    ("list_contacts", "limit"): {"minimum": 1, "maximum": MAX_PAGE},
    ("list_contacts", "search"): {"maxLength": MAX_SEARCH},
    ("history", "limit"): {"minimum": 1, "maximum": MAX_HISTORY},
    ("messages", "limit"): {"minimum": 1, "maximum": MAX_HISTORY},
    ("wait_call", "timeout"): {"minimum": 0, "maximum": MAX_WAIT},
    ("wait_call", "condition"): {"enum": list(CALL_CONDITIONS)},
    ("events", "after"): {"pattern": "^[A-Za-z0-9]+-[0-9]{1,17}$"},
}
"""What a parameter may be beyond its kind, by handler or operation."""

_KINDS: Final[Mapping[str, str]] = {
    "text": "string", "whole": "integer", "number": "number", "switch": "boolean", "list": "array",
}  # fmt: skip


def parameters_of(route: Route) -> Iterator[Schema]:
    """Yield what may stand in the path, behind it and in the headers."""
    for name in route.path_parameters:
        yield {
            "name": name, "in": "path", "required": True, "description": _PATH_TEXTS[name], "schema": _path_schema(route, name),
        }  # fmt: skip
    for parameter in route.query:
        found: Schema = {
            "name": parameter.name, "in": "query", "description": sentence(parameter.summary), "required": parameter.required,
            "schema": _parameter_schema(route, parameter),
        }  # fmt: skip
        if parameter.kind == "list":
            found |= {"style": "form", "explode": False}
        yield found
    if route.method == "DELETE":
        for name, schema in _command_fields(route).items():
            plain = {key: value for key, value in schema.items() if key != "description"}
            yield {"name": name, "in": "query", "required": False, "description": schema["description"], "schema": plain}
    for name in _header_parameters(route):
        yield {"$ref": f"#/components/parameters/{name}"}


def _header_parameters(route: Route) -> Iterator[str]:
    if route.scope == "public":
        return
    if not route.is_safe:
        yield "IdempotencyKey"
    if OPERATIONS.get(route.operation) in shapes.PENDING:
        yield "Prefer"
    if route.handler == "events":
        yield "LastEventID"
    yield "RequestID"


def _path_schema(route: Route, name: str) -> Schema:
    target = route.path_fields.get(name, name)
    command = OPERATIONS.get(route.operation)
    if command is not None and target != "call":
        outer, _, inner = target.partition(".")
        owner = "AccountSettings" if inner else command.__name__
        schema: Schema = components(REF)[owner]["properties"][inner or outer]
        return {**{key: value for key, value in schema.items() if key not in ("description", "default")}, "minLength": 1}
    if name == "code":
        return {"type": "string", "enum": [code for _, code, _ in problem_codes()]}
    return {"type": "string", "minLength": 1}


def _parameter_schema(route: Route, parameter: Parameter) -> Schema:
    schema: Schema = {"type": _KINDS[parameter.kind]}
    schema |= _BOUNDS.get((route.handler or route.operation, parameter.name), {})
    if parameter.kind == "list":
        schema["items"] = {"type": "string", "enum": _patterns()} if parameter.name == "types" else {"type": "string"}
    if parameter.default is not None:
        schema["default"] = parameter.default
    return schema


def _patterns() -> list[str]:
    types = (*EVENT_TYPES, *STREAM_EVENTS)
    return ["*", *sorted({name.partition(".")[0] + ".*" for name in types}), *types]


def body_schema(route: Route) -> Schema | None:
    """Return the schema of a route's body; None if it takes none."""
    if route.method in ("GET", "DELETE", SOCKET):
        return None
    command = OPERATIONS.get(route.operation)
    if route.body_field:
        parts = components(REF)
        field = parts[command.__name__]["properties"][route.body_field] if command is not None else {"$ref": "AccountSettings"}
        owner = parts[field["$ref"].rpartition("/")[2]] if "$ref" in field else field
        return _without(owner, {name.partition(".")[2] for name in route.path_fields.values()})
    if command is not None:
        found = components(REF)[command.__name__]
        if set(found["properties"]) == set(route.command_fields) and found["properties"]:
            return {"$ref": REF + command.__name__}
        return _without(found, set(found["properties"]) - set(route.command_fields)) if route.command_fields else None
    if route.operation == "wait":
        return {"$ref": REF + "WaitRequest"}
    if route.body:
        properties = {
            each.name: {**_parameter_schema(route, each), "description": sentence(each.summary)} for each in route.body
        }
        required = [each.name for each in route.body if each.required]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return None


def _without(schema: Schema, names: set[str]) -> Schema:
    """Return an object's schema less some of its fields, which are known from the path."""
    found = {key: value for key, value in schema.items() if key not in ("title", "description")}
    found["properties"] = {name: field for name, field in schema["properties"].items() if name not in names}
    found["required"] = [name for name in schema.get("required", ()) if name not in names]
    return found


def _command_fields(route: Route) -> dict[str, Schema]:
    command = OPERATIONS.get(route.operation)
    if command is None:
        return {}
    fields = components(REF)[command.__name__]["properties"]
    return {name: fields[name] for name in route.command_fields}
