"""Prometheus metrics: what the phone does, in the text format 0.0.4, counted from the events since HTTP was opened."""

from __future__ import annotations

import mmap
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from offhook.control.backend import Backend, Envelope
from offhook.media.messages import StreamStats
from offhook.phone.commands import GetSnapshot
from offhook.phone.events import CallEnded, MediaStats
from offhook.phone.model import CallState, Snapshot, WorkerView

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (1, 10, 60, 300, 1800)
"""Upper bounds of the histogram of call lengths."""


_WORKERS: Final[tuple[tuple[str, str, str, Callable[[WorkerView], float]], ...]] = (
    ("calls", "gauge", "Calls by media worker.", lambda worker: worker.calls),
    ("worker_cpu_seconds_total", "counter", "Processor time of a media worker's packet loop.", lambda worker: worker.cpu_s),
    ("worker_load", "gauge", "Share of a core that a media worker used in the last second.", lambda worker: worker.cpu),
    ("ticks_total", "counter", "Ticks of a media worker, 50 to 200 a second while it has calls.", lambda worker: worker.ticks),
    ("late_ticks_total", "counter", "Ticks that came more than 10 ms late.", lambda worker: worker.late_ticks),
    ("lateness_max_seconds", "gauge", "The latest tick of the last second.", lambda worker: worker.latest_ms / 1000),
    ("worker_full", "gauge", "1 while a media worker takes no new calls.", lambda worker: int(worker.full)),
)
"""What is told of each media worker: name, kind, meaning, and where it comes from."""

_PACKETS: Final = ("received", "sent", "lost", "late", "duplicate", "reordered")
"""Kinds of packets that are counted: the fields packets_… of the figures."""
_SCALED: Final = ("stretched", "shrunk")
FIGURES_KEPT: Final = 200
"""Ended calls whose latest figures are kept for the final ones to be counted against; those come within a second."""
_NO_FIGURES: Final[Mapping[str, int]] = dict.fromkeys((*(f"packets_{kind}" for kind in _PACKETS), *_SCALED), 0)


