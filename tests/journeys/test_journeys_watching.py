"""Phones that watch each other: lamps, presence, message waiting, and the call that is picked up (RFC 4235, RFC 5359 2.16)."""

from __future__ import annotations

from typing import Literal

import pytest

from offhook.errors import InvalidArgument, InvalidState, NoAccount, NotFound
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.phone.settings import AccountSettings, PhoneSettings
from offhook.sip.events import Flow, StreamChunk
from offhook.sip.message import Request
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone, over, rings, settle
from offhook.testing.wire import Wire

OPEN = PhoneSettings(watched_by="anyone")


def lines(phone: VirtualPhone) -> list[str]:
    """Return how the lamp went, each state once."""
    found = [event.watch.line for event in phone.of(e.WatchDialog)]
    return [line for place, line in enumerate(found) if place == 0 or line != found[place - 1]]


def test_a_lamp_and_a_call_that_is_picked_up(wire: Wire) -> None:
    alice = VirtualPhone(wire, "alice", "10.0.0.1")
    bob = VirtualPhone(wire, "bob", "10.0.0.2", OPEN)
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    watch = alice.execute(c.CreateWatch(kind="dialog", to="sip:offhook@10.0.0.2", id="lamp")).value
    assert watch.state == "asking"
    wire.run_until(lambda: lines(alice) == ["idle"], 90)
    there = carol.dial(bob)
    wire.run_until(rings(bob), 60)
    wire.run_until(lambda: lines(alice)[-1] == "ringing", 60)
    wire.run_until(lambda: carol.calls[there].state is CallState.RINGING, 60)  # both know each other's tags now
    bob.execute(c.SetDnd(enabled=True))
    taken = alice.execute(c.Pickup(to="lamp")).call
    wire.run_until(lambda: alice.calls[taken].is_connected, 90)
    settle(wire, 20)
    assert carol.of(e.CallReplaced)
    assert carol.ended(there).end is not None
    end = bob.ended().end
    assert end is not None
    assert end.cause == 200, "answered elsewhere, which is no missed call"
    assert carol.states == alice.states == [CallState.ACTIVE]
    wire.run_until(lambda: lines(alice)[-1] == "idle", 120)
    assert alice.execute(c.ListWatches()).value[0].state == "active"
    alice.execute(c.Hangup())
    alice.execute(c.DeleteWatch(watch="lamp"))
    assert alice.of(e.WatchEnded)[-1].watch.state == "ended"
    settle(wire, 3700)
    over(alice, bob, carol)


def test_a_watch_that_a_program_named_as_the_phone_would_name_one_is_no_hindrance() -> None:
    alice = VirtualPhone(Wire(), "alice", "10.0.0.1")
    ids = [alice.execute(c.CreateWatch(kind="dialog", to="sip:1002@10.0.0.9", id=name)).value.id for name in ("watch_1", "")]
    assert [view.id for view in alice.execute(c.ListWatches()).value] == ids


def test_presence_of_a_phone(wire: Wire) -> None:
    alice = VirtualPhone(wire, "alice", "10.0.0.1")
    bob = VirtualPhone(wire, "bob", "10.0.0.2", OPEN)
    alice.execute(c.CreateWatch(kind="presence", to="sip:offhook@10.0.0.2"))

    def status() -> str:
        seen = alice.of(e.WatchPresence)
        return seen[-1].watch.presence.status if seen and seen[-1].watch.presence else ""
    wire.run_until(lambda: status() == "open", 90)
    bob.execute(c.SetDnd(enabled=True))
    wire.run_until(lambda: status() == "busy", 90)
    bob.execute(c.SetDnd(enabled=False))
    wire.run_until(lambda: status() == "open", 90)


def test_who_watched_us_and_is_gone_is_forgotten() -> None:
    wire = Wire()
    alice, bob = VirtualPhone(wire, "alice", "10.0.0.1"), VirtualPhone(wire, "bob", "10.0.0.2", OPEN)
    alice.execute(c.CreateWatch(kind="presence", to="sip:offhook@10.0.0.2"))
    settle(wire, 1)
    assert bob.phone.own.watchers
    del wire.nodes[alice.node.address]
    bob.execute(c.SetDnd(enabled=True))
    settle(wire, 40)
    assert not bob.phone.own.watchers


