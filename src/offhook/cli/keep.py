"""Keeps an account's password where `offhook run` looks for it: the system's keyring, else a file only we can read."""

from __future__ import annotations

from offhook.cli.actions.common import ask_password, show
from offhook.cli.outcome import REFUSED, Ended
from offhook.cli.parsing import Invocation
from offhook.errors import SetupError
from offhook.storage.paths import paths
from offhook.storage.secrets import open_secrets


def keep_password(use: Invocation) -> int:
    """Ask for the password of an account and keep it; it never appears on a command line, where other users could see it."""
    account = use.text("account")
    try:
        password = ask_password(f"password of {account}: ")
        if not password:
            raise Ended(REFUSED, "nothing was typed, so nothing was kept")
        open_secrets(paths().secrets_file).set(account, password)
    except SetupError as error:
        raise Ended(REFUSED, str(error)) from None
    return show(use, {"account": account}, f"{account}: kept; `offhook run` uses it from its next start")
