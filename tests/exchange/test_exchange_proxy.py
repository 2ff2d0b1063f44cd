"""Forwarding in virtual time: phones that call one another, forks, cancels, routes, loss, and hostile packets."""

from __future__ import annotations

import random

import pytest
from exchange_world import EXCHANGE, SDP, Phone, World, craft

from offhook.exchange.fork import choose_best
from offhook.exchange.proxy import MAX_OWN_VIAS, OUR_BRANCH
from offhook.phone.closing import sip_cause
from offhook.sip import events as sip
from offhook.sip.events import Datagram, Flow, StreamChunk, Transmit
from offhook.sip.message import Request, Response
from offhook.sip.parsing import parse_message
from offhook.sip.uri import Uri


def house(*autos: str, loss: float = 0.0, seed: int = 1) -> tuple[World, Phone, list[Phone]]:
    """Return a world with a caller (1001) and phones that are all registered as 1002 and behave as told."""
    world = World(loss, seed)
    caller = world.phone("1001")
    phones = [world.phone("1002") for _ in autos]
    for phone, auto in zip(phones, autos, strict=True):
        phone.auto = auto
        phone.register()
    world.run(1 if not loss else 40)
    return world, caller, phones


def called() -> World:
    """Return a world in which a call with the Call-ID of `craft` has passed through the exchange."""
    world, _, _ = house("486")
    world.ask(craft("INVITE", "1002", caller="stranger", headers=(("Contact", "<sip:s@10.0.2.1>"),)))
    return world


def incoming(phone: Phone) -> sip.SessionIncoming:
    (found,) = [event for event in phone.events if isinstance(event, sip.SessionIncoming)]
    return found


def test_a_call_passes_and_its_bye_follows_the_route() -> None:
    world, caller, (callee,) = house("answer")
    caller.call("1002")
    world.run(1)
    assert "SessionAnswered" in caller.names()
    assert "SessionConfirmed" in callee.names()
    assert any(name == "Record-Route" for name, _ in incoming(callee).headers)
    assert not any(name == "Proxy-Authorization" for name, _ in incoming(callee).headers)
    callee.execute(sip.End(incoming(callee).session))
    world.run(1)
    assert caller.ended().by == "remote"
    world.run(70)
    assert world.switch.proxy.transactions.servers == {}
    assert world.switch.proxy.transactions.clients == {}


def test_hold_and_transfer_pass_inside_the_dialog() -> None:
    world, caller, (callee,) = house("answer")
    third = world.phone("1003")
    third.register()
    third.auto = "answer"
    caller.call("1002")
    world.run(1)
    caller.execute(sip.Reoffer("c1", SDP))
    world.run(1)
    assert "OfferReceived" in callee.names()
    callee.execute(sip.AnswerOffer(incoming(callee).session, SDP))
    world.run(1)
    assert "OfferAnswered" in caller.names()
    caller.execute(sip.Refer("c1", Uri.sip("1003", *EXCHANGE)))
    world.run(1)
    assert "ReferRequested" in callee.names()


def test_a_fork_rings_everywhere_and_the_loser_is_cancelled() -> None:
    world, caller, (first, second) = house("ring", "ring")
    caller.call("1002")
    world.run(1)
    assert len({event.fork for event in caller.events if isinstance(event, sip.SessionProgress)}) == 2
    first.execute(sip.Accept(incoming(first).session, SDP))
    world.run(1)
    assert "SessionAnswered" in caller.names()
    assert "SessionConfirmed" in first.names()
    assert second.ended().by == "remote"
    assert sip_cause(second.ended().headers) == 200, "answered elsewhere, which is no missed call"


@pytest.mark.parametrize("seed", range(6))
def test_a_fork_survives_loss(seed: int) -> None:
    world, caller, (first, second) = house("ring", "ring", loss=0.3, seed=seed)
    caller.call("1002")
    world.run(20)
    first.execute(sip.Accept(incoming(first).session, SDP))
    world.run(60)
    assert "SessionAnswered" in caller.names()
    assert "SessionEnded" in second.names()
    assert "SessionEnded" not in first.names()
    caller.execute(sip.End("c1"))
    world.run(70)
    assert "SessionEnded" in first.names()


