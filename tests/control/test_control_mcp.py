"""The phone as tools for a language model: the official client over stdin and stdout, real phones, one that goes away."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

mcp = pytest.importorskip("mcp")

from mcp import ClientSession, MCPError, StdioServerParameters  # noqa: E402
from mcp.client.stdio import stdio_client  # noqa: E402

from offhook.cli import main  # noqa: E402
from offhook.control.mcp import PhoneTools, input_schema, tools  # noqa: E402
from offhook.control.schema import OPERATIONS  # noqa: E402
from offhook.errors import LineBusy  # noqa: E402
from offhook.phone import commands as c  # noqa: E402
from offhook.phone.commands import COMMANDS  # noqa: E402
from offhook.phone.events import SystemReady  # noqa: E402
from offhook.testing.backend import FakeBackend  # noqa: E402
from offhook.testing.process import PhoneProcess, phone_process  # noqa: E402
from offhook.testing.served import served  # noqa: E402

AUTO = '[phone]\nauto_answer = "all"\n'
STILL = threading.Event()
"""Nobody loses interest."""


# --- the tools


def test_every_command_is_a_tool_in_its_scope() -> None:
    for scope in ("read", "call", "media", "record", "config", "admin"):
        names = [tool.name for tool in tools([scope])]
        expected = [command.operation for command in COMMANDS if command.scope == scope]
        assert names == expected + (["wait_event", "events_since"] if scope == "read" else [])
    for tool in tools(["read", "call"]):
        assert tool.description
        assert tool.input_schema["type"] == "object"


@pytest.mark.parametrize("operation", list(OPERATIONS))
def test_schemas_are_whole(operation: str) -> None:
    schema = input_schema(operation)
    text = json.dumps(schema)
    for part in text.split('"$ref": "#/$defs/')[1:]:
        assert part.partition('"')[0] in schema["$defs"]
    assert not schema["additionalProperties"]


def test_a_schema_says_what_a_command_takes() -> None:
    schema = input_schema("dial")
    assert schema["required"] == ["to"]
    assert schema["properties"]["hold_others"] == {"type": "boolean", "default": True}
    assert schema["properties"]["headers"]["type"] == "object"


@pytest.fixture
def phone(backend: FakeBackend, tmp_path: Path) -> Iterator[PhoneTools]:
    with served(backend, tmp_path / "s") as path:
        found = PhoneTools(path, ["read", "call", "media"])
        yield found
        found.close()


def call(phone: PhoneTools, name: str, **arguments: Any) -> tuple[bool, dict[str, Any]]:
    found = phone.call(name, arguments, STILL)
    assert isinstance(found.structured_content, dict)
    assert json.loads(found.content[0].text) == found.structured_content  # type: ignore[union-attr]
    return not found.is_error, found.structured_content


def test_a_tool_carries_out_its_command(phone: PhoneTools, backend: FakeBackend) -> None:
    good, found = call(phone, "dial", to="1001", headers={"X-A": "b"})
    assert good
    assert found == {"call": "c_1", "operation": "op_1", "value": None, "after": "t1-0"}
    assert backend.commands == [c.Dial(to="1001", headers=(("X-A", "b"),))]
    assert backend.causes[0] is not None
    assert backend.causes[0].client == "mcp"


def test_what_is_wrong_is_said(phone: PhoneTools, backend: FakeBackend) -> None:
    good, found = call(phone, "send_dtmf", digits=5)
    assert (good, found["code"], found["errors"][0]["pointer"]) == (False, "invalid-argument", "/digits")
    good, found = call(phone, "dial", number="1001")
    assert not good
    assert "no such field" in found["detail"]
    backend.refuse = LineBusy("a call rings")
    assert call(phone, "dial", to="1")[1]["code"] == "line-busy"
    good, found = call(phone, "quit")
    assert not good
    assert "needs the scope 'admin'" in found["detail"]
    assert "there is no tool" in call(phone, "history")[1]["detail"]
    assert not backend.commands


def test_an_agent_that_may_record_gets_no_keys_by_that(backend: FakeBackend, tmp_path: Path) -> None:
    with served(backend, tmp_path / "s") as path:
        for scopes, good in ((["record"], False), (["record", "keys"], True)):
            phone = PhoneTools(path, scopes)
            assert call(phone, "capture")[0]
            assert call(phone, "capture", keys=True)[0] is good
            phone.close()
    assert [command.keys for command in backend.commands if isinstance(command, c.Capture)] == [False, False, True]


@pytest.mark.parametrize(("name", "arguments", "detail"), [
    ("wait_event", {"timeout": 301}, "0 to 300"), ("wait_event", {"timeout": "5"}, "does not fit"),
    ("wait_event", {"typs": []}, "no such field"), ("wait_event", {"types": ["call.nope"]}, "there is no event"),
    ("wait_event", {"after": "x"}, "epoch-number"), ("wait_event", {"timeout": True}, "does not fit"),
    ("events_since", {}, "after: is required"), ("events_since", {"after": "t1-0", "limit": 0}, "1 to 500"),
    ("events_since", {"after": "t1-0", "types": ["nope.*"]}, "there is no event"),
    ("events_since", {"after": "t1-0", "types": ["cal*"]}, "there is no event"),
])
def test_bad_arguments_of_the_event_tools(phone: PhoneTools, name: str, arguments: dict[str, Any], detail: str) -> None:
    good, found = call(phone, name, **arguments)
    assert not good
    assert detail in found["detail"]


@pytest.mark.lengthy
def test_no_event_in_time_is_no_error(phone: PhoneTools) -> None:
    assert call(phone, "wait_event", timeout=0.3) == (True, {"event": None, "after": "t1-0"})


def test_a_wait_that_nobody_wants_any_more_ends(phone: PhoneTools) -> None:
    unwanted = threading.Event()
    unwanted.set()
    assert phone.call("wait_event", {"timeout": 300}, unwanted).structured_content == {"event": None, "after": "t1-0"}


def test_events_between_a_command_and_the_wait_are_not_missed(backend: FakeBackend, tmp_path: Path) -> None:
    def happen(command: c.Command) -> None:
        for number in range(3):
            backend.emit(SystemReady(address=str(number)))

    backend.on_execute = happen
    with served(backend, tmp_path / "s") as path:
        phone = PhoneTools(path, ["read", "call"])
        first = call(phone, "hangup")[1]["after"]
        told = [call(phone, "wait_event", types=["system.*"], timeout=5)[1]["event"]["id"] for _ in range(3)]
        assert told == ["t1-1", "t1-2", "t1-3"]
        assert call(phone, "wait_event", timeout=0)[1]["event"] is None
        assert call(phone, "wait_event", after="t1-1", timeout=5)[1]["event"]["id"] == "t1-2"
        found = call(phone, "events_since", after=first, limit=2)[1]
        assert [event["id"] for event in found["events"]] == ["t1-1", "t1-2"]
        assert (found["after"], found["more"]) == ("t1-2", True)
        found = call(phone, "events_since", after=found["after"])[1]
        assert ([event["id"] for event in found["events"]], found["more"]) == (["t1-3"], False)
        assert call(phone, "events_since", after=first, types=["call.*"])[1] == {"events": [], "after": "t1-3", "more": False}
        assert call(phone, "events_since", after="t1-3")[1] == {"events": [], "after": "t1-3", "more": False}
        phone.close()


def test_the_phone_going_away_is_told(backend: FakeBackend, tmp_path: Path) -> None:
    with served(backend, tmp_path / "s") as path:
        phone = PhoneTools(path, ["read"])
        assert call(phone, "status")[0]
    good, found = call(phone, "status")
    assert (good, found["code"]) == (False, "no-phone")
    assert call(phone, "wait_event")[1]["code"] == "no-phone"
    with served(backend, tmp_path / "s"):
        assert call(phone, "status")[0], "back again, and found again"
    phone.close()


def test_a_phone_that_was_started_again_meanwhile_is_found_at_once(backend: FakeBackend, tmp_path: Path) -> None:
    phone = PhoneTools(str(tmp_path / "s"), ["read", "call"])
    uses = (
        lambda: call(phone, "dial", to="1001")[0], lambda: json.loads(phone.read("offhook://status")),
        lambda: call(phone, "wait_event", timeout=0)[0], lambda: call(phone, "dial", to="1001")[0],
    )  # fmt: skip
    for use_it in uses:
        with served(backend, tmp_path / "s"):
            assert use_it()
    assert backend.commands.count(c.Dial(to="1001")) == 2
    phone.close()


def test_unknown_scopes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mcp", "--scopes", "read,everything"]) == 2
    assert "there is no scope 'everything'" in capsys.readouterr().err


# --- the official client


@asynccontextmanager
async def agent(phone: PhoneProcess, *arguments: str) -> AsyncIterator[ClientSession]:
    """Start `offhook mcp` as a client of the protocol does."""
    environment = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "offhook", "mcp", "--socket", phone.socket, *arguments], env=environment
    )
    async with stdio_client(server) as (incoming, outgoing), ClientSession(incoming, outgoing) as session:
        await session.initialize()
        yield session


async def use(session: ClientSession, name: str, **arguments: Any) -> dict[str, Any]:
    found = await session.call_tool(name, arguments)
    assert isinstance(found.structured_content, dict)
    return {**found.structured_content, "is_error": found.is_error}


@pytest.mark.slow
async def test_an_agent_makes_a_call(tmp_path: Path) -> None:
    with phone_process(tmp_path / "b", AUTO) as far, phone_process(tmp_path / "a") as near:
        async with agent(near) as session:
            names = {tool.name for tool in (await session.list_tools()).tools}
            assert {"dial", "send_dtmf", "hangup", "status", "wait_event", "events_since"} <= names
            assert not {"quit", "add_account", "record"} & names
            dialled = await use(session, "dial", to=f"sip:offhook@127.0.0.1:{far.port}")
            active = await use(session, "wait_event", types=["call.active"], call=dialled["call"])
            assert active["event"]["data"]["call"]["id"] == dialled["call"]
            assert (await use(session, "status"))["value"]["code"] == 2
            sent = await use(session, "send_dtmf", digits="12#")
            done = await use(session, "wait_event", types=["operation.*"])
            assert (done["event"]["type"], done["event"]["data"]["operation"]) == ("operation.succeeded", sent["operation"])
            bad = await use(session, "send_dtmf", digits="12x")
            assert (bad["is_error"], bad["code"]) == (True, "invalid-argument")
            far.ask("send_dtmf", digits="7")
            heard = await use(session, "wait_event", types=["dtmf.received"])
            assert heard["event"]["data"]["digit"] == "7"
            await use(session, "hangup")
            ended = await use(session, "wait_event", types=["call.ended"])
            assert ended["event"]["data"]["call"]["end"]["by"] == "local"
            told = await use(session, "events_since", after=dialled["after"], types=["call.*"])
            kinds = [event["type"] for event in told["events"]]
            assert kinds[0] == "call.created"
            assert kinds[-1] == "call.ended"
            uris = {str(resource.uri) for resource in (await session.list_resources()).resources}
            assert uris == {"offhook://status", "offhook://snapshot", "offhook://contacts", "offhook://history"}
            history = await session.read_resource("offhook://history")
            assert json.loads(history.contents[0].text)["entries"][0]["id"] == dialled["call"]  # type: ignore[union-attr]
            with pytest.raises(MCPError, match="there is no resource"):
                await session.read_resource("offhook://nothing")
            near.kill()
            gone = await use(session, "status")
            assert (gone["is_error"], gone["code"]) == (True, "no-phone")
            near.start()
            assert not (await use(session, "status"))["is_error"]
