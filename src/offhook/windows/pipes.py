"""Named pipes by their names in Unicode: Python's own functions give some of these to Windows in the system's code page.

So a name with an umlaut (a user's, for one) would be made under one name and looked for under another.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
from ctypes import wintypes
from typing import Final

BUSY: Final = 231
"""ERROR_PIPE_BUSY: every instance has its client."""
WAITED: Final = 121
"""ERROR_SEM_TIMEOUT: no instance has become free in time."""

_INVALID: Final = ctypes.c_void_p(-1).value

_kernel: Final = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel.CreateNamedPipeW.restype = wintypes.HANDLE
_kernel.CreateNamedPipeW.argtypes = (wintypes.LPCWSTR, *[wintypes.DWORD] * 6, ctypes.c_void_p)
_kernel.WaitNamedPipeW.argtypes = (wintypes.LPCWSTR, wintypes.DWORD)


def make_instance(name: str, access: int, mode: int, most: int, buffer: int, attributes: int) -> int:
    """Return the server's end of an instance of the pipe. Raises OSError."""
    handle: int | None = _kernel.CreateNamedPipeW(name, access, mode, most, buffer, buffer, 0, attributes)
    if handle is None or handle == _INVALID:
        raise ctypes.WinError(ctypes.get_last_error())
    return handle


def wait_for_instance(name: str, milliseconds: int) -> bool:
    """Wait for an instance that has no client; False if there is none in time. Raises OSError if there is no such pipe."""
    if _kernel.WaitNamedPipeW(name, milliseconds):
        return True
    error = ctypes.get_last_error()
    if error == WAITED:
        return False
    raise ctypes.WinError(error)
