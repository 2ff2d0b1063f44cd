"""What sockets share: nothing without a client, the disk never waited for, bytes made once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from offhook.control import session as session_module
from offhook.control.access import Client, local_client
from offhook.control.backend import Cursor
from offhook.control.channel.serving import open_stream
from offhook.control.feed import PAGE, Choice, Reader, event_types
from offhook.control.local import LocalServer
from offhook.control.operations import BLOCKING, EXTRA, Operations
from offhook.control.session import Session, Shared
from offhook.errors import SetupError
from offhook.phone.events import SystemReady
from offhook.phone.records import WantedCalls
from offhook.testing.backend import FakeBackend


async def ask(session: Session, **request: Any) -> dict[str, Any]:
    answer: bytes | Awaitable[bytes] | None = session.answer(msgspec.json.encode(request))
    assert answer is not None
    return msgspec.json.decode(answer if isinstance(answer, bytes) else await answer, type=dict[str, Any])


async def test_without_a_client_only_the_sockets_own_operations_are_done(backend: FakeBackend) -> None:
    session = Session(Operations(backend), None, lambda: None, {"authenticate": lambda params: {"hello": True}})
    for operation in ("status", "subscribe", "unsubscribe", "history", "quit", "moon"):
        assert (await ask(session, op=operation))["error"]["code"] == "unauthenticated", operation
    assert (await ask(session, op="authenticate"))["result"] == {"hello": True}
    assert (backend.commands, session.reader) == ([], None)


async def test_events_need_the_scope_read(backend: FakeBackend) -> None:
    session = Session(Operations(backend), Client("dialer", frozenset({"call"})), lambda: None)
    assert (await ask(session, op="subscribe"))["error"]["code"] == "forbidden"
    assert (await ask(session, op="history"))["error"]["code"] == "forbidden"


async def test_what_waits_for_the_disk_is_done_aside(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def history(limit: int, before: str, wanted: WantedCalls) -> list[dict[str, Any]]:
        threads.append(threading.get_ident())
        return []

    monkeypatch.setattr(backend, "history", history)
    session = Session(Operations(backend), local_client(), lambda: None)
    assert EXTRA.keys() >= BLOCKING
    assert (await ask(session, id=5, op="history")) == {"id": 5, "ok": True, "result": {"entries": []}}
    assert threads != [threading.get_ident()]
    assert (await ask(session, op="history", limit=0))["error"]["code"] == "invalid-argument"


@pytest.mark.parametrize(("problem", "said"), [
    (SetupError("cannot open the call history /x: database or disk is full"),
     "cannot open the call history /x: database or disk is full"),
    (ImportError("No module named 'offhook.media.mp3'", name="offhook.media.mp3"),
     "offhook was upgraded or removed while this phone ran: start it again (No module named 'offhook.media.mp3')"),
])  # fmt: skip
async def test_what_the_operator_has_to_mend_is_named_without_a_trace(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, problem: Exception, said: str
) -> None:
    def history(limit: int, before: str, wanted: WantedCalls) -> list[dict[str, Any]]:
        raise problem

    monkeypatch.setattr(backend, "history", history)
    session = Session(Operations(backend), local_client(), lambda: None)
    error = (await ask(session, op="history"))["error"]
    assert (error["code"], error["detail"]) == ("command-refused", said)
    assert said in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


async def test_a_slow_disk_delays_nobody_else(backend: FakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(backend, "history", lambda limit, before, wanted: goes_on.wait(10) and [])
    server = LocalServer(backend, tmp_path / "s")
    await server.start()
    reader, writer = await open_stream(server.path, 2**16)
    other_reader, other_writer = await open_stream(server.path, 2**16)
    writer.write(b'{"id":1,"op":"history"}\n{"id":2,"op":"ping"}\n')
    other_writer.write(b'{"id":3,"op":"ping"}\n')
    async with asyncio.timeout(5):
        assert b'"id":3' in await other_reader.readline()
        goes_on.set()
        first, second = await reader.readline(), await reader.readline()
    assert b'"id":1' in first
    assert b'"id":2' in second
    for one in (writer, other_writer):
        one.close()
        await one.wait_closed()
    await server.close()


def everything() -> Choice:
    return Choice(event_types(["*"]))


def test_readers_at_the_same_place_share_the_bytes(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, framed = Shared(backend.journal), []

    def frame(lines: list[bytes]) -> bytes:
        framed.append(len(lines))
        return b"".join(lines)

    readers = [Reader(backend.journal, everything()) for _ in range(5)]
    assert [shared.read(reader, frame) for reader in readers] == [b""] * 5
    for _ in range(2):
        backend.emit(SystemReady(address="x"))
        found = {shared.read(reader, frame) for reader in readers}
        assert len(found) == 1
    assert framed == [1, 1]
    assert {reader.cursor for reader in readers} == {Cursor("t1", 2)}
    assert shared.read(Reader(backend.journal, everything(), Cursor("gone", 1)), frame) is None
    monkeypatch.setattr(session_module, "MAX_SHARED", 2)
    for seq in (0, 1, 0, 1):
        assert shared.read(Reader(backend.journal, everything(), Cursor("t1", seq)), frame)
    assert len(shared._found) <= 2


async def test_a_reader_writes_events_down_as_it_was_told(backend: FakeBackend) -> None:
    for number in range(3):
        backend.emit(SystemReady(address=str(number)))
    reader = Reader(backend.journal, everything(), Cursor("gone", 1), render=lambda event: event.type.encode(), limit=2)
    assert await reader.page() == [b"stream.gap", b"system.ready", b"system.ready"]
    assert await reader.page() == [b"system.ready"]
    assert await reader.page() == []
    assert PAGE > 2


async def test_where_nothing_can_be_told_later_nothing_is_waited_for(backend: FakeBackend) -> None:
    session = Session(Operations(backend), local_client(), lambda: None)
    answer = await ask(session, op="wait", conditions=[{"event": "*"}])
    assert (answer["error"]["code"], session.waits) == ("invalid-argument", False)


async def test_a_wait_needs_the_scope_read(backend: FakeBackend) -> None:
    session = Session(Operations(backend), Client("dialer", frozenset({"call"})), lambda: None, tell=lambda answer: None)
    answer = await ask(session, op="wait", conditions=[{"event": "*"}])
    assert (answer["error"]["code"], session.waits) == ("forbidden", False)


@pytest.mark.parametrize("text", [b'\xef\xbb\xbf{"id": 1, "op": "status"}', '\ufeff{"id": 1, "op": "status"}'])
def test_a_byte_order_mark_before_a_request_is_no_part_of_it(backend: FakeBackend, text: bytes | str) -> None:
    session = Session(Operations(backend), local_client(), lambda: None)
    answer = session.answer(text)
    assert isinstance(answer, bytes)
    assert answer.startswith(b'{"id":1,"ok":true')
