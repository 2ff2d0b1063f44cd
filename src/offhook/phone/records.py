"""What is kept of calls and texts when they are over: the rows of the history, as files and surfaces have them."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from offhook.phone.model import CallDirection, HeaderList


class HistoryEntry(Struct, frozen=True):
    """One finished call. `answered` is null if nobody did; `duration` is talking time in seconds.

    `recording` is the file of its recording, of several the one that began first, "" without one. `codec`, `mos` and what
    follows are the final figures of its sound, as in CallMedia; None without sound. `tags` are the programs' own words.
    """

    id: str
    account: str
    direction: CallDirection
    remote_uri: str
    remote_display: str
    started: datetime
    answered: datetime | None
    ended: datetime
    duration: float
    sip_status: int
    reason: str
    end_by: str
    missed: bool
    recording: str = ""
    codec: str = ""
    mos: float | None = None
    remote_mos: float | None = None
    loss: float | None = None
    jitter_ms: float | None = None
    rtt_ms: float | None = None
    tags: HeaderList = ()


class WantedCalls(Struct, frozen=True):
    """Which past calls are meant; what is empty asks for nothing. `since` and `until` are about their beginning.

    `remote` is found anywhere in the far end's address or name, whatever the case. `tag` is a tag's name, or name=value.
    """

    direction: CallDirection | Literal[""] = ""
    missed: bool = False
    account: str = ""
    remote: str = ""
    tag: str = ""
    since: datetime | None = None
    until: datetime | None = None


ALL_CALLS: Final = WantedCalls()


class MessageEntry(Struct, frozen=True):
    """A text that came or went. `sip_status` and `reason` say why it failed."""

    id: str
    at: datetime
    direction: CallDirection
    account: str
    remote_uri: str
    remote_display: str
    text: str
    content_type: str
    state: Literal["received", "sent", "failed"]
    sip_status: int
    reason: str
