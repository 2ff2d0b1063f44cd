"""The journal on a real disk: what was told is there after a kill -9, pages go over runs, old events make room and say so."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import queue
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from offhook.errors import SetupError
from offhook.io import clock
from offhook.io.journal import Cursor, Envelope, EnvelopeMaker
from offhook.phone.events import SystemError, SystemReady
from offhook.storage import database, spool
from offhook.storage import journal as module
from offhook.storage.journal import DiskJournal


def envelopes(maker: EnvelopeMaker, count: int) -> list[Envelope]:
    return [maker.make(SystemReady(address=f"{maker.epoch}-{number}")) for number in range(count)]


def ids(journal: DiskJournal, after: Cursor, limit: int = 1000) -> list[str]:
    return [str(event.cursor) for event in asyncio.run(journal.read(after, limit)).events]


def opened(path: Path, epoch: str, **options: float) -> tuple[DiskJournal, EnvelopeMaker]:
    clock = iter(range(1_700_000_000, 1_800_000_000))
    journal = DiskJournal(path, epoch, trouble=pytest.fail, **options)  # type: ignore[arg-type]
    return journal, EnvelopeMaker(epoch, lambda: float(next(clock)))


def test_a_reader_goes_on_over_runs(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal.sqlite3"
    keep = 10 * 365 * 86400.0
    for epoch in ("a1", "b2", "c3"):
        journal, maker = opened(path, epoch, keep_seconds=keep)
        journal.append(envelopes(maker, 3))
        journal.close()
    journal, maker = opened(path, "d4", keep_seconds=keep)
    journal.append(envelopes(maker, 2))
    everything = [f"{epoch}-{n}" for epoch in ("a1", "b2", "c3") for n in (1, 2, 3)]
    # The batch may not have been moved yet: what is not on the disk is in memory, and the reader asks again from its place.
    seen: list[str] = []
    cursor = Cursor("a1", 0)
    while page := asyncio.run(journal.read(cursor, 4)).events:
        seen += [str(event.cursor) for event in page]
        cursor = page[-1].cursor
        journal._database.ask(lambda _: None)
    assert seen == [*everything, "d4-1", "d4-2"]
    assert ids(journal, Cursor("b2", 2))[:3] == ["b2-3", "c3-1", "c3-2"]
    # A client that saw more than was kept of a run goes on with the next run.
    assert ids(journal, Cursor("b2", 99))[0] == "c3-1"
    journal.close()
    assert sorted(found.name for found in path.parent.iterdir()) == ["journal.sqlite3", "journal.sqlite3.end"]


def test_a_reader_from_the_run_before_need_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, maker = opened(tmp_path / "j", "a1", keep_seconds=10 * 365 * 86400.0)
    journal.append(envelopes(maker, 2))
    journal.close()
    monkeypatch.setattr(module, "BATCH_SECONDS", 3600.0)
    journal, maker = opened(tmp_path / "j", "b2", keep_seconds=10 * 365 * 86400.0)
    journal.append(envelopes(maker, 2))
    assert ids(journal, Cursor("a1", 2)) == ["b2-1", "b2-2"]
    journal.close()


def test_a_cursor_nobody_knows_is_a_loss(tmp_path: Path) -> None:
    journal, maker = opened(tmp_path / "j", "a1", recent=2, keep_seconds=10 * 365 * 86400.0)
    journal.append(envelopes(maker, 5))
    journal._database.ask(lambda _: None)
    page = asyncio.run(journal.read(Cursor("zz", 4), 10))
    assert page.lost == Cursor("zz", 4)
    assert [str(event.cursor) for event in page.events] == [f"a1-{n}" for n in range(1, 6)]
    journal.close()


def test_old_events_make_room_and_the_loss_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIDY_SECONDS", 0.0)
    journal, maker = opened(tmp_path / "j", "a1", keep_events=10, recent=2, keep_seconds=10 * 365 * 86400.0)
    for _ in range(5):
        journal.append(envelopes(maker, 10))
        journal._database.ask(lambda _: None)
    page = asyncio.run(journal.read(Cursor("a1", 3), 100))
    assert page.lost == Cursor("a1", 3)
    assert [event.cursor.seq for event in page.events] == list(range(41, 51))
    assert asyncio.run(journal.read(Cursor("a1", 40), 100)).lost is None
    assert asyncio.run(journal.read(Cursor("a1", 39), 100)).lost is not None
    journal.close()


def test_long_events_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIDY_SECONDS", 0.0)
    journal, maker = opened(tmp_path / "j", "a1", keep_bytes=200_000, recent=2, keep_seconds=10 * 365 * 86400.0)
    for _ in range(30):
        journal.append([maker.make(SystemError(reason="x" * 20_000))])
        journal._database.ask(lambda _: None)
    page = asyncio.run(journal.read(Cursor("a1", 0), 100))
    assert page.lost == Cursor("a1", 0)
    assert [event.cursor.seq for event in page.events] == list(range(31 - len(page.events), 31))
    assert 5 <= len(page.events) <= 10
    journal.close()


class Clocks:
    """Both clocks of a machine: that of the wall, which may be set, and that of its own running."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.running = 1_700_000_000.0, 5000.0
        monkeypatch.setattr(clock, "wall", lambda: self.wall)
        monkeypatch.setattr(clock, "awake_or_asleep", lambda: self.running)

    def go_on(self, seconds: float) -> None:
        self.wall += seconds
        self.running += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def run(path: Path, epoch: str, **options: float) -> tuple[DiskJournal, EnvelopeMaker]:
    """Return a journal by the machine's clocks, which keeps a day."""
    return DiskJournal(path, epoch, recent=1, trouble=pytest.fail, **options), EnvelopeMaker(epoch, clock.wall)  # type: ignore[arg-type]


