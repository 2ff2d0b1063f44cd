"""Decide whether a parsed message is fit to be acted on, and with which status it is refused otherwise."""

from __future__ import annotations

from collections.abc import Callable

from offhook.errors import ParseError
from offhook.sip.message import Message, Request, Response
from offhook.sip.parsing import MessageError, answerable

# RFC 3261 8.1.1. Max-Forwards is mandatory too, but RFC 2543 had none and it matters only to those who forward.
MANDATORY = ("Via", "From", "To", "Call-ID", "CSeq")
_MANDATORY_KEYS = frozenset(name.lower() for name in MANDATORY)


# RFC 3261 7.3.1: only headers that are defined as lists may be there more than once. These are the ones we act on.
SINGLE = (
    "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type", "Expires", "Event", "Refer-To", "Referred-By", "Replaces",
    "Session-Expires", "Min-SE", "Min-Expires", "Retry-After", "Subscription-State", "RSeq", "RAck",
)
_SINGLE_KEYS = frozenset(name.lower() for name in SINGLE)
_MANDATORY_ONCE = _SINGLE_KEYS & _MANDATORY_KEYS

# Read where a request has them, for the ParseError their reading may raise; the mandatory ones always are. A response cannot be
# refused: without it the request has none. So no header may spoil it that is not needed to act on it.
READ: dict[str, Callable[[Request], object]] = {
    "max-forwards": lambda message: message.max_forwards,
    "expires": lambda message: message.expires,
    "contact": lambda message: message.contacts,
    "record-route": lambda message: message.record_routes,
    "route": lambda message: message.routes,
}
SCHEMES = frozenset({"sip", "sips", "tel"})
DIALOG_SCHEMES = frozenset({"sip", "sips"})


def check(message: Request | Response) -> None:
    """Return if `message` may be acted on; MessageError otherwise (its `partial` is what to answer, None: drop)."""
    try:
        _check_common(message)
        if isinstance(message, Request):
            _check_request(message)
    except MessageError:
        raise
    except ParseError as error:
        raise MessageError(error.detail, status=error.status, partial=answerable(message)) from error


def _check_common(message: Message) -> None:
    headers = message.headers
    present = headers.keys()
    if not present >= _MANDATORY_KEYS:
        raise ParseError(f"no {next(each for each in MANDATORY if each not in headers)} header")
    repeated = headers.repeated()
    if not (_SINGLE_KEYS if isinstance(message, Request) else _MANDATORY_ONCE).isdisjoint(repeated):
        raise ParseError(f"several {next(each for each in SINGLE if each.lower() in repeated)} headers")
    _touch(message.via, message.from_, message.to, message.call_id, message.cseq)
    if isinstance(message, Request):
        for key in READ:
            if key in present:
                READ[key](message)
    length = message.content_length
    # RFC 3261 18.3: a datagram that ends before its body does is an error.
    if length is not None and length > len(message.body):
        raise ParseError(f"Content-Length is {length}, the body has {len(message.body)} bytes")


def _check_request(request: Request) -> None:
    # RFC 3261 8.1.1.5: the method of CSeq MUST be that of the request.
    if request.cseq.method != request.method:
        raise ParseError(f"CSeq is for {request.cseq.method}, the request is {request.method}")
    # RFC 3261 8.2.2.1: a Request-URI with a scheme not understood is answered with 416.
    if request.uri.scheme not in SCHEMES:
        raise ParseError(f"URIs of scheme {request.uri.scheme[:20]} are not known here", status=416)
    # RFC 3261 8.1.1.8: what follows in the dialog could go nowhere else.
    if request.method == "INVITE" and any(contact.uri.scheme not in DIALOG_SCHEMES for contact in request.contacts):
        raise ParseError("Contact is no SIP address")
    # RFC 4475 3.1.2.11: headers in a Request-URI are not allowed, but may be ignored; so they are.


def _touch(*_parsed: object) -> None:
    """Take typed values for the ParseError their reading may raise."""
