"""Reads offhook.toml: TOML into checked, frozen settings, and every mistake with file, line, key and what to write."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from offhook.errors import ConfigError, InvalidArgument
from offhook.phone.settings import AccountSettings, ContactSettings
from offhook.storage.config.checks import CHECKS
from offhook.storage.config.sections import SECTIONS, Config, EventHook, Program, SettingValue, Sources

S = TypeVar("S")


def load(path: Path) -> Config:
    """Read the file; a missing one is an empty one. Raises ConfigError naming file, line, key and what to write."""
    try:
        return parse(text_of(path), str(path))
    except FileNotFoundError:
        return Config()
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    except ConfigError:
        if path.suffix.lower() == ".ini":  # old scripts have /i: with the file of MicroSIP
            raise ConfigError(f"{path}: a file of MicroSIP is not read as it is: `offhook import` takes it over") from None
        raise


def text_of(path: Path) -> str:
    """Return the file's text, without the mark that Windows' editors put before it. Raises OSError, and ConfigError."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8: save the file as UTF-8 text") from None


def parse(text: str, source: str = "offhook.toml") -> Config:
    """Turn TOML text into a Config; `source` names it in ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{source}: not TOML: {exc}") from None
    return _Reader(text, source).config(document)


class _Reader:
    """One pass over one document; knows the text only to say where a mistake is."""

    def __init__(self, text: str, source: str) -> None:
        self._lines = text.splitlines()
        self._source = source

    def config(self, document: Mapping[str, Any]) -> Config:
        self._known(document, (*SECTIONS, "hook", "account"), "")
        values = {name: self._section(name, name, document.get(name, {}), kind) for name, kind in SECTIONS.items()}
        accounts = self._accounts(document.get("account", {}))
        config = Config(accounts=accounts, hook=self._event_hooks(document.get("hook", [])), **values)
        chosen = config.phone.default_account
        if chosen and chosen not in {account.id for account in accounts}:
            raise self._wrong("phone", "default_account", f"there is no account {chosen!r}: write an id from [account.ID]")
        if 0 < config.phone.session_expires < config.phone.session_least:
            raise self._wrong("phone", "session_expires", "is shorter than session_least: write 0, or more than that")
        self._decider(config)
        self._directory(config.contacts)
        return config

    def _decider(self, config: Config) -> None:
        hooks = config.hooks
        if hooks.decide and hooks.decide_url:
            raise self._wrong("hooks", "decide_url", "a program decides already: leave decide or decide_url out")
        if not hooks.decide_url:
            return
        from offhook.phone.urls import Url

        try:
            Url.parse(hooks.decide_url, plain=config.webhooks.allow_http)
        except ValueError as error:
            raise self._wrong("hooks", "decide_url", str(error)) from None

    def _directory(self, settings: ContactSettings) -> None:
        if not settings.directory:
            return
        from offhook.storage.directory import check_address

        try:
            check_address(settings)
        except ValueError as error:
            raise self._wrong("contacts", "directory", str(error)) from None

    def _event_hooks(self, tables: Any) -> tuple[EventHook, ...]:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._wrong("", "hook", "write one table for each hook, as [[hook]]")
        return tuple(
            self._section("hook", f"hook#{number}", table, EventHook) for number, table in enumerate(tables, 1)
        )

    def _accounts(self, tables: Any) -> tuple[AccountSettings, ...]:
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise self._wrong("", "account", "write one table for each account, as [account.office]")
        accounts = []
        for name, table in tables.items():
            if "id" in table:
                raise self._wrong(f"account.{name}", "id", f"the id is the table's name, {name!r}: leave this line out")
            accounts.append(self._section("account", f"account.{name}", {"id": name, **table}, AccountSettings))
            self._account(accounts[-1])
        return tuple(accounts)

    def _account(self, account: AccountSettings) -> None:
        """Refuse what the phone would refuse, while it is known where it is written."""
        from offhook.phone.accounts import check_account  # only files with accounts pay for it

        try:
            check_account(account)
        except InvalidArgument as error:
            [(pointer, detail)] = ((each.pointer, each.detail) for each in error.errors)
            raise self._wrong(f"account.{account.id}", pointer.rpartition("/")[2], detail) from None

    def _section(self, checks: str, table: str, values: Any, kind: type[S]) -> S:
        if not isinstance(values, dict):
            raise self._wrong("", table, f"write a table, as [{table}]")
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]
        self._known(values, tuple(each.name for each in fields), table)
        hints = get_type_hints(kind)
        settings = {key: self._value(checks, table, key, value, hints[key]) for key, value in values.items()}
        for each in fields:
            if each.name not in settings and each.default is each.default_factory is dataclasses.MISSING:
                raise self._wrong(table, each.name, "is missing: it has no default")
        return kind(**settings)

    def _value(self, checks: str, table: str, key: str, value: Any, hint: Any) -> Any:
        converted, wanted = _convert(value, hint)
        check = CHECKS.get((checks, key))
        if not wanted and check is not None:
            wanted = check(converted)
        if wanted:
            raise self._wrong(table, key, f"{value!r} does not fit: {wanted}")
        return converted

    def _known(self, values: Mapping[str, Any], names: Sequence[str], table: str) -> None:
        for key in values:
            if key not in names:
                close = difflib.get_close_matches(key, names, 1)
                hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(names)}"
                raise self._wrong(table, key, f"is not a setting; {hint}")

    def _wrong(self, table: str, key: str, text: str) -> ConfigError:
        line = self._line_of(table, key)
        where = f"{self._source}:{line}" if line else self._source
        table = table.partition("#")[0]  # the number only says which of several [[hook]] it is
        return ConfigError(f"{where}: {f'{table}.{key}' if table else key}: {text}")

    def _line_of(self, table: str, key: str) -> int:
        current, header_line, lists = "", 0, 0
        for number, line in enumerate(self._lines, 1):
            header = re.match(r"\s*\[+\s*([^\]]*?)\s*\]", line)
            if header:
                current = header[1].replace('"', "").replace("'", "")
                if "[[" in header[0]:
                    lists += 1
                    current += f"#{lists}"
                if current == table or (not table and re.split("[.#]", current)[0] == key):
                    header_line = number
            elif current == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number
        return header_line


def _convert(value: Any, hint: Any) -> tuple[Any, str]:
    """Return the value as the field's type, and "" or what to write instead."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Program:
        return _convert_program(value)
    if hint is Sources:
        listed = [value] if isinstance(value, str) else value
        good = isinstance(listed, list) and all(type(each) is str for each in listed)
        return (Sources(listed), "") if good else (value, 'write "anyone", "accounts", or a list of networks')
    if origin is Literal:
        good = isinstance(value, str) and value in arguments
        return value, "" if good else "write one of " + ", ".join(f'"{each}"' for each in arguments)
    if origin is tuple:
        return _convert_list(value, arguments)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value), ""
    # bool is an int to Python, but "expires = true" is a mistake.
    return value, "" if type(value) is hint else _WANTED[hint]


