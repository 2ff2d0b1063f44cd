"""ICE in SDP (RFC 8839): candidate lines, names and passwords, read and printed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, get_args, get_type_hints

from offhook.media.messages import Candidate, IcePeer
from offhook.media.sdp import READ_KEPT, Attribute, MediaDescription, SessionDescription, plain_address
from offhook.media.security import WEB_PROFILE

# RFC 8839 5.4: the name has 4 to 256 characters, the password 22 to 256.
_WORD: Final = re.compile(r"[A-Za-z0-9+/]{4,256}")
MIN_PASSWORD: Final = 22
UFRAG_LENGTH, PASSWORD_LENGTH = 8, 24
KINDS: Final = get_args(get_type_hints(Candidate)["kind"])
# RFC 8445 6.1.2.5 bounds pairs to a hundred; a far end with more addresses than this has a fault.
MAX_CANDIDATES: Final = 50
DISCARD: Final = 9  # RFC 8840 4.1.1: the port of a far end that will name its addresses later


@dataclass(frozen=True, slots=True)
class LocalIce:
    """Our side: name, password, addresses, and whether we decide (we do if we made the offer)."""

    ufrag: str
    pwd: str
    candidates: tuple[Candidate, ...]
    controlling: bool


UNKNOWN_ICE: Final = LocalIce("", "", (), controlling=False)
"""Our side before it is found out: enough to see whether there is another one."""


def ice_lines(local: LocalIce) -> tuple[Attribute, ...]:
    """Return the attributes of an m-line."""
    addresses = (Attribute("candidate", print_candidate(each)) for each in local.candidates)
    return Attribute("ice-ufrag", local.ufrag), Attribute("ice-pwd", local.pwd), *addresses


def print_candidate(candidate: Candidate) -> str:
    """Return the value of `a=candidate`."""
    text = (
        f"{candidate.foundation} {candidate.component} UDP {candidate.priority} {candidate.address} {candidate.port}"
        f" typ {candidate.kind}"
    )
    if candidate.related is None:
        return text
    return f"{text} raddr {candidate.related[0]} rport {candidate.related[1]}"


@lru_cache(READ_KEPT)
def parse_candidate(text: str) -> Candidate | None:
    """Read one line; None for what we cannot use: another transport, a name instead of an address, nonsense (RFC 8839 5.1)."""
    parts = text.split()
    if len(parts) < 8 or parts[2].lower() != "udp" or parts[6] != "typ" or parts[7] not in KINDS:
        return None
    numbers = [_number(part, limit) for part, limit in ((parts[1], 256), (parts[3], 2**31 - 1), (parts[5], 65_535))]
    address = plain_address(parts[4])
    component, priority, port = numbers
    if not address or not component or priority is None or not port or len(parts[0]) > 32:
        return None
    extras = dict(zip(parts[8::2], parts[9::2], strict=False))
    related_port = _number(extras.get("rport", ""), 65_535)
    related = (extras["raddr"], related_port) if "raddr" in extras and related_port is not None else None
    return Candidate(parts[0], component, priority, address, port, parts[7], related)  # type: ignore[arg-type]  # one of KINDS


def _number(text: str, limit: int) -> int | None:
    good = text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= limit
    return int(text) if good else None


def candidates_of(line: MediaDescription) -> tuple[Candidate, ...]:
    """Return the usable candidates of an m-line."""
    found = (parse_candidate(value) for value in line.values("candidate")[:MAX_CANDIDATES])
    return tuple([each for each in found if each is not None])


def said_in(local: LocalIce | None, offer: SessionDescription, line: MediaDescription) -> LocalIce | None:
    """Return our side as an offer of ours has said it, which is answered under that name; None if it was without ICE."""
    ufrag, pwd = offer.value_of(line, "ice-ufrag"), offer.value_of(line, "ice-pwd")
    return replace(local, ufrag=ufrag, pwd=pwd) if local is not None and ufrag and pwd else None


def ice_of(local: LocalIce | None, theirs: SessionDescription, line: MediaDescription) -> IcePeer | None:
    """Return what ICE is to do, None if one side does without, or something on the way has changed the far end's address."""
    if local is None:
        return None
    ufrag, pwd = theirs.value_of(line, "ice-ufrag") or "", theirs.value_of(line, "ice-pwd") or ""
    candidates = candidates_of(line)
    if not _WORD.fullmatch(ufrag) or not _WORD.fullmatch(pwd) or len(pwd) < MIN_PASSWORD:
        return None
    if not candidates and line.protocol != WEB_PROFILE:  # a browser's may all be names; its checks show where it is
        return None
    connection = theirs.connection_of(line)
    # RFC 8839 4.2.5: an address that is in no candidate was put there by somebody who knows nothing of ICE. Where browsers are
    # spoken to, nobody looks at that address: gateways put there what they please, and without ICE there is no call.
    if connection is not None and line.port != DISCARD and not connection.unspecified and line.protocol != WEB_PROFILE:
        default = plain_address(connection.address), line.port
        if not any((each.address, each.port) == default for each in candidates):
            return None
    lite = any(item.name == "ice-lite" for item in theirs.attributes)
    # RFC 8445 6.1.1: a full agent decides where the other one is lite.
    return IcePeer(local.controlling or lite, local.ufrag, local.pwd, ufrag, pwd, candidates)
