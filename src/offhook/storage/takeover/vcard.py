"""vCards as phones and mail programs export them: 2.1 (Outlook, older phones), 3.0 (Apple, Google) and 4.0 (RFC 6350)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from offhook.errors import UnreadableFile
from offhook.phone.contacts import MAX_COMMENT, MAX_FIELD
from offhook.storage.takeover.texts import ansi, known_encoding

MAX_PROPERTIES: Final = 1000
"""Of one card: the fullest have some thirty."""
MAX_LINES: Final = 250_000
"""Of one card: a picture of 16 MB has fewer."""
MAX_VALUE: Final = 64 * 1024
"""Characters of a property that is read; what is longer is a picture, and is passed over."""
MAX_KINDS: Final = 100
"""Kinds of properties without use here that are reported by name."""

_LEAST: Final = 101
"""The rank of what has none: RFC 6350 5.3 has 1 (first) to 100."""
_MOBILE: Final = frozenset({"cell", "mobile", "iphone"})
_NO_VOICE: Final = frozenset({"fax", "pager", "modem", "bbs", "textphone"})
_ENCODINGS: Final = frozenset({"quoted-printable", "base64", "b", "7bit", "8bit"})
_READ: Final = frozenset({
    "FN", "N", "NICKNAME", "ORG", "TEL", "IMPP", "X-SIP", "EMAIL", "ADR", "NOTE", "UID", "KIND", "X-ADDRESSBOOKSERVER-KIND",
})  # fmt: skip
_UNSAID: Final = frozenset({"VERSION", "PRODID", "REV", "X-ABLABEL"})
"""What says nothing of a person, so nobody misses it."""

_LINE: Final = re.compile(r'((?:[^":]++|"[^"]*+")*+):(.*)', re.DOTALL)
_PARAMETER: Final = re.compile(r'(?:[^";]++|"[^"]*+")++')
_PIECE: Final = re.compile(r"\\.|;|[^\\;]+|\\", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_EXTENSION: Final = re.compile(r"^\s*tel:.*;ext=([0-9*#]{1,20})", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(slots=True)
class Card:
    """One entry: a contact's fields by our names, or `why` there are none.

    `left` says what found no place, `needless` names what has no use here, with its line.
    """

    line: int
    values: dict[str, str] = field(default_factory=dict)
    why: str = ""
    left: list[str] = field(default_factory=list)
    needless: dict[str, int] = field(default_factory=dict)


class _Property(NamedTuple):
    name: str
    parameters: dict[str, list[str]]
    value: str
    line: int

    @property
    def types(self) -> set[str]:
        return set(self.parameters.get("TYPE", ()))

    @property
    def rank(self) -> int:
        """Return how far in front it stands: the smaller the number, the sooner."""
        if "pref" in self.types:
            return 1
        given = self.parameters.get("PREF", [""])[0]
        return int(given) if given.isascii() and given.isdecimal() and len(given) <= 3 else _LEAST


def is_vcard(text: str) -> bool:
    """Whether a text is made of vCards, by how it begins."""
    return text.lstrip("\ufeff \t\r\n")[:11].upper() == "BEGIN:VCARD"


def read_cards(text: str, name: str) -> Iterator[Card]:
    """Yield the cards of a text. Raises UnreadableFile for one that has too much in it; `name` names the file there."""
    began, depth = 0, 0
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        word = line.strip(" \t\ufeff").upper()
        if word == "BEGIN:VCARD":
            if depth and not _is_agent(lines):
                yield Card(began, why="the card has no end")
                depth = 0
            if not depth:
                began, lines = number, []
            depth += 1
        elif word == "END:VCARD" and depth:
            depth -= 1
            if not depth:
                yield _card(began, lines, name)
        elif depth == 1:
            if len(lines) >= MAX_LINES:
                raise UnreadableFile(f"{name}:{number}: a card with more than {MAX_LINES} lines: this is no address book")
            lines.append((number, line))
    if depth:
        yield Card(began, why="the card has no end")


def _is_agent(lines: Sequence[tuple[int, str]]) -> bool:
    """Whether what comes is a card inside the card (2.1: AGENT), which is not read."""
    return bool(lines) and lines[-1][1].strip().upper().startswith("AGENT")


def _card(began: int, lines: Sequence[tuple[int, str]], name: str) -> Card:
    card = Card(began)
    old = any(line.strip().upper() == "VERSION:2.1" for _, line in lines)
    found: dict[str, list[_Property]] = {}
    for count, one in enumerate(_properties(lines, old), 1):
        if count > MAX_PROPERTIES:
            raise UnreadableFile(f"{name}:{one.line}: a card with more than {MAX_PROPERTIES} entries: this is no address book")
        if one.name in _READ:
            found.setdefault(one.name, []).append(one)
        elif one.name not in _UNSAID and len(card.needless) < MAX_KINDS:
            card.needless.setdefault(one.name[:40], one.line)
    for properties in found.values():
        properties.sort(key=lambda one: one.rank)
    kinds = [*found.get("KIND", ()), *found.get("X-ADDRESSBOOKSERVER-KIND", ())]
    if any(one.value.strip().lower() == "group" for one in kinds):
        card.why = "it is a group, not a person"
        return card
    card.values = {key: value for key, value in (*_person(found, card), *_numbers(found, card)) if value}
    return card


# --- from lines to properties --------------------------------------------------------------------------------------


def _properties(lines: Sequence[tuple[int, str]], old: bool) -> Iterator[_Property]:
    for number, line in _unfolded(lines, old):
        whole = _LINE.match(line)
        if whole is None:
            continue
        first, *others = _PARAMETER.findall(whole[1]) or [""]
        name = first.rpartition(".")[2].strip().upper()  # before the point is the group: item1.TEL
        if not name:
            continue
        parameters = _parameters(others)
        value = "" if name not in _READ or len(line) > MAX_VALUE else _decoded(whole[2], parameters)
        yield _Property(name, parameters, value, number)


def _unfolded(lines: Sequence[tuple[int, str]], old: bool) -> Iterator[tuple[int, str]]:
    """Yield whole lines, without those that are empty."""
    at = 0
    while at < len(lines):
        number, line = lines[at]
        at += 1
        quoted = "QUOTED-PRINTABLE" in line[:200].partition(":")[0].upper()
        parts = [line]
        while at < len(lines):
            following = lines[at][1]
            if quoted and parts[-1].endswith("="):  # RFC 2045 6.7 (5): a soft line break
                parts[-1] = parts[-1][:-1]
                parts.append(following)
            elif following[:1] in (" ", "\t") and following.strip():
                # RFC 6350 3.2: the white space goes with the line break; in 2.1 it is part of the text.
                parts.append(following if old else following[1:])
            else:
                break
            at += 1
        whole = "".join(parts)
        if whole.strip():
            yield number, whole


def _parameters(given: Iterable[str]) -> dict[str, list[str]]:
    """Return the parameters; 2.1 may write a type or an encoding alone: TEL;WORK;VOICE."""
    found: dict[str, list[str]] = {}
    for part in given:
        name, equals, value = part.partition("=")
        values = [word.strip().lower() for word in (value if equals else name).replace('"', "").split(",")]
        if not equals:
            name = "ENCODING" if values[0] in _ENCODINGS else "TYPE"
        found.setdefault(name.strip().upper(), []).extend(values)
    return found


def _decoded(value: str, parameters: dict[str, list[str]]) -> str:
    encoding = parameters.get("ENCODING", [""])[0]
    if encoding in ("b", "base64"):
        return ""
    if encoding == "quoted-printable":
        data = binascii.a2b_qp(value.encode("utf-8", "replace"))
        for codec in (*parameters.get("CHARSET", ()), "utf-8"):
            try:
                return _CONTROL.sub("", data.decode(known_encoding(codec)).replace("\r\n", "\n"))
            except ValueError:  # it lies, or names what nobody knows
                continue
        value = data.decode(ansi(), "replace")
    return _CONTROL.sub("", value.replace("\r\n", "\n"))


def _pieces(value: str) -> list[str]:
    """Return the parts between semicolons."""
    parts: list[list[str]] = [[]]
    for piece in _PIECE.findall(value):
        if piece == ";":
            parts.append([])
        else:
            parts[-1].append(piece)
    return [_text("".join(part)) for part in parts]


def _text(value: str) -> str:
    """Return a value without the backslashes that keep a sign from meaning something."""
    return _ESCAPED.sub(lambda found: "\n" if found[1] in "nN" else found[1], value).strip()


# --- from properties to a contact ----------------------------------------------------------------------------------


def _person(found: dict[str, list[_Property]], card: Card) -> Iterator[tuple[str, str]]:
    """Yield everything but the numbers."""

    def first(name: str) -> str:
        return next((one.value for one in found.get(name, ()) if one.value.strip()), "")

    family, given, *_ = [*_pieces(first("N")), "", ""]
    company = ", ".join(filter(None, _pieces(first("ORG"))))
    name = _text(first("FN")) or f"{given} {family}".strip() or _text(first("NICKNAME")) or company
    yield from (("name", _one_line(name)), ("first_name", _one_line(given)), ("last_name", _one_line(family)))
    yield "info", "" if company == name else _one_line(company)[:MAX_FIELD]
    yield "email", _text(first("EMAIL")).removeprefix("mailto:")
    box, more, street, city, state, code, *_ = [*_pieces(first("ADR")), *[""] * 6]
    yield "address", _one_line(", ".join(filter(None, (street, more, box))))
    yield from (("city", _one_line(city)), ("state", _one_line(state)), ("zip", _one_line(code)))
    notes = "\n".join(filter(None, (_text(one.value) for one in found.get("NOTE", ()))))
    if len(notes) > MAX_COMMENT:
        card.left.append(f"the end of the note of {name[:80]}: {MAX_COMMENT} characters are kept")
    yield "comment", notes[:MAX_COMMENT]
    uid = _text(first("UID"))
    yield "external_id", uid if len(uid) <= MAX_FIELD else ""


def _one_line(text: str) -> str:
    return ", ".join(filter(None, (line.strip() for line in text.split("\n"))))


def _numbers(found: dict[str, list[_Property]], card: Card) -> Iterator[tuple[str, str]]:
    """Yield up to three numbers: the preferred one, or the first that is no mobile phone, is `number`."""
    numbers: dict[str, _Property] = {}
    for one in (*found.get("TEL", ()), *found.get("IMPP", ()), *found.get("X-SIP", ())):
        number = _number(one)
        if not number:
            continue
        if one.types & _NO_VOICE and "voice" not in one.types:
            card.left.append(f"{number[:80]}: nobody talks there ({', '.join(sorted(one.types & _NO_VOICE))})")
        else:
            numbers.setdefault(number, one)
            extension = _EXTENSION.search(one.value)
            if extension:
                digits = extension[1]
                card.left.append(f"{number[:80]}: its extension {digits} is left out; `dial … --digits ,,{digits}` sends it")
    mobile = [number for number, one in numbers.items() if one.types & _MOBILE]
    fixed = [number for number in numbers if number not in mobile]
    preferred = next((number for number, one in numbers.items() if one.rank < _LEAST), "")
    chosen = preferred or (fixed or mobile or [""])[0]
    order = [chosen, *(next((number for number in group if number != chosen), "") for group in (fixed, mobile))]
    others = [number for number in numbers if number not in order]
    for place, number in zip(("number", "phone", "mobile"), order, strict=True):
        yield place, number or (others.pop(0) if others else "")
    card.left += [f"{number[:80]}: three numbers are kept of each" for number in others]


def _number(one: _Property) -> str:
    text = _one_line(_text(one.value))
    scheme = text.partition(":")[0].lower()
    if scheme == "tel":
        return text[4:].partition(";")[0].strip()  # RFC 3966: parameters follow
    if one.name == "IMPP" and scheme not in ("sip", "sips"):
        return ""
    return text
