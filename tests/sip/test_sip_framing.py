"""Messages cut out of a byte stream."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.sip.framing import StreamFramer, is_keep_alive
from offhook.sip.parsing import MAX_MESSAGE, parse_message


def message(body: bytes = b"", name: bytes = b"Content-Length") -> bytes:
    return b"OPTIONS sip:a@b SIP/2.0\r\n" + name + b": " + str(len(body)).encode() + b"\r\n\r\n" + body


def test_whole_messages_come_out_at_once() -> None:
    framer = StreamFramer()
    assert framer.feed(message(b"one") + message() + message(b"x\r\n\r\n", b"l")) == [
        message(b"one"), message(), message(b"x\r\n\r\n", b"l"),
    ]
    assert framer.feed(b"") == []
    assert framer.pings == 0


@pytest.mark.lengthy
@given(st.lists(st.binary(max_size=20), max_size=4), st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_it_does_not_matter_how_the_bytes_arrive(bodies: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(message(body) for body in bodies)
    framer, frames, position = StreamFramer(), list[bytes](), 0
    for cut in cuts:
        frames += framer.feed(wire[position : position + cut])
        position += cut
    frames += framer.feed(wire[position:])
    assert frames == [message(body) for body in bodies]
    for frame in frames:
        parse_message(frame, stream=True)


@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_pings_are_counted_and_swallowed(step: int) -> None:
    wire = b"\r\n\r\n" + message(b"a") + b"\r\n" + message(b"b") + b"\r\n\r\n\r\n\r\n"
    framer, frames = StreamFramer(), list[bytes]()
    for start in range(0, len(wire), step):
        frames += framer.feed(wire[start : start + step])
    assert frames == [message(b"a"), message(b"b")]
    assert framer.pings == 3


def test_folded_and_bare_lf_headers_are_framed() -> None:
    folded = b"BYE sip:a SIP/2.0\r\nContent-Length:\r\n 2\r\n\r\nok"
    bare = b"BYE sip:a SIP/2.0\nl : 2\n\nok"
    assert StreamFramer().feed(folded + bare) == [folded, bare]


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"BYE sip:a SIP/2.0\r\n\r\n", 400),
        (b"BYE sip:a SIP/2.0\r\nl: x\r\n\r\n", 400),
        (b"BYE sip:a SIP/2.0\r\nl: -1\r\n\r\n", 400),
        (b"BYE sip:a SIP/2.0\r\nl: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"BYE sip:a SIP/2.0\r\nl: 65535\r\n\r\n", 513),
        (b"BYE sip:a SIP/2.0\r\nl: 99999999999999999999\r\n\r\n", 513),
        (b"x" * (MAX_MESSAGE + 1), 513),
    ],
)
def test_what_cannot_be_framed_ends_the_connection(wire: bytes, status: int) -> None:
    framer = StreamFramer()
    with pytest.raises(ParseError) as caught:
        framer.feed(wire)
    assert caught.value.status == status
    with pytest.raises(ParseError):
        framer.feed(message())


def test_messages_in_front_of_the_fault_are_not_lost() -> None:
    framer = StreamFramer()
    assert framer.feed(message(b"good") + b"garbage\r\n\r\n") == [message(b"good")]
    assert framer.fault is not None
    with pytest.raises(ParseError):
        framer.feed(b"")


def test_the_same_length_twice_is_no_fault() -> None:
    wire = b"BYE sip:a SIP/2.0\r\nl: 1\r\nContent-Length: 01\r\n\r\nx"
    assert StreamFramer().feed(wire) == [wire]


@pytest.mark.parametrize("line_end", [b"\r", b"\n", b"\r\r\n"])
def test_a_flood_of_line_ends_costs_no_more_the_longer_it_is(line_end: bytes) -> None:
    framer, began = StreamFramer(), time.process_time()
    assert framer.feed(line_end * (256 * 1024 // len(line_end))) == []  # what asyncio reads at once
    assert time.process_time() - began < 1, "each one copied all that stood behind it: three seconds without a packet"


def test_keep_alive_datagrams() -> None:
    assert is_keep_alive(b"\r\n\r\n")
    assert is_keep_alive(b"\x00")
    assert is_keep_alive(b"")
    assert not is_keep_alive(message())


@given(st.binary(max_size=80))
def test_any_bytes_give_frames_or_a_parse_error(data: bytes) -> None:
    try:
        StreamFramer().feed(data)
    except ParseError:
        return
