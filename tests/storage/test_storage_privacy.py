"""Files and folders for this user alone, by whatever means the system has."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from offhook.storage.privacy import (
    folder_trouble,
    keep_private,
    open_private,
    private_again,
    private_file,
    private_folder,
    private_temporary,
    put_in_place,
    write_private,
)
from offhook.testing.sharing import read_by_others, share


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "f"
    private_file(file)
    assert not read_by_others(file)
    file.write_text("kept")
    private_file(file)
    assert file.read_text() == "kept"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_folders_above_are_private_too_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        private_folder(tmp_path / "home" / "state" / "more")
    finally:
        os.umask(before)
    made = [tmp_path / "home", tmp_path / "home" / "state", tmp_path / "home" / "state" / "more"]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in made] == [0o700] * 3


def test_a_drive_that_is_not_there_is_no_folder_in_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of Windows' `Z:\\` the parent is `Z:\\`."""
    monkeypatch.setattr(Path, "exists", lambda _: False)
    private_folder(tmp_path / "home")
    assert (tmp_path / "home").is_dir()


def test_a_file_that_others_read_is_told_and_can_be_taken_back(tmp_path: Path) -> None:
    file = tmp_path / "f"
    private_file(file)
    share(file)
    assert read_by_others(file)
    assert str(file) in private_again(file)
    keep_private(file)
    assert not read_by_others(file)


def test_a_temporary_file_stays_private_under_its_new_name(tmp_path: Path) -> None:
    target = tmp_path / "settings"
    handle, name = private_temporary(target)
    os.close(handle)
    put_in_place(name, target)
    assert not read_by_others(target)


@pytest.mark.lengthy
def test_a_file_somebody_reads_is_replaced_when_he_is_done(tmp_path: Path) -> None:
    target, new = tmp_path / "old", tmp_path / "new"
    target.write_text("old")
    new.write_text("new")
    reader = target.open()
    done = threading.Timer(0.1, reader.close)
    done.start()
    put_in_place(str(new), target)
    done.join()
    assert target.read_text() == "new"


def test_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    private_folder(folder)
    private_folder(folder)
    assert folder_trouble(folder) is None
    share(folder, write=True)
    trouble = folder_trouble(folder)
    assert trouble is not None
    assert "others may write" in trouble[0]
    keep_private(folder)
    assert folder_trouble(folder) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Wine has no icacls")
def test_the_advice_works(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("")
    share(file)
    subprocess.run(["/bin/sh", "-c", private_again(file)], check=True)
    assert not read_by_others(file)


def test_a_file_with_secrets_takes_the_place_of_one_that_others_read(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("before")
    share(file)
    with open_private(file) as stream:
        stream.write(b"secret")
    assert file.read_bytes() == b"secret"
    assert not read_by_others(file)
    with open_private(tmp_path / "new") as stream:
        stream.write(b"secret")
    assert not read_by_others(tmp_path / "new")


@pytest.mark.skipif(os.name != "posix", reason="links want a privilege on Windows")
def test_what_a_link_leads_to_is_not_written_into(tmp_path: Path) -> None:
    theirs, link = tmp_path / "theirs", tmp_path / "keys"
    theirs.write_text("before")
    share(theirs)
    os.link(theirs, tmp_path / "same file")
    link.symlink_to(theirs)
    with open_private(link) as stream:
        stream.write(b"secret")
    assert (tmp_path / "same file").read_text() == "before"
    assert theirs.read_bytes() == b"secret"
    assert not read_by_others(theirs)


@pytest.mark.skipif(os.name != "posix", reason="links and modes are POSIX's")
@pytest.mark.parametrize("kept", [False, True])
def test_a_link_and_who_may_read_are_kept_only_where_that_is_wanted(tmp_path: Path, kept: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    target.chmod(0o644)
    link.symlink_to(target)
    write_private(link, "secret", as_it_was=kept)
    assert (link.is_symlink(), target.read_text()) == ((True, "secret") if kept else (False, "before"))
    assert stat.S_IMODE(link.stat().st_mode) == (0o644 if kept else 0o600)
    write_private(tmp_path / "new", "secret", as_it_was=kept)
    assert not read_by_others(tmp_path / "new")


def test_a_file_that_is_put_there_meanwhile_is_not_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys"
    monkeypatch.setattr(Path, "unlink", lambda path, *, missing_ok: path.write_text("theirs"))
    with pytest.raises(FileExistsError):
        open_private(file)
    assert file.read_text() == "theirs"


def test_a_device_is_written_to_as_it_is() -> None:
    with open_private(Path(os.devnull)) as stream:
        stream.write(b"secret")
    assert Path(os.devnull).exists()


def test_a_full_disk_is_told_with_the_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        write_private(tmp_path / "kept", "text")
    assert raised.value.filename == str(tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []
