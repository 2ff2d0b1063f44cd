"""How late packets come: what a jitter buffer has to wait for so that nearly all are there in time.

The latest seconds are kept as blocks of ten packets, each by its latest one: one comparison a packet, and a burst of late ones
weighs no more than a single one. All but the latest of twenty blocks have to be in time, which is about 99 % of the packets.
"""

from __future__ import annotations

from collections import deque
from typing import Final

FIRST_S: Final = 0.030  # start cautiously; a quiet network brings it down within seconds
LEAST_S: Final = 0.002  # what comes no later than this is not late at all
BLOCKS: Final = 20  # of ten packets each: four seconds
SPARED: Final = 1  # blocks of these that may be late
_AT_ONCE: Final = 0.5  # of what one packet is later than expected
_DOWN: Final = 0.25  # of what is too much, from block to block


class Lateness:
    """Learns from lags: how much later (in seconds) packets came than the earliest ones did."""

    __slots__ = ("_blocks", "_moved", "peak")

    def __init__(self) -> None:
        self._blocks: deque[float] = deque(maxlen=BLOCKS)
        self._moved = 0.0  # how much the line of the earliest packets has moved: blocks are kept free of it
        self.peak = FIRST_S  # the lag that is to be expected

    def late(self, lag: float) -> None:
        """Take note at once of a packet that is later than expected."""
        if lag > self.peak:
            self.peak += (lag - self.peak) * _AT_ONCE

    def move(self, by: float) -> None:
        """All lags are greater by this: a packet was earlier than all before it."""
        self._moved += by
        self.peak = max(LEAST_S, self.peak + by)

    def review(self, worst: float) -> None:
        """Take the greatest lag of a block."""
        blocks = self._blocks
        blocks.append(worst - self._moved)
        known = sorted(blocks)[-1 - SPARED] if len(blocks) > SPARED else blocks[0]
        expected = max(LEAST_S, known + self._moved)
        if expected > self.peak:
            self.peak = expected
        elif len(blocks) > BLOCKS // 4:
            self.peak += (expected - self.peak) * _DOWN
