"""What goes back: a status, headers and JSON, sent in two writes at most."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, TypeAlias

import msgspec

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `body` is JSON-able, or bytes that are JSON already; None is no body. `operation` is what still runs."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    operation: str = ""

    async def send(self, send: Send) -> None:
        """Write it."""
        body = b"" if self.body is None else self.body if isinstance(self.body, bytes) else _encode(self.body)
        headers = common_headers()
        if self.body is not None:
            # JSON is UTF-8, which WinHTTP and Windows PowerShell only believe when they are told.
            kind = f"{self.media_type}; charset=utf-8" if self.media_type.endswith("json") else self.media_type
            headers += [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        elif self.status != 204:
            headers.append((b"content-length", b"0"))
        headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def common_headers() -> list[tuple[bytes, bytes]]:
    """Return the headers of every answer."""
    return [(b"date", _date()), (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


_dates: dict[int, bytes] = {}


def _date() -> bytes:
    # Formatting it takes longer than the rest of a small answer, and it changes once a second.
    now = int(time.time())
    found = _dates.get(now)
    if found is None:
        _dates.clear()
        found = _dates[now] = formatdate(now, usegmt=True).encode()
    return found
