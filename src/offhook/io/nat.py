"""What this machine knows of its place in the network: its own addresses, and where STUN and TURN servers are."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import struct
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Final, Literal, NamedTuple

from offhook.media.messages import TurnServer
from offhook.media.stun import DEFAULT_PORT
from offhook.phone.reach import NatServers
from offhook.phone.settings import NatSettings

TLS_PORT: Final = 5349
"""RFC 8656 4.1: TURN over TLS."""
RESOLVE_S: Final = 5.0
SIOCGIFADDR: Final = 0x8915  # linux/sockios.h
IF_INET6: Final = Path("/proc/net/if_inet6")
MAX_ADDRESSES: Final = 8  # each is a candidate, and each candidate is a check


class ServerName(NamedTuple):
    """Where a server is, before its name has become an address."""

    host: str
    port: int
    transport: Literal["udp", "tcp", "tls"] = "udp"


_URI = re.compile(r"(?:(stuns?|turns?):)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?")


def parse_server(text: str) -> ServerName:
    """Read host[:port] or a URI (RFC 7064, RFC 7065); raises ValueError that says what is expected."""
    found = _URI.fullmatch(text)
    if not found or not 0 < int(found[3] or 1) < 65_536:
        raise ValueError("write host, host:port, turn:host:port?transport=udp (or tcp), or turns:host")
    tls = found[1] in ("turns", "stuns")
    transport: Literal["udp", "tcp", "tls"] = "tls" if tls else "tcp" if found[4] == "tcp" else "udp"
    return ServerName(found[2].strip("[]"), int(found[3] or (TLS_PORT if tls else DEFAULT_PORT)), transport)


async def find_servers(settings: NatSettings) -> NatServers:
    """Return the section's servers with their addresses."""
    stun = turn = None
    problems = []
    for kind, text in (("stun", settings.stun), ("turn", settings.turn)):
        if not text:
            continue
        name = parse_server(text)
        address = await _address_of(name)
        if address is None:
            problems.append(f"{name.host} has no IPv4 address")
        elif kind == "stun":
            stun = address
        else:
            turn = TurnServer(address, settings.turn_username, settings.turn_password, name.transport, name.host)
    return NatServers(stun, turn, "; ".join(problems))


async def _address_of(name: ServerName) -> tuple[str, int] | None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError, UnicodeError):  # the last: it cannot be a name, as "a..b"
        found = await asyncio.wait_for(
            loop.getaddrinfo(name.host, name.port, family=socket.AF_INET, type=socket.SOCK_DGRAM), RESOLVE_S
        )
        return str(found[0][4][0]), name.port
    return None


def local_addresses(*, ipv6: bool = False) -> tuple[str, ...]:
    """Return the addresses of this machine: that of the way out first, loopback only if there is no other.

    They are IPv4, with `ipv6` of both families by turns (RFC 8421 4), without those that hold on one link only.
    """
    families = (_IPV6, _IPV4) if ipv6 else (_IPV4,)
    found = [list(dict.fromkeys([*_way_out(family), *_interfaces(family)])) for family in families]
    by_turns = [address for turn in zip_longest(*found) for address in turn if address is not None]
    others = [address for address in by_turns if not ipaddress.ip_address(address).is_loopback]
    return tuple((others or by_turns or ["127.0.0.1"])[:MAX_ADDRESSES])


_IPV4, _IPV6 = socket.AF_INET, socket.AF_INET6
# RFC 5737, RFC 3849: addresses that belong to nobody
_NOBODY: Final = {_IPV4: "192.0.2.1", _IPV6: "2001:db8::1"}


def _way_out(family: socket.AddressFamily) -> list[str]:
    """Return the address that packets to the outside get; none are sent for that."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((_NOBODY[family], 9))
        return [str(probe.getsockname()[0])]
    return []


def _interfaces(family: socket.AddressFamily) -> list[str]:
    if sys.platform == "linux":
        return _ipv6_interfaces() if family == _IPV6 else _ipv4_interfaces()
    with contextlib.suppress(OSError):
        entries = socket.getaddrinfo(socket.gethostname(), None, family)
        return [address for entry in entries if not _is_of_link(address := str(entry[4][0]))]
    return []


if sys.platform == "linux":
    import fcntl

    def _ipv4_interfaces() -> list[str]:
        found = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            for _, name in socket.if_nameindex():
                with contextlib.suppress(OSError):  # an interface without an IPv4 address
                    answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                    found.append(socket.inet_ntoa(answer[20:24]))
        return found


def _ipv6_interfaces() -> list[str]:
    with contextlib.suppress(OSError):  # a kernel without IPv6
        lines = IF_INET6.read_text().splitlines()
        found = [str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in lines]
        return [address for address in found if not _is_of_link(address)]
    return []


def _is_of_link(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_link_local