def test_a_watch_lives_on_when_it_is_refreshed_and_ends_when_it_is_deleted() -> None:
    wire = Wire()
    alice, bob = VirtualPhone(wire, "alice", "10.0.0.1"), VirtualPhone(wire, "bob", "10.0.0.2", OPEN)
    alice.execute(c.CreateWatch(kind="dialog", to="sip:offhook@10.0.0.2", id="lamp"))
    settle(wire, 10_000)
    assert lines(alice) == ["idle"]
    carol = VirtualPhone(wire, "carol", "10.0.0.3")
    carol.dial(bob)
    settle(wire, 1)
    assert lines(alice) == ["idle", "ringing"]
    carol.execute(c.HangupAll())
    alice.execute(c.DeleteWatch(watch="lamp"))
    settle(wire, 60)
    assert not bob.phone.own.watchers
    over(alice, bob, carol)


@pytest.mark.parametrize(("allowed", "status"), [("server", 403), ("nobody", 405)])
def test_who_may_not_watch_and_what_makes_no_sense(allowed: Literal["server", "nobody"], status: int) -> None:
    wire = Wire(1)
    alice = VirtualPhone(wire, "alice", "10.0.0.1")
    bob = VirtualPhone(wire, "bob", "10.0.0.2", PhoneSettings(watched_by=allowed))
    alice.execute(c.CreateWatch(kind="dialog", to="sip:offhook@10.0.0.2", id="w"))
    assert isinstance(alice.refuses(c.CreateWatch(kind="dialog", to="sip:offhook@10.0.0.2", id="w")), InvalidState)
    assert isinstance(alice.refuses(c.CreateWatch(kind="dialog")), InvalidArgument)
    assert isinstance(alice.refuses(c.CreateWatch(kind="mwi")), NoAccount)
    assert isinstance(alice.refuses(c.CreateWatch(kind="presence", to="x", id="a b")), InvalidArgument)
    assert isinstance(alice.refuses(c.DeleteWatch(watch="x")), NotFound)
    assert isinstance(alice.refuses(c.Pickup(to="1001")), NoAccount)
    settle(wire, 5)
    (ended,) = alice.of(e.WatchEnded)
    assert (ended.watch.state, ended.watch.sip_status, ended.watch.retry_in) == ("ended", status, None)
    assert not alice.execute(c.ListWatches()).value
    assert not bob.phone.own.watchers


def test_the_time_to_the_next_attempt_goes_by() -> None:
    wire = Wire(1)
    alice, pbx = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "pbx", "10.0.0.9")

    def refuse(request: Request) -> None:
        pbx.answer(request, 503, tag="t", headers=(("Retry-After", "100"),))
    pbx.on_request = refuse
    alice.execute(c.CreateWatch(kind="dialog", to="sip:1002@10.0.0.9"))
    settle(wire, 5)
    (view,) = alice.execute(c.ListWatches()).value
    settle(wire, 20)
    (later,) = alice.execute(c.ListWatches()).value
    assert (view.state, later.state) == ("waiting", "waiting")
    assert later.retry_in == pytest.approx(view.retry_in - 20, abs=0.1)


def test_a_call_and_a_watcher_that_come_at_once_are_both_seen_to() -> None:
    wire = Wire()
    alice, bob = VirtualPhone(wire, "alice", "10.0.0.1"), VirtualPhone(wire, "bob", "10.0.0.2", OPEN)
    alice.execute(c.CreateWatch(kind="dialog", to="sip:offhook@10.0.0.2"))
    settle(wire, 1)
    both = b"".join(
        f"{method} sip:offhook@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.9;branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\n"
        f"From: <sip:pbx@10.0.0.9>;tag=p\r\nTo: <sip:offhook@10.0.0.2>\r\nCall-ID: {method}\r\nCSeq: 1 {method}\r\n"
        f"Contact: <sip:pbx@10.0.0.9>\r\nEvent: dialog\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n".encode()
        for method in ("INVITE", "SUBSCRIBE")
    )
    bob.receive(StreamChunk(Flow("tcp", ("10.0.0.2", 5060), ("10.0.0.9", 5060), 1), both))  # as they may over TCP
    settle(wire, 1)
    assert len(bob.phone.own.watchers) == 2
    assert lines(alice) == ["idle", "ringing"]


