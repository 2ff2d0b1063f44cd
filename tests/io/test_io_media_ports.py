"""Sockets for sound: pairs kept ready in each address family, and the connected twins beside those in use."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from offhook.io.media_loop import SystemIds
from offhook.io.media_ports import PortPool, Twins
from offhook.io.media_studio import LocalStudio
from offhook.io.media_wire import MediaOptions
from offhook.io.poller import Poller
from offhook.media.engine import Engine
from offhook.media.messages import ConfigureStream, DtlsPeer, OpenStream, SdesKeys, StreamConfig
from offhook.media.sources import SILENCE
from offhook.media.stream import Stream
from offhook.testing.ipv6 import NO_IPV6, has_ipv6

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)
LOOPBACK = ("127.0.0.1", pytest.param("::1", marks=needs_ipv6))
NOWHERE = {"127.0.0.1": "255.255.255.255", "::1": "ff02::1%9999"}


def options(host: str = "127.0.0.1", *, port_range: tuple[int, int] | None = None) -> MediaOptions:
    return MediaOptions(host=host, port_range=port_range, pool=4, sound="null")


@pytest.mark.parametrize("host", LOOPBACK)
def test_ports_come_in_pairs_and_from_the_range(host: str) -> None:
    anywhere = PortPool(options(host))
    ports = anywhere.fill()
    assert len(ports) == 4
    assert all(port % 2 == 0 for port in ports)
    (taken,) = anywhere.take(ports[0])
    assert [end.getsockname()[:2] for end in taken] == [(host, ports[0]), (host, ports[0] + 1)]
    assert anywhere.take(ports[0]) == []
    for end in taken:
        end.close()
    low = ports[0]
    narrow = PortPool(options(host, port_range=(low - 1, low + 2)))
    assert narrow.fill() == [low]
    assert narrow.fill() == []
    narrow.close()
    anywhere.close()


@needs_ipv6
def test_a_port_for_both_families_is_free_in_both() -> None:
    pool = PortPool(options("::"))
    port = pool.fill()[0]
    pairs = pool.take(port)
    assert [[end.getsockname()[:2] for end in pair] for pair in pairs] == [
        [("::", port), ("::", port + 1)], [("0.0.0.0", port), ("0.0.0.0", port + 1)],
    ]  # fmt: skip
    pool.close()
    for end in (*pairs[0], *pairs[1][1:]):
        end.close()
    assert PortPool(options("::", port_range=(port, port + 1))).fill() == []  # one family is not enough
    pairs[1][0].close()
    again = PortPool(options("::", port_range=(port, port + 1)))
    assert again.fill() == [port]
    again.close()


class Twinned:
    """A stream on the first socket of a real pair, and the twins that follow it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.pool = PortPool(options(host))
        self.port = self.pool.fill()[0]
        (self.pair,) = self.pool.take(self.port)
        self.first = self.pair[0]
        self.poller = Poller()
        self.twins = Twins(self.poller)
        self.engine = Engine(SystemIds(), LocalStudio("null"))
        self.engine.execute(OpenStream("a", self.port, "x@test"), 0.0)
        self.stream: Stream = self.engine.streams["a"]
        self.far = [socket.socket(self.first.family, socket.SOCK_DGRAM) for _ in range(2)]
        for end in self.far:
            end.bind((host, 0))
            end.connect((host, self.port))

    def latch(self, end: socket.socket, security: SdesKeys | DtlsPeer | None = None) -> None:
        self.move_to(end.getsockname()[:2], security)
        self.twins.follow(self.first, self.stream, end.getsockname()[:2], 172)

    def move_to(self, peer: tuple[str, int], security: SdesKeys | DtlsPeer | None = None) -> None:
        config = StreamConfig(
            remote=peer, remote_rtcp=(self.host, 9), codec="PCMU", payload_type=0, receive_types=((0, "PCMU"),),
            telephone_event=None, security=security,
        )  # fmt: skip
        self.engine.execute(ConfigureStream("a", config), 0.0)

    def speak(self) -> int:
        """Have the stream speak once and return how many packets were left to the first socket."""
        self.stream.speak(SILENCE)
        left = len(self.engine.outbox)
        self.engine.outbox.clear()
        return left

    def twin_reads(self) -> bytes:
        ready = self.poller.ready(5.0)
        assert len(ready) == 1
        return self.twins.inputs[ready[0]][0](100)

    def first_reads(self) -> bytes:
        self.first.settimeout(5.0)
        return self.first.recv(100)

    def close(self) -> None:
        self.twins.close_all()
        self.poller.close()
        self.pool.close()
        for end in (*self.pair, *self.far):
            end.close()


