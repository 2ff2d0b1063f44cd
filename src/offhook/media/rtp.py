"""RTP packets and the bookkeeping of their sequence numbers: RFC 3550 sections 5.1, 6.4.1 and appendices A.1, A.3."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from offhook.media.losses import Losses

HEADER: Final = struct.Struct("!BBHII")  # V/P/X/CC, M/PT, sequence number, timestamp, SSRC
WORDS: Final = struct.Struct("!IQ")  # the same as two numbers: what changes from packet to packet is easily told from them
HEADER_BYTES: Final = 12
PLAIN: Final = 0x80  # version 2, no padding, no extension, no contributing sources: nearly every packet
MARKER: Final = 0x80
COMFORT_NOISE: Final = 13  # RFC 3389, static payload type
MAX_DROPOUT: Final = 3000  # RFC 3550 A.1: a gap up to a minute is loss, a wider one a restarted sender
MAX_MISORDER: Final = 100  # RFC 3550 A.1
_WINDOW: Final = (1 << MAX_MISORDER) - 1


def payload_span(packet: bytes) -> tuple[int, int] | None:
    """Return where the payload starts and ends, or None for what is not an RTP packet. RFC 3550 5.1, 5.3.1."""
    size = len(packet)
    if size < HEADER_BYTES or packet[0] >> 6 != 2:
        return None
    start, end = HEADER_BYTES + 4 * (packet[0] & 0x0F), size
    if packet[0] & 0x10:
        if start + 4 > size:
            return None
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    if packet[0] & 0x20:
        # RFC 3550 5.1: the last octet counts the padding, itself included, so 0 cannot be.
        if packet[-1] == 0:
            return None
        end -= packet[-1]
    return (start, end) if start <= end else None


class Arrival(IntEnum):
    """What a sequence number says about its packet."""

    NEW = 0
    DUPLICATE = 1
    JUMP = 2  # far from all others and not yet confirmed by a successor: drop it
    RESTART = 3  # a second packet after a JUMP: the sender starts over


_NEW: Final = Arrival.NEW  # looking up an enumeration's member costs as much as all the rest of `note`


class Reception:
    """Counts what arrives from one synchronization source. Totals survive a restart of the numbering.

    A packet in order only moves `top`; the rest is brought up to date when one is not, or when somebody asks.
    """

    __slots__ = ("_base", "_counted", "_jump", "_past", "_prior", "_prior_received", "_seen", "_settled", "losses", "top")

    def __init__(self, sequence: int, losses: Losses | None = None) -> None:
        self.losses = losses or Losses()
        self._counted = 0
        self._past = 0
        self._prior = self._prior_received = 0
        self._start(sequence)

    def _start(self, sequence: int) -> None:
        # One cycle ahead, so that a packet before the first one has a positive extended number too.
        self._base = sequence + 0x10000
        self.top = self._settled = self._base - 1
        self._seen = 0  # a bit for each of the last numbers up to `_settled`: it came
        self.losses.restart()
        self._jump = -1

    def note(self, sequence: int) -> Arrival:
        """Count a packet and say what to do with it."""
        delta = (sequence - self.top) & 0xFFFF
        if delta == 1:
            self.top += 1
            return _NEW
        self._settle()
        return self._note_disordered(sequence, delta)

    def _settle(self) -> None:
        """Enter the packets that came in order since the last time."""
        run = self.top - self._settled
        self._counted += run
        self._seen = (self._seen << run | (1 << run) - 1) & _WINDOW if run < MAX_MISORDER else _WINDOW
        self._settled = self.top

    def _note_disordered(self, sequence: int, delta: int) -> Arrival:
        if 0 < delta < MAX_DROPOUT:
            self.losses.missed(self.top + 1, self.top + delta - 1)
            self.top = self._settled = self.top + delta
            self._seen = ((self._seen << delta) | 1) & _WINDOW if delta < MAX_MISORDER else 1
        elif (back := -delta & 0xFFFF) < MAX_MISORDER:
            if self._seen >> back & 1:
                return Arrival.DUPLICATE
            self._seen |= 1 << back
            self.losses.came(self.top - back)
            self._base = min(self._base, self.top - back)
        elif sequence == self._jump:
            # RFC 3550 A.1: two in sequence, so the other side restarted without telling us.
            self.restart(sequence)
            return Arrival.RESTART
        else:
            self._jump = (sequence + 1) & 0xFFFF
            return Arrival.JUMP
        self._counted += 1
        return _NEW

    def restart(self, sequence: int) -> None:
        """The sender counts anew, from this packet on."""
        self._settle()
        self._past += self.top - self._base + 1
        self._start(sequence)
        self.note(sequence)

    def discard(self, sequence: int) -> None:
        """Be told that a packet that was counted just now came too late to be heard."""
        self.losses.discarded(self.top - (self.top - sequence & 0xFFFF))

    @property
    def received(self) -> int:
        """Return how many packets arrived, none counted twice."""
        return self._counted + self.top - self._settled

    @property
    def expected(self) -> int:
        """Return how many packets the sender has sent as far as the numbers tell."""
        return self._past + self.top - self._base + 1

    @property
    def lost(self) -> int:
        """Return expected minus received, not below 0."""
        return max(0, self.expected - self.received)

    def fraction_since_last(self) -> float:
        """Return the fraction lost since the last call of this method, 0-1. RFC 3550 A.3."""
        expected, received = self.expected - self._prior, self.received - self._prior_received
        self._prior, self._prior_received = self.expected, self.received
        return max(0.0, (expected - received) / expected) if expected > 0 else 0.0
