"""Whom the network says is at the other end: P-Asserted-Identity (RFC 3325), else Remote-Party-ID, which is older.

It counts only where it comes by way of the account's own server. In answers and later requests (RFC 5876) it tells who has
answered, and who is there after a transfer that the server has made by itself.
"""

from __future__ import annotations

from typing import Final

from offhook.errors import ParseError
from offhook.sip.headers import Headers

MAX_IDENTITY: Final = 512
"""Characters; a longer one is cut."""


def asserted_identity(headers: Headers) -> str:
    """Return the first identity that is stated, "" without one that can be read."""
    for name in ("P-Asserted-Identity", "Remote-Party-ID"):
        try:
            found = headers.values(name)
        except ParseError:  # quotes or brackets that are never closed
            continue
        if found:
            return found[0].strip()[:MAX_IDENTITY]
    return ""
