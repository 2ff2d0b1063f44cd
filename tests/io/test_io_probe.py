"""Questions to peers that answer, refuse, stay silent, talk nonsense or cannot be reached."""

from __future__ import annotations

import socket

import pytest

from offhook.io.probe import Probe, ask_stun
from offhook.media import stun
from offhook.sip.events import Address, TransportName
from offhook.sip.headers import Headers
from offhook.sip.message import Request, Response
from offhook.sip.parsing import parse_message
from offhook.sip.responses import response_to
from offhook.sip.stack import host_port
from offhook.sip.uri import Uri
from offhook.testing.threaded import UdpPeer, sip_peer, tcp_peer
from offhook.testing.wine import under_wine

BRANCH = "z9hG4bKprobe"
TRANSACTION = bytes(range(12))


def options(local: Address, transport: TransportName = "udp") -> Request:
    via = f"SIP/2.0/{transport.upper()} {host_port(local)};branch={BRANCH};rport"
    return Request("OPTIONS", Uri.sip(None, "host.invalid"), Headers([
        ("Via", via), ("From", "<sip:a@b>;tag=1"), ("To", "<sip:c@d>"), ("Call-ID", "x"), ("CSeq", "1 OPTIONS")]))  # fmt: skip


def closed_port(kind: socket.SocketKind) -> Address:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        address: Address = taken.getsockname()
        return address


def test_an_answer_comes_with_its_time_and_our_address() -> None:
    seen: list[Address] = []

    def answers(request: Request, source: Address) -> Response:
        seen.append(source)
        return response_to(request, 404)

    with sip_peer(answers) as peer, Probe("udp", peer.address) as probe:
        reply = probe.ask(options)
        again = probe.ask(options)
    assert reply.how == again.how == "answered"
    assert reply.response is not None
    assert reply.response.status == 404
    assert 0 < reply.after < 4
    assert seen == [reply.local, reply.local]


def test_only_the_final_answer_to_our_request_counts() -> None:
    def reply(data: bytes, source: Address) -> bytes | None:
        request = parse_message(data)
        assert isinstance(request, Request)
        stray = response_to(request, 200)
        stray.headers.set("Via", "SIP/2.0/UDP a;branch=z9hG4bKother")
        for early in (b"\r\n\r\n", b"nonsense\r\n\r\n", stray.encode(), response_to(request, 100).encode(), data):
            peer.send(early, source)
        return response_to(request, 503).encode()

    peer = UdpPeer(reply)
    with peer, Probe("udp", peer.address) as probe:
        found = probe.ask(options).response
    assert found is not None
    assert found.status == 503


@pytest.mark.slow
def test_a_lost_request_is_sent_again() -> None:
    def answers(request: Request, source: Address) -> Response | None:
        return response_to(request, 200) if len(peer.heard) > 1 else None

    peer = sip_peer(answers)
    with peer, Probe("udp", peer.address) as probe:
        reply = probe.ask(options)
    assert reply.how == "answered"
    assert 0.4 < reply.after < 3
    assert peer.heard[0] == peer.heard[1]


SILENT = pytest.mark.skipif(under_wine(), reason="Wine tells nobody that a datagram was refused")


@pytest.mark.parametrize(
    ("transport", "kind"), [pytest.param("udp", socket.SOCK_DGRAM, marks=SILENT), ("tcp", socket.SOCK_STREAM)]
)
def test_a_closed_port_refuses(transport: TransportName, kind: socket.SocketKind) -> None:
    with Probe(transport, closed_port(kind)) as probe:
        reply = probe.ask(lambda local: options(local, transport))
    assert reply.how == "refused"
    assert reply.response is None


@pytest.mark.lengthy
def test_silence_is_silence() -> None:
    with UdpPeer(lambda data, source: None) as peer, Probe("udp", peer.address, patience=0.1) as probe:
        assert probe.ask(options).how == "silent"
    read_only = tcp_peer(lambda connection: connection.recv(9999) and connection.recv(1))
    with read_only as address, Probe("tcp", address, patience=0.1) as probe:
        assert probe.ask(lambda local: options(local, "tcp")).how == "silent"


