"""Whether this machine speaks IPv6 to itself, which tests over ::1 need."""

from __future__ import annotations

import socket
from typing import Final

NO_IPV6: Final = "this machine has no IPv6 loopback"


def has_ipv6() -> bool:
    """Say whether ::1 can be used here."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
