"""Cut a byte stream into whole SIP messages by Content-Length (RFC 3261 18.3) and notice keep-alives (RFC 5626 3.5.1)."""

from __future__ import annotations

import re

from offhook.errors import ParseError
from offhook.sip.parsing import MAX_MESSAGE

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"\n(?:content-length|l)[ \t]*:[ \t]*(?:\r?\n[ \t]+)*([^\r\n]*)", re.IGNORECASE)


def is_keep_alive(data: bytes) -> bool:
    """Tell whether a datagram has nothing but CRLFs or NULs in it (or nothing at all): a NAT keep-alive, no message."""
    return not data.strip(b"\r\n\x00")


_LINE_ENDS = (b"", b"\r", b"\n", b"\r\n", b"\r\n\r")
"""What may be the beginning of a ping, and no message."""


class StreamFramer:
    """The framing of one stream connection. After a ParseError, or once `fault` is set, it is of no use: close it.

    `pings` counts the double CRLFs between messages; the owner answers each new one with a single CRLF (RFC 5626 4.4.1).
    `head` is, behind a fault, the head of the message that has it (b"" if there is none to answer).
    While `expects_pong` is set, a single CRLF is the answer to a ping of ours: it is cleared and `pongs` counts.
    """

    __slots__ = ("_buffer", "_searched", "_wanted", "expects_pong", "fault", "head", "pings", "pongs")

    def __init__(self) -> None:
        self.pings = self.pongs = 0
        self.expects_pong = False
        self.fault: ParseError | None = None
        self.head = b""
        self._buffer = bytearray()
        self._wanted = 0  # length of the message at the front, 0 while its head is not complete
        self._searched = 0  # up to here there is no blank line: a slow sender must not make every byte a new search

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived and return the messages that are now complete.

        ParseError (400, or 513 over the limit) if none can be found any more. Messages in front of the fault are returned
        first; then `fault` is set and the next call raises it.
        """
        frames: list[bytes] = []
        if self.fault is None:
            self._buffer += data
            try:
                while (frame := self._next()) is not None:
                    frames.append(frame)
            except ParseError as error:
                self.fault = error
                self._buffer.clear()
        if self.fault is not None and not frames:
            raise self.fault
        return frames

    @property
    def waits(self) -> bool:
        """Whether a message has begun and not come to its end."""
        return self._buffer not in _LINE_ENDS

    @property
    def begun(self) -> bytes:
        """What there is of it."""
        return bytes(self._buffer)

    def _next(self) -> bytes | None:
        if not self._wanted:
            self._swallow_keep_alives()
            self._wanted = self._measure()
        if not self._wanted or len(self._buffer) < self._wanted:
            return None
        frame = bytes(self._buffer[: self._wanted])
        del self._buffer[: self._wanted]
        self._wanted = self._searched = 0
        return frame

    def _swallow_keep_alives(self) -> None:
        while self._buffer[:1] == b"\r" or self._buffer[:1] == b"\n":
            if self.expects_pong and self._buffer.startswith(b"\r\n"):
                self.expects_pong = False
                self.pongs += 1
                del self._buffer[:2]
            elif self._buffer.startswith(b"\r\n\r\n"):
                self.pings += 1
                del self._buffer[:4]
            elif len(self._buffer) < 4 and b"\r\n\r\n".startswith(bytes(self._buffer)):
                return  # could still become a ping
            else:
                del self._buffer[:1]

    def _measure(self) -> int:
        blank = _BLANK_LINE.search(self._buffer, max(0, self._searched - 3))
        if blank is None:
            self._searched = len(self._buffer)
            if self._searched > MAX_MESSAGE:
                raise ParseError("the head of a message is too large", status=513)
            return 0
        head = bytes(self._buffer[: blank.start()])
        try:
            total = blank.end() + _declared_length(head)
            if total > MAX_MESSAGE:
                raise ParseError("a message is too large", status=513)
        except ParseError:
            self.head = head + b"\r\n\r\n"
            raise
        return total


def _declared_length(head: bytes) -> int:
    # RFC 3261 20.14: on a stream Content-Length MUST be there; without it the next message cannot be found.
    found = {value.strip(b" \t").lstrip(b"0") or b"0" for value in _CONTENT_LENGTH.findall(head)}
    if len(found) != 1:
        raise ParseError("Content-Length is missing on a stream" if not found else "several Content-Lengths disagree")
    (text,) = found
    if not text.isdigit():
        raise ParseError(f"Content-Length is not a number: {text[:20]!r}")
    if len(text) > 6:
        raise ParseError("a message is too large", status=513)
    return int(text)
