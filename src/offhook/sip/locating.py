"""Which servers of a domain to ask, in which order: NAPTR and SRV records made into targets (RFC 3263, RFC 2782). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from offhook.sip.events import SECURE, TransportChoice, TransportName


class Naptr(Struct, frozen=True):
    """One NAPTR record, as far as SIP uses it (RFC 3263 4.1)."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


class Srv(Struct, frozen=True):
    """One SRV record (RFC 2782). `target` "." says: not here."""

    priority: int
    weight: int
    port: int
    target: str


class Service(Struct, frozen=True):
    """A name to ask for SRV records, and the transport that its servers speak."""

    transport: TransportName
    name: str


_NAPTR_SERVICES: Final[dict[str, TransportName]] = {
    "sip+d2u": "udp", "sip+d2t": "tcp", "sips+d2t": "tls", "sip+d2w": "ws", "sips+d2w": "wss",
}
_PREFIXES: Final[dict[TransportName, str]] = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}


def fits(transport: TransportName, choice: TransportChoice, *, secure: bool) -> bool:
    """Say whether a transport is one of those that may be used."""
    return choice in ("auto", transport) and (transport in SECURE or not secure)


def by_naptr(records: Iterable[Naptr], choice: TransportChoice, *, secure: bool) -> list[Service]:
    """Return what the domain offers, in the domain's order, as far as we may use it (RFC 3263 4.1)."""
    found: list[Service] = []
    for record in sorted(records, key=lambda each: (each.order, each.preference)):
        transport = _NAPTR_SERVICES.get(record.service.lower())
        if transport is not None and record.flags.lower() == "s" and fits(transport, choice, secure=secure):
            found.append(Service(transport, record.replacement.rstrip(".")))
    return found


def by_name(domain: str, choice: TransportChoice, *, secure: bool) -> list[Service]:
    """Return the SRV names to ask for where there is no NAPTR record, or the transport is chosen (RFC 3263 4.1, 4.2)."""
    return [
        Service(transport, f"{prefix}.{domain}") for transport, prefix in _PREFIXES.items()
        if fits(transport, choice, secure=secure)
    ]


def usable(choice: TransportChoice, *, secure: bool) -> TransportName:
    """Return the transport where the name service says nothing: UDP, or TLS for sips (RFC 3263 4.1)."""
    if choice == "auto":
        return "tls" if secure else "udp"
    return choice


def in_order(records: Iterable[Srv], chance: Callable[[float, float], float]) -> list[Srv]:
    """Return the records in the order to try: by priority, and among equals drawn by weight (RFC 2782).

    `chance(low, high)` gives a number between the two. A single record with the target "." gives an empty list.
    """
    left = sorted((each for each in records if each.target.rstrip(".")), key=lambda each: (each.priority, each.weight))
    ordered: list[Srv] = []
    while left:
        group = [each for each in left if each.priority == left[0].priority]
        drawn = _draw(group, chance)
        ordered.append(drawn)
        left.remove(drawn)
    return ordered


def _draw(group: list[Srv], chance: Callable[[float, float], float]) -> Srv:
    # RFC 2782: those of weight 0 stand first, so that they have a small chance of being drawn
    wanted = chance(0.0, float(sum(each.weight for each in group)))
    passed = 0.0
    for each in group:
        passed += each.weight
        if passed >= wanted:
            return each
    return group[-1]