def written(journal: DiskJournal, maker: EnvelopeMaker, count: int = 1) -> list[str]:
    """Append events, and return what the disk has then."""
    journal.append(envelopes(maker, count))
    journal._database.ask(lambda _: None)
    found: list[str] = journal._database.ask(lambda database: [f"{name}-{seq}" for name, seq in database.execute(
        "SELECT epochs.name, seq FROM events JOIN epochs ON number = epoch ORDER BY epoch, seq"
    )])  # fmt: skip
    return found


def test_a_clock_that_is_put_back_stops_no_tidying(tmp_path: Path, clocks: Clocks) -> None:
    clocks.wall += 300_000_000
    journal, maker = run(tmp_path / "j", "a1", keep_events=10)
    written(journal, maker)
    clocks.wall -= 300_000_000
    clocks.go_on(61)
    assert written(journal, maker, 50) == [f"a1-{number}" for number in range(42, 52)]
    journal.close()


def test_events_expire(tmp_path: Path, clocks: Clocks) -> None:
    journal, maker = run(tmp_path / "j", "a1")
    written(journal, maker, 2)
    journal.close()
    clocks.go_on(12 * 3600)
    journal, maker = run(tmp_path / "j", "b2")
    assert written(journal, maker) == ["a1-1", "a1-2", "b2-1"]
    clocks.go_on(11 * 3600)
    assert written(journal, maker) == ["a1-1", "a1-2", "b2-1", "b2-2"]
    clocks.go_on(2 * 3600)
    assert written(journal, maker) == ["b2-1", "b2-2", "b2-3"]
    clocks.go_on(12 * 3600)
    assert written(journal, maker) == ["b2-2", "b2-3", "b2-4"]
    assert asyncio.run(journal.read(Cursor("b2", 0), 100)).lost == Cursor("b2", 0)
    journal.close()


