"""The jitter buffer: order, delay, recovery."""

from __future__ import annotations

import random
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.media.items import Item, Linear
from offhook.media.jitter import MAX_FRAMES, MAX_TARGET_S, MIN_TARGET_S, REVIEW_TICKS, JitterBuffer
from offhook.media.sources import FRAME_BYTES


def frame(value: int, samples: int = 160) -> bytes:
    """Return a loud frame: a pause would be shortened or lengthened at once."""
    return array("h", [4000 + 20 * value] * samples).tobytes()


def value(played: bytes | None) -> int | None:
    return None if played is None else (array("h", played)[0] - 4000) // 20


def unwrap(packet: bytes) -> bytes:
    return packet[12:]


def new_buffer() -> JitterBuffer:
    return JitterBuffer(unwrap)


def pcm(item: Item | None) -> bytes | None:
    return item.pcm if isinstance(item, Linear) else unwrap(item) if item is not None else None


class Feeder:
    """Puts audio as the receiver does: whole frames stay packets, and those that follow the last one take the short way."""

    def __init__(self, buffer: JitterBuffer) -> None:
        self.buffer = buffer
        self.expected = -1

    def put(self, timestamp: int, audio: bytes, now: float) -> None:
        packet = bytes(12) + audio
        whole = len(audio) == FRAME_BYTES
        if whole and timestamp == self.expected:
            self.buffer.put_next(packet, now)
            self.expected = (timestamp + 160) & 0xFFFFFFFF
            return
        fits = self.buffer.put(timestamp, packet if whole else Linear(audio), now)
        self.expected = (timestamp + 160) & 0xFFFFFFFF if fits and whole and timestamp == self.buffer.newest else -1


def play(
    arrivals: list[tuple[float, int, bytes]], ticks: int, buffer: JitterBuffer | None = None, start: float = 0.0
) -> list[bytes | None]:
    """Feed (arrival ms, timestamp, audio) and pull every 20 ms."""
    buffer = buffer if buffer is not None else new_buffer()
    feeder = Feeder(buffer)
    waiting = sorted(arrivals, key=lambda arrival: arrival[0])
    played: list[bytes | None] = []
    for tick in range(ticks):
        now = start + 20.0 * tick
        while waiting and waiting[0][0] <= now:
            at, timestamp, audio = waiting.pop(0)
            feeder.put(timestamp & 0xFFFFFFFF, audio, at / 1000)
        played.append(pcm(buffer.pull(now / 1000)))
        if tick % REVIEW_TICKS == 0:
            buffer.review(now / 1000)
    return played


def heard(played: list[bytes | None]) -> list[int]:
    return [found for found in map(value, played) if found is not None]


def test_even_arrivals_play_in_order_without_gaps() -> None:
    played = play([(20.0 * n + 3, 1000 + 160 * n, frame(n)) for n in range(100)], 110)
    first = next(index for index, found in enumerate(played) if found is not None)
    assert first <= 4
    assert heard(played) == list(range(100))
    assert None not in played[first : first + 100]


def test_the_timestamp_may_wrap() -> None:
    start = 0xFFFFFFFF - 160 * 5
    played = play([(20.0 * n, start + 160 * n, frame(n)) for n in range(50)], 60)
    assert heard(played) == list(range(50))


def test_reordered_and_doubled_packets_play_once() -> None:
    arrivals = [(20.0 * n, 160 * n, frame(n)) for n in range(40)]
    arrivals[10], arrivals[11] = (arrivals[11][0], *arrivals[10][1:]), (arrivals[10][0], *arrivals[11][1:])
    arrivals += [(20.0 * n + 1, 160 * n, frame(n)) for n in range(0, 40, 7)]
    buffer = new_buffer()
    assert heard(play(arrivals, 50, buffer)) == list(range(40))
    assert buffer.duplicate + buffer.late == 6


def test_a_lost_packet_leaves_one_gap_in_its_place() -> None:
    played = play([(20.0 * n, 160 * n, frame(n)) for n in range(40) if n != 20], 50)
    at = [value(found) for found in played].index(19)
    assert played[at + 1] is None
    assert value(played[at + 2]) == 21


