"""Who is let in: the Host a request was meant for, the page it comes from, and the token it brings."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar

from offhook.control.access import Client, Denials
from offhook.control.dial_rules import DialRules
from offhook.control.http.limits import REVOKED_WITHIN
from offhook.control.http.problems import HttpRefusal
from offhook.control.http.routes import Route
from offhook.errors import Forbidden, RateLimited, SetupError, Unauthenticated
from offhook.phone.commands import Scope

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

CORS_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, X-Request-Id"
EXPOSED: Final = "Content-Disposition, Idempotent-Replayed, Link, Location, Preference-Applied, Retry-After, X-Request-Id"
CORS_SECONDS: Final = 600
"""How long a browser may remember what a page is allowed."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class KnownToken(Protocol):
    """A token as it is kept."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def scopes(self) -> tuple[Scope, ...]: ...
    @property
    def calls_per_minute(self) -> int: ...
    @property
    def max_calls(self) -> int: ...
    @property
    def allow(self) -> tuple[str, ...]: ...
    @property
    def deny(self) -> tuple[str, ...]: ...


class Tokens(Protocol):
    """Where the tokens are. Both raise SetupError when they cannot be read; then nobody is let in."""

    def find(self, token: str) -> KnownToken | None:
        """Return the token that this secret is."""
        ...

    def list(self) -> tuple[KnownToken, ...]:
        """Return all tokens."""
        ...


class Standing:
    """Whether a client's token still stands, looked up once a second at most."""

    def __init__(self, is_current: Callable[[], bool]) -> None:
        self._is_current = is_current
        self._next = time.monotonic() + REVOKED_WITHIN

    def is_over(self) -> bool:
        """Say whether the token was revoked."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + REVOKED_WITHIN
        return not self._is_current()


class Guard:
    """Checks requests. `hosts` are the names this server may be called by, `any_address` allows every IP address besides."""

    def __init__(
        self, tokens: Tokens, denials: Denials, *, hosts: Iterable[str], any_address: bool = False, origins: Iterable[str] = ()
    ) -> None:
        self._tokens = tokens
        self._denials = denials
        self._hosts = LOOPBACK_NAMES | {host.lower() for host in hosts}
        self._any_address = any_address
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self._clients: dict[str, Client] = {}
        self._made_of: dict[str, KnownToken] = {}

    # --- where a request was meant to go, and where it comes from

    def check_host(self, host: str | None, *, may_lack: bool = False) -> None:
        """Refuse a request for another name: a page whose name was made to point here (DNS rebinding) sends its own.

        `may_lack` says that it comes from no browser: they speak HTTP/1.1 and name the host, which no page can hinder.
        """
        if host is None:
            if may_lack:
                return
            raise HttpRefusal("malformed", "a Host header is required")
        name = _without_port(host).lower().rstrip(".")
        if name not in self._hosts and not (self._any_address and _is_address(name)):
            raise HttpRefusal("misdirected", f"this is not {name[:100]!r}; further names are allowed by http.hosts")

    def check_origin(self, origin: str | None, host: str) -> None:
        """Refuse a page that is neither ours nor named in `http.origins`: browsers let every page open a WebSocket."""
        if origin is None or origin.lower() in self._origins:
            return
        if origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return
        raise Forbidden("pages of this origin may not use the phone; http.origins names those that may")

    def cors(self, origin: str | None) -> dict[str, str]:
        """Return what tells a browser that this page may read the answer: nothing unless `http.origins` names it."""
        if origin is None or origin.lower() not in self._origins:
            return {}
        return {"access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED, "vary": "Origin"}

    def preflight(self, origin: str | None, methods: Iterable[str]) -> dict[str, str]:
        """Return the headers of the answer to a browser's question before the request itself."""
        found = self.cors(origin)
        if found:
            found["access-control-allow-methods"] = ", ".join(methods)
            found["access-control-allow-headers"] = CORS_HEADERS
            found["access-control-max-age"] = str(CORS_SECONDS)
        return found

    # --- tokens

    def client(self, authorization: str | None, peer: str) -> Client:
        """Return whose token it is; raises Unauthenticated, or RateLimited for who tries too often."""
        if authorization is None:
            detail = "a token is required: Authorization: Bearer … (GET /v1/docs, the reference, needs none)"
            raise self._denied(peer, Unauthenticated(detail))
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise self._denied(peer, Unauthenticated("the scheme is Bearer"))
        return self.client_of(token.strip(), peer)

    def client_of(self, token: str, peer: str) -> Client:
        """Return whose token it is."""
        found = self._ask(lambda: self._tokens.find(token))
        if found is None:
            raise self._denied(peer, Unauthenticated("this token is not known"))
        client = self._clients.get(found.sha256)
        if client is None or self._made_of.get(found.sha256) != found:  # new, or its limits were changed
            made = Client(
                found.name, frozenset(found.scopes), found.calls_per_minute, found.max_calls,
                DialRules(found.allow, found.deny) if found.allow or found.deny else None,
            )  # fmt: skip
            if client is not None:
                made.take_over(client)
            client = self._clients[found.sha256] = made
            self._made_of[found.sha256] = found
        return client

    def is_current(self, client: Client) -> bool:
        """Whether the client's token still stands: long connections ask now and then."""
        try:
            known = {token.sha256: token for token in self._tokens.list()}
        except SetupError:
            return False
        self._clients = {mark: found for mark, found in self._clients.items() if mark in known}
        self._made_of = {mark: found for mark, found in self._made_of.items() if mark in known}
        return any(found is client and self._made_of.get(mark) == known[mark] for mark, found in self._clients.items())

    def check_scope(self, client: Client, route: Route) -> None:
        """Raise Forbidden if the token does not allow this route."""
        if route.scope != "" and route.scope != "public":
            client.check(route.scope)

    def denied(self, peer: str, reason: str) -> None:
        """Count somebody who was turned away."""
        self._denials.note(peer, reason)

    def _denied(self, peer: str, error: Unauthenticated) -> Unauthenticated | RateLimited:
        wait = self._denials.wait(peer)
        self.denied(peer, error.detail)
        return RateLimited("too many attempts without a good token", retry_after=wait) if wait else error

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except SetupError as error:
            _log.warning("nobody is let in: %s", error)
            raise HttpRefusal("internal", "the tokens cannot be read; the phone's log says why") from None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
