"""TLS: who is believed, who is refused, and in which words."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.utils import accept_key

from offhook.errors import SetupError
from offhook.io import clock, tls
from offhook.io.certificates import Authority
from offhook.io.transport import Listeners, Transports
from offhook.sip.events import ConnectionTerms, Datagram, Flow, FlowFailed, FlowUp, StreamChunk, TransportName

PATIENCE = 20.0
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def ca(authority: Authority, folder: Path) -> str:
    return str(authority.write(folder / "ca.pem"))


@pytest.fixture(scope="module")
def good(authority: Authority, folder: Path) -> str:
    return str(authority.issue(folder / "good.pem", ("pbx.example", HOST)))


@dataclass
class Peer:
    sockets: Transports
    arrived: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    async def next(self) -> Any:
        return await asyncio.wait_for(self.arrived.get(), PATIENCE)


@asynccontextmanager
async def peer(listen: Listeners | None = None, **options: Any) -> AsyncIterator[Peer]:
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    sockets = Transports(HOST, 0, arrived.put_nowait, listen=listen, **options)
    await sockets.start()
    try:
        yield Peer(sockets, arrived)
    finally:
        await sockets.close()


def server(certificate: str, kind: TransportName = "tls") -> Listeners:
    return Listeners({kind: 0}, certificate)


def terms(ca: str = "", name: str = "pbx.example", **changes: Any) -> ConnectionTerms:
    return ConnectionTerms(name=name, ca=ca, **changes)


async def refusal(certificate: str, wanted: ConnectionTerms) -> str:
    """Return why a server with this certificate is refused."""
    async with peer(server(certificate)) as pbx, peer() as phone:
        phone.sockets.send(phone.sockets.flow_to((HOST, pbx.sockets.ports["tls"]), "tls", wanted), b"secret")
        failure = await phone.next()
        assert isinstance(failure, FlowFailed)
        assert not failure.stood
        assert pbx.arrived.empty()
        return failure.reason


# --- connections


@pytest.mark.parametrize("kind", ["tls", "wss", "ws"])
async def test_messages_go_both_ways(ca: str, good: str, kind: TransportName) -> None:
    async with peer(server(good, kind)) as pbx, peer() as phone:
        flow = phone.sockets.flow_to((HOST, pbx.sockets.ports[kind]), kind, terms(ca))
        phone.sockets.send(flow, b"first \xc3\xa4")
        phone.sockets.send(flow, b"second \xff")
        up = await phone.next()
        assert isinstance(up, FlowUp)
        assert up.flow == flow
        assert up.detail.startswith("TLSv1.3") == (kind != "ws")
        expected = StreamChunk if kind == "tls" else Datagram
        arrived = await pbx.next()
        assert isinstance(arrived, expected)
        assert arrived.flow.remote == flow.local  # the far end finds the connection by the address that Contact names
        if kind != "tls":
            assert (arrived.data, (await pbx.next()).data) == (b"first \xc3\xa4", b"second \xff")
        pbx.sockets.send(arrived.flow, b"back")
        assert await phone.next() == expected(flow, b"back")
        assert phone.sockets.flow_to((HOST, pbx.sockets.ports[kind]), kind, terms(ca)) == flow


@pytest.mark.parametrize("kind", ["ws", "wss"])
async def test_a_ping_on_a_websocket_is_answered_as_if_by_a_line_end(ca: str, good: str, kind: TransportName) -> None:
    async with peer(server(good, kind)) as pbx, peer() as phone:
        flow = phone.sockets.flow_to((HOST, pbx.sockets.ports[kind]), kind, terms(ca))
        phone.sockets.send(flow, b"\r\n\r\n")
        assert isinstance(await phone.next(), FlowUp)
        assert await phone.next() == StreamChunk(flow, b"\r\n")
        assert pbx.arrived.empty()


async def test_the_far_end_closing_a_websocket_fails_the_flow(good: str) -> None:
    async with peer(server(good, "ws")) as pbx, peer() as phone:
        flow = phone.sockets.flow_to((HOST, pbx.sockets.ports["ws"]), "ws", terms())
        phone.sockets.send(flow, b"x")
        assert isinstance(await phone.next(), FlowUp)
        pbx.sockets.close_flow((await pbx.next()).flow)
        assert await phone.next() == FlowFailed(flow, "the peer closed the connection", True)


async def test_a_server_without_the_sub_protocol_is_refused() -> None:
    from websockets.asyncio.server import ServerConnection, serve

    async def wait(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(wait, HOST, 0) as web, peer() as phone:
        port = next(iter(web.sockets)).getsockname()[1]
        phone.sockets.send(phone.sockets.flow_to((HOST, port), "ws", terms()), b"x")
        assert "sub-protocol" in (await phone.next()).reason


async def test_what_is_no_websocket_is_told() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as web, peer() as phone:
        phone.sockets.send(phone.sockets.flow_to((HOST, web.sockets[0].getsockname()[1]), "ws", terms()), b"x")
        assert "404" in (await phone.next()).reason


async def test_a_websocket_whose_upgrade_is_never_answered_is_given_up() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, HOST, 0) as web, peer(connect_timeout=0.05) as phone:
        flow = phone.sockets.flow_to((HOST, web.sockets[0].getsockname()[1]), "ws", terms())
        for _ in range(2):  # and the next attempt is a connection of its own
            phone.sockets.send(flow, b"x")
            failure = await phone.next()
            assert (failure.reason, failure.stood) == ("no WS connection within 0.05 s", False)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"\x88\x02\x03\xe8", "the peer closed the connection"),
        (b"\x88\x0c\x0f\xa3not today!", "the peer closed the connection: 4003 (private use) not today!"),
        (b"\x81\x82abcdef", "what came is no WebSocket: incorrect masking"),
    ],
)  # fmt: skip
async def test_why_a_websocket_is_over_is_told(frame: bytes, reason: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept_upgrade(reader, writer)
        await reader.read(1)
        writer.write(frame)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as web, peer() as phone:
        flow = phone.sockets.flow_to((HOST, web.sockets[0].getsockname()[1]), "ws", terms())
        phone.sockets.send(flow, b"x")
        assert isinstance(await phone.next(), FlowUp)
        assert await phone.next() == FlowFailed(flow, reason, True)


async def accept_upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Do a server's part of the handshake by hand: what comes after it need not be what a library would send."""
    head = await reader.readuntil(b"\r\n\r\n")
    (key,) = (line.partition(b": ")[2] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: sip\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(key.decode()).encode() + b"\r\n\r\n"
    )  # fmt: skip


