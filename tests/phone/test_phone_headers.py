"""Headers that clients add, those of the far end that are shown, and User-to-User (RFC 7433) in every message of a call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import InvalidArgument
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.headers import MAX_USER_TO_USER, PROTOCOL, check_headers, shown_headers, user_to_user, with_user_to_user
from offhook.phone.model import HeaderList
from offhook.phone.settings import USUAL_HEADERS, PhoneSettings
from offhook.sip.headers import Headers
from offhook.testing.phones import over, rings, settle, talk, two_phones
from offhook.testing.wire import Wire

UUI = "48656c6c6f;encoding=hex"


def lines(wire: Wire, start: str) -> list[str]:
    """Return the header lines of the first message that begins like this."""
    found = next(sent.data for sent in wire.sent if sent.line.startswith(start))
    return found.decode().partition("\r\n\r\n")[0].split("\r\n")[1:]


@pytest.mark.parametrize("name", sorted(PROTOCOL))
def test_what_is_the_protocols_own_nobody_else_sets(name: str) -> None:
    for spelling in (name, name.upper(), name.title()):
        with pytest.raises(InvalidArgument, match="set by the phone itself"):
            check_headers(((spelling, "1"),), (name,))


@pytest.mark.parametrize(("name", "message"), [
    ("P-Charging-Vector", "sent_headers in .phone."), ("Date", "sent_headers"), ("User-To-User", "user_to_user"),
    *((name, "not a header name") for name in ("", "X-A B", "X-A:", "X-A\r\nVia", "X-" + "a" * 63, "X-Ü")),
])
def test_what_is_not_allowed_says_what_to_do(name: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        check_headers((("X-Fine", "1"), (name, "1")), USUAL_HEADERS)


@pytest.mark.parametrize("value", ["a\r\nVia: SIP/2.0/UDP evil", "a\nb", "a\rb", "\0", "\x7f", "x" * 1025])
def test_a_value_stays_on_its_line(value: str) -> None:
    with pytest.raises(InvalidArgument, match="the value of X-A"):
        check_headers((("X-A", value),), ())
    with pytest.raises(InvalidArgument):
        with_user_to_user((), value)


def test_what_is_allowed() -> None:
    headers = (("X-Ticket", "4711"), ("x-y", ""), ("SUBJECT", "lunch ☕"), ("History-Info", "<sip:a@b>"))
    check_headers(headers, ("Subject", "history-INFO"))


@pytest.mark.parametrize("text", [UUI, "00", '"quoted; \\" text"', "a;purpose=isdn-uui;content=isdn-uui", '"x" ; app="a b"'])
def test_user_to_user_as_the_rfc_writes_it(text: str) -> None:
    assert with_user_to_user((("X-A", "1"),), text) == (("X-A", "1"), ("User-to-User", text))


@pytest.mark.parametrize("text", ["two words", "a,b", ";x", '"open', "a;", "a;=b", "x" * (MAX_USER_TO_USER + 1), "ü"])
def test_what_is_no_user_to_user(text: str) -> None:
    with pytest.raises(InvalidArgument, match="RFC 7433"):
        with_user_to_user((), text)


def test_too_much_of_theirs_is_nothing() -> None:
    assert user_to_user(Headers([("User-to-User", "a"), ("user-to-user", "b;encoding=hex")]).items()) == "a, b;encoding=hex"
    assert user_to_user((("User-to-User", "a" * (MAX_USER_TO_USER + 1)),)) == ""


HEADERS: HeaderList = (("X-Ticket", "1"), ("User-Agent", "u"), ("Authorization", "secret"), ("X-ticket", "2"), ("Xylem", "3"))


@pytest.mark.parametrize(("wanted", "shown"), [
    (("*",), ("X-Ticket", "User-Agent", "X-ticket", "Xylem")), (("x-*",), ("X-Ticket", "X-ticket")), ((), ()),
    (("user-agent", "X-TICKET"), ("X-Ticket", "User-Agent", "X-ticket")), (("authorization", "Proxy-Authorization"), ()),
])
def test_which_are_shown(wanted: tuple[str, ...], shown: tuple[str, ...]) -> None:
    assert tuple(name for name, _ in shown_headers(HEADERS, wanted)) == shown


texts = st.text(max_size=20)


@pytest.mark.lengthy
@given(st.lists(st.tuples(texts, texts), max_size=100).map(tuple), st.sampled_from([("*",), ("x*", "a")]))
def test_anything_may_come(headers: HeaderList, wanted: tuple[str, ...]) -> None:
    assert len(shown_headers(headers, wanted)) <= 64
    user_to_user(headers)


def test_a_call_shows_only_what_is_wanted_and_still_obeys_the_rest() -> None:
    settings = PhoneSettings(shown_headers=("X-*",), auto_answer="header")
    alice, bob = two_phones(Wire(), other=settings)
    alice.dial(bob, headers=(("X-Ticket", "4711"), ("Call-Info", "<x>;answer-after=0")))
    alice.wire.run_until(lambda: bool(bob.calls) and bob.only.is_connected, 60)
    assert bob.of(e.CallIncoming)[0].call.headers == (("X-Ticket", "4711"),)


def test_a_configured_header_may_be_sent_and_another_refuses_the_whole_command() -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(sent_headers=("History-Info",)))
    refused = alice.refuses(c.Dial(to=f"sip:offhook@{bob.host}", headers=(("History-Info", "<sip:a@b>"), ("Subject", "x"))))
    assert "Subject is not allowed" in str(refused)
    alice.dial(bob, headers=(("History-Info", "<sip:a@b>"),))
    alice.wire.run_until(rings(bob))
    assert "History-Info: <sip:a@b>" in lines(alice.wire, "INVITE")


def test_data_goes_with_the_call_the_answer_and_the_end() -> None:
    wire = Wire()
    alice, bob = two_phones(wire)
    alice.dial(bob, user_to_user="01;encoding=hex")
    wire.run_until(rings(bob))
    assert bob.of(e.CallIncoming)[0].call.user_to_user == "01;encoding=hex"
    bob.execute(c.Answer(user_to_user="02;encoding=hex", headers=(("X-Desk", "7"),)))
    wire.run_until(lambda: alice.only.is_connected, 60)
    assert alice.of(e.CallActive)[0].call.user_to_user == "02;encoding=hex"
    assert "X-Desk: 7" in lines(wire, "SIP/2.0 200")
    settle(wire, 1)
    bob.execute(c.Hangup(user_to_user="03;encoding=hex"))
    over(alice, bob)
    assert "User-to-User: 03;encoding=hex" in lines(wire, "BYE")
    assert alice.of(e.CallEnded)[0].call.user_to_user == "03;encoding=hex"
    assert bob.of(e.CallEnded)[0].call.user_to_user == "01;encoding=hex", "what it got itself"


def test_data_goes_with_a_refusal_and_with_giving_up() -> None:
    wire = Wire()
    alice, bob = two_phones(wire)
    alice.dial(bob)
    wire.run_until(rings(bob))
    bob.execute(c.Reject(user_to_user=UUI, headers=(("X-Why", "lunch"),)))
    over(alice, bob)
    assert alice.of(e.CallEnded)[0].call.user_to_user == UUI
    assert "X-Why: lunch" in lines(wire, "SIP/2.0 486")
    alice.dial(bob)
    wire.run_until(rings(bob))
    settle(wire, 1)
    alice.execute(c.Hangup(user_to_user=UUI))
    over(alice, bob)
    assert bob.of(e.CallEnded)[-1].call.user_to_user == UUI


@pytest.mark.parametrize("command", [
    c.Hangup(headers=(("Via", "x"),)), c.Hangup(user_to_user="a b"), c.Hangup(headers=(("X-A", "\r\n"),)),
])
def test_a_bad_word_leaves_the_call_as_it_is(command: c.Command) -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    assert isinstance(alice.refuses(command), InvalidArgument)
    assert alice.only.is_connected


@pytest.mark.parametrize("kind", [c.Answer, c.Reject])
def test_a_bad_word_leaves_it_ringing(kind: type[c.Answer | c.Reject]) -> None:
    alice, bob = two_phones(Wire())
    alice.dial(bob)
    alice.wire.run_until(rings(bob))
    settle(alice.wire, 1)
    for fields in ({"headers": (("Contact", "<sip:evil@x>"),)}, {"user_to_user": "a\r\nVia: x"}):
        assert isinstance(bob.refuses(kind(**fields)), InvalidArgument)
    assert rings(bob)()
