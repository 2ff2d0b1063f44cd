"""Who sent a call on before it came to us: Diversion (RFC 5806) and History-Info (RFC 7044), read."""

from __future__ import annotations

from typing import Final

from offhook.errors import ParseError
from offhook.phone.headers import values
from offhook.phone.model import Diversion, HeaderList
from offhook.sip.abnf import split_list, unescape
from offhook.sip.uri import NameAddr

MOST: Final = 10
"""Diversions shown: more is a loop."""

_CAUSES: Final = {
    # RFC 4458 and RFC 7044 10: the cause of the retargeting, in the words of RFC 5806
    "302": "unconditional", "404": "unknown", "408": "no-answer", "480": "time-of-day", "486": "user-busy",
    "487": "deflection", "503": "out-of-service",
}  # fmt: skip


def diversions(headers: HeaderList) -> tuple[Diversion, ...]:
    """Return who diverted the call, the latest first; what cannot be read is left out."""
    said, history = values(headers, "Diversion"), values(headers, "History-Info")
    found = [each for value in said for text in _elements(value) if (each := _diversion(text)) is not None]
    if not found and not history:
        return ()
    targets = [each for value in history for text in _elements(value) if (each := _target(text)) is not None]
    # RFC 7044: the targets in order, each with why the call went on from it; the last is where it is now
    return tuple(found or [each for each in targets[:-1] if each.reason][::-1])[:MOST]


def _elements(value: str) -> list[str]:
    try:
        return split_list(value)
    except ParseError:
        return []


def _diversion(text: str) -> Diversion | None:
    try:
        address = NameAddr.parse(text)
    except ParseError:
        return None
    return Diversion(str(address.uri)[:512], address.display[:256], (address.param("reason") or "unknown")[:64])


def _target(text: str) -> Diversion | None:
    try:
        address = NameAddr.parse(text)
    except ParseError:
        return None
    uri = address.uri
    reason = next((unescape(value) for name, value in uri.headers if name.lower() == "reason"), "")
    cause = reason.lower().partition("cause=")[2][:3]
    plain = str(uri).partition("?")[0]
    return Diversion(plain[:512], address.display[:256], _CAUSES.get(cause, "unknown") if reason else "")
