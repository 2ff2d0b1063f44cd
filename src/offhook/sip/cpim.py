"""A text inside message/cpim, as servers for several kinds of messages send it (RFC 3862)."""

from __future__ import annotations

from typing import Final

from offhook.sip.events import Body

CPIM: Final = "message/cpim"
MAX_LINES: Final = 64
"""Lines of the two heads (of the message, of its content) together; with notifications asked for there are a dozen."""

_PLAIN: Final = frozenset({"", "7bit", "8bit", "binary"})


def content_of(body: bytes) -> Body | None:
    """Return what is inside, None where it cannot be read.

    Whom its From names is not looked at: nobody has vouched for that, and the SIP message says who sends it.
    """
    lines = _Lines(body)
    head = lines.head()
    if head is None or "require" in head:
        return None  # RFC 3862 2.3.7: what must be understood is not
    inner = lines.head()
    if inner is None or inner.get("content-transfer-encoding", "").lower() not in _PLAIN:
        return None
    return Body(inner.get("content-type") or "text/plain", lines.rest)


class _Lines:
    """What is left to read, and how many lines more are."""

    def __init__(self, body: bytes) -> None:
        self.rest = body
        self._left = MAX_LINES

    def head(self) -> dict[str, str] | None:
        """Read header lines up to an empty one, by their names in small letters; None if they do not end, or are none."""
        found: dict[str, str] = {}
        while self._left:
            self._left -= 1
            line, end, self.rest = self.rest.partition(b"\n")
            text = line.rstrip(b"\r").decode("utf-8", "replace")
            name, colon, value = text.partition(":")
            if not text and end:
                return found
            if not (colon and end):
                return None
            found.setdefault(name.strip().lower(), value.strip())
        return None
