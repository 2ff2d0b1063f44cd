"""Address books and users directories, whichever of their forms: MicroSIP's XML, Yealink's and others', JSON, CSV, vCards."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from offhook.errors import InvalidArgument, UnreadableFile
from offhook.phone.contacts import check_details
from offhook.phone.model import ContactDetails
from offhook.storage.takeover.texts import decode
from offhook.storage.takeover.vcard import MAX_KINDS, is_vcard, read_cards
from offhook.storage.takeover.xml import Element, read_xml

MAX_ROWS: Final = 100_000
"""People in one file: as many as the phone keeps."""
MAX_SKIPPED: Final = 1000
"""Entries left out that are reported one by one; of the others only the number."""

STATUSES: Final = frozenset({"offline", "online", "away", "busy", "ring", "phone"})
"""What a directory may say of a person."""

_SWITCHES: Final = ("presence", "starred")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})

_FIELDS: Final[Mapping[str, str]] = {
    "name": "name", "number": "number", "firstname": "first_name", "lastname": "last_name", "phone": "phone",
    "mobile": "mobile", "email": "email", "address": "address", "city": "city", "state": "state", "zip": "zip",
    "comment": "comment", "id": "external_id", "info": "info", "presence": "presence", "starred": "starred",
}  # fmt: skip
"""MicroSIP's names in XML and JSON, and ours."""

COLUMNS: Final[Mapping[str, str]] = {
    "name": "name", "number": "number", "primary phone": "number", "first name": "first_name", "given name": "first_name",
    "last name": "last_name", "family name": "last_name", "phone number": "phone", "home phone": "phone",
    "phone 2 - value": "phone", "mobile number": "mobile", "mobile phone": "mobile", "phone 1 - value": "mobile",
    "e-mail address": "email", "e-mail 1 - value": "email", "email": "email", "address": "address", "city": "city",
    "state": "state", "postal code": "zip", "comment": "comment", "notes": "comment", "id": "external_id", "info": "info",
    "presence": "presence", "starred": "starred", "directory": "",
}  # fmt: skip
"""The headers of CSV that are understood, whatever their case, and what they mean ("": known, and of no use here)."""

_HALF: Final = re.compile(r"[\ud800-\udfff]")
"""What JSON can name and no text can hold: half of a character, left by a program that cut a text inside of one."""

_GUARD: Final = re.compile(r"^'(?=[=+@\t\r-])")
"""What spreadsheets, and our own export, put before what might be taken for a formula: '+4930 is +4930."""


SEPARATOR: Final = re.compile(r'\ufeff?"?sep=([,;\t|])"?\r?\n', re.IGNORECASE)
"""The line by which Excel is told how a file is written."""

_ROUNDED: Final = re.compile(r"[0-9][.,][0-9]+E\+[0-9]+", re.IGNORECASE)
"""What a spreadsheet makes of a telephone number that it takes for a large one: its last digits are gone."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry that was left out: the line (of JSON: the place in the list), and why."""

    line: int
    why: str


@dataclass(slots=True)
class People:
    """What a file held. `refresh` is seconds until it wants to be asked again; `statuses` by number what people do.

    `notes` say what of a contact found no place; `needless` are the names (and first lines) of what has no use here.
    """

    contacts: list[ContactDetails] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    left_out: int = 0
    notes: list[Skipped] = field(default_factory=list)
    needless: dict[str, int] = field(default_factory=dict)
    refresh: int | None = None
    statuses: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, values: Mapping[str, str], line: int, name: str, why: str = "") -> None:
        """Keep one entry, or the reason why it is none (`why`, if it is known before)."""
        if len(self.contacts) + self.left_out >= MAX_ROWS:
            raise UnreadableFile(f"{name}:{line}: more than {MAX_ROWS} entries: split the file")
        made = why or _details(values)
        if isinstance(made, ContactDetails):
            self.contacts.append(made)
            return
        self.left_out += 1
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append(Skipped(line, made))

    def tell(self, number: str, status: str, info: str) -> None:
        """Keep what a person does."""
        if number and status.lower() in STATUSES and len(self.statuses) < MAX_ROWS:
            self.statuses[number] = (status.lower(), info)


