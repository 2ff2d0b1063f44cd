"""`offhook import`: another phone's settings, accounts, contacts and calls into this one, with a report."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from offhook.cli.actions.common import show
from offhook.cli.parsing import usage_error
from offhook.control.client import LocalClient, NoPhone
from offhook.phone.contacts import MAX_BATCH
from offhook.shown import plain
from offhook.storage import taking_over
from offhook.storage.config import load
from offhook.storage.paths import paths
from offhook.storage.secrets import open_secrets
from offhook.storage.takeover.findings import Takeover
from offhook.storage.takeover.texts import known_encoding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from offhook.cli.parsing import Invocation

PACK = 40_000
"""Bytes of JSON in one request with contacts: the phone takes 64 KB, and at most MAX_BATCH contacts."""

RESTART = "A phone that runs has its settings from its start: end it and start it anew  (offhook quit, offhook run)."


def take_over(use: Invocation) -> int:
    """Take over what is at a path."""
    where = paths()
    file = Path(use.text("config")) if use.text("config") else where.config_file
    settings = load(file)
    found = taking_over.read(_path(use), settings.accounts, _encoding(use))
    taking_over.write_settings(found, file, only_look=True)
    report = found.as_json()
    if use.flag("dry-run"):
        return show(use, {"dry_run": True, **report}, _text(found, [f"Nothing was written; it would go into {file}."]))
    written = bool(found.settings or found.accounts)
    if written:
        taking_over.write_settings(found, file)
    if any(account.password for account in found.accounts):
        taking_over.keep_passwords(found, open_secrets(where.secrets_file))
    if found.calls:
        taking_over.keep_calls(found.calls, where.history_file)
    report["imported"], running = _contacts(use, found, where.contacts_file, settings.contacts.country_code)
    notes = [f"Written into {file}." if written else "", RESTART if running and written else ""]
    notes.insert(0, f"Contacts: {_counted(report['imported'])}." if found.contacts else "")
    return show(use, {"dry_run": False, "running": running, **report}, _text(found, notes))


def take_over_contacts(use: Invocation, path: str) -> int:
    """Take over contacts only."""
    found = taking_over.read(written_path(path), (), _encoding(use))
    if use.flag("dry-run"):
        return show(use, {"dry_run": True, **found.as_json()}, _text(found, ["Nothing was written."]))
    where = paths()
    only = Takeover(contacts=found.contacts, findings=found.findings)
    done, _ = _contacts(use, only, where.contacts_file, load(where.config_file).contacts.country_code)
    return show(use, {"dry_run": False, **only.as_json(), "imported": done}, _text(only, [_counted(done)]))


def _path(use: Invocation) -> Path:
    given = use.text("path")
    if given:
        return written_path(given)
    usual = Path(os.environ.get("APPDATA", "")) / "MicroSIP"
    if sys.platform == "win32" and usual.is_dir():
        return usual
    raise usage_error(use.verb, "write the file or folder to import, as MicroSIP.ini or the folder it is in", "path")


def written_path(text: str, platform: str = sys.platform) -> Path:
    r"""Return the path somebody wrote: PowerShell leaves `%APPDATA%` as it is, and `"C:\My Folder\"` brings a `"`."""
    return Path(os.path.expandvars(text.rstrip('"')) if platform == "win32" else text).expanduser()


def _encoding(use: Invocation) -> str:
    try:
        return known_encoding(use.text("encoding")) if use.text("encoding") else ""
    except ValueError as error:
        raise usage_error(use.verb, str(error), "encoding") from None


def _text(found: Takeover, notes: list[str]) -> str:
    parts = {"accounts": found.accounts, "settings": found.settings, "contacts": found.contacts, "calls": found.calls}
    counts = ", ".join(f"{len(part)} {name}" for name, part in parts.items())
    return "\n".join([*map(plain, found.lines()), counts, *filter(None, notes)])


def _counted(done: dict[str, int]) -> str:
    return f"{done['added']} new, {done['updated']} brought up to date, {done['unchanged']} as they were"


def _contacts(use: Invocation, found: Takeover, file: Path, country_code: str) -> tuple[dict[str, int], bool]:
    """Give contacts to the running phone, else write them to its file; return what came of it, and whether a phone runs."""
    done = {"added": 0, "updated": 0, "unchanged": 0}
    try:
        client = LocalClient(use.socket_path)
    except NoPhone:
        if found.contacts:
            view = taking_over.keep_contacts(found.contacts, file, country_code)
            done = {"added": view.added, "updated": view.updated, "unchanged": view.unchanged}
        return done, False
    with client:
        for pack in packs(found):
            value = client.request("import_contacts", contacts=pack)["value"]
            done = {name: done[name] + value[name] for name in done}
    return done, True


def packs(found: Takeover) -> Iterator[list[dict[str, Any]]]:
    """Yield the contacts in requests that the phone takes."""
    from msgspec import to_builtins

    pack: list[dict[str, Any]] = []
    size = 0
    for contact in found.contacts:
        values = {name: value for name, value in to_builtins(contact).items() if value not in ("", False)}
        length = len(json.dumps(values))
        if pack and (size + length > PACK or len(pack) == MAX_BATCH):
            yield pack
            pack, size = [], 0
        pack.append(values)
        size += length
    if pack:
        yield pack