@pytest.mark.parametrize("set_by", [70 * 365 * 86400.0, -50 * 365 * 86400.0])
def test_no_event_expires_because_the_clock_was_set(tmp_path: Path, clocks: Clocks, set_by: float) -> None:
    journal, maker = run(tmp_path / "j", "a1")
    written(journal, maker)
    journal.close()
    clocks.go_on(60)
    journal, maker = run(tmp_path / "j", "b2")
    written(journal, maker)
    for step in (set_by, -set_by):
        clocks.go_on(3 * 3600)
        clocks.wall += step
        kept = written(journal, maker)
    assert kept == ["a1-1", "b2-1", "b2-2", "b2-3"]
    journal.close()


def test_a_machine_that_starts_in_the_wrong_year_forgets_nothing(tmp_path: Path, clocks: Clocks) -> None:
    journal, maker = run(tmp_path / "j", "a1")
    written(journal, maker)
    journal.close()
    clocks.wall += 12 * 365 * 86400.0
    journal, maker = run(tmp_path / "j", "b2")
    written(journal, maker)
    clocks.go_on(120)
    clocks.wall -= 12 * 365 * 86400.0
    for _ in range(3):
        clocks.go_on(3600)
        kept = written(journal, maker)
    assert kept == ["a1-1", "b2-1", "b2-2", "b2-3", "b2-4"]
    journal.close()


def test_a_full_disk_is_told_once_and_the_phone_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    journal = DiskJournal(tmp_path / "j", "a1", trouble=said.append)
    maker = EnvelopeMaker("a1", lambda: 1.0)
    real = os.write
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    for _ in range(3):
        journal.append(envelopes(maker, 1))
    monkeypatch.setattr(os, "write", real)
    assert said == ["events cannot be written down: No space left on device"]
    assert [event.cursor.seq for event in journal.recent(Cursor("a1", 0), 10) or ()] == [1, 2, 3]
    journal.close()


def test_no_event_is_lost_to_a_full_disk_that_has_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool has taken all of them, and its pieces go away only when they are in SQLite."""
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1000)
    said: list[str] = []
    journal = DiskJournal(tmp_path / "j", "a1", recent=1, keep_seconds=10 * 365 * 86400.0, trouble=said.append)
    maker = EnvelopeMaker("a1", lambda: 1_700_000_000.0)

    def pages(most: str) -> None:
        journal._database.ask(lambda database: database.execute(f"PRAGMA max_page_count = {most}").fetchall())

    pages("1")
    for _ in range(50):
        journal.append(envelopes(maker, 10))
        journal._database.ask(lambda _: None)
    assert len(said) == 1
    pages("1000000")
    journal.append(envelopes(maker, 1))
    journal._database.ask(lambda _: None)
    assert ids(journal, Cursor("a1", 0)) == [f"a1-{number}" for number in range(1, 502)]
    journal.close()
    assert sorted(found.name for found in tmp_path.iterdir()) == ["j", "j.end"]


def test_a_piece_of_the_spool_that_cannot_be_deleted_holds_nothing_up_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1000)
    said: list[str] = []
    journal = DiskJournal(tmp_path / "j", "a1", recent=1, keep_seconds=10 * 365 * 86400.0, trouble=said.append)
    maker = EnvelopeMaker("a1", lambda: 1_700_000_000.0)

    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for _ in range(20):
        journal.append(envelopes(maker, 1))
    with monkeypatch.context() as patched:
        patched.setattr(os, "truncate", read_only)
        for _ in range(5):
            journal.append(envelopes(maker, 10))
            journal._database.ask(lambda _: None)
    assert len(said) == 1
    assert "Read-only file system" in said[0]
    journal.append(envelopes(maker, 1))
    journal._database.ask(lambda _: None)
    assert ids(journal, Cursor("a1", 0)) == [f"a1-{number}" for number in range(1, 72)]
    journal.close()


def test_the_spool_is_cut_in_pieces_that_go_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1000)
    journal, maker = opened(tmp_path / "j", "a1")
    for _ in range(50):
        journal.append(envelopes(maker, 10))
        journal._database.ask(lambda _: None)
    assert len(list(tmp_path.glob("j.spool-*"))) <= 3
    journal.close()
    assert list(tmp_path.glob("j.spool-*")) == []


KILLED = """
import os, sys
from pathlib import Path
from offhook.io.journal import EnvelopeMaker
from offhook.phone.events import SystemError, SystemReady
from offhook.storage.journal import DiskJournal
journal = DiskJournal(Path(sys.argv[1]), "dead")
maker = EnvelopeMaker("dead", lambda: __import__("time").time())
for number in range(1000):
    journal.append([maker.make(SystemReady(address=str(number)))])
    os.write(1, b".")  # told
