"""Keeps accounts and their passwords where `offhook run` looks for them: the file, and the system's keyring beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from offhook.cli.actions.common import ask_password, show
from offhook.cli.outcome import REFUSED, Ended
from offhook.cli.parsing import Invocation
from offhook.control.client import ClientError, NoPhone
from offhook.errors import NotFound, SetupError
from offhook.phone.settings import AccountSettings
from offhook.storage.config import editing, load
from offhook.storage.paths import paths
from offhook.storage.secrets import TURN, open_secrets


def keep_password(use: Invocation) -> int:
    """Ask for the password of an account and keep it; it never appears on a command line, where other users could see it."""
    account = use.text("account")
    known = _known(use)
    if known and account not in (*known, TURN):
        raise NotFound(f"there is no account {account!r}; there are: {', '.join(sorted(known))}")
    password = ask_password(f"password of {account}: ")
    if not password:
        raise Ended(REFUSED, "nothing was typed, so nothing was kept")
    open_secrets(paths().secrets_file).set(account, password)
    return show(use, {"account": account}, f"{account}: kept; `offhook run` uses it from its next start")


def _known(use: Invocation) -> set[str]:
    """Return the accounts of the file and of a phone that runs; none if that cannot be told, as before there is a file."""
    known: set[str] = set()
    with contextlib.suppress(ClientError):
        known = {account["id"] for account in use.client.request("list_accounts")["value"]}
    with contextlib.suppress(SetupError):
        known |= {account.id for account in load(_file(use)).accounts}
    return known


def keep_account(use: Invocation, account: str, settings: Mapping[str, Any]) -> None:
    """Write these settings of an account into the configuration file; its password goes beside it, never into it."""
    changes = {name: value for name, value in settings.items() if name != "password"}
    file = _file(use)
    known = {found.id: found for found in load(file).accounts}
    editing.add_account(file, replace(known.get(account, AccountSettings(account, "", "")), **changes))
    if settings.get("password"):
        open_secrets(paths().secrets_file).set(account, settings["password"])


def forget_account(use: Invocation, account: str) -> None:
    """Take an account out of the configuration file, and its password from where that was kept."""
    editing.remove_account(_file(use), account)
    if account not in {left.id for left in load(paths().config_file).accounts}:  # the file may have been another one
        open_secrets(paths().secrets_file).delete(account)


def _file(use: Invocation) -> Path:
    """Return the file that was named, else the one the running phone was started with, else the usual one."""
    named = use.text("config")
    if not named:
        with contextlib.suppress(NoPhone):
            named = use.client.request("about").get("config", "")
    return Path(named or paths().config_file)
