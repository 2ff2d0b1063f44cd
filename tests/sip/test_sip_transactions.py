"""The transaction tables: every state with every input, the timers, and matching."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.sip import transactions as tx
from offhook.sip.events import ConnectionTerms, Flow, FlowFailed
from offhook.sip.message import Request, Response
from offhook.sip.parsing import parse_message
from offhook.sip.responses import response_to
from offhook.sip.timers import T1, TimerQueue
from offhook.sip.transactions import Input, State

LOCAL, REMOTE = ("10.0.0.1", 5060), ("10.0.0.2", 5060)
UDP, TCP = Flow("udp", LOCAL, REMOTE), Flow("tcp", LOCAL, REMOTE, 1)
TABLES = {"invite_client": tx.INVITE_CLIENT, "client": tx.CLIENT, "invite_server": tx.INVITE_SERVER, "server": tx.SERVER}


def request(method: str = "INVITE", branch: str = "z9hG4bKabc", cseq: int = 1) -> Request:
    text = (f"{method} sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch={branch}\r\n"
            f"From: <sip:alice@10.0.0.1>;tag=a\r\nTo: <sip:bob@10.0.0.2>\r\nCall-ID: c1\r\nCSeq: {cseq} {method}\r\n\r\n")
    message = parse_message(text.encode())
    assert isinstance(message, Request)
    return message


class Bench:
    """One transaction with what it did."""

    def __init__(self, flow: Flow = UDP) -> None:
        self.flow = flow
        self.timers = TimerQueue()
        self.sent: list[bytes] = []
        self.layer = tx.Transactions(self.timers, lambda _flow, data: self.sent.append(data))
        self.responses: list[int] = []
        self.failures: list[int] = []
        self.acks = 0

    def client(self, method: str) -> tx.ClientTransaction:
        message = request(method)
        return self.layer.request(self.flow, message, message.encode(), "z9hG4bKabc", self._response, self._failure, 0.0)

    def server(self, method: str) -> tx.ServerTransaction:
        server = self.layer.serve(self.flow, request(method), 0.0)
        server.on_ack = self._ack
        return server

    def _response(self, response: Response, _now: float) -> None:
        self.responses.append(response.status)

    def _failure(self, status: int, _reason: str, _now: float) -> None:
        self.failures.append(status)

    def _ack(self, _request: Request, _now: float) -> None:
        self.acks += 1

    def run(self, until: float) -> list[float]:
        """Fire timers; return when something was sent."""
        times: list[float] = []
        while (at := self.timers.deadline()) is not None and at <= until:
            before = len(self.sent)
            self.timers.expire(at)
            times += [at] * (len(self.sent) - before)
        return times


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_closed(name: str) -> None:
    table = TABLES[name]
    reached = {State.INITIAL} | {state for state, _ in table.values()}
    assert {state for state, _ in table} <= reached
    assert not any(state is State.TERMINATED for state, _ in table)
    live = reached - {State.TERMINATED}
    assert all(any(source is state for source, _ in table) for state in live)


@pytest.mark.lengthy
@given(name=st.sampled_from(sorted(TABLES)), inputs=st.lists(st.sampled_from(list(Input)), max_size=12),
       flow=st.sampled_from([UDP, TCP]))
@settings(max_examples=6 * settings().max_examples, deadline=None)
def test_whole_product_follows_the_table(name: str, inputs: list[Input], flow: Flow) -> None:
    bench = Bench(flow)
    method = "INVITE" if "invite" in name else "OPTIONS"
    made: tx.Transaction = bench.client(method) if "client" in name else bench.server(method)
    message = response_to(request(method), 200) if "client" in name else request("ACK")
    for happened in inputs:
        before, table = made.state, made.table
        listed = table.get((before, happened))
        assert made.step(happened, 0.0, message) is (listed is not None)
        assert made.state is (listed[0] if listed else before)
        kept = made in bench.layer.clients.values() or made in bench.layer.servers.values()
        assert kept is (made.state is not State.TERMINATED)
    if made.state is State.TERMINATED:
        assert len(bench.timers) == 0


def test_invite_client_repeats_by_timer_a_and_gives_up_by_timer_b() -> None:
    bench = Bench()
    bench.client("INVITE")
    # RFC 3261 17.1.1.2: 0, 500, 1500, 3500 ms …: seven requests in all
    assert bench.run(100) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.failures == [408]
    assert not bench.layer.clients


def test_client_repeats_by_timer_e() -> None:
    bench = Bench()
    bench.client("OPTIONS")
    # RFC 3261 17.1.2.2: 500 ms, 1 s, 2 s, then 4 s each
    assert bench.run(100) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.failures == [408]


def test_nothing_is_repeated_over_tcp() -> None:
    for method in ("INVITE", "OPTIONS"):
        bench = Bench(TCP)
        bench.client(method)
        assert bench.run(100) == []
        assert bench.failures == [408]


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_an_invite_without_an_answer_is_told_100_after_200_ms(flow: Flow) -> None:
    bench = Bench(flow)
    server = bench.server("INVITE")
    server.step(Input.RECEIVE_REQUEST, 0.1)
    assert bench.sent == []
    assert bench.run(100) == [0.2]
    assert bench.sent[0].startswith(b"SIP/2.0 100 Trying\r\n")
    server.step(Input.RECEIVE_REQUEST, 0.5)
    assert bench.sent[1] == bench.sent[0]


@pytest.mark.parametrize("flow", [UDP, TCP])
@pytest.mark.parametrize("status", [180, 200])
def test_an_invite_answered_at_once_gets_no_100(status: int, flow: Flow) -> None:
    bench = Bench(flow)
    assert bench.server("INVITE").send(status, b"answer", 0.1)
    assert bench.run(10) == []
    assert bench.sent == [b"answer"]


def test_what_is_only_forgotten_is_forgotten_together() -> None:
    bench = Bench()
    for number in range(10):
        server = bench.layer.serve(UDP, request("OPTIONS", f"z9hG4bK{number}"), 0.01 * number)
        server.send(200, b"", 0.01 * number + 0.001)
    # RFC 3261 17.2.2: timer J is 64*T1 = 32 s, here at most half a second more
    bench.timers.expire(32.4)
    assert len(bench.layer.servers) == 10
    bench.timers.expire(32.5)
    assert not bench.layer.servers


def test_provisional_stops_invite_but_not_other_requests() -> None:
    bench = Bench()
    client = bench.client("INVITE")
    client.receive(response_to(request(), 100), 0.1)
    assert bench.run(1000) == []
    assert client.state is State.PROCEEDING
    bench = Bench()
    client = bench.client("OPTIONS")
    client.receive(response_to(request("OPTIONS"), 100), 0.1)
    assert bench.run(10) == [0.5, 4.5, 8.5]


def test_refusal_is_acknowledged_each_time_and_delivered_once() -> None:
    bench = Bench()
    client = bench.client("INVITE")
    refusal = response_to(request(), 486, "", "b")
    for at in (0.1, 0.6, 1.6):
        client.receive(refusal, at)
    assert bench.responses == [486]
    acks = [data for data in bench.sent if data.startswith(b"ACK")]
    assert len(acks) == 3
    assert b"tag=b" in acks[0]
    assert b"CSeq: 1 ACK" in acks[0]
    bench.run(40)
    assert not bench.layer.clients


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_behind_a_provisional_whatever_follows_is_told(method: str) -> None:
    # RFC 3261 17.1.1.2, 17.1.2.2
    for status in (200, 300, 486, 603):
        bench = Bench()
        client = bench.client(method)
        for answer, at in ((100, 0.1), (180, 0.2), (status, 0.3)):
            assert client.receive(response_to(request(method), answer, "", "b"), at)
        assert bench.responses == [100, 180, status]
    bench = Bench()
    bench.client(method).receive(response_to(request(method), 100), 0.1)
    bench.layer.fail(FlowFailed(UDP, "unreachable"), 1.0)
    assert bench.failures == [503]
    bench = Bench()
    bench.client(method).receive(response_to(request(method), 100), 0.1)
    bench.run(1000)
    assert bench.failures == ([] if method == "INVITE" else [408]), "who has said that it rings may go on ringing"


@pytest.mark.parametrize("provisional", [False, True])
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_what_is_abandoned_is_neither_said_again_nor_told_of(method: str, provisional: bool) -> None:
    bench = Bench()
    client = bench.client(method)
    if provisional:
        client.receive(response_to(request(method), 100), 0.1)
    assert client.step(Input.ABANDON, 0.2)
    assert bench.run(1000) == []
    assert (bench.failures, len(bench.layer.clients)) == ([], 0)


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_a_copy_of_a_request_gets_the_latest_answer_again(method: str) -> None:
    # RFC 3261 17.2.1, 17.2.2
    bench = Bench()
    server = bench.server(method)
    for status, answer in ((180, b"ringing"), (183, b"progress"), (486, b"busy")):
        assert server.send(status, answer, 0.1)
        server.step(Input.RECEIVE_REQUEST, 0.2)
        assert bench.sent[-2:] == [answer, answer]
    assert not server.send(200, b"late", 0.3)


def test_the_ack_of_a_refusal_goes_the_way_of_its_invite() -> None:
    # RFC 3261 17.1.1.3: the INVITE's top Via, its Route, From, Call-ID and number; To as the refusal has it
    invite = request()
    for route in ("<sip:proxy1.example;lr>", "<sip:proxy2.example;lr>"):
        invite.headers.add("Route", route)
    ack = tx.make_ack(invite, response_to(invite, 486, "", "b"))
    assert (ack.method, ack.uri, ack.body) == ("ACK", invite.uri, b"")
    assert list(ack.headers) == [
        ("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKabc"), ("Max-Forwards", "70"), ("From", "<sip:alice@10.0.0.1>;tag=a"),
        ("To", "<sip:bob@10.0.0.2>;tag=b"), ("Call-ID", "c1"), ("CSeq", "1 ACK"),
        ("Route", "<sip:proxy1.example;lr>"), ("Route", "<sip:proxy2.example;lr>")]


def test_every_copy_of_a_2xx_is_delivered() -> None:
    bench = Bench()
    client = bench.client("INVITE")
    client.receive(response_to(request(), 200, "", "b"), 0.1)
    client.receive(response_to(request(), 200, "", "c"), 0.6)
    assert bench.responses == [200, 200]
    bench.run(31)
    assert bench.layer.clients
    bench.run(33)
    assert not bench.layer.clients


def test_refusal_is_repeated_until_its_ack() -> None:
    bench = Bench()
    server = bench.server("INVITE")
    server.send(486, b"SIP/2.0 486", 0.0)
    assert bench.run(10) == [0.5, 1.5, 3.5, 7.5]
    server.step(Input.RECEIVE_ACK, 10.0)
    assert bench.run(14.9) == []
    assert bench.layer.servers
    bench.run(15.1)
    assert not bench.layer.servers


def test_refusal_without_ack_ends_with_timer_h() -> None:
    bench = Bench()
    bench.server("INVITE").send(486, b"x", 0.0)
    bench.run(64 * T1)
    assert not bench.layer.servers
    assert len(bench.timers) == 0


def test_accepted_absorbs_the_request_and_passes_the_ack() -> None:
    bench = Bench()
    server = bench.server("INVITE")
    server.send(200, b"ok", 0.0)
    server.step(Input.RECEIVE_REQUEST, 0.1)
    assert bench.sent == [b"ok"]
    server.send(200, b"ok", 0.5)
    assert len(bench.sent) == 2
    server.step(Input.RECEIVE_ACK, 0.6, request("ACK"))
    assert bench.acks == 1
    assert not server.send(486, b"late", 0.7)


def test_matching() -> None:
    assert tx.server_key(request("ACK")) == tx.server_key(request("INVITE"))
    assert tx.server_key(request("CANCEL"))[:-1] == tx.server_key(request("INVITE"))[:-1]
    assert tx.server_key(request("INVITE", "z9hG4bKx")) != tx.server_key(request("INVITE"))
    # RFC 2543 peers have no branch to go by
    assert tx.server_key(request("INVITE", "1")) == tx.server_key(request("ACK", "1"))
    assert tx.server_key(request("INVITE", "1")) != tx.server_key(request("INVITE", "1", cseq=2))


@pytest.mark.parametrize("branch", ["z9hG4bKabc", "1", "z9hG4bK"])
def test_who_sent_a_request_tells_it_from_others(branch: str) -> None:
    text = request(branch=branch).encode()

    def key(old: bytes = b"", new: bytes = b"") -> tx.ServerKey:
        message = parse_message(text.replace(old, new))
        assert isinstance(message, Request)
        return tx.server_key(message)
    # RFC 3261 17.2.3: the sent-by of the top Via counts, whose port is 5060 where it has none
    assert key(b"10.0.0.1:5060", b"10.0.0.1") == key()
    assert key(b"10.0.0.1:5060", b"PHONE") == key(b"10.0.0.1:5060", b"phone")
    assert len({key(), key(b"10.0.0.1:5060", b"10.0.0.1:5061"), key(b"10.0.0.1:5060", b"10.0.0.7:5060")}) == 3
    if branch != "z9hG4bKabc":
        # an RFC 2543 peer: the magic cookie alone is no branch either
        for old, new in ((b"tag=a", b"tag=b"), (b"Call-ID: c1", b"Call-ID: c2"), (b"INVITE sip:bob", b"INVITE sip:eve")):
            assert key(old, new) != key()


def test_merged_request_is_seen_while_the_first_lives() -> None:
    bench = Bench()
    first = bench.server("INVITE")
    assert bench.layer.is_merged(request("INVITE", "z9hG4bKother"))
    assert not bench.layer.is_merged(request("INVITE", "z9hG4bKother", cseq=2))
    first.send(486, b"x", 0.0)
    bench.run(100)
    assert not bench.layer.is_merged(request("INVITE", "z9hG4bKother"))


def test_broken_flow_fails_its_transactions_only() -> None:
    bench = Bench(TCP)
    bench.client("OPTIONS")
    bench.layer.fail(FlowFailed(Flow("tcp", LOCAL, ("10.0.0.9", 5060), 1), "gone"), 0.0)
    assert bench.failures == []
    bench.layer.fail(FlowFailed(Flow("tcp", LOCAL, REMOTE, 0), "gone"), 0.0)
    assert bench.failures == [503]


PROXY = Flow("tls", LOCAL, REMOTE)
ACCEPTED_BY_US = Flow("tls", LOCAL, REMOTE, 7)


@pytest.mark.parametrize(("failed", "used", "concerns"), [
    (TCP, UDP, False),  # the same address, and something else
    (Flow("tls", LOCAL, REMOTE, terms=ConnectionTerms(name="pbx.example")), PROXY, False),  # one account's, not the other's
    (Flow("tls", LOCAL, REMOTE, 7, ConnectionTerms(name="pbx.example")), ACCEPTED_BY_US, True),
    (Flow("tls", LOCAL, REMOTE, 8), ACCEPTED_BY_US, False), (ACCEPTED_BY_US, PROXY, True), (PROXY, ACCEPTED_BY_US, True),
])
def test_whom_a_failure_concerns(failed: Flow, used: Flow, concerns: bool) -> None:
    bench = Bench(used)
    bench.client("OPTIONS")
    bench.layer.fail(FlowFailed(failed, "gone"), 0.0)
    assert bench.failures == ([503] if concerns else [])


@pytest.mark.parametrize(("sent_by", "port"), [("10.0.0.1:5070", 5070), ("10.0.0.1", 5060)])
def test_an_answer_whose_connection_is_gone_goes_to_where_its_via_says(sent_by: str, port: int) -> None:
    # RFC 3261 18.2.2: to the address the request came from, at the port of the sent-by
    went: list[Flow] = []
    layer = tx.Transactions(TimerQueue(), lambda flow, _data: went.append(flow))
    came = Flow("tcp", LOCAL, ("10.0.0.2", 41000), 3)
    invite = parse_message(request().encode().replace(b"10.0.0.1:5060;branch", sent_by.encode() + b";branch"))
    assert isinstance(invite, Request)
    server = layer.serve(came, invite, 0.0)
    layer.fail(FlowFailed(Flow("tcp", LOCAL, ("10.0.0.3", 41000), 3), "gone"), 0.0)
    server.send(180, b"ringing", 0.1)
    layer.fail(FlowFailed(came, "gone"), 0.2)
    server.send(200, b"ok", 0.3)
    assert went == [came, Flow("tcp", LOCAL, ("10.0.0.2", port))]


def test_timer_queue_orders_and_forgets() -> None:
    timers = TimerQueue()
    fired: list[str] = []
    stopped = [timers.start(1.0, lambda _now: fired.append("never")) for _ in range(500)]
    timers.start(2.0, lambda _now: fired.append("b"))
    timers.start(1.5, lambda _now: fired.append("a"))
    for timer in stopped:
        timer.stop()
        timer.stop()
    assert len(timers) == 2
    assert timers.deadline() == 1.5
    timers.expire(3.0)
    assert fired == ["a", "b"]
    assert timers.deadline() is None