def test_both_answers_of_a_fork_pass_and_one_is_left() -> None:
    world, caller, (first, second) = house("answer", "answer")
    caller.call("1002")
    world.run(5)
    assert caller.names().count("SessionAnswered") == 1
    ended = ["SessionEnded" in phone.names() for phone in (first, second)]
    assert sorted(ended) == [False, True]


def test_a_decline_anywhere_ends_the_call_everywhere() -> None:
    world, caller, (first, second) = house("ring", "603")
    caller.call("1002")
    world.run(1)
    assert caller.ended().status == 603
    assert first.ended().by == "remote"
    assert "SessionEnded" in second.names()


def test_a_busy_phone_leaves_the_other_ringing() -> None:
    world, caller, (first, second) = house("486", "ring")
    caller.call("1002")
    world.run(1)
    assert "SessionEnded" not in caller.names()
    second.execute(sip.Refuse(incoming(second).session, 480))
    world.run(1)
    assert caller.ended().status in (480, 486)
    assert "SessionEnded" in first.names()


def test_the_caller_gives_up() -> None:
    world, caller, phones = house("ring", "ring")
    caller.call("1002")
    world.run(1)
    caller.execute(sip.End("c1"))
    world.run(1)
    assert all(phone.ended().by == "remote" for phone in phones)
    world.run(70)
    assert world.switch.proxy.transactions.servers == {}


def test_a_cancelled_branch_whose_phone_died_is_forgotten() -> None:
    # RFC 3261 9.1: 64*T1 behind the CANCEL the INVITE's transaction is over, though a provisional answer stopped its timers
    world, caller, (callee,) = house("ring")
    caller.call("1002")
    world.run(1)
    del world.phones[callee.address]
    caller.execute(sip.End("c1"))
    world.run(120)
    assert world.switch.proxy.transactions.clients == {}
    assert world.switch.proxy.transactions.servers == {}


def test_a_cancel_before_any_answer_waits_for_one() -> None:
    world, caller, (callee,) = house("ring")
    del world.phones[callee.address]
    caller.call("1002")
    world.run(1)
    caller.execute(sip.End("c1"))
    world.run(0.1)
    assert not any(b"CANCEL" in data[:6] for data in world.raw[callee.address])
    world.phones[callee.address] = callee
    world.run(10)
    assert callee.ended().by == "remote"


def test_a_phone_that_is_gone_is_408_and_one_that_rings_for_ever_too() -> None:
    world, caller, (callee,) = house("ring")
    del world.phones[callee.address]
    caller.call("1002")
    world.run(40)
    assert caller.ended().status == 408
    world, caller, (callee,) = house("ring")
    caller.call("1002")
    world.run(1)
    assert "SessionProgress" in caller.names()
    del world.phones[callee.address]
    world.run(181 + 33)
    assert caller.ended().status == 487
    assert any(data.startswith(b"CANCEL") for data in world.raw[callee.address])


@pytest.mark.parametrize(("user", "status"), [("1002", 480), ("nobody", 404)])
def test_nobody_there(user: str, status: int) -> None:
    world = World()
    caller = world.phone("1001")
    caller.call(user)
    world.run(1)
    assert caller.ended().status == status


def test_a_wrong_password_cannot_call() -> None:
    world = World()
    caller = world.phone("1001", password="wrong")
    caller.call("echo")
    world.run(1)
    assert caller.ended().status == 403
    assert "1001: INVITE refused (Wrong Password)" in world.notes


def test_strangers_may_call_in_but_not_through() -> None:
    world, _, (callee,) = house("486")
    answer = world.ask(craft("INVITE", "1002", caller="stranger", headers=(("Contact", "<sip:s@10.0.2.1>"),)))
    assert answer is not None
    assert answer.status == 486
    assert "SessionIncoming" in callee.names()
    answer = world.ask(craft("INVITE", "x", caller="stranger", uri="sip:x@10.9.9.9"))
    assert answer is not None
    assert answer.status == 403
    assert ("10.9.9.9", 5060) not in world.raw


def test_an_account_is_asked_for_its_password() -> None:
    for method in ("INVITE", "MESSAGE", "REFER"):
        answer = World().ask(craft(method, "1002"))
        assert answer is not None
        assert answer.status == 407
        assert len(answer.headers.get_all("Proxy-Authenticate")) == 2


