"""Subscriptions, watchers and publications in virtual time: refresh, loss, refusals, ends, and what is out of place."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidState, NotFound
from offhook.sip import events
from offhook.sip.events import Body, Identity
from offhook.sip.message import Request
from offhook.sip.notifier import MOST
from offhook.sip.subscription import TABLE, Input, State
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.endpoints import Peer, add_endpoint
from offhook.testing.wire import Node, Weather, Wire

BOB = Uri.sip("bob", "10.0.0.2")
PEER = Uri.sip("peer", "10.0.0.9")
BODY = Body("application/pidf+xml", b"<presence/>")


def watched(wire: Wire) -> tuple[Node, Node]:
    """Alice subscribes to bob, who lets everybody."""
    alice, bob = add_endpoint(wire, "alice", "10.0.0.1"), add_endpoint(wire, "bob", "10.0.0.2")
    bob.execute(events.SetPolicy(packages=("presence",)))
    answered = 0

    def answer() -> None:
        nonlocal answered
        for event in bob.outputs[answered:]:
            if isinstance(event, events.WatcherAsks):
                bob.execute(events.AcceptWatcher(event.watcher, event.expires))
                bob.execute(events.TellWatcher(event.watcher, BODY))
            elif isinstance(event, events.WatcherRefreshed):
                bob.execute(events.TellWatcher(event.watcher, BODY, "timeout" if event.ends else ""))
        answered = len(bob.outputs)
        wire.at(wire.now + 0.25, answer)
    wire.at(0.05, answer)
    alice.execute(events.Subscribe("s", "alice", BOB, "presence", BODY.content_type, 600))
    return alice, bob


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_a_subscription_lives_on_and_ends_when_asked(seed: int, loss: float) -> None:
    wire = Wire(seed, Weather(loss=loss, duplicate=loss / 2, jitter=0.1))
    alice, bob = watched(wire)
    wire.run_until(lambda: bool(alice.of(events.SubscriptionNotified)), 120)
    assert alice.of(events.SubscriptionNotified)[0] == events.SubscriptionNotified("s", "active", BODY)
    wire.run(wire.now + 3000)
    assert not [event for event in alice.of(events.SubscriptionEnded) if event.retry_in is None]
    assert loss or len(bob.of(events.WatcherRefreshed)) >= 5
    bob.execute(events.TellWatcher(bob.of(events.WatcherAsks)[-1].watcher, Body(BODY.content_type, b"news")))
    wire.run(wire.now + 30)
    assert alice.of(events.SubscriptionNotified)[-1].body in (Body(BODY.content_type, b"news"), BODY)
    alice.execute(events.Unsubscribe("s"))
    wire.run(wire.now + 200)
    assert alice.of(events.SubscriptionEnded)[-1].retry_in is None
    with pytest.raises(NotFound):
        alice.execute(events.Unsubscribe("s"))


def test_what_is_refused() -> None:
    alice = add_endpoint(Wire(), "alice", "10.0.0.1")
    alice.execute(events.Subscribe("s", "alice", BOB, "presence", "x/y"))
    with pytest.raises(InvalidState):
        alice.execute(events.Subscribe("s", "alice", BOB, "presence", "x/y"))
    for command in (events.Subscribe("t", "nobody", BOB, "presence", "x/y"), events.Unsubscribe("x"),
                    events.RenewSubscription("x"), events.TellWatcher("x", None), events.Publish("nobody", "presence", None)):
        with pytest.raises(NotFound):
            alice.execute(command)


def test_who_has_become_another_user_subscribes_as_that_one() -> None:
    """The server would refuse a refresh for which another user answers, and there would be no subscription any more."""
    wire, alice, peer, first = asked()
    peer.answer(first, 200, tag="t", headers=(("Expires", "600"),))
    wire.run(wire.now + 0.2)
    notify(wire, alice, peer, first, "active;expires=600", 1, body=BODY)
    alice.execute(events.SetIdentity(Identity("alice", NameAddr(Uri.sip("carol", "10.0.0.1")), contact_user="carol")))
    assert notify(wire, alice, peer, first, "active;expires=600", 2, body=BODY) == 200
    wire.run_until(lambda: len(peer.requests("SUBSCRIBE")) > 1, 600)
    second = peer.requests("SUBSCRIBE")[-1]
    assert (second.to.tag, second.from_.uri.user, second.contacts[0].uri.user) == (None, "carol", "carol")
    peer.answer(second, 200, tag="u", headers=(("Expires", "600"),))
    told = len(alice.of(events.SubscriptionNotified))
    assert notify(wire, alice, peer, second, "active;expires=600", 1, "u", body=BODY) == 200
    assert notify(wire, alice, peer, first, "active;expires=600", 3, body=BODY) == 481
    assert len(alice.of(events.SubscriptionNotified)) == told + 1
    assert not alice.of(events.SubscriptionEnded)


def test_a_name_is_free_while_its_former_subscription_ends() -> None:
    """The last NOTIFY of that one may never come; what it says, and its end, are not told of the new one."""
    wire, alice, peer, first = asked()
    peer.answer(first, 200, tag="t", headers=(("Expires", "600"),))
    wire.run(wire.now + 0.2)
    notify(wire, alice, peer, first, "active;expires=600", 1, body=BODY)
    alice.execute(events.Unsubscribe("s"))
    alice.execute(events.Subscribe("s", "alice", PEER, "presence", BODY.content_type, 600))
    wire.run(wire.now + 0.2)
    second = peer.requests("SUBSCRIBE")[-1]
    assert second.call_id != first.call_id
    told = len(alice.of(events.SubscriptionNotified))
    assert notify(wire, alice, peer, first, "terminated;reason=timeout", 2, body=Body(BODY.content_type, b"old")) == 200
    assert len(alice.of(events.SubscriptionNotified)) == told
    assert not alice.of(events.SubscriptionEnded)
    notify(wire, alice, peer, second, "active;expires=600", 1, "u", body=BODY)
    assert len(alice.of(events.SubscriptionNotified)) == told + 1


def test_who_is_not_served_and_who_asks_for_too_little() -> None:
    wire = Wire(1)
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")

    def ask(event: str, expires: int, number: int, tag: str = "") -> int:
        to = f"To: <sip:bob@10.0.0.2>{';tag=' + tag if tag else ''}"
        peer.send("\r\n".join([
            "SUBSCRIBE sip:bob@10.0.0.2 SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{number}", "Max-Forwards: 70",
            "From: <sip:peer@10.0.0.9>;tag=here", to, f"Call-ID: {number}", "CSeq: 1 SUBSCRIBE",
            f"Event: {event}", f"Expires: {expires}", "Contact: <sip:peer@10.0.0.9:5060>", "", ""]).encode(), bob)
        wire.run(wire.now + 0.2)
        return peer.responses()[-1].status
    assert ask("presence", 600, 1) == 405
    bob.execute(events.SetPolicy(packages=("presence",)))
    assert ask("presence", 30, 2) == 423
    assert ask("dialog", 600, 3) == 489
    assert peer.responses()[-1].headers.get("Allow-Events") == "presence"
    assert ask("presence", 600, 4, "nobody") == 481
    ask("presence", 600, 5)
    (asks,) = bob.of(events.WatcherAsks)
    assert not asks.trusted
    bob.execute(events.RefuseWatcher(asks.watcher))
    wire.run(wire.now + 1)
    assert peer.responses()[-1].status == 403


def watching(number: int = 1, to_tag: str = "", cseq: int = 1, call: str = "one") -> bytes:
    """A SUBSCRIBE of the peer to bob."""
    to = f"To: <sip:bob@10.0.0.2>{';tag=' + to_tag if to_tag else ''}"
    return "\r\n".join([
        "SUBSCRIBE sip:bob@10.0.0.2 SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{number}", "Max-Forwards: 70",
        "From: <sip:peer@10.0.0.9>;tag=here", to, f"Call-ID: {call}", f"CSeq: {cseq} SUBSCRIBE", "Event: presence",
        "Expires: 600", "Contact: <sip:peer@10.0.0.9:5060>", "", ""]).encode()


def watcher() -> tuple[Wire, Node, Peer, str, Request]:
    """The peer watches bob; returns its id there and the first NOTIFY."""
    wire = Wire(1)
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")
    bob.execute(events.SetPolicy(packages=("presence",)))
    peer.send(watching(), bob)
    wire.run(0.1)
    name = bob.of(events.WatcherAsks)[0].watcher
    bob.execute(events.AcceptWatcher(name, 600))
    bob.execute(events.TellWatcher(name, BODY))
    wire.run(0.2)
    return wire, bob, peer, name, peer.requests("NOTIFY")[0]


def test_a_watcher_that_does_not_ask_again_is_told_that_it_is_over() -> None:
    wire, bob, peer, name, first = watcher()
    assert first.headers.get("Subscription-State") == "active;expires=600"
    peer.answer(first, 200)
    wire.run(599)
    assert not bob.of(events.WatcherGone)
    wire.run(601)
    last = peer.requests("NOTIFY")[-1]
    assert (last.headers.get("Subscription-State"), last.body) == ("terminated;reason=timeout", b"")
    assert bob.of(events.WatcherGone) == [events.WatcherGone(name)]
    peer.answer(last, 200)
    wire.run(700)
    assert not any(bob.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


@pytest.mark.parametrize(("status", "gone"), [(481, True), (500, False)])
def test_a_watcher_that_knows_nothing_of_it_is_told_no_more(status: int, gone: bool) -> None:
    wire, bob, peer, name, first = watcher()
    peer.answer(first, status)
    wire.run(0.3)
    assert bob.of(events.WatcherGone) == [events.WatcherGone(name)] * gone
    tag = first.from_.tag or ""
    peer.send(watching(2, tag, 2), bob)
    wire.run(0.4)
    assert bool(bob.of(events.WatcherRefreshed)) is not gone
    assert peer.responses("SUBSCRIBE")[-1].status == (481 if gone else 200)


def test_a_watcher_that_asks_again_out_of_order_is_refused() -> None:
    wire, bob, peer, _, first = watcher()
    peer.answer(first, 200)
    for number, cseq, status in ((2, 5, 200), (3, 4, 500)):
        peer.send(watching(number, first.from_.tag or "", cseq), bob)
        wire.run(wire.now + 0.1)
        assert peer.responses("SUBSCRIBE")[-1].status == status
    assert len(bob.of(events.WatcherRefreshed)) == 1
    wire.run(wire.now + 599)
    assert not bob.of(events.WatcherGone)


def test_there_are_only_so_many_watchers() -> None:
    wire = Wire(1)
    bob, peer = add_endpoint(wire, "bob", "10.0.0.2"), Peer(wire, "peer", "10.0.0.9")
    bob.execute(events.SetPolicy(packages=("presence",)))
    for number in range(MOST + 1):
        peer.send(watching(number, call=f"c{number}"), bob)
    wire.run(0.1)
    assert len(bob.of(events.WatcherAsks)) == MOST
    refused = peer.responses()[-1]
    assert (refused.status, refused.headers.get("Retry-After")) == (503, "600")
    bob.execute(events.RefuseWatcher(bob.of(events.WatcherAsks)[0].watcher))
    peer.send(watching(MOST + 1, call="new"), bob)
    wire.run(0.2)
    assert len(bob.of(events.WatcherAsks)) == MOST + 1


# --- against a far end that a test plays by hand


def asked(expires: int = 600) -> tuple[Wire, Node, Peer, Request]:
    wire = Wire(4)
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Subscribe("s", "alice", PEER, "presence", BODY.content_type, expires))
    wire.run(0.2)
    return wire, alice, peer, peer.requests("SUBSCRIBE")[-1]


def notify(wire: Wire, alice: Node, peer: Peer, subscribe: Request, state: str, number: int, tag: str = "t",
           event: str = "presence", body: Body | None = None) -> int:
    lines = [
        f"NOTIFY {subscribe.contacts[0].uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{subscribe.call_id}{tag}{number}",
        "Max-Forwards: 70", f"From: {subscribe.to};tag={tag}", f"To: {subscribe.from_}", f"Call-ID: {subscribe.call_id}",
        f"CSeq: {number} NOTIFY", f"Event: {event}", "Contact: <sip:peer@10.0.0.9:5060>",
        *([f"Subscription-State: {state}"] if state else []), *([f"Content-Type: {body.content_type}"] if body else []),
    ]
    peer.send(("\r\n".join(lines) + "\r\n\r\n").encode() + (body.data if body else b""), alice)
    wire.run(wire.now + 0.2)
    return peer.responses("NOTIFY")[-1].status


def test_a_notify_may_come_before_the_answer_and_forks_are_refused() -> None:
    wire, alice, peer, subscribe = asked()
    assert notify(wire, alice, peer, subscribe, "active;expires=600", 1, body=BODY) == 200
    assert notify(wire, alice, peer, subscribe, "active", 1, "other") == 481
    assert notify(wire, alice, peer, subscribe, "active", 2, event="dialog") == 489
    assert notify(wire, alice, peer, subscribe, "", 3, body=BODY) == 200
    peer.answer(subscribe, 200, tag="t", contact="<sip:peer@10.0.0.9:5060>", headers=(("Expires", "600"),))
    wire.run(wire.now + 0.2)
    assert alice.of(events.SubscriptionNotified) == [events.SubscriptionNotified("s", "active", BODY)] * 2
    wire.run(wire.now + 560)
    assert peer.requests("SUBSCRIBE")[-1].to.tag == "t", "the refresh goes into the dialog"


@pytest.mark.parametrize(("state", "wait"), [
    ("terminated;reason=rejected", None), ("terminated;reason=noresource", None), ("terminated;reason=invariant", None),
    ("terminated;reason=deactivated", 0.0), ("terminated;reason=timeout", 0.0),
    ("terminated;reason=giveup;retry-after=90", 90.0),
    ("terminated;reason=probation;retry-after=5", 5.0), ("terminated;reason=probation", 30.0), ("terminated", 30.0),
    ("terminated;reason=whatever", 30.0),
])
def test_why_it_ended_says_when_to_ask_again(state: str, wait: float | None) -> None:
    wire, alice, peer, subscribe = asked()
    peer.answer(subscribe, 200, tag="t", contact="<sip:peer@10.0.0.9:5060>", headers=(("Expires", "600"),))
    assert notify(wire, alice, peer, subscribe, "active", 1, body=BODY) == 200
    assert notify(wire, alice, peer, subscribe, state, 2) == 200
    assert alice.of(events.SubscriptionEnded)[0].retry_in == wait
    wire.run(wire.now + (wait or 0.0) + 1)
    assert len({request.call_id for request in peer.requests("SUBSCRIBE")}) == 1 + (wait is not None)


@pytest.mark.parametrize(("status", "again"), [
    *((status, False) for status in (400, 403, 405, 406, 415, 416, 420, 489, 501, 505, 603, 604, 606)),
    *((status, True) for status in (404, 480, 500, 503)),
])
def test_a_refusal_is_final_or_not(status: int, again: bool) -> None:
    wire, alice, peer, subscribe = asked()
    peer.answer(subscribe, status, tag="t")
    wire.run(wire.now + 1)
    (ended,) = alice.of(events.SubscriptionEnded)
    assert (ended.status, ended.retry_in is not None) == (status, again)
    wire.run(wire.now + 40)
    assert (len({request.call_id for request in peer.requests("SUBSCRIBE")}) == 2) == again


@pytest.mark.lengthy
def test_too_brief_is_asked_longer_and_silence_is_a_failure() -> None:
    wire, alice, peer, subscribe = asked(60)
    peer.answer(subscribe, 423, tag="t", headers=(("Min-Expires", "300"),))
    wire.run(wire.now + 0.2)
    longer = peer.requests("SUBSCRIBE")[-1]
    assert longer.expires == 300
    peer.answer(longer, 200, tag="t", contact="<sip:peer@10.0.0.9:5060>", headers=(("Expires", "300"),))
    wire.run(wire.now + 40)
    assert alice.of(events.SubscriptionEnded)[0].reason == "No NOTIFY"


def lives(expires: str = "600") -> tuple[Wire, Node, Peer, Request]:
    """A subscription that has its 200 and its first NOTIFY."""
    wire, alice, peer, subscribe = asked()
    peer.answer(subscribe, 200, tag="t", contact="<sip:peer@10.0.0.9:5060>", headers=(("Expires", expires),))
    assert notify(wire, alice, peer, subscribe, "active", 5, body=BODY) == 200
    return wire, alice, peer, subscribe


def test_a_refresh_that_is_refused_for_now_leaves_the_subscription() -> None:
    wire, alice, peer, subscribe = lives()
    wire.run_until(lambda: len(peer.requests("SUBSCRIBE")) == 2, 600)
    peer.answer(peer.requests("SUBSCRIBE")[1], 500)
    wire.run(wire.now + 1)
    # RFC 6665 4.1.2.2: it lasts until its time is over, and is asked for once more before
    assert not alice.of(events.SubscriptionEnded)
    assert notify(wire, alice, peer, subscribe, "active", 6, body=BODY) == 200
    wire.run(wire.now + 30)
    again = peer.requests("SUBSCRIBE")[2:]
    assert {(each.to.tag, each.call_id, each.cseq.number) for each in again} == {("t", subscribe.call_id, 3)}


@pytest.mark.parametrize("status", [404, 410, 480])
def test_a_refusal_may_say_when_to_ask_again(status: int) -> None:
    wire, alice, peer, subscribe = asked()
    peer.answer(subscribe, status, tag="t", headers=(("Retry-After", "200;duration=9"),))
    wire.run(wire.now + 1)
    assert [event.retry_in for event in alice.of(events.SubscriptionEnded)] == [200.0]


def test_how_long_it_lasts_is_what_the_far_end_says() -> None:
    wire, alice, peer, subscribe = lives("400")
    assert notify(wire, alice, peer, subscribe, "active;expires=100", 6) == 200
    wire.run_until(lambda: len(peer.requests("SUBSCRIBE")) == 2, 100)
    assert wire.now > 45, "RFC 6665 4.1.2.1: a NOTIFY may shorten it"
    refresh = peer.requests("SUBSCRIBE")[1]
    assert refresh.expires == 600, "what was asked for at first"
    peer.answer(refresh, 200, headers=(("Expires", "600"),))
    at = wire.now
    wire.run_until(lambda: len(peer.requests("SUBSCRIBE")) == 3, 600)
    assert wire.now - at > 500


def test_a_notify_that_came_too_late_is_not_told() -> None:
    wire, alice, peer, subscribe = lives()
    assert notify(wire, alice, peer, subscribe, "active", 4, body=Body(BODY.content_type, b"old")) == 500
    assert [event.body for event in alice.of(events.SubscriptionNotified)] == [BODY]


@pytest.mark.parametrize("status", [200, 404, 481])
def test_unsubscribing_ends_once_whatever_is_answered(status: int) -> None:
    wire, alice, peer, subscribe = lives()
    alice.execute(events.Unsubscribe("s"))
    wire.run(wire.now + 0.1)
    assert not alice.of(events.SubscriptionEnded)
    last = peer.requests("SUBSCRIBE")[-1]
    assert (last.expires, last.to.tag) == (0, "t")
    peer.answer(last, status)
    if status == 200:
        assert not alice.of(events.SubscriptionEnded), "RFC 6665 4.1.2.3: its last NOTIFY is still to come"
        assert notify(wire, alice, peer, subscribe, "terminated;reason=timeout", 6) == 200
    wire.run(wire.now + 0.1)
    assert alice.of(events.SubscriptionEnded)
    wire.run(wire.now + 100)
    assert alice.of(events.SubscriptionEnded) == [events.SubscriptionEnded("s", 0, "", None)]
    assert len(peer.requests("SUBSCRIBE")) == 2
    assert not any(alice.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


@pytest.mark.parametrize("waits", [False, True])
def test_unsubscribing_where_nothing_stands_asks_nobody(waits: bool) -> None:
    wire, alice, peer, subscribe = asked()
    if waits:
        peer.answer(subscribe, 480, tag="t")
        wire.run(wire.now + 0.1)
    alice.execute(events.Unsubscribe("s"))
    assert alice.of(events.SubscriptionEnded)[-1] == events.SubscriptionEnded("s", 0, "", None)
    before = len(peer.requests("SUBSCRIBE"))
    wire.run(wire.now + 100)
    assert len(peer.requests("SUBSCRIBE")) == before
    assert notify(wire, alice, peer, subscribe, "active", 1) == 481


def test_by_way_of_a_proxy() -> None:
    wire = Wire(4)
    alice = add_endpoint(wire, "alice", "10.0.0.1", domain="home.example", proxy="sip:pbx.example")
    proxy = Peer(wire, "pbx.example", "10.0.0.9")
    alice.execute(events.Subscribe("s", "alice", Uri.sip("bob", "home.example"), "presence", BODY.content_type))
    alice.execute(events.Publish("alice", "presence", BODY))
    wire.run(0.1)
    for method, target in (("SUBSCRIBE", "bob"), ("PUBLISH", "alice")):
        (request,) = proxy.requests(method)
        assert str(request.uri) == f"sip:{target}@home.example"
        assert [str(route) for route in request.routes] == ["<sip:pbx.example;lr>"]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_server_that_is_not_reached_at_its_contact_is_asked_where_it_answered(transport: str) -> None:
    wire = Wire()
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    contact = "sip:172.17.0.2;transport=tcp" if transport == "tcp" else "sip:pbx-7f3a"
    target = Uri.parse(f"sip:bob@10.0.0.9;transport={transport}")
    alice.execute(events.Subscribe("s", "alice", target, "presence", BODY.content_type, 600))
    wire.run(0.1)
    peer.answer(peer.requests("SUBSCRIBE")[0], 200, tag="t", contact=f"<{contact}>", headers=(("Expires", "600"),))
    wire.run(0.2)
    alice.execute(events.RenewSubscription("s"))
    wire.run(1)
    assert str(peer.requests("SUBSCRIBE")[-1].uri) == contact


def test_a_lost_dialog_is_made_anew() -> None:
    wire, alice, peer, subscribe = asked()
    peer.answer(subscribe, 200, tag="t", contact="<sip:peer@10.0.0.9:5060>", headers=(("Expires", "600"),))
    notify(wire, alice, peer, subscribe, "active", 1, body=BODY)
    alice.execute(events.RenewSubscription("s"))
    wire.run(wire.now + 0.2)
    peer.answer(peer.requests("SUBSCRIBE")[-1], 481)
    wire.run(wire.now + 0.3)
    again = peer.requests("SUBSCRIBE")[-1]
    assert again.to.tag is None
    assert again.call_id != subscribe.call_id
    assert notify(wire, alice, peer, subscribe, "active", 2) == 481, "the old dialog is gone"


def test_a_summary_is_taken_from_the_own_server_alone() -> None:
    wire = Wire(1)
    alice = add_endpoint(wire, "alice", "10.0.0.1", domain="10.0.0.9")
    server, stranger = Peer(wire, "server", "10.0.0.9"), Peer(wire, "stranger", "10.0.0.8")
    for peer, status in ((server, 200), (stranger, 481)):
        host = peer.node.address[0]
        peer.send("\r\n".join([
            "NOTIFY sip:alice@10.0.0.1 SIP/2.0", f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK1", "Max-Forwards: 70",
            f"From: <sip:mail@{host}>;tag=x", "To: <sip:alice@10.0.0.1>", "Call-ID: m" + host, "CSeq: 1 NOTIFY",
            "Event: message-summary", "Subscription-State: active", "Content-Type: application/simple-message-summary",
            "Content-Length: 23", "", "Messages-Waiting: yes\r\n"]).encode(), alice)
        wire.run(wire.now + 0.2)
        assert peer.responses()[-1].status == status
    assert len(alice.of(events.SummaryReceived)) == 1


def test_publishing() -> None:
    wire = Wire(1)
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1", domain="10.0.0.9"), Peer(wire, "peer", "10.0.0.9")

    def latest() -> Request:
        wire.run(wire.now + 0.2)
        return peer.requests("PUBLISH")[-1]
    alice.execute(events.Publish("alice", "presence", BODY))
    first = latest()
    assert (first.body, first.headers.get("SIP-If-Match")) == (BODY.data, None)
    alice.execute(events.Publish("alice", "presence", Body("x/y", b"2")))
    alice.execute(events.Publish("alice", "presence", Body("x/y", b"3")))
    peer.answer(first, 200, headers=(("SIP-ETag", "e1"), ("Expires", "600")))
    second = latest()
    assert (second.body, second.headers.get("SIP-If-Match")) == (b"3", "e1")
    peer.answer(second, 412)
    third = latest()
    assert (third.body, third.headers.get("SIP-If-Match")) == (b"3", None)
    peer.answer(third, 200, headers=(("SIP-ETag", "e2"), ("Expires", "600")))
    wire.run(wire.now + 560)
    refresh = peer.requests("PUBLISH")[-1]
    assert (refresh.body, refresh.headers.get("SIP-If-Match")) == (b"", "e2")
    peer.answer(refresh, 423, headers=(("Min-Expires", "7200"),))
    longer = latest()
    assert (longer.body, longer.expires) == (b"3", 7200)
    peer.answer(longer, 200, headers=(("SIP-ETag", "e3"), ("Expires", "7200")))
    wire.run(wire.now + 0.2)
    alice.execute(events.Publish("alice", "presence", None))
    last = latest()
    assert (last.expires, last.headers.get("SIP-If-Match")) == (0, "e3")
    peer.answer(last, 200)
    wire.run(wire.now + 100)
    assert not any(alice.core.statistics().values())  # type: ignore[attr-defined]  # an Endpoint


def test_the_table_ends_in_ended() -> None:
    assert not [pair for pair in TABLE if pair[0] is State.ENDED]
    for state in State:
        if state is not State.ENDED:
            assert (state, Input.OVER) in TABLE


def test_who_says_that_there_is_no_such_publication_to_a_new_one_is_not_stormed() -> None:
    wire = Wire(1)
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1", domain="10.0.0.9"), Peer(wire, "peer", "10.0.0.9")

    def refuse(request: Request) -> None:
        peer.answer(request, 412)
    peer.on_request = refuse
    alice.execute(events.Publish("alice", "presence", BODY))
    wire.run(wire.now + 59)
    assert len(peer.requests("PUBLISH")) == 1
    wire.run(wire.now + 2)
    assert len(peer.requests("PUBLISH")) == 2


@pytest.mark.parametrize("reason", ["deactivated", "timeout"])
def test_who_ends_each_subscription_at_once_is_not_stormed(reason: str) -> None:
    wire, alice, peer, _ = asked()
    met: set[str] = set()

    def end_all() -> None:
        for subscribe in [each for each in peer.requests("SUBSCRIBE") if each.call_id not in met]:
            met.add(subscribe.call_id)
            peer.answer(subscribe, 200, tag="t", contact="<sip:peer@10.0.0.9:5060>", headers=(("Expires", "600"),))
            assert notify(wire, alice, peer, subscribe, "active", 1, body=BODY) == 200
            assert notify(wire, alice, peer, subscribe, f"terminated;reason={reason}", 2) == 200
    for _ in range(600):
        end_all()
        wire.run(wire.now + 0.1)
    assert 2 <= len(met) <= 4
    assert [event.retry_in == 0.0 for event in alice.of(events.SubscriptionEnded)][:2] == [True, False]


def test_a_subscription_that_has_lived_is_renewed_at_once_each_time() -> None:
    wire, alice, peer, _ = asked()
    for times in range(1, 4):
        subscribe = peer.requests("SUBSCRIBE")[-1]
        peer.answer(subscribe, 200, tag="t", contact="<sip:peer@10.0.0.9:5060>", headers=(("Expires", "600"),))
        assert notify(wire, alice, peer, subscribe, "active", 1, body=BODY) == 200
        wire.run(wire.now + 100)
        assert notify(wire, alice, peer, subscribe, "terminated;reason=deactivated", 2) == 200
        assert [event.retry_in for event in alice.of(events.SubscriptionEnded)] == [0.0] * times
        wire.run(wire.now + 0.2)
