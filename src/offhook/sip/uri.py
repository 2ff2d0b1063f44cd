"""SIP addresses: Uri (sip, sips, tel, and any other scheme kept opaque) and NameAddr (RFC 3261 19.1, 20.10, 25.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from offhook.errors import ParseError
from offhook.sip.abnf import (
    WS,
    Params,
    drop_params,
    escape,
    find_param,
    format_params,
    has_broken_escape,
    is_bare_display,
    parse_params,
    quote,
    quoted_end,
    set_param,
    unescape,
    unquote,
)

MAX_URI = 2048  # characters; RFC 4475's longest is under 400, and nothing a phone dials comes near
PARSED_KEPT = 512  # addresses remembered with what they mean

_ALPHANUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_UNRESERVED = _ALPHANUM + "-_.!~*'()"
_USER_SAFE = frozenset(_UNRESERVED + "&=+$,;?/")
_PARAM_SAFE = frozenset(_UNRESERVED + "[]/:&+$")
_RESERVED = frozenset(";/?:@&=+$,")

# Underscores are not in the hostname grammar, but deployed names have them.
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?")
_PORT = re.compile(r"[0-9]{1,5}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_FORBIDDEN = re.compile(r'[\x00-\x20\x7f<>"\\^`{|}]')
_TEL = re.compile(r"\+[().-]*[0-9][0-9().-]*|[0-9A-Fa-f*#().-]+")
_NO_TEXT = re.compile(r"[\ud800-\udfff]")
_ESCAPED_CHARACTER = re.compile(r"%([0-9A-Fa-f]{2})")

# RFC 3261 19.1.4: these never match when only one of the two URIs has them. `transport` is there by the section's examples.
_MUST_MATCH = frozenset({"user", "ttl", "method", "maddr", "transport"})


def parse_host_port(text: str) -> tuple[str, int | None]:
    """Split `host[:port]`; an IPv6 reference keeps its brackets. ParseError if either is not one."""
    if text[:1] == "[":
        address, bracket, rest = text.partition("]")
        _check_ipv6(address[1:] if bracket else "")
        host = address + "]"
        if rest and rest[0] != ":":
            raise ParseError(f"text behind an IPv6 address: {rest[:20]!r}")
        return host, parse_port(rest[1:]) if rest else None
    host, colon, port = text.partition(":")
    if not _HOST.fullmatch(host):
        raise ParseError(f"not a host: {host[:60]!r}")
    return host, parse_port(port) if colon else None


def parse_port(text: str) -> int:
    """Return a port number 0-65535; ParseError otherwise."""
    if not _PORT.fullmatch(text) or (port := int(text)) > 65535:
        raise ParseError(f"not a port: {text[:20]!r}")
    return port


def _check_ipv6(text: str) -> None:
    try:
        if "%" in text:
            raise ValueError("zone identifiers are not part of RFC 3261's IPv6reference")
        IPv6Address(text)
    except ValueError as error:
        raise ParseError(f"not an IPv6 address: {text[:50]!r}") from error


@dataclass(slots=True, unsafe_hash=True, init=False)
class Uri:
    """One URI. Fields hold wire text (escapes as received); for an unknown scheme `user` is everything behind the colon.

    `host` keeps the brackets of an IPv6 reference. Build one from plain text with `Uri.sip`, which escapes.
    """

    scheme: Final[str]
    user: Final[str | None]
    host: Final[str]
    port: Final[int | None]
    password: Final[str | None]
    params: Final[Params]
    headers: Final[tuple[tuple[str, str], ...]]

    def __init__(
        self, scheme: str, user: str | None, host: str, port: int | None = None, password: str | None = None,
        params: Params = (), headers: tuple[tuple[str, str], ...] = (),
    ) -> None:  # fmt: skip
        # Written out: that of a frozen dataclass takes a microsecond and more, and each message has some of these.
        self.scheme = scheme
        self.user = user
        self.host = host
        self.port = port
        self.password = password
        self.params = params
        self.headers = headers

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Parse an absolute URI; ParseError (400) if it is none."""
        return _parse_uri(text)

    @staticmethod
    def sip(user: str | None, host: str, port: int | None = None, **params: str | None) -> Uri:
        """Build a sip: URI from plain text: `user` and values are escaped, a bare IPv6 host gets brackets, `lr=None` is a flag.

        ValueError if `host` or `port` cannot be in a URI.
        """
        if ":" in host and host[:1] != "[":
            host = f"[{host}]"
        try:
            parse_host_port(host if port is None else f"{host}:{port}")
        except ParseError as error:
            raise ValueError(error.detail) from error
        escaped = tuple((k, None if v is None else escape(v, _PARAM_SAFE)) for k, v in params.items())
        return Uri("sip", escape(user, _USER_SAFE) if user else None, host, port, None, escaped)

    def __str__(self) -> str:
        if not self.host:
            return f"{self.scheme}:{self.user or ''}{format_params(self.params)}"
        text = self.scheme + ":"
        if self.user is not None:
            text += self.user + "@" if self.password is None else f"{self.user}:{self.password}@"
        text += self.host if self.port is None else f"{self.host}:{self.port}"
        if self.params:
            text += format_params(self.params)
        if self.headers:
            text += "?" + "&".join([f"{name}={value}" for name, value in self.headers])
        return text

    @property
    def hostname(self) -> str:
        """The host without the brackets of an IPv6 reference."""
        return self.host[1:-1] if self.host[:1] == "[" else self.host

    @property
    def target_host(self) -> str:
        """Where requests to it go, without brackets: `maddr`, which goes before the host (RFC 3261 19.1.1, RFC 3263 4)."""
        maddr = self.param("maddr")
        return maddr.strip("[]") if maddr else self.hostname

    @property
    def user_decoded(self) -> str:
        """The user part with its escapes decoded, '' if there is none."""
        return unescape(self.user) if self.user else ""

    @property
    def number(self) -> str:
        """The user part to look up or to show: decoded, and without what a carrier puts behind a number ('+4930123;npdi')."""
        # RFC 3261 19.1.6: the parameters of a telephone number stand in the user part of the SIP URI that is made of it.
        number = self.user.partition(";")[0] if self.user else ""
        decoded = unescape(number)
        return number if _NO_TEXT.search(decoded) else decoded  # escapes of something else than UTF-8 stay

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case."""
        value = self.param("transport")
        return value.lower() if value else None

    @property
    def is_loose(self) -> bool:
        """Whether the URI has `lr`: a loose router (RFC 3261 16.12)."""
        return self.has_param("lr")

    def param(self, name: str) -> str | None:
        """Return a URI parameter's wire text, '' for a flag, None if absent."""
        return find_param(self.params, name.lower())

    def has_param(self, name: str) -> bool:
        """Tell whether a URI parameter is there."""
        return find_param(self.params, name.lower()) is not None

    def with_param(self, name: str, value: str | None = None) -> Uri:
        """Return a copy with the parameter set; None makes a flag. `value` is escaped where it must be."""
        if value is not None and not has_only_param_text(value):
            value = escape(value, _PARAM_SAFE)
        return replace(self, params=set_param(self.params, name, value))

    def without_headers(self) -> Uri:
        """Return a copy without the headers behind its question mark."""
        return replace(self, headers=()) if self.headers else self

    def without_params(self, *names: str) -> Uri:
        """Return a copy without these parameters."""
        return replace(self, params=drop_params(self.params, names))

    def equivalent(self, other: Uri) -> bool:
        """Compare by RFC 3261 19.1.4 (not transitive: parameters only one side has may be ignored)."""
        if self.scheme != other.scheme or self.host.lower() != other.host.lower() or self.port != other.port:
            return False
        if _normal(self.user) != _normal(other.user) or _normal(self.password) != _normal(other.password):
            return False
        return _params_match(self.params, other.params) and _header_set(self) == _header_set(other)


