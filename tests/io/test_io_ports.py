"""A port that is ours stays ours."""

from __future__ import annotations

import socket
import sys

import pytest

from offhook.io.ports import address_in, own_port, without_link


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_nobody_else_gets_it(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as ours, socket.socket(socket.AF_INET, kind) as theirs:
        own_port(ours)
        ours.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            ours.listen()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match=r"."):
            theirs.bind(ours.getsockname())


def test_a_port_can_be_had_again_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as first:
        own_port(first)
        first.bind(("127.0.0.1", 0))
        first.listen()
        address = first.getsockname()
        with socket.create_connection(address, 5), first.accept()[0]:
            pass
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as second:
        own_port(second)
        second.bind(address)


def test_an_address_of_a_link_is_bound_to_that_link() -> None:
    number, name = socket.if_nameindex()[0]
    link = str(number) if sys.platform == "win32" else name
    assert address_in(socket.AF_INET6, f"fe80::1%{link}", 5060)[1:] == (5060, 0, number)
    assert address_in(socket.AF_INET6, "fd00::1", 5060) == ("fd00::1", 5060)
    assert address_in(socket.AF_INET, "::", 5060) == ("0.0.0.0", 5060)
    assert address_in(socket.AF_INET, "127.0.0.1", 5060) == ("127.0.0.1", 5060)
    with pytest.raises(OSError, match=r"."):
        address_in(socket.AF_INET6, "fe80::1%there-is-none", 5060)


def test_others_are_not_told_what_a_link_is_called() -> None:
    assert without_link("fe80::1%eth0") == without_link("fe80::1") == "fe80::1"
    assert without_link("127.0.0.1") == "127.0.0.1"
