"""Recording calls: names, formats, several at once, and what is known of those that are over."""

from __future__ import annotations

import re
from collections import deque
from pathlib import PurePath
from typing import Final, get_args

from msgspec import structs

from offhook.errors import CommandError, InvalidArgument, InvalidState, NotFound
from offhook.media.messages import PauseRecording, RecordingDone, RecordingFormat, StartRecording, StopRecording
from offhook.media.messages import RecordingStarted as RecordingBegan
from offhook.phone.call import Call
from offhook.phone.commands import Accepted, ListRecordings, PauseRecord, Record, StopRecord
from offhook.phone.desk import Desk
from offhook.phone.events import (
    RecordingFailed,
    RecordingFinished,
    RecordingPaused,
    RecordingResumed,
    RecordingStarted,
    SystemError,
)
from offhook.phone.model import RecordingView, wall

MAX_RECORD: Final = 86400
"""Seconds."""
MOST_AT_ONCE: Final = 4
"""Recordings of one call: each has a thread that writes it."""
KEPT: Final = 100
"""Finished recordings that are still listed."""
SUFFIXES: Final[dict[str, RecordingFormat]] = {
    ".wav": "wav", ".flac": "flac", ".mp3": "mp3", ".opus": "opus", ".ogg": "opus",
}  # fmt: skip

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


def recording_name(call: Call, at: float, form: RecordingFormat) -> str:
    """Return `YYYYMMDD-HHMMSS-<remote>-<incoming|outgoing>-<account>-<call>.<format>`, nothing in it able to leave the folder.

    The order is MicroSIP's, for programs that sort such files; the call id keeps two calls of one second apart.
    """
    remote = call.remote.uri.partition(":")[2].partition("@")[0] or call.remote.uri
    parts = (f"{wall(at):%Y%m%d-%H%M%S}", remote, call.direction, call.account, call.id)
    return "-".join(_UNSAFE.sub("_", part).strip(".")[:64] or "_" for part in parts) + f".{form}"


