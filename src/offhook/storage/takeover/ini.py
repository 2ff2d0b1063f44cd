"""An ini file as Windows reads it: sections and keys whatever their case, the first of two equal keys counts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from offhook.errors import UnreadableFile

MAX_LINES: Final = 100_000
"""Lines of a file: MicroSIP keeps at most a thousand calls and a few hundred settings."""
MAX_LINE: Final = 8192
"""Characters of a line: MicroSIP reads 255 of most values."""

_HEADER = re.compile(r"\[([^\]]*)\]?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key=value`; `key` as it is written there."""

    key: str
    value: str
    line: int


@dataclass(slots=True)
class Section:
    """One section; its entries by key in lower case, in the order of the file."""

    name: str
    line: int
    entries: dict[str, Entry] = field(default_factory=dict)

    def text(self, key: str) -> str:
        """Return a value, "" if it is not there."""
        found = self.entries.get(key.lower())
        return found.value if found else ""


@dataclass(slots=True)
class Ini:
    """All sections by name in lower case."""

    sections: dict[str, Section] = field(default_factory=dict)

    def section(self, name: str) -> Section:
        """Return a section; an empty one if it is not there."""
        return self.sections.get(name.lower()) or Section(name, 0)


def read_ini(text: str, name: str) -> Ini:
    """Return the sections of an ini file. Raises UnreadableFile for what has none, or lines without end."""
    ini = Ini()
    section: Section | None = None
    for line, written in enumerate(re.split(r"\r\n|\n|\r", text.lstrip("\ufeff")), 1):
        if line > MAX_LINES or len(written) > MAX_LINE:
            raise UnreadableFile(f"{name}:{line}: too many or too long lines: this is no MicroSIP.ini")
        stripped = written.strip()
        header = _HEADER.match(stripped)
        if header:
            section = ini.sections.setdefault(header[1].strip().lower(), Section(header[1].strip(), line))
            continue
        key, equals, value = stripped.partition("=")
        if section is not None and equals and key.strip() and not key.startswith(";"):
            section.entries.setdefault(key.strip().lower(), Entry(key.strip(), _unquoted(value.strip()), line))
    if not ini.sections:
        raise UnreadableFile(f"{name}:1: there is no [section]: this is no MicroSIP.ini")
    return ini


def _unquoted(value: str) -> str:
    """Windows takes one pair of quotes off."""
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'" else value
