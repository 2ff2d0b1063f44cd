"""SIP requests and responses: bytes to typed message and back (RFC 3261 7, 18.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from offhook.errors import ParseError
from offhook.sip.abnf import WS, breaks_line, is_token, split_list
from offhook.sip.headers import KNOWN_NAMES, CSeq, Headers, Via, canonical_name, parse_number
from offhook.sip.uri import NameAddr, Uri

MAX_MESSAGE = 65535  # bytes; what a UDP datagram can carry, and the same on streams so that a peer cannot make us hoard
MAX_HEADERS = 200  # lines; a call through many proxies has under 60, RFC 4475's longest message 40
MAX_HEADER = 8192  # characters of one unfolded value; Identity and History-Info reach about 2000
MAX_START_LINE = 4096  # characters; room for the longest URI and a method
MAX_LENGTH = (1 << 31) - 1  # bytes a Content-Length may declare: far above any limit here, but not a number to choke on
MAX_SECONDS = (1 << 32) - 1  # RFC 3261 20.19: Expires is 0..2**32-1

REASON_PHRASES: dict[int, str] = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
    199: "Early Dialog Terminated", 200: "OK", 202: "Accepted", 204: "No Notification", 300: "Multiple Choices",
    301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy", 380: "Alternative Service", 400: "Bad Request",
    401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone",
    412: "Conditional Request Failed", 413: "Request Entity Too Large", 414: "Request-URI Too Long",
    415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 417: "Unknown Resource-Priority", 420: "Bad Extension",
    421: "Extension Required", 422: "Session Interval Too Small", 423: "Interval Too Brief", 424: "Bad Location Information",
    428: "Use Identity Header", 429: "Provide Referrer Identity", 430: "Flow Failed", 433: "Anonymity Disallowed",
    436: "Bad Identity Info", 437: "Unsupported Credential", 438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support", 440: "Max-Breadth Exceeded", 469: "Bad Info Package", 470: "Consent Needed",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
    484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
    489: "Bad Event", 491: "Request Pending", 493: "Undecipherable", 494: "Security Agreement Required",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large",
    555: "Push Notification Service Not Supported", 580: "Precondition Failure", 600: "Busy Everywhere", 603: "Decline",
    604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}

# RFC 3261 12.1.1, RFC 6665, RFC 3515: the 2xx (and 1xx with a tag) to these make a dialog and carry the recorded route.
DIALOG_FORMING = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})

T = TypeVar("T")


class MessageError(ParseError):
    """A message that cannot be understood.

    `partial` is a request that can be answered with `status` by `response_to` (its top Via says at least where to); None when
    no answer is due or possible: drop it then.
    """

    def __init__(self, detail: str, *, status: int = 400, partial: Request | None = None) -> None:
        super().__init__(detail, status=status)
        self.partial = partial


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


_UNREADABLE_URI = Uri("invalid", None, "")


def parse_message(data: bytes, *, stream: bool = False) -> Request | Response:
    """Parse one whole message. MessageError (a ParseError) says with `status` and `partial` whether and how to answer.

    For a datagram what follows Content-Length is cut off (RFC 3261 18.3) and a body that is too short is left for
    `sanity.check`; with `stream` the data must be one frame and Content-Length must be there.
    """
    if len(data) > MAX_MESSAGE:
        raise MessageError("the message is too large", status=513)
    start, lines, body = _split_message(data)
    items, fault = _parse_fields(lines)
    headers = Headers.from_wire(items)
    if start[:4].upper() == "SIP/":
        message: Request | Response = _parse_status_line(start, headers, body)
    else:
        message = _parse_request_line(start, headers, body)
    if fault is not None:
        raise _fault(message, fault)
    try:
        length = message.content_length
    except ParseError as error:
        raise _fault(message, error) from error
    if length is None:
        if stream:
            raise _fault(message, ParseError("no Content-Length on a stream"))
    elif length < len(body):
        message.body = body[:length]
    return message


def _split_message(data: bytes) -> tuple[str, list[str], bytes]:
    # RFC 3261 7.5: CRLFs in front of the start line are ignored.
    if data[:1] in b"\r\n":
        data = data.lstrip(b"\r\n")
    head, blank, body = data.partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    if not blank or head.count(b"\n") >= len(lines):
        # Lines that end in a bare LF are against RFC 3261 7 but unambiguous, and hand-written tests send them.
        head, body = _split_bare_lf(data)
        lines = head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n")
    if _FOLDED.intersection([line[:1] for line in lines]):
        lines = _FOLD.sub(" ", "\r\n".join(lines)).split("\r\n")
    start = lines.pop(0)
    if not start:
        raise MessageError("an empty message")
    return start, lines, body


_FOLDED = frozenset(WS)
_FOLD = re.compile(r"\r\n[ \t]+")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


def _split_bare_lf(data: bytes) -> tuple[bytes, bytes]:
    blank = _BLANK_LINE.search(data)
    if blank is None:
        # A message cut short behind its last header: the blank line carries no meaning, so it is not missed.
        return data.rstrip(b"\r\n"), b""
    return data[: blank.start()], data[blank.end() :]


def _parse_fields(lines: list[str]) -> tuple[list[tuple[str, str]], ParseError | None]:
    """Return the fields that could be read, and the first fault: the rest may be enough to answer with."""
    items: list[tuple[str, str]] = []
    fault: ParseError | None = None
    if len(lines) > MAX_HEADERS:
        fault, lines = ParseError("too many header lines", status=513), lines[:MAX_HEADERS]
    usual = KNOWN_NAMES.get
    for line in lines:
        name, colon, value = line.partition(":")
        known = usual(name)
        if known is None or not colon or len(value) > MAX_HEADER or "\r" in value or "\x00" in value:
            try:
                known = _check_field(name, colon, value)
            except ParseError as error:
                fault = fault or error
                continue
        items.append((known, value.strip(WS)))
    return items, fault


def _check_field(name: str, colon: str, value: str) -> str:
    """Return the name of an unusual but sound field; ParseError if it is not sound."""
    name = name.rstrip(WS)
    if not colon or not is_token(name):
        raise ParseError(f"not a header: {name[:60]!r}")
    known = canonical_name(name) or name
    if len(value) > MAX_HEADER:
        raise ParseError(f"{known[:40]} is too long", status=513)
    if breaks_line(value):
        raise ParseError(f"{known[:40]} has a control character in it")
    return known


def _parse_request_line(start: str, headers: Headers, body: bytes) -> Request:
    method, _, rest = start.partition(" ")
    uri_text, _, version = rest.rpartition(" ")
    if not is_token(method) or len(method) > MAX_START_LINE:
        raise MessageError(f"not a SIP message: {start[:60]!r}")
    request = Request(method, _UNREADABLE_URI, headers, body)
    if len(start) > MAX_START_LINE:
        raise _fault(request, ParseError("the request line is too long", status=414))
    if version != "SIP/2.0":
        raise _fault(request, _version_fault(version))
    # RFC 4475 3.1.2.7-3.1.2.10: white space, angle brackets and trailing spaces in the request line are errors.
    try:
        request.uri = Uri.parse(uri_text)
    except ParseError as error:
        raise _fault(request, error) from error
    return request


_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE)


def _version_fault(version: str) -> ParseError:
    if version.upper() != "SIP/2.0" and _VERSION.fullmatch(version):
        return ParseError(f"SIP version {version[4:14]} is not spoken here", status=505)
    return ParseError("not a SIP request line")


def _parse_status_line(start: str, headers: Headers, body: bytes) -> Response:
    version, _, rest = start.partition(" ")
    status, _, reason = rest.partition(" ")
    if version != "SIP/2.0":
        raise MessageError(f"not a SIP/2.0 response: {start[:60]!r}", status=505)
    if len(start) > MAX_START_LINE or len(status) != 3 or not (status.isascii() and status.isdigit()):
        raise MessageError(f"not a status line: {start[:60]!r}")
    if not "100" <= status < "700" or breaks_line(reason):
        raise MessageError(f"not a status line: {start[:60]!r}")
    return Response(int(status), reason, headers, body)


def _fault(message: Request | Response, error: ParseError) -> MessageError:
    return MessageError(error.detail, status=error.status, partial=answerable(message))


_SENT_BY = re.compile(
    r"SIP[ \t]*/[ \t]*[0-9.]+[ \t]*/[ \t]*[A-Za-z]+[ \t]+(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?"
)


def sent_by_port(message: Message) -> int | None:
    """Return the port the top Via names as far as it can be read: 5060 if it names none, None if it is no Via at all."""
    match = _SENT_BY.match(message.headers.get("Via") or "")
    if match is None:
        return None
    port = int(match[1] or 5060)
    return port if 0 < port < 65536 else None


def answerable(message: Request | Response) -> Request | None:
    """Return `message` if it is a request that can and may be answered although something in it is broken.

    RFC 4475 3.3.1, 3.1.2.1: a Via to send the answer by is enough; what else is missing is missing in the answer too.
    """
    # RFC 3261 17: an ACK never gets an answer, and neither does a response.
    if not isinstance(message, Request) or message.method == "ACK" or sent_by_port(message) is None:
        return None
    return message


_COPIED = ("From", "To", "Call-ID", "CSeq")


def response_to(
    request: Request, status: int, reason: str = "", to_tag: str = "", headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """Build the response to `request` (RFC 3261 8.2.6): Via, From, To, Call-ID, CSeq, and what else must be copied.

    `to_tag` is added to To unless it has a tag or `status` is 100. An empty `reason` takes the usual phrase. Works on the
    `partial` of a MessageError too.
    """
    fields = response_fields(request, status, to_tag)
    response = Response(status, reason or REASON_PHRASES.get(status, ""), Headers.from_wire(fields))
    for name, value in headers:
        response.headers.add(name, value)
    return response


def response_fields(request: Request, status: int, to_tag: str) -> list[tuple[str, str]]:
    """Return what a response takes over from its request (RFC 3261 8.2.6)."""
    source = request.headers
    copied = [("Via", value) for value in source.get_all("Via")]
    # RFC 3261 12.1.1: every Record-Route goes back, in order, in responses that make a dialog.
    if 100 < status < 300 and request.method in DIALOG_FORMING:
        copied += [("Record-Route", value) for value in source.get_all("Record-Route")]
    tag = f";tag={to_tag}" if to_tag and status > 100 and _lacks_tag(request) else ""
    for name in _COPIED:
        value = source.get(name)
        if value is not None:  # a request refused for what it lacks is answered without it
            copied.append((name, value + tag if name == "To" else value))
    # RFC 3261 8.2.6.1: a Timestamp must come back in 100.
    if status == 100 and (timestamp := source.get("Timestamp")) is not None:
        copied.append(("Timestamp", timestamp))
    return copied


def _lacks_tag(request: Request) -> bool:
    try:
        return not request.to.tag
    except ParseError:
        return False  # unreadable: it goes back as it came
