r"""A named pipe of Windows for a client that blocks.

Anybody may make a pipe of any name. So a client that has found one looks whether it is its own user's before it says a
word, and does not let the far end act in its name.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import _winapi
from time import monotonic
from typing import Final

from offhook.windows import pipes, security

PREFIX: Final = "\\\\.\\pipe\\"

_ABORTED: Final = 995  # ERROR_OPERATION_ABORTED: we cancelled it
_PENDING: Final = 997  # ERROR_IO_PENDING
_BROKEN: Final = 109  # ERROR_BROKEN_PIPE: the far end has closed it
_IDENTIFY_ONLY: Final = 0x00100000 | 0x00010000  # SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION
_CHUNK: Final = 65536


def pipe_name(address: str) -> str:
    r"""Return the pipe that an address means: itself if it is one, else `\\.\pipe\` with what cannot be in a name replaced."""
    name = address[len(PREFIX):] if address.startswith(PREFIX) else address
    return PREFIX + name.translate(dict.fromkeys(map(ord, '\\/:'), "-"))


def try_open(address: str) -> int | None:
    """Return a handle to the phone's pipe, None if all its instances are busy just now. Raises OSError if it is not there.

    PermissionError if it is another user's.
    """
    access = _winapi.GENERIC_READ | _winapi.GENERIC_WRITE
    flags = _winapi.FILE_FLAG_OVERLAPPED | _IDENTIFY_ONLY
    try:
        handle = _winapi.CreateFile(pipe_name(address), access, 0, 0, _winapi.OPEN_EXISTING, flags, 0)
    except OSError as error:
        if error.winerror == pipes.BUSY:
            return None
        raise
    try:
        if not security.is_ours(handle):
            raise PermissionError("it belongs to another user")
    except BaseException:
        _winapi.CloseHandle(handle)
        raise
    return handle


class Channel:
    """One connection."""

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    def send(self, data: bytes, timeout: float) -> None:
        """Send all of it; raises TimeoutError if that takes longer than so many seconds, OSError if the connection broke."""
        operation, error = _winapi.WriteFile(self._opened(), data, overlapped=True)
        _finish(operation, error, timeout)

    def receive(self, timeout: float | None) -> bytes:
        """Return what comes next, b"" at the end; raises TimeoutError after so many seconds (None: never) without any."""
        try:
            operation, error = _winapi.ReadFile(self._opened(), _CHUNK, overlapped=True)
            size = _finish(operation, error, timeout)
        except OSError as failure:
            if failure.winerror == _BROKEN:
                return b""
            raise
        return bytes(operation.getbuffer() or b"")[:size]

    def close(self) -> None:
        """End it."""
        if self._handle is not None:
            _winapi.CloseHandle(self._handle)
            self._handle = None

    def _opened(self) -> int:
        if self._handle is None:
            raise OSError("the connection is closed")
        return self._handle


def connect(address: str, timeout: float) -> Channel:
    """Return a connection to the phone; raises OSError if none listens there, or not within so many seconds."""
    deadline = monotonic() + timeout
    while (handle := try_open(address)) is None:
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the phone takes no more clients")
        pipes.wait_for_instance(pipe_name(address), max(1, int(left * 1000)))
    return Channel(handle)


def _finish(operation: _winapi.Overlapped, error: int, timeout: float | None) -> int:
    """Wait for a read or write and return how many bytes it was about; one that takes too long is taken back."""
    try:
        if error == _PENDING:
            wait = _winapi.INFINITE if timeout is None else max(0, int(timeout * 1000))
            _winapi.WaitForMultipleObjects([operation.event], False, wait)
    finally:
        # Harmless if it is over. Ctrl+C comes this way too, and the buffer must not be written to any more.
        operation.cancel()
        size, failure = operation.GetOverlappedResult(True)
    if failure == _ABORTED:
        raise TimeoutError
    return size
