"""Two flows of one registration (RFC 5626) against hand-played edge proxies, in virtual time."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from msgspec import structs

from offhook.sip import events
from offhook.sip.endpoint import Endpoint
from offhook.sip.events import Identity, NetworkChanged, TransportName
from offhook.sip.keepalive import PING, is_stun
from offhook.sip.message import Request
from offhook.sip.outbound import TOLD_ONCE
from offhook.sip.parsing import parse_message
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.endpoints import OFFER, Peer
from offhook.testing.ids import SeededIds
from offhook.testing.wire import Node, Sent, Wire

URN = "urn:uuid:00000000-0000-1000-8000-000a95a0e128"
OUTBOUND = (("Require", "outbound"), ("Flow-Timer", "30"))


class Edge:
    """An edge proxy: it grants everything, says that it knows outbound, and answers keep-alives unless it is `deaf`."""

    def __init__(self, wire: Wire, name: str, host: str) -> None:
        self.wire = wire
        self.peer = Peer(wire, name, host)
        self.peer.raw.on_input = self._arrived
        self.headers: tuple[tuple[str, str], ...] = OUTBOUND
        self.status = 200
        self.deaf = False
        self.flow: events.Flow | None = None
        self.pings = 0
        self.bound: dict[str, str] = {}

    @property
    def address(self) -> tuple[str, int]:
        return self.peer.node.address

    def _arrived(self, happened: Any, _now: float) -> None:
        if self.deaf or not isinstance(happened, events.Datagram | events.StreamChunk):
            return
        data = happened.data
        if data == PING or is_stun(data):
            self.pings += 1
            answer = b"\r\n" if data == PING else b"\x01\x01\x00\x00" + data[4:20]
            self.peer.node.execute(events.Transmit(happened.flow, answer))
            return
        message = parse_message(data)
        self.peer.got.append(message)
        self.flow = self.peer._flow = happened.flow
        if isinstance(message, Request) and message.method == "REGISTER":
            self._register(message)

    def _register(self, request: Request) -> None:
        contact = request.contacts[0]
        if self.status == 200:
            number = contact.param("reg-id") or ""
            if request.expires:
                self.bound[number] = contact.param("+sip.instance") or ""
            else:
                self.bound.pop(number, None)
        granted = f"{contact};expires=600" if request.expires else ""
        self.peer.answer(request, self.status, tag="t", contact=granted, headers=self.headers if self.status == 200 else ())

    def dies(self) -> None:
        """Close the connection, and take none."""
        self.peer.node.tcp = False
        if self.flow is not None:
            self.wire.break_connection(self.flow.local, self.flow.remote)

    def returns(self) -> None:
        """Take connections."""
        self.peer.node.tcp = True

    def calls(self) -> None:
        """Send an INVITE over the flow that was registered."""
        assert self.flow is not None
        flow, host, branch = self.flow, self.address[0], f"z9hG4bK{self.wire.now}"
        invite = (
            f"INVITE sip:alice@10.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/{flow.transport.upper()} {host}:5060;branch={branch}"
            f"\r\nMax-Forwards: 70\r\nFrom: <sip:bob@pbx.example>;tag=b{self.wire.now}\r\nTo: <sip:alice@pbx.example>\r\n"
            f"Call-ID: c{self.wire.now}\r\nCSeq: 1 INVITE\r\nContact: <sip:bob@{host}>\r\nContent-Type: application/sdp\r\n"
            f"Content-Length: {len(OFFER.data)}\r\n\r\n"
        )
        self.peer.node.execute(events.Transmit(flow, invite.encode() + OFFER.data))


class World:
    """A phone with an account at some edges; `transport` is what they speak."""

    def __init__(self, names: tuple[str, ...] = ("one", "two"), transport: TransportName = "tcp", *, keep_alive: float = 60.0,
                 instance: str = URN) -> None:
        self.wire = Wire()
        self.edges = [Edge(self.wire, f"{name}.example", f"10.0.1.{place}") for place, name in enumerate(names, 1)]
        servers = tuple(dict.fromkeys(Uri.parse(f"sip:{name}.example;lr") for name in names))
        self.alice: Node = self.wire.add("alice", Endpoint(SeededIds("alice")), ("10.0.0.1", 5060))
        self.alice.execute(events.SetIdentity(Identity(
            "a", NameAddr(Uri.sip("alice", "pbx.example")), proxy=servers[0], proxies=servers, transport=transport,
            contact_user="alice", instance=instance, keep_alive=keep_alive,
        )))  # fmt: skip

    def register(self) -> list[Edge]:
        self.alice.execute(events.Register("a", 600))
        self.pass_(1)
        return self.edges

    def pass_(self, seconds: float) -> None:
        self.wire.run(self.wire.now + seconds)

    def told(self, number: int = 0) -> list[events.RegistrationFlow]:
        return [each for each in self.alice.of(events.RegistrationFlow) if not number or each.number == number]

    def attempts(self, edge: Edge) -> list[float]:
        return [each.at for each in self.wire.sent if _is_register(each, edge)]

    def rings(self, edge: Edge) -> bool:
        before = len(self.alice.of(events.SessionIncoming))
        edge.calls()
        self.pass_(0.1)
        return len(self.alice.of(events.SessionIncoming)) == before + 1


def _is_register(sent: Sent, edge: Edge) -> bool:
    return sent.destination == edge.address and sent.data.startswith(b"REGISTER")


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_both_flows_are_registered_and_kept_alive_and_calls_come_over_either(transport: TransportName) -> None:
    world = World(transport=transport)
    one, two = world.register()
    assert (one.bound, two.bound) == ({"1": f"<{URN}>"}, {"2": f"<{URN}>"})
    assert [(each.number, each.server, each.state, each.remote) for each in world.told()] == [
        (1, 0, "registered", one.address), (2, 1, "registering", None), (2, 1, "registered", two.address),
    ]  # fmt: skip
    assert len({each.peer.requests("REGISTER")[0].call_id for each in (one, two)}) == 2
    assert world.rings(one)
    assert world.rings(two)
    world.pass_(200)
    assert one.pings >= 6
    assert two.pings >= 6
    assert not world.alice.of(events.RegistrationLost)


def test_one_flow_dies_and_is_made_again_with_the_rfcs_waits_while_the_other_carries_calls() -> None:
    world = World()
    one, two = world.register()
    world.pass_(60)  # its keep-alives were answered
    one.dies()
    world.pass_(2)
    assert world.rings(two)
    assert [each.state for each in world.told(1)][-3:] == ["failed", "registering", "failed"]  # the loss, an attempt at once
    world.pass_(4 * 3600)
    waits = gaps(world.attempts(one)[-9:])
    assert world.attempts(one)[1] - 61 < 2
    # RFC 5626 4.5: 90 s doubled with each failure, the first included, drawn between half of it and all, at most 1800 s
    for wait, most in zip(gaps(world.attempts(one)[1:6]), (180, 360, 720, 1440), strict=True):
        assert most / 2 <= wait <= most
    assert all(900 <= wait <= 1800 for wait in waits[-3:])
    assert not world.alice.of(events.RegistrationLost, events.RegistrationFailed)
    assert world.told(1)[-1].retry_in is not None
    one.returns()
    world.pass_(1800)
    assert world.told(1)[-1].state == "registered"
    assert world.rings(one)
    assert world.rings(two)


def test_a_call_goes_out_over_the_flow_that_stands() -> None:
    world = World()
    one, two = world.register()
    two.dies()
    world.pass_(2)
    assert [each.number for each in world.told() if each.state == "failed"] == [2, 2]
    world.alice.execute(events.Invite("c", "a", Uri.sip("bob", "pbx.example"), OFFER))
    world.pass_(0.1)
    (invite,) = one.peer.requests("INVITE")
    assert invite.contacts[0].uri.has_param("ob")
    assert str(invite.routes[0].uri) == "sip:one.example;lr"


def test_when_both_die_it_is_told_and_both_are_tried_until_one_is_there() -> None:
    world = World()
    one, two = world.register()
    world.pass_(60)
    one.dies()
    two.dies()
    world.pass_(2)
    (lost,) = world.alice.of(events.RegistrationLost)
    assert lost.reason == "connection closed"
    assert world.alice.of(events.RegistrationFailed)
    world.pass_(600)
    first, *others = gaps(world.attempts(two)[1:])
    assert 30 <= first <= 60  # RFC 5626 4.5: no other flow stands
    assert all(60 <= wait <= 120 for wait in others), "who cannot be reached is asked every two minutes"
    two.returns()
    world.pass_(120)
    assert world.told(2)[-1].state == "registered"
    assert len(world.alice.of(events.Registered)) == 3
    assert world.rings(two)
    before = len(world.attempts(one))
    world.pass_(80)
    assert len(world.attempts(one)) <= before + 1, "from now on there is no hurry"
    one.returns()
    world.pass_(2000)
    assert world.rings(one)


def test_a_registrar_that_does_not_know_outbound_gets_one_registration() -> None:
    world = World()
    world.edges[0].headers = ()
    one, two = world.register()
    world.pass_(3000)
    assert one.bound
    assert not two.peer.got
    assert not world.told()
    # the phone is not told apart from others either
    world = World(instance="")
    _, two = world.register()
    assert not two.peer.got


def test_a_second_server_that_does_not_know_outbound_is_left_again() -> None:
    world = World()
    world.edges[1].headers = ()
    one, two = world.register()
    assert one.bound
    assert not two.bound, "its binding would be another phone's"
    assert [each.expires for each in two.peer.requests("REGISTER")] == [600, 0]
    assert [(each.state, each.reason) for each in world.told()[-2:]] == [("ended", TOLD_ONCE)] * 2
    world.pass_(3000)
    assert len(two.peer.requests("REGISTER")) == 2
    assert not world.alice.of(events.RegistrationEnded)
    assert world.rings(one)


def test_a_way_that_lacks_outbound_is_not_taken_for_the_second() -> None:
    world = World()
    world.edges[1].status = 439
    _, two = world.register()
    world.pass_(3000)
    assert len(two.peer.requests("REGISTER")) == 1
    assert world.told()[-1].state == "ended"
    assert world.alice.of(events.Registered)


def test_a_registrar_that_forgets_outbound_has_one_registration_from_then_on() -> None:
    world = World()
    one, two = world.register()
    one.headers = ()
    world.pass_(600)
    assert one.bound
    assert not two.bound
    assert world.told()[-1].state == "ended"


def test_the_second_flow_is_refused_and_the_account_stays_registered() -> None:
    world = World()
    world.edges[1].status = 403
    _, two = world.register()
    assert not world.alice.of(events.RegistrationFailed)
    assert (world.told(2)[-1].state, world.told(2)[-1].reason) == ("failed", "Forbidden")
    two.status = 200
    world.pass_(181)
    assert two.bound


def test_a_third_server_takes_the_place_of_one_that_is_gone() -> None:
    world = World(("one", "two", "three"))
    one, two, three = world.register()
    assert not three.peer.got
    two.dies()
    world.pass_(3)
    assert three.bound == {"2": f"<{URN}>"}
    assert (world.told(2)[-1].server, world.told(2)[-1].state) == (2, "registered")
    three.dies()
    world.pass_(3)
    assert len(world.attempts(two)) == 3, "asked once more, and after that with the waits of the RFC"
    world.pass_(80)
    assert len(world.attempts(two)) == 3
    assert one.bound


def test_one_name_with_two_addresses_has_a_flow_to_each() -> None:
    world = World(("pbx", "pbx"))
    one, two = world.register()
    assert (list(one.bound), list(two.bound)) == (["1"], ["2"])
    world.pass_(40)
    one.dies()
    world.pass_(2)
    assert list(two.bound) == ["2"], "the other's address is not taken for it"
    world.alice.execute(events.Invite("c", "a", Uri.sip("bob", "pbx.example"), OFFER))
    world.pass_(0.1)
    assert two.peer.requests("INVITE")
    one.returns()
    world.pass_(200)
    assert world.rings(one)


def test_one_name_with_one_address_has_one_flow_and_nothing_is_told() -> None:
    world = World(("pbx",))
    (one,) = world.register()
    world.pass_(3000)
    assert list(one.bound) == ["1"]
    assert not world.told()
    assert {each.contacts[0].param("reg-id") for each in one.peer.requests("REGISTER")} == {"1"}


def test_a_dead_connection_is_found_by_its_keep_alives() -> None:
    world = World()
    one, two = world.register()
    world.pass_(40)
    one.deaf = True
    world.pass_(30 + 10)
    assert world.told(1)[-2].reason == "no answer to keep-alives"
    assert world.rings(two)
    assert not world.alice.of(events.RegistrationLost)


def test_a_silent_udp_flow_is_found_by_stun() -> None:
    world = World(transport="udp")
    one, two = world.register()
    world.pass_(40)
    one.deaf = True
    world.pass_(30 + 40)
    assert "no answer to keep-alives" in [each.reason for each in world.told(1)]
    world.alice.execute(events.SendRequest("o", "a", "OPTIONS", Uri.sip("x", "pbx.example")))
    assert world.rings(two)


def test_a_flow_that_breaks_again_and_again_is_not_made_every_second() -> None:
    world = World()
    one, _ = world.register()
    for _ in range(100):
        if one.flow is not None:
            world.wire.break_connection(one.flow.local, one.flow.remote)
        world.pass_(2)
    assert len(world.attempts(one)) <= 4
    world.pass_(400)
    assert world.told(1)[-1].state == "registered"


def test_unregistering_removes_both_bindings_and_is_told_once() -> None:
    world = World()
    one, two = world.register()
    world.alice.execute(events.Unregister("a"))
    world.pass_(1)
    assert (one.bound, two.bound) == ({}, {})
    assert world.alice.of(events.RegistrationEnded) == [events.RegistrationEnded("a")]
    world.pass_(2000)
    assert set(world.alice.core.statistics().values()) == {0}  # type: ignore[attr-defined]  # an Endpoint
    # and again
    world.register()
    assert list(two.bound) == ["2"]


def test_another_network_means_both_at_once() -> None:
    world = World()
    one, two = world.register()
    world.alice.receive(NetworkChanged("our address is another one now"))
    world.pass_(1)
    assert len(one.peer.requests("REGISTER")) == len(two.peer.requests("REGISTER")) == 2
    assert len(world.alice.of(events.RegistrationLost)) == 1
    assert [each.state for each in world.told(1)][-3:] == ["failed", "registering", "registered"]


def test_a_removed_identity_is_silent() -> None:
    world = World()
    one, two = world.register()
    world.alice.execute(events.RemoveIdentity("a"))
    world.pass_(3000)
    assert len(one.peer.requests("REGISTER")) == len(two.peer.requests("REGISTER")) == 1


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("seed", range(20))
def test_whatever_dies_and_returns_two_flows_stand_in_the_end(seed: int, transport: TransportName) -> None:
    chance = random.Random(seed)  # repeatable is the point
    world = World(("one", "two", "three")[: chance.randint(2, 3)], transport)
    world.register()
    for _ in range(25):
        edge = chance.choice(world.edges)
        match chance.randrange(7):
            case 0:
                edge.dies()
            case 1:
                edge.returns()
            case 2:
                edge.deaf = not edge.deaf
            case 3:
                edge.status = chance.choice((200, 200, 403, 500, 503))
            case 4 if edge.flow is not None:
                world.wire.break_connection(edge.flow.local, edge.flow.remote)
            case 5:
                world.alice.receive(NetworkChanged("another one"))
            case _:
                world.alice.execute(events.Register("a", 600))
        world.pass_(chance.choice((0.0, 0.05, 1.0, 20.0, 400.0)))
        check_states(world)
    for edge in world.edges:
        edge.returns()
        edge.deaf, edge.status = False, 200
    world.pass_(2 * 1800 + 700)
    last = {number: world.told(number)[-1] for number in (1, 2)}
    assert [each.state for each in last.values()] == ["registered", "registered"]
    assert last[1].remote != last[2].remote
    world.alice.execute(events.Unregister("a"))
    world.pass_(200)
    assert set(world.alice.core.statistics().values()) == {0}  # type: ignore[attr-defined]  # an Endpoint


def check_states(world: World) -> None:
    """AssertionError if what is told of the account does not fit what is told of its flows."""
    kinds = (events.Registered, events.RegistrationLost, events.RegistrationFailed)
    whole = isinstance(world.alice.of(*kinds)[-1], events.Registered)
    flows = [told[-1] for number in (1, 2) if (told := world.told(number))]
    if len(flows) == 2 and all(flow.state != "ended" for flow in flows):
        stand = [flow.remote for flow in flows if flow.state == "registered"]
        assert whole is bool(stand), [flow.state for flow in flows]
        assert len(stand) == len(set(stand)), "both lead to the same address"


def test_a_second_flow_waits_until_the_former_ones_binding_is_gone() -> None:
    world = World(("one", "two", "three"))
    _, two, three = world.register()
    former = two.peer.raw.on_input
    two.peer.raw.on_input = None  # what is sent there takes its time
    identity = world.alice.core._stack.identities["a"]  # type: ignore[attr-defined]  # an Endpoint
    world.alice.execute(events.SetIdentity(structs.replace(identity, proxy=identity.proxies[2])))
    world.alice.execute(events.Register("a", 600))
    world.pass_(1)
    assert list(three.bound) == ["1"]
    assert len(world.edges[0].peer.requests("REGISTER")) == 1, "a binding with this reg-id is on its way to be removed"
    two.peer.raw.on_input = former
    late = two.peer.raw.inputs[-1]
    assert former is not None
    former(late, world.wire.now)
    world.pass_(1)
    assert not two.bound
    assert "2" in world.edges[0].bound


def test_registering_by_command_leaves_both_where_they_are() -> None:
    world = World()
    one, two = world.register()
    identity = world.alice.core._stack.identities["a"]  # type: ignore[attr-defined]  # an Endpoint
    world.alice.execute(events.SetIdentity(structs.replace(identity, proxy=identity.proxies[1])))  # calls go by the second now
    world.register()
    assert [each.expires for each in two.peer.requests("REGISTER")] == [600, 600]
    assert (list(one.bound), list(two.bound)) == (["1"], ["2"])