_PARAM_TEXT = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$]|%[0-9A-Fa-f]{2})*")


def has_only_param_text(text: str) -> bool:
    """Tell whether `text` can stand in a URI parameter as it is."""
    return _PARAM_TEXT.fullmatch(text) is not None


# The messages of one call name the same addresses over and over, and what is parsed never changes.
@lru_cache(PARSED_KEPT)
def _parse_uri(text: str) -> Uri:
    if len(text) > MAX_URI:
        raise ParseError("the URI is too long", status=414)
    if _FORBIDDEN.search(text):
        raise ParseError(f"a character that must be escaped in a URI: {text[:60]!r}")
    scheme, colon, rest = text.partition(":")
    if not colon or not rest:
        raise ParseError(f"not a URI: {text[:60]!r}")
    if scheme not in ("sip", "sips"):
        if not _SCHEME.fullmatch(scheme):
            raise ParseError(f"not a URI scheme: {scheme[:40]!r}")
        scheme = scheme.lower()
    if scheme in ("sip", "sips"):
        return _parse_sip(scheme, rest)
    return _parse_tel(rest) if scheme == "tel" else Uri(scheme, rest, "")


def _parse_sip(scheme: str, rest: str) -> Uri:
    if "%" in rest and has_broken_escape(rest):
        raise ParseError(f"a broken %-escape in a URI: {rest[:60]!r}")
    user: str | None
    userinfo, at, where = rest.partition("@")
    password: str | None = None
    if at:
        user, colon, secret = userinfo.partition(":")
        if colon:
            password = secret
        if not user or "@" in where:
            raise ParseError(f"not a user and host: {rest[:60]!r}")
    else:
        user, where = None, rest
    where, question, header_text = where.partition("?")
    where, semicolon, param_text = where.partition(";")
    host, port = parse_host_port(where)
    params = _parse_uri_params(param_text) if semicolon else ()
    headers = _parse_uri_headers(header_text) if question else ()
    return Uri(scheme, user, host, port, password, params, headers)


def _parse_uri_params(text: str) -> Params:
    params: list[tuple[str, str | None]] = []
    # One semicolon too many at the end is tolerated as in header parameters.
    for piece in text.removesuffix(";").split(";") if text != ";" else [""]:
        name, equal, value = piece.partition("=")
        if not name:
            raise ParseError(f"an empty URI parameter: {text[:60]!r}")
        params.append((name, value if equal else None))
    return tuple(params)


