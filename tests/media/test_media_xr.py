"""Extended reports: what is written is read, and what a stranger writes does no harm."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.media import rtcp, xr
from offhook.media.xr import Delay, Delays, ExtendedReport, ReceiverTime, VoipMetrics

words = st.integers(0, 0xFFFFFFFF)
shorts = st.integers(0, 0xFFFF)
shares = st.integers(0, 255).map(lambda part: part / 256)
opinions = st.none() | st.integers(10, 50).map(lambda tenths: tenths / 10)
metrics = st.builds(
    VoipMetrics, ssrc=words, lost=shares, discarded=shares, burst_density=shares, gap_density=shares, burst_ms=shorts,
    gap_ms=shorts, round_trip_ms=shorts, end_system_ms=shorts, gmin=st.integers(0, 255), rating=st.none() | st.integers(0, 100),
    mos_listening=opinions, mos_conversation=opinions, buffer_ms=shorts, buffer_most_ms=shorts, buffer_limit_ms=shorts,
)  # fmt: skip
times = st.integers(0, 2**64 - 1).map(ReceiverTime)
delays = st.lists(st.builds(Delay, words, words, words), max_size=xr.MOST_DELAYS).map(lambda many: Delays(tuple(many)))
reports = st.builds(ExtendedReport, words, st.lists(metrics | times | delays, max_size=6).map(tuple))


@pytest.mark.lengthy
@given(reports)
def test_what_is_written_is_read(report: ExtendedReport) -> None:
    packet = xr.print_extended(report)
    assert len(packet) % 4 == 0
    assert xr.parse_extended(packet[4:]) == report


@pytest.mark.lengthy
@given(reports)
def test_it_is_part_of_a_compound_packet(report: ExtendedReport) -> None:
    first = rtcp.Report(report.ssrc, None, 0, 0, 0, ())
    packet = rtcp.print_report(first) + xr.print_extended(report)
    if len(packet) <= 1500:
        assert rtcp.parse(packet) == [first, report]


def test_the_octets_are_where_rfc_3611_4_7_puts_them() -> None:
    packet = xr.print_extended(ExtendedReport(0x01020304, (VoipMetrics(
        0x0A0B0C0D, lost=0.25, discarded=0.125, burst_density=0.5, gap_density=0.0625, burst_ms=260, gap_ms=0x0304,
        round_trip_ms=0x0506, end_system_ms=0x0708, rating=93, mos_listening=4.4, mos_conversation=4.1, buffer_ms=40,
        buffer_most_ms=80, buffer_limit_ms=200,
    ),)))  # fmt: skip
    assert packet.hex() == (
        "80cf000a" "01020304" "07000008" "0a0b0c0d" "40208010" "01040304" "05060708" "7f7f7f10" "5d7f2c29" "f0000028" "005000c8"
    )  # fmt: skip


def test_unknown_ratings_are_none() -> None:
    read = xr.parse_extended(xr.print_extended(ExtendedReport(1, (VoipMetrics(2),)))[4:]).blocks[0]
    assert isinstance(read, VoipMetrics)
    assert (read.rating, read.mos_listening, read.mos_conversation) == (None, None, None)


def test_unknown_blocks_and_odd_lengths_are_passed_over() -> None:
    strange = bytes((99, 0, 0, 1)) + b"abcd" + bytes((7, 0, 0, 1)) + b"abcd" + bytes((4, 0, 0, 0))
    time = xr.print_extended(ExtendedReport(1, (ReceiverTime(5),)))[8:]
    assert xr.parse_extended(b"\0\0\0\1" + strange + time).blocks == (ReceiverTime(5),)


def test_only_so_many_delays_are_read() -> None:
    many = ExtendedReport(1, (Delays(tuple(Delay(number, 0, 0) for number in range(100))),))
    (read,) = xr.parse_extended(xr.print_extended(many)[4:]).blocks
    assert isinstance(read, Delays)
    assert len(read.delays) == xr.MOST_DELAYS


@pytest.mark.parametrize("body", [b"", b"abc", b"abcd" + bytes((7, 0, 0, 8)), b"abcd" + bytes((5, 0, 255, 255)) + bytes(12)])
def test_what_ends_too_early_is_refused(body: bytes) -> None:
    with pytest.raises(ParseError):
        xr.parse_extended(body)


@given(st.binary(max_size=300))
def test_garbage_is_a_parse_error_and_nothing_else(body: bytes) -> None:
    with suppress(ParseError):
        xr.parse_extended(body)
    with suppress(ParseError):
        rtcp.parse(b"\x80\xc9\0\1abcd" + b"\x80\xcf" + (len(body) // 4).to_bytes(2, "big") + body[: len(body) // 4 * 4])
