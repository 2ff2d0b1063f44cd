"""Packets of a stream as its sockets carry them: every one, both ways, with true addresses; and nothing while nobody asks."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Literal, TypeVar

import pytest

from offhook.io.media_capture import AROUND, CapturedEnd
from offhook.io.media_host import MediaHost
from offhook.io.media_wire import MediaOptions
from offhook.media.messages import (
    CapturedPacket,
    CaptureEnded,
    CaptureStream,
    CloseStream,
    ConfigureStream,
    EndCapture,
    MediaReport,
    OpenStream,
    PortsReady,
    SdesKeys,
    StreamCaptured,
    StreamConfig,
    StreamKeys,
)
from offhook.media.srtp import Opening, Sealing

R = TypeVar("R")
KEYS = SdesKeys("AES_CM_128_HMAC_SHA1_80", bytes(range(30)), bytes(range(30, 60)))


def rtp(number: int) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, number, 160 * number, 99) + bytes(160)


class Far:
    """A host with one stream, and the far end of it: two plain sockets."""

    def __init__(self, mode: Literal["thread", "process"], security: SdesKeys | None = None, host: str = "127.0.0.1") -> None:
        self.host = MediaHost(mode=mode, options=MediaOptions(host=host, sound="null", pool=2))
        self.reports: list[MediaReport] = []
        self.ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for end in self.ends:
            end.bind(("127.0.0.1", 0))
            end.settimeout(5.0)
        self.host.start()
        (self.port, *_) = self.until(PortsReady)[0].ports
        self.host.send(OpenStream("c", self.port, "c@test"))
        self.configure(security)

    def configure(self, security: SdesKeys | None) -> None:
        remote, control = (end.getsockname() for end in self.ends)
        self.host.send(ConfigureStream("c", StreamConfig(remote, control, "PCMU", 0, ((0, "PCMU"),), security=security)))

    def until(self, kind: type[R], count: int = 1) -> list[R]:
        """Wait until there are so many of these reports, and return them."""
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline:
            self.reports += self.host.drain(0.05)
            found: list[R] = [report for report in self.reports if isinstance(report, kind)]
            if len(found) >= count:
                return found
        raise AssertionError(f"no {kind.__name__} in {self.reports}")

    @property
    def packets(self) -> list[CapturedPacket]:
        return [packet for report in self.reports if isinstance(report, StreamCaptured) for packet in report.packets]

    def send(self, end: int, packet: bytes) -> None:
        self.ends[end].sendto(packet, ("127.0.0.1", self.port + end))

    def wait_for(self, packet: bytes, *, sent: bool = False) -> CapturedPacket:
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline:
            self.reports += self.host.drain(0.05)
            for found in self.packets:
                if found[4] == packet and found[1] == sent:
                    return found
        raise AssertionError(f"{packet!r} was not captured")

    def capture(self, room: int = 1_000_000, *, keys: bool = False) -> None:
        """Have packets captured, and forget what was before."""
        del self.reports[:]
        self.host.send(CaptureStream("c", room, keys))
        self.until(StreamCaptured)

    def close(self) -> None:
        self.host.close()
        for end in self.ends:
            end.close()


@pytest.fixture(params=["thread", "process"])
def far(request: pytest.FixtureRequest) -> Iterator[Far]:
    made = Far(request.param)
    yield made
    made.close()


@pytest.mark.lengthy
def test_every_packet_of_both_ports_and_ways_is_captured(far: Far) -> None:
    before = time.time()
    far.capture()
    received = [rtp(number) for number in range(1, 30)]
    for packet in received:
        far.send(0, packet)
    far.send(1, b"\x80\xc9\0\1\0\0\0\x63")
    far.send(0, b"no RTP at all")
    theirs = far.ends[0].getsockname()
    taken = [far.ends[0].recv(2048) for _ in range(20)]
    for packet in (*received, b"no RTP at all"):
        at, sent, local, remote, _ = far.wait_for(packet)
        assert (sent, local, remote) == (False, ("127.0.0.1", far.port), theirs)
        assert before <= at <= time.time()
    assert far.wait_for(b"\x80\xc9\0\1\0\0\0\x63")[2:4] == (("127.0.0.1", far.port + 1), far.ends[1].getsockname())
    # What the far end got was captured from the moment of the command on, and nothing twice.
    first = next(number for number, packet in enumerate(taken) if any(kept[4] == packet for kept in far.packets))
    for packet in taken[first:]:
        assert far.wait_for(packet, sent=True)[2:4] == (("127.0.0.1", far.port), theirs)
    far.host.send(EndCapture("c"))
    (ended,) = far.until(CaptureEnded)
    assert len({(kept[1], kept[4]) for kept in far.packets}) == len(far.packets) == ended.packets
    assert ended == CaptureEnded("c", "stopped", len(far.packets), sum(len(kept[4]) + AROUND for kept in far.packets))
    assert [kept[0] for kept in far.packets] == sorted(kept[0] for kept in far.packets)


@pytest.mark.lengthy
def test_it_ends_with_its_size_and_with_the_stream(far: Far) -> None:
    room = 10 * (172 + AROUND)
    far.capture(room)
    assert far.until(CaptureEnded) == [CaptureEnded("c", "full", 10, room)]
    assert len(far.packets) == 10
    far.host.send(EndCapture("c"))
    far.capture()
    far.send(0, rtp(1))
    far.wait_for(rtp(1))
    far.host.send(CloseStream("c"))
    ended = far.until(CaptureEnded)[0]
    assert ended.reason == "call ended"
    assert far.packets[-1][2] == ("127.0.0.1", far.port + 1)  # its goodbye (RFC 3550 6.6) is in it
    assert b"\x81\xcb" in far.packets[-1][4]


@pytest.mark.lengthy
def test_a_stream_that_is_not_there(far: Far) -> None:
    far.host.send(CaptureStream("x", 1000), EndCapture("x"), EndCapture("c"))
    assert far.until(CaptureEnded) == [CaptureEnded("x", "engine failed", 0, 0)]


@pytest.mark.lengthy
def test_keys_are_told_only_to_who_asks_and_open_what_was_captured(far: Far) -> None:
    far.configure(KEYS)
    far.capture()
    sealing = Sealing(KEYS.suite, KEYS.receive)
    sealed = [sealing.seal(rtp(number)) for number in range(10)]
    for packet in sealed:
        far.send(0, packet)
    far.wait_for(sealed[-1])
    far.host.send(EndCapture("c"))
    far.until(CaptureEnded)
    assert not [report for report in far.reports if isinstance(report, StreamKeys)]
    far.capture(keys=True)
    (told,) = far.until(StreamKeys)
    assert (told.component, told.keys) == (1, KEYS)
    far.send(0, sealing.seal(rtp(10)))
    far.until(StreamCaptured, 4)  # each is a quarter of a second: some of ours went out under this key
    later = SdesKeys(KEYS.suite, bytes(30), KEYS.receive)
    far.configure(later)  # a key of ours that changes is told, too
    assert [each.keys for each in far.until(StreamKeys, 2)] == [KEYS, later]
    far.host.send(EndCapture("c"))
    far.until(CaptureEnded)
    opening = Opening(KEYS.suite, KEYS.receive)
    received = [packet for _, sent, _, _, packet in far.packets if not sent]
    assert [opening.open(packet) for packet in received] == [rtp(10)]
    ours = [packet for _, sent, _, _, packet in far.packets if sent and len(packet) > 172]
    assert ours
    assert Opening(KEYS.suite, KEYS.send).open(ours[0])[:1] == b"\x80"


def test_a_socket_that_listens_everywhere_is_shown_under_its_real_address() -> None:
    far = Far("thread", host="0.0.0.0")
    try:
        far.capture()
        far.send(0, rtp(1))
        assert far.wait_for(rtp(1))[2] == ("127.0.0.1", far.port)
    finally:
        far.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only there streams have twins")
def test_sockets_are_plain_ones_and_have_their_twins_unless_somebody_looks() -> None:
    far = Far("thread")
    try:
        loop = far.host._loop
        assert loop is not None

        def settled(twins: int, captured: int) -> bool:
            """Tell whether there are so many twins and captured sockets, sooner or later."""
            deadline = time.monotonic() + 5.0
            number = 0
            while time.monotonic() < deadline:
                far.send(0, rtp(number := number + 1))
                ends = [end for sockets in tuple(loop._sockets._ends.values()) for end in tuple(sockets.values())]
                if len(loop._sockets.twins.by_port) == twins and sum(isinstance(end, CapturedEnd) for end in ends) == captured:
                    return True
                time.sleep(0.01)
            return False

        assert settled(1, 0)
        far.host.send(CaptureStream("c", 1_000_000))
        assert settled(0, 2)
        far.host.send(EndCapture("c"))
        assert settled(1, 0)
        assert loop._captures == {}
    finally:
        far.close()
