"""SIP messages from their bytes, and which of those that cannot be understood may be answered (RFC 3261 7, 18.3)."""

from __future__ import annotations

import re

from offhook.errors import ParseError
from offhook.sip.abnf import WS, breaks_line, is_token
from offhook.sip.headers import KNOWN_NAMES, Headers, canonical_name
from offhook.sip.message import Message, Request, Response
from offhook.sip.uri import Uri

MAX_MESSAGE = 65535  # bytes; what a UDP datagram can carry, and the same on streams so that a peer cannot make us hoard
MAX_HEADERS = 200  # lines; a call through many proxies has under 60, RFC 4475's longest message 40
MAX_HEADER = 8192  # characters of one unfolded value; Identity and History-Info reach about 2000
MAX_START_LINE = 4096  # characters; room for the longest URI and a method


class MessageError(ParseError):
    """A message that cannot be understood.

    `partial` is a request that can be answered with `status` by `response_to` (its top Via says at least where to); None when
    no answer is due or possible: drop it then.
    """

    def __init__(self, detail: str, *, status: int = 400, partial: Request | None = None) -> None:
        super().__init__(detail, status=status)
        self.partial = partial


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
