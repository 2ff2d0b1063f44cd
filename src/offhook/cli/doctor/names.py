"""The name service: from a host's name to its addresses, and what it means when there are none."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from offhook.cli.doctor.finding import Finding, listed, milliseconds, within
from offhook.io import clock
from offhook.io.names import Names, NoAnswer
from offhook.io.resolver import LOOKUP_TIMEOUT

SLOW: Final = 1.0
"""Seconds: a name server that answers at all does so in a tenth of this."""

Trouble: TypeAlias = Literal["", "unknown", "no address", "no answer", "no name", "failed"]
Ask: TypeAlias = Callable[..., list[Any]]


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the system says a host's addresses are. `literal`: it is an address itself. `took` is seconds."""

    host: str
    addresses: tuple[str, ...] = ()
    literal: bool = False
    trouble: Trouble = ""
    detail: str = ""
    took: float = 0.0


_CODES: Final[dict[int, Trouble]] = {
    # RFC 3493 6.1. NODATA comes last: where the system does not tell it from NONAME, both have one number.
    **({socket.EAI_NODATA: "no address"} if hasattr(socket, "EAI_NODATA") else {}),
    socket.EAI_NONAME: "unknown",
    socket.EAI_AGAIN: "no answer",
}


def asks(servers: tuple[str, ...]) -> Ask:
    """Return what looks up names as a phone does that is to ask these name servers, or the system where there are none."""
    if not servers:
        return socket.getaddrinfo

    def ask(host: str, *_: object, **__: object) -> list[Any]:
        return [(None, None, None, "", (each, 0)) for each in asyncio.run(Names(servers).addresses(host))]
    return ask


def look_up(host: str, *, limit: float = LOOKUP_TIMEOUT, ask: Ask = socket.getaddrinfo) -> Lookup:
    """Return the addresses of `host` (a name, or an address with or without brackets), as the phone would find them."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return Lookup(host, (str(ipaddress.ip_address(bare)),), literal=True)
    except ValueError:
        pass
    began = clock.now()

    def failed(trouble: Trouble, detail: str) -> Lookup:
        return Lookup(host, (), False, trouble, detail, clock.now() - began)

    try:
        answers = within(limit, lambda: ask(host, None, type=socket.SOCK_DGRAM))
    except TimeoutError:
        return failed("no answer", f"nothing within {limit:g} s")
    except socket.gaierror as error:
        return failed(_CODES.get(error.errno or 0, "failed"), error.strerror or str(error))
    except NoAnswer as error:
        return failed("no answer", str(error).rpartition(": ")[2])
    except (OSError, UnicodeError, ValueError) as error:  # UnicodeError: a label no host name can have
        return failed("no name", str(error))
    addresses = tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))
    return Lookup(host, addresses, False, "" if addresses else "no address", "", clock.now() - began)


_TROUBLES: Final[dict[Trouble, tuple[str, str]]] = {
    "unknown": ("there is no host called {host}: the name service knows that it does not exist (NXDOMAIN)",
                "check domain and proxy of the account for a slip of the pen"),
    "no address": ("{host} exists, but has no address",
                   'set the account\'s proxy to the server\'s own name, as "sip:sip.example.org": ask the provider for it'),
    "no answer": ("the name service does not answer about {host} ({detail})",
                  "nothing is said about the name itself: is this machine online, are its name servers right and reachable?"),
    "no name": ("{host} cannot be a host name: {detail}", "write domain and proxy as pbx.example.org or 192.0.2.1"),
    "failed": ("the name service failed for {host}: {detail}", "check the name servers of this machine"),
}


def name_finding(name: str, found: Lookup) -> Finding:
    """Say what came of a lookup."""
    if found.trouble:
        text, advice = _TROUBLES[found.trouble]
        filled = text.format(host=found.host, detail=found.detail)
        return Finding(name, "wrong", f"{filled} ({milliseconds(found.took)})", advice)
    if found.literal:
        return Finding(name, "ok", f"{found.host} is an address, nothing has to be looked up")
    text = f"{found.host} is {listed(found.addresses)} ({milliseconds(found.took)})"
    if found.took < SLOW:
        return Finding(name, "ok", text)
    return Finding(name, "warning", text, "that is slow, and new calls wait for it: check the name servers of this machine")


def of_family(found: Lookup, *, ipv6: bool) -> tuple[str, ...]:
    """Return the addresses a SIP socket of this family can reach."""
    return tuple(address for address in found.addresses if (":" in address) == ipv6)
