"""The call history: one row for each call, kept from its first moment so that even a crash leaves a trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from offhook.errors import SetupError
from offhook.phone.records import ALL_CALLS, HistoryEntry, WantedCalls
from offhook.storage.database import Database, Trouble
from offhook.storage.rows import WAYS, from_row, tags_of, to_row

BATCH_SECONDS = 0.4
"""Records of this long are committed together; kill -9 loses at most these."""

MAX_QUEUED = 10_000
"""Records that may wait for a slow disk; later ones are dropped and reported."""


_COLUMNS = tuple("duration_s" if name == "duration" else name for name in HistoryEntry.__struct_fields__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
  id TEXT PRIMARY KEY, account TEXT NOT NULL, direction TEXT NOT NULL, remote_uri TEXT NOT NULL,
  remote_display TEXT NOT NULL, started REAL NOT NULL, answered REAL, ended REAL NOT NULL, duration_s REAL NOT NULL,
  sip_status INTEGER NOT NULL, reason TEXT NOT NULL, end_by TEXT NOT NULL, missed INTEGER NOT NULL,
  recording TEXT NOT NULL, codec TEXT NOT NULL DEFAULT '', mos REAL, remote_mos REAL, loss REAL, jitter_ms REAL, rtt_ms REAL,
  tags TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS calls_by_start ON calls (started, id);
"""
_VERSION = 3
_ADDED = (
    "codec TEXT NOT NULL DEFAULT ''", "mos REAL", "remote_mos REAL", "loss REAL", "jitter_ms REAL", "rtt_ms REAL",
    "tags TEXT NOT NULL DEFAULT '[]'",
)  # fmt: skip
"""What version 1 had not: the figures came with version 2, the tags with version 3."""
_INSERT = f"INSERT OR REPLACE INTO calls ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM calls"  # noqa: S608 - column names of our own dataclass

_Waiting: TypeAlias = tuple[str, Callable[[], HistoryEntry]]


class History:
    """The finished calls, newest first.

    `add` returns at once. The other methods wait for the disk: call them outside an event loop's thread. `trouble` is
    called from the writer thread with a plain sentence when records could not be kept; the phone goes on.
    """

    def __init__(
        self, path: Path, *, trouble: Trouble = lambda _: None, failed: Callable[[SetupError], None] | None = None
    ) -> None:
        """Open or create. Raises SetupError if the folder cannot be used; a damaged file is moved aside and reported.

        With `failed` nothing waits for that: `failed` is told, from the writer thread, that no call is kept.
        """
        self._trouble = trouble
        self._database: Database[_Waiting] = Database(
            path, "call history", _SCHEMA, _store, batch_seconds=BATCH_SECONDS, max_waiting=MAX_QUEUED, trouble=trouble,
            upgrade=_upgrade, failed=failed,
        )  # fmt: skip

    def add(self, record: HistoryEntry) -> None:
        """Keep a record, within BATCH_SECONDS. The same id again replaces it."""
        self.keep(record.id, lambda: record)

    def keep(self, record: str, make: Callable[[], HistoryEntry]) -> None:
        """Keep the record with this id as `add` does; `make` runs in the writer thread, and not if it is replaced before."""
        if not self._database.add((record, make)):
            self._trouble("the disk is too slow: a call is missing in the history")

    def list(self, limit: int = 100, before: str = "", wanted: WantedCalls = ALL_CALLS) -> tuple[HistoryEntry, ...]:
        """Return up to `limit` wanted records, newest first; `before` is the id of the last one already seen (for paging)."""
        conditions = _conditions(wanted)
        if before:
            conditions["(started, id) < (SELECT started, id FROM calls WHERE id = ?)"] = (before,)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        arguments = (*(value for values in conditions.values() for value in values), limit)
        sql = f"{_SELECT}{where} ORDER BY started DESC, id DESC LIMIT ?"

        def look(database: sqlite3.Connection) -> Sequence[tuple[Any, ...]]:
            database.create_function("is_in", 2, _is_in, deterministic=True)
            database.create_function("has_tag", 2, _has_tag, deterministic=True)
            return database.execute(sql, arguments).fetchall()

        return tuple(from_row(HistoryEntry, row) for row in self._database.ask(look))

    def get(self, record: str) -> HistoryEntry | None:
        """Return one record."""
        row = self._database.ask(lambda database: database.execute(f"{_SELECT} WHERE id = ?", (record,)).fetchone())
        return None if row is None else from_row(HistoryEntry, row)

    def delete(self, record: str) -> bool:
        """Delete one record; False if there was none."""
        return bool(self._database.ask(lambda database: database.execute("DELETE FROM calls WHERE id = ?", (record,)).rowcount))

    def clear(self) -> int:
        """Delete all; returns how many."""
        return int(self._database.ask(lambda database: database.execute("DELETE FROM calls").rowcount))

    def close(self) -> None:
        """Write what is waiting and close the file. Calling it again does nothing."""
        self._database.close()


def _conditions(wanted: WantedCalls) -> dict[str, tuple[Any, ...]]:
    """Return what a row must fulfil, in SQL, each with the values of its question marks."""
    found: dict[str, tuple[Any, ...]] = {}
    if wanted.direction:
        found["direction = ?"] = (WAYS[wanted.direction],)
    if wanted.missed:
        found["missed = 1"] = ()
    if wanted.account:
        found["account = ?"] = (wanted.account,)
    if wanted.since is not None:
        found["started >= ?"] = (wanted.since.timestamp(),)
    if wanted.until is not None:
        found["started < ?"] = (wanted.until.timestamp(),)
    if wanted.remote:
        found["(is_in(?, remote_uri) OR is_in(?, remote_display))"] = (wanted.remote, wanted.remote)
    if wanted.tag:
        found["has_tag(?, tags)"] = (wanted.tag,)
    return found


def _is_in(part: str, text: str) -> bool:
    return part.casefold() in text.casefold()  # SQLite knows no case but that of ASCII


def _has_tag(wanted: str, tags: str) -> bool:
    name, equals, value = wanted.partition("=")
    return any(found == (name, value) if equals else found[0] == name for found in tags_of(tags))


def _upgrade(database: sqlite3.Connection) -> None:
    """Bring the file of an earlier version up to date, whatever its number says: an earlier phone may have opened it since."""
    there = {row[1] for row in database.execute("PRAGMA table_info(calls)")}
    for column in _ADDED:
        if column.split()[0] not in there:  # each is there at once: an upgrade that a crash cut off goes on here
            database.execute(f"ALTER TABLE calls ADD COLUMN {column}")
    if database.execute("PRAGMA user_version").fetchone()[0] < _VERSION:
        database.execute(f"PRAGMA user_version = {_VERSION}")


def _store(database: sqlite3.Connection, batch: Sequence[_Waiting]) -> None:
    database.executemany(_INSERT, [to_row(make()) for make in dict(batch).values()])
