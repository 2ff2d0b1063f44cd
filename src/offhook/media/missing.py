"""How many packets are missing of late, and whether in runs: what a jitter buffer does better to wait longer for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

TAKE_TWO_S: Final = 0.020  # how much longer to wait where packets are lost: with the one behind it here a gap is hardly heard
TAKE_RUN_S: Final = 0.060  # where several are lost in a row: a gap of two or three is filled from both ends, too, then
LOSSY: Final = 0.5  # packets missing of late: one in five seconds is enough
# Packets missing of late behind another that was: below the first no run is expected, above the second one is.
IN_RUNS: Final[Sequence[float]] = (0.5, 1.5)
_FORGIVE: Final = 0.97  # of the missing packets are still held against the network at the next review


class Missing:
    """Learns from packets that did not come, and forgets a little at each review (five a second)."""

    __slots__ = ("_in_runs", "_of_late", "_runs")

    def __init__(self) -> None:
        self._of_late = 0.0  # packets
        self._runs = 0.0  # those behind another that was missing
        self._in_runs = False

    def note(self, packets: float = 1.0) -> None:
        """So many are missing."""
        self._of_late += packets

    def note_run(self) -> None:
        """One that was given up is behind another one."""
        self._runs += 1.0

    def review(self) -> None:
        """Forget a little."""
        self._of_late *= _FORGIVE
        self._runs *= _FORGIVE
        self._in_runs = self._runs > IN_RUNS[0 if self._in_runs else 1]

    def longer(self, *, bridged: bool) -> float:
        """Return how much longer to wait, in seconds; `bridged`: gaps of several frames are filled from both ends."""
        if self._of_late <= LOSSY:
            return 0.0
        return TAKE_RUN_S if self._in_runs and bridged else TAKE_TWO_S
