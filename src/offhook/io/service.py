"""Tells the service manager that started the phone how it is: ready, alive, stopping (systemd's sd_notify protocol).

The protocol is a datagram of `NAME=value` lines to the Unix socket in $NOTIFY_SOCKET. Without that variable nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, MutableMapping
from typing import Final

SIGNS_OF_LIFE: Final = 2
"""How often within the watchdog's time: one may come late on a busy machine."""


class ServiceManager:
    """Who started us and wants to know. Takes its variables out of `environment`: our own children are none of its business."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = _address(environment.pop("NOTIFY_SOCKET", ""))
        self._period_s = _watchdog(environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", ""))
        self._next: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """Tell that the phone takes calls and commands, with a line for people; from now on give signs of life."""
        self._send(f"READY=1\nSTATUS={status}")
        if self._address and self._period_s:
            self._live(asyncio.get_running_loop().call_later)

    def stopping(self) -> None:
        """Tell that the phone is about to end. It may take a while: calls are hung up first."""
        if self._next is not None:
            self._next.cancel()
        self._send("STOPPING=1")

    def _live(self, later: Callable[..., asyncio.TimerHandle]) -> None:
        # A loop that does not turn sends nothing, which is the point of it.
        self._send("WATCHDOG=1")
        self._next = later(self._period_s / SIGNS_OF_LIFE, self._live, later)

    def _send(self, text: str) -> None:
        if sys.platform == "win32" or not self._address:
            return
        # A manager that is gone or behind is no reason for the phone to end or to wait.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
            sender.setblocking(False)
            sender.sendto(text.encode(), self._address)


def _address(text: str) -> str:
    """Return where to send, with the first letter of an abstract name as the system has it; "" for none."""
    if text[:1] not in ("/", "@"):
        return ""
    return "\0" + text[1:] if text[0] == "@" else text


def _watchdog(microseconds: str, pid: str) -> float:
    """Return the seconds within which a sign of life is wanted from this process; 0 for never."""
    if not (microseconds.isascii() and microseconds.isdigit()) or (pid and pid != str(os.getpid())):
        return 0.0
    return int(microseconds) / 1e6
