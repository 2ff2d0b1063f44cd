"""Every setting of offhook.toml, with values, default and meaning: `offhook help config`, and docs/configuration.md."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

from offhook.phone.settings import AccountSettings
from offhook.storage.config import SECTIONS, EventHook, Program, Sources
from offhook.storage.config.words import SECTIONS_SAY, WORDS

TABLES: Final[Mapping[str, type[Any]]] = {**SECTIONS, "account.NAME": AccountSettings, "[hook]": EventHook}
"""The tables of the file and what they are read into."""

_PLAIN: Final[Mapping[object, str]] = {str: "text", int: "number", float: "number", bool: "true, false", Program: "program"}

_HEAD: Final = r"""
All settings of `offhook.toml`, made from the phone's own list (`make docs`); `offhook help config` shows them in a
terminal. The file is TOML; without one, or without a setting, the default holds. It is `~/.config/offhook/offhook.toml` on
Linux, `~/Library/Application Support/offhook/offhook.toml` on macOS, `%APPDATA%\offhook\offhook.toml` on Windows, below
`OFFHOOK_HOME` if that is set, or `offhook run --config FILE`. `offhook doctor` says what is wrong in it, with line and key;
`offhook reload` has a running phone read it again. Accounts and `[phone]` change at once then; what else has changed is
named, and holds after the next start. A file's or program's name may begin with `~`, your own folder; one that is not whole is
looked for in the folder in which the phone was started."""


class Setting(NamedTuple):
    """One setting, for people. `default` is as it is written in TOML, "" where a value is required."""

    table: str
    key: str
    values: str
    default: str
    meaning: str


def settings() -> Iterator[Setting]:
    """Yield every setting, in the order of the page."""
    for table in SECTIONS_SAY:
        kind = TABLES[table]
        hints = get_type_hints(kind)
        for each in dataclasses.fields(kind):
            if (table, each.name) != ("account.NAME", "id"):  # the table's own name
                yield Setting(table, each.name, _values(hints[each.name]), _default(each.default), WORDS[table][each.name])


def _values(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(get_args(hint))
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        return "list" if Ellipsis in kinds else f"{len(kinds)} {_PLAIN[kinds[0]]}s"
    return "text or list" if hint is Sources else _PLAIN[hint]


def _default(value: Any) -> str:
    if value is dataclasses.MISSING:
        return ""
    if isinstance(value, Sources) and len(value) == 1:
        value = value[0]
    return json.dumps(value)  # which TOML writes alike


def text(as_json: bool = False) -> str:
    """Return all of them for a terminal, or as JSON."""
    if as_json:
        return json.dumps([each._asdict() for each in settings()])
    lines: list[str] = []
    for each in settings():
        lines.append(f"{each.table.strip('[]')}.{each.key} = {each.default or '… (required)'}   ({each.values})")
        lines.append(f"    {each.meaning}")
    return "\n".join(lines)


def markdown() -> str:
    """Return docs/configuration.md."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Configuration"
    yield from _HEAD.splitlines()
    for table, says in SECTIONS_SAY.items():
        yield from ("", f"## [{table}]", "", f"{says[0].upper()}{says[1:]}.", "")
        yield from ("| setting | values | default | meaning |", "|---|---|---|---|")
        for each in settings():
            if each.table == table:
                default = f"`{each.default}`" if each.default else "required"
                meaning = each.meaning.replace("|", "\\|")
                yield f"| `{each.key}` | {each.values} | {default} | {meaning} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
