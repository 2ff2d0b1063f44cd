"""The life of a registration against a hand-played registrar."""

from __future__ import annotations

import pytest

from offhook.errors import NotFound
from offhook.sip import auth, events
from offhook.sip.door import Rules
from offhook.sip.endpoint import Endpoint
from offhook.sip.message import Request
from offhook.sip.uri import NameAddr
from offhook.testing.endpoints import Peer, add_endpoint
from offhook.testing.ids import SeededIds
from offhook.testing.wire import Node, Weather, Wire


class Registrar:
    """Grants `grant` seconds, or answers `status`; `silent` says nothing; a password makes it challenge."""

    def __init__(self, wire: Wire, password: str = "", name: str = "pbx.example", host: str = "10.0.0.9") -> None:
        self.wire = wire
        self.peer = Peer(wire, name, host)
        self.peer.on_request = self.play
        self.password = password
        self.grant: int | None = 100
        self.status = 200
        self.silent = False
        self.headers: tuple[tuple[str, str], ...] = ()
        self.times: list[float] = []
        self.bound: set[str] = set()

    def play(self, request: Request) -> None:
        self.times.append(self.wire.now)
        if self.silent:
            return
        given = request.headers.get("Authorization") or ""
        if self.password and not auth.verify(given, method="REGISTER", password=self.password):
            challenge = auth.make_challenge("pbx", "n", algorithm="SHA-256")
            self.peer.answer(request, 401, tag="c", headers=(("WWW-Authenticate", challenge),))
        elif self.status != 200:
            self.peer.answer(request, self.status, tag="x", headers=self.headers)
        else:
            self.accept(request)

    def accept(self, request: Request) -> None:
        contact = request.contacts[0]
        if request.expires == 0:
            self.bound.discard(str(contact.uri))
            self.peer.answer(request, 200, tag="x")
        elif self.grant is None:
            self.peer.answer(request, 200, tag="x")
        else:
            self.bound.add(str(contact.uri))
            self.peer.answer(request, 200, tag="x", contact=f"<sip:other@1.2.3.4>;expires=7, {contact};expires={self.grant}")


def world(password: str = "", weather: Weather | None = None) -> tuple[Wire, Node, Registrar]:
    wire = Wire(3, weather)
    registrar = Registrar(wire, password)
    return wire, add_endpoint(wire, "alice", "10.0.0.1", domain="pbx.example", password=password), registrar


def test_register_refresh_unregister() -> None:
    wire, alice, registrar = world("secret")
    alice.execute(events.Register("alice", 300))
    wire.run(1)
    assert registrar.bound == {"sip:alice@10.0.0.1:5060"}
    assert alice.of(events.Registered) == [events.Registered("alice", 100)]
    wire.run(250)
    # 100 granted: a refresh 32 s or a little more before each end, without a challenge
    gaps = [b - a for a, b in zip(registrar.times[1:], registrar.times[2:], strict=False)]
    assert all(60 <= gap <= 70 for gap in gaps)
    assert len(alice.of(events.Registered)) == len(registrar.times) - 1
    assert len({request.call_id for request in registrar.peer.requests("REGISTER")}) == 1
    numbers = [request.cseq.number for request in registrar.peer.requests("REGISTER")]
    assert numbers == sorted(set(numbers))
    assert str(registrar.peer.requests("REGISTER")[0].uri) == "sip:pbx.example"
    alice.execute(events.Unregister("alice"))
    wire.run(1000)
    assert not registrar.bound
    assert alice.outputs[-1] == events.RegistrationEnded("alice")
    assert set(alice.core.statistics().values()) == {0}  # type: ignore[attr-defined]  # an Endpoint


def test_wrong_password_is_reported_and_retried_slowly() -> None:
    wire, alice, registrar = world("secret")
    registrar.password = "other"
    alice.execute(events.Register("alice"))
    wire.run(4000)
    failed = alice.of(events.RegistrationFailed)
    assert {event.status for event in failed} == {401}
    waits = [event.retry_in for event in failed]
    assert 15 <= waits[0] <= 30
    assert 30 <= waits[1] <= 60
    assert all(wait <= 1800 for wait in waits)
    assert len(failed) < 12
    alice.execute(events.Unregister("alice"))
    wire.run(9000)
    assert alice.of(events.RegistrationEnded)
    assert len(alice.of(events.RegistrationFailed)) == len(failed)


