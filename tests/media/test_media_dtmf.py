"""Telephone events, sent and received."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_media import Pair, Weather

from offhook.media.codecs.kinds import missing
from offhook.media.dtmf import DIGITS, END, EVENT, EventReceiver, event_packets, normal
from offhook.media.messages import DigitReceived, DigitsDone, DigitSent, SendDigits, StartPlayback
from offhook.media.rtp import HEADER

TESTDATA = Path(os.environ.get("OFFHOOK_TESTDATA", Path(__file__).parents[3] / "shared" / "testdata"))


def received(pair: Pair) -> str:
    return "".join(report.digit for report in pair.of(1, DigitReceived))


def event(digit: str, units: int, *, end: bool = False) -> bytes:
    return EVENT.pack(DIGITS.index(digit), END if end else 0, units)


def test_packets_of_an_event_grow_and_end_three_times() -> None:
    packets = list(event_packets("#", 100))
    assert [EVENT.unpack(payload) for payload, _, _ in packets] == [
        (11, 10, 160), (11, 10, 320), (11, 10, 480), (11, 10, 640), (11, 0x8A, 800), (11, 0x8A, 800), (11, 0x8A, 800),
    ]  # fmt: skip
    assert [is_end for _, _, is_end in packets] == [False] * 4 + [True] * 3
    assert {since for _, since, _ in packets} == {0}


@pytest.mark.parametrize(("clock", "segments"), [(8000, 2), (48_000, 8)])
def test_a_long_event_comes_in_segments(clock: int, segments: int) -> None:
    """RFC 4733 2.5.1.3: each but the last ends with 0xFFFF and no end bit, three times; the next begins where it stopped."""
    packets = [(*EVENT.unpack(payload), since, is_end) for payload, since, is_end in event_packets("1", 10_000, clock)]
    assert len(packets) == 500 + 2
    starts = sorted({since for _, _, _, since, _ in packets})
    assert starts == [number * 0xFFFF for number in range(segments)]
    for start in starts:
        lengths = [units for _, _, units, since, _ in packets if since == start]
        assert lengths == sorted(lengths)
        assert lengths[-3:] == [0xFFFF if start != starts[-1] else 10 * clock - start] * 3
    frame = clock // 50
    told = [(units, units + since) for _, _, units, since, _ in packets[:500]]
    assert all(sum_ == elapsed * frame for elapsed, (units, sum_) in enumerate(told, 1) if units != 0xFFFF)
    assert [(flags >> 7, is_end) for _, flags, _, _, is_end in packets] == [(0, False)] * 499 + [(1, True)] * 3


@pytest.mark.parametrize("duration_ms", range(1300, 1480, 20))
def test_an_event_that_ends_about_where_its_segment_does(duration_ms: int) -> None:
    receiver, told = EventReceiver(), []
    for step, (payload, since, _) in enumerate(event_packets("5", duration_ms, 48_000)):
        receiver.clock = receiver.timeline = 48_000
        told += receiver.receive(1000 + since, payload, 20.0 * step)
    assert told == [("5", duration_ms)]


LONG = 10_000
"""Milliseconds of a key: more than one segment on a clock of 8 kHz (8.2 s each), eight on one of 48 kHz (1.4 s)."""


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("name", "clock", "events"), [("PCMU", 8000, 8000), ("OPUS", 48_000, 48_000), ("OPUS", 48_000, 8000)]
)
@pytest.mark.parametrize("weather", [Weather(), Weather(loss=0.05, double=0.1, jitter=0.030)])
def test_keys_held_for_long_arrive_as_one_press_each(name: str, clock: int, events: int, weather: Weather) -> None:
    if reason := missing(name):
        pytest.skip(reason)
    pair = Pair(weather, 3)
    for side in (0, 1):
        pair.configure(side, codec=name, payload_type=111, receive_types=((111, name),), clock_rate=clock, event_clock=events,
                       receive_events=((101, events),))  # fmt: skip
    pair.run(0.5)
    pair.do(0, SendDigits("c", "r", "5*", duration_ms=LONG))
    pair.run(2 * LONG / 1000 + 2.0)
    assert [(report.digit, report.duration_ms) for report in pair.of(1, DigitReceived)] == [("5", LONG), ("*", LONG)]
    marked = [header for side, port, packet in pair.sent if side == 0 and port == 4000
              if (header := HEADER.unpack_from(packet))[1] == 0x80 | 101]
    assert len(marked) == 2
    assert [report.error for report in pair.of(0, DigitsDone)] == [""]


def test_normal() -> None:
    assert normal("12a,#d") == "12A,#D"
    with pytest.raises(ValueError, match="'x'"):
        normal("1x")


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.20])
def test_digits_arrive_as_sent(loss: float) -> None:
    digits = "1122334455#*00ABCD99"
    for seed in range(3):
        pair = Pair(Weather(loss=loss, double=0.1, jitter=0.030), seed)
        pair.run(0.5)
        pair.do(0, SendDigits("c", "r1", digits))
        pair.run(0.24 * len(digits) + 1.5)
        assert received(pair) == digits
        assert [report.digit for report in pair.of(0, DigitSent)] == list(digits)
        assert pair.of(0, DigitsDone) == [DigitsDone("c", "r1")]


@pytest.mark.lengthy
@given(st.text(DIGITS, min_size=1, max_size=6), st.integers(2, 12), st.integers(3, 8), st.integers(0, 1000))
def test_any_digits_of_any_length(digits: str, long: int, gap: int, seed: int) -> None:
    pair = Pair(Weather(double=0.2, jitter=0.015), seed)
    pair.do(0, SendDigits("c", "r", digits, duration_ms=20 * long, gap_ms=20 * gap))
    pair.run(0.02 * (long + gap + 3) * len(digits) + 0.3)
    assert [(report.digit, report.duration_ms) for report in pair.of(1, DigitReceived)] == [
        (digit, 20 * long) for digit in digits
    ]


@pytest.mark.parametrize("gap_ms", [80, 200])
def test_on_the_wire_a_digit_is_marked_once_and_keeps_its_timestamp(gap_ms: int) -> None:
    pair = Pair()
    pair.do(0, SendDigits("c", "r", "55", gap_ms=gap_ms))
    pair.run(1.0)
    seen = [HEADER.unpack_from(packet) for side, port, packet in pair.sent if side == 0 and port == 4000]
    events = [header for header in seen if header[1] & 0x7F == 101]
    assert len(events) == 20
    assert [header[1] >> 7 for header in events] == ([1] + [0] * 9) * 2
    assert len({header[3] for header in events[:10]}) == len({header[3] for header in events[10:]}) == 1
    assert (events[10][3] - events[0][3]) & 0xFFFFFFFF == 8 * (160 + gap_ms), "from key to key, in a clock of 8 kHz"
    sequence = [header[2] for header in seen]
    assert all((after - before) & 0xFFFF == 1 for before, after in pairwise(sequence))
    # RFC 4733 2.5.1.4: audio is off while the key is down, and its clock runs on.
    first = seen.index(events[0])
    assert seen[first : first + 10] == events[:10]


def test_a_comma_pauses() -> None:
    pair = Pair()
    pair.do(0, SendDigits("c", "r", "1,2", pause_ms=500))
    pair.run(0.5)
    assert received(pair) == "1"
    pair.run(0.8)
    assert received(pair) == "12"


def test_requests_wait_for_each_other() -> None:
    pair = Pair()
    for number in "123":
        pair.do(0, SendDigits("c", number, number * 2))
    pair.run(2.0)
    assert received(pair) == "112233"
    assert [report.request for report in pair.of(0, DigitsDone)] == ["1", "2", "3"]


def test_lost_ends_are_replaced_by_patience() -> None:
    receiver = EventReceiver()
    for step in range(1, 9):
        assert receiver.receive(1000, event("7", 160 * step), 20.0 * step) == []
    assert receiver.active
    assert receiver.expire(200.0) == []
    assert receiver.expire(400.0) == [("7", 160)]
    assert receiver.receive(1000, event("7", 1440, end=True), 410.0) == []  # a straggler


def test_a_press_that_was_cut_short_is_not_heard_again_in_its_next_segments() -> None:
    receiver = EventReceiver()
    receiver.receive(100, event("7", 60_000), 0.0)
    assert receiver.expire(300.0) == [("7", 7500)]
    for number in (1, 2):
        assert receiver.receive(100 + number * 0xFFFF, event("7", 1600), 1000.0 * number) == []
        assert receiver.expire(1000.0 * number + 300.0) == []
    assert receiver.receive(100 + 3 * 0xFFFF, event("7", 800, end=True), 4000.0) == []
    assert receiver.receive(100 + 4 * 0xFFFF + 1, event("7", 800, end=True), 5000.0) == [("7", 100)], "a new press"


def test_a_new_key_ends_the_old_one() -> None:
    receiver = EventReceiver()
    receiver.receive(1000, event("7", 800), 0.0)
    assert receiver.receive(3000, event("7", 160), 250.0) == [("7", 100)]
    assert receiver.receive(3000, event("7", 480, end=True), 300.0) == [("7", 60)]


def test_another_key_counts_though_the_far_ends_clock_stood_still() -> None:
    receiver, told = EventReceiver(), []
    for number, digit in enumerate("89"):
        for step, (payload, _, _) in enumerate(event_packets(digit, 100)):
            told += receiver.receive(4000, payload, 500.0 * number + 20.0 * step)
    told += receiver.receive(4000, next(event_packets("9", 100))[0], 1200.0)  # doubled on the way
    assert told == [("8", 100), ("9", 100)]


def test_the_first_packet_seen_may_be_the_end() -> None:
    receiver = EventReceiver()
    assert receiver.receive(1000, event("A", 800, end=True), 0.0) == [("A", 100)]
    assert receiver.receive(1000, event("A", 800, end=True), 1.0) == []


def test_segments_of_a_long_event_are_one_press() -> None:
    receiver = EventReceiver()
    receiver.receive(100, event("1", 0xFFFF), 0.0)
    receiver.receive(100 + 0xFFFF, event("1", 160), 20.0)
    assert receiver.receive(100 + 0xFFFF, event("1", 800, end=True), 100.0) == [("1", (0xFFFF + 800) // 8)]


def test_flash_and_short_packets_are_no_digits() -> None:
    receiver = EventReceiver()
    assert receiver.receive(1, EVENT.pack(16, END, 800), 0.0) == []
    assert receiver.receive(1, b"\x01\x80", 0.0) == []
    assert not receiver.active


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=6), st.floats(0, 50)), max_size=60))
def test_whatever_comes_presses_are_digits(packets: list[tuple[int, bytes, float]]) -> None:
    receiver = EventReceiver()
    now = 0.0
    for timestamp, payload, gap in packets:
        now += gap
        for digit, duration_ms in [*receiver.receive(timestamp, payload, now), *receiver.expire(now)]:
            assert digit in DIGITS
            assert duration_ms >= 0


def test_why_digits_cannot_be_sent() -> None:
    pair = Pair()
    pair.configure(0, direction="recvonly")
    pair.do(0, SendDigits("c", "hold", "1"))
    pair.configure(0, telephone_event=None)
    pair.do(0, SendDigits("c", "none", "1"))
    pair.configure(0)
    pair.do(0, SendDigits("c", "odd", "1z"))
    assert [(report.request, report.error) for report in pair.of(0, DigitsDone)] == [
        ("hold", "on hold"), ("none", "telephone-event was not negotiated"), ("odd", "not a DTMF digit: 'z'"),
    ]  # fmt: skip
    pair.run(0.5)
    assert not pair.of(0, DigitSent)
    assert len(pair.of(0, DigitsDone)) == 3


@pytest.mark.parametrize("method", ["rtp", "inband"])
def test_a_key_has_gone_out_when_it_is_released(method: Literal["rtp", "inband"]) -> None:
    pair = Pair()
    pair.do(0, SendDigits("c", "r", "5", method, duration_ms=300))
    pair.run(0.2)
    assert not pair.of(0, DigitSent)
    pair.run(0.2)
    assert [report.digit for report in pair.of(0, DigitSent)] == ["5"]


def test_hold_in_the_middle_drops_the_rest() -> None:
    pair = Pair()
    pair.do(0, SendDigits("c", "r", "123456"))
    pair.run(0.5)
    pair.configure(0, direction="inactive")
    pair.run(0.5)
    assert pair.of(0, DigitsDone) == [DigitsDone("c", "r", "on hold")]
    assert received(pair) in ("12", "123")


def test_digits_go_before_a_playback() -> None:
    pair = Pair()
    pair.do(0, StartPlayback("c", "p", "tone", frequencies=(440.0,)))
    pair.run(0.3)
    pair.do(0, SendDigits("c", "r", "42"))
    pair.run(1.0)
    assert received(pair) == "42"


def captured_packets(path: Path) -> Iterator[tuple[float, bytes]]:
    """Yield (ms, UDP payload) of a classic pcap of Ethernet or cooked frames."""
    data = path.read_bytes()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    link = struct.unpack_from(f"{order}I", data, 20)[0]
    at = 24
    while at + 16 <= len(data):
        seconds, micros, size, _ = struct.unpack_from(f"{order}IIII", data, at)
        frame = data[at + 16 : at + 16 + size]
        at += 16 + size
        network = frame[{1: 14, 113: 16, 101: 0}[link] :]
        header = 4 * (network[0] & 0x0F)
        yield seconds * 1000 + micros / 1000, network[header + 8 :]


@pytest.mark.parametrize("name", [*"0123456789", "star", "pound"])
def test_captured_digits(name: str) -> None:
    path = TESTDATA / "dtmf-pcap" / f"dtmf_2833_{name}.pcap"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    receiver = EventReceiver()
    found: list[str] = []
    for at, packet in captured_packets(path):
        timestamp = HEADER.unpack_from(packet)[3]
        found += [digit for digit, _ in receiver.receive(timestamp, packet[12:], at)]
    found += [digit for digit, _ in receiver.finish()]
    assert found == [{"star": "*", "pound": "#"}.get(name, name)]
