"""One list of commands, one of events, and every surface has all of them. A new surface joins with one line in SURFACES."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from offhook.cli import main
from offhook.control import asyncapi, json_schema, openapi
from offhook.control.access import ALL_SCOPES, Client
from offhook.control.client import LocalClient
from offhook.control.http.routes import ONLY_ELSEWHERE, ROUTES
from offhook.control.operations import Operations
from offhook.control.windows.messages import Answer, Messages
from offhook.control.windows.reach import REQUEST
from offhook.phone import events
from offhook.phone.commands import COMMANDS
from offhook.phone.events import EVENTS
from offhook.testing.backend import FakeBackend
from offhook.testing.least import least
from offhook.testing.served import served
from offhook.testing.softphones import own_phone

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "control" / "windows"))
from windows_world import FakeReach

REPOSITORY = Path(__file__).resolve().parents[2]

OPERATIONS: Final = {command.operation: command for command in COMMANDS}

TYPES: Final = {event.type: event for event in EVENTS}


@dataclass(frozen=True)
class Surface:
    """Where a phone can be reached, or is described: what can be asked for there, which events can be had.

    `without` are the operations it leaves out on purpose, and why.
    """

    name: str
    operations: Callable[[], Set[str]]
    events: Callable[[], Set[str]]
    without: Mapping[str, str] = field(default_factory=dict)


# --- what each of them has -----------------------------------------------------------------------------------------


def done(backend: FakeBackend) -> set[str]:
    return {command.operation for command in backend.commands}


@cache
def on_the_local_socket() -> set[str]:
    """Ask for each of them on a real socket; return what arrived."""
    backend = FakeBackend()
    with tempfile.TemporaryDirectory() as folder, served(backend, Path(folder) / "s") as path, LocalClient(path) as client:
        for operation in OPERATIONS:
            with contextlib.suppress(Exception):  # the stand-in has no call to show
                client.request(operation, **least(operation))
    return done(backend)


@cache
def events_of_the_local_socket() -> set[str]:
    with (
        tempfile.TemporaryDirectory() as folder, served(FakeBackend(), Path(folder) / "s") as path, LocalClient(path) as client,
    ):  # fmt: skip
        return set(client.request("subscribe", types=["*"])["types"])


LINES: Final = """
dial 1001 | answer | decide ring | reject | redirect 1002 | hangup | hangup --all | hold | resume | mute | unmute | dtmf 12#
transfer 1002 | transfer --attended | codecs PCMU | tag order=4711
info hello | message 1001 hello | call c_1 | call stats c_1 | calls | play --tone 440 | play --stop | play --pause | record
record stop | record pause | conference create | conference join r c_1 | conference leave | conference mute | conference unmute
conference end r | conference | volume 80 | volume up | volume down | mic-volume 30 | devices set output d | devices | volume
accounts add a --domain d --username u | accounts change a --label Desk | accounts remove a
accounts register a | accounts unregister a | accounts select a | accounts
dnd | forward 1002 | auto-answer all | status | drain | quit
op accept_transfer | op reject_transfer | op loopback | op get_snapshot | op toggle_hold | op toggle_mute
contacts | contacts get ct_1 | contacts add 1001 Ada | contacts remove ct_1
op update_contact contact=ct_1 details:={"name":"Ada"} | op import_contacts contacts:=[]
watches | watches presence 1002 | watches remove w | pickup 1002
op open_audio | op close_audio audio=aud_1 | stream wss://bot.example.org/calls | stream --stop as_1 | streams
devices test ring | voice echo=on noise=off | op meter_audio seconds:=5
playbacks | recordings | listen vad | capture | capture stop | levels --count 1 --timeout 0.1 | tap c_2 | tap --stop c_2 | taps
"""
"""A command line for each command; `op` where no verb of its own is worth having."""


@cache
def by_command_line() -> set[str]:
    """Run the lines; return what arrived."""
    backend = FakeBackend()
    with tempfile.TemporaryDirectory() as folder, served(backend, Path(folder) / "s") as path:
        for line in re.split(r"[|\n]", LINES.strip()):
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                main([*line.split(), "--socket", path])
    return done(backend)


def printed(*arguments: str) -> Any:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*arguments, "--json"]) == 0
    return json.loads(out.getvalue())


def headings(part: str) -> set[str]:
    text = (REPOSITORY / "docs" / "commands.md").read_text("utf-8")
    body = text.partition(f"\n## {part}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^### `(.+)`$", body, re.MULTILINE))


def routed() -> set[str]:
    return {route.operation for route in ROUTES}


def in_openapi() -> set[str]:
    return {found.get("x-operation", "") for path in openapi.document()["paths"].values() for found in path.values()}


def choosable_over_http() -> set[str]:
    found = openapi.document()["paths"]["/v1/events"]["get"]["parameters"]
    types = next(parameter for parameter in found if parameter.get("name") == "types")
    return set(types["schema"]["items"]["enum"])


def told_apart(schemas: Mapping[str, Any]) -> set[str]:
    """Return the events that a description can tell apart and whose content it knows."""
    parts = [schemas[each["$ref"].rpartition("/")[2]] for each in schemas["Event"]["oneOf"]]
    return {
        each["properties"]["type"]["const"] for each in parts
        if each["properties"]["data"]["$ref"].rpartition("/")[2] in schemas
    }  # fmt: skip


def asked(channel: str) -> set[str]:
    messages = asyncapi.document()["channels"][channel]["messages"]
    return {name.removesuffix(".request") for name in messages if name.endswith(".request")}


def in_node(interface: str) -> set[str]:
    text = (REPOSITORY / "clients" / "node" / "src" / "types.ts").read_text("utf-8")
    body = text.partition(f"export interface {interface} {{\n")[2].partition("\n}\n")[0]
    return set(re.findall(r'^  "?([\w.]+)"?: ', body, re.MULTILINE))


@cache
def as_tools() -> set[str]:
    """Call each tool of the server for language models; return what arrived."""
    from offhook.control.mcp import PhoneTools  # which takes a second to be read: only who runs this does

    backend = FakeBackend()
    with tempfile.TemporaryDirectory() as folder, served(backend, Path(folder) / "s") as path:
        tools = PhoneTools(path, ALL_SCOPES)
        for tool in tools.all:
            if tool.name in OPERATIONS:
                tools.call(tool.name, least(tool.name), threading.Event())
        tools.close()
    return done(backend)


def events_for_tools() -> set[str]:
    """Return the events the server for language models can wait for."""
    from offhook.control.mcp import chosen_types

    return set(chosen_types(["*"]))


@cache
def in_python() -> set[str]:
    """Return the commands that a method of the classes for programs gives by itself."""
    found: set[str] = set()
    for file in (REPOSITORY / "src" / "offhook" / "api").glob("*.py"):
        for kind in (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.ClassDef)):
            methods = (node for node in kind.body if isinstance(node, ast.AsyncFunctionDef) and node.name[0] != "_")
            found |= {node.attr for method in methods for node in ast.walk(method) if isinstance(node, ast.Attribute)}
    return {operation for operation, command in OPERATIONS.items() if command.__name__ in found}


@cache
def events_in_python() -> set[str]:
    """Subscribe to each type from a program; return those that the phone has then."""
    async def subscribe() -> set[str]:
        async with own_phone() as (phone, _):
            for type_ in TYPES:
                async with phone.events([type_]):
                    pass
        return {type_ for type_, event in TYPES.items() if getattr(events, event.__name__) is event}

    return asyncio.run(subscribe())


@cache
def by_window_messages() -> set[str]:
    """Ask for each of them as a Windows program does, through the phone's window; return what arrived."""
    backend = FakeBackend()

    async def ask() -> None:
        desk = Messages(Operations(backend), Client("window"), FakeReach(1))
        for operation in OPERATIONS:
            desk.take(REQUEST, json.dumps({"op": operation, "params": least(operation)}).encode(), 1)
        await desk.close()

    asyncio.run(ask())
    return done(backend)


