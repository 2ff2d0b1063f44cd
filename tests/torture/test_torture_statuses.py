"""Every refusal that a phone has, by which request it comes, and with which headers: over UDP and over TCP, on real sockets."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import pytest

from offhook.exchange.server import Exchange
from offhook.phone.commands import Answer, Drain, Hold, Reject
from offhook.phone.settings import AccountSettings
from offhook.sip.framing import StreamFramer
from offhook.sip.message import Request, Response
from offhook.sip.parsing import parse_message
from offhook.testing.live import LivePhone, live_phone, quiet_config

pytestmark = pytest.mark.slow

Kind: TypeAlias = Literal["UDP", "TCP"]

SDP = "v=0\r\no=x 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP {codec}\r\n"
WITH_SDP = "Content-Type: application/sdp\r\n"
HTML, PICTURE = "Content-Type: text/html\r\n", "Content-Type: image/png\r\n"
_NUMBERS = itertools.count(1)


class Stranger:
    """One SIP peer on a socket of its own, who says anything."""

    def __init__(self, kind: Kind, local: tuple[str, int], send: Callable[[bytes], object]) -> None:
        self.kind = kind
        self.local = local
        self.send = send
        self.got: list[Request | Response] = []
        self.call = f"status-{next(_NUMBERS)}"
        self._news = asyncio.Event()

    def take(self, data: bytes) -> None:
        if data.strip():
            self.got.append(parse_message(data))
            self._news.set()

    def ask(
        self, method: str = "OPTIONS", *, user: str = "offhook", uri: str = "", cseq: int = 1, branch: str = "", to: str = "",
        extra: str = "", body: str = "", version: str = "2.0", cseq_method: str = "", forwards: int = 70,
    ) -> None:  # fmt: skip
        """Send a request of this peer's one call."""
        host, port = self.local
        self.send((
            f"{method} {uri or f'sip:{user}@127.0.0.1'} SIP/{version}\r\n"
            f"Via: SIP/2.0/{self.kind} {host}:{port};branch=z9hG4bK{self.call}{branch or cseq}\r\n"
            f"Max-Forwards: {forwards}\r\nFrom: <sip:x@{host}>;tag=f\r\nTo: {to or '<sip:offhook@127.0.0.1>'}\r\n"
            f"Call-ID: {self.call}\r\nCSeq: {cseq} {cseq_method or method}\r\n"
            f"Contact: <sip:x@{host}:{port};transport={self.kind.lower()}>\r\n"
            f"{extra}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode())  # fmt: skip

    async def until(self, found: Callable[[], Any]) -> Any:
        async with asyncio.timeout(5):
            while not (value := found()):
                self._news.clear()
                await self._news.wait()
        return value

    async def answer(self, method: str = "", *, above: int = 199) -> Response:
        """Wait for an answer (to a method) with a status above that."""
        found: Response = await self.until(lambda: next((
            each for each in self.got
            if isinstance(each, Response) and each.status > above and (not method or each.cseq.method == method)
        ), None))  # fmt: skip
        return found

    async def request(self, method: str) -> Request:
        found: Request = await self.until(lambda: next((
            each for each in self.got if isinstance(each, Request) and each.method == method
        ), None))  # fmt: skip
        return found

    def invite(self, *, codec: str = "0", **more: Any) -> None:
        body = SDP.format(codec=codec)
        self.ask("INVITE", body=body, **{"extra": WITH_SDP, **more})


@asynccontextmanager
async def stranger(kind: Kind, address: tuple[str, int]) -> AsyncIterator[Stranger]:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "UDP" else socket.SOCK_STREAM) as end:
        end.setblocking(False)
        end.bind(("127.0.0.1", 0))
        await loop.sock_connect(end, address)
        made = Stranger(kind, end.getsockname(), end.send)
        framer = StreamFramer()

        async def read() -> None:
            while data := await loop.sock_recv(end, 65535):
                for each in [data] if kind == "UDP" else framer.feed(data):
                    made.take(each)
        reading = loop.create_task(read())
        try:
            yield made
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


Script: TypeAlias = Callable[[Stranger, LivePhone], Awaitable[Response]]


@dataclass(frozen=True)
class Row:
    """One refusal: how it comes about, what must stand in it (by regular expression), and how the phone is set."""

    status: int
    script: Script
    headers: dict[str, str] = field(default_factory=dict)
    phone: dict[str, Any] = field(default_factory=dict)
    accounts: tuple[AccountSettings, ...] = ()


def simply(method: str = "OPTIONS", **more: Any) -> Script:
    """One request, and its answer."""
    async def script(peer: Stranger, _phone: LivePhone) -> Response:
        peer.ask(method, **more)
        return await peer.answer()
    return script


def calling(**more: Any) -> Script:
    """An INVITE, and its answer."""
    async def script(peer: Stranger, _phone: LivePhone) -> Response:
        peer.invite(**more)
        return await peer.answer()
    return script


async def ringing(peer: Stranger, phone: LivePhone) -> None:
    peer.invite()
    await peer.answer(above=179)
    await phone.event("call.incoming")


async def talking(peer: Stranger, phone: LivePhone) -> str:
    """Bring a call about; return the To of its requests."""
    await ringing(peer, phone)
    phone.execute(Answer())
    to = str((await peer.answer("INVITE")).to)
    peer.ask("ACK", to=to, branch="ack")
    await phone.reaches(2)
    peer.got.clear()
    return to


async def merged(peer: Stranger, phone: LivePhone) -> Response:
    await ringing(peer, phone)
    peer.invite(branch="elsewhere")
    return await peer.answer()


async def cancelled(peer: Stranger, phone: LivePhone) -> Response:
    await ringing(peer, phone)
    peer.ask("CANCEL")
    assert (await peer.answer("CANCEL")).status == 200
    return await peer.answer("INVITE")


async def rejected(peer: Stranger, phone: LivePhone) -> Response:
    await ringing(peer, phone)
    phone.execute(Reject(status=603))
    return await peer.answer()


async def crossing(peer: Stranger, phone: LivePhone) -> Response:
    to = await talking(peer, phone)
    phone.execute(Hold())
    await peer.request("INVITE")
    peer.invite(cseq=2, to=to)
    return await peer.answer("INVITE")


async def out_of_order(peer: Stranger, phone: LivePhone) -> Response:
    to = await talking(peer, phone)
    peer.ask("INFO", cseq=5, to=to)
    assert (await peer.answer("INFO")).status == 200
    peer.got.clear()
    peer.ask("INFO", cseq=4, to=to)
    return await peer.answer("INFO")


async def unknown_package(peer: Stranger, phone: LivePhone) -> Response:
    to = await talking(peer, phone)
    peer.ask("INFO", cseq=2, to=to, extra="Info-Package: nothing\r\n")
    return await peer.answer("INFO")


async def draining(peer: Stranger, phone: LivePhone) -> Response:
    phone.execute(Drain())
    peer.invite()
    return await peer.answer()


def account(name: str) -> AccountSettings:
    return AccountSettings(id=name, domain=f"{name}.invalid", username="1001", register=False)


ROWS: dict[str, Row] = {
    "400 a CSeq of another method": Row(400, simply(cseq_method="INFO")),
    "400 a Contact that is none": Row(400, simply("MESSAGE", extra="Contact: <<>\r\n")),
    "405 what is a registrar's": Row(405, simply("REGISTER"), {"Allow": "INVITE"}),
    "406 a caller who takes no description": Row(406, simply("INVITE", extra="Accept: text/html\r\n"), {"Warning": "399"}),
    "414 an endless address": Row(414, simply(uri="sip:" + "a" * 5000)),
    "415 a call in HTML": Row(415, simply("INVITE", extra=HTML, body="x"), {"Accept": "application/sdp"}),
    "415 a picture as a text": Row(415, simply("MESSAGE", extra=PICTURE, body="x"), {"Accept": "text/plain"}),
    "416 another scheme": Row(416, simply(uri="mailto:a@b")),
    "416 sips in the clear": Row(416, simply(uri="sips:offhook@127.0.0.1")),
    "420 what nobody knows": Row(420, simply(extra="Require: timer, foo, bar\r\n"), {"Unsupported": "foo, bar"}),
    "421 who cannot acknowledge": Row(421, calling(), {"Require": "100rel"}, {"reliable": "required"}),
    "422 too short a session": Row(
        422, calling(extra=WITH_SDP + "Session-Expires: 60\r\nSupported: timer\r\n"), {"Min-SE": "90"}
    ),
    "469 a package never asked for": Row(469, unknown_package, {"Recv-Info": ""}),
    "481 no such dialog": Row(481, simply("BYE", to="<sip:offhook@127.0.0.1>;tag=none")),
    "481 nothing to cancel": Row(481, simply("CANCEL")),
    "481 no call to replace": Row(481, simply("INVITE", extra="Replaces: none;to-tag=a;from-tag=b\r\n")),
    "482 the same on another path": Row(482, merged),
    "485 two accounts of that name": Row(485, calling(user="1001"), accounts=(account("a"), account("b"))),
    "486 do not disturb": Row(486, calling(), phone={"dnd": True}),
    "487 cancelled": Row(487, cancelled),
    "488 no codec in common": Row(488, calling(codec="18"), {"Warning": '305 offhook ".*codec'}),
    "491 offers that cross": Row(491, crossing),
    "500 an old number": Row(500, out_of_order),
    "501 a method of another world": Row(501, simply("FROBNICATE"), {"Allow": "INVITE"}),
    "503 draining": Row(503, draining, {"Retry-After": "30"}),
    "505 another SIP": Row(505, simply(version="7.0")),
    "513 too long a line": Row(513, simply(extra="X: " + "a" * 9000 + "\r\n")),
    "603 declined": Row(603, rejected),
}


@pytest.mark.parametrize("kind", ["UDP", "TCP"])
@pytest.mark.parametrize("name", ROWS)
async def test_each_refusal_comes_where_it_should(name: str, kind: Kind) -> None:
    row = ROWS[name]
    config = replace(quiet_config(**row.phone), accounts=row.accounts)
    async with live_phone(config) as phone:
        ports = phone.running.transports
        async with stranger(kind, ("127.0.0.1", ports.port if kind == "UDP" else ports.tcp_port)) as peer:
            answer = await row.script(peer, phone)
            assert answer.status == row.status, answer
            assert answer.reason
            assert answer.to.tag, "RFC 3261 8.2.6.2"
            assert answer.call_id == peer.call
            for header, pattern in row.headers.items():
                assert re.search(pattern, answer.headers.get(header) or "missing" * (header not in answer.headers)), header
            if answer.cseq.method == "INVITE":
                peer.ask("ACK", to=str(answer.to), cseq=answer.cseq.number, branch=_branch(answer, peer))
            await asyncio.sleep(0)
            copies = [each for each in peer.got if isinstance(each, Response) and each.status == row.status]
            assert len(copies) == 1


def _branch(answer: Response, peer: Stranger) -> str:
    return (answer.via.branch or "").removeprefix(f"z9hG4bK{peer.call}")


@pytest.mark.parametrize("kind", ["UDP", "TCP"])
async def test_483_is_the_exchanges_for_what_has_gone_far_enough(exchange: Exchange, kind: Kind) -> None:
    # RFC 3261 16.3: only who forwards counts hops; a phone is where they end.
    host, port = exchange.address
    desk = AccountSettings(id="desk", domain=f"{host}:{port}", username="1002", password="practice-1002")
    async with live_phone(replace(quiet_config(), accounts=(desk,))) as phone:
        await phone.event("account.registered")
        async with stranger(kind, (host, port)) as peer:
            peer.invite(uri=f"sip:1002@{host}:{port}", forwards=0)
            assert (await peer.answer()).status == 483
        ports = phone.running.transports
        async with stranger(kind, ("127.0.0.1", ports.port if kind == "UDP" else ports.tcp_port)) as peer:
            peer.ask("OPTIONS", forwards=0)
            assert (await peer.answer()).status == 200
