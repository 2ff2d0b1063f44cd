"""Webhooks on the disk: settings at once, progress soon, nothing for others' eyes."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.errors import SetupError
from offhook.storage.webhooks import WebhookStore
from offhook.testing.sharing import read_by_others


def test_what_is_kept_is_there_again(tmp_path: Path) -> None:
    store = WebhookStore(tmp_path / "state" / "webhooks.sqlite3")
    store.add("wh_2", {"url": "a"}, {"cursor": "x-1"})
    store.add("wh_1", {"url": "b"}, {"cursor": "x-1"})
    store.change("wh_1", {"url": "c"})
    for number in range(100):
        store.note("wh_1", {"cursor": f"x-{number}"})
    store.note("wh_9", {"cursor": "x-1"})
    store.close()
    again = WebhookStore(tmp_path / "state" / "webhooks.sqlite3")
    assert list(again.load()) == ["wh_2", "wh_1"]
    assert again.load() == {"wh_2": ({"url": "a"}, {"cursor": "x-1"}), "wh_1": ({"url": "c"}, {"cursor": "x-99"})}
    again.delete("wh_2")
    again.delete("wh_9")
    again.note("wh_2", {"cursor": "x-5"})
    assert list(again.load()) == ["wh_1"]
    again.close()
    assert not read_by_others(tmp_path / "state" / "webhooks.sqlite3")


def test_what_was_kept_survives_without_a_close(tmp_path: Path) -> None:
    store = WebhookStore(tmp_path / "w.sqlite3")
    store.add("wh_1", {"url": "a"}, {"cursor": "x-1"})
    other = WebhookStore(tmp_path / "w.sqlite3")
    assert list(other.load()) == ["wh_1"]
    other.close()
    store.close()


def test_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError):
        WebhookStore(tmp_path / "file" / "w.sqlite3")
    store = WebhookStore(tmp_path / "w.sqlite3")
    store.close()
    with pytest.raises(SetupError):
        store.load()
