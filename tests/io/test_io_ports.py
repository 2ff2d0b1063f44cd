"""A port that is ours stays ours."""

from __future__ import annotations

import socket

import pytest

from offhook.io.ports import own_port


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
