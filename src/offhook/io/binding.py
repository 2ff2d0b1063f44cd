"""Binding SIP's sockets: UDP and TCP with one port number where that can be had, further listeners beside them."""

from __future__ import annotations

import errno
import ipaddress
import socket

from offhook.errors import SetupError
from offhook.io.ports import own_port

UDP_RECEIVE_BUFFER = 1 << 20
"""Bytes the kernel may queue for us: about 1500 requests, so that a burst waits instead of being lost."""

SAME_PORT_ATTEMPTS = 32
"""Free UDP ports tried until the TCP port of the same number is free as well."""


def family_of(host: str) -> socket.AddressFamily:
    """Return the family of a literal address. Raises SetupError for a name."""
    try:
        return socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        raise SetupError(f"cannot listen on {host!r}: write an IP address of this machine, or 0.0.0.0") from None


def bind_both(host: str, port: int, *, any_port: bool) -> tuple[socket.socket, socket.socket]:
    """Return bound UDP and TCP sockets, with the same port number if that can be had. Raises SetupError."""
    family = family_of(host)
    if port == 0:
        return _bind_free_pair(family, host)
    try:
        return _bind_pair(family, host, port)
    except OSError as exc:
        if any_port and exc.errno in (errno.EADDRINUSE, errno.EACCES):
            return _bind_free_pair(family, host)
        raise _bind_error(host, port, exc) from exc


def bind_listener(host: str, port: int, *, any_port: bool) -> socket.socket:
    """Return a TCP socket bound for a further listener (TLS, WebSocket). Raises SetupError."""
    family = family_of(host)
    try:
        return bound(family, socket.SOCK_STREAM, host, port)
    except OSError as exc:
        if any_port and exc.errno in (errno.EADDRINUSE, errno.EACCES):
            return bound(family, socket.SOCK_STREAM, host, 0)
        raise _bind_error(host, port, exc) from exc


def _bind_free_pair(family: socket.AddressFamily, host: str) -> tuple[socket.socket, socket.socket]:
    try:
        for _ in range(SAME_PORT_ATTEMPTS):
            udp = bound(family, socket.SOCK_DGRAM, host, 0)
            try:
                return udp, bound(family, socket.SOCK_STREAM, host, udp.getsockname()[1])
            except OSError:
                udp.close()
        udp = bound(family, socket.SOCK_DGRAM, host, 0)
        try:
            return udp, bound(family, socket.SOCK_STREAM, host, 0)
        except OSError:
            udp.close()
            raise
    except OSError as exc:
        raise _bind_error(host, 0, exc) from exc


def _bind_pair(family: socket.AddressFamily, host: str, port: int) -> tuple[socket.socket, socket.socket]:
    udp = bound(family, socket.SOCK_DGRAM, host, port)
    try:
        return udp, bound(family, socket.SOCK_STREAM, host, port)
    except OSError:
        udp.close()
        raise


def bound(family: socket.AddressFamily, kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    """Return a socket of ours under this address. Raises OSError."""
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BUFFER)
        own_port(sock)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_error(host: str, port: int, exc: OSError) -> SetupError:
    if exc.errno == errno.EADDRINUSE:
        return SetupError(f"SIP port {port} on {host} is taken by another program: stop it or set another sip.port")
    return SetupError(f"cannot listen for SIP on {host} port {port}: {plain(exc)}")


def plain(exc: BaseException) -> str:
    """Return what an error of the system says, in its own words."""
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or type(exc).__name__
