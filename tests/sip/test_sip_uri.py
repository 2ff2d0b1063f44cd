"""Uri and NameAddr: reading, printing, comparing (RFC 3261 19.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.sip.uri import MAX_URI, NameAddr, Uri

LEGAL = [
    "sip:alice@atlanta.com",
    "sip:alice:secretword@atlanta.com;transport=tcp",
    "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
    "sip:+1-212-555-1212:1234@gateway.com;user=phone",
    "sip:alice@192.0.2.4",
    "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
    "sip:alice;day=tuesday@atlanta.com",
    "sip:[2001:db8::10]:5070",
    "sip:bob@[::ffff:192.0.2.4];lr;maddr=10.0.0.1",
    "sip:user@host_with_underscore:5062",
    "sip:a?b/c&d=e+f$g,h@example.com",
    "tel:+358-555-1234567;postd=pp22",
    "tel:*72;phone-context=example.com",
    "mailto:alice@example.com",
    "urn:service:sos",
]

ILLEGAL = [
    "", "sip", "sip:", ":user@host", "sip:@host", "sip:user@", "sip:a@b@c", "sip:user@ho st", "sip:us er@host", "sip:u\r\n@h",
    "sip:u\x00@h", "sip:u\x7f@h", "sip:u@h:", "sip:u@h:99999", "sip:u@h:5o", "sip:u@h;;lr", "sip:u@h?a", "sip:u@h?=b",
    "sip:u@[::1", "sip:u@[::1%25eth0]", "sip:u@2001:db8::1", "sip:u@[2001:db8:::1]", "sip:u@[::1]x", "sip:%4@host",
    "sip:%zz@host", "sip:u@-host", "<sip:u@host>", '"A" <sip:u@host>', "tel:", "tel:hello", "tel:+", "1x:y",
]


@pytest.mark.parametrize("text", LEGAL)
def test_a_legal_uri_prints_as_it_was_read(text: str) -> None:
    assert str(Uri.parse(text)) == text
    assert Uri.parse(str(Uri.parse(text))) == Uri.parse(text)


@pytest.mark.parametrize("text", ILLEGAL)
def test_an_illegal_uri_is_refused(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        Uri.parse(text)
    assert caught.value.status == 400


def test_a_uri_longer_than_the_limit_is_answered_with_414() -> None:
    with pytest.raises(ParseError) as caught:
        Uri.parse("sip:" + "a" * MAX_URI + "@host")
    assert caught.value.status == 414


def test_the_parts_of_a_sip_uri() -> None:
    uri = Uri.parse("SIPS:alice;x=1:pw@Example.COM:5061;transport=TCP;lr;maddr=10.0.0.1?Subject=hi&a=")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == ("sips", "alice;x=1", "pw", "Example.COM", 5061)
    assert uri.params == (("transport", "TCP"), ("lr", None), ("maddr", "10.0.0.1"))
    assert uri.headers == (("Subject", "hi"), ("a", ""))
    assert uri.transport == "tcp"
    assert uri.is_loose
    assert uri.param("LR") == ""
    assert uri.param("ttl") is None
    assert uri.has_param("Maddr")


def test_tel_and_unknown_schemes() -> None:
    tel = Uri.parse("tel:+49-30-1234;ext=5")
    assert (tel.user, tel.host, tel.param("ext")) == ("+49-30-1234", "", "5")
    other = Uri.parse("Soap.Beep://192.0.2.103:3002")
    assert (other.scheme, other.user, other.host) == ("soap.beep", "//192.0.2.103:3002", "")


def test_hostname_has_no_brackets() -> None:
    assert Uri.parse("sip:[2001:db8::10]").hostname == "2001:db8::10"
    assert Uri.parse("sip:a.example").hostname == "a.example"


def test_one_semicolon_too_many_at_the_end_is_tolerated() -> None:
    assert Uri.parse("sip:a@b;lr;") == Uri.parse("sip:a@b;lr")
    with pytest.raises(ParseError):
        Uri.parse("sip:a@b;;")


def test_params_are_set_and_taken_away() -> None:
    uri = Uri.parse("sip:a@b;LR;x=1")
    assert str(uri.with_param("x", "2").with_param("ob")) == "sip:a@b;LR;x=2;ob"
    assert str(uri.without_params("lr", "X")) == "sip:a@b"
    assert str(uri.with_param("y", "a b;c")) == "sip:a@b;LR;x=1;y=a%20b%3Bc"


def test_sip_escapes_plain_text() -> None:
    assert str(Uri.sip("*72#", "example.com")) == "sip:*72%23@example.com"
    assert str(Uri.sip("a b@c", "::1", 5070, transport="tcp", lr=None)) == "sip:a%20b%40c@[::1]:5070;transport=tcp;lr"
    assert str(Uri.sip(None, "example.com")) == "sip:example.com"
    assert Uri.sip("Jörg", "x").user == "J%C3%B6rg"


@pytest.mark.parametrize(("host", "port"), [("", None), ("a b", None), ("a\r\nX: y", None), ("h", 70000), ("1::2::3", None)])
def test_sip_refuses_what_cannot_be_in_a_uri(host: str, port: int | None) -> None:
    with pytest.raises(ValueError):
        Uri.sip("u", host, port)


@pytest.mark.parametrize(("text", "number"), [
    ("sip:+4930123;npdi;rn=+4999@h;user=phone", "+4930123"), ("sip:%2B4930%3B1@h", "+4930;1"),
    ("tel:+4930123;ext=7", "+4930123"), ("sip:1001:pw@h", "1001"), ("sip:h", ""),
])  # fmt: skip
def test_a_number_is_the_user_without_its_parameters(text: str, number: str) -> None:
    assert Uri.parse(text).number == number


@pytest.mark.lengthy
@given(st.text(min_size=1, max_size=30))
def test_any_user_survives_the_wire(user: str) -> None:
    if any("\ud800" <= c <= "\udfff" for c in user):
        return
    assert Uri.parse(str(Uri.sip(user, "example.com"))).user_decoded == user


@given(st.text(alphabet="sipstel:@;?&=<>\"[]%,.0123456789ab \r\n\x00é", max_size=40))
def test_any_text_is_a_uri_that_prints_the_same_or_a_parse_error(text: str) -> None:
    for candidate in (text, "sip:" + text, "sip:a@" + text):
        try:
            uri = Uri.parse(candidate)
        except ParseError:
            continue
        assert Uri.parse(str(uri)) == uri


# RFC 3261 19.1.4, its own examples.
EQUAL = [
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    ("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
     "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"),
    ("sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
]
DIFFERENT = [
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    ("sip:a@b", "sips:a@b"),
    ("sip:a%40c@b", "sip:a%2Fc@b"),
    ("sip:a@b", "sip:a:pw@b"),
    ("sip:a@b", "sip:b"),
]


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equivalent(left: str, right: str) -> None:
    assert Uri.parse(left).equivalent(Uri.parse(right))
    assert Uri.parse(right).equivalent(Uri.parse(left))


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_not_equivalent(left: str, right: str) -> None:
    assert not Uri.parse(left).equivalent(Uri.parse(right))
    assert not Uri.parse(right).equivalent(Uri.parse(left))


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ("sip:a@b", "", "sip:a@b", None),
        ("sip:a@b;tag=1", "", "sip:a@b", "1"),
        ("sip:a;x=y@b ; tag = 1", "", "sip:a;x=y@b", "1"),
        ("<sip:a@b;lr>;tag=1", "", "sip:a@b;lr", "1"),
        ("Bob <sip:a@b>", "Bob", "sip:a@b", None),
        ("  Mr. Watson\t<sip:a@b> ; tag=x;y", "Mr. Watson", "sip:a@b", "x"),
        ('"A \\"q\\" \\\\ , <b>" <sip:a@b>;tag="t"', 'A "q" \\ , <b>', "sip:a@b", "t"),
        ('""<sip:a@b>', "", "sip:a@b", None),
        ("Zoë Groß <sip:a@b>", "Zoë Groß", "sip:a@b", None),
        ("<tel:+49301234>", "", "tel:+49301234", None),
    ],
)
def test_name_addr(text: str, display: str, uri: str, tag: str | None) -> None:
    address = NameAddr.parse(text)
    assert (address.display, str(address.uri), address.tag) == (display, uri, tag)
    assert NameAddr.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "<>", "<sip:a@b", '"A <sip:a@b>', '"A" sip:a@b', "A, B <sip:a@b>", "<sip:a@b> x", "sip:a@b?x=y", "sip:a@b,c",
        "< sip:a@b >", "<sip:a@b>;;x", "<sip:a@b>;t=\"", "<sip:a@b>;t=\"x\"y", "<sip:a@b>;t=a b", "<sip:a@b>;=1", "*",
    ],
)
def test_a_misspelt_address_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        NameAddr.parse(text)


def test_display_names_are_quoted_when_they_must_be() -> None:
    uri = Uri.parse("sip:a@b")
    assert str(NameAddr(uri, "Alice")) == "Alice <sip:a@b>"
    assert str(NameAddr(uri, "Alice Smith")) == "Alice Smith <sip:a@b>"
    assert str(NameAddr(uri, 'Smith, "A"')) == '"Smith, \\"A\\"" <sip:a@b>'
    assert str(NameAddr(uri, "Zoë")) == '"Zoë" <sip:a@b>'
    assert str(NameAddr(uri)) == "<sip:a@b>"


def test_tags_are_set_and_taken_away() -> None:
    address = NameAddr.parse("<sip:a@b>;x=1")
    assert str(address.with_tag("t")) == "<sip:a@b>;x=1;tag=t"
    assert address.with_tag("t").with_tag("u").tag == "u"
    assert address.with_tag("t").without_tag() == address
    assert address.param("X") == "1"


@given(st.text(max_size=30))
def test_any_display_survives_the_wire(display: str) -> None:
    if "\r" in display or "\n" in display:
        return  # Headers refuse these
    address = NameAddr(Uri.parse("sip:a@b"), display)
    assert NameAddr.parse(str(address)) == address
