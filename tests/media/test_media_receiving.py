"""The receiving side: whatever takes the short way counts and sounds as if it had taken the long one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.media.address import Address
from offhook.media.codecs import codec
from offhook.media.dtmf import END, EVENT
from offhook.media.receiving import Receiver
from offhook.media.rtp import HEADER
from offhook.media.sources import SILENCE
from offhook.testing.ids import SeededIds

FAR = ("10.0.0.1", 4000)


class Heard:
    """A receiver and what it told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.receiver = Receiver(
            self.told.append, lambda: self.told.append("flow"), self.told.append, lambda *rtcp: self.told.append(rtcp)
        )
        self.receiver.configure({0: codec("PCMU"), 8: codec("PCMA")}, {101: 8000})
        self.receiver.expect(FAR, False, 0.0)
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


def test_keys_are_heard_under_each_number_that_was_agreed_on_each_by_its_clock() -> None:
    heard = Heard()
    heard.receiver.configure({0: codec("PCMU")}, {101: 8000, 105: 48_000})
    for number, (kind, key, units) in enumerate([(101, 5, 800), (105, 6, 4800)]):
        held = HEADER.pack(0x80, kind, number, number * 8000, 7) + EVENT.pack(key, END, units)
        heard.receiver.receive(held, FAR, number / 10)
    assert [each for each in heard.told if isinstance(each, list)] == [[("5", 100)], [("6", 100)]]
    assert heard.receiver.garbage == 0


@pytest.mark.parametrize("timestamp", [0, 160 * 100, 3_000_000_000])
@pytest.mark.parametrize("back", [20, 99])
def test_a_far_end_that_sets_its_numbers_back_is_heard_again_soon(back: int, timestamp: int) -> None:
    # RFC 3550 A.1 restarts at two in sequence, but not for numbers that were here: those could be copies
    heard = Heard()
    now = 100.0
    silent = 0
    for step in range(160):
        number, at = (step, 160 * step) if step < 100 else (step - back, timestamp + 160 * (step - 100))
        heard.receiver.receive(packet(number, at), FAR, now)
        now += 0.020
        heard.receiver.hear(now)
        silent += step >= 100 and heard.receiver.packet is None
        if step % 10 == 9:
            heard.receiver.buffer.review(now)
    assert silent <= 20
    assert heard.receiver.buffer.duplicate <= 5
    assert heard.receiver.totals()[1] == 0


def test_packets_that_the_network_has_doubled_are_heard_once() -> None:
    heard = Heard()
    now = 100.0
    made = [packet(step, 160 * step) for step in range(60)]
    for step in range(0, 60, 20):  # twenty at once behind a pause, and all of them once more
        for each in made[step : step + 20] * 2:
            heard.receiver.receive(each, FAR, now)
        now += 0.4
    late = [packet(60 + step, 160 * (60 + step)) for step in range(40)]
    for step, each in enumerate(late):  # each of them, and a copy by a longer way
        heard.receiver.receive(each, FAR, now)
        if step >= 10:
            heard.receiver.receive(late[step - 10], FAR, now + 0.001)
        now += 0.020
    assert heard.receiver.buffer.duplicate == 60 + 30
    assert heard.receiver.totals() == (100, 0)


FATES = st.sampled_from(["fine"] * 30 + ["lost", "twice", "late", "short", "event", "other type", "jump", "stranger", "source"])