def test_a_message_reaches_a_phone() -> None:
    world, caller, (callee,) = house("")
    caller.execute(sip.SendRequest("m1", "1001", "MESSAGE", Uri.sip("1002", *EXCHANGE), sip.Body("text/plain", b"hello")))
    world.run(1)
    assert "MessageReceived" in callee.names()
    (done,) = [event for event in caller.events if isinstance(event, sip.RequestDone)]
    assert done.status == 200


def test_hops_and_loops_are_counted() -> None:
    world, _, _ = house("486")
    answer = world.ask(craft("INVITE", "1002", caller="s", headers=(("Max-Forwards", "0"),)))
    assert answer is not None
    assert answer.status == 483
    request = craft("INVITE", "1002", caller="s")
    for number in range(MAX_OWN_VIAS + 1):
        request.headers.add("Via", f"SIP/2.0/UDP 10.0.0.1:5070;branch={OUR_BRANCH}{number}")
    answer = world.ask(request)
    assert answer is not None
    assert answer.status == 482


def test_options_for_the_exchange_itself() -> None:
    answer = World().ask(craft("OPTIONS", None, caller="stranger"))
    assert answer is not None
    assert answer.status == 200
    assert "INVITE" in (answer.headers.get("Allow") or "")


@pytest.mark.parametrize(("method", "user"), [("OPTIONS", "nobody"), ("INVITE", None), ("MESSAGE", None)])
def test_nobody_else_is_the_exchange_itself(method: str, user: str | None) -> None:
    answer = World().ask(craft(method, user, caller="stranger"))
    assert answer is not None
    assert answer.status == 404


def test_that_a_phone_is_overloaded_does_not_mean_that_we_are() -> None:
    # RFC 3261 16.7 step 6: a caller that is told 503 would ask us nothing more for a while
    world, caller, _ = house("503")
    caller.call("1002")
    world.run(1)
    assert caller.ended().status == 500


def test_strangers_are_not_led_through_by_a_route() -> None:
    world = World()
    answer = world.ask(craft("INVITE", "x", caller="stranger", uri="sip:x@10.9.9.9", headers=(("Route", "<sip:10.9.9.8;lr>"),)))
    assert answer is not None
    assert answer.status == 403
    assert not {("10.9.9.8", 5060), ("10.9.9.9", 5060)} & world.raw.keys()


@pytest.mark.parametrize("method", ["INFO", "INVITE", "ACK"])
@pytest.mark.parametrize("headers", [(), (("Route", "<sip:10.9.9.9;lr>"),)])
def test_a_tag_does_not_lead_strangers_through(method: str, headers: tuple[tuple[str, str], ...]) -> None:
    world = World()
    answer = world.ask(craft(method, "x", caller="stranger", tag="t", uri="sip:x@10.9.9.9", headers=headers))
    assert method == "ACK" or (answer is not None and answer.status == 481)
    assert ("10.9.9.9", 5060) not in world.raw, "one datagram would become eleven, to whomever it names"


@pytest.mark.parametrize("where", ["sip:x@10.0.4.1;transport=tls", "sip:x@10.0.4.1;transport=ws", "sip:x@somewhere.example"])
def test_where_nobody_can_be_reached_says_so(where: str) -> None:
    answer = called().ask(craft("BYE", "x", tag="t", uri=where))
    assert answer is not None
    assert answer.status == (500 if "example" in where else 480)


@pytest.mark.parametrize("host", ["localhost:5070", "practice.local", "10.0.0.1", "PRACTICE.local"])
def test_our_names(host: str) -> None:
    answer = World().ask(craft("OPTIONS", "echo", caller="s", uri=f"sip:echo@{host}"))
    assert answer is not None
    assert answer.status == 200


@pytest.mark.parametrize(("rport", "port"), [(True, 5060), (False, 5099)])
def test_answers_go_where_rfc_3581_says(rport: bool, port: int) -> None:
    world = World()
    request = craft("OPTIONS", None, caller="s")
    via = "SIP/2.0/UDP 192.168.0.7:5099;branch=z9hG4bKx" + (";rport" if rport else "")
    request.headers.set("Via", via)
    world.send(("10.0.2.1", 5060), EXCHANGE, request.encode())
    world.run(1)
    (data,) = world.raw["10.0.2.1", port]
    answer = parse_message(data)
    assert answer.via.received == "10.0.2.1"
    assert answer.via.rport == (5060 if rport else None)


