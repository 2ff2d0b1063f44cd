"""SIP messages as they went over the wire, call by call, so that each can be looked at afterwards. Bounded, in memory only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from offhook.sip.events import Flow

MAX_MESSAGES: Final = 8000
"""Of calls that are over, and of what belongs to no call: a desk phone's for days."""
MAX_BYTES: Final = 4_000_000
RUNNING_BYTES: Final = 12_000_000
"""Of calls that run: two thousand of them as they usually are."""
CALL_MESSAGES: Final = 200
"""Of one call, so that one alone does not push out the others; what goes is from its middle."""
CALL_BYTES: Final = 400_000
SORT_EVERY: Final = 256
SORT_BYTES: Final = 1_000_000
"""So many new messages, or bytes of them, wait at most until they are put to their calls."""
FIRST_KEPT: Final = 20
"""Messages of a call's beginning that stay."""

_CALL_ID: Final = re.compile(rb"\r\n(?:call-id|i)[ \t]*:[ \t]*([^\r\n]+)", re.IGNORECASE)
_USUAL: Final = b"\r\nCall-ID: "
_KEYS: Final = re.compile(rb"(inline:|\na=ice-pwd:)([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One datagram, or what one read of a connection brought. `at` is Unix seconds, `sent` whether it is ours."""

    at: float
    sent: bool
    flow: Flow
    data: bytes


_Kept: TypeAlias = tuple[float, bool, Flow, bytes]


class _Group:
    """Calls in the order in which they came here, and how much there is of them."""

    __slots__ = ("bytes", "calls", "messages")

    def __init__(self) -> None:
        self.calls: dict[bytes, list[_Kept]] = {}
        self.messages = 0
        self.bytes = 0

    def add(self, call_id: bytes, item: _Kept) -> None:
        kept = self.calls.setdefault(call_id, [])
        kept.append(item)
        self.messages += 1
        self.bytes += len(item[3])
        if len(kept) > CALL_MESSAGES or len(item[3]) * len(kept) > CALL_BYTES:  # the first look is cheap and rough
            self._shorten(kept)

    def _shorten(self, kept: list[_Kept]) -> None:
        size = sum(len(item[3]) for item in kept)
        while len(kept) > CALL_MESSAGES or (size > CALL_BYTES and len(kept) > 1):
            gone = kept.pop(min(FIRST_KEPT, len(kept) - 2))
            size -= len(gone[3])
            self.messages -= 1
            self.bytes -= len(gone[3])

    def move(self, call_id: bytes, to: _Group | None = None) -> None:
        """Forget a call, or put it to the end of another group."""
        kept = self.calls.pop(call_id, None)
        if kept is None:
            return
        size = sum([len(item[3]) for item in kept])
        self.messages -= len(kept)
        self.bytes -= size
        if to is not None:
            to.calls[call_id] = [*to.calls.pop(call_id, ()), *kept]
            to.messages += len(kept)
            to.bytes += size

    def limit(self, messages: int, size: int) -> None:
        while self.bytes > size or self.messages > messages:
            self.move(next(iter(self.calls)))


class Trace:
    """Keeps messages by their Call-ID. Those of running calls stay, whatever else comes; of the others the oldest go first."""

    __slots__ = ("_new", "_new_bytes", "_others", "_running", "received", "sent")

    def __init__(self) -> None:
        self._new: list[_Kept] = []  # not sorted by call yet: many at once cost a fraction of one at a time
        self._new_bytes = 0
        self._running = _Group()
        self._others = _Group()
        self.sent = 0
        self.received = 0

    def note(self, at: float, sent: bool, flow: Flow, data: bytes) -> None:
        """Keep one; `at` in monotonic seconds."""
        if sent:
            self.sent += 1
        else:
            self.received += 1
        self._new.append((at, sent, flow, data))
        self._new_bytes += len(data)
        if len(self._new) >= SORT_EVERY or self._new_bytes >= SORT_BYTES:
            self._sort()

    def _sort(self) -> None:
        """Put the new messages to their calls, and forget what is too much."""
        for item in self._new:
            self._put(item)
        self._new.clear()
        self._new_bytes = 0
        self._running.limit(RUNNING_BYTES, RUNNING_BYTES)
        self._others.limit(MAX_MESSAGES, MAX_BYTES)

    def _put(self, item: _Kept) -> None:
        data = item[3]
        call_id = _call_id(data)
        running, others = self._running, self._others
        runs = call_id in running.calls
        if data.startswith(b"INVITE ") and not runs:
            others.move(call_id, running)  # a challenge before, say
            runs = True
        (running if runs else others).add(call_id, item)
        if runs and _is_end(data):
            running.move(call_id, others)

    def about(self, sip_call_id: str, offset: float) -> list[TracedMessage]:
        """Return the messages with this Call-ID, oldest first, without the keys of their sound.

        `offset` is Unix time minus monotonic time.
        """
        self._sort()
        wanted = sip_call_id.encode("utf-8", "surrogateescape")
        kept = (self._running.calls.get(wanted) or self._others.calls.get(wanted) or []) if wanted else []
        return [TracedMessage(at + offset, sent, flow, without_keys(data)) for at, sent, flow, data in kept]


def without_keys(data: bytes) -> bytes:
    """Return a message with asterisks for the keys in its SDP (RFC 4568, RFC 8839): who sees a trace need not hear the call."""
    return _KEYS.sub(lambda found: found[1] + b"*" * len(found[2]), data)


def _call_id(data: bytes) -> bytes:
    """Return the Call-ID of the first message in `data`, b"" without one."""
    start = data.find(_USUAL)
    if start >= 0:
        start += len(_USUAL)
        return data[start:data.find(b"\r\n", start)].strip()
    found = _CALL_ID.search(data)
    return found[1].strip() if found else b""


def _is_end(data: bytes) -> bool:
    """Say whether a call is over with this message, or will be in a moment."""
    if data.startswith((b"BYE ", b"CANCEL ")):
        return True
    return data.startswith(_REFUSALS) and b" INVITE\r\n" in data


_REFUSALS: Final = (b"SIP/2.0 3", b"SIP/2.0 4", b"SIP/2.0 5", b"SIP/2.0 6")
