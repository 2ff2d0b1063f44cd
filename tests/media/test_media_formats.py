"""Payload types: numbers, names, clocks, parameters, and what both sides make of them."""

from __future__ import annotations

import pytest

from offhook.errors import MediaNegotiationFailed
from offhook.media.codecs.kinds import KINDS
from offhook.media.formats import formats_of, offered_formats, ptime_of, speakable
from offhook.media.negotiate import LocalMedia, accept_answer, make_answer, make_offer
from offhook.media.sdp import Attribute, MediaDescription, parse_sdp

ALL = ("OPUS", "G722", "PCMA", "L16/16000")


def local(*codecs: str, host: str = "192.0.2.1", events: bool = True) -> LocalMedia:
    return LocalMedia(host, 30000, codecs or ALL, telephone_event=events)


def line(*attributes: str, formats: str = "0") -> MediaDescription:
    text = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n"
    text += f"m=audio 40000 RTP/AVP {formats}\r\n" + "".join(f"a={each}\r\n" for each in attributes)
    return parse_sdp(text.encode()).media[0]


def offer(*attributes: str, formats: str = "0") -> bytes:
    text = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n"
    return (text + f"m=audio 40000 RTP/AVP {formats}\r\n" + "".join(f"a={each}\r\n" for each in attributes)).encode()


def test_an_offer_names_everything_as_the_rfcs_want() -> None:
    text = make_offer(local(), 1, 1).decode()
    assert "m=audio 30000 RTP/AVP 102 9 8 103 101 104 105\r\n" in text
    for expected in (
        "a=rtpmap:102 opus/48000/2", "a=fmtp:102 useinbandfec=1", "a=rtpmap:9 G722/8000", "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:103 L16/16000", "a=rtpmap:101 telephone-event/8000", "a=rtpmap:104 telephone-event/16000",
        "a=rtpmap:105 telephone-event/48000", "a=fmtp:105 0-15",
    ):  # fmt: skip
        assert expected + "\r\n" in text


def test_an_opus_of_less_says_so() -> None:
    text = make_offer(local("opus/16000"), 1, 1).decode()
    assert "a=fmtp:102 maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1\r\n" in text


@pytest.mark.parametrize("name", KINDS)
def test_both_sides_agree_on_every_codec(name: str) -> None:
    mine, theirs = local(name), local("PCMU", name, host="192.0.2.2")
    proposed = make_offer(mine, 1, 1)
    answer, at_theirs = make_answer(theirs, proposed, 1, 1)
    at_mine = accept_answer(mine, proposed, answer)
    clock = KINDS[name].format[1]
    for config in (at_mine, at_theirs):
        assert (config.codec, config.clock_rate, config.event_clock) == (name, clock, clock)
        assert config.receive_types == ((config.payload_type, name),)
        assert config.telephone_event is not None
        assert config.receive_events == ((config.telephone_event, clock),)
        assert config.fmtp == KINDS[name].fmtp


def test_the_answer_follows_the_order_of_the_offer() -> None:
    proposed = offer("rtpmap:96 opus/48000/2", "fmtp:96 useinbandfec=1;maxplaybackrate=16000", formats="8 96 9")
    answer, config = make_answer(local("OPUS", "G722"), proposed, 1, 1)
    assert config.codec == "OPUS"
    assert config.fmtp == "useinbandfec=1;maxplaybackrate=16000"
    assert config.receive_types == ((96, "OPUS"), (9, "G722"))
    assert b"m=audio 30000 RTP/AVP 96 9\r\n" in answer


def test_each_side_sends_under_the_others_numbers() -> None:
    proposed = make_offer(local("OPUS"), 1, 1)
    answer = offer("rtpmap:120 OPUS/48000/2", formats="120")
    config = accept_answer(local("OPUS"), proposed, answer)
    assert (config.payload_type, config.receive_types) == (120, ((102, "OPUS"), (120, "OPUS")))


def test_other_clocks_and_channels_are_other_codecs() -> None:
    proposed = offer("rtpmap:96 opus/48000", "rtpmap:97 L16/16000/2", "rtpmap:98 L16/44100", "rtpmap:99 PCMA/16000",
                     formats="96 97 98 99 10 11")  # fmt: skip
    with pytest.raises(MediaNegotiationFailed, match="no codec in common"):
        make_answer(local("OPUS", "L16/16000", "L16/8000", "PCMA"), proposed, 1, 1)


@pytest.mark.parametrize(("fmtp", "name"), [
    ("", "AMR"), ("octet-align=0;mode-set=0,7", "AMR"), ("octet-align=1", "AMR/OCTETS"), ("octet-align=1; crc=1", ""),
    ("interleaving=30", ""), ("robust-sorting=1", ""), ("mode-change-period=2", "AMR"),
])  # fmt: skip
def test_the_form_of_amr_is_the_offers(fmtp: str, name: str) -> None:
    proposed = offer("rtpmap:97 AMR/8000/1", *([f"fmtp:97 {fmtp}"] if fmtp else []), formats="97 8")
    answer, config = make_answer(local("AMR", "PCMA"), proposed, 1, 1)
    assert (config.codec, config.receive_types[0]) == ((name, (97, name)) if name else ("PCMA", (8, "PCMA")))
    assert (b"a=fmtp:97 octet-align=1" in answer) == (name == "AMR/OCTETS")


