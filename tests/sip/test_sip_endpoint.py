"""The endpoint's door: who gets which answer, where answers go, flows that fail, and bytes that mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.sip import events
from offhook.sip.endpoint import Endpoint
from offhook.sip.events import Body, Datagram, Flow, FlowFailed, Resolved, StreamChunk, Transmit
from offhook.sip.message import Response
from offhook.sip.parsing import parse_message
from offhook.sip.streams import STALLED
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.endpoints import ANSWER, OFFER, Peer, add_endpoint
from offhook.testing.ids import SeededIds
from offhook.testing.wire import Wire

LOCAL, REMOTE = ("10.0.0.1", 5060), ("10.0.0.9", 5060)
UDP, TCP = Flow("udp", LOCAL, REMOTE), Flow("tcp", LOCAL, ("10.0.0.9", 40000), 3)


def endpoint() -> Endpoint:
    core = Endpoint(SeededIds())
    core.execute(events.SetIdentity(events.Identity("a", NameAddr.parse("<sip:alice@example.com>"), contact_user="abc")), 0)
    return core


def drain(core: Endpoint) -> list[events.SipOutput]:
    outputs = []
    while (output := core.poll()) is not None:
        outputs.append(output)
    return outputs


def raw(method: str = "OPTIONS", *, uri: str = "sip:abc@10.0.0.1", extra: str = "", body: str = "", branch: str = "z9hG4bK1",
        to_tag: str = "", cseq: int = 1, via: str = "SIP/2.0/UDP 10.0.0.9:5060") -> bytes:
    to = "<sip:alice@example.com>" + (f";tag={to_tag}" if to_tag else "")
    return (f"{method} {uri} SIP/2.0\r\nVia: {via};branch={branch}\r\nFrom: <sip:x@10.0.0.9>;tag=f\r\nTo: {to}\r\n"
            f"Call-ID: id\r\nCSeq: {cseq} {method}\r\nContact: <sip:x@10.0.0.9>\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
            f"{body}").encode()


def ask(data: bytes, flow: Flow = UDP) -> tuple[list[Response], list[events.SipOutput]]:
    """Give a fresh endpoint one datagram; return its responses and everything else."""
    core = endpoint()
    core.receive(Datagram(flow, data), 0.0)
    outputs = drain(core)
    messages = [parse_message(each.data) for each in outputs if isinstance(each, Transmit)]
    return [each for each in messages if isinstance(each, Response)], [e for e in outputs if not isinstance(e, Transmit)]


@pytest.mark.parametrize(("data", "status"), [
    (raw("OPTIONS"), 200),
    (raw("OPTIONS", to_tag="zz"), 481),
    (raw("MESSAGE", extra="Content-Type: text/plain\r\n", body="hi"), 200),
    (raw("REGISTER"), 405),
    (raw("SUBSCRIBE", extra="Event: presence\r\n"), 405),
    (raw("FROBNICATE"), 501),
    (raw("BYE"), 481), (raw("BYE", to_tag="zz"), 481), (raw("INVITE", to_tag="zz"), 481),
    (raw("NOTIFY", extra="Event: message-summary\r\n"), 481),
    (raw("INFO"), 481), (raw("UPDATE"), 481), (raw("REFER"), 603),
    (raw("REFER", to_tag="t"), 481), (raw("CANCEL"), 481),
    (raw("OPTIONS", extra="Require: 100rel, foo\r\n"), 420),
    (raw("INVITE", extra="Content-Type: text/html\r\n", body="<p>"), 415),
    (raw("OPTIONS", uri="sips:abc@10.0.0.1"), 416),
    (raw("OPTIONS", uri="mailto:abc"), 416),
    (raw("OPTIONS").replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 INFO"), 400),
    (raw("OPTIONS").replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia"), 505),
    (raw("OPTIONS", extra="Contact: <<>\r\n"), 400),
    (raw("INVITE", extra="Accept: text/html\r\n"), 406),
    (raw("MESSAGE", extra="Content-Type: image/png\r\n", body="x"), 415),
    (raw("OPTIONS", uri="sip:" + "a" * 5000), 414),
    (raw("OPTIONS", extra="X: " + "a" * 9000 + "\r\n"), 513),
])
def test_the_right_status(data: bytes, status: int) -> None:
    responses, _ = ask(data)
    assert [response.status for response in responses] == [status]
    assert responses[0].to.tag


def test_answers_carry_what_the_rfc_wants() -> None:
    assert ask(raw("OPTIONS"))[0][0].headers.get("Allow")
    assert ask(raw("OPTIONS"))[0][0].headers.get("Accept")
    supported = "replaces, timer, 100rel, answermode, privanswermode"
    assert ask(raw("OPTIONS"))[0][0].headers.get("Supported") == supported
    assert not ask(raw("OPTIONS", extra=f"Require: {supported}\r\n"))[0][0].headers.get("Unsupported")
    assert ask(raw("REGISTER"))[0][0].headers.get("Allow")
    assert ask(raw("INVITE", extra="Require: timer, x\r\n"))[0][0].headers.get("Unsupported") == "x"
    assert ask(raw("INVITE", extra="Content-Type: a/b\r\n", body="x"))[0][0].headers.get("Accept")


def test_a_request_that_lacks_what_answers_copy_is_answered_with_the_rest() -> None:
    # RFC 4475 3.3.1: 400, even though From, To and Call-ID are missing
    core = endpoint()
    data = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\nCSeq: 1 INVITE\r\n\r\n"
    core.receive(Datagram(UDP, data), 0.0)
    (sent,) = [each for each in drain(core) if isinstance(each, Transmit)]
    assert sent.data.startswith(b"SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\nCSeq: 1 INVITE\r\n")
    assert b"To:" not in sent.data


def test_a_broken_via_still_says_which_port_answers_go_to() -> None:
    # RFC 4475 3.1.2.1
    core = endpoint()
    core.receive(Datagram(UDP, raw(via="SIP/2.0/UDP 192.0.2.1:5099;;,;").replace(b";branch=z9hG4bK1", b"")), 0.0)
    (sent,) = [each for each in drain(core) if isinstance(each, Transmit)]
    assert sent.data.startswith(b"SIP/2.0 400")
    assert sent.flow.remote == ("10.0.0.9", 5099)


@pytest.mark.parametrize(("head", "status"), [
    (raw("OPTIONS").replace(b"Content-Length: 0", b"Content-Length: -1"), 400),
    (raw("OPTIONS").replace(b"Content-Length: 0", b"Content-Length: 70000"), 513),
    (raw("OPTIONS").replace(b"Content-Length: 0\r\n", b""), 400),
])
def test_behind_which_a_stream_cannot_be_read_is_answered_and_the_connection_closed(head: bytes, status: int) -> None:
    # RFC 4475 3.1.2.3: an error; the framing is lost, so the connection should be closed
    core = endpoint()
    core.receive(StreamChunk(TCP, head), 0.0)
    sent = drain(core)
    answers = [each.data for each in sent if isinstance(each, Transmit)]
    assert [answer.split(b" ")[1] for answer in answers] == [str(status).encode()]
    assert isinstance(sent[-1], events.CloseFlow)


def test_a_message_that_stops_half_way_has_twenty_seconds() -> None:
    core = endpoint()
    data = raw("OPTIONS")
    core.receive(StreamChunk(TCP, data[:50]), 0.0)
    core.receive(StreamChunk(TCP, data[50:]), 15.0)
    core.timeout(30.0)
    assert not [each for each in drain(core) if isinstance(each, events.CloseFlow)]
    core.receive(StreamChunk(TCP, data[:-10]), 40.0)
    core.timeout(59.9)
    assert not [each for each in drain(core) if isinstance(each, events.CloseFlow)]
    core.timeout(60.1)
    closed = drain(core)
    assert isinstance(closed[-1], events.CloseFlow)
    assert core.statistics()["timers"] == 0 or core.deadline() is not None


def test_message_and_incoming_call_find_their_identity() -> None:
    for uri, identity in (("sip:abc@10.0.0.1", "a"), ("sip:alice@example.com", "a"), ("sip:nobody@10.0.0.1", "a")):
        _, rest = ask(raw("MESSAGE", uri=uri, extra="Content-Type: text/plain\r\n", body="hi"))
        assert rest == [events.MessageReceived(identity, NameAddr.parse("<sip:x@10.0.0.9>;tag=f"), Body("text/plain", b"hi"))]
    strange = raw("INVITE", uri="sip:q@10.0.0.1").replace(b"To: <sip:alice@example.com>", b"To: <sip:q@10.0.0.1>")
    responses, rest = ask(strange)
    assert responses == []  # a person decides; 100 follows if that takes its time
    assert isinstance(rest[0], events.SessionIncoming)
    assert rest[0].identity is None


@pytest.mark.parametrize(("via", "source", "back", "expected"), [
    ("SIP/2.0/UDP 10.0.0.9:5060", REMOTE, REMOTE, "SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK1"),
    ("SIP/2.0/UDP host.example:5090", ("10.0.0.9", 1234), ("10.0.0.9", 5090), "received=10.0.0.9"),
    ("SIP/2.0/UDP 192.168.1.1;rport", ("10.0.0.9", 1234), ("10.0.0.9", 1234), "rport=1234"),
])
def test_answers_go_where_the_request_came_from(via: str, source: events.Address, back: events.Address, expected: str) -> None:
    core = endpoint()
    core.receive(Datagram(Flow("udp", LOCAL, source), raw(via=via)), 0.0)
    (sent,) = drain(core)
    assert isinstance(sent, Transmit)
    assert sent.flow == Flow("udp", LOCAL, back)
    assert expected in str(parse_message(sent.data).headers.get("Via"))


def test_of_several_vias_in_one_line_the_first_is_noted_and_all_go_back() -> None:
    via = "SIP/2.0/UDP 192.168.1.1;rport;branch=z9hG4bK0, SIP/2.0/UDP 192.168.1.2;branch=z9hG4bKx, SIP/2.0/UDP 192.168.1.3"
    (response,), _ = ask(raw("OPTIONS", via=via), Flow("udp", LOCAL, ("10.0.0.9", 1234)))
    assert response.headers.values("Via") == [
        "SIP/2.0/UDP 192.168.1.1;rport=1234;branch=z9hG4bK0;received=10.0.0.9",
        "SIP/2.0/UDP 192.168.1.2;branch=z9hG4bKx", "SIP/2.0/UDP 192.168.1.3;branch=z9hG4bK1"]


@pytest.mark.parametrize("command", [
    events.Invite("c", "a", Uri.parse("sips:bob@pbx.example"), OFFER),
    events.SendRequest("m", "a", "MESSAGE", Uri.parse("sips:bob@pbx.example"), OFFER),
    events.SendRequest("o", "a", "OPTIONS", Uri.parse("sips:bob@elsewhere.example")),
    events.Subscribe("s", "a", Uri.parse("sips:bob@pbx.example"), "presence", "x/y"),
])
@pytest.mark.parametrize("transport", ["auto", "udp", "tcp", "tls"])
@pytest.mark.parametrize("proxy", ["", "sip:proxy.example;lr"])
def test_what_is_meant_for_a_sips_address_leaves_encrypted(
    command: events.SipCommand, transport: events.TransportChoice, proxy: str
) -> None:
    # RFC 3261 26.2.2: whatever the account has been set to
    core = Endpoint(SeededIds())
    identity = events.Identity("a", NameAddr.parse("<sip:a@pbx.example>"), contact_user="a", transport=transport,
                               proxy=Uri.parse(proxy) if proxy else None)
    core.execute(events.SetIdentity(identity), 0.0)
    core.execute(command, 0.0)
    (query,) = [each for each in drain(core) if isinstance(each, events.Resolve)]
    assert query.secure
    assert query.transport in ("tls", "auto"), "of what the name service knows, what is secure"


@pytest.mark.parametrize(("own", "said"), [("", "phone/1"), ("desk/2", "desk/2")])
def test_each_request_says_which_phone_sends_it(own: str, said: str) -> None:
    wire = Wire()
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    alice.core._stack.user_agent = "phone/1"  # type: ignore[attr-defined]  # an Endpoint
    address = NameAddr.parse("<sip:a@10.0.0.9>")
    alice.execute(events.SetIdentity(events.Identity("alice", address, contact_user="a", user_agent=own)))
    alice.execute(events.SendRequest("m", "alice", "MESSAGE", Uri.sip("b", "10.0.0.9"), Body("text/plain", b"hi")))
    alice.execute(events.Register("alice"))
    wire.run(0.1)
    assert {request.headers.get("User-Agent") for request in peer.got} == {said}


@pytest.mark.parametrize(("transport", "status"), [("tls", 200), ("wss", 200), ("tcp", 416), ("ws", 416)])
def test_a_sips_request_is_taken_where_it_came_encrypted(transport: events.TransportName, status: int) -> None:
    core = endpoint()
    data = raw("OPTIONS", uri="sips:abc@10.0.0.1", via=f"SIP/2.0/{transport.upper()} 10.0.0.9:5060")
    flow = Flow(transport, LOCAL, REMOTE, 1)
    core.receive(Datagram(flow, data) if transport in ("ws", "wss") else StreamChunk(flow, data), 0.0)
    (sent,) = [each for each in drain(core) if isinstance(each, Transmit)]
    assert sent.flow == flow
    assert parse_message(sent.data).status == status  # type: ignore[union-attr]  # a response


def test_retransmissions_get_the_same_bytes_and_merged_requests_482() -> None:
    core = endpoint()
    for branch in ("z9hG4bK1", "z9hG4bK1", "z9hG4bK2"):
        core.receive(Datagram(UDP, raw(branch=branch)), 0.0)
    sent = [each.data for each in drain(core) if isinstance(each, Transmit)]
    assert sent[0] == sent[1]
    assert sent[2].startswith(b"SIP/2.0 482")


def test_a_call_that_came_on_two_paths_is_cancelled_on_both() -> None:
    core = endpoint()
    for branch in ("z9hG4bK1", "z9hG4bK2"):
        core.receive(Datagram(UDP, raw("INVITE", uri="sip:alice@10.0.0.1", branch=branch)), 0.0)
    drain(core)
    # The path whose INVITE was refused as merged comes first, and so does one that leads nowhere.
    answers = []
    for branch in ("z9hG4bK9", "z9hG4bK2", "z9hG4bK1"):
        core.receive(Datagram(UDP, raw("CANCEL", uri="sip:alice@10.0.0.1", branch=branch)), 1.0)
        answers += drain(core)
    lines = [each.data.split(b"\r\n")[0] for each in answers if isinstance(each, Transmit)]
    assert sorted(lines) == [
        b"SIP/2.0 200 OK", b"SIP/2.0 200 OK", b"SIP/2.0 481 Call/Transaction Does Not Exist", b"SIP/2.0 487 Request Terminated",
    ]  # fmt: skip
    assert [each for each in answers if isinstance(each, events.SessionEnded)]


def test_100_only_if_nothing_else_comes_within_200_ms() -> None:
    core = endpoint()
    core.receive(Datagram(UDP, raw("INVITE")), 0.0)
    drain(core)
    assert core.deadline() == pytest.approx(0.2)
    core.timeout(0.2)
    assert [each.data.split(b"\r\n")[0] for each in drain(core) if isinstance(each, Transmit)] == [b"SIP/2.0 100 Trying"]
    core = endpoint()
    core.receive(Datagram(UDP, raw("INVITE")), 0.0)
    session = next(each for each in drain(core) if isinstance(each, events.SessionIncoming)).session
    core.execute(events.Progress(session, 180), 0.1)
    core.timeout(0.2)
    assert [each.data.split(b"\r\n")[0] for each in drain(core) if isinstance(each, Transmit)] == [b"SIP/2.0 180 Ringing"]


def test_cancel_before_and_after_the_answer() -> None:
    core = endpoint()
    core.receive(Datagram(UDP, raw("INVITE")), 0.0)
    core.receive(Datagram(UDP, raw("CANCEL")), 0.1)
    outputs = drain(core)
    lines = [each.data.split(b"\r\n")[0] for each in outputs if isinstance(each, Transmit)]
    assert lines == [b"SIP/2.0 200 OK", b"SIP/2.0 487 Request Terminated"]
    core = endpoint()
    core.receive(Datagram(UDP, raw("INVITE")), 0.0)
    session = next(each for each in drain(core) if isinstance(each, events.SessionIncoming)).session
    core.execute(events.Accept(session, ANSWER), 0.1)
    core.receive(Datagram(UDP, raw("CANCEL")), 0.2)
    outputs = drain(core)
    assert [each.data[:11] for each in outputs if isinstance(each, Transmit)] == [b"SIP/2.0 200"] * 2
    assert not any(isinstance(each, events.SessionEnded) for each in outputs)


def test_stream_is_framed_pinged_and_closed() -> None:
    core = endpoint()
    data = raw(via="SIP/2.0/TCP 10.0.0.9:5060") + b"\r\n\r\n" + raw(via="SIP/2.0/TCP 10.0.0.9:5060", branch="z9hG4bK2", cseq=2)
    for offset in range(0, len(data), 7):
        core.receive(StreamChunk(TCP, data[offset:offset + 7]), 0.0)
    sent = [each for each in drain(core) if isinstance(each, Transmit)]
    assert [each.data[:11] for each in sent] == [b"SIP/2.0 200", b"\r\n", b"SIP/2.0 200"]
    assert {each.flow for each in sent} == {TCP}
    core.receive(StreamChunk(TCP, b"OPTIONS sip:x SIP/2.0\r\nContent-Length: x\r\n\r\n"), 0.0)
    assert events.CloseFlow(TCP) in drain(core)


def test_call_over_tcp_and_its_broken_connection() -> None:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1", domain="10.0.0.2", transport="tcp")
    bob = add_endpoint(wire, "bob", "10.0.0.2")
    alice.execute(events.Invite("c", "alice", Uri.sip("bob", "10.0.0.2"), OFFER))
    wire.run(1)
    session = bob.of(events.SessionIncoming)[0].session
    bob.execute(events.Accept(session, ANSWER))
    wire.run(2)
    assert bob.of(events.SessionConfirmed)
    wire.break_connection(("10.0.0.1", 5060), ("10.0.0.2", 5060))
    bob.execute(events.End(session))
    wire.run(200)
    assert alice.of(events.SessionEnded)[0].by == "remote"
    assert {sent.transport for sent in wire.sent} == {"tcp"}
    for node in (alice, bob):
        assert set(node.core.statistics().values()) == {0}  # type: ignore[attr-defined]  # an Endpoint


@pytest.mark.parametrize("tcp", [True, False])
def test_long_requests_go_over_tcp_or_else_udp(tcp: bool) -> None:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1")
    bob = add_endpoint(wire, "bob", "10.0.0.2")
    bob.tcp = tcp
    alice.execute(events.SendRequest("m", "alice", "MESSAGE", Uri.sip("bob", "10.0.0.2"), Body("text/plain", b"x" * 2000)))
    wire.run(5)
    assert [event.status for event in alice.of(events.RequestDone)] == [200]
    assert bob.of(events.MessageReceived)[0].body.data == b"x" * 2000
    assert wire.sent[-1].transport == ("tcp" if tcp else "udp")
    assert b"SIP/2.0/TCP" in wire.sent[0].data
    assert len(wire.sent) == (2 if tcp else 3)


def test_tcp_that_failed_lately_is_not_waited_for_by_the_next_long_request() -> None:
    wire = Wire()
    alice = add_endpoint(wire, "alice", "10.0.0.1")
    add_endpoint(wire, "bob", "10.0.0.2").tcp = False
    for number in range(2):
        alice.execute(events.SendRequest(f"m{number}", "alice", "MESSAGE", Uri.sip("bob", "10.0.0.2"),
                                         Body("text/plain", b"x" * 2000)))
        wire.run(5 + 10 * number)
    assert [event.status for event in alice.of(events.RequestDone)] == [200, 200]
    assert [sent.data.partition(b" ")[0] for sent in wire.sent if sent.transport == "tcp"] == [b"MESSAGE"]


def test_a_message_that_comes_drop_by_drop_has_no_more_time_than_another() -> None:
    core = endpoint()
    slowly, fast = raw(branch="z9hG4bKslow"), raw(branch="z9hG4bKfast")
    closed = []
    for second in range(30):
        core.timeout(float(second))
        core.receive(StreamChunk(TCP, slowly[second : second + 1]), float(second))
        closed += [second for each in drain(core) if isinstance(each, events.CloseFlow)]
    assert closed[0] == int(STALLED)
    # Whoever is only between two messages whenever something comes has done nothing wrong.
    core = endpoint()
    core.receive(StreamChunk(TCP, fast[:9]), 0.0)
    for second in range(1, 40):
        core.timeout(float(second))
        core.receive(StreamChunk(TCP, fast[9:] + fast[:9]), float(second))
        assert not [each for each in drain(core) if isinstance(each, events.CloseFlow)]


def test_next_flow_is_tried_and_then_503() -> None:
    core = endpoint()
    core.execute(events.SendRequest("o", "a", "OPTIONS", Uri.sip("x", "pbx.example")), 0.0)
    (query,) = drain(core)
    assert query == events.Resolve(1, "pbx.example", None, "auto")
    first, second = UDP, Flow("udp", LOCAL, ("10.0.0.8", 5060))
    core.receive(Resolved(1, (first, second)), 0.0)
    core.receive(FlowFailed(first, "unreachable"), 0.1)
    sent = [each for each in drain(core) if isinstance(each, Transmit)]
    assert [each.flow for each in sent] == [first, second]
    assert parse_message(sent[0].data).via.branch != parse_message(sent[1].data).via.branch
    core.receive(FlowFailed(second, "unreachable"), 0.2)
    (done,) = drain(core)
    assert isinstance(done, events.RequestDone)
    assert done.status == 503
    core.receive(Resolved(1, (first,)), 0.3)  # an answer to a question long forgotten
    assert drain(core) == []


def test_proxy_is_a_loose_route_and_the_next_hop() -> None:
    wire = Wire()
    peer = Peer(wire, "proxy.example", "10.0.0.9")
    alice = add_endpoint(wire, "alice", "10.0.0.1", domain="home.example", proxy="sip:proxy.example")
    alice.execute(events.Invite("c", "alice", Uri.sip("bob", "home.example"), OFFER))
    alice.execute(events.Register("alice"))
    wire.run(0.1)
    invite, register = peer.requests("INVITE")[0], peer.requests("REGISTER")[0]
    assert str(invite.uri) == "sip:bob@home.example"
    assert [str(route) for route in invite.routes] == ["<sip:proxy.example;lr>"] == [str(route) for route in register.routes]
    record = (("Record-Route", "<sip:proxy.example;lr>"),)
    peer.answer(invite, 200, tag="t", body=ANSWER, contact="<sip:bob@192.168.7.7>", headers=record)
    wire.run(0.2)
    alice.execute(events.End("c"))
    wire.run(0.3)
    bye = peer.requests("BYE")[0]
    assert str(bye.uri) == "sip:bob@192.168.7.7"
    assert [str(route) for route in bye.routes] == ["<sip:proxy.example;lr>"]


def test_stray_messages_are_dropped_and_counted() -> None:
    responses = [b"SIP/2.0 200 OK\r\n" + raw().split(b"\r\n", 1)[1], raw("ACK"), b"hello", b"\x00\x01\x02 \r\n\r\n"]
    for data in responses:
        sent, rest = ask(data)
        assert sent == []
        assert [type(each) for each in rest] == [events.Dropped]
    for data in (b"", b"\r\n\r\n", b"\x00\x00"):
        assert ask(data) == ([], [])


SEEDS = [raw(), raw("INVITE", extra="Content-Type: application/sdp\r\n", body="v=0"), raw("ACK"), raw("CANCEL"),
         raw("BYE", to_tag="t"), raw("REFER", extra="Refer-To: <sip:a@b>\r\n"), raw("NOTIFY", extra="Event: refer\r\n"),
         raw("REGISTER"),
         b"SIP/2.0 200 OK\r\n" + raw("INVITE", to_tag="t").split(b"\r\n", 1)[1],
         b"SIP/2.0 401 No\r\nWWW-Authenticate: Digest realm=x, nonce=y\r\n" + raw("INVITE").split(b"\r\n", 1)[1]]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message with a few bytes changed, cut, doubled or inserted."""
    data = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        marks = st.sampled_from([b"\xff", b"\r\n", b"\"", b"<", b";tag=", b",", b"\xed\xa0\x80"])
        piece = draw(st.one_of(st.binary(max_size=8), marks))
        data = data[:at] + piece + data[at + length:]
    return data


