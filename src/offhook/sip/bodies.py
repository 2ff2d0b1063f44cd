"""Which bodies a request may bring, and which an answer to it may have (RFC 3261 8.2.3, 20.1; RFC 5621)."""

from __future__ import annotations

from typing import Final, TypeAlias

from offhook.sip.abnf import WS
from offhook.sip.cpim import CPIM, content_of
from offhook.sip.events import Body, HeaderList
from offhook.sip.message import Request, Response
from offhook.sip.stack import body_of

SDP: Final = "application/sdp"
TEXT: Final = "text/plain"
MAX_PARTS: Final = 16
"""Parts of a multipart body that are looked at; a call with location, picture and certificate has four."""

MAX_NESTED: Final = 3
"""Multiparts within each other that are looked into: one with alternatives, and around it one with a location."""

_PLAIN_ENCODINGS: Final = frozenset({"", "identity"})


def refusal(request: Request, wanted: str) -> tuple[int, HeaderList] | None:
    """Return the status and headers a request is refused with for its body, None if the body will do.

    `wanted` is the type we understand here ("application/sdp", "text/plain": then any text). A body its sender calls optional
    is taken away, so are parts that are all optional; one inside a multipart is taken out of it, a text out of message/cpim.
    """
    if not request.body:
        return None
    headers = request.headers
    disposition = headers.get("Content-Disposition") or ""
    optional = _is_optional(disposition)
    if (headers.get("Content-Encoding") or "").strip(WS).lower() in _PLAIN_ENCODINGS:
        kind = request.content_type or ""
        if _fits(kind, wanted) and not _is_early(disposition):
            return None
        if kind == CPIM and wanted == TEXT:
            inside = content_of(request.body)
            if inside is not None and _fits(_kind(inside.content_type), TEXT):
                request.body = inside.data
                headers.set("Content-Type", inside.content_type)
                return None
        parts = _parts_of(request) if kind.startswith("multipart/") else []
        part = _first(parts, wanted)
        if part is not None:
            request.body = part.data
            headers.set("Content-Type", part.content_type)
            return None
        optional = optional or (bool(parts) and all(_is_optional(said) for said, _ in parts))
    if optional:
        # RFC 3261 20.11: what may be left out need not be understood
        request.body = b""
        return None
    # RFC 3261 8.2.3: a body not understood is refused with 415, and with what would be understood
    return 415, (("Accept", wanted), ("Accept-Encoding", "identity"))


def sdp_of(message: Request | Response) -> Body | None:
    """Return the session description, also one among other parts; None without one.

    Of a request a body of another kind is returned as it is: `refusal` says what is wrong with it. An answer cannot be refused;
    what a gateway adds to each of its own (application/ISUP, RFC 3204) says nothing to us.
    """
    kind = message.content_type or SDP
    if kind.startswith("multipart/"):
        return _first(_parts_of(message), SDP)
    if _is_early(message.headers.get("Content-Disposition") or ""):
        return None
    return body_of(message) if kind == SDP or isinstance(message, Request) else None


def accepts_sdp(request: Request) -> bool:
    """Say whether an answer with a session description may be sent (RFC 3261 20.1: without an Accept it may)."""
    if "Accept" not in request.headers:
        return True
    ranges = (value.partition(";")[0].strip(WS).lower() for value in request.headers.values("Accept"))
    return any(each in (SDP, "application/*", "*/*") or each.startswith("multipart/") for each in ranges)


def _fits(kind: str, wanted: str) -> bool:
    return kind == wanted or (wanted == TEXT and kind.startswith("text/"))


_Part: TypeAlias = tuple[str, Body]
"""What a part says of its handling (Content-Disposition), and the part."""


def _is_optional(disposition: str) -> bool:
    return "handling=optional" in disposition.replace(" ", "").replace('"', "").lower()


def _is_early(disposition: str) -> bool:
    """Whether a description is that of an early session of its own (RFC 3959), which we have not: the call's is another."""
    return disposition.partition(";")[0].strip(WS).lower() == "early-session"


def _first(parts: list[_Part], wanted: str) -> Body | None:
    """Return the first part of the wanted type, None without one."""
    for disposition, part in parts:
        if _fits(_kind(part.content_type), wanted) and not _is_early(disposition):
            return part
    return None


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip(WS).lower()


def _parts_of(message: Request | Response) -> list[_Part]:
    return _parts(message.headers.get("Content-Type") or "", message.body, MAX_NESTED)


def _parts(content_type: str, body: bytes, depth: int) -> list[_Part]:
    """Return the parts of a multipart body, and in their place those of one that is such a body itself (RFC 5621 3)."""
    found: list[_Part] = []
    boundary = _boundary(content_type)
    if not boundary:
        return found
    # RFC 2046 5.1.1: the line end in front of a delimiter belongs to the delimiter
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    for piece in pieces[1 : MAX_PARTS + 1]:
        if piece.startswith(b"--"):
            break
        head, blank, data = piece.partition(b"\r\n\r\n")
        kind = _header(head, b"content-type") or "text/plain"
        if blank and depth > 1 and _kind(kind).startswith("multipart/"):
            found += _parts(kind, data, depth - 1)
        elif blank:
            found.append((_header(head, b"content-disposition"), Body(kind, data)))
    return found


def _boundary(content_type: str) -> bytes:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip(WS).lower() == "boundary":
            return value.strip(WS).strip('"').encode("utf-8", "surrogateescape")
    return b""


def _header(head: bytes, wanted: bytes) -> str:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == wanted:
            return value.strip().decode("utf-8", "replace")
    return ""

