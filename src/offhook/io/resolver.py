"""From a host in a SIP URI to the flows that reach it (RFC 3263)."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeAlias

from msgspec import structs

from offhook.errors import SetupError
from offhook.io.names import Names, NoAnswer
from offhook.sip.events import Address, ConnectionTerms, Flow, Resolve, Resolved, TransportName
from offhook.sip.locating import Service, Srv, by_name, by_naptr, in_order, usable
from offhook.sip.stack import default_port

LOOKUP_TIMEOUT = 5.0
"""Seconds for one name: less than the caller's patience, more than one lost question to a name server."""

MAX_FLOWS = 8
"""Addresses of one name that are tried."""

MAX_TARGETS: Final = 8
"""Servers that SRV records name and that are looked up."""

MAX_DRAWN: Final = 256
"""Names for which the order of their servers is remembered; then it is drawn anew."""

Target: TypeAlias = tuple[TransportName, str, int]


class NotOffered(Exception):
    """The domain says that what was asked for is not to be had there."""


class Routes(Protocol):
    """What the resolver asks of the sockets (`io.transport.Transports`)."""

    def reaches(self, host: str) -> bool:
        """Say whether the literal address is of a family the sockets speak."""
        ...

    def flow_to(self, remote: Address, transport: TransportName, terms: ConnectionTerms | None = None) -> Flow:
        """Return the flow to a literal address; OSError when there is no route."""
        ...


class Resolver:
    """Answers Resolve. Names are looked up beside the event loop, so nothing here ever blocks it."""

    def __init__(self, routes: Routes, *, lookup_timeout: float = LOOKUP_TIMEOUT, names: Names | None = None) -> None:
        self._routes = routes
        self._timeout = lookup_timeout
        self._names = names or Names()
        self._random = random.SystemRandom()
        self._drawn: dict[str, tuple[frozenset[Srv], list[Srv]]] = {}

    def resolve_literal(self, query: Resolve) -> Resolved | None:
        """Answer at once if the host is an IP address (IPv6 with or without brackets); None if it is a name."""
        host = query.host[1:-1] if query.host.startswith("[") and query.host.endswith("]") else query.host
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return None
        # RFC 3263 4.1: an address needs no look-up; without a transport it is UDP, for sips TLS
        transport = usable(query.transport, secure=query.secure)
        return self._resolved(query, [(transport, host, _port(query, transport))])

    async def resolve(self, query: Resolve) -> Resolved:
        """Answer: flows in the order to try, or none and the reason in plain words. Never raises."""
        literal = self.resolve_literal(query)
        if literal is not None:
            return literal
        search = asyncio.ensure_future(self._find(query))
        search.add_done_callback(lambda over: over.cancelled() or over.exception())  # nobody asks when it comes too late
        try:
            # Not asyncio.timeout, which waits for what it cancels: the look-up's own time-outs may swallow that.
            done, _ = await asyncio.wait({search}, timeout=self._timeout)
            if not done:
                return Resolved(query.query, (), f"no answer from the name service for {query.host} in {self._timeout:g} s")
            found = search.result()
        except socket.gaierror as exc:
            return Resolved(query.query, (), f"{query.host} has no address: {exc.strerror}")
        except (NoAnswer, NotOffered, SetupError) as exc:
            return Resolved(query.query, (), str(exc))
        except (OSError, UnicodeError, ValueError) as exc:  # UnicodeError: a label no host name can have
            return Resolved(query.query, (), f"{query.host} is not a host name: {exc}")
        finally:
            search.cancel()
        return self._resolved(query, found)

    async def _find(self, query: Resolve) -> list[Target]:
        """Return addresses to try. The host's own addresses are asked for beside the records, which may not exist."""
        transport = usable(query.transport, secure=query.secure)
        if not may_have_records(query):
            return [(transport, host, _port(query, transport)) for host in await self._names.addresses(query.host)]
        plain = asyncio.ensure_future(self._names.addresses(query.host))
        plain.add_done_callback(lambda found: found.cancelled() or found.exception())  # seen, also where nobody asks for it
        try:
            targets = await self._by_records(query)
        except BaseException:
            plain.cancel()
            raise
        if targets:
            plain.cancel()
            await asyncio.gather(plain, return_exceptions=True)
            return targets
        # RFC 3263 4.2: no SRV records: the addresses of the name itself, at the default port
        return [(transport, host, _port(query, transport)) for host in await plain]

    async def _by_records(self, query: Resolve) -> list[Target]:
        denied = False
        try:
            for service in await self._services(query):
                records = await self._names.srv(service.name)
                ordered = self._in_order(service.name, records)
                if ordered:
                    return await self._addresses(service, [(each.target.rstrip("."), each.port) for each in ordered])
                denied = denied or bool(records)
        except NoAnswer:
            return []
        if denied:
            # RFC 2782: a target of "." says that the service is decidedly not available at this domain
            raise NotOffered(f"{query.host} offers no SIP over {query.transport.upper()}, as its SRV records say")
        return []

    def _in_order(self, name: str, records: list[Srv]) -> list[Srv]:
        """Return the servers in the order to try, as long as the records are the same in the same one.

        Servers of equal rank share the phones by chance, not the requests of one phone: its registration stays where it is.
        """
        known = self._drawn.get(name)
        if known is not None and known[0] == frozenset(records):
            return known[1]
        if len(self._drawn) >= MAX_DRAWN:
            self._drawn.clear()
        ordered = in_order(records, self._random.uniform)[:MAX_TARGETS]
        self._drawn[name] = frozenset(records), ordered
        return ordered

    async def _services(self, query: Resolve) -> list[Service]:
        if query.transport == "auto":
            found = by_naptr(await self._names.naptr(query.host), query.transport, secure=query.secure)
            if found:
                return found
        return by_name(query.host, query.transport, secure=query.secure)

    async def _addresses(self, service: Service, hosts: Sequence[tuple[str, int]]) -> list[Target]:
        answers = await asyncio.gather(*(self._names.addresses(host) for host, _ in hosts), return_exceptions=True)
        return [
            (service.transport, address, port)
            for (_, port), found in zip(hosts, answers, strict=True) if not isinstance(found, BaseException)
            for address in found
        ]

    def _resolved(self, query: Resolve, targets: Iterable[Target]) -> Resolved:
        flows: list[Flow] = []
        reason = f"{query.host} has no address"
        for transport, host, port in dict.fromkeys(targets):
            try:
                if self._routes.reaches(host):
                    flows.append(self._routes.flow_to((host, port), transport, _terms(query, transport)))
                else:
                    reason = f"{host} is of another address family than the SIP socket"
            except OSError as exc:
                reason = f"no route to {host}: {exc.strerror or exc}"
            if len(flows) == MAX_FLOWS:
                break
        return Resolved(query.query, tuple(flows), "" if flows else reason)


def _port(query: Resolve, transport: TransportName) -> int:
    return default_port(transport) if query.port is None else query.port


def may_have_records(query: Resolve) -> bool:
    """Say whether SRV records are to be asked for: only for names of the name service, and without a port (RFC 3263 4.2)."""
    host = query.host.rstrip(".").lower()
    local = "." not in host or host.endswith((".localhost", ".local"))
    return query.port is None and not local and query.transport not in ("ws", "wss")


def _terms(query: Resolve, transport: TransportName) -> ConnectionTerms | None:
    """Return the terms of a connection: the far end has to be who was asked for, not whom DNS named (RFC 5922 4)."""
    if transport in ("udp", "tcp"):
        return None
    terms = query.terms or ConnectionTerms()
    return terms if terms.name else structs.replace(terms, name=query.host.strip("[]"))
