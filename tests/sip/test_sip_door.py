"""The door: what strangers may, who is none, what forged requests get, and what is told of it."""

from __future__ import annotations

import pytest
from msgspec import structs

from offhook.sip import events
from offhook.sip.door import ADDRESSES_KEPT, RINGING_ALL, RINGING_EACH, TELL_EVERY, TOLD_APART, Rules
from offhook.sip.endpoint import Endpoint
from offhook.sip.events import Body, Datagram, Flow, Refused, Resolved, StreamChunk, Transmit
from offhook.sip.message import Request, Response
from offhook.sip.parsing import parse_message
from offhook.sip.stack import Hop
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.ids import SeededIds

OURS = ("10.0.0.1", 5060)
STRICT = Rules(rate=10.0)
CLOSED = Rules(accept_from=("accounts", "192.0.2.0/24"), rate=10.0)


class Target:
    """An endpoint with one account, shot at by hand."""

    def __init__(self, rules: Rules, domain: str = "pbx.example", proxy: str = "") -> None:
        self.core = Endpoint(SeededIds(), rules=rules)
        identity = events.Identity("a", NameAddr.parse(f"<sip:alice@{domain}>"), contact_user="abc",
                                   proxy=Uri.parse(proxy) if proxy else None)
        self.core.execute(events.SetIdentity(identity), 0.0)
        self.now = 1.0
        self.number = 0

    def drain(self) -> list[events.SipOutput]:
        outputs = []
        while (output := self.core.poll()) is not None:
            outputs.append(output)
        return outputs

    def shoot(self, method: str = "OPTIONS", host: str = "203.0.113.9", *, to_tag: str = "", branch: str = "", cseq: int = 1,
              call: str = "", extra: str = "", transport: str = "UDP") -> list[events.SipOutput]:
        """Send one request; return everything that followed."""
        self.number += 1
        to = "<sip:alice@pbx.example>" + (f";tag={to_tag}" if to_tag else "")
        name = f"[{host}]" if ":" in host else host
        data = (f"{method} sip:abc@10.0.0.1 SIP/2.0\r\n"
                f"Via: SIP/2.0/{transport} {name}:5060;branch=z9hG4bK{branch or self.number}\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:x@{name}>;tag=f\r\nTo: {to}\r\nCall-ID: {call or self.number}\r\n"
                f"CSeq: {cseq} {method}\r\nContact: <sip:x@{name}>\r\n{extra}Content-Length: 0\r\n\r\n").encode()
        return self.throw(data, host, transport)

    def throw(self, data: bytes, host: str = "203.0.113.9", transport: str = "UDP") -> list[events.SipOutput]:
        """Send any bytes."""
        if transport == "UDP":
            self.core.receive(Datagram(Flow("udp", OURS, (host, 5060)), data), self.now)
        else:
            self.core.receive(StreamChunk(Flow("tcp", OURS, (host, 40000), 7), data), self.now)
        return self.drain()


def statuses(outputs: list[events.SipOutput]) -> list[int]:
    messages = [parse_message(each.data) for each in outputs if isinstance(each, Transmit)]
    return [message.status for message in messages if isinstance(message, Response)]


def refused(outputs: list[events.SipOutput]) -> list[Refused]:
    return [each for each in outputs if isinstance(each, Refused)]


def test_without_rules_everything_is_let_in() -> None:
    target = Target(Rules())
    assert all(statuses(target.shoot()) == [200] for _ in range(500))


def test_a_scan_is_answered_at_its_rate_and_no_faster() -> None:
    target = Target(STRICT)
    shots = [target.shoot() for _ in range(1000)]
    assert sum(len(statuses(shot)) for shot in shots) == 20  # two seconds' worth
    assert [told for shot in shots for told in refused(shot)] == [Refused("203.0.113.9", "too many requests", 1)]
    target.now += 1.0
    assert sum(len(statuses(target.shoot())) for _ in range(100)) == 10


def test_what_was_refused_is_told_once_a_minute_with_its_number() -> None:
    target = Target(STRICT)
    for _ in range(1000):
        target.shoot()
    target.core.timeout(target.now + TELL_EVERY)
    assert refused(target.drain()) == [Refused("203.0.113.9", "too many requests", 979)]
    target.core.timeout(target.now + 3 * TELL_EVERY)
    assert not refused(target.drain())
    assert target.core.statistics()["timers"] == 0


