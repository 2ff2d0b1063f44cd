"""Requests and responses: bytes to message and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.sip.headers import CSeq, Headers
from offhook.sip.message import Request, Response
from offhook.sip.parsing import MAX_HEADER, MAX_HEADERS, MAX_MESSAGE, MessageError, parse_message
from offhook.sip.responses import REASON_PHRASES, response_to
from offhook.sip.uri import NameAddr, Uri

HEAD = (
    b"INVITE sip:bob@biloxi.example;transport=udp SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP a.example;branch=z9hG4bK1;rport, SIP/2.0/TCP b.example\r\n"
    b"v: SIP/2.0/UDP c.example\r\n"
    b"Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n"
    b"Max-Forwards: 70\r\n"
    b"f: \"Alice\" <sip:alice@atlanta.example>;tag=abc\r\n"
    b"t: <sip:bob@biloxi.example>\r\n"
    b"i: call-1@a.example\r\n"
    b"CSeq: 7 INVITE\r\n"
    b"m: <sip:alice@a.example>, <sip:alice@b.example>;expires=5\r\n"
    b"Route: <sip:r1.example;lr>\r\n"
    b"Expires: 120\r\n"
    b"Timestamp: 54\r\n"
    b"c: Application/SDP;charset=utf-8\r\n"
)
WIRE = HEAD + b"Content-Length: 4\r\n\r\nv=0\n"


def request(data: bytes = WIRE) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def refused(data: bytes, *, stream: bool = False) -> MessageError:
    with pytest.raises(MessageError) as caught:
        parse_message(data, stream=stream)
    return caught.value


def test_the_typed_view_of_a_request() -> None:
    invite = request()
    assert invite.method == "INVITE"
    assert invite.uri == Uri.parse("sip:bob@biloxi.example;transport=udp")
    assert [via.host for via in invite.vias] == ["a.example", "b.example", "c.example"]
    assert invite.via.branch == "z9hG4bK1"
    assert invite.from_ == NameAddr.parse("Alice <sip:alice@atlanta.example>;tag=abc")
    assert invite.to.tag is None
    assert invite.call_id == "call-1@a.example"
    assert invite.cseq == CSeq(7, "INVITE")
    assert [str(contact) for contact in invite.contacts] == ["<sip:alice@a.example>", "<sip:alice@b.example>;expires=5"]
    assert [route.uri.host for route in invite.routes] == ["r1.example"]
    assert [route.uri.host for route in invite.record_routes] == ["p2.example", "p1.example"]
    assert (invite.max_forwards, invite.expires, invite.content_length) == (70, 120, 4)
    assert invite.content_type == "application/sdp"
    assert invite.body == b"v=0\n"
    assert not invite.contact_is_star


def test_the_typed_view_of_a_response() -> None:
    response = parse_message(b"SIP/2.0 183 S\xc3\xa9ance en cours\r\nContact: *\r\n\r\n")
    assert isinstance(response, Response)
    assert (response.status, response.reason) == (183, "Séance en cours")
    assert response.contact_is_star
    assert response.contacts == []
    assert response.max_forwards is None
    assert response.content_type is None
    with pytest.raises(ParseError, match="no Via"):
        _ = response.via


def test_typed_values_follow_the_headers() -> None:
    invite = request()
    assert invite.via.host == "a.example"
    invite.headers.insert_first("Via", "SIP/2.0/UDP new.example")
    assert invite.via.host == "new.example"
    invite.headers.remove("Expires")
    assert invite.expires is None
    invite.contacts.clear()
    assert len(invite.contacts) == 2


def test_printing_gives_the_same_meaning_and_the_true_length() -> None:
    invite = request()
    assert parse_message(invite.encode()) == invite
    invite.body = b"12345"
    assert invite.encode().endswith(b"Content-Length: 5\r\n\r\n12345")
    assert request(invite.encode()).content_length == 5
    assert Response(200, "OK").encode() == b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("message", [Request("A\r\nX: y", Uri("sip", None, "h")), Response(200, "O\nK"),
                                     Request("INFO", Uri("sip", "a\r\nX: y", "h"))])
def test_the_start_line_cannot_be_broken(message: Request | Response) -> None:
    with pytest.raises(ValueError, match="start line"):
        message.encode()


def test_a_copy_is_independent() -> None:
    invite = request()
    twin = invite.copy()
    twin.headers.remove("Via")
    assert len(invite.vias) == 3
    assert invite != twin
    assert invite == request()
    response = Response(200, "OK", [("To", "<sip:a@b>")])
    assert response.copy() == response
    assert response != invite


def test_folding_bare_lf_and_leading_blank_lines() -> None:
    data = b"\r\n\r\nOPTIONS sip:a@b SIP/2.0\nSubject:  one\n\ttwo\n  three  \nl :2\n\nokay"
    options = request(data)
    assert options.headers.get("Subject") == "one two three"
    assert options.body == b"ok"
    assert request(b"BYE sip:a SIP/2.0\r\nTo: x").headers.get("To") == "x"


def test_bytes_that_are_no_utf8_survive() -> None:
    data = b"INFO sip:a@b SIP/2.0\r\nSubject: \xff\xfe caf\xe9\r\nContent-Length: 0\r\n\r\n"
    assert request(data).encode() == data


def test_what_follows_the_body_of_a_datagram_is_cut_off() -> None:
    assert request(WIRE + b"INVITE sip:x SIP/2.0\r\n\r\n").body == b"v=0\n"


def test_a_body_without_content_length() -> None:
    data = HEAD + b"\r\nwhole rest"
    assert request(data).body == b"whole rest"
    error = refused(data, stream=True)
    assert error.status == 400
    assert error.partial is not None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"INVITE sip:a@b SIP/3.0\r\n\r\n", 505),
        (b"SIP/3.0 200 OK\r\n\r\n", 505),
        (b"SIP/2.0 99 Low\r\n\r\n", 400),
        (b"SIP/2.0 700 High\r\n\r\n", 400),
        (b"SIP/2.0 20x No\r\n\r\n", 400),
        (b"SIP/2.0 \xd9\xa2\xd9\xa0\xd9\xa0 No\r\n\r\n", 400),
        (b"IN<VITE sip:a@b SIP/2.0\r\n\r\n", 400),
        (b"INVITE  sip:a@b SIP/2.0\r\n\r\n", 400),
        (b"INVITE sip:a@b SIP/2.0 \r\n\r\n", 400),
        (b"INVITE sip:a@b\r\n\r\n", 400),
        (b"INVITE sip:" + b"a" * 3000 + b" SIP/2.0\r\n\r\n", 414),
        (b"INVITE sip:" + b"a" * 5000 + b" SIP/2.0\r\n\r\n", 414),
        (b"INVITE sip:a@b SIP/2.0\r\nno colon\r\n\r\n", 400),
        (b"INVITE sip:a@b SIP/2.0\r\nTo\r\n\r\n", 400),
        (b"INVITE sip:a@b SIP/2.0\r\n: x\r\n\r\n", 400),
        (b"INVITE sip:a@b SIP/2.0\r\na b: x\r\n\r\n", 400),
        (b"INVITE sip:a@b SIP/2.0\r\nTo: a\x00b\r\n\r\n", 400),
        (b"INVITE sip:a@b SIP/2.0\r\nTo: a\rb\r\n\r\n", 400),
        (b"INVITE sip:a@b SIP/2.0\r\nl: 1\r\nl: 10\r\n\r\n1234567890", 400),
        (b"INVITE sip:a@b SIP/2.0\r\nl: 5000000000\r\n\r\n", 400),
        (b"INVITE sip:a@b SIP/2.0\r\nX: " + b"a" * (MAX_HEADER + 1) + b"\r\n\r\n", 513),
        (b"INVITE sip:a@b SIP/2.0\r\n" + b"X: a\r\n" * (MAX_HEADERS + 1) + b"\r\n", 513),
        (b"x" * (MAX_MESSAGE + 1), 513),
    ],
)
def test_what_is_no_message_is_refused_with_a_status(data: bytes, status: int) -> None:
    error = refused(data)
    assert error.status == status
    assert error.partial is None


def test_a_broken_request_can_still_be_answered() -> None:
    error = refused(WIRE.replace(b"INVITE sip:", b"INVITE <sip:", 1))
    assert error.partial is not None
    response = response_to(error.partial, error.status, to_tag="t")
    assert response.status == 400
    assert response.cseq == CSeq(7, "INVITE")
    assert response.to.tag == "t"
    assert parse_message(response.encode()) == response


def test_what_must_not_or_cannot_be_answered_has_no_partial() -> None:
    broken = WIRE.replace(b"INVITE sip:", b"INVITE <sip:", 1)
    assert refused(broken.replace(b"INVITE <", b"ACK <")).partial is None
    assert refused(broken.replace(b"Via: SIP/2.0", b"Via: nothing")).partial is None
    assert refused(broken.replace(b"SIP/2.0/UDP a.example", b"nonsense")).partial is None


def test_an_accessor_names_the_header_that_is_broken() -> None:
    invite = request(WIRE.replace(b"7 INVITE", b"seven INVITE"))
    with pytest.raises(ParseError, match="CSeq"):
        _ = invite.cseq
    assert invite.call_id


def test_response_to_copies_what_must_be_copied() -> None:
    invite = request()
    ringing = response_to(invite, 180, to_tag="xyz", headers=[("Contact", "<sip:bob@c.example>")])
    assert ringing.reason == "Ringing"
    assert ringing.vias == invite.vias
    assert ringing.record_routes == invite.record_routes
    assert ringing.from_ == invite.from_
    assert ringing.to.tag == "xyz"
    assert ringing.headers.get("Contact") == "<sip:bob@c.example>"
    assert "Timestamp" not in ringing.headers
    trying = response_to(invite, 100, to_tag="xyz")
    assert trying.to.tag is None
    assert trying.headers.get("Timestamp") == "54"
    assert not trying.record_routes
    assert not response_to(invite, 486, "Busy", "xyz").record_routes
    assert response_to(invite, 486, "Busy").reason == "Busy"
    assert response_to(invite, 299).reason == ""


def test_response_to_keeps_the_tag_of_the_dialog_and_an_unreadable_to() -> None:
    invite = request(WIRE.replace(b"t: <sip:bob@biloxi.example>", b"t: <sip:bob@biloxi.example>;tag=old"))
    assert response_to(invite, 200, to_tag="new").to.tag == "old"
    broken = request(WIRE.replace(b"t: <sip:bob@biloxi.example>", b't: "Bob <sip:b@c>'))
    assert response_to(broken, 400, to_tag="new").headers.get("To") == '"Bob <sip:b@c>'


def test_every_reason_phrase_prints() -> None:
    for status, reason in REASON_PHRASES.items():
        parsed = parse_message(Response(status, reason).encode())
        assert isinstance(parsed, Response)
        assert (parsed.status, parsed.reason) == (status, reason)


# --- parse(print(x)) == x --------------------------------------------------------------------------------------------

CHARACTERS = st.characters(codec="utf-8", exclude_characters="\r\n\x00")
tokens = st.text(alphabet="abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
values = st.text(CHARACTERS, max_size=40)
names = tokens.filter(lambda name: name.lower() not in ("l", "content-length"))
fields = st.lists(st.tuples(names | st.sampled_from(["Via", "To", "m", "Route", "Subject"]), values), max_size=8)
hosts = st.sampled_from(["example.com", "10.0.0.1", "[2001:db8::1]", "a-b.c"])
uris = st.builds(
    lambda user, host, port, extra: Uri.sip(user, host, port).with_param("x", extra),
    st.none() | st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable()), hosts,
    st.none() | st.integers(0, 65535), st.none() | st.text("ab;?@ é", max_size=5),
)
reasons = st.text(CHARACTERS, max_size=20)
requests = st.builds(Request, tokens, uris, fields.map(Headers), st.binary(max_size=60))
responses = st.builds(Response, st.integers(100, 699), reasons, fields.map(Headers), st.binary(max_size=60))


@pytest.mark.lengthy
@given(requests | responses)
def test_what_is_printed_is_read_back(message: Request | Response) -> None:
    wire = message.encode()
    assert parse_message(wire, stream=True) == message
    assert parse_message(wire).encode() == wire
    assert parse_message(wire + b"trailing") == message


ACCESSORS = (
    "via", "vias", "from_", "to", "cseq", "call_id", "contacts", "contact_is_star", "routes", "record_routes", "max_forwards",
    "expires", "content_length", "content_type",
)


@given(st.binary(max_size=40), st.integers(0, len(WIRE)), st.integers(0, 12))
def test_a_mangled_message_raises_nothing_but_parse_errors(noise: bytes, position: int, cut: int) -> None:
    try:
        message = parse_message(WIRE[:position] + noise + WIRE[position + cut :])
    except ParseError:
        return
    for name in ACCESSORS:
        try:
            getattr(message, name)
        except ParseError:
            continue
    assert parse_message(message.encode()) == message
