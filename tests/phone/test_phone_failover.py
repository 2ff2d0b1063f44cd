"""Accounts with several servers, failed accounts, and what the phone tells of its ways, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from offhook.errors import InvalidArgument, NotRegistered
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.settings import AccountSettings, PhoneSettings
from offhook.sip import events as s
from offhook.sip.events import Body
from offhook.sip.message import Request
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone, settle, talk, two_phones
from offhook.testing.wire import Wire

ACCOUNT = AccountSettings(
    "a_1", "pbx.example", "1001", "secret", proxy="sip:first.example;lr", backups=("sip:second.example", "third.example")
)


SDP = (b"v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\n"
       b"a=sendrecv\r\n")  # fmt: skip


class Server:
    """A registrar that grants everything, or answers `status`, or says nothing while it is `down`."""

    def __init__(self, wire: Wire, name: str, host: str) -> None:
        self.peer = Peer(wire, name, host)
        self.peer.on_request = self.play
        self.down = False
        self.status = 200

    def play(self, request: Request) -> None:
        if not self.down and request.method in ("REGISTER", "OPTIONS"):
            contact = str(request.contacts[0]) if request.contacts else ""
            self.peer.answer(request, self.status, tag="t", contact=f"{contact};expires=600" if contact else "")


def world() -> tuple[VirtualPhone, list[Server]]:
    wire = Wire()
    servers = [Server(wire, f"{name}.example", f"10.0.1.{n}") for n, name in enumerate(("first", "second", "third"), 1)]
    alice, _ = two_phones(wire)
    return alice, servers


def view(phone: VirtualPhone) -> Any:
    return phone.snapshot().accounts[0]


def test_the_first_server_is_used_while_it_works() -> None:
    alice, servers = world()
    alice.add_account(ACCOUNT)
    settle(alice.wire, 400)
    assert (view(alice).registration, view(alice).server) == ("registered", "sip:first.example;lr")
    assert not servers[1].peer.got
    assert not alice.of(e.AccountFailover)


def test_the_next_one_is_used_when_one_fails_and_the_first_when_it_is_well_again() -> None:
    alice, (first, second, third) = world()
    first.down, second.status = True, 503
    alice.execute(c.AddAccount(account=ACCOUNT))
    settle(alice.wire, 60)
    assert [event.account.server for event in alice.of(e.AccountFailover)] == ["sip:second.example", "third.example"]
    assert [event.reason for event in alice.of(e.AccountFailover)] == ["Request Timeout", "Service Unavailable"]
    assert len(alice.of(e.AccountRegisterFailed)) == 2  # an event for each attempt
    assert (view(alice).registration, view(alice).server) == ("registered", "third.example")
    assert third.peer.requests("REGISTER")
    settle(alice.wire, 130)
    assert len(alice.of(e.AccountFailover)) == 2, "the first is asked now and then, and does not answer"
    first.down = False
    settle(alice.wire, 130)
    assert alice.of(e.AccountFailover)[-1].reason == "the first server answers again"
    assert (view(alice).registration, view(alice).server) == ("registered", "sip:first.example;lr")
    assert len(alice.of(e.AccountFailover)) == 3


@pytest.mark.parametrize(("after", "silent"), [(60, False), (98, False), (98, True)], ids=["before", "while", "while-silent"])
def test_an_account_that_was_unregistered_stays_so_when_its_first_server_is_well_again(after: float, silent: bool) -> None:
    alice, (first, second, _) = world()
    first.down = True
    alice.execute(c.AddAccount(account=ACCOUNT))
    settle(alice.wire, after)  # at 92 s the first server is asked how it is
    assert bool(first.peer.requests("OPTIONS")) == (after > 92)
    second.down = silent
    alice.execute(c.UnregisterAccount(account="a_1"))
    first.down = False
    settle(alice.wire, 200)
    assert (view(alice).registration, view(alice).server) == ("unregistered", "sip:second.example")
    alice.execute(c.RegisterAccount(account="a_1"))
    second.down = False
    settle(alice.wire, 100)
    assert (view(alice).registration, view(alice).server) == ("registered", "sip:first.example;lr")


def test_one_further_server_is_enough() -> None:
    alice, (first, second, _) = world()
    first.down = True
    alice.execute(c.AddAccount(account=replace(ACCOUNT, backups=("sip:second.example",))))
    settle(alice.wire, 60)
    assert (view(alice).registration, view(alice).server) == ("registered", "sip:second.example")
    second.down = True
    alice.wire.run_until(lambda: view(alice).registration == "failed", 700)
    assert view(alice).server == "sip:first.example;lr", "after the last the first again"


def test_a_wrong_password_is_no_reason_to_ask_another_server() -> None:
    alice, (first, second, _) = world()
    first.status = 403
    alice.execute(c.AddAccount(account=ACCOUNT))
    settle(alice.wire, 20)
    assert view(alice).registration == "failed"
    assert not second.peer.got


def test_when_all_are_down_the_first_is_asked_again() -> None:
    alice, servers = world()
    for server in servers:
        server.status = 503
    alice.execute(c.AddAccount(account=ACCOUNT))
    settle(alice.wire, 2)
    assert (view(alice).registration, view(alice).server) == ("failed", "sip:first.example;lr")
    servers[0].status = 200
    settle(alice.wire, 40)
    assert view(alice).registration == "registered"


@pytest.mark.parametrize("changes", [
    {"backups": ("sip:",)}, {"backups": ("",)}, {"backups": ("x.example",) * 8}, {"keep_alive": -1}, {"ws_path": "ws"},
    {"ws_path": "/a b"},
])
def test_what_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    alice, _ = world()
    assert isinstance(alice.refuses(c.AddAccount(account=replace(ACCOUNT, **changes))), InvalidArgument)


# --- failed accounts


def test_dialling_is_refused_at_once_while_the_latest_attempt_failed_even_during_the_next() -> None:
    alice, (first, *_) = world()
    first.status = 403
    alice.execute(c.AddAccount(account=replace(ACCOUNT, backups=())))
    settle(alice.wire, 1)
    assert isinstance(alice.refuses(c.Dial(to="1002")), NotRegistered)
    first.down = True
    settle(alice.wire, 32)  # the next attempt is on its way
    assert view(alice).registration == "registering"
    assert isinstance(alice.refuses(c.Dial(to="1002")), NotRegistered)
    first.down, first.status = False, 200
    settle(alice.wire, 120)
    assert alice.execute(c.Dial(to="1002")).call


@pytest.mark.parametrize(("answer", "placed"), [(500, True), (503, True), (408, True), (403, False), (401, False)])
def test_calls_are_placed_while_a_registration_holds_that_the_registrar_could_not_renew(answer: int, placed: bool) -> None:
    alice, (first, *_) = world()
    alice.execute(c.AddAccount(account=replace(ACCOUNT, backups=())))
    settle(alice.wire, 500)
    first.status = answer
    alice.wire.run_until(lambda: bool(alice.of(e.AccountRegisterFailed)), 100)
    assert view(alice).registration == "failed"
    assert view(alice).expires == (pytest.approx(60, abs=30) if placed else 0), "of 600 s, renewed 60 before the end"
    if not placed:
        assert isinstance(alice.refuses(c.Dial(to="1002")), NotRegistered)
        return
    call = alice.execute(c.Dial(to="1002")).call
    settle(alice.wire, 1)
    assert first.peer.requests("INVITE")
    alice.execute(c.Hangup(call=call))
    alice.execute(c.RegisterAccount(account="a_1"))
    asked = alice.execute(c.Dial(to="1003")).call
    settle(alice.wire, 1)
    assert alice.calls[asked].invited, "the registrar was asked once more, in vain"
    alice.execute(c.Hangup(call=asked))
    settle(alice.wire, 90)
    assert (view(alice).registration, view(alice).expires) in (("failed", 0), ("registering", 0))
    assert isinstance(alice.refuses(c.Dial(to="1002")), NotRegistered), "it has run out"


def test_what_was_granted_before_is_nothing_once_it_is_given_back() -> None:
    alice, (first, *_) = world()
    alice.execute(c.AddAccount(account=replace(ACCOUNT, backups=())))
    settle(alice.wire, 5)
    alice.execute(c.UnregisterAccount(account="a_1"))
    settle(alice.wire, 1)
    first.status = 503
    alice.execute(c.RegisterAccount(account="a_1"))
    settle(alice.wire, 1)
    assert (view(alice).registration, view(alice).expires) == ("failed", 0)
    assert isinstance(alice.refuses(c.Dial(to="1002")), NotRegistered)


def test_the_first_attempt_is_waited_for() -> None:
    alice, (first, *_) = world()
    first.down = True
    alice.execute(c.AddAccount(account=replace(ACCOUNT, backups=())))
    call = alice.execute(c.Dial(to="1002")).call
    assert alice.calls[call].waiting >= {"registration"}


def test_a_whole_address_of_elsewhere_needs_no_account() -> None:
    wire = Wire()
    Server(wire, "first.example", "10.0.1.1").status = 403
    alice, bob = two_phones(wire)
    alice.execute(c.AddAccount(account=replace(ACCOUNT, backups=())))
    settle(wire, 1)
    call = alice.execute(c.Dial(to="sip:bob@10.0.0.2")).call
    assert alice.calls[call].account == "local"
    wire.run_until(lambda: bool(bob.calls))
    for refused in (c.Dial(to="sip:x@pbx.example"), c.Dial(to="sip:x@10.0.0.2", account="a_1"), c.Dial(to="1002")):
        assert isinstance(alice.refuses(refused), NotRegistered)
    assert alice.execute(c.Dial(to="sip:x@pbx.example", account="local")).call


# --- ways


def test_connections_are_told_and_trouble_is_told_once() -> None:
    alice, _ = world()
    flow = s.Flow("tls", ("10.0.0.1", 40000), ("10.0.1.1", 5061), 0, s.ConnectionTerms("pbx.example"))
    alice.receive(s.FlowUp(flow, "TLSv1.3 X"))
    alice.receive(s.FlowFailed(flow, "the peer closed the connection", True))
    for _ in range(3):
        alice.receive(s.FlowFailed(flow, "refused"))
    alice.receive(s.FlowFailed(s.Flow("tcp", ("10.0.0.1", 5060), ("10.0.7.7", 4711), 9), "a stranger's", True))
    told = [event for event in alice.node.outputs if isinstance(event, e.TransportEvent)]
    assert [event.type for event in told] == ["transport.up", "transport.down", "transport.error"]
    assert {event.subject for event in told} == {"transports/tls/10.0.1.1:5061"}
    alice.receive(s.FlowFailed(s.Flow("tls", ("10.0.0.1", 40000), ("10.0.1.2", 5061)), "refused"))
    assert alice.of(e.TransportError)[1].remote == "10.0.1.2:5061", "another far end"
    for news in (s.NetworkChanged("our address is another one"), s.FlowUp(flow, "TLSv1.3 X")):
        before = len(alice.of(e.TransportError))
        alice.receive(news)
        alice.receive(s.FlowFailed(flow, "refused"))
        assert len(alice.of(e.TransportError)) == before + 1, "what it was before that is another matter"


def test_a_call_moves_to_our_new_address() -> None:
    wire = Wire()
    alice, bob = two_phones(wire)
    settle(wire, 1)
    talk(alice, bob)
    before = alice.only.local_sdp
    alice.node.address, wire.nodes[("10.0.0.77", 5060)] = ("10.0.0.77", 5060), alice.node
    alice.receive(s.NetworkChanged("our address is 10.0.0.77 now, it was 10.0.0.1"))
    settle(wire, 5)
    assert alice.of(e.NetworkChanged)
    assert alice.only.local_sdp != before
    assert b"c=IN IP4 10.0.0.77" in alice.only.local_sdp
    assert bob.only.config is not None
    assert bob.only.config.remote[0] == "10.0.0.77"
    assert [str(phone.only.state) for phone in (alice, bob)] == ["active", "active"]
    assert not alice.of(e.CallHoldFailed)
    bob.execute(c.Hangup())
    settle(wire, 5)
    assert not alice.calls


def move(phone: VirtualPhone, host: str) -> None:
    """Give the phone another address; nothing arrives at the old one any more."""
    node = phone.node
    del phone.wire.nodes[node.address]
    node.address = (host, 5060)
    phone.wire.nodes[node.address] = node
    phone.receive(s.NetworkChanged(f"our address is {host} now"))


@pytest.mark.parametrize("status", [488, 501])
def test_a_call_whose_far_end_refuses_the_move_goes_on_as_it_was(status: int) -> None:
    wire = Wire()
    alice, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.2")
    call = alice.dial("sip:peer@10.0.0.2")
    settle(wire, 1)
    sdp = Body("application/sdp", SDP)
    peer.answer(peer.requests("INVITE")[0], 200, tag="p", body=sdp)
    settle(wire, 1)
    move(alice, "10.0.0.77")
    settle(wire, 1)
    again = peer.requests("INVITE")[-1]
    assert b"10.0.0.77" in again.body
    assert again.contacts[0].uri.host == "10.0.0.77"
    peer.answer(again, status)
    settle(wire, 60)
    assert [str(each) for each in alice.states] == ["active"]
    assert not alice.of(e.CallHoldFailed)
    assert len({each.via.branch for each in peer.requests("INVITE")}) == 2
    alice.execute(c.Hangup(call=call))
    settle(wire, 0.1)
    assert len(peer.requests("BYE")) == 1


def test_a_call_is_moved_as_soon_as_its_far_end_can_be_reached_again() -> None:
    wire = Wire()
    alice, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.2")
    alice.dial("sip:peer@10.0.0.2;transport=tcp")
    settle(wire, 1)
    invite = peer.requests("INVITE")[0]
    peer.answer(invite, 200, tag="p", body=Body("application/sdp", SDP), contact="<sip:peer@10.0.0.2:5060;transport=tcp>")
    settle(wire, 1)
    peer.node.tcp = False
    move(alice, "10.0.0.77")
    settle(wire, 12)
    assert len(peer.requests("INVITE")) == 1
    peer.node.tcp = True
    settle(wire, 6)
    again = peer.requests("INVITE")[-1]
    peer.answer(again, 200, body=Body("application/sdp", SDP), contact="<sip:peer@10.0.0.2:5060;transport=tcp>")
    settle(wire, 60)
    assert b"10.0.0.77" in again.body
    assert len(peer.requests("INVITE")) == 2
    assert [str(each) for each in alice.states] == ["active"]


def test_a_call_that_rings_while_our_address_changes_is_answered_from_the_new_one() -> None:
    wire = Wire()
    server = Server(wire, "first.example", "10.0.1.1")
    alice = VirtualPhone(wire, "alice", "10.0.0.1")
    alice.add_account(replace(ACCOUNT, backups=()))
    settle(wire, 1)
    invite = (
        b"INVITE sip:1001@10.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.1.1:5060;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
        b"From: <sip:bob@pbx.example>;tag=b\r\nTo: <sip:1001@pbx.example>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n"
        b"Contact: <sip:bob@10.0.1.1>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(SDP) + SDP
    )  # fmt: skip
    server.peer.send(invite, alice.node)
    settle(wire, 1)
    assert [str(each) for each in alice.states] == ["incoming"]
    move(alice, "10.0.0.77")
    settle(wire, 1)
    alice.execute(c.Answer())
    settle(wire, 0.1)
    answer = server.peer.responses("INVITE")[-1]
    assert answer.status == 200
    assert answer.contacts[0].uri.host == "10.0.0.77"
    assert b"c=IN IP4 10.0.0.77" in answer.body


@pytest.mark.parametrize("status", [100, 180])
def test_a_call_that_nobody_has_answered_is_placed_anew_from_our_new_address(status: int) -> None:
    wire = Wire()
    alice, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.2")
    call = alice.dial("sip:peer@10.0.0.2", ring_timeout=60)
    settle(wire, 1)
    first = peer.requests("INVITE")[0]
    peer.answer(first, status, tag="p" if status > 100 else "")
    settle(wire, 20)
    move(alice, "10.0.0.77")
    settle(wire, 1)
    cancel, second = peer.requests("CANCEL")[0], peer.requests("INVITE")[-1]
    assert (cancel.via.branch, cancel.via.host) == (first.via.branch, "10.0.0.1")
    assert second.call_id != first.call_id
    assert second.contacts[0].uri.host == "10.0.0.77"
    assert b"c=IN IP4 10.0.0.77" in second.body
    assert alice.of(e.CallUpdated)[-1].call.sip_call_id == second.call_id
    peer.answer(second, 200, tag="q", body=Body("application/sdp", SDP))
    settle(wire, 1)
    assert [str(each) for each in alice.states] == ["active"]
    assert alice.only.id == call
    assert not alice.of(e.CallEnded)


def test_a_call_placed_anew_rings_no_longer_than_it_was_to() -> None:
    wire = Wire()
    alice, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.2")
    alice.dial("sip:peer@10.0.0.2", ring_timeout=30)
    settle(wire, 1)
    peer.answer(peer.requests("INVITE")[0], 180, tag="p")
    settle(wire, 20)
    move(alice, "10.0.0.77")
    settle(wire, 1)
    peer.answer(peer.requests("INVITE")[-1], 180, tag="q")
    settle(wire, 9)
    end = alice.of(e.CallEnded)[-1].call.end
    assert end is not None
    assert end.reason == "no answer"


def cut_off_while_it_rings() -> tuple[Wire, VirtualPhone, Peer]:
    """Return a phone whose network went while who it calls rings."""
    wire = Wire()
    alice, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.2")
    alice.dial("sip:peer@10.0.0.2")
    settle(wire, 1)
    peer.answer(peer.requests("INVITE")[0], 180, tag="p")
    settle(wire, 1)
    wire.sources["10.0.0.2"] = ""
    alice.receive(s.NetworkChanged("the network is gone (our address was 10.0.0.1)"))
    return wire, alice, peer


def test_a_network_that_comes_back_as_it_was_leaves_a_call_that_rings() -> None:
    wire, alice, peer = cut_off_while_it_rings()
    settle(wire, 12)
    del wire.sources["10.0.0.2"]
    settle(wire, 60)
    assert [str(each) for each in alice.states] == ["ringing"]
    assert len({each.via.branch for each in peer.requests("INVITE")}) == 1


def test_a_call_that_is_answered_though_there_seems_to_be_no_network_goes_on() -> None:
    wire = Wire()
    alice, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.2")
    alice.dial("sip:peer@10.0.0.2")
    settle(wire, 1)
    wire.sources["10.0.0.2"] = ""  # or the name service says nothing for a while
    alice.receive(s.NetworkChanged("the network is gone (our address was 10.0.0.1)"))
    settle(wire, 3)
    peer.answer(peer.requests("INVITE")[0], 200, tag="p", body=Body("application/sdp", SDP))
    settle(wire, 60)
    assert [str(each) for each in alice.states] == ["active"]


def test_a_call_whose_network_stays_away_before_the_answer_ends() -> None:
    wire, alice, _ = cut_off_while_it_rings()
    settle(wire, 29)
    assert not alice.of(e.CallEnded)
    settle(wire, 2)
    end = alice.of(e.CallEnded)[-1].call.end
    assert end is not None
    assert (end.by, end.sip_status, end.reason) == ("network", 503, "the network was gone before the call was answered")


@pytest.mark.parametrize("broken_first", [True, False])
def test_a_call_by_tcp_that_rings_is_placed_anew_and_cancelled_where_it_rang(broken_first: bool) -> None:
    wire = Wire()
    alice, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.2")
    alice.dial("sip:peer@10.0.0.2;transport=tcp")
    settle(wire, 1)
    first = peer.requests("INVITE")[0]
    peer.answer(first, 180, tag="p")
    settle(wire, 1)
    flow = s.Flow("tcp", alice.node.address, ("10.0.0.2", 5060))
    cut = s.FlowFailed(flow, "our address is gone", True)
    if broken_first:
        alice.node.address, wire.nodes[("10.0.0.77", 5060)] = ("10.0.0.77", 5060), alice.node
        alice.receive(cut)
    move(alice, "10.0.0.77")
    if not broken_first:
        alice.receive(cut)
    settle(wire, 1)
    invites = peer.requests("INVITE")
    assert [each.call_id == first.call_id for each in invites] == [True, False]
    assert first.via.branch in [each.via.branch for each in peer.requests("CANCEL")]
    peer.answer(invites[1], 200, tag="q", body=Body("application/sdp", SDP))
    settle(wire, 1)
    assert [str(each) for each in alice.states] == ["active"]


def test_waking_up_registers_at_once() -> None:
    alice, (first, *_) = world()
    alice.add_account(ACCOUNT)
    settle(alice.wire, 5)
    alice.receive(s.NetworkChanged("this machine has slept for 3600 s"))
    settle(alice.wire, 1)
    assert len(first.peer.requests("REGISTER")) == 2
    assert "this machine has slept for 3600 s" in [event.account.reason for event in alice.of(e.AccountRegistering)]
    assert view(alice).registration == "registered"


def test_a_network_change_that_leaves_our_address_disturbs_no_call() -> None:
    wire = Wire()
    alice, bob = two_phones(wire)
    settle(wire, 1)
    talk(alice, bob)
    sent = len(wire.sent)
    alice.receive(s.NetworkChanged("this machine has slept for 60 s"))
    settle(wire, 2)
    assert len(wire.sent) == sent


# --- two flows at once (RFC 5626)

URN = "urn:uuid:00000000-0000-1000-8000-000a95a0e128"
TWO = replace(ACCOUNT, backups=("sip:second.example",), transport="tcp", keep_alive=0)


class Edge(Server):
    """A server that knows outbound, and whose connections can be cut."""

    def play(self, request: Request) -> None:
        if request.method == "REGISTER":
            contact = f"{request.contacts[0]};expires=600" if request.expires else ""
            self.peer.answer(request, self.status, tag="t", contact=contact, headers=(("Require", "outbound"),))
        elif request.method == "INVITE":
            self.peer.answer(request, 486, tag="b")

    def dies(self) -> None:
        self.peer.node.tcp = False
        self.peer.wire.break_connection(self.peer.node.address, ("10.0.0.1", 5060))

    def returns(self) -> None:
        self.peer.node.tcp = True


def two_edges(account: AccountSettings = TWO) -> tuple[VirtualPhone, list[Edge]]:
    wire = Wire()
    edges = [Edge(wire, f"{name}.example", f"10.0.1.{n}") for n, name in enumerate(("first", "second", "third"), 1)]
    alice = VirtualPhone(wire, "alice", "10.0.0.1", PhoneSettings(instance_id=URN))
    alice.add_account(account)
    settle(wire, 1)
    return alice, edges[: len(account.backups) + 1]


def flows(phone: VirtualPhone) -> list[tuple[int, str, str]]:
    return [(flow.number, flow.server, flow.state) for flow in view(phone).flows]


def test_both_flows_are_shown_and_told() -> None:
    alice, _ = two_edges()
    assert flows(alice) == [(1, "sip:first.example;lr", "registered"), (2, "sip:second.example", "registered")]
    assert [flow.remote for flow in view(alice).flows] == ["10.0.1.1:5060", "10.0.1.2:5060"]
    assert [event.flow.number for event in alice.of(e.AccountFlowUp)] == [1, 2]
    assert len(alice.of(e.AccountRegistered)) == 1
    settle(alice.wire, 3000)
    assert len(alice.of(e.AccountFlowUp)) == 2, "a refresh is not worth an event"
    assert (view(alice).registration, view(alice).server) == ("registered", "sip:first.example;lr")


def test_calls_go_through_the_flow_that_stands_and_back_when_the_first_is_there_again() -> None:
    alice, (first, second) = two_edges()
    settle(alice.wire, 130)
    first.dies()
    settle(alice.wire, 5)
    assert view(alice).registration == "registered"
    assert [event.flow.reason for event in alice.of(e.AccountFlowDown)] == ["connection closed", "connection refused"]
    assert 90 <= (alice.of(e.AccountFlowDown)[-1].flow.retry_in or 0) <= 180
    (moved,) = alice.of(e.AccountFailover)
    assert (moved.account.server, moved.reason) == ("sip:second.example", "connection closed")
    alice.execute(c.Dial(to="1002"))
    settle(alice.wire, 1)
    (invite,) = [each for each in second.peer.requests("INVITE") if each.contacts]
    assert str(invite.routes[0].uri) == "sip:second.example;lr"
    first.returns()
    settle(alice.wire, 180)
    assert alice.of(e.AccountFailover)[-1].account.server == "sip:first.example;lr"
    assert alice.of(e.AccountFlowUp)[-1].flow.number == 1
    assert [flow.retry_in for flow in view(alice).flows] == [None, None], "what stands is not tried again"
    alice.execute(c.Dial(to="1002"))
    settle(alice.wire, 1)
    assert first.peer.requests("INVITE")
    assert not alice.of(e.AccountRegisterFailed)


def test_when_both_are_down_the_account_has_failed_and_each_attempt_is_told() -> None:
    alice, edges = two_edges()
    settle(alice.wire, 130)
    for edge in edges:
        edge.dies()
    settle(alice.wire, 5)
    assert view(alice).registration == "failed"
    assert isinstance(alice.refuses(c.Dial(to="1002")), NotRegistered)
    assert {event.flow.number for event in alice.of(e.AccountFlowDown)} == {1, 2}
    before = [flow.retry_in or 0.0 for flow in view(alice).flows]
    settle(alice.wire, 10)
    assert [flow.retry_in for flow in view(alice).flows] == [pytest.approx(left - 10, abs=0.1) for left in before]
    told = len(alice.of(e.AccountFlowDown))
    settle(alice.wire, 200)
    assert len(alice.of(e.AccountFlowDown)) >= told + 4
    edges[1].returns()
    settle(alice.wire, 120)
    assert (view(alice).registration, view(alice).server) == ("registered", "sip:second.example")
    assert [state for _, _, state in flows(alice)] == ["failed", "registered"]


def test_nobody_keeps_two_flows_who_does_not_want_them() -> None:
    alice, edges = two_edges(replace(TWO, outbound=False))
    assert not flows(alice)
    assert not edges[1].peer.got
    alice.execute(c.UpdateAccount(account="a_1", changes={"outbound": True}))
    settle(alice.wire, 1)
    assert len(flows(alice)) == 2
    alice.execute(c.UpdateAccount(account="a_1", changes={"backups": []}))
    settle(alice.wire, 1)
    assert [each.expires for each in edges[1].peer.requests("REGISTER")][-1] == 0
    assert not flows(alice)
    assert view(alice).registration == "registered"


def test_unregistering_and_removing_ends_both() -> None:
    alice, edges = two_edges()
    alice.execute(c.UnregisterAccount(account="a_1"))
    settle(alice.wire, 1)
    assert len(alice.of(e.AccountUnregistered)) == 1
    assert not flows(alice)
    assert [edge.peer.requests("REGISTER")[-1].expires for edge in edges] == [0, 0]
    alice.execute(c.RegisterAccount(account="a_1"))
    settle(alice.wire, 1)
    assert len(flows(alice)) == 2
    alice.execute(c.RemoveAccount(account="a_1"))
    settle(alice.wire, 1)
    assert [edge.peer.requests("REGISTER")[-1].expires for edge in edges] == [0, 0]
    assert not alice.phone.desk.sip._registrations