def test_interval_too_brief() -> None:
    wire, alice, registrar = world()
    registrar.status, registrar.headers = 423, (("Min-Expires", "600"),)
    alice.execute(events.Register("alice", 60))
    wire.run(1)
    assert [request.expires for request in registrar.peer.requests("REGISTER")] == [60, 600]
    assert alice.of(events.RegistrationFailed)[0].status == 423


@pytest.mark.parametrize("least", ["", "30", "60", "99999999999"])
def test_a_refused_interval_is_not_asked_for_again_where_no_other_helps(least: str) -> None:
    wire, alice, registrar = world()
    registrar.status, registrar.headers = 423, (("Min-Expires", least),) if least else ()
    alice.execute(events.Register("alice", 60))
    wire.run(10)
    assert [request.expires for request in registrar.peer.requests("REGISTER")] == [60]
    assert alice.of(events.RegistrationFailed)[0].status == 423


def test_a_registrar_that_wants_longer_and_longer_is_left_alone() -> None:
    wire, alice, registrar = world()
    registrar.status = 423
    wants = iter(range(100, 10000, 100))

    def more(request: Request) -> None:
        registrar.headers = (("Min-Expires", str(next(wants))),)
        registrar.play(request)

    registrar.peer.on_request = more
    alice.execute(events.Register("alice", 60))
    wire.run(10)
    assert [request.expires for request in registrar.peer.requests("REGISTER")] == [60, 100, 200]
    assert alice.of(events.RegistrationFailed)[0].status == 423


def test_who_registers_by_command_begins_to_wait_anew() -> None:
    wire, alice, registrar = world()
    registrar.status = 500
    alice.execute(events.Register("alice", 60))
    wire.run_until(lambda: len(alice.of(events.RegistrationFailed)) == 5, 2000)
    alice.execute(events.Register("alice", 60))
    wire.run_until(lambda: len(alice.of(events.RegistrationFailed)) == 6)
    waits = [event.retry_in or 0 for event in alice.of(events.RegistrationFailed)]
    assert waits[4] > 120
    assert waits[5] <= 30


def test_silence_then_recovery() -> None:
    wire, alice, registrar = world()
    registrar.silent = True
    alice.execute(events.Register("alice"))
    wire.run(33)
    assert [(event.status, event.retry_in is not None) for event in alice.of(events.RegistrationFailed)] == [(408, True)]
    registrar.silent = False
    wire.run(100)
    assert alice.of(events.Registered)


def test_a_failure_after_a_success_is_the_first_one_again() -> None:
    wire, alice, registrar = world()
    registrar.status = 500
    alice.execute(events.Register("alice", 60))
    wire.run_until(lambda: len(alice.of(events.RegistrationFailed)) == 4, 1000)
    registrar.status = 200
    wire.run_until(lambda: bool(alice.of(events.Registered)), 1000)
    registrar.status = 500
    wire.run_until(lambda: len(alice.of(events.RegistrationFailed)) == 5, 1000)
    waits = [event.retry_in for event in alice.of(events.RegistrationFailed)]
    assert waits[3] > 2 * waits[0]
    assert waits[4] <= 30


def test_retry_after_is_kept() -> None:
    wire, alice, registrar = world()
    registrar.status, registrar.headers = 503, (("Retry-After", "120 (maintenance);duration=60"),)
    alice.execute(events.Register("alice"))
    wire.run(1)
    assert alice.of(events.RegistrationFailed)[0].retry_in == 120


def test_a_registrar_that_asks_us_back_at_once_is_not_asked_without_end() -> None:
    wire, alice, registrar = world()
    registrar.status, registrar.headers = 503, (("Retry-After", "0"),)
    alice.execute(events.Register("alice"))
    wire.run(60)
    waits = [event.retry_in or 0 for event in alice.of(events.RegistrationFailed)]
    assert waits[0] == 1, "once it may be right"
    assert waits[1] >= 30, "RFC 5626 4.5: then it is a failure like others"


