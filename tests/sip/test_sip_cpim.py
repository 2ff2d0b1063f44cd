"""A text inside message/cpim."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.sip.bodies import SDP, TEXT, refusal
from offhook.sip.cpim import MAX_LINES, content_of
from offhook.sip.events import Body
from offhook.sip.message import Request
from offhook.sip.uri import Uri

HEAD = b"From: Ann <im:ann@a.example>\r\nTo: Bob <im:bob@b.example>\r\nNS: imdn <urn:x>\r\n"
TYPE = b"Content-type: text/plain; charset=utf-8\r\n"
TEXT_BODY = Body("text/plain; charset=utf-8", "Grüße\r\n\r\nP.".encode())


@pytest.mark.parametrize("inside", [
    HEAD + b"\r\n" + TYPE + b"\r\n" + TEXT_BODY.data,
    b"\r\n" + TYPE + b"\r\n" + TEXT_BODY.data,
    (HEAD + b"\r\n" + TYPE + b"Content-Transfer-Encoding: 8bit\r\nContent-ID: <1@x>\r\n").replace(b"\r\n", b"\n") + b"\n"
    + TEXT_BODY.data,
])  # fmt: skip
def test_the_text_is_taken_out(inside: bytes) -> None:
    assert content_of(inside) == TEXT_BODY
    request = Request("MESSAGE", Uri.parse("sip:a@b"), [("Content-Type", "Message/CPIM")], inside)
    assert refusal(request, TEXT) is None
    assert (request.body, request.headers.get("Content-Type")) == (TEXT_BODY.data, TEXT_BODY.content_type)


def test_a_content_without_a_type_is_text() -> None:
    assert content_of(HEAD + b"\r\n\r\nhi") == Body("text/plain", b"hi")


@pytest.mark.parametrize("inside", [
    b"", b"hi", HEAD, HEAD + b"\r\n", HEAD + b"\r\n" + TYPE, HEAD + b"no header\r\n\r\n" + TYPE + b"\r\nhi",
    HEAD + b"Require: x.y\r\n\r\n" + TYPE + b"\r\nhi",
    HEAD + b"\r\n" + TYPE + b"Content-Transfer-Encoding: base64\r\n\r\naGk=",
    HEAD + b"\r\nContent-Type: message/imdn+xml\r\n\r\n<imdn/>",
    b"X: y\r\n" * MAX_LINES + b"\r\n" + TYPE + b"\r\nhi",
])
def test_what_cannot_be_read_is_refused(inside: bytes) -> None:
    request = Request("MESSAGE", Uri.parse("sip:a@b"), [("Content-Type", "message/cpim")], inside or b" ")
    refused = refusal(request, TEXT)
    assert refused is not None
    assert refused[0] == 415


def test_it_is_no_session_description() -> None:
    inside = HEAD + b"\r\nContent-Type: application/sdp\r\n\r\nv=0"
    assert refusal(Request("INVITE", Uri.parse("sip:a@b"), [("Content-Type", "message/cpim")], inside), SDP) is not None


@given(st.binary(max_size=200))
def test_any_bytes_are_read(body: bytes) -> None:
    content_of(body)