@pytest.mark.parametrize("to", ["second", "sip:offhook@10.0.0.3"])
def test_of_two_lamps_that_blink_the_one_that_is_meant_is_picked_up(to: str) -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1")
    first, second = VirtualPhone(wire, "first", "10.0.0.2", OPEN), VirtualPhone(wire, "second", "10.0.0.3", OPEN)
    callers = VirtualPhone(wire, "carol", "10.0.0.4"), VirtualPhone(wire, "dave", "10.0.0.5")
    alice.execute(c.CreateWatch(kind="presence", to="sip:offhook@10.0.0.3", id="there"))
    for name, host in (("first", "10.0.0.2"), ("second", "10.0.0.3")):
        alice.execute(c.CreateWatch(kind="dialog", to=f"sip:offhook@{host}", id=name))
    settle(wire, 1)
    for caller, phone in zip(callers, (first, second), strict=True):
        caller.dial(phone)
    settle(wire, 2)
    alice.execute(c.Pickup(to=to))
    settle(wire, 2)
    assert alice.states == [CallState.ACTIVE]
    (invite,) = {sent.data for sent in wire.sent if b"\r\nReplaces: " in sent.data and sent.line.startswith("INVITE")}
    assert b"\r\nRequire: replaces\r\n" in invite, "who cannot do it is not called a second time (RFC 3891 7.2)"
    assert [caller.states for caller in callers] == [[CallState.RINGING], [CallState.ACTIVE]]


def test_pickup_by_feature_code() -> None:
    wire = Wire(1)
    alice, pbx = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "pbx", "10.0.0.9")
    alice.add_account(AccountSettings("a", "10.0.0.9", "1001", register=False))
    alice.execute(c.Pickup(to="1002"))
    settle(wire, 0.2)
    assert pbx.requests("INVITE")[-1].uri.user_decoded == "**1002"
    alice.execute(c.HangupAll())
    settle(wire, 60)


def test_what_cannot_be_picked_up() -> None:
    wire = Wire(1)
    alice, pbx = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "pbx", "10.0.0.9")
    alice.add_account(AccountSettings("a", "10.0.0.9", "1001", register=False, pickup_prefix=""))
    for to in ("", " ", "1" * 3000, "1002", "sip:1002@10.0.0.9"):
        assert isinstance(alice.refuses(c.Pickup(to=to)), InvalidArgument)
    alice.add_account(AccountSettings("a", "10.0.0.9", "1001", register=False, pickup_prefix="*8"))
    for to in ("sip:1002@10.0.0.9", "1002@10.0.0.9", "1002"):
        alice.execute(c.Pickup(to=to))
        settle(wire, 0.2)
        assert pbx.requests("INVITE")[-1].uri.user_decoded == "*81002"
        alice.execute(c.HangupAll())
        settle(wire, 0.2)


def summary(pbx: Peer, alice: VirtualPhone, number: int, text: str, kind: str = "application/simple-message-summary") -> None:
    """The exchange tells what waits, though nobody has asked."""
    head = [
        "NOTIFY sip:1001@10.0.0.1 SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{number}", "Max-Forwards: 70",
        "From: <sip:mail@10.0.0.9>;tag=x", "To: <sip:1001@10.0.0.9>", f"Call-ID: m{number}", "CSeq: 1 NOTIFY",
        "Event: message-summary", "Subscription-State: active", f"Content-Type: {kind}", "", text]
    pbx.send("\r\n".join(head).encode(), alice.node)
    settle(alice.wire, 0.2)


