"""Header fields: the ordered, case-blind multimap, and the typed values Via, CSeq and Challenge (RFC 3261 7.3, 20)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from offhook.errors import ParseError
from offhook.sip.abnf import (
    WS,
    Params,
    breaks_line,
    find_param,
    format_params,
    is_token,
    parse_params,
    quote,
    quoted_end,
    set_param,
    split_list,
    unquote,
)
from offhook.sip.uri import PARSED_KEPT, parse_host_port

MAX_ELEMENTS: Final = 200
"""Values of one header over all its lines: a call through many proxies has under 60, and each costs as much as a line."""

__all__ = [
    "CSeq", "Challenge", "Headers", "Params", "Via", "canonical_name", "find_param", "format_params", "parse_challenges",
    "parse_credentials", "parse_params", "split_list", "unquote",
]

_NAMES = """
Accept Accept-Contact Accept-Encoding Accept-Language Accept-Resource-Priority Alert-Info Allow Allow-Events Answer-Mode
Authentication-Info Authorization CSeq Call-ID Call-Info Contact Content-Disposition Content-Encoding Content-Language
Content-Length Content-Type Date Diversion Error-Info Event Expires Feature-Caps Flow-Timer From Geolocation History-Info
Identity Identity-Info In-Reply-To Info-Package Join MIME-Version Max-Breadth Max-Expires Max-Forwards Min-Expires Min-SE
Organization P-Access-Network-Info P-Asserted-Identity P-Associated-URI P-Called-Party-ID P-Early-Media
P-Preferred-Identity Path Priority Priv-Answer-Mode Privacy Proxy-Authenticate Proxy-Authorization Proxy-Require RAck RSeq
Reason Record-Route Recv-Info Refer-Sub Refer-To Referred-By Reject-Contact Remote-Party-ID Replaces Reply-To
Request-Disposition Require Resource-Priority Retry-After Route SIP-ETag SIP-If-Match Server Service-Route
Session-Expires Subject Subscription-State Supported Target-Dialog Timestamp To Unsupported User-Agent User-to-User Via
WWW-Authenticate Warning X-AUTOANSWER
""".split()  # noqa: SIM905  # a list of quoted words would be three times as long

# RFC 3261 7.3.3 and the compact forms registered later.
COMPACT_FORMS = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition", "e": "Content-Encoding",
    "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported", "l": "Content-Length", "m": "Contact",
    "n": "Identity-Info", "o": "Event", "r": "Refer-To", "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via",
    "x": "Session-Expires", "y": "Identity",
}

# The usual spelling of every known name, by the spellings that are met.
KNOWN_NAMES: dict[str, str] = {name.lower(): name for name in _NAMES}
KNOWN_NAMES |= COMPACT_FORMS
KNOWN_NAMES |= {short.upper(): name for short, name in COMPACT_FORMS.items()}
KNOWN_NAMES |= {name: name for name in _NAMES}
"""The usual spelling of every known name, by the spellings that are met."""


def canonical_name(name: str) -> str | None:
    """Return the usual spelling of a known header name or compact form; None for an unknown one."""
    return KNOWN_NAMES.get(name) or KNOWN_NAMES.get(name.lower())


class Headers:
    """Header fields in order. Names are compared without case and compact forms are the same as long ones.

    Known names take their canonical spelling, unknown ones keep theirs. Values are one line each, stripped.
    """

    __slots__ = ("_first", "_items", "_repeated", "parsed")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: list[tuple[str, str]] = []
        # The first value of each name in lower case; as long as the list above where no name comes twice.
        self._first: dict[str, str] = {}
        # All values of the names that come more than once, made when they are asked for.
        self._repeated: dict[str, list[str]] | None = None
        # Typed values already parsed, by header; a change of a header takes its values out, so what is in it is never stale.
        self.parsed: dict[str, Any] = {}
        for name, value in items:
            self.add(name, value)

    @classmethod
    def from_wire(cls, items: list[tuple[str, str]]) -> Headers:
        """Take fields whose names are canonical (where known) and whose values were already checked."""
        headers = cls()
        headers._items = items
        headers._first = _first_values(items)
        return headers

    def get(self, name: str) -> str | None:
        """Return the first value of `name`, None if absent."""
        return self._first.get(_KEYS.get(name) or _key(name))

    def get_all(self, name: str) -> list[str]:
        """Return the value of every `name` line, unsplit."""
        key = _KEYS.get(name) or _key(name)
        first = self._first.get(key)
        if first is None:
            return []
        values = self.repeated().get(key)
        return [first] if values is None else values.copy()

    def values(self, name: str) -> list[str]:
        """Return all elements of a comma-separated header over all its lines; empty elements are left out.

        Commas inside quotes and angle brackets do not separate. ParseError if those are not balanced, or there are too many.
        """
        return [element for element in self.elements(name) if element]

    def elements(self, name: str) -> list[str]:
        """Return what `values` does, with the empty elements (for headers where those are a mistake)."""
        lines = self.get_all(name)
        found = split_list(lines[0]) if len(lines) == 1 else [element for line in lines for element in split_list(line)]
        if len(found) > MAX_ELEMENTS:
            raise ParseError(f"too many values of {name}", status=513)
        return found

    def add(self, name: str, value: str) -> None:
        """Append a field; ValueError for CR, LF or NUL in the value or a name that is not a token."""
        item = _checked(name, value)
        key = _key(item[0])
        self._items.append(item)
        self._first.setdefault(key, item[1])
        self._forget(key)

    def insert_first(self, name: str, value: str) -> None:
        """Put a field above all others of this name (first of all if there are none)."""
        key = _key(name)
        places = [place for place, (have, _) in enumerate(self._items) if _key(have) == key]
        self._insert(places[0] if places else 0, name, value)

    def replace_first(self, name: str, value: str) -> None:
        """Give the first field of this name, which must be there, another value; ValueError as for `add`."""
        item = _checked(name, value)
        key = _key(name)
        place = next(place for place, (have, _) in enumerate(self._items) if have == item[0] or _key(have) == key)
        self._items[place] = item
        self._first[key] = item[1]
        self._forget(key)

    def set(self, name: str, value: str) -> None:
        """Replace all fields of this name by one, in the first one's place (last if there is none)."""
        item = _checked(name, value)
        key = _key(name)
        places = [place for place, (have, _) in enumerate(self._items) if _key(have) == key]
        self.remove(name)
        self._insert(places[0] if places else len(self._items), *item)

    def remove(self, name: str) -> None:
        """Take all fields of this name away; nothing happens if there are none."""
        key = _key(name)
        if key in self._first:
            self._items = [item for item in self._items if _key(item[0]) != key]
            del self._first[key]
            self._forget(key)

    def count(self, name: str) -> int:
        """Return how many fields of this name there are."""
        return len(self.get_all(name))

    def keys(self) -> Set[str]:
        """Return the names that are there, in lower case; to look at only."""
        return self._first.keys()

    def repeated(self) -> Mapping[str, list[str]]:
        """Return all values of the names, in lower case, that are there more than once; to look at only."""
        if self._repeated is None:
            self._repeated = {} if len(self._first) == len(self._items) else _repeated_values(self._items)
        return self._repeated

    def items(self) -> tuple[tuple[str, str], ...]:
        """Return all fields in order."""
        return tuple(self._items)

    def copy(self) -> Headers:
        """Return an independent copy."""
        twin = Headers.from_wire(self._items.copy())
        twin.parsed = self.parsed.copy()
        return twin

    def _insert(self, place: int, name: str, value: str) -> None:
        item = _checked(name, value)
        self._items.insert(place, item)
        self._first = _first_values(self._items)
        self._forget(_key(item[0]))

    def _forget(self, key: str) -> None:
        self._repeated = None
        self.parsed.pop(key, None)
        if key == "via":
            self.parsed.pop("top via", None)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _key(name) in self._first

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return [(_key(name), value) for name, value in self._items] == [(_key(name), value) for name, value in other._items]

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"


