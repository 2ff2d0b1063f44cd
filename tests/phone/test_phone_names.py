"""Who is it that calls? Numbers are compared however they are written, addresses as addresses, and quickly."""

from __future__ import annotations

import timeit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.phone.dialplan import canonical_number
from offhook.phone.model import Contact, Party
from offhook.phone.names import Names
from offhook.sip.uri import Uri


@pytest.mark.parametrize(("party", "number"), [
    (Party("sip:1001@h"), "1001"), (Party("sip:+49301234567;npdi;rn=+4999@h"), "+49301234567"),
    (Party("tel:+49-30-1"), "+49-30-1"),
    (Party("sip:anonymous@anonymous.invalid", asserted="sip:+4930123@h"), "+4930123"), (Party("sip:j%C3%B6rg@h"), "jörg"),
    (Party("sip:h"), ""), (Party(""), ""), (Party("sip:a@h", asserted='"B: <C" <tel:5>'), "5"),
    (Party("sip:%FF@h"), "%FF"),
])  # fmt: skip
def test_the_number_of_somebody_is_what_is_looked_up(party: Party, number: str) -> None:
    assert party.number == number
    assert msgspec.json.decode(msgspec.json.encode(party))["number"] == number
    changed = msgspec.structs.replace(Party("sip:9@h"), uri=party.uri, asserted=party.asserted)
    assert changed.number == number, "it follows the others"


def names(*numbers: str, country: str = "") -> Names:
    found = Names()
    found.country_code = country
    for place, number in enumerate(numbers):
        found.add(Contact(id=f"ct_{place}", name=number, number=number))
    return found


def caller(index: Names, uri: str, prefix: str = "") -> str:
    found = index.find(Uri.parse(uri), prefix)
    return found.name if found else ""


@pytest.mark.parametrize(("text", "country", "digits"), [
    ("+49 (0)30 123-456", "", "4930123456"), ("0049 30/123456", "", "4930123456"), ("030 123456", "", "030123456"),
    ("0049 (0)30 123", "", "4930123"), ("+39 (0)6 123", "", "3906123"),
    ("030 123456", "49", "4930123456"), ("06 123456", "39", "3906123456"), ("1001", "49", "1001"), ("*97#", "49", "*97#"),
    ("alice", "49", ""), ("", "49", ""), ("0", "49", "0"), ("+1 (212) 555-1234", "1", "12125551234"), ("00", "", ""),
    ("\u202a+49\u00a030\u2013123456\u202c", "", "4930123456"),
])
def test_a_number_has_one_form(text: str, country: str, digits: str) -> None:
    assert canonical_number(text, country) == digits


@pytest.mark.parametrize(("contact", "uri", "country", "prefix"), [
    ("1001", "sip:1001@pbx", "", ""),
    ("+49 30 123456", "sip:004930123456@pbx", "", ""),
    ("+49 30 123456", "sip:%2B4930123456@pbx", "", ""),
    ("+49 30 123456", "sip:+4930123456;phone-context=x@pbx;user=phone", "", ""),
    ("+49 30 123456", "tel:+49-30-123456", "", ""),
    ("030 123456", "sip:+4930123456@pbx", "49", ""),
    ("+49 30 123456", "sip:030123456@pbx", "49", ""),
    ("(212) 555-1234", "sip:+12125551234@pbx", "", ""),
    ("+1 212 555 1234", "sip:2125551234@pbx", "1", ""),
    ("030 123456", "sip:0030123456@pbx", "", "0"),
    ("30 123456", "sip:030123456@pbx", "", ""),
    ("bob@example.org", "sip:bob@EXAMPLE.org:5070;transport=tcp", "", ""),
    ("bob@example.org:5070", "sip:bob@example.org", "", ""),
    ("sip:bob@[2001:db8::1]:5070", "sip:bob@[2001:db8::1]", "", ""),
    ("sip:bob@example.org;x=y", "sip:bob@example.org", "", ""),
    ("sip:1001@pbx.example", "sip:1001@10.0.0.1", "", ""),
    ("Alice", "sip:alice@pbx", "", ""),
])
def test_a_contact_is_found(contact: str, uri: str, country: str, prefix: str) -> None:
    assert caller(names("77", contact, country=country), uri, prefix) == contact