def _details(values: Mapping[str, str]) -> ContactDetails | str:
    """Return the contact, or why there is none."""
    texts = {name: text.strip() for name, text in values.items() if name and name not in _SWITCHES}
    numbers = [texts[name] for name in ("number", "mobile", "phone") if texts.get(name)]
    if not texts.get("number") and numbers:
        moved = "mobile" if texts.get("mobile") else "phone"
        texts["number"] = texts.pop(moved)
    if not texts.get("name"):
        texts["name"] = " ".join(filter(None, (texts.get("first_name"), texts.get("last_name")))) or "".join(numbers[:1])
    if not texts["name"]:
        return "it has neither a name nor a number"
    switches = {name: values.get(name, "").strip().lower() in _TRUE for name in _SWITCHES}
    details = ContactDetails(**texts, **switches)  # type: ignore[arg-type]  # texts are the fields of text, switches the others
    try:
        check_details(details, "")
    except InvalidArgument as error:
        return error.detail
    return details


def read_people(data: bytes, name: str, encoding: str = "") -> People:
    """Return whom a file names. Raises UnreadableFile, which says where and what to do."""
    return people_of(decode(data, name, encoding), name)


def people_of(text: str, name: str) -> People:
    """Return whom a text names: JSON, XML, vCards or CSV, by how it begins."""
    start = text.lstrip("\ufeff \t\r\n")[:1]
    if start in ("[", "{"):
        return _from_json(text, name)
    if is_vcard(text):
        return _from_vcards(text, name)
    return _from_xml(read_xml(text, name), name) if start == "<" else _from_csv(text, name)


# --- JSON ----------------------------------------------------------------------------------------------------------


def _from_json(text: str, name: str) -> People:
    try:
        found = json.loads(text.lstrip("\ufeff \t\r\n"))
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise UnreadableFile(f"{name}:{line}: not JSON: {getattr(error, 'msg', error)}: export it again") from None
    except RecursionError:
        raise UnreadableFile(f"{name}:1: lists inside lists without end: this is no address book") from None
    items = found.get("items", []) if isinstance(found, dict) else found
    if not isinstance(items, list):
        raise UnreadableFile(f'{name}:1: write a list of people, or {{"items": [ … ]}}')
    people = People(refresh=_whole(found.get("refresh")) if isinstance(found, dict) else None)
    for place, item in enumerate(items, 1):
        if not isinstance(item, dict):
            people.take({}, place, name)
            continue
        given = {str(key).lower(): _plain(value) for key, value in item.items()}
        people.take(_renamed(given), place, name)
    for told in found.get("presence", []) if isinstance(found, dict) and isinstance(found.get("presence"), list) else []:
        if isinstance(told, dict):
            people.tell(*(_plain(told.get(key)) for key in ("number", "status", "info")))
    return people


def _renamed(given: Mapping[str, str]) -> dict[str, str]:
    """Return ours for MicroSIP's names; a number may be called `phone` or `telephone`."""
    values = {_FIELDS[key]: value for key, value in given.items() if key in _FIELDS}
    if not values.get("number"):
        values["number"] = given.get("telephone", "") or values.pop("phone", "")
    return values


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return _HALF.sub("\ufffd", str(value)) if isinstance(value, str | int | float) else ""


def _whole(value: Any) -> int | None:
    text = _plain(value).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


# --- vCards --------------------------------------------------------------------------------------------------------


def _from_vcards(text: str, name: str) -> People:
    people = People()
    for card in read_cards(text, name):
        people.take(card.values, card.line, name, card.why)
        people.notes += [Skipped(card.line, left) for left in card.left[: MAX_SKIPPED - len(people.notes)]]
        if len(people.needless) < MAX_KINDS:
            people.needless = {**card.needless, **people.needless}
    return people


# --- XML -----------------------------------------------------------------------------------------------------------


