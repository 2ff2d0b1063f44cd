"""DTMF digits as telephone events: RFC 4733, both directions."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from offhook.media.sources import FRAMES_A_SECOND, SAMPLE_RATE

DIGITS: Final = "0123456789*#ABCD"  # RFC 4733 3.2: events 0 to 15
PAUSE: Final = ","
EVENT: Final = struct.Struct("!BBH")  # event, E/R/volume, duration
END: Final = 0x80
VOLUME: Final = 10  # -10 dBm0
END_PACKETS: Final = 3  # RFC 4733 2.5.1.4: the last packet is sent three times in all
MAX_UNITS: Final = 0xFFFF  # RFC 4733 2.5.1.3: longer events come in segments
PATIENCE_MS: Final = 200.0  # no packet of an event for so long: its end was lost (updates come every 20-50 ms)


def normal(digits: str) -> str:
    """Return the digits in capitals. Raises ValueError naming the first that is neither a DTMF digit nor ','."""
    for character in digits:
        if character.upper() not in DIGITS and character != PAUSE:
            raise ValueError(f"not a DTMF digit: {character!r}")
    return digits.upper()


def event_packets(digit: str, duration_ms: int, clock: int = SAMPLE_RATE) -> Iterator[tuple[bytes, int, bool]]:
    """Yield one (payload, since, is_end) for each 20 ms of the digit, then the end packet twice again.

    Durations count the `clock` of the payload type. What its 16 bits cannot say (8 s at 8 kHz, 1.4 s at 48 kHz) comes in
    segments; `since` is how far a packet's segment is behind the beginning of the digit, by that clock. The caller sends each
    with the timestamp of its segment, the marker on the very first.
    """
    event = DIGITS.index(digit)
    frame = clock // FRAMES_A_SECOND
    units = max(1, round(duration_ms / 20)) * frame
    since = repeated = 0
    for elapsed in range(frame, units, frame):
        if elapsed - since < MAX_UNITS:
            yield EVENT.pack(event, VOLUME, elapsed - since), since, False
            continue
        # RFC 4733 2.5.1.3: the segment's longest duration, without the end bit; 2.5.1.4: its last packet three times, too.
        yield EVENT.pack(event, VOLUME, MAX_UNITS), since, False
        repeated += 1
        if repeated == END_PACKETS:
            since, repeated = since + MAX_UNITS, 0
    since += MAX_UNITS * (units - since > MAX_UNITS)
    for _ in range(END_PACKETS):
        yield EVENT.pack(event, END | VOLUME, units - since), since, True


@dataclass(slots=True)
class _Press:
    """An event under way. `timestamp` is that of its present segment, `before` the length of the earlier ones."""

    event: int
    timestamp: int
    heard: float
    units: int = 0
    before: int = 0


class EventReceiver:
    """Makes key presses of the packets of one stream, each reported once, when it ends.

    A press is its timestamp and event (RFC 4733 2.5.1.2), so a digit pressed twice counts twice and a packet that comes
    doubled, late or out of order never does. The marker bit is not believed.
    """

    __slots__ = ("_cut", "_done", "_done_event", "_press", "clock", "timeline")

    def __init__(self) -> None:
        self.clock = SAMPLE_RATE  # of the payload type
        self.timeline = SAMPLE_RATE  # of the timestamps: the codec's clock, where a far end has all events on 8 kHz
        self._press: _Press | None = None
        self._done: int | None = None  # timestamp of the last press that was reported
        self._done_event = -1
        self._cut: _Press | None = None  # reported without its end: what of it comes later is no new press

    @property
    def active(self) -> bool:
        """Return whether a key is down: then call `expire` now and then."""
        return self._press is not None

    def receive(self, timestamp: int, payload: bytes, now: float) -> list[tuple[str, int]]:
        """Take one packet that came at `now` (ms) and return the (digit, duration in ms) that ended by it, at most two."""
        if len(payload) < EVENT.size:
            return []
        event, flags, units = EVENT.unpack_from(payload)
        if event >= len(DIGITS):
            return []
        ended: list[tuple[str, int]] = []
        press = self._press
        if press is None or press.timestamp != timestamp or press.event != event:
            if self._is_old(timestamp, event):
                return []
            if press is not None and self._continues(press, event, timestamp):
                press.before += MAX_UNITS
                press.timestamp = timestamp
                press.units = 0
            elif self._cut is not None and self._continues(self._cut, event, timestamp):
                self._cut.timestamp = self._done = timestamp
                return []
            else:
                ended += self.finish()
                self._cut = None
                press = self._press = _Press(event, timestamp, now)
        press.heard = now
        press.units = max(press.units, units)  # an older packet overtaken on the way does not shorten it
        if flags & END:
            ended += self.finish()
        return ended

    def expire(self, now: float) -> list[tuple[str, int]]:
        """Return the press whose end packets were all lost."""
        if self._press is not None and now - self._press.heard > PATIENCE_MS:
            self._cut = self._press
            return self.finish()
        return []

    def finish(self) -> list[tuple[str, int]]:
        """End the press under way, if any, and return it (the stream closes, or the end bit came)."""
        press, self._press = self._press, None
        if press is None:
            return []
        self._done, self._done_event = press.timestamp, press.event
        return [(DIGITS[press.event], (press.before + press.units) * 1000 // self.clock)]

    def restart(self) -> None:
        """The sender chose new timestamps: nothing counts as old any more."""
        self._done = self._cut = None

    def _is_old(self, timestamp: int, event: int) -> bool:
        latest = self._press.timestamp if self._press is not None else self._done
        if latest is None:
            return False
        if self._press is None and timestamp == latest and event != self._done_event:
            return False  # a far end whose clock stands still between two keys
        # Within ten seconds behind the newest press it is a straggler; further off the sender has restarted.
        behind = (latest - timestamp) & 0xFFFFFFFF
        return behind < 10 * max(self.clock, self.timeline)

    def _continues(self, press: _Press, event: int, timestamp: int) -> bool:
        # RFC 4733 2.5.1.3: the next segment starts where the one of maximum length stopped. Where the clocks differ, far ends
        # are not of one mind which of them that is said by.
        step = (timestamp - press.timestamp) & 0xFFFFFFFF
        return press.event == event and step in (MAX_UNITS, MAX_UNITS * self.timeline // self.clock)