class Metrics:
    """Counts events, and prints everything when asked. One for each HTTP surface."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.events: Counter[str] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()
        self.lengths: Counter[int] = Counter()
        self.talked = 0.0
        self.calls = 0
        self.heard: Counter[str] = Counter()
        self._figures: dict[str, Mapping[str, int]] = {}
        self._over: deque[str] = deque()
        self._unsubscribe = backend.subscribe(self._count)

    def close(self) -> None:
        """Count no more."""
        self._unsubscribe()

    def _count(self, envelope: Envelope) -> None:
        event = envelope.event
        self.events[event.type] += 1
        if isinstance(event, CallEnded):
            self._count_end(event)
        elif isinstance(event, MediaStats):
            self._count_figures(event.call.id, event.stats, event.final)

    def _count_figures(self, call: str, stats: StreamStats, final: bool) -> None:
        """Add what is new since the call's figures before these."""
        before = self._figures.pop(call, _NO_FIGURES)
        now = {name: int(getattr(stats, name)) for name in _NO_FIGURES}
        for name, count in now.items():
            self.heard[name] += max(0, count - before[name])
        if not final:
            self._figures[call] = now

    def _count_end(self, event: CallEnded) -> None:
        call = event.call
        self._over.append(call.id)
        if len(self._over) > FIGURES_KEPT:
            self._figures.pop(self._over.popleft(), None)
        outcome = "answered" if call.answered is not None else str(call.end.sip_status) if call.end is not None else "0"
        self.ended[call.direction, outcome] += 1
        if call.answered is not None:
            self.talked += event.duration
            self.calls += 1
            for bound in _SECONDS:
                self.lengths[bound] += event.duration <= bound

    # --- printing

    def text(self) -> str:
        """Return all of it."""
        found: Snapshot = self._backend.execute(GetSnapshot()).value
        about, lines = self._backend.about(), list[str]()
        _metric(lines, "offhook_info", "gauge", "1, and what runs.", [({"version": about["version"]}, 1)])
        _metric(lines, "offhook_start_time_seconds", "gauge", "When this run of the phone began, Unix seconds.",
                [({}, about["since"].timestamp())])
        states = Counter(str(call.state) for call in found.calls)
        _metric(lines, "offhook_calls", "gauge", "Calls by state.",
                [({"state": str(state)}, states[str(state)]) for state in CallState if state is not CallState.ENDED])
        _metric(lines, "offhook_calls_ended_total", "counter", "Calls that are over, by the final SIP status or answered.",
                [({"direction": way, "outcome": outcome}, count) for (way, outcome), count in sorted(self.ended.items())])
        self._durations(lines)
        _metric(lines, "offhook_account_registered", "gauge", "1 while the account is registered.",
                [({"account": account.id}, int(account.registration == "registered")) for account in found.accounts])
        _metric(lines, "offhook_events_total", "counter", "Events by type.",
                [({"type": name}, count) for name, count in sorted(self.events.items())])
        _metric(lines, "offhook_event_seq", "gauge", "The number of the latest event of this run.",
                [({}, self._backend.journal.head.seq)])
        self._quality(lines, found)
        self._load(lines)
        self._sip(lines)
        _process(lines)
        return "\n".join(lines) + "\n"

    def _durations(self, lines: list[str]) -> None:
        name = "offhook_call_duration_seconds"
        _head(lines, name, "histogram", "Seconds that answered calls lasted.")
        lines.extend(f'{name}_bucket{{le="{bound}"}} {self.lengths[bound]}' for bound in _SECONDS)
        lines += [f'{name}_bucket{{le="+Inf"}} {self.calls}', f"{name}_sum {self.talked:.10g}", f"{name}_count {self.calls}"]

    def _quality(self, lines: list[str], found: Snapshot) -> None:
        for name, text in (("mos", "Speech quality 1-4.5."), ("loss", "Share of packets lost, 0-1."),
                           ("jitter_ms", "Jitter in milliseconds."), ("rtt_ms", "Round trip in milliseconds.")):
            values = [value for call in found.calls if (value := getattr(call.media, name)) is not None]
            rows: list[tuple[Mapping[str, str], float]] = [({}, sum(values) / len(values))] if values else []
            _metric(lines, f"offhook_media_{name}_average", "gauge", f"{text} The mean of the running calls.", rows)

        _metric(lines, "offhook_media_packets_total", "counter", "RTP packets, counted each five seconds and at a call's end.",
                [({"kind": kind}, self.heard[f"packets_{kind}"]) for kind in _PACKETS])
        _metric(lines, "offhook_media_time_scaled_total", "counter", "Pieces of sound that were played longer, or shorter.",
                [({"kind": kind}, self.heard[kind]) for kind in _SCALED])

    def _load(self, lines: list[str]) -> None:
        load = self._backend.load()
        for name, kind, text, read in _WORKERS:
            rows = [({"worker": str(worker.worker)}, read(worker)) for worker in load.workers]
            _metric(lines, f"offhook_media_{name}", kind, text, rows)
        _metric(lines, "offhook_loop_lag_seconds", "gauge", "How long commands and events wait for the phone's event loop.",
                [({}, load.lag_ms / 1000)])
        _metric(lines, "offhook_loop_lag_max_seconds", "gauge", "The longest such wait since the phone's start.",
                [({}, load.lag_most_ms / 1000)])

    def _sip(self, lines: list[str]) -> None:
        sent, received = self._backend.sip_messages()
        _metric(lines, "offhook_sip_messages_total", "counter", "SIP messages.",
                [({"direction": "sent"}, sent), ({"direction": "received"}, received)])


def _process(lines: list[str]) -> None:
    used = time.process_time()
    _metric(lines, "process_cpu_seconds_total", "counter", "Processor time of the phone's own process.", [({}, used)])
    resident = _resident()
    if resident:
        _metric(lines, "process_resident_memory_bytes", "gauge", "Memory of the phone's own process.", [({}, resident)])
    _metric(lines, "offhook_time_seconds", "gauge", "The phone's clock, Unix seconds.", [({}, time.time())])


def _resident() -> int:
    """Return resident memory in bytes, 0 where the system does not say it in this way."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE
    except (OSError, ValueError, AttributeError):
        return 0


def _head(lines: list[str], name: str, kind: str, text: str) -> None:
    lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _metric(lines: list[str], name: str, kind: str, text: str, rows: Iterable[tuple[Mapping[str, str], float]]) -> None:
    _head(lines, name, kind, text)
    for labels, value in rows:
        inside = ",".join(f'{key}="{_label(each)}"' for key, each in labels.items())
        lines.append(f"{name}{{{inside}}} {value:.10g}" if inside else f"{name} {value:.10g}")


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
