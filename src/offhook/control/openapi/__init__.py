"""OpenAPI 3.1 of the HTTP surface, made from the table of routes and the descriptions of the structs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from offhook import __version__
from offhook.control.http.routes import PREFIX, ROUTES, SOCKET, Route
from offhook.control.json_schema import DIALECT, EVENT_PARTS, NOTE_PARTS, Schema, components
from offhook.control.openapi.answers import answer_schema, responses_of
from offhook.control.openapi.problems import codes_by_status, problem_codes, problem_response, problem_schema
from offhook.control.openapi.requests import body_schema, parameters_of
from offhook.control.openapi.shared import REF, shared_headers, shared_parameters
from offhook.control.schema import OPERATIONS
from offhook.phone.commands import Scope

__all__ = ["ABOUT", "REF", "TAGS", "answer_schema", "body_schema", "document", "operation_names", "problem_codes", "tag_of"]

ABOUT: Final = """\
A softphone that programs drive. Every operation is one command of the phone, and every change is an event.

What needs the far end is answered at once with 202 and an `operation`; `Prefer: wait=10` waits for its outcome instead.
A request with an `Idempotency-Key` can be sent again without being done twice. Refusals are `application/problem+json`
(RFC 9457) with a stable `code`. Events come as a stream, page by page, or over the WebSocket, and go on where they stopped.
"""

TAGS: Final[Mapping[str, str]] = {
    "calls": "Placing, answering, holding and ending calls, and what is played into them and recorded of them.",
    "conferences": "Calls that hear each other.",
    "phone": "The phone as a whole.",
    "sound": "Volumes, microphone and sound devices.",
    "accounts": "SIP accounts and settings.",
    "messages": "Texts.",
    "watching": "What others do: presence, calls, waiting messages.",
    "history": "Past calls.",
    "contacts": "Whose number it is.",
    "webhooks": "Events that the phone sends to a server of yours.",
    "events": "Everything that happens, and what became of operations.",
    "older interfaces": "What MicroSIP's DDE and WM_COPYDATA clients say.",
    "descriptions": "This page and its like.",
}

_TAG_OF: Final[Mapping[str, str]] = {
    "calls": "calls", "pickup": "calls", "conferences": "conferences", "watches": "watching",
    "status": "phone", "metrics": "phone", "snapshot": "phone", "system": "phone",
    "audio": "sound", "devices": "sound", "streams": "sound", "playbacks": "sound", "recordings": "sound", "taps": "sound",
    "accounts": "accounts", "settings": "accounts", "messages": "messages", "history": "history", "history.csv": "history",
    "contacts": "contacts", "webhooks": "webhooks", "events": "events",
    "wait": "events", "socket": "events", "operations": "events", "dde": "older interfaces", "copydata": "older interfaces",
}  # fmt: skip

_NAMES: Final[Mapping[tuple[str, str], str]] = {
    ("DELETE", "/v1/calls/{call}"): "end_call",
    ("POST", "/v1/calls/{call}/mute"): "mute_call",
    ("POST", "/v1/calls/{call}/unmute"): "unmute_call",
    ("GET", "/v1/playbacks"): "list_all_playbacks",
    ("DELETE", "/v1/calls/{call}/playbacks"): "stop_playbacks",
    ("POST", "/v1/calls/{call}/playbacks/pause"): "pause_playbacks",
    ("POST", "/v1/calls/{call}/playbacks/resume"): "resume_playbacks",
    ("POST", "/v1/calls/{call}/playbacks/{playback}/pause"): "pause_playback",
    ("POST", "/v1/calls/{call}/playbacks/{playback}/resume"): "resume_playback",
    ("GET", "/v1/recordings"): "list_all_recordings",
    ("POST", "/v1/calls/{call}/recordings/{recording}/pause"): "pause_recording",
    ("POST", "/v1/calls/{call}/recordings/{recording}/resume"): "resume_recording",
    ("POST", "/v1/audio/mute"): "mute_microphone",
    ("POST", "/v1/audio/unmute"): "unmute_microphone",
    ("GET", "/v1/dde/{item}"): "get_dde_item",
}
"""The operationId of routes that share an operation with another, or have one that generators of clients make of another's."""


