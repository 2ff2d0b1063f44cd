"""ICE in virtual time: two agents, NATs of every kind between them, loss, relays, strangers and far ends that only answer."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field, replace
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from virtual_media import SeededIds

from offhook.media.address import Address
from offhook.media.ice import (
    CONSENT_LOST_S,
    MAX_PAIRS,
    PATIENCE_S,
    TRANSITIONS,
    Agent,
    Base,
    Pair,
    PairEvent,
    PairState,
    candidate_priority,
    pair_priority,
)
from offhook.media.messages import Candidate, IcePeer
from offhook.media.stun import (
    BINDING_ERROR,
    BINDING_REQUEST,
    BINDING_SUCCESS,
    ERROR_CODE,
    USERNAME,
    StunMessage,
    encode_signed,
    error_value,
    is_signed,
    parse_stun,
)

TICK = 0.005


@dataclass
class Nat:
    """A NAT with one public address. Its kind says how outside ports are given and who may answer."""

    kind: str  # "none", "cone" (one port for all), "restricted" (answers only from whom we sent to), "symmetric"
    public: str
    ports: dict[object, int] = field(default_factory=dict)
    inside: dict[int, Address] = field(default_factory=dict)
    talked: set[tuple[int, str]] = field(default_factory=set)

    def out(self, source: Address, target: Address) -> Address:
        if self.kind == "none":
            return source
        key = (source, target) if self.kind == "symmetric" else source
        port = self.ports.setdefault(key, 50_000 + len(self.ports))
        self.inside[port] = source
        self.talked.add((port, target[0] if self.kind != "symmetric" else f"{target[0]}:{target[1]}"))
        return self.public, port

    def back(self, source: Address, target: Address) -> Address | None:
        if self.kind == "none":
            return target
        allowed = self.kind == "cone" or (target[1], source[0]) in self.talked or (
            (target[1], f"{source[0]}:{source[1]}") in self.talked)
        return self.inside.get(target[1]) if allowed else None


class Side:
    """One phone: an agent, its NAT, and perhaps a relay in front of it."""

    def __init__(self, net: Net, name: str, host: str, nat: Nat, relay: str = "", components: tuple[int, ...] = (1,)) -> None:
        self.net, self.host, self.nat, self.relay, self.components = net, host, nat, relay, components
        self.agent = Agent(SeededIds(len(name)), self.send, f"{name}name", f"{name}password-of-22-chars")
        self.lite = False

    def port(self, component: int) -> int:
        return 4000 + component - 1

    def candidates(self) -> tuple[Candidate, ...]:
        found = []
        for component in self.components:
            own = self.host, self.port(component)
            found.append(Candidate("h", component, candidate_priority("host", component), *own, "host"))
            seen = self.nat.out(own, ("9.9.9.9", 3478))
            if seen != own:
                found.append(Candidate("s", component, candidate_priority("srflx", component), *seen, "srflx"))
            if self.relay:
                relayed = self.relay, self.port(component)
                found.append(Candidate("r", component, candidate_priority("relay", component), *relayed, "relay"))
        return tuple(found)

    def send(self, base: Base, data: bytes, address: Address) -> None:
        own = (self.relay if base.relayed else self.host), self.port(base.component)
        self.net.carry(own if base.relayed else self.nat.out(own, address), data, address)

    def start(self, other: Side, controlling: bool) -> None:
        peer = IcePeer(
            controlling, self.agent.ufrag, self.agent._pwd.decode(), other.agent.ufrag, other.agent._pwd.decode(),
            other.candidates(),
        )
        relays = frozenset(self.components) if self.relay else frozenset[int]()
        self.agent.start(peer, self.components, relays, self.net.now)


class Net:
    """Carries datagrams in 10 ms, or as long as `delay` says, or loses them."""

    def __init__(self, loss: float = 0.0, seed: int = 1) -> None:
        self.now = 100.0
        self.loss = loss
        self.sides: list[Side] = []
        self.cut = False
        self.delay = 0.01
        self._random = random.Random(seed)
        self._flying: list[tuple[float, int, Address, bytes, Address]] = []
        self._count = 0

    def carry(self, source: Address, data: bytes, target: Address) -> None:
        self._count += 1
        if not self.cut and self._random.random() >= self.loss:
            heapq.heappush(self._flying, (self.now + self.delay, self._count, source, data, target))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += TICK
            while self._flying and self._flying[0][0] <= self.now:
                _, _, source, data, target = heapq.heappop(self._flying)
                self._deliver(source, data, target)
            for side in self.sides:
                if not side.lite:
                    side.agent.timeout(self.now)

    def _deliver(self, source: Address, data: bytes, target: Address) -> None:
        for side in self.sides:
            for component in side.components:
                if side.relay and target == (side.relay, side.port(component)):
                    side.agent.receive(Base(component, True), data, source, self.now)
                elif target[0] in (side.host, side.nat.public):
                    reached = side.nat.back(source, target) if target[0] == side.nat.public else target
                    # Nobody from outside reaches an address behind a NAT.
                    hidden = side.nat.kind != "none" and target[0] == side.host
                    if reached == (side.host, side.port(component)) and not hidden:
                        side.agent.receive(Base(component, False), data, source, self.now)


KINDS = ("none", "cone", "restricted", "symmetric")
WAYS = list(product(KINDS, KINDS))


def two(
    one: str = "none", other: str = "none", *, relay: str = "", loss: float = 0.0, components: tuple[int, ...] = (1,),
    seed: int = 1,
) -> tuple[Net, Side, Side]:
    net = Net(loss, seed)
    alice = Side(net, "alice", "10.0.0.1", Nat(one, "1.1.1.1"), relay, components)
    bob = Side(net, "bob", "10.1.0.2", Nat(other, "2.2.2.2"), "", components)
    net.sides = [alice, bob]
    return net, alice, bob


def begin(net: Net, alice: Side, bob: Side, answer_after: float = 0.2) -> None:
    """Alice offers, bob begins with the answer, alice when it has come."""
    bob.start(alice, False)
    net.run(answer_after)
    alice.start(bob, True)


def agree(alice: Side, bob: Side) -> bool:
    """Tell whether what one sends on its way arrives where the other listens to it."""
    return alice.agent.done and bob.agent.done


@pytest.mark.parametrize(("one", "other"), WAYS)
def test_a_way_is_found_wherever_there_is_one(one: str, other: str) -> None:
    net, alice, bob = two(one, other)
    begin(net, alice, bob)
    net.run(3.0)
    # Where both give another port to each target, neither can guess the other's: that takes a relay.
    assert agree(alice, bob) == ((one, other) != ("symmetric", "symmetric"))


@pytest.mark.parametrize(("one", "other"), WAYS)
def test_with_a_relay_there_is_always_one(one: str, other: str) -> None:
    net, alice, bob = two(one, other, relay="5.5.5.5")
    begin(net, alice, bob)
    net.run(4.0)
    assert agree(alice, bob)
    if one == other == "none":
        assert not alice.agent.selected[1].base.relayed  # the direct way is better
        assert bob.agent.selected[1].remote.kind == "host"


def test_both_components_get_their_way() -> None:
    net, alice, bob = two("cone", "restricted", components=(1, 2))
    begin(net, alice, bob)
    net.run(3.0)
    assert agree(alice, bob)
    assert set(alice.agent.selected) == {1, 2}
    assert alice.agent.selected[2].address[1] != alice.agent.selected[1].address[1]


@pytest.mark.lengthy
@given(
    one=st.sampled_from(KINDS[:3]), other=st.sampled_from(KINDS[:3]), loss=st.floats(0, 0.3), seed=st.integers(0, 10_000),
    after=st.floats(0, 1.0),
)
def test_loss_delays_and_does_not_prevent(one: str, other: str, loss: float, seed: int, after: float) -> None:
    net, alice, bob = two(one, other, loss=loss, relay="5.5.5.5", seed=seed)
    begin(net, alice, bob, after)
    net.run(12.0)
    assert agree(alice, bob)
    assert alice.agent.failure == bob.agent.failure == ""


def test_checks_before_the_answer_are_not_lost() -> None:
    net, alice, bob = two()
    begin(net, alice, bob, answer_after=0.3)
    net.run(0.15)
    assert agree(alice, bob)  # bob's checks had come; no need to wait for a round of alice's own


@pytest.mark.parametrize("both", [True, False])
def test_a_conflict_of_roles_is_solved(both: bool) -> None:
    net, alice, bob = two()
    bob.start(alice, both)
    alice.start(bob, both)
    net.run(3.0)
    assert agree(alice, bob)
    assert alice.agent.controlling != bob.agent.controlling


def test_a_far_end_that_only_answers() -> None:
    net, alice, bob = two("restricted")
    bob.lite = True
    bob.start(alice, False)
    alice.start(bob, True)
    net.run(2.0)
    assert alice.agent.done
    assert alice.agent.selected[1].remote.kind == "host"


def test_no_way_is_a_failure_in_time() -> None:
    net, alice, bob = two()
    net.cut = True
    begin(net, alice, bob)
    net.run(16.0)
    assert alice.agent.failure == bob.agent.failure == "no way to the far end was found (ICE)"


@pytest.mark.lengthy
def test_consent_is_renewed_and_its_loss_noticed() -> None:
    net, alice, bob = two()
    begin(net, alice, bob)
    net.run(10.0)
    asked, send = [net.now], alice.agent._send

    def count(base: Base, data: bytes, to: Address) -> None:
        if parse_stun(data).kind == BINDING_REQUEST:
            asked.append(net.now)
        send(base, data, to)

    alice.agent._send = count
    net.run(50.0)
    assert alice.agent.failure == ""
    assert 8 <= len(asked) - 1 <= 13, "RFC 7675 5.1: every 5 s, a fifth more or less"
    net.cut = True
    net.run(CONSENT_LOST_S - 7)  # the last answer may have come six seconds before
    assert alice.agent.failure == ""
    net.run(8.0)
    assert "no consent" in alice.agent.failure
    assert "no consent" in bob.agent.failure


@pytest.mark.lengthy
@pytest.mark.parametrize("there_and_back", [0.7, 2.5])
def test_a_call_over_a_slow_way_goes_on(there_and_back: float) -> None:
    """By satellite, or over a mobile network whose queues are full, an answer takes longer than the first pause (0.5 s)."""
    net, alice, bob = two()
    net.delay = there_and_back / 2
    begin(net, alice, bob)
    net.run(20.0)
    asked, send = [], alice.agent._send

    def note(base: Base, data: bytes, to: Address) -> None:
        asked.append(parse_stun(data))
        send(base, data, to)

    alice.agent._send = note
    net.run(40.0)
    transactions = [message.transaction for message in asked if message.kind == BINDING_REQUEST]
    assert len(transactions) == len(set(transactions)) > 5, "RFC 7675 5.1: none is sent twice"
    assert agree(alice, bob)
    assert alice.agent.failure == bob.agent.failure == ""
    net.cut = True
    net.run(CONSENT_LOST_S + 7)
    assert alice.agent.failure, "RFC 7675 5.1: no answer, no consent"


def test_a_check_of_theirs_that_comes_as_ours_gives_up_finds_the_way() -> None:
    """RFC 8445 7.3.1.4: it has us ask once more; that nobody answered the question before says nothing any more."""
    net, alice, bob = two()
    bob.lite = True  # whose router lets nothing in, until he speaks himself
    net.cut = True
    begin(net, alice, bob)
    net.run(7.6)
    net.cut, net.delay = False, 0.15
    bob.agent.timeout(net.now)
    net.run(1.0)  # our first question was given up 7.9 s after it was asked, before the second had its answer
    assert alice.agent.way(1) is not None


def test_a_new_name_begins_a_new_search() -> None:
    net, alice, bob = two()
    begin(net, alice, bob)
    net.run(1.0)
    first = alice.agent.selected[1]
    peers = [side.agent.peer for side in (alice, bob)]
    assert all(peers)
    mine, theirs = (peer for peer in peers if peer is not None)
    renamed = structs.replace(mine, ufrag="new1", pwd="x" * 22, remote_ufrag="new2", remote_pwd="y" * 22)
    alice.agent.start(renamed, (1,), frozenset(), net.now)
    renamed = structs.replace(theirs, ufrag="new2", pwd="y" * 22, remote_ufrag="new1", remote_pwd="x" * 22)
    bob.agent.start(renamed, (1,), frozenset(), net.now)
    assert (alice.agent.way(1), alice.agent.selected) == (first, {}), "what is said goes on as before (RFC 8445 9)"
    assert alice.agent.knows(first.base, first.address)
    net.run(1.0)
    assert agree(alice, bob)
    assert alice.agent.way(1) is alice.agent.selected[1] is not first


def test_a_new_search_that_finds_nothing_ends_the_former_way() -> None:
    net, alice, bob = two()
    begin(net, alice, bob)
    net.run(1.0)
    first = alice.agent.selected[1]
    assert alice.agent.peer is not None
    elsewhere = structs.replace(alice.agent.peer, ufrag="new1", remote_ufrag="new2", candidates=())
    alice.agent.start(elsewhere, (1,), frozenset(), net.now)
    net.run(PATIENCE_S - 0.5)
    assert (alice.agent.way(1), alice.agent.failure) == (first, "")
    net.run(1.0)
    assert alice.agent.failure
    assert alice.agent.way(1) is None
    assert not alice.agent.knows(first.base, first.address)


def test_the_same_again_changes_nothing() -> None:
    net, alice, bob = two()
    begin(net, alice, bob)
    net.run(1.0)
    chosen = alice.agent.selected[1]
    alice.start(bob, True)
    assert alice.agent.selected[1] is chosen


# --- a far end that is played by hand ----------------------------------------------------------------------------------

NEAR, FAR = ("10.1.0.2", 4000), ("10.1.0.3", 4000)
"""Two addresses of the far end; the first is the better one."""
CONTROLLED, CONTROLLING, USE_CANDIDATE = 0x8029, 0x802A, 0x0025


class Hand:
    """Our agent, what it has sent and when; the far end says what the test has it say."""

    def __init__(self, *, controlling: bool, addresses: tuple[Address, ...] = (NEAR, FAR), relay: bool = False) -> None:
        self.now = 100.0
        self.sent: list[tuple[float, StunMessage, Address]] = []
        self.agent = Agent(SeededIds(1), self.note, "ours", "ourpassword-of-22-chars")
        found = tuple(Candidate("h", 1, candidate_priority("host", 1, 65_535 - place), *address, "host")
                      for place, address in enumerate(addresses))
        peer = IcePeer(controlling, "ours", "ourpassword-of-22-chars", "theirs", "theirpassword-of-22-chars", found)
        self.agent.start(peer, (1,), frozenset({1}) if relay else frozenset(), self.now)

    def note(self, _base: Base, data: bytes, to: Address) -> None:
        self.sent.append((self.now, parse_stun(data), to))

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self.now += TICK
            self.agent.timeout(self.now)

    def asked(self) -> list[tuple[float, StunMessage, Address]]:
        return [each for each in self.sent if each[1].kind == BINDING_REQUEST]

    def ask(self, source: Address, *attributes: tuple[int, bytes]) -> StunMessage:
        """Have the far end check the way to us; returns our answer."""
        named = (USERNAME, b"ours:theirs"), (0x0024, b"\x6e\0\0\1"), *attributes
        question = encode_signed(StunMessage(BINDING_REQUEST, b"their-check1", named), b"ourpassword-of-22-chars")
        self.agent.receive(Base(1, False), question, source, self.now)
        return next(each for _, each, to in reversed(self.sent) if to == source and each.transaction == b"their-check1")

    def answer(self, source: Address, kind: int = BINDING_SUCCESS, *attributes: tuple[int, bytes]) -> None:
        """Answer our last check of this address."""
        transaction = [message.transaction for _, message, to in self.asked() if to == source][-1]
        said = encode_signed(StunMessage(kind, transaction, attributes), b"theirpassword-of-22-chars")
        self.agent.receive(Base(1, False), said, source, self.now)


def test_checks_leave_one_by_one_and_are_repeated_ever_more_slowly_until_they_are_answered() -> None:
    hand = Hand(controlling=True, addresses=tuple(("10.1.0.2", 4000 + number) for number in range(5)))
    hand.run(0.4)
    times = [at for at, _, _ in hand.asked()]
    assert [to[1] for _, _, to in hand.asked()] == [4000, 4001, 4002, 4003, 4004]
    assert all(0.05 <= after - before < 0.06 for before, after in pairwise(times)), "RFC 8445 14.2: 50 ms"
    hand.answer(("10.1.0.2", 4000))
    hand.run(12.0)
    again = [round(at - times[1], 1) for at, _, to in hand.asked() if to[1] == 4001]
    assert again == [0.0, 0.5, 1.5, 3.1, 4.7, 6.3], "RFC 8445 14.3"
    assert sum(to[1] == 4000 and message.get(USE_CANDIDATE) is None for _, message, to in hand.asked()) == 1


def test_a_check_of_theirs_has_its_way_back_checked_first() -> None:
    # RFC 8445 7.3.1.4: they may have made a hole in their NAT just now
    hand = Hand(controlling=True, addresses=tuple(("10.1.0.2", 4000 + number) for number in range(20)))
    hand.run(0.01)
    hand.ask(("10.1.0.2", 4019))
    hand.run(0.1)
    assert [to[1] for _, _, to in hand.asked()] == [4000, 4019, 4001]


def test_who_does_not_decide_waits_to_be_told() -> None:
    hand = Hand(controlling=False)
    hand.run(0.1)
    hand.ask(NEAR, (CONTROLLING, b"\xff" * 8))
    hand.ask(FAR, (CONTROLLING, b"\xff" * 8))
    hand.run(0.1)
    for address in (NEAR, FAR):
        hand.answer(address)
    assert hand.agent.selected == {}
    hand.ask(FAR, (CONTROLLING, b"\xff" * 8), (USE_CANDIDATE, b""))
    assert hand.agent.selected[1].address == FAR
    way = hand.agent.way(1)
    assert way is not None
    assert way.address == FAR, "what they have chosen, though there is a better one"
    hand.run(5.0)
    assert not [message for _, message, _ in hand.asked() if message.get(USE_CANDIDATE) is not None]


def test_who_decides_is_told_nothing_and_tells_it_once() -> None:
    hand = Hand(controlling=True)
    hand.run(0.1)
    hand.ask(FAR, (CONTROLLED, bytes(8)), (USE_CANDIDATE, b""))
    hand.run(0.1)
    hand.answer(FAR)
    assert hand.agent.selected == {}
    hand.answer(NEAR)
    hand.run(0.1)
    assert [to for _, message, to in hand.asked() if message.get(USE_CANDIDATE) is not None] == [NEAR]
    assert hand.agent.selected == {}, "it is not agreed yet"
    hand.answer(NEAR)
    assert hand.agent.selected[1].address == NEAR


@pytest.mark.parametrize("better", [0.2, 1.0], ids=["in time", "too late"])
def test_the_choice_waits_a_moment_for_a_better_way(better: float) -> None:
    hand = Hand(controlling=True)
    hand.run(0.1)
    hand.answer(FAR)
    hand.run(better)
    hand.answer(NEAR)
    hand.run(0.1)
    named = [(round(at - 100, 1), to) for at, message, to in hand.asked() if message.get(USE_CANDIDATE) is not None]
    assert named[0] == ((0.3, NEAR) if better == 0.2 else (0.5, FAR))


@pytest.mark.parametrize("controlling", [True, False])
@pytest.mark.parametrize("ours_is_greater", [True, False])
def test_of_two_in_one_role_the_greater_number_decides(controlling: bool, ours_is_greater: bool) -> None:
    # RFC 8445 7.3.1.1
    hand = Hand(controlling=controlling)
    theirs = bytes(8) if ours_is_greater else b"\xff" * 8
    answer = hand.ask(NEAR, (CONTROLLING if controlling else CONTROLLED, theirs))
    stays = controlling == ours_is_greater
    assert answer.kind == (BINDING_ERROR if stays else BINDING_SUCCESS)
    assert (answer.error or (0, ""))[0] == (487 if stays else 0)
    assert hand.agent.controlling == ours_is_greater


@pytest.mark.parametrize("controlling", [True, False])
def test_who_is_told_of_a_conflict_asks_again_in_the_other_role(controlling: bool) -> None:
    # RFC 8445 7.2.5.1
    hand = Hand(controlling=controlling)
    hand.run(0.01)
    hand.answer(NEAR, BINDING_ERROR, (ERROR_CODE, error_value(487, "Role Conflict")))
    hand.run(0.06)
    _, again, to = hand.asked()[-1]
    assert to == NEAR
    assert (again.get(CONTROLLING) is None) == controlling
    hand.answer(NEAR)
    way = hand.agent.way(1)
    assert way is not None
    assert way.address == NEAR


def test_after_a_change_of_roles_the_ways_are_in_the_order_of_the_other_side() -> None:
    """RFC 8445 6.1.2.3: the greater priority of two that are equal else is that of who decides."""
    hand = Hand(controlling=True, relay=True)
    before = [pair.priority for pair in hand.agent._pairs]
    hand.ask(NEAR, (CONTROLLING, b"\xff" * 8))
    after = [pair.priority for pair in hand.agent._pairs]
    assert after == sorted(after, reverse=True)
    assert after != before
    local = {False: candidate_priority("host", 1), True: candidate_priority("relay", 1)}
    assert after == [pair_priority(pair.remote.priority, local[pair.base.relayed]) for pair in hand.agent._pairs]


def test_a_relay_of_ipv4_is_not_asked_to_reach_ipv6() -> None:
    hand = Hand(controlling=True, addresses=(("2001:db8::2", 4000), NEAR), relay=True)
    assert {(pair.base.relayed, pair.address) for pair in hand.agent._pairs} == {(False, NEAR), (True, NEAR)}


# --- strangers -------------------------------------------------------------------------------------------------------


def forged(kind: int, name: str, password: str) -> bytes:
    attributes = ((USERNAME, name.encode()), (0x0024, b"\x7e\xff\xff\xff"), (0x0025, b""), (0x802A, b"\xff" * 8))
    return encode_signed(StunMessage(kind, b"t" * 12, attributes), password.encode())


@pytest.mark.parametrize(("name", "password"), [
    ("alicename:bobname", "wrong"), ("alicename:malloryname", "alicepassword-of-22-chars"), ("other:bobname", "x" * 22),
    ("", ""), ("alicename:bobname", ""),  # not signed at all
])  # fmt: skip
def test_a_forged_check_gets_no_answer_and_moves_nothing(name: str, password: str) -> None:
    net, alice, bob = two()
    begin(net, alice, bob)
    net.run(1.0)
    chosen, before = alice.agent.selected[1], alice.agent.refused
    sent: list[bytes] = []
    alice.agent._send = lambda _base, data, _to: sent.append(data)
    alice.agent.receive(Base(1, False), forged(BINDING_REQUEST, name, password), ("6.6.6.6", 666), net.now)
    assert (alice.agent.refused, sent, alice.agent.selected[1]) == (before + 1, [], chosen)
    assert not alice.agent.knows(Base(1, False), ("6.6.6.6", 666))


def asking() -> tuple[Net, Side, bytes]:
    """Alice has sent her first check; returns its transaction."""
    net, alice, bob = two()
    alice.start(bob, True)
    sent: list[bytes] = []
    alice.agent._send = lambda _base, data, _to: sent.append(data)
    net.run(TICK * 2)
    return net, alice, parse_stun(sent[0]).transaction


@pytest.mark.parametrize("key", [b"guessed", b""], ids=["guessed", "unsigned"])
def test_a_forged_answer_is_refused(key: bytes) -> None:
    net, alice, transaction = asking()
    lie = encode_signed(StunMessage(BINDING_SUCCESS, transaction), key)
    alice.agent.receive(Base(1, False), lie, ("10.1.0.2", 4000), net.now)
    assert alice.agent.way(1) is None
    assert alice.agent.refused == 1


def test_a_refusal_that_gives_no_reason_is_one() -> None:
    net, alice, transaction = asking()
    refusal = encode_signed(StunMessage(BINDING_ERROR, transaction), b"bobpassword-of-22-chars")
    alice.agent.receive(Base(1, False), refusal, ("10.1.0.2", 4000), net.now)
    assert {pair.state for pair in alice.agent._pairs} == {PairState.FAILED}


def test_an_answer_from_elsewhere_is_no_success() -> None:
    net, alice, transaction = asking()
    right = encode_signed(StunMessage(BINDING_SUCCESS, transaction), b"bobpassword-of-22-chars")
    alice.agent.receive(Base(1, False), right, ("6.6.6.6", 4000), net.now)
    assert alice.agent.way(1) is None


@pytest.mark.lengthy
@given(st.lists(st.binary(max_size=120), max_size=30))
def test_rubbish_has_no_effect(rubbish: list[bytes]) -> None:
    net, alice, bob = two()
    begin(net, alice, bob)
    for data in rubbish:
        alice.agent.receive(Base(1, False), b"\0\1" + data, ("6.6.6.6", 1), net.now)
        alice.agent.receive(Base(1, False), data, ("6.6.6.6", 1), net.now)
    net.run(1.5)
    assert agree(alice, bob)


def test_a_flood_of_addresses_is_bounded() -> None:
    net, alice, bob = two()
    alice.start(bob, True)
    peer = alice.agent.peer
    assert peer is not None
    many = tuple(Candidate("h", 1, 1, f"10.9.{number // 200}.{number % 200}", 4000, "host") for number in range(500))
    alice.agent.start(structs.replace(peer, candidates=many), (1,), frozenset({1}), net.now)
    assert len(alice.agent._pairs) == MAX_PAIRS


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "event"), list(product(PairState, PairEvent)))
def test_every_state_meets_every_event(state: PairState, event: PairEvent) -> None:
    pair = Pair(Base(1, False), Candidate("h", 1, 1, "10.0.0.1", 1, "host"), 1, state)
    listed = (state, event) in TRANSITIONS
    assert pair.step(event) is listed
    assert pair.state is TRANSITIONS.get((state, event), state)


def test_priorities_are_those_of_the_rfc() -> None:
    assert candidate_priority("host", 1) == 2130706431  # the figure everybody knows
    assert candidate_priority("srflx", 1) == 1694498815
    assert candidate_priority("host", 2) == 2130706430
    assert pair_priority(2, 1) == (1 << 32) + 5
    assert pair_priority(1, 2) == (1 << 32) + 4


def test_both_ends_give_a_pair_the_same_priority() -> None:
    """RFC 8445 6.1.2.3: whose candidate it is does not matter, only who decides."""
    _, alice, bob = two(relay="9.9.9.1")
    bob.start(alice, False)
    alice.start(bob, True)
    straight, relayed = candidate_priority("host", 1), candidate_priority("relay", 1)
    expected = [pair_priority(straight, straight), pair_priority(relayed, straight)]
    for side in (alice, bob):
        assert [pair.priority for pair in side.agent._pairs] == expected


def test_checks_are_signed_and_say_who_decides() -> None:
    net, alice, bob = two()
    sent: list[bytes] = []
    alice.agent._send = lambda _base, data, _to: sent.append(data)
    alice.start(bob, True)
    net.run(TICK * 2)
    message = parse_stun(sent[0])
    assert message.get(USERNAME) == b"bobname:alicename"
    assert is_signed(sent[0], b"bobpassword-of-22-chars")
    assert not is_signed(sent[0], b"alicepassword-of-22-chars")
    assert message.get(0x802A) is not None
    assert replace(message).get(0x8029) is None
