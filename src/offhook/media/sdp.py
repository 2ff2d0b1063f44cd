"""SDP text (RFC 8866) to a typed value and back.

Reading is tolerant where the world is: LF alone, an empty or missing `s=`, a missing `t=`, an `o=` that is missing or is none,
names that are not UTF-8, unknown lines and attributes (kept). It is strict where a wrong guess would send audio to a wrong
place. The only error is ParseError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias, get_args

from offhook.errors import ParseError
from offhook.media.messages import Direction

# An offer of a browser with many codecs is about 8 kB; a datagram carries 64 kB at most.
MAX_BYTES = 65_535
# RFC 3264 5.1: m-lines are never removed in a session, so a few may pile up. No phone has 64.
MAX_MEDIA = 64
MAX_LINES = 2_000
READ_KEPT = 256  # texts remembered with what they mean
MAX_KEPT = 2_048  # characters of such a text

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
_ORIGIN = re.compile(r"(.*\S)\s+([0-9]{1,40})\s+([0-9]{1,40})\s+(\S+)\s+(IP4|IP6)\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Attribute:
    """`a=name` or `a=name:value`; `value` is None for a flag."""

    name: str
    value: str | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"


@dataclass(frozen=True, slots=True)
class Origin:
    """The `o=` line. `version` grows by one with each changed description of a session (RFC 3264 8)."""

    username: str
    session_id: int
    version: int
    address: str
    network: str = "IN"
    address_type: str = "IP4"

    def __str__(self) -> str:
        ids = f"{self.session_id} {self.version}"
        return f"{self.username} {ids} {self.network} {self.address_type} {self.address}"


NOBODY = Origin("-", 0, 0, "0.0.0.0")
"""Stands for an origin that is missing or cannot be read, as gateways send some: no sound goes by it."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A `c=` line: an IPv4 or IPv6 address or a host name (a multicast `/ttl` stays in the text)."""

    address: str
    network: str = "IN"
    address_type: str = "IP4"

    def __str__(self) -> str:
        return f"{self.network} {self.address_type} {self.address}"

    @property
    def unspecified(self) -> bool:
        """Tell whether this is 0.0.0.0 or :: (RFC 3264 8.4: hold, as RFC 2543 did it)."""
        return self.address == "0.0.0.0" or (":" in self.address and _is_unspecified(self.address))


@dataclass(frozen=True, slots=True)
class RtpMap:
    """What an `a=rtpmap` says of one payload type."""

    payload_type: int
    encoding: str
    clock_rate: int
    channels: int = 1


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One `m=` line and all that belongs to it. `port` 0 is a refused stream; `formats` are payload types for RTP."""

    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int = 1
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()
    other_lines: tuple[tuple[str, str], ...] = ()

    def attribute(self, name: str) -> str | None:
        """Return the value of the first attribute `name` ("" for a flag), None if there is none."""
        return next((item.value or "" for item in self.attributes if item.name == name), None)

    def values(self, name: str) -> list[str]:
        """Return the values of all attributes `name`, in order."""
        return [item.value or "" for item in self.attributes if item.name == name]

    @property
    def direction(self) -> Direction | None:
        """Return the direction attribute of this m-line, None: not given here."""
        return _direction(self.attributes)

    @property
    def payload_types(self) -> tuple[int, ...]:
        """Return the formats that are RTP payload types, in order."""
        # Not more digits than 127 has: Python refuses to read a number of thousands.
        return tuple(int(text) for text in self.formats if len(text) <= 3 and text.isdecimal() and int(text) < 128)

    def rtpmaps(self) -> dict[int, RtpMap]:
        """Return the readable `a=rtpmap` lines by payload type."""
        maps = (_rtpmap(item.value) for item in self.attributes if item.name == "rtpmap" and item.value)
        return {entry.payload_type: entry for entry in maps if entry is not None}

    def fmtp(self, payload_type: int) -> str:
        """Return the format parameters of a payload type, "" if none."""
        for item in self.attributes:
            number, _, rest = (item.value or "").partition(" ")
            if item.name == "fmtp" and number == str(payload_type):
                return rest.strip()
        return ""

    def _lines(self) -> list[tuple[str, str]]:
        port = str(self.port) if self.port_count == 1 else f"{self.port}/{self.port_count}"
        lines = [("m", " ".join((self.media, port, self.protocol, *self.formats)))]
        # RFC 8866 5: within a media description the order is i, c, b, k, a.
        lines += [line for line in self.other_lines if line[0] == "i"]
        if self.connection is not None:
            lines.append(("c", str(self.connection)))
        lines += [line for line in self.other_lines if line[0] != "i"]
        return lines + [("a", str(item)) for item in self.attributes]


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description. `other_lines` are session lines that are carried but not understood (i u e p b t r z k)."""

    origin: Origin
    media: tuple[MediaDescription, ...]
    name: str = "-"
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()
    other_lines: tuple[tuple[str, str], ...] = field(default=(("t", "0 0"),))

    @property
    def direction(self) -> Direction | None:
        """Return the direction attribute of the session level, None: not given."""
        return _direction(self.attributes)

    def direction_of(self, media: MediaDescription) -> Direction:
        """Return what holds for `media`: its own attribute, else the session's, else sendrecv (RFC 8866 6.7)."""
        return media.direction or self.direction or "sendrecv"

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """Return the address for `media`: its own `c=`, else the session's (RFC 8866 5.7)."""
        return media.connection or self.connection

    def value_of(self, media: MediaDescription, name: str) -> str | None:
        """Return the attribute `name` that holds for `media`: its own, else the session's."""
        own = media.attribute(name)
        return own if own is not None else next((item.value or "" for item in self.attributes if item.name == name), None)

    def encode(self) -> bytes:
        """Return the text with CRLF line ends."""
        lines = [("v", "0"), ("o", str(self.origin)), ("s", self.name)]
        lines += [line for line in self.other_lines if line[0] in "iuep"]
        if self.connection is not None:
            lines.append(("c", str(self.connection)))
        lines += [line for line in self.other_lines if line[0] not in "iuep"]
        lines += [("a", str(item)) for item in self.attributes]
        for media in self.media:
            lines += media._lines()
        return "".join(f"{letter}={value}\r\n" for letter, value in lines).encode()


