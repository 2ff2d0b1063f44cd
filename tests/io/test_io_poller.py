"""The poller of the packet loop, with a few sockets and with more than one look takes."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from offhook.io import poller
from offhook.io.poller import Poller


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Return UDP sockets on loopback."""
    with contextlib.ExitStack() as opened:
        found = [opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(8)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        yield found


@pytest.mark.parametrize("portion", [500, 3])
def test_what_has_something_to_read(sockets: list[socket.socket], portion: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "PORTION", portion)
    watched = Poller()
    assert watched.ready(0) == []
    for each in sockets:
        watched.add(each.fileno())
    assert watched.ready(0) == []
    spoken_to = [sockets[1], sockets[7]]
    for each in spoken_to:
        sockets[0].sendto(b"x", each.getsockname())
    expected = {each.fileno() for each in spoken_to}
    for _ in range(1000):
        if set(watched.ready(0.01)) == expected:
            break
    assert set(watched.ready(0)) == expected
    watched.remove(sockets[1].fileno())
    assert watched.ready(0) == [sockets[7].fileno()]
    watched.close()
