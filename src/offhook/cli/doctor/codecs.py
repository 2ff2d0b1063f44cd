"""Codecs: what the phone offers, and what a far end says it takes."""

from __future__ import annotations

from collections.abc import Iterator

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding, listed
from offhook.errors import ParseError
from offhook.media.codecs import opus_library
from offhook.media.codecs.kinds import KINDS, kind_of, missing, usable
from offhook.media.formats import formats_of
from offhook.media.sdp import parse_sdp
from offhook.sip.message import Response

SDP_TYPE = "application/sdp"
EVENTS = "TELEPHONE-EVENT"


def ours(case: Case) -> tuple[str, ...]:
    """Return the codecs the phone offers, the preferred one first."""
    return tuple(_name(str(name)) for name in case.fact("codecs", case.config.media.codecs))


def _name(text: str) -> str:
    try:
        return kind_of(text).name
    except LookupError:  # a phone of another version
        return text.upper()


def look_at_codecs(case: Case) -> Iterator[Finding]:
    """Say what the phone offers."""
    offered = ours(case)
    yield Finding("codecs", "ok", f"the phone offers {listed(offered)}, and digits as telephone events (RFC 4733)")
    there = usable()
    more = [name for name in there if name not in offered and "/" not in name]
    text = f"on this machine: {listed(there)}"
    if "OPUS" in there and "unknown" not in (version := opus_library.version()):
        text += f" ({version})"
    lacking = [missing(name) for name in KINDS if name not in there and "/" not in name]
    yield Finding("codecs that are here", "ok", text, "; ".join(
        [*([f"media.codecs may name {listed(more)} too"] if more else []), *lacking]))


def theirs(response: Response) -> tuple[str, ...] | None:
    """Return the codecs in the answer's SDP, None if it has none. RFC 3261 11.2: an answer to OPTIONS may have one."""
    if response.content_type != SDP_TYPE or not response.body:
        return None
    try:
        lines = [line for line in parse_sdp(response.body).media if line.media == "audio"]
    except ParseError:
        return None
    return tuple(dict.fromkeys(entry.encoding for line in lines for entry in formats_of(line)))


def judge(name: str, response: Response, offered: tuple[str, ...]) -> Finding | None:
    """Compare our codecs with those of an OPTIONS answer; None if it says nothing about them, as most registrars do."""
    accepted = response.headers.values("Accept") if "Accept" in response.headers else []
    types = {value.partition(";")[0].strip().lower() for value in accepted}
    if response.status < 300 and types and not types & {SDP_TYPE, "application/*", "*/*"}:
        return Finding(name, "warning", f"the far end takes {listed(sorted(types))}, but no {SDP_TYPE}",
                       "it may be a registrar only; calls then go to another server, which it names")
    found = theirs(response)
    if found is None:
        return None
    common = [codec for codec in offered if codec.partition("/")[0] in found]
    if common:
        digits = "" if EVENTS in found else "; it does not take digits as telephone events: use dtmf_method = \"info\""
        return Finding(name, "ok", f"the far end takes {listed(found)}; in common: {listed(common)}{digits}")
    text = f"nothing in common: the far end takes {listed(found) or 'no sound at all'}, the phone offers {listed(offered)}"
    return Finding(name, "wrong", text, "calls will end with 488: have the far end allow one of ours, or set media.codecs")