def _from_xml(root: Element, name: str) -> People:
    people = People(refresh=_whole(root.attributes.get("refresh")))
    contacts, units, entries = root.all("contact"), root.all("unit"), root.all("entry", "directoryentry")
    if not (contacts or units or entries) and root.tag.lower() not in _EMPTY_ROOTS:
        raise UnreadableFile(f"{name}:{root.line}: <{root.tag[:40]}> is no address book known here: save it as CSV or JSON")
    for element in contacts:
        people.take(_renamed({key.lower(): value for key, value in element.attributes.items()}), element.line, name)
    for element in units:
        people.take(dict(_unit(element)), element.line, name)
    for element in entries:
        values = dict(_entry(element))
        people.take(values, element.line, name)
        people.tell(values.get("number", "").strip(), values.get("presence", "").strip(), values.get("info", "").strip())
    return people


_EMPTY_ROOTS: Final = frozenset({"contacts", "yealinkipphonebook", "yealinkipphonedirectory", "directory", "addressbook"})

_THREE: Final = ("number", "phone", "mobile")


def _unit(element: Element) -> Iterator[tuple[str, str]]:
    """Yealink: <Unit Name="…" Phone1="…" Phone2="…" Phone3="…"/>."""
    given = {key.lower(): value for key, value in element.attributes.items()}
    yield "name", given.get("name", "")
    yield from zip(_THREE, (given.get(f"phone{place}", "") for place in (1, 2, 3)), strict=True)


def _entry(element: Element) -> Iterator[tuple[str, str]]:
    """<entry> or <DirectoryEntry> with <name>, up to three <extension> or <Telephone>, <info>, <presence>."""
    numbers = iter(_THREE)
    for child in element.children:
        tag = child.tag.lower()
        if tag in ("name", "info", "presence"):
            yield tag, child.text
        elif tag in ("extension", "telephone"):
            place = next(numbers, "")
            if place:
                yield place, child.text


# --- CSV -----------------------------------------------------------------------------------------------------------


def rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of CSV with their lines.

    The delimiter is the one that a line `sep=;` names, as Excel reads it, else that of , ; and tab the first line has most of.
    """
    said = SEPARATOR.match(text)
    above = 1 if said else 0
    text = text[said.end() :] if said else text
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = said[1] if said else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n")), delimiter=delimiter)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield above + reader.line_num, row
    except csv.Error as error:
        raise UnreadableFile(f"{name}:{above + reader.line_num}: not CSV: {error}: export it again") from None


def _from_csv(text: str, name: str) -> People:
    table = rows(text, name)
    people = People()
    header = next(table, None)
    if header is None:
        return people
    names = [cell.strip().strip("\ufeff") for cell in header[1]]
    columns = [COLUMNS.get(each.lower()) for each in names]
    if not _NAMED & set(columns):
        raise UnreadableFile(f"{name}:{header[0]}: the first line must name the columns, as  Name,Number,Mobile Number,Comment")
    unread: dict[str, None] = {}
    for line, row in table:
        values: dict[str, str] = {}
        for title, column, cell in zip(names, columns, row, strict=False):
            if column and not values.get(column):
                values[column] = _GUARD.sub("", cell)
            elif column is None and cell.strip() and len(unread) < MAX_KINDS:
                unread.setdefault(title[:40])
        people.take(values, line, name, _rounded(values))
    if unread:
        left = f"columns not known here: {', '.join(repr(title) for title in unread)}"
        people.notes.append(Skipped(header[0], f"{left}; known are Name, Number, Mobile Number, Comment"))
    return people


_NAMED: Final = frozenset({"name", "number", "phone", "mobile", "first_name", "last_name"})


def _rounded(values: Mapping[str, str]) -> str:
    """Return why such an entry is none."""
    found = next((values[each].strip() for each in _THREE if _ROUNDED.fullmatch(values.get(each, "").strip())), "")
    return f"a spreadsheet has rounded its number to {found!r}: format the column as text, and export again" if found else ""
