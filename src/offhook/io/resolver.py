"""From a host in a SIP URI to the flows that reach it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Protocol

from offhook.sip.events import Address, Flow, Resolve, Resolved, TransportName

DEFAULT_PORT = 5060
"""RFC 3261 19.1.2: the default port of sip: over UDP and TCP."""

LOOKUP_TIMEOUT = 5.0
"""Seconds for one name: less than the caller's patience, more than one lost question to a name server."""

MAX_FLOWS = 8
"""Addresses of one name that are tried."""


class Routes(Protocol):
    """What the resolver asks of the sockets (`io.transport.Transports`)."""

    def reaches(self, host: str) -> bool:
        """Say whether the literal address is of a family the sockets speak."""
        ...

    def flow_to(self, remote: Address, transport: TransportName) -> Flow:
        """Return the flow to a literal address; OSError when there is no route."""
        ...


class Resolver:
    """Answers Resolve. Names are looked up in the event loop's threads, so nothing here ever blocks the loop."""

    def __init__(self, routes: Routes, *, lookup_timeout: float = LOOKUP_TIMEOUT) -> None:
        self._routes = routes
        self._timeout = lookup_timeout

    def resolve_literal(self, query: Resolve) -> Resolved | None:
        """Answer at once if the host is an IP address (IPv6 with or without brackets); None if it is a name."""
        host = query.host[1:-1] if query.host.startswith("[") and query.host.endswith("]") else query.host
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return None
        return self._resolved(query, [host])

    async def resolve(self, query: Resolve) -> Resolved:
        """Answer: flows in the order to try, or none and the reason in plain words. Never raises."""
        literal = self.resolve_literal(query)
        if literal is not None:
            return literal
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._look_up(query.host)
        except TimeoutError:
            return Resolved(query.query, (), f"no answer from the name service for {query.host} in {self._timeout:g} s")
        except socket.gaierror as exc:
            return Resolved(query.query, (), f"{query.host} has no address: {exc.strerror}")
        except (OSError, UnicodeError, ValueError) as exc:  # UnicodeError: a label no host name can have
            return Resolved(query.query, (), f"{query.host} is not a host name: {exc}")
        return self._resolved(query, found)

    async def _look_up(self, host: str) -> list[str]:
        answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        return [str(sockaddr[0]) for _, _, _, _, sockaddr in answers]

    def _resolved(self, query: Resolve, hosts: Iterable[str]) -> Resolved:
        port = DEFAULT_PORT if query.port is None else query.port
        flows: list[Flow] = []
        reason = f"{query.host} has no address"
        for host in dict.fromkeys(hosts):
            try:
                if self._routes.reaches(host):
                    flows.append(self._routes.flow_to((host, port), query.transport))
                else:
                    reason = f"{host} is of another address family than the SIP socket"
            except OSError as exc:
                reason = f"no route to {host}: {exc.strerror or exc}"
        return Resolved(query.query, tuple(flows[:MAX_FLOWS]), "" if flows else reason)