def test_grant_from_expires_and_of_nothing() -> None:
    wire, alice, registrar = world()
    registrar.grant = None
    alice.execute(events.Register("alice", 77))
    wire.run(1)
    assert alice.of(events.Registered)[0].expires == 77
    registrar.grant = 0
    alice.execute(events.Register("alice", 77))
    wire.run(2)
    assert alice.of(events.RegistrationFailed)


def test_unregister_while_registering_and_twice() -> None:
    wire, alice, registrar = world(weather=Weather(delay=0.2))
    alice.execute(events.Register("alice"))
    wire.run(0.1)
    alice.execute(events.Unregister("alice"))
    alice.execute(events.Unregister("alice"))
    wire.run(50)
    assert alice.of(events.RegistrationEnded) == [events.RegistrationEnded("alice")]
    assert not registrar.bound
    alice.execute(events.Unregister("alice"))
    assert len(alice.of(events.RegistrationEnded)) == 2


def test_many_identities_through_a_lossy_network() -> None:
    wire, alice, registrar = world("secret", Weather(loss=0.2, jitter=0.1))
    for number in range(30):
        name = f"user{number}"
        identity = alice.core._stack.identities["alice"]  # type: ignore[attr-defined]  # the identity made by the harness
        address = identity.address
        alice.execute(events.SetIdentity(events.Identity(name, address, "alice", "secret", contact_user=name)))
        alice.execute(events.Register(name))
    wire.run(30)
    assert len({event.identity for event in alice.of(events.Registered)}) == 30
    assert len(registrar.bound) == 30


def test_removed_identity_is_silent() -> None:
    wire, alice, _ = world()
    alice.execute(events.Register("alice"))
    wire.run(1)
    alice.execute(events.RemoveIdentity("alice"))
    wire.run(2000)
    assert len(alice.of(events.Registered)) == 1
    with pytest.raises(NotFound):
        alice.execute(events.Register("alice"))


def test_new_password_is_used_at_the_next_request() -> None:
    wire, alice, registrar = world("secret")
    alice.execute(events.Register("alice"))
    wire.run(1)
    registrar.password = "changed"
    identity = alice.core._stack.identities["alice"]  # type: ignore[attr-defined]  # the identity made by the harness
    alice.execute(events.SetIdentity(events.Identity("alice", identity.address, password="changed", contact_user="alice")))
    wire.run(100)
    assert not alice.of(events.RegistrationFailed)
    assert len(alice.of(events.Registered)) == 2


def sent_on(status: int, *contacts: str) -> tuple[Wire, Node, Registrar, Registrar]:
    """Return a world whose registrar sends everybody on, and one that asks for the password, at 10.0.0.10 (two.pbx.example)."""
    wire, alice, first = world("secret")
    second = Registrar(wire, "secret", "two.pbx.example", "10.0.0.10")
    wire.names["elsewhere.example"] = wire.names["two.pbx.example"]
    first.password, first.status = "", status
    first.headers = tuple(("Contact", contact) for contact in contacts)
    return wire, alice, first, second


def test_a_refusal_by_all_of_them_ends_the_round() -> None:
    # RFC 3261 21.6: who says so knows that the others would not take us either
    wire, alice, first, second = sent_on(302, "<sip:10.0.0.11>;q=0.9", "<sip:10.0.0.10>;q=0.1")
    refusing = Registrar(wire, "", "three.pbx.example", "10.0.0.11")
    refusing.status = 603
    alice.execute(events.Register("alice", 300))
    wire.run(5)
    assert (len(first.times), len(refusing.times), second.times) == (1, 1, [])
    assert alice.of(events.RegistrationFailed)[0].status == 603


