"""The call flows printed in 28 RFCs: every message is read, printed and read again; whole ones are sane."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path

import pytest

from offhook.errors import ParseError
from offhook.sip.framing import StreamFramer
from offhook.sip.parsing import parse_message
from offhook.sip.sanity import MANDATORY, check

TESTDATA = Path(os.environ.get("OFFHOOK_TESTDATA") or Path(__file__).parents[3] / "shared" / "testdata")

# In an RFC a length is often "..." or counts a body that is not printed, so it is taken out before reading.
CONTENT_LENGTH = re.compile(
    rb"(?im)^(?:[ \t]*content length|content-length|l)[ ]*:[^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*(?:\r?\n|\Z)"
)
# RFC 4475 2.1: <allOneLine> is how an RFC prints a header longer than its page.
ONE_LINE = re.compile(rb"[ \t]*<all-?one-?line>\s*(.*?)\s*</all-?one-?line>", re.IGNORECASE | re.DOTALL)

# Messages an RFC printed with a mistake in the text (erroneous CSeq, white space inside a URI, a line lost), or that were cut
# together with the prose below them. Each must be refused, by the reason given.
MISPRINTED: dict[str, str] = {
    "rfc3261/23.4.2-x_2": "From: not a URI",
    "rfc3428/10-x_4": "From: not a parameter: ''",
    "rfc4028/13-x_2": "CSeq: not a CSeq",
    "rfc4028/13-x_6": "Contact: text behind an address",
    "rfc5589/6.1-F5": "CSeq is for REFER, the request is INVITE",
    "rfc5589/6.2-F4": "CSeq is for INVITE, the request is NOTIFY",
    "rfc5589/6.2-F5": "CSeq is for REFER, the request is INVITE",
    "rfc5589/6.2-F6": "CSeq is for INVITE, the request is NOTIFY",
    "rfc5589/7.5-F3": "CSeq: not a CSeq",
    "rfc5626/3.2-x": "Contact: not a parameter: ''",
    "rfc5626/9.1-x": "To: not a URI",
    "rfc7118/8.2-F1": "Contact: a character that must be escaped in a URI",
    "rfc7118/8.2-F3": "Contact: a character that must be escaped in a URI",
    "rfc7118/8.2-F6": "Route: not a URI: ''",
    "rfc8599/1-x": "Contact: a character that must be escaped in a URI",
    "rfc8599/4.1.4-x": "Contact: a character that must be escaped in a URI",
}
MISPRINTED |= {f"rfc5806/8.1-x_{number}": "CSeq is for INVITE, the request is ACK" for number in (9, 13, 19)}
MISPRINTED |= {f"rfc5806/8.2-x_{number}": "CSeq is for INVITE, the request is ACK" for number in (5, 7, 9, 12)}


def folder() -> Path:
    path = TESTDATA / "flows"
    if not path.is_dir():
        pytest.skip(f"{path} is absent: the RFC's messages are not part of this project (set OFFHOOK_TESTDATA)")
    return path


@cache
def flows() -> dict[str, bytes]:
    """Return name ("rfc3665/2.1-F1") and bytes of every message; RFC 4475 and 5118 have their own tests."""
    found: dict[str, bytes] = {}
    for index in sorted(folder().glob("rfc*/index.json")):
        if index.parent.name not in ("rfc4475", "rfc5118"):
            for entry in json.loads(index.read_text()):
                path = index.parent / entry["file"]
                found[f"{index.parent.name}/{path.stem}"] = path.read_bytes()
    return found


def mended(data: bytes) -> bytes:
    data = ONE_LINE.sub(lambda match: re.sub(rb"\r?\n[ \t]*", b"", match[1]), data)
    return CONTENT_LENGTH.sub(b"", data)


def is_excerpt(data: bytes) -> bool:
    """Tell whether the RFC shows only some headers (or another protocol's message, or a fragment for message/sipfrag)."""
    compact = {"Via": "v", "From": "f", "To": "t", "Call-ID": "i", "CSeq": "CSeq"}
    head = re.split(rb"\r?\n\r?\n", data, maxsplit=1)[0]
    return not all(re.search(rb"(?im)^(?:%s|%s)[ ]*:" % (n.encode(), compact[n].encode()), head) for n in MANDATORY)


def refusal(data: bytes) -> str:
    try:
        check(parse_message(data))
    except ParseError as error:
        return error.detail
    return ""


@pytest.mark.lengthy
def test_every_message_that_is_read_is_printed_with_the_same_meaning() -> None:
    read = 0
    for name, data in flows().items():
        for form in (data, mended(data)):
            try:
                message = parse_message(form)
            except ParseError:
                continue
            read += 1
            assert parse_message(message.encode()) == message, name
    assert read > 1400


def test_every_whole_message_is_sane() -> None:
    refused = {name: refusal(mended(data)) for name, data in flows().items() if not is_excerpt(data)}
    wrong = {name: reason for name, reason in refused.items() if reason}
    assert len(refused) > 650
    assert {name: reason for name, reason in wrong.items() if not reason.startswith(MISPRINTED.get(name, "\n"))} == {}
    assert set(MISPRINTED) <= set(wrong)


def test_excerpts_are_refused() -> None:
    for name, data in flows().items():
        assert not is_excerpt(data) or refusal(mended(data)), name


def test_a_whole_rfc_on_one_stream() -> None:
    messages = [parse_message(mended(data)) for name, data in flows().items() if name.startswith("rfc3665/")]
    wire = b"".join(message.encode() for message in messages)
    framer, frames = StreamFramer(), list[bytes]()
    for start in range(0, len(wire), 1460):
        frames += framer.feed(wire[start : start + 1460])
    assert [parse_message(frame, stream=True) for frame in frames] == messages
