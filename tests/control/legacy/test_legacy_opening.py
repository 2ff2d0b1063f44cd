"""A link in a browser can dial something plain, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.control.legacy.opening import open_uri
from offhook.errors import InvalidArgument
from offhook.phone import commands as c


@pytest.mark.parametrize(("uri", "to"), [
    ("tel:+49-89-1", "+49891"), ("tel://1001/", "1001"), ("callto:1001", "1001"), ("callto:u@h", "u@h"), ("sip:u@h", "sip:u@h"),
    ("SIP:u@h:5070;transport=tcp", "sip:u@h:5070;transport=tcp"), ("sips:u@[2001:db8::1]", "sips:u@[2001:db8::1]"),
    ("TEL:030/1234", "0301234"), ("callto:+49%20(0)30%20/%2012", "+493012"),
    ("tel:*43%23", "*43#"), (" tel:1001 ", "1001"), ("sip:u@h;Transport=tcp;user=phone", "sip:u@h;Transport=tcp;user=phone"),
])  # fmt: skip
def test_open_dials(uri: str, to: str) -> None:
    assert open_uri(uri) == c.Dial(to=to)


@pytest.mark.parametrize("uri", [
    "1001", "hangup", "msip:answer", "dtmf:123", "/exit", "--listdevices", "/i:x.ini", "file:///etc/passwd", "javascript:1",
    "callto:/exit", "callto:--listdevices", "callto:%2Fexit", "tel:1%2C2", "tel:1,2", "tel:1%0d%0ax", "tel:1%00", "tel:",
    "sip:",
    "sip:u@h?Route=x", "sip:u@h;method=REFER", "sip:u@h%0d%0aX: y", "tel:%252Fexit", "callto:1001 /exit", "callto:1001 text",

    "callto:msip:answer", 'callto:"1001"', "tel:1\r\n", "x" * 5000, "dial:1001", "sip:u@h hangup", "report:status",
    "tel:1;x=/exit y",
])  # fmt: skip
def test_open_can_only_dial(uri: str) -> None:
    try:
        dial = open_uri(uri)
    except InvalidArgument:
        return
    assert uri == "tel:1;x=/exit y"  # what follows the number of a tel: URI is dropped
    assert dial == c.Dial(to="1")


@pytest.mark.lengthy
@given(st.sampled_from(["tel:", "sip:", "callto:", ""]), st.text(max_size=30))
def test_open_dials_something_plain_or_refuses(scheme: str, text: str) -> None:
    try:
        dial = open_uri(scheme + text)
    except InvalidArgument:
        return
    else:
        assert dial == c.Dial(to=dial.to)
        assert dial.to.isprintable()
        assert not dial.to.startswith(("/", "-"))
        assert not set(dial.to) & set(' ,"%\\?')
