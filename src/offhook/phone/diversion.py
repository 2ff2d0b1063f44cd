"""Who sent a call on before it came to us: Diversion (RFC 5806) and History-Info (RFC 7044), read."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import Final

from offhook.errors import ParseError
from offhook.phone.headers import values
from offhook.phone.model import Diversion, HeaderList
from offhook.sip.abnf import split_list, unescape
from offhook.sip.uri import NameAddr

MOST: Final = 10
"""Diversions shown: more is a loop."""
READ: Final = 100
"""Entries of a header that are looked at: each costs as much as a header line, and thousands fit into one message."""

_CAUSES: Final = {
    # RFC 4458 2.2: the cause of the retargeting, in the words of RFC 5806
    "302": "unconditional", "404": "unknown", "408": "no-answer", "480": "deflection", "486": "user-busy",
    "487": "deflection", "503": "out-of-service",
}  # fmt: skip


def diversions(headers: HeaderList) -> tuple[Diversion, ...]:
    """Return who diverted the call, the latest first; what cannot be read is left out."""
    said, history = values(headers, "Diversion"), values(headers, "History-Info")
    found = [each for text in _elements(said) if (each := _diversion(text)) is not None]
    if not found and not history:
        return ()
    return tuple(found or _history(_elements(history)))[:MOST]


def _history(entries: list[str]) -> list[Diversion]:
    """Return whose targets the call has left. RFC 7044: they come in order, and the last is where it is now."""
    targets = [each for text in entries if (each := _target(text)) is not None]
    found = []
    for (left, why), (following, _) in pairwise(targets):
        # Said with the one that was left (Reason), or, by RFC 4458 and the networks of 3GPP, with the one that came next.
        cause = why or (following.uri.param("cause") or "")
        if cause:
            uri = str(left.uri.without_headers().without_params("cause"))
            found.append(Diversion(uri[:512], left.display[:256], _CAUSES.get(cause, "unknown")))
    return found[::-1]


def _elements(lines: list[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        with contextlib.suppress(ParseError):
            found += split_list(line)
    return found[:READ]


def _diversion(text: str) -> Diversion | None:
    try:
        address = NameAddr.parse(text)
    except ParseError:
        return None
    return Diversion(str(address.uri)[:512], address.display[:256], (address.param("reason") or "unknown")[:64])


def _target(text: str) -> tuple[NameAddr, str] | None:
    """Return an entry of History-Info, and why the call went on from it ("" if that is not said there)."""
    try:
        address = NameAddr.parse(text)
    except ParseError:
        return None
    reason = next((unescape(value) for name, value in address.uri.headers if name.lower() == "reason"), "")
    return address, reason.lower().partition("cause=")[2][:3] or reason
