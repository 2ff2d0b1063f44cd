"""Whether the sound file that a command or a setting names is there: a mistake is told at once, not when it is to be heard."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Final

from offhook.errors import InvalidArgument, SetupError
from offhook.io.threads import begin
from offhook.phone.commands import AddAccount, Answer, Command, Dial, Play, UpdateAccount
from offhook.phone.playing import TONE

PATIENCE: Final = 0.1
"""Seconds for which a disk is asked. One that does not answer (a server's that is gone) shall not hold up the calls: what the
file is comes out when it is read, as it does with one that is deleted meanwhile."""


class SoundFiles:
    """Looks for the files that commands and settings name, one at a time, on a thread that may be left behind."""

    def __init__(self) -> None:
        self._asking: threading.Thread | None = None

    def check(self, command: Command) -> None:
        """Raise InvalidArgument for a command whose sound file cannot be opened."""
        match command:
            case Play(file=path) if path:
                self._check("file", path)
            case Dial(play=path) | Answer(play=path) if path:
                self._check("play", path)
            case AddAccount(account=settings):
                self._check_music("account/hold_music", settings.hold_music)
            case UpdateAccount(changes=changes):
                self._check_music("changes/hold_music", changes.get("hold_music"))

    def missing(self, music: Iterable[str]) -> Iterator[str]:
        """Say which of these settings of `hold_music` name a file that cannot be opened, and why."""
        for text in dict.fromkeys(music):
            if is_file(text) and (trouble := self._ask(text)):
                yield f"hold_music: {text}: {trouble}"

    def _check_music(self, field: str, text: Any) -> None:
        if isinstance(text, str) and is_file(text):
            self._check(field, text)

    def _check(self, field: str, path: str) -> None:
        if trouble := self._ask(path):
            raise InvalidArgument.field(field, f"{path}: {trouble}")

    def _ask(self, path: str) -> str:
        if self._asking is not None and self._asking.is_alive():
            return ""
        found: list[str] = []
        with contextlib.suppress(SetupError):  # the system gives no more threads: as with a disk that does not answer
            self._asking = begin(lambda: found.append(trouble_of(path)), "offhook-sound-file")
            self._asking.join(PATIENCE)
        return found[0] if found else ""


def is_file(music: str) -> bool:
    """Whether a setting of `hold_music` names a file, and not a tone or nothing."""
    return bool(music) and not music.startswith(TONE)


def trouble_of(path: str) -> str:
    """Return why a file cannot be opened, "" if it can."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return "not a file"
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:  # a name with a NUL
        return str(error)
    return "" if os.access(path, os.R_OK) else os.strerror(errno.EACCES)