def test_a_g722_by_its_sampling_rate_is_g722() -> None:
    answer, config = make_answer(local("G722"), offer("rtpmap:9 G722/16000", formats="9"), 1, 1)
    assert (config.codec, config.clock_rate) == ("G722", 8000)
    assert b"a=rtpmap:9 G722/8000" in answer


def test_events_run_on_the_codecs_clock_or_else_at_8000() -> None:
    both = offer("rtpmap:96 opus/48000/2", "rtpmap:101 telephone-event/8000", "rtpmap:110 telephone-event/48000",
                 formats="96 101 110")  # fmt: skip
    _, config = make_answer(local("OPUS"), both, 1, 1)
    assert (config.telephone_event, config.event_clock) == (110, 48000)
    one = offer("rtpmap:96 opus/48000/2", "rtpmap:101 telephone-event/8000", formats="96 101")
    _, config = make_answer(local("OPUS"), one, 1, 1)
    assert (config.telephone_event, config.event_clock) == (101, 8000)


def test_keys_are_understood_on_every_clock_that_the_answer_names() -> None:
    mine = local("OPUS", "PCMU")
    proposed = make_offer(mine, 1, 1)
    answer = offer("rtpmap:102 opus/48000/2", "rtpmap:98 telephone-event/8000", "rtpmap:104 telephone-event/48000",
                   formats="102 0 98 104")  # fmt: skip
    config = accept_answer(mine, proposed, answer)
    assert (config.telephone_event, config.event_clock) == (104, 48000)
    assert dict(config.receive_events) == {101: 8000, 103: 48000, 98: 8000, 104: 48000}, "by our numbers, and by its own"


def test_a_number_never_changes_its_meaning_within_a_session() -> None:
    """RFC 3264 8.3.2: as offerer too we keep the numbers that the far end has chosen."""
    first = offer("rtpmap:102 speex/8000", "rtpmap:107 opus/48000/2", "rtpmap:101 L16/16000", "rtpmap:97 telephone-event/8000",
                  formats="102 107 8 101 97")  # fmt: skip
    mine = local("OPUS", "PCMA", "L16/16000")
    answer, config = make_answer(mine, first, 1, 1)
    assert config.payload_type == 107
    again = make_offer(mine, 1, 2, previous=answer)
    found = {entry.coding: entry.payload_type for entry in formats_of(parse_sdp(again).media[0])}
    assert found["OPUS", 48000, 2] == 107
    assert found["L16", 16000, 1] == 101
    assert found["TELEPHONE-EVENT", 8000, 1] not in (101, 102, 107)
    assert len(set(found.values())) == len(found)


def test_a_reinvite_may_change_the_codec() -> None:
    mine = local("OPUS", "PCMA")
    first = make_offer(mine, 1, 1)
    assert accept_answer(mine, first, offer("rtpmap:102 opus/48000/2", formats="102")).codec == "OPUS"
    again = make_offer(mine, 1, 2, previous=first)
    config = accept_answer(mine, again, offer(formats="8"))
    assert (config.codec, config.payload_type, config.receive_types) == ("PCMA", 8, ((102, "OPUS"), (8, "PCMA")))


@pytest.mark.parametrize(("attributes", "expected"), [
    ((), 20), (("ptime:20",), 20), (("ptime:40",), 40), (("ptime:60",), 60), (("ptime:90",), 60), (("ptime:30",), 20),
    (("ptime:10",), 20), (("ptime:0",), 20), (("ptime:x",), 20), (("ptime:99999999999",), 20),
    (("ptime:60", "maxptime:40"), 40),
    (("maxptime:20",), 20), (("maxptime:10",), 20),
    (("ptime:20.5",), 20), (("ptime:-40",), 20),
])  # fmt: skip
def test_packets_are_as_long_as_the_far_end_wants(attributes: tuple[str, ...], expected: int) -> None:
    assert ptime_of(line(*attributes)) == expected


def test_of_two_opus_the_preferred_one_counts() -> None:
    named = formats_of(line("rtpmap:96 opus/48000/2", formats="96"))
    assert [entry.codec for entry in speakable(("OPUS/16000", "OPUS"), named, line(formats="96"))] == ["OPUS/16000"]
    assert len(offered_formats(("OPUS/16000", "OPUS"), False, None)) == 1


def test_no_line_takes_all_numbers() -> None:
    """A far end that has used up every dynamic number leaves us the static ones."""
    numbers = range(96, 128)
    crowded = line(*(f"rtpmap:{number} x{number}/8000" for number in numbers), formats=" ".join(map(str, numbers)))
    found = offered_formats(("OPUS", "PCMA"), True, crowded)
    assert [entry.payload_type for entry in found] == [8]


def test_attributes_are_not_doubled() -> None:
    text = make_offer(local("PCMA"), 1, 1).decode()
    assert text.count("a=rtpmap:8 ") == 1
    assert Attribute("ptime", "20") in parse_sdp(text.encode()).media[0].attributes
