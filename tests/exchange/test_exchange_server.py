"""The exchange on real sockets of loopback, called by a real endpoint that also sends and hears RTP."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from offhook.exchange import lines
from offhook.exchange.server import Exchange
from offhook.io import clock
from offhook.io.system_ids import SystemIds
from offhook.io.transport import Transports
from offhook.media.codecs.g711 import Pcmu
from offhook.media.dtmf import event_packets
from offhook.media.negotiate import LocalMedia, accept_answer, make_offer
from offhook.media.tones import DTMF
from offhook.sip import events as sip
from offhook.sip.endpoint import Endpoint
from offhook.sip.events import Body, CloseFlow, Flow, Identity, Resolve, Resolved, SipInput, Transmit, TransportName
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.ears import dominant_frequency, has_tone, read_wav

PATIENCE = 20.0
FRAME = 160
SILENCE = b"\xff" * FRAME


class RealPhone(asyncio.DatagramProtocol):
    """An endpoint on real sockets with one call and one RTP socket. `heard` is the PCM that has arrived."""

    def __init__(self, exchange: Exchange, user: str) -> None:
        self.exchange = exchange
        self.user = user
        self.endpoint = Endpoint(SystemIds())
        self.transports = Transports("127.0.0.1", 0, self.receive)
        self.events: asyncio.Queue[sip.SipEvent] = asyncio.Queue()
        self.heard = b""
        self.arrived = asyncio.Event()
        self.decode = Pcmu().decode
        self.remote = ("", 0)
        self._timer: asyncio.TimerHandle | None = None
        self._sequence = 0
        self._offer = b""

    async def start(self) -> None:
        await self.transports.start()
        loop = asyncio.get_running_loop()
        self.rtp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        port = self.rtp.get_extra_info("sockname")[1]
        self.local = LocalMedia("127.0.0.1", port)
        address = NameAddr(Uri.sip(self.user, *self.exchange.address))
        self.execute(sip.SetIdentity(Identity(self.user, address, password=f"practice-{self.user}", contact_user=self.user)))

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.rtp.close()
        await self.transports.close()

    def execute(self, command: sip.SipCommand) -> None:
        self.endpoint.execute(command, clock.now())
        self.drain()

    def receive(self, item: SipInput) -> None:
        self.endpoint.receive(item, clock.now())
        self.drain()

    def timeout(self) -> None:
        self.endpoint.timeout(clock.now())
        self.drain()

    def drain(self) -> None:
        while (output := self.endpoint.poll()) is not None:
            if isinstance(output, Transmit):
                self.transports.send(output.flow, output.data)
            elif isinstance(output, Resolve):
                kind: TransportName = "tcp" if output.transport == "tcp" else "udp"
                flow = Flow(kind, ("127.0.0.1", self.transports.port), (output.host, output.port or 5060))
                self.endpoint.receive(Resolved(output.query, (flow,)), clock.now())
            elif not isinstance(output, CloseFlow):
                self.events.put_nowait(output)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.endpoint.deadline()
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - clock.now()), self.timeout)

    async def wait_for(self, *kinds: type[sip.SipEvent]) -> sip.SipEvent:
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self.events.get()
                if isinstance(event, kinds):
                    return event

    # --- calls -------------------------------------------------------------------------------------------------------

    def dial(self, line: str) -> None:
        self._offer = make_offer(self.local, 1, 1)
        target = Uri.sip(line, *self.exchange.address)
        self.execute(sip.Invite("c", self.user, target, Body("application/sdp", self._offer)))

    async def call(self, line: str) -> None:
        self.dial(line)
        event = await self.wait_for(sip.SessionAnswered, sip.SessionEnded)
        assert isinstance(event, sip.SessionAnswered), event
        assert event.body is not None
        self.remote = accept_answer(self.local, self._offer, event.body.data).remote
        self.say(SILENCE)

    async def hang_up(self) -> None:
        self.execute(sip.End("c"))
        await self.wait_for(sip.SessionEnded)

    # --- RTP ---------------------------------------------------------------------------------------------------------

    def say(self, payload: bytes, kind: int = 0, timestamp: int | None = None) -> None:
        self._sequence += 1
        stamp = self._sequence * FRAME if timestamp is None else timestamp
        self.rtp.sendto(struct.pack(">BBHII", 0x80, kind, self._sequence, stamp, 77) + payload, self.remote)

    async def press(self, digit: str) -> None:
        for payload, _since, _end in event_packets(digit, 100):
            await asyncio.sleep(0.02)
            self.say(payload, 101, timestamp=50_000)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[1] & 0x7F == 0:
            self.heard += self.decode(data[12:])
            self.arrived.set()

    async def wait_heard(self, milliseconds: int, *, after: int = 0) -> bytes:
        """Return that much audio, once `after` milliseconds more have been skipped."""
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < 16 * (milliseconds + after):
                self.arrived.clear()
                await self.arrived.wait()
        return self.heard[16 * after:16 * (after + milliseconds)]


@asynccontextmanager
async def exchange_running(notes: Notes | None = None, recordings: str = "") -> AsyncIterator[Exchange]:
    exchange = Exchange(port=0, on_event=notes.take if notes is not None else None, recordings=recordings)
    await exchange.start()
    try:
        yield exchange
    finally:
        await exchange.close()


@asynccontextmanager
async def phones(exchange: Exchange, *users: str) -> AsyncIterator[list[RealPhone]]:
    made = [RealPhone(exchange, user) for user in users]
    try:
        for phone in made:
            await phone.start()
        yield made
    finally:
        for phone in made:
            await phone.close()


class Notes(list[str]):
    """What the exchange says."""

    def __init__(self) -> None:
        super().__init__()
        self._new = asyncio.Event()

    def take(self, text: str) -> None:
        self.append(text)
        self._new.set()

    async def wait_for(self, part: str) -> str:
        async with asyncio.timeout(PATIENCE):
            while not any(part in note for note in self):
                self._new.clear()
                await self._new.wait()
        return next(note for note in self if part in note)


@pytest.mark.lengthy
@pytest.mark.parametrize(("line", "frequency"), [("tone", 440), ("tone-1000", 1000)])
async def test_the_tone_lines_are_heard(line: str, frequency: int) -> None:
    async with exchange_running() as exchange, phones(exchange, "1001") as (phone,):
        await phone.call(line)
        assert dominant_frequency(await phone.wait_heard(200, after=60)) == pytest.approx(frequency, abs=5)
        await phone.hang_up()


@pytest.mark.lengthy
async def test_music_is_heard() -> None:
    async with exchange_running() as exchange, phones(exchange, "1001") as (phone,):
        await phone.call("music")
        assert dominant_frequency(await phone.wait_heard(180, after=40)) == pytest.approx(523, abs=15)
        await phone.hang_up()


async def test_echo_sends_back_what_it_hears() -> None:
    async with exchange_running() as exchange, phones(exchange, "1001") as (phone,):
        await phone.call("echo")
        loud = bytes([0x80, 0x00] * (FRAME // 2))
        async with asyncio.timeout(PATIENCE):
            while Pcmu().decode(loud)[:8] not in phone.heard:
                phone.say(loud)
                await asyncio.sleep(0.02)
        await phone.hang_up()


@pytest.mark.lengthy
async def test_the_keypad_is_heard() -> None:
    notes = Notes()
    async with exchange_running(notes) as exchange, phones(exchange, "1001") as (phone,):
        await phone.call("keypad")
        await phone.press("7")
        await notes.wait_for("keypad: digit 7")
        start = len(phone.heard) // 16
        heard = await phone.wait_heard(100, after=start + 20)
        row, column = DTMF["7"]
        assert has_tone(heard, row, purity=0.3)
        assert has_tone(heard, column, purity=0.3)
        await phone.hang_up()


@pytest.mark.lengthy
async def test_the_recorder_leaves_a_file(tmp_path: Path) -> None:
    notes = Notes()
    async with exchange_running(notes, str(tmp_path / "kept")) as exchange, phones(exchange, "1001") as (phone,):
        await phone.call("recorder")
        await phone.wait_heard(300)
        await phone.hang_up()
        note = await notes.wait_for(" s in ")
    (file,) = (tmp_path / "kept").iterdir()
    assert note.endswith(str(file))
    assert read_wav(file).duration_ms >= 200


@pytest.mark.lengthy
async def test_the_conference_lets_two_callers_hear_each_other() -> None:
    async with exchange_running() as exchange, phones(exchange, "1001", "1002") as (first, second):
        await first.call("conference")
        await second.call("conference")
        loud = bytes([0x80, 0x80, 0x00, 0x00] * (FRAME // 4))
        async with asyncio.timeout(PATIENCE):
            while max(second.heard[-640:], default=0) < 100 or len(second.heard.strip(b"\x00")) < 640:
                first.say(loud)
                await asyncio.sleep(0.02)
        await first.hang_up()
        await second.hang_up()


@pytest.mark.parametrize(("line", "status"), [("busy", 486), ("decline", 603), ("forbidden", 403), ("nobody", 404)])
async def test_lines_that_refuse(line: str, status: int) -> None:
    async with exchange_running() as exchange, phones(exchange, "1001") as (phone,):
        phone.dial(line)
        ended = await phone.wait_for(sip.SessionEnded)
        assert isinstance(ended, sip.SessionEnded)
        assert ended.status == status


async def test_noanswer_rings_and_redirect_leads_to_echo_and_ring_0_answers() -> None:
    async with exchange_running() as exchange, phones(exchange, "1001", "1002", "1003") as (first, second, third):
        first.dial("noanswer")
        await first.wait_for(sip.SessionProgress)
        await first.hang_up()
        second.dial("redirect")
        await second.wait_for(sip.SessionRedirected)
        await second.wait_for(sip.SessionAnswered)
        await third.call("ring-0")
        await second.hang_up()
        await third.hang_up()


async def test_a_registered_phone_is_called_and_hears_the_caller_hang_up() -> None:
    notes = Notes()
    async with exchange_running(notes) as exchange, phones(exchange, "1001", "1002") as (caller, callee):
        callee.execute(sip.Register("1002"))
        await callee.wait_for(sip.Registered)
        assert any(note.startswith("1002: registered") for note in notes)
        caller.dial("1002")
        incoming = await callee.wait_for(sip.SessionIncoming)
        assert isinstance(incoming, sip.SessionIncoming)
        callee.execute(sip.Accept(incoming.session, Body("application/sdp", make_offer(callee.local, 2, 1))))
        await caller.wait_for(sip.SessionAnswered)
        await callee.wait_for(sip.SessionConfirmed)
        await caller.hang_up()
        await callee.wait_for(sip.SessionEnded)


@pytest.mark.lengthy
async def test_callback_calls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CALLBACK_TALK", 0.1)
    monkeypatch.setattr(lines, "CALLBACK_PAUSE", 0.1)
    async with exchange_running() as exchange, phones(exchange, "1001") as (phone,):
        phone.execute(sip.Register("1001"))
        await phone.wait_for(sip.Registered)
        await phone.call("callback")
        await phone.wait_for(sip.SessionEnded)
        incoming = await phone.wait_for(sip.SessionIncoming)
        assert isinstance(incoming, sip.SessionIncoming)
        assert incoming.remote.uri.user == "callback"


async def test_tcp_works_on_the_same_port() -> None:
    async with exchange_running() as exchange:
        reader, writer = await asyncio.open_connection(*exchange.address)
        writer.write(b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKt\r\nFrom: <sip:a@b>;tag=1\r\n"
                     b"To: <sip:c@d>\r\nCall-ID: t\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readline()) == b"SIP/2.0 200 OK\r\n"
        writer.close()
        await writer.wait_closed()


async def test_close_frees_everything_and_may_be_repeated() -> None:
    exchange = Exchange(port=0)
    await exchange.start()
    async with phones(exchange, "1001") as (phone,):
        await phone.call("tone")
        await exchange.close()
        await exchange.close()
        await phone.wait_for(sip.SessionEnded)
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(exchange.address)