def test_other_packet_lengths() -> None:
    for samples in (80, 240, 320, 480, 100):
        count = 32_000 // samples
        total = count * samples
        audio = array("h", [index % 20000 + 10000 for index in range(total)])
        arrivals = [
            (samples * n / 8.0, 77 + samples * n, audio[samples * n : samples * (n + 1)].tobytes()) for n in range(count)
        ]
        played = [found for found in play(arrivals, total // 160 + 20) if found is not None]
        out = array("h", b"".join(played))
        assert list(out[:total]) == list(audio), samples
        assert not any(out[total:])


def test_jitter_raises_the_delay_and_little_is_late() -> None:
    chance = random.Random(3)
    arrivals = [(20.0 * n + chance.uniform(0, 80), 160 * n, frame(n + 1)) for n in range(1000)]
    buffer = new_buffer()
    played = play(arrivals, 1010, buffer)
    assert 60 <= buffer.target_ms <= 1000 * MAX_TARGET_S
    assert buffer.late < 30
    assert len(heard(played)) > 950


def test_the_delay_shrinks_when_the_network_calms_down() -> None:
    chance = random.Random(4)
    arrivals = [(20.0 * n + (chance.uniform(0, 120) if n < 200 else 0), 160 * n, frame(1)) for n in range(2000)]
    buffer = new_buffer()
    play(arrivals[:200], 200, buffer)
    wide = buffer.delay_ms
    play(arrivals[200:], 1800, buffer, start=20.0 * 200)
    assert wide > 100
    assert buffer.delay_ms < 60
    assert buffer.jitter_ms < 1


def test_speech_is_shortened_too_when_there_is_no_silence() -> None:
    buffer = new_buffer()
    loud = frame(50)
    # 300 ms arrive at once, as after a hole in the network.
    burst = [(300.0 if n < 15 else 20.0 * n, 160 * n, loud) for n in range(300)]
    play(burst, 300, buffer)
    assert buffer.delay_ms < 320
    assert buffer.shrunk > 5
    assert not buffer.stretched, "there is too much of it, not too little"


@pytest.mark.lengthy
def test_a_far_clock_that_runs_fast_or_slow_is_followed() -> None:
    for rate in (0.999, 1.001):
        buffer = new_buffer()
        played = play([(20.0 * n * rate, 160 * n, frame(1)) for n in range(3000)], 2990, buffer)
        assert buffer.delay_ms < 120
        assert played.count(None) < 30
        assert (buffer.stretched > buffer.shrunk) is (rate > 1)


@pytest.mark.parametrize(("forgets", "found"), [(True, [2, 1]), (False, [None, 1])])
def test_a_codec_with_a_memory_hears_nothing_from_beyond_a_frame_that_may_still_come(
    forgets: bool, found: list[int | None]
) -> None:
    """Of two missing frames the second one may only be late: decoded after what is behind it, G.722 would hear it wrongly."""
    buffer, seen = new_buffer(), list[int | None]()
    buffer.forgets = forgets
    for tick in range(110):
        if tick not in (100, 101):
            buffer.put(160 * tick, bytes(12) + frame(tick), 0.020 * tick)
        played = buffer.pull(0.020 * tick + 0.001)
        if buffer.gave_up:
            ahead = buffer.look_ahead()
            assert played is None
            assert ahead is None or value(ahead[1]) == 102
            seen.append(None if ahead is None else ahead[0])
    assert seen == found


def test_silence_suppression_and_return() -> None:
    arrivals = [(20.0 * n, 160 * n, frame(n + 1)) for n in range(300) if n < 50 or n >= 200]
    buffer = new_buffer()
    played = play(arrivals, 310, buffer)
    assert heard(played) == [*range(1, 51), *range(201, 301)]


def test_a_jump_of_the_timestamp_needs_two_packets_and_then_plays_on() -> None:
    arrivals = [(20.0 * n, 160 * n + (50_000_000 if n >= 50 else 0), frame(n + 1)) for n in range(100)]
    buffer = new_buffer()
    played = heard(play(arrivals, 110, buffer))
    assert buffer.resyncs == 1
    assert played[-40:] == list(range(61, 101))


def test_single_stray_timestamps_change_nothing() -> None:
    arrivals = [(20.0 * n, 160 * n, frame(n + 1)) for n in range(100)]
    arrivals += [(20.0 * n + 1, 1_000_000_000 + 77_777 * n, frame(999)) for n in range(10, 90, 5)]
    assert heard(play(arrivals, 110)) == list(range(1, 101))


@pytest.mark.parametrize("back_ms", [300, 500, 900, 1000])
def test_a_clock_set_back_is_followed(back_ms: int) -> None:
    arrivals = [(20.0 * n, 160 * n - (8 * back_ms if n >= 50 else 0), frame(n + 1)) for n in range(150)]
    buffer = new_buffer()
    assert heard(play(arrivals, 170, buffer))[-50:] == list(range(101, 151))
    assert buffer.late < 20, "a quarter of a second shows that they are not late packets"


@pytest.mark.parametrize("ahead_ms", [300, 700, 900])
def test_a_hole_that_a_sender_left_in_its_timestamps_is_not_played(ahead_ms: int) -> None:
    arrivals = [(20.0 * n, 160 * n + (8 * ahead_ms if n >= 50 else 0), frame(n + 1)) for n in range(150)]
    buffer = new_buffer()
    played = [value(found) for found in play(arrivals, 170, buffer)]
    again = next(tick for tick, found in enumerate(played) if found is not None and found > 50)
    assert again <= 50 + 20
    assert buffer.delay_ms <= 260, "and it is not heard as much later for all time"


def test_in_calm_packets_wait_in_a_queue() -> None:
    """Which costs a third of what it takes to look at each of them."""
    buffer = new_buffer()
    play([(20.0 * n, 160 * n, frame(n)) for n in range(50)], 50, buffer)
    feeder = Feeder(buffer)
    feeder.expected = 160 * 50
    feeder.put(160 * 50, frame(50), 1.0)
    feeder.put(160 * 51, frame(51), 1.020)
    assert len(buffer.queue) == len(buffer) >= 2
    buffer.put(160 * 53, bytes(12) + frame(53), 1.060)  # one is missing: here is something to look at
    assert not buffer.queue
    assert len(buffer) >= 3


@pytest.mark.parametrize("short_way", [True, False])
def test_jitter_is_that_of_the_rfc_whichever_way_packets_take(short_way: bool) -> None:
    chance = random.Random(5)
    times = [0.020 * n + chance.uniform(0, 0.015) for n in range(400)]
    buffer = new_buffer()
    expected = 0.0
    for n, at in enumerate(times):
        if n and short_way:
            buffer.put_next(bytes(12) + frame(1), at)
        else:
            buffer.put(160 * n, bytes(12) + frame(1), at)
        if n:  # RFC 3550 6.4.1
            expected += (abs(at - times[n - 1] - 0.020) - expected) / 16
        if n % 2:
            buffer.pull(at)
            buffer.pull(at)
    assert buffer.jitter_ms == pytest.approx(1000 * expected)


def test_who_is_not_listened_to_is_kept_as_long_as_one_who_is() -> None:
    """So that the first who listens hears no gaps; and what is too much is left out without a look at the sound."""
    chance = random.Random(6)
    buffer, gone = new_buffer(), 0
    feeder = Feeder(buffer)
    for n in range(1200):
        late = chance.uniform(0, 0.080) if n < 600 else 0.0
        feeder.put(160 * n, frame(n), 0.020 * n + late)
        gone += buffer.pull(0.020 * n + 0.019, heard=False) is None
        if n % REVIEW_TICKS == 0:
            buffer.review(0.020 * n + 0.019)
        if n == 599:
            assert buffer.delay_ms > 50
    assert buffer.delay_ms < 60
    assert buffer.dropped > 0
    assert not buffer.stretched + buffer.shrunk, "nobody hears how that sounds"


def test_a_sender_that_stood_still_and_goes_on_where_it_was() -> None:
    arrivals = [(20.0 * n + (5000 if n >= 50 else 0), 160 * n, frame(n + 1)) for n in range(100)]
    buffer = new_buffer()
    assert heard(play(arrivals, 370, buffer)) == list(range(1, 101))
    assert buffer.jitter_ms < 1


@pytest.mark.parametrize("packet_ms", [20, 30, 40, 60, 80, 200])
@pytest.mark.parametrize("gap_ms", [300, 500, 900])
def test_what_is_later_than_can_be_waited_for_is_heard_whatever_the_length_of_packets(packet_ms: int, gap_ms: int) -> None:
    samples, count = 8 * packet_ms, 10 + 2000 // packet_ms
    arrivals = [(packet_ms * n + gap_ms * (n >= 10) + 3.0, samples * n, frame(n, samples)) for n in range(count)]
    buffer = new_buffer()
    played = heard(play(arrivals, (packet_ms * count + gap_ms) // 20 + 20, buffer))
    assert len(played) >= 0.95 * count * packet_ms / 20  # what is in hand beyond need is played a little faster
    assert buffer.late == 0
    assert buffer.resyncs == 1


@pytest.mark.lengthy
def test_a_flood_is_bounded() -> None:
    buffer = new_buffer()
    feeder = Feeder(buffer)
    for n in range(10_000):
        feeder.put(160 * n, frame(1), 0.0)
    assert len(buffer) <= MAX_FRAMES


@pytest.mark.lengthy
@settings(max_examples=settings().max_examples, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.integers(0, 0xFFFFFFFF) | st.integers(0, 8000), st.integers(0, 700)), max_size=150
    )
)
def test_whatever_comes_frames_are_whole_and_bounded(packets: list[tuple[float, int, int]]) -> None:
    buffer = new_buffer()
    feeder = Feeder(buffer)
    now = 0.0
    for gap, timestamp, samples in packets:
        now += gap
        feeder.put(timestamp, bytes(2 * samples), now / 1000)
        played = pcm(buffer.pull(now / 1000))
        assert played is None or 0 < len(played) <= FRAME_BYTES
        assert len(buffer) <= MAX_FRAMES + 1
        assert 1000 * MIN_TARGET_S <= buffer.target_ms <= 1000 * MAX_TARGET_S


@pytest.mark.lengthy
@settings(max_examples=settings().max_examples, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 60), st.floats(0, 0.2))
def test_no_frame_plays_out_of_order_or_twice_unless_time_is_stretched(seed: int, jitter: float, loss: float) -> None:
    chance = random.Random(seed)
    arrivals = [(20.0 * n + chance.uniform(0, jitter), 160 * n, frame(n + 1)) for n in range(200) if chance.random() >= loss]
    buffer = new_buffer()
    played = heard(play(arrivals, 220, buffer))
    # A period that is doubled is heard twice, and one that is left out is a mixture that begins with the first of both.
    assert played == sorted(played)
    assert len(played) - len(set(played)) <= buffer.stretched + buffer.shrunk
