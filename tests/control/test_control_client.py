"""The synchronous client of the local socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

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
