"""Texts that come in, in whichever characters they were written."""

from __future__ import annotations

import pytest

from offhook.phone import events as e
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone
from offhook.testing.wire import Wire


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
