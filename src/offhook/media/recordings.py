"""The recordings of streams: those that run, and those whose files are being completed while the call may be long over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from offhook.media.messages import MediaReport, RecordingStarted, StreamId
from offhook.media.reels import Recording, Sides

COMPLETE_WITHIN: Final = 500
"""Ticks (10 s) that the disk has for the rest of a recording; then it is told as failed, and goes on by itself."""


class Archive:
    """What has ended and is being completed. `tick` reports what is done."""

    def __init__(self, report: Callable[[MediaReport], object]) -> None:
        self._report = report
        self._open: list[tuple[StreamId, Recording, int]] = []
        self._ticks = 0

    def __bool__(self) -> bool:
        return bool(self._open)

    def take(self, stream: StreamId, recording: Recording) -> None:
        """Have this one completed."""
        recording.finish()
        if recording.is_complete:
            self._report(recording.done(stream))
        else:
            self._open.append((stream, recording, self._ticks + COMPLETE_WITHIN))

    def tick(self) -> None:
        """Look what is complete."""
        self._ticks += 1
        for item in tuple(self._open):
            stream, recording, until = item
            if recording.is_complete or self._ticks > until:
                self._open.remove(item)
                self._report(recording.done(stream, "" if recording.is_complete else "the disk is too slow"))

    def close(self) -> None:
        """Wait for all of them: each as long as a recorder waits."""
        for stream, recording, _ in self._open:
            recording.wait()
            self._report(recording.done(stream))
        self._open.clear()


class Recordings:
    """The recordings of one stream that run."""

    __slots__ = ("_archive", "_report", "_running", "_stream")

    def __init__(self, stream: StreamId, report: Callable[[MediaReport], object], archive: Archive) -> None:
        self._stream = stream
        self._report = report
        self._archive = archive
        self._running: dict[str, Recording] = {}

    def __bool__(self) -> bool:
        return bool(self._running)

    def start(self, recording: Recording) -> None:
        """Begin; RecordingStarted follows when there is a file."""
        self.stop(recording.name)
        self._running[recording.name] = recording

    def pause(self, name: str, paused: bool) -> None:
        """Pause or go on."""
        if name in self._running:
            self._running[name].paused = paused

    def stop(self, name: str, why: Literal["stopped", "closed"] = "stopped") -> None:
        """End one; nothing happens where it is over."""
        recording = self._running.get(name)
        if recording is not None:
            recording.why = recording.why or why
            self._end(recording)

    def close(self) -> None:
        """End all."""
        for name in tuple(self._running):
            self.stop(name, "closed")

    def take(self, sides: Sides) -> None:
        """Record this tick."""
        for recording in tuple(self._running.values()):
            if not recording.write(sides):
                self._end(recording)
            elif not recording.announced and recording.is_open:
                recording.announced = True
                self._report(RecordingStarted(self._stream, recording.name))

    def _end(self, recording: Recording) -> None:
        del self._running[recording.name]
        if not recording.announced and recording.is_open:
            self._report(RecordingStarted(self._stream, recording.name))
        self._archive.take(self._stream, recording)
