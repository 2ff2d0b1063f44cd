"""Past calls of MicroSIP: the section [Calls] of its ini file, and what it exports as CSV and XML."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from offhook.errors import ParseError, UnreadableFile
from offhook.phone.records import HistoryEntry
from offhook.sip.uri import Uri
from offhook.storage.takeover.ini import Section
from offhook.storage.takeover.people import MAX_ROWS, MAX_SKIPPED, Skipped, rows
from offhook.storage.takeover.xml import Element

MAX_FIELD: Final = 512
"""Characters of a name, a number or a remark."""

NOWHERE: Final = "unknown.invalid"
"""The host of an address that says none (RFC 6761: nobody can have it)."""

_PLACE: Final = re.compile(r"[^@;?\s]+")  # a host, perhaps with a port, and nothing else
_KINDS: Final = {"0": "out", "1": "in", "2": "miss", "out": "out", "in": "in", "miss": "miss", "missed": "miss",
                 "outgoing": "out", "incoming": "in"}  # fmt: skip
_LATEST: Final = 4102444800
"""The year 2100: a time behind it is no time."""


@dataclass(frozen=True, slots=True)
class PastCall:
    """One call: `kind` is "out", "in" or "miss", `started` Unix seconds, `duration` seconds of talking, `info` a remark."""

    kind: str
    number: str
    name: str
    started: float
    duration: float
    info: str

    def record(self, domain: str) -> HistoryEntry:
        """Return it as the history keeps it; taken over twice, it is the same entry."""
        started = datetime.fromtimestamp(self.started, UTC)
        mark = f"{self.kind}\n{self.number}\n{self.started:.0f}\n{self.duration:.0f}".encode("utf-8", "replace")
        return HistoryEntry(
            id="ms_" + hashlib.sha256(mark).hexdigest()[:20], account="",
            direction="outgoing" if self.kind == "out" else "incoming",
            remote_uri=self._uri(domain), remote_display=self.name, started=started,
            answered=started if self.duration else None, ended=started + timedelta(seconds=self.duration),
            duration=self.duration,
            sip_status=0, reason=self.info, end_by="", missed=self.kind == "miss",
        )  # fmt: skip

    def _uri(self, domain: str) -> str:
        number = re.sub(r"^(sips?|tel):", "", self.number, flags=re.IGNORECASE)
        if "@" in number:
            try:
                return str(Uri.parse(f"sip:{number}"))
            except ParseError:  # whatever it was, it stays to be read, as a user's name
                domain = domain or NOWHERE
        if not domain:
            return f"tel:{re.sub(r'[^0-9+*#]', '', number)}"
        try:
            place = Uri.parse(f"sip:{domain if _PLACE.fullmatch(domain) else NOWHERE}")
        except ParseError:
            place = Uri.parse(f"sip:{NOWHERE}")
        return str(Uri.sip(number, place.host, place.port))


@dataclass(slots=True)
class PastCalls:
    """What the file `name` held."""

    name: str
    calls: list[PastCall] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    left_out: int = 0

    def take(self, line: int, kind: str, number: str, name: str, time: str, duration: str, info: str) -> None:
        """Keep one call, or the reason why it is none."""
        started, talked = _time(time), _duration(duration)
        if len(self.calls) + self.left_out >= MAX_ROWS:
            raise UnreadableFile(f"{self.name}:{line}: more than {MAX_ROWS} calls: split the file")
        why = _why_none(kind, number, time if started is None else "", duration if talked is None else "")
        if why or started is None or talked is None:
            self.left_out += 1
            if len(self.skipped) < MAX_SKIPPED:
                self.skipped.append(Skipped(line, why or "no call with a type, a number, a time and a duration"))
            return
        cut = [text.strip()[:MAX_FIELD] for text in (number, name, info)]
        self.calls.append(PastCall(_KINDS[kind.strip().lower()], cut[0], cut[1], started, talked, cut[2]))


def _why_none(kind: str, number: str, time: str, duration: str) -> str:
    """Return which cell makes a row no call, "" if none does; `time` and `duration` are those that cannot be read."""
    if not kind.strip() or not number.strip():
        return "no call with a type, a number, a time and a duration"
    if _KINDS.get(kind.strip().lower()) is None:
        return f"the type {kind.strip()[:32]!r} is not known: write out, in or miss"
    if time:
        return f"the time {time.strip()[:32]!r} cannot be read: write it as 2024-01-31 12:05:00, or in Unix seconds"
    return f"the duration {duration.strip()[:32]!r} cannot be read: write seconds, or H:MM:SS" if duration else ""


_ROW = re.compile(
    r"(?P<number>[^;]*);(?P<name>.*?);(?P<kind>[012]);(?P<time>\d{1,12});(?P<duration>\d{1,9});(?P<info>.*)",
    re.DOTALL | re.ASCII,
)


def calls_of_ini(section: Section, name: str) -> PastCalls:
    """Return the calls of [Calls]: each `number;name;type;time;duration;info`, in which a name may have a semicolon."""
    found = PastCalls(name)
    for entry in section.entries.values():
        row = _ROW.fullmatch(entry.value)
        found.take(entry.line, *_six(row.groupdict() | {"type": row["kind"]} if row else {}))
    return found


def calls_of_csv(text: str, name: str) -> PastCalls:
    """Return the calls of an exported Calls.csv: Type,Name,Number,Time,Duration,Info."""
    found = PastCalls(name)
    table = rows(text, name)
    columns: list[str] = []
    for line, row in table:
        if not columns:
            columns = [cell.strip().strip("\ufeff").lower() for cell in row]
            if not {"type", "number", "time"} <= set(columns):
                raise UnreadableFile(f"{name}:{line}: the first line must be  Type,Name,Number,Time,Duration,Info")
            continue
        cells = dict(zip(columns, row, strict=False))
        found.take(line, *_six(cells))
    return found


def calls_of_xml(root: Element, name: str) -> PastCalls:
    """Return the calls of an exported Calls.xml: <calls><call type="out" …/></calls>."""
    found = PastCalls(name)
    for element in root.all("call"):
        found.take(element.line, *_six({key.lower(): value for key, value in element.attributes.items()}))
    return found


def _six(cells: dict[str, str]) -> tuple[str, str, str, str, str, str]:
    return (
        cells.get("type", ""), cells.get("number", ""), cells.get("name", ""), cells.get("time", ""), cells.get("duration", ""),
        cells.get("info", ""),
    )  # fmt: skip


def _time(text: str) -> float | None:
    """Unix seconds, or a date as ISO 8601 writes it (in this machine's time zone unless it says another)."""
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        seconds = float(text)
    else:
        try:
            seconds = datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
    return seconds if 0 < seconds < _LATEST else None


def _duration(text: str) -> float | None:
    """Seconds, or H:MM:SS."""
    parts = text.strip().split(":") if text.strip() else ["0"]
    if len(parts) > 3 or not all(re.fullmatch(r"[0-9]{1,7}", part) for part in parts):
        return None
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + float(part)
    return seconds
