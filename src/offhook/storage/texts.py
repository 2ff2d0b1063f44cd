"""The texts that came and went: one row for each, in a file of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from offhook.phone.records import MessageEntry
from offhook.storage.database import Database, Trouble, used_bytes
from offhook.storage.rows import from_row, to_row

BATCH_SECONDS: Final = 0.4
"""Texts of this long are committed together; kill -9 loses at most these (the journal has them)."""

MAX_QUEUED: Final = 10_000
"""Texts that may wait for a slow disk; later ones are dropped and reported."""

MAX_KEPT: Final = 100_000
"""The oldest texts beyond this are forgotten."""

MAX_BYTES: Final = 256 * 1024 * 1024
"""The oldest texts are forgotten beyond this length of the file, too: a text of a stranger may have 64 KB."""


_COLUMNS = MessageEntry.__struct_fields__
_SCHEMA = """
PRAGMA user_version = 1;
CREATE TABLE IF NOT EXISTS texts (
  id TEXT PRIMARY KEY, at REAL NOT NULL, direction TEXT NOT NULL, account TEXT NOT NULL, remote_uri TEXT NOT NULL,
  remote_display TEXT NOT NULL, text TEXT NOT NULL, content_type TEXT NOT NULL, state TEXT NOT NULL,
  sip_status INTEGER NOT NULL, reason TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS texts_by_time ON texts (at, id);
"""
_INSERT = f"INSERT OR REPLACE INTO texts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM texts"  # noqa: S608 - column names of our own struct
_FITTING = """
DELETE FROM texts WHERE (at, id) <= (
  SELECT at, id FROM (
    SELECT at, id, sum(length(CAST(text AS BLOB))) OVER (ORDER BY at DESC, id DESC) AS size FROM texts
  )
  WHERE size > ? ORDER BY at DESC, id DESC LIMIT 1
)
"""
_FORGET = "DELETE FROM texts WHERE (at, id) <= (SELECT at, id FROM texts ORDER BY at DESC, id DESC LIMIT 1 OFFSET ?)"


class TextFile:
    """The texts, newest first. `add` returns at once; the other methods wait for the disk."""

    def __init__(self, path: Path, *, most_bytes: int = MAX_BYTES, trouble: Trouble = lambda _: None) -> None:
        """Open or create. Raises SetupError if the folder cannot be used; a damaged file is moved aside and reported."""
        self._trouble = trouble
        self._most_bytes = most_bytes
        self._database: Database[MessageEntry] = Database(
            path, "texts", _SCHEMA, self._store, batch_seconds=BATCH_SECONDS, max_waiting=MAX_QUEUED, trouble=trouble
        )

    def add(self, record: MessageEntry) -> None:
        """Keep a text, within BATCH_SECONDS."""
        if not self._database.add(record):
            self._trouble("the disk is too slow: a text was not kept")

    def list(self, limit: int, before: str = "") -> tuple[MessageEntry, ...]:
        """Return up to `limit` texts, newest first; `before` is the id of the last one already seen (for paging)."""
        after = " WHERE (at, id) < (SELECT at, id FROM texts WHERE id = ?)" if before else ""
        arguments = (before, limit) if before else (limit,)
        rows = self._database.ask(
            lambda database: database.execute(f"{_SELECT}{after} ORDER BY at DESC, id DESC LIMIT ?", arguments).fetchall()
        )
        return tuple(from_row(MessageEntry, row) for row in rows)

    def has(self, record: str) -> bool:
        """Whether there is such a text."""
        sql = "SELECT 1 FROM texts WHERE id = ?"
        return self._database.ask(lambda database: database.execute(sql, (record,)).fetchone()) is not None

    def clear(self) -> None:
        """Forget all."""
        self._database.ask(lambda database: database.execute("DELETE FROM texts").rowcount)

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._database.close()

    def _store(self, database: sqlite3.Connection, batch: Sequence[MessageEntry]) -> None:
        database.executemany(_INSERT, [to_row(record) for record in batch])
        database.execute(_FORGET, (MAX_KEPT,))
        if used_bytes(database) > self._most_bytes:
            database.execute(_FITTING, (self._most_bytes * 3 // 4,))
