"""A thread that Windows sends messages to: windows and DDE conversations belong to the thread that made them."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable
from ctypes.wintypes import MSG
from typing import Final

from offhook.control.windows.ffi import WM_APP, kernel32, user32
from offhook.errors import SetupError

START_SECONDS: Final = 10.0
"""Longest until the thread has made what it is for."""

STOP_SECONDS: Final = 5.0
"""Longest it may take to end; it waits for nothing but a client's window, and that for half a second."""


_log = logging.getLogger(__name__)


class MessageThread:
    """Runs `begin`, then a message loop, then `end`, all on a thread of its own.

    `posted` runs there after each `wake`, and after every message: Windows drops a `wake` where 10,000 messages wait already.
    Anybody can post messages to a thread: they wake it, and mean nothing else.
    """

    def __init__(self, name: str, begin: Callable[[], None], posted: Callable[[], None], end: Callable[[], None]) -> None:
        self._begin, self._posted, self._end = begin, posted, end
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._ready = threading.Event()
        self._closing = False
        self._trouble: Exception | None = None
        self._id = 0

    def start(self) -> None:
        """Begin; raises what `begin` raised."""
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise SetupError(f"{self._thread.name} does not start")
        if self._trouble is not None:
            raise self._trouble

    def wake(self) -> None:
        """Let `posted` run on the thread, soon."""
        user32.PostThreadMessageW(self._id, WM_APP, 0, 0)

    def close(self) -> None:
        """End the loop and wait for the thread, from another one. One that has not begun has nothing to end."""
        if not self._thread.is_alive():
            return
        self._closing = True
        self.wake()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        message = MSG()
        self._id = kernel32.GetCurrentThreadId()
        user32.PeekMessageW(ctypes.byref(message), None, WM_APP, WM_APP, 0)  # a thread has no queue before it asks for one
        try:
            self._begin()
        except Exception as error:
            self._trouble = error
            return
        finally:
            self._ready.set()
        try:
            # -1 is an error and 0 is WM_QUIT, which anybody may have posted: only `close` ends the loop.
            while not self._closing and user32.GetMessageW(ctypes.byref(message), None, 0, 0) != -1:
                self._take(message)
        finally:
            self._end()

    def _take(self, message: MSG) -> None:
        try:
            if message.hWnd:
                user32.DispatchMessageW(ctypes.byref(message))
            self._posted()
        except Exception:  # the outermost loop: ctypes raises OSError where Windows stumbles over a client's letter
            _log.exception("a message of Windows failed unexpectedly")
