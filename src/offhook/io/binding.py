"""Binding SIP's sockets: UDP and TCP with one port number where that can be had, further listeners beside them."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from typing import TypeAlias

from offhook.errors import SetupError
from offhook.io.ports import address_in, families_of, own_port

UDP_RECEIVE_BUFFER = 1 << 20
"""Bytes the kernel may queue for us: about 1500 requests, so that a burst waits instead of being lost."""

SAME_PORT_ATTEMPTS = 32
"""Free UDP ports tried until the TCP port of the same number is free as well."""


SocketPair: TypeAlias = tuple[socket.socket, socket.socket]
"""UDP and TCP of one address family."""


def bind_both(host: str, port: int, *, any_port: bool) -> list[SocketPair]:
    """Return bound sockets for each family that `host` stands for, with one port if that can be had. Raises SetupError."""
    families = _families_of(host)
    if port == 0:
        return _bind_free(families, host)
    try:
        return _bind_pairs(families, host, port)
    except OSError as exc:
        if any_port and exc.errno in (errno.EADDRINUSE, errno.EACCES):
            return _bind_free(families, host)
        raise _bind_error(host, port, exc) from exc


def bind_listener(host: str, port: int, *, any_port: bool) -> list[socket.socket]:
    """Return TCP sockets bound for a further listener (TLS, WebSocket), one for each family. Raises SetupError."""
    families = _families_of(host)
    try:
        return _bind_streams(families, host, port)
    except OSError as exc:
        if any_port and exc.errno in (errno.EADDRINUSE, errno.EACCES):
            with contextlib.suppress(OSError):
                return _bind_streams(families, host, 0)
        raise _bind_error(host, port, exc) from exc


def _families_of(host: str) -> tuple[socket.AddressFamily, ...]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise SetupError(f"cannot listen on {host!r}: write an IP address of this machine, 0.0.0.0 or ::") from None
    return families_of(host)


def _bind_free(families: tuple[socket.AddressFamily, ...], host: str) -> list[SocketPair]:
    """Bind a free port; the same one for everything, else (one family only) one for UDP and one for TCP."""
    try:
        for _ in range(SAME_PORT_ATTEMPTS):
            with contextlib.suppress(OSError):
                return _bind_pairs(families, host, 0)
        udp = bound(families[0], socket.SOCK_DGRAM, host, 0)
        try:
            return [(udp, bound(families[0], socket.SOCK_STREAM, host, 0))]
        except OSError:
            udp.close()
            raise
    except OSError as exc:
        raise _bind_error(host, 0, exc) from exc


def _bind_pairs(families: tuple[socket.AddressFamily, ...], host: str, port: int) -> list[SocketPair]:
    with contextlib.ExitStack() as opened:
        pairs = []
        for family in families:
            udp = opened.enter_context(bound(family, socket.SOCK_DGRAM, host, port))
            port = udp.getsockname()[1]
            pairs.append((udp, opened.enter_context(bound(family, socket.SOCK_STREAM, host, port))))
        opened.pop_all()
        return pairs


def _bind_streams(families: tuple[socket.AddressFamily, ...], host: str, port: int) -> list[socket.socket]:
    with contextlib.ExitStack() as opened:
        listeners: list[socket.socket] = []
        for family in families:
            listeners.append(opened.enter_context(bound(family, socket.SOCK_STREAM, host, port)))
            port = listeners[0].getsockname()[1]
        opened.pop_all()
        return listeners


def bound(family: socket.AddressFamily, kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    """Return a socket of ours under this address (all IPv4 ones, where `host` is ::). Raises OSError."""
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BUFFER)
        own_port(sock)
        sock.bind(address_in(family, host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_error(host: str, port: int, exc: OSError) -> SetupError:
    if exc.errno == errno.EADDRINUSE:
        return SetupError(f"SIP port {port} on {host} is taken by another program: stop it, or choose another (--port)")
    return SetupError(f"cannot listen for SIP on {host} port {port}: {plain(exc)}")


def plain(exc: BaseException) -> str:
    """Return what an error of the system says, in its own words."""
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or type(exc).__name__
