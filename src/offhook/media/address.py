"""Where packets come from and go to."""

from __future__ import annotations

from typing import TypeAlias

Address: TypeAlias = tuple[str, int]
"""An IP address and a port."""


def reachable(address: Address) -> bool:
    """Say whether anything can be sent there (RFC 3264 8.4: 0.0.0.0 is how RFC 2543 put on hold; port 0 is nowhere either)."""
    return address[1] != 0 and address[0] not in ("", "0.0.0.0", "::")
