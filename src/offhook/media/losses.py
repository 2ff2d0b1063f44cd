"""Which packets of a call were not heard, and how they lie together: bursts and gaps as RFC 3611 section 4.7.2 defines them.

A burst begins and ends with a packet that was lost or came too late, and between two such packets in it fewer than GMIN were
heard. What is between bursts is a gap; a lonely lost packet is part of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

GMIN: Final = 16  # RFC 3611 4.7.2: the recommended value
SETTLED: Final = 128  # packets behind the newest; who comes later than this stays lost (RFC 3550 A.1 forgives 100)
RUNS_KEPT: Final = 64  # of unsettled losses; more of them are settled earlier, so a hostile sender costs no memory


@dataclass(frozen=True, slots=True)
class Bursts:
    """How losses lie together. Densities are the share of packets not heard, 0-1; lengths are means in packets.

    `mean_run` is the mean number of packets not heard in a row, 0 without losses.
    """

    bursts: int = 0
    burst_density: float = 0.0
    burst_packets: float = 0.0
    gap_density: float = 0.0
    gap_packets: float = 0.0
    mean_run: float = 0.0


class _Counted:
    """What is settled: closed bursts, and the cluster of losses that may still grow. A loss is a run (first, last)."""

    __slots__ = ("bursts", "first", "last", "lone", "lost", "lost_in_bursts", "packets_in_bursts", "runs")

    def __init__(self) -> None:
        self.bursts = self.packets_in_bursts = self.lost_in_bursts = self.lone = self.runs = 0
        self.first = self.last = -1  # of the open cluster, -1: there is none
        self.lost = 0

    def copy(self) -> _Counted:
        other = _Counted()
        other.first, other.last, other.lost, other.lone = self.first, self.last, self.lost, self.lone
        other.bursts, other.runs = self.bursts, self.runs
        other.packets_in_bursts, other.lost_in_bursts = self.packets_in_bursts, self.lost_in_bursts
        return other

    def add(self, first: int, last: int) -> None:
        """Count a run behind all that were counted."""
        adjoins = self.first >= 0 and first == self.last + 1
        self.runs += not adjoins
        if self.first >= 0 and first - self.last - 1 < GMIN:
            self.lost += last - first + 1
            self.last = last
            return
        self.close()
        self.first, self.last, self.lost = first, last, last - first + 1

    def close(self) -> None:
        """End the open cluster: two losses or more are a burst."""
        if self.first < 0:
            return
        if self.lost > 1:
            self.bursts += 1
            self.packets_in_bursts += self.last - self.first + 1
            self.lost_in_bursts += self.lost
        else:
            self.lone += 1
        self.first = -1


class Losses:
    """Follows what was lost in one sequence of packet numbers (extended: they only rise). Costs nothing without loss."""

    __slots__ = ("_counted", "_open")

    def __init__(self) -> None:
        self._counted = _Counted()
        self._open: list[tuple[int, int]] = []  # runs in order; who is late may still come

    def missed(self, first: int, last: int) -> None:
        """Packets were skipped: the numbers `first` to `last`, behind all before."""
        runs = self._open
        runs.append((first, last))
        while runs and (runs[0][1] < last - SETTLED or len(runs) > RUNS_KEPT):
            self._counted.add(*runs.pop(0))

    def came(self, number: int) -> None:
        """A packet that was skipped is here after all."""
        for place, (first, last) in enumerate(self._open):
            if first <= number <= last:
                self._open[place : place + 1] = [run for run in ((first, number - 1), (number + 1, last)) if run[0] <= run[1]]
                return

    def discarded(self, number: int) -> None:
        """A packet came too late to be heard."""
        runs = self._open
        place = len(runs)
        while place and runs[place - 1][0] > number:
            place -= 1
        if place and number <= runs[place - 1][1]:
            return  # counted as missed, and never said to have come
        if place or number > self._counted.last:
            runs.insert(place, (number, number))
            if len(runs) > RUNS_KEPT:
                self._counted.add(*runs.pop(0))

    def restart(self) -> None:
        """The numbers start over; what was counted stays."""
        self._counted = self._all()
        self._counted.close()
        self._counted.last = -1
        self._open.clear()

    def bursts(self, expected: int) -> Bursts:
        """Return how it was so far, of so many packets."""
        if not (self._open or self._counted.runs):
            return Bursts(gap_packets=float(max(0, expected)))
        counted = self._all()
        counted.close()
        lost = counted.lost_in_bursts + counted.lone
        if not lost or expected <= 0:
            return Bursts(gap_packets=float(max(0, expected)))
        between = max(0, expected - counted.packets_in_bursts)
        return Bursts(
            bursts=counted.bursts,
            burst_density=counted.lost_in_bursts / counted.packets_in_bursts if counted.bursts else 0.0,
            burst_packets=counted.packets_in_bursts / counted.bursts if counted.bursts else 0.0,
            gap_density=min(1.0, counted.lone / between) if between else 0.0,
            gap_packets=between / (counted.bursts + 1),
            mean_run=lost / counted.runs,
        )

    def _all(self) -> _Counted:
        counted = self._counted.copy()
        for first, last in self._merged():
            counted.add(first, last)
        return counted

    def _merged(self) -> Iterator[tuple[int, int]]:
        """Yield the open runs; two that touch are one."""
        begun: tuple[int, int] | None = None
        for run in self._open:
            if begun is not None and run[0] == begun[1] + 1:
                begun = begun[0], run[1]
                continue
            if begun is not None:
                yield begun
            begun = run
        if begun is not None:
            yield begun