_KEYS: dict[str, str] = {spelling: name.lower() for spelling, name in KNOWN_NAMES.items()}


def _key(name: str) -> str:
    known = _KEYS.get(name)
    if known is None:
        lower = name.lower()
        known = _KEYS.get(lower, lower)
    return known


def _first_values(items: list[tuple[str, str]]) -> dict[str, str]:
    known = _KEYS
    # From the last to the first, so that the first one stays.
    return {known.get(name) or name.lower(): value for name, value in reversed(items)}


def _repeated_values(items: list[tuple[str, str]]) -> dict[str, list[str]]:
    known = _KEYS
    once: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for name, value in items:
        key = known.get(name) or name.lower()
        if key not in once:
            once[key] = value
        elif key in found:
            found[key].append(value)
        else:
            found[key] = [once[key], value]
    return found


def _checked(name: str, value: str) -> tuple[str, str]:
    if breaks_line(value):
        raise ValueError(f"the value of {name} has a line break or NUL in it")
    known = canonical_name(name)
    if known is None:
        if not is_token(name):
            raise ValueError(f"not a header name: {name!r}")
        known = name
    return known, value.strip(WS)


@dataclass(slots=True, unsafe_hash=True, init=False)
class Via:
    """One Via element. `protocol` is the transport in upper case (UDP, TCP, …); `host` keeps IPv6 brackets."""

    protocol: Final[str]
    host: Final[str]
    port: Final[int | None]
    params: Final[Params]

    def __init__(self, protocol: str, host: str, port: int | None = None, params: Params = ()) -> None:
        # Written out: that of a frozen dataclass takes a microsecond and more, and each message has some of these.
        self.protocol = protocol
        self.host = host
        self.port = port
        self.params = params

    @classmethod
    def parse(cls, text: str) -> Via:
        """Parse one element (RFC 3261 20.42, white space around / and : allowed); ParseError otherwise."""
        head, semicolon, tail = text.partition(";")
        return cls(*_parse_sender(head), parse_params(tail) if semicolon else ())

    def __str__(self) -> str:
        where = self.host if self.port is None else f"{self.host}:{self.port}"
        return f"SIP/2.0/{self.protocol} {where}{format_params(self.params)}"

    @property
    def branch(self) -> str | None:
        """The branch parameter, None if absent."""
        return find_param(self.params, "branch")

    @property
    def rport(self) -> int | None:
        """The port in rport; 0 for the valueless request of RFC 3581, None if absent or not a port."""
        value = find_param(self.params, "rport")
        if not value:
            return None if value is None else 0
        return int(value) if value.isascii() and value.isdigit() and len(value) < 6 and int(value) < 65536 else None

    @property
    def received(self) -> str | None:
        """The received parameter without IPv6 brackets, None if absent."""
        value = find_param(self.params, "received")
        return value.strip("[]") if value else None

    def param(self, name: str) -> str | None:
        """Return a parameter without quotes, '' for a flag, None if absent."""
        return find_param(self.params, name.lower())

    def with_param(self, name: str, value: str | None = None) -> Via:
        """Return a copy with the parameter set; None makes a flag."""
        return Via(self.protocol, self.host, self.port, set_param(self.params, name, value))


