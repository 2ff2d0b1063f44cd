"""Contacts for other programs: as vCards (3.0, RFC 2426, which all of them read) or CSV with MicroSIP's column names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from offhook.control.spreadsheet import guarded

COLUMNS: Final = {
    "Name": "name", "Number": "number", "First Name": "first_name", "Last Name": "last_name", "Phone Number": "phone",
    "Mobile Number": "mobile", "E-mail Address": "email", "Address": "address", "City": "city", "State": "state",
    "Postal Code": "zip", "Comment": "comment", "Id": "external_id", "Info": "info", "Presence": "presence",
    "Starred": "starred",
}  # fmt: skip

MAX_OCTETS: Final = 75
"""RFC 2426 2.6: longer lines are folded."""

_NUMBER: Final = re.compile(r"[+0-9 ()./*#,-]+")


def as_csv(contacts: Iterable[Mapping[str, Any]]) -> str:
    """Return a header and one line for each contact. What a spreadsheet could take for a formula has a `'` in front."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for contact in contacts:
        writer.writerow([_cell(contact.get(name, "")) for name in COLUMNS.values()])
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else ""
    return value if _NUMBER.fullmatch(value) else guarded(value)  # "+4930…" is a number for a spreadsheet, and must stay one


def as_vcards(contacts: Iterable[Mapping[str, Any]]) -> str:
    """Return a card for each contact; whether it is starred has no place there."""
    return "".join(f"{_folded(line)}\r\n" for contact in contacts for line in _lines(contact))


def _lines(contact: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of one card, not folded yet."""
    has = {name: _escaped(str(contact.get(name, ""))) for name in COLUMNS.values()}
    yield from ("BEGIN:VCARD", "VERSION:3.0", f"FN:{has['name']}", f"N:{has['last_name']};{has['first_name']};;;")
    for place, kind in (("number", "VOICE,PREF"), ("phone", "VOICE"), ("mobile", "CELL")):
        number = has[place]
        if number.lower().startswith(("sip:", "sips:")) or "@" in number:  # RFC 4770
            scheme = "" if ":" in number else "sip:"
            yield f"IMPP;TYPE={'CELL' if place == 'mobile' else kind}:{scheme}{number}"
        elif number:
            yield f"TEL;TYPE={kind}:{number}"
    if has["email"]:
        yield f"EMAIL;TYPE=INTERNET:{has['email']}"
    place_names = [has[name] for name in ("address", "city", "state", "zip")]
    if any(place_names):
        yield f"ADR:;;{';'.join(place_names)};"
    for name, field in (("ORG", "info"), ("NOTE", "comment"), ("UID", "external_id")):
        if has[field]:
            yield f"{name}:{has[field]}"
    yield "END:VCARD"


def _escaped(text: str) -> str:
    """RFC 2426 4: backslash, comma, semicolon and line break have a backslash in front."""
    text = re.sub(r"\r\n?", "\n", text)
    return re.sub(r"[\\,;]", r"\\\g<0>", text).replace("\n", "\\n")


def _folded(line: str) -> str:
    """Return a line in parts of at most 75 octets; no letter is cut in two."""
    parts, size = [""], 0
    for letter in line:
        length = len(letter.encode("utf-8", "replace"))
        if size + length > MAX_OCTETS:
            parts.append(" ")
            size = 1
        parts[-1] += letter
        size += length
    return "\r\n".join(parts)
