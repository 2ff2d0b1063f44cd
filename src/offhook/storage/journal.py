"""The event journal on the disk: no event is told before it is written down, and whoever comes back can read on.

An event is first appended to a spool (one write, a few microseconds: it survives kill -9), then told, and moved into SQLite by
the writer thread, from where old events are read again.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from offhook.errors import SetupError
from offhook.io import clock
from offhook.io.journal import RECENT, Cursor, Envelope, MemoryJournal, Page
from offhook.storage.database import Database, Trouble, used_bytes
from offhook.storage.privacy import private_folder
from offhook.storage.spool import Spool, left_behind

KEEP_SECONDS: Final = 24 * 3600.0
KEEP_EVENTS: Final = 100_000
KEEP_BYTES: Final = 512 * 1024 * 1024
"""Of the file: twice what so many events usually take."""

BATCH_SECONDS: Final = 1.0
"""Events of this long are moved into SQLite together. They are safe before, in the spool."""

MAX_WAITING: Final = 200_000
"""Events that may wait for a slow disk; later ones stay in the spool, and are moved at the next start."""

TIDY_SECONDS: Final = 60.0
"""How often old events are deleted."""

SETTLED_SECONDS: Final = 3600.0
"""So long a run leaves the events of earlier ones alone: a machine without a clock of its own may start in any year."""

IN_MEMORY: Final = "events are kept in memory alone until the phone is started again"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS epochs (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS events (
  epoch INTEGER NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL, time REAL NOT NULL,
  json BLOB NOT NULL, PRIMARY KEY (epoch, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deleted (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, seq INTEGER NOT NULL);
INSERT OR IGNORE INTO deleted VALUES (1, 0, 0);
PRAGMA user_version = 1;
"""
_INSERT = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?)"
_LAST = "UPDATE epochs SET last = max(last, ?) WHERE number = ?"
_AFTER = """
SELECT epochs.name, events.seq, events.type, events.subject, events.json FROM events JOIN epochs ON epochs.number = events.epoch
WHERE (events.epoch, events.seq) > (?, ?) ORDER BY events.epoch, events.seq LIMIT ?
"""
_OLDEST_KEPT = "SELECT epoch, seq FROM events ORDER BY epoch DESC, seq DESC LIMIT 1 OFFSET ?"
_OLDEST_FITTING = """
SELECT epoch, seq FROM (SELECT epoch, seq, sum(length(json)) OVER (ORDER BY epoch DESC, seq DESC) AS size FROM events)
WHERE size > ? ORDER BY epoch DESC, seq DESC LIMIT 1
"""
_LATEST_EXPIRED = "SELECT epoch, seq FROM events WHERE time < ? AND epoch < ? ORDER BY epoch DESC, seq DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Stored:
    """An event read from the disk."""

    cursor: Cursor
    type: str
    subject: str
    json: bytes


class _Line(msgspec.Struct):
    """What is needed of a line in the spool."""

    epoch: str
    seq: int
    type: str
    subject: str
    time: datetime