# Other versions are read too, so that a request of one can be answered with 505.
_SENT_PROTOCOL = re.compile(r"[ \t]*SIP[ \t]*/[ \t]*[0-9.]+[ \t]*/[ \t]*([^\s/;]+)[ \t]+(.*)", re.IGNORECASE | re.DOTALL)


@lru_cache(PARSED_KEPT)  # the messages of one peer differ only in their parameters
def _parse_sender(head: str) -> tuple[str, str, int | None]:
    protocol, space, sent_by = head[8:].partition(" ")
    if not space or head[:8] != "SIP/2.0/" or not is_token(protocol):
        protocol, sent_by = _parse_sent_protocol(head)
    if not is_token(protocol):
        raise ParseError(f"not a Via: {head[:60]!r}")
    return protocol.upper(), *parse_host_port(_close_up(sent_by))


def _parse_sent_protocol(head: str) -> tuple[str, str]:
    match = _SENT_PROTOCOL.fullmatch(head)
    if match is None:
        raise ParseError(f"not a Via: {head[:60]!r}")
    return match[1], match[2]


def _close_up(sent_by: str) -> str:
    # RFC 3261 25.1: sent-by = host [ COLON port ], and COLON may have white space on both sides.
    sent_by = sent_by.strip(WS)
    if " " not in sent_by and "\t" not in sent_by:
        return sent_by
    host, colon, port = sent_by.rpartition(":")
    return host.rstrip(WS) + colon + port.lstrip(WS)


@dataclass(frozen=True, slots=True)
class CSeq:
    """A sequence number and the method it counts for."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Parse `number method`; ParseError if it is not that or the number is 2**31 or more."""
        return _parse_cseq(text)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@lru_cache(PARSED_KEPT)
