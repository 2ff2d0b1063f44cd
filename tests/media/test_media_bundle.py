"""Names of lines and BUNDLE groups, as browsers want them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offhook.media.candidates import LocalIce
from offhook.media.negotiate import LocalMedia, make_answer, make_offer
from offhook.media.sdp import parse_sdp
from offhook.media.security import Security

PRINT = "sha-256 " + ":".join(["AB"] * 32)
PLAIN = LocalMedia("192.0.2.1", 4000)
ICE = LocalIce("abcd", "e" * 22, (), controlling=True)
WEB = replace(PLAIN, security=Security("required", "dtls", fingerprint=PRINT), ice=ICE, rtcp_mux=True)


def offer(group: str, *media: tuple[str, str]) -> bytes:
    lines = ["v=0", "o=- 7 7 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", *([f"a=group:{group}"] if group else [])]
    for kind, mid in media:
        lines += [f"m={kind} 9 RTP/AVP 0", *([f"a=mid:{mid}"] if mid else [])]
    return ("\r\n".join(lines) + "\r\n").encode()


def said(sdp: bytes) -> tuple[list[str], list[str | None]]:
    """Return the groups, and the name of each line."""
    described = parse_sdp(sdp)
    groups = [item.value or "" for item in described.attributes if item.name == "group"]
    return groups, [line.attribute("mid") for line in described.media]


@pytest.mark.parametrize(("theirs", "groups", "names"), [
    (offer("BUNDLE 0", ("audio", "0")), ["BUNDLE 0"], ["0"]),
    (offer("BUNDLE a v", ("audio", "a"), ("video", "v")), ["BUNDLE a"], ["a", None]),  # the refused line is in no group
    (offer("BUNDLE v", ("audio", "a"), ("video", "v")), [], ["a", None]),
    (offer("LS a v", ("audio", "a"), ("video", "v")), [], ["a", None]),
    (offer("", ("audio", "a")), [], ["a"]),
    (offer("BUNDLE 0", ("audio", "")), [], [None]),
    (offer("BUNDLE " + "x" * 500, ("audio", "x" * 500)), [], [None]),
    (offer("BUNDLE a=b", ("audio", "a=b")), [], [None]),
])  # fmt: skip
def test_an_answer_has_the_names_of_the_offer(theirs: bytes, groups: list[str], names: list[str | None]) -> None:
    assert said(make_answer(PLAIN, theirs, 1, 1)[0]) == (groups, names)


def test_only_what_is_made_for_browsers_has_a_group_of_its_own() -> None:
    assert said(make_offer(WEB, 1, 1)) == (["BUNDLE 0"], ["0"])
    for local in (PLAIN, replace(WEB, ice=None), replace(PLAIN, ice=ICE), replace(WEB, security=Security("off", "dtls"))):
        assert said(make_offer(local, 1, 1)) == ([], [None])


def test_later_offers_keep_the_name() -> None:
    theirs = offer("BUNDLE a v", ("audio", "a"), ("video", "v"))
    answer, _ = make_answer(PLAIN, theirs, 1, 1)
    assert said(make_offer(PLAIN, 1, 2, previous=answer)) == (["BUNDLE a"], ["a", None])
    nameless = offer("", ("audio", ""))
    assert said(make_offer(WEB, 1, 2, previous=nameless)) == ([], [None])
