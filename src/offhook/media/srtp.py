"""Encrypted RTP and RTCP (RFC 3711, RFC 7714): what `libsrtp` does, behind four calls that never raise anything foreign.

Imported only when a call has keys: plain calls do not pay for the library.
"""

from __future__ import annotations

from typing import Final

from pylibsrtp import Error, Policy, Session

from offhook.errors import ParseError

PROFILES: Final[dict[str, int]] = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
# Octets that follow the mark (MKI) in packets of RTP and of RTCP: the authentication tag (RFC 3711 3.1, 3.4; RFC 4568 6.2),
# or nothing where the cipher text has it (RFC 7714 8.2, 9.2).
TAGS: Final[dict[str, tuple[int, int]]] = {
    "AES_CM_128_HMAC_SHA1_80": (10, 10),
    "AES_CM_128_HMAC_SHA1_32": (4, 10),
    "AEAD_AES_128_GCM": (0, 0),
    "AEAD_AES_256_GCM": (0, 0),
}
# RFC 3711 3.3.2 asks for 64 at least. A burst of two seconds may come late and in disorder.
WINDOW: Final = 128
# Of the search of `LateOpening`: each turn is 65,536 packets, all of them a month. They follow each other in strides that
# libsrtp takes for going on (RFC 3711 3.3.1: less than 2^15), and end so far behind the packet that those before it open, too.
MOST_TURNS: Final = 2000
STRIDE: Final = 30_000
BEHIND: Final = 1000
SEARCHES: Final = 8


class Sealing:
    """What goes out under one key, marked with its `mki` if it has one, which may change.

    A packet that cannot be sealed is never sent: `seal` returns b"" for it.
    """

    def __init__(self, suite: str, key: bytes, mki: bytes = b"") -> None:
        self.mki = mki
        self._session = Session(_policy(suite, key, Policy.SSRC_ANY_OUTBOUND))
        self._tag, self._control_tag = TAGS[suite]
        self._protect = self._session.protect
        self._protect_rtcp = self._session.protect_rtcp

    def seal(self, packet: bytes) -> bytes:
        """Return the SRTP packet of an RTP packet, b"" if the key is used up or the packet too long."""
        try:
            sealed = self._protect(packet)
        except (Error, ValueError):
            return b""
        return _marked(sealed, self.mki, self._tag) if self.mki else sealed

    def seal_control(self, packet: bytes) -> bytes:
        """Return the SRTCP packet of an RTCP packet, b"" as `seal` does."""
        try:
            sealed = self._protect_rtcp(packet)
        except (Error, ValueError):
            return b""
        return _marked(sealed, self.mki, self._control_tag) if self.mki else sealed


class Opening:
    """What comes in under one key. Forged, repeated and cut packets are b"": indistinguishable on purpose.

    So are those without the key's `mki`, if it has one (RFC 3711 3.3); it may change.
    """

    def __init__(self, suite: str, key: bytes, mki: bytes = b"") -> None:
        self.mki = mki
        self._session = Session(_policy(suite, key, Policy.SSRC_ANY_INBOUND))
        self._tag, self._control_tag = TAGS[suite]
        self._unprotect = self._session.unprotect
        self._unprotect_rtcp = self._session.unprotect_rtcp

    def open(self, packet: bytes) -> bytes:
        """Return the RTP packet of an SRTP packet, b"" if it is not what the far end sent, or was here before."""
        try:
            return self._unprotect(_unmarked(packet, self.mki, self._tag) if self.mki else packet)
        except (Error, ValueError):
            return b""

    def open_control(self, packet: bytes) -> bytes:
        """Return the RTCP packet of an SRTCP packet, b"" as `open` does."""
        try:
            return self._unprotect_rtcp(_unmarked(packet, self.mki, self._control_tag) if self.mki else packet)
        except (Error, ValueError):
            return b""


class LateOpening:
    """What came in under one key, seen from somewhere in the midst of a call: how often numbers had begun again is found out.

    RFC 3711 3.3.1: that counter is in no packet. libsrtp begins at 0 and follows what it has opened, so packets of our own
    making lead it on, turn by turn, until a packet opens. What opens nothing costs a search, therefore those are few.
    """

    def __init__(self, suite: str, key: bytes, mki: bytes = b"") -> None:
        self._of = suite, key, mki
        self._found: dict[bytes, Opening] = {}  # by source (SSRC)
        self._control = Opening(*self._of)  # RFC 3711 3.4: packets of RTCP bear their whole number
        self._in_vain = 0

    def open(self, packet: bytes) -> bytes:
        """Return the RTP packet as `Opening.open` does."""
        opening = self._found.get(packet[8:12])
        if opening is not None:
            return opening.open(packet)
        return self._search(packet) if len(packet) > 12 and self._in_vain < SEARCHES else b""

    def open_control(self, packet: bytes) -> bytes:
        """Return the RTCP packet as `Opening.open_control` does."""
        return self._control.open_control(packet)

    def _search(self, packet: bytes) -> bytes:
        opening, leader = Opening(*self._of), Sealing(*self._of)
        sequence, source = int.from_bytes(packet[2:4], "big"), packet[8:12]
        reached = 0
        for turn in range(MOST_TURNS):
            goal = (turn << 16) + sequence - BEHIND
            while turn and reached < goal:
                reached = min(reached + STRIDE, goal)
                number = (reached & 0xFFFF).to_bytes(2, "big")
                opening.open(leader.seal(b"\x80\0" + number + bytes(4) + source + b"\0"))
            if text := opening.open(packet):
                self._found[source] = opening
                return text
        self._in_vain += 1
        return b""


class Changeover:
    """What comes in while the far end goes over to another key: under the former, too, until the first packet under the new.

    Packets that left before the answer come after it, and there are phones (Jami 13) that name a new key with each answer and
    keep to the first. `former` is what opened packets last.
    """

    def __init__(self, new: Opening, former: Opening) -> None:
        self._new = new
        self._former: Opening | None = former

    @property
    def mki(self) -> bytes:
        """Return the mark of the new key."""
        return self._new.mki

    @mki.setter
    def mki(self, mki: bytes) -> None:
        self._new.mki = mki

    @property
    def proven(self) -> Opening:
        """Return what the far end is known to use."""
        return self._new if self._former is None else self._former

    def open(self, packet: bytes) -> bytes:
        """Return the RTP packet as `Opening.open` does."""
        found = self._new.open(packet)
        if found:
            self._former = None
        elif self._former is not None:
            found = self._former.open(packet)
        return found

    def open_control(self, packet: bytes) -> bytes:
        """Return the RTCP packet as `Opening.open_control` does."""
        found = self._new.open_control(packet)
        if not found and self._former is not None:
            found = self._former.open_control(packet)
        return found


def _marked(sealed: bytes, mki: bytes, tag: int) -> bytes:
    place = len(sealed) - tag
    return sealed[:place] + mki + sealed[place:]


def _unmarked(packet: bytes, mki: bytes, tag: int) -> bytes:
    """Return the packet without its mark, b"" if it has another one or none. The tag does not cover it (RFC 3711 3.1)."""
    end = len(packet) - tag
    start = end - len(mki)
    return packet[:start] + packet[end:] if start > 0 and packet[start:end] == mki else b""


def _policy(suite: str, key: bytes, direction: int) -> Policy:
    try:
        policy = Policy(key=key, ssrc_type=direction, srtp_profile=PROFILES[suite])
    except (KeyError, ValueError, Error) as error:
        raise ParseError(f"no SRTP with {suite}: {error}") from None
    policy.window_size = WINDOW
    return policy
