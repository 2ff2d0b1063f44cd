"""Webhooks and how far each has been served, in a file only we can read (it holds their secrets)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from offhook.storage.database import Database, Trouble

BATCH_SECONDS: Final = 0.2
"""Progress of this long is written together; after a crash so much is delivered again."""

MAX_WAITING: Final = 10_000
"""Notes that may wait for a slow disk; a later one says all that a lost one said."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS webhooks (id TEXT PRIMARY KEY, settings BLOB NOT NULL, progress BLOB NOT NULL);
PRAGMA user_version = 1;
"""


class WebhookStore:
    """The webhooks in the file `path`; what settings and progress mean is not known here.

    Raises SetupError if the file cannot be used. Everything but `note` waits for the disk. `trouble` is told, from any thread,
    when something could not be written.
    """

    def __init__(self, path: Path, trouble: Trouble = lambda _: None) -> None:
        self._database: Database[tuple[str, bytes]] = Database(
            path, "list of webhooks", _SCHEMA, _store, batch_seconds=BATCH_SECONDS, max_waiting=MAX_WAITING, trouble=trouble
        )

    def load(self) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
        """Return settings and progress of each webhook, the oldest first."""

        def read(database: sqlite3.Connection) -> list[tuple[str, bytes, bytes]]:
            return database.execute("SELECT id, settings, progress FROM webhooks ORDER BY rowid").fetchall()

        rows = self._database.ask(read)
        return {name: (msgspec.json.decode(settings), msgspec.json.decode(progress)) for name, settings, progress in rows}

    def add(self, webhook: str, settings: Mapping[str, Any], progress: Mapping[str, Any]) -> None:
        """Keep a new webhook."""
        self._change("INSERT INTO webhooks VALUES (?, ?, ?)", webhook, _json(settings), _json(progress))

    def change(self, webhook: str, settings: Mapping[str, Any]) -> None:
        """Keep changed settings."""
        self._change("UPDATE webhooks SET settings = ? WHERE id = ?", _json(settings), webhook)

    def delete(self, webhook: str) -> None:
        """Forget a webhook; an unknown one is no error."""
        self._change("DELETE FROM webhooks WHERE id = ?", webhook)

    def note(self, webhook: str, progress: Mapping[str, Any]) -> None:
        """Keep how far a webhook has been served, soon; of one that was deleted nothing is kept."""
        self._database.add((webhook, _json(progress)))

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._database.close()

    def _change(self, statement: str, *values: str | bytes) -> None:
        self._database.ask(lambda database: database.execute(statement, values).rowcount)


def _json(value: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(value)


def _store(database: sqlite3.Connection, batch: Sequence[tuple[str, bytes]]) -> None:
    latest = dict(batch)
    database.executemany("UPDATE webhooks SET progress = ? WHERE id = ?", [(text, name) for name, text in latest.items()])