@pytest.mark.slow
@given(st.lists(st.one_of(damaged(), st.binary(max_size=80)), max_size=8), st.booleans())
@settings(max_examples=6 * settings().max_examples, deadline=None)
def test_no_bytes_make_it_raise(messages: list[bytes], stream: bool) -> None:
    core = endpoint()
    now = 0.0
    alive: set[str] = set()
    for data in messages:
        core.receive(StreamChunk(TCP, data) if stream else Datagram(UDP, data), now)
        for output in drain(core):
            assert not isinstance(output, Transmit) or output.data.strip() == b"" or parse_message(output.data) is not None
            if isinstance(output, events.SessionIncoming):
                alive.add(output.session)
                core.execute(events.Accept(output.session, ANSWER), now)
            elif isinstance(output, events.SessionEnded):
                alive.discard(output.session)
        now += 0.3
        core.timeout(now)
    while (at := core.deadline()) is not None:
        core.timeout(at)
        alive -= {each.session for each in drain(core) if isinstance(each, events.SessionEnded)}
    assert core.statistics()["sessions"] == len(alive)


@pytest.mark.slow
@given(st.lists(st.tuples(damaged(), st.integers(100, 699)), max_size=6))
@settings(max_examples=4 * settings().max_examples, deadline=None)
def test_no_answer_makes_a_call_raise(answers: list[tuple[bytes, int]]) -> None:
    wire = Wire()
    alice, peer = add_endpoint(wire, "alice", "10.0.0.1", password="x"), Peer(wire, "peer", "10.0.0.9")
    alice.execute(events.Invite("c", "alice", Uri.sip("peer", "10.0.0.9"), OFFER))
    wire.run(0.1)
    invite = peer.requests("INVITE")[0]
    for data, status in answers:
        # the damaged headers behind the ones that match, so that they get as far as the session
        head = (f"SIP/2.0 {status} X\r\nVia: {invite.headers.get('Via')}\r\nFrom: {invite.headers.get('From')}\r\n"
                f"To: {invite.headers.get('To')};tag=t\r\nCall-ID: {invite.call_id}\r\nCSeq: {invite.headers.get('CSeq')}\r\n")
        rest = b"\r\n".join(line for line in data.split(b"\r\n")[1:]
                            if line[:4].lower() not in (b"via:", b"from", b"to: ", b"call", b"cseq"))
        peer.send(head.encode() + rest, alice)
        wire.run(wire.now + 0.2)
    wire.run(wire.now + 1)
    if not alice.of(events.SessionEnded):
        alice.execute(events.End("c"))
    assert len(alice.of(events.SessionEnded)) == 1
