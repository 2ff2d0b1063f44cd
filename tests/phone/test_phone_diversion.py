"""Who diverted a call, and who answered it instead."""

from __future__ import annotations

import pytest

from offhook.phone.closing import sip_cause
from offhook.phone.diversion import MOST, diversions
from offhook.phone.model import Diversion
from offhook.sip.headers import Headers


def test_diversions_latest_first() -> None:
    headers = (("Diversion", '"Bob" <sip:bob@h>;reason=no-answer, <tel:+123>;reason=user-busy'), ("diversion", "<sip:c@h>"))
    assert diversions(Headers(headers).items()) == (
        Diversion("sip:bob@h", "Bob", "no-answer"), Diversion("tel:+123", "", "user-busy"), Diversion("sip:c@h", "", "unknown"))


def test_history_info_in_its_order() -> None:
    headers = (("History-Info", "<sip:bob@h?Reason=SIP%3Bcause%3D302>;index=1, "
                                "<sip:carol@h?Reason=SIP%3Bcause%3D486>;index=1.1"),
               ("History-Info", "<sip:dave@h>;index=1.1.1"))
    assert diversions(headers) == (Diversion("sip:carol@h", "", "user-busy"), Diversion("sip:bob@h", "", "unconditional"))
    assert diversions((("History-Info", "<sip:me@h>;index=1"),)) == ()


def test_history_info_of_a_mobile_network_says_why_with_where_the_call_went() -> None:
    # RFC 4458: the cause stands in the address of the next target
    headers = (("History-Info", "<sip:+4930111@t.example;user=phone>;index=1,"
                                "<sip:+4930222@t.example;user=phone;cause=302>;index=1.1,"
                                "<sip:+4930333@t.example;cause=480>;index=1.1.1"),)
    assert diversions(headers) == (
        Diversion("sip:+4930222@t.example;user=phone", "", "deflection"),
        Diversion("sip:+4930111@t.example;user=phone", "", "unconditional"))
    assert diversions((("History-Info", "<sip:a@h>;index=1, <sip:b@h>;index=1.1"),)) == (), "by a proxy's own routing"


@pytest.mark.parametrize("value", ["", "<sip:", '"x', "nobody", ","])
def test_what_cannot_be_read_is_left_out(value: str) -> None:
    assert diversions((("Diversion", value), ("History-Info", value))) == ()


def test_a_loop_is_cut() -> None:
    assert len(diversions((("Diversion", ", ".join(["<sip:a@h>"] * 40)),))) == MOST


@pytest.mark.parametrize(("value", "cause"), [
    ('SIP;cause=200;text="Call completed elsewhere"', 200), ('Q.850;cause=16;text="x", sip ; cause = 603', 603),
    ("Q.850;cause=200", 0), ("SIP", 0), ("", 0),
])
def test_causes(value: str, cause: int) -> None:
    assert sip_cause((("Reason", value),)) == cause
    assert sip_cause(()) == 0
