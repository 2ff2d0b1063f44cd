"""Dialogs: route sets from both sides, loose and strict, targets, sequence numbers, the flow to use."""

from __future__ import annotations

import pytest

from offhook.sip.dialog import Dialog, key_of
from offhook.sip.events import Flow, TransportName
from offhook.sip.message import Request
from offhook.sip.parsing import parse_message
from offhook.sip.responses import response_to
from offhook.sip.stack import Hop
from offhook.sip.uri import NameAddr, Uri

FLOW = Flow("udp", ("10.0.0.1", 5060), ("10.0.0.8", 5060))


def invite(extra: str = "") -> Request:
    text = ("INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nFrom: Al <sip:al@x>;tag=f\r\n"
            f"To: <sip:bob@example.com>\r\nCall-ID: i\r\nCSeq: 7 INVITE\r\nContact: <sip:al@10.0.0.1:5060>\r\n{extra}\r\n")
    message = parse_message(text.encode())
    assert isinstance(message, Request)
    return message


ROUTES = "Record-Route: <sip:p2.example;lr>\r\nRecord-Route: <sip:p1.example:5070;lr>\r\n"


def test_callee_keeps_the_order_of_record_route() -> None:
    dialog = Dialog.of_request(invite(ROUTES), "loc", FLOW)
    uri, items, hop = dialog.request_parts()
    assert str(uri) == "sip:al@10.0.0.1:5060"
    assert [value for name, value in items if name == "Route"] == ["<sip:p2.example;lr>", "<sip:p1.example:5070;lr>"]
    assert ("From", "<sip:bob@example.com>;tag=loc") in items
    assert ("To", "Al <sip:al@x>;tag=f") in items
    assert str(hop) == "sip:p2.example;lr"
    assert dialog.key == ("i", "loc", "f")


def test_caller_turns_it_round_and_starts_at_its_cseq() -> None:
    request = invite(ROUTES)
    response = response_to(request, 200, "", "r", [("Contact", "<sip:bob@10.0.0.2>")])
    dialog = Dialog.of_response(request, response, FLOW)
    uri, items, hop = dialog.request_parts()
    assert [value for name, value in items if name == "Route"] == ["<sip:p1.example:5070;lr>", "<sip:p2.example;lr>"]
    assert (str(uri), str(hop)) == ("sip:bob@10.0.0.2", "sip:p1.example:5070;lr")
    assert dialog.next_cseq() == 8
    assert dialog.accepts(0)


def test_strict_router_is_addressed_itself() -> None:
    dialog = Dialog.of_request(invite("Record-Route: <sip:strict.example>, <sip:p1.example;lr>\r\n"), "loc", FLOW)
    uri, items, hop = dialog.request_parts()
    assert str(uri) == str(hop) == "sip:strict.example"
    assert [value for name, value in items if name == "Route"] == ["<sip:p1.example;lr>", "<sip:al@10.0.0.1:5060>"]


def test_sequence_and_target() -> None:
    dialog = Dialog.of_request(invite(), "loc", FLOW)
    assert not dialog.accepts(6)
    assert dialog.accepts(7)
    assert dialog.accepts(9)
    assert not dialog.accepts(8)
    moved = invite()
    moved.headers.set("Contact", "<sip:al@10.0.0.77>")
    dialog.refresh(moved)
    assert dialog.target == Uri.parse("sip:al@10.0.0.77")
    moved.headers.remove("Contact")
    dialog.refresh(moved)
    assert dialog.target == Uri.parse("sip:al@10.0.0.77")


def test_flow_is_used_again_only_where_it_leads() -> None:
    dialog = Dialog.of_request(invite(), "loc", FLOW)
    assert dialog.way(Uri.parse("sip:x@10.0.0.8")) == (Hop("10.0.0.8", None, "udp"), FLOW)
    assert dialog.way(Uri.parse("sip:x@10.0.0.8:5062"))[1] is None
    assert dialog.way(Uri.parse("sip:x@10.0.0.8;transport=tcp"))[1] is None
    dialog.hop = Hop("p.example", None, "udp")
    assert dialog.way(Uri.parse("sip:p.example;lr"))[1] == FLOW
    dialog.flow = Flow("tcp", ("10.0.0.1", 5060), ("10.0.0.8", 43210), 4)
    assert dialog.way(Uri.parse("sip:x@10.0.0.8"))[1] == dialog.flow


@pytest.mark.parametrize(("transport", "uri", "goes_by"), [
    ("wss", "sip:x@10.0.0.8;transport=ws", "wss"), ("ws", "sip:x@10.0.0.8;transport=ws", "ws"),
    ("wss", "sip:x@10.0.0.8", "udp"), ("tls", "sip:x@10.0.0.8;transport=ws", "ws"),
])
def test_a_web_socket_goes_on_as_it_began(transport: TransportName, uri: str, goes_by: str) -> None:
    # RFC 7118 5.4: the parameter is "ws" for both kinds, so a call that began encrypted stays it
    dialog = Dialog.of_request(invite(), "loc", Flow(transport, ("10.0.0.1", 5060), ("10.0.0.8", 443)))
    assert dialog.way(Uri.parse(uri))[0] == Hop("10.0.0.8", None, goes_by)  # type: ignore[arg-type]  # a TransportName


@pytest.mark.parametrize(("transport", "target", "goes"), [
    ("ws", "sip:asterisk@pbx:5060;transport=ws", True), ("wss", "sip:asterisk@192.168.1.9:5060;transport=ws", True),
    ("wss", "sip:x@10.0.0.77", True), ("wss", "sips:x@10.0.0.77", True), ("ws", "sips:x@10.0.0.77", False),
    ("tls", "sip:x@10.0.0.77;transport=tls", False),
])
def test_a_web_socket_is_the_only_way_whatever_stands_in_contact(transport: TransportName, target: str, goes: bool) -> None:
    flow = Flow(transport, ("10.0.0.1", 50000), ("10.0.0.8", 443), 7)
    dialog = Dialog.of_request(invite(), "loc", flow)
    assert dialog.way(Uri.parse(target))[1] == (flow if goes else None)


@pytest.mark.parametrize(("transport", "named"), [("tcp", "tcp"), ("ws", "ws"), ("wss", "ws")])
def test_a_nearest_proxy_that_cannot_be_read_is_where_the_request_went(transport: TransportName, named: str) -> None:
    request = invite()
    response = response_to(request, 200, "", "r", [
        ("Contact", "<sip:bob@10.0.0.2>"), ("Record-Route", "<sip:p2.example;lr>"), ("Record-Route", "<sip:[broken;lr>")])
    dialog = Dialog.of_response(request, response, Flow(transport, ("10.0.0.1", 5060), ("10.0.0.8", 5080)))
    assert [str(route) for route in dialog.routes] == [f"<sip:10.0.0.8:5080;transport={named};lr>", "<sip:p2.example;lr>"]


def test_key_of_an_incoming_request() -> None:
    request = invite()
    request.headers.set("To", str(NameAddr.parse("<sip:bob@example.com>").with_tag("loc")))
    assert key_of(request) == ("i", "loc", "f")
