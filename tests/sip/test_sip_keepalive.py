"""Signs of life on a registered flow, in virtual time, and registrations that follow their flow."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from offhook.sip import events
from offhook.sip.endpoint import Endpoint
from offhook.sip.events import Datagram, Flow, FlowFailed, Identity, NetworkChanged, StreamChunk
from offhook.sip.keepalive import PING, PONG_WITHIN, is_stun
from offhook.sip.message import Request
from offhook.sip.parsing import parse_message
from offhook.sip.responses import response_to
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.ids import SeededIds

LOCAL, REMOTE = ("10.0.0.1", 5060), ("10.0.0.9", 5060)
URN = "urn:uuid:00000000-0000-1000-8000-000a95a0e128"
HEADERS = tuple[tuple[str, str], ...]


class Bench:
    """One endpoint whose registrar, name service and clock are played by hand."""

    def __init__(self, transport: str = "tcp", *, instance: str = "", keep_alive: float = 60.0) -> None:
        self.core = Endpoint(SeededIds("keep"))
        self.now = 0.0
        self.transport = transport
        self.flows: list[Flow] = [Flow(transport, LOCAL, REMOTE)]  # type: ignore[arg-type]  # one of TransportName
        self.sent: list[events.Transmit] = []
        self.outputs: list[Any] = []
        self.headers: HEADERS = ()
        self.silent = False
        self.status = 200
        address = NameAddr(Uri.sip("alice", "pbx.example"))
        identity = Identity("a", address, transport=transport, contact_user="alice", instance=instance,  # type: ignore[arg-type]
                            keep_alive=keep_alive)
        self.do(events.SetIdentity(identity))

    def do(self, command: Any) -> None:
        self.core.execute(command, self.now)
        self.drain()

    def give(self, item: Any) -> None:
        self.core.receive(item, self.now)
        self.drain()

    def drain(self) -> None:
        while (output := self.core.poll()) is not None:
            if isinstance(output, events.Resolve):
                self.core.receive(events.Resolved(output.query, tuple(self.flows)), self.now)
            elif isinstance(output, events.Transmit):
                self.sent.append(output)
                if output.data[:8] == b"REGISTER" and not self.silent:
                    self.answer(output)
            else:
                self.outputs.append(output)

    def answer(self, output: events.Transmit) -> None:
        request = parse_message(output.data)
        assert isinstance(request, Request)
        mine = [str(contact) for contact in request.contacts if contact.param("expires") != "0"]
        contacts = tuple(("Contact", f"{each};expires=600") for each in mine if request.expires)
        response = response_to(request, self.status, "", "t", (*contacts, *self.headers))
        chunk = Datagram if output.flow.transport in ("udp", "ws", "wss") else StreamChunk
        self.core.receive(chunk(output.flow, response.encode()), self.now)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.core.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.core.timeout(self.now)
            self.drain()
        self.now = end

    def until_ping(self, number: int) -> None:
        """Run until our ping of this number has just left."""
        while self.pings() < number:
            self.run(1)

    def registers(self) -> list[Request]:
        found = [parse_message(each.data) for each in self.sent if each.data[:8] == b"REGISTER"]
        return [each for each in found if isinstance(each, Request)]

    def pings(self) -> int:
        return sum(each.data == PING for each in self.sent)

    def of(self, kind: type) -> list[Any]:
        return [each for each in self.outputs if isinstance(each, kind)]


def registered(transport: str = "tcp", **options: Any) -> Bench:
    bench = Bench(transport, **options)
    bench.do(events.Register("a", 600))
    assert bench.of(events.Registered)
    return bench


# --- keep-alives


@pytest.mark.parametrize("transport", ["tcp", "tls", "ws", "wss"])
def test_a_connection_is_pinged_and_one_that_answered_once_must_go_on(transport: str) -> None:
    bench = registered(transport)
    bench.until_ping(1)
    assert 48 <= bench.now <= 61
    # RFC 7118 5.1: a WebSocket has messages, and a pong is one
    chunk = Datagram if transport in ("ws", "wss") else StreamChunk
    bench.give(chunk(bench.flows[0], b"\r\n"))
    bench.until_ping(2)
    assert len(bench.registers()) == 1
    bench.run(PONG_WITHIN + 2)
    assert bench.of(events.CloseFlow) == [events.CloseFlow(bench.flows[0])]
    assert bench.of(events.RegistrationLost)[0].reason == "no answer to keep-alives"
    assert len(bench.registers()) == 2


def test_the_connection_of_an_identity_that_is_gone_is_pinged_no_more() -> None:
    bench = registered()
    bench.until_ping(1)
    bench.do(events.RemoveIdentity("a"))
    bench.run(600)
    assert bench.pings() == 1


def test_what_comes_after_the_pings_have_ended_is_a_ping_and_no_late_answer() -> None:
    bench = registered()
    bench.until_ping(1)
    bench.do(events.Unregister("a"))
    bench.give(StreamChunk(bench.flows[0], b"\r\n\r\n"))
    assert bench.sent[-1].data == b"\r\n"


def test_one_that_never_answers_is_pinged_and_believed() -> None:
    bench = registered()
    bench.run(290)
    assert bench.pings() >= 4
    assert not bench.of(events.CloseFlow)


def test_an_answer_is_no_ping_and_a_ping_is_answered() -> None:
    bench = registered()
    bench.until_ping(1)
    bench.give(StreamChunk(bench.flows[0], b"\r\n"))
    bench.until_ping(2)
    bench.give(StreamChunk(bench.flows[0], b"\r\n\r\n\r\n"))  # the answer, and a ping of theirs in the same chunk
    assert bench.sent[-1].data == b"\r\n"
    bench.run(PONG_WITHIN + 1)
    assert not bench.of(events.CloseFlow)


@pytest.mark.parametrize(("keep_alive", "pings"), [(20.0, (5, 6)), (0.0, (0,)), (60.0, (1, 2))])
def test_another_pause_between_pings_holds_at_once_over_the_same_connection(keep_alive: float, pings: tuple[int, ...]) -> None:
    bench = registered()
    identity = bench.core.identity("a")
    assert identity is not None
    bench.do(events.SetIdentity(structs.replace(identity, keep_alive=keep_alive)))
    bench.do(events.Register("a", 600))
    bench.run(100)
    assert bench.pings() in pings
    assert not bench.of(events.CloseFlow)
    assert not bench.of(events.RegistrationLost)


def test_udp_needs_no_keep_alive_where_nothing_translates() -> None:
    bench = registered("udp")
    bench.run(290)
    assert bench.pings() == 0


def test_a_registrar_that_asks_for_signs_of_life_gets_them_by_udp_too() -> None:
    bench = Bench("udp")
    bench.headers = (("Flow-Timer", "20"),)
    bench.do(events.Register("a", 600))
    bench.run(100)
    assert 5 <= bench.pings() <= 6


@pytest.mark.parametrize("status", [500, 503, 0])
def test_what_is_bound_is_reached_after_a_refresh_that_failed(status: int) -> None:
    bench = Bench("udp", keep_alive=20)
    bench.headers = (("Flow-Timer", "20"),)
    bench.do(events.Register("a", 600))
    bench.status, bench.silent = status or 200, not status
    while not bench.of(events.RegistrationFailed):
        bench.run(1)
    before = bench.pings()
    bench.run(600 - bench.now)
    assert bench.pings() > before
    bench.run(2000)
    before = bench.pings()
    bench.run(2000)
    assert bench.pings() == before, "nothing is bound any more"
    bench.status, bench.silent = 200, False
    bench.do(events.Register("a", 600))
    before = bench.pings()
    bench.run(100)
    assert 5 <= bench.pings() - before <= 6


def test_udp_behind_address_translation_is_kept_open() -> None:
    bench = Bench("udp")

    def translated(output: events.Transmit) -> None:
        request = parse_message(output.data)
        assert isinstance(request, Request)
        request.headers.set("Via", f"{request.headers.get('Via')};received=198.51.100.7".replace(";rport", ";rport=1024"))
        response = response_to(request, 200, "", "t", [("Contact", f"{request.contacts[0]};expires=600")])
        bench.core.receive(Datagram(output.flow, response.encode()), bench.now)

    bench.answer = translated  # type: ignore[method-assign]
    bench.do(events.Register("a", 600))
    bench.run(100)
    assert 4 <= bench.pings() <= 5


def test_a_registrar_that_does_outbound_is_asked_by_stun_and_a_new_mapped_address_is_a_new_flow() -> None:
    bench = Bench("udp", instance=URN, keep_alive=30)
    bench.headers = (("Require", "outbound"), ("Flow-Timer", "20"))
    bench.do(events.Register("a", 600))
    bench.run(21)
    assert is_stun(bench.sent[-1].data)
    bench.give(Datagram(bench.flows[0], binding(bench.sent[-1].data, b"\x00\x01\x12\x34\x01\x02\x03\x04")))
    bench.run(21)
    bench.give(Datagram(bench.flows[0], binding(bench.sent[-1].data, b"\x00\x01\x12\x34\x01\x02\x03\x05")))
    assert "has changed" in bench.of(events.RegistrationLost)[0].reason
    bench.run(2)
    assert len(bench.registers()) == 2


def test_an_answer_without_an_address_says_nothing_of_another_flow() -> None:
    bench = Bench("udp", instance=URN, keep_alive=30)
    bench.headers = (("Require", "outbound"), ("Flow-Timer", "20"))
    bench.do(events.Register("a", 600))
    for mapped in (True, False, True):
        bench.run(21)
        answer = binding(bench.sent[-1].data, b"\x00\x01\x12\x34\x01\x02\x03\x04")
        bench.give(Datagram(bench.flows[0], answer if mapped else answer[:2] + b"\x00\x00" + answer[4:20]))
    assert not bench.of(events.RegistrationLost)


@pytest.mark.parametrize("other", ["the same", "another port", "another address"])
def test_a_mapped_address_of_ipv6_is_read_whatever_stands_before_it(other: str) -> None:
    bench = Bench("udp", instance=URN, keep_alive=30)
    bench.headers = (("Require", "outbound"), ("Flow-Timer", "20"))
    bench.do(events.Register("a", 600))
    for port, last in ((4000, 15), (4001 if other == "another port" else 4000, 16 if other == "another address" else 15)):
        bench.run(21)
        asked = bench.sent[-1].data
        # RFC 8489 14.2: the address is mixed with the cookie and the transaction, so its bytes are others each time
        address, key = port.to_bytes(2, "big") + bytes(range(15)) + bytes([last]), asked[4:6] + asked[4:20]
        value = b"\x00\x02" + bytes(a ^ b for a, b in zip(address, key, strict=True))
        software = b"\x80\x22\x00\x05offhk\x00\x00\x00"
        attributes = software + b"\x00\x20\x00\x14" + value
        bench.give(Datagram(bench.flows[0], b"\x01\x01" + len(attributes).to_bytes(2, "big") + asked[4:20] + attributes))
    assert bool(bench.of(events.RegistrationLost)) == (other != "the same")


@pytest.mark.parametrize("strange", ["another transaction", "a refusal"])
def test_stun_that_is_no_answer_to_ours_is_none(strange: str) -> None:
    bench = Bench("udp", instance=URN, keep_alive=30)
    bench.headers = (("Require", "outbound"),)
    bench.do(events.Register("a", 600))
    bench.run(30)
    for _ in range(60):
        asked = bench.sent[-1].data
        answer = binding(asked if strange == "a refusal" else asked[:8] + b"x" * 12, b"\x00\x01\x12\x34\x01\x02\x03\x04")
        bench.give(Datagram(bench.flows[0], b"\x01\x11" + answer[2:] if strange == "a refusal" else answer))
        bench.run(1)
    assert bench.of(events.RegistrationLost)


def test_stun_without_an_answer_is_a_dead_flow() -> None:
    bench = Bench("udp", instance=URN, keep_alive=30)
    bench.headers = (("Require", "outbound"),)
    bench.do(events.Register("a", 600))
    while not is_stun(bench.sent[-1].data):
        bench.run(0.5)
    bench.run(39)
    assert not bench.of(events.RegistrationLost), "RFC 8489 6.2.1: 39.5 s"
    bench.run(0.6)
    assert sum(is_stun(each.data) for each in bench.sent) == 7
    assert bench.of(events.RegistrationLost)


def binding(request: bytes, mapped: bytes) -> bytes:
    return b"\x01\x01\x00\x0c" + request[4:20] + b"\x00\x20\x00\x08" + mapped


# --- flows that fail


def test_a_lost_connection_is_replaced_within_a_second_and_the_old_contact_goes() -> None:
    bench = registered("tls")
    bench.flows = [structs.replace(bench.flows[0], local=("10.0.0.1", 40001))]
    bench.give(FlowFailed(Flow("tls", LOCAL, REMOTE), "the peer closed the connection", True))
    (lost,) = bench.of(events.RegistrationLost)
    assert lost.reason == "the peer closed the connection"
    bench.run(1)
    contacts = [str(each) for each in bench.registers()[1].contacts]
    assert contacts == ["<sip:alice@10.0.0.1:40001;transport=tls>", "<sip:alice@10.0.0.1:5060;transport=tls>;expires=0"]
    assert len(bench.of(events.Registered)) == 2
    bench.run(30)
    assert len(bench.registers()) == 2


@pytest.mark.parametrize("happened", ["lost", "moved"])
def test_what_is_sent_before_a_lost_connection_is_replaced_takes_another_one(happened: str) -> None:
    bench = registered("tls")
    old, new = bench.flows[0], structs.replace(bench.flows[0], local=("10.0.0.1", 40001))
    bench.flows, bench.silent = [new], True
    bench.give(FlowFailed(old, "the peer closed the connection", True) if happened == "lost" else NetworkChanged("moved"))
    bench.do(events.SendRequest("o", "a", "OPTIONS", Uri.sip("x", "pbx.example")))
    assert (bench.sent[-1].data[:7], bench.sent[-1].flow) == (b"OPTIONS", new)


def test_the_failure_of_another_connection_changes_nothing() -> None:
    bench = registered()
    bench.give(FlowFailed(Flow("tcp", LOCAL, ("10.0.0.8", 5060)), "gone", True))
    bench.give(FlowFailed(Flow("tcp", LOCAL, ("10.0.0.7", 34567), 4), "gone", True))
    bench.run(20)
    assert len(bench.registers()) == 1


def test_another_network_means_registering_at_once_even_in_a_long_wait() -> None:
    bench = Bench()
    bench.status = 403
    bench.do(events.Register("a", 600))
    bench.run(10)
    assert len(bench.registers()) == 1
    bench.status = 200
    bench.flows = [structs.replace(bench.flows[0], local=("10.9.9.9", 5060))]
    bench.give(NetworkChanged("our address is 10.9.9.9 now"))
    assert "10.9.9.9" in str(bench.registers()[1].contacts[0])
    assert bench.of(events.Registered)


def test_unregistered_stays_unregistered_when_the_network_changes() -> None:
    bench = registered()
    bench.do(events.Unregister("a"))
    bench.give(NetworkChanged("x"))
    bench.run(100)
    assert len(bench.registers()) == 2


def test_a_request_sent_on_a_connection_that_was_just_closed_goes_on_a_new_one() -> None:
    bench = registered()
    bench.silent = True
    bench.do(events.SendRequest("o", "a", "OPTIONS", Uri.sip("x", "pbx.example")))
    bench.give(FlowFailed(bench.flows[0], "the peer closed the connection", True))
    options = [each for each in bench.sent if each.data[:7] == b"OPTIONS"]
    assert len(options) == 2
    # once more it is not tried: a server that closes each connection must not be asked for ever
    bench.give(FlowFailed(bench.flows[0], "the peer closed the connection", True))
    assert [each.status for each in bench.of(events.RequestDone)] == [503]
    assert bench.of(events.RequestDone)[0].reason == "the peer closed the connection"


def test_a_connection_that_never_stood_fails_at_once_with_its_reason() -> None:
    bench = Bench()
    bench.silent = True
    bench.do(events.Register("a"))
    bench.give(FlowFailed(bench.flows[0], "the certificate of pbx.example has expired"))
    (failed,) = bench.of(events.RegistrationFailed)
    assert (failed.status, failed.reason) == (503, "the certificate of pbx.example has expired")


def test_a_far_end_that_closes_silent_connections_gets_a_sign_of_life_in_time() -> None:
    bench = registered()
    for _ in range(10):
        said = len(bench.sent)
        bench.run(30)
        if len(bench.sent) == said:  # a balancer with a patience of 30 seconds
            bench.give(FlowFailed(bench.flows[0], "the peer closed the connection", True))
    assert len(bench.of(events.RegistrationLost)) == 1
    assert len(bench.registers()) == 2


def test_a_connection_that_broke_after_signs_of_life_is_asked_no_oftener() -> None:
    bench = registered()
    bench.until_ping(1)
    bench.give(FlowFailed(bench.flows[0], "Connection reset by peer", True))
    bench.run(40)
    assert bench.pings() == 1


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_registration_is_refreshed_where_it_stands_while_the_name_service_is_gone(transport: str) -> None:
    bench = registered(transport)
    there, bench.flows = bench.flows[0], []
    bench.run(1800)
    assert len(bench.registers()) > 3
    assert not bench.of(events.RegistrationFailed)
    bench.give(FlowFailed(there, "Connection reset by peer", True))
    bench.run(2)  # without that flow there is nowhere to go
    assert len(bench.of(events.RegistrationFailed)) == 1


@pytest.mark.parametrize("transport", ["tcp", "wss"])
def test_a_connection_over_which_a_registration_gets_no_answer_is_closed(transport: str) -> None:
    bench = Bench(transport)
    bench.silent = True
    bench.do(events.Register("a", 600))
    bench.run(33)
    assert bench.of(events.RegistrationFailed)[0].status == 408
    assert bench.of(events.CloseFlow) == [events.CloseFlow(bench.flows[0])]


def test_a_connection_over_which_others_are_registered_is_kept() -> None:
    bench = registered()
    bench.silent = True
    bob = NameAddr(Uri.sip("bob", "pbx.example"))
    bench.do(events.SetIdentity(Identity("b", bob, transport="tcp", contact_user="bob")))
    bench.do(events.Register("b", 600))
    bench.run(33)
    assert bench.of(events.RegistrationFailed)[0].status == 408
    assert not bench.of(events.CloseFlow)


# --- RFC 5626, 3327, 3608


def test_the_phone_tells_which_one_it_is() -> None:
    bench = registered(instance=URN)
    register = bench.registers()[0]
    contact = register.contacts[0]
    assert (contact.param("reg-id"), contact.param("+sip.instance")) == ("1", f"<{URN}>")
    assert register.headers.values("Supported") == ["path", "outbound"]


def test_a_way_that_does_not_know_outbound_is_gone_without_it() -> None:
    bench = Bench(instance=URN)
    bench.status = 439
    bench.silent = True
    bench.do(events.Register("a"))
    bench.answer(bench.sent[-1])
    bench.status, bench.silent = 200, False
    bench.drain()
    assert len(bench.registers()) == 2
    assert bench.registers()[1].contacts[0].param("reg-id") is None
    assert bench.of(events.Registered)


def test_calls_take_the_service_route_and_the_registered_flow() -> None:
    bench = Bench(instance=URN)
    bench.headers = (("Service-Route", "<sip:edge.example;lr>, <sip:home.example;lr>"), ("Require", "outbound"))
    bench.do(events.Register("a", 600))
    bench.do(events.Invite("c", "a", Uri.sip("bob", "pbx.example"), None))
    invite = parse_message(bench.sent[-1].data)
    assert isinstance(invite, Request)
    assert [str(each) for each in invite.routes] == ["<sip:edge.example;lr>", "<sip:home.example;lr>"]
    assert invite.contacts[0].uri.has_param("ob")
    bench.headers = ()
    bench.do(events.Register("a", 600))
    bench.do(events.Invite("d", "a", Uri.sip("bob", "pbx.example"), None))
    invite = parse_message(bench.sent[-1].data)
    assert isinstance(invite, Request)
    assert invite.routes == []


@pytest.mark.parametrize("command", [
    events.Subscribe("w", "a", Uri.sip("bob", "pbx.example"), "presence", "application/pidf+xml"),
    events.Publish("a", "presence", events.Body("application/pidf+xml", b"<presence/>")),
])
def test_what_is_watched_and_published_takes_the_service_route_and_the_registered_flow(command: events.SipCommand) -> None:
    # RFC 3608 6.1: all requests outside dialogs do
    bench = Bench(instance=URN)
    bench.headers = (("Service-Route", "<sip:edge.example;lr>"), ("Require", "outbound"))
    bench.do(events.Register("a", 600))
    bench.do(command)
    request = parse_message(bench.sent[-1].data)
    assert isinstance(request, Request)
    assert [str(each) for each in request.routes] == ["<sip:edge.example;lr>"]
    # RFC 5626 4.3: and the flow that the registrar knows, wherever the name leads by now
    bench = registered("tcp")
    flow, bench.flows = bench.sent[-1].flow, [Flow("tcp", LOCAL, ("10.0.0.7", 5060))]
    bench.do(command)
    assert bench.sent[-1].flow == flow


def test_a_call_goes_on_over_the_web_socket_that_took_the_place_of_its_own() -> None:
    bench = Bench("wss")
    first, second = (Flow("wss", LOCAL, ("10.0.0.9", 443), number) for number in (1, 2))
    bench.flows = [first]
    bench.do(events.Register("a", 600))
    lines = (
        "INVITE sip:alice@10.0.0.1:5060;transport=ws SIP/2.0", "Via: SIP/2.0/WSS 192.168.1.9:5060;branch=z9hG4bKi",
        "Max-Forwards: 70", "From: <sip:bob@pbx.example>;tag=t", "To: <sip:alice@pbx.example>", "Call-ID: i", "CSeq: 1 INVITE",
        "Contact: <sip:asterisk@192.168.1.9:5060;transport=ws>", "Content-Type: application/sdp", "Content-Length: 3", "",
        "v=0",
    )  # fmt: skip
    bench.give(Datagram(first, "\r\n".join(lines).encode()))
    (invited,) = bench.of(events.SessionIncoming)
    bench.do(events.Accept(invited.session, events.Body("application/sdp", b"v=0")))
    answer = parse_message(bench.sent[-1].data)
    ack = [lines[0].replace("INVITE", "ACK"), *lines[1:4], f"To: {answer.to}", "Call-ID: i", "CSeq: 1 ACK"]
    bench.give(Datagram(first, "\r\n".join([*ack, "Content-Length: 0", "", ""]).replace("bKi", "bKa").encode()))
    bench.flows = [second]
    bench.give(FlowFailed(first, "Connection reset by peer"))
    bench.run(10)
    assert len(bench.registers()) == 2
    bench.flows = []  # nobody is at the address in Contact
    bench.do(events.End(invited.session))
    assert (bench.sent[-1].data[:4], bench.sent[-1].flow) == (b"BYE ", second)


def test_the_next_address_is_asked_after_a_few_seconds_of_silence_and_first_the_next_time() -> None:
    bench = Bench("udp")
    second = Flow("udp", LOCAL, ("10.0.0.8", 5060))
    bench.flows.append(second)
    bench.silent = True
    bench.do(events.Register("a", 600))
    bench.run(5)
    assert {each.flow for each in bench.sent} == {bench.flows[0]}
    bench.silent = False
    bench.run(2)
    assert bench.sent[-1].flow == second
    assert bench.of(events.Registered)
    bench.do(events.SendRequest("o", "a", "OPTIONS", Uri.sip("x", "pbx.example")))
    assert bench.sent[-1].flow == second


def test_a_server_without_time_is_passed_over() -> None:
    bench = Bench("udp")
    bench.flows.append(Flow("udp", LOCAL, ("10.0.0.8", 5060)))
    bench.status = 503
    bench.silent = True
    bench.do(events.Register("a", 600))
    bench.answer(bench.sent[-1])
    bench.status, bench.silent = 200, False
    bench.drain()
    assert bench.sent[-1].flow.remote == ("10.0.0.8", 5060)
