"""The local socket as clients find it: many clients, rubbish, slow readers, and who may connect at all."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from offhook.control import local, session
from offhook.control.backend import Cause
from offhook.control.channel.serving import open_stream
from offhook.control.local import MAX_LINE, LocalServer
from offhook.control.operations import EXTRA
from offhook.control.schema import OPERATIONS
from offhook.errors import LineBusy, SetupError
from offhook.phone import commands as c
from offhook.phone.events import AuditCommand, SettingsChanged, SystemReady
from offhook.testing.backend import FakeBackend


class Peer:
    """One client of the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, path: str) -> Peer:
        return cls(*await open_stream(path, 2**22))

    def send(self, **request: Any) -> None:
        self.writer.write(msgspec.json.encode(request) + b"\n")

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return msgspec.json.decode(await self.reader.readline(), type=dict[str, Any])

    async def ask(self, **request: Any) -> dict[str, Any]:
        self.send(**request)
        return await self.read()

    async def end(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


@pytest.fixture
async def server(backend: FakeBackend, tmp_path: Path) -> AsyncIterator[LocalServer]:
    running = LocalServer(backend, tmp_path / "run" / "phone.sock")
    await running.start()
    yield running
    await running.close()


@pytest.fixture
async def peer(server: LocalServer) -> AsyncIterator[Peer]:
    found = await Peer.connect(server.path)
    yield found
    await found.end()


async def test_a_command_is_answered(peer: Peer, backend: FakeBackend) -> None:
    assert await peer.ask(id=1, op="dial", to="1001") == {
        "id": 1, "ok": True, "result": {"call": "c_1", "operation": "op_1", "value": None},
    }  # fmt: skip
    assert backend.commands == [c.Dial(to="1001")]


async def test_params_may_stand_apart_and_carry_an_id(peer: Peer, backend: FakeBackend) -> None:
    answer = await peer.ask(id="x", op="dial", params={"to": "1001", "id": "mine"})
    assert (answer["id"], answer["result"]["call"]) == ("x", "mine")
    assert (await peer.ask(op="dial", to="1", params={"to": "1"}))["error"]["errors"][0]["pointer"] == "/params"


async def test_a_refusal_is_a_problem_object(peer: Peer, backend: FakeBackend) -> None:
    backend.refuse = LineBusy("a call rings")
    answer = await peer.ask(id=2, op="dial", to="1001")
    assert not answer["ok"]
    assert (answer["id"], answer["error"]["code"], answer["error"]["detail"]) == (2, "line-busy", "a call rings")


async def test_a_mistake_of_ours_does_not_end_the_connection(
    peer: Peer, backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.refuse = ZeroDivisionError()
    assert not (await peer.ask(op="status"))["ok"]
    assert "ZeroDivisionError" in caplog.text
    backend.refuse = None
    assert (await peer.ask(op="status"))["ok"]


async def test_a_phone_says_what_it_is(peer: Peer, backend: FakeBackend) -> None:
    found = (await peer.ask(op="about"))["result"]
    assert found == {"version": backend.facts["version"], "pid": 0, "since": "2023-11-14T22:13:20Z"}
    assert not (await peer.ask(op="about", x=1))["ok"]


async def test_help_names_every_operation(peer: Peer) -> None:
    found = (await peer.ask(op="help"))["result"]
    assert [item["operation"] for item in found["commands"]] == list(OPERATIONS)
    assert found["operations"] == list(EXTRA)


async def test_history(peer: Peer, backend: FakeBackend) -> None:
    assert (await peer.ask(op="history", limit=1))["result"] == {"entries": [{"id": "h_2"}]}
    assert (await peer.ask(op="history", limit=0))["error"]["code"] == "invalid-argument"
    for field, value in (
        ("missed", 1), ("remote", 1001), ("direction", "up"), ("since", "2026-01-31"), ("account", None), ("number", "1001"),
    ):  # fmt: skip
        refused = (await peer.ask(op="history", **{field: value}))["error"]
        assert (refused["code"], refused["errors"][0]["pointer"]) == ("invalid-argument", f"/{field}")
    assert (await peer.ask(op="delete_history", entry="h_9"))["error"]["code"] == "not-found"
    assert (await peer.ask(op="delete_history", entry="h_1"))["ok"]
    assert (await peer.ask(op="clear_history"))["ok"]
    assert backend.entries == []


async def test_the_older_interfaces(peer: Peer, backend: FakeBackend) -> None:
    assert (await peer.ask(op="dde", text="[Dial(1001)][Status]"))["result"] == {"text": "IDLE"}
    assert (await peer.ask(op="dde_request", item="Volume"))["result"] == {"text": "60"}
    assert (await peer.ask(op="copydata", code=1, data="1001"))["result"] == {"lresult": 1, "text": ""}
    assert (await peer.ask(op="copydata", code=1, data="/exit", wide=True))["result"] == {"lresult": 1, "text": ""}
    assert (await peer.ask(op="legacy", args=["report:status"]))["result"] == {"text": "IDLE"}
    assert (await peer.ask(op="legacy", args=["dtmf:1x"]))["error"]["code"] == "invalid-argument"
    assert (await peer.ask(op="legacy", args=[1]))["error"]["code"] == "invalid-argument"
    await peer.ask(op="legacy", args=["msip:speakmute"])
    await peer.ask(op="legacy", args=["msip:speakunmute"])
    assert backend.audio.output_volume == 60
    assert c.Quit() in backend.commands


async def test_events_are_pushed_to_those_who_asked(peer: Peer, server: LocalServer, backend: FakeBackend) -> None:
    other = await Peer.connect(server.path)
    answer = await peer.ask(op="subscribe", types=["settings.*"])
    assert answer["result"] == {"types": ["settings.changed"], "after": "t1-0"}
    await other.ask(op="ping")
    backend.emit(SystemReady(address=""))
    backend.emit(SettingsChanged(dnd=True, forwarding="", auto_answer="off"))
    event = (await peer.read())["event"]
    assert (event["type"], event["seq"], event["data"]["dnd"]) == ("settings.changed", 2, True)
    assert (await peer.ask(op="unsubscribe"))["result"] == {"types": []}
    backend.emit(SettingsChanged(dnd=False, forwarding="", auto_answer="off"))
    assert (await peer.ask(id=9, op="ping"))["id"] == 9
    assert (await other.ask(id=9, op="ping"))["id"] == 9
    await other.end()


@pytest.mark.parametrize("types", [["call.actve"], [""], ["cal*"], "call.*", [1], ["*", "moon.*"]])
async def test_a_pattern_that_names_no_event_is_refused(peer: Peer, types: object) -> None:
    assert (await peer.ask(op="subscribe", types=types))["error"]["code"] == "invalid-argument"


async def test_events_of_a_request_come_after_its_answer(peer: Peer, backend: FakeBackend) -> None:
    await peer.ask(op="subscribe")
    backend.on_execute = lambda command: void(backend.emit(SystemReady(address="x")))
    peer.writer.write(b'{"id":1,"op":"hold"}\n{"id":2,"op":"hold"}\n')
    seen = [await peer.read() for _ in range(4)]
    assert [found.get("id", "event") for found in seen] == [1, 2, "event", "event"]


def void(_: object) -> None:
    return None


async def test_a_client_that_comes_back_goes_on_after_its_last_event(server: LocalServer, backend: FakeBackend) -> None:
    first = await Peer.connect(server.path)
    await first.ask(op="subscribe")
    for number in range(3):
        backend.emit(SystemReady(address=str(number)))
    last = (await first.read())["event"]["id"]
    await first.end()
    again = await Peer.connect(server.path)
    assert (await again.ask(op="subscribe", after=last))["result"]["after"] == last
    assert [(await again.read())["event"]["data"]["address"] for _ in range(2)] == ["1", "2"]
    backend.emit(SystemReady(address="3"))
    assert (await again.read())["event"]["data"]["address"] == "3"
    await again.end()


async def test_a_client_from_another_run_is_told_what_it_cannot_get(peer: Peer, backend: FakeBackend) -> None:
    backend.emit(SystemReady(address="here"))
    await peer.ask(op="subscribe", after="gone-7")
    gap = (await peer.read())["event"]
    assert (gap["type"], gap["data"]) == ("stream.gap", {"after": "gone-7", "next": "t1-1"})
    assert (await peer.read())["event"]["data"]["address"] == "here"


@pytest.mark.parametrize("after", ["", "x", "k7", "k7-", "-1", "k7-x", 7, "k7--1", "k-\u0663"])
async def test_an_after_that_is_no_event_is_refused(peer: Peer, after: object) -> None:
    assert (await peer.ask(op="subscribe", after=after))["error"]["errors"][0]["pointer"] == "/after"


async def test_only_the_subjects_that_were_named(peer: Peer, backend: FakeBackend) -> None:
    await peer.ask(op="subscribe", subjects=["clients/me"])
    backend.emit(SystemReady(address="x"))
    backend.emit(AuditCommand(client="me", command="dial", outcome="accepted"))
    assert (await peer.read())["event"]["subject"] == "clients/me"


async def test_a_connection_may_have_a_name(peer: Peer, backend: FakeBackend) -> None:
    assert (await peer.ask(id="r1", op="hello", client="crm"))["result"] == {"client": "crm"}
    await peer.ask(id="r2", op="hold")
    assert backend.causes[-1] == Cause(client="crm", request_id="r2")
    assert isinstance(backend.said[-1], AuditCommand)
    assert (await peer.ask(op="hello", client="a b"))["error"]["code"] == "invalid-argument"


@pytest.mark.parametrize("line", [
    b"rubbish", b"[]", b"1", b'"dial"', b"{", b"\xff\xfe", b"{}", b'{"op":1}', b'{"op":"moon"}', b'{"op":"dial"}', b"[" * 5000,
    b'{"op":"ping","x":1}', b'{"op":"subscribe","types":[],"x":1}', b'{"op":"dial","to":"\\ud800"}', b"GET / HTTP/1.1\r",
])  # fmt: skip
async def test_rubbish_is_refused_and_the_connection_lives(peer: Peer, backend: FakeBackend, line: bytes) -> None:
    peer.writer.write(line + b"\n\n \n")
    assert (await peer.read())["ok"] is False
    assert (await peer.ask(id=1, op="ping"))["ok"]
    assert backend.commands == []


@pytest.mark.parametrize("ending", [b"", b"\n"])
async def test_an_endless_line_ends_the_connection(peer: Peer, ending: bytes) -> None:
    peer.writer.write(b"x" * (MAX_LINE + 1) + ending)
    assert (await peer.read())["error"]["code"] == "invalid-argument"
    assert await peer.reader.read() == b""


async def test_a_request_in_many_pieces(peer: Peer) -> None:
    for piece in (b'{"id"', b':1,"op":"pi', b'ng"}', b"\n"):
        peer.writer.write(piece)
        await peer.writer.drain()
        await asyncio.sleep(0)
    assert (await peer.read())["id"] == 1


async def test_many_requests_at_once_are_answered_in_order(peer: Peer) -> None:
    peer.writer.write(b"".join(b'{"id":%d,"op":"status"}\n' % number for number in range(500)))
    assert [(await peer.read())["id"] for _ in range(500)] == list(range(500))


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe is closed both ways or not at all")
async def test_a_client_that_asks_and_stops_sending_gets_its_answers(peer: Peer) -> None:
    peer.writer.write(b"".join(b'{"id":%d,"op":"status"}\n' % number for number in range(200)))
    peer.writer.write_eof()
    async with asyncio.timeout(5):
        assert (await peer.reader.read()).count(b"\n") == 200


async def test_a_client_may_vanish_in_the_middle(server: LocalServer, peer: Peer, backend: FakeBackend) -> None:
    for text in (b'{"op":"dial"', b'{"op":"subscribe"}\n', b""):
        other = await Peer.connect(server.path)
        other.writer.write(text)
        await other.writer.drain()
        other.writer.transport.abort()
    await peer.ask(op="ping")
    backend.emit(SystemReady(address=""))
    assert (await peer.ask(op="ping"))["ok"]
    for _ in range(100):
        await asyncio.sleep(0)
    assert server.clients == 1


@pytest.mark.lengthy
async def test_a_slow_reader_is_let_go_and_comes_back_without_a_loss(
    server: LocalServer, peer: Peer, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "STALL_SECONDS", 0.05)
    slow = await Peer.connect(server.path)
    await slow.ask(op="subscribe")
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await peer.ask(op="subscribe", types=["settings.*"])
    for _ in range(100):
        backend.emit(SystemReady(address="x" * 20_000))
        await asyncio.sleep(0)
    assert max(client._transport.get_write_buffer_size() for client in server._clients if client._transport) < 2**20
    await asyncio.sleep(0.1)
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(5):
        lines = (await slow.reader.read()).splitlines()
    events = [msgspec.json.decode(line)["event"] for line in lines]
    note = events.pop()
    assert note["type"] == "stream.slow_consumer"
    assert note["data"]["last"] == events[-1]["id"]
    await slow.end()
    again = await Peer.connect(server.path)
    await again.ask(op="subscribe", after=note["data"]["last"])
    events += [(await again.read())["event"] for _ in range(100 - len(events))]
    assert [event["seq"] for event in events] == list(range(1, 101))
    backend.emit(SettingsChanged(dnd=True, forwarding="", auto_answer="off"))
    assert (await peer.read())["event"]["type"] == "settings.changed"
    await again.end()


async def test_a_client_that_does_not_read_answers_is_not_served_on(server: LocalServer, peer: Peer) -> None:
    greedy = await Peer.connect(server.path)
    greedy.writer.transport.pause_reading()  # type: ignore[attr-defined]
    greedy.writer.write(b'{"op":"help"}\n' * 2000)
    for _ in range(50):
        assert (await peer.ask(op="ping"))["ok"]
    unsent = [client._transport.get_write_buffer_size() for client in server._clients if client._transport]
    assert 0 < max(unsent) < session.MAX_UNSENT + local.REQUESTS_A_TURN * 64 * 1024
    greedy.writer.transport.abort()


async def test_too_many_clients(server: LocalServer, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    await peer.ask(op="ping")
    monkeypatch.setattr(local, "MAX_CLIENTS", 1)
    other = await Peer.connect(server.path)
    assert "too many clients" in (await other.read())["error"]["detail"]
    assert await other.reader.read() == b""
    await other.end()


async def test_another_user_is_turned_away(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "is_same_user", lambda transport: False)
    other = await Peer.connect(server.path)
    with pytest.raises((ConnectionError, msgspec.DecodeError)):
        await other.ask(op="ping")
    other.writer.transport.abort()


async def test_a_second_phone_says_so(server: LocalServer, backend: FakeBackend) -> None:
    with pytest.raises(SetupError, match="already running"):
        await LocalServer(backend, server.path).start()


async def test_a_path_that_cannot_be(backend: FakeBackend, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--socket"):
        await LocalServer(backend, tmp_path / ("x" * 300)).start()


# --- waiting


WAIT: dict[str, Any] = {"op": "wait", "conditions": [{"event": "system.*"}], "timeout": 60}


async def test_a_wait_is_answered_when_it_happens_and_others_meanwhile(peer: Peer, backend: FakeBackend) -> None:
    peer.send(id="w", **WAIT)
    assert (await peer.ask(id=2, op="ping"))["id"] == 2
    backend.emit(SystemReady(address="x"))
    found = await peer.read()
    assert (found["id"], found["ok"], found["result"]["event"]["type"]) == ("w", True, "system.ready")
    late = await peer.ask(id=3, **{**WAIT, "timeout": 0})
    assert (late["id"], late["error"]["code"], late["error"]["status"]) == (3, "timeout", 504)
    bad = await peer.ask(id=4, op="wait", conditions=[{"event": "moon"}])
    assert (bad["error"]["code"], bad["error"]["errors"][0]["pointer"]) == ("invalid-argument", "/conditions/0/event")


async def test_what_the_next_request_brings_about_is_waited_for_already(peer: Peer, backend: FakeBackend) -> None:
    backend.on_execute = lambda command: void(backend.emit(SystemReady(address="x")))
    peer.writer.write(msgspec.json.encode({"id": 1, **WAIT}) + b"\n" + b'{"id":2,"op":"hold"}\n')
    assert {(await peer.read())["id"], (await peer.read())["id"]} == {1, 2}


async def test_a_wait_is_given_up(peer: Peer, backend: FakeBackend) -> None:
    peer.send(id=[1], **WAIT)
    peer.send(id=2, op="cancel_wait", wait=[1])
    answers = [await peer.read(), await peer.read()]
    assert [answer["id"] for answer in answers] == [2, [1]]
    assert answers[0]["result"] == {"cancelled": 1}
    assert answers[1]["error"]["detail"] == "the wait was cancelled"
    assert (await peer.ask(op="cancel_wait", wait=[1]))["result"] == {"cancelled": 0}
    assert (await peer.ask(op="cancel_wait"))["error"]["errors"][0]["pointer"] == "/wait"


async def test_waits_are_bounded_and_end_with_their_client(
    peer: Peer, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_WAITS", 3)
    for number in range(4):
        peer.send(id=number, **WAIT)
    refused = await peer.read()
    assert (refused["id"], refused["error"]["code"]) == (3, "rate-limited")
    assert sum(map(len, server.operations._waits._by_key.values())) >= 3
    await peer.end()
    await until(lambda: not (server.operations._waits._by_key or server.clients))


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe is closed both ways or not at all")
async def test_who_only_listens_is_let_go_once_it_is_gone(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOOK_SECONDS", 0.01)
    for request in (WAIT, {"op": "subscribe"}):
        peer = await Peer.connect(server.path)
        peer.send(id=1, **request)
        peer.writer.write_eof()
        await until(lambda: server.clients == 1)
        await asyncio.sleep(0.02)
        assert server.clients == 1, "it reads still"
        await peer.end()
        await until(lambda: not server.clients)


async def until(condition: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + 5
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.001)  # nothing tells that a client is gone


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe is closed both ways or not at all")
async def test_who_asked_and_closed_gets_the_answer_to_a_wait(peer: Peer, backend: FakeBackend) -> None:
    peer.send(id=1, **WAIT)
    peer.writer.write_eof()
    assert await asyncio.sleep(0.02, "nothing yet") == "nothing yet"
    backend.emit(SystemReady(address="x"))
    assert (await peer.read())["id"] == 1
    assert await peer.reader.read() == b""
