"""The header multimap and the typed values Via, CSeq and Challenge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.sip.headers import MAX_ELEMENTS, Challenge, CSeq, Headers, Via, parse_challenges, parse_credentials


def test_names_are_case_blind_and_compact_forms_are_long_ones() -> None:
    headers = Headers([("v", "1"), ("VIA", "2"), ("x-foo", "3"), ("CALL-ID", "4")])
    assert headers.items() == (("Via", "1"), ("Via", "2"), ("x-foo", "3"), ("Call-ID", "4"))
    assert headers.get("via") == "1"
    assert headers.get_all("V") == ["1", "2"]
    assert headers.get("X-FOO") == "3"
    assert "i" in headers
    assert "Contact" not in headers
    assert headers.get("Contact") is None


# As IANA has them.
@pytest.mark.parametrize(("short", "long"), [
    ("a", "Accept-Contact"), ("b", "Referred-By"), ("c", "Content-Type"), ("d", "Request-Disposition"),
    ("e", "Content-Encoding"), ("f", "From"), ("i", "Call-ID"), ("j", "Reject-Contact"),
    ("k", "Supported"), ("l", "Content-Length"), ("m", "Contact"), ("n", "Identity-Info"),
    ("o", "Event"), ("r", "Refer-To"), ("s", "Subject"), ("t", "To"),
    ("u", "Allow-Events"), ("v", "Via"), ("x", "Session-Expires"), ("y", "Identity"),
])
def test_every_compact_form(short: str, long: str) -> None:
    assert Headers([(short, "x")]).items() == Headers([(short.upper(), "x")]).items() == ((long, "x"),)


def test_values_split_outside_quotes_and_brackets() -> None:
    headers = Headers([("Contact", '"a, b" <sip:x,y@z>;q=1 , <sip:c@d>'), ("Contact", ""), ("m", "sip:e@f,, sip:g@h")])
    assert headers.values("Contact") == ['"a, b" <sip:x,y@z>;q=1', "<sip:c@d>", "sip:e@f", "sip:g@h"]
    assert Headers([("Supported", "")]).values("Supported") == []
    assert headers.values("Route") == []


@pytest.mark.parametrize("text", ['"a, b', "<sip:a@b, c", 'a, "b\\"'])
def test_values_that_are_not_balanced(text: str) -> None:
    with pytest.raises(ParseError):
        Headers([("Contact", text)]).values("Contact")


def test_many_values_are_as_many_lines() -> None:
    assert len(Headers([("Contact", "a,b"), ("Contact", ",".join("c" * 198))]).values("Contact")) == MAX_ELEMENTS
    with pytest.raises(ParseError, match="too many values of Contact") as error:
        Headers([("Contact", "a,b"), ("Contact", ",".join("c" * 199))]).values("Contact")
    assert error.value.status == 513


def test_order_is_kept_and_changed_where_asked() -> None:
    headers = Headers([("Via", "1"), ("To", "t"), ("Via", "2")])
    headers.insert_first("Via", "0")
    headers.insert_first("Route", "r")
    headers.add("Via", "3")
    assert headers.items() == (("Route", "r"), ("Via", "0"), ("Via", "1"), ("To", "t"), ("Via", "2"), ("Via", "3"))
    headers.set("via", "only")
    headers.set("CSeq", "1 ACK")
    assert headers.items() == (("Route", "r"), ("Via", "only"), ("To", "t"), ("CSeq", "1 ACK"))
    headers.remove("TO")
    headers.remove("absent")
    assert list(headers) == [("Route", "r"), ("Via", "only"), ("CSeq", "1 ACK")]
    assert len(headers) == 3


NAMES = ("Via", "v", "X-One", "x-one", "To", "Unknown")
STEPS = ("add", "set", "insert_first", "replace_first", "remove", "look")
changes = st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(NAMES), st.sampled_from("abc")))


@given(changes)
def test_headers_are_as_a_plain_list_would_have_them(steps: list[tuple[str, str, str]]) -> None:
    headers, plain = Headers(), list[tuple[str, str]]()

    def key(name: str) -> str:
        return {"v": "via"}.get(name.lower(), name.lower())

    for step, name, value in steps:
        places = [place for place, (have, _) in enumerate(plain) if have == key(name)]
        if step == "add":
            headers.add(name, value)
            plain.append((key(name), value))
        elif step == "insert_first":
            headers.insert_first(name, value)
            plain.insert(places[0] if places else 0, (key(name), value))
        elif step == "replace_first" and places:
            headers.replace_first(name, value)
            plain[places[0]] = key(name), value
        elif step in ("set", "remove"):
            plain = [item for item in plain if item[0] != key(name)]
            if step == "remove":
                headers.remove(name)
            else:
                headers.set(name, value)
                plain.insert(places[0] if places else len(plain), (key(name), value))
        elif step == "look":
            headers.get_all(name).append("nobody else sees this")
        for each in NAMES:
            values = [have for other, have in plain if other == key(each)]
            assert headers.get_all(each) == values
            assert headers.get(each) == (values[0] if values else None)
            assert headers.count(each) == len(values)
    assert [(key(name), value) for name, value in headers] == plain


def test_a_copy_is_independent() -> None:
    headers = Headers([("To", "a")])
    twin = headers.copy()
    twin.add("From", "b")
    assert len(headers) == 1
    assert headers != twin
    assert headers == Headers([("t", "a")])


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\x00b"])
def test_nothing_can_be_smuggled_into_a_value(value: str) -> None:
    headers = Headers()
    for change in (headers.add, headers.set, headers.insert_first):
        with pytest.raises(ValueError, match="line break"):
            change("Subject", value)
    assert len(headers) == 0
    headers.add("Subject", "fine")
    with pytest.raises(ValueError, match="line break"):
        headers.replace_first("Subject", value)
    assert headers.get("Subject") == "fine"


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "é"])
def test_a_name_must_be_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="not a header name"):
        Headers([(name, "x")])


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("SIP/2.0/UDP a.example;branch=z9hG4bKx;rport", "SIP/2.0/UDP a.example;branch=z9hG4bKx;rport"),
        ("SIP / 2.0 / udp  10.0.0.1 : 5070 ; branch = z9 ", "SIP/2.0/UDP 10.0.0.1:5070;branch=z9"),
        ("SIP/2.0/TCP\t[2001:db8::1]:5061;received=2001:db8::2", "SIP/2.0/TCP [2001:db8::1]:5061;received=2001:db8::2"),
        ("sip/2.0/WSS df7jal23ls0d.invalid", "SIP/2.0/WSS df7jal23ls0d.invalid"),
    ],
)
def test_via(text: str, printed: str) -> None:
    assert str(Via.parse(text)) == printed
    assert Via.parse(printed) == Via.parse(text)


def test_via_parts() -> None:
    via = Via.parse("SIP/2.0/UDP [::1]:5070;branch=z9hG4bKx;rport=4711;received=[::2];x=\"q\"")
    assert (via.protocol, via.host, via.port, via.branch, via.rport) == ("UDP", "[::1]", 5070, "z9hG4bKx", 4711)
    assert via.received == "::2"
    assert via.param("X") == "q"
    assert Via("UDP", "h", None, (("rport", None),)).rport == 0
    assert Via("UDP", "h").rport is None
    assert Via("UDP", "h", None, (("rport", "99999"),)).rport is None
    assert str(Via("UDP", "h").with_param("rport").with_param("rport", "1")) == "SIP/2.0/UDP h;rport=1"


@pytest.mark.parametrize(
    "text",
    ["", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 host", "SIP/2.0/UDP a b", "SIP/2.0/UDP h:0x5", "SIP/2.0/UDP h;;", "SIP/2.0/ h",
     "HTTP/1.1/TCP h", "SIP/2.0/UDP h;branch=\"x"],
)
def test_a_misspelt_via_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Via.parse(text)


def test_cseq() -> None:
    assert CSeq.parse(" 0009  INVITE") == CSeq(9, "INVITE")
    assert str(CSeq(314159, "ACK")) == "314159 ACK"
    assert CSeq.parse(f"{2**31 - 1} BYE").number == 2**31 - 1


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE 1", "-1 INVITE", "1 IN VITE", f"{2**31} INVITE", "1 <", "１ INVITE", "9" * 5000 + " BYE"]
)
def test_a_misspelt_cseq_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        CSeq.parse(text)


def test_digest_challenge() -> None:
    text = 'Digest realm="a, \\"b\\"", qop="auth,auth-int", nonce="n=",  algorithm=MD5, stale=FALSE, Realm="second"'
    (challenge,) = parse_challenges(text)
    assert challenge.scheme == "Digest"
    assert challenge.params == {"realm": 'a, "b"', "qop": "auth,auth-int", "nonce": "n=", "algorithm": "MD5", "stale": "FALSE"}
    assert challenge.get("NONCE") == "n="
    assert parse_challenges(str(challenge)) == [challenge]


def test_several_challenges_in_one_line() -> None:
    found = parse_challenges('NewScheme, Digest realm="x", nonce = "1", Bearer abc==, Basic realm=y')
    assert found == [
        Challenge("NewScheme"),
        Challenge("Digest", {"realm": "x", "nonce": "1"}),
        Challenge("Bearer", {"token68": "abc=="}),
        Challenge("Basic", {"realm": "y"}),
    ]
    assert str(found[2]) == "Bearer abc=="


def test_credentials() -> None:
    given_back = Challenge("Digest", {"username": "bob", "qop": "auth", "nc": "00000001", "algorithm": "SHA-256"})
    assert given_back.credentials() == 'Digest username="bob", qop=auth, nc=00000001, algorithm=SHA-256'
    assert parse_credentials(given_back.credentials()) == given_back
    with pytest.raises(ParseError):
        parse_credentials("Basic, Digest")


@pytest.mark.parametrize("text", ["", ",", 'Digest realm="x', 'Digest realm="x"y', "Digest realm=a b", "Digest a b", '"'])
def test_a_misspelt_challenge_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_challenges(text)


@given(st.text(alphabet='Digest realm="x",= \\;a/2.0:[]<>\x00é', max_size=60))
def test_typed_values_raise_nothing_but_parse_errors(text: str) -> None:
    for parse in (parse_challenges, Via.parse, CSeq.parse, Headers([("X", text.replace("\x00", ""))]).values):
        try:
            parse(text)
        except ParseError:
            continue
