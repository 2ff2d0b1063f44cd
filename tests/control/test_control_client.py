"""The synchronous client of the local socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.control import client as client_module
from offhook.control.client import LocalClient, NoPhone, Refused, TimedOut
from offhook.errors import LineBusy
from offhook.phone.commands import Command, Dial
from offhook.phone.events import OperationSucceeded, SystemReady
from offhook.testing.backend import FakeBackend
from offhook.testing.served import answering, served


@pytest.fixture
def client(backend: FakeBackend, tmp_path: Path) -> Iterator[LocalClient]:
    with served(backend, tmp_path / "s") as path, LocalClient(path, timeout=5) as found:
        yield found


def test_requests_and_refusals(client: LocalClient, backend: FakeBackend) -> None:
    assert client.request("dial", to="1001", id="mine")["call"] == "mine"
    assert backend.commands == [Dial(to="1001", id="mine")]
    backend.refuse = LineBusy("no")
    with pytest.raises(Refused, match="no") as caught:
        client.request("dial", to="1001")
    assert caught.value.code == "line-busy"


def test_events_between_answers_are_kept(client: LocalClient, backend: FakeBackend) -> None:
    client.subscribe("system.*", "operation.*")

    def tell(command: Command) -> None:
        backend.emit(SystemReady(address="x"))
        asyncio.get_running_loop().call_soon(backend.emit, OperationSucceeded(operation="op_other", command="dial"))
        asyncio.get_running_loop().call_soon(backend.emit, OperationSucceeded(operation="op_1", command="dial"))

    backend.on_execute = tell
    result = client.request("dial", to="1")
    seen = [event["type"] for event in client.wait_operation(result["operation"], timeout=5)]
    assert seen == ["system.ready", "operation.succeeded", "operation.succeeded"]


def test_waiting_ends_in_time(client: LocalClient) -> None:
    client.subscribe()
    with pytest.raises(TimedOut):
        next(client.events(timeout=0.01))


def test_no_phone(tmp_path: Path) -> None:
    with pytest.raises(NoPhone, match="offhook run"):
        LocalClient(str(tmp_path / "nothing"))


@pytest.mark.parametrize("answer", [b"", b"rubbish\n", b"[]\n"])
def test_something_else_listens(tmp_path: Path, answer: bytes) -> None:
    path = str(tmp_path / "s")
    with answering(path, answer), LocalClient(path, timeout=5) as found, pytest.raises(NoPhone):
        found.request("ping")


def test_waiting(client: LocalClient, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    def ready(command: Command) -> None:
        asyncio.get_running_loop().call_later(0.01, backend.emit, SystemReady(address="x"))

    backend.on_execute = ready
    monkeypatch.setattr(client_module, "LONGEST_WAIT", 0.001)  # waiting for ever is waiting again and again
    client.request("hold")
    found = client.wait({"state": "active"}, {"event": "system.ready"})
    assert (found["condition"], found["event"]["type"]) == (1, "system.ready")
    assert client.wait({"event": "*"}, after="t1-0", timeout=0)["event"]["id"] == "t1-1"
    with pytest.raises(TimedOut, match="no call was active"):
        client.wait({"state": "active"}, timeout=0)
    with pytest.raises(Refused, match="there is no event"):
        client.wait({"event": "moon"})


def test_an_answer_may_be_asked_for_again(client: LocalClient, backend: FakeBackend) -> None:
    backend.on_execute = lambda command: void(backend.emit(SystemReady(address="x")))
    number = client.ask("wait", conditions=[{"event": "system.ready"}])
    with pytest.raises(TimedOut):
        client.answer(number, 0.01)
    forgotten = client.ask("wait", conditions=[{"event": "system.ready"}])
    client.request("hold")
    assert client.answer(number, 5)["event"]["type"] == "system.ready"
    assert client.request("ping") == {"as_of": "t1-1"}, f"the answer to {forgotten} is passed over"


def void(_: object) -> None:
    return None
