"""Reads what another phone left on the disk, a file or a whole folder, and writes it where this phone keeps such things."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from offhook.errors import SetupError, UnreadableFile
from offhook.io.system_ids import SystemIds
from offhook.phone.commands import ImportContacts
from offhook.phone.contacts import MAX_BATCH, Contacts, ContactsLoaded
from offhook.phone.desk import Desk
from offhook.phone.model import ContactDetails, ImportedView
from offhook.phone.records import HistoryEntry
from offhook.phone.settings import AccountSettings, PhoneSettings
from offhook.storage.config import editing
from offhook.storage.contacts import ContactFile
from offhook.storage.history import History
from offhook.storage.secrets import Secrets
from offhook.storage.takeover.calls import PastCalls, calls_of_csv, calls_of_xml
from offhook.storage.takeover.findings import Finding, Takeover
from offhook.storage.takeover.microsip import take_over_ini
from offhook.storage.takeover.people import SEPARATOR, People, people_of
from offhook.storage.takeover.texts import MAX_BYTES, decode
from offhook.storage.takeover.xml import read_xml

MAX_FILES: Final = 1000
"""Entries of a folder that are looked at: MicroSIP's has a handful."""

_NAMES: Final = re.compile(r".+\.ini|(contacts|calls)\.(xml|csv)|(contacts|directory)\.json|.+\.vcf", re.IGNORECASE)
_INI: Final = re.compile(r"\s*\[(settings|account\d+|shortcuts|calls)\]", re.IGNORECASE)
_CALLS: Final = re.compile(r"\s*(<\?xml[^>]*\?>\s*)?<calls[\s/>]", re.IGNORECASE)


def read(path: Path, known: Sequence[AccountSettings] = (), encoding: str = "") -> Takeover:
    """Return what is at `path`, of a folder all that is of use. Raises UnreadableFile for what cannot be read."""
    if not path.is_dir():
        return _read_file(path, known, encoding)
    found = Takeover()
    names = sorted(os.listdir(path))[:MAX_FILES]
    useful = [name for name in names if _NAMES.fullmatch(name)]
    if not useful:
        raise UnreadableFile(f"{path}: no MicroSIP.ini, Contacts.xml, Calls.csv or *.vcf in this folder: name the file itself")
    for name in useful:
        found.add(_read_file(path / name, known, encoding))
    return found


def _read_file(path: Path, known: Sequence[AccountSettings], encoding: str) -> Takeover:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableFile(f"{path}: cannot be read: {error.strerror or error}") from None
    text = decode(data, path.name, encoding)
    if path.suffix.lower() == ".ini" or _INI.match(text):
        return take_over_ini(text, path.name, known)
    if _CALLS.match(text):
        return _of_calls(calls_of_xml(read_xml(text, path.name), path.name), known)
    said = SEPARATOR.match(text)
    header = text[said.end() if said else 0 :].lstrip().partition("\n")[0]
    first = {cell.strip(' "').lower() for cell in re.split("[,;\t|]", header.strip())}
    if {"type", "number", "time"} <= first:
        return _of_calls(calls_of_csv(text, path.name), known)
    return _of_people(people_of(text, path.name), path.name)


def _of_people(people: People, name: str) -> Takeover:
    found = Takeover(contacts=list(people.contacts))
    found.findings.append(Finding(name, 1, name, f"{len(people.contacts)} contacts"))
    found.findings += [Finding(name, each.line, "an entry", why="invalid", text=each.why) for each in people.skipped]
    found.findings += [Finding(name, each.line, "a part", why="unsupported", text=each.why) for each in people.notes]
    found.findings += [Finding(name, line, what, why="needless") for what, line in people.needless.items()]
    return found


def _of_calls(calls: PastCalls, known: Sequence[AccountSettings]) -> Takeover:
    domain = known[0].domain if known else ""
    found = Takeover(calls=[call.record(domain) for call in calls.calls])
    found.findings.append(Finding(calls.name, 1, calls.name, f"{len(calls.calls)} past calls in the history"))
    found.findings += [Finding(calls.name, each.line, "a call", why="invalid", text=each.why) for each in calls.skipped]
    return found


# --- writing -------------------------------------------------------------------------------------------------------


def write_settings(found: Takeover, path: Path, *, only_look: bool = False) -> None:
    """Write settings and accounts into offhook.toml. Raises ConfigError, and then it is as it was."""
    editing.take(path, found.settings, {account.id: account.settings for account in found.accounts}, only_look=only_look)


def keep_passwords(found: Takeover, secrets: Secrets) -> None:
    """Keep the passwords that could be read. Raises SetupError."""
    for account in found.accounts:
        if account.password:
            secrets.set(account.id, account.password)


def keep_calls(records: Iterable[HistoryEntry], path: Path) -> None:
    """Put past calls into the history; once more is no second time. Raises SetupError."""
    trouble: list[str] = []
    history = History(path, trouble=trouble.append)
    for record in records:
        history.add(record)
    history.close()
    if trouble:
        raise SetupError(trouble[0])


def keep_contacts(details: Sequence[ContactDetails], path: Path, country_code: str = "") -> ImportedView:
    """Import contacts into the file of a phone that does not run. Raises SetupError or a CommandError."""
    trouble: list[str] = []
    file = ContactFile(path, trouble=trouble.append)
    try:
        desk = Desk(PhoneSettings(), SystemIds(), "")
        desk.names.country_code = country_code
        book = Contacts(desk)
        book.loaded(ContactsLoaded(file.load()))
        done = [0, 0, 0]
        for start in range(0, len(details), MAX_BATCH):
            view = book.import_(ImportContacts(contacts=tuple(details[start : start + MAX_BATCH]))).value
            done = [done[0] + view.added, done[1] + view.updated, done[2] + view.unchanged]
        file.keep(book.unsaved())
    finally:
        file.close()
    if trouble:
        raise SetupError(trouble[0])
    return ImportedView(added=done[0], updated=done[1], unchanged=done[2])
