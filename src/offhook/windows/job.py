"""A job of Windows: a program and all that it starts, so that they can be ended together."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
from ctypes import wintypes
from typing import Final

_SET_QUOTA_AND_TERMINATE: Final = 0x0100 | 0x0001

_kernel: Final = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel.CreateJobObjectW.restype = wintypes.HANDLE
_kernel.CreateJobObjectW.argtypes = (ctypes.c_void_p, wintypes.LPCWSTR)
_kernel.OpenProcess.restype = wintypes.HANDLE
_kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
_kernel.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
_kernel.TerminateJobObject.argtypes = (wintypes.HANDLE, wintypes.UINT)
_kernel.CloseHandle.argtypes = (wintypes.HANDLE,)


class Job:
    """The process `pid` and what it starts from now on. Raises OSError, for one if it has ended already."""

    def __init__(self, pid: int) -> None:
        self._handle: int | None = _kernel.CreateJobObjectW(None, None)
        process = _kernel.OpenProcess(_SET_QUOTA_AND_TERMINATE, False, pid)
        if not process or not _kernel.AssignProcessToJobObject(self._handle, process):
            error = ctypes.get_last_error()
            if process:
                _kernel.CloseHandle(process)
            self.close()
            raise ctypes.WinError(error)
        _kernel.CloseHandle(process)

    def end(self) -> None:
        """End all of them at once."""
        if self._handle:
            _kernel.TerminateJobObject(self._handle, 1)

    def close(self) -> None:
        """Forget it; they go on."""
        if self._handle:
            _kernel.CloseHandle(self._handle)
            self._handle = None