def connection_for(address: str) -> Connection:
    """Return the `c=` line for one of our own addresses."""
    return Connection(address, address_type="IP6" if ":" in address else "IP4")


@lru_cache(16)  # an offer is read when it comes, when it is answered, and to see who holds
def parse_sdp(text: bytes) -> SessionDescription:
    """Read a description; raises ParseError for anything that is not one."""
    head, *sections = _text_of(text).split("\nm=")
    if len(sections) > MAX_MEDIA:
        raise ParseError("SDP has too many m= lines")
    session = _lines(head)
    if not session or session[0] != ("v", "0"):
        raise ParseError("SDP does not begin with v=0")
    connection = _single(session, "c")
    return SessionDescription(
        origin=_origin(_single(session, "o") or ""),
        media=tuple([_media(section) for section in sections]),
        name=_single(session, "s") or "-",
        connection=None if connection is None else _connection(connection),
        attributes=_attributes(session),
        other_lines=_others(session, "vosca", first="iuep"),
    )


def _text_of(text: bytes) -> str:
    """Return the text with single newlines."""
    if len(text) > MAX_BYTES:
        raise ParseError("SDP is too long", status=413)
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        # RFC 8866 6.10: what is for people may be in another set of characters; which one tells no address apart.
        decoded = text.decode("latin-1")
    if "\0" in decoded:
        raise ParseError("SDP holds a NUL")
    # RFC 8866 5: "parsers SHOULD be tolerant and also accept records terminated with a single newline character".
    decoded = decoded.replace("\r\n", "\n").removesuffix("\r")
    if "\r" in decoded:
        raise ParseError("SDP line is not <letter>=<value>")
    if decoded.count("\n") > MAX_LINES:
        raise ParseError("SDP has too many lines")
    return decoded.lstrip("\n")


def _lines(text: str) -> list[tuple[str, str]]:
    return [_line(row) for row in text.split("\n") if row and not row.isspace()]


def _line(row: str) -> tuple[str, str]:
    if len(row) < 2 or row[1] != "=" or not ("a" <= row[0] <= "z"):
        raise ParseError("SDP line is not <letter>=<value>")
    return row[0], row[2:].strip()


def _single(lines: list[tuple[str, str]], letter: str) -> str | None:
    return next((value for name, value in lines if name == letter), None)


def _attributes(lines: list[tuple[str, str]]) -> tuple[Attribute, ...]:
    found = []
    for letter, text in lines:
        if letter == "a" and text:
            name, colon, value = text.partition(":")
            found.append(Attribute(name.strip(), value.strip() if colon else None))
    return tuple(found)


