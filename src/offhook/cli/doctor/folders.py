"""Folders and disk: can history and recordings be written, and is there room."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding
from offhook.storage.privacy import folder_trouble

LITTLE = 200 * 1024 * 1024
"""Bytes free under which it is time to make room: some hours of recording."""
TOO_LITTLE = 10 * 1024 * 1024
RECORDING_RATE = 16_000
"""Bytes a second: 8 kHz, 16 bits, mono."""
SQLITE_HEAD = b"SQLite format 3\0"


def look_at_folders(case: Case) -> Iterator[Finding]:
    """Look at the history's folder and the recordings' folder."""
    yield from _folder("history", case.where.state)
    yield from _history_file(case.where.history_file)
    recordings = str(case.fact("recordings", "")) or case.config.phone.recording_dir or str(case.where.recordings)
    yield from _folder("recordings", Path(recordings).expanduser())


def _folder(name: str, folder: Path) -> Iterator[Finding]:
    try:
        place = _nearest(folder)
        trouble = _trouble(folder, place)
        free = shutil.disk_usage(place).free
    except OSError as error:
        yield Finding(name, "wrong", f"{folder} cannot be looked at: {error.strerror or error}", _elsewhere(name))
        return
    if trouble:
        yield Finding(name, "wrong", *trouble)
        return
    text = f"{folder} {'can be written' if place == folder else 'will be made when it is needed'}, {_size(free)} free"
    if name == "recordings":
        text += f", about {free / RECORDING_RATE / 3600:.0f} hours of recording"
    if free < LITTLE:
        yield Finding(name, "wrong" if free < TOO_LITTLE else "warning", text, "make room on that disk")
    else:
        yield Finding(name, "ok", text)


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that there is."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists() or place.is_symlink())


def _trouble(folder: Path, place: Path) -> tuple[str, str] | None:
    """Return what keeps us from writing, and what to do; None if nothing does. Mirrors what `make_private` refuses."""
    facts = place.stat()
    if not stat.S_ISDIR(facts.st_mode):
        return f"{place} is in the way: it is no folder", f"move it: mv '{place}' '{place}.old'"
    if place == folder and (trouble := folder_trouble(folder)) is not None:
        return trouble
    effective = os.access in os.supports_effective_ids
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=effective):
        advice = f"run  chmod u+wx '{place}', or set OFFHOOK_HOME to a folder you can write into"
        return f"{place} is read-only for this user", advice
    return None


def _history_file(file: Path) -> Iterator[Finding]:
    try:
        with file.open("rb") as stream:
            head = stream.read(len(SQLITE_HEAD))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield Finding("history, file", "wrong", f"{file} cannot be read: {error.strerror}", f"run  chmod u+rw '{file}'")
        return
    if head not in (b"", SQLITE_HEAD):
        yield Finding("history, file", "warning", f"{file} is damaged", "the next start keeps it aside and begins a new one")


def _elsewhere(name: str) -> str:
    return f"set {'phone.recording_dir' if name == 'recordings' else 'OFFHOOK_HOME'} to a folder of your own"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
