"""Two minutes of the worst network there is: what is counted is right, and the delay comes back to what it was."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from msgspec.structs import replace
from virtual_media import CONFIG, MemoryStudio, SeededIds

from offhook.media.engine import PHASES, Engine
from offhook.media.messages import (
    ConfigureStream,
    MediaReport,
    OpenStream,
    StartRecording,
    StreamResumed,
    StreamStalled,
    StreamStats,
)
from offhook.media.rtp import HEADER

FAR = ("10.0.0.1", 4000)
CHAPTER = 1000  # frames from one change of the sender to the next
CHAPTERS = 6
CALM = 100  # frames at the end of each chapter in which nothing goes wrong
FLOOD = range(400, 420)  # frames of a chapter that come ten at a time


class Sender:
    """Makes packets in order, and says of each whether the network loses, doubles or delays it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.sequence, self.timestamp, self.ssrc = 65_000, 0xFFFF0000, 1
        self.payload_type = 0
        self.done: Counter[str] = Counter()
        self._held: list[bytes] = []

    def turn(self, chapter: int) -> None:
        """Begin a chapter: other timestamps, another source, or both as before."""
        if chapter % 3 == 1:
            self.timestamp = (self.timestamp + self.random.choice((-400_000, 3_000_000, 77_777_777))) & 0xFFFFFFFF
        if chapter % 3 == 2:
            self.ssrc += 1
            self.sequence, self.timestamp = self.random.getrandbits(16), self.random.getrandbits(32)
            self.done["sources"] += 1

    def packet(self) -> bytes:
        if self.random.random() < 0.01:
            self.payload_type ^= 8
        packet = HEADER.pack(0x80, self.payload_type, self.sequence, self.timestamp, self.ssrc) + b"\x80" * 160
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + 160) & 0xFFFFFFFF
        self.done["sent"] += 1
        return packet

    def frame(self, number: int) -> list[bytes]:
        """Return what arrives in this frame of the chapter."""
        if number in FLOOD:
            return [self.packet() for _ in range(10)]
        packet, self._held, held = self.packet(), [], self._held
        fate = self.random.random()
        if number < 10 or number > CHAPTER - CALM or fate > 0.06:
            return [packet, *held]
        if fate < 0.02:
            self.done["lost"] += 1
            return held
        if fate < 0.04:
            copies = self.random.choice((1, 9))
            self.done["doubled"] += copies
            return [packet] * (1 + copies) + held
        self._held = [packet]
        return held


def run(engine: Engine, sender: Sender) -> list[MediaReport]:
    now, reports = 1000.0, []
    for chapter in range(CHAPTERS):
        sender.turn(chapter)
        for number in range(CHAPTER):
            arrivals = sender.frame(number)
            for packet in arrivals:
                engine.receive(4000, packet, FAR, now + sender.random.random() * 0.004)
            for phase in range(PHASES):
                engine.tick(phase, now)
                now += 0.020 / PHASES
            engine.outbox.clear()
            reports += engine.reports()
    return reports


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_counts_are_right_and_the_delay_stays_small_on_the_worst_of_networks(seed: int) -> None:
    studio = MemoryStudio()
    engine = Engine(SeededIds(), studio)
    engine.execute(OpenStream("c", 4000, "soak@test"), 1000.0)
    engine.execute(ConfigureStream("c", replace(CONFIG, remote=FAR, remote_rtcp=("10.0.0.1", 4001))), 1000.0)
    engine.execute(StartRecording("c", "rec", "/rec", "stereo"), 1000.0)
    sender = Sender(seed)
    reports = run(engine, sender)

    stats = engine.streams["c"].statistics()
    # A new source is believed at its second packet; what it sent before is not counted at all.
    assert stats.packets_received + stats.packets_lost == sender.done["sent"] - sender.done["sources"]
    assert stats.packets_lost == sender.done["lost"]
    assert stats.packets_duplicate == sender.done["doubled"]
    assert stats.bytes_received == 160 * stats.packets_received
    assert stats.packets_sent == CHAPTER * CHAPTERS
    assert stats.bytes_sent == 160 * stats.packets_sent
    assert stats.buffer_ms < 120
    assert sum(isinstance(report, StreamResumed) for report in reports) == 1
    assert not any(isinstance(report, StreamStalled) for report in reports)
    assert sum(isinstance(report, StreamStats) for report in reports) == CHAPTER * CHAPTERS // 250 - 1

    heard = [any(frame) for frame in studio.recorders["/rec"].far]
    assert len(heard) == CHAPTER * CHAPTERS
    for chapter in range(1, CHAPTERS + 1):  # each calm end is heard without a gap
        assert all(heard[chapter * CHAPTER - CALM // 2 : chapter * CHAPTER])