def test_messages_that_wait_are_told_though_nobody_asked() -> None:
    wire = Wire(1)
    alice, pbx = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "pbx", "10.0.0.9")
    alice.add_account(AccountSettings("a", "10.0.0.9", "1001", register=False))
    summary(pbx, alice, 1, "Messages-Waiting: yes\r\nVoice-Message: 2/0\r\n")
    summary(pbx, alice, 2, "Messages-Waiting: yes\r\nVoice-Message: 2/0\r\n")
    summary(pbx, alice, 3, "nonsense")
    summary(pbx, alice, 4, "Messages-Waiting: no\r\n", "text/plain")
    (told,) = alice.of(e.WatchMwi)
    assert (told.watch.id, told.watch.kind, told.watch.account, told.watch.target) == ("mwi:a", "mwi", "a", "sip:1001@10.0.0.9")
    assert told.watch.mwi is not None
    assert (told.watch.mwi.waiting, told.watch.mwi.new) == (True, 2)
    summary(pbx, alice, 5, "Messages-Waiting: no\r\n")
    assert [event.watch.mwi.waiting for event in alice.of(e.WatchMwi) if event.watch.mwi] == [True, False]


def test_a_phone_that_ends_watches_nothing_and_takes_back_what_it_published() -> None:
    wire = Wire(1)
    alice, pbx = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "pbx", "10.0.0.9")

    def serve(request: Request) -> None:
        contact = request.headers.get("Contact") if request.method == "REGISTER" else "<sip:pbx@10.0.0.9:5060>"
        pbx.answer(request, 200, tag="t", contact=str(contact), headers=(("Expires", "600"), ("SIP-ETag", "x")))
    pbx.on_request = serve
    alice.add_account(AccountSettings("a", "10.0.0.9", "1001", mwi=True, publish_presence=True))
    settle(wire, 1)
    alice.execute(c.Quit())
    settle(wire, 1)
    for method in ("SUBSCRIBE", "PUBLISH", "REGISTER"):
        assert [request.expires == 0 for request in pbx.requests(method)] == [False, True], method


def test_messages_that_wait_and_presence_that_is_published() -> None:
    wire = Wire(1)
    alice, pbx = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "pbx", "10.0.0.9")

    def serve(request: Request) -> None:
        pbx.answer(request, 200, tag="t", contact=str(request.headers.get("Contact") or "<sip:pbx@10.0.0.9:5060>"),
                   headers=(("Expires", "600"), ("SIP-ETag", "x")))
    pbx.on_request = serve
    alice.add_account(AccountSettings("a", "10.0.0.9", "1001", mwi=True, publish_presence=True))
    settle(wire, 1)
    (subscribe,) = {request.call_id: request for request in pbx.requests("SUBSCRIBE")}.values()
    assert subscribe.headers.get("Event") == "message-summary"
    assert b"open" in pbx.requests("PUBLISH")[-1].body
    body = b"Messages-Waiting: yes\r\nVoice-Message: 3/1\r\n"
    pbx.send("\r\n".join([
        f"NOTIFY {subscribe.contacts[0].uri} SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKn", "Max-Forwards: 70",
        f"From: {subscribe.to};tag=t", f"To: {subscribe.from_}", f"Call-ID: {subscribe.call_id}", "CSeq: 1 NOTIFY",
        "Event: message-summary", "Contact: <sip:pbx@10.0.0.9:5060>", "Subscription-State: active;expires=600",
        "Content-Type: application/simple-message-summary", "", ""]).encode() + body, alice.node)
    settle(wire, 1)
    (told,) = alice.of(e.WatchMwi)
    assert told.watch.id == "mwi:a"
    assert told.watch.mwi is not None
    assert (told.watch.mwi.new, told.watch.mwi.old) == (3, 1)
    assert alice.snapshot().watches == (told.watch,)
    alice.execute(c.SetDnd(enabled=True))
    settle(wire, 1)
    assert b"rpid:busy" in pbx.requests("PUBLISH")[-1].body
    alice.execute(c.RemoveAccount(account="a"))
    settle(wire, 1)
    assert alice.of(e.WatchEnded)
    assert pbx.requests("PUBLISH")[-1].expires == 0
