"""Finding a way between two phones (ICE, RFC 8445): checks from every address to every other, and the best that works.

Pure: STUN messages that come go into `receive`, those to send come out through the `send` it was given, `timeout` is called
every tick. One stream with one or two components, whose local end is its own socket or a relay in front of it. There is only
one list of checks, so its pairs need not be frozen by foundation (RFC 8445 6.1.2.6): all wait, the best is first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from offhook.errors import ParseError
from offhook.ids import Ids
from offhook.media.address import Address
from offhook.media.messages import Candidate, IcePeer
from offhook.media.stun import (
    BINDING_ERROR,
    BINDING_REQUEST,
    BINDING_SUCCESS,
    ERROR_CODE,
    TRANSACTION_BYTES,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    StunMessage,
    encode_signed,
    error_value,
    is_signed,
    mapped_value,
    parse_stun,
)

PRIORITY, USE_CANDIDATE, ICE_CONTROLLED, ICE_CONTROLLING = 0x0024, 0x0025, 0x8029, 0x802A
ROLE_CONFLICT: Final = 487

# RFC 8445 5.1.2.2: how much a kind of address is preferred.
PREFERENCES: Final = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}
PACE_S: Final = 0.05  # RFC 8445 14.2: Ta
RETRY_S: Final = 0.5  # RFC 8445 14.3
ATTEMPTS: Final = 6
MAX_PAIRS: Final = 100  # RFC 8445 6.1.2.5
MAX_EARLY: Final = 16  # checks that come before the answer
# A better way than the first that works may be found within this time; then the choice is made (RFC 8445 8.1.1).
SETTLE_S: Final = 0.4
PATIENCE_S: Final = 15.0
CONSENT_S: Final = 5.0  # RFC 7675 5.1: every 5 s, give or take a fifth …
CONSENT_LOST_S: Final = 30.0  # … and nothing is sent after 30 s without an answer

IPV4_ONLY: Final = frozenset({False})
"""The address families our sockets speak, told as whether they are IPv6."""


class Base(NamedTuple):
    """Where a check leaves from: a component's own socket, or the relay in front of it."""

    component: int
    relayed: bool


class PairState(Enum):
    """RFC 8445 6.1.2.6, without Frozen."""

    WAITING = auto()
    IN_PROGRESS = auto()
    SUCCEEDED = auto()
    FAILED = auto()


class PairEvent(Enum):
    """What happens to a pair."""

    SENT = auto()  # its check has left
    ANSWERED = auto()  # the answer came, from where the check went
    REFUSED = auto()  # an error came, or an answer from elsewhere
    SILENT = auto()  # no answer to any attempt
    TRIGGERED = auto()  # the far end's check came over this pair


_S, _E = PairState, PairEvent
# An unlisted pair is dropped: it is an answer to a check that does not count any more.
TRANSITIONS: Final[dict[tuple[PairState, PairEvent], PairState]] = {
    (_S.WAITING, _E.SENT): _S.IN_PROGRESS,
    (_S.WAITING, _E.TRIGGERED): _S.WAITING,
    (_S.IN_PROGRESS, _E.ANSWERED): _S.SUCCEEDED,
    (_S.IN_PROGRESS, _E.REFUSED): _S.FAILED,
    (_S.IN_PROGRESS, _E.SILENT): _S.FAILED,
    (_S.IN_PROGRESS, _E.TRIGGERED): _S.WAITING,
    (_S.SUCCEEDED, _E.SENT): _S.SUCCEEDED,
    (_S.SUCCEEDED, _E.ANSWERED): _S.SUCCEEDED,
    (_S.SUCCEEDED, _E.TRIGGERED): _S.SUCCEEDED,
    (_S.FAILED, _E.TRIGGERED): _S.WAITING,
    (_S.FAILED, _E.SENT): _S.IN_PROGRESS,
}


@dataclass(slots=True, eq=False)
class Pair:
    """One way: from a base to an address of the far end. `nominated`: the controlling side has said that this is to be it."""

    base: Base
    remote: Candidate
    priority: int
    state: PairState = PairState.WAITING
    nominated: bool = False

    @property
    def address(self) -> Address:
        """Return where its packets go."""
        return self.remote.address, self.remote.port

    def step(self, event: PairEvent) -> bool:
        """Go where the table says; tell whether it says anything."""
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            return False
        self.state = following
        return True


@dataclass(slots=True)
class _Check:
    pair: Pair
    nominates: bool
    controlling: bool
    data: bytes
    next_at: float
    wait: float = RETRY_S
    attempts: int = 1


class _Early(NamedTuple):
    base: Base
    source: Address
    priority: int
    nominates: bool


Send = Callable[[Base, bytes, Address], object]


