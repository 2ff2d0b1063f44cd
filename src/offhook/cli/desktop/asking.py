"""Asks a person before a link calls somebody: on the terminal, or with the dialog that the desktop has."""

from __future__ import annotations

import os
import subprocess
import sys
from shutil import which

from offhook.cli.outcome import REFUSED, Ended
from offhook.shown import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATIENCE = 120
"""Seconds a dialog waits for a person; then the answer is no."""

MB_YES_NO, MB_OK, MB_QUESTION, MB_STOP, MB_NO_FIRST, MB_FOREGROUND = 0x4, 0x0, 0x20, 0x10, 0x100, 0x10000
ID_YES = 6

NO_WAY = "this would call somebody, and there is nobody to ask: no terminal, zenity or kdialog; --yes calls without asking"


class Asker:
    """Asks, and tells what went wrong. `dialog`: not on the terminal, even if there is one."""

    def __init__(
        self, *, dialog: bool, environ: Mapping[str, str] | None = None, find: Callable[[str], str | None] = which,
        run: Callable[[list[str]], int] | None = None, box: Callable[[str, int], int] | None = None,
    ) -> None:  # fmt: skip
        self._dialog = dialog
        self._environ = os.environ if environ is None else environ
        self._find = find
        self._run = run or _run
        self._box = box or _message_box()

    def confirm(self, target: str) -> bool:
        """Return whether to call. Raises Ended where nobody can be asked."""
        question = f"Call {plain(target)}?"
        if not self._dialog and _is_terminal():
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        if self._box is not None:
            return self._box(question, MB_YES_NO | MB_QUESTION | MB_NO_FIRST | MB_FOREGROUND) == ID_YES
        program = self._program("--question", "--yesno", question)
        if program is None:
            raise Ended(REFUSED, NO_WAY)
        return self._run(program) == 0

    def tell(self, text: str) -> None:
        """Show what went wrong to somebody who sees no terminal."""
        if not self._dialog:
            return
        if self._box is not None:
            self._box(plain(text), MB_OK | MB_STOP | MB_FOREGROUND)
            return
        program = self._program("--error", "--error", plain(text))
        if program is not None:
            self._run(program)

    def _program(self, zenity: str, kdialog: str, text: str) -> list[str] | None:
        """Return the dialog that is there; its text is one argument, and no markup."""
        if not (self._environ.get("DISPLAY") or self._environ.get("WAYLAND_DISPLAY")):
            return None
        found = self._find("zenity")
        if found:
            return [found, zenity, "--no-markup", "--title=offhook", f"--text={text}"]
        found = self._find("kdialog")
        return [found, "--title", "offhook", kdialog, text] if found else None


def has_dialog() -> bool:
    """Whether this system has a way to ask a person who sees no terminal."""
    return sys.platform == "win32" or any(map(which, ("zenity", "kdialog")))


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()  # pythonw has none


def _run(program: list[str]) -> int:
    try:
        return subprocess.run(program, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL).returncode  # noqa: S603 - a list
    except (OSError, subprocess.TimeoutExpired):
        return 1


def _message_box() -> Callable[[str, int], int] | None:
    if sys.platform != "win32":
        return None
    import ctypes

    user32 = ctypes.WinDLL("user32")
    title = ctypes.c_wchar_p("offhook")
    # Known to every Windows since XP; its older sister waits for a person until there is one.
    return lambda text, kind: int(
        user32.MessageBoxTimeoutW(None, ctypes.c_wchar_p(text), title, kind, 0, ctypes.c_uint32(1000 * PATIENCE))
    )
