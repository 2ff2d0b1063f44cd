"""Bodies that are understood, refused with what would be, left out, or taken out of a multipart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.sip.bodies import SDP, TEXT, accepts_sdp, refusal, sdp_of
from offhook.sip.message import Request, Response
from offhook.sip.uri import Uri

URI = Uri.parse("sip:a@b.example")


def request(body: bytes = b"x", **headers: str) -> Request:
    return Request("INVITE", URI, [(name.replace("_", "-"), value) for name, value in headers.items()], body)


@pytest.mark.parametrize(("made", "wanted"), [
    (request(b""), SDP), (request(Content_Type="application/sdp"), SDP), (request(Content_Type="Application/SDP;x=y"), SDP),
    (request(Content_Type="text/html"), TEXT), (request(Content_Type="text/plain", Content_Encoding="identity"), TEXT),
])
def test_what_is_understood(made: Request, wanted: str) -> None:
    assert refusal(made, wanted) is None


@pytest.mark.parametrize("made", [
    request(Content_Type="text/html"), request(), request(Content_Type="application/sdp", Content_Encoding="gzip"),
    request(Content_Type="multipart/mixed"), request(Content_Type="multipart/mixed;boundary=b"),
])
def test_what_is_not_understood_is_refused_with_what_would_be(made: Request) -> None:
    # RFC 3261 8.2.3: 415, with Accept for a type, Accept-Encoding for an encoding that is not understood
    assert refusal(made, SDP) == (415, (("Accept", "application/sdp"), ("Accept-Encoding", "identity")))


def test_what_its_sender_calls_optional_is_left_out() -> None:
    # RFC 3261 20.11: handling=optional
    made = request(Content_Type="image/png", Content_Disposition="icon; handling = optional")
    assert refusal(made, SDP) is None
    assert made.body == b""


def test_the_part_that_is_wanted_is_taken_out_of_a_multipart() -> None:
    # RFC 5621 3.1
    body = (b"preamble\r\n--b\r\nContent-Type: application/isup\r\n\r\n\x01\x02\r\n--b\r\nContent-Type: application/sdp\r\n\r\n"
            b"v=0\r\ns=-\r\n\r\n--b--\r\nepilogue")
    made = request(body, Content_Type='multipart/mixed; boundary="b"')
    assert refusal(made, SDP) is None
    assert (made.body, made.content_type) == (b"v=0\r\ns=-\r\n", "application/sdp")


def part(kind: str, data: bytes, disposition: str = "") -> bytes:
    said = f"Content-Disposition: {disposition}\r\n" if disposition else ""
    return f"Content-Type: {kind}\r\n{said}\r\n".encode() + data


def mixed(boundary: bytes, *parts: bytes) -> bytes:
    return b"".join(b"\r\n--" + boundary + b"\r\n" + each for each in parts) + b"\r\n--" + boundary + b"--\r\n"


def test_the_part_that_is_wanted_is_found_in_a_multipart_within_a_multipart() -> None:
    # RFC 5621 3: a multipart may be a part of another
    inner = mixed(b"in", part("text/html", b"<p>"), part("application/sdp", b"v=0"))
    made = request(mixed(b"out", part("multipart/alternative;boundary=in", inner), part("image/png", b"x")),
                   Content_Type="multipart/mixed;boundary=out")
    assert refusal(made, SDP) is None
    assert made.body == b"v=0"


def test_the_description_of_an_early_session_is_not_that_of_the_call() -> None:
    # RFC 3959 5: beside the session's there may be one of early media
    early, session = part("application/sdp", b"early", "Early-Session; handling=optional"), part("application/sdp", b"v=0")
    made = request(mixed(b"b", early, session), Content_Type="multipart/mixed;boundary=b")
    assert refusal(made, SDP) is None
    assert made.body == b"v=0"
    ringing = Response(183, "x", [("Content-Type", "application/sdp"), ("Content-Disposition", "early-session")], b"early")
    assert sdp_of(ringing) is None
    alone = request(b"early", Content_Type="application/sdp", Content_Disposition="early-session")
    assert refusal(alone, SDP) == (415, (("Accept", "application/sdp"), ("Accept-Encoding", "identity")))


@pytest.mark.parametrize("handling", ["optional", '"optional"'])
def test_parts_that_are_all_optional_are_left_out(handling: str) -> None:
    body = mixed(b"b", part("application/pidf+xml", b"<x/>", f"render;handling={handling}"))
    made = request(body, Content_Type="multipart/mixed;boundary=b")
    assert refusal(made, SDP) is None
    assert made.body == b""


@pytest.mark.parametrize(("accept", "expected"), [
    (None, True), ("application/sdp", True), ("text/plain, application/*;q=0.5", True), ("*/*", True),
    ("text/nobodyKnowsThis", False), ("", False), ("multipart/mixed", True),
])
def test_whether_an_answer_may_be_written_in_sdp(accept: str | None, expected: bool) -> None:
    made = request() if accept is None else request(Accept=accept)
    assert accepts_sdp(made) is expected


@given(st.binary(max_size=300), st.sampled_from(["b", '"b"', "", "-", "b;c"]))
def test_any_multipart_is_understood_or_refused(body: bytes, boundary: str) -> None:
    found = refusal(request(b"--b" + body, Content_Type=f"multipart/mixed;boundary={boundary}"), TEXT)
    assert found is None or found[0] == 415


def test_what_a_gateway_adds_to_an_answer_is_no_session_description() -> None:
    # RFC 3204: the ISDN message of a gateway of the telephone network
    def answer(kind: str) -> Response:
        return Response(200, "OK", [("Content-Type", kind)], b"x")
    assert sdp_of(answer("application/ISUP;version=itu-t92+")) is None
    assert sdp_of(answer("Application/SDP;x=y")) is not None
    assert sdp_of(Response(200, "OK", (), b"x")) is not None
    assert sdp_of(request(Content_Type="text/plain")) is not None
