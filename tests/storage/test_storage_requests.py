"""What was asked with an Idempotency-Key on a real disk: it is there after a kill -9, and a disk that takes nothing is told."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from offhook.errors import SetupError
from offhook.storage import database, requests
from offhook.storage.requests import RequestFile

KILLED = """
import os, signal, sys
from pathlib import Path
from offhook.storage.requests import RequestFile

found = RequestFile(Path(sys.argv[1]), "a1")
for number in range(40):
    found.note("crm", f"k{number}", float(number), b'{"n":%d}' % number)
found.note("crm", "k1", 1.0, b'{"n":"again"}')
found.forget("crm", "k2")
os.kill(os.getpid(), signal.SIGKILL)
"""


def kept(path: Path, run: str) -> dict[str, bytes]:
    file = RequestFile(path, run, pytest.fail)
    try:
        return {key: note for _, key, _, note in file.load()}
    finally:
        file.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGKILL")
def test_a_phone_that_is_killed_leaves_all_it_had_noted(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite3"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=60)
    found = kept(path, "b2")
    assert len(found) == 39
    assert (found["k1"], found["k39"]) == (b'{"n":"again"}', b'{"n":39}')
    assert "k2" not in found
    assert kept(path, "c3") == found
    assert sorted(each.name for each in tmp_path.iterdir()) == ["requests.sqlite3", "requests.sqlite3.end"]


def test_the_latest_note_counts_and_requests_come_the_oldest_first(tmp_path: Path) -> None:
    path = tmp_path / "state" / "requests.sqlite3"
    file = RequestFile(path, "a1")
    for key, begun in (("late", 3.0), ("early", 1.0), ("gone", 2.0)):
        file.note("crm", key, begun, b"{}")
    file.note("other", "early", 4.0, b'{"c":"other"}')
    file.note("crm", "late", 3.0, b'{"answer":1}')
    file.forget("crm", "gone")
    assert [(client, key, note) for client, key, _, note in file.load()] == [
        ("crm", "early", b"{}"), ("crm", "late", b'{"answer":1}'), ("other", "early", b'{"c":"other"}'),
    ]  # fmt: skip
    file.close()
    assert list(kept(path, "b2")) == ["early", "late"]


def test_a_full_disk_is_told_once_and_what_came_meanwhile_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    path = tmp_path / "requests.sqlite3"
    file = RequestFile(path, "a1", told.append)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    file.note("crm", "k1", 1.0, b"{}")
    file.note("crm", "k2", 2.0, b"{}")
    monkeypatch.undo()
    assert len(told) == 1
    assert "cannot be written down: No space left on device; if the phone ends now" in told[0]
    file.close()
    assert list(kept(path, "b2")) == ["k1", "k2"]


def test_a_line_that_a_crash_cut_off_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite3"
    line = b'[1,"crm","k1",1.5,{"a":1}]\n'
    path.with_name("requests.sqlite3.spool-a1-000001").write_bytes(line + b"[2,broken\n" + line.replace(b"k1", b"k3") + b"[4,")
    told: list[str] = []
    file = RequestFile(path, "b2", told.append)
    assert [key for _, key, _, _ in file.load()] == ["k1", "k3"]
    assert told == ["a line about an answered request was damaged and is left out"]
    file.close()


def test_a_recovery_that_breaks_off_loses_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool file goes when the next one is read: what stood in it has to be in the database by then."""
    path = tmp_path / "requests.sqlite3"
    for number in (1, 2):
        path.with_name(f"{path.name}.spool-a1-00000{number}").write_bytes(b'[%d,"crm","k%d",1.5,{}]\n' % (number, number))
    real = requests._keep

    def full(database: sqlite3.Connection, line: requests._Line) -> None:
        if line[2] == "k2":
            raise sqlite3.OperationalError("database or disk is full")
        real(database, line)

    monkeypatch.setattr(requests, "_keep", full)
    with pytest.raises(SetupError, match="disk is full"):
        RequestFile(path, "b2")
    monkeypatch.undo()
    assert sorted(kept(path, "c3")) == ["k1", "k2"]


def test_a_file_that_is_locked_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "requests.sqlite3"
    RequestFile(path, "a1").close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(database, "LOCKED_SECONDS", 0.01)
    with pytest.raises(SetupError, match=r"cannot open the list of answered requests .*locked"):
        RequestFile(path, "b2")
    other.close()
    assert kept(path, "b2") == {}


def test_a_folder_in_which_nothing_can_be_spooled_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(requests, "Spool", refused)
    with pytest.raises(SetupError, match=r"cannot write beside .*: Permission denied"):
        RequestFile(tmp_path / "requests.sqlite3", "a1")


def test_a_second_phone_with_the_same_folder_stops_no_first_one(tmp_path: Path) -> None:
    """`--socket` starts one."""
    path = tmp_path / "requests.sqlite3"
    first = RequestFile(path, "a1", pytest.fail)
    first.note("crm", "k1", 1.0, b"{}")
    assert len(first.load()) == 1
    second = RequestFile(path, "b2", pytest.fail)
    first.note("crm", "k2", 2.0, b"{}")
    assert [key for _, key, _, _ in first.load()] == ["k1", "k2"]
    second.note("crm", "k3", 3.0, b"{}")
    second.close()
    first.close()
    assert sorted(kept(path, "c3")) == ["k1", "k2", "k3"]
    assert list(tmp_path.glob("*.spool-*")) == []
