"""Changes to the configuration file: comments and order are kept, and what would not be read again is not written."""

from __future__ import annotations

import codecs
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from offhook.errors import ConfigError
from offhook.phone.settings import AccountSettings
from offhook.storage.config import Config, SettingValue, load, parse, text_of
from offhook.storage.privacy import write_private


def add_account(path: Path, account: AccountSettings) -> Config:
    """Write an account into the file, in the place of the one with its id; settings left at their defaults are not written.

    What the file says of it already stays as it is written, comment and all.
    """
    settings = [each for each in dataclasses.fields(AccountSettings) if each.name != "id"]
    values = {each.name: getattr(account, each.name) for each in settings}
    defaults = {each.name: each.default for each in settings}

    def change(document: Any) -> None:
        table = _table(document, f"account.{account.id}")  # changed where it is: the first account is the one that dials
        for name, value in values.items():
            if name in table and (tuple(table[name]) if isinstance(table[name], list) else table[name]) == value:
                continue
            if value != defaults[name]:
                table[name] = value
            else:
                table.pop(name, None)

    return _rewrite(path, change)


def take(
    path: Path, settings: Mapping[tuple[str, str], SettingValue], accounts: Mapping[str, Mapping[str, SettingValue]], *,
    only_look: bool = False,
) -> Config:  # fmt: skip
    """Write many settings and accounts at once, keeping comments and what accounts have besides.

    What is so already, by the file or by default, is not written. With `only_look` nothing is, but the answer is the same.
    """
    now = load(path)
    there = {account.id: account for account in now.accounts}

    def change(document: Any) -> None:
        for (table, key), value in settings.items():
            _set_if_new(document, table, key, value, getattr(getattr(now, table), key))
        for name, values in accounts.items():
            before = there.get(name) or AccountSettings(name, "", "")
            for key, value in values.items():
                _set_if_new(document, f"account.{name}", key, value, getattr(before, key))

    return _rewrite(path, change, only_look=only_look)


def _set_if_new(document: Any, table: str, key: str, value: SettingValue, now: Any) -> None:
    if (tuple(value) if isinstance(value, list) else value) != now:
        _table(document, table)[key] = value


def remove_account(path: Path, account: str) -> Config:
    """Take an account out of the file; an unknown one is no error."""
    return _rewrite(path, lambda document: document.get("account", {}).pop(account, None))


def _table(document: Any, name: str) -> Any:
    """Return a section or `account.ID`; what is not there yet gets a table at the end, wherever other accounts stand."""
    import tomlkit  # only writers pay for it

    section, _, account = name.partition(".")
    if account and account not in document.get(section, {}):
        accounts = tomlkit.table(is_super_table=True)
        accounts.add(account, {})
        document.append(section, accounts)
    elif section not in document:
        document.append(section, tomlkit.table())
    return document[section][account] if account else document[section]


def _rewrite(path: Path, change: Callable[[Any], object], *, only_look: bool = False) -> Config:
    import tomlkit
    from tomlkit.exceptions import KeyAlreadyPresent

    try:
        text = text_of(path) if path.exists() else ""
        parse(text, str(path))
        document = tomlkit.parse(text)
        change(document)
        written = tomlkit.dumps(document)
        config = parse(written, str(path))
        if not only_look:
            write_private(path, _as_windows_does(path, written), as_it_was=True)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
    except KeyAlreadyPresent:
        raise ConfigError(f"{path}: account: write one table for each account, as [account.office]") from None
    return config


def _as_windows_does(path: Path, text: str) -> str:
    """Return the text with the mark before it and the line ends of Windows where the file has them; its lines end in "\\n"."""
    was = path.read_bytes() if path.exists() else b""
    if was.count(b"\r\n") * 2 > was.count(b"\n"):
        text = text.replace("\n", "\r\n")
    return "\ufeff" + text if was.startswith(codecs.BOM_UTF8) else text
