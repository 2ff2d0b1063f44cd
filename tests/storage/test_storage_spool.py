"""Lines that survive a kill -9: where no further file can be opened, and where the disk takes half a line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from offhook.storage import spool
from offhook.storage.spool import Spool, left_behind


def lines(base: Path) -> list[bytes]:
    """Return what the next start finds."""
    return [line for piece in left_behind(base, pytest.fail) for line in piece]


def test_where_no_further_file_can_be_opened_the_one_that_is_open_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 10)
    found = Spool(tmp_path / "journal", "a1")
    found.write(b"one, and long\n", 1)

    def too_many(_: Path) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(spool, "private_file", too_many)
        found.write(b"two\n", 2)
    found.release(1)  # a descriptor that is closed here may be somebody's connection the next moment
    found.write(b"three\n", 3)
    found.write(b"four\n", 4)
    found.close(0)
    assert lines(tmp_path / "journal") == [b"one, and long", b"two", b"three", b"four"]
    assert list(tmp_path.iterdir()) == []


def test_a_line_of_which_the_disk_took_half_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Spool(tmp_path / "journal", "a1")
    found.write(b"one\n", 1)
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) < 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:2])

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            found.write(b"two\n", 2)
    found.write(b"three\n", 3)
    found.close(0)
    assert lines(tmp_path / "journal") == [b"one", b"three"]
