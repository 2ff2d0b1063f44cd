"""JSON Schema 2020-12 of every command, view, event and problem, made from the structs and dataclasses.

What goes in is described exactly (no other fields, the phone's limits); what comes out has all its fields, and a client must
not mind further ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Final, TypeAlias, get_args, get_type_hints

import msgspec

from offhook import __version__
from offhook.control import shapes
from offhook.control.fields import limits, meaning
from offhook.control.http.problems import HTTP_PROBLEMS
from offhook.control.schema import EVENT_TYPES, PROBLEM_STATUS
from offhook.io.journal import ENVELOPE_VERSION, Cause
from offhook.phone.commands import COMMANDS, Command
from offhook.phone.events import EVENTS
from offhook.phone.records import HistoryEntry
from offhook.phone.settings import AccountSettings

Schema: TypeAlias = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_REF: Final = "#/$defs/"

_PAIRS: Final = frozenset({"headers", "tags"})

_EVENT_ID: Final[Schema] = {
    "type": "string", "pattern": "^[A-Za-z0-9]+-[0-9]{1,17}$",
    "description": 'An event\'s id: "epoch-seq", such as k7q2-10432.',
}  # fmt: skip

_TIME: Final[Schema] = {"type": "string", "format": "date-time"}

EVENT_PARTS: Final[Mapping[str, str]] = {event.type: f"{event.__name__}Event" for event in EVENTS}
"""By an event's type, the name of its whole description: another than its data's, of which generators make a class, too."""

NOTE_PARTS: Final[Mapping[str, str]] = {type_: f"{shape.__name__}Note" for type_, shape in shapes.STREAM_SHAPES.items()}
"""The same of the events about a subscription."""

_CONDITIONS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "StateCondition": ("A call is in this state, or has been answered.", ("state", "call")),
    "EventCondition": ("An event of this type comes, about that call and with these data if they are given.",
                       ("event", "call", "data")),
    "AccountCondition": ("An account is registered.", ("registered",)),
    "OperationCondition": ("What a command began is over, whether it succeeded or failed.", ("operation",)),
}  # fmt: skip
"""The kinds of a condition: what each means, and its fields, the first of which says that it is this kind."""


# --- the parts -----------------------------------------------------------------------------------------------------


@cache
def _parts() -> dict[str, Schema]:
    """Return every description by its name, references in JSON Schema's own form."""
    exchanges = (shapes.EXCHANGES, shapes.SOCKET_EXCHANGES, shapes.LOCAL_EXCHANGES, shapes.WEB_EXCHANGES)
    requests = {found.request for table in exchanges for found in table.values()}
    answers = {found.answer for table in exchanges for found in table.values()}
    inputs: set[Any] = {*COMMANDS, *requests, AccountSettings}
    outputs: set[Any] = {
        *EVENTS, *answers, *shapes.VALUES.values(), *shapes.STREAM_SHAPES.values(), shapes.Problem, shapes.OperationView,
        shapes.SettingsView, shapes.SystemView, HistoryEntry, Cause,
    }  # fmt: skip
    outputs.discard(shapes.Nothing)
    found = {**_described(inputs, _as_input), **_described(outputs, _as_output)}
    found["UpdateAccount"]["properties"]["changes"] |= _partly(found["AccountSettings"], "id")
    found["SnapshotNow"] = _snapshot_now(found["Snapshot"])
    found["HistoryAdded"]["properties"]["entry"] = {"$ref": _REF + "HistoryEntry"}
    found["WaitAnswer"]["properties"]["event"] = {"anyOf": [{"$ref": _REF + "Event"}, {"type": "null"}]}
    found |= _conditions(found["Condition"])
    found["Problem"] = _problem(found["Problem"])
    found["Envelope"] = _envelope()
    found["EventHead"] = _event_head()
    found["Accepted"] = _accepted()
    found |= _events()
    found |= _stream_notes()
    _plain_pairs(found)
    return dict(sorted(found.items()))


def _plain_pairs(part: Any) -> None:
    """Say of pairs what their items are (`maxItems`: how many): generators of clients know no `prefixItems`, and no false."""
    if isinstance(part, dict):
        if "prefixItems" in part and part.get("items") is False:
            part["items"] = part["prefixItems"][0]
        for inner in part.values():
            _plain_pairs(inner)
    elif isinstance(part, list):
        for inner in part:
            _plain_pairs(inner)


def _partly(part: Schema, *without: str) -> Schema:
    """Return the description of some fields of a record, none of which has to be there."""
    fields = {name: {key: value for key, value in field.items() if key != "default"}
              for name, field in part["properties"].items() if name not in without}  # fmt: skip
    return {"type": "object", "properties": fields, "additionalProperties": False, "minProperties": 1}


