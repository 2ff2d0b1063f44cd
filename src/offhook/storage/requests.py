"""What was asked with an Idempotency-Key and answered, in a file only we can read: it outlives the phone, kill -9 included.

As in the event journal, a note is first appended to a spool (one write, a few microseconds) and moved into SQLite by the writer
thread; the next start takes over what a dead phone left in its spool.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from offhook.errors import SetupError
from offhook.storage.database import Database, Trouble
from offhook.storage.spool import Spool, left_behind

BATCH_SECONDS: Final = 1.0
"""Notes of this long are moved into SQLite together. They are safe before, in the spool."""

MAX_WAITING: Final = 50_000
"""Notes that may wait for a slow disk: some for each of the requests that are remembered."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
  client TEXT NOT NULL, key TEXT NOT NULL, begun REAL NOT NULL, note BLOB NOT NULL, PRIMARY KEY (client, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spooled (run TEXT PRIMARY KEY, last INTEGER NOT NULL);
PRAGMA user_version = 1;
"""
_FORGOTTEN: Final = b"null"

_Line: TypeAlias = tuple[int, str, str, float, msgspec.Raw]
"""The number of a note in its run, client, key, when the request came (Unix seconds), and the note."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


class RequestFile:
    """The requests in the file `path`, noted by the run `run`; what a note means is not known here.

    Raises SetupError if the file cannot be used. `note` and `forget` return at once, everything else waits for the disk.
    `trouble` is told, from any thread, when something could not be written.
    """

    def __init__(self, path: Path, run: str, trouble: Trouble = lambda _: None) -> None:
        self._path = path
        self._run = run
        self._trouble = trouble
        self._last = self._unspooled = 0
        self._failing = False
        self._database: Database[_Line] = Database(
            path, "list of answered requests", _SCHEMA, self._store, batch_seconds=BATCH_SECONDS, max_waiting=MAX_WAITING,
            trouble=trouble, spooled=lambda line: line[0] > self._unspooled,
        )  # fmt: skip
        try:
            self._database.ask(self._recover)
            self._spool = Spool(path, run)
        except OSError as error:
            self._database.close()
            raise SetupError(f"cannot write beside {path}: {error.strerror or error}") from None
        except SetupError:
            self._database.close()
            raise

    def load(self) -> list[tuple[str, str, float, bytes]]:
        """Return client, key, time and note of each request, the oldest first."""
        found: list[tuple[str, str, float, bytes]] = self._database.ask(
            lambda database: database.execute("SELECT client, key, begun, note FROM requests ORDER BY begun").fetchall()
        )
        return found

    def note(self, client: str, key: str, begun: float, note: bytes) -> None:
        """Keep what is known of a request (JSON in one line) in place of what was; it survives the end of this process."""
        self._last += 1
        line = (self._last, client, key, begun, msgspec.Raw(note))
        try:
            self._spool.write(_encode(line) + b"\n", self._last)
            self._failing = False
        except OSError as error:
            self._unspooled = self._last
            self._complain(f"what is asked with an Idempotency-Key cannot be written down: {error.strerror or error}")
        if not self._database.add(line):
            self._complain("the disk is too slow for what is asked with an Idempotency-Key")

    def forget(self, client: str, key: str) -> None:
        """Forget a request."""
        self.note(client, key, 0.0, _FORGOTTEN)

    def close(self) -> None:
        """Move everything into SQLite and close it."""
        try:
            safe = int(self._database.ask(self._safe))
        except SetupError:
            safe = 0  # the next start looks at every line that is left
        self._database.close()
        self._spool.close(safe)

    def _complain(self, text: str) -> None:
        """Say it once until it works again."""
        if not self._failing:
            self._failing = True
            self._trouble(f"{text}; if the phone ends now, it does not know these requests again")

    # --- in the writer thread

    def _recover(self, database: sqlite3.Connection) -> None:
        for lines in left_behind(self._path, self._trouble):
            for line in lines:
                try:
                    _keep(database, _decode(line))
                except (msgspec.DecodeError, UnicodeDecodeError):
                    self._trouble("a line about an answered request was damaged and is left out")
            database.commit()
        database.execute("DELETE FROM spooled")  # also that of another phone with this folder, which then writes it anew

    def _store(self, database: sqlite3.Connection, batch: Sequence[_Line]) -> None:
        self._spool.release(self._safe(database))
        for line in batch:
            _keep(database, line)
        database.execute("INSERT OR REPLACE INTO spooled VALUES (?, ?)", (self._run, batch[-1][0]))

    def _safe(self, database: sqlite3.Connection) -> int:
        found: tuple[int] | None = database.execute("SELECT last FROM spooled WHERE run = ?", (self._run,)).fetchone()
        return found[0] if found else 0


def _keep(database: sqlite3.Connection, line: _Line) -> None:
    _, client, key, begun, note = line
    if bytes(note) == _FORGOTTEN:
        database.execute("DELETE FROM requests WHERE client = ? AND key = ?", (client, key))
    else:
        database.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?)", (client, key, begun, bytes(note)))