class DiskJournal(MemoryJournal):
    """The journal in the file `path`, for the run `epoch`. Raises SetupError if nothing can be written beside it.

    The file itself is opened behind that, as it may be long, and damaged, or locked. If it cannot be, this is the journal of
    memory alone. `trouble` is told, from any thread, of that and when events could not be written.
    """

    def __init__(
        self,
        path: Path,
        epoch: str,
        *,
        keep_seconds: float = KEEP_SECONDS,
        keep_events: int = KEEP_EVENTS,
        keep_bytes: int = KEEP_BYTES,
        recent: int = RECENT,
        trouble: Trouble = lambda _: None,
    ) -> None:
        super().__init__(epoch, recent)
        self._path = path
        self._trouble = trouble
        self._keep_seconds = keep_seconds
        self._keep_events = keep_events
        self._keep_on_disk = keep_bytes
        self._started = clock.awake_or_asleep()
        self._tidied = -math.inf
        self._ahead = clock.wall() - self._started  # the least that was seen: a clock may be set forwards
        self._aging: deque[tuple[float, int]] = deque()  # the last event there was at each tidying
        self._failing = False
        self._unspooled = 0  # the latest event that the spool did not take
        self._number = 0
        self._unusable = False
        try:
            private_folder(path.parent)
            self._spool: Spool | None = Spool(path, epoch)
        except OSError as exc:
            raise SetupError(f"the event journal {path} cannot be used: {exc}") from exc
        self._database: Database[Envelope] = Database(
            path, "event journal", _SCHEMA, self._store, batch_seconds=BATCH_SECONDS, max_waiting=MAX_WAITING, trouble=trouble,
            begin=self._begin, spooled=lambda envelope: envelope.seq > self._unspooled, failed=self._give_up,
        )  # fmt: skip

    def append(self, envelopes: Sequence[Envelope]) -> None:
        """Write events down; they survive the end of this process from here on."""
        if self._unusable:
            self._leave_spool()
        if self._spool is None:
            super().append(envelopes)
            return
        try:
            self._spool.write(b"".join([envelope.json + b"\n" for envelope in envelopes]), envelopes[-1].seq)
            self._failing = False
        except OSError as exc:
            self._unspooled = envelopes[-1].seq
            self._complain(f"events cannot be written down: {exc.strerror or exc}")
        super().append(envelopes)
        if not self._database.add(*envelopes):
            self._complain("the disk is too slow: events are not in the journal until the next start")

    def _complain(self, text: str) -> None:
        """Say it once until it works again: the complaint is an event, too."""
        if not self._failing:
            self._failing = True
            self._trouble(text)

    async def read(self, after: Cursor, limit: int) -> Page:
        """Return up to `limit` events after the cursor, of this run or of earlier ones."""
        found = self.recent(after, limit)
        if found is not None:
            return Page(found)
        try:
            await asyncio.wrap_future(self._database.opened)
        except SetupError:
            return await super().read(after, limit)
        page = await asyncio.get_running_loop().run_in_executor(None, self._read, after, limit)
        if not page.events and after.epoch != self._epoch:
            # All of the earlier runs is read, and nothing of this one has been moved yet: it is in memory from its beginning.
            return Page(self.recent(Cursor(self._epoch, 0), limit) or (), page.lost)
        return page

    def close(self) -> None:
        """Move everything into SQLite and close it."""
        self._database.hurry()
        try:
            safe = int(self._database.ask(self._safe))
        except SetupError:
            safe = 0  # the next start looks at every line that is left, and leaves out what it has
        self._database.close()
        if self._spool is not None:
            self._spool.close(safe)
            self._spool = None  # a surface that ends later may have something to tell; it is kept in memory alone

    def _leave_spool(self) -> None:
        """Leave what was written so far to the next start, and write no more, which would fill the disk in the end."""
        if self._spool is not None:
            self._spool.close(0)
            self._spool = None

    # --- in other threads

    def _give_up(self, error: SetupError) -> None:
        self._unusable = True
        self._trouble(f"{IN_MEMORY}: {error}")

    def _begin(self, database: sqlite3.Connection) -> None:
        for lines in left_behind(self._path, self._trouble):
            for line in lines:
                self._recover(database, line)
            database.commit()
        self._number = _epoch_number(database, self._epoch)

    def _recover(self, database: sqlite3.Connection, line: bytes) -> None:
        try:
            found = msgspec.json.decode(line, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._trouble("a line of the event journal was damaged and is left out")
            return
        number = _epoch_number(database, found.epoch)
        database.execute(_INSERT, (number, found.seq, found.type, found.subject, found.time.timestamp(), line))
        database.execute(_LAST, (found.seq, number))

    def _store(self, database: sqlite3.Connection, batch: Sequence[Envelope]) -> None:
        if self._spool is not None:
            self._spool.release(self._safe(database))
        rows = [(self._number, e.seq, e.type, e.subject, e.seconds, e.json) for e in batch]
        database.executemany(_INSERT, rows)
        database.execute(_LAST, (batch[-1].seq, self._number))
        now = clock.awake_or_asleep()
        if abs(now - self._tidied) >= TIDY_SECONDS:  # either way: where it is the clock, that may be put back by years
            self._tidied = now
            self._aging.append((now, batch[-1].seq))
            self._tidy(database, now)

    def _safe(self, database: sqlite3.Connection) -> int:
        found: tuple[int] = database.execute("SELECT last FROM epochs WHERE number = ?", (self._number,)).fetchone()
        return found[0]

    def _tidy(self, database: sqlite3.Connection, now: float) -> None:
        """Delete what is too old or too much, and remember up to where."""
        limits = [database.execute(_OLDEST_KEPT, (self._keep_events,)).fetchone()]
        limits.append(self._expired(database, now))
        if used_bytes(database) > self._keep_on_disk:  # which is known at once, other than how much each event has of it
            limits.append(database.execute(_OLDEST_FITTING, (self._keep_on_disk * 3 // 4,)).fetchone())
        until = max((limit for limit in limits if limit is not None), default=None)
        if until is not None:
            database.execute("DELETE FROM events WHERE (epoch, seq) <= (?, ?)", until)
            database.execute("UPDATE deleted SET epoch = ?, seq = ? WHERE (epoch, seq) < (?, ?)", (*until, *until))

    def _expired(self, database: sqlite3.Connection, now: float) -> tuple[int, int] | None:
        """Return the latest event too old. Nothing gets old by a clock that is set: ours have aged while this run did."""
        self._ahead = min(self._ahead, clock.wall() - now)
        aged = 0
        while self._aging and self._aging[0][0] <= now - self._keep_seconds:
            aged = self._aging.popleft()[1]
        if aged:
            return self._number, aged
        if now - self._started < SETTLED_SECONDS:
            return None
        until = now + self._ahead - self._keep_seconds
        found: tuple[int, int] | None = database.execute(_LATEST_EXPIRED, (until, self._number)).fetchone()
        return found

    def _read(self, after: Cursor, limit: int) -> Page:
        database = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            database.execute("BEGIN")  # one view for all that follows
            found = database.execute("SELECT number FROM epochs WHERE name = ?", (after.epoch,)).fetchone()
            start = (found[0], after.seq) if found else (0, 0)
            deleted = database.execute("SELECT epoch, seq FROM deleted").fetchone()
            rows = database.execute(_AFTER, (*start, limit)).fetchall()
        finally:
            database.close()
        events = tuple(Stored(Cursor(name, seq), kind, subject, bytes(json)) for name, seq, kind, subject, json in rows)
        return Page(events, lost=after if found is None or start < deleted else None)


def _epoch_number(database: sqlite3.Connection, name: str) -> int:
    database.execute("INSERT OR IGNORE INTO epochs (name) VALUES (?)", (name,))
    number: tuple[int] = database.execute("SELECT number FROM epochs WHERE name = ?", (name,)).fetchone()
    return number[0]
