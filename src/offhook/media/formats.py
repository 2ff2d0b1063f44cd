"""Payload types of an audio line: which codecs they stand for, and which numbers ours get. RFC 3264 5.1, 6.1, 8.3.2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, TypeAlias

from offhook.media.codecs.kinds import KINDS, kind_of
from offhook.media.sdp import Attribute, MediaDescription

# RFC 3551 table 4: payload types that need no rtpmap, by (encoding, clock rate, channels).
Coding: TypeAlias = tuple[str, int, int]
STATIC: Final[dict[int, Coding]] = {
    0: ("PCMU", 8000, 1), 3: ("GSM", 8000, 1), 4: ("G723", 8000, 1), 8: ("PCMA", 8000, 1), 9: ("G722", 8000, 1),
    10: ("L16", 44100, 2), 11: ("L16", 44100, 1), 13: ("CN", 8000, 1), 15: ("G728", 8000, 1), 18: ("G729", 8000, 1),
}  # fmt: skip
TELEPHONE_EVENT: Final = "TELEPHONE-EVENT"
TELEPHONE_EVENT_TYPE: Final = 101  # what most phones give to 8 kHz, so that a broken far end that guesses guesses right
NOISE: Final[Coding] = ("CN", 8000, 1)
NOISE_TYPE: Final = 13
FIRST_DYNAMIC_TYPE: Final = 102
DYNAMIC_TYPES: Final = (*range(FIRST_DYNAMIC_TYPE, 128), *range(96, FIRST_DYNAMIC_TYPE))
FRAME_MS: Final = 20
MOST_PTIME_MS: Final = 60


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type of an m-line. `encoding` is in capitals (RFC 8866 6.6: encoding names are case-insensitive).

    `codec` is our name for it, "" where it is none of ours; `fmtp` its format parameters.
    """

    payload_type: int
    encoding: str
    clock_rate: int
    channels: int = 1
    codec: str = ""
    fmtp: str = ""

    @property
    def coding(self) -> Coding:
        """Return what makes two formats the same."""
        return self.encoding, self.clock_rate, self.channels


def formats_of(line: MediaDescription) -> list[Format]:
    """Return the line's payload types, each once, that have a meaning: by rtpmap, or static."""
    maps = line.rtpmaps()
    found = []
    for number in dict.fromkeys(line.payload_types):
        entry = maps.get(number)
        if entry is not None:
            encoding = entry.encoding.upper()
            # Some phones write the sampling rate, G722/16000, and count 8000 all the same (RFC 3551 4.5.2).
            clock = 8000 if encoding == "G722" else entry.clock_rate
            found.append(Format(number, encoding, clock, entry.channels))
        elif number in STATIC:
            found.append(Format(number, *STATIC[number]))
    return found


def names_of(line: MediaDescription) -> str:
    """Return what a line offers, for people."""
    return "offered: " + (", ".join(entry.encoding for entry in formats_of(line)) or "nothing known")


@lru_cache
def _ours(codecs: tuple[str, ...]) -> dict[Coding, list[str]]:
    """Return our codecs by what SDP calls them, the preferred ones first."""
    found: dict[Coding, list[str]] = {}
    for kind in map(kind_of, codecs):
        found.setdefault(kind.format, []).extend((kind.name, *kind.forms))
    return found


def speakable(codecs: tuple[str, ...], formats: list[Format], line: MediaDescription) -> list[Format]:
    """Return those formats of a line that we can speak, in its order."""
    ours = _ours(codecs)
    found = []
    for entry in formats:
        if entry.coding in ours:
            fmtp = line.fmtp(entry.payload_type)
            name = next((name for name in ours[entry.coding] if KINDS[name].suits(fmtp)), "")
            if name:
                found.append(Format(entry.payload_type, entry.encoding, entry.clock_rate, entry.channels, name, fmtp))
    return found


def events_for(formats: list[Format], codec: Format) -> list[Format]:
    """Return the telephone events to use beside a codec, as a list of none or one."""
    events = [entry for entry in formats if entry.encoding == TELEPHONE_EVENT]
    # RFC 4733 2.1: they run on the codec's clock. Phones that know only 8000 leave that out, and mean it for Opus as well.
    fitting = [entry for entry in events if entry.clock_rate == codec.clock_rate]
    usual = [entry for entry in events if entry.clock_rate == 8000]
    return (fitting or usual)[:1]


def events_beside(formats: list[Format], codecs: list[Format]) -> list[Format]:
    """Return the telephone events to take from who may use any of these codecs; those for the first one are the first.

    RFC 4733 2.1: there are some for each clock in use, for a sender that changes its codec keeps to the clock of the new one.
    """
    found = events_for(formats, codecs[0])
    clocks = {entry.clock_rate for entry in codecs}
    for entry in formats:
        known = {each.clock_rate for each in found}
        if entry.encoding == TELEPHONE_EVENT and entry.clock_rate in clocks and entry.clock_rate not in known:
            found.append(entry)
    return found


