"""OpenAPI 3.1 of the HTTP surface, made from the table of routes and the descriptions of the structs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from offhook import __version__
from offhook.control import shapes
from offhook.control.conditions import CALL_CONDITIONS
from offhook.control.feed import PAGE, STREAM_EVENTS
from offhook.control.http.limits import MAX_KEY, MAX_WAIT
from offhook.control.http.problems import HTTP_PROBLEMS, MEDIA_TYPE
from offhook.control.http.routes import CALL_WORDS, PREFIX, ROUTES, SOCKET, Parameter, Route
from offhook.control.json_schema import DIALECT, EVENT_PARTS, NOTE_PARTS, Schema, components, schema_of, value_schema
from offhook.control.operations import MAX_HISTORY
from offhook.control.schema import EVENT_TYPES, OPERATIONS, PROBLEM_STATUS, problem_title
from offhook.phone.commands import Scope
from offhook.phone.contacts import MAX_PAGE, MAX_SEARCH
from offhook.phone.model import (
    AccountView,
    CallView,
    ConferenceView,
    PlaybackView,
    RecordingView,
    WatchView,
)
from offhook.phone.records import HistoryEntry

REF: Final = "#/components/schemas/"

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


def document() -> Schema:
    """Return the whole description."""
    names = operation_names()
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        method = "get" if route.method == SOCKET else route.method.lower()
        paths.setdefault(route.path, {})[method] = _operation(route, names[route.method, route.path])
    responses = {f"Problem{status}": _problem_response(status) for status in sorted(_codes_by_status())}
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
            "parameters": _shared_parameters(),
            "headers": _shared_headers(),
            "securitySchemes": {"bearer": _bearer()},
        },
    })  # fmt: skip
    return found


def _schemas(of: Any) -> Schema:
    """Return the descriptions that are referred to, and no others: what only the sockets have (`HistoryRequest`) would take the
    names that generators of clients make of operations. The field that tells events apart is named to them, too.
    """
    parts = {**components(REF), "PageItem": _page_item()}
    parts |= {f"Problem{status}": _problem_schema(status) for status in _codes_by_status()}
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


# --- one operation -------------------------------------------------------------------------------------------------


def _operation(route: Route, name: str) -> Schema:
    found: Schema = {
        "operationId": name,
        "summary": route.summary.split(". ")[0].rstrip("."),
        "tags": [tag_of(route)],
        "parameters": list(_parameters(route)),
        "responses": dict(_responses(route)),
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


def _parameters(route: Route) -> Iterator[Schema]:
    for name in route.path_parameters:
        yield {
            "name": name, "in": "path", "required": True, "description": _PATH_TEXTS[name], "schema": _path_schema(route, name),
        }  # fmt: skip
    for parameter in route.query:
        found: Schema = {
            "name": parameter.name, "in": "query", "description": _sentence(parameter.summary), "required": parameter.required,
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
            each.name: {**_parameter_schema(route, each), "description": _sentence(each.summary)} for each in route.body
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


# --- what comes back -----------------------------------------------------------------------------------------------


def _responses(route: Route) -> Iterator[tuple[str, Schema]]:
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


# --- problems ------------------------------------------------------------------------------------------------------


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


def _codes_by_status() -> dict[int, list[tuple[str, str]]]:
    """Return every problem's code and title by status."""
    found: dict[int, list[tuple[str, str]]] = {}
    for code, status in PROBLEM_STATUS.items():
        found.setdefault(status, []).append((code, problem_title(code)))
    for code, (status, title) in HTTP_PROBLEMS.items():
        found.setdefault(status, []).append((code, title))
    return found


def problem_codes() -> list[tuple[int, str, str]]:
    """Return every problem's status, code and title, in their order."""
    return [(status, code, title) for status, codes in sorted(_codes_by_status().items()) for code, title in sorted(codes)]


def _problem_schema(status: int) -> Schema:
    return {
        "title": f"Problem{status}",
        "description": f"A problem with the status {status}.",
        "allOf": [{"$ref": REF + "Problem"}],
        "type": "object",
        "properties": {
            "status": {"type": "integer", "const": status},
            "code": {"type": "string", "enum": [code for code, _ in _codes_by_status()[status]]},
        },
        "required": ["status", "code"],
    }


def _problem_response(status: int) -> Schema:
    codes = _codes_by_status()[status]
    text = "; ".join(f"`{code}`: {title}" for code, title in codes)
    found: Schema = {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": f"{REF}Problem{status}"}}}}
    if status in (429, 503):
        found["headers"] = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
    if status in (401, 403):
        found["headers"] = {"WWW-Authenticate": {"$ref": "#/components/headers/WWWAuthenticate"}}
    return found


# --- parameters and headers that many share ------------------------------------------------------------------------


def _shared_parameters() -> Schema:
    return {
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header", "required": False,
            "description": "A name for this very request, such as a UUID. Sent again within 24 hours, it is answered again "
            "and not done again, not even by a phone that was started again. Printable characters of ASCII.",
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
        },
        "Prefer": {
            "name": "Prefer", "in": "header", "required": False,
            "description": f"`wait=10` waits at most 10 seconds, {MAX_WAIT:g} at most, for the outcome (RFC 7240).",
            "schema": {"type": "string", "examples": ["wait=10"]},
        },
        "LastEventID": {
            "name": "Last-Event-ID", "in": "header", "required": False,
            "description": "For the stream: the id of the last event seen, before `after`. Browsers send it by themselves.",
            "schema": {"type": "string"},
        },
        "RequestID": {
            "name": "X-Request-Id", "in": "header", "required": False,
            "description": "Your name for this request; its first 64 characters come back, and stand in the cause of events.",
            "schema": {"type": "string"},
        },
    }  # fmt: skip


def _shared_headers() -> Schema:
    text: Schema = {"type": "string"}
    return {
        "Location": {"description": "Where what was created, or the operation, is.", "schema": text},
        "Link": {"description": 'Of a new call: the operation, as `<…>; rel="monitor"`.', "schema": text},
        "PreferenceApplied": {"description": "The preference that was followed.", "schema": text},
        "RetryAfter": {"description": "Seconds until it is worth trying again.", "schema": {"type": "integer"}},
        "WWWAuthenticate": {"description": "What is wrong with the token (RFC 6750).", "schema": text},
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
