"""SIP requests and responses, and how they are printed (RFC 3261 7). `sip.parsing` reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from offhook.errors import ParseError
from offhook.sip.abnf import WS, breaks_line, split_list
from offhook.sip.headers import CSeq, Headers, Via, parse_number
from offhook.sip.uri import NameAddr, Uri

MAX_LENGTH = (1 << 31) - 1  # bytes a Content-Length may declare: far above any limit here, but not a number to choke on
MAX_SECONDS = (1 << 32) - 1  # RFC 3261 20.19: Expires is 0..2**32-1

T = TypeVar("T")


class Message:
    """What requests and responses have in common. Typed accessors raise ParseError when the header is absent or misspelt."""

    __slots__ = ("body", "headers")

    headers: Headers
    body: bytes

    @property
    def vias(self) -> list[Via]:
        """All Via elements, ours (or the sender's) first."""
        return self._list("via", "Via", Via.parse)

    @property
    def via(self) -> Via:
        """The top Via."""
        return self.headers.parsed.get("top via") or self._required("top via", "Via", _parse_top_via)

    @property
    def from_(self) -> NameAddr:
        """The From header."""
        return self.headers.parsed.get("from") or self._required("from", "From", NameAddr.parse)

    @property
    def to(self) -> NameAddr:
        """The To header."""
        return self.headers.parsed.get("to") or self._required("to", "To", NameAddr.parse)

    @property
    def cseq(self) -> CSeq:
        """The CSeq header."""
        return self.headers.parsed.get("cseq") or self._required("cseq", "CSeq", CSeq.parse)

    @property
    def call_id(self) -> str:
        """The Call-ID header."""
        return self.headers.parsed.get("call-id") or self._required("call-id", "Call-ID", _parse_call_id)

    @property
    def contacts(self) -> list[NameAddr]:
        """All Contact addresses; [] for `*` and when there are none."""
        return [] if self.contact_is_star else self._list("contact", "Contact", NameAddr.parse)

    @property
    def contact_is_star(self) -> bool:
        """Whether Contact is `*` (RFC 3261 10.2.2: remove all bindings)."""
        return self.headers.get("Contact") == "*" and self.headers.count("Contact") == 1

    @property
    def routes(self) -> list[NameAddr]:
        """The Route set, next hop first."""
        return self._list("route", "Route", NameAddr.parse)

    @property
    def record_routes(self) -> list[NameAddr]:
        """The Record-Route set as it stands in the message."""
        return self._list("record-route", "Record-Route", NameAddr.parse)

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, None if absent; ParseError unless 0..255 (RFC 3261 20.22)."""
        return self._optional("max-forwards", "Max-Forwards", _parse_max_forwards)

    @property
    def expires(self) -> int | None:
        """Expires in seconds, None if absent."""
        return self._optional("expires", "Expires", _parse_expires)

    @property
    def content_length(self) -> int | None:
        """Content-Length as declared, None if absent; ParseError if not a number or if two lines disagree."""
        return self._optional("content-length", "Content-Length", self._parse_content_length)

    @property
    def content_type(self) -> str | None:
        """The media type in lower case without parameters, None if absent."""
        value = self.headers.get("Content-Type")
        return None if value is None else value.partition(";")[0].strip(WS).lower()

    def encode(self) -> bytes:
        """Print the message; Content-Length is always that of the body. ValueError if a line would break."""
        return encode_message(self._start_line(), self.headers, self.body)

    def _start_line(self) -> str:
        raise NotImplementedError

    def _parse_content_length(self, text: str) -> int:
        length = parse_number(text, "Content-Length", MAX_LENGTH)
        for other in self.headers.repeated().get("content-length", ()):
            if parse_number(other, "Content-Length", MAX_LENGTH) != length:
                raise ParseError("several Content-Length headers disagree")
        return length

    def _required(self, key: str, name: str, parse: Callable[[str], T]) -> T:
        text = self.headers.get(name)
        if text is None:
            raise ParseError(f"no {name} header")
        parsed = self.headers.parsed[key] = _named(name, parse, text)
        return parsed

    def _optional(self, key: str, name: str, parse: Callable[[str], T]) -> T | None:
        cache = self.headers.parsed
        if key in cache:
            found: T | None = cache[key]
            return found
        text = self.headers.get(name)
        parsed = None if text is None else _named(name, parse, text)
        cache[key] = parsed
        return parsed

    def _list(self, key: str, name: str, parse: Callable[[str], T]) -> list[T]:
        cache = self.headers.parsed
        if key not in cache:
            cache[key] = [_named(name, parse, element) for element in self.headers.elements(name)]
        return list(cache[key])

    def _same_headers(self, other: Message) -> bool:
        # Content-Length follows from the body, so it says nothing new; whether and where it was printed is not meaning.
        mine = [(name.lower(), value) for name, value in self.headers if name != "Content-Length"]
        return mine == [(name.lower(), value) for name, value in other.headers if name != "Content-Length"]


def _named(name: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ParseError as error:
        raise ParseError(f"{name}: {error.detail}", status=400) from error


def _readable(lines: list[str]) -> list[NameAddr | None]:
    """Return the addresses of these lines, None for each element (or whole line) that cannot be read."""
    found: list[NameAddr | None] = []
    for line in lines:
        try:
            elements = split_list(line)
        except ParseError:
            found.append(None)
            continue
        for element in filter(None, elements):
            try:
                found.append(NameAddr.parse(element))
            except ParseError:
                found.append(None)
    return found


def _parse_top_via(text: str) -> Via:
    return Via.parse(split_list(text)[0] if "," in text else text)


def _parse_max_forwards(text: str) -> int:
    return parse_number(text, "Max-Forwards", 255)


def _parse_expires(text: str) -> int:
    return parse_number(text, "Expires", MAX_SECONDS)


def _parse_call_id(text: str) -> str:
    if not text or " " in text or "\t" in text:
        raise ParseError("not one word")
    return text


def encode_message(start: str, fields: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """Print a message from its start line and fields; Content-Length is that of the body. ValueError if a line would break."""
    lines = [start]
    lines += [f"{name}: {value}" for name, value in fields if name != "Content-Length"]
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    text = "\r\n".join(lines)
    ends = len(lines) + 1
    if text.count("\n") != ends or text.count("\r") != ends or ("\0" in text and any(map(breaks_line, lines[:-1]))):
        raise ValueError(f"a line break or NUL in the start line or a header of {start[:60]!r}")
    return text.encode("utf-8", "surrogateescape") + body


class Request(Message):
    """A request. Change `headers` freely: the typed accessors follow."""

    __slots__ = ("method", "uri")

    def __init__(self, method: str, uri: Uri, headers: Headers | Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        self.method = method
        self.uri = uri
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.body = body

    def copy(self) -> Request:
        """Return an independent copy."""
        return Request(self.method, self.uri, self.headers.copy(), self.body)

    def _start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Request):
            return NotImplemented
        same = (self.method, self.uri, self.body) == (other.method, other.uri, other.body)
        return same and self._same_headers(other)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.uri} {len(self.headers)} headers, {len(self.body)} bytes>"


class Response(Message):
    """A response. Change `headers` freely: the typed accessors follow."""

    __slots__ = ("reason", "status")

    def __init__(
        self, status: int, reason: str = "", headers: Headers | Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.body = body

    def copy(self) -> Response:
        """Return an independent copy."""
        return Response(self.status, self.reason, self.headers.copy(), self.body)

    @property
    def contacts(self) -> list[NameAddr]:
        """The Contact addresses that can be read; [] for `*` and when there are none.

        A registrar repeats what other phones have registered, and a refusal needs no address: one that is wrong must not cost
        the whole answer, which nobody could ask for again.
        """
        cache = self.headers.parsed
        if "contact" not in cache:
            found = [] if self.contact_is_star else _readable(self.headers.get_all("Contact"))
            cache["contact"] = [each for each in found if each is not None]
        return list(cache["contact"])

    @property
    def record_routes(self) -> list[NameAddr]:
        """The Record-Route set as it stands in the message, without what cannot be read: nobody could ask for it again."""
        return [each for each in self._recorded if each is not None]

    @property
    def hides_nearest(self) -> bool:
        """Whether the proxy next to us, which the last Record-Route names, is named in a way that cannot be read."""
        return self._recorded[-1:] == [None]

    @property
    def _recorded(self) -> list[NameAddr | None]:
        cache = self.headers.parsed
        if "record-route" not in cache:
            cache["record-route"] = _readable(self.headers.get_all("Record-Route"))
        return list(cache["record-route"])

    def _start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Response):
            return NotImplemented
        same = (self.status, self.reason, self.body) == (other.status, other.reason, other.body)
        return same and self._same_headers(other)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason!r} {len(self.headers)} headers, {len(self.body)} bytes>"
