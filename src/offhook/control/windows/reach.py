"""What the phone does to other programs' windows: look whose they are, and send them a message with a bound on the wait."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes.wintypes import DWORD
from typing import Final, NamedTuple, Protocol

from offhook.control.windows.ffi import COPYDATASTRUCT, SMTO_ABORTIFHUNG, ULONG_PTR, WM_COPYDATA, kernel32, user32

CLASS: Final = "MicroSIP"
"""The window class that programs look for."""

MARK: Final = "offhook"
"""A property that tells our phone's window from one of MicroSIP's own."""

REQUEST: Final = 102
"""dwData: a request in JSON as on the local socket; its answer is sent to the window in wParam with this code."""

SEND_MS: Final = 500
"""Longest a window may take over one message of ours. A program that is alive takes microseconds."""

MAX_ATOM: Final = 255
"""Longest name of a global atom, in characters of UTF-16."""


class Owner(NamedTuple):
    """Whose a window is. A handle is used again for other windows: only together with its owner it names one."""

    process: int
    thread: int


class Reach(Protocol):
    """The windows and atoms of the session."""

    def owner(self, window: int) -> Owner | None:
        """Return whose the window is; None if there is none of that handle, or it is not to be written to."""
        ...

    def send(self, window: int, code: int, payload: bytes) -> bool:
        """Send WM_COPYDATA and return whether it was taken. Waits up to SEND_MS; for any thread but the loop's."""
        ...

    def add_atom(self, text: str) -> int:
        """Return a new global atom of that name (its first 255 characters), 0 if there are no more."""
        ...

    def delete_atom(self, atom: int) -> None:
        """Give one back."""
        ...


class Session:
    """The windows of this Windows session that belong to other programs. `sender` gives the window we write from."""

    def __init__(self, sender: Callable[[], int]) -> None:
        self._sender = sender

    def owner(self, window: int) -> Owner | None:
        """Return whose the window is; None for ours, for those of another session, and where there is none."""
        process = DWORD()
        thread = user32.GetWindowThreadProcessId(window, ctypes.byref(process)) if window else 0
        own = kernel32.GetCurrentProcessId()
        if not thread or process.value == own or _session(process.value) != _session(own):
            return None
        return Owner(process.value, thread)

    def send(self, window: int, code: int, payload: bytes) -> bool:
        """Send WM_COPYDATA; a window that is hung, gone, or takes longer than SEND_MS has not taken it."""
        return send_copydata(window, self._sender(), code, payload, SEND_MS) is not None

    def add_atom(self, text: str) -> int:
        """Return a new global atom."""
        name = text.encode("utf-16-le", "replace")[: 2 * MAX_ATOM].decode("utf-16-le", "ignore")
        return int(kernel32.GlobalAddAtomW(name))

    def delete_atom(self, atom: int) -> None:
        """Give one back."""
        kernel32.GlobalDeleteAtom(atom)


def send_copydata(window: int, sender: int, code: int, payload: bytes, patience_ms: int) -> int | None:
    """Send WM_COPYDATA from one window to another; return its LRESULT, None if it was not taken in time."""
    buffer = ctypes.create_string_buffer(payload, len(payload) or 1)
    letter = COPYDATASTRUCT(code, len(payload), ctypes.cast(buffer, ctypes.c_void_p))
    result = ULONG_PTR()
    taken = user32.SendMessageTimeoutW(
        window, WM_COPYDATA, sender, ctypes.addressof(letter), SMTO_ABORTIFHUNG, patience_ms, ctypes.byref(result)
    )
    return result.value if taken else None


def _session(process: int) -> int:
    found = DWORD()
    return int(found.value) if kernel32.ProcessIdToSessionId(process, ctypes.byref(found)) else -1
