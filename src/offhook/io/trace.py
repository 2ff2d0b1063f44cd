"""The latest SIP messages as they went over the wire, so that a call can be looked at afterwards. Bounded, in memory only."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Final

from offhook.sip.events import Flow

MAX_MESSAGES: Final = 8000
"""A desk phone's for days; at two hundred calls a second those of the last five seconds."""
MAX_BYTES: Final = 4_000_000

_KEYS: Final = re.compile(rb"(inline:|\na=ice-pwd:)([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One datagram, or what one read of a connection brought. `at` is Unix seconds, `sent` whether it is ours."""

    at: float
    sent: bool
    flow: Flow
    data: bytes


class Trace:
    """Keeps messages, the oldest go first. To note one costs no more than a tuple: what it is about is found out when asked."""

    __slots__ = ("_bytes", "_kept", "received", "sent")

    def __init__(self) -> None:
        self._kept: deque[tuple[float, bool, Flow, bytes]] = deque()
        self._bytes = 0
        self.sent = 0
        self.received = 0

    def note(self, at: float, sent: bool, flow: Flow, data: bytes) -> None:
        """Keep one; `at` in monotonic seconds."""
        kept = self._kept
        kept.append((at, sent, flow, data))
        self._bytes += len(data)
        if sent:
            self.sent += 1
        else:
            self.received += 1
        while self._bytes > MAX_BYTES or len(kept) > MAX_MESSAGES:
            self._bytes -= len(kept.popleft()[3])

    def about(self, sip_call_id: str, offset: float) -> list[TracedMessage]:
        """Return the messages with this Call-ID, oldest first, without the keys of their sound.

        `offset` is Unix time minus monotonic time.
        """
        wanted = sip_call_id.encode("utf-8", "surrogateescape")
        return [TracedMessage(at + offset, sent, flow, without_keys(data)) for at, sent, flow, data in self._kept
                if wanted and wanted in data and _names(data, wanted)]


def without_keys(data: bytes) -> bytes:
    """Return a message with asterisks for the keys in its SDP (RFC 4568, RFC 8839): who sees a trace need not hear the call."""
    return _KEYS.sub(lambda found: found[1] + b"*" * len(found[2]), data)


def _names(data: bytes, call_id: bytes) -> bool:
    head = data.partition(b"\r\n\r\n")[0]
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon and name.strip().lower() in (b"call-id", b"i") and value.strip() == call_id:
            return True
    return False
