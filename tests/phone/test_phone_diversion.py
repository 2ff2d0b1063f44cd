"""Who diverted a call, and who answered it instead."""

from __future__ import annotations

import pytest

from offhook.phone.closing import q850_cause, sip_cause
from offhook.phone.diversion import MOST, READ, diversions
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


def test_of_thousands_the_first_are_looked_at() -> None:
    many = ", ".join(["nobody"] * READ)
    assert diversions((("Diversion", many), ("Diversion", "<sip:bob@h>"))) == ()
    assert len(diversions((("Diversion", many[:-8]), ("Diversion", "<sip:bob@h>")))) == 1


@pytest.mark.parametrize("value", ["", "<sip:", '"x', "nobody", ","])
def test_what_cannot_be_read_is_left_out(value: str) -> None:
    assert diversions((("Diversion", value), ("History-Info", value))) == ()


def test_a_loop_is_cut() -> None:
    assert len(diversions((("Diversion", ", ".join(["<sip:a@h>"] * 40)),))) == MOST


@pytest.mark.parametrize(("value", "cause", "q850"), [
    ('SIP;cause=200;text="Call completed elsewhere"', 200, 0), ('Q.850;cause=16;text="x", sip ; cause = 603', 603, 16),
    ("Q.850;cause=200", 0, 200), ("SIP", 0, 0), ("", 0, 0), ('Q.850;cause=16;text="a, b"', 0, 16),
    ("SIP;cause=200, Q.850;cause=16", 200, 16), ('SIP;text="a, b";cause=200', 200, 0), (", SIP;cause=200", 200, 0),
    ('SIP;text="say \\"a, b\\"";cause=600', 600, 0), ('Q.850;text="cause=3";cause=16', 0, 16),
    ('SIP;cause=200;text="open', 200, 0),
    ('Q.850;text="x", SIP;cause=200', 200, 0), ('X.int;text="Q.850;cause=3", Q.850 ;text="b; c" ; cause = 17', 0, 17),
    ('Preemption;cause=1;text="SIP;cause=200"', 0, 0), ("SIP;cause=2000", 0, 0),
])
def test_causes(value: str, cause: int, q850: int) -> None:
    assert (sip_cause((("Reason", value),)), q850_cause((("Reason", value),))) == (cause, q850)
    assert sip_cause(()) == q850_cause(()) == 0


def test_a_cause_is_found_in_the_second_of_two_headers() -> None:
    headers = (("Reason", "Preemption;cause=1"), ("Reason", 'Q.850;text="a, b";cause=31'))
    assert (sip_cause(headers), q850_cause(headers)) == (0, 31)
