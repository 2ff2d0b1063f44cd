"""Who may use the exchange: accounts with passwords, digest challenges, and the nonces they were given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from offhook.errors import ParseError
from offhook.ids import Ids
from offhook.sip.auth import Authorization, make_challenge, parse_authorization, verify
from offhook.sip.message import Request

REALM: Final = "practice.local"

NONCE_LIFE: Final = 300.0
"""Seconds a nonce is good for; afterwards the challenge says stale=true, so that a phone tries again by itself."""

MAX_NONCES: Final = 4096
"""Nonces remembered; the oldest goes first. A flood of requests without credentials must not fill the memory."""

ALGORITHMS: Final = ("SHA-256", "MD5")
"""RFC 8760 2.3: the challenges stand in order of preference."""

MD5_ALONE: Final = ("MD5",)
"""sofia-sip 1.12 (Janus, gnome-calls) fails at the first challenge it does not know, in whatever order they stand."""


def practice_accounts() -> dict[str, str]:
    """Return the accounts an exchange has by itself: 1001-1009, each with the password `practice-<name>`."""
    return {str(number): f"practice-{number}" for number in range(1001, 1010)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a check: status 0 lets the request pass; otherwise answer with `status` and `headers`."""

    status: int = 0
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()


ADMITTED: Final = Verdict()


@dataclass(slots=True)
class _Nonce:
    """A nonce handed out: until when it is good, and its last use (RFC 7616 3.4: nc only grows)."""

    until: float
    count: int = 0
    response: str = ""


class Authority:
    """Checks digest credentials. `accounts` maps names to passwords and may change at any time."""

    def __init__(self, accounts: Mapping[str, str], ids: Ids, *, realm: str = REALM, nonce_life: float = NONCE_LIFE,
                 algorithms: tuple[str, ...] = ALGORITHMS) -> None:
        self.accounts = accounts
        self.realm = realm
        self._ids = ids
        self._algorithms = algorithms
        self._nonce_life = nonce_life
        self._nonces: dict[str, _Nonce] = {}

    def check(self, request: Request, user: str, now: float, *, proxy: bool) -> Verdict:
        """Decide whether `request` comes from the account `user`. A challenge is 407 with `proxy`, else 401."""
        given = self._credentials(request, proxy=proxy)
        if given is None:
            return self._challenge(now, proxy=proxy)
        if given.get("username") != user:
            return Verdict(403, "Account And Credentials Differ")
        password = self.accounts.get(user)
        if password is None or not verify(given, method=request.method, password=password, body=request.body, realm=self.realm):
            return Verdict(403, "Wrong Password")
        # RFC 7616 3.5: stale only tells those something who have proved that they know the password.
        return ADMITTED if self._fresh(given, now) else self._challenge(now, proxy=proxy, stale=True)

    def _credentials(self, request: Request, *, proxy: bool) -> Authorization | None:
        """Return the credentials for our realm, None if there are none."""
        for text in request.headers.get_all("Proxy-Authorization" if proxy else "Authorization"):
            try:
                given = parse_authorization(text)
            except ParseError:
                continue
            if given.get("realm") == self.realm:
                return given
        return None

    def _fresh(self, given: Authorization, now: float) -> bool:
        nonce = self._nonces.get(given.get("nonce"))
        if nonce is None or now >= nonce.until:
            return False
        try:
            count = int(given.get("nc") or "0", 16)
        except ValueError:
            return False
        # RFC 2617 3.2.2: who does not count (a phone of RFC 2069, pyVoIP) may use each nonce for one request.
        if count > nonce.count or not (given.get("nc") or nonce.response):
            nonce.count, nonce.response = count, given.get("response")
            return True
        # The same use again is a retransmission on its way to a line; a lower count is a replay.
        return count == nonce.count and given.get("response") == nonce.response

    def _challenge(self, now: float, *, proxy: bool, stale: bool = False) -> Verdict:
        while len(self._nonces) >= MAX_NONCES:
            del self._nonces[next(iter(self._nonces))]
        nonce = self._ids.token(24)
        self._nonces[nonce] = _Nonce(now + self._nonce_life)
        name = "Proxy-Authenticate" if proxy else "WWW-Authenticate"
        headers = tuple((name, make_challenge(self.realm, nonce, algorithm=each, stale=stale)) for each in self._algorithms)
        return Verdict(407 if proxy else 401, "", headers)
