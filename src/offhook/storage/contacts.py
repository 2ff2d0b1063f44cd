"""The contacts in a SQLite file: the phone holds all of them, this only keeps what it says has changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from msgspec import structs

from offhook.phone.contacts import Unsaved
from offhook.phone.model import Contact
from offhook.storage.database import Database, Trouble

BATCH_SECONDS: Final = 0.1
"""How long changes wait for others to be committed with them."""
MAX_WAITING: Final = 200_000
"""Changes that wait for a slow disk before they are given up: twice what a phone keeps."""

_COLUMNS: Final = Contact.__struct_fields__
_SWITCHES: Final = tuple(each.name for each in structs.fields(Contact) if each.type is bool)
_SCHEMA: Final = f"""
PRAGMA user_version = 1;
CREATE TABLE IF NOT EXISTS contacts (
  {", ".join(f"{name} {'INTEGER' if name in _SWITCHES else 'TEXT'} NOT NULL" for name in _COLUMNS)}, PRIMARY KEY (id)
) WITHOUT ROWID;
"""
_INSERT: Final = f"INSERT OR REPLACE INTO contacts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM contacts"  # noqa: S608 - names of our own struct's fields

Change: TypeAlias = Contact | str
"""A contact to write, or the id of one to forget."""


class ContactFile:
    """The file. `keep` returns at once; the other methods wait for the disk. `trouble` is called from the writer thread."""

    def __init__(self, path: Path, *, trouble: Trouble = lambda _: None) -> None:
        """Open or create. Raises SetupError if the folder cannot be used; a damaged file is moved aside and reported."""
        self._trouble = trouble
        self._database: Database[Change] = Database(
            path, "contacts", _SCHEMA, _store, batch_seconds=BATCH_SECONDS, max_waiting=MAX_WAITING, trouble=trouble
        )

    def load(self) -> tuple[Contact, ...]:
        """Return all of them."""
        rows = self._database.ask(lambda database: database.execute(_SELECT).fetchall())
        return tuple(_contact(row) for row in rows)

    def keep(self, unsaved: Unsaved) -> None:
        """Write down what has changed, within BATCH_SECONDS."""
        if not self._database.add(*unsaved.changed, *unsaved.removed):
            self._trouble("the disk is too slow: changes of contacts are not kept")

    def close(self) -> None:
        """Write what is waiting and close the file. Calling it again does nothing."""
        self._database.close()


def _store(database: sqlite3.Connection, batch: Sequence[Change]) -> None:
    for change in batch:  # in their order: one that was forgotten may be there again
        if isinstance(change, str):
            database.execute("DELETE FROM contacts WHERE id = ?", (change,))
        else:
            database.execute(_INSERT, structs.astuple(change))


def _contact(row: tuple[Any, ...]) -> Contact:
    values = dict(zip(_COLUMNS, row, strict=True))
    return Contact(**{**values, **{name: bool(values[name]) for name in _SWITCHES}})