@pytest.mark.lengthy
def test_forged_sources_are_bounded_together_and_told_of_together() -> None:
    target = Target(STRICT)
    shots = [target.shoot(host=f"198.51.{n // 250}.{n % 250}") for n in range(5000)]
    assert sum(len(statuses(shot)) for shot in shots) == 200
    told = [each for shot in shots for each in refused(shot)]
    assert len(told) == TOLD_APART + 1
    assert told[-1].source == "many"


def test_one_customer_of_ipv6_is_one_stranger() -> None:
    target = Target(STRICT)
    shots = [target.shoot(host=f"2001:db8::{n:x}") for n in range(1, 100)]
    assert sum(len(statuses(shot)) for shot in shots) == 20
    assert refused([each for shot in shots for each in shot])[0].source == "2001:db8::/64"


def test_garbage_is_answered_no_faster_either() -> None:
    target = Target(STRICT)
    broken = b"OPTIONS <sip:x> SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bK1\r\n\r\n"
    assert sum(len(statuses(target.throw(broken))) for _ in range(1000)) == 20


def test_copies_of_one_request_are_answered_no_faster_either() -> None:
    target = Target(STRICT)
    assert sum(len(statuses(target.shoot("MESSAGE", branch="same", call="same"))) for _ in range(1000)) <= 20


@pytest.mark.parametrize("method", ["OPTIONS", "MESSAGE", "BYE", "REGISTER", "FROBNICATE"])
def test_answers_to_strangers_are_no_longer_than_their_requests(method: str) -> None:
    target = Target(STRICT)
    target.number = 100
    (sent,) = [each for each in target.shoot(method) if isinstance(each, Transmit)]
    asked = len(f"{method} sip:abc@10.0.0.1 SIP/2.0") + 290
    assert len(sent.data) <= asked


def test_a_refusal_to_a_stranger_is_not_repeated_by_itself() -> None:
    # RFC 3261 8.2.7, so that one forged INVITE does not send eleven answers to whom it names
    for rules, copies in ((STRICT, 1), (Rules(), 11)):
        target = Target(rules)
        sent = target.shoot("INVITE", extra="Accept: text/html\r\n")
        for tick in range(80):
            target.core.timeout(target.now + tick / 2)
            sent += target.drain()
        assert statuses(sent) == [406] * copies


def test_few_calls_of_strangers_ring_at_once() -> None:
    target = Target(STRICT)
    seen = [target.shoot("INVITE") for _ in range(RINGING_EACH + 1)]
    assert [statuses(each) for each in seen] == [[]] * RINGING_EACH + [[486]]
    assert refused(seen[-1]) == [Refused("203.0.113.9", "too many calls at the same time", 1)]
    others = [statuses(target.shoot("INVITE", host=f"203.0.113.{n + 20}")) for n in range(30)]
    assert others.count([]) == RINGING_ALL - RINGING_EACH


def test_a_call_goes_on_while_strangers_shout_from_its_own_address() -> None:
    target = Target(STRICT)
    target.core.execute(events.Invite("s", "a", Uri.parse("sip:bob@203.0.113.9"), None), target.now)
    query = next(each for each in target.drain() if isinstance(each, events.Resolve))
    target.core.receive(Resolved(query.query, (Flow("udp", OURS, ("203.0.113.9", 5060)),)), target.now)
    (sent,) = [each for each in target.drain() if isinstance(each, Transmit)]
    invite = parse_message(sent.data)
    assert isinstance(invite, Request)
    for _ in range(300):
        target.shoot()
    head = f"Via: {invite.headers.get('Via')}\r\nFrom: {invite.headers.get('From')}\r\nCall-ID: {invite.call_id}\r\n"
    ringing = f"SIP/2.0 180 Ringing\r\n{head}To: <sip:bob@203.0.113.9>;tag=t\r\nCSeq: 1 INVITE\r\n\r\n".encode()
    assert [type(each) for each in target.throw(ringing)] == [events.SessionProgress]


@pytest.mark.parametrize(("host", "status"), [("192.0.2.200", [200]), ("203.0.113.9", [])])
def test_only_known_networks_are_accepted(host: str, status: list[int]) -> None:
    target = Target(CLOSED)
    shot = target.shoot(host=host)
    assert statuses(shot) == status
    assert bool(refused(shot)) == (not status)