def _parse_uri_headers(text: str) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    for piece in text.split("&"):
        name, equal, value = piece.partition("=")
        if not name or not equal:
            raise ParseError(f"not a URI header: {piece[:60]!r}")
        headers.append((name, value))
    return tuple(headers)


def _parse_tel(rest: str) -> Uri:
    number, semicolon, param_text = rest.partition(";")
    # RFC 3966 3: global numbers have a plus and at least one digit; local ones may have *, # and A-F.
    if not _TEL.fullmatch(number):
        raise ParseError(f"not a telephone number: {number[:40]!r}")
    return Uri("tel", number, "", None, None, _parse_uri_params(param_text) if semicolon else ())


def _normal(text: str | None) -> str | None:
    # RFC 3261 19.1.4: an escape equals its character, unless the character is in the reserved set.
    if text is None or "%" not in text:
        return text
    return _ESCAPED_CHARACTER.sub(_decode_unreserved, text)


def _decode_unreserved(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return match[0].upper() if character in _RESERVED or character == "%" else character


def _params_match(mine: Params, theirs: Params) -> bool:
    left = {name.lower(): (value or "").lower() for name, value in mine}
    right = {name.lower(): (value or "").lower() for name, value in theirs}
    if any(name in _MUST_MATCH for name in left.keys() ^ right.keys()):
        return False
    return all(_normal(left[name]) == _normal(right[name]) for name in left.keys() & right.keys())


def _header_set(uri: Uri) -> list[tuple[str, str | None]]:
    return sorted((name.lower(), _normal(value)) for name, value in uri.headers)


@dataclass(slots=True, unsafe_hash=True, init=False)
class NameAddr:
    """A URI with a display name and header parameters: the value of From, To, Contact, Route, Refer-To …"""

    uri: Final[Uri]
    display: Final[str]
    params: Final[Params]
    tag: str | None = field(init=False, repr=False, compare=False)
    """The tag parameter, None if absent: read several times for each message."""

    def __init__(self, uri: Uri, display: str = "", params: Params = ()) -> None:
        self.uri = uri
        self.display = display
        self.params = params
        self.tag = find_param(params, "tag") if params else None

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Parse name-addr or addr-spec with parameters; ParseError (400) otherwise."""
        return _parse_name_addr(text)

    def __str__(self) -> str:
        if not self.display:
            return f"<{self.uri}>{format_params(self.params)}"
        display = self.display if is_bare_display(self.display) else quote(self.display)
        return f"{display} <{self.uri}>{format_params(self.params)}"

    def param(self, name: str) -> str | None:
        """Return a header parameter without quotes, '' for a flag, None if absent."""
        return find_param(self.params, name.lower())

    def with_tag(self, tag: str) -> NameAddr:
        """Return a copy with this tag."""
        return NameAddr(self.uri, self.display, set_param(self.params, "tag", tag))

    def without_tag(self) -> NameAddr:
        """Return a copy without a tag."""
        return NameAddr(self.uri, self.display, drop_params(self.params, ("tag",)))


@lru_cache(PARSED_KEPT)
def _parse_name_addr(text: str) -> NameAddr:
    text = text.strip(WS)
    display = ""
    if text[:1] == '"':
        end = quoted_end(text)
        display, rest = unquote(text[:end]), text[end:].lstrip(WS)
        if rest[:1] != "<":
            raise ParseError("a display name without an address in angle brackets")
        rest = rest[1:]
    else:
        before, bracket, rest = text.partition("<")
        if not bracket:
            return _parse_addr_spec(text)
        display = _parse_bare_display(before)
    address, bracket, tail = rest.partition(">")
    if not bracket:
        raise ParseError("an address has no closing angle bracket")
    return NameAddr(Uri.parse(address), display, _parse_tail(tail))


_NOT_IN_BARE_DISPLAY = re.compile(r'[\x00-\x08\x0a-\x1f\x7f",;:<>@\\]')


def _parse_bare_display(text: str) -> str:
    # Wider than *(token LWS): unquoted UTF-8 and brackets are common and unambiguous; what could end a value is not.
    if _NOT_IN_BARE_DISPLAY.search(text):
        raise ParseError(f"a display name needs quotes: {text[:40]!r}")
    return text.strip(WS)


def _parse_addr_spec(text: str) -> NameAddr:
    # RFC 3261 20: without angle brackets, parameters belong to the header, and comma or question mark must not appear.
    semicolon = text.find(";", max(text.find("@"), 0)) if '"' not in text else text.find(";")
    address, tail = (text, "") if semicolon < 0 else (text[:semicolon], text[semicolon:])
    address = address.rstrip(WS)
    if "?" in address or "," in address:
        raise ParseError(f"an address needs angle brackets: {address[:60]!r}")
    return NameAddr(Uri.parse(address), "", _parse_tail(tail))


def _parse_tail(tail: str) -> Params:
    if not tail:
        return ()
    tail = tail.strip(WS)
    if not tail:
        return ()
    if tail[0] != ";":
        raise ParseError(f"text behind an address: {tail[:40]!r}")
    return parse_params(tail[1:])