@pytest.mark.slow
@settings(max_examples=settings().max_examples, deadline=None)
@given(
    st.lists(FATES, min_size=30, max_size=200), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.booleans(), st.booleans()
)
def test_the_short_way_counts_and_sounds_like_the_long_one(
    fates: list[str], number: int, timestamp: int, uneven: bool, varies: bool
) -> None:
    short, long = (HeardVarying(), HeardVarying()) if varies else (Heard(), Heard())
    now, ssrc, kind = 100.0, 7, 0
    held: list[bytes] = []
    for place, fate in enumerate(fates):
        source: Address = FAR
        ssrc += fate == "source"
        kind ^= 8 * (fate == "other type")
        timestamp += 1_000_000 * (fate == "jump")
        size, shown = (80 if fate == "short" else 160), (101 if fate == "event" else kind)
        made = packet(number, timestamp, kind=shown, ssrc=ssrc, size=size)
        if varies and not shown:
            made = varying(number, timestamp, bytes((160 // size, number % 256, 1)) + b"x" * (number % 9), ssrc)
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


def test_a_codec_that_is_agreed_on_no_more_is_heard_no_more() -> None:
    heard = Heard()
    for step in range(5):
        heard.receiver.receive(packet(step, 160 * step), FAR, 0.020 * step)
    heard.receiver.configure({8: codec("PCMA")}, {101: 8000})
    for step in range(5, 10):  # each is just what was expected
        heard.receiver.receive(packet(step, 160 * step), FAR, 0.020 * step)
        heard.receiver.hear(0.020 * step)
        assert len(heard.receiver.far) == 320
    assert (heard.receiver.garbage, heard.receiver.packets) == (5, 5)


def test_what_was_to_be_heard_as_the_codecs_changed_is_heard_with_the_codec_it_came_by() -> None:
    heard, before = Heard(), Heard()
    for each in (heard, before):
        for step in range(5):
            each.receiver.receive(packet(step, 160 * step), FAR, 0.020 * step)
        each.receiver.hear(0.1)
    heard.receiver.configure({8: codec("PCMA")}, {})
    assert heard.receiver.far == before.receiver.far != SILENCE
    for step in range(5):
        each.receiver.hear(0.12 + 0.020 * step)
        assert len(heard.receiver.far) == 320


def test_a_number_that_stands_for_another_codec_now_is_that_codec() -> None:
    """RFC 3264 8.3.2 has such numbers stay what they were; far ends exist that begin anew with 96."""
    heard = Heard()
    heard.receiver.configure({96: codec("PCMU")}, {})
    for step in range(5):
        heard.receiver.receive(packet(step, 160 * step, kind=96), FAR, 0.020 * step)
    heard.receiver.configure({96: codec("L16/16000")}, {})
    for step in range(5, 40):
        heard.receiver.receive(packet(step, 160 * 5 + 320 * (step - 5), kind=96, size=640), FAR, 0.020 * step)
        heard.receiver.hear(0.020 * step)
    assert (heard.receiver.garbage, heard.receiver.rate, len(heard.receiver.far)) == (0, 16_000, 640)
    assert heard.receiver.codec_name == "L16/16000"


def test_nothing_from_before_a_pause_in_listening_is_heard_after_it() -> None:
    heard = Heard()
    for step in range(8):
        heard.receiver.receive(packet(step, 160 * step), FAR, 0.020 * step)
    heard.receiver.listen(False)
    for step in range(8, 60):  # they are counted
        heard.receiver.receive(packet(step, 160 * step), FAR, 0.020 * step)
    heard.receiver.listen(True)
    assert len(heard.receiver.buffer) == 0
    assert heard.receiver.totals() == (60, 0)
    heard.receiver.hear(1.2)
    assert heard.receiver.packet is None
    for step in range(60, 70):
        heard.receiver.receive(packet(step, 160 * step), FAR, 0.020 * step)
        heard.receiver.hear(0.020 * step + 0.001)
    assert heard.receiver.packet in [packet(step, 160 * step) for step in range(60, 70)]


def test_a_far_end_that_is_back_is_told_of_though_it_goes_on_where_it_was() -> None:
    heard = Heard()
    for step in range(8):
        heard.receiver.receive(packet(step, 160 * step), FAR, 0.020 * step)
    heard.receiver.stall()
    heard.receiver.receive(packet(8, 160 * 8), FAR, 30.0)
    assert heard.told.count("flow") == 2
    assert heard.receiver.flowing


def test_what_was_lost_of_a_source_counts_after_another_has_taken_its_place() -> None:
    heard = Heard()
    for step in (0, 1, 2, 5, 6):  # two are missing
        heard.receiver.receive(packet(step, 160 * step), FAR, 0.020 * step)
    for step in (0, 1, 2, 4):  # one is missing, and the first shows only that there is another source
        heard.receiver.receive(packet(700 + step, 160 * step, ssrc=8), FAR, 0.2 + 0.020 * step)
    assert heard.receiver.totals() == (7 + 4, 2 + 1)
    assert (heard.receiver.packets, heard.receiver.foreign, heard.receiver.ssrc) == (5 + 3, 1, 8)


def test_after_a_goodbye_the_next_source_is_believed_as_late_as_any_other() -> None:
    heard = Heard()
    heard.receiver.receive(packet(0, 0), FAR, 0.0)
    heard.receiver.receive(packet(10, 0, ssrc=8), FAR, 0.02)
    heard.receiver.lose()
    heard.receiver.receive(packet(11, 160, ssrc=8), FAR, 0.04)
    assert (heard.receiver.ssrc, heard.receiver.foreign) == (7, 2)
    heard.receiver.receive(packet(12, 320, ssrc=8), FAR, 0.06)
    assert (heard.receiver.ssrc, heard.receiver.foreign) == (8, 2)


def test_a_background_that_says_nothing_is_counted_as_garbage() -> None:
    told: list[object] = []
    receiver = Receiver(told.append, lambda: None, told.append, lambda *_: None, SeededIds(1))
    receiver.configure({0: codec("PCMU")}, {})
    receiver.expect(FAR, False, 0.0)
    receiver.listen(True)
    receiver.receive(packet(0, 0), FAR, 0.0)
    receiver.receive(packet(1, 160, kind=13, size=0), FAR, 0.02)  # RFC 3389 3: a level at least
    assert (receiver.garbage, receiver.pauses) == (1, False)
    receiver.receive(packet(2, 320, kind=13, size=1), FAR, 0.04)
    assert (receiver.garbage, receiver.pauses) == (1, True)
    receiver.receive(packet(3, 480), FAR, 0.06)
    assert not receiver.pauses


def test_a_long_press_of_a_far_end_whose_keys_have_a_clock_of_their_own_is_one() -> None:
    """Keys count 8 kHz while the timestamps of the sound count 48: the next segment is further on by its own clock."""
    heard = Heard()
    fast = Varying()
    fast.clock_rate = 48_000
    heard.receiver.configure({96: fast}, {101: 8000})
    heard.receiver.receive(varying(0, 0, b"\x01ab"), FAR, 0.0)
    segments = [(0, 0, 160), (0, 0, 0xFFFF), (6 * 0xFFFF, 0, 160), (6 * 0xFFFF, END, 1000)]
    for number, (timestamp, flags, units) in enumerate(segments, 1):
        held = HEADER.pack(0x80, 101, number, 960 + timestamp, 7) + EVENT.pack(5, flags | 10, units)
        heard.receiver.receive(held, FAR, 0.1 * number)
    assert [each for each in heard.told if isinstance(each, list) and each] == [[("5", (0xFFFF + 1000) // 8)]]


def test_a_frame_that_is_lost_after_a_pause_is_no_part_of_the_pause() -> None:
    heard = []
    for pauses in (False, True):
        told: list[object] = []
        receiver = Receiver(told.append, lambda: None, told.append, lambda *_: None, SeededIds(1))
        receiver.configure({0: codec("PCMU")}, {})
        receiver.expect(FAR, False, 0.0)
        receiver.listen(True)
        voice = [packet(step, 160 * step) for step in range(60)]
        if pauses:
            voice[10:20] = [HEADER.pack(0x80, 13, 10, 1600, 7) + b"\x14"] * 10  # -20 dBov
        del voice[45]
        seen = []
        for step in range(60):
            now = 1.0 + 0.020 * step
            if step < 45 or step > 45:
                receiver.receive(voice[step if step < 45 else step - 1], FAR, now)
            receiver.hear(now)
            seen.append(receiver.far)
        heard.append(seen[40:])
    assert heard[1] == heard[0]


def test_far_is_silence_itself_where_there_is_nothing() -> None:
    heard = Heard()
    heard.receiver.hear(1.0)
    assert heard.receiver.far is SILENCE
    assert heard.receiver.packet is None


class Varying:
    """A codec whose payloads vary in length: a byte that says how many samples of mu-law follow, and how it was lost."""

    name, payload_type, clock_rate, rate, frame_payload, remembers = "VARYING", -1, 8000, 8000, 0, True

    def __init__(self) -> None:
        self.decoded: list[bytes] = []
        self.concealed = 0

    expect_loss = steer = ask = resume = None

    def encode(self, pcm: bytes) -> bytes:
        return b"\x01" + pcm[:4]

    def decode(self, payload: bytes) -> bytes:
        self.decoded.append(payload)
        return payload[1:3] * self.units(payload)

    def units(self, payload: bytes) -> int:
        return {1: 160, 2: 80}.get(payload[0], 0) if len(payload) > 2 else 0

    def conceal(self) -> bytes:
        self.concealed += 1
        return b"CC" * 160

    def recover(self, payload: bytes) -> bytes:
        return b"RR" * 160 if payload[3:] == b"FEC" else b""


def varying(number: int, timestamp: int, payload: bytes, ssrc: int = 7) -> bytes:
    return HEADER.pack(0x80, 96, number & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


class HeardVarying(Heard):
    """A receiver of the codec above."""

    def __init__(self) -> None:
        super().__init__()
        self.codec = Varying()
        self.receiver.configure({96: self.codec, 8: codec("PCMA")}, {101: 8000})

    def frames(self, packets: list[tuple[float, bytes]], ticks: int) -> list[bytes]:
        heard = []
        for tick in range(ticks):
            now = 1.0 + 0.020 * tick
            while packets and packets[0][0] <= now:
                at, made = packets.pop(0)
                self.receiver.receive(made, FAR, at)
            self.receiver.hear(now)
            heard.append(self.receiver.far)
        return heard


def test_payloads_of_varying_length_take_the_short_way_too() -> None:
    heard = HeardVarying()
    sent = [(1.0 + 0.020 * n, varying(n, 160 * n, b"\x01" + bytes((n, 1)) + b"x" * (n % 7))) for n in range(50)]
    total = sum(len(made) - 12 for _, made in sent)
    seen = heard.frames(sent, 60)
    assert [frame[0] for frame in seen if frame is not SILENCE and frame[:2] != b"CC"] == list(range(50))
    assert (heard.receiver.totals(), heard.receiver.packets, heard.receiver.bytes) == ((50, 0), 50, total)


def test_what_cannot_be_decoded_is_counted_and_not_heard() -> None:
    heard = HeardVarying()
    payloads = [b"\x01ab", b"", b"\x00", b"\x00" * 60_000, b"\xff\xff\xff", b"\x01"]
    for number, payload in enumerate(payloads):
        heard.receiver.receive(varying(number, 160 * number, payload), FAR, 1.0 + number)
    assert heard.receiver.garbage == 4, "an empty payload says nothing, which is no mistake"
    assert len(heard.receiver.buffer) == 1


def test_a_lost_frame_is_found_in_the_next_packet_or_made_up_by_the_codec() -> None:
    heard = HeardVarying()
    came = [number for number in range(60) if number not in (20, 40)]
    sent = [(1.0 + 0.020 * n, varying(n, 160 * n, b"\x01ab" + (b"FEC" if n == 21 else b""))) for n in came]
    seen = heard.frames(sent, 64)
    first = next(place for place, frame in enumerate(seen) if frame is not SILENCE)
    assert seen[first + 20] == b"RR" * 160
    assert b"CC" * 160 in seen[first + 40 : first + 44], "after a loss it is waited a little longer"
    assert heard.codec.concealed >= 1


def test_a_codec_makes_a_frame_up_before_it_hears_the_next_one() -> None:
    heard = HeardVarying()
    told: list[int] = []
    decode, conceal = heard.codec.decode, heard.codec.conceal

    def concealing() -> bytes:
        told.append(-1)
        return conceal()

    def decoding(payload: bytes) -> bytes:
        told.append(payload[1])
        return decode(payload)

    heard.codec.conceal, heard.codec.decode = concealing, decoding  # type: ignore[method-assign]
    heard.receiver.configure({96: heard.codec}, {101: 8000})
    came = [number for number in range(80) if number not in (40, 55, 56)]
    heard.frames([(1.0 + 0.020 * n, varying(n, 160 * n, b"\x01" + bytes((n, 1)))) for n in came], 78)
    decoded = [number for number in told if number >= 0]
    assert decoded == [number for number in came if number <= decoded[-1]]
    assert (told[told.index(41) - 1], told[told.index(57) - 1]) == (-1, -1)
    assert (told[told.index(39) + 1], told[told.index(54) + 1]) == (-1, -1)


def test_a_codec_stops_making_things_up() -> None:
    heard = HeardVarying()
    seen = heard.frames([(1.0 + 0.020 * n, varying(n, 160 * n, b"\x01ab")) for n in range(10)], 100)
    assert seen.count(b"CC" * 160) == 25
    assert seen[-1] is SILENCE
    assert heard.receiver.rate == 8000


def test_each_packet_of_a_codec_with_a_memory_is_decoded_once_and_in_order() -> None:
    heard = HeardVarying()
    order = list(range(100))
    order[30], order[31] = order[31], order[30]
    late = [(1.0 + 0.020 * place + (0.09 if 50 <= place < 60 else 0.0), n) for place, n in enumerate(order)]
    sent = [(at, varying(n, 160 * n, b"\x01" + bytes((n, 1)))) for at, n in sorted(late)]
    heard.frames(sent, 130)
    decoded = [payload[1] for payload in heard.codec.decoded]
    assert decoded == sorted(set(decoded))
