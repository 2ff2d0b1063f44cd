"""Rings between tick and device, sample by sample."""

from __future__ import annotations

import struct
import threading
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.io.audio.rings import MOST_MS, Capture, Playout, Reference, Ring

RATE = 8000
FRAME = 160


def count_up(start: int, samples: int) -> bytes:
    return array("h", [(start + place) % 30_000 for place in range(samples)]).tobytes()


def values(samples: bytes | None) -> list[int]:
    return list(struct.unpack(f"<{len(samples) // 2}h", samples)) if samples else []


@given(st.lists(st.integers(1, 900), max_size=40), st.integers(-2000, 30_000), st.integers(1, 2000))
def test_ring_holds_the_latest_second(pieces: list[int], at: int, wanted: int) -> None:
    ring = Ring(RATE)
    for piece in pieces:
        ring.write(count_up(ring.written, piece))
    expected = [
        place % 30_000 if max(0, ring.written - RATE) <= place < ring.written else 0 for place in range(at, at + wanted)
    ]
    assert values(ring.read(at, wanted)) == expected


@pytest.mark.lengthy
def test_ring_under_two_threads() -> None:
    ring = Ring(RATE)
    wrong: list[int] = []

    def read() -> None:
        while ring.written < 40 * RATE:
            at = ring.written - 400
            if at < 0:
                continue
            heard = ring.read(at, 200)
            # Between two looks this writer may come around; a tick never does, it writes a second in a second.
            if ring.written < at + RATE - 160 and heard != count_up(at, 200):
                wrong.append(at)

    reader = threading.Thread(target=read)
    reader.start()
    while ring.written < 40 * RATE:
        ring.write(count_up(ring.written, 80))
    reader.join()
    assert wrong == []


def test_playout_waits_for_two_frames_and_plays_all() -> None:
    ring = Ring(RATE)
    playout = Playout(ring, RATE)
    ring.write(count_up(1, FRAME))
    assert playout.pull(80) is None
    ring.write(count_up(161, FRAME))
    begins = values(playout.pull(100))
    assert begins[0] == 0
    assert begins[-1] == 99  # the hundredth sample is 100: it has risen until there
    assert values(playout.pull(220)) == list(range(101, 321))
    assert playout.pull(80) is None or not any(values(playout.pull(80)))
    assert playout.ahead_ms == 0


def play(playout: Playout, ring: Ring, frames: int, late: int = 0) -> list[int]:
    """Write a frame and pull a frame, `frames` times; then pull `late` frames without writing."""
    heard: list[int] = []
    for _ in range(frames):
        ring.write(struct.pack("<h", 1000) * FRAME)
        heard += values(playout.pull(FRAME))
    for _ in range(late):
        heard += values(playout.pull(FRAME))
    return heard


def test_a_gap_within_sound_is_an_underrun_and_the_end_of_a_call_is_none() -> None:
    ring = Ring(RATE)
    playout = Playout(ring, RATE)
    play(playout, ring, 20, late=5)
    play(playout, ring, 20, late=100)
    assert playout.underruns == 1
    play(playout, ring, 20)
    assert playout.underruns == 1


def test_an_underrun_fades_instead_of_breaking_off() -> None:
    ring = Ring(RATE)
    playout = Playout(ring, RATE)
    play(playout, ring, 5)
    last = values(playout.pull(400))
    assert last[0] == 1000
    assert last[-1] == 0
    last += play(playout, ring, 3)  # … and comes back as gently
    assert last[-1] == 1000
    assert max(abs(here - there) for here, there in pairwise(last)) < 10


def test_what_piles_up_is_shed_without_a_step() -> None:
    ring = Ring(RATE)
    playout = Playout(ring, RATE)
    play(playout, ring, 5)
    for _ in range(10):
        ring.write(struct.pack("<h", 1000) * FRAME)
    heard = play(playout, ring, 3)
    assert playout.overruns == 1
    assert playout.ahead_ms <= MOST_MS // 2
    assert min(heard) > 990


def test_delay_that_is_never_needed_goes_away() -> None:
    ring = Ring(RATE)
    playout = Playout(ring, RATE)
    play(playout, ring, 5)
    for _ in range(4):
        ring.write(struct.pack("<h", 1000) * FRAME)
    assert playout.ahead_ms >= 80
    play(playout, ring, 250)
    assert playout.ahead_ms <= 40


def test_capture_gives_frames_in_order() -> None:
    capture = Capture(RATE)
    assert capture.read() is None
    capture.ring.write(count_up(0, 250))
    assert capture.read() == (count_up(0, 160), 0)
    assert capture.read() is None
    capture.ring.write(count_up(250, 70))
    assert capture.read() == (count_up(160, 160), 160)
    assert capture.underruns == 1


def test_capture_begins_with_now() -> None:
    capture = Capture(RATE)
    capture.ring.write(count_up(0, 4000))
    assert capture.read() == (count_up(3840, 160), 3840)


@pytest.mark.parametrize("burst_ms", [25, 42, 60, 85, 120])
def test_a_microphone_that_speaks_in_bursts_is_heard_whole(burst_ms: int) -> None:
    """PipeWire at its longest usual quantum hands over 42 ms at once, drivers of USB cards as much."""
    capture = Capture(RATE)
    burst, spoken, heard = RATE * burst_ms // 1000, 0, list[int]()
    for tick in range(1, 500):
        while (spoken + 1) * burst <= tick * FRAME:
            capture.ring.write(count_up(spoken * burst, burst))
            spoken += 1
        read = capture.read()
        if tick > 100:
            assert read is not None
            heard += values(read[0])
    assert all((after - before) % 30_000 == 1 for before, after in pairwise(heard))
    assert capture.ahead_ms <= burst_ms + 40


