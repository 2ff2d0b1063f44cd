"""DTLS with whom, and how often: strangers try too, packets are lost, and patience ends."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import SetupError
from offhook.media.address import Address
from offhook.media.handshakes import ATTEMPT_S, HELD, LATE_S, MAX_ATTEMPTS, PATIENCE_S, PREFER_S, Handshake, Handshakes
from offhook.media.messages import DtlsPeer, SdesKeys

KEYS = SdesKeys("AEAD_AES_128_GCM", b"out", b"in")
FRIEND: Address = ("10.0.0.2", 4000)
ELSEWHERE: Address = ("203.0.113.5", 999)
HELLO, PROOF, LIE = b"\x16hello", b"\x16proof", b"\x16lie"
ANSWER = b"\x16\xfe\xfd" + bytes(8) + b"\0\1" + b"\x02"  # as far as anybody looks: a handshake record with a ServerHello
AGAIN = ANSWER[:-1] + b"\x01"  # with a ClientHello
SERVER = DtlsPeer("server", (("sha-256", "AA"),))
CLIENT = DtlsPeer("client", (("sha-256", "AA"),))


class Toy:
    """A handshake of two words: the server wants a hello and a proof."""

    def __init__(self, peer: DtlsPeer) -> None:
        self.keys: SdesKeys | None = None
        self.failure = ""
        self.client = peer.role == "client"

    def receive(self, datagram: bytes) -> list[bytes]:
        if datagram == PROOF:
            self.keys = KEYS
        elif datagram == LIE:
            self.failure = "not the certificate"
        return [b"\x16answer"] if datagram in (HELLO, PROOF) else []

    def timeout(self) -> list[bytes]:
        return [HELLO] if self.client and self.keys is None else []


@dataclass
class World:
    sent: list[tuple[bytes, Address]] = field(default_factory=list)
    keys: list[SdesKeys] = field(default_factory=list)
    sources: list[Address] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    started: list[Toy] = field(default_factory=list)

    def start(self, peer: DtlsPeer) -> Handshake:
        self.started.append(Toy(peer))
        return self.started[-1]

    def handshakes(self) -> Handshakes:
        return Handshakes(
            self.start, lambda data, to: self.sent.append((data, to)), self._agreed, self.failures.append
        )

    def _agreed(self, keys: SdesKeys, source: Address) -> None:
        self.keys.append(keys)
        self.sources.append(source)


def test_the_client_begins_and_repeats() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(CLIENT, FRIEND, 0.0)
    shakes.timeout(1.0)
    assert world.sent == [(HELLO, FRIEND)] * 2
    shakes.receive(PROOF, FRIEND, 1.1)
    assert world.keys == [KEYS]
    shakes.timeout(PATIENCE_S + 1)
    assert world.failures == []


def test_a_client_listens_to_nobody_else_once_the_agreed_address_has_answered() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(CLIENT, FRIEND, 0.0)
    shakes.receive(ANSWER, ELSEWHERE, 0.1)  # came first, and has to wait
    shakes.receive(ANSWER, FRIEND, 0.2)
    for number in range(20):
        shakes.receive(ANSWER, ("10.9.9.9", number), 0.3)
    shakes.timeout(PREFER_S + 1.0)
    assert (world.keys, shakes.refused, len(world.started)) == ([], 20, 1)
    assert {to for _, to in world.sent} == {FRIEND}
    shakes.receive(PROOF, FRIEND, 1.5)
    assert world.sources == [FRIEND]


def test_a_client_follows_the_far_end_that_answers_from_another_address() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(CLIENT, FRIEND, 0.0)
    shakes.receive(b"\x15alert", FRIEND, 0.05)  # which is no answer
    shakes.receive(ANSWER, ELSEWHERE, 0.1)
    shakes.receive(PROOF, ELSEWHERE, 0.15)
    assert world.keys == []  # the agreed address has its time first
    shakes.timeout(PREFER_S + 0.01)
    assert (world.keys, world.sources, len(world.started)) == ([KEYS], [ELSEWHERE], 1)
    assert world.sent[-1][1] == ELSEWHERE
    shakes.receive(PROOF, FRIEND, 1.0)
    assert (len(world.keys), shakes.refused) == (1, 1)


def test_a_client_asks_the_agreed_address_again_when_a_stranger_has_lied() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(CLIENT, FRIEND, 0.0)
    for number in range(2 * MAX_ATTEMPTS):
        now = 1.0 + number
        shakes.receive(ANSWER, ("10.9.9.9", number), now)
        shakes.receive(LIE, ("10.9.9.9", number), now)
    assert world.failures == []
    assert len(world.started) == 1 + MAX_ATTEMPTS  # so many strangers are heard, no more
    shakes.receive(ANSWER, FRIEND, 19.0)
    shakes.receive(PROOF, FRIEND, 19.1)
    assert world.sources == [FRIEND]


def test_what_a_stranger_says_to_a_client_has_to_look_like_an_answer() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(CLIENT, FRIEND, 0.0)
    for datagram in (PROOF, HELLO, ANSWER[:13], b"\x17" + ANSWER[1:], ANSWER[:3] + b"\0\1" + ANSWER[5:], ANSWER[:13] + b"\x0b"):
        shakes.receive(datagram, ELSEWHERE, 0.4)
    shakes.receive(ANSWER, ELSEWHERE, 0.1)
    for _ in range(HELD):
        shakes.receive(b"\x16more", ELSEWHERE, 0.1)
    shakes.timeout(0.5)
    assert shakes.refused == 6 + 1  # and the last one, for which there was no room


def test_the_server_takes_the_far_end_from_wherever_it_comes() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(SERVER, FRIEND, 0.0)
    behind_nat = ("203.0.113.5", 999)
    shakes.receive(HELLO, behind_nat, 0.1)
    shakes.receive(PROOF, behind_nat, 0.2)
    assert world.keys == [KEYS]
    assert {to for _, to in world.sent} == {behind_nat}
    assert world.sources == [behind_nat]
    shakes.receive(HELLO, FRIEND, 0.3)  # too late
    assert (len(world.keys), shakes.refused) == (1, 1)


def test_a_flood_of_hellos_costs_little_and_keeps_nobody_out() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(SERVER, FRIEND, 0.0)
    for number in range(10_000):
        shakes.receive(HELLO, ("10.9.9.9", number), 0.1)
    assert len(world.started) == MAX_ATTEMPTS
    assert shakes.refused == 10_000 - MAX_ATTEMPTS
    shakes.receive(HELLO, FRIEND, 0.2)
    shakes.receive(PROOF, FRIEND, 0.3)
    assert world.keys == [KEYS]


def test_old_attempts_of_strangers_make_room() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(SERVER, FRIEND, 0.0)
    for number in range(MAX_ATTEMPTS):
        shakes.receive(HELLO, ("10.9.9.9", number), 0.1)
    shakes.receive(HELLO, ("203.0.113.5", 1), 0.2)
    assert len(world.started) == MAX_ATTEMPTS
    shakes.receive(HELLO, ("203.0.113.5", 1), 0.2 + ATTEMPT_S)
    shakes.receive(PROOF, ("203.0.113.5", 1), 0.3 + ATTEMPT_S)
    assert world.keys == [KEYS]


def test_a_liar_elsewhere_changes_nothing_and_at_the_agreed_address_ends_it() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(SERVER, FRIEND, 0.0)
    shakes.receive(LIE, ("10.9.9.9", 1), 0.1)
    assert (world.failures, shakes.refused) == ([], 1)
    shakes.receive(HELLO, FRIEND, 0.15)
    shakes.receive(LIE, ("10.9.9.9", 2), 0.16)
    assert len(world.started) == 3, "what is under way with the far end goes on"
    shakes.receive(LIE, FRIEND, 0.2)
    assert world.failures == ["not the certificate"]
    shakes.receive(PROOF, FRIEND, 0.3)
    assert world.keys == []
    shakes.expect(DtlsPeer("server", (("sha-256", "BB"),)), FRIEND, 9.0)
    shakes.receive(PROOF, FRIEND, 9.1)
    assert world.keys == [KEYS], "whom another offer names has another chance"


def test_handshakes_that_give_up_in_the_same_moment_end_it_once() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(SERVER, FRIEND, 0.0)
    for source in (FRIEND, ELSEWHERE):
        shakes.receive(HELLO, source, 0.1)
    for toy in world.started:
        toy.failure = "no answer"
    shakes.timeout(1.0)
    assert world.failures == ["no answer"]


def test_patience_ends() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(SERVER, FRIEND, 0.0)
    shakes.timeout(PATIENCE_S)
    assert world.failures == []
    shakes.timeout(PATIENCE_S + 0.2)
    shakes.timeout(PATIENCE_S + 0.4)
    assert world.failures == ["the far end did not agree on keys in time"]


def test_a_later_offer_with_the_same_fingerprint_changes_nothing() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(CLIENT, FRIEND, 0.0)
    shakes.receive(PROOF, FRIEND, 0.1)
    shakes.expect(SERVER, FRIEND, 5.0)
    assert len(world.started) == 1
    shakes.expect(DtlsPeer("client", (("sha-256", "BB"),)), FRIEND, 6.0)
    assert len(world.started) == 2
    shakes.receive(PROOF, FRIEND, 6.1)
    assert len(world.keys) == 2


@pytest.mark.parametrize("role", [CLIENT, SERVER])
@pytest.mark.parametrize("lies", [False, True])
def test_who_moves_and_keeps_its_association_is_believed_by_the_keys_from_before(role: DtlsPeer, lies: bool) -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(role, FRIEND, 0.0)
    shakes.receive(PROOF, FRIEND, 0.1)
    shakes.expect(role, ELSEWHERE, 5.0)
    assert [to for _, to in world.sent if to == ELSEWHERE] == [ELSEWHERE] * (role is CLIENT), "it may want other keys there"
    if lies:
        shakes.receive(LIE, ELSEWHERE, 6.0)
    shakes.timeout(6.0 + PATIENCE_S)
    shakes.timeout(7.0 + PATIENCE_S)
    assert (world.failures, len(world.keys)) == ([], 1)
    started = len(world.started)
    shakes.expect(role, ELSEWHERE, 60.0)  # said again
    shakes.timeout(61.0 + PATIENCE_S)
    assert (world.failures, len(world.started)) == ([], started)
    shakes.expect(DtlsPeer(role.role, (("sha-256", "BB"),)), ELSEWHERE, 100.0)  # somebody else, with whom nothing is agreed
    shakes.timeout(101.0 + PATIENCE_S)
    assert len(world.failures) == 1


@pytest.mark.parametrize("role", [CLIENT, SERVER])
@pytest.mark.parametrize("nowhere", [("0.0.0.0", 4000), ("::", 4000), ("10.0.0.2", 0)])
def test_a_hold_the_old_way_is_no_move(role: DtlsPeer, nowhere: Address) -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(role, nowhere, 0.0)
    shakes.timeout(60.0)
    assert (world.failures, world.sent) == ([], []), "the call begins on hold: there is nobody to agree with yet"
    shakes.expect(role, FRIEND, 60.0)
    shakes.receive(PROOF, FRIEND, 60.1)
    assert len(world.keys) == 1
    for remote in (nowhere, FRIEND):
        shakes.expect(role, remote, 61.0)
        shakes.timeout(120.0)
    assert (world.failures, len(world.started)) == ([], 1)


@pytest.mark.parametrize("role", [CLIENT, SERVER])
def test_a_far_end_that_is_elsewhere_later_may_begin_anew_and_need_not(role: DtlsPeer) -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(role, FRIEND, 0.0)
    shakes.receive(PROOF, FRIEND, 0.1)
    shakes.expect(role, ELSEWHERE, 10.0)
    assert len(world.started) == (2 if role is CLIENT else 1)
    for second in range(11, 40):
        shakes.timeout(float(second))
    assert world.failures == [], "the keys that were agreed on hold"
    shakes.expect(role, FRIEND, 50.0)
    shakes.receive(PROOF, FRIEND, 50.1)
    assert world.sources == [FRIEND, FRIEND]


def test_with_ice_it_is_the_same_wherever_it_is() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(CLIENT, FRIEND, 0.0)
    shakes.receive(PROOF, FRIEND, 0.1)
    shakes.expect(CLIENT, ELSEWHERE, 10.0, anywhere=True)
    assert len(world.started) == 1
    shakes.timeout(60.0)
    assert world.failures == []


@pytest.mark.parametrize("role", [CLIENT, SERVER])
def test_with_ice_a_handshake_goes_on_after_another_search(role: DtlsPeer) -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(role, FRIEND, 0.0, anywhere=True)
    shakes.receive(ANSWER if role is CLIENT else HELLO, FRIEND, 0.1)
    shakes.expect(role, ELSEWHERE, 0.2, anywhere=True)
    shakes.receive(PROOF, ELSEWHERE, 0.3)
    assert (world.sources, len(world.started)) == ([ELSEWHERE], 1)
    shakes.expect(role, FRIEND, 0.4, anywhere=True)
    before = len(world.sent)
    shakes.receive(PROOF, FRIEND, 1.3)
    assert len(world.sent) == before + 1, "our last flight, which was lost"
    assert (len(world.keys), shakes.refused) == (1, 0)


@pytest.mark.parametrize("first", [CLIENT, SERVER])
def test_a_far_end_may_begin_anew_by_itself(first: DtlsPeer) -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(first, FRIEND, 0.0)
    shakes.receive(PROOF, FRIEND, 0.1)
    shakes.expect(SERVER, FRIEND, 10.0)
    shakes.receive(AGAIN, ELSEWHERE, 10.1)
    assert len(world.started) == 1, "a stranger does not begin anything"
    shakes.receive(AGAIN, FRIEND, 10.2)
    assert len(world.started) == 2
    shakes.timeout(40.0)
    assert world.failures == []
    shakes.receive(AGAIN, FRIEND, 41.0)
    shakes.receive(PROOF, FRIEND, 41.1)
    assert len(world.keys) == 2
    shakes.receive(AGAIN, FRIEND, 41.1 + LATE_S / 2)
    assert len(world.started) == 3, "a late copy"


def test_a_repeated_last_flight_is_answered() -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(SERVER, FRIEND, 0.0)
    shakes.receive(PROOF, FRIEND, 0.1)
    before = len(world.sent)
    shakes.receive(PROOF, FRIEND, 1.1)
    assert len(world.sent) == before + 1
    shakes.receive(PROOF, FRIEND, 1.1 + 2 * LATE_S)
    assert len(world.sent) == before + 2
    assert (len(world.keys), len(world.started)) == (1, 1), "only a hello begins anew"


def test_what_is_not_installed_is_said() -> None:
    def start(_peer: DtlsPeer) -> Handshake:
        raise SetupError("install it")

    with pytest.raises(SetupError):
        Handshakes(start, lambda *_: None, lambda *_: None, lambda _: None).expect(CLIENT, FRIEND, 0.0)


sources = st.sampled_from([FRIEND, *(("10.9.9.9", number) for number in range(8))])


@given(
    role=st.sampled_from([CLIENT, SERVER]),
    steps=st.lists(st.tuples(sources, st.sampled_from([HELLO, PROOF, LIE, ANSWER, AGAIN, b"\x17", b"time"])), max_size=60),
)
def test_at_most_one_outcome_whatever_comes(role: DtlsPeer, steps: list[tuple[Address, bytes]]) -> None:
    world = World()
    shakes = world.handshakes()
    shakes.expect(role, FRIEND, 0.0)
    for number, (source, word) in enumerate(steps):
        if word == b"time":
            shakes.timeout(number * 0.7)
        else:
            shakes.receive(word, source, number * 0.7)
    begun = sum(word == AGAIN for _, word in steps)
    assert len(world.failures) <= (not world.keys), "who has keys keeps them"
    assert len(world.keys) <= 1 + begun