@pytest.mark.parametrize(("status", "contact", "uri"), [
    (301, "<sip:10.0.0.10>", "sip:10.0.0.10"), (302, "<sip:alice@two.pbx.example>", "sip:two.pbx.example"),
    (305, "<sip:10.0.0.10;lr>", "sip:pbx.example"),
])
def test_a_registrar_that_sends_us_on_is_followed(status: int, contact: str, uri: str) -> None:
    # RFC 3261 8.1.3.4
    wire, alice, first, second = sent_on(status, contact)
    alice.execute(events.Register("alice", 300))
    wire.run(1)
    assert second.bound == {"sip:alice@10.0.0.1:5060"}
    assert [str(each.uri) for each in second.peer.requests("REGISTER")] == [uri, uri]  # the second with the password
    assert alice.of(events.Registered) == [events.Registered("alice", 100)]
    assert not alice.of(events.RegistrationFailed)
    wire.run(69)
    assert len(first.times) == 2, "the next one begins where the account is"
    alice.execute(events.Unregister("alice"))
    wire.run(80)
    assert not second.bound, "where it was made"
    assert alice.outputs[-1] == events.RegistrationEnded("alice")


def test_the_next_of_the_addresses_is_asked_where_one_does_not_take_us() -> None:
    wire, alice, _first, second = sent_on(302, "<sip:10.0.0.11>;q=0.9", "<sip:10.0.0.10>;q=0.1")
    busy = Peer(wire, "busy", "10.0.0.11")

    def refuse(request: Request) -> None:
        busy.answer(request, 503, tag="b")
    busy.on_request = refuse
    alice.execute(events.Register("alice"))
    wire.run(1)
    assert len(busy.requests("REGISTER")) == 1
    assert second.bound


@pytest.mark.parametrize("contacts", [["<sip:elsewhere.example>"], ["<tel:123>"], []])
def test_nobody_is_followed_into_another_domain(contacts: list[str]) -> None:
    wire, alice, _first, second = sent_on(302, *contacts)
    alice.execute(events.Register("alice"))
    wire.run(1)
    assert not second.times
    assert [event.status for event in alice.of(events.RegistrationFailed)] == [302]


def test_registrars_that_send_us_round_in_a_circle_end() -> None:
    wire, alice, first, second = sent_on(302, "<sip:10.0.0.10>")
    second.password, second.status, second.headers = "", 302, (("Contact", "<sip:pbx.example>"), ("Contact", "<sip:10.0.0.10>"))
    alice.execute(events.Register("alice"))
    wire.run(10)
    assert len(first.times) + len(second.times) <= 6
    assert [event.status for event in alice.of(events.RegistrationFailed)] == [302]


def test_nobody_is_sent_on_into_the_open() -> None:
    wire = Wire()
    registrar = Registrar(wire)
    registrar.status, registrar.headers = 302, (("Contact", "<sip:10.0.0.10;transport=udp>"),)
    Peer(wire, "second", "10.0.0.10")
    alice = add_endpoint(wire, "alice", "10.0.0.1", domain="pbx.example", transport="tls")
    alice.execute(events.Register("alice"))
    wire.run(1)
    assert [each.transport for each in wire.sent if each.destination[0] == "10.0.0.10"] == ["tls"]


def test_where_the_registrar_has_sent_us_is_a_server_of_the_account() -> None:
    wire = Wire()
    registrar, other = Registrar(wire), Registrar(wire, "secret", "second", "10.0.0.10")
    registrar.status, registrar.headers = 302, (("Contact", "<sip:10.0.0.10>"),)
    alice = wire.add("alice", Endpoint(SeededIds(), rules=Rules(accept_from=("accounts",))), ("10.0.0.1", 5060))
    address = NameAddr.parse("<sip:alice@pbx.example>")
    alice.execute(events.SetIdentity(events.Identity("alice", address, password="secret", contact_user="alice")))

    def asks(branch: str) -> int:
        other.peer.send((
            "OPTIONS sip:alice@10.0.0.1 SIP/2.0\r\nMax-Forwards: 70\r\n"
            f"Via: SIP/2.0/UDP 10.0.0.10:5060;branch=z9hG4bK{branch}\r\n"
            f"From: <sip:x@10.0.0.10>;tag=f\r\nTo: <sip:alice@pbx.example>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode(), alice)
        wire.run(wire.now + 1)
        return len(other.peer.responses("OPTIONS"))
    assert asks("a") == 0
    alice.execute(events.Register("alice"))
    wire.run(wire.now + 1)
    assert other.bound
    assert asks("b") == 1