def test_over_tcp_who_is_not_accepted_is_told_so() -> None:
    assert statuses(Target(CLOSED).shoot(transport="TCP")) == [403]


@pytest.mark.parametrize(("domain", "proxy"), [("203.0.113.9", ""), ("pbx.example", "sip:203.0.113.9;lr")])
def test_the_servers_of_accounts_are_accepted(domain: str, proxy: str) -> None:
    target = Target(Rules(accept_from=("accounts",), rate=10.0), domain, proxy)
    assert all(statuses(target.shoot()) == [200] for _ in range(100))
    target.core.execute(events.RemoveIdentity("a"), target.now)
    assert statuses(target.shoot()) == []


def test_a_server_is_known_by_what_its_name_was_resolved_to() -> None:
    target = Target(Rules(accept_from=("accounts",), rate=10.0))
    assert statuses(target.shoot()) == []
    target.core.execute(events.Register("a"), target.now)
    query = next(each for each in target.drain() if isinstance(each, events.Resolve))
    flows = tuple(Flow("udp", OURS, (host, 5060)) for host in ("203.0.113.8", "203.0.113.9"))
    target.core.receive(Resolved(query.query, flows), target.now)
    target.drain()
    assert statuses(target.shoot()) == [200]


def test_of_the_addresses_a_name_ever_had_those_of_now_are_forgotten_last() -> None:
    target = Target(STRICT)
    identity = target.core._stack.identities["a"]
    hop = Hop("pbx.example", None, "udp")

    def may_ask(host: str) -> bool:
        flow = Flow("udp", OURS, (host, 5060))
        return target.core._stack.door.may_challenge(identity, Hop(host, None, "udp"), flow, None, target.now)
    for number in range(ADDRESSES_KEPT + 9):
        flows = tuple(Flow("udp", OURS, (host, 5060)) for host in ("203.0.113.8", f"198.51.100.{number}"))
        target.core._stack.door.learn(identity, hop, flows)
        assert may_ask("203.0.113.8"), "it has been one of them all the time"
    assert may_ask(f"198.51.100.{ADDRESSES_KEPT}")
    assert not may_ask("198.51.100.0")


def test_each_server_of_an_account_is_known_and_none_that_it_has_no_more() -> None:
    target = Target(CLOSED)
    named, literal = Uri.parse("sip:one.example;lr"), Uri.parse("sip:198.51.100.8;lr")
    identity = events.Identity("a", NameAddr.parse("<sip:alice@pbx.example>"), contact_user="abc", proxy=named,
                               proxies=(named, literal))
    target.core.execute(events.SetIdentity(identity), 0.0)
    target.core.execute(events.Register("a"), 0.0)
    (query,) = [each for each in target.drain() if isinstance(each, events.Resolve)]
    target.core.receive(Resolved(query.query, (Flow("udp", OURS, ("198.51.100.7", 5060)),)), 0.0)
    target.drain()
    for host in ("198.51.100.7", "198.51.100.8"):
        assert statuses(target.shoot(host=host)) == [200]
    target.core.execute(events.SetIdentity(structs.replace(identity, proxies=(named,))), 0.0)
    assert statuses(target.shoot(host="198.51.100.7")) == [200]
    assert statuses(target.shoot(host="198.51.100.8")) == []


@pytest.mark.parametrize("answered", [False, True])
def test_who_talks_to_us_is_heard_however_strangers_shout_from_there(answered: bool) -> None:
    target = Target(STRICT)
    (incoming,) = [each for each in target.shoot("INVITE", call="talk", branch="i") if isinstance(each, events.SessionIncoming)]
    if answered:
        target.core.execute(events.Accept(incoming.session, Body("application/sdp", b"v=0\r\n")), target.now)
        (accepted,) = [parse_message(each.data) for each in target.drain() if isinstance(each, Transmit)]
        tag = accepted.to.tag or ""
        target.shoot("ACK", call="talk", to_tag=tag)
    else:
        tag = target.core.dialog_of(incoming.session).local_tag  # type: ignore[union-attr]  # it is there
    for _ in range(300):
        target.shoot()
    assert statuses(target.shoot()) == []
    assert statuses(target.shoot("BYE", call="talk", to_tag=tag, cseq=2)) == ([200] if answered else [200, 487])


