"""The messages of RFC 4475 and RFC 5118, sent as they are to a running phone: each gets the reaction its text asks for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from torture_tables import RFC4475, RFC5118, RINGS, SILENCE, Reaction

from offhook.errors import SetupError
from offhook.phone.commands import HangupAll
from offhook.sip import streams
from offhook.sip.message import Response
from offhook.sip.parsing import parse_message
from offhook.testing.live import LivePhone, live_phone, quiet_config

SIP_PORT = 5060
"""Where answers go to a Via without a port. On Linux all of 127/8 is this machine's, so each test has an address of its own."""

QUIET = 0.08
"""Seconds of silence that count as no answer, once the phone has shown that it read what was sent before."""

PROBE = (
    "OPTIONS sip:probe@phone SIP/2.0\r\nVia: SIP/2.0/{kind} {host}:{port};branch=z9hG4bKprobe;rport\r\nMax-Forwards: 70\r\n"
    "From: <sip:probe@tester>;tag=p\r\nTo: <sip:probe@phone>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)

_HOSTS = (f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}.{number}" for number in range(1, 250))


def message(testdata: Path, rfc: str, name: str) -> bytes:
    if rfc == "rfc4475":
        return (testdata / rfc / f"{name}.dat").read_bytes()
    # The files have lost CRs which the Content-Length counts, and some their last line.
    head, _, body = (testdata / rfc / name).read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    body = body.replace(b"\n", b"\r\n")
    lines = [line for line in head.split(b"\n") if line and not line.startswith(b"Content-Length")]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""]) + body


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def phone() -> AsyncIterator[LivePhone]:
    """Return one phone for all messages: none may leave anything behind that changes the next one's reaction."""
    async with live_phone() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def phone6() -> AsyncIterator[LivePhone]:
    config = quiet_config()
    try:
        async with live_phone(replace(config, sip=replace(config.sip, host="::1"))) as running:
            yield running
    except SetupError as error:
        pytest.skip(f"no IPv6 on this machine's loopback: {error}")


def judge(name: str, reaction: Reaction, expected: int, answers: list[Response], live: LivePhone,
          *, second: bool = False) -> None:
    """Compare what came with what was to come; the phone has no call afterwards. `second`: an INVITE follows behind it."""
    types = live.types
    live.events.clear()
    live.execute(HangupAll())
    # The RFCs use one branch in many messages; here they are no copies of each other.
    transactions = live.running.phone.desk.sip._stack.transactions
    for server in list(transactions.servers.values()):
        transactions.forget(server)
    told = f"{name} (section {reaction.section}): {reaction.rule}; got {[answer.status for answer in answers]}"
    last = [answer for answer in answers if answer.status != 100]
    if expected == SILENCE:
        assert not last, told
    else:
        assert last, told
        assert last[0].status == expected, told
        if reaction.header is not None:
            key, value = reaction.header
            assert value in ", ".join(last[0].headers.get_all(key)), told
    incoming = [each for each in types if each == "call.incoming"]
    assert len(incoming) == (expected in (RINGS, 488) or second), told


# --- UDP ----------------------------------------------------------------------------------------------------------


def _socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.setblocking(False)
    try:
        opened.bind((host, port))
    except OSError:
        opened.close()
        if "CI" in os.environ:
            raise
        pytest.skip(f"a program has port {port} of every address: stop it to run this test")
    return opened


class Datagrams:
    """A tester on 5060, and on whichever other port a message's Via names."""

    def __init__(self, host: str, port: int, *others: int) -> None:
        self.host = host
        self.sender = _socket(host, port)
        self.sockets = [self.sender, *(_socket(host, other) for other in others)]
        self.answers: list[Response] = []
        self._news = asyncio.Event()

    async def ask(self, data: bytes, phone: LivePhone) -> list[Response]:
        """Send; then probe, so that silence is known to be silence; return the answers to `data`."""
        host, port = phone.running.transports.host, phone.running.transports.port
        loop = asyncio.get_running_loop()
        self.sender.sendto(data, (host, port))
        self.sender.sendto(PROBE.format(kind="UDP", host="tester", port=self.sender.getsockname()[1]).encode(), (host, port))
        tasks = [loop.create_task(self._read(each)) for each in self.sockets]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(5):
                while not self._has_probe():
                    await self._news.wait()
                    self._news.clear()
            await asyncio.sleep(QUIET if len(self.answers) == 1 else 0)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return [answer for answer in self.answers if answer.headers.get("Call-ID") != "probe"]

    def _has_probe(self) -> bool:
        return any(answer.headers.get("Call-ID") == "probe" for answer in self.answers)

    async def _read(self, each: socket.socket) -> None:
        while True:
            read = parse_message(await asyncio.get_running_loop().sock_recv(each, 65535))
            assert isinstance(read, Response)
            self.answers.append(read)
            self._news.set()

    def close(self) -> None:
        for each in self.sockets:
            each.close()


