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


def address_in(family: int, host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return the address to bind for this family, where `host` is the one to listen on. Raises OSError.

    One of a link (`fe80::1%eth0`) is bound to that link: then everything the socket sends goes there.
    """
    if family == socket.AF_INET and ":" in host:
        return "0.0.0.0", port
    if "%" not in host:
        return host, port
    found: tuple[str, int, int, int] = socket.getaddrinfo(host, port, socket.AF_INET6, flags=socket.AI_NUMERICHOST)[0][4]  # type: ignore[assignment]
    return found


def without_link(host: str) -> str:
    """Return an address as others may read it: which link it is on is a matter of this machine alone (RFC 4007 11.2)."""
    return host.partition("%")[0]
