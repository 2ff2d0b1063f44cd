"""The call history, kept from what the phone tells: a call from its first moment on, completed by what comes later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from offhook.control.schema import to_json
from offhook.errors import NotFound, SetupError
from offhook.io import clock
from offhook.io.engine import Engine
from offhook.io.journal import Envelope
from offhook.phone.closing import ANSWERED_ELSEWHERE, UNDECIDED
from offhook.phone.events import (
    CallActive,
    CallCreated,
    CallEnded,
    CallEvent,
    CallIncoming,
    CallTagged,
    HistoryAdded,
    MediaStats,
    RecordingStarted,
)
from offhook.phone.model import CallEnd, wall
from offhook.phone.records import ALL_CALLS, HistoryEntry, WantedCalls
from offhook.storage.history import History

FINISHED_KEPT: Final = 256
"""Calls that ended and whose row may still change: their figures come a moment later, and tags as long as GetCall answers."""


class CallHistory:
    """Writes past calls down and reads them. Without a file there is none, and every question for it raises NotFound.

    With one that cannot be opened, every question raises SetupError.

    A call that runs has its row too, renewed with each `media.stats`: after a crash it says how long the call lasted, to five
    seconds.
    """

    def __init__(self, engine: Engine, file: Path | None, trouble: Callable[[str], None]) -> None:
        self._engine = engine
        self._finished: dict[str, CallEnded] = {}  # the latest, as they are known by now
        self._talking: dict[str, float] = {}  # since when, by a clock that nobody sets
        self._recordings: dict[str, str] = {}  # the files of calls that run, or are finished so
        self._history: History | None = None

        def failed(error: SetupError) -> None:  # a disk that cannot be used costs the history, not the calls
            trouble(f"past calls are not kept until the phone is started again: {error}")

        if file is not None:
            self._history = History(file, trouble=trouble, failed=failed)

    def start(self) -> None:
        """Keep calls from now on."""
        if self._history is not None:
            kinds = CallIncoming, CallCreated, CallActive, CallEnded, CallTagged, MediaStats, RecordingStarted
            self._engine.subscribe(self._see, *kinds)

    def close(self) -> None:
        """Write what is left; waits for the disk."""
        if self._history is not None:
            self._history.close()

    def list(self, limit: int, before: str, wanted: WantedCalls = ALL_CALLS) -> list[dict[str, Any]]:
        """Return past calls, newest first; raises NotFound where `before` is not there (any more): its place is not known."""
        found = self._kept().list(limit, before, wanted)
        if before and not found:
            self.get(before)
        return [_entry(record) for record in found]

    def get(self, entry: str) -> dict[str, Any]:
        """Return one past call."""
        found = self._kept().get(entry)
        if found is None:
            raise NotFound(f"there is no entry {entry!r} in the history")
        return _entry(found)

    def delete(self, entry: str) -> None:
        """Forget one past call."""
        if not self._kept().delete(entry):
            raise NotFound(f"there is no entry {entry!r} in the history")
        if entry in self._finished:  # or what is said of the call later would bring it back; a call that runs has a row again
            self._forget(entry)

    def clear(self) -> None:
        """Forget all past calls."""
        self._kept().clear()
        for call in tuple(self._finished):
            self._forget(call)

    def _kept(self) -> History:
        if self._history is None:
            raise NotFound("this phone keeps no history")
        return self._history

    def _see(self, envelope: Envelope) -> None:
        """Even a crash leaves a trace of the call."""
        event = envelope.event
        call = event.call.id if isinstance(event, CallEvent) else ""
        match event:
            case CallEnded():
                self._finished[call] = event
                if len(self._finished) > FINISHED_KEPT:
                    self._forget(next(iter(self._finished)))
                record = _record(event, self._recordings.get(call, ""))
                self._kept().add(record)
                self._engine.say(HistoryAdded(entry=_entry(record)))
            case MediaStats(final=True) | CallTagged() if call in self._finished:
                # The final figures come after the end, which did not wait for them.
                ended = self._finished[call] = structs.replace(self._finished[call], call=event.call)
                self._kept().keep(call, partial(_record, ended, self._recordings.get(call, "")))
            case RecordingStarted() if call in self._finished:  # so short that it is told after the end of the call
                self._recordings.setdefault(call, event.file)
            case CallEvent() if event.call.ended is None:
                if isinstance(event, RecordingStarted):
                    self._recordings.setdefault(call, event.file)
                now = clock.now()
                if event.call.answered is not None:
                    self._talking.setdefault(call, now)
                lasted = now - self._talking.get(call, now)
                seen = wall(clock.wall())
                self._kept().keep(call, partial(_record, event, self._recordings.get(call, ""), seen, lasted))

    def _forget(self, call: str) -> None:
        self._finished.pop(call, None)
        self._talking.pop(call, None)
        self._recordings.pop(call, None)


def _record(event: CallEvent, recording: str, seen: datetime | None = None, lasted: float = 0.0) -> HistoryEntry:
    """Return the row of a call; `seen` is when one that runs was last known to, having `lasted` so long."""
    call = event.call
    end = call.end or CallEnd("local")
    over = isinstance(event, CallEnded)
    incoming, media = call.direction == "incoming", call.media
    return HistoryEntry(
        id=call.id,
        account=call.account,
        direction=call.direction,
        remote_uri=call.remote.uri,
        remote_display=call.remote.display,
        started=call.created,
        answered=call.answered,
        ended=call.ended or seen or call.created,
        duration=event.duration if isinstance(event, CallEnded) else lasted,
        sip_status=end.sip_status,
        reason=end.reason if over else "not ended when last seen",
        end_by=end.by if call.end else "",
        codec=media.codec,
        mos=media.mos,
        remote_mos=media.remote_mos,
        loss=media.loss,
        jitter_ms=media.jitter_ms,
        rtt_ms=media.rtt_ms,
        recording=recording,
        tags=call.tags,
        missed=(
            incoming and over and call.answered is None and end.cause != ANSWERED_ELSEWHERE
            and (end.by != "local" or end.reason in UNDECIDED)
        ),
    )


def _entry(record: HistoryEntry) -> dict[str, Any]:
    found: dict[str, Any] = to_json(record)
    return found
