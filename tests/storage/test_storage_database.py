"""The writer thread: batches, a full disk, a slow one, a damaged file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from offhook.errors import SetupError
from offhook.storage.database import Database

SCHEMA = "CREATE TABLE IF NOT EXISTS things (name TEXT)"


def store(database: sqlite3.Connection, batch: Sequence[str]) -> None:
    database.executemany("INSERT INTO things VALUES (?)", [(name,) for name in batch])


def opened(path: Path, said: list[str], *, waiting: int = 100, told: threading.Event | None = None) -> Database[str]:
    def trouble(text: str) -> None:
        said.append(text)
        if told is not None:
            told.set()

    return Database(path, "book", SCHEMA, store, batch_seconds=0.0, max_waiting=waiting, trouble=trouble)


def names(book: Database[str]) -> list[str]:
    found: list[str] = book.ask(lambda database: [row[0] for row in database.execute("SELECT name FROM things")])
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


def test_a_full_disk_is_reported_and_the_phone_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    told = threading.Event()
    book = opened(tmp_path / "b.sqlite3", said, told=told)
    book.ask(lambda database: database.execute(
        f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0]}"
    ).fetchall())  # fmt: skip
    book.add("x" * 100_000)
    assert told.wait(5)
    assert "1 record(s) are missing in the book" in said[0]
    assert "full" in said[0]
    book.add("small")
    assert names(book) == ["small"]
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


def test_a_damaged_file_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "b.sqlite3"
    path.write_bytes(b"not a database" * 1000)
    said: list[str] = []
    book = opened(path, said)
    assert "damaged" in said[0]
    assert len(list(tmp_path.glob("b.sqlite3.damaged-*"))) == 1
    assert names(book) == []
    book.close()


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
