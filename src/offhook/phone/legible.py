"""What the far end writes, as text that can leave the phone: into JSON, files and other programs.

A SIP message is UTF-8 (RFC 3261 7.1), but exchanges and gateways of Western Europe put names as they have them into it. The SIP
endpoint keeps such bytes as they came, for they have to be repeated and hashed; who reads an event could not even print them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import UnionType
from typing import Final, TypeVar, get_args

from msgspec import Struct, structs

from offhook.sip.events import Body, HeaderList
from offhook.sip.uri import NameAddr, Uri

_S = TypeVar("_S", bound=Struct)

_BYTE = re.compile(r"[\udc80-\udcff]")
"""A byte that belongs to no character of UTF-8, as Python keeps it (PEP 383)."""

_WRITTEN: Final = frozenset({str, NameAddr, Uri, HeaderList, Body})


def legible(told: _S) -> _S:
    """Return an event with every byte that is not UTF-8 read as Windows-1252, in addresses as the escape that it should be."""
    changes: dict[str, object] = {}
    for name in _told(type(told)):
        value = getattr(told, name)
        found = _value(value)
        if found is not value:
            changes[name] = found
    return structs.replace(told, **changes) if changes else told


@lru_cache(64)  # once for each kind of event
def _told(kind: type[Struct]) -> tuple[str, ...]:
    """Return the fields that hold what somebody wrote."""
    return tuple([
        field.name for field in structs.fields(kind)
        if field.type in _WRITTEN or (isinstance(field.type, UnionType) and not _WRITTEN.isdisjoint(get_args(field.type)))
    ])


def _value(value: object) -> object:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, NameAddr):
        uri, display = _uri(value.uri), _text(value.display)
        return value if uri is value.uri and display is value.display else NameAddr(uri, display, value.params)
    if isinstance(value, Uri):
        return _uri(value)
    if isinstance(value, Body):
        return legible(value)
    if isinstance(value, tuple):
        return _headers(value)
    return value


def _text(text: str) -> str:
    return text if text.isascii() else _BYTE.sub(lambda found: _byte(found).decode("windows-1252", "replace"), text)


def _headers(headers: HeaderList) -> HeaderList:
    if "".join([value for _, value in headers]).isascii():
        return headers
    return tuple([(name, _text(value)) for name, value in headers])


def _uri(uri: Uri) -> Uri:
    if (uri.user is None or uri.user.isascii()) and not (uri.params or uri.headers or uri.password):
        return uri
    if _BYTE.search(str(uri)) is None:
        return uri
    headers = tuple([(name, _escaped(value)) for name, value in uri.headers])
    return Uri(
        uri.scheme, uri.user and _escaped(uri.user), uri.host, uri.port, uri.password and _escaped(uri.password),
        tuple([(_escaped(name), value and _escaped(value)) for name, value in uri.params]), headers,
    )  # fmt: skip


def _escaped(text: str) -> str:
    return _BYTE.sub(lambda found: f"%{_byte(found)[0]:02X}", text)


def _byte(found: re.Match[str]) -> bytes:
    return found[0].encode("utf-8", "surrogateescape")
