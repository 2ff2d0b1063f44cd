"""One stream against the network: latching, sources, quality, direction."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_media import Pair, Weather, level

from offhook.media import rtcp
from offhook.media.codecs import codec
from offhook.media.latch import PROOF
from offhook.media.messages import (
    CloseStream,
    DigitReceived,
    SetLoopback,
    StartPlayback,
    StartRecording,
    StreamClosed,
    StreamResumed,
    StreamStalled,
    StreamStats,
)
from offhook.media.rtp import HEADER
from offhook.media.stream import Stream

STRANGER = ("192.0.2.99", 9999)


def stream(pair: Pair, side: int = 1) -> Stream:
    return pair.engines[side].streams["c"]


def packets(pair: Pair, side: int = 0) -> list[bytes]:
    return [packet for sender, port, packet in pair.sent if sender == side and port == 4000]


def tone(pair: Pair, side: int = 0, frequency: float = 440.0) -> None:
    pair.do(side, StartPlayback("c", "tone", "tone", frequencies=(frequency,)))


def record(pair: Pair, side: int = 1) -> None:
    pair.do(side, StartRecording("c", "rec", "/rec", "stereo"))


def test_fifty_packets_a_second_in_unbroken_order() -> None:
    pair = Pair()
    pair.run(2.0)
    headers = [HEADER.unpack_from(packet) for packet in packets(pair)]
    assert len(headers) == 100
    first = headers[0]
    assert first[1] == 0x80  # the marker on the first packet only
    for index, (version, second, sequence, timestamp, ssrc) in enumerate(headers):
        assert version == 0x80
        assert second == (0x80 if index == 0 else 0)
        assert sequence == (first[2] + index) & 0xFFFF
        assert timestamp == (first[3] + 160 * index) & 0xFFFFFFFF
        assert ssrc == first[4]
    assert all(packet[12:] == b"\xff" * 160 for packet in packets(pair))  # silence is sent too


@pytest.mark.parametrize("name", ["PCMU", "PCMA"])
@pytest.mark.parametrize("weather", [Weather(), Weather(loss=0.03, double=0.1, jitter=0.04)])
def test_a_tone_arrives_with_its_frequency(name: str, weather: Weather) -> None:
    pair = Pair(weather, codec=name, payload_type=codec(name).payload_type)
    tone(pair, frequency=1000.0)
    record(pair)
    pair.run(2.0)
    far = pair.studios[1].recorders["/rec"].far[20:]
    assert level(far, 1000.0) > 4 * max(level(far, 700.0), level(far, 1300.0))
    assert level(far, 1000.0) > 2000


@pytest.mark.lengthy
def test_figures_agree_with_the_weather() -> None:
    pair = Pair(Weather(loss=0.10, double=0.05, jitter=0.030, delay=0.040))
    pair.run(60)
    stats = pair.of(1, StreamStats)
    assert len(stats) in (11, 12)
    last = stats[-1]
    assert last.loss == pytest.approx(0.10, abs=0.02)
    assert last.packets_received + last.packets_lost == pytest.approx(50 * 60, abs=260)
    assert last.packets_duplicate > 50
    assert last.packets_reordered > 100
    assert last.stretched == last.shrunk == 0, "nobody listens"
    assert 5 < last.jitter_ms < 15
    assert last.rtt_ms == pytest.approx(2 * 55, abs=45)
    assert last.remote_loss == pytest.approx(0.1, abs=0.08)
    assert last.remote_jitter_ms == pytest.approx(10, abs=5)
    assert 1.5 < last.mos < 3.6


@pytest.mark.lengthy
def test_sound_that_is_played_longer_and_shorter_is_counted() -> None:
    pair = Pair(Weather(jitter=0.080))
    tone(pair)
    record(pair)
    pair.run(30)
    pair.weather = Weather()
    pair.run(30)
    last = pair.of(1, StreamStats)[-1]
    assert last.stretched >= 1
    assert last.shrunk >= 1


def test_a_clean_line_is_excellent() -> None:
    pair = Pair()
    pair.run(20)
    assert len(pair.of(1, StreamStats)) in (3, 4), "every 5 s"
    last = pair.of(1, StreamStats)[-1]
    assert (last.packets_lost, last.packets_late, last.packets_duplicate, last.loss) == (0, 0, 0, 0.0)
    assert last.mos > 4.3
    assert last.buffer_ms < 60
    assert last.jitter_ms < 3  # the test's network reads in steps of 5 ms
    assert last.rtt_ms == pytest.approx(20, abs=12)


@pytest.mark.lengthy
def test_control_packets_come_about_every_five_seconds_and_say_goodbye() -> None:
    pair = Pair()
    pair.run(60)
    pair.do(0, CloseStream("c"))
    control = [rtcp.parse(packet) for side, port, packet in pair.sent if side == 0 and port == 4001]
    assert 9 <= len(control) <= 18
    assert isinstance(control[1][0], rtcp.Report)
    assert control[1][0].ntp is not None
    assert isinstance(control[-1][-1], rtcp.Goodbye)
    assert len(pair.of(0, StreamClosed)) == 1


@pytest.mark.parametrize("seconds", [0, 1])
def test_who_has_sent_nothing_says_no_goodbye(seconds: int) -> None:
    pair = Pair()  # RFC 3550 6.3.7
    pair.run(seconds)
    pair.do(0, CloseStream("c"))
    control = [packet for side, port, packet in pair.sent if side == 0 and port == 4001]
    assert bool(control) == bool(seconds)


def test_who_sends_three_packets_in_a_row_is_the_peer() -> None:
    pair = Pair(remote=("198.51.100.1", 5000))  # what SDP said lies behind an address translation
    nowhere = ("198.51.100.1", 5000)
    assert stream(pair, 0).peer == stream(pair, 1).peer == nowhere
    for number in range(PROOF):
        assert stream(pair, 1).peer == nowhere
        pair.inject(1, 4000, HEADER.pack(0x80, 0, number, 160 * number, 7) + bytes(160), ("10.0.0.1", 4000))
    pair.run(0.3)
    assert stream(pair, 1).peer == ("10.0.0.1", 4000)
    assert stream(pair, 0).peer == ("10.0.0.2", 4000)


def test_a_stranger_cannot_take_over_a_stream_that_flows() -> None:
    pair = Pair()
    pair.run(0.5)
    for number in range(50):
        pair.inject(1, 4000, HEADER.pack(0x80, 0, number, 160 * number, 99) + bytes(160), STRANGER)
        pair.run(0.02)
    assert stream(pair).peer == ("10.0.0.1", 4000)
    assert stream(pair).foreign == 50


def test_a_peer_that_moved_is_followed_after_a_second() -> None:
    pair = Pair()
    pair.run(0.5)
    pair.configure(0, direction="inactive")
    pair.run(1.2)
    for number in range(5, 5 + PROOF):
        assert stream(pair).peer == ("10.0.0.1", 4000)
        pair.inject(1, 4000, HEADER.pack(0x80, 0, number, 160 * number, 99) + bytes(160), STRANGER)
    assert stream(pair).peer == STRANGER


NEW, NAT = ("198.51.100.1", 5000), ("203.0.113.5", 999)


def speak(pair: Pair, source: tuple[str, int], packets: int, *, first: int = 0) -> None:
    """Have a source of its own be heard at side 1, in time."""
    for number in range(first, first + packets):
        pair.inject(1, 4000, HEADER.pack(0x80, 0, number, 160 * number, 99) + bytes(160), source)
        pair.run(0.02)


def test_what_the_far_end_sent_before_it_moved_does_not_lead_our_sound_back() -> None:
    pair = Pair()
    pair.weather.loss = 1.0
    old = ("10.0.0.1", 4000)
    speak(pair, old, 20)
    pair.configure(1, remote=NEW)
    speak(pair, old, 20, first=20)  # until it has our answer
    pair.run(2.0)
    assert stream(pair).peer == NEW, "which is silent, or waits for us"
    speak(pair, old, 2 * PROOF, first=40)
    assert stream(pair).peer == old, "it goes on from there: its description is wrong, as behind a NAT"
    pair.configure(1, remote=old)
    pair.configure(1, remote=NEW)
    speak(pair, NEW, 1)
    assert stream(pair).peer == NEW


def test_a_hold_the_old_way_is_no_move() -> None:
    pair = Pair(remote=NEW)  # where it says it is; packets come from a NAT
    pair.weather.loss = 1.0
    speak(pair, NAT, 20)
    assert stream(pair).peer == NAT
    pair.configure(1, remote=("0.0.0.0", 5000), direction="recvonly")
    speak(pair, NAT, 20, first=20)
    pair.configure(1, remote=NEW, direction="sendrecv")
    speak(pair, NAT, PROOF, first=40)
    assert stream(pair).peer == NAT


def test_strangers_who_guess_get_nowhere_and_the_agreed_address_takes_its_place_at_once() -> None:
    pair = Pair()
    pair.weather.loss = 1.0
    for number in range(0, 300, 3):  # never in sequence; and by turns
        for source in (STRANGER, ("192.0.2.98", 1)):
            pair.inject(1, 4000, HEADER.pack(0x80, 0, number, 160 * number, 99) + bytes(160), source)
    assert stream(pair).peer == ("10.0.0.1", 4000)
    assert stream(pair).foreign == 200
    for number in range(PROOF):
        pair.inject(1, 4000, HEADER.pack(0x80, 0, number, 160 * number, 99) + bytes(160), STRANGER)
    assert stream(pair).peer == STRANGER
    pair.inject(1, 4000, HEADER.pack(0x80, 0, 7, 1, 3) + bytes(160), ("10.0.0.1", 4000))
    assert stream(pair).peer == ("10.0.0.1", 4000)


def test_garbage_does_not_latch() -> None:
    pair = Pair()
    for junk in (b"", b"\x80", bytes(12), HEADER.pack(0x80, 77, 1, 1, 1) + bytes(160), b"GET / HTTP/1.1\r\n\r\n"):
        pair.inject(1, 4000, junk, STRANGER)
    assert stream(pair).peer == ("10.0.0.1", 4000)
    assert stream(pair).garbage == 5


def test_a_new_source_is_believed_at_its_second_packet() -> None:
    pair = Pair()
    tone(pair)
    pair.run(1.0)
    pair.do(0, CloseStream("c"))
    source = ("10.0.0.1", 4000)
    loud = codec("PCMU").encode(b"\x00\x20" * 160)
    record(pair)
    for number in range(50):
        pair.inject(1, 4000, HEADER.pack(0x80, 0, 700 + number, 90_000 + 160 * number, 5) + loud, source)
        pair.run(0.02)
    assert level(pair.studios[1].recorders["/rec"].far[-20:], 0.0) > 5000
    stats = stream(pair).statistics()
    assert stats.packets_lost == 0
    assert stats.packets_received == 49 + 49  # the last one of the old source was still under way


def test_payload_type_may_change_in_the_middle() -> None:
    pair = Pair()
    record(pair)
    tone(pair)
    pair.run(0.5)
    pair.configure(0, codec="PCMA", payload_type=8)
    pair.run(1.0)
    far = pair.studios[1].recorders["/rec"].far[-40:]
    assert level(far, 440.0) > 2000
    assert {packet[1] & 0x7F for packet in packets(pair)} == {0, 8}


def test_longer_packets() -> None:
    pair = Pair(ptime_ms=40)
    tone(pair)
    record(pair)
    pair.run(1.0)
    assert [len(packet) for packet in packets(pair)] == [12 + 320] * 25
    assert level(pair.studios[1].recorders["/rec"].far[10:], 440.0) > 2000


def test_headers_with_options_are_understood() -> None:
    pair = Pair()
    record(pair)
    pair.do(0, CloseStream("c"))
    loud = codec("PCMU").encode(b"\x00\x20" * 160)
    for number in range(20):
        extra = bytes(4) + b"\xbe\xde\x00\x01" + bytes(4)
        packet = HEADER.pack(0xB1, 0, number, 160 * number, 5) + extra + loud + b"\0\0\0\4"
        pair.inject(1, 4000, packet, ("10.0.0.1", 4000))
        pair.run(0.02)
    assert level(pair.studios[1].recorders["/rec"].far[-8:], 0.0) > 5000


def test_directions() -> None:
    pair = Pair()
    for direction, sends in (("sendonly", True), ("recvonly", False), ("inactive", False), ("sendrecv", True)):
        before = len(packets(pair))
        pair.configure(0, direction=direction)
        pair.run(0.4)
        assert (len(packets(pair)) > before) is sends
    # RFC 3551 4.1: the first packet after the silence is marked.
    marked = [packet for packet in packets(pair) if packet[1] & 0x80]
    assert len(marked) == 2


def test_on_sendonly_what_comes_is_not_heard() -> None:
    pair = Pair()
    tone(pair)
    pair.configure(1, direction="sendonly")
    record(pair)
    pair.run(1.0)
    assert not any(map(any, pair.studios[1].recorders["/rec"].far))


def test_old_style_hold_sends_nothing_to_nowhere() -> None:
    pair = Pair()
    pair.run(0.1)
    before = len(packets(pair))
    pair.configure(0, remote=("0.0.0.0", 4000), remote_rtcp=("0.0.0.0", 4001))
    pair.run(2.0)
    pair.configure(0, remote=("0.0.0.0", 4000), remote_rtcp=("0.0.0.0", 4001), codec="PCMA")
    pair.run(2.0)
    assert len(packets(pair)) == before
    pair.configure(0)
    pair.run(1.0)
    assert len(packets(pair)) == before + 50


def test_old_style_hold_is_heard_and_may_be_silent() -> None:
    pair = Pair()
    pair.run(0.1)
    tone(pair)
    record(pair)
    pair.configure(1, remote=("0.0.0.0", 4000), remote_rtcp=("0.0.0.0", 4001), direction="recvonly")
    said = len(packets(pair, 1))
    pair.run(6.0)
    assert level(pair.studios[1].recorders["/rec"].far[-50:], 440.0) > 2000  # the music of who holds us
    pair.weather.loss = 1.0
    pair.run(6.0)
    assert len(packets(pair, 1)) == said
    assert not [port for sender, port, _ in pair.sent if sender == 1 and port == 4001]  # RFC 3264 8.4: RTCP neither
    assert not pair.of(1, StreamStalled)


def test_before_the_answer_what_comes_is_heard_and_nothing_is_said() -> None:
    pair = Pair()
    tone(pair)
    pair.configure(1, remote=("0.0.0.0", 0), remote_rtcp=("0.0.0.0", 0), direction="recvonly")
    record(pair)
    pair.run(1.0)
    assert len(pair.of(1, StreamResumed)) == 1
    assert not packets(pair, 1)
    pair.configure(1)
    pair.run(1.0)
    heard = pair.studios[1].recorders["/rec"].far[10:]
    assert all(level([frame], 440.0) > 2000 for frame in heard)  # the answer leaves no gap
    assert packets(pair, 1)


def test_stall_and_return() -> None:
    pair = Pair()
    pair.run(1.0)
    assert len(pair.of(1, StreamResumed)) == 1
    pair.weather.loss = 1.0
    pair.run(10.0)
    (stalled,) = pair.of(1, StreamStalled)
    assert 3000 <= stalled.silent_ms <= 3300
    pair.weather.loss = 0.0
    pair.run(1.0)
    assert len(pair.of(1, StreamResumed)) == 2


def test_nobody_stalls_who_has_nothing_to_say() -> None:
    pair = Pair()
    pair.configure(0, direction="inactive")
    pair.configure(1, direction="inactive")
    pair.run(10.0)
    assert not pair.of(1, StreamStalled)
    pair.configure(1)
    pair.run(2.0)
    assert not pair.of(1, StreamStalled)
    pair.run(2.0)
    assert len(pair.of(1, StreamStalled)) == 1


def test_an_echo_line() -> None:
    pair = Pair()
    pair.do(1, SetLoopback("c", True))
    record(pair, 0)
    tone(pair)
    pair.run(1.5)
    assert level(pair.studios[0].recorders["/rec"].far[30:], 440.0) > 2000


def test_an_echo_of_the_same_codec_is_the_very_same_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair()
    pair.do(1, SetLoopback("c", True))
    tone(pair)
    pair.run(1.0)
    monkeypatch.setattr(stream(pair)._sender.codec, "encode", lambda frame: pytest.fail("nothing is to be encoded"))
    pair.run(1.0)
    said, back = ([packet[12:] for packet in packets(pair, side)] for side in (0, 1))
    assert set(back[-40:]) <= set(said) - {b"\xff" * 160}


def test_an_echo_in_another_codec_sounds_the_same() -> None:
    pair = Pair()
    pair.configure(1, codec="PCMA", payload_type=8)
    pair.do(1, SetLoopback("c", True))
    record(pair, 0)
    tone(pair)
    pair.run(1.5)
    assert {packet[1] & 0x7F for packet in packets(pair, 1)} == {8}
    assert level(pair.studios[0].recorders["/rec"].far[30:], 440.0) > 2000


def test_what_nobody_hears_is_not_decoded() -> None:
    pair = Pair()
    tone(pair)
    pair.run(0.5)
    decoders = stream(pair)._receiver._decoders
    decode, decoders[0] = decoders[0], lambda payload: pytest.fail("nobody listens")
    pair.run(1.0)
    assert stream(pair).statistics().packets_received == 75
    decoders[0] = decode
    record(pair)
    pair.run(0.5)
    assert level(pair.studios[1].recorders["/rec"].far, 440.0) > 2000


def test_payload_numbers_may_change_their_meaning() -> None:
    pair = Pair(payload_type=96, receive_types=((96, "PCMU"),))
    loud = codec("PCMU").encode(b"\x00\x20" * 160)
    pair.do(0, CloseStream("c"))
    record(pair)
    for number in range(20):
        pair.inject(1, 4000, HEADER.pack(0x80, 96, number, 160 * number, 5) + loud, ("10.0.0.1", 4000))
        pair.run(0.02)
    pair.configure(1, payload_type=96, receive_types=((96, "PCMA"),))
    pair.run(0.02)
    frame = pair.studios[1].recorders["/rec"].far[-1]
    assert abs(level([frame], 0.0) - level([b"\x00\x20" * 160], 0.0)) < 500  # it came as mu-law and is heard as mu-law


def test_control_packets_on_the_media_port_are_read() -> None:
    pair = Pair()
    pair.run(0.5)
    ssrc = HEADER.unpack_from(packets(pair, 1)[0])[4]
    block = rtcp.Block(ssrc, 0.5, 9, 0, 80, 0, 0)
    pair.inject(1, 4000, rtcp.print_report(rtcp.Report(5, None, 0, 0, 0, (block,))), ("10.0.0.1", 4000))
    assert stream(pair).statistics().remote_loss == 0.5
    assert stream(pair).statistics().remote_jitter_ms == 10.0


def test_control_packets_of_strangers_are_not() -> None:
    pair = Pair()
    pair.run(0.5)
    pair.inject(1, 4001, rtcp.print_report(rtcp.Report(5, None, 0, 0, 0, ())), STRANGER)
    assert stream(pair).foreign == 1


@pytest.mark.lengthy
@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([4000, 4001]), st.binary(max_size=60)), max_size=40), st.booleans())
def test_nothing_raises_on_hostile_packets(junk: list[tuple[int, bytes]], shaped: bool) -> None:
    pair = Pair()
    for port, data in junk:
        if shaped and len(data) > 2:
            data = bytes((0x80, data[1] % 110)) + data[2:]
        pair.inject(1, port, data, ("10.0.0.1", port))
        pair.run(0.01)
    statistics = stream(pair).statistics()
    assert 0.0 <= statistics.loss <= 1.0
    assert 1.0 <= statistics.mos <= 4.5
    assert all(report.duration_ms >= 0 for report in pair.of(1, DigitReceived))


def test_a_flood_costs_no_memory() -> None:
    pair = Pair()
    for number in range(5000):
        packet = HEADER.pack(0x80, 0, number & 0xFFFF, 160 * number, 5) + bytes(160)
        pair.inject(1, 4000, packet, ("10.0.0.1", 4000))
    assert len(stream(pair)._receiver.buffer) <= 60
    assert len(pair.reports[1]) == 1
