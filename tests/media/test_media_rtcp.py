"""RTCP packets and round trips."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.media import rtcp
from offhook.media.rtcp import Block, Goodbye, Report

TESTDATA = Path(os.environ.get("OFFHOOK_TESTDATA", Path(__file__).parents[3] / "shared" / "testdata"))

words = st.integers(0, 0xFFFFFFFF)
blocks = st.builds(
    Block,
    ssrc=words,
    fraction=st.integers(0, 255).map(lambda eighths: eighths / 256),
    lost=st.integers(-0x800000, 0x7FFFFF),
    highest=words,
    jitter=words,
    last_report=words,
    delay=words,
)
senders = st.builds(
    Report, ssrc=words, ntp=st.integers(0, 2**64 - 1), timestamp=words, packets=words, octets=words,
    blocks=st.lists(blocks, max_size=31).map(tuple),
)  # fmt: skip


@pytest.mark.lengthy
@given(senders)
def test_sender_report_round_trip(report: Report) -> None:
    packet = rtcp.print_report(report) + rtcp.print_description(report.ssrc, "someone@here")
    assert rtcp.parse(packet) == [report]


@given(st.lists(blocks, max_size=31).map(tuple), words)
def test_receiver_report_round_trip(listed: tuple[Block, ...], ssrc: int) -> None:
    report = Report(ssrc, None, 0, 0, 0, listed)
    assert rtcp.parse(rtcp.print_report(report)) == [report]


@pytest.mark.lengthy
@given(st.text(max_size=300), words)
def test_description_and_goodbye_are_whole_words(cname: str, ssrc: int) -> None:
    head = rtcp.print_report(Report(ssrc, None, 0, 0, 0, ()))
    parts = rtcp.parse(head + rtcp.print_description(ssrc, cname) + rtcp.print_goodbye(ssrc))
    assert parts[1:] == [Goodbye((ssrc,))]


@given(st.binary(max_size=200))
def test_garbage_is_a_parse_error_and_nothing_else(data: bytes) -> None:
    with suppress(ParseError):
        rtcp.parse(data)


@pytest.mark.lengthy
@given(senders, st.integers(0, 400), st.integers(0, 255))
def test_damaged_packets_never_surprise(report: Report, place: int, octet: int) -> None:
    packet = bytearray(rtcp.print_report(report))
    packet[place % len(packet)] = octet
    with suppress(ParseError):
        rtcp.parse(bytes(packet))


def captured(name: str) -> bytes:
    path = TESTDATA / "rtp-rtcp" / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path.read_bytes()


def test_captured_reports() -> None:
    (sender,) = (part for part in rtcp.parse(captured("rtcp_sr.bin")) if isinstance(part, Report))
    assert sender.ntp is not None
    assert len(sender.blocks) == 1
    (receiver,) = (part for part in rtcp.parse(captured("rtcp_rr.bin")) if isinstance(part, Report))
    assert receiver.ntp is None


@pytest.mark.parametrize("name", ["rtcp_bye.bin", "rtcp_sdes.bin", "rtcp_sr_invalid.bin", "rtcp_rr_invalid.bin"])
def test_captured_packets_that_are_no_compound(name: str) -> None:
    with pytest.raises(ParseError):
        rtcp.parse(captured(name))


def test_round_trip_time() -> None:
    sent = rtcp.ntp_time(1_000_000.0)
    back = rtcp.ntp_time(1_000_000.0 + 0.250)
    block = Block(1, 0.0, 0, 0, 0, rtcp.middle(sent), int(0.1 * 65536))
    assert rtcp.round_trip_ms(block, back) == pytest.approx(150, abs=0.1)
    assert rtcp.round_trip_ms(Block(1, 0.0, 0, 0, 0, 0, 0), back) is None
    early = Block(1, 0.0, 0, 0, 0, rtcp.middle(sent), 65536)
    assert rtcp.round_trip_ms(early, back) == 0.0


@pytest.mark.parametrize("name", ["", "a", "ab", "abc", "abcd", "x" * 255])
def test_a_description_fills_words_and_ends_with_a_null(name: str) -> None:
    """RFC 3550 6.5: "the list of items in each chunk MUST be terminated by one or more null octets"."""
    packet = rtcp.print_description(7, name)
    assert len(packet) == 4 * (1 + int.from_bytes(packet[2:4], "big"))
    text, rest = packet[10 : 10 + packet[9]], packet[10 + packet[9] :]
    assert (packet[8], text) == (1, name.encode())
    assert rest == bytes(len(rest))
    assert 1 <= len(rest) <= 4


def test_a_delay_below_zero_is_printed_as_none() -> None:
    report = Report(1, None, 0, 0, 0, (Block(1, 0.0, 0, 0, -5, 0, -9),))
    (parsed,) = rtcp.parse(rtcp.print_report(report))
    assert isinstance(parsed, Report)
    assert (parsed.blocks[0].jitter, parsed.blocks[0].delay) == (0, 0)
