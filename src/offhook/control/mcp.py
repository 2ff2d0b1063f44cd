"""The phone as tools for language models: a Model Context Protocol server on stdin and stdout, a client of the local socket.

Every command the scopes allow is a tool. `wait_event` and `events_since` tell what happens: each event is given once, in order,
and none between a command and the wait after it is missed. Run by `offhook mcp`; needs the extra `mcp`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import anyio
import anyio.to_thread
import mcp_types as types
import msgspec
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from offhook import __version__
from offhook.control.client import ClientError, LocalClient, NoPhone, Refused, TimedOut
from offhook.control.schema import EVENT_TYPES, OPERATIONS, command_help

DEFAULT_SCOPES: Final = ("read", "call", "media")

MAX_WAIT: Final = 300.0
"""Longest wait for an event, in seconds: clients give up on a tool after some minutes."""

SLICE: Final = 0.25
"""How often a wait looks whether it is still wanted, in seconds."""

MAX_EVENTS: Final = 500

QUIET: Final = 1.0
"""Seconds without an event after which reading back is over, should the last one not come."""

INSTRUCTIONS: Final = """\
A telephone. `dial` starts a call and answers at once with its id; `wait_event` with ["call.*"] then tells what becomes of it
(call.ringing, call.active, call.ended). Keys the far end presses are dtmf.received. A call is named by its id, or by "active",
"ringing" or "last". A command that takes time answers with an `operation`; operation.succeeded or operation.failed follows."""

_NAMED_TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
"""How headers and tags are written: by name. The phone takes that as well as pairs, and it is plainer."""

_RESULT: Final = {
    "type": "object",
    "properties": {
        "call": {"type": "string"}, "operation": {"type": "string"}, "value": {},
        "after": {"type": "string", "description": "the last event before this command, for wait_event and events_since"},
    },
}  # fmt: skip

_TYPES: Final = {
    "type": "array", "items": {"type": "string"}, "default": ["*"],
    "description": 'event types and patterns, such as ["call.ended", "dtmf.*"]',
}  # fmt: skip

_WAIT: Final = types.Tool(
    name="wait_event",
    description=(
        "Wait for the next event of these types. Without `after` it goes on behind the last event told, or the latest command,"
        " whichever is later, so nothing is missed in between. `call` is a call's id. Answers {event, after}; event is null if"
        " none came within `timeout` seconds."
    ),
    input_schema={
        "type": "object", "additionalProperties": False,
        "properties": {
            "types": _TYPES, "timeout": {"type": "number", "default": 30, "minimum": 0, "maximum": MAX_WAIT},
            "after": {"type": "string", "description": "an event's id"}, "call": {"type": "string"},
            "data": {"type": "object", "description": 'fields the event must have, such as {"digit": "#"}'},
        },
    },
    output_schema={"type": "object", "properties": {"event": {"type": ["object", "null"]}, "after": {"type": "string"}}},
    annotations=types.ToolAnnotations(read_only_hint=True),
)  # fmt: skip

_SINCE: Final = types.Tool(
    name="events_since",
    description=(
        "Read the events after the event `after` up to now, oldest first, without waiting. Answers {events, after, more};"
        " with `more`, ask again from `after`."
    ),
    input_schema={
        "type": "object", "additionalProperties": False, "required": ["after"],
        "properties": {
            "types": _TYPES, "after": {"type": "string", "description": "an event's id"},
            "limit": {"type": "integer", "default": 100, "minimum": 1, "maximum": MAX_EVENTS},
        },
    },
    output_schema={
        "type": "object",
        "properties": {"events": {"type": "array"}, "after": {"type": "string"}, "more": {"type": "boolean"}},
    },
    annotations=types.ToolAnnotations(read_only_hint=True),
)  # fmt: skip

_EVENT_TOOLS: Final = (_WAIT, _SINCE)

RESOURCES: Final[Mapping[str, tuple[str, str]]] = {
    "offhook://status": ("status", "idle, ringing, active, hold or disconnected, and with whom"),
    "offhook://snapshot": ("snapshot", "everything at this moment: accounts, calls, sound, settings"),
    "offhook://contacts": ("list_contacts", "the first hundred contacts; the tool list_contacts searches them all"),
    "offhook://history": ("history", "the last calls, the latest first"),
}
"""What can be read without a tool: the operation behind it, and what it is."""


class BadArgument(Exception):
    """An argument of an event tool that does not fit."""


def tools(scopes: Iterable[str]) -> list[types.Tool]:
    """Return the tools for these scopes: a command each, and with `read` those for events."""
    allowed = frozenset(scopes)
    found = [
        types.Tool(
            name=help_.operation, description=help_.text, input_schema=input_schema(help_.operation), output_schema=_RESULT,
            annotations=types.ToolAnnotations(read_only_hint=help_.scope == "read"),
        )
        for help_ in command_help() if help_.scope in allowed
    ]  # fmt: skip
    return found + list(_EVENT_TOOLS if "read" in allowed else ())


def input_schema(operation: str) -> dict[str, Any]:
    """Return the JSON Schema of a command's fields."""
    whole = msgspec.json.schema(OPERATIONS[operation])
    shapes: dict[str, dict[str, Any]] = whole["$defs"]
    found = shapes.pop(OPERATIONS[operation].__name__)
    properties = {name: _NAMED_TEXTS if name in ("headers", "tags") else shape for name, shape in found["properties"].items()}
    schema = {"type": "object", "properties": properties, "required": found["required"], "additionalProperties": False}
    return {**schema, "$defs": shapes} if shapes else schema


