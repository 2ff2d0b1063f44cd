"""The response to a request, with what it takes over from it (RFC 3261 8.2.6)."""

from __future__ import annotations

from collections.abc import Iterable

from offhook.errors import ParseError
from offhook.sip.headers import Headers
from offhook.sip.message import Request, Response

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