def events_by_window_messages() -> set[str]:
    async def ask() -> set[str]:
        desk = Messages(Operations(FakeBackend()), Client("window"), FakeReach(1))
        answer = desk.take(REQUEST, b'{"op":"subscribe"}', 1)
        assert isinstance(answer, Answer)
        await desk.close()
        return set(json.loads(answer.reply.rstrip(b"\0"))["result"]["types"])

    return asyncio.run(ask())


SURFACES: Final = (
    Surface("the window on Windows", by_window_messages, events_by_window_messages),
    Surface("local socket", on_the_local_socket, events_of_the_local_socket),
    Surface("HTTP", routed, choosable_over_http, without=ONLY_ELSEWHERE),
    Surface("command line", by_command_line, events_of_the_local_socket),
    Surface("help", lambda: {each["operation"] for each in printed("help", "ops")}, lambda: set(printed("help", "types"))),
    Surface("JSON Schema", lambda: described(json_schema.components()), lambda: told_apart(json_schema.components())),
    Surface("OpenAPI", in_openapi, lambda: told_apart(openapi.document()["components"]["schemas"]), without=ONLY_ELSEWHERE),
    Surface("AsyncAPI: local", lambda: asked("local"), lambda: set(asyncapi.document()["components"]["messages"])),
    Surface("AsyncAPI: WebSocket", lambda: asked("socket"), lambda: set(asyncapi.document()["channels"]["events"]["messages"])),
    Surface("docs/commands.md", lambda: headings("Commands"), lambda: headings("Events")),
    Surface("Node.js client", lambda: in_node("Operations"), lambda: in_node("EventData")),
    Surface("tools for language models", as_tools, events_for_tools),
    Surface("Python", in_python, events_in_python, without={
        "toggle_hold": "hold and resume", "toggle_mute": "mute and unmute", "list_calls": "phone.calls follows the events",
        "list_conferences": "a Conference follows the events",
        "open_audio": "call.audio opens it", "close_audio": "call.audio closes it",
    }),
)


def described(schemas: Mapping[str, Any]) -> set[str]:
    return {operation for operation, command in OPERATIONS.items() if command.__name__ in schemas}


# --- and that it is all of it --------------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_a_surface_has_every_command(surface: Surface) -> None:
    left_out = surface.without.keys() & OPERATIONS.keys()
    missing = OPERATIONS.keys() - surface.operations()
    assert missing == left_out, "missing without a reason, or there though a reason says that it is not"


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_a_surface_has_every_event(surface: Surface) -> None:
    assert surface.events() >= TYPES.keys()


def test_only_what_has_another_way_is_left_out_over_http() -> None:
    toggles = {"toggle_hold", "toggle_mute"}
    assert ONLY_ELSEWHERE.keys() & OPERATIONS.keys() == toggles | {"open_audio", "close_audio", "get_snapshot"}
