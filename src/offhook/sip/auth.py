"""Digest authentication (RFC 8760, RFC 7616, RFC 2617), both sides: answer challenges, and check answers for a registrar."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from offhook.errors import ParseError
from offhook.ids import Ids
from offhook.sip.abnf import quote
from offhook.sip.headers import Challenge, parse_challenges, parse_credentials

_SHA_512_256: Final = "sha512_256"
"""What hashlib calls it, where the system's OpenSSL has it."""

STRENGTH: Final = {
    "SHA-256": 2, "SHA-256-SESS": 2, "MD5": 1, "MD5-SESS": 1,
    **({"SHA-512-256": 2, "SHA-512-256-SESS": 2} if _SHA_512_256 in hashlib.algorithms_available else {}),
}
"""The algorithms we speak, by upper-case name; more is stronger (RFC 8760 2.4: prefer the strongest)."""

CHALLENGE_LIMIT: Final = 5
"""Challenges one request answers before it gives up: a chain of two proxies and a registrar, each once stale, fits."""

REALMS_KEPT: Final = 8
"""Realms of one server whose nonces are kept, the latest: each is a header of every request that goes there."""

NONCES_KEPT: Final = 64
"""Nonces kept of all servers of one identity together."""


@dataclass(frozen=True, slots=True)
class DigestChallenge:
    """What a Digest challenge asks for. `qop` is the offered list, lower case, empty for RFC 2069; `proxy`: from a 407."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    opaque: str | None = None
    stale: bool = False
    proxy: bool = False

    @property
    def strength(self) -> int:
        """How strong its algorithm is; 0: not ours."""
        return STRENGTH.get(self.algorithm.upper(), 0)

    @property
    def usable(self) -> bool:
        """Whether we can answer it."""
        return bool(self.nonce) and self.strength > 0 and (not self.qop or "auth" in self.qop or "auth-int" in self.qop)


@dataclass(frozen=True, slots=True)
class Authorization:
    """The parameters of an Authorization header, unquoted, names in lower case."""

    parameters: dict[str, str]

    def get(self, name: str) -> str:
        """Return a parameter, "" without it."""
        return self.parameters.get(name, "")


def _digest_parameters(challenge: Challenge) -> dict[str, str]:
    if not _is_digest(challenge):
        raise ParseError("the authentication scheme is not Digest")
    return challenge.params


def parse_authorization(text: str) -> Authorization:
    """Parse an Authorization or Proxy-Authorization value; raises ParseError if it is not Digest."""
    return Authorization(_digest_parameters(parse_credentials(text)))


def digest_challenge(challenge: Challenge, *, proxy: bool = False) -> DigestChallenge:
    """Read one parsed challenge; raises ParseError if it is not Digest."""
    found = _digest_parameters(challenge)
    qop = tuple(item.strip().lower() for item in found.get("qop", "").split(",") if item.strip())
    return DigestChallenge(found.get("realm", ""), found.get("nonce", ""), found.get("algorithm", "MD5"), qop,
                           found.get("opaque"), found.get("stale", "").lower() == "true", proxy)


def make_challenge(realm: str, nonce: str, *, algorithm: str = "MD5", qop: str = "auth", opaque: str = "",
                   stale: bool = False) -> str:
    """Return the value of a WWW-Authenticate (or Proxy-Authenticate) header. `qop` "" asks for the RFC 2069 form."""
    parts = [f"realm={quote(realm)}", f"nonce={quote(nonce)}", f"algorithm={algorithm}"]
    if opaque:
        parts.append(f"opaque={quote(opaque)}")
    if qop:
        parts.append(f"qop={quote(qop)}")
    if stale:
        parts.append("stale=true")
    return "Digest " + ", ".join(parts)


def _hasher(algorithm: str) -> Callable[[bytes], str]:
    if algorithm.upper().startswith("SHA-512-256"):
        return lambda data: hashlib.new(_SHA_512_256, data).hexdigest()
    if algorithm.upper().startswith("SHA-256"):
        return lambda data: hashlib.sha256(data).hexdigest()
    # MD5 is what deployed registrars ask for; it is chosen only where they offer nothing stronger.
    return lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest()


def _octets(text: str) -> bytes:
    # Header text keeps bytes that are no UTF-8 as surrogates; they must be hashed as they came.
    return text.encode("utf-8", "surrogateescape")


def digest(*, algorithm: str, username: str, realm: str, password: str, method: str, uri: str, nonce: str, nc: str = "",
           cnonce: str = "", qop: str = "", body: bytes = b"", ha1: str = "") -> str:
    """Return the `response` value (RFC 7616 3.4.1). `ha1`, if given, is H(user:realm:password) in place of the password."""
    hashed = _hasher(algorithm)
    first = ha1 or hashed(_octets(f"{username}:{realm}:{password}"))
    if algorithm.upper().endswith("-SESS"):
        first = hashed(_octets(f"{first}:{nonce}:{cnonce}"))
    what = f"{method}:{uri}"
    if qop == "auth-int":
        what += ":" + hashed(body)
    middle = f"{nonce}:{nc}:{cnonce}:{qop}" if qop else nonce
    return hashed(_octets(f"{first}:{middle}:{hashed(_octets(what))}"))


def verify(authorization: str | Authorization, *, method: str, password: str = "", ha1: str = "", body: bytes = b"",
           realm: str | None = None) -> bool:
    """Check the credentials of a request against a password (or H(user:realm:password) as `ha1`).

    The caller compares nonce, nc and uri with its own state (`parse_authorization(...).get("nonce")`). Never raises: what
    cannot be parsed is wrong.
    """
    try:
        given = parse_authorization(authorization) if isinstance(authorization, str) else authorization
    except ParseError:
        return False
    algorithm = given.get("algorithm") or "MD5"
    if algorithm.upper() not in STRENGTH or (realm is not None and given.get("realm") != realm):
        return False
    expected = digest(algorithm=algorithm, username=given.get("username"), realm=given.get("realm"), password=password,
                      method=method, uri=given.get("uri"), nonce=given.get("nonce"), nc=given.get("nc"),
                      cnonce=given.get("cnonce"), qop=given.get("qop").lower(), body=body, ha1=ha1)
    return hmac.compare_digest(expected.encode(), _octets(given.get("response").lower()))


def choose(challenges: Iterable[DigestChallenge]) -> list[DigestChallenge]:
    """Return the strongest usable challenge of each realm (RFC 8760 2.4: the topmost of equals)."""
    best: dict[tuple[str, bool], DigestChallenge] = {}
    for challenge in challenges:
        key = (challenge.realm, challenge.proxy)
        if challenge.usable and (key not in best or challenge.strength > best[key].strength):
            best[key] = challenge
    return list(best.values())


def read_challenges(www: Iterable[str], proxy: Iterable[str]) -> list[DigestChallenge]:
    """Return the usable challenges of a 401 or 407, one for each realm; unknown schemes and nonsense are passed over."""
    return choose(digest_challenge(each, proxy=of_proxy) for each, of_proxy in _readable(www, proxy) if _is_digest(each))


def foreign_ways(www: Iterable[str], proxy: Iterable[str]) -> list[str]:
    """Return the ways of a 401 or 407 that we do not know, such as "AKAv1-MD5" and "Basic"."""
    found = [digest_challenge(each).algorithm if _is_digest(each) else each.scheme for each, _ in _readable(www, proxy)]
    return [way for way in dict.fromkeys(found) if way.upper() not in STRENGTH]


def _readable(www: Iterable[str], proxy: Iterable[str]) -> list[tuple[Challenge, bool]]:
    found: list[tuple[Challenge, bool]] = []
    for values, of_proxy in ((www, False), (proxy, True)):
        for value in values:
            with contextlib.suppress(ParseError):
                found += [(each, of_proxy) for each in parse_challenges(value)]
    return found


def _is_digest(challenge: Challenge) -> bool:
    return challenge.scheme.lower() == "digest"


@dataclass(slots=True)
class _Known:
    """A nonce in use: `count` is how often."""

    challenge: DigestChallenge
    cnonce: str
    count: int = 0


@dataclass(slots=True)
class Credentials:
    """One identity's user name and password, and the nonces its servers gave, for use ahead of the next challenge.

    `place` tells servers apart (the next hop's host): what one server may see is not offered to another.
    """

    username: str
    password: str
    known: dict[tuple[str, str, bool, bool], _Known] = field(default_factory=dict)

    def learn(self, place: str, challenge: DigestChallenge, ids: Ids, method: str) -> None:
        """Use this challenge's nonce from now on: a registrar's for registering only, for others need not see it."""
        key = place, challenge.realm, challenge.proxy, method == "REGISTER" and not challenge.proxy
        self.known.pop(key, None)  # the latest last: what a server has not asked for for longest makes room
        self.known[key] = _Known(challenge, ids.token(16))
        alike = [each for each in self.known if (each[0], each[3]) == (place, key[3])]
        if len(alike) > REALMS_KEPT:
            del self.known[alike[0]]
        elif len(self.known) > NONCES_KEPT:
            del self.known[next(iter(self.known))]

    def forget(self, place: str) -> None:
        """Drop what this server gave us (its nonces are refused)."""
        for key in [key for key in self.known if key[0] == place]:
            del self.known[key]

    def headers(self, place: str, method: str, uri: str, body: bytes) -> list[tuple[str, str]]:
        """Return the Authorization and Proxy-Authorization headers for a request; counts the nonces' use."""
        return [
            self._header(known, method, uri, body)
            for (where, _, proxy, registrars), known in self.known.items()
            if where == place and (proxy or registrars == (method == "REGISTER"))
        ]

    def _header(self, known: _Known, method: str, uri: str, body: bytes) -> tuple[str, str]:
        challenge = known.challenge
        known.count += 1
        nc = f"{known.count:08x}"
        # RFC 7616 3.4: auth where it is offered; auth-int breaks behind anything that touches the body
        qop = "" if not challenge.qop else "auth" if "auth" in challenge.qop else "auth-int"
        session = challenge.algorithm.upper().endswith("-SESS")
        cnonce = known.cnonce if qop or session else ""
        answer = digest(algorithm=challenge.algorithm, username=self.username, realm=challenge.realm,
                        password=self.password, method=method, uri=uri, nonce=challenge.nonce, nc=nc if qop else "",
                        cnonce=cnonce, qop=qop, body=body)
        parts = [f"username={quote(self.username)}", f"realm={quote(challenge.realm)}", f"nonce={quote(challenge.nonce)}",
                 f"uri={quote(uri)}", f'response="{answer}"', f"algorithm={challenge.algorithm}"]
        if cnonce:
            parts.append(f"cnonce={quote(cnonce)}")
        if qop:
            parts += [f"qop={qop}", f"nc={nc}"]
        if challenge.opaque is not None:
            parts.append(f"opaque={quote(challenge.opaque)}")
        name = "Proxy-Authorization" if challenge.proxy else "Authorization"
        return name, "Digest " + ", ".join(parts)
