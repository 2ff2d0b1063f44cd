"""Webhooks over the operations of every surface: exact fields, scopes, audit events without secrets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from offhook.control.access import Client
from offhook.control.operations import Operations
from offhook.control.webhook import Webhooks
from offhook.errors import CommandError, Forbidden, InvalidArgument, NotFound
from offhook.phone.events import AuditCommand
from offhook.storage.webhooks import WebhookStore
from offhook.testing.backend import FakeBackend

URL = "https://receiver.example/in?key=hidden"


@pytest.fixture
async def operations(backend: FakeBackend, tmp_path: Path) -> AsyncIterator[Operations]:
    book = Webhooks(backend, WebhookStore(tmp_path / "w.sqlite3"))
    book.start()
    backend.book = book
    yield Operations(backend)
    await book.close()


async def test_the_whole_life_of_a_webhook(operations: Operations, backend: FakeBackend) -> None:
    made = operations.run("create_webhook", {"url": URL, "types": ["call.*"], "timeout": 5, "description": "x"})
    name = made["id"]
    assert made["secret"].startswith("whsec_")
    shown = operations.run("list_webhooks", {})["webhooks"]
    assert [(each["id"], each["url"], each["types"], each["timeout"]) for each in shown] == [(name, URL, ["call.*"], 5.0)]
    changed = operations.run("update_webhook", {"webhook": name, "types": ["*"], "enabled": False, "timeout": 2.5})
    assert (changed["types"], changed["enabled"], changed["timeout"]) == (["*"], False, 2.5)
    rotated = operations.run("rotate_webhook", {"webhook": name})
    assert rotated["secret"] != made["secret"]
    assert operations.run("delete_webhook", {"webhook": name}) == {}
    assert operations.run("list_webhooks", {}) == {"webhooks": []}
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
        operations.run(operation, params)


async def test_they_need_the_scope_config(operations: Operations) -> None:
    for operation in ("list_webhooks", "create_webhook", "update_webhook", "rotate_webhook", "delete_webhook", "test_webhook"):
        params = {"url": URL} if operation == "create_webhook" else {} if operation == "list_webhooks" else {"webhook": "wh_0"}
        with pytest.raises(Forbidden):
            operations.run(operation, params, Client("reader", frozenset({"read", "call"})))


async def test_what_says_where_events_go_needs_the_scope_read_too(operations: Operations) -> None:
    setter, both = Client("setter", frozenset({"config"})), Client("both", frozenset({"config", "read"}))
    with pytest.raises(Forbidden, match="read"):
        operations.run("create_webhook", {"url": URL}, setter)
    name = operations.run("create_webhook", {"url": URL, "types": ["call.ended"]}, both)["id"]
    for change in ({"types": ["*"]}, {"url": "https://example.org/other"}):
        with pytest.raises(Forbidden, match="read"):
            operations.run("update_webhook", {"webhook": name, **change}, setter)
        operations.run("update_webhook", {"webhook": name, **change}, both)
    operations.run("update_webhook", {"webhook": name, "enabled": False}, setter)


async def test_a_phone_that_keeps_none_says_so(backend: FakeBackend) -> None:
    with pytest.raises(NotFound):
        Operations(backend).run("list_webhooks", {})