@pytest.mark.parametrize(("contact", "uri"), [
    ("123", "sip:0123@pbx"),  # three digits are an extension, not the end of a number
    ("1234", "sip:56781234@pbx"),  # four digits more are somebody else
    ("5551001", "sip:1001@pbx"),  # an extension is not the end of a contact's number
    ("bob@example.org", "sip:bob@example.com"),
    ("bob", "sip:bobby@pbx"),
    ("1001", "sip:pbx.example"),
    ("", "sip:1001@pbx"),
])
def test_somebody_else_is_not_found(contact: str, uri: str) -> None:
    assert caller(names(contact), uri) == ""


def test_any_of_three_numbers_and_the_exact_one_first() -> None:
    index = names("5551001", "1001")
    index.add(Contact(id="ct_x", name="Ada", number="1", phone="2", mobile="+3 333 333"))
    assert [caller(index, f"sip:{user}@h") for user in ("1", "2", "3333333", "5551001", "1001")] == [
        "Ada", "Ada", "Ada", "5551001", "1001"
    ]  # fmt: skip


def test_a_number_that_begins_as_the_prefix_does_is_somebodys_own() -> None:
    assert caller(names("9100", "100"), "sip:9100@h", "9") == "9100"
    assert caller(names("100"), "sip:9100@h", "9") == "100"


def test_ones_own_contact_goes_before_the_directorys() -> None:
    index = names()
    for number, source in enumerate(("directory", "", "directory")):
        index.add(Contact(id=f"c{number}", name=f"{number}", number="1001", source=source))
    assert caller(index, "sip:1001@h") == "1"
    index.remove(Contact(id="c1", name="1", number="1001"))
    assert caller(index, "sip:1001@h") == "0"


def test_the_far_ends_own_name_stays() -> None:
    index = names("1001")
    uri = Uri.parse("sip:1001@h")
    assert index.known(Party("sip:1001@h", "Spam", "", "Spam"), uri) == Party("sip:1001@h", "Spam", "", "Spam", "1001")
    assert index.known(Party("sip:1001@h"), uri) == Party("sip:1001@h", "1001", "", "", "1001")


def test_a_hidden_caller_is_known_by_what_the_network_vouches_for() -> None:
    index, hidden = names("1001"), Uri.parse("sip:anonymous@anonymous.invalid")
    assert index.known(Party(str(hidden), "", '"X" <tel:1001>'), hidden).contact == "1001"
    assert index.known(Party(str(hidden), "", "no address, <"), hidden).contact == ""


NUMBERS = st.from_regex(r"(\+|00|0)?[1-9][0-9]{0,12}", fullmatch=True)


@pytest.mark.lengthy
@given(st.lists(NUMBERS, max_size=6), st.sampled_from(["", "49", "39", "1"]), st.data())
def test_what_is_there_is_found_and_what_is_removed_is_not(numbers: list[str], country: str, data: st.DataObject) -> None:
    index = names(*numbers, country=country)
    for number in numbers:
        found = caller(index, str(Uri.sip(number, "h")))
        assert canonical_number(found, country) == canonical_number(number, country)
    for place, number in enumerate(numbers):
        index.remove(Contact(id=f"ct_{place}", name=number, number=number))
    assert index._found == {}


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_may_be_a_number(one: str, other: str) -> None:
    index = names(one, country="49")
    index.find(Uri("sip", other, "h"))
    index.remove(Contact(id="ct_0", name=one, number=one))
    assert index._found == {}


@pytest.mark.lengthy
def test_ten_thousand_contacts_cost_a_call_no_more_than_ten() -> None:
    uris = [Uri.parse("sip:+49300000005@pbx"), Uri.parse("sip:0301234567890@pbx")]  # one that is there, one that is not

    def cost(contacts: int) -> float:
        """Return the seconds for one look-up (measured: 3 µs)."""
        index = names(*(f"+49 30 {number:07}" for number in range(contacts)), country="49")
        ask = lambda: [index.known(Party("x"), uri) for uri in uris]  # noqa: E731
        # The best of several, by the fine clock: Windows counts the processor's time in steps of 16 ms.
        return min(timeit.repeat(ask, number=100, repeat=20)) / 200

    assert cost(10_000) < 4 * cost(10)
