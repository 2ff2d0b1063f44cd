"""A text and a watch that are sent on to another address."""

from __future__ import annotations

import pytest

from offhook.sip import events
from offhook.sip.events import Body
from offhook.sip.redirects import MAX_REDIRECTS
from offhook.sip.uri import Uri
from offhook.testing.endpoints import Peer, add_endpoint
from offhook.testing.wire import Node, Wire

PEER = Uri.sip("peer", "10.0.0.9")
HELLO = Body("text/plain", b"hello")
METHODS = ("MESSAGE", "SUBSCRIBE")


def asking(method: str) -> tuple[Wire, Node, Peer, Peer]:
    """Alice asks the first one, by whichever method."""
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", password="secret")
    first, second = Peer(wire, "first", "10.0.0.9"), Peer(wire, "second", "10.0.0.8")
    if method == "SUBSCRIBE":
        alice.execute(events.Subscribe("s", "alice", PEER, "presence", "application/pidf+xml"))
    else:
        alice.execute(events.SendRequest("r", "alice", method, PEER, HELLO))  # type: ignore[arg-type]  # one of METHODS, or OPTIONS
    wire.run(0.1)
    return wire, alice, first, second


@pytest.mark.parametrize("method", METHODS)
def test_who_is_sent_on_asks_there(method: str) -> None:
    wire, alice, first, second = asking(method)
    (asked,) = first.requests(method)
    first.answer(asked, 302, tag="r", contact="<sip:nobody@10.0.0.7>;q=0.1, <sip:two@10.0.0.8>")
    wire.run(0.2)
    (again,) = second.requests(method)
    assert str(again.uri) == "sip:two@10.0.0.8"
    # RFC 3261 8.1.3.4: the same To, From and Call-ID
    assert (again.to, again.from_, again.call_id) == (asked.to, asked.from_, asked.call_id)
    assert again.cseq.number == asked.cseq.number + 1
    assert again.body == asked.body
    second.answer(again, 200, tag="t", contact="<sip:two@10.0.0.8>")
    wire.run(0.3)
    assert [done.status for done in alice.of(events.RequestDone)] == ([200] if method == "MESSAGE" else [])
    assert not alice.of(events.SubscriptionEnded)


@pytest.mark.parametrize("method", METHODS)
def test_the_next_address_is_asked_where_one_refuses(method: str) -> None:
    wire, _, first, second = asking(method)
    first.answer(first.requests(method)[0], 300, tag="r", contact="<sip:two@10.0.0.8>, <sip:three@10.0.0.9>")
    wire.run(0.2)
    second.answer(second.requests(method)[0], 404, tag="s")
    wire.run(0.3)
    assert str(first.requests(method)[-1].uri) == "sip:three@10.0.0.9"


@pytest.mark.parametrize("method", METHODS)
def test_a_proxy_that_is_named_is_gone_by(method: str) -> None:
    wire, _, first, second = asking(method)
    first.answer(first.requests(method)[0], 305, tag="r", contact="<sip:10.0.0.8>")
    wire.run(0.2)
    (again,) = second.requests(method)
    assert (str(again.uri), again.headers.get("Route")) == ("sip:peer@10.0.0.9", "<sip:10.0.0.8;lr>")


@pytest.mark.parametrize("method", METHODS)
def test_who_sends_round_and_round_is_left(method: str) -> None:
    wire, alice, first, _ = asking(method)
    for number in range(2 * MAX_REDIRECTS):
        asked = first.requests(method)
        first.answer(asked[-1], 302, tag="r", contact=f"<sip:{number}@10.0.0.9>, <sip:peer@10.0.0.9>")
        wire.run(wire.now + 0.1)
    assert len(first.requests(method)) == MAX_REDIRECTS + 1
    assert [end.status for end in (*alice.of(events.RequestDone), *alice.of(events.SubscriptionEnded))] == [302]


@pytest.mark.parametrize("method", METHODS)
def test_who_is_not_a_server_of_ours_gets_no_password(method: str) -> None:
    wire, alice, first, second = asking(method)
    first.answer(first.requests(method)[0], 302, tag="r", contact="<sip:two@10.0.0.8>")
    wire.run(0.2)
    challenge = (("WWW-Authenticate", 'Digest realm="x", nonce="y"'),)
    second.answer(second.requests(method)[0], 401, tag="s", headers=challenge)
    wire.run(0.3)
    assert len(second.requests(method)) == 1
    assert alice.of(events.Refused)


def test_a_watch_that_begins_anew_begins_where_it_began() -> None:
    wire, alice, first, second = asking("SUBSCRIBE")
    first.answer(first.requests("SUBSCRIBE")[0], 302, tag="r", contact="<sip:two@10.0.0.8>")
    wire.run(0.2)
    second.answer(second.requests("SUBSCRIBE")[0], 480, tag="s")
    wire.run_until(lambda: len(first.requests("SUBSCRIBE")) == 2)
    assert str(first.requests("SUBSCRIBE")[-1].uri) == "sip:peer@10.0.0.9"
    assert alice.of(events.SubscriptionEnded)[0].retry_in is not None


def test_a_redirection_is_an_answer_to_options() -> None:
    wire, alice, first, second = asking("OPTIONS")
    first.answer(first.requests("OPTIONS")[0], 302, tag="r", contact="<sip:two@10.0.0.8>")
    wire.run(0.2)
    assert [done.status for done in alice.of(events.RequestDone)] == [302]
    assert not second.requests("OPTIONS")