def _parse_cseq(text: str) -> CSeq:
    parts = text.replace("\t", " ").split(" ")
    parts = [part for part in parts if part] if len(parts) != 2 else parts
    if len(parts) != 2 or not is_token(parts[1]):
        raise ParseError(f"not a CSeq: {text[:60]!r}")
    # RFC 3261 8.1.1.5: the sequence number MUST be less than 2**31.
    return CSeq(parse_number(parts[0], "CSeq", (1 << 31) - 1), parts[1])


def parse_number(text: str, name: str, highest: int) -> int:
    """Return a decimal number 0..highest; ParseError otherwise (leading zeros are fine, signs are not)."""
    text = text.strip(WS)
    digits = text.lstrip("0") or text[:1]
    if not (text.isascii() and text.isdigit()) or len(digits) > 10 or int(digits) > highest:
        raise ParseError(f"{name} is not a number up to {highest}: {text[:30]!r}")
    return int(digits)


# Printed without quotes (RFC 3261 25.1, RFC 7616 3.4): in credentials qop is a bare token, in a challenge it is quoted.
_BARE_IN_CREDENTIALS = frozenset({"algorithm", "nc", "qop", "stale", "userhash"})
_BARE_IN_CHALLENGE = frozenset({"algorithm", "stale", "userhash"})


@dataclass(frozen=True, slots=True)
class Challenge:
    """One authentication challenge, or credentials: a scheme and its parameters (names in lower case, values unquoted).

    A scheme with an opaque value instead of parameters (`Bearer abc==`) has it under the name "token68".
    """

    scheme: str
    params: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self._print(_BARE_IN_CHALLENGE)

    def credentials(self) -> str:
        """Print as the value of Authorization or Proxy-Authorization."""
        return self._print(_BARE_IN_CREDENTIALS)

    def get(self, name: str) -> str | None:
        """Return a parameter, None if absent."""
        return self.params.get(name.lower())

    def _print(self, bare: frozenset[str]) -> str:
        if "token68" in self.params:
            return f"{self.scheme} {self.params['token68']}"
        printed = [f"{name}={value if name in bare else quote(value)}" for name, value in self.params.items()]
        return f"{self.scheme} {', '.join(printed)}".rstrip(" ")


_SCHEME_START = re.compile(r"([A-Za-z0-9.!%*_+`'~-]+)(?:[ \t]+(.*))?", re.DOTALL)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def parse_challenges(text: str) -> list[Challenge]:
    """Parse the value of one (WWW|Proxy)-Authenticate line, which may hold several challenges; ParseError if it is none.

    RFC 7235 2.1 has the ambiguity: a comma separates both parameters and challenges; a new challenge begins with a scheme
    and white space. The first of two parameters with one name counts.
    """
    challenges: list[Challenge] = []
    for element in split_list(text):
        if not element:
            continue
        name, equal, value = element.partition("=")
        if equal and is_token(name.rstrip(WS)) and challenges:
            _add_param(challenges[-1], name, value)
        else:
            challenges.append(_open_challenge(element))
    if not challenges:
        raise ParseError("an empty challenge")
    return challenges


def parse_credentials(text: str) -> Challenge:
    """Parse the value of (Proxy-)Authorization; ParseError if it is not exactly one set of credentials."""
    challenges = parse_challenges(text)
    if len(challenges) != 1:
        raise ParseError("several credentials in one header")
    return challenges[0]


def _open_challenge(element: str) -> Challenge:
    match = _SCHEME_START.fullmatch(element)
    if match is None:
        raise ParseError(f"not a challenge: {element[:40]!r}")
    challenge = Challenge(match[1])
    rest = (match[2] or "").strip(WS)
    name, equal, value = rest.partition("=")
    if equal and value.strip("=") and is_token(name.rstrip(WS)):
        _add_param(challenge, name, value)
    elif rest:
        if not _TOKEN68.fullmatch(rest):
            raise ParseError(f"not a challenge: {element[:40]!r}")
        challenge.params["token68"] = rest
    return challenge


def _add_param(challenge: Challenge, name: str, value: str) -> None:
    value = value.strip(WS)
    if value[:1] == '"' and quoted_end(value) != len(value):
        raise ParseError(f"text behind the quoted value of {name[:40]}")
    if value[:1] != '"' and ('"' in value or " " in value):
        raise ParseError(f"the value of {name[:40]} needs quotes")
    challenge.params.setdefault(name.strip(WS).lower(), unquote(value))
