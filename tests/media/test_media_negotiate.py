"""Offer and answer: the rules of RFC 3264, over all directions, codec lists and m-lines."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import MediaNegotiationFailed, ParseError
from offhook.media.messages import Direction
from offhook.media.negotiate import (
    LocalMedia,
    accept_answer,
    before_answer,
    check_offer,
    combine,
    make_answer,
    make_offer,
    media_address,
    reverse,
)
from offhook.media.sdp import parse_sdp
from offhook.media.security import Security

ALICE = LocalMedia("192.0.2.1", 4000)
BOB = LocalMedia("192.0.2.2", 5000)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
directions = st.sampled_from(DIRECTIONS)
codecs = st.permutations(["PCMU", "PCMA"]).flatmap(lambda two: st.integers(1, 2).map(lambda count: tuple(two[:count])))


def sdp(*lines: str, address: str = "198.51.100.7") -> bytes:
    head = ["v=0", "o=x 7 7 IN IP4 198.51.100.7", "s=-", f"c=IN IP4 {address}", "t=0 0"]
    return "\r\n".join([*head, *lines, ""]).encode()


@given(offered=directions, wanted=directions, mine=codecs, theirs=codecs, events=st.booleans(), more=st.booleans(),
       hosts=st.sampled_from([("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")]))
def test_both_sides_agree(
    offered: Direction, wanted: Direction, mine: tuple[str, ...], theirs: tuple[str, ...], events: bool, more: bool,
    hosts: tuple[str, str],
) -> None:
    alice = LocalMedia(hosts[0], 4000, mine, events)
    bob = LocalMedia(hosts[1], 5000, theirs, more)
    offer = make_offer(alice, 1, 1, offered)
    common = [name for name in mine if name in theirs]
    if not common:
        with pytest.raises(MediaNegotiationFailed):
            make_answer(bob, offer, 2, 1, wanted)
        return
    answer, at_bob = make_answer(bob, offer, 2, 1, wanted)
    at_alice = accept_answer(alice, offer, answer)
    assert at_bob.codec == at_alice.codec == common[0]
    assert at_alice.direction == reverse(at_bob.direction) == combine(offered, reverse(wanted))
    assert at_alice.remote == (hosts[1], 5000)
    assert at_alice.remote_rtcp == (hosts[1], 5001)
    assert at_bob.remote == (hosts[0], 4000)
    assert dict(at_alice.receive_types)[at_bob.payload_type] == at_bob.codec
    assert dict(at_bob.receive_types)[at_alice.payload_type] == at_alice.codec
    assert at_alice.telephone_event == (101 if events and more else None)
    assert at_bob.receive_events == (((101, 8000),) if events and more else ())


def ipv6(address: str) -> bytes:
    lines = ("v=0", "o=x 7 7 IN IP6 2001:db8::7", "s=-", f"c=IN IP6 {address}", "t=0 0", "m=audio 30000 RTP/AVP 0", "")
    return "\r\n".join(lines).encode()


def test_an_answer_is_of_the_offers_address_family() -> None:
    offer = ipv6("2001:0DB8:0:0::7")
    assert media_address(offer) == "2001:db8::7"
    with pytest.raises(MediaNegotiationFailed, match=r"on IPv6 .*to which there is no way from here"):
        check_offer(ALICE, offer)
    with pytest.raises(MediaNegotiationFailed, match="on IPv4"):
        check_offer(LocalMedia("2001:db8::1", 4000), sdp("m=audio 30000 RTP/AVP 0"))
    answer, config = make_answer(LocalMedia("2001:db8::1", 4000), offer, 1, 1)
    assert b"c=IN IP6 2001:db8::1\r\n" in answer
    assert config.remote == ("2001:db8::7", 30000)  # as a socket prints where packets come from


@pytest.mark.parametrize("held", ["0.0.0.0", "::"])
def test_nowhere_is_of_no_family(held: str) -> None:
    offer = ipv6(held) if held == "::" else sdp("m=audio 30000 RTP/AVP 0", address=held)
    for ours in ("192.0.2.1", "2001:db8::1"):
        assert make_answer(LocalMedia(ours, 4000), offer, 1, 1)[1].direction == "recvonly"
    assert media_address(offer) == ""


@pytest.mark.parametrize("offer", [b"", b"hello", sdp(), sdp("m=audio 9 RTP/AVP 0", address="pbx.example")])
def test_where_there_is_no_address_none_is_told(offer: bytes) -> None:
    assert media_address(offer) == ""


def test_offered_order_and_numbers_win() -> None:
    offer = sdp(
        "m=audio 30000 RTP/AVP 18 8 0 100", "a=rtpmap:18 G729/8000", "a=rtpmap:100 telephone-event/8000", "a=fmtp:100 0-15"
    )
    answer, config = make_answer(ALICE, offer, 1, 1)
    assert parse_sdp(answer).media[0].formats == ("8", "0", "100")
    assert (config.codec, config.payload_type) == ("PCMA", 8)
    assert config.receive_types == ((8, "PCMA"), (0, "PCMU"))
    assert (config.telephone_event, config.receive_events) == (100, ((100, 8000),))


def test_each_side_has_its_own_event_number() -> None:
    offer = make_offer(ALICE, 1, 1)
    answer = sdp("m=audio 30000 RTP/AVP 0 97", "a=rtpmap:97 telephone-event/8000")
    config = accept_answer(ALICE, offer, answer)
    assert (config.telephone_event, config.receive_events) == (97, ((101, 8000), (97, 8000)))


def test_encoding_names_know_no_case_and_dynamic_numbers_count() -> None:
    offer = sdp("m=audio 30000 RTP/AVP 96", "a=rtpmap:96 pcma/8000/1")
    _, config = make_answer(ALICE, offer, 1, 1)
    assert (config.codec, config.payload_type) == ("PCMA", 96)


def test_other_clock_is_another_codec() -> None:
    offer = sdp("m=audio 30000 RTP/AVP 96 0", "a=rtpmap:96 PCMA/16000", "a=rtpmap:97 telephone-event/48000")
    assert make_answer(ALICE, offer, 1, 1)[1].payload_type == 0


def test_other_lines_are_refused_in_place() -> None:
    offer = sdp(
        "m=video 31000 RTP/AVP 31", "m=audio 32000 RTP/SAVP 0", "m=audio 33000 RTP/AVP 8", "m=audio 34000 RTP/AVP 0",
        "m=application 9 TCP/MSRP *",
    )
    answer, config = make_answer(ALICE, offer, 1, 1)
    assert [(line.media, line.port) for line in parse_sdp(answer).media] == [
        ("video", 0), ("audio", 0), ("audio", 4000), ("audio", 0), ("application", 0)
    ]
    assert config.remote == ("198.51.100.7", 33000)
    again = parse_sdp(make_offer(ALICE, 1, 2, previous=answer))
    assert [(line.media, line.port) for line in again.media] == [
        ("video", 0), ("audio", 0), ("audio", 4000), ("audio", 0), ("application", 0)
    ]


def test_the_audio_counts_where_a_picture_comes_first() -> None:
    offer = sdp("m=video 31000 RTP/AVP 31", "c=IN IP4 198.51.100.9", "m=audio 33000 RTP/AVP 8", "c=IN IP4 198.51.100.8")
    assert media_address(offer) == "198.51.100.8"


def test_a_refused_line_that_names_no_format_does_not_cost_the_call() -> None:
    answer, config = make_answer(ALICE, sdp("m=audio 33000 RTP/AVP 0", "m=video 0 RTP/AVP"), 1, 1)
    assert b"m=video 0 RTP/AVP 0\r\n" in answer
    assert config.remote == ("198.51.100.7", 33000)
    assert accept_answer(ALICE, make_offer(ALICE, 1, 1), sdp("m=audio 33000 RTP/AVP 0", "m=video 0 RTP/AVP")).remote[1] == 33000
    with pytest.raises(ParseError):
        make_answer(ALICE, sdp("m=audio 33000 RTP/AVP"), 1, 1)


@pytest.mark.parametrize(
    ("stated", "expected"), [("sendrecv", "recvonly"), ("recvonly", "inactive"), ("sendonly", "recvonly")]
)
def test_hold_the_old_way(stated: str, expected: Direction) -> None:
    offer = sdp("m=audio 30000 RTP/AVP 0", f"a={stated}", address="0.0.0.0")
    answer, config = make_answer(ALICE, offer, 1, 1)
    assert config.direction == expected
    assert f"a={expected}".encode() in answer


def test_before_the_answer_all_that_was_offered_is_understood() -> None:
    config = before_answer(ALICE, make_offer(ALICE, 1, 1))
    assert config is not None
    assert config.receive_types == ((0, "PCMU"), (8, "PCMA"))
    assert (config.receive_events, config.direction) == (((101, 8000),), "recvonly")
    assert config.remote[1] == config.remote_rtcp[1] == 0


def test_keys_and_ways_come_with_the_answer() -> None:
    relayed, secure = replace(ALICE, relayed=True), replace(ALICE, security=Security("optional"))
    assert before_answer(relayed, make_offer(relayed, 1, 1)) is None
    assert before_answer(secure, make_offer(secure, 1, 1)) is None


def test_rtcp_goes_where_it_is_told() -> None:
    offer = sdp("m=audio 30000 RTP/AVP 0", "a=rtcp:40404 IN IP4 203.0.113.9")
    assert make_answer(ALICE, offer, 1, 1)[1].remote_rtcp == ("198.51.100.7", 40404)


def test_origin_carries_the_version() -> None:
    origin = parse_sdp(make_offer(ALICE, 12, 7, "sendonly")).origin
    assert (origin.session_id, origin.version, origin.address) == (12, 7, "192.0.2.1")


@pytest.mark.parametrize(
    "offer",
    [
        sdp(),
        sdp("m=audio 0 RTP/AVP 0"),
        sdp("m=audio 30000 RTP/AVP 18"),
        sdp("m=audio 30000 RTP/SAVP 0"),
        sdp("m=video 30000 RTP/AVP 31"),
        sdp("m=audio 30000 RTP/AVP 0", address="media.example.com"),
        sdp("m=audio 30000 RTP/AVP 0", address="999.1.1.1"),
    ],
)
def test_nothing_in_common(offer: bytes) -> None:
    with pytest.raises(MediaNegotiationFailed):
        make_answer(ALICE, offer, 1, 1)


@pytest.mark.parametrize(
    "answer",
    [sdp(), sdp("m=audio 0 RTP/AVP 0"), sdp("m=video 9 RTP/AVP 0"), sdp("m=audio 9 RTP/AVP 18")],
)
def test_answers_that_refuse(answer: bytes) -> None:
    with pytest.raises(MediaNegotiationFailed):
        accept_answer(ALICE, make_offer(ALICE, 1, 1), answer)


def test_garbage_is_a_parse_error() -> None:
    with pytest.raises(ParseError):
        make_answer(ALICE, b"hello", 1, 1)
    with pytest.raises(ParseError):
        make_answer(ALICE, sdp("m=audio 9 RTP/AVP 0").replace(b"c=IN IP4 198.51.100.7\r\n", b""), 1, 1)


def test_broken_answer_cannot_widen_our_hold() -> None:
    config = accept_answer(ALICE, make_offer(ALICE, 1, 1, "sendonly"), sdp("m=audio 9 RTP/AVP 0", "a=sendrecv"))
    assert config.direction == "sendonly"


def test_answers_every_offer_of_rfc_4317(testdata: Path) -> None:
    taken = 0
    for path in sorted((testdata / "rfc4317").glob("*-offer*.sdp")):
        # The examples name hosts; a phone is told addresses.
        text = re.sub(rb"(?m)^c=IN IP4 [a-z].*?(\r?)$", rb"c=IN IP4 192.0.2.9\1", path.read_bytes())
        try:
            answer, _ = make_answer(ALICE, text, 1, 1)
        except MediaNegotiationFailed:
            continue
        taken += 1
        theirs, ours = parse_sdp(text), parse_sdp(answer)
        assert [line.media for line in ours.media] == [line.media for line in theirs.media]
        for mine, line in zip(ours.media, theirs.media, strict=True):
            assert set(mine.formats) <= set(line.formats)
            assert mine.port == 0 or line.port != 0
    assert taken >= 5


@pytest.mark.parametrize(("codecs", "offered", "answered"), [
    (("opus", "PCMU"), "96 0 110 101", [(110, 48000), (101, 8000)]),
    (("opus", "PCMU"), "0 96 110 101", [(101, 8000), (110, 48000)]),  # ours, by the codec we send, is the first
    (("PCMU",), "96 0 110 101", [(101, 8000)]),
    (("opus",), "96 0 110 101", [(110, 48000)]),
    (("opus", "PCMU"), "96 0 101", [(101, 8000)]),
])
def test_keys_are_taken_on_each_clock_of_the_answer(
    codecs: tuple[str, ...], offered: str, answered: list[tuple[int, int]]
) -> None:
    # RFC 4733 2.1: for each clock rate in use there is a payload type
    offer = sdp(f"m=audio 30000 RTP/AVP {offered}", "a=rtpmap:96 opus/48000/2", "a=rtpmap:110 telephone-event/48000",
                "a=rtpmap:101 telephone-event/8000")
    answer, config = make_answer(replace(ALICE, codecs=codecs), offer, 1, 1)
    assert config.receive_events == tuple(answered)
    assert (config.telephone_event, config.event_clock) == answered[0]
    line = parse_sdp(answer).media[0]
    assert line.payload_types[-len(answered):] == tuple(number for number, _ in answered)
