"""SDP text: what is read is what was written, and nothing but ParseError comes out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.media.sdp import MAX_MEDIA, Connection, parse_sdp

BASIC = b"""v=0\r
o=alice 1 2 IN IP4 192.0.2.1\r
s=-\r
c=IN IP4 192.0.2.1\r
t=0 0\r
a=sendonly\r
m=audio 4000 RTP/AVP 0 97\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:97 opus/48000/2\r
a=fmtp:97 useinbandfec=1\r
m=video 0 RTP/AVP 31\r
c=IN IP6 2001:db8::1\r
a=recvonly\r
"""


def test_reads_what_is_there() -> None:
    session = parse_sdp(BASIC)
    audio, video = session.media
    assert (session.origin.username, session.origin.session_id, session.origin.version) == ("alice", 1, 2)
    assert audio.payload_types == (0, 97)
    assert audio.rtpmaps()[97].encoding == "opus"
    assert audio.rtpmaps()[97].channels == 2
    assert audio.fmtp(97) == "useinbandfec=1"
    assert audio.fmtp(0) == ""
    assert session.direction_of(audio) == "sendonly"
    assert session.direction_of(video) == "recvonly"
    assert session.connection_of(audio) == Connection("192.0.2.1")
    assert session.connection_of(video) == Connection("2001:db8::1", address_type="IP6")


def test_prints_what_it_read() -> None:
    assert parse_sdp(BASIC).encode() == BASIC


def test_takes_bare_newlines() -> None:
    assert parse_sdp(BASIC.replace(b"\r\n", b"\n")) == parse_sdp(BASIC)


def test_reads_the_examples_of_rfc_4317(testdata: Path) -> None:
    for path in sorted((testdata / "rfc4317").glob("*.sdp")):
        session = parse_sdp(path.read_bytes())
        assert parse_sdp(session.encode()) == session, path.name


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"v=1\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nc=IN IP4\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nc=IN IP4 ::1\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nm=audio 70000 RTP/AVP 0\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nm=audio -1 RTP/AVP 0\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nm=audio 1 RTP/AVP\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nnonsense\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\n\xff\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\n" + b"m=audio 1 RTP/AVP 0\r\n" * (MAX_MEDIA + 1),
        b"v=0\r\n" + b"a=x\r\n" * 15_000,
    ],
)
def test_refuses_with_parse_error_only(text: bytes) -> None:
    with pytest.raises(ParseError):
        parse_sdp(text)


def test_a_name_in_another_character_set_is_no_reason_to_refuse_a_call() -> None:
    session = parse_sdp(BASIC.replace(b"s=-", b"s=B\xfcro"))
    assert session.name == "B\u00fcro"
    assert session.media == parse_sdp(BASIC).media


@pytest.mark.parametrize("odd", [b"1" * 5000, b"0" * 5000, b"128", b"-1", b"x" * 60_000])
def test_a_format_that_is_no_payload_type_is_passed_over(odd: bytes) -> None:
    session = parse_sdp(BASIC.replace(b"AVP 0 97", b"AVP 0 " + odd + b" 97"))
    assert session.media[0].payload_types == (0, 97)


@pytest.mark.parametrize("lines", [
    b"o=- 1 IN IP4 1.2.3.4\r\ns=-\r\nt=0 0", b"o=- x 1 IN IP4 1.2.3.4\r\ns=-\r\nt=0 0", b"o=-\r\nt=", b"s=-\r\nt=0 0",
    b"o=- -1804289383 -2 IN IP4 1.2.3.4\r\ns=-\r\nt=0 0", b"o=- 1 1 IN IP4 my old gateway\r\nt=-1 0", b"o=", b"t=now then",
    b"o=Gr\xf6\xdfe 1 1 IN IP4 1.2.3.4\r\ns=Anruf f\xfcr M\xfcller\r\nt=0 0", b"s=\xff\xfe\x80\r\ni=\xc3",
    b"o=- " + b"9" * 200 + b" 1 IN IP4 1.2.3.4",
])
def test_where_the_sound_goes_is_clear_however_odd_the_lines_about_the_session(lines: bytes) -> None:
    session = parse_sdp(b"v=0\r\n" + lines + b"\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 8\r\na=sendonly\r\n")
    (audio,) = session.media
    assert (audio.port, audio.payload_types, session.direction_of(audio)) == (4000, (8,), "sendonly")
    assert session.connection_of(audio) == Connection("192.0.2.7")
    assert parse_sdp(session.encode()) == session


def test_a_description_beyond_all_measure_is_not_read() -> None:
    with pytest.raises(ParseError) as refused:
        parse_sdp(BASIC + b"a=x:y\r\n" * 10_000)
    assert refused.value.status == 413


def test_a_user_name_in_several_words() -> None:
    origin = parse_sdp(b"v=0\no=Big Phone Co 7 8 IN IP4 1.2.3.4\n").origin
    assert (origin.username, origin.session_id, origin.version, origin.address) == ("Big Phone Co", 7, 8, "1.2.3.4")


def test_an_address_of_ipv4_written_as_one_of_ipv6_is_one_of_ipv4() -> None:
    # RFC 4291 2.5.5.2
    described = parse_sdp(b"v=0\r\nc=IN IP6 ::ffff:192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n")
    assert described.connection == Connection("192.0.2.1")


def test_a_profile_in_small_letters_is_that_profile() -> None:
    described = parse_sdp(b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 rtp/savp 0\r\nm=data 5000 udp wb\r\n")
    assert [line.protocol for line in described.media] == ["RTP/SAVP", "udp"]


def test_old_hold_address_is_unspecified() -> None:
    assert Connection("0.0.0.0").unspecified
    assert Connection("::", address_type="IP6").unspecified
    assert not Connection("host.example").unspecified


@given(st.binary(max_size=300))
def test_garbage(text: bytes) -> None:
    _survives(text)


@given(st.data())
def test_damaged_text(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(BASIC) - 1))
    length = data.draw(st.integers(0, 12))
    _survives(BASIC[:place] + data.draw(st.binary(max_size=8)) + BASIC[place + length:])


def _survives(text: bytes) -> None:
    try:
        session = parse_sdp(text)
    except ParseError:
        return
    for media in session.media:
        media.rtpmaps()
        media.fmtp(0)
        session.direction_of(media)
    again = parse_sdp(session.encode())
    assert again.media == session.media
    assert again.origin == session.origin
