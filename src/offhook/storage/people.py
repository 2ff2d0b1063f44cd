"""Brings the contacts from the disk into the running phone, and what changes back to the disk; the phone waits for neither."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from offhook.io.engine import Engine
from offhook.io.journal import Envelope
from offhook.phone.contacts import Contacts, ContactsLoaded
from offhook.phone.events import ContactChanged, ContactsImported
from offhook.phone.model import Contact
from offhook.storage.contacts import ContactFile
from offhook.storage.opening import opened

PART: Final = 100
"""Contacts given to the phone at once: two milliseconds, so that no call waits for them."""


class People:
    """The contacts' way to and from the file at `path` (None: they live as long as the phone)."""

    def __init__(self, engine: Engine, book: Contacts, path: Path | None, trouble: Callable[[str], None]) -> None:
        self._engine = engine
        self._book = book
        self._path = path
        self._trouble = trouble
        self._file: ContactFile | None = None
        self._opening: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self.loaded = asyncio.Event()

    def start(self) -> None:
        """Begin to read what was kept."""
        if self._path is None:
            self.loaded.set()
            return
        self._engine.subscribe(self._see, ContactChanged, ContactsImported)
        if self._path.exists():
            self._open()
        else:
            self.loaded.set()

    async def close(self) -> None:
        """Write down what has not been."""
        self._ending.set()
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._file is not None:
            self._file.keep(self._book.unsaved())
            await asyncio.get_running_loop().run_in_executor(None, self._file.close)

    def _see(self, _envelope: Envelope) -> None:
        if self._file is not None:
            self._file.keep(self._book.unsaved())
        else:
            self._open()

    def _open(self) -> None:
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        assert self._path is not None
        loop, path = asyncio.get_running_loop(), self._path
        found = await opened(lambda: loop.run_in_executor(None, _open, path, self._trouble), self._ending, self._tell_unusable)
        if found is None:
            self._tell_missing()
            return
        file, contacts = found
        for start in range(0, len(contacts), PART):
            self._engine.inform(ContactsLoaded(contacts[start : start + PART]))
            await asyncio.sleep(0)
        self._file = file
        file.keep(self._book.unsaved())
        self.loaded.set()

    def _tell_unusable(self, error: Exception) -> None:
        self._trouble(f"contacts are not kept: {error}; what is new waits until they can be")
        self.loaded.set()

    def _tell_missing(self) -> None:
        unsaved = self._book.unsaved()
        missing = len(unsaved.changed) + len(unsaved.removed)
        if missing:
            self._trouble(f"{missing} change(s) of contacts are missing in {self._path}")


def _open(path: Path, trouble: Callable[[str], None]) -> tuple[ContactFile, tuple[Contact, ...]]:
    file = ContactFile(path, trouble=trouble)
    try:
        return file, file.load()
    except BaseException:
        file.close()
        raise