class PhoneTools:
    """Carries tools out on the phone at `path`; connects when it is needed, and again after the phone was away.

    Everything here waits for the phone: it is called in threads.
    """

    def __init__(self, path: str, scopes: Iterable[str]) -> None:
        self._path = path
        self._scopes = frozenset(scopes)
        self._tools = {tool.name: tool for tool in tools(scopes)}
        self._lock = threading.Lock()
        self._client: LocalClient | None = None
        self._place = ""

    @property
    def all(self) -> list[types.Tool]:
        """The tools there are."""
        return list(self._tools.values())

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def call(self, name: str, arguments: Mapping[str, Any], unwanted: threading.Event) -> types.CallToolResult:
        """Carry a tool out; what goes wrong is a result with `is_error` and the phone's problem object."""
        try:
            return _result(self._carry_out(name, dict(arguments), unwanted))
        except Refused as refused:
            return _result(refused.problem, is_error=True)
        except NoPhone as error:
            return _problem("no-phone", "The phone is not there", str(error))
        except TimedOut as error:
            return _problem("timeout", "The phone does not answer", str(error))
        except BadArgument as error:
            return _problem("invalid-argument", "A value is not acceptable", str(error))

    def read(self, uri: str) -> str:
        """Return a resource as JSON; raises ClientError."""
        return json.dumps(self._ask_for(RESOURCES[uri][0]), ensure_ascii=False)

    def _carry_out(self, name: str, arguments: dict[str, Any], unwanted: threading.Event) -> dict[str, Any]:
        if name not in self._tools:
            if name in OPERATIONS:
                has = ", ".join(sorted(self._scopes))
                raise BadArgument(f"{name} needs the scope {OPERATIONS[name].scope!r}; this server was started with {has}")
            raise BadArgument(f"there is no tool {name!r}")
        if name == "capture" and arguments.get("keys") and "keys" not in self._scopes:
            raise BadArgument("keys needs the scope 'keys', which this server was not started with")
        if name == _WAIT.name:
            return self._wait(arguments, unwanted)
        if name == _SINCE.name:
            return self._since(arguments, unwanted)
        with self._lock:
            after = self._look("ping")["as_of"]
            self._go_on_from(after)
            return {**self._ask(name, arguments), "after": after}

    # --- requests

    def _ask_for(self, operation: str) -> Any:
        with self._lock:
            return self._look(operation)

    def _look(self, operation: str) -> Any:
        """Ask what changes nothing: of a phone that was started again since the last time, over a new connection."""
        had_one = self._client is not None
        try:
            return self._ask(operation, {})
        except NoPhone:
            if not had_one:
                raise
            return self._ask(operation, {})

    def _ask(self, operation: str, params: dict[str, Any]) -> Any:
        try:
            if self._client is None:
                self._client = self._connect()
            return self._client.request(operation, **params)
        except Refused:
            raise
        except ClientError:
            self.close()  # the next request begins anew
            raise

    def _connect(self) -> LocalClient:
        client = LocalClient(self._path)
        client.request("hello", client="mcp")
        return client

    # --- events

    def _go_on_from(self, place: str) -> None:
        """Remember the later of two places: a command's, or that of the last event told."""
        epoch, _, number = place.rpartition("-")
        before, _, passed = self._place.rpartition("-")
        if not self._place or epoch != before or int(number) > int(passed):
            self._place = place

    def _wait(self, arguments: dict[str, Any], unwanted: threading.Event) -> dict[str, Any]:
        _known(arguments, _WAIT)
        wanted = float(_value(arguments, "timeout", (int, float), 30))
        if not 0 <= wanted <= MAX_WAIT:
            raise BadArgument(f"timeout: must be 0 to {MAX_WAIT:g} seconds")
        call, data = _value(arguments, "call", str, ""), _value(arguments, "data", dict, {})
        place = _value(arguments, "after", str, "") or self._place or self._ask_for("ping")["as_of"]
        about = {**({"call": call} if call else {}), **({"data": data} if data else {})}
        conditions = [{"event": type_, **about} for type_ in _value(arguments, "types", list, ["*"])]
        with self._connect() as client:
            number = client.ask("wait", conditions=conditions, timeout=wanted, after=place)
            while not unwanted.is_set():
                try:
                    found = client.answer(number, SLICE)
                    self._go_on_from(found["after"])
                    return {"event": found["event"], "after": found["after"]}
                except TimedOut:
                    continue
                except Refused as refused:
                    if refused.code == "timeout":
                        break
                    if not arguments.get("after"):  # where we were may be what the phone does not know any more
                        self._place = ""
                    raise
        return {"event": None, "after": place}

    def _since(self, arguments: dict[str, Any], unwanted: threading.Event) -> dict[str, Any]:
        _known(arguments, _SINCE)
        limit = _value(arguments, "limit", int, 100)
        if not 1 <= limit <= MAX_EVENTS:
            raise BadArgument(f"limit: must be 1 to {MAX_EVENTS}")
        place = _value(arguments, "after", str, "")
        if not place:
            raise BadArgument("after: is required; the answer to every command has one")
        head = self._ask_for("ping")["as_of"]
        found: list[dict[str, Any]] = []
        chosen = chosen_types(_value(arguments, "types", list, ["*"]))
        if place != head:
            # All types are read, so that the latest event is seen to come.
            for event in self._events({"types": ["*"], "after": place}, QUIET, unwanted):
                if event["type"] in chosen:
                    found.append(event)
                place = event.get("id", place)
                if place == head or len(found) >= limit:
                    break
        self._go_on_from(place)
        return {"events": found, "after": place, "more": place != head and len(found) >= limit}

    def _events(self, params: dict[str, Any], seconds: float, unwanted: threading.Event) -> Iterator[dict[str, Any]]:
        """Yield events over a connection of their own, until none came for so long, or nobody wants them any more."""
        with self._connect() as client:
            client.request("subscribe", **params)
            left = seconds
            while not unwanted.is_set():
                try:
                    for event in client.events(min(left, SLICE)):
                        yield event
                        left = seconds
                except TimedOut:
                    left -= SLICE
                    if left <= 0:
                        return


