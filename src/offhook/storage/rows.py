"""Calls and texts as rows of their files: times in Unix seconds, truth as 0 or 1, `in` and `out`, tags as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypeVar

from msgspec import Struct, json, structs

from offhook.phone.model import CallDirection, HeaderList, wall

WAYS: Final[dict[CallDirection, str]] = {"incoming": "in", "outgoing": "out"}
_TIMES: Final = frozenset({"started", "answered", "ended", "at"})

T = TypeVar("T", bound=Struct)


def to_row(record: Struct) -> tuple[Any, ...]:
    """Return what the columns hold, in the order of the record's fields."""
    return tuple(_held(name, value) for name, value in structs.asdict(record).items())


def from_row(kind: type[T], row: tuple[Any, ...]) -> T:
    """Return the record of this kind that a row was made of."""
    return kind(**{name: _meant(name, value) for name, value in zip(kind.__struct_fields__, row, strict=True)})


def tags_of(text: str) -> HeaderList:
    """Return the tags that a row's text holds."""
    return json.decode(text, type=HeaderList)


def _held(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if name == "tags":
        return json.encode(value).decode()
    return WAYS[value] if name == "direction" else value


def _meant(name: str, value: Any) -> Any:
    if name in _TIMES and value is not None:
        return wall(value)
    if name == "tags":
        return tags_of(value)
    if name == "direction":
        return next((way for way, word in WAYS.items() if word == value), value)
    return bool(value) if name == "missed" else value
