"""Which web addresses the phone may be told to reach: whose sounds it plays, to which programs it carries a call's sound."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from offhook.errors import Forbidden, InvalidArgument
from offhook.phone.urls import HTTP, WEBSOCKET, Url, prefix_of

SETTING: Final = "outgoing.allow_http"


class OutgoingUrls:
    """The rule for every command with a URL. `prefixes` are what clients may use who may not do everything.

    A phone inside a network reaches what its clients cannot; so it goes for them only where its owner said so.
    """

    def __init__(self, prefixes: Iterable[str] = (), *, allow_http: bool = False) -> None:
        self._allow_http = allow_http
        self._prefixes = tuple(prefix_of(text) for text in prefixes)

    def check(self, url: str, *, anywhere: bool, name: str = "") -> None:
        """Raise InvalidArgument for what is no good URL, Forbidden for one that `name` may not use.

        `anywhere` is for a client who may do everything; the rule about the clear holds for all.
        """
        try:
            found = self.parse(url)
        except ValueError as error:
            raise InvalidArgument.field("url", str(error)) from None
        if not anywhere and not any(_is_under(found, prefix) for prefix in self._prefixes):
            raise Forbidden(
                f"{name or 'this client'!r} may not send the phone to {found.shown}: outgoing.urls in the configuration"
                " does not name it, and only the scope 'admin' may use other addresses"
            )

    def parse(self, url: str) -> Url:
        """Return the parts of a URL of any scheme the phone reaches; raises ValueError."""
        schemes = WEBSOCKET if url.startswith("ws") else HTTP
        return Url.parse(url, plain=self._allow_http, schemes=schemes, setting=SETTING)


def _is_under(url: Url, prefix: Url) -> bool:
    if (url.text.partition(":")[0], url.host, url.port) != (prefix.text.partition(":")[0], prefix.host, prefix.port):
        return False
    path = url.target.partition("?")[0]
    if any(part in (".", "..") for part in unquote(path).replace("\\", "/").split("/")):
        return False  # a server may resolve these to somewhere else
    if not path.startswith(prefix.target):
        return False
    rest = path[len(prefix.target):]
    return not rest or prefix.target.endswith("/") or rest.startswith("/")