def event_types(formats: list[Format]) -> tuple[tuple[int, int], ...]:
    """Return the payload types of telephone events, with their clocks."""
    return tuple([(entry.payload_type, entry.clock_rate) for entry in formats if entry.encoding == TELEPHONE_EVENT])


def noise_for(formats: list[Format], codec: Format) -> list[Format]:
    """Return the comfort noise to use beside a codec, as a list of none or one (RFC 3389 4: its clock is the codec's)."""
    return [entry for entry in formats if entry.coding == NOISE and codec.clock_rate == entry.clock_rate][:1]


def offered_formats(
    codecs: tuple[str, ...], telephone_event: bool, previous: MediaDescription | None, noise: bool = False,
    earlier: tuple[Format, ...] = (),
) -> list[Format]:  # fmt: skip
    """Return our codecs with their numbers, and the telephone events on their clocks.

    RFC 3264 8.3.2: within a session a number never stands for two formats, so those of `previous` and the `earlier` ones are
    kept and avoided.
    """
    before = list(earlier)
    if previous is not None:
        before += formats_of(previous)
    numbers = {entry.coding: entry.payload_type for entry in reversed(before)}
    taken = {entry.payload_type for entry in before} | {TELEPHONE_EVENT_TYPE}
    free = iter([number for number in DYNAMIC_TYPES if number not in taken])
    formats: dict[Coding, Format] = {}
    for name in codecs:
        kind = kind_of(name)
        encoding, clock, channels = kind.format
        if kind.format in formats:
            continue
        number = kind.payload_type if kind.payload_type >= 0 else numbers.get(kind.format, -1)
        if number < 0 and (number := next(free, -1)) < 0:
            continue  # every number has a meaning by now
        formats[kind.format] = Format(number, encoding, clock, channels, kind.name, kind.fmtp)
    chosen = list(formats.values())
    # The usual clock always: who knows no other one sends digits beside any codec on that.
    clocks = sorted({8000, *(entry.clock_rate for entry in chosen)}) if telephone_event else []
    usual = TELEPHONE_EVENT_TYPE not in {entry.payload_type for entry in before if entry.coding != (TELEPHONE_EVENT, 8000, 1)}
    for clock in clocks:
        coding = (TELEPHONE_EVENT, clock, 1)
        known = TELEPHONE_EVENT_TYPE if clock == 8000 and usual else -1
        number = numbers.get(coding, known)
        if number >= 0 or (number := next(free, -1)) >= 0:
            chosen.append(Format(number, *coding))
    if noise and any(entry.clock_rate == NOISE[1] for entry in chosen if entry.codec):
        chosen.append(Format(NOISE_TYPE, *NOISE))
    return chosen


def answered_formats(formats: list[Format]) -> list[Format]:
    """Return the formats of an offer that we accept, with what we ask of their sender."""
    return [replace(entry, fmtp=KINDS[entry.codec].fmtp) if entry.codec else entry for entry in formats]


def format_lines(formats: list[Format]) -> list[Attribute]:
    """Return the attributes that say what the numbers stand for."""
    lines = [Attribute("rtpmap", f"{entry.payload_type} {_text(entry)}") for entry in formats]
    for entry in formats:
        # RFC 4733 2.4.1: without this line the far end would not know that A to D are understood as well.
        text = "0-15" if entry.encoding == TELEPHONE_EVENT else entry.fmtp
        if text:
            lines.append(Attribute("fmtp", f"{entry.payload_type} {text}"))
    return lines


def _text(entry: Format) -> str:
    if entry.codec:
        return KINDS[entry.codec].text
    encoding = "telephone-event" if entry.encoding == TELEPHONE_EVENT else entry.encoding
    return f"{encoding}/{entry.clock_rate}"


def ptime_of(line: MediaDescription) -> int:
    """Return how much audio the far end wants in a packet, in whole frames: 20, 40 or 60 ms (RFC 8866 6.4)."""
    wanted = _milliseconds(line.attribute("ptime")) or FRAME_MS
    most = _milliseconds(line.attribute("maxptime")) or MOST_PTIME_MS
    return max(FRAME_MS, min(wanted, most, MOST_PTIME_MS) // FRAME_MS * FRAME_MS)


def _milliseconds(text: str | None) -> int:
    """Return a number of milliseconds, 0 for what is none."""
    digits = (text or "").partition(".")[0]
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 5 else 0
