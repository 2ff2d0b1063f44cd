"""From schemas to words: what the reference pages say of types, fields, routes and examples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from offhook.control.http.routes import SOCKET, Route
from offhook.control.json_schema import Schema, components
from offhook.control.openapi import REF, answer_schema, body_schema

MOST_CHOICES: Final = 12
"""Choices that are written out."""

SAMPLES: Final[Mapping[str, Any]] = {
    "to": "1001", "digits": "12#", "text": "[Status]", "body": "hello", "volume": 80, "device": "", "enabled": True,
    "mode": "header", "condition": "active", "code": 4, "id": "office", "domain": "sip.example.org", "username": "1001",
    "kind": "presence", "watch": "watch_1", "name": "Ada", "contact": "ct_1", "contacts": [{"name": "Ada", "number": "1001"}],
    "label": "Desk", "message": "See you at nine", "action": "answer", "url": "https://crm.example.org/calls",
    "stream": "as_1", "codecs": ["opus", "PCMU"], "what": ["vad"], "by": "c_2",
    "tags": {"order": "4711"},
    "conditions": [{"state": "active", "call": "last"}, {"event": "call.ended", "call": "last"}],
}  # fmt: skip
"""A value for each field that must be given."""

OWN_SAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "send_message": {"text": SAMPLES["message"]}, "create_watch": {"kind": "presence", "to": "1002"},
    "stream_audio": {"url": "wss://bot.example.org/calls"},
}  # fmt: skip
"""By operation, what is put in the place of those, or beside them: a presence is somebody's, a stream goes to a WebSocket."""

PATH_SAMPLES: Final[Mapping[str, str]] = {
    "call": "active", "account": "office", "kind": "output", "entry": "c_1", "operation": "op_k7q2-1", "item": "Status",
    "code": "not-found", "conference": "conf_1", "webhook": "wh_1", "stream": "as_1", "watch": "watch_1",
    "contact": "ct_1", "playback": "pb_1", "recording": "rec_1", "by": "c_2",
}  # fmt: skip

_OF_RINGING: Final = frozenset({"answer", "decide", "reject", "redirect"})


@dataclass(frozen=True, slots=True)
class Row:
    """One field for a reader: `default` is JSON, "required", or "" where neither fits."""

    name: str
    type: str
    default: str
    text: str


def type_words(schema: Schema) -> str:
    """Return a schema in a few words; names of other schemas stand as they are."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        choices = schema["enum"]
        few = len(choices) <= MOST_CHOICES
        return " | ".join(json.dumps(each) for each in choices) if few else f"one of {len(choices)} words"
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices and "type" not in schema:
        return " | ".join(type_words(each) for each in choices)
    return _plain_words(schema)


def _plain_words(schema: Schema) -> str:
    kind = schema.get("type", "anything")
    if "prefixItems" in schema:
        return "[" + ", ".join(type_words(each) for each in schema["prefixItems"]) + "]"
    if kind == "array":
        return f"list of {type_words(schema['items'])}" + _up_to(schema, "maxItems", "")
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_words(schema['additionalProperties'])}"
    if "maximum" in schema:
        return f"{kind} {schema['minimum']}-{schema['maximum']:g}"
    return str(kind) + _up_to(schema, "maxLength", " characters")


def _up_to(schema: Schema, word: str, unit: str) -> str:
    return f", at most {schema[word]}{unit}" if word in schema else ""


def rows(schema: Schema) -> list[Row]:
    """Return the fields of an object's schema, or of the one it refers to."""
    schema = resolved(schema)
    required = schema.get("required", ())
    found = []
    for name, field in schema.get("properties", {}).items():
        default = "required" if name in required else json.dumps(field["default"]) if "default" in field else ""
        found.append(Row(name, type_words(field), default, field.get("description", "")))
    return found


def resolved(schema: Schema) -> Schema:
    """Return what a reference refers to."""
    ref = schema.get("$ref")
    return components(REF)[ref.removeprefix(REF)] if isinstance(ref, str) else schema


def parameter_rows(operation: Schema, shared: Schema) -> Iterator[Row]:
    """Yield the parameters of an OpenAPI operation."""
    for parameter in operation["parameters"]:
        found = shared[parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter
        schema = found["schema"]
        default = "required" if found["required"] else json.dumps(schema["default"]) if "default" in schema else ""
        where = {"path": "in the path", "query": "in the query", "header": "header"}[found["in"]]
        yield Row(found["name"], type_words(schema), default, f"({where}) {found['description']}")


def answer_words(route: Route) -> str:
    """Return what a good answer holds, in a few words."""
    if route.method == SOCKET or route.scope == "public":
        return ""
    if route.handler == "events":
        return "events: list of Event | StreamNote, next: string"
    if route.handler == "history_csv":
        return "text/csv"
    if route.status == 204:
        return ""
    schema = answer_schema(route)
    if "allOf" in schema:
        return "Accepted"
    if "operation" in schema.get("properties", ()):
        return f"Accepted with value: {type_words(schema['properties']['value'])}"
    if "properties" in schema:
        return ", ".join(f"{name}: {type_words(field)}" for name, field in schema["properties"].items())
    return type_words(schema)


def example_body(route: Route) -> dict[str, Any] | None:
    """Return the least body a route takes; None if it takes none, or needs none."""
    schema = resolved(body_schema(route) or {})
    found = {}
    for name in schema.get("required") or ("label",) * schema.get("minProperties", 0):
        found[name] = SAMPLES[name]
    return {**found, **OWN_SAMPLES.get(route.operation, {})} or None


def example_path(route: Route) -> str:
    """Return a route's path with something in the place of its braces."""
    ringing = {"call": "ringing"} if route.operation in _OF_RINGING else {}
    return route.path.format_map({**PATH_SAMPLES, **ringing})


def curl(route: Route) -> str:
    """Return a line for a shell that makes the request; "" for the WebSocket. $TOKEN and $URL are the reader's."""
    if route.method == SOCKET:
        return ""
    parts = ["curl"]
    body = example_body(route)
    if route.method not in ("GET",) and not (route.method == "POST" and body):
        parts.append(f"-X {route.method}")
    if route.scope != "public":
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if body:
        text = json.dumps(body, ensure_ascii=False)
        parts.append(f"--json '{text}'")
    parts.append(f'"$URL{example_path(route)}"')
    return " ".join(parts)
