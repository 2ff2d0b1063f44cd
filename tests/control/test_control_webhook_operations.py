"""Webhooks over the operations of every surface: exact fields, scopes, audit events without secrets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from offhook.control.access import Client
from offhook.control.operations import BLOCKING, Operations
from offhook.control.webhook import Webhooks
from offhook.errors import CommandError, Forbidden, InvalidArgument, NotFound, SetupError
from offhook.phone.events import AuditCommand
from offhook.storage.webhooks import WebhookStore
from offhook.testing.backend import FakeBackend

URL = "https://receiver.example/in?key=hidden"


@pytest.fixture
async def operations(backend: FakeBackend, tmp_path: Path) -> AsyncIterator[Operations]:
    book = Webhooks(backend, WebhookStore(tmp_path / "w.sqlite3"))
    await book.start()
    backend.book = book
    yield Operations(backend)
    await book.close()


async def test_the_whole_life_of_a_webhook(operations: Operations, backend: FakeBackend) -> None:
    made = await operations.run_aside("create_webhook", {"url": URL, "types": ["call.*"], "timeout": 5, "description": "x"})
    name = made["id"]
    assert made["secret"].startswith("whsec_")
    shown = (await operations.run_aside("list_webhooks", {}))["webhooks"]
    assert [(each["id"], each["url"], each["types"], each["timeout"]) for each in shown] == [(name, URL, ["call.*"], 5.0)]
    changed = await operations.run_aside("update_webhook", {"webhook": name, "types": ["*"], "enabled": False, "timeout": 2.5})
    assert (changed["types"], changed["enabled"], changed["timeout"]) == (["*"], False, 2.5)
    rotated = await operations.run_aside("rotate_webhook", {"webhook": name})
    assert rotated["secret"] != made["secret"]
    assert await operations.run_aside("delete_webhook", {"webhook": name}) == {}
    assert await operations.run_aside("list_webhooks", {}) == {"webhooks": []}
    audits = [event for event in backend.said if isinstance(event, AuditCommand)]
    assert [(event.command, event.detail) for event in audits] == [
        (operation, name) for operation in ("create_webhook", "update_webhook", "rotate_webhook", "delete_webhook")
    ]
    told = repr(backend.said) + repr(shown) + repr(changed)
    assert made["secret"] not in told
    assert rotated["secret"] not in told
    assert "hidden" not in repr(backend.said)


@pytest.mark.parametrize(("operation", "params", "error"), [
    ("create_webhook", {}, InvalidArgument), ("create_webhook", {"url": 5}, InvalidArgument),
    ("create_webhook", {"url": URL, "types": "call.*"}, InvalidArgument),
    ("create_webhook", {"url": URL, "types": [1]}, InvalidArgument),
    ("create_webhook", {"url": URL, "timeout": "5"}, InvalidArgument),
    ("create_webhook", {"url": URL, "timeout": True}, InvalidArgument),
    ("create_webhook", {"url": URL, "colour": "red"}, InvalidArgument),
    ("update_webhook", {"webhook": "wh_0", "enabled": "yes"}, InvalidArgument),
    ("update_webhook", {"webhook": "wh_0"}, NotFound),
    ("rotate_webhook", {"webhook": "wh_0"}, NotFound), ("delete_webhook", {"webhook": "wh_0"}, NotFound),
    ("test_webhook", {"webhook": "wh_0"}, NotFound), ("list_webhooks", {"x": 1}, InvalidArgument),
])
async def test_what_is_wrong_is_refused(
    operations: Operations, operation: str, params: dict[str, Any], error: type[CommandError]
) -> None:
    with pytest.raises(error):
        await operations.run_aside(operation, params)


async def test_they_need_the_scope_config(operations: Operations) -> None:
    for operation in ("list_webhooks", "create_webhook", "update_webhook", "rotate_webhook", "delete_webhook", "test_webhook"):
        params = {"url": URL} if operation == "create_webhook" else {} if operation == "list_webhooks" else {"webhook": "wh_0"}
        with pytest.raises(Forbidden):
            await operations.run_aside(operation, params, Client("reader", frozenset({"read", "call"})))


async def test_what_says_where_events_go_needs_the_scope_read_too(operations: Operations) -> None:
    setter, both = Client("setter", frozenset({"config"})), Client("both", frozenset({"config", "read"}))
    with pytest.raises(Forbidden, match="read"):
        await operations.run_aside("create_webhook", {"url": URL}, setter)
    name = (await operations.run_aside("create_webhook", {"url": URL, "types": ["call.ended"]}, both))["id"]
    for change in ({"types": ["*"]}, {"url": "https://example.org/other"}):
        with pytest.raises(Forbidden, match="read"):
            await operations.run_aside("update_webhook", {"webhook": name, **change}, setter)
        await operations.run_aside("update_webhook", {"webhook": name, **change}, both)
    await operations.run_aside("update_webhook", {"webhook": name, "enabled": False}, setter)


async def test_a_phone_that_keeps_none_says_so(backend: FakeBackend) -> None:
    with pytest.raises(NotFound):
        await Operations(backend).run_aside("list_webhooks", {})


async def test_the_phone_does_not_wait_for_a_disk_that_is_slow(backend: FakeBackend, tmp_path: Path) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    class Slow(WebhookStore):
        def _change(self, statement: str, *values: str | bytes) -> None:
            begun.set()
            assert goes_on.wait(5), "the loop stands still"
            super()._change(statement, *values)

    backend.book = book = Webhooks(backend, Slow(tmp_path / "w.sqlite3"))
    operations = Operations(backend)
    made: dict[str, Any] = {}
    for operation in ("create_webhook", "update_webhook", "rotate_webhook", "delete_webhook"):
        assert operation in BLOCKING
        begun.clear()
        goes_on.clear()
        params = {"webhook": made["id"]} if made else {"url": URL}
        asked = asyncio.ensure_future(operations.run_aside(operation, params))
        assert await asyncio.to_thread(begun.wait, 10)
        assert operations.run("ping", {})["as_of"]
        goes_on.set()
        made = made or await asked
        await asked
    await book.close()


async def test_what_the_disk_does_not_take_changes_nothing(
    operations: Operations, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise SetupError("the list of webhooks cannot be used: it is locked")

    made = await operations.run_aside("create_webhook", {"url": URL})
    before = await operations.run_aside("list_webhooks", {})
    monkeypatch.setattr(WebhookStore, "_change", locked)
    for operation in ("create_webhook", "update_webhook", "rotate_webhook", "delete_webhook"):
        params = {"url": URL} if operation == "create_webhook" else {"webhook": made["id"]}
        with pytest.raises(SetupError):
            await operations.run_aside(operation, params)
    assert await operations.run_aside("list_webhooks", {}) == before
