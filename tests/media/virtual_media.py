"""Two media engines, a bad network between them, and a clock that only this file turns."""

from __future__ import annotations

import heapq
import importlib.util
import math
import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from msgspec import structs

from offhook.errors import SetupError
from offhook.media.engine import PHASES, Engine
from offhook.media.handshakes import Handshake
from offhook.media.messages import (
    CardReport,
    ConfigureStream,
    DeviceKind,
    DevicesListed,
    DtlsPeer,
    LocalToneKind,
    MediaCommand,
    MediaReport,
    OpenStream,
    RecordingFormat,
    StreamConfig,
    TurnServer,
)
from offhook.media.messages.card import VoiceProcessing
from offhook.media.route import RelayLink
from offhook.media.sources import SAMPLE_RATE, SILENCE, Recorder, SoundCard, Source, frame_bytes
from offhook.media.tones import cadence_source, dtmf_frames, tone_source

R = TypeVar("R")


class SeededIds:
    """The same identifiers in each run."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)

    def token(self, length: int) -> str:
        return "".join(self.random.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(length))

    def integer(self, bits: int) -> int:
        return self.random.getrandbits(bits)

    def uniform(self, low: float, high: float) -> float:
        return self.random.uniform(low, high)


class MemoryRecorder:
    """Keeps both sides."""

    def __init__(self, rate: int = SAMPLE_RATE, error: str = "") -> None:
        self.rate = rate
        self.near: list[bytes] = []
        self.far: list[bytes] = []
        self.closed = False
        self.error = error
        self.is_open = not error
        self.slow = False

    @property
    def is_complete(self) -> bool:
        return self.closed and not self.slow

    @property
    def size(self) -> int:
        return 44 + sum(map(len, self.near))

    def finish(self) -> None:
        self.closed = True

    def write(self, near: bytes, far: bytes) -> None:
        assert len(near) == len(far) == frame_bytes(self.rate)
        self.near.append(near)
        self.far.append(far)

    def close(self) -> None:
        self.closed = True


class FakeCard:
    """A sound card whose microphone hears a list and whose loudspeaker is one."""

    def __init__(self, rate: int = SAMPLE_RATE) -> None:
        self.rate = rate
        self.mic = SILENCE
        self.captured = 0
        self.played: list[bytes] = []
        self.rung: list[bytes] = []
        self.selected: list[tuple[DeviceKind, str]] = []
        self.news: list[CardReport] = []
        self.processing = VoiceProcessing()
        self.closed = False

    def capture(self) -> bytes:
        self.captured += 1
        return self.mic

    def play(self, frame: bytes) -> None:
        assert len(frame) == frame_bytes(self.rate)
        self.played.append(frame)

    def ring(self, frame: bytes) -> None:
        assert len(frame) == frame_bytes(self.rate)
        self.rung.append(frame)

    def select(self, kind: DeviceKind, device_id: str) -> None:
        self.selected.append((kind, device_id))

    def process(self, wanted: VoiceProcessing) -> None:
        self.processing = wanted

    def devices(self) -> DevicesListed:
        return DevicesListed((), ())

    def poll(self) -> CardReport | None:
        return self.news.pop(0) if self.news else None

    def close(self) -> None:
        self.closed = True


class ListSource:
    """Plays what it was given; b"" is a file that is still being opened, an exception is raised."""

    def __init__(self, items: list[bytes | Exception]) -> None:
        self.items = items
        self.closed = False

    def read(self) -> bytes | None:
        if not self.items:
            return None
        item = self.items.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self.closed = True


class MemoryStudio:
    """Files and devices in memory."""

    def __init__(self) -> None:
        self.card = FakeCard()
        self.recorders: dict[str, MemoryRecorder] = {}
        self.files: dict[str, ListSource] = {}
        self.addresses: tuple[str, ...] = ("10.0.0.1",)
        self.handshakes: Callable[[DtlsPeer], Handshake] | None = None
        self.silent = False
        self.fast = importlib.util.find_spec("numpy") is not None

    def open_file(self, path: str, loop: bool, rate: int) -> Source:
        if path not in self.files:
            raise FileNotFoundError(2, "No such file", path)
        return self.files[path]

    def tone(self, frequencies: tuple[float, ...], duration_ms: int, gain_db: float, rate: int) -> Source:
        return tone_source(frequencies, duration_ms, gain_db, rate)

    def signal(self, kind: LocalToneKind, rate: int) -> Source:
        assert kind != "none"
        return cadence_source(kind, rate)

    def digit(self, digit: str, duration_ms: int, rate: int) -> list[bytes]:
        return dtmf_frames(digit, duration_ms, rate)

    def recorder(
        self, path: str, channels: Literal["mono", "stereo"], rate: int, form: RecordingFormat, make_folder: bool
    ) -> Recorder:
        self.recorders[path] = MemoryRecorder(rate, "Permission denied" if path.startswith("/forbidden") else "")
        return self.recorders[path]

    def sound_card(self) -> SoundCard:
        return self.card

    def handshake(self, peer: DtlsPeer) -> Handshake:
        if self.handshakes is None:
            raise SetupError("no DTLS here")
        return self.handshakes(peer)

    def local_addresses(self) -> tuple[str, ...]:
        return self.addresses

    def relay_link(self, server: TurnServer) -> RelayLink:
        raise SetupError("no streams here")

    def fast_rates(self) -> bool:
        return self.fast

    def list_devices(self) -> None:
        self.card.news.append(self.card.devices())


@dataclass
class Weather:
    """What the network does to packets: fractions lost and doubled, delay in seconds with a uniform variation."""

    loss: float = 0.0
    double: float = 0.0
    delay: float = 0.010
    jitter: float = 0.0


@dataclass(order=True)
class Flight:
    at: float
    number: int
    side: int = field(compare=False)
    port: int = field(compare=False)
    packet: bytes = field(compare=False)
    source: tuple[str, int] = field(compare=False)


CONFIG = StreamConfig(
    remote=("", 0), remote_rtcp=("", 0), codec="PCMU", payload_type=0, receive_types=((0, "PCMU"), (8, "PCMA")),
    telephone_event=101, receive_events=((101, 8000),),
)  # fmt: skip


class Pair:
    """Engine 0 at 10.0.0.1 and engine 1 at 10.0.0.2, each with the stream "c" on port 4000, talking to each other."""

    def __init__(self, weather: Weather | None = None, seed: int = 1, **config: Any) -> None:
        self.weather = weather if weather is not None else Weather()
        self.random = random.Random(seed)
        self.now = 1000.0
        self.studios = (MemoryStudio(), MemoryStudio())
        self.engines = tuple(Engine(SeededIds(seed + 10 * side), self.studios[side]) for side in (0, 1))
        self.reports: tuple[list[MediaReport], list[MediaReport]] = ([], [])
        self.sent: list[tuple[int, int, bytes]] = []  # side, destination port, packet
        self._flights: list[Flight] = []
        self._number = 0
        self._phase = 0
        for side in (0, 1):
            self.do(side, OpenStream("c", 4000, f"side{side}@test"))
            self.configure(side, **config)

    def configure(self, side: int, **changes: Any) -> None:
        host = f"10.0.0.{2 - side}"
        config = structs.replace(CONFIG, **{"remote": (host, 4000), "remote_rtcp": (host, 4001), **changes})
        self.do(side, ConfigureStream("c", config))

    def do(self, side: int, command: MediaCommand) -> None:
        self.engines[side].execute(command, self.now)
        self._collect(side)

    def run(self, seconds: float) -> None:
        end = self.now + seconds - 1e-9
        while self.now < end:
            self.now += 0.020 / PHASES
            while self._flights and self._flights[0].at <= self.now:
                flight = heapq.heappop(self._flights)
                self.engines[flight.side].receive(flight.port, flight.packet, flight.source, flight.at)
            for side, engine in enumerate(self.engines):
                engine.tick(self._phase, self.now)
                self._collect(side)
            self._phase = (self._phase + 1) % PHASES

    def inject(self, side: int, port: int, packet: bytes, source: tuple[str, int]) -> None:
        self.engines[side].receive(port, packet, source, self.now)
        self._collect(side)

    def of(self, side: int, kind: type[R]) -> list[R]:
        return [report for report in self.reports[side] if isinstance(report, kind)]

    def _collect(self, side: int) -> None:
        engine, weather = self.engines[side], self.weather
        for port, packet, (host, target) in engine.outbox:
            self.sent.append((side, target, packet))
            if self.random.random() < weather.loss or host != f"10.0.0.{2 - side}":
                continue
            for _ in range(1 + (self.random.random() < weather.double)):
                self._number += 1
                at = self.now + weather.delay + self.random.uniform(0, weather.jitter)
                source = (f"10.0.0.{1 + side}", port)
                heapq.heappush(self._flights, Flight(at, self._number, 1 - side, target, packet, source))
        engine.outbox.clear()
        while (report := engine.poll()) is not None:
            self.reports[side].append(report)


def level(frames: list[bytes], frequency: float, rate: int = SAMPLE_RATE) -> float:
    """Return the amplitude (0-32767) of a frequency in frames: Goertzel."""
    samples = array("h", b"".join(frames))
    coefficient = 2 * math.cos(math.tau * frequency / rate)
    one = two = 0.0
    for sample in samples:
        one, two = sample + coefficient * one - two, one
    power = one * one + two * two - coefficient * one * two
    return 2 * math.sqrt(max(power, 0.0)) / max(1, len(samples))
