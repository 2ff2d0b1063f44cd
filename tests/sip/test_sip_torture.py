"""The torture messages of RFC 4475 and RFC 5118: each is understood or refused as the RFC says."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from offhook.errors import ParseError
from offhook.sip.message import Request, Response
from offhook.sip.parsing import MessageError, parse_message
from offhook.sip.responses import response_to
from offhook.sip.sanity import check

TESTDATA = Path(os.environ.get("OFFHOOK_TESTDATA") or Path(__file__).parents[3] / "shared" / "testdata")

# RFC 4475: None is acted on by a user agent's wire layer (what is unsupported in it is for the layers above), a number is how
# it is refused, a negative one is refused and not answered: it is a response, or nothing to answer with can be read.
RFC4475: dict[str, int | None] = {
    "badaspec": 400, "badbranch": None, "baddate": None, "baddn": 400, "badinv01": 400, "badvers": 505, "bcast": None,
    "bext01": None, "bigcode": -400, "clerr": 400, "cparam01": None, "cparam02": None, "dblreq": None, "esc01": None,
    "esc02": None, "escnull": None, "escruri": None, "insuf": 400, "intmeth": None, "inv2543": None, "invut": None,
    "longreq": None, "ltgtruri": 400, "lwsdisp": None, "lwsruri": 400, "lwsstart": 400, "mcl01": 400, "mismatch01": 400,
    "mismatch02": 400, "mpart01": None, "multi01": 400, "ncl": 400, "noreason": None, "novelsc": 416, "quotbal": 400,
    "regaut01": None, "regbadct": 400, "regescrt": None, "scalar02": 400, "scalarlg": -400, "sdp01": None, "semiuri": None,
    "test": -400, "transports": None, "trws": 400, "unkscm": 416, "unksm2": None, "unreason": None, "wsinv": None,
    "zeromf": None,
}

# The two with SDP declare a Content-Length that counts CRLF, the files have bare LF; they are mended before reading.
RFC5118: dict[str, int | None] = {
    "ipv4-mapped-ipv6": None, "ipv6-bad": 400, "ipv6-bug-abnf-3-colons": 400, "ipv6-correct-abnf-2-colons": None,
    "ipv6-good": None, "ipv6-in-sdp": None, "mult-ip-in-header": None, "mult-ip-in-sdp": None, "port-ambiguous": None,
    "port-unambiguous": None, "via-received-param-no-delim": None, "via-received-param-with-delim": None,
}


def folder(name: str) -> Path:
    path = TESTDATA / name
    if not path.is_dir():
        pytest.skip(f"{path} is absent: the RFC's messages are not part of this project (set OFFHOOK_TESTDATA)")
    return path


def outcome(data: bytes) -> int | None:
    """Read, check and print one message; return how it was refused as the tables say it."""
    try:
        message = parse_message(data)
        check(message)
    except MessageError as error:
        if error.partial is None:
            return -error.status
        answer = response_to(error.partial, error.status, to_tag="t")
        assert parse_message(answer.encode()) == answer
        return error.status
    assert parse_message(message.encode()) == message
    return None


def rfc4475(name: str) -> bytes:
    return (folder("rfc4475") / f"{name}.dat").read_bytes()


@pytest.mark.parametrize(("name", "expected"), RFC4475.items())
def test_rfc_4475(name: str, expected: int | None) -> None:
    assert outcome(rfc4475(name)) == expected


def test_no_message_of_rfc_4475_is_left_out() -> None:
    assert {path.stem for path in folder("rfc4475").glob("*.dat")} == set(RFC4475)


@pytest.mark.parametrize(("name", "expected"), RFC5118.items())
def test_rfc_5118(name: str, expected: int | None) -> None:
    data = (folder("rfc5118") / name).read_bytes()
    if "sdp" in name:
        head, blank, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
        lines = [line for line in head.split(b"\n") if not line.lower().startswith(b"content-length")]
        data = b"\r\n".join(lines) + (blank + body).replace(b"\n", b"\r\n")
    assert outcome(data) == expected


def test_the_short_tortuous_invite() -> None:
    message = parse_message(rfc4475("wsinv"))
    assert isinstance(message, Request)
    assert message.max_forwards == 68
    assert (message.to.uri.user, message.to.tag) == ("vivekg", "1918181833n")
    assert message.from_.display == 'J Rosenberg \\"'
    assert message.call_id == "wsinv.ndaksdj@192.0.2.1"
    assert message.cseq.number == 9
    assert [via.host for via in message.vias] == ["192.0.2.2", "spindle.example.com", "192.168.255.111"]
    assert [via.protocol for via in message.vias] == ["UDP", "TCP", "UDP"]
    assert len(message.contacts) == 1
    assert len(message.body) == 150


def test_a_wide_range_of_valid_characters() -> None:
    message = parse_message(rfc4475("intmeth"))
    assert isinstance(message, Request)
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.to.display == 'BEL:\x07 NUL:\x00 DEL:\x7f'
    assert message.from_.tag == "_token~1'+`*%!-."


def test_escapes_are_kept_on_the_wire_and_decoded_for_people() -> None:
    message = parse_message(rfc4475("esc01"))
    assert isinstance(message, Request)
    assert message.uri.user == "sips%3Auser%40example.com"
    assert message.uri.user_decoded == "sips:user@example.com"
    null = parse_message(rfc4475("escnull"))
    assert null.contacts[0].uri.user_decoded == "\x00"


def test_two_messages_in_one_datagram() -> None:
    message = parse_message(rfc4475("dblreq"))
    assert isinstance(message, Request)
    assert (message.method, message.body) == ("REGISTER", b"")


def test_reason_phrases() -> None:
    unusual, none = parse_message(rfc4475("unreason")), parse_message(rfc4475("noreason"))
    assert isinstance(unusual, Response)
    assert unusual.reason.startswith("= 2**3 * 5**2 но сто девяносто девять")
    assert isinstance(none, Response)
    assert (none.status, none.reason) == (100, "")


def test_parameters_of_header_and_uri_are_told_apart() -> None:
    assert parse_message(rfc4475("cparam01")).contacts[0].params == (("unknownparam", None),)
    assert parse_message(rfc4475("cparam02")).contacts[0].uri.has_param("unknownparam")


ACCESSORS = ("via", "vias", "from_", "to", "cseq", "call_id", "contacts", "routes", "record_routes", "max_forwards", "expires")
NOISE = (
    b"", b"\x00", b"\r", b"\n", b"\r\n", b" ", b'"', b"<", b">", b",", b";", b"=", b"%", b"\\", b"@", b":", b"[", b"\xff",
    b"9" * 20,
)


@pytest.mark.parametrize("name", RFC4475)
def test_mutations_raise_nothing_but_parse_errors(name: str) -> None:
    data, chance = rfc4475(name), random.Random(name)
    for _ in range(40):
        mutant = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(mutant))
            mutant[place : place + chance.choice((0, 1, 1, 7))] = chance.choice(NOISE)
        survives(bytes(mutant))


def survives(data: bytes) -> None:
    try:
        message = parse_message(data)
    except ParseError:
        return
    for accessor in ACCESSORS:
        try:
            getattr(message, accessor)
        except ParseError:
            continue
    try:
        check(message)
    except ParseError as error:
        assert isinstance(error, MessageError)  # noqa: PT017  # nothing less may come out of check
    assert parse_message(message.encode()) == message
