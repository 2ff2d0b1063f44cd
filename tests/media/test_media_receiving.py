"""The receiving side: whatever takes the short way counts and sounds as if it had taken the long one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.media.codecs import codec
from offhook.media.receiving import Address, Receiver
from offhook.media.rtp import HEADER
from offhook.media.sources import SILENCE

FAR = ("10.0.0.1", 4000)


class Heard:
    """A receiver and what it told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.receiver = Receiver(
            self.told.append, lambda: self.told.append("flow"), self.told.append, lambda *rtcp: self.told.append(rtcp)
        )
        self.receiver.configure({0: codec("PCMU"), 8: codec("PCMA")}, 101)
        self.receiver.expect(FAR, False)
        self.receiver.listen(True)

    def figures(self) -> tuple[object, ...]:
        receiver = self.receiver
        buffer = receiver.buffer
        return (
            receiver.totals(), receiver.packets, receiver.bytes, receiver.garbage, receiver.foreign, receiver.reception.top,
            buffer.late, buffer.duplicate, buffer.dropped, buffer.missing,
            round(buffer.jitter_ms, 6), round(buffer.delay_ms, 6),
        )  # fmt: skip


def packet(number: int, timestamp: int, *, kind: int = 0, ssrc: int = 7, size: int = 160) -> bytes:
    payload = bytes((number * 7 + index) % 256 for index in range(size))
    return HEADER.pack(0x80, kind, number & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


FATES = st.sampled_from(["fine"] * 30 + ["lost", "twice", "late", "short", "event", "other type", "jump", "stranger", "source"])


@pytest.mark.slow
@settings(max_examples=settings().max_examples, deadline=None)
@given(st.lists(FATES, min_size=30, max_size=200), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.booleans())
def test_the_short_way_counts_and_sounds_like_the_long_one(fates: list[str], number: int, timestamp: int, uneven: bool) -> None:
    short, long = Heard(), Heard()
    now, ssrc, kind = 100.0, 7, 0
    held: list[bytes] = []
    for place, fate in enumerate(fates):
        source: Address = FAR
        ssrc += fate == "source"
        kind ^= 8 * (fate == "other type")
        timestamp += 1_000_000 * (fate == "jump")
        size, shown = (80 if fate == "short" else 160), (101 if fate == "event" else kind)
        made = packet(number, timestamp, kind=shown, ssrc=ssrc, size=size)
        number, timestamp = number + 1, timestamp + 160
        arrivals = {"lost": [], "twice": [made, made], "late": []}.get(fate, [made]) + held
        held = [made] if fate == "late" else []
        if fate == "stranger":
            source = ("192.0.2.1", 9)
        for arrival in arrivals:
            at = now + 0.003 * (place * 7 % 5) * uneven
            long.receiver.expect_nothing()
            for heard in (short, long):
                heard.receiver.receive(arrival, source, at)
        now += 0.020
        for heard in (short, long):
            heard.receiver.hear(now)
            if place % 10 == 9:
                heard.receiver.buffer.review(now)
        assert short.receiver.far == long.receiver.far
    for heard in (short, long):
        heard.receiver.buffer.review(now)  # in the queue the delay is only looked at then
    assert short.figures() == long.figures()
    assert short.told == long.told


@pytest.mark.slow
def test_numbers_and_timestamps_wrap_on_the_way() -> None:
    heard = Heard()
    for step in range(70_000):
        heard.receiver.receive(packet(65_500 + step, 0xFFFFF000 + 160 * step, size=0) + b"\xff" * 160, FAR, 0.020 * step)
        heard.receiver.hear(0.020 * step)
    assert heard.receiver.totals() == (70_000, 0)
    assert (heard.receiver.packets, heard.receiver.bytes) == (70_000, 160 * 70_000)


def test_far_is_silence_itself_where_there_is_nothing() -> None:
    heard = Heard()
    heard.receiver.hear(1.0)
    assert heard.receiver.far is SILENCE
    assert heard.receiver.packet is None
