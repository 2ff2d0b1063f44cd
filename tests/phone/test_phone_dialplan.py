"""Dial plans and targets."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import DialPlanDenied, InvalidArgument
from offhook.phone.dialplan import apply_plan, compile_plan, proxy_uri, target_uri
from offhook.phone.settings import AccountSettings

ACCOUNT = AccountSettings(id="a", domain="pbx.example:5070", username="1001")


@pytest.mark.parametrize(
    ("plan", "number", "dialled"),
    [
        ("", "1001", "1001"),
        ("(1xxx|0x.)", "1001", "1001"),
        ("(1xxx|0x.)", "0301234", "0301234"),
        ("(<0:+49>x.)", "0301234", "+49301234"),
        ("(<:9>[2-9]xxx)", "2345", "92345"),
        ("(xxx<#:>)", "123#", "123"),
        ("(<011:00>x.|x.)", "01144", "0044"),
        ("(a.)", "aaa", "aaa"),
        ("(x..)", "12", "12"),
    ],
)
def test_the_first_rule_that_fits_the_whole_number_decides(plan: str, number: str, dialled: str) -> None:
    assert apply_plan(plan, number) == dialled


@pytest.mark.parametrize(("plan", "number"), [("(1xxx)", "10011"), ("(1xxx)", "2001"), ("([2-4]x)", "5x")])
def test_a_number_without_a_rule_is_refused(plan: str, number: str) -> None:
    with pytest.raises(DialPlanDenied):
        apply_plan(plan, number)


@pytest.mark.parametrize("plan", ["([9-2]x)", "(.x)", "([])", "([^1])", "x" * 5000, "(1xx", "1xx)", "(<0:x.)", "(x>)", "(1]x)"])
def test_a_plan_that_cannot_be_read_is_refused(plan: str) -> None:
    with pytest.raises(InvalidArgument):
        compile_plan(plan)


@given(st.text(max_size=40), st.text(max_size=20))
def test_any_plan_gives_an_answer_or_a_documented_refusal(plan: str, number: str) -> None:
    with contextlib.suppress(InvalidArgument, DialPlanDenied):
        apply_plan(plan, number)


@pytest.mark.parametrize(
    ("typed", "uri"),
    [
        ("1001", "sip:1001@pbx.example:5070"),
        (" +49 (30) 12-34 ", "sip:+49301234@pbx.example:5070"),
        ("echo", "sip:echo@pbx.example:5070"),
        ("tel:+4930-1234", "sip:+49301234@pbx.example:5070"),
        ("sip:bob@other.example", "sip:bob@other.example"),
        ("bob@other.example", "sip:bob@other.example"),
        ("*72#", "sip:*72%23@pbx.example:5070"),
        ("+49 (0)30/1234", "sip:+49301234@pbx.example:5070"),
        ("0049(0)30-1234", "sip:0049301234@pbx.example:5070"),
        ("+39 (0)6 1234", "sip:+39061234@pbx.example:5070"),
        ("030 (0)1234", "sip:03001234@pbx.example:5070"),
        ("tel:+49(0)30-1234", "sip:+49301234@pbx.example:5070"),
        ("sip:1002", "sip:1002@pbx.example:5070"),
        ("SIP:+49301234;user=phone", "sip:+49301234@pbx.example:5070"),
        ("sip:*97#", "sip:*97%23@pbx.example:5070"),
        ("sips:1002", "sips:1002@pbx.example"),
        ("SIPS:+49301234;user=phone", "sips:+49301234@pbx.example"),
        ("sip:127.0.0.1", "sip:127.0.0.1"),
        ("\u202d+49\u00a030\u2011123\u201345\u202c", "sip:+493012345@pbx.example:5070"),
        ("\uff0b\uff18\uff11\u3000\uff13\uff0d\uff11\uff12", "sip:+81312@pbx.example:5070"),
        ("Tel: 1001", "sip:1001@pbx.example:5070"),
    ],
)
def test_what_is_typed_becomes_an_address(typed: str, uri: str) -> None:
    assert str(target_uri(typed, ACCOUNT)) == uri


def test_a_number_by_sips_keeps_a_port_of_tls() -> None:
    assert str(target_uri("sips:1002", replace(ACCOUNT, transport="tls"))) == "sips:1002@pbx.example:5070"


@pytest.mark.parametrize(
    "typed", ["", "  ", "hello world", "sip:", "sip:@", "1001\r\nVia: x", "sip:a@b\x00", "<x>", "x" * 600, "sips:a@b?x=y"]
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(InvalidArgument):
        target_uri(typed, ACCOUNT)


def test_a_bare_number_needs_an_account() -> None:
    with pytest.raises(InvalidArgument, match="account"):
        target_uri("1001", None)


@pytest.mark.parametrize(("text", "why"), [("sip:u@h:0", "port 0"), ("1" * 513, "longer than 512 characters")])
def test_what_cannot_be_called(text: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        target_uri(text, ACCOUNT)


def test_a_transport_that_there_is_not() -> None:
    account = AccountSettings(id="a", domain="h", username="u")
    assert target_uri("sip:u@h;transport=TLS", account).transport == "tls"
    for text in ("sip:u@h;transport=sctp", "u@h;transport=x"):
        for who in (None, account):
            with pytest.raises(InvalidArgument, match=r"no transport .* here; there are: udp, tcp, tls, ws, wss"):
                target_uri(text, who)
    assert target_uri("sip:u@h;transport=sctp", replace(account, proxy="sip:p")).transport == "sctp", "the proxy may speak it"
    with pytest.raises(InvalidArgument, match="no transport 'sctp' here"):
        proxy_uri("p;transport=sctp")


def test_the_prefix_goes_before_numbers_only() -> None:
    account = AccountSettings(id="a", domain="h", username="u", dialing_prefix="0")
    assert str(target_uri("1001", account)) == "sip:01001@h"
    assert str(target_uri("+491", account)) == "sip:+491@h"
    assert str(target_uri("echo", account)) == "sip:echo@h"


@pytest.mark.parametrize(
    ("written", "uri"),
    [
        ("10.0.0.1", "sip:10.0.0.1;lr"),
        ("10.0.0.1:5070", "sip:10.0.0.1:5070;lr"),
        ("pbx.example:5070;transport=tcp", "sip:pbx.example:5070;transport=tcp;lr"),
        ("sip:[::1]:5070", "sip:[::1]:5070;lr"),
        ("SIP:pbx.example;lr", "sip:pbx.example;lr"),
    ],
)
def test_an_outbound_proxy_is_written_in_several_ways(written: str, uri: str) -> None:
    assert str(proxy_uri(written)) == uri


@pytest.mark.parametrize("typed", ["1001,,5#", "+49 30 1,2", "tel:1001,,5#"])
def test_digits_are_no_part_of_a_number(typed: str) -> None:
    with pytest.raises(InvalidArgument, match=r"stands apart: to [0-9+ ]+, digits [0-9#,]+"):
        target_uri(typed, ACCOUNT)
