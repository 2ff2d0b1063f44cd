"""Linux desktops: one .desktop file, and our name in mimeapps.list; all else in that file stays as it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

from offhook.cli.desktop.schemes import SCHEMES
from offhook.errors import SetupError
from offhook.storage.privacy import write_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NAME = "offhook.desktop"
TYPES = tuple(f"x-scheme-handler/{scheme}" for scheme in SCHEMES)
DEFAULTS = "[Default Applications]"
ADDED = "[Added Associations]"


class Xdg:
    """The desktop of the user whose environment this is. `command` opens a link that comes behind it."""

    def __init__(self, environ: Mapping[str, str], command: Sequence[str]) -> None:
        try:
            home = Path(environ.get("HOME") or Path.home())
        except RuntimeError:  # pathlib's word for it
            raise SetupError("this user has no folder, and so no desktop: set HOME to one") from None
        self._entry = _folder(environ, "XDG_DATA_HOME", home / ".local" / "share") / "applications" / NAME
        self._list = _folder(environ, "XDG_CONFIG_HOME", home / ".config") / "mimeapps.list"
        self._command = command

    def install(self) -> list[str]:
        """Write the .desktop file, and be the first of those who open links; who was there before stays behind us."""
        _write(self._entry, _entry(self._command))
        changed = self._rewrite(lambda names: [NAME, *(name for name in names if name != NAME)], (DEFAULTS, ADDED))
        return [str(self._entry), *([str(self._list)] if changed else [])]

    def remove(self) -> list[str]:
        """Take our name and file away."""
        there = self._entry.exists()
        self._entry.unlink(missing_ok=True)
        changed = self._rewrite(lambda names: [name for name in names if name != NAME], ())
        return [*([str(self._entry)] if there else []), *([str(self._list)] if changed else [])]

    def status(self) -> dict[str, str]:
        """Return the first name for each scheme."""
        found = dict.fromkeys(SCHEMES, "")
        section = ""
        for line in self._text().splitlines():
            section = line.strip() if line.startswith("[") else section
            kind, equals, names = line.partition("=")
            if section == DEFAULTS and equals and kind.strip() in TYPES:
                found[kind.strip().rpartition("/")[2]] = names.strip().partition(";")[0]
        return found

    def _text(self) -> str:
        try:
            return self._list.read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise SetupError(f"{self._list}: cannot be read: {error.strerror or error}") from None

    def _rewrite(self, change: Callable[[list[str]], list[str]], sections: Sequence[str]) -> bool:
        """Change the names of our types, where they stand, and add those that are missing in `sections`."""
        before = self._text()
        lines = [_changed(line, change) for line in before.splitlines()]
        kept = [line for line in lines if line is not None]
        for section in sections:
            if section not in kept:
                kept += [section] if not kept or not kept[-1] else ["", section]
            place = kept.index(section) + 1
            there = {line.partition("=")[0].strip() for line in _until_next(kept, place)}
            kept[place:place] = [f"{kind}={NAME};" for kind in TYPES if kind not in there]
        after = "\n".join(kept).rstrip("\n") + "\n" if kept else ""
        if after == before or (not before and not sections):
            return False
        _write(self._list, after)
        return True


def _changed(line: str, change: Callable[[list[str]], list[str]]) -> str | None:
    kind, equals, names = line.partition("=")
    if not equals or kind.strip() not in TYPES:
        return line
    found = change([name.strip() for name in names.split(";") if name.strip()])
    return f"{kind.strip()}={';'.join(found)};" if found else None


def _until_next(lines: list[str], place: int) -> list[str]:
    end = next((at for at in range(place, len(lines)) if lines[at].startswith("[")), len(lines))
    return lines[place:end]


def _entry(command: Sequence[str]) -> str:
    return "\n".join([
        "[Desktop Entry]", "Type=Application", "Name=offhook", "Comment=Dial a number or address",
        f"Exec={' '.join(map(_quoted, command))} %u", f"MimeType={';'.join(TYPES)};", "NoDisplay=true", "Terminal=false",
        "Categories=Network;Telephony;", "",
    ])  # fmt: skip


def _quoted(word: str) -> str:
    """Desktop Entry Specification, "The Exec key": reserved characters need quotes, %% is a percent, \\ counts twice."""
    escaped = word.replace("%", "%%")
    if re.fullmatch(r"[A-Za-z0-9/_.+%@:,=-]+", escaped):
        return escaped
    return '"' + re.sub(r'([`"$\\])', r"\\\1", escaped).replace("\\", "\\\\") + '"'


def _folder(environ: Mapping[str, str], name: str, otherwise: Path) -> Path:
    value = environ.get(name, "")
    return Path(value) if value and os.path.isabs(value) else otherwise


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        write_private(path.resolve(), text)
        path.chmod(mode)
    except OSError as error:
        raise SetupError(f"{path}: cannot be written: {error.strerror or error}") from None