def _origin(text: str) -> Origin:
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return NOBODY
    username, session_id, version, network, address_type, address = found.groups()
    return Origin(username, int(session_id), int(version), address, network=network, address_type=address_type)


@lru_cache(READ_KEPT)
def _connection(text: str) -> Connection:
    parts = text.split()
    if len(parts) != 3 or parts[1] not in ("IP4", "IP6"):
        raise ParseError("SDP c= line is not IN IP4|IP6 <address>")
    _check_address(parts[1], parts[2])
    if parts[1] == "IP6" and (mapped := _mapped(parts[2])):
        return Connection(mapped, network=parts[0])
    return Connection(parts[2], network=parts[0], address_type=parts[1])


@lru_cache(READ_KEPT)
def _is_unspecified(address: str) -> bool:
    try:
        return ip_address(address).is_unspecified
    except ValueError:
        return False


def _mapped(address: str) -> str:
    """Return what is meant by ::ffff:192.0.2.1, "" for any other address: packets go there by IPv4 (RFC 4291 2.5.5.2)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    return str(parsed.ipv4_mapped or "") if isinstance(parsed, IPv6Address) else ""


@lru_cache(READ_KEPT)
def plain_address(host: str) -> str:
    """Return an address as sockets print it (RFC 5952), so that what comes from there is known; "" for a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


def _check_address(address_type: str, address: str) -> None:
    """Refuse addresses of the other family; host names pass (RFC 8866 9: FQDN)."""
    try:
        parsed = ip_address(address.partition("/")[0])
    except ValueError:
        if not address.replace(".", "").replace("-", "").replace("_", "").isalnum():
            raise ParseError("SDP c= line has no address") from None
        return
    expected = IPv4Address if address_type == "IP4" else IPv6Address
    if not isinstance(parsed, expected):
        raise ParseError("SDP c= line: address and type differ")


def _media(section: str) -> MediaDescription:
    line, _, rest = section.partition("\n")
    parts = line.split()
    if len(parts) < 4 and not (len(parts) == 3 and parts[1] == "0"):  # a refused stream needs no formats, and some give none
        raise ParseError("SDP m= line does not have four fields")
    port, slash, count = parts[1].partition("/")
    connection, attributes, other_lines = (_details if len(rest) <= MAX_KEPT else _read_details)(rest)
    return MediaDescription(
        media=parts[0],
        port=_number(port, 65_535, "m= port"),
        protocol=parts[2].upper() if parts[0] == "audio" else parts[2],  # there are phones that write rtp/avp
        formats=tuple(parts[3:]),
        port_count=_number(count, 65_535, "m= port count") if slash else 1,
        connection=connection,
        attributes=attributes,
        other_lines=other_lines,
    )


_Details: TypeAlias = tuple[Connection | None, tuple[Attribute, ...], tuple[tuple[str, str], ...]]


def _read_details(text: str) -> _Details:
    """Read what stands below an m= line."""
    lines = _lines(text)
    connection = _single(lines, "c")
    return None if connection is None else _connection(connection), _attributes(lines), _others(lines, "ca", first="i")


def _others(lines: list[tuple[str, str]], known: str, first: str) -> tuple[tuple[str, str], ...]:
    """Return the lines that are only carried, those that RFC 8866 5 puts above `c=` first: so they are printed."""
    others = [line for line in lines if line[0] not in known]
    others.sort(key=lambda line: line[0] not in first)
    return tuple(others)


# A phone lists its codecs with the same words in each of its calls.
_details = lru_cache(READ_KEPT)(_read_details)


def _number(text: str, limit: int, where: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 40 or int(text) > limit:
        raise ParseError(f"SDP {where}: not a number in range")
    return int(text)


def _direction(attributes: tuple[Attribute, ...]) -> Direction | None:
    names = {item.name for item in attributes if item.value is None}
    return next((direction for direction in DIRECTIONS if direction in names), None)


@lru_cache(READ_KEPT)
def _rtpmap(value: str) -> RtpMap | None:
    """Read `97 iLBC/8000`; a line that cannot be read is as good as absent, other payload types may still serve."""
    number, _, rest = value.partition(" ")
    encoding, *numbers = rest.strip().split("/")
    texts = [number, *numbers]
    if not 2 <= len(texts) <= 3 or not encoding:
        return None
    if not all(text.isascii() and text.isdecimal() and len(text) <= 9 for text in texts) or int(number) > 127:
        return None
    return RtpMap(int(number), encoding, int(numbers[0]), int(numbers[1]) if len(numbers) == 2 else 1)