class Recordings:
    """The recordings that run, by their ids, and the latest that are over."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._numbers = 0
        self._running: dict[str, RecordingView] = {}
        self._begun: set[str] = set()  # those whose beginning was told
        self._over: deque[RecordingView] = deque(maxlen=KEPT)

    def record(self, command: Record) -> Accepted:
        """Record a call."""
        call = self.desk.find_connected(command.call)
        if not 0 <= command.max_seconds <= MAX_RECORD:
            raise InvalidArgument.field("max_seconds", f"0-{MAX_RECORD}")
        form = self._format(command)
        running = self._of(call)
        if len(running) >= MOST_AT_ONCE:
            raise InvalidState(f"call {call.id} has {MOST_AT_ONCE} recordings already")
        path = command.file or self._new_path(call, form)
        if any(view.file == path for view in self._running.values()):
            raise InvalidState(f"something is being recorded into {path} already")
        self._numbers += 1
        recording = f"rec_{self._numbers}"
        view = RecordingView(recording, call.id, path, form, command.channels, "opening", wall(self.desk.wall))
        self._running[recording] = view
        call.recording = call.recording or recording
        maximum = int(command.max_seconds * 1000)
        start = StartRecording(
            call.id, recording, path, command.channels, maximum, command.beep, form, make_folder=not command.file
        )
        self.desk.media(start)
        return Accepted(call=call.id, value={"recording": recording, "file": path})

    def _format(self, command: Record) -> RecordingFormat:
        if command.format and command.format not in get_args(RecordingFormat):
            raise InvalidArgument.field("format", "wav, flac, mp3 or opus")
        by_name = SUFFIXES.get(PurePath(command.file).suffix.lower()) if command.file else None
        return command.format or by_name or self.desk.settings.recording_format

    def _new_path(self, call: Call, form: RecordingFormat) -> str:
        """Return a name for one more recording of the call: each after the first has a number."""
        path = PurePath(self.desk.settings.recording_dir) / recording_name(call, self.desk.wall, form)
        taken = {view.file for view in (*self._running.values(), *self._over)}
        return next(
            name for number in range(1, len(taken) + 2)
            if (name := str(path if number == 1 else path.with_stem(f"{path.stem}-{number}"))) not in taken
        )  # fmt: skip

    def record_by_itself(self, call: Call) -> None:
        """Record the call, where the setting or whoever dialled or answered it says so."""
        if not (self.desk.settings.auto_recording or call.wishes.record):
            return
        try:
            self.record(Record(call=call.id))
        except CommandError as error:
            self.desk.emit(SystemError(reason=f"recording of call {call.id}: {error.detail}"))

    def _of(self, call: Call) -> list[RecordingView]:
        return [view for view in self._running.values() if view.call == call.id]

    def _chosen(self, name: str, recording: str) -> tuple[Call, RecordingView]:
        call = self.desk.find(name)
        running = self._of(call)
        if recording not in ("", "current"):
            running = [view for view in running if view.id == recording]
        if not running:
            raise NotFound(f"call {call.id} is not being recorded" + (f" as {recording!r}" if recording else ""))
        if len(running) > 1:
            names = ", ".join(view.id for view in running)
            raise InvalidArgument.field("recording", f"call {call.id} has {len(running)} recordings: name one of {names}")
        return call, running[0]

    def stop(self, command: StopRecord) -> Accepted:
        """Finish a recording."""
        call, view = self._chosen(command.call, command.recording)
        self.desk.media(StopRecording(call.id, view.id))
        return Accepted(call=call.id, value={"recording": view.id, "file": view.file})

    def pause(self, command: PauseRecord) -> Accepted:
        """Pause a recording, or go on."""
        call, view = self._chosen(command.call, command.recording)
        if command.paused == (view.state == "paused"):
            return Accepted(call=call.id)
        self._running[view.id] = structs.replace(view, state="paused" if command.paused else "recording")
        self.desk.media(PauseRecording(call.id, view.id, command.paused))
        if view.id in self._begun:
            event = RecordingPaused if command.paused else RecordingResumed
            self.desk.emit(event(call=call.view(), recording=view.id))
        return Accepted(call=call.id)

    def list(self, command: ListRecordings) -> Accepted:
        """Answer the recordings of a call, or all."""
        call = command.call
        if call and call not in self.desk.ended:
            call = self.desk.find(call).id
        views = (*self._over, *self._running.values())
        return Accepted(call=call, value=tuple(view for view in views if call in ("", view.call)))

    def began(self, report: RecordingBegan, call: Call) -> None:
        """The file exists."""
        view = self._running.get(report.recording)
        if view is None:
            return
        if view.state == "opening":
            self._running[view.id] = structs.replace(view, state="recording")
        self._begun.add(view.id)
        self.desk.emit(RecordingStarted(call=call.view(), recording=view.id, file=view.file, format=view.format))
        if view.state == "paused":
            self.desk.emit(RecordingPaused(call=call.view(), recording=view.id))

    def done(self, report: RecordingDone) -> None:
        """The file is complete, or broke off. The call may be over by then."""
        view = self._running.pop(report.recording, None)
        if view is None:
            return
        failed = report.reason == "failed"
        self._over.append(structs.replace(
            view, state="failed" if failed else "finished", duration_ms=report.duration_ms, size=report.size,
            reason=report.error or report.reason,
        ))  # fmt: skip
        call = self.desk.calls.get(report.stream)
        if call is not None and call.recording == report.recording:
            call.recording = next((other.id for other in self._of(call)), "")
        shown = call.view() if call is not None else self.desk.ended.get(report.stream)
        begun = view.id in self._begun
        self._begun.discard(view.id)
        if shown is None:
            return
        if not begun and not failed:  # so short that its end overtook its beginning
            self.desk.emit(RecordingStarted(call=shown, recording=view.id, file=view.file, format=view.format))
        if failed:
            self.desk.emit(RecordingFailed(call=shown, recording=view.id, file=view.file, reason=report.error))
            return
        self.desk.emit(
            RecordingFinished(
                call=shown, recording=view.id, file=view.file, reason=report.reason, duration_ms=report.duration_ms,
                size=report.size, format=view.format,
            )
        )  # fmt: skip