def _known(arguments: Mapping[str, Any], tool: types.Tool) -> None:
    names = tool.input_schema["properties"]
    for name in arguments:
        if name not in names:
            raise BadArgument(f"{name}: no such field; there are: {', '.join(names)}")


def _value(arguments: Mapping[str, Any], name: str, kind: type | tuple[type, ...], default: Any) -> Any:
    value = arguments.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadArgument(f"{name}: {value!r} does not fit")
    return value


def chosen_types(patterns: list[Any]) -> frozenset[str]:
    """Return the types that patterns name, and the notice of a gap, which concerns every reader."""
    found = {"stream.gap"}
    for pattern in patterns:
        stem = str(pattern).removesuffix("*")
        named = {name for name in EVENT_TYPES if name == pattern or (stem != pattern and name.startswith(stem))}
        if not named or (stem and stem != pattern and not stem.endswith(".")):
            raise BadArgument(f"types: there is no event {str(pattern)[:64]!r}")
        found |= named
    return frozenset(found)


def _problem(code: str, title: str, detail: str) -> types.CallToolResult:
    return _result({"code": code, "title": title, "detail": detail}, is_error=True)


def _result(found: dict[str, Any], *, is_error: bool = False) -> types.CallToolResult:
    text = types.TextContent(type="text", text=json.dumps(found, ensure_ascii=False))
    return types.CallToolResult(content=[text], structured_content=found, is_error=is_error)


# --- the server ------------------------------------------------------------------------------------------------------


Context: TypeAlias = ServerRequestContext[Any]
Page: TypeAlias = types.PaginatedRequestParams | None


def server(phone: PhoneTools) -> Server[Any]:
    """Return the server, to be run on a transport."""

    async def list_tools(_: Context, __: Page) -> types.ListToolsResult:
        return types.ListToolsResult(tools=phone.all)

    async def call_tool(_: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        return await _in_thread(partial(phone.call, params.name, params.arguments or {}))

    async def list_resources(_: Context, __: Page) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=[
            types.Resource(uri=uri, name=name, description=text, mime_type="application/json")
            for uri, (name, text) in RESOURCES.items()
        ])  # fmt: skip

    async def read_resource(_: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        if params.uri not in RESOURCES:
            raise MCPError(types.INVALID_PARAMS, f"there is no resource {params.uri}; there are: {', '.join(RESOURCES)}")
        text = await anyio.to_thread.run_sync(phone.read, params.uri)
        content = types.TextResourceContents(uri=params.uri, mime_type="application/json", text=text)
        return types.ReadResourceResult(contents=[content])

    return Server(
        "offhook", version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool,
        on_list_resources=list_resources, on_read_resource=read_resource,
    )  # fmt: skip


async def _in_thread(work: Callable[[threading.Event], types.CallToolResult]) -> types.CallToolResult:
    """Run what waits beside the server; tell it when nobody wants the answer any more."""
    unwanted = threading.Event()
    try:
        return await anyio.to_thread.run_sync(work, unwanted, abandon_on_cancel=True)
    finally:
        unwanted.set()


def serve(path: str, scopes: Iterable[str] = DEFAULT_SCOPES) -> None:
    """Serve the phone at `path` on stdin and stdout until stdin ends."""
    phone = PhoneTools(path, scopes)

    async def run() -> None:
        made = server(phone)
        async with stdio_server() as (incoming, outgoing):
            await made.run(incoming, outgoing, made.create_initialization_options())

    try:
        anyio.run(run)
    finally:
        phone.close()