def _described(types: Iterable[Any], finish: Callable[[Schema, type], Schema]) -> dict[str, Schema]:
    ordered = sorted(types, key=str)
    _, found = msgspec.json.schema_components(ordered, ref_template=_REF + "{name}")
    classes = {each.__name__: each for each in _classes(ordered)}
    return {name: finish(part, classes[name]) for name, part in found.items()}


def _classes(types: Iterable[Any]) -> Iterable[type]:
    """Return the types and whatever they are made of."""
    for each in types:
        yield from _classes(get_args(each))
        if isinstance(each, type):
            yield each
            if not issubclass(each, Enum):
                yield from _classes(_hints(each).values())


_hints: Final[Callable[[Any], dict[str, Any]]] = cache(get_type_hints)
"""The types of a class's fields (and of its class variables, which no schema has)."""


def _as_input(part: Schema, shape: type) -> Schema:
    """Complete the description of what a client sends."""
    part["description"] = inspect.cleandoc(part.get("description", ""))
    if "properties" not in part:
        return _plain(part)
    for name, field in part["properties"].items():
        field = _timed(_plain(field), _hints(shape)[name])
        if name in _PAIRS:
            field = _pairs(field, dict(limits(shape, name)))
        else:
            field |= limits(shape, name)
        said = meaning(shape, name)
        if said:
            field["description"] = said
        part["properties"][name] = field
    part["additionalProperties"] = False
    return part


def _as_output(part: Schema, shape: type) -> Schema:
    """Complete the description of what the phone sends: every field is there."""
    part["description"] = inspect.cleandoc(part.get("description", ""))
    if "properties" not in part:
        return _plain(part)
    for name, field in part["properties"].items():
        field = _timed(_plain(field), _hints(shape)[name])
        field.pop("default", None)
        part["properties"][name] = field
    part["required"] = list(part["properties"])
    return part


def _timed(field: Schema, hint: Any) -> Schema:
    """Say of a moment that it is one (RFC 3339)."""
    if hint is datetime:
        return {**field, **_TIME}
    if datetime in get_args(hint):
        return {**field, "anyOf": [dict(_TIME), {"type": "null"}]}
    return field


def _plain(field: Schema) -> Schema:
    """Say the type of an enumeration, and make one of two; a default is JSON."""
    if isinstance(field.get("default"), tuple):
        field["default"] = list(field["default"])
    choices = field.get("anyOf", ())
    if choices and all("enum" in choice for choice in choices):
        merged = [value for choice in choices for value in choice["enum"]]
        field = {**{key: value for key, value in field.items() if key != "anyOf"}, "enum": merged}
    if "enum" in field:
        return {"type": "integer" if isinstance(field["enum"][0], int) else "string", **field}
    return field


def _pairs(field: Schema, bound: Schema) -> Schema:
    """Headers and tags may be written as an object too."""
    default = {"default": field.pop("default")} if "default" in field else {}
    as_object: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
    as_object |= {f"{way}Properties": bound[f"{way}Items"] for way in ("min", "max") if f"{way}Items" in bound}
    return {"anyOf": [{**field, **bound}, as_object], **default}


# --- what no dataclass says ----------------------------------------------------------------------------------------


def _problem(part: Schema) -> Schema:
    part["required"] = ["type", "title", "status", "detail", "code"]
    part["properties"]["code"] = {"type": "string", "enum": sorted({*PROBLEM_STATUS, *HTTP_PROBLEMS})}
    part["properties"]["status"] |= {"minimum": 400, "maximum": 599}
    return part


def _snapshot_now(snapshot: Schema) -> Schema:
    as_of = {**_EVENT_ID, "description": "The event after which it is true: subscribe with `after` from there."}
    snapshot = deepcopy(snapshot)
    return {
        **snapshot,
        "title": "SnapshotNow",
        "properties": {"as_of": as_of, **snapshot["properties"]},
        "required": ["as_of", *snapshot["required"]],
    }


def _envelope() -> Schema:
    return {
        "title": "Envelope",
        "description": "What every event comes in. `seq` has no gaps within an `epoch`, which is one run of the phone.",
        "type": "object",
        "properties": {
            "v": {"type": "integer", "const": ENVELOPE_VERSION},
            "epoch": {"type": "string"},
            "seq": {"type": "integer", "minimum": 1},
            "id": dict(_EVENT_ID),
            "type": {"type": "string", "enum": list(EVENT_TYPES)},
            "time": dict(_TIME),
            "instance": {"type": "string", "description": "The phone's name."},
            "subject": {"type": "string", "description": "The resource it is about, such as calls/c_1."},
            "account": {"type": "string", "description": "The account concerned; empty where none is."},
            "cause": {"anyOf": [{"$ref": _REF + "Cause"}, {"type": "null"}], "description": "Who asked for it, if anybody."},
            # Without a type: each event has its own, and generators of clients cannot make one of two.
            "data": {"description": "What happened: an object, described for each `type`."},
        },
        "required": ["v", "epoch", "seq", "id", "type", "time", "instance", "subject", "account", "cause", "data"],
    }


