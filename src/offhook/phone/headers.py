"""SIP headers that clients may add to our messages, those of the far end that are shown, and User-to-User (RFC 7433)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from offhook.errors import InvalidArgument
from offhook.phone.model import HeaderList
from offhook.phone.settings import EVERYTHING

MAX_HEADERS: Final = 32
"""Headers a caller may add: more than any integration needs, few enough for one datagram."""
MAX_VALUE: Final = 1024
"""Characters of one value."""
SHOWN: Final = 64
"""Headers of a message shown in the call: all of any honest one."""
MAX_USER_TO_USER: Final = 512
"""Characters of User-to-User, ours and theirs. ISDN carries 128 octets of it, which are 256 of these."""

PROTOCOL: Final = frozenset({
    "via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m", "max-forwards", "route", "record-route", "path",
    "service-route", "content-length", "l", "content-type", "c", "content-encoding", "e", "content-disposition", "mime-version",
    "authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "authentication-info",
    "proxy-authentication-info", "identity", "y", "identity-info", "allow", "allow-events", "u", "accept", "accept-encoding",
    "supported", "k", "require", "proxy-require", "unsupported", "expires", "min-expires", "replaces", "join", "target-dialog",
    "refer-to", "r", "referred-by", "b", "session-expires", "x", "min-se", "rack", "rseq", "event", "o", "subscription-state",
    "recv-info", "info-package", "p-asserted-identity", "remote-party-id", "user-agent", "server",
})  # fmt: skip
"""Headers that are the endpoint's own business, with their short forms: nobody else sets them."""

_SECRET: Final = frozenset({"authorization", "proxy-authorization"})
"""Shown to nobody."""

_NAME = re.compile(r"[A-Za-z0-9!%*_+`'~.-]{1,64}")
_TOKEN = r"[A-Za-z0-9!%*_+`'~.-]+"  # noqa: S105 - RFC 3261 25.1
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*"'
# RFC 7433 4.1: data as a token (hexadecimal digits, usually) or quoted, then parameters
_USER_TO_USER = re.compile(rf"(?:{_TOKEN}|{_QUOTED})(?:[ \t]*;[ \t]*{_TOKEN}(?:[ \t]*=[ \t]*(?:{_TOKEN}|{_QUOTED}))?)*")


def values(headers: HeaderList, name: str) -> list[str]:
    """Return the values of a header of the far end, "Allow", say: known names have their usual spelling by now."""
    return [value for have, value in headers if have == name]


def is_name(text: str) -> bool:
    """Say whether this can be a header's name that somebody else than the phone sets."""
    return _NAME.fullmatch(text) is not None and text.lower() not in PROTOCOL


def check_headers(headers: HeaderList, allowed: tuple[str, ...]) -> None:
    """Refuse headers that would break the message or are not the caller's to set. `allowed` are names beside X-…."""
    if len(headers) > MAX_HEADERS:
        raise InvalidArgument.field("headers", f"at most {MAX_HEADERS}")
    names = _lowered(allowed)
    for name, value in headers:
        lower = name.lower()
        if not _NAME.fullmatch(name):
            raise InvalidArgument.field("headers", f"{name[:64]!r} is not a header name")
        if lower in PROTOCOL:
            raise InvalidArgument.field("headers", f"{name} is set by the phone itself")
        if lower == "user-to-user":
            raise InvalidArgument.field("headers", "User-to-User has a field of its own, user_to_user")
        if not lower.startswith("x-") and lower not in names:
            raise InvalidArgument.field("headers", f"{name} is not allowed: call it X-…, or add it to sent_headers in [phone]")
        if len(value) > MAX_VALUE or any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise InvalidArgument.field("headers", f"the value of {name} is too long or has control characters")


def with_user_to_user(headers: HeaderList, text: str) -> HeaderList:
    """Return the headers with User-to-User besides, if there is any to tell; InvalidArgument if it is not one."""
    if not text:
        return headers
    if len(text) > MAX_USER_TO_USER or not _USER_TO_USER.fullmatch(text):
        raise InvalidArgument.field(
            "user_to_user", f'as RFC 7433 writes it, up to {MAX_USER_TO_USER} characters: 48656c6c6f;encoding=hex, or "quoted"'
        )
    return (*headers, ("User-to-User", text))


def extra_headers(headers: HeaderList, user_to_user: str, allowed: tuple[str, ...]) -> HeaderList:
    """Return what a client adds to a message; InvalidArgument if any of it must not be there."""
    check_headers(headers, allowed)
    return with_user_to_user(headers, user_to_user)


def user_to_user(headers: HeaderList) -> str:
    """Return what the far end hands over (RFC 7433), "" if it is nothing or too much; several are separated by commas."""
    found = ", ".join(values(headers, "User-to-User"))
    return found if len(found) <= MAX_USER_TO_USER else ""


def shown_headers(headers: HeaderList, wanted: tuple[str, ...]) -> HeaderList:
    """Return those headers of the far end that are told: `wanted` are names, beginnings ("X-*"), or "*" for all."""
    return tuple([headers[place] for place in _shown(tuple([name for name, _ in headers]), wanted)])


@lru_cache(16)  # a peer sends the same names in all its messages
def _shown(names: tuple[str, ...], wanted: tuple[str, ...]) -> list[int]:
    """Return the places of the names that are told."""
    exact, beginnings = _patterns(wanted)
    lowered = [name.lower() for name in names]
    told = [name not in _SECRET and (name in exact or name.startswith(beginnings)) for name in lowered]
    return [place for place, tell in enumerate(told) if tell][:SHOWN]


@lru_cache(8)
def _lowered(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


@lru_cache(8)
def _patterns(wanted: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    lowered = [each.lower() for each in wanted]
    return (
        frozenset(each for each in lowered if not each.endswith(EVERYTHING)),
        tuple(each[:-1] for each in lowered if each.endswith(EVERYTHING)),
    )
