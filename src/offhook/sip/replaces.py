"""Replaces: naming a dialog that a new call takes the place of, and what becomes of such a call (RFC 3891)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from offhook.errors import ParseError
from offhook.sip.abnf import escape, find_param, is_token, parse_params, unescape
from offhook.sip.dialog import Dialog, DialogKey
from offhook.sip.message import Request
from offhook.sip.session import Session, SessionState
from offhook.sip.uri import Uri

_URI_HEADER_SAFE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()[]/?:+$")
"""RFC 3261 25.1, hnv-unreserved: everything else is escaped in the headers of a URI."""


@dataclass(frozen=True, slots=True)
class Replaces:
    """The dialog meant, in the words of who receives it: `to_tag` is its own tag, `from_tag` the other end's."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """Parse the header's value; ParseError (400) if a tag is missing or comes twice (RFC 3891 6.1)."""
        call_id, _, rest = text.partition(";")
        call_id = call_id.strip()
        if not call_id or any(ord(ch) <= 32 for ch in call_id):
            raise ParseError("Replaces has no Call-ID")
        params = parse_params(rest)
        names = [name.lower() for name, _ in params]
        to_tag, from_tag = find_param(params, "to-tag"), find_param(params, "from-tag")
        if not to_tag or not from_tag or not (is_token(to_tag) and is_token(from_tag)):
            raise ParseError("Replaces needs a to-tag and a from-tag")
        if names.count("to-tag") > 1 or names.count("from-tag") > 1:
            raise ParseError("Replaces has a tag twice")
        return cls(call_id, to_tag, from_tag, find_param(params, "early-only") is not None)

    @classmethod
    def of(cls, dialog: Dialog) -> Replaces:
        """Return what names this dialog of ours to its far end."""
        return cls(dialog.call_id, dialog.remote_tag, dialog.local_tag)

    @property
    def keys(self) -> list[DialogKey]:
        """Return what the dialog may be found by. RFC 3891 3: the tag 0 stands for none at all as well (RFC 2543)."""
        ours, theirs = ([tag, ""] if tag == "0" else [tag] for tag in (self.to_tag, self.from_tag))
        return [(self.call_id, to_tag, from_tag) for to_tag in ours for from_tag in theirs]

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"


def refer_target(target: Uri, replaces: Replaces) -> Uri:
    """Return the URI for Refer-To that asks for a call to `target` which replaces a dialog there (RFC 5589 7.1)."""
    bare = target.without_params("method")
    return Uri(bare.scheme, bare.user, bare.host, bare.port, bare.password, bare.params,
               (("Replaces", escape(str(replaces), _URI_HEADER_SAFE)),))


def split_target(uri: Uri) -> tuple[Uri, Replaces | None]:
    """Return a Refer-To's URI without its headers, and the Replaces among them; other headers are not obeyed.

    ParseError if the Replaces cannot be read.
    """
    bare = uri.without_headers()
    found = [unescape(value) for name, value in uri.headers if name.lower() == "replaces"]
    if len(found) > 1:
        raise ParseError("several Replaces in one address")
    return bare, Replaces.parse(found[0]) if found else None


class Standing(Enum):
    """What the dialog that is to be replaced turns out to be."""

    UNKNOWN = auto()
    OVER = auto()
    EARLY_OURS = auto()
    EARLY_THEIRS = auto()
    CONFIRMED = auto()


# RFC 3891 3: the status an INVITE with Replaces is refused with, None: it takes the dialog's place. Asked with early-only or
# without; every pair is listed.
REFUSALS: Final[Mapping[tuple[Standing, bool], int | None]] = {
    (Standing.UNKNOWN, False): 481, (Standing.UNKNOWN, True): 481,
    (Standing.OVER, False): 603, (Standing.OVER, True): 603,
    (Standing.EARLY_OURS, False): None, (Standing.EARLY_OURS, True): None,
    (Standing.EARLY_THEIRS, False): 481, (Standing.EARLY_THEIRS, True): 481,
    (Standing.CONFIRMED, False): None, (Standing.CONFIRMED, True): 486,
}  # fmt: skip

_STANDINGS: Final[Mapping[SessionState, Standing]] = {
    SessionState.CALLING: Standing.EARLY_OURS,
    SessionState.UNACKNOWLEDGED: Standing.CONFIRMED,
    SessionState.INCOMING: Standing.EARLY_THEIRS,
    SessionState.ACCEPTED: Standing.CONFIRMED,
    SessionState.ESTABLISHED: Standing.CONFIRMED,
    SessionState.ENDED: Standing.OVER,
}


def standing_of(session: Session | None) -> Standing:
    """Return how the dialog of this session stands."""
    return Standing.UNKNOWN if session is None else _STANDINGS[session.state]


def read_replaces(request: Request) -> Replaces | None:
    """Return the Replaces of a request, None without; ParseError (400) where it must not be (RFC 3891 3)."""
    text = request.headers.get("Replaces")
    if text is None:
        return None
    if request.method != "INVITE" or "Join" in request.headers:
        raise ParseError("Replaces stands only in an INVITE, and not beside Join")
    return Replaces.parse(text)
