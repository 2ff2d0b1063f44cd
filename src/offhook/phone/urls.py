"""Web addresses: http, https, ws and wss, taken apart and refused where something in them could surprise."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

MAX_URL: Final = 2048

HTTP: Final = ("https", "http")
WEBSOCKET: Final = ("wss", "ws")

_SECURE: Final = {"https": True, "wss": True, "http": False, "ws": False}
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Url:
    """Where a request goes."""

    text: str
    secure: bool
    host: str
    port: int
    target: str

    @classmethod
    def parse(
        cls, text: str, *, plain: bool = False, schemes: tuple[str, str] = HTTP, setting: str = "webhooks.allow_http"
    ) -> Url:
        """Return the parts of a URL of these schemes, the secure one first; ValueError says what to write instead.

        The other one goes in the clear, so it is for this machine itself, or wherever `plain` allows it, which `setting` does.
        """
        if len(text) > MAX_URL or not _PRINTABLE.fullmatch(text):
            raise ValueError(f"a URL has at most {MAX_URL} characters, without blanks; others are written %20")
        parts = urlsplit(text)
        if parts.scheme not in schemes:
            raise ValueError(f"write a URL that begins with {schemes[0]}:// or {schemes[1]}://")
        if not parts.hostname or parts.username is not None or parts.fragment:
            raise ValueError(f"write {schemes[0]}://host/path, without a user, a password or a #fragment")
        port = parts.port  # ValueError for what is none
        secure = _SECURE[parts.scheme]
        if not (secure or plain or is_loopback(parts.hostname)):
            raise ValueError(f"{parts.scheme} sends everything in the clear: write {schemes[0]}, or set {setting} = true")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(text, secure, parts.hostname, port or (443 if secure else 80), target)

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The address without its query, which may hold a secret: for events and messages."""
        return self.text.partition("?")[0]


def prefix_of(text: str) -> Url:
    """Return the beginning of addresses of any scheme we know; ValueError says what to write instead."""
    found = Url.parse(text, plain=True, schemes=WEBSOCKET if text.startswith("ws") else HTTP)
    if "?" in found.target:
        raise ValueError("write the beginning of addresses, without a ?query")
    return found


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