def test_a_cancel_for_nothing_is_481_and_responses_to_nobody_are_dropped() -> None:
    world = World()
    answer = world.ask(craft("CANCEL", "1002", caller="s"))
    assert answer is not None
    assert answer.status == 481
    stray = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5070;branch=" + OUR_BRANCH.encode() + b"gone\r\n" \
            b"Via: SIP/2.0/UDP 10.0.2.9\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n"
    world.send(("10.0.2.1", 5060), EXCHANGE, stray)
    world.run(1)
    assert ("10.0.2.9", 5060) not in world.raw


def test_a_route_through_us_is_removed_and_a_strict_one_undone() -> None:
    world = called()
    lr = f"<sip:{EXCHANGE[0]}:{EXCHANGE[1]};lr>"
    inside = craft("BYE", "x", tag="t", uri="sip:x@10.0.4.1:5062", headers=(("Route", lr),))
    world.send(("10.0.2.1", 5060), EXCHANGE, inside.encode())
    strict = craft("BYE", "x", tag="t", uri=lr.strip("<>"), headers=(("Route", "<sip:x@10.0.4.2:5062>"),))
    world.send(("10.0.2.1", 5060), EXCHANGE, strict.encode())
    world.run(0.1)
    for host in ("10.0.4.1", "10.0.4.2"):
        (data,) = world.raw[host, 5062]
        request = parse_message(data)
        assert isinstance(request, Request)
        assert (request.routes, str(request.uri), request.max_forwards) == ([], f"sip:x@{host}:5062", 69)
        assert (request.via.branch or "").startswith(OUR_BRANCH)


def test_the_best_answer() -> None:
    def best(*statuses: int) -> int:
        return choose_best([Response(status) for status in statuses]).status

    assert best(486, 603, 302) == 603
    assert best(486, 302) == 302
    assert best(408, 486) == 486
    assert best(503, 500) == 500
    assert best(404, 407) == 407
    merged = choose_best([Response(401, "", [("WWW-Authenticate", "Digest a=1")]),
                          Response(401, "", [("WWW-Authenticate", "Digest b=1")])])
    assert merged.headers.get_all("WWW-Authenticate") == ["Digest a=1", "Digest b=1"]


def test_a_stream_carries_messages_and_pings() -> None:
    world = World()
    flow = Flow("tcp", EXCHANGE, ("10.0.2.1", 40000), 3)
    request = craft("OPTIONS", None, caller="s")
    request.headers.set("Via", "SIP/2.0/TCP 10.0.2.1;branch=z9hG4bKtcp")
    data = b"\r\n\r\n" + request.encode()
    for place in range(0, len(data), 50):
        world.switch.receive(StreamChunk(flow, data[place:place + 50]), world.now)
    sent = [item for item in iter(world.switch.poll, None) if isinstance(item, Transmit)]
    assert sent[0].data == b"\r\n"
    assert sent[1].data.startswith(b"SIP/2.0 200")
    assert all(each.flow == flow for each in sent)
    world.switch.receive(StreamChunk(flow, b"nonsense\r\n\r\n"), world.now)
    assert sip.CloseFlow(flow) in list(iter(world.switch.poll, None))


@pytest.mark.lengthy
def test_hostile_packets_never_raise() -> None:
    world, _, _ = house("ring")
    chance = random.Random(5)
    seeds = [craft(method, user, caller="s", headers=headers).encode()
             for method in ("INVITE", "REGISTER", "CANCEL", "ACK", "BYE") for user in ("1002", "echo", None)
             for headers in ((), (("Contact", "<sip:a@10.0.2.1>"),), (("Route", "<sip:10.0.0.1:5070;lr>, <sip:10.0.5.5>"),))]
    for _ in range(1500):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 8)):
            place = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place:place + chance.randrange(1, 30)]
                case _:
                    data[place:place] = chance.choice((b"\r\n", b";", b",", b"<", b'"', b"\x00", b"%", b"sip:", b"9" * 40))
        flow = Flow("udp", EXCHANGE, ("10.0.2.1", chance.choice((0, 5060, 65535))))
        world.switch.receive(Datagram(flow, bytes(data)), world.now)
        world.settle()
    world.run(200)
