"""Behind a NAT without RFC 5626: what the registrar sees of us (Via received and rport) becomes our Contact."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from msgspec import structs

from offhook.sip import auth, events
from offhook.sip.endpoint import Endpoint
from offhook.sip.message import Request
from offhook.sip.responses import response_to
from offhook.sip.stack import MAX_SEEN
from offhook.sip.uri import Uri
from offhook.testing.endpoints import ANSWER, OFFER, Peer, add_endpoint
from offhook.testing.wire import Node, Wire

OWN, OUTSIDE = "sip:alice@10.0.0.1:5060", "sip:alice@203.0.113.5:40001"


@dataclass
class Nat:
    """A registrar behind a translator: what it sees is `seen`."""

    seen: tuple[str, int] | None = ("203.0.113.5", 40001)
    password: str = ""
    require: str = ""
    rewrite: bool = True
    wire: Wire = field(default_factory=Wire)

    def __post_init__(self) -> None:
        self.peer = Peer(self.wire, "pbx.example", "10.0.0.9")
        self.peer.on_request = self.play
        self.alice: Node = add_endpoint(self.wire, "alice", "10.0.0.1", domain="pbx.example", password=self.password)
        core = self.alice.core
        assert isinstance(core, Endpoint)
        identity = core.identity("alice")
        assert identity is not None
        self.alice.execute(events.SetIdentity(structs.replace(identity, rewrite_contact=self.rewrite)))

    def play(self, request: Request) -> None:
        if request.method == "REGISTER":
            given = request.headers.get("Authorization") or ""
            if self.password and not auth.verify(given, method="REGISTER", password=self.password):
                self.answer(request, 401, (("WWW-Authenticate", auth.make_challenge("pbx", "n", algorithm="SHA-256")),))
            else:
                required = (("Require", self.require),) if self.require else ()
                self.answer(request, 200, (("Contact", f"{request.contacts[0]};expires=300"), *required))

    def answer(self, request: Request, status: int, headers: tuple[tuple[str, str], ...] = ()) -> None:
        response = response_to(request, status, "", "t", list(headers))
        if self.seen is not None:
            via = request.via.with_param("received", self.seen[0]).with_param("rport", str(self.seen[1]))
            response.headers.set("Via", str(via))
        if request.method == "INVITE" and status == 200:
            response.headers.set("Contact", "<sip:peer@10.0.0.9>")
            response.headers.set("Content-Type", ANSWER.content_type)
            response.body = ANSWER.data
        self.peer.send(response)

    def register(self) -> list[list[str]]:
        """Register; return the Contacts of each REGISTER that had them taken."""
        self.alice.execute(events.Register("alice"))
        self.wire.run(self.wire.now + 1)
        return [[str(each.uri) for each in request.contacts] for request in self.peer.requests("REGISTER")]


def test_a_challenge_tells_before_anything_is_bound() -> None:
    nat = Nat(password="secret")
    assert nat.register() == [[OWN], [OUTSIDE]]
    assert len(nat.alice.of(events.Registered)) == 1


def test_without_a_challenge_it_is_said_again_and_the_first_is_taken_away() -> None:
    nat = Nat()
    assert nat.register() == [[OWN], [OUTSIDE, OWN]]
    assert "expires=0" in str(nat.peer.requests("REGISTER")[1].contacts[1])
    told = nat.alice.of(events.Registering, events.Registered)
    assert [type(each) for each in told] == [events.Registering, events.Registered]
    nat.wire.run(280)
    assert nat.register()[2:] == [[OUTSIDE], [OUTSIDE]]


@pytest.mark.parametrize("seen", [None, ("10.0.0.1", 5060), ("no-address", 5060)])
def test_who_sees_us_as_we_are_is_told_no_other(seen: tuple[str, int] | None) -> None:
    assert Nat(seen).register() == [[OWN]]


def test_it_can_be_switched_off() -> None:
    assert Nat(rewrite=False).register() == [[OWN]]


def test_a_registrar_that_knows_the_flow_needs_no_address() -> None:
    assert Nat(require="outbound").register() == [[OWN]]


def test_a_nat_that_moves_us_each_time_is_no_storm() -> None:
    nat = Nat()
    answer = nat.answer

    def moving(request: Request, status: int, headers: tuple[tuple[str, str], ...] = ()) -> None:
        nat.seen = ("203.0.113.5", 40000 + request.cseq.number)
        answer(request, status, headers)
    nat.answer = moving  # type: ignore[method-assign]
    assert len(nat.register()) == 3
    assert len(nat.alice.of(events.Registered)) == 1


def test_a_new_address_of_the_nat_is_noticed_at_the_next_refresh() -> None:
    nat = Nat()
    nat.register()
    nat.seen = ("203.0.113.6", 40002)
    nat.wire.run(299)
    last = [[str(each.uri) for each in request.contacts] for request in nat.peer.requests("REGISTER")][-1]
    assert last == ["sip:alice@203.0.113.6:40002", OUTSIDE]
    assert nat.alice.of(events.Registered)[-1].moved


def test_calls_say_it_too_both_ways_but_not_to_others() -> None:
    nat = Nat()
    nat.register()
    nat.alice.execute(events.Invite("c", "alice", Uri.sip("x", "pbx.example"), OFFER))
    nat.wire.run(nat.wire.now + 0.1)
    invite = nat.peer.requests("INVITE")[0]
    assert str(invite.contacts[0].uri) == OUTSIDE
    assert invite.via.host == "10.0.0.1"
    nat.answer(invite, 200)
    other = Peer(nat.wire, "other", "10.0.0.7")
    nat.alice.execute(events.Invite("d", "alice", Uri.sip("x", "10.0.0.7"), OFFER))
    nat.wire.run(nat.wire.now + 0.1)
    assert str(other.requests("INVITE")[0].contacts[0].uri) == OWN
    text = (
        "INVITE sip:alice@203.0.113.5:40001 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
        "From: <sip:p@pbx.example>;tag=f\r\nTo: <sip:alice@pbx.example>\r\nCall-ID: in\r\nCSeq: 1 INVITE\r\n"
        "Contact: <sip:p@10.0.0.9>\r\nContent-Length: 0\r\n\r\n"
    )
    nat.peer.send(text.encode(), nat.alice)
    nat.wire.run(nat.wire.now + 0.1)
    session = nat.alice.of(events.SessionIncoming)[0].session
    nat.alice.execute(events.Progress(session))
    nat.wire.run(nat.wire.now + 0.1)
    assert str(nat.peer.responses("INVITE")[-1].contacts[0].uri) == OUTSIDE


def test_another_network_is_another_matter() -> None:
    nat = Nat()
    nat.register()
    nat.seen = None
    nat.alice.receive(events.NetworkChanged("moved"))
    nat.wire.run(nat.wire.now + 1)
    assert str(nat.peer.requests("REGISTER")[-1].contacts[0].uri) == OWN


def test_the_memory_of_it_is_bounded() -> None:
    nat = Nat()
    stack = nat.alice.core._stack  # type: ignore[attr-defined]
    nat.register()
    response = response_to(nat.peer.requests("REGISTER")[-1], 200, "", "t", [])
    response.headers.set("Via", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;received=203.0.113.5;rport=9")
    for number in range(2 * MAX_SEEN):
        stack.learn(events.Flow("udp", ("10.0.0.1", 5060), ("10.1.0.1", number)), response)
    assert len(stack._seen) == MAX_SEEN
