"""A SQLite file behind one writer thread: what is added is committed in batches, and the phone never waits for the disk."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from offhook.errors import SetupError
from offhook.storage.privacy import private_file, private_folder

READ_TIMEOUT: Final = 10.0
"""Seconds a reader waits for the writer thread."""

RETRY_SECONDS: Final = 2.0
"""Between attempts to write what a full disk did not take."""

LOCKED_SECONDS: Final = 2.0
"""Another program may have the file locked so long before that is told; so long SQLite waits in each attempt."""

LOCKED_AT_MOST: Final = 600.0
"""After so long it is given up: a file system without locks looks like this, too, and what waits must not grow for ever."""

BETWEEN_LOCKED: Final = 0.05
"""Seconds between attempts to open it then; SQLite itself waits in most of them."""

CACHE_KB: Final = 512
"""Pages of each file in our memory: batches are added at its end, and the system keeps the rest."""

R = TypeVar("R")
Trouble: TypeAlias = Callable[[str], None]
Work: TypeAlias = Callable[[sqlite3.Connection], Any]


class Database(Generic[R]):
    """Records of type R on their way to the disk.

    `name` is what people call the file ("call history"), `schema` makes its tables, `store` writes a batch inside a
    transaction; `upgrade` brings tables of an earlier version up to date, and `begin` is the first work that is done with them.
    `add` returns at once; `ask` waits for the disk: call it outside an event loop's thread. `trouble` is called from the writer
    thread with a plain sentence when records cannot be written; the phone goes on, and what a full disk did not take waits
    until it does. `spooled` says whether the next start finds a record elsewhere, should this file not take it until the end.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        schema: str,
        store: Callable[[sqlite3.Connection, Sequence[R]], None],
        *,
        batch_seconds: float,
        max_waiting: int,
        trouble: Trouble,
        upgrade: Work = lambda _: None,
        begin: Work = lambda _: None,
        spooled: Callable[[R], bool] = lambda _: False,
        failed: Callable[[SetupError], None] | None = None,
    ) -> None:
        """Open or create. Raises SetupError if the folder cannot be used; a damaged file is moved aside and reported.

        With `failed` nothing waits for that: what is added meanwhile is written afterwards, however long another program has
        the file locked, and `failed` is called from the writer thread if it cannot be opened; nobody keeps what is added then.
        """
        self.path = path
        self._name = name
        self._schema = schema
        self._store = store
        self._batch_seconds = batch_seconds
        self._max_waiting = max_waiting
        self._trouble = trouble
        self._upgrade = upgrade
        self._begin = begin
        self._failed = failed
        self._spooled = spooled
        self._waiting: deque[R] = deque()
        self._unwritten: list[R] = []  # the disk did not take them yet
        self._queue: queue.SimpleQueue[tuple[Work, Future[Any]] | Literal["records"] | None] = queue.SimpleQueue()
        self._doubtful = False
        self._closing = threading.Event()
        self.opened: Future[None] = Future()
        """Done when the file can be used; has the SetupError if it cannot."""
        self.opened.set_running_or_notify_cancel()  # who gives up waiting for it cancels it for nobody else
        self._thread = threading.Thread(target=self._run, name=f"offhook-{path.stem}", daemon=True)
        self._thread.start()
        if failed is None:
            self.opened.result()

    def add(self, *records: R) -> bool:
        """Keep records, within `batch_seconds`; False if so many wait for a slow disk that these were refused."""
        if self._is_unusable():
            return True  # which has been told
        if len(self._waiting) + len(self._unwritten) >= self._max_waiting:
            return False
        self._waiting.extend(records)
        if len(self._waiting) == len(records):
            self._queue.put("records")
        return True

    def ask(self, work: Work) -> Any:
        """Return what `work` makes of the database, after everything added before. Raises SetupError if it cannot be used.

        What is not begun by then is not done any more when the disk answers again.
        """
        if not self._thread.is_alive() and not self._is_unusable():
            raise SetupError(f"the {self._name} is closed")
        answer: Future[Any] = Future()
        self._queue.put((work, answer))
        if self._is_unusable():  # behind `put`: either we see that here, or the thread sees what was put
            self._refuse()
        try:
            return answer.result(READ_TIMEOUT)
        except TimeoutError:
            answer.cancel()
            raise SetupError(
                f"the {self._name} {self.path} does not answer: another program has it locked, or the disk is slow"
            ) from None

    def hurry(self) -> None:
        """Wait no longer for a file that is locked: the next thing is `close`."""
        self._closing.set()

    def close(self) -> None:
        """Write what is waiting and close the file. Calling it again does nothing."""
        self.hurry()
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    # --- the writer thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            database = self._open_in_time()
        except (OSError, sqlite3.Error) as exc:
            self._give_up(SetupError(f"cannot open the {self._name} {self.path}: {_reason(exc, self.path.parent)}"))
            return
        except BaseException as exc:  # whatever it is, who opened this waits for an answer
            self._give_up(exc)
            return
        self.opened.set_result(None)
        with contextlib.closing(database):
            while self._batch(database):
                pass
        self._note_end()

    def _batch(self, database: sqlite3.Connection) -> bool:
        """Commit as one what arrives within a batch's time of the first record, or until somebody asks; False: close."""
        item: tuple[Work, Future[Any]] | Literal["records"] | None = "records"
        with contextlib.suppress(queue.Empty):
            item = self._queue.get(timeout=RETRY_SECONDS if self._unwritten else None)
            if item == "records":
                item = self._queue.get(timeout=self._batch_seconds)
        self._write(database)
        if item is None:
            self._tell_unwritten()
            return False
        if item != "records":
            self._answer(database, *item)
        return True

    def _tell_unwritten(self) -> None:
        missing = sum(not self._spooled(record) for record in self._unwritten)
        if missing:
            self._trouble(f"{missing} record(s) are missing in the {self._name} {self.path}")
        if len(self._unwritten) > missing:
            later = len(self._unwritten) - missing
            self._trouble(f"{later} record(s) are not in the {self._name} {self.path} yet: the next start writes them there")

    def _write(self, database: sqlite3.Connection) -> None:
        batch, failed_before = self._unwritten, bool(self._unwritten)
        # Until none is left: only the first record behind that wakes this thread again.
        while self._waiting:
            batch.append(self._waiting.popleft())
        if not batch:
            return
        try:
            with database:
                self._store(database, batch)
        except (sqlite3.OperationalError, OSError) as exc:  # disk full, file system gone read-only: this may pass
            if not failed_before:
                self._trouble(f"the {self._name} {self.path} cannot be written: {exc}; what is new waits until it can")
                _be_patient(database, 0.0)  # who has it locked has had its time: the phone's end waits for no file twice
            return
        except (sqlite3.Error, ValueError) as exc:  # ValueError: a text that none can be made of
            self._doubtful = True
            self._trouble(f"{len(batch)} record(s) are missing in the {self._name} {self.path}: {exc}")
        self._unwritten = []
        if failed_before:
            _be_patient(database, LOCKED_SECONDS)

    def _answer(self, database: sqlite3.Connection, work: Work, answer: Future[Any]) -> None:
        if not answer.set_running_or_notify_cancel():
            return  # who asked has been told that it is not done
        try:
            with database:
                found = work(database)
        except (sqlite3.Error, OSError) as exc:
            self._doubtful = True
            answer.set_exception(SetupError(f"the {self._name} cannot be used: {exc}"))
        else:
            answer.set_result(found)  # behind the commit, which is what a full disk refuses

    def _give_up(self, problem: BaseException) -> None:
        if self._failed is not None:
            problem = problem if isinstance(problem, SetupError) else SetupError(f"cannot open the {self._name}: {problem!r}")
            if not self._closing.is_set():
                self._failed(problem)
            self._unwritten = list(self._waiting)
            self._tell_unwritten()
        self.opened.set_exception(problem)
        self._refuse()

    def _is_unusable(self) -> bool:
        return self.opened.done() and self.opened.exception() is not None

    def _refuse(self) -> None:
        """Answer every question with why the file could not be opened, and forget what was to be written."""
        self._waiting.clear()
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._queue.get_nowait()
                if isinstance(item, tuple) and item[1].set_running_or_notify_cancel():
                    item[1].set_exception(SetupError(str(self.opened.exception())))

    def _open_in_time(self) -> sqlite3.Connection:
        """Open the file; where nobody waits for that, as soon as no other program has it locked."""
        began, told = time.monotonic(), False
        while True:
            try:
                return self._opened_and_begun()
            except sqlite3.OperationalError as exc:
                locked, since = exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY, time.monotonic() - began
                late = since > LOCKED_SECONDS
                if self._failed is None or not locked or (late and self._closing.is_set()) or since > LOCKED_AT_MOST:
                    raise
                if late and not told:
                    told = True
                    text = "is locked by another program: what is new waits until it is not"
                    self._trouble(f"the {self._name} {self.path} {text}")
                self._closing.wait(BETWEEN_LOCKED)

    def _opened_and_begun(self) -> sqlite3.Connection:
        database = self._open()
        try:
            with database:
                self._begin(database)
        except BaseException:
            database.close()
            raise
        return database

    def _open(self) -> sqlite3.Connection:
        private_folder(self.path.parent)
        try:
            return self._connect()
        except sqlite3.DatabaseError as exc:
            # OperationalError is the disk's or the lock's fault, not the file's: moving it aside would lose good records.
            if isinstance(exc, sqlite3.OperationalError):
                raise
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        os.replace(self.path, aside)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._trouble(f"the file of the {self._name} was damaged: it is kept as {aside} and a new one begins")
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        well = self._ended_well()
        private_file(self.path)
        database = sqlite3.connect(self.path, timeout=LOCKED_SECONDS)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            # NORMAL in WAL mode keeps every commit through a crash of ours; only a power cut may take the last ones.
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(f"PRAGMA cache_size = -{CACHE_KB}")
            well = self._forget_end() and well
            if not well and database.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("damaged")
            database.executescript(self._schema)
            self._upgrade(database)
            database.commit()
        except BaseException:
            database.close()
            raise
        return database

    # --- how the last run ended

    @property
    def _end(self) -> Path:
        return self.path.with_name(f"{self.path.name}.end")

    def _note_end(self) -> None:
        """Note what the file is like that was closed properly: reading 100 MB to check it takes seconds on a cold disk."""
        if not self._doubtful:
            with contextlib.suppress(OSError):
                private_file(self._end)
                self._end.write_text(_looks(self.path))

    def _ended_well(self) -> bool:
        """Say whether the file is as it was closed; after a crash, or when somebody has changed it, it is to be checked."""
        try:
            return self._end.read_text() == _looks(self.path)
        except (OSError, ValueError):
            return False

    def _forget_end(self) -> bool:
        """From here on the file changes; False if the note of how it was closed cannot be taken away."""
        try:
            self._end.unlink(missing_ok=True)
        except OSError:
            return False
        return True


def _be_patient(database: sqlite3.Connection, seconds: float) -> None:
    """Have SQLite wait so long for a file that another program has locked."""
    database.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")


def _reason(exc: Exception, folder: Path) -> str:
    """Return why a file cannot be opened: of a full disk SQLite knows no more than "disk I/O error"."""
    with contextlib.suppress(OSError):
        if not shutil.disk_usage(folder).free:
            return f"the disk is full ({exc})"
    return str(exc)


def _looks(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"


def used_bytes(database: sqlite3.Connection) -> int:
    """Return how much of its file a database uses; it is known without reading any of it."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
    return (pages - free) * size
