"""The writer thread: batches, a full disk, a slow one, a damaged file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from offhook.errors import SetupError
from offhook.storage import database
from offhook.storage.database import Database

SCHEMA = "CREATE TABLE IF NOT EXISTS things (name TEXT)"


def store(connection: sqlite3.Connection, batch: Sequence[str]) -> None:
    connection.executemany("INSERT INTO things VALUES (?)", [(name,) for name in batch])


def opened(path: Path, said: list[str], *, waiting: int = 100, told: threading.Event | None = None) -> Database[str]:
    def trouble(text: str) -> None:
        said.append(text)
        if told is not None:
            told.set()

    return Database(path, "book", SCHEMA, store, batch_seconds=0.0, max_waiting=waiting, trouble=trouble)


def names(book: Database[str]) -> list[str]:
    found: list[str] = book.ask(lambda connection: [row[0] for row in connection.execute("SELECT name FROM things")])
    return found


def test_what_is_added_is_there_when_asked(tmp_path: Path) -> None:
    book = opened(tmp_path / "new" / "b.sqlite3", [])
    assert book.add("a", "b")
    assert book.add("c")
    assert names(book) == ["a", "b", "c"]
    book.close()
    book.close()
    with pytest.raises(SetupError, match="closed"):
        names(book)


def limited(book: Database[str], *, full: bool) -> None:
    """Let the file grow no more, or as it likes."""
    book.ask(lambda connection: connection.execute(
        f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0] if full else 1_000_000}"
    ).fetchall())  # fmt: skip


@pytest.mark.parametrize("asked", [True, False])
def test_what_a_full_disk_does_not_take_waits_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.02)
    said: list[str] = []
    told = threading.Event()
    book = opened(tmp_path / "b.sqlite3", said, told=told)
    limited(book, full=True)
    book.add("x" * 100_000)
    assert told.wait(5)
    assert "the book" in said[0]
    assert "full" in said[0]
    assert book.add("small")
    assert names(book) == []
    limited(book, full=False)
    with contextlib.closing(sqlite3.connect(tmp_path / "b.sqlite3")) as reader:
        for _ in range(500):
            found = names(book) if asked else [row[0] for row in reader.execute("SELECT name FROM things")]
            if found:
                break
            time.sleep(0.01)
    assert found == ["x" * 100_000, "small"]
    assert len(said) == 1, "told once"
    book.close()
    assert len(said) == 1


def test_what_is_not_written_at_the_end_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    book = opened(tmp_path / "b.sqlite3", said, waiting=3)
    limited(book, full=True)
    assert [book.add("x" * 100_000) for _ in range(3)] == [True] * 3
    assert names(book) == []
    assert not book.add("one too many")
    book.close()
    assert "cannot be written" in said[0]
    assert said[1:] == [f"3 record(s) are missing in the book {tmp_path / 'b.sqlite3'}"]


def patience(book: Database[str]) -> int:
    """Return how many milliseconds SQLite waits for a file that another program has locked."""
    found: int = book.ask(lambda connection: connection.execute("PRAGMA busy_timeout").fetchone()[0])
    return found


def test_no_file_is_waited_for_twice_that_another_program_has_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The phone's end took five seconds and more for each of its files."""
    monkeypatch.setattr(database, "LOCKED_SECONDS", 0.05)
    said: list[str] = []
    book = opened(tmp_path / "b.sqlite3", said)
    with contextlib.closing(sqlite3.connect(tmp_path / "b.sqlite3")) as other:
        other.execute("BEGIN IMMEDIATE")
        assert patience(book) == 50
        book.add("a")
        assert patience(book) == 0
    assert names(book) == ["a"]
    assert patience(book) == 50
    book.close()
    assert [text.partition(": ")[2] for text in said] == ["database is locked; what is new waits until it can"]


@pytest.mark.parametrize("record", [object(), "\ud800"])  # SQLite takes no such thing
def test_a_record_that_cannot_be_written_holds_up_no_other(tmp_path: Path, record: Any) -> None:
    said: list[str] = []
    book = opened(tmp_path / "b.sqlite3", said)
    book.add(record)
    assert names(book) == []
    assert "1 record(s) are missing in the book" in said[0]
    book.add("sound")
    assert names(book) == ["sound"]
    book.close()


