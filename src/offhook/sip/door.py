"""The door: which strangers are let in, how much they may ask, and what is told of those who were turned away.

A stranger is whoever is neither a server of an account nor in `unlimited_from`. What belongs to a dialog or a transaction of
ours is always let through: its tags and branches are known to nobody else. Whoever asks too much is not answered (RFC 3261
21.5.4: a server may drop the request instead of sending 503), so that nothing grows and nobody is flooded in a stranger's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from offhook.sip.events import Flow, Identity, IdentityId, Refused

if TYPE_CHECKING:
    from offhook.sip.stack import Hop, Stack
    from offhook.sip.uri import Uri

Network: TypeAlias = IPv4Network | IPv6Network

BURST: Final = 2.0
"""Seconds' worth of its rate that a stranger may use at once: a call with all its retransmissions, or an impatient PBX."""
ALL_STRANGERS: Final = 10
"""How many times the rate of one stranger all of them have together: forged sources are many, each with its own allowance."""
RINGING_EACH: Final = 4
"""Calls of one stranger that may ring at the same time; the next is busy."""
RINGING_ALL: Final = 16
"""Calls of all strangers that may ring at the same time: more than any person answers."""
SOURCES_KEPT: Final = 4096
"""Addresses remembered; then the memory starts afresh."""
ADDRESSES_KEPT: Final = 64
"""Addresses of an account's servers that are remembered: a name may lead to another one each time it is asked for."""
TELL_EVERY: Final = 60.0
"""Seconds between two events about the same source."""
TOLD_APART: Final = 64
"""Sources told of one by one in that time; the others are told of together."""
MANY: Final = "many"
"""What stands for the source then."""


class Rules(Struct, frozen=True):
    """What the door goes by.

    `accept_from` holds "anyone", "accounts" (the accounts' servers) and networks ("192.0.2.0/24"); the accounts' servers are
    always let in. `rate` is requests a second for each stranger (0: no limit), `unlimited_from` are networks without one.
    """

    accept_from: tuple[str, ...] = ("anyone",)
    rate: float = 0.0
    unlimited_from: tuple[str, ...] = ()


class Standing(Enum):
    """How a source stands with us."""

    KNOWN = auto()
    STRANGER = auto()
    SHUT_OUT = auto()


class Source:
    """One address (of IPv6: one /64, which is what one customer has) and what it has left to ask."""

    __slots__ = ("at", "left", "name", "standing")

    def __init__(self, name: str, standing: Standing, left: float) -> None:
        self.name = name
        self.standing = standing
        self.left = left
        self.at = 0.0


