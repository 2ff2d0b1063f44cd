"""A stream to a TURN server: connected beside, messages in and out whole, and every way in which it can end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from offhook.io.relay_link import MAX_WAITING, LateRelayLink
from offhook.media.messages import TurnServer

MESSAGE = b"\x40\0\0\4data"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        end.listen()
        end.settimeout(5)
        yield end


def link_to(listener: socket.socket) -> LateRelayLink:
    return LateRelayLink(TurnServer(listener.getsockname(), "user", "secret", "tcp"))


def until(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(500):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("in vain")


def test_messages_are_whole_however_they_come(listener: socket.socket) -> None:
    link = link_to(listener)
    link.send(b"first")  # before there is a connection
    server, _ = listener.accept()
    with server:
        until(lambda: link.receive() == [] and link._socket)
        link.receive()
        assert server.recv(100) == b"first"
        server.sendall(MESSAGE + MESSAGE[:5])
        heard: list[bytes] = []

        def listen() -> int:
            heard.extend(link.receive())
            return len(heard)

        until(lambda: listen() == 1)
        server.sendall(MESSAGE[5:])
        until(lambda: listen() == 2)
        assert heard == [MESSAGE, MESSAGE]
    until(lambda: link.receive() == [] and link.problem)
    assert link.problem == "the server has closed the connection"
    link.close()


def test_something_else_than_turn_ends_it(listener: socket.socket) -> None:
    link = link_to(listener)
    server, _ = listener.accept()
    with server:
        server.sendall(b"\xff\xff\xff\xff")
        until(lambda: link.receive() == [] and link.problem)
    assert link.problem == "the TURN server speaks something else"


def test_nobody_there() -> None:
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        address = end.getsockname()
    link = LateRelayLink(TurnServer(address, "user", "secret", "tcp"))
    until(lambda: link.problem)
    link.send(MESSAGE)
    assert link.receive() == []


def test_what_waits_is_bounded(listener: socket.socket) -> None:
    link = link_to(listener)
    for _ in range(2 * MAX_WAITING // 1000):
        link.send(bytes(1000))
    assert len(link._waiting) <= MAX_WAITING
    server, _ = listener.accept()
    server.close()
    link.close()


def test_a_certificate_nobody_vouches_for_is_no_server(listener: socket.socket) -> None:
    link = LateRelayLink(TurnServer(listener.getsockname(), "user", "secret", "tls", "relay.example.org"))
    server, _ = listener.accept()
    with server:
        server.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # a TLS alert: handshake failure
        until(lambda: link.problem)
    assert link.receive() == []