def test_a_slow_disk_refuses_instead_of_waiting(tmp_path: Path) -> None:
    stop = threading.Event()
    book = opened(tmp_path / "b.sqlite3", [], waiting=2)
    worker = threading.Thread(target=lambda: book.ask(lambda _: stop.wait(5)))
    worker.start()
    accepted = [book.add(str(number)) for number in range(20)]
    stop.set()
    worker.join()
    assert False in accepted
    assert names(book) == [str(number) for number in range(20) if accepted[number]]
    book.close()


def hold(book: Database[str], begun: threading.Event, stop: threading.Event) -> None:
    """Keep the writer thread busy, as a locked file does."""

    def work(_: sqlite3.Connection) -> None:
        begun.set()
        stop.wait(5)

    with contextlib.suppress(SetupError):
        book.ask(work)


def test_a_file_that_does_not_answer_is_said_and_what_was_refused_is_not_done_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "READ_TIMEOUT", 0.05)
    stop = threading.Event()
    book = opened(tmp_path / "b.sqlite3", [])
    begun = threading.Event()
    worker = threading.Thread(target=hold, args=(book, begun, stop))
    worker.start()
    assert begun.wait(5)
    with pytest.raises(SetupError, match=r"book .*b\.sqlite3 does not answer: another program has it locked"):
        book.ask(lambda connection: connection.execute("INSERT INTO things VALUES ('late')"))
    stop.set()
    worker.join()
    monkeypatch.undo()
    assert names(book) == []
    book.close()


def test_a_damaged_file_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "b.sqlite3"
    path.write_bytes(b"not a database" * 1000)
    said: list[str] = []
    book = opened(path, said)
    assert "damaged" in said[0]
    assert len(list(tmp_path.glob("b.sqlite3.damaged-*"))) == 1
    assert names(book) == []
    book.close()


@pytest.mark.parametrize("how", ["as it was closed", "changed since", "after a crash"])
def test_only_a_file_that_may_be_damaged_is_read_through(tmp_path: Path, how: str) -> None:
    path = tmp_path / "b.sqlite3"
    book = opened(path, [])
    assert book.add(*("a name of some length" for _ in range(2000)))
    book.close()
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"#" * 4096)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000 * (how == "changed since")))
    if how == "after a crash":
        path.with_name("b.sqlite3.end").unlink()
    said: list[str] = []
    opened(path, said).close()
    assert bool(said) == (how != "as it was closed")


def test_a_file_in_which_something_failed_is_read_through_next_time(tmp_path: Path) -> None:
    path = tmp_path / "b.sqlite3"
    book = opened(path, [])
    with pytest.raises(SetupError, match="cannot be used"):
        book.ask(lambda connection: connection.execute("SELECT * FROM nowhere"))
    book.close()
    assert [each.name for each in tmp_path.iterdir()] == ["b.sqlite3"]


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot open"):
        opened(tmp_path / "file" / "b.sqlite3", [])


def test_whatever_goes_wrong_at_opening_is_told_to_who_opens(tmp_path: Path) -> None:
    path = tmp_path / "b.sqlite3"
    path.write_bytes(b"not a database" * 1000)

    def trouble(text: str) -> None:
        raise RuntimeError(text)

    with pytest.raises(RuntimeError, match="damaged"):
        Database(path, "book", SCHEMA, store, batch_seconds=0.0, max_waiting=1, trouble=trouble)


def test_a_full_disk_on_which_nothing_can_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b.sqlite3").mkdir()
    with pytest.raises(SetupError, match=r"cannot open the book .*: unable to open"):
        opened(tmp_path / "b.sqlite3", [])
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(SetupError, match="the disk is full"):
        opened(tmp_path / "b.sqlite3", [])


def test_a_question_that_the_disk_refuses_is_answered_so_and_the_file_goes_on(tmp_path: Path) -> None:
    book = opened(tmp_path / "b.sqlite3", [])

    def refused(_: sqlite3.Connection) -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(SetupError, match="Permission denied"):
        book.ask(refused)
    book.add("a")
    assert names(book) == ["a"]
    book.close()


def test_what_cannot_be_committed_is_not_done(tmp_path: Path) -> None:
    book = opened(tmp_path / "b.sqlite3", [])
    book.add("a")
    # A full disk refuses the commit, as this does.
    book.ask(lambda connection: connection.executescript(
        "PRAGMA foreign_keys = ON; "
        "CREATE TABLE owned (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owned (id) DEFERRABLE INITIALLY DEFERRED)"
    ))  # fmt: skip
    with pytest.raises(SetupError, match="the book cannot be used"):
        book.ask(lambda connection: connection.execute("INSERT INTO owned VALUES (1, 7)").rowcount)
    assert names(book) == ["a"]
    book.close()
