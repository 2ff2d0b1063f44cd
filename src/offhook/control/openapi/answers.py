"""What a request is answered with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from offhook.control import shapes
from offhook.control.http.routes import SOCKET, Route
from offhook.control.json_schema import Schema, components, schema_of, value_schema
from offhook.control.openapi.requests import body_schema
from offhook.control.openapi.shared import REF
from offhook.control.schema import OPERATIONS
from offhook.phone.model import (
    AccountView,
    CallView,
    ConferenceView,
    PlaybackView,
    RecordingView,
    WatchView,
)
from offhook.phone.records import HistoryEntry

_HANDLER_ANSWERS: Final[Mapping[str, Any]] = {
    "wait_call": CallView,
    "call_trace": shapes.TraceAnswer,
    "metrics": str,
    "system": shapes.SystemView,
    "get_account": AccountView,
    "get_conference": ConferenceView,
    "get_watch": WatchView,
    "get_webhook": shapes.WebhookView,
    "get_playback": PlaybackView,
    "get_recording": RecordingView,
    "settings": shapes.SettingsView,
    "get_history": HistoryEntry,
    "get_operation": shapes.OperationView,
}

_OTHER_FORMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "call_trace": {"text/plain": {"type": "string"}, "application/vnd.tcpdump.pcap": {"type": "string", "format": "binary"}},
}
"""What an answer may be besides JSON, where its parameters say so."""

_DOCUMENT_TYPES: Final[Mapping[str, str]] = {
    "openapi_json": "application/json", "asyncapi_json": "application/json", "schema_json": "application/schema+json",
    "metrics": "text/plain", "docs": "text/html", "docs_css": "text/css", "docs_js": "text/javascript",
    "history_csv": "text/csv",
}  # fmt: skip

_STATUS_TEXTS: Final[Mapping[int, str]] = {200: "Done.", 201: "Created.", 202: "Under way.", 204: "Done; nothing to say."}


def responses_of(route: Route) -> Iterator[tuple[str, Schema]]:
    """Yield each status that a route may answer with, and what comes with it."""
    if route.method == SOCKET:
        yield "101", {"description": "The WebSocket begins; AsyncAPI at /v1/asyncapi.json describes what is said on it."}
    else:
        yield from _good_responses(route)
    for status in problem_statuses(route):
        yield str(status), {"$ref": f"#/components/responses/Problem{status}"}


def _good_responses(route: Route) -> Iterator[tuple[str, Schema]]:
    command = OPERATIONS.get(route.operation)
    if route.status == 303:
        redirect = _answer("It is explained there.", None)
        yield "303", {**redirect, "headers": {"Location": {"$ref": "#/components/headers/Location"}}}
    elif route.handler in _DOCUMENT_TYPES:
        kind = _DOCUMENT_TYPES[route.handler]
        schema: Schema = {"type": "object" if kind.endswith("json") else "string"}
        yield "200", _answer("The document.", schema, kind)
    elif route.handler == "events":
        yield "200", _events_answer()
    elif command is None or command.scope == "read":
        schema = answer_schema(route)
        found = _answer(_STATUS_TEXTS[route.status], None if route.status == 204 else schema)
        if route.location:
            found["headers"] = {"Location": {"$ref": "#/components/headers/Location"}}
        for media_type, form in _OTHER_FORMS.get(route.handler, {}).items():
            found["content"][media_type] = {"schema": form}
        yield str(route.status), found
    else:
        yield from _command_responses(route)


def _command_responses(route: Route) -> Iterator[tuple[str, Schema]]:
    command = OPERATIONS[route.operation]
    schema = answer_schema(route)
    done = _answer(_STATUS_TEXTS[route.status], None if route.status == 204 else schema)
    if command in shapes.PENDING:
        done["headers"] = {"Preference-Applied": {"$ref": "#/components/headers/PreferenceApplied"}}
    if route.status == 201:
        done["headers"] = {
            **done.get("headers", {}),
            "Location": {"$ref": "#/components/headers/Location"},
            "Link": {"$ref": "#/components/headers/Link"},
        }
    yield str(route.status), done
    if command in shapes.PENDING and route.status != 201:
        under_way = _answer("Under way: `operation` names what will tell the outcome.", schema)
        under_way["headers"] = {
            "Location": {"$ref": "#/components/headers/Location"},
            "Preference-Applied": {"$ref": "#/components/headers/PreferenceApplied"},
        }
        yield "202", under_way


def answer_schema(route: Route) -> Schema:
    """Return the schema of a good answer's JSON."""
    command = OPERATIONS.get(route.operation)
    if route.handler == "create_account":
        return _accepted(schema_of(AccountView, REF), pending=False)
    if route.handler:
        return schema_of(_HANDLER_ANSWERS[route.handler], REF)
    if command is None:
        return schema_of(shapes.EXCHANGES[route.operation].answer, REF)
    value = value_schema(command, REF)
    if command.scope != "read":
        return _accepted(value, pending=command in shapes.PENDING)
    if not route.key:
        return value
    return {"type": "object", "properties": {route.key: value}, "required": [route.key]}


def _accepted(value: Schema, *, pending: bool) -> Schema:
    """Return Accepted with what its `value` is, in full: generators of clients take no field that is said twice, nor null."""
    outcome: Schema = {"outcome": {"$ref": REF + "OperationView", "description": "With Prefer: wait, what is known by then."}}
    if value != {"type": "null"}:
        whole = {key: part for key, part in components(REF)["Accepted"].items() if key != "title"}
        return {**whole, "properties": {**whole["properties"], "value": value, **(outcome if pending else {})}}
    accepted: Schema = {"$ref": REF + "Accepted"}
    return {"allOf": [accepted], "type": "object", "properties": outcome} if pending else accepted


def _answer(text: str, schema: Schema | None, media_type: str = "application/json") -> Schema:
    found: Schema = {"description": text}
    if schema is not None:
        found["content"] = {media_type: {"schema": schema}}
    return found


def _events_answer() -> Schema:
    page: Schema = {
        "type": "object",
        "properties": {
            "events": {"type": "array", "items": {"$ref": REF + "PageItem"}},
            "next": {"type": "string", "description": "Ask for what follows with `after` and this."},
        },
        "required": ["events", "next"],
    }
    return {
        "description": "A page of events; or, for `Accept: text/event-stream`, a stream: in each `data` one Event or "
        "StreamNote, `event` is its type, `id` its id. A comment every now and then says that the stream lives.",
        "content": {"application/json": {"schema": page}, "text/event-stream": {"schema": {"type": "string"}}},
    }


def problem_statuses(route: Route) -> list[int]:
    """Return the statuses of the problems a route may answer with."""
    found = {400, 408, 414, 421, 429, 431, 500, 503}
    if route.scope != "public":
        found |= {401, 403, 422}
    if route.path_parameters or route.operation:
        found.add(404)
    if not route.is_safe:
        found |= {409, 413}
    if "call" in route.path_parameters:
        found.add(409)  # a word that fits several calls
    if body_schema(route) is not None:
        found.add(415)
    if route.method == SOCKET:
        found.add(426)
    if route.handler == "wait_call" or route.operation == "wait":
        found.add(504)
    return sorted(found)