@pytest.fixture(params=LOOPBACK)
def twinned(request: pytest.FixtureRequest) -> Iterator[Twinned]:
    made = Twinned(request.param)
    yield made
    made.close()


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing says which socket would get a packet")


@linux_only
def test_a_twin_hears_its_peer_and_the_first_socket_everybody_else(twinned: Twinned) -> None:
    one, other = twinned.far
    twinned.latch(one)
    other.send(b"foreign")
    one.send(b"peer")
    other.send(b"again")  # would raise if the port looked closed
    assert twinned.twin_reads() == b"peer"
    assert (twinned.first_reads(), twinned.first_reads()) == (b"foreign", b"again")
    assert twinned.twins.by_port[twinned.port].peer == one.getsockname()[:2]
    assert twinned.speak() == 0
    assert len(one.recv(200)) == 172
    assert one.getpeername()[:2] == (twinned.host, twinned.port)


@linux_only
def test_a_twin_follows_only_the_latched_peer(twinned: Twinned) -> None:
    one, other = twinned.far
    twinned.latch(one)
    before = twinned.twins.by_port[twinned.port]
    twinned.twins.follow(twinned.first, twinned.stream, other.getsockname()[:2], 172)
    twinned.latch(one)
    assert twinned.twins.by_port[twinned.port] is before
    twinned.move_to(other.getsockname()[:2])
    assert twinned.speak() == 1  # nothing goes to the old peer any more
    twinned.latch(other)
    assert twinned.speak() == 0
    other.send(b"moved")
    assert twinned.twin_reads() == b"moved"
    one.send(b"left behind")
    assert twinned.first_reads() == b"left behind"
    assert len(twinned.twins.inputs) == 1


@linux_only
def test_a_port_with_a_twin_is_as_busy_as_any_other(twinned: Twinned) -> None:
    twinned.latch(twinned.far[0])
    assert PortPool(options(twinned.host, port_range=(twinned.port, twinned.port + 1))).fill() == []
    with socket.socket(twinned.first.family, socket.SOCK_DGRAM) as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            greedy.bind((twinned.host, twinned.port))
    twinned.twins.close(twinned.port)
    assert (twinned.twins.by_port, twinned.twins.inputs) == ({}, {})
    assert twinned.speak() == 1


@linux_only
def test_what_a_twin_cannot_send_is_left_to_the_first_socket(twinned: Twinned) -> None:
    one, _ = twinned.far
    twinned.latch(one)
    one.close()
    # The first packet finds nobody; the kernel tells so when the second one is to be sent.
    assert [twinned.speak() for _ in range(3)] == [0, 1, 0]


@linux_only
def test_where_there_can_be_no_twin_the_first_socket_does_everything(twinned: Twinned) -> None:
    nowhere = NOWHERE[twinned.host], 9  # a broadcast address, or an interface that does not exist, cannot be connected to
    twinned.move_to(nowhere)
    twinned.twins.follow(twinned.first, twinned.stream, nowhere, 172)
    assert twinned.twins.by_port == {}
    twinned.latch(twinned.far[0])
    assert twinned.twins.by_port == {}
    twinned.twins.close(twinned.port)
    twinned.latch(twinned.far[0])
    assert twinned.twins.by_port != {}


@linux_only
def test_a_handshake_has_no_twin_and_what_was_agreed_on_has_one(twinned: Twinned) -> None:
    """Its packets are longer than a twin reads at first, and a lost one costs a second."""
    twinned.latch(twinned.far[0], DtlsPeer("server", (("sha-256", "AA"),)))
    assert not twinned.twins.by_port
    twinned.latch(twinned.far[0], SdesKeys("AES_CM_128_HMAC_SHA1_80", bytes(30), bytes(30)))
    assert twinned.twins.by_port
