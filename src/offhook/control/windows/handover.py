"""A second start finds the window of the phone that runs, hands its request over, and gets the answer."""

from __future__ import annotations

import ctypes
import json
from typing import Any, Final

from offhook.control.windows.ffi import (
    COPYDATASTRUCT,
    ERROR_ACCESS_DENIED,
    ERROR_INVALID_WINDOW_HANDLE,
    HWND_MESSAGE,
    WM_COPYDATA,
    WNDCLASSW,
    WNDPROC,
    kernel32,
    last_error,
    user32,
)
from offhook.control.windows.reach import CLASS, MARK, REQUEST, send_copydata
from offhook.errors import CommandTimeout

PATIENCE_MS: Final = 10_000
"""Longest to wait for an answer."""

_NOT_SENT: Final = frozenset({ERROR_ACCESS_DENIED, ERROR_INVALID_WINDOW_HANDLE})
"""Errors behind which the phone has got nothing: it has more rights than we have, or is gone."""


def find_phone() -> int:
    """Return the window of the phone that runs in this Windows session, 0 if there is none."""
    window = 0
    while window := int(user32.FindWindowExW(None, window or None, CLASS, None) or 0):
        if user32.GetPropW(window, MARK):
            return window
    return 0


def ask(window: int, op: str, **params: Any) -> dict[str, Any] | None:
    """Return the phone's answer to one request, as the local socket gives it; None if it surely has done nothing.

    Raises CommandTimeout where it has done it, or may have: asked again by another way, it would call somebody twice.
    """
    answers: list[bytes] = []

    def take(own: int, message: int, wparam: int, lparam: int) -> int:
        if message != WM_COPYDATA:
            return int(user32.DefWindowProcW(own, message, wparam, lparam))
        letter = COPYDATASTRUCT.from_address(lparam)
        if wparam == window:
            answers.append(ctypes.string_at(letter.lpData, letter.cbData))
        return 1

    procedure = WNDPROC(take)
    module = kernel32.GetModuleHandleW(None)
    name = "offhook-handover"
    user32.RegisterClassW(ctypes.byref(WNDCLASSW(lpfnWndProc=procedure, hInstance=module, lpszClassName=name)))
    own = user32.CreateWindowExW(0, name, "", 0, 0, 0, 0, 0, HWND_MESSAGE, None, module, None)
    try:
        text = json.dumps({"op": op, "params": params}).encode()
        done = send_copydata(window, own, REQUEST, text, PATIENCE_MS)  # the answer comes before it returns
        error = last_error()
    finally:
        user32.DestroyWindow(own)
        user32.UnregisterClassW(name, module)
    if answers:
        found: dict[str, Any] = json.loads(answers[0].rstrip(b"\0"))
        return found
    if done:
        raise CommandTimeout("the phone has done it, but its answer was lost on the way: do not repeat it")
    if done is None and error not in _NOT_SENT:
        raise CommandTimeout("the phone does not answer: see by `offhook status` whether it has done it before you repeat it")
    return None
