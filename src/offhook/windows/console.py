"""The console's ways to say "end": Ctrl+C, Ctrl+Break, the closing of its window.

Of log-off and shutdown Windows tells a program that has windows by these, not here.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
import threading
from collections.abc import Callable
from ctypes import wintypes
from typing import Final

PATIENCE: Final = 10.0
"""Seconds a closing console waits for our end; Windows itself ends us after 5."""

_BY_KEY: Final = frozenset({0, 1})  # CTRL_C_EVENT, CTRL_BREAK_EVENT; the others end the process when the handler returns

_Routine = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)
_kernel: Final = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel.SetConsoleCtrlHandler.argtypes = (_Routine, wintypes.BOOL)


class Endings:
    """Calls `told`, on a thread of the system's, for every way to say "end" until it is closed."""

    def __init__(self, told: Callable[[], object]) -> None:
        self._told = told
        self._over = threading.Event()
        self._routine = _Routine(self._heard)
        _kernel.SetConsoleCtrlHandler(self._routine, True)

    def close(self) -> None:
        """Leave it to the system again; who waits for our end goes on."""
        self._over.set()
        _kernel.SetConsoleCtrlHandler(self._routine, False)

    def _heard(self, kind: int) -> bool:
        self._told()
        if kind not in _BY_KEY:
            self._over.wait(PATIENCE)
        return True