def _convert_list(value: Any, arguments: tuple[Any, ...]) -> tuple[Any, str]:
    item, size = arguments[0], 0 if arguments[-1] is Ellipsis else len(arguments)
    if not isinstance(value, list) or any(type(each) is not item for each in value) or (size and len(value) != size):
        return value, f"write a list of {size or 'any number of'} values in brackets, each: {_WANTED[item]}"
    return tuple(value), ""


def _convert_program(value: Any) -> tuple[Any, str]:
    if isinstance(value, list) and all(type(each) is str for each in value):
        return Program(value), ""
    from offhook.storage import command_line

    try:
        if isinstance(value, str):
            return Program(command_line.split(value)), ""
    except ValueError:
        return value, "a quote has no partner; a list needs none, as [\"/path/to/program\", \"an argument\"]"
    return value, 'write the program and its arguments, as "/path/to/program -x" or ["/path/to/program", "-x"]'


_WANTED: Mapping[Any, str] = types.MappingProxyType({
    str: 'write text in quotes, as "text"', int: "write a whole number", float: "write a number",
    bool: "write true or false",
})


def refusal(table: str, key: str, value: SettingValue) -> str:
    """Return "" if a setting takes this value, else what is wrong with it. `table` is a section, or "account"."""
    kind = AccountSettings if table == "account" else SECTIONS[table]
    converted, wanted = _convert(value, get_type_hints(kind)[key])
    check = CHECKS.get((table, key))
    return wanted or (check(converted) if check else "")
