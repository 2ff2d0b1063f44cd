"""How two phones agree on encryption: SDES keys (RFC 4568) or DTLS (RFC 5763) in offers and answers, as pure functions.

"optional" offers encryption on an ordinary RTP/AVP line (RFC 8643, as MicroSIP and baresip do), so that phones which know
nothing of it still answer; "required" offers a secure profile and takes nothing less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from offhook.errors import MediaNegotiationFailed, SecurityRequired
from offhook.media.messages import DtlsPeer, SdesKeys, StreamConfig
from offhook.media.sdes import Crypto, read_lines
from offhook.media.sdp import Attribute, MediaDescription, SessionDescription

WEB_PROFILE: Final = "UDP/TLS/RTP/SAVPF"
"""What browsers speak (RFC 8829 5.1.2)."""
SrtpPolicy: TypeAlias = Literal["off", "optional", "required"]
Keying: TypeAlias = Literal["sdes", "dtls"]

PLAIN: Final = ("RTP/AVP", "RTP/AVPF")
SDES: Final = ("RTP/SAVP", "RTP/SAVPF")
DTLS: Final = ("UDP/TLS/RTP/SAVP", WEB_PROFILE)  # RFC 5764 9
PROFILES: Final = (*PLAIN, *SDES, *DTLS)
# RFC 8122 5: hashes a fingerprint may be made with; md5 and md2 are not to be believed any more.
HASHES: Final = ("sha-256", "sha-384", "sha-512", "sha-224", "sha-1")
_FINGERPRINT: Final = re.compile(r"([A-Za-z0-9-]{3,16}) +([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15,63})")


@dataclass(frozen=True, slots=True)
class Security:
    """What we bring: our policy, our own keys (one a suite, best first, the same through a call), a fingerprint.

    `fingerprint` is our certificate's, as in SDP ("sha-256 AB:…"), "" where there is no DTLS here. `protocol` is the
    profile agreed on before in this call: later offers keep it. `peer` is whom a handshake was agreed on with. `clear` says
    that the call was agreed on without encryption: later offers of ours do without, too, and keys of the far end are taken.
    """

    policy: SrtpPolicy = "off"
    keying: Keying = "sdes"
    lines: tuple[Crypto, ...] = ()
    fingerprint: str = ""
    protocol: str = ""
    peer: DtlsPeer | None = None
    clear: bool = False


NO_SECURITY: Final = Security()
Keys: TypeAlias = SdesKeys | DtlsPeer | None
Deal: TypeAlias = tuple[Keys, tuple[Attribute, ...]]
"""What was agreed, and the lines that our answer says it with."""


def offered(security: Security) -> tuple[str, tuple[Attribute, ...]]:
    """Return the profile and the attributes of our offer."""
    if security.clear or (security.policy == "off" and not security.protocol):
        return "RTP/AVP", ()
    if security.keying == "dtls":
        if not security.fingerprint:
            raise SecurityRequired("DTLS-SRTP needs the extra packages: pip install 'offhook[dtls]'")
        # RFC 5763 5: the offer is actpass, so that the far end chooses and may begin at once.
        lines: tuple[Attribute, ...] = (Attribute("setup", "actpass"), Attribute("fingerprint", security.fingerprint))
        return security.protocol or (DTLS[0] if security.policy == "required" else "RTP/AVP"), lines
    lines = tuple([Attribute("crypto", str(line)) for line in security.lines])
    return security.protocol or (SDES[0] if security.policy == "required" else "RTP/AVP"), lines


def insisting(security: Security, keying: Keying) -> Security:
    """Return what an optional offer becomes for a far end that refuses keys on an ordinary line: a secure profile."""
    return replace(security, keying=keying, clear=False, protocol=DTLS[0] if keying == "dtls" else SDES[0])


def for_page(security: Security) -> Security:
    """Return what an offer becomes for a far end that takes only what browsers do."""
    return replace(security, keying="dtls", clear=False, protocol=WEB_PROFILE)


def answered(security: Security, theirs: SessionDescription, line: MediaDescription) -> Deal:
    """Return what we answer to an offered line; raises MediaNegotiationFailed (SecurityRequired) with a plain reason."""
    secure = line.protocol not in PLAIN
    if security.policy == "off" and not security.protocol:
        if secure:
            raise MediaNegotiationFailed(f"the far end wants encrypted sound ({line.protocol}), and srtp is off here")
        return None, ()
    deals: list[Deal] = []
    problems: list[str] = []
    for keying in ("sdes", "dtls") if security.keying == "sdes" else ("dtls", "sdes"):
        choose = _answer_sdes if keying == "sdes" else _answer_dtls
        deals += choose(security, theirs, line, problems)
    if deals:
        return deals[0]
    if secure:
        raise MediaNegotiationFailed("; ".join(problems) or f"{line.protocol} without any key")
    if security.policy == "required":
        raise SecurityRequired("; ".join(["the far end offers no encryption, and srtp is required here", *problems]))
    return None, ()


def _answer_sdes(
    security: Security, _theirs: SessionDescription, line: MediaDescription, problems: list[str]
) -> list[Deal]:
    if line.protocol in DTLS:
        return []
    theirs, troubles = read_lines(line.values("crypto"))
    problems += troubles
    ours = {key.suite: key for key in security.lines}
    # RFC 4568 5.1.2: the first of the offer that can be used, under the offer's tag, with a key of our own.
    for chosen in theirs:
        if chosen.suite in ours:
            # RFC 4568 6.1: each side says of its own packets whether they are marked (MKI). Who does may expect the same.
            own = replace(ours[chosen.suite], tag=chosen.tag, mki=chosen.mki)
            return [(_keys(own, chosen), (Attribute("crypto", str(own)),))]
    if theirs:
        problems.append(f"no cipher in common (offered: {', '.join(key.suite for key in theirs)})")
    return []


def _answer_dtls(security: Security, theirs: SessionDescription, line: MediaDescription, problems: list[str]) -> list[Deal]:
    fingerprints = _fingerprints(theirs, line)
    if not fingerprints:
        if line.protocol in DTLS:
            problems.append(f"{line.protocol} without a fingerprint we can check")
        return []
    if not security.fingerprint:
        problems.append("DTLS-SRTP is offered and not installed here: pip install 'offhook[dtls]'")
        return []
    setup = theirs.value_of(line, "setup") or "actpass"
    if setup not in ("actpass", "active", "passive"):
        problems.append(f"a=setup:{setup[:20]} cannot be answered")
        return []
    held = security.peer
    if setup == "actpass" and held is not None and held.fingerprints == fingerprints:
        # RFC 8842 5.5: the handshake that was made goes on to hold, so the roles in it do, too; browsers insist on that.
        ours = "active" if held.role == "client" else "passive"
    else:
        # RFC 5763 5: the answerer is active where it may choose, so that the handshake begins with the answer.
        ours = "passive" if setup == "active" else "active"
    peer = DtlsPeer("client" if ours == "active" else "server", fingerprints)
    return [(peer, (Attribute("setup", ours), Attribute("fingerprint", security.fingerprint)))]


def accepted(
    security: Security, ours: MediaDescription, theirs: SessionDescription, line: MediaDescription
) -> Keys:
    """Return what was agreed by the answer `line` to our offer `ours`; raises MediaNegotiationFailed (SecurityRequired)."""
    crypto, offered_crypto = line.values("crypto"), ours.values("crypto")
    if crypto and offered_crypto:
        return _accept_sdes(security, crypto)
    if ours.attribute("fingerprint") is not None and (fingerprints := _fingerprints(theirs, line)):
        setup = theirs.value_of(line, "setup") or "active"
        # RFC 5763 5: the answer is active or passive, never actpass.
        if setup not in ("active", "passive"):
            raise MediaNegotiationFailed(f"the answer's a=setup:{setup[:20]} is neither active nor passive")
        return DtlsPeer("server" if setup == "active" else "client", fingerprints)
    if ours.protocol not in PLAIN or security.policy == "required":
        raise SecurityRequired("the far end answered without encryption, and srtp is required here")
    if line.protocol not in PLAIN:
        raise MediaNegotiationFailed(f"the answer says {line.protocol} and gives no key")
    return None


def _accept_sdes(security: Security, crypto: list[str]) -> SdesKeys:
    # RFC 4568 5.1.3: exactly one line, whose tag and suite are those of one that was offered. Each suite is offered once, so it
    # alone says which is meant: there are phones (Jami 13) that put their own tag.
    found, problems = read_lines(crypto)
    if len(found) != 1:
        raise MediaNegotiationFailed("; ".join(problems) or "the answer has more than one a=crypto line")
    theirs = found[0]
    own = next((key for key in security.lines if key.suite == theirs.suite), None)
    if own is None:
        raise MediaNegotiationFailed(f"the answer's a=crypto {theirs.suite} was not offered")
    return _keys(own, theirs)


def _keys(ours: Crypto, theirs: Crypto) -> SdesKeys:
    return SdesKeys(theirs.suite, send=ours.key, receive=theirs.key, send_mki=ours.mki, receive_mki=theirs.mki)


def _fingerprints(description: SessionDescription, line: MediaDescription) -> tuple[tuple[str, str], ...]:
    """Return (hash, hexadecimal text in capitals) of each usable fingerprint of the line, else of the session."""
    texts = line.values("fingerprint") or [
        item.value or "" for item in description.attributes if item.name == "fingerprint"
    ]
    found = (_FINGERPRINT.fullmatch(text) for text in texts[:8])
    return tuple([(each[1].lower(), each[2].upper()) for each in found if each and each[1].lower() in HASHES])


def agreed(security: Security, config: StreamConfig, protocol: str) -> Security:
    """Return `security` for the later offers of a call: what holds is offered again, in the profile that holds."""
    if config.security is None:
        return replace(security, protocol="", peer=None, clear=True)
    keys = config.security
    if isinstance(keys, DtlsPeer):
        return replace(security, protocol=protocol, keying="dtls", peer=keys, clear=False)
    lines = tuple([replace(line, mki=keys.send_mki) if line.suite == keys.suite else line for line in security.lines])
    return replace(security, protocol=protocol, keying="sdes", lines=lines, peer=None, clear=False)

