"""What a socket needs, before it is bound, to have its port for itself on this system."""

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