@pytest.mark.parametrize("name", RFC4475)
@pytest.mark.skipif(sys.platform != "linux", reason="needs loopback addresses of its own, so Linux")
async def test_rfc_4475_over_udp(name: str, testdata: Path, phone: LivePhone) -> None:
    tester = Datagrams(next(_HOSTS), SIP_PORT, 5050, 5070)
    try:
        answers = await tester.ask(message(testdata, "rfc4475", name), phone)
    finally:
        tester.close()
    judge(name, RFC4475[name], RFC4475[name].udp, answers, phone)


@pytest.mark.parametrize("name", RFC5118)
async def test_rfc_5118_over_udp(name: str, testdata: Path, phone6: LivePhone) -> None:
    # On IPv6 there is one loopback address; rport (RFC 3581) brings the answer back to a port that is free.
    head, blank, rest = message(testdata, "rfc5118", name).partition(b"Via: ")
    via, end, rest = rest.partition(b"\r\n")
    tester = Datagrams("::1", 0)
    try:
        answers = await tester.ask(head + blank + via + b";rport" + end + rest, phone6)
    finally:
        tester.close()
    judge(name, RFC5118[name], RFC5118[name].udp, answers, phone6)


# --- TCP ----------------------------------------------------------------------------------------------------------


async def over_tcp(data: bytes, phone: LivePhone, closes: bool) -> tuple[list[Response], bool]:
    """Send over one connection; read to its end, or to the answer of a probe behind. Return the answers, and which it was."""
    host, port = phone.running.transports.host, phone.running.transports.tcp_port
    reader, writer = await asyncio.open_connection(host, port)
    answers: list[Response] = []
    try:
        writer.write(data if closes else data + PROBE.format(kind="TCP", host="tester", port=5060).encode())
        async with asyncio.timeout(5):
            while (answer := await _read(reader)) is not None:
                if answer.headers.get("Call-ID") != "probe":
                    answers.append(answer)
                    continue
                # Both came in one piece, and the phone took its time over the first.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0 if answers else QUIET):
                        answers += [late for late in [await _read(reader)] if late]
                return answers, False
        return answers, True
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Response | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    read = parse_message(head)
    assert isinstance(read, Response)
    read.body = await reader.readexactly(read.content_length or 0)
    return read


# Those that promise more than they bring: the phone waits for it, 20 seconds if that constant cannot be replaced.
STALL = ("baddn", "clerr")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.plain) if name in STALL else name for name in RFC4475])
async def test_rfc_4475_over_tcp(name: str, testdata: Path, phone: LivePhone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALLED", 0.2)
    answers, closed = await over_tcp(message(testdata, "rfc4475", name), phone, RFC4475[name].closes)
    assert closed == RFC4475[name].closes, name
    judge(name, RFC4475[name], RFC4475[name].tcp, answers, phone, second=name == "dblreq")


@pytest.mark.parametrize("name", RFC5118)
async def test_rfc_5118_over_tcp(name: str, testdata: Path, phone6: LivePhone) -> None:
    answers, closed = await over_tcp(message(testdata, "rfc5118", name), phone6, False)
    assert not closed
    judge(name, RFC5118[name], RFC5118[name].tcp, answers, phone6)


async def test_no_message_is_left_out(testdata: Path) -> None:
    assert {path.stem for path in (testdata / "rfc4475").glob("*.dat")} == {*RFC4475, "test"}
    assert {path.name for path in (testdata / "rfc5118").iterdir()} == set(RFC5118)
    assert len(RFC4475) == 49
