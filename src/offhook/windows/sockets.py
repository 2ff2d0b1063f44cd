"""UDP on Windows: a datagram that was refused must not break the socket that sent it."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
import socket
from ctypes import wintypes
from typing import Final

_SIO_UDP_CONNRESET: Final = 0x9800000C

_winsock: Final = ctypes.WinDLL("ws2_32", use_last_error=True)
_winsock.WSAIoctl.argtypes = (
    ctypes.c_size_t, wintypes.DWORD, ctypes.c_void_p, wintypes.DWORD, ctypes.c_void_p, wintypes.DWORD,
    ctypes.POINTER(wintypes.DWORD), ctypes.c_void_p, ctypes.c_void_p,
)  # fmt: skip


def hear_no_refusals(end: socket.socket) -> bool:
    """Keep "nobody is there" of what this UDP socket has sent from failing what it receives; False if Windows refuses.

    As it is, the next read fails with WSAECONNRESET for each, and asyncio (before 3.11.9 and 3.12.3) then reads no more at all.
    """
    off, returned = wintypes.BOOL(False), wintypes.DWORD()
    failed: int = _winsock.WSAIoctl(
        end.fileno(), _SIO_UDP_CONNRESET, ctypes.byref(off), ctypes.sizeof(off), None, 0, ctypes.byref(returned), None, None
    )
    return not failed
