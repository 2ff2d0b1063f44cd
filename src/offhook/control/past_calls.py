"""Which past calls a client asks for, as the fields of its request say it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from offhook.errors import InvalidArgument
from offhook.phone.model import CallDirection
from offhook.phone.records import WantedCalls

WISHES: Final = ("direction", "missed", "account", "remote", "tag", "since", "until")
"""The fields; each may be left out."""

_DIRECTIONS: Final[Mapping[str, CallDirection | Literal[""]]] = {"": "", "incoming": "incoming", "outgoing": "outgoing"}


def wanted_calls(params: Mapping[str, Any]) -> WantedCalls:
    """Return what the fields ask for; raises InvalidArgument."""
    texts = {name: params.get(name, "") for name in WISHES if name != "missed"}
    texts |= {name: "" for name in ("since", "until") if texts[name] is None}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InvalidArgument.field(name, f"expected str, got {type(text).__name__}")
    missed = params.get("missed", False)
    if not isinstance(missed, bool):
        raise InvalidArgument.field("missed", f"expected bool, got {type(missed).__name__}")
    direction = _DIRECTIONS.get(texts["direction"])
    if direction is None:
        raise InvalidArgument.field("direction", "incoming or outgoing; empty for both")
    since, until = (_moment(name, texts[name]) for name in ("since", "until"))
    return WantedCalls(
        direction=direction, missed=missed, account=texts["account"], remote=texts["remote"], tag=texts["tag"],
        since=since, until=until,
    )  # fmt: skip


def moment_text(moment: datetime | None) -> str | None:
    """Return a time as a request has it; one without a zone is this machine's."""
    return moment.astimezone(UTC).isoformat() if moment is not None else None


def _moment(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidArgument.field(name, "a time of RFC 3339 with its zone, as 2026-01-31T08:00:00Z")
    return moment