@pytest.mark.lengthy
def test_nonsense_is_garbled_on_both_transports() -> None:
    with UdpPeer(lambda data, source: b"HTTP/1.1 400 Bad\r\n\r\n") as peer, Probe("udp", peer.address, patience=0.1) as probe:
        reply = probe.ask(options)
    assert reply.how == "garbled"
    assert reply.detail
    with tcp_peer(lambda connection: connection.sendall(b"SSH-2.0-x\r\n\r\n")) as address, Probe("tcp", address) as probe:
        assert probe.ask(lambda local: options(local, "tcp")).how == "garbled"


@pytest.mark.lengthy
def test_a_connection_may_answer_or_be_closed() -> None:
    def serve(connection: socket.socket) -> None:
        request = parse_message(connection.recv(9999))
        assert isinstance(request, Request)
        connection.sendall(response_to(request, 100).encode() + response_to(request, 200).encode())

    with tcp_peer(serve) as address, Probe("tcp", address) as probe:
        assert probe.ask(lambda local: options(local, "tcp")).how == "answered"
        assert probe.ask(lambda local: options(local, "tcp")).how == "closed"
    with tcp_peer(lambda connection: connection.recv(9999)) as address, Probe("tcp", address) as probe:
        assert probe.ask(lambda local: options(local, "tcp")).how == "closed"


def test_no_way_is_told_from_silence() -> None:
    # From the loopback address nothing outside can be reached; the system says so without a packet.
    with Probe("udp", ("192.0.2.1", 5060), host="127.0.0.1") as probe:
        reply = probe.ask(options)
    assert reply.how == "unreachable"
    assert reply.detail


# --- STUN ----------------------------------------------------------------------------------------------------------


def stun_answer(kind: int, *attributes: tuple[int, bytes], transaction: bytes = TRANSACTION) -> bytes:
    return stun.encode_stun(stun.StunMessage(kind, transaction, attributes))


def test_a_stun_server_says_what_it_sees() -> None:
    mapped = (stun.XOR_MAPPED_ADDRESS, stun.mapped_value("203.0.113.7", 61000, TRANSACTION))
    other = stun_answer(stun.BINDING_SUCCESS, mapped, transaction=bytes(12))

    def reply(data: bytes, source: Address) -> bytes:
        assert data == stun.binding_request(TRANSACTION)
        for stray in (b"nonsense", other):
            peer.send(stray, source)
        return stun_answer(stun.BINDING_SUCCESS, mapped)

    peer = UdpPeer(reply)
    with peer:
        seen = ask_stun(peer.address, TRANSACTION)
    assert (seen.how, seen.mapped) == ("answered", ("203.0.113.7", 61000))
    assert seen.local[0] == "127.0.0.1"


@pytest.mark.parametrize(("answer", "detail"), [
    (stun_answer(stun.BINDING_ERROR, (stun.ERROR_CODE, b"\0\0\4\1who are you")), "401 who are you"),
    (stun_answer(stun.BINDING_SUCCESS), "without an address"),
    (stun_answer(stun.BINDING_SUCCESS, (stun.XOR_MAPPED_ADDRESS, b"\0")), "cannot be read"),
])  # fmt: skip
def test_a_stun_server_may_say_nothing_useful(answer: bytes, detail: str) -> None:
    with UdpPeer(lambda data, source: answer) as peer:
        seen = ask_stun(peer.address, TRANSACTION)
    assert (seen.how, seen.mapped) == ("garbled", None)
    assert detail in seen.detail


@pytest.mark.lengthy
@SILENT
def test_a_stun_server_may_not_be_there() -> None:
    assert ask_stun(closed_port(socket.SOCK_DGRAM), TRANSACTION).how == "refused"
    with UdpPeer(lambda data, source: None) as peer:
        assert ask_stun(peer.address, TRANSACTION, patience=0.1).how == "silent"