class Door:
    """The door of one endpoint."""

    def __init__(self, stack: Stack, rules: Rules) -> None:
        self.stack = stack
        self.rules = rules
        self._accepted = _networks(name for name in rules.accept_from if name not in ("anyone", "accounts"))
        self._unlimited = _networks(rules.unlimited_from)
        self._servers: dict[IdentityId, dict[str, frozenset[str]]] = {}  # by the name under which they were looked up
        self._addresses: dict[IdentityId, dict[str, None]] = {}  # all they had, for calls that outlive a look-up
        self._followed: dict[IdentityId, str] = {}  # where those are registered whose registrar has sent them on
        self._sources: dict[str, Source] = {}
        self._all = Source("", Standing.STRANGER, rules.rate * BURST * ALL_STRANGERS)
        self._told: dict[tuple[str, str], int] = {}
        self._telling = False

    @property
    def is_open(self) -> bool:
        """Everybody is let in, as often as they like."""
        return not self.rules.rate and "anyone" in self.rules.accept_from

    # --- who is who

    def learn(self, identity: Identity, hop: Hop | None = None, flows: tuple[Flow, ...] = ()) -> None:
        """Take over where an account's servers are: their literal addresses, or what a name was resolved to."""
        names = _names(identity)
        known = self._servers.get(identity.id, {})
        servers = {name: hosts for name, hosts in known.items() if name in names}
        if hop is None:
            servers |= {name: frozenset({name}) for name in names if _is_literal(name)}
        elif (name := hop.host.strip("[]").lower()) in names and flows:
            servers[name] = frozenset(flow.remote[0] for flow in flows)
        if servers != known:
            self._servers[identity.id] = servers
            addresses = self._addresses.setdefault(identity.id, {})
            for hosts in servers.values():
                for host in hosts:
                    addresses.pop(host, None)  # those of now are the last to be forgotten
                    addresses[host] = None
            while len(addresses) > ADDRESSES_KEPT:
                del addresses[next(iter(addresses))]
            self._sources.clear()

    def may_challenge(self, identity: Identity, hop: Hop, flow: Flow, began: Flow | None, now: float) -> bool:
        """Say whether who answers on this flow may ask for the account's password: its servers may, and nobody else.

        The digest of a password is enough to try passwords against at leisure, and any caller could ask for it in answer to our
        BYE. A server is who was reached by its name (or where the registrar leads us), or has one of its addresses. `began` is
        where the dialog was set up, or who has redirected the call: what a server of ours has set up goes on where that server
        said, as at another address of an exchange that has several.
        """
        name, host, addresses = hop.host.strip("[]").lower(), flow.remote[0], self._addresses.get(identity.id, {})
        led = (route.uri.target_host.lower() for route in self.stack.service_route(identity))
        if name in _names(identity) or host in addresses or name in led or (began is not None and began.remote[0] in addresses):
            return True
        self.tell(host, "asked for the password of an account that is not its own", now)
        return False

    def may_lead(self, identity: Identity, target: Uri) -> bool:
        """Say whether `target`, to which a call is redirected, may be another server of the account: a name in its domain.

        An address, or a name elsewhere, may be whoever was called: a proxy hands on what the callee has answered.
        """
        name = target.target_host.lower()
        return any(name.endswith(f".{own}") for own in _names(identity) if not _is_literal(own))

    def may_lead_home(self, identity: Identity, target: Uri) -> bool:
        """Say whether the account's registrar may send it on to `target`: within its domain, or to an address.

        It may ask for the password itself, and REGISTER is answered by nobody else; but another domain is another account's.
        """
        name = target.target_host.lower()
        return name in _names(identity) or _is_literal(name.partition("%")[0]) or self.may_lead(identity, target)

    def follow(self, identity: Identity, host: str) -> None:
        """Take over that the account is registered at this address, where its registrar has sent us."""
        if self._followed.get(identity.id) != host:
            self._followed[identity.id] = host
            self._addresses.setdefault(identity.id, {})[host] = None
            self._sources.clear()

    def forget(self, identity: IdentityId) -> None:
        """An account is gone."""
        self._followed.pop(identity, None)
        self._addresses.pop(identity, None)
        if self._servers.pop(identity, None):
            self._sources.clear()

    def source(self, host: str) -> Source:
        """Return how this address stands."""
        found = self._sources.get(host)
        if found is None:
            if len(self._sources) >= SOURCES_KEPT:
                self._sources.clear()
            name = source_name(host)
            # All addresses of one /64 share one allowance.
            found = self._sources.get(name) or Source(name, self._standing(host), self.rules.rate * BURST)
            self._sources[host] = self._sources[name] = found
        return found

    def _standing(self, host: str) -> Standing:
        address = ip_address(host.partition("%")[0])
        servers = (hosts for names in self._servers.values() for hosts in names.values())
        led = host in self._followed.values()
        if led or any(host in hosts for hosts in servers) or any(address in each for each in self._unlimited):
            return Standing.KNOWN
        if "anyone" in self.rules.accept_from or any(address in each for each in self._accepted):
            return Standing.STRANGER
        return Standing.SHUT_OUT

    # --- how much

    def glance(self, host: str, now: float) -> bool:
        """Say whether anything of this source is worth reading. It costs nothing but this look."""
        source = self.source(host)
        if source.standing is Standing.KNOWN or not self.rules.rate:
            return True
        if self._has(source, now) and self._has(self._all, now, ALL_STRANGERS):
            return True
        self.tell(host, "too many requests", now)
        return False

    def charge(self, host: str, now: float) -> bool:
        """Take one request of a stranger into account; False if it has asked too much already."""
        source = self.source(host)
        if source.standing is Standing.KNOWN or not self.rules.rate:
            return True
        if not (self._has(source, now) and self._has(self._all, now, ALL_STRANGERS)):
            self.tell(host, "too many requests", now)
            return False
        source.left -= 1
        self._all.left -= 1
        return True

    def hears(self, host: str, now: float) -> bool:
        """Say whether a message of this source that cannot be understood is to be answered."""
        return self.charge(host, now) and self.source(host).standing is not Standing.SHUT_OUT

    def _has(self, source: Source, now: float, times: int = 1) -> bool:
        rate = self.rules.rate * times
        source.left = min(rate * BURST, source.left + (now - source.at) * rate) if source.at else source.left
        source.at = now or 1e-9
        return source.left >= 1

    # --- what is told

    def tell(self, host: str, reason: str, now: float) -> None:
        """Tell that somebody was turned away: at once the first time, together with its like after that."""
        key = self.source(host).name, reason
        if key not in self._told and len(self._told) >= TOLD_APART:
            key = MANY, reason
        if key in self._told:
            self._told[key] += 1
            return
        self._told[key] = 0
        self.stack.emit(Refused(key[0], reason, 1))
        if not self._telling:
            self._telling = True
            self.stack.timers.start(now + TELL_EVERY, self._tell_counted)

    def _tell_counted(self, now: float) -> None:
        counted, self._told = self._told, {}
        for (name, reason), count in counted.items():
            if count:
                self.stack.emit(Refused(name, reason, count))
                self._told[name, reason] = 0
        self._telling = bool(self._told)
        if self._telling:
            self.stack.timers.start(now + TELL_EVERY, self._tell_counted)


def source_name(host: str) -> str:
    """Return what a source is known by: an address of IPv4, of IPv6 its /64, which is what one customer has."""
    return host if ":" not in host else str(IPv6Network((int(IPv6Address(host.partition("%")[0])) >> 64 << 64, 64)))


def _names(identity: Identity) -> set[str]:
    """Return the names of an account's servers: its outbound proxies, or its domain."""
    return {(uri or identity.address.uri).target_host.lower() for uri in (identity.proxy, *identity.proxies)}


def _networks(names: Iterable[str]) -> list[Network]:
    return [ip_network(name, strict=False) for name in names]


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
