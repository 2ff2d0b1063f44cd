"""Notices that this machine is somewhere else now, or has slept: by looking now and then, and by the kernel's word."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from offhook.io import clock

LOOK_EVERY: Final = 10.0
"""Seconds between looks where the kernel tells nothing. A look asks the routing table and sends nothing."""

SETTLED_AFTER: Final = 0.5
"""Seconds after the kernel's word: a link that comes up brings its addresses and routes one after the other."""

SLEPT: Final = 15.0
"""Seconds by which a look is late when the machine has slept: longer than any program keeps the processor for itself."""

SOMEWHERE: Final = ("192.0.2.1", "2001:db8::1")
"""Addresses of nobody (RFC 5737, RFC 3849): the way to them is the way out of here."""

NETLINK_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE (rtnetlink(7))."""


class Ways(Protocol):
    """What is asked of the sockets (`io.transport.Transports`)."""

    def watched(self) -> Mapping[str, str]:
        """Return the addresses of those we are in touch with, each with ours towards it, as they were told."""
        ...


class NetworkWatch:
    """Calls `changed` with the reason, in plain words, each time our addresses are others or the machine has slept."""

    def __init__(self, ways: Ways, changed: Callable[[str], None], *, look_every: float = LOOK_EVERY) -> None:
        self._ways = ways
        self._changed = changed
        self._look_every = look_every
        self._seen: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._kernel: socket.socket | None = None
        self._looked = (0.0, 0.0)

    def start(self) -> None:
        """Begin to look."""
        self._seen = self._look()
        self._looked = clock.now(), clock.awake_or_asleep()
        self._kernel = self._listen()
        self._arm(self._look_every)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._kernel is not None:
            asyncio.get_running_loop().remove_reader(self._kernel)
            self._kernel.close()
            self._kernel = None

    def _listen(self) -> socket.socket | None:
        """Return a socket on which Linux tells of links, addresses and routes; None elsewhere, and where that is forbidden."""
        if sys.platform != "linux":
            return None
        with contextlib.suppress(OSError):
            kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            try:
                kernel.setblocking(False)
                kernel.bind((0, NETLINK_GROUPS))
                asyncio.get_running_loop().add_reader(kernel, self._told)
            except OSError:
                kernel.close()
                raise
            return kernel
        return None

    def _told(self) -> None:
        kernel = self._kernel
        with contextlib.suppress(OSError):  # ENOBUFS: there was more than it could keep, which says the same
            while kernel is not None and kernel.recv(65536):
                continue
        self._arm(SETTLED_AFTER)

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._check)

    def _check(self) -> None:
        self._arm(self._look_every)
        slept = self._slept()
        seen = self._look()
        # Somebody we were not in touch with at the last look was told an address since.
        before, self._seen = {**self._ways.watched(), **self._seen}, seen
        moved = [(before[to], seen[to]) for to in seen if to in before and before[to] != seen[to]]
        if slept >= SLEPT:
            self._changed(f"this machine has slept for {slept:.0f} s")
        elif moved:
            self._changed(_words(*moved[0]))

    def _slept(self) -> float:
        """Return by how many seconds this look is late, or a clock that counts sleep has gone ahead of one that does not."""
        last, last_through_sleep = self._looked
        now, through_sleep = self._looked = clock.now(), clock.awake_or_asleep()
        return max(now - last - self._look_every, through_sleep - last_through_sleep - (now - last))

    def _look(self) -> dict[str, str]:
        return {address: source_towards(address) for address in (*SOMEWHERE, *self._ways.watched())}


def source_towards(address: str) -> str:
    """Return our address as the way to another one has it, "" where there is no way. Nothing is sent."""
    family = socket.AF_INET6 if ipaddress.ip_address(address.partition("%")[0]).version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 5060))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _words(before: str, after: str) -> str:
    if not after:
        return f"the network is gone (our address was {before})"
    return f"our address is {after} now, it was {before}" if before else f"there is a network now (our address is {after})"
