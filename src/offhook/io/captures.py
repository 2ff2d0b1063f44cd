"""What was captured of calls: packets, and on request their keys. Bounded, in memory only, as the trace of their signalling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from offhook.media.messages import CapturedPacket, CaptureReport, StreamKeys

KEPT_BYTES: Final = 40_000_000
"""Payloads of all captures together: as many as the phone makes at once, each as long as may be. The oldest go first."""
KEPT: Final = 32
"""Captures, however short they are."""
MOST_KEYS: Final = 64
"""Of one capture: a far end that rekeys with each offer does not fill the memory."""


@dataclass(slots=True)
class Captured:
    """One capture. `keys` are empty unless they were asked for when it began; their repr shows none."""

    packets: list[CapturedPacket] = field(default_factory=list, repr=False)
    keys: list[StreamKeys] = field(default_factory=list, repr=False)
    size: int = 0


class Captures:
    """The latest capture of each call."""

    def __init__(self) -> None:
        self._kept: dict[str, Captured] = {}
        self._size = 0

    def take(self, report: CaptureReport) -> None:
        """Keep what the media engine tells."""
        if isinstance(report, StreamKeys):
            found = self._kept.get(report.stream)
            if found is not None and len(found.keys) < MOST_KEYS:
                found.keys.append(report)
        elif not report.packets:
            self._forget(report.stream)
            self._kept[report.stream] = Captured()
        elif (found := self._kept.get(report.stream)) is not None:
            size = sum(len(packet[4]) for packet in report.packets)
            found.packets += report.packets
            found.size += size
            self._size += size
        while len(self._kept) > KEPT or self._size > KEPT_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, call: str) -> None:
        found = self._kept.pop(call, None)
        if found is not None:
            self._size -= found.size

    def about(self, call: str) -> Captured | None:
        """Return what was captured of a call, None if nothing is kept."""
        return self._kept.get(call)