def _event_head() -> Schema:
    """Return what is alike in all envelopes: no event says a field of it once more, which generators of clients do not take."""
    found = _envelope()
    del found["properties"]["type"], found["properties"]["data"]
    required = [name for name in found["required"] if name in found["properties"]]
    return found | {"title": "EventHead", "description": "What is alike in all events.", "required": required}


def _events() -> dict[str, Schema]:
    """Return the envelope with what belongs into it, type by type, and `Event`, which is any of them."""
    found: dict[str, Schema] = {
        EVENT_PARTS[event.type]: {
            "title": EVENT_PARTS[event.type],
            "description": f"The event {event.type}.",
            "allOf": [{"$ref": _REF + "EventHead"}],
            "type": "object",
            "properties": {"type": {"type": "string", "const": event.type}, "data": {"$ref": _REF + event.__name__}},
            "required": ["type", "data"],
        }
        for event in EVENTS
    }
    return found | {"Event": _any_of_these("Event", "One event: the envelope, and in `data` what happened.", found)}


def _stream_notes() -> dict[str, Schema]:
    found: dict[str, Schema] = {
        NOTE_PARTS[type_]: {
            "title": NOTE_PARTS[type_],
            "description": f"The note {type_}.",
            "type": "object",
            "properties": {
                "v": {"type": "integer", "const": ENVELOPE_VERSION},
                "type": {"type": "string", "const": type_},
                "time": dict(_TIME),
                "subject": {"type": "string", "const": "stream"},
                "data": {"$ref": _REF + shape.__name__},
            },
            "required": ["v", "type", "time", "subject", "data"],
        }
        for type_, shape in shapes.STREAM_SHAPES.items()
    }
    about = "An event about the subscription itself. It has no number: your place in the stream stays."
    return found | {"StreamNote": _any_of_these("StreamNote", about, found)}


def _conditions(part: Schema) -> dict[str, Schema]:
    """Return the kinds of a condition, each with its own fields, and `Condition`, which is any of them."""
    found: dict[str, Schema] = {
        name: {
            "title": name,
            "description": text,
            "type": "object",
            "properties": {field: part["properties"][field] for field in fields},
            "required": [fields[0]],
            "additionalProperties": False,
        }
        for name, (text, fields) in _CONDITIONS.items()
    }
    return found | {"Condition": _any_of_these("Condition", part["description"].partition(":")[0] + ".", found)}


def _any_of_these(name: str, about: str, parts: Iterable[str]) -> Schema:
    """Return what is one of several named parts: of nameless ones, generators of clients number their classes."""
    return {"title": name, "description": about, "oneOf": [{"$ref": _REF + each} for each in parts]}


def _accepted() -> Schema:
    return {
        "title": "Accepted",
        "description": "The answer to a command. `call` is the call it concerned. `operation` names work that needs the far "
        "end: an operation.succeeded or operation.failed with that id follows; empty: all is done. `value` is what was "
        "asked for.",
        "type": "object",
        "properties": {"call": {"type": "string"}, "operation": {"type": "string"}, "value": {}},
        "required": ["call", "operation", "value"],
    }


# --- for the other descriptions ------------------------------------------------------------------------------------


@cache
def components(prefix: str = _REF) -> Mapping[str, Schema]:
    """Return every description by name; references begin with `prefix`. It is shared: do not change it."""
    found = deepcopy(_parts())
    if prefix != _REF:
        for part in found.values():
            _refer(part, prefix)
    return found


def _refer(part: Any, prefix: str) -> None:
    if isinstance(part, dict):
        ref = part.get("$ref")
        if isinstance(ref, str):
            part["$ref"] = prefix + ref.removeprefix(_REF)
        for inner in part.values():
            _refer(inner, prefix)
    elif isinstance(part, list):
        for inner in part:
            _refer(inner, prefix)


def schema_of(kind: Any, prefix: str = _REF) -> Schema:
    """Return the schema of any type that the parts describe: a reference, or a list of them."""
    found, _ = msgspec.json.schema_components([kind], ref_template=prefix + "{name}")
    return found[0]


def value_schema(command: type[Command], prefix: str = _REF) -> Schema:
    """Return the schema of the `value` in the answer to a command."""
    kind = shapes.VALUES.get(command)
    return {"type": "null"} if kind is None else schema_of(kind, prefix)


def document() -> Schema:
    """Return all of it as one document. By itself it accepts any event; commands and views are under $defs."""
    return {
        "$schema": DIALECT,
        "title": "offhook",
        "description": f"Commands, views, events and problems of the softphone offhook {__version__}.",
        "$ref": _REF + "Event",
        "$defs": dict(components()),
    }
