"""The call history on a real disk."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from offhook.errors import SetupError
from offhook.phone.records import HistoryEntry, WantedCalls
from offhook.storage.history import History


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def call(number: int, **changes: object) -> HistoryEntry:
    record = HistoryEntry(
        id=f"call-{number}", account="office", direction="incoming", remote_uri=f"sip:{number}@pbx.example",
        remote_display="Ann", started=at(1000 + number), answered=None, ended=at(1010.5 + number), duration=0.0,
        sip_status=487, reason="Cancelled", end_by="remote", missed=True,
    )
    return structs.replace(record, **changes)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[History]:
    opened = History(tmp_path / "state" / "history.sqlite3")
    yield opened
    opened.close()


def test_what_is_added_is_listed_newest_first(book: History) -> None:
    for number in (1, 3, 2):
        book.add(call(number))
    assert [record.id for record in book.list()] == ["call-3", "call-2", "call-1"]
    assert book.list()[0] == call(3)


def test_a_record_keeps_every_field_over_a_restart(tmp_path: Path) -> None:
    record = call(
        1, answered=at(1002.5), duration=7.5, missed=False, recording="/r/ä.wav", direction="outgoing",
        tags=(("order", "4711"), ("note", "zwei\nZeilen")),
    )  # fmt: skip
    first = History(tmp_path / "h.sqlite3")
    first.add(record)
    first.close()
    first.close()
    second = History(tmp_path / "h.sqlite3")
    assert second.list() == (record,)
    assert second.get("call-1") == record
    assert second.get("nobody") is None
    second.close()
    with pytest.raises(SetupError, match="closed"):
        second.list()


def test_a_file_of_the_first_version_is_read_on(tmp_path: Path) -> None:
    """Histories from before calls had figures."""
    path = tmp_path / "h.sqlite3"
    old = sqlite3.connect(path)
    old.execute(
        "CREATE TABLE calls (id TEXT PRIMARY KEY, account TEXT, direction TEXT, remote_uri TEXT, remote_display TEXT,"
        " started REAL, answered REAL, ended REAL, duration_s REAL, sip_status INTEGER, reason TEXT, end_by TEXT,"
        " missed INTEGER, recording TEXT) WITHOUT ROWID"
    )
    old.execute("PRAGMA user_version = 1")
    record = call(1)
    row = ("call-1", "office", "in", record.remote_uri, "Ann", 1001.0, None, 1011.5, 0.0, 487, "Cancelled", "remote", 1, "")
    old.execute(f"INSERT INTO calls VALUES ({', '.join('?' * len(row))})", row)
    old.commit()
    old.close()
    for _ in range(2):
        book = History(path)
        assert book.get("call-1") == record
        book.add(call(2, codec="PCMU", mos=4.3, remote_mos=4.1, loss=0.01, jitter_ms=2.5, rtt_ms=20.0))
        assert book.get("call-2") == call(2, codec="PCMU", mos=4.3, remote_mos=4.1, loss=0.01, jitter_ms=2.5, rtt_ms=20.0)
        book.close()


@pytest.mark.parametrize("dropped", [(), ("rtt_ms", "jitter_ms"), ("tags",)])
def test_a_file_that_an_earlier_phone_opened_or_whose_upgrade_was_cut_off_is_read_on(
    tmp_path: Path, dropped: tuple[str, ...]
) -> None:
    path = tmp_path / "h.sqlite3"
    book = History(path)
    book.add(call(1))
    book.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 1")
        for column in dropped:
            database.execute(f"ALTER TABLE calls DROP COLUMN {column}")
    book = History(path)
    assert book.get("call-1") == call(1)
    book.close()


def test_paging_misses_and_repeats_nothing(book: History) -> None:
    for number in range(25):
        book.add(call(number, started=at(1000 + number // 3)))
    seen: list[str] = []
    while page := book.list(10, before=seen[-1] if seen else ""):
        seen += [record.id for record in page]
    assert len(seen) == len(set(seen)) == 25


@pytest.mark.parametrize(("wanted", "numbers"), [
    (WantedCalls(), [6, 5, 4, 3, 2, 1]),
    (WantedCalls(direction="outgoing"), [2]), (WantedCalls(direction="incoming", missed=True), [6, 5, 4, 1]),
    (WantedCalls(account="home"), [3]), (WantedCalls(account="hom"), []),
    (WantedCalls(remote="müller"), [4]), (WantedCalls(remote="5@PBX"), [5]), (WantedCalls(remote="%"), []),
    (WantedCalls(tag="order"), [6, 5]), (WantedCalls(tag="order=4711"), [5]), (WantedCalls(tag="order="), []),
    (WantedCalls(tag="note=a=b"), [5]), (WantedCalls(tag="ord"), []),
    (WantedCalls(since=at(1005)), [6, 5]), (WantedCalls(until=at(1002)), [1]),
    (WantedCalls(since=at(1002), until=at(1004), missed=True), []),
])  # fmt: skip
def test_only_wanted_calls_are_listed_and_paged(book: History, wanted: WantedCalls, numbers: list[int]) -> None:
    for record in (
        call(1), call(2, direction="outgoing", missed=False), call(3, account="home", missed=False),
        call(4, remote_display="Jörg MÜLLER"), call(5, tags=(("order", "4711"), ("note", "a=b"))),
        call(6, tags=(("order", "4712"),)),
    ):  # fmt: skip
        book.add(record)
    assert [record.id for record in book.list(wanted=wanted)] == [f"call-{number}" for number in numbers]
    seen: list[str] = []
    while page := book.list(1, seen[-1] if seen else "", wanted):
        seen += [record.id for record in page]
    assert seen == [f"call-{number}" for number in numbers]


def test_the_same_id_replaces(book: History) -> None:
    book.add(call(1))
    book.add(call(1, reason="Busy"))
    assert [record.reason for record in book.list()] == ["Busy"]


def test_delete_and_clear(book: History) -> None:
    for number in range(3):
        book.add(call(number))
    assert book.delete("call-1")
    assert not book.delete("call-1")
    assert book.clear() == 2
    assert book.list() == ()


def test_a_damaged_file_is_moved_aside_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"
    path.write_bytes(b"this is no database" * 100)
    said: list[str] = []
    book = History(path, trouble=said.append)
    book.add(call(1))
    assert len(book.list()) == 1
    book.close()
    assert "damaged" in said[0]
    assert [each.read_bytes()[:7] for each in tmp_path.glob("*.damaged-*")] == [b"this is"]


@pytest.mark.lengthy
def test_kill_9_keeps_what_was_committed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from test_storage_history import call; from offhook.storage.history import History\n"
        "book = History(Path(sys.argv[1]))\n"
        "[book.add(call(n)) for n in range(50)]; book.list(1); print('written', flush=True); sys.stdin.read()\n"
    )
    path = tmp_path / "h.sqlite3"
    command = [sys.executable, "-c", program, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline().rstrip() == b"written"
        child.kill()
    book = History(path, trouble=pytest.fail)
    assert len(book.list()) == 50
    book.close()
