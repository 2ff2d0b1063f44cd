"""A command of MicroSIP's hooks into a program and its arguments, without a shell and with the places this phone knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from offhook.io.programs import unsafe_for_batch
from offhook.storage import command_line
from offhook.storage.config import PLACES

_PLACES: Final = {"number": "number", "user": "number", "name": "name", "callerid": "name", "callid": "call"}
"""MicroSIP's masks and ours."""

_SCRIPT_HOSTS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys((".vbs", ".vbe", ".js", ".wsf"), ("wscript.exe", "//B")),
    ".ps1": ("powershell.exe", "-NoProfile", "-File"),
    ".py": ("py.exe",), ".pyw": ("pyw.exe",),
}  # fmt: skip
"""What Windows opens a script with: a program is started here, and a script is none."""

_OPENED: Final = ("ahk", "au3", "jar", "lnk", "php", "pl", "rb", "url")
"""What Windows opens with a program that is not part of it: which one, and where it is, only this machine's owner knows."""

_ENDINGS: Final = "|".join(["exe", "com", "bat", "cmd", *(ending[1:] for ending in _SCRIPT_HOSTS), *_OPENED])
_PATH: Final = re.compile(rf"[A-Za-z]:\\[^\"<>|?*]*?\.(?:{_ENDINGS})(?=\s|$)", re.IGNORECASE)


_OUTER_QUOTES_GONE: Final = re.compile(r"[A-Za-z]:\\[^\"]*[^\"\s]\"\s.*\"\S[^\"]*", re.DOTALL)
"""`C:\\a b.exe" "c d`: Windows takes the first and the last quote of a value for the value's own."""


def hook_program(text: str) -> tuple[str, ...] | str:
    """Return the program and its arguments, or why there is none and what to do."""
    if re.match(r"https?://", text, re.IGNORECASE):
        return "a web address: `offhook webhooks add URL --types call.*` sends every event there (docs/hooks.md)"
    if _OUTER_QUOTES_GONE.match(text):
        text = f'"{text}"'
    path = _PATH.match(text)
    try:
        words = (path[0], *command_line.split(text[path.end() :], platform="win32")) if path else _split(text)
    except ValueError:
        return "a quote has no partner"
    if not words or not words[0]:
        return "there is no program in it"
    unknown: list[str] = []
    arguments = [re.sub(r"\{(\w+)\}", lambda mask: _place(mask, unknown), word) for word in words[1:]]
    if unknown:
        return f"there is no {', '.join(unknown)} here: all of a call is in the program's environment (docs/hooks.md)"
    found = re.search(r"\.\w+$", words[0])
    suffix = found[0].lower() if found else ""
    if suffix[1:] in _OPENED:
        return f"{suffix} is no program: write the program that opens it, and it behind that (docs/hooks.md)"
    if unsafe_for_batch((words[0], *arguments), (), "win32"):
        return 'no batch file is given " % & | < > ^ or !, which cmd.exe misreads: write them into it, or let an .exe do it'
    return (*_SCRIPT_HOSTS.get(suffix, ()), words[0], *arguments)


def _split(text: str) -> tuple[str, ...]:
    return command_line.split(text, platform="win32", is_file=lambda _: False)


def _place(mask: re.Match[str], unknown: list[str]) -> str:
    place = _PLACES.get(mask[1].lower(), "")
    if place not in PLACES:
        unknown.append(mask[0][:40])
    return f"{{{place}}}"
