"""Where a redirect (3xx) leads: the addresses it names, in the order in which they are tried (RFC 3261 8.1.3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from offhook.sip.events import Flow
from offhook.sip.message import Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.stack import Stack
from offhook.sip.uri import NameAddr, Uri

USE_PROXY: Final = 305
"""The status whose Contact is the proxy to go by, and not who is called."""
MAX_REDIRECTS: Final = 5
"""How often one request or registration is sent on to another address."""


class Detour:
    """Where the registrar has sent one registration on to (RFC 3261 8.1.3.4); the next begins at the registrar again."""

    __slots__ = ("_left", "_tried", "began", "proxy", "registrar")

    def __init__(self) -> None:
        self.registrar: Uri | None = None
        self.proxy: Uri | None = None
        self.began: Flow | None = None  # who has sent us on first
        self._tried: list[Uri] = []
        self._left: list[tuple[Uri, bool]] = []

    def learn(self, stack: Stack, out: Outgoing, response: Response) -> None:
        """Take over what a redirect names, as far as it may."""
        identity = out.identity
        if identity is None:
            return
        self.began = self.began or out.flow
        known = [out.uri, *self._tried, *(uri for uri, _ in self._left)]
        self._left += [(uri, response.status == USE_PROXY) for uri in targets(response, known)
                       if uri.host and stack.door.may_lead_home(identity, uri)]

    def go_on(self) -> bool:
        """Take the next address; False if there is none."""
        if not self._left or len(self._tried) >= MAX_REDIRECTS:
            return False
        uri, by_proxy = self._left.pop(0)
        self._tried.append(uri)
        if by_proxy:
            self.proxy = uri
        else:
            self.registrar, self.proxy = Uri(uri.scheme, None, uri.host, uri.port, params=uri.params), None
        return True


def targets(response: Response, known: Iterable[Uri]) -> list[Uri]:
    """Return the contacts of a redirect, best q first, without those `known` already."""
    found: list[Uri] = []
    before = list(known)
    for contact in sorted(response.contacts, key=_preference):
        # RFC 3261 19.1.1: neither may be in a Request-URI. What headers in it ask for is not obeyed.
        uri = contact.uri.without_headers().without_params("method")
        possible = uri.scheme in ("sip", "sips") or (uri.scheme == "tel" and response.status != USE_PROXY)
        if possible and not any(uri.equivalent(each) for each in (*before, *found)):
            found.append(uri)
    return found


def _preference(contact: NameAddr) -> float:
    try:
        return -float(contact.param("q") or "1")
    except ValueError:
        return 0.0
