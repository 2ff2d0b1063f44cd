"""Whether the sound file that a command names is there: a mistake is told at once, not when it is to be heard."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from typing import Final

from offhook.errors import InvalidArgument, SetupError
from offhook.io.threads import begin
from offhook.phone.commands import Answer, Command, Dial, Play

PATIENCE: Final = 0.1
"""Seconds for which a disk is asked. One that does not answer (a server's that is gone) shall not hold up the calls: what the
file is comes out when it is read, as it does with one that is deleted meanwhile."""


class SoundFiles:
    """Looks for the files that commands name, one at a time, on a thread that may be left behind."""

    def __init__(self) -> None:
        self._asking: threading.Thread | None = None

    def check(self, command: Command) -> None:
        """Raise InvalidArgument for a command whose sound file cannot be opened."""
        match command:
            case Play(file=path) if path:
                self._check("file", path)
            case Dial(play=path) | Answer(play=path) if path:
                self._check("play", path)

    def _check(self, field: str, path: str) -> None:
        if self._asking is not None and self._asking.is_alive():
            return
        found: list[str] = []
        with contextlib.suppress(SetupError):  # the system gives no more threads: as with a disk that does not answer
            self._asking = begin(lambda: found.append(_trouble(path)), "offhook-sound-file")
            self._asking.join(PATIENCE)
        if found and found[0]:
            raise InvalidArgument.field(field, f"{path}: {found[0]}")


def _trouble(path: str) -> str:
    """Return why a file cannot be opened, "" if it can."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return "not a file"
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:  # a name with a NUL
        return str(error)
    return "" if os.access(path, os.R_OK) else os.strerror(errno.EACCES)
