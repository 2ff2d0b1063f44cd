"""The name service: NAPTR and SRV records by dnspython, addresses by the system or, where name servers are given, by these."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from offhook.errors import SetupError
from offhook.sip.locating import Naptr, Srv

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver as DnsResolver

CACHED: Final = 256
"""Answers remembered, each as long as its TTL says."""

RECORDS_WITHIN: Final = 2.5
"""Seconds for NAPTR and SRV records. A name server that has none says so at once; one that is silent must not cost the call."""

_RARE: Final = frozenset({"NAPTR", "SRV"})
"""Records of which the name servers of some routers know so little that they say they fail: then there are none."""


class NoAnswer(Exception):
    """The name service does not answer."""


def server_address(text: str) -> tuple[str, int]:
    """Take `address` or `address:port` or `[address]:port` apart. ValueError if it is none."""
    import ipaddress

    host, colon, port = text.rpartition(":")
    if text.startswith("[") and "]" in text:
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif not colon or ":" in host:
        host, port = text, ""
    ipaddress.ip_address(host)
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(text)
    return host, int(port or 53)


class Names:
    """Asks name servers: the system's, or `servers` ("192.0.2.53", "[2001:db8::53]:5353")."""

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._servers = tuple(servers)
        self._making: asyncio.Future[DnsResolver | None] | None = None

    async def _dns(self) -> DnsResolver | None:
        """Return the resolver; None where the system has no name servers. Its library is read beside the event loop."""
        if self._making is None:
            self._making = asyncio.get_running_loop().run_in_executor(None, _make_resolver, self._servers)
        return await asyncio.shield(self._making)  # whoever asks first may be gone before it is there

    async def naptr(self, domain: str) -> list[Naptr]:
        """Return the domain's NAPTR records. Raises NoAnswer."""
        return [
            Naptr(each.order, each.preference, each.flags.decode("ascii", "replace"), each.service.decode("ascii", "replace"),
                  str(each.replacement))
            for each in await self._ask(domain, "NAPTR")
        ]

    async def srv(self, name: str) -> list[Srv]:
        """Return the SRV records of a name. Raises NoAnswer."""
        return [Srv(each.priority, each.weight, each.port, str(each.target)) for each in await self._ask(name, "SRV")]

    async def addresses(self, host: str) -> list[str]:
        """Return a host's addresses. Raises socket.gaierror, or OSError and UnicodeError for what cannot be a name."""
        if self._servers and "." in host.rstrip("."):
            asked = await asyncio.gather(self._ask(host, "AAAA"), self._ask(host, "A"), return_exceptions=True)
            found = [each.address for answer in asked if not isinstance(answer, BaseException) for each in answer]
            failures = [answer for answer in asked if isinstance(answer, BaseException)]
            if not found and failures:
                raise failures[0]
            if not found:
                raise socket.gaierror(socket.EAI_NONAME, "the name servers know no address")
            return found  # a name server that knows nothing of IPv6 may say nothing, or that it fails, and know the other one
        answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        return [str(sockaddr[0]) for _, _, _, _, sockaddr in answers]

    async def _ask(self, name: str, kind: str) -> Sequence[Any]:
        resolver = await self._dns()
        if resolver is None:
            return ()
        from dns import exception
        from dns import resolver as resolving

        try:
            answer = await resolver.resolve(name, kind, lifetime=RECORDS_WITHIN, search=False)
        except (resolving.NXDOMAIN, resolving.NoAnswer, resolving.YXDOMAIN):
            return ()
        except resolving.NoNameservers as error:
            if kind in _RARE:
                return ()
            raise _no_answer(name, error) from None
        except exception.DNSException as error:
            raise _no_answer(name, error) from None
        return list(answer)


def _no_answer(name: str, error: Exception) -> NoAnswer:
    return NoAnswer(f"the name service does not answer about {name}: {type(error).__name__}")


def _make_resolver(servers: tuple[str, ...]) -> DnsResolver | None:
    from dns.asyncresolver import Resolver
    from dns.nameserver import Do53Nameserver
    from dns.resolver import LRUCache, NoResolverConfiguration

    with contextlib.suppress(NoResolverConfiguration, OSError):  # OSError: a registry without the keys Windows has
        resolver = Resolver(configure=not servers)
        if servers:
            try:
                resolver.nameservers = [Do53Nameserver(*server_address(each)) for each in servers]
            except ValueError as error:
                raise SetupError(f"{error} is no address of a name server") from None
        resolver.cache = LRUCache(CACHED)
        return resolver
    return None