@pytest.mark.parametrize("method", ["BYE", "NOTIFY", "REFER", "INFO", "UPDATE", "INVITE"])
def test_forged_requests_inside_a_call_meet_no_dialog(method: str) -> None:
    target = Target(STRICT)
    (incoming,) = [each for each in target.shoot("INVITE", call="secret") if isinstance(each, events.SessionIncoming)]
    shot = target.shoot(method, host="198.51.100.66", call="secret", to_tag="guessed", cseq=9)
    # RFC 3261 12.2.2: Call-ID and both tags, of which ours is a secret, make the dialog
    assert statuses(shot) == [481]
    assert refused(shot) == [Refused("198.51.100.66", f"{method} for a dialog that does not exist", 1)]
    assert incoming.session in target.core._sessions.by_id


CANCEL = (b"CANCEL sip:abc@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKknown\r\nMax-Forwards: 70\r\n"
          b"From: <sip:x@203.0.113.9>;tag=f\r\nTo: <sip:alice@pbx.example>\r\nCall-ID: c\r\nCSeq: 1 CANCEL\r\n\r\n")


@pytest.mark.parametrize(("known", "guessed"), [
    (b"tag=f", b"tag=g"), (b";tag=f", b""), (b"ID: c", b"ID: d"), (b"1 CANCEL", b"2 CANCEL"),
])
def test_a_forged_cancel_does_not_end_a_call(known: bytes, guessed: bytes) -> None:
    target = Target(STRICT)
    target.shoot("INVITE", branch="known", call="c")
    # RFC 3261 9.1: hop by hop, so from where its INVITE came
    forged = target.throw(CANCEL.replace(known, guessed), "198.51.100.66")
    assert statuses(forged) == [481]
    assert [each.reason for each in refused(forged)] == ["CANCEL from elsewhere than its INVITE"]
    assert len(target.core._sessions.by_id) == 1
    assert statuses(target.throw(CANCEL)) == [200, 487]


def test_others_whom_a_proxy_lets_ring_do_not_end_a_call() -> None:
    # They have tag and Call-ID, too, and the branch but for what tells its copies apart
    target = Target(STRICT)
    target.shoot("INVITE", branch="known", call="c", extra="Via: SIP/2.0/UDP 192.0.2.44;branch=z9hG4bKcaller\r\n")
    assert statuses(target.throw(CANCEL, "198.51.100.66")) == [481]
    assert statuses(target.throw(CANCEL)) == [200, 487]


@pytest.mark.parametrize("rules", [STRICT, Rules()])
def test_a_caller_without_a_proxy_cancels_from_where_it_has_moved_to(rules: Rules) -> None:
    target = Target(rules)
    target.shoot("INVITE", branch="known", call="c")
    ended = target.throw(CANCEL, "198.51.100.66")
    assert statuses(ended) == [200, 487]
    assert not refused(ended)
    sent = [each.flow.remote[0] for each in ended if isinstance(each, Transmit)]
    assert sent == ["198.51.100.66", "203.0.113.9"]
    assert not target.core._sessions.by_id


def test_a_call_that_is_answered_is_not_cancelled_from_elsewhere() -> None:
    target = Target(STRICT)
    came = target.shoot("INVITE", branch="known", call="c")
    (incoming,) = [each for each in came if isinstance(each, events.SessionIncoming)]
    target.core.execute(events.Accept(incoming.session, Body("application/sdp", b"")), target.now)
    target.drain()
    assert statuses(target.throw(CANCEL, "198.51.100.66")) == [481]


def test_a_forged_ack_answers_nothing_and_stops_nothing() -> None:
    target = Target(STRICT)
    (incoming,) = [each for each in target.shoot("INVITE", call="c") if isinstance(each, events.SessionIncoming)]
    target.core.execute(events.Accept(incoming.session, events.Body("application/sdp", b"v=0\r\n")), target.now)
    target.drain()
    assert statuses(target.shoot("ACK", host="198.51.100.66", call="c", to_tag="guessed")) == []
    target.core.timeout(target.now + 0.6)
    assert statuses(target.drain()) == [200]  # still repeated: its ACK has not come


def test_memory_is_bounded_whoever_shouts() -> None:
    from offhook.sip import door

    target = Target(STRICT)
    for number in range(door.SOURCES_KEPT + 200):
        target.throw(b"x", f"198.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    kept = target.core._stack.door
    assert len(kept._sources) <= door.SOURCES_KEPT + 1
    assert len(kept._told) <= TOLD_APART + 2
    assert not target.core.statistics()["server_transactions"]
