"""The SIP sockets, on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from offhook.errors import SetupError
from offhook.io import transport
from offhook.io.transport import DATAGRAMS_A_TURN, Transports
from offhook.sip.events import Datagram, Flow, FlowFailed, FlowUp, StreamChunk
from offhook.testing.ipv6 import NO_IPV6, has_ipv6

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)
PATIENCE = 20.0


class Phone:
    """Transports with a queue behind them."""

    def __init__(self, host: str, port: int, options: dict[str, Any]) -> None:
        self.sockets = Transports(host, port, self.deliver, **options)
        self.arrived: asyncio.Queue[Datagram | StreamChunk | FlowFailed] = asyncio.Queue()
        self.up: list[FlowUp] = []

    def deliver(self, item: Datagram | StreamChunk | FlowUp | FlowFailed) -> None:
        if isinstance(item, FlowUp):
            self.up.append(item)
        else:
            self.arrived.put_nowait(item)

    async def next(self) -> Datagram | StreamChunk | FlowFailed:
        return await asyncio.wait_for(self.arrived.get(), PATIENCE)

    async def failure(self) -> FlowFailed:
        item = await self.next()
        assert isinstance(item, FlowFailed)
        return item

    async def chunk(self) -> StreamChunk:
        item = await self.next()
        assert isinstance(item, StreamChunk)
        return item

    def to(self, other: Phone, kind: str = "tcp") -> Flow:
        port = other.sockets.port if kind == "udp" else other.sockets.tcp_port
        return self.sockets.flow_to(("127.0.0.1", port), "udp" if kind == "udp" else "tcp")


@asynccontextmanager
async def phone(host: str = "127.0.0.1", port: int = 0, **options: Any) -> AsyncIterator[Phone]:
    made = Phone(host, port, options)
    await made.sockets.start()
    try:
        yield made
    finally:
        await made.sockets.close()


async def test_both_transports_get_the_same_free_port() -> None:
    async with phone() as a:
        assert a.sockets.port == a.sockets.tcp_port > 0


async def test_a_datagram_arrives_with_both_addresses() -> None:
    async with phone() as a, phone() as b:
        a.sockets.send(a.to(b, "udp"), b"hello")
        here, there = ("127.0.0.1", b.sockets.port), ("127.0.0.1", a.sockets.port)
        assert await b.next() == Datagram(Flow("udp", here, there), b"hello")


async def test_the_flow_of_a_datagram_is_the_way_back() -> None:
    async with phone() as a, phone() as b:
        a.sockets.send(a.to(b, "udp"), b"ping")
        arrived = await b.next()
        assert isinstance(arrived, Datagram)
        b.sockets.send(arrived.flow, b"pong")
        assert await a.next() == Datagram(a.to(b, "udp"), b"pong")


async def test_a_wildcard_socket_knows_the_address_the_peer_sees() -> None:
    async with phone("0.0.0.0") as a, phone("0.0.0.0") as b:
        assert a.sockets.local_for(("127.0.0.1", 5060)) == ("127.0.0.1", a.sockets.port)
        a.sockets.send(a.to(b, "udp"), b"x")
        arrived = await b.next()
        assert isinstance(arrived, Datagram)
        assert arrived.flow.local == ("127.0.0.1", b.sockets.port)
        b.sockets.forget_addresses()
        assert b.sockets.local_for(("127.0.0.1", 5060)) == ("127.0.0.1", b.sockets.port)


async def test_a_datagram_that_cannot_be_sent_fails_its_flow() -> None:
    async with phone() as a, phone() as b:
        flow = a.to(b, "udp")
        a.sockets.send(flow, bytes(70_000))
        assert (await a.failure()).flow == flow
        a.sockets.send(flow, b"still alive")
        assert isinstance(await b.next(), Datagram)


async def test_udp_survives_a_closed_port() -> None:
    async with phone() as a, phone() as b:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
            dead.bind(("127.0.0.1", 0))
            port = dead.getsockname()[1]
        for _ in range(3):
            a.sockets.send(a.sockets.flow_to(("127.0.0.1", port), "udp"), b"nobody")
        a.sockets.send(a.to(b, "udp"), b"x")
        assert isinstance(await b.next(), Datagram)
        assert a.arrived.empty()


async def test_a_burst_of_datagrams_arrives_in_order() -> None:
    async with phone() as a, phone() as b:
        for number in range(3 * DATAGRAMS_A_TURN):
            a.sockets.send(a.to(b, "udp"), b"%d" % number)
        arrived = [await b.next() for _ in range(3 * DATAGRAMS_A_TURN)]
        assert [item.data for item in arrived if isinstance(item, Datagram)] == [b"%d" % n for n in range(len(arrived))]


async def test_a_loop_that_watches_no_sockets_reads_them_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def watches_none(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(type(asyncio.get_running_loop()), "add_reader", watches_none)
    async with phone() as a, phone() as b:
        a.sockets.send(a.to(b, "udp"), b"x")
        item = await b.next()
        assert isinstance(item, Datagram)
        b.sockets.send(item.flow, b"y")
        assert isinstance(await a.next(), Datagram)


async def test_a_tcp_connection_is_made_once_and_carries_both_ways() -> None:
    async with phone() as a, phone() as b:
        flow = a.to(b)
        a.sockets.send(flow, b"one ")
        a.sockets.send(flow, b"two")
        chunk = await b.chunk()
        assert type(chunk.data) is bytes  # whatever the system's event loop reads into
        arrived = chunk.data
        while len(arrived) < len(b"one two"):  # a stream may be cut anywhere
            arrived += (await b.chunk()).data
        assert arrived == b"one two"
        assert chunk.flow.connection > 0
        assert chunk.flow.local == ("127.0.0.1", b.sockets.tcp_port)
        b.sockets.send(chunk.flow, b"back")
        assert await a.next() == StreamChunk(flow, b"back")
        a.sockets.send(flow, b"again")
        assert (await b.chunk()).flow == chunk.flow


async def test_a_refused_connection_fails_its_flow_and_can_be_tried_again() -> None:
    async with phone() as a:
        with socket.socket() as dead:
            dead.bind(("127.0.0.1", 0))
            flow = a.sockets.flow_to(dead.getsockname(), "tcp")
            for _ in range(2):
                a.sockets.send(flow, b"x")
                assert (await a.failure()).flow == flow


async def never(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


async def test_a_connection_that_does_not_stand_in_time_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async with phone(connect_timeout=0.01) as a:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
        a.sockets.send(a.sockets.flow_to(("127.0.0.1", 9), "tcp"), b"x")
        assert "within 0.01 s" in (await a.failure()).reason


async def test_the_far_end_closing_fails_the_flow_on_both_kinds_of_connection() -> None:
    async with phone() as a, phone() as b:
        a.sockets.send(a.to(b), b"x")
        accepted = (await b.chunk()).flow
        b.sockets.close_flow(accepted)
        assert (await a.failure()).flow == a.to(b)
        assert b.arrived.empty()
        b.sockets.send(accepted, b"late")
        assert (await b.failure()).reason == "the connection is closed"
        a.sockets.send(a.to(b), b"y")
        fresh = (await b.chunk()).flow
        assert fresh.connection != accepted.connection
        a.sockets.close_flow(a.to(b))
        assert (await b.failure()).flow == fresh


async def test_a_peer_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async with phone() as a:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
        flow = a.sockets.flow_to(("127.0.0.1", 9), "tcp")
        a.sockets.send(flow, bytes(transport.MAX_PENDING))
        a.sockets.send(flow, b"one too many")
        assert "does not read" in (await a.failure()).reason


async def test_a_connected_peer_that_does_not_read_is_cut_off() -> None:
    async with phone() as a:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            flow = a.sockets.flow_to(deaf.getsockname(), "tcp")
            a.sockets.send(flow, b"x")
            peer, _ = await asyncio.to_thread(deaf.accept)
            with peer:
                while a.arrived.empty():
                    a.sockets.send(flow, bytes(transport.MAX_PENDING // 2))
                    await asyncio.sleep(0)
        assert "does not read" in (await a.failure()).reason


async def test_connections_beyond_the_limit_are_refused() -> None:
    async with phone(max_accepted=1) as a, phone() as b, phone() as c:
        b.sockets.send(b.to(a), b"first")
        first = (await a.chunk()).flow
        c.sockets.send(c.to(a), b"second")
        assert (await c.failure()).flow == c.to(a)
        a.sockets.close_flow(first)
        assert (await b.failure()).flow == b.to(a)
        c.sockets.send(c.to(a), b"third")
        assert (await a.chunk()).data == b"third"


async def test_one_source_does_not_take_all_connections() -> None:
    async with phone(max_accepted=16) as a:
        streams = a.sockets._streams

        def taken(host: str, wanted: int) -> int:
            ends = ((host, port) for port in range(1, wanted + 1))
            return sum(streams.accept(streams.make("tcp"), ("192.0.2.1", 5060), end) for end in ends)

        assert taken("203.0.113.9", 16) == 12  # three of four shares, as nobody else wants them
        assert taken("2001:db8::1", 2) == 2
        assert taken("203.0.113.9", 1) == 0
        assert taken("2001:db8::2", 3) == 2  # the same /64: a share together
        assert taken("203.0.113.10", 1) == 0


@pytest.mark.parametrize("spoken", [b"", b"hello"])
async def test_silent_connections_are_closed(spoken: bytes) -> None:
    async with phone(first_bytes=0.02, accepted_idle=0.02) as a:
        reader, writer = await asyncio.open_connection("127.0.0.1", a.sockets.tcp_port)
        writer.write(spoken)
        if spoken:
            assert (await a.chunk()).data == spoken
        assert (await a.failure()).reason == "the connection was idle"
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()
        await writer.wait_closed()


async def test_connections_we_made_are_not_closed_for_silence() -> None:
    async with phone(first_bytes=0.01, accepted_idle=0.01) as a, phone() as b:
        a.sockets.send(a.to(b), b"x")
        await b.chunk()
        a.sockets._streams._sweep()
        a.sockets.send(a.to(b), b"y")
        assert (await b.chunk()).data == b"y"


async def test_close_flushes_what_was_sent_and_says_nothing_more() -> None:
    async with phone() as b:
        async with phone() as a:
            a.sockets.send(a.to(b), b"x")
            await b.chunk()
            a.sockets.send(a.to(b), b"BYE")
            await a.sockets.close()
            a.sockets.send(a.to(b), b"too late")
            assert a.arrived.empty()
        assert (await b.chunk()).data == b"BYE"
        assert (await b.failure()).reason == "the peer closed the connection"


async def test_close_during_a_connect() -> None:
    async with phone() as b, phone() as a:
        a.sockets.send(a.to(b), b"x")


async def test_a_busy_port_is_an_error_or_replaced() -> None:
    async with phone() as a:
        busy = Transports("127.0.0.1", a.sockets.port, print)
        with pytest.raises(SetupError, match="taken by another program"):
            await busy.start()
        async with phone(port=a.sockets.port, any_port=True) as b:
            assert b.sockets.port not in (0, a.sockets.port)


async def test_a_name_is_no_address_to_listen_on() -> None:
    with pytest.raises(SetupError, match="write an IP address"):
        await Transports("example.invalid", 0, print).start()


@needs_ipv6
async def test_ipv6() -> None:
    async with phone("::1") as a, phone("::1") as b:
        assert not a.sockets.reaches("127.0.0.1")
        assert a.sockets.reaches("::1")
        a.sockets.send(a.sockets.flow_to(("::1", b.sockets.port), "udp"), b"x")
        assert await b.next() == Datagram(Flow("udp", ("::1", b.sockets.port), ("::1", a.sockets.port)), b"x")
        a.sockets.send(a.sockets.flow_to(("::1", b.sockets.tcp_port), "tcp"), b"y")
        assert (await b.chunk()).data == b"y"


@needs_ipv6
async def test_both_families_are_spoken_on_the_same_ports() -> None:
    async with phone("::") as a, phone("127.0.0.1") as four, phone("::1") as six:
        for b, host in ((four, "127.0.0.1"), (six, "::1")):
            assert a.sockets.reaches(host)
            a.sockets.send(a.sockets.flow_to((host, b.sockets.port), "udp"), b"x")
            assert await b.next() == Datagram(Flow("udp", (host, b.sockets.port), (host, a.sockets.port)), b"x")
            b.sockets.send(b.sockets.flow_to((host, a.sockets.port), "udp"), b"back")
            assert await a.next() == Datagram(Flow("udp", (host, a.sockets.port), (host, b.sockets.port)), b"back")
            b.sockets.send(b.sockets.flow_to((host, a.sockets.tcp_port), "tcp"), b"y")
            assert (await a.chunk()).flow.local == (host, a.sockets.tcp_port)
        busy = Transports("::", a.sockets.port, print)
        with pytest.raises(SetupError, match="taken by another program"):
            await busy.start()
        async with phone("::", port=a.sockets.port, any_port=True) as c:
            assert c.sockets.port not in (0, a.sockets.port)


async def test_a_remote_of_the_other_family_fails_instead_of_raising() -> None:
    async with phone() as a:
        for kind in ("udp", "tcp"):
            flow = Flow("udp" if kind == "udp" else "tcp", ("127.0.0.1", 1), ("::1", 5060))
            a.sockets.send(flow, b"x")
            assert (await a.failure()).flow == flow
