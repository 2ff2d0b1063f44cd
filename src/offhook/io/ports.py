"""What a socket needs before it is bound: its address family, and its port for itself on this system."""

from __future__ import annotations

import socket
import sys

if sys.platform == "win32":
    from offhook.windows.sockets import hear_no_refusals

    def own_port(end: socket.socket) -> None:
        """Prepare a socket whose port no other program may take. Raises OSError."""
        # Without this, a program that asks for SO_REUSEADDR gets the port, and the packets, although we have it.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        if end.type == socket.SOCK_DGRAM:
            hear_no_refusals(end)
else:

    def own_port(end: socket.socket) -> None:
        """Prepare a socket whose port no other program may take. Raises OSError."""
        if end.type == socket.SOCK_STREAM:
            # On POSIX this only skips TIME_WAIT, the minutes after an earlier phone's connections.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def families_of(host: str) -> tuple[socket.AddressFamily, ...]:
    """Return the address families that a literal address to listen on stands for: `::` is everything there is."""
    if ":" not in host:
        return (socket.AF_INET,)
    return (socket.AF_INET6,) if host.strip("0:") else (socket.AF_INET6, socket.AF_INET)


def address_in(family: int, host: str) -> str:
    """Return the address to bind for this family, where `host` is the one to listen on."""
    return "0.0.0.0" if family == socket.AF_INET and ":" in host else host