if sys.platform == "win32":
    import ctypes
    ctypes.windll.kernel32.TerminateProcess(ctypes.c_void_p(-1), 9)
os.kill(os.getpid(), 9)
"""


@pytest.mark.lengthy
def test_kill_9_loses_nothing_that_was_told(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, check=False)
    assert done.returncode in (-9, 9), done.stderr
    # As if it had died in the middle of a line.
    newest = max(tmp_path.glob("*.spool-*"))
    newest.write_bytes(newest.read_bytes() + b'{"v":1,"epoch":"dead","seq":1001,"ty')
    journal = DiskJournal(path, "next", trouble=pytest.fail)
    assert ids(journal, Cursor("dead", 0), 5000) == [f"dead-{number}" for number in range(1, len(done.stdout) + 1)]
    assert list(tmp_path.glob("*.spool-dead-*")) == []
    journal.close()


def test_the_spool_of_a_phone_that_lives_is_left_alone(tmp_path: Path) -> None:
    first, maker = opened(tmp_path / "j", "a1")
    first.append(envelopes(maker, 3))
    second, _ = opened(tmp_path / "j", "b2")
    assert len(list(tmp_path.glob("j.spool-a1-*"))) == 1
    second.close()
    first.append(envelopes(maker, 1))
    first.close()


def test_a_damaged_line_costs_only_itself(tmp_path: Path) -> None:
    maker = EnvelopeMaker("x1", lambda: 5e9)
    lines = [envelope.json for envelope in envelopes(maker, 3)]
    (tmp_path / "j.spool-x1-000001").write_bytes(lines[0] + b"\n\xff garbage\n" + lines[2] + b"\n")
    said: list[str] = []
    journal = DiskJournal(tmp_path / "j", "y2", trouble=said.append)
    assert ids(journal, Cursor("x1", 0)) == ["x1-1", "x1-3"]
    assert "damaged" in said[0]
    journal.close()


def test_a_spool_that_cannot_be_read_is_told_and_left_alone(tmp_path: Path) -> None:
    """As after somebody has started the phone as root, once."""
    (tmp_path / "j.spool-x1-000001").mkdir()
    maker = EnvelopeMaker("x2", lambda: 5e9)
    (tmp_path / "j.spool-x2-000001").write_bytes(envelopes(maker, 1)[0].json + b"\n")
    said: list[str] = []
    journal = DiskJournal(tmp_path / "j", "y2", trouble=said.append)
    assert ids(journal, Cursor("x2", 0)) == ["x2-1"]
    assert len(said) == 1
    assert "j.spool-x1-000001 cannot be read" in said[0]
    journal.close()
    assert (tmp_path / "j.spool-x1-000001").exists()
    assert not (tmp_path / "j.spool-x2-000001").exists()


def test_a_journal_beside_which_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "Spool", full)
    with pytest.raises(SetupError, match="No space left on device"):
        DiskJournal(tmp_path / "j", "a1")


def test_a_file_that_cannot_be_opened_costs_the_events_of_earlier_runs_alone(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    said: list[str] = []
    journal = DiskJournal(tmp_path / "j", "a1", recent=2, trouble=said.append)
    maker = EnvelopeMaker("a1", lambda: 1.0)
    page = asyncio.run(journal.read(Cursor("z9", 4), 10))
    assert (page.events, page.lost) == ((), Cursor("z9", 4))
    journal.append(envelopes(maker, 4))
    page = asyncio.run(journal.read(Cursor("a1", 0), 10))
    assert ([event.cursor.seq for event in page.events], page.lost) == ([3, 4], Cursor("a1", 0))
    assert [text.partition(": ")[0] for text in said] == [module.IN_MEMORY]
    assert sum(each.stat().st_size for each in tmp_path.glob("j.spool-*")) == 0, "nothing grows"
    journal.close()


def test_a_file_that_is_locked_at_the_start_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start of the phone waited for it, and was without the journal until the next one."""
    path = tmp_path / "journal.sqlite3"
    DiskJournal(path, "z9").close()
    monkeypatch.setattr(database, "LOCKED_SECONDS", -1.0)
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        journal = DiskJournal(path, "a1", recent=1, keep_seconds=10 * 365 * 86400.0, trouble=told.put)
        journal.append(envelopes(EnvelopeMaker("a1", lambda: 1_700_000_000.0), 4))
        assert "locked by another program: what is new waits" in told.get(timeout=5)
        assert not journal._database.opened.done()
    journal._database.ask(lambda _: None)
    assert ids(journal, Cursor("a1", 0)) == ["a1-1", "a1-2", "a1-3", "a1-4"]
    journal.close()
    assert told.empty()
    assert list(tmp_path.glob("*.spool-*")) == []


