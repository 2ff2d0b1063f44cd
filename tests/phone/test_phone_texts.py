"""Texts that come in, in whichever characters they were written, and what becomes of those that go out."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidArgument
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.sip.events import Body
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone, settle
from offhook.testing.wire import Wire

SDP = (b"v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\n")


@pytest.mark.parametrize(("content_type", "data", "text"), [
    ("text/plain", "Grüße 😀".encode(), "Grüße 😀"),
    ("text/plain;charset=UTF-8", "Grüße".encode(), "Grüße"),
    ("text/plain;charset=ISO-8859-1", "Grüße".encode("latin-1"), "Grüße"),
    ('text/plain; format=flowed; Charset = "windows-1252"', "5 €".encode("cp1252"), "5 €"),
    ("text/plain;charset=utf-16", "hi".encode("utf-16"), "hi"),
    ("text/plain;charset=ISO-8859-15", b"\xa4", "€"),
    ("text/plain;charset=rot13", b"hi", "hi"),
    ("text/plain", b"Gr\xfc\xdfe", "Gr��e"),
])  # fmt: skip
def test_a_text_is_read_as_it_was_written(content_type: str, data: bytes, text: str) -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    wire.run(0.1)
    head = (
        "MESSAGE sip:alice@10.0.0.1 SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1", "From: <sip:peer@10.0.0.9>;tag=t",
        "To: <sip:alice@10.0.0.1>", "Call-ID: one", "CSeq: 1 MESSAGE", f"Content-Type: {content_type}",
        f"Content-Length: {len(data)}", "", "",
    )  # fmt: skip
    peer.send("\r\n".join(head).encode() + data, phone.node)
    wire.run(0.2)
    (event,) = phone.of(e.MessageReceived)
    assert (event.text, event.content_type) == (text, content_type)


@pytest.mark.parametrize(("status", "told"), [(200, 0), (202, 0), (404, 404), (0, 408)])
def test_what_becomes_of_a_text_is_told(status: int, told: int) -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    accepted = phone.execute(c.SendMessage(to="sip:peer@10.0.0.9", text="Grüße"))
    settle(wire, 1)
    (request, *_) = peer.requests("MESSAGE")
    assert (request.headers.get("Content-Type"), request.body.decode()) == ("text/plain;charset=UTF-8", "Grüße")
    if status:
        peer.answer(request, status, tag="t")
    settle(wire, 40)
    sent, failed = phone.of(e.MessageSent), phone.of(e.MessageFailed)
    assert [event.sip_status for event in failed] == ([told] if told else [])
    both: list[e.MessageSent | e.MessageFailed] = [*sent, *failed]
    (event,) = both
    assert (event.message, event.account, event.to, event.text, event.operation) == (
        accepted.value["message"], "local", "sip:peer@10.0.0.9", "Grüße", accepted.operation)
    outcome = phone.outcome(accepted.operation)
    assert isinstance(outcome, e.OperationFailed if told else e.OperationSucceeded)
    assert outcome.command == "send_message"
    assert getattr(outcome, "sip_status", 0) == told


@pytest.mark.parametrize(("status", "told"), [(200, 0), (415, 415), (0, 0)])
def test_what_becomes_of_an_info_is_told_and_it_is_no_text(status: int, told: int) -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    call = phone.dial("sip:peer@10.0.0.9")
    settle(wire, 1)
    peer.answer(peer.requests("INVITE")[0], 200, tag="t", body=Body("application/sdp", SDP))
    settle(wire, 1)
    for bad in (c.SendInfo(body="x", content_type="text"), c.SendInfo(body="x" * 16385, content_type="text/x")):
        assert isinstance(phone.refuses(bad), InvalidArgument)
    accepted = phone.execute(c.SendInfo(body="open", content_type="application/x-door"))
    settle(wire, 0.2)
    (request,) = peer.requests("INFO")
    assert (accepted.call, request.headers.get("Content-Type"), request.body) == (call, "application/x-door", b"open")
    if status:
        peer.answer(request, status)
    else:
        phone.execute(c.Hangup())
    settle(wire, 0.2)
    outcome = phone.outcome(accepted.operation)
    assert isinstance(outcome, e.OperationSucceeded if status == 200 else e.OperationFailed)
    assert (outcome.command, outcome.call, getattr(outcome, "sip_status", 0)) == ("send_info", call, told)
    assert not phone.of(e.MessageSent) + phone.of(e.MessageFailed)
