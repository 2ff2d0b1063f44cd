"""AsyncAPI 3.0 of what is said on the sockets and the event stream: every command and event as a message."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from offhook import __version__
from offhook.control import shapes
from offhook.control.json_schema import EVENT_PARTS, NOTE_PARTS, Schema, components, schema_of, value_schema
from offhook.phone.commands import COMMANDS, Command
from offhook.phone.events import EVENTS

REF: Final = "#/components/schemas/"

ABOUT: Final = """\
The sockets of a softphone that programs drive. A request is one JSON object: `{"id": 1, "op": "dial", "to": "1001"}`; its
answer carries the same `id`. Requests of one connection are answered in their order, except `wait`: its answer comes when one
of its conditions is true (at once, if one is already), and other requests are answered meanwhile. After `subscribe` events come
between the answers, as `{"event": {…}}`; with `after` they go on where they stopped, so that none is lost and none comes twice.
docs/sockets.md tells it in order.
"""

_CHANNELS: Final[Mapping[str, str]] = {
    "local": "The local socket, a Unix socket of the same user: JSON lines, one message a line.",
    "socket": "The WebSocket: one message a text frame.",
    "events": "The event stream (server-sent events): in each `data` one event, `event` is its type, `id` its id.",
}


def document() -> Schema:
    """Return the whole description."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "offhook",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {name: _channel(name) for name in _CHANNELS},
        "operations": _operations(),
        "components": {
            "messages": _messages(),
            "schemas": _schemas(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "`offhook token create NAME`."}},
        },
    }


def requests(channel: str) -> list[str]:
    """Return the names of the operations that can be asked for on a channel."""
    own = {"local": shapes.LOCAL_EXCHANGES, "socket": shapes.WEB_EXCHANGES}.get(channel)
    if own is None:
        return []
    return [*(command.operation for command in COMMANDS), *shapes.EXCHANGES, *shapes.SOCKET_EXCHANGES, *own]


@cache
def _schemas() -> dict[str, Schema]:
    """Return the parts in the older words (JSON Schema draft 7) that AsyncAPI's own schema language is made of."""
    found: dict[str, Schema] = _older(dict(components(REF)))
    return found


def _older(part: Any) -> Any:
    if isinstance(part, list):
        return [_older(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: _older(value) for key, value in part.items()}
    if "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
        found["additionalItems"] = False
    return found


# --- where and how -------------------------------------------------------------------------------------------------


def _servers() -> Schema:
    return {
        "web": {
            "host": "127.0.0.1:{port}",
            "protocol": "http",
            "description": "The phone's HTTP port.",
            "variables": {"port": {"description": "What `offhook run` prints."}},
            "security": [{"$ref": "#/components/securitySchemes/bearer"}],
        },
        "local": {
            "host": "localhost",
            "protocol": "unix",
            "description": "A file in the user's runtime folder that only that user can open; `offhook run` prints its name.",
        },
    }


def _channel(name: str) -> Schema:
    if name == "events":
        messages = [*(event.type for event in EVENTS), *shapes.STREAM_SHAPES]
    else:
        asked = [f"{operation}.request" for operation in requests(name)]
        given = [f"{operation}.answer" for operation in requests(name)]
        messages = [*asked, *given, "refusal", "event"]
    found: Schema = {
        "address": {"local": None, "socket": "/v1/socket", "events": "/v1/events"}[name],
        "description": _CHANNELS[name],
        "servers": [{"$ref": f"#/servers/{'local' if name == 'local' else 'web'}"}],
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in messages},
    }
    if name == "socket":
        protocols = {"type": "string", "description": "offhook.v1, and bearer.TOKEN where no header can be set."}
        headers = {"type": "object", "properties": {"Sec-WebSocket-Protocol": protocols}}
        found["bindings"] = {"ws": {"method": "GET", "headers": headers, "bindingVersion": "0.1.0"}}
    return found


def _operations() -> Schema:
    """Return what the phone does on each channel: it receives requests, and sends answers and events."""
    found: Schema = {
        "sendEvents": {
            "action": "send",
            "channel": {"$ref": "#/channels/events"},
            "summary": "Send what happens to whoever has the stream open.",
        }
    }
    for channel in ("local", "socket"):
        title = channel.capitalize()
        for operation in requests(channel):
            found[f"{operation}On{title}"] = {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{channel}"},
                "messages": [{"$ref": f"#/channels/{channel}/messages/{operation}.request"}],
                "reply": {
                    "channel": {"$ref": f"#/channels/{channel}"},
                    "messages": [
                        {"$ref": f"#/channels/{channel}/messages/{operation}.answer"},
                        {"$ref": f"#/channels/{channel}/messages/refusal"},
                    ],
                },
            }
        found[f"sendEventsOn{title}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [{"$ref": f"#/channels/{channel}/messages/event"}],
            "summary": "Send what was subscribed to.",
        }
    return found


# --- messages ------------------------------------------------------------------------------------------------------


def _messages() -> Schema:
    found: Schema = {}
    for command in COMMANDS:
        found |= _exchange(command.operation, _summary(command), command, _accepted(command))
    tables = (shapes.EXCHANGES, shapes.SOCKET_EXCHANGES, shapes.LOCAL_EXCHANGES, shapes.WEB_EXCHANGES)
    for name, exchange in ((name, exchange) for table in tables for name, exchange in table.items()):
        found |= _exchange(name, exchange.summary, exchange.request, schema_of(exchange.answer, REF))
    found["refusal"] = {
        "name": "refusal",
        "summary": "What was asked cannot be done; nothing has changed.",
        "payload": _object({"id": _request_id(), "ok": {"const": False}, "error": {"$ref": REF + "Problem"}}),
    }
    either: Schema = {"anyOf": [{"$ref": REF + "Event"}, {"$ref": REF + "StreamNote"}]}
    found["event"] = {"name": "event", "summary": "Something happened.", "payload": _object({"event": either})}
    for event in EVENTS:
        payload = {"$ref": REF + EVENT_PARTS[event.type]}
        found[event.type] = {"name": event.type, "summary": _summary(event), "payload": payload}
    for type_, shape in shapes.STREAM_SHAPES.items():
        payload = {"$ref": REF + NOTE_PARTS[type_]}
        found[type_] = {"name": type_, "summary": _summary(shape), "payload": payload}
    return found


def _exchange(name: str, summary: str, request: type, result: Schema) -> Schema:
    """Return the messages of one operation: its fields stand beside `op`, or in `params`."""
    head: Schema = {"id": _request_id(), "op": {"const": name}}
    shape = _schemas()[request.__name__]
    beside = {key: value for key, value in shape["properties"].items() if key != "id"}
    within = {"params": {"$ref": REF + request.__name__}}
    forms = [
        {"type": "object", "properties": {**head, **fields}, "required": ["op", *required], "additionalProperties": False}
        for fields, required in ((beside, shape["required"]), (within, ["params"]))
    ]
    return {
        f"{name}.request": {"name": f"{name}.request", "summary": summary, "payload": {"anyOf": forms}},
        f"{name}.answer": {
            "name": f"{name}.answer",
            "summary": f"The answer to {name}.",
            "payload": _object({"id": _request_id(), "ok": {"const": True}, "result": result}),
        },
    }


def _accepted(command: type[Command]) -> Schema:
    return {"allOf": [{"$ref": REF + "Accepted"}], "type": "object", "properties": {"value": value_schema(command, REF)}}


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _request_id() -> Schema:
    return {"description": "Your name for the request: any JSON; it comes back in the answer."}


def _summary(shape: Any) -> str:
    text: str = components(REF)[shape.__name__]["description"]
    return text.split("\n")[0]