def test_what_is_told_after_the_end_touches_no_file(tmp_path: Path) -> None:
    """A surface that ended later had its event written into whatever file had the number of ours by then."""
    journal, maker = opened(tmp_path / "j.sqlite3", "a1")
    journal.append(envelopes(maker, 1))
    descriptor = journal._spool._descriptor if journal._spool is not None else -1
    journal.close()
    with open(tmp_path / "another", "wb") as another:
        if another.fileno() != descriptor:
            os.dup2(another.fileno(), descriptor)
        journal.append(envelopes(maker, 1))
        if another.fileno() != descriptor:
            os.close(descriptor)
    assert (tmp_path / "another").read_bytes() == b""
    assert journal.head == Cursor("a1", 2)


def test_a_file_that_stays_locked_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that has no locks: what waits must not grow for ever."""
    path = tmp_path / "journal.sqlite3"
    DiskJournal(path, "z9").close()
    monkeypatch.setattr(database, "LOCKED_SECONDS", 0.01)
    monkeypatch.setattr(database, "LOCKED_AT_MOST", 0.0)
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        journal = DiskJournal(path, "a1", trouble=told.put)
        assert told.get(timeout=5).startswith(module.IN_MEMORY)
        journal.append(envelopes(EnvelopeMaker("a1", lambda: 1.0), 4))
        journal.close()
    assert sum(each.stat().st_size for each in tmp_path.glob("j*.spool-*")) == 0


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize(("full", "words"), [
    (False, "4 record(s) are not in the event journal {} yet: the next start writes them there"),
    (True, "4 record(s) are missing in the event journal {}"),
])
def test_what_a_locked_file_did_not_take_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool, words: str, running: bool
) -> None:
    path = tmp_path / "journal.sqlite3"
    monkeypatch.setattr(database, "LOCKED_SECONDS", 0.05)
    told: list[str] = []
    other = sqlite3.connect(path)
    if not running:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
    journal = DiskJournal(path, "a1", trouble=told.append)
    if running:
        journal._database.opened.result(5)
        other.execute("BEGIN IMMEDIATE")
    if full:
        assert journal._spool is not None
        monkeypatch.setattr(journal._spool, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    journal.append(envelopes(EnvelopeMaker("a1", time.time), 4))
    journal.close()
    assert told[-1] == words.format(path)
    other.close()
    again = DiskJournal(path, "b2", trouble=pytest.fail)
    assert ids(again, Cursor("a1", 0)) == ([] if full else ["a1-1", "a1-2", "a1-3", "a1-4"])
    again.close()