def document() -> Schema:
    """Return the whole description."""
    names = operation_names()
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        method = "get" if route.method == SOCKET else route.method.lower()
        paths.setdefault(route.path, {})[method] = _operation(route, names[route.method, route.path])
    responses = {f"Problem{status}": problem_response(status) for status in sorted(codes_by_status())}
    found: Schema = _without_defaults({
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": {
            "title": "offhook",
            "version": __version__,
            "summary": "A SIP softphone that programs drive.",
            "description": ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The phone that serves this description."}],
        "security": [{"bearer": []}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas([paths, responses]),
            "responses": responses,
            "parameters": shared_parameters(),
            "headers": shared_headers(),
            "securitySchemes": {"bearer": _bearer()},
        },
    })  # fmt: skip
    return found


def _schemas(of: Any) -> Schema:
    """Return the descriptions that are referred to, and no others: what only the sockets have (`HistoryRequest`) would take the
    names that generators of clients make of operations. The field that tells events apart is named to them, too.
    """
    parts = {**components(REF), "PageItem": _page_item()}
    parts |= {f"Problem{status}": problem_schema(status) for status in codes_by_status()}
    for name, types in (("Event", EVENT_PARTS), ("PageItem", {**EVENT_PARTS, **NOTE_PARTS})):
        mapping = {type_: REF + part for type_, part in types.items()}
        parts[name] = {**parts[name], "discriminator": {"propertyName": "type", "mapping": mapping}}
    found: dict[str, Schema] = {}
    wanted = list(_references(of))
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = parts[name]
            wanted += _references(parts[name])
    return dict(sorted(found.items()))


def _references(part: Any) -> Iterator[str]:
    """Yield the names of the schemas that a part refers to."""
    if isinstance(part, dict):
        ref = part.get("$ref")
        if isinstance(ref, str) and ref.startswith(REF):
            yield ref.removeprefix(REF)
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _references(each)


def _page_item() -> Schema:
    return {
        "title": "PageItem",
        "description": "What a page of events has: an Event or a StreamNote.",
        "oneOf": [{"$ref": REF + part} for part in (*EVENT_PARTS.values(), *NOTE_PARTS.values())],
    }


def _without_defaults(part: Any) -> Any:
    """Leave out defaults that say no more than leaving the field out (lists, null, one of several kinds): Go's are no Go."""
    if isinstance(part, list):
        return [_without_defaults(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: _without_defaults(each) for key, each in part.items()}
    default = found.get("default")
    if "default" in found and (default is None or isinstance(default, list) or "anyOf" in found):
        del found["default"]
    return found


def tag_of(route: Route) -> str:
    """Return the heading a route belongs under."""
    return _TAG_OF.get(route.path.removeprefix(PREFIX).split("/")[1], "descriptions")


def operation_names() -> dict[tuple[str, str], str]:
    """Return each route's operationId by method and path: its operation or handler, unless several share that."""
    found = {(route.method, route.path): route.operation or route.handler for route in ROUTES}
    return {**found, **_NAMES}


def _bearer() -> Schema:
    scopes = ", ".join(get_args(Scope))
    return {
        "type": "http",
        "scheme": "bearer",
        "description": f"`offhook token create NAME` makes one. It allows any of: {scopes}. They do not contain each other.",
    }


def _operation(route: Route, name: str) -> Schema:
    found: Schema = {
        "operationId": name,
        "summary": route.summary.split(". ")[0].rstrip("."),
        "tags": [tag_of(route)],
        "parameters": list(parameters_of(route)),
        "responses": dict(responses_of(route)),
    }
    command = OPERATIONS.get(route.operation)
    if command is not None:
        found["description"] = components(REF)[command.__name__]["description"]
    if route.operation:
        found["x-operation"] = route.operation
    if route.scope == "public":
        found["security"] = []
    else:
        found["security"] = [{"bearer": [route.scope] if route.scope else []}]
    body = body_schema(route)
    if body is not None:
        whole = components(REF)[body["$ref"].removeprefix(REF)] if "$ref" in body else body
        required = bool(whole.get("required") or whole.get("minProperties"))
        found["requestBody"] = {"required": required, "content": {"application/json": {"schema": body}}}
    return found
