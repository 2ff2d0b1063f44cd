"""What an audio link costs: CPU of the media worker and of the program's process, and how long a frame takes to get across.

Run: python bench/bench_audio.py [links ...] [--rate 16000] [--seconds 6]. Pairs of streams talk G.711 to each other over
loopback in a worker process. The figures are differences: the same calls with links, less the same calls without.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import socket
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from offhook.io.audio_link import AudioLink, AudioLinks, Frame
from offhook.io.media_host import MediaHost
from offhook.io.media_wire import MediaOptions
from offhook.media.messages import (
    AudioRate,
    ConfigureStream,
    EngineTrouble,
    MediaReport,
    OpenAudio,
    OpenStream,
    PortsReady,
    StartPlayback,
    StreamConfig,
)
from offhook.media.rtp import HEADER, PLAIN

WARM_S = 2.0
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass
class Cost:
    """CPU seconds a second of the worker and of this process, and the frames a second that came here."""

    worker: float
    program: float
    frames: float


class Calls:
    """Streams in pairs, and everything their host reports."""

    def __init__(self, mode: Literal["thread", "process"], streams: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.ports: list[int] = []
        self.trouble = 0
        self._bound = asyncio.Event()
        self.host = MediaHost(
            mode=mode, options=MediaOptions(host="127.0.0.1", pool=streams, sound="null"),
            on_reports=lambda reports: self.loop.call_soon_threadsafe(self._take, reports),
        )  # fmt: skip
        self.links = AudioLinks(self.host.send, lambda report: None)
        self.host.set_audio_callback(self.links.take)
        self.host.start()

    def _take(self, reports: list[MediaReport]) -> None:
        for report in reports:
            if isinstance(report, PortsReady):
                self.ports += report.ports
                self._bound.set()
            self.trouble += isinstance(report, EngineTrouble)

    async def wait_for_ports(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.ports) < count:
                self._bound.clear()
                await self._bound.wait()

    def connect(self, name: str, port: int, other: int) -> None:
        config = StreamConfig(("127.0.0.1", other), ("127.0.0.1", other + 1), "PCMU", 0, ((0, "PCMU"),))
        self.host.send(OpenStream(name, port, "bench@127.0.0.1"), ConfigureStream(name, config))

    def open(self, name: str, rate: AudioRate, hear: bool, speak: bool) -> AudioLink:
        self.host.send(OpenAudio(name, f"link-{name}", rate, hear, speak))
        return self.links.add(name, f"link-{name}", rate, hear, speak, lambda _: None)

    def worker_cpu(self) -> float:
        worker = self.host._worker
        if worker is None:
            return 0.0
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def tone(rate: int, milliseconds: int) -> bytes:
    count = rate * milliseconds // 1000
    return array("h", (round(8000 * math.sin(math.tau * 440 * place / rate)) for place in range(count))).tobytes()


Kind = Literal["silence", "speak", "tone", "hear"]


async def measure(streams: int, rate: AudioRate, kind: Kind, seconds: float) -> Cost:
    """Run silent calls, the same with links that speak, calls that play a tone, or the same with links that hear it."""
    calls = Calls("process", streams)
    await calls.wait_for_ports(streams)
    count = 0

    def heard(_: Frame) -> None:
        nonlocal count
        count += 1

    for index in range(streams):
        calls.connect(f"s{index}", calls.ports[index], calls.ports[index ^ 1])
    piece = tone(rate, 100)
    speakers: list[AudioLink] = []
    for index in range(streams):
        if kind in ("tone", "hear"):
            calls.host.send(StartPlayback(f"s{index}", "p", "tone", frequencies=(440.0,)))
        if kind == "hear":
            calls.open(f"s{index}", rate, True, False).on_frame = heard
        elif kind == "speak":
            speakers.append(calls.open(f"s{index}", rate, False, True))
    end = time.monotonic() + WARM_S
    await _write_until(speakers, piece, end)
    worker, program, count = calls.worker_cpu(), time.process_time(), 0
    await _write_until(speakers, piece, end + seconds)
    cost = Cost(
        (calls.worker_cpu() - worker) / seconds, (time.process_time() - program) / seconds, count / seconds
    )
    if calls.trouble:
        print("the worker was late:", calls.trouble)
    await asyncio.to_thread(calls.host.close)
    return cost


async def _write_until(speakers: list[AudioLink], piece: bytes, end: float) -> None:
    """Write 100 ms at a time, 200 ms ahead, as a program does that makes speech."""
    while time.monotonic() < end:
        for link in speakers:
            if link.buffered_ms < 200:
                link.write(piece)
        await asyncio.sleep(0.02)


async def latency(mode: Literal["thread", "process"], rate: AudioRate, seconds: float) -> list[float]:
    """Return the ms from sending an RTP packet to this link's callback: jitter buffer, tick and crossing together."""
    calls = Calls(mode, 2)
    await calls.wait_for_ports(2)
    taken: list[float] = []
    sent_at = 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.setblocking(False)
        calls.connect("a", calls.ports[0], far.getsockname()[1])
        link = calls.open("a", rate, True, False)

        def heard(frame: Frame) -> None:
            nonlocal sent_at
            if sent_at and any(frame.pcm):
                taken.append(1000 * (time.perf_counter() - sent_at))
                sent_at = 0.0

        link.on_frame = heard
        begin = time.perf_counter()
        for number in range(int(seconds * 50)):
            loud = number % 25 == 24
            if loud:
                sent_at = time.perf_counter()
            far.sendto(HEADER.pack(PLAIN, 0, number, 160 * number, 7) + (b"\0" if loud else b"\xff") * 160,
                       ("127.0.0.1", calls.ports[0]))  # fmt: skip
            await asyncio.sleep(max(0.0, begin + 0.02 * (number + 1) - time.perf_counter()))
    await asyncio.to_thread(calls.host.close)
    return sorted(taken)


async def run(links: list[int], rate: AudioRate, seconds: float) -> None:
    """Print the figures."""
    print(f"links at {rate} Hz   direction   worker us/frame   core %   program us/frame   core %   frames/s")
    for count in links:
        pairs: tuple[tuple[Kind, Kind], ...] = (("tone", "hear"), ("silence", "speak"))
        for without, kind in pairs:
            base = await measure(count, rate, without, seconds)
            cost = await measure(count, rate, kind, seconds)
            worker, program = cost.worker - base.worker, cost.program - base.program
            print(
                f"{count:5}              {kind:9} {1e6 * worker / count / 50:16.1f} {100 * worker:8.1f}"
                f" {1e6 * program / count / 50:18.1f} {100 * program:8.1f} {cost.frames:10.0f}"
            )
    print("packet to callback, ms       p50     p95     max")
    for mode in get_args(Literal["thread", "process"]):
        taken = await latency(mode, rate, max(seconds, 10.0))
        print(f"   media in a {mode:8} {taken[len(taken) // 2]:11.1f} {taken[int(len(taken) * 0.95)]:7.1f} {taken[-1]:7.1f}")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("links", nargs="*", type=int, default=[20, 100])
    parser.add_argument("--rate", type=int, choices=get_args(AudioRate), default=16000)
    parser.add_argument("--seconds", type=float, default=6.0)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.links, arguments.rate, arguments.seconds))


if __name__ == "__main__":
    main()
