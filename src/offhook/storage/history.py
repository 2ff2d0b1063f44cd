"""The call history: SQLite behind one writer thread, so that the phone never waits for the disk."""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

from offhook.errors import SetupError

BATCH_SECONDS = 0.1
"""Records of this long are committed together; kill -9 loses at most these."""

MAX_QUEUED = 10_000
"""Records that may wait for a slow disk; later ones are dropped and reported."""

READ_TIMEOUT = 10.0
"""Seconds a reader waits for the writer thread."""

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One finished call. Times are Unix seconds, `answered` None if nobody did; `duration_s` is talking time."""

    id: str
    account: str
    direction: Literal["in", "out"]
    remote_uri: str
    remote_display: str
    started: float
    answered: float | None
    ended: float
    duration_s: float
    sip_status: int
    reason: str
    end_by: str
    missed: bool
    recording: str = ""


_COLUMNS = tuple(each.name for each in fields(CallRecord))
_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
  id TEXT PRIMARY KEY, account TEXT NOT NULL, direction TEXT NOT NULL, remote_uri TEXT NOT NULL,
  remote_display TEXT NOT NULL, started REAL NOT NULL, answered REAL, ended REAL NOT NULL, duration_s REAL NOT NULL,
  sip_status INTEGER NOT NULL, reason TEXT NOT NULL, end_by TEXT NOT NULL, missed INTEGER NOT NULL,
  recording TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS calls_by_start ON calls (started, id);
"""
_INSERT = f"INSERT OR REPLACE INTO calls ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM calls"  # noqa: S608 - column names of our own dataclass

Trouble: TypeAlias = Callable[[str], None]
_Work: TypeAlias = Callable[[sqlite3.Connection], Any]


class History:
    """The finished calls, newest first.

    `add` returns at once. The other methods wait for the disk: call them outside an event loop's thread. `trouble` is
    called from the writer thread with a plain sentence when records could not be kept; the phone goes on.
    """

    def __init__(self, path: Path, *, trouble: Trouble = lambda _: None) -> None:
        """Open or create. Raises SetupError if the folder cannot be used; a damaged file is moved aside and reported."""
        self._path = path
        self._trouble = trouble
        self._records: deque[CallRecord] = deque()
        self._queue: queue.SimpleQueue[tuple[_Work, Future[Any]] | Literal["records"] | None] = queue.SimpleQueue()
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="offhook-history", daemon=True)
        self._thread.start()
        opened.result()

    def add(self, record: CallRecord) -> None:
        """Keep a record, within BATCH_SECONDS. The same id again replaces it."""
        if len(self._records) >= MAX_QUEUED:
            self._trouble("the disk is too slow: a call is missing in the history")
            return
        self._records.append(record)
        if len(self._records) == 1:
            self._queue.put("records")

    def list(self, limit: int = 100, before: str = "") -> tuple[CallRecord, ...]:
        """Return up to `limit` records, newest first; `before` is the id of the last one already seen (for paging)."""
        after = " WHERE (started, id) < (SELECT started, id FROM calls WHERE id = ?)" if before else ""
        arguments = (before, limit) if before else (limit,)
        sql = f"{_SELECT}{after} ORDER BY started DESC, id DESC LIMIT ?"
        rows = self._ask(lambda database: database.execute(sql, arguments).fetchall())
        return tuple(_record(row) for row in rows)

    def get(self, record: str) -> CallRecord | None:
        """Return one record."""
        row = self._ask(lambda database: database.execute(f"{_SELECT} WHERE id = ?", (record,)).fetchone())
        return None if row is None else _record(row)

    def delete(self, record: str) -> bool:
        """Delete one record; False if there was none."""
        return bool(self._ask(lambda database: database.execute("DELETE FROM calls WHERE id = ?", (record,)).rowcount))

    def clear(self) -> int:
        """Delete all; returns how many."""
        return int(self._ask(lambda database: database.execute("DELETE FROM calls").rowcount))

    def close(self) -> None:
        """Write what is waiting and close the file. Calling it again does nothing."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _ask(self, work: _Work) -> Any:
        if not self._thread.is_alive():
            raise SetupError("the call history is closed")
        answer: Future[Any] = Future()
        self._queue.put((work, answer))
        return answer.result(READ_TIMEOUT)

    # --- the writer thread -----------------------------------------------------------------------------------------

    def _run(self, opened: Future[None]) -> None:
        try:
            database = _open(self._path, self._trouble)
        except (OSError, sqlite3.Error) as exc:
            opened.set_exception(SetupError(f"cannot open the call history {self._path}: {exc}"))
            return
        opened.set_result(None)
        with contextlib.closing(database):
            while self._batch(database):
                pass

    def _batch(self, database: sqlite3.Connection) -> bool:
        """Commit as one what arrives within BATCH_SECONDS of the first record, or until somebody asks; False: close."""
        item = self._queue.get()
        if item == "records":
            with contextlib.suppress(queue.Empty):
                item = self._queue.get(timeout=BATCH_SECONDS)
        self._store(database)
        if item is None:
            return False
        if item != "records":
            _answer(database, *item)
        return True

    def _store(self, database: sqlite3.Connection) -> None:
        latest: dict[str, CallRecord] = {}
        # Until none is left: only the first record behind that wakes this thread again.
        while self._records:
            record = self._records.popleft()
            latest[record.id] = record
        if not latest:
            return
        try:
            with database:
                database.executemany(_INSERT, [astuple(record) for record in latest.values()])
        except sqlite3.Error as exc:  # disk full, file system gone read-only
            self._trouble(f"{len(latest)} call(s) are missing in the history {self._path}: {exc}")


def _answer(database: sqlite3.Connection, work: _Work, answer: Future[Any]) -> None:
    try:
        with database:
            answer.set_result(work(database))
    except sqlite3.Error as exc:
        if not answer.done():
            answer.set_exception(SetupError(f"the call history cannot be used: {exc}"))


def _record(row: tuple[Any, ...]) -> CallRecord:
    values = dict(zip(_COLUMNS, row, strict=True))
    return CallRecord(**{**values, "missed": bool(values["missed"])})


def _open(path: Path, trouble: Trouble) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return _connect(path)
    except sqlite3.DatabaseError as exc:
        # OperationalError is the disk's or the lock's fault, not the file's: moving it aside would lose good records.
        if isinstance(exc, sqlite3.OperationalError):
            raise
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    os.replace(path, aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    trouble(f"the call history was damaged: it is kept as {aside} and a new one begins")
    return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    database = sqlite3.connect(path)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        # NORMAL in WAL mode keeps every commit through a crash of ours; only a power cut may take the last ones.
        database.execute("PRAGMA synchronous = NORMAL")
        if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("damaged")
        database.executescript(_SCHEMA)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.commit()
    except BaseException:
        database.close()
        raise
    return database