async def test_who_says_nothing_at_all_to_a_tls_listener_counts_and_is_let_go(ca: str, good: str) -> None:
    async with peer(server(good), max_accepted=2, handshake_within=0.1) as pbx, peer() as phone:
        port = pbx.sockets.ports["tls"]
        silent = [await asyncio.open_connection(HOST, port) for _ in range(2)]
        reader, writer = await asyncio.open_connection(HOST, port)
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""  # one too many: at once, not after its time
        for each, _ in silent:
            assert await asyncio.wait_for(each.read(), PATIENCE) == b""
        phone.sockets.send(phone.sockets.flow_to((HOST, port), "tls", terms(ca)), b"x")
        assert (await pbx.next()).data == b"x"
        writer.close()
        for _, other in silent:
            other.close()


async def test_a_client_shows_its_certificate(authority: Authority, folder: Path, ca: str, good: str) -> None:
    ours = str(authority.issue(folder / "ours.pem", ("phone.example",)))
    wanting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    wanting.load_cert_chain(good)
    wanting.load_verify_locations(ca)
    wanting.verify_mode = ssl.CERT_REQUIRED
    seen: asyncio.Queue[Any] = asyncio.Queue()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.put_nowait(writer.get_extra_info("peercert"))
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(note, HOST, 0, ssl=wanting) as pbx, peer() as phone:
        remote = (HOST, pbx.sockets[0].getsockname()[1])
        phone.sockets.send(phone.sockets.flow_to(remote, "tls", terms(ca, certificate=ours)), b"x")
        assert ("DNS", "phone.example") in (await asyncio.wait_for(seen.get(), PATIENCE))["subjectAltName"]
        assert isinstance(await phone.next(), FlowUp)


# --- refusals


async def test_an_unknown_authority(good: str, folder: Path) -> None:
    other = str(Authority("somebody").write(folder / "other.pem"))
    reason = await refusal(good, terms(other))
    assert reason == "nobody this machine trusts has signed the certificate of pbx.example: set tls_ca to the file of who did"


async def test_a_wrong_name(ca: str, good: str) -> None:
    reason = await refusal(good, terms(ca, "other.example"))
    assert "is for 127.0.0.1, pbx.example, not for other.example" in reason
    assert "tls_name" in reason


async def test_an_expired_certificate(authority: Authority, folder: Path, ca: str) -> None:
    old = str(authority.issue(folder / "old.pem", ("pbx.example",), days=-3))
    assert await refusal(old, terms(ca)) == "the certificate of pbx.example has expired"


async def test_without_verification_anybody_is_believed(good: str) -> None:
    async with peer(server(good)) as pbx, peer() as phone:
        wanted = terms(name="other.example", verify=False)
        phone.sockets.send(phone.sockets.flow_to((HOST, pbx.sockets.ports["tls"]), "tls", wanted), b"x")
        assert isinstance(await phone.next(), FlowUp)


async def test_a_server_that_speaks_no_tls() -> None:
    async with peer() as pbx, peer() as phone:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"SIP/2.0 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(answer, HOST, 0) as plain:
            remote = (HOST, plain.sockets[0].getsockname()[1])
            phone.sockets.send(phone.sockets.flow_to(remote, "tls", terms()), b"x")
            assert (await phone.next()).reason == "pbx.example does not speak TLS on this port"
        assert pbx.arrived.empty()


