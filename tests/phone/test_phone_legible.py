"""What a far end writes in other characters than UTF-8 reaches events and views as text that JSON can hold."""

from __future__ import annotations

import msgspec
import pytest

from offhook.phone import events as e
from offhook.phone.legible import legible
from offhook.sip import events as sip
from offhook.sip.responses import response_to
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone
from offhook.testing.wire import Wire

NAMED = '"Jörg Müller"'.encode("windows-1252")


def request(method: str, *lines: bytes, caller: bytes = b"<sip:peer@10.0.0.9>", body: bytes = b"") -> bytes:
    """Return a request of the peer with these header lines besides."""
    return b"\r\n".join((
        b"%s sip:alice@10.0.0.1 SIP/2.0" % method.encode(), b"Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1",
        b"From: " + caller + b";tag=t", b"To: <sip:alice@10.0.0.1>", b"Call-ID: one", b"CSeq: 1 " + method.encode(),
        b"Contact: <sip:peer@10.0.0.9>", *lines, b"Content-Length: %d" % len(body), b"", body,
    ))  # fmt: skip


def sent_to_a_phone(*messages: bytes) -> VirtualPhone:
    """Return a phone that was sent these."""
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    for message in messages:
        wire.run(0.1)
        peer.send(message, phone.node)
    wire.run(1.0)
    return phone


@pytest.mark.parametrize(("caller", "uri", "display"), [
    (NAMED + b" <sip:peer@10.0.0.9>", "sip:peer@10.0.0.9", "Jörg Müller"),
    ('"Jörg" <sip:peer@10.0.0.9>'.encode() + b";x=\xff", "sip:peer@10.0.0.9", "Jörg"),
    (b'"\x80\x81" <sip:peer@10.0.0.9>', "sip:peer@10.0.0.9", "€\ufffd"),
    (b"<sip:p\xe9@10.0.0.9>", "sip:p%E9@10.0.0.9", ""),
    (b"<sip:p:\xe9@10.0.0.9;\xe9=\xe9;lr?x=\xe9>", "sip:p:%E9@10.0.0.9;%E9=%E9;lr?x=%E9", ""),
    (b"<sip:p%E9@10.0.0.9>", "sip:p%E9@10.0.0.9", ""),
])  # fmt: skip
def test_a_caller_with_a_name_in_the_characters_of_western_europe(caller: bytes, uri: str, display: str) -> None:
    phone = sent_to_a_phone(request("INVITE", caller=caller))
    (event,) = phone.of(e.CallIncoming)
    assert (event.call.remote.uri, event.call.remote.display) == (uri, display)
    assert msgspec.json.decode(msgspec.json.encode(event))


@pytest.mark.parametrize("line", [
    b'Diversion: "B\xfcro" <sip:b\xfcro@10.0.0.9>;reason=\xff', b"History-Info: <sip:\xff@x?Reason=\xff>;index=1",
    b"User-to-User: \xff", b'P-Asserted-Identity: "\xff" <sip:a@b>', b"Subject: Gr\xfc\xdfe", b"Alert-Info: <\xff>",
])  # fmt: skip
def test_a_call_is_told_whatever_its_headers_are_written_in(line: bytes) -> None:
    phone = sent_to_a_phone(request("INVITE", line), request("CANCEL", b'Reason: SIP;cause=200;text="\xff"'))
    assert phone.types[-1] == "call.ended"
    for event in phone.events:
        msgspec.json.encode(event)
    assert msgspec.json.encode(phone.snapshot())


def test_a_text_from_such_a_caller() -> None:
    phone = sent_to_a_phone(request("MESSAGE", b"Content-Type: text/plain;x=\xff", caller=NAMED + b" <sip:p@b>", body=b"hi"))
    (event,) = phone.of(e.MessageReceived)
    assert (event.remote.display, event.content_type) == ("Jörg Müller", "text/plain;x=ÿ")


def test_a_refusal_in_such_words() -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    peer.on_request = lambda asked: peer.send(response_to(asked, 486, "Bes\udce4tzt", "t"))
    wire.run(0.1)
    phone.dial("sip:peer@10.0.0.9")
    wire.run(1.0)
    (event,) = phone.of(e.CallEnded)
    assert event.call.end is not None
    assert event.call.end.reason == "Besätzt"
    assert msgspec.json.encode(phone.snapshot())


def test_what_is_utf_8_stays_as_it_is() -> None:
    who = NameAddr(Uri.parse("sip:jörg;x=ü@10.0.0.9"), "Jörg 😀")
    event = sip.ReferRequested("s", "r", who, "Zoë <sip:zoe@b>")
    assert legible(event) is event
