"""What is played into one stream: playbacks beside and after each other, music while it is on hold, the beep of a recording."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from offhook.media import pcm
from offhook.media.messages import MediaReport, PlaybackDone, PlaybackStarted, PlayMode, StreamId
from offhook.media.reels import Playback
from offhook.media.sources import SILENCE

HOLD_MUSIC: Final = "hold_music"
"""The name under which a failure of the music is told."""


class Playlist:
    """The playbacks of a stream. `changed` is called whenever something begins or is over."""

    __slots__ = ("_beeps", "_changed", "_music", "_playing", "_report", "_stream", "_waiting")

    def __init__(self, stream: StreamId, report: Callable[[MediaReport], object], changed: Callable[[], object]) -> None:
        self._stream = stream
        self._report = report
        self._changed = changed
        self._playing: list[Playback] = []
        self._waiting: deque[Playback] = deque()
        self._beeps: list[Playback] = []
        self._music: Playback | None = None

    def __bool__(self) -> bool:
        return bool(self._playing or self._beeps or self._music or self._waiting)

    def start(self, playback: Playback, mode: PlayMode) -> None:
        """Play this in place of all others, after them, or beside."""
        if mode == "replace":
            self._end_all("replaced")
        if mode == "queue" and (self._playing or self._waiting):
            self._waiting.append(playback)
        else:
            self._playing.append(playback)
        self._changed()

    def beep(self, playback: Playback) -> None:
        """Play this beside everything else; nothing is told of it."""
        self._beeps.append(playback)
        self._changed()

    def set_music(self, music: Playback | None) -> None:
        """Have something to play while nothing else is."""
        if self._music is not None:
            self._music.close()
        self._music = music
        self._changed()

    def pause(self, name: str, paused: bool) -> None:
        """Pause or go on; nothing happens for one that is over."""
        for playback in (*self._playing, *self._waiting):
            if playback.name == name:
                playback.paused = paused

    def stop(self, name: str) -> None:
        """End one."""
        for playback in (*self._playing, *self._waiting):
            if playback.name == name:
                self._end(playback, "stopped")
        self._follow_queue()

    def close(self) -> None:
        """End all."""
        self._end_all("closed")
        self._beeps.clear()
        self.set_music(None)

    def mix(self, near: bytes, rate: int) -> bytes:
        """Return `near` with this tick's frame of all that plays."""
        if self._playing:
            for playback in tuple(self._playing):
                near = self._add(near, playback, rate)
        elif self._music is not None:
            near = self._add(near, self._music, rate)
        for beep in tuple(self._beeps):
            near = _sum(near, beep.read(rate))
            if beep.over:
                self._beeps.remove(beep)
                self._changed()
        return near

    def _add(self, near: bytes, playback: Playback, rate: int) -> bytes:
        """Add its frame; where it is over, that of the one that waited for it, without a gap."""
        for _ in range(1 + len(self._waiting)):
            frame = playback.read(rate)
            if playback.frames == 1 and frame is not None and playback is not self._music:
                self._report(PlaybackStarted(self._stream, playback.name))
            if not playback.over:
                return _sum(near, frame)
            self._end(playback, playback.over)
            if self._playing or not self._waiting:
                break
            playback = self._waiting.popleft()
            self._playing.append(playback)
        return near

    def _follow_queue(self) -> None:
        if not self._playing and self._waiting:
            self._playing.append(self._waiting.popleft())

    def _end_all(self, reason: Literal["replaced", "closed"]) -> None:
        for playback in (*self._playing, *self._waiting):
            self._end(playback, reason)

    def _end(self, playback: Playback, reason: Literal["finished", "stopped", "replaced", "closed", "failed"]) -> None:
        playback.close()
        if playback is self._music:
            self._music = None
        elif playback in self._playing:
            self._playing.remove(playback)
        else:
            self._waiting.remove(playback)
        self._report(PlaybackDone(self._stream, playback.name, reason, playback.played_ms, playback.error))
        self._changed()


def _sum(near: bytes, frame: bytes | None) -> bytes:
    if frame is None or frame is SILENCE:
        return near
    return frame if near is SILENCE else pcm.add(near, frame)
