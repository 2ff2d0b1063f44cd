"""Where a redirect (3xx) leads: the addresses it names, in the order in which they are tried (RFC 3261 8.1.3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from offhook.sip.message import Response
from offhook.sip.uri import NameAddr, Uri

USE_PROXY: Final = 305
"""The status whose Contact is the proxy to go by, and not who is called."""


def targets(response: Response, known: Iterable[Uri]) -> list[Uri]:
    """Return the contacts of a redirect, best q first, without those `known` already."""
    found: list[Uri] = []
    before = list(known)
    for contact in sorted(response.contacts, key=_preference):
        # RFC 3261 19.1.1: neither may be in a Request-URI. What headers in it ask for is not obeyed.
        uri = contact.uri.without_headers().without_params("method")
        possible = uri.scheme in ("sip", "sips") or (uri.scheme == "tel" and response.status != USE_PROXY)
        if possible and not any(uri.equivalent(each) for each in (*before, *found)):
            found.append(uri)
    return found


def _preference(contact: NameAddr) -> float:
    try:
        return -float(contact.param("q") or "1")
    except ValueError:
        return 0.0