def test_capture_that_came_to_a_stop_goes_on_with_now() -> None:
    capture = Capture(RATE)
    capture.ring.write(count_up(0, 160))
    assert capture.read() is not None
    for _ in range(10):
        assert capture.read() is None
    capture.ring.write(count_up(160, 1600))
    assert capture.read() == (count_up(1600, 160), 1600)


def test_capture_sheds_what_piles_up() -> None:
    capture = Capture(RATE)
    capture.ring.write(count_up(0, 160))
    capture.read()
    capture.ring.write(count_up(160, 2000))
    capture.read()
    assert capture.overruns == 1
    assert capture.ahead_ms <= 20


def test_reference_keeps_one_difference_whatever_the_callbacks_do() -> None:
    reference, capture = Reference(RATE), Ring(RATE)
    reference.ring.write(count_up(0, 400))
    capture.write(bytes(2 * 160))
    first = values(reference.beside(capture, 0, 160).samples)
    at = 0
    for turn in range(200):
        reference.ring.write(count_up(reference.ring.written, 80 if turn % 3 else 240))  # uneven, but never late
        reference.ring.write(count_up(reference.ring.written, 160 - 133))
        capture.write(bytes(2 * 160))
        at += 160
    second = values(reference.beside(capture, at, 160).samples[-320:])
    assert second[0] - first[0] == 200 * 160 % 30_000


def test_reference_follows_a_clock_that_is_slower() -> None:
    reference, capture = Reference(RATE), Ring(RATE)
    reference.ring.write(bytes(800))
    at = 0
    for turn in range(1000):
        reference.ring.write(struct.pack("<h", 7) * (160 if turn % 20 else 159))
        capture.write(bytes(320))
        heard = values(reference.beside(capture, at, 160).samples)
        at += 160
        assert turn < 10 or set(heard) == {7}, turn  # never asks for what has not been played


def test_reference_tells_what_was_skipped_and_by_how_much_it_moved() -> None:
    reference, capture = Reference(RATE), Ring(RATE)
    reference.ring.write(count_up(0, 2000))
    capture.write(bytes(2 * 1600))
    first = reference.beside(capture, 0, 160)
    assert first.fresh
    assert first.moved == 0
    assert len(first.samples) == 320
    # The microphone skips 500 samples: they come with the frame, and nothing is missing between.
    skipped = reference.beside(capture, 660, 160)
    assert (skipped.moved, skipped.fresh, len(skipped.samples)) == (0, False, 2 * 660)
    assert values(skipped.samples)[0] == values(first.samples)[-1] + 1
    # The loudspeaker falls behind by 200: some samples come once more, and it is told.
    capture.write(bytes(2 * 200))
    step = reference.beside(capture, 820, 160)
    assert step.moved == -200
    assert step.samples == b""
    # A pause of two seconds is no skip, and another microphone counts from somewhere else.
    reference.ring.write(count_up(0, RATE))
    capture.write(bytes(2 * RATE))
    reference.ring.write(count_up(0, RATE))
    capture.write(bytes(2 * RATE))
    assert reference.beside(capture, capture.written - 160, 160).fresh
    assert not reference.beside(capture, capture.written, 160).fresh
    assert reference.beside(Ring(RATE), 0, 160).fresh
    reference.restart()
    assert reference.beside(capture, 0, 160).fresh


def gaps(playout: Playout, ring: Ring, quantum: int, seconds: int) -> list[float]:
    """Return at which seconds a device heard silence that asks for `quantum` samples at once, in pieces of 10 ms."""
    asked, found = 0, []
    for tick in range(50 * seconds):
        ring.write(struct.pack("<h", 1000) * FRAME)
        while asked + quantum <= FRAME * (tick + 1):
            asked += quantum
            pieces = [values(playout.pull(80)) or [0] for _ in range(quantum // 80)]
            if min(min(piece) for piece in pieces) == 0:
                found.append(tick / 50)
    return found


def test_a_loudspeaker_that_asks_for_much_at_once_soon_hears_no_gaps() -> None:
    ring = Ring(RATE)
    playout = Playout(ring, RATE)
    # PipeWire with a quantum of 8192 at 48 kHz; it has 40 ms before it is known, and then as much as it asks for.
    assert max(gaps(playout, ring, 17 * 80, 20)) < 1.0
    assert playout.underruns <= 3
    assert playout.ahead_ms <= 17 * 10 + 20 + 20


def test_a_device_of_short_pieces_has_no_more_delay_for_one_late_tick() -> None:
    ring = Ring(RATE)
    playout = Playout(ring, RATE)
    assert gaps(playout, ring, 160, 5) == [0.0, 0.02]  # it begins, and softly
    for _ in range(10):
        playout.pull(160)  # the tick is 200 ms late, once
    assert gaps(playout, ring, 160, 1) == [0.0, 0.02]
    assert playout.ahead_ms <= 40
    for _ in range(2):
        play(playout, ring, 5, late=10)  # and then again and again: more waits for it
    play(playout, ring, 15)
    assert playout.ahead_ms >= 180
    play(playout, ring, 250)  # but not for long
    assert playout.ahead_ms <= 40


def test_a_pause_between_two_calls_is_no_measure_of_what_a_device_asks_for() -> None:
    ring = Ring(RATE)
    playout = Playout(ring, RATE)
    play(playout, ring, 50, late=1000)
    for _ in range(3):
        play(playout, ring, 10, late=4)
    play(playout, ring, 10)
    assert playout.ahead_ms <= 120
