"""The configuration file and the passwords: there, readable, without a mistake, and not for others to read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding, listed
from offhook.errors import SetupError
from offhook.io.sound_files import is_file, trouble_of
from offhook.storage.config import load
from offhook.storage.config.files import at_home
from offhook.storage.privacy import others_read, private_again
from offhook.storage.secrets import open_secrets


def look_at_configuration(case: Case) -> Iterator[Finding]:
    """Read the file; `case.config` is its content from here on, the defaults if it has a mistake."""
    path = case.config_file
    if not path.exists():
        if case.config_given:
            yield Finding("configuration", "wrong", f"there is no {path}", "write it, or leave --config away")
        else:
            yield Finding("configuration", "ok", f"there is no {path}; the defaults hold")
        return
    try:
        case.config = at_home(load(path))
    except SetupError as error:
        yield Finding("configuration", "wrong", str(error), f"correct {path}, then run this again: the phone refuses it too")
        return
    count = len(case.config.accounts)
    yield Finding("configuration", "ok", f"{path}, {count} account{'' if count == 1 else 's'}")
    if any(account.password for account in case.config.accounts) and _others_read(path):
        text = f"other users of this machine can read the passwords in {path}"
        yield Finding("configuration, privacy", "warning", text, f"run  {private_again(path)}  and consider changing them")
    yield from _look_at_music(case)


def _look_at_music(case: Case) -> Iterator[Finding]:
    names = (case.config.phone.hold_music, *(account.hold_music for account in case.config.accounts))
    for name in dict.fromkeys(filter(is_file, names)):
        if case.phone is not None and not os.path.isabs(name):
            continue  # it was started in another folder, perhaps
        if trouble := trouble_of(name):
            advice = "correct hold_music, or put the file there; until then the far end hears nothing on hold"
            yield Finding("music on hold", "warning", f"{name}: {trouble}", advice)


def _others_read(path: Path) -> bool:
    with path.open("rb") as stream:
        return others_read(stream.fileno())


def look_at_passwords(case: Case) -> Iterator[Finding]:
    """Find the password of each account as `offhook run` would; `case.passwords` has them from here on."""
    accounts = case.config.accounts
    if not accounts:
        return
    lacking = [account.id for account in accounts if not account.password]
    if lacking:
        try:
            secrets = open_secrets(case.where.secrets_file)
            case.passwords = {name: secrets.get(name) or "" for name in lacking}
        except SetupError as error:
            yield Finding("passwords", "wrong", str(error), "until then no account without a password in the file can register")
            return
    missing = [name for name in lacking if not case.passwords[name]]
    if missing:
        text = f"none is known for {listed(missing)}"
        yield Finding("passwords", "warning", text, f"keep it: `offhook password {missing[0]}`; most registrars want one")
    else:
        whom = "the account" if len(accounts) == 1 else f"all {len(accounts)} accounts"
        yield Finding("passwords", "ok", f"known for {whom}")