def candidate_priority(kind: str, component: int, local: int = 65_535) -> int:
    """Return a candidate's priority (RFC 8445 5.1.2.1); `local` tells our addresses of one kind apart."""
    return PREFERENCES[kind] << 24 | local << 8 | 256 - component


def pair_priority(controlling: int, controlled: int) -> int:
    """Return a pair's priority (RFC 8445 6.1.2.3)."""
    return (min(controlling, controlled) << 32) + 2 * max(controlling, controlled) + (controlling > controlled)


class Agent:
    """One stream's search. `selected` has the pair of each component that packets are to take.

    It answers checks from the start (`ufrag`, `pwd` are ours), and sends some once `start` has been told of the far end.
    """

    def __init__(self, ids: Ids, send: Send, ufrag: str, pwd: str, families: frozenset[bool] = IPV4_ONLY) -> None:
        self._families = families
        self.refused = 0
        self.selected: dict[int, Pair] = {}
        self.failure = ""
        self.ufrag = ufrag
        self.controlling = False
        self.peer: IcePeer | None = None
        self._ids = ids
        self._send = send
        self._pwd = pwd.encode()
        self._tie_breaker = ids.integer(64)
        self._pairs: list[Pair] = []
        self._known: set[tuple[Base, Address]] = set()  # the ways that work
        self._former: dict[int, Pair] = {}  # those of the search before, as long as this one has found none
        self._formerly_known: set[tuple[Base, Address]] = set()
        self._triggered: list[Pair] = []
        self._checks: dict[bytes, _Check] = {}
        self._early: list[_Early] = []
        self._components: tuple[int, ...] = ()
        self._next_check = 0.0
        self._deadline = 0.0
        self._first_valid: dict[int, float] = {}
        self._consent_at: dict[int, float] = {}
        self._consented: dict[int, float] = {}

    # --- the far end is known ----------------------------------------------------------------------------------------

    def start(self, peer: IcePeer, components: tuple[int, ...], relays: frozenset[int], now: float) -> None:
        """Begin to search, or again where a side has changed its name. `relays` are the components with one.

        RFC 8445 9: packets go on as before until there is another way.
        """
        if self.peer is not None and self.peer.remote_ufrag == peer.remote_ufrag and self.ufrag == peer.ufrag:
            self.peer = peer
            self._add_remotes(peer.candidates, relays)
            return
        self.ufrag, self._pwd = peer.ufrag, peer.pwd.encode()
        self.peer = peer
        self.controlling = peer.controlling
        self.failure = ""
        self._components = components
        self._former |= self.selected
        self._formerly_known |= self._known
        self._pairs, self._triggered = [], []
        self._known = set()
        self._checks.clear()
        self.selected = {}
        self._first_valid.clear()
        self._next_check, self._deadline = now, now + PATIENCE_S
        self._add_remotes(peer.candidates, relays)
        early, self._early = self._early, []
        for check in early:
            if check.base.component in components:
                self._trigger(check.base, check.source, check.priority, check.nominates, now)

    def _add_remotes(self, candidates: tuple[Candidate, ...], relays: frozenset[int]) -> None:
        for candidate in candidates:
            if candidate.component not in self._components or not candidate.port:
                continue
            # RFC 8445 6.1.2.2: only addresses of one family make a pair; our relays are IPv4.
            if (":" in candidate.address) in self._families:
                self._add_pair(Base(candidate.component, False), candidate)
            if candidate.component in relays and ":" not in candidate.address:
                self._add_pair(Base(candidate.component, True), candidate)

    def _add_pair(self, base: Base, remote: Candidate) -> Pair | None:
        address = remote.address, remote.port
        known = next((pair for pair in self._pairs if pair.base == base and pair.address == address), None)
        if known is not None or len(self._pairs) >= MAX_PAIRS:
            return known
        local = candidate_priority("relay" if base.relayed else "host", base.component)
        priority = pair_priority(*((local, remote.priority) if self.controlling else (remote.priority, local)))
        pair = Pair(base, remote, priority)
        self._pairs.append(pair)
        self._pairs.sort(key=lambda each: -each.priority)
        return pair

    # --- what comes --------------------------------------------------------------------------------------------------

    def receive(self, base: Base, data: bytes, source: Address, now: float) -> None:
        """Take a STUN message. Whatever is not from the far end is counted and has no effect."""
        try:
            message = parse_stun(data)
            if message.kind == BINDING_REQUEST:
                self._asked(base, message, data, source, now)
            elif message.kind in (BINDING_SUCCESS, BINDING_ERROR):
                self._answered(base, message, data, source, now)
        except ParseError:
            self.refused += 1

    def _asked(self, base: Base, message: StunMessage, raw: bytes, source: Address, now: float) -> None:
        name = (message.get(USERNAME) or b"").decode("utf-8", "replace")
        ours, _, theirs = name.partition(":")
        wrong = self.peer is not None and theirs != self.peer.remote_ufrag
        if ours != self.ufrag or wrong or not is_signed(raw, self._pwd):
            self.refused += 1  # RFC 8445 7.3 would have it answered; a stranger learns nothing from us
            return
        if not self._settle_roles(message):
            self._answer(base, message, source, BINDING_ERROR, ((ERROR_CODE, error_value(ROLE_CONFLICT, "Role Conflict")),))
            return
        mapped = ((XOR_MAPPED_ADDRESS, mapped_value(*source, message.transaction)),)
        self._answer(base, message, source, BINDING_SUCCESS, mapped)
        priority = int.from_bytes(message.get(PRIORITY) or bytes(4), "big")
        nominates = message.get(USE_CANDIDATE) is not None
        if self.peer is None:
            if len(self._early) < MAX_EARLY:
                self._early.append(_Early(base, source, priority, nominates))
        elif base.component in self._components:
            self._trigger(base, source, priority, nominates, now)

    def _answer(
        self, base: Base, asked: StunMessage, source: Address, kind: int, attributes: tuple[tuple[int, bytes], ...]
    ) -> None:
        self._send(base, encode_signed(StunMessage(kind, asked.transaction, attributes), self._pwd), source)

    def _settle_roles(self, message: StunMessage) -> bool:
        """Solve a conflict of roles (RFC 8445 7.3.1.1); False: the far end has to change its own."""
        if self.peer is None:
            return True
        theirs = message.get(ICE_CONTROLLING if self.controlling else ICE_CONTROLLED)
        if theirs is None:
            return True
        greater = self._tie_breaker >= int.from_bytes(theirs, "big")
        if greater == self.controlling:
            return False
        self._switch_role()
        return True

    def _switch_role(self) -> None:
        self.controlling = not self.controlling
        for pair in self._pairs:
            local = candidate_priority("relay" if pair.base.relayed else "host", pair.base.component)
            both = (local, pair.remote.priority) if self.controlling else (pair.remote.priority, local)
            pair.priority = pair_priority(*both)
        self._pairs.sort(key=lambda each: -each.priority)

    def _trigger(self, base: Base, source: Address, priority: int, nominates: bool, now: float) -> None:
        """Check the way back of a check that came (RFC 8445 7.3.1.3 to 7.3.1.5)."""
        pair = next((each for each in self._pairs if each.base == base and each.address == source), None)
        if pair is None:
            pair = self._add_pair(base, Candidate("prflx", base.component, priority, *source, "prflx"))
            if pair is None:
                return
        if nominates and not self.controlling:
            pair.nominated = True
        if pair.state is PairState.SUCCEEDED:
            self._choose(now)
            return
        pair.step(PairEvent.TRIGGERED)
        if pair not in self._triggered:
            self._triggered.append(pair)
        self._next_check = min(self._next_check, now)

    def _answered(self, base: Base, message: StunMessage, raw: bytes, source: Address, now: float) -> None:
        check = self._checks.get(message.transaction)
        peer = self.peer
        if check is None or peer is None or not is_signed(raw, peer.remote_pwd.encode()):
            self.refused += 1
            return
        del self._checks[message.transaction]
        pair = check.pair
        if message.kind == BINDING_ERROR:
            if (message.error or (0, ""))[0] == ROLE_CONFLICT:
                if check.controlling == self.controlling:  # else a check of theirs has told us meanwhile
                    self._switch_role()
                pair.step(PairEvent.TRIGGERED)
                self._triggered.append(pair)
            else:
                pair.step(PairEvent.REFUSED)
            return
        # RFC 8445 7.2.5.2.1: the answer must come from where the check went, to where it left.
        if source != pair.address or base != pair.base:
            pair.step(PairEvent.REFUSED)
            return
        pair.step(PairEvent.ANSWERED)
        self._known.add((pair.base, pair.address))
        self._consented[base.component] = now
        self._first_valid.setdefault(base.component, now)
        if check.nominates:
            pair.nominated = True
        self._choose(now)

    # --- the choice --------------------------------------------------------------------------------------------------

    def _valid(self, component: int) -> list[Pair]:
        return [pair for pair in self._pairs if pair.base.component == component and pair.state is PairState.SUCCEEDED]

    def _choose(self, now: float) -> None:
        """Take the best nominated pair of each component (RFC 8445 8.1.2: several where the far end nominates aggressively)."""
        for component in self._components:
            chosen = next((pair for pair in self._valid(component) if pair.nominated), None)
            if chosen is not None and self.selected.get(component) is not chosen:
                if component not in self.selected:
                    self._consent_at[component] = now + self._ids.uniform(0.8, 1.2) * CONSENT_S
                self.selected[component] = chosen
                self._consented[component] = now
        if self.done:
            self._forget_former()

    def _forget_former(self) -> None:
        self._former.clear()
        self._formerly_known.clear()

    def way(self, component: int) -> Pair | None:
        """Return the pair that packets take now: the selected one, or before the choice the best that works, or that worked."""
        return self.selected.get(component) or next(iter(self._valid(component)), None) or self._former.get(component)

    def knows(self, base: Base, source: Address) -> bool:
        """Tell whether packets over this way are the far end's: a check has shown it."""
        return (base, source) in self._known or (base, source) in self._formerly_known

    @property
    def done(self) -> bool:
        """Return whether every component has its pair."""
        return self.peer is not None and all(component in self.selected for component in self._components)

    # --- time --------------------------------------------------------------------------------------------------------

    def timeout(self, now: float) -> None:
        """Send the next check, repeat those without answer, nominate, renew consent."""
        if self.peer is None or self.failure:
            return
        self._repeat(now)
        if self.controlling:
            self._nominate(now)
        if now >= self._next_check:
            self._next_check = now + PACE_S
            self._check_next(now)
        if self.done:
            self._renew_consent(now)
        elif now > self._deadline:
            self.failure = "no way to the far end was found (ICE)"
            self._forget_former()

    def _repeat(self, now: float) -> None:
        for transaction, check in tuple(self._checks.items()):
            if now < check.next_at:
                continue
            if check.attempts >= ATTEMPTS:
                del self._checks[transaction]
                # RFC 8445 7.3.1.4: once a check of theirs has had us ask anew, only that question counts
                if not any(other.pair is check.pair for other in self._checks.values()):
                    check.pair.step(PairEvent.SILENT)
                continue
            check.attempts += 1
            check.wait = min(2 * check.wait, 1.6)
            check.next_at = now + check.wait
            self._send(check.pair.base, check.data, check.pair.address)

    def _check_next(self, now: float) -> None:
        while self._triggered:
            pair = self._triggered.pop(0)
            if pair.state is PairState.WAITING:
                self._check(pair, False, now)
                return
        if not self.done:
            waiting = next((pair for pair in self._pairs if pair.state is PairState.WAITING), None)
            if waiting is not None:
                self._check(waiting, False, now)

    def _nominate(self, now: float) -> None:
        """Nominate the best pair that works, once no better one can come or there was time for it (RFC 8445 8.1.1)."""
        for component in self._components:
            valid = self._valid(component)
            if not valid or component in self.selected or any(c.nominates and c.pair in valid for c in self._checks.values()):
                continue
            best = valid[0]
            better = any(
                pair.priority > best.priority and pair.base.component == component
                and pair.state in (PairState.WAITING, PairState.IN_PROGRESS)
                for pair in self._pairs
            )
            if not better or now - self._first_valid[component] > SETTLE_S:
                self._check(best, True, now)

    def _renew_consent(self, now: float) -> None:
        """Ask whether the far end still wants our packets (RFC 7675)."""
        for component, pair in self.selected.items():
            if now - self._consented[component] > CONSENT_LOST_S:
                self.failure = "the far end answers no more checks (RFC 7675: no consent to send)"
            elif now >= self._consent_at[component]:
                self._consent_at[component] = now + self._ids.uniform(0.8, 1.2) * CONSENT_S
                # Each is asked once, the next one comes soon enough; but an answer may take long: by satellite, in full queues.
                self._check(pair, False, now, wait=CONSENT_LOST_S, attempts=ATTEMPTS)

    def _check(self, pair: Pair, nominates: bool, now: float, wait: float = RETRY_S, attempts: int = 1) -> None:
        peer = self.peer
        if peer is None:
            return
        transaction = self._ids.integer(8 * TRANSACTION_BYTES).to_bytes(TRANSACTION_BYTES, "big")
        priority = candidate_priority("prflx", pair.base.component)
        attributes = [
            (USERNAME, f"{peer.remote_ufrag}:{self.ufrag}".encode()),
            (PRIORITY, priority.to_bytes(4, "big")),
            (ICE_CONTROLLING if self.controlling else ICE_CONTROLLED, self._tie_breaker.to_bytes(8, "big")),
        ]
        if nominates:
            attributes.append((USE_CANDIDATE, b""))
        data = encode_signed(StunMessage(BINDING_REQUEST, transaction, tuple(attributes)), peer.remote_pwd.encode())
        self._checks[transaction] = _Check(pair, nominates, self.controlling, data, now + wait, attempts=attempts)
        pair.step(PairEvent.SENT)
        self._send(pair.base, data, pair.address)
