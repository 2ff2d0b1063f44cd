"""The window of class MicroSIP: hidden, on a thread of its own, it takes WM_COPYDATA and answers by its LRESULT."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from typing import Final

from offhook.control.windows.ffi import (
    COPYDATASTRUCT,
    MSGFLT_DISALLOW,
    WM_CLOSE,
    WM_COPYDATA,
    WM_ENDSESSION,
    WNDCLASSW,
    WNDPROC,
    kernel32,
    last_error,
    user32,
)
from offhook.control.windows.messages import MAX_PAYLOAD, Answer
from offhook.control.windows.reach import CLASS, MARK
from offhook.control.windows.thread import MessageThread
from offhook.errors import SetupError

TITLE: Final = "MicroSIP"
"""What some older samples look for instead of the class."""

MAX_DEPTH: Final = 8
"""Messages within messages: while a reply is sent, its receiver may ask again; a program that never ends it must not win."""

_log = logging.getLogger(__name__)


class PhoneWindow:
    """The window. `take` answers a message (code, string, sender's window), `reply` sends one back, both on this thread.

    `end` is called when somebody closes the window or the user logs off (with True); it should let the phone quit.
    """

    def __init__(
        self, take: Callable[[int, bytes, int], Answer], reply: Callable[[int, int, bytes], object],
        end: Callable[[bool], None],
    ) -> None:
        self._take, self._reply, self._ended = take, reply, end
        self._procedure = WNDPROC(self._message)  # Windows holds no reference that Python would count
        self._thread = MessageThread("offhook-window", self._create, lambda: None, self._destroy)
        self._depth = 0
        self.handle = 0

    def start(self) -> None:
        """Be there for FindWindow. Raises SetupError."""
        self._thread.start()

    def close(self) -> None:
        """Be gone; waits for the thread."""
        self._thread.close()

    def _create(self) -> None:
        module = kernel32.GetModuleHandleW(None)
        kind = WNDCLASSW(lpfnWndProc=self._procedure, hInstance=module, lpszClassName=CLASS)
        if not user32.RegisterClassW(ctypes.byref(kind)):
            raise SetupError(f"Windows refuses the window class {CLASS} (error {last_error()})")
        # Top level, since FindWindow sees no others; never shown.
        handle = user32.CreateWindowExW(0, CLASS, TITLE, 0, 0, 0, 0, 0, None, None, module, None)
        if not handle:
            error = last_error()
            user32.UnregisterClassW(CLASS, module)
            raise SetupError(f"Windows refuses a window (error {error})")
        # A program of lower integrity (the sandbox of a browser) cannot write to us, whatever the system's default is.
        user32.ChangeWindowMessageFilterEx(handle, WM_COPYDATA, MSGFLT_DISALLOW, None)
        user32.SetPropW(handle, MARK, 1)
        self.handle = handle

    def _destroy(self) -> None:
        user32.RemovePropW(self.handle, MARK)
        user32.DestroyWindow(self.handle)
        user32.UnregisterClassW(CLASS, kernel32.GetModuleHandleW(None))

    def _message(self, window: int, message: int, wparam: int, lparam: int) -> int:
        try:
            if message == WM_COPYDATA:
                return self._copydata(wparam or 0, lparam or 0)
            if message == WM_CLOSE or (message == WM_ENDSESSION and wparam):
                self._ended(message == WM_ENDSESSION)
                return 0
        except Exception:  # the outermost loop: what one message brings about must not end the window
            _log.exception("a window message failed unexpectedly")
            return 0
        return int(user32.DefWindowProcW(window, message, wparam, lparam))

    def _copydata(self, sender: int, letter: int) -> int:
        if not letter or self._depth >= MAX_DEPTH:
            return 0
        found = COPYDATASTRUCT.from_address(letter)
        if found.cbData > MAX_PAYLOAD or (found.cbData and not found.lpData):
            return 0
        payload = ctypes.string_at(found.lpData, found.cbData) if found.cbData else b""
        code = found.dwData
        self._depth += 1
        try:
            answer = self._take(code, payload, sender)
            if answer.reply and sender:
                self._reply(sender, code, answer.reply)
        finally:
            self._depth -= 1
        return answer.lresult
