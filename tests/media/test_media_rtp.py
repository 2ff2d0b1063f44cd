"""RTP headers and sequence numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.media.rtp import HEADER, Arrival, Reception, payload_span


def packet(first: int = 0x80, rest: bytes = b"") -> bytes:
    return HEADER.pack(first, 0, 1, 2, 3) + rest


def test_span_of_a_plain_packet() -> None:
    assert payload_span(packet(rest=b"abc")) == (12, 15)


def test_span_skips_contributing_sources_extension_and_padding() -> None:
    rest = bytes(8) + b"\xbe\xde\x00\x01" + bytes(4) + b"abc" + b"\x00\x02"
    assert payload_span(packet(0x80 | 0x20 | 0x10 | 2, rest)) == (28, 31)


def test_span_refuses_what_is_not_rtp() -> None:
    assert payload_span(b"") is None
    assert payload_span(packet(0x40)) is None
    assert payload_span(packet(0x80 | 0x20, b"a\x00")) is None
    assert payload_span(packet(0x80 | 0x20, b"a\xff")) is None
    assert payload_span(packet(0x80 | 0x10, b"\x00")) is None
    assert payload_span(packet(0x8F)) is None


@given(st.binary(max_size=64))
def test_span_lies_within_any_packet(data: bytes) -> None:
    span = payload_span(data)
    assert span is None or 12 <= span[0] <= span[1] <= len(data)


def test_counts_loss_over_the_wrap_of_the_sequence_number() -> None:
    reception = Reception(65530)
    for number in range(65530, 65530 + 20):
        if number not in (65533, 65540):
            assert reception.note(number & 0xFFFF) is Arrival.NEW
    assert (reception.expected, reception.received, reception.lost) == (20, 18, 2)
    assert reception.fraction_since_last() == 0.1
    assert reception.fraction_since_last() == 0.0
    for number in (15, 16, 19):
        reception.note(number)
    assert reception.fraction_since_last() == 0.5, "of the six since then, as RFC 3550 A.3 has it"


def test_reordered_is_new_once_and_double_afterwards() -> None:
    reception = Reception(10)
    order = [10, 12, 11, 11, 12, 13]
    assert [reception.note(number) for number in order] == [
        Arrival.NEW, Arrival.NEW, Arrival.NEW, Arrival.DUPLICATE, Arrival.DUPLICATE, Arrival.NEW,
    ]  # fmt: skip
    assert reception.lost == 0


def test_packet_before_the_first_counts() -> None:
    reception = Reception(0)
    assert reception.note(0) is Arrival.NEW
    assert reception.note(65535) is Arrival.NEW
    assert (reception.expected, reception.lost) == (2, 0)


def test_a_jump_needs_a_successor() -> None:
    reception = Reception(100)
    reception.note(100)
    assert reception.note(40000) is Arrival.JUMP
    assert reception.note(101) is Arrival.NEW
    assert reception.note(50000) is Arrival.JUMP
    assert reception.note(50001) is Arrival.RESTART
    assert reception.note(50002) is Arrival.NEW
    assert reception.lost == 0


@given(st.lists(st.integers(0, 65535), max_size=200))
def test_any_numbers_keep_the_counts_sane(numbers: list[int]) -> None:
    reception = Reception(0)
    for number in numbers:
        reception.note(number)
    assert reception.lost >= 0
    assert reception.received <= len(numbers)
    assert 0.0 <= reception.fraction_since_last() <= 1.0


@pytest.mark.lengthy
@given(st.permutations(range(60)), st.sets(st.integers(0, 59), max_size=20))
def test_order_does_not_matter_for_loss(order: list[int], lost: set[int]) -> None:
    lost -= {0, 59}
    reception = Reception(order[0])
    arrivals = [reception.note(number) for number in order if number not in lost]
    assert all(arrival is Arrival.NEW for arrival in arrivals)
    if order[0] not in lost:
        assert reception.lost == len(lost)
