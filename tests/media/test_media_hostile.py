"""Hostile RTP: every datagram is counted, none raises, and nobody else is heard."""

from __future__ import annotations

import random
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.media.codecs import codec
from offhook.media.jitter import MAX_FRAMES
from offhook.media.receiving import Receiver
from offhook.media.sources import SILENCE, frame_bytes
from offhook.testing.badnet import FAR, stream

STRANGERS = (("192.0.2.7", 4000), ("10.0.0.1", 4002))
WICKED = st.sampled_from(
    ("fine", "fine", "fine", "flipped", "cut", "other type", "unknown type", "other source", "jump", "back", "flood", "twice",
     "stranger", "options", "empty", "gone")
)  # fmt: skip


class Listening:
    """A receiver of three codecs, at 8 and 16 kHz, and what it was sent."""

    def __init__(self) -> None:
        self.control = self.sent = 0
        self.presses: list[tuple[str, int]] = []
        self.receiver = Receiver(lambda *_: None, lambda: None, self.presses.extend, self._take_control)
        self.receiver.configure({0: codec("PCMU"), 8: codec("PCMA"), 97: codec("L16/16000")}, {101: 8000})
        self.receiver.expect(FAR, False, 0.0)
        self.receiver.listen(True)

    def _take_control(self, *_: object) -> None:
        self.control += 1

    def send(self, packet: bytes, source: tuple[str, int], now: float) -> None:
        self.sent += 1
        self.receiver.receive(packet, source, now)

    def hear(self, now: float) -> bytes:
        receiver = self.receiver
        receiver.hear(now)
        frame = receiver.far
        assert frame is SILENCE or len(frame) == frame_bytes(receiver.rate)
        assert len(receiver.buffer) <= MAX_FRAMES + 1
        return frame

    def counted(self) -> int:
        receiver = self.receiver
        receiver.totals()  # brings the counts up to date
        return receiver.packets + receiver.garbage + receiver.foreign + receiver.buffer.duplicate + self.control


def loud(samples: int) -> bytes:
    """Return mu-law that no speech of these tests has: full scale."""
    return bytes((0x00, 0x80)) * (samples // 2)


def wicked(packet: bytes, fate: str, chance: random.Random) -> list[bytes]:
    """Return what becomes of a packet."""
    changed = bytearray(packet)
    if fate == "flipped":
        for _ in range(chance.randint(1, 8)):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    elif fate == "cut":
        del changed[chance.randrange(len(changed)) :]
    elif fate == "other type":
        changed[1] = chance.choice((0, 8, 97, 101, 13)) | changed[1] & 0x80
    elif fate == "unknown type":
        changed[1] = chance.randrange(256)
    elif fate == "other source":
        changed[8:12] = chance.randbytes(4)
    elif fate == "jump":
        changed[4:8] = chance.randbytes(4)
    elif fate == "back":
        changed[2:4] = chance.randbytes(2)
    elif fate == "options":
        changed[0] = 0x80 | chance.randrange(64)
    elif fate == "empty":
        del changed[12:]
    return {"flood": [bytes(changed)] * 10, "twice": [packet] * 2, "gone": []}.get(fate, [bytes(changed)])


@pytest.mark.slow
@settings(max_examples=4 * settings().max_examples, deadline=None)
@given(st.lists(WICKED, min_size=1, max_size=120), st.integers(0, 2**32))
def test_whatever_comes_is_counted_once_and_there_is_a_frame_to_hear(fates: list[str], seed: int) -> None:
    chance = random.Random(seed)
    listening = Listening()
    packets = stream([bytes((0xFE,)) * 160] * len(fates), 0, 160)
    for number, (packet, fate) in enumerate(zip(packets, fates, strict=True)):
        now = 100.0 + 0.020 * number + chance.random() * 0.015
        for made in wicked(packet, fate, chance):
            source = chance.choice(STRANGERS) if fate == "stranger" else FAR
            listening.send(made, source, now)
        listening.hear(100.02 + 0.020 * number)
        if number % 10 == 0:
            listening.receiver.buffer.review(100.02 + 0.020 * number)
    assert listening.counted() == listening.sent


@settings(max_examples=settings().max_examples // 4, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_nobody_else_is_heard_while_the_far_end_speaks(seed: int, same_source: bool) -> None:
    chance = random.Random(seed)
    listening = Listening()
    spoken = stream([bytes((0x70,)) * 160] * 100, 0, 160)
    foreign = stream([loud(160)] * 100, 0, 160, ssrc=7 if same_source else 8)
    for number in range(100):
        now = 100.0 + 0.020 * number
        listening.send(spoken[number], FAR, now)
        for _ in range(chance.randrange(4)):
            place = min(99, number + chance.randrange(3))
            listening.send(foreign[place], chance.choice(STRANGERS), now + chance.random() * 0.02)
        frame = listening.hear(now + 0.02)
        assert frame is SILENCE or max(map(abs, array("h", frame))) < 8000
    assert listening.receiver.totals() == (100, 0)
    assert listening.receiver.packets == 100
    assert listening.counted() == listening.sent


def test_a_flood_of_ten_times_too_much_is_bounded_and_ends_with_the_flood() -> None:
    listening = Listening()
    packets = stream([bytes((0x70,)) * 160] * 5000, 0, 160)
    place = 0
    for tick in range(800):
        now = 100.0 + 0.020 * tick
        for _ in range(10 if 100 <= tick < 300 else 1):
            listening.send(packets[place], FAR, now)
            place += 1
        listening.hear(now + 0.01)
        if tick % 10 == 0:
            listening.receiver.buffer.review(now + 0.01)
    assert listening.counted() == listening.receiver.packets == listening.sent == place
    assert listening.receiver.buffer.delay_ms < 300.0
    assert any(listening.hear(116.02 + 0.02 * tick) for tick in range(1))


@pytest.mark.parametrize("fate", ["other type", "jump", "other source", "flood", "cut", "options"])
def test_after_an_attack_the_call_goes_on(fate: str) -> None:
    chance = random.Random(1)
    listening = Listening()
    packets = stream([bytes((0x70,)) * 160] * 600, 0, 160)
    level: list[int] = []
    for number, packet in enumerate(packets):
        now = 100.0 + 0.020 * number
        for made in [packet] if not 100 <= number < 200 else wicked(packet, fate, chance):
            listening.send(made, FAR, now)
        frame = listening.hear(now + 0.01)
        level.append(max(map(abs, array("h", frame))))
        if number % 10 == 0:
            listening.receiver.buffer.review(now + 0.01)
    assert min(level[500:]) > 0
    assert listening.receiver.buffer.delay_ms < 250.0
