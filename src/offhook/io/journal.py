"""Events on their way out: each one gets its number, its time and its JSON, once for all subscribers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import msgspec

from offhook.phone.events import AccountEvent, CallEvent, Event, MessageReceived

ENVELOPE_VERSION = 1

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Cause:
    """What brought an event about: the operation it belongs to and the client that asked ("" where unknown)."""

    operation: str = ""
    client: str = ""


@dataclass(frozen=True)
class Envelope:
    """One event as every surface sends it. `seq` has no gaps within an `epoch`; `data` holds the event's fields, JSON-able.

    `time` is RFC 3339 in UTC ("2026-01-31T08:00:00.123Z"), `subject` the resource ("calls/c_1"), `account` "" where none fits.
    """

    epoch: str
    seq: int
    id: str
    type: str
    time: str
    subject: str
    account: str
    cause: Cause | None
    data: dict[str, Any]
    v: int = ENVELOPE_VERSION

    @cached_property
    def json(self) -> bytes:
        """The envelope as one JSON object without a newline; encoded at first use and kept for all subscribers."""
        return _encoder.encode({
            "v": self.v, "epoch": self.epoch, "seq": self.seq, "id": self.id, "type": self.type, "time": self.time,
            "subject": self.subject, "account": self.account, "cause": self.cause, "data": self.data,
        })  # fmt: skip


class EnvelopeMaker:
    """Turns events into envelopes of one epoch, counting from 1. `clock` gives Unix seconds."""

    def __init__(self, epoch: str, clock: Callable[[], float]) -> None:
        self.epoch = epoch
        self.seq = 0
        self._clock = clock

    def make(self, event: Event, cause: Cause | None = None) -> Envelope:
        """Return the envelope of `event`; each call takes the next sequence number."""
        self.seq += 1
        return Envelope(
            epoch=self.epoch, seq=self.seq, id=f"{self.epoch}-{self.seq}", type=event.type, time=rfc3339(self._clock()),
            subject=event.subject, account=_account_of(event), cause=cause, data=msgspec.to_builtins(event),
        )  # fmt: skip


def rfc3339(seconds: float) -> str:
    """Return Unix `seconds` as RFC 3339 text in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _account_of(event: Event) -> str:
    match event:
        case CallEvent():
            return event.call.account
        case AccountEvent():
            return event.account.id
        case MessageReceived():
            return event.account
        case _:
            return ""
