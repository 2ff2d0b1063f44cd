"""Which parsed messages may be acted on, and how the others are refused."""

from __future__ import annotations

import pytest

from offhook.sip.message import Request, Response
from offhook.sip.parsing import MessageError, parse_message
from offhook.sip.sanity import MANDATORY, SINGLE, check

FIELDS = {
    "Via": "SIP/2.0/UDP a.example;branch=z9hG4bK1",
    "From": "<sip:alice@a.example>;tag=1",
    "To": "<sip:bob@b.example>",
    "Call-ID": "x@y",
    "CSeq": "1 INVITE",
    "Max-Forwards": "70",
    "Contact": "<sip:alice@a.example>",
    "Content-Length": "3",
}


def invite(changes: dict[str, str | None] | None = None, uri: str = "sip:bob@b.example", method: str = "INVITE") -> Request:
    fields = {**FIELDS, **(changes or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    message = parse_message(f"{method} {uri} SIP/2.0\r\n{lines}\r\nabc".encode())
    assert isinstance(message, Request)
    return message


def refused(message: Request | Response) -> MessageError:
    with pytest.raises(MessageError) as caught:
        check(message)
    return caught.value


def test_a_sane_request_passes() -> None:
    check(invite())
    check(invite({"Max-Forwards": None, "Contact": None, "Content-Length": None}))  # as RFC 2543 sent them
    check(invite(uri="sips:b"))
    check(invite(uri="tel:+49301234"))
    check(invite({"Max-Forwards": "0"}))


@pytest.mark.parametrize("name", MANDATORY)
def test_a_missing_mandatory_header(name: str) -> None:
    error = refused(invite({name: None}))
    assert error.status == 400
    assert name in error.detail
    assert (error.partial is None) == (name == "Via")  # RFC 4475 3.3.1: answered all the same, if there is a way back


@pytest.mark.parametrize("name", SINGLE)
def test_a_header_that_may_be_there_only_once(name: str) -> None:
    message = invite()
    while message.headers.count(name) < 2:
        message.headers.add(name, FIELDS.get(name, "1"))
    error = refused(message)
    assert error.status == 400
    assert error.partial is message


@pytest.mark.parametrize(
    "changes",
    [
        {"CSeq": "1 BYE"}, {"CSeq": "2147483648 INVITE"}, {"CSeq": "x INVITE"}, {"Max-Forwards": "many"},
        {"Max-Forwards": "256"},
        {"From": "alice"}, {"To": '"Bob <sip:b>'}, {"Call-ID": "a b"}, {"Contact": "sip:a?b=c"}, {"Content-Length": "4"},
        {"Expires": "soon"}, {"Record-Route": "<sip:a"}, {"Route": "x"},
    ],
)
def test_a_broken_header_is_answered_with_400(changes: dict[str, str | None]) -> None:
    error = refused(invite(changes))
    assert error.status == 400
    assert error.partial is not None


def test_a_broken_via_cannot_be_answered() -> None:
    assert refused(invite({"Via": "SIP/2.0/UDP ;;"})).partial is None


def test_an_ack_is_never_answered() -> None:
    assert refused(invite(method="ACK")).partial is None


def test_an_unknown_scheme_is_answered_with_416() -> None:
    error = refused(invite(uri="nobody:knows"))
    assert error.status == 416
    assert error.partial is not None


def test_responses() -> None:
    fields = [(name, value) for name, value in FIELDS.items() if name != "Content-Length"]
    check(Response(200, "OK", fields))
    error = refused(Response(200, "OK", fields[1:]))
    assert error.partial is None


def answered(status: int, **changes: str) -> Response:
    fields = {**FIELDS, "To": "<sip:bob@b.example>;tag=2", **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    message = parse_message(f"SIP/2.0 {status} X\r\n{lines}\r\nabc".encode())
    assert isinstance(message, Response)
    return message


@pytest.mark.parametrize("contact", ["", "<sip:@gateway>", "<sip:b b@c>", '"x <sip:a@b>', "<sip:b@c>;", "x, y <sip:a@b>,"])
def test_an_unreadable_address_does_not_spoil_a_response(contact: str) -> None:
    for status in (180, 200, 486):
        check(answered(status, Contact=contact))
    response = answered(200, Contact=f"<sip:b b@c>, <sip:alice@a.example>;expires=60, {contact}")
    check(response)
    assert [str(each.uri) for each in response.contacts][:1] == ([] if contact.startswith('"') else ["sip:alice@a.example"])


def test_what_a_response_is_not_acted_on_for_does_not_spoil_it() -> None:
    for status in (180, 200, 486):
        response = answered(status, Max_Forwards="300", Expires="soon", Record_Route="<sip:a")
        response.headers.add("Retry-After", "5")
        response.headers.add("Retry-After", "5")
        check(response)
    for name in ("From", "To", "Call-ID", "CSeq"):
        twice = answered(486)
        twice.headers.add(name, twice.headers.get(name) or "")
        refused(twice)
