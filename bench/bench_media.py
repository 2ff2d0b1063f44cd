"""CPU and punctuality of the packet loop: pairs of streams that talk G.711 to each other over loopback, on one thread.

Run: python bench/bench_media.py [pairs ...] [--seconds 10] [--scale]. Every stream sends and receives 50 packets a second, with
jitter buffer, RTCP and statistics; the whole loop, system calls included, counts. With --scale it looks for the number of
streams that one core holds with fewer than one tick in a thousand more than 10 ms late.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Sequence

from offhook.io.collector import keep_collector_quiet
from offhook.io.media_load import LoadMeter
from offhook.io.media_loop import MediaLoop
from offhook.io.media_studio import LocalStudio
from offhook.io.media_wire import MediaOptions
from offhook.media.engine import PHASES
from offhook.media.messages import (
    ConfigureStream,
    MediaReport,
    OpenStream,
    PortsReady,
    SdesKeys,
    SetLoopback,
    StartPlayback,
    StreamConfig,
    StreamStats,
)
from offhook.media.sdes import key_bytes

LATE_S = 0.010
LATE_SHARE = 0.001
SCALE_STEP = 200
SCALE_LIMIT = 4000
ATTEMPTS = 3  # the machine may have had something else to do


class Ticks(LoadMeter):
    """Keeps how late each tick came, in seconds."""

    def __init__(self, lateness: list[float]) -> None:
        super().__init__(0)
        self._lateness = lateness

    def note(self, late: float) -> None:
        self._lateness.append(late)


class Meter:
    """Runs one loop on this thread and measures it."""

    def __init__(self, streams: int, seconds: float, talking: bool, suite: str = "") -> None:
        self.reports: list[MediaReport] = []
        self.lateness: list[float] = []
        self.seconds = seconds
        self.streams = streams
        self.talking = talking
        self.suite = suite
        self.cpu = self.wall = 0.0
        self.done = 0
        options = MediaOptions(host="127.0.0.1", pool=streams, sound="null")
        self.loop = MediaLoop(options, LocalStudio("null"), self._take)
        self._wired = False

    def _take(self, reports: Sequence[MediaReport]) -> None:
        self.reports += reports
        for report in reports:
            if isinstance(report, PortsReady) and not self._wired:
                self._wired = True
                self._wire(report.ports)

    def _wire(self, ports: tuple[int, ...]) -> None:
        for index in range(self.streams):
            name, port, other = f"s{index}", ports[index], ports[index ^ 1]
            config = StreamConfig(
                remote=("127.0.0.1", other), remote_rtcp=("127.0.0.1", other + 1), codec="PCMU", payload_type=0,
                receive_types=((0, "PCMU"), (8, "PCMA")), telephone_event=101, receive_events=((101, 8000),),
                security=_keys(self.suite, index) if self.suite else None,
            )  # fmt: skip
            self.loop.send(OpenStream(name, port, "bench@127.0.0.1"))
            self.loop.send(ConfigureStream(name, config))
            if self.talking and index % 2 == 0:
                self.loop.send(StartPlayback(name, "tone", "tone", frequencies=(440.0,)))
            elif self.talking:
                self.loop.send(SetLoopback(name, True))

    def run(self) -> None:
        self.loop._meter = Ticks(self.lateness)
        threading.Timer(2.0, self._begin).start()
        self.loop.run()

    def _begin(self) -> None:
        """Measure after two seconds of warming up."""
        clock = time.pthread_getcpuclockid(self._ident)
        cpu, wall = time.clock_gettime(clock), time.perf_counter()
        self.lateness.clear()
        time.sleep(self.seconds)
        self.cpu, self.wall = time.clock_gettime(clock) - cpu, time.perf_counter() - wall
        late = self.lateness[:]
        # What was done; on a busy machine ticks are given up. Each phase that works does the same number of streams.
        working = sum(self.loop.engine.works_in(phase) for phase in range(PHASES))
        self.done = len(late) * self.streams // working
        self.loop.stop()
        self.lateness = late

    def measure(self) -> None:
        thread = threading.Thread(target=self._measured)
        thread.start()
        thread.join()

    def _measured(self) -> None:
        self._ident = threading.get_ident()
        self.run()


    @property
    def late_share(self) -> float:
        """Return the share of ticks that came more than 10 ms late."""
        return sum(late > LATE_S for late in self.lateness) / len(self.lateness)

    @property
    def punctuality(self) -> float:
        """Return the share of frames that were not given up."""
        return self.done / self.streams / 50 / self.wall


def _keys(suite: str, index: int) -> SdesKeys:
    one, other = (bytes((side, *range(key_bytes(suite) - 1))) for side in (index, index ^ 1))
    return SdesKeys(suite, send=one, receive=other)


def main() -> None:
    """Print one row for each number of pairs, or look for the greatest number there can be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="*", type=int, default=[50, 200, 500])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--scale", action="store_true", help="find how many streams one core holds")
    arguments = parser.parse_args()
    keep_collector_quiet()  # as the worker process does
    if arguments.scale:
        _scale(arguments.seconds)
        return
    print("pairs  streams  audio    us/stream-frame  ms CPU/call-s  core %  late p50 ms  p99 ms  max ms  >10 ms    loss")
    for pairs in arguments.pairs:
        for talking in (False, True):
            meter = Meter(2 * pairs, arguments.seconds, talking)
            meter.measure()
            _row(meter, pairs)


def _scale(seconds: float) -> None:
    """Add streams until they are late, once with silence and once with speech."""
    for talking in (False, True):
        held = 0
        for streams in range(SCALE_STEP, SCALE_LIMIT + 1, SCALE_STEP):
            for _ in range(ATTEMPTS):
                meter = Meter(streams, seconds, talking)
                meter.measure()
                fits = meter.late_share < LATE_SHARE and meter.punctuality > 1 - LATE_SHARE
                if fits:
                    break
            print(
                f"{streams:5} streams of {'speech' if talking else 'silence'}: core {100 * meter.cpu / meter.wall:5.1f} %,"
                f" {100 * meter.late_share:6.2f} % of ticks late{'' if fits else ', too many'}",
                flush=True,
            )
            if not fits:
                break
            held = streams
        print(f"one core holds {held} streams of {'speech' if talking else 'silence'}")


def _row(meter: Meter, pairs: int) -> None:
    frames = meter.done
    late = sorted(1000 * value for value in meter.lateness)
    stats = [report for report in meter.reports if isinstance(report, StreamStats)]
    loss = max((report.loss for report in stats), default=0.0)
    print(
        f"{pairs:5}  {meter.streams:7}  {'speech ' if meter.talking else 'silence'}"
        f"  {1e6 * meter.cpu / frames:15.1f}  {1e3 * meter.cpu * 50 / frames:13.2f}"
        f"  {100 * meter.cpu / meter.wall:6.1f}  {late[len(late) // 2]:11.2f}  {late[int(len(late) * 0.99)]:6.2f}"
        f"  {late[-1]:6.2f}  {100 * meter.late_share:5.2f}%  {100 * loss:5.2f}%"
    )


if __name__ == "__main__":
    main()