async def test_files_that_do_not_work_are_named(ca: str, good: str, folder: Path) -> None:
    nothing = folder / "nothing.pem"
    nothing.write_text("no certificate")
    for wanted, text in (
        (terms(str(folder / "missing.pem")), "missing.pem"),
        (terms(str(nothing)), "nothing.pem: no certificate"),
        (terms(ca, certificate=str(folder / "missing.pem")), "missing.pem: there is no such file"),
        (terms(ca, certificate=ca, key=good), "the key does not belong to the certificate"),
    ):
        assert text in await refusal(good, wanted)


async def test_a_renewed_certificate_is_shown_to_the_next_who_connects(authority: Authority, folder: Path, ca: str) -> None:
    mine = authority.issue(folder / "mine.pem", ("old.example",))
    async with peer(server(str(mine))) as pbx, peer() as phone:
        async def names(name: str) -> Any:
            phone.sockets.send(phone.sockets.flow_to((HOST, pbx.sockets.ports["tls"]), "tls", terms(ca, name)), b"x")
            return await phone.next()

        assert isinstance(await names("old.example"), FlowUp)
        mine.write_text("half of a cert")
        assert "is for old.example" in (await names("new.example")).reason
        authority.issue(mine, ("new.example",))
        assert isinstance(await names("new.example"), FlowUp)


def test_a_renewed_certificate_that_cannot_be_used_is_told_when_it_had_its_time(
    authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose key only root can read, say: nobody noticed before the one in use had expired."""
    mine = authority.issue(folder / "renewed.pem")
    said: list[str] = []
    current = tls.renewing(str(mine), "", tell=said.append)
    before = current()
    mine.write_text("half of a cert")
    for now, told in ((100.0, 0), (129.0, 0), (131.0, 1), (500.0, 1)):
        monkeypatch.setattr(clock, "now", lambda now=now: now)
        assert current() is before
        assert len(said) == told
    assert said[0].startswith("the certificate on the disk cannot be used, and the one before goes on: ")
    assert "renewed.pem" in said[0]
    authority.issue(mine)
    assert current() is not before


def test_a_listener_without_a_certificate_says_so(folder: Path) -> None:
    with pytest.raises(SetupError, match="no such file"):
        tls.server_context(str(folder / "none.pem"), "")


# --- names (RFC 5922 7.1, 7.2)


def certificate(*alternatives: tuple[str, str], common: str = "") -> dict[str, Any]:
    return {"subject": ((("commonName", common),),), "subjectAltName": alternatives}


@pytest.mark.parametrize(
    ("peer_certificate", "name"),
    [
        (certificate(("DNS", "pbx.example")), "PBX.example"),
        (certificate(("URI", "sip:example.org"), ("DNS", "sip1.example.org")), "example.org"),
        (certificate(("IP Address", "192.0.2.1")), "192.0.2.1"),
        (certificate(("IP Address", "2001:DB8:0:0:0:0:0:1")), "[2001:db8::1]"),
        (certificate(common="pbx.example"), "pbx.example"),
        (certificate(("DNS", "*.example")), "*.example"),
    ],
)
def test_a_name_that_fits(peer_certificate: dict[str, Any], name: str) -> None:
    assert tls.name_fault(peer_certificate, name) == ""


@pytest.mark.parametrize(
    ("peer_certificate", "name"),
    [
        (certificate(("URI", "sip:example.org"), ("DNS", "sip1.example.org")), "sip1.example.org"),  # the URI decides
        (certificate(("URI", "sip:alice@example.org")), "example.org"),  # a person's, not a domain's
        (certificate(("DNS", "*.example.org")), "sip.example.org"),  # no wildcards
        (certificate(("DNS", "example.org")), "sip.example.org"),
        (certificate(("DNS", "other.example"), common="pbx.example"), "pbx.example"),  # the common name is not asked
        ({}, "pbx.example"),
    ],
)
def test_a_name_that_does_not_fit(peer_certificate: dict[str, Any], name: str) -> None:
    assert tls.name_fault(peer_certificate, name)


async def test_a_flow_whose_connection_is_gone_connects_anew(ca: str, good: str) -> None:
    async with peer(server(good)) as pbx, peer() as phone:
        flow = phone.sockets.flow_to((HOST, pbx.sockets.ports["tls"]), "tls", terms(ca))
        phone.sockets.send(flow, b"x")
        assert isinstance(await phone.next(), FlowUp)
        pbx.sockets.close_flow((await pbx.next()).flow)
        assert isinstance(await phone.next(), FlowFailed)
        phone.sockets.send(flow, b"again")
        up = await phone.next()
        assert isinstance(up, FlowUp)
        again = await pbx.next()
        assert (again.data, again.flow.remote) == (b"again", up.flow.local)


def test_a_connection_with_other_terms_is_another_connection() -> None:
    one = Flow("tls", (HOST, 1), (HOST, 2), 0, terms())
    from offhook.io.connections import key_of

    assert key_of(one) != key_of(Flow("tls", (HOST, 1), (HOST, 2), 0, terms(verify=False)))
