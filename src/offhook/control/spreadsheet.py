"""Past calls as CSV (RFC 4180), safe to open in a spreadsheet: what strangers call themselves never becomes a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

COLUMNS: Final = (
    "id", "account", "direction", "remote_uri", "remote_display", "started", "answered", "ended", "duration", "missed",
    "sip_status", "reason", "end_by", "tags",
)  # fmt: skip

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def as_csv(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return a header and one line for each call; times are RFC 3339 in UTC."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow([_cell(name, entry.get(name)) for name in COLUMNS])
    return out.getvalue()


def _cell(name: str, value: Any) -> Any:
    if name in ("started", "answered", "ended") and value:
        return datetime.fromisoformat(value).isoformat(timespec="seconds").replace("+00:00", "Z")
    if name == "tags":
        return guarded("; ".join(f"{tag}={word}" for tag, word in value or ()))
    if isinstance(value, str):
        return guarded(value)
    return "" if value is None else value


def guarded(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
