"""What a registrar's answer says of our binding: for how long it stands, and whether we are seen elsewhere (RFC 3261 10.3)."""

from __future__ import annotations

from typing import Final

from offhook.errors import ParseError
from offhook.sip.headers import parse_number
from offhook.sip.message import Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.uri import NameAddr

EXPIRES_LONGEST: Final = 86400
"""Seconds: a grant or Min-Expires above this is taken as this."""


def is_translated(out: Outgoing, response: Response) -> bool:
    """Whether the far end saw another address than ours (RFC 3581 4)."""
    try:
        via = response.via
    except ParseError:
        return False
    ours = out.flow.local if out.flow is not None else ("", 0)
    return via.received not in (None, ours[0]) or via.rport not in (None, 0, ours[1])


def number_in(response: Response, name: str) -> int | None:
    """Return a header's leading number (Retry-After may have a comment and parameters behind it)."""
    text = (response.headers.get(name) or "").partition(";")[0].partition("(")[0]
    try:
        return parse_number(text, name, 2**32 - 1)
    except ParseError:
        return None


def asks_outbound(response: Response) -> bool:
    """Whether the registrar reaches us over the flow alone (RFC 5626 6)."""
    try:
        return "outbound" in (value.lower() for value in response.headers.values("Require"))
    except ParseError:
        return False


def contact_of(out: Outgoing) -> str:
    """Return the address that was bound, "" if nothing was sent."""
    return str(out.request.contacts[0].uri) if out.request is not None else ""


def granted_seconds(out: Outgoing, response: Response, asked: int) -> int:
    """Return what our binding was granted: its own expires, else the Expires header, else what we asked for."""
    ours = out.request.contacts[0] if out.request is not None else None
    contacts = response.contacts
    # The only one is ours, whatever a box on the way has made of it.
    for contact in contacts:
        if ours is not None and (_same_binding(contact, ours) or len(contacts) == 1):
            text = contact.param("expires") or ""
            if text.isascii() and text.isdigit():
                return min(int(text[:10]), EXPIRES_LONGEST)
    named = number_in(response, "Expires")
    return min(named if named is not None else asked, EXPIRES_LONGEST)


def _same_binding(contact: NameAddr, ours: NameAddr) -> bool:
    """Whether this is what we have registered; the other flow of ours has the same address (RFC 5626 6: reg-id tells)."""
    one, other = contact.uri, ours.uri
    number = contact.param("reg-id")
    return (one.user, one.host, one.port) == (other.user, other.host, other.port) and number in (None, ours.param("reg-id"))
