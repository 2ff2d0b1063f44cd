"""Where the HTTP surface may listen: on this machine, or beyond it with TLS and a token. Light, so that it is asked first."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace

from offhook.errors import SetupError


@dataclass(frozen=True, slots=True)
class Listen:
    """Where and how to listen. Port 0 is any free one, and so is a taken one with `any_port`.

    `certificate` and `key` are PEM files ("" for plain HTTP), `hosts` further names, `origins` pages that may use it.
    """

    host: str = "127.0.0.1"
    port: int = 0
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    any_port: bool = False


def check_bind(listen: Listen, has_token: bool) -> None:
    """Raise SetupError for an address beyond this machine without TLS, or without a token that somebody made on purpose."""
    if bool(listen.certificate) != bool(listen.key):
        raise SetupError("http.certificate and http.key belong together: give both, or neither")
    if is_loopback(listen.host):
        return
    if not listen.certificate:
        raise SetupError(
            f"http.host {listen.host} can be reached from other machines: give http.certificate and http.key (TLS), "
            "or use 127.0.0.1"
        )
    if not has_token:
        raise SetupError(
            f"http.host {listen.host} can be reached from other machines, and there is no token yet: "
            "`offhook token create NAME --scopes read,call` makes one"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address; raises SetupError for what is none."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise SetupError(f"http.host {host!r} is no IP address: write one of this machine's, as 127.0.0.1") from None


def listening_socket(listen: Listen) -> socket.socket:
    """Return a socket bound to the address; raises SetupError if it cannot be had."""
    host, port = listen.host, listen.port
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            # On Windows SO_REUSEADDR would let another program take the same port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE and listen.any_port:
            return listening_socket(replace(listen, port=0))
        why = "another program has it" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise SetupError(f"cannot serve HTTP on {host}:{port}: {why}; choose another with --http PORT") from error
    return listener


def tls_context(listen: Listen, tell: Callable[[str], object] = lambda _: None) -> ssl.SSLContext:
    """Return what TLS needs; raises SetupError if certificate and key cannot be used. Reads files.

    They are looked at again with each connection, so that a renewed certificate is used without a new start; `tell` is told of
    one that cannot be.
    """
    from offhook.io.tls import renewing

    current = renewing(listen.certificate, listen.key, _context, tell=tell)
    context = current()

    def renew(connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = current()

    context.sni_callback = renew  # with every client's first words, whether they name a host or not
    return context


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"http.certificate {certificate} and http.key {key} cannot be used: {error}") from error
    return context
