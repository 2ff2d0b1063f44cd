"""What is played into one stream: playbacks beside and after each other, music while it is on hold, the beep of a recording."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from offhook.media import pcm
from offhook.media.fades import ramp
from offhook.media.messages import MediaReport, PlaybackDone, PlaybackStarted, PlayMode, StreamId
from offhook.media.reels import Playback
from offhook.media.sources import SAMPLE_RATE, SILENCE, frame_bytes

HOLD_MUSIC: Final = "hold_music"
"""The name under which a failure of the music is told."""


class Playlist:
    """The playbacks of a stream. `changed` is called whenever something begins or is over.

    What is broken off in the midst of its sound is heard for one frame more, in which it becomes silent: a step would click.
    """

    __slots__ = ("_beeps", "_changed", "_fading", "_music", "_playing", "_rate", "_report", "_stream", "_waiting")

    def __init__(self, stream: StreamId, report: Callable[[MediaReport], object], changed: Callable[[], object]) -> None:
        self._stream = stream
        self._report = report
        self._changed = changed
        self._playing: list[Playback] = []
        self._waiting: deque[Playback] = deque()
        self._beeps: list[Playback] = []
        self._music: Playback | None = None
        self._rate = SAMPLE_RATE  # of the latest frame
        self._fading: list[bytes] = []  # last frames of what was broken off

    def __bool__(self) -> bool:
        return bool(self._playing or self._beeps or self._music or self._waiting or self._fading)

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
            if not self._playing:
                self._fade_out(self._music)
            self._music.close()
        self._music = music
        self._changed()

    def pause(self, name: str, paused: bool) -> None:
        """Pause or go on; nothing happens for one that is over."""
        for playback in (*self._playing, *self._waiting):
            if playback.name == name and playback.paused != paused:
                if paused:
                    playback.again = self._fade_out(playback)
                playback.paused = paused

    def stop(self, name: str) -> None:
        """End one."""
        for playback in (*self._playing, *self._waiting):
            if playback.name == name:
                self._fade_out(playback)
                self._end(playback, "stopped")
        self._follow_queue()

    def close(self) -> None:
        """End all."""
        self._end_all("closed")
        self._beeps.clear()
        self.set_music(None)

    def mix(self, near: bytes, rate: int) -> bytes:
        """Return `near` with this tick's frame of all that plays."""
        self._rate = rate
        if self._fading:
            near = self._faded(near, rate)
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
            frame = self._risen(playback, rate) if playback.again and not playback.paused else playback.read(rate)
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

    def _fade_out(self, playback: Playback) -> bytes:
        """Keep the next frame of what is heard now, to become silent; return it, b"" if there is none. It does not count."""
        if not playback.frames or playback.paused or not (frame := playback.read(self._rate)):
            return b""
        playback.frames -= 1
        self._fading.append(ramp(frame, 1.0, 0.0))
        return frame

    def _risen(self, playback: Playback, rate: int) -> bytes | None:
        """Return the frame in which it became silent once more, to rise, if it has the rate of now."""
        frame, playback.again = playback.again, b""
        playback.frames += 1
        return ramp(frame, 0.0, 1.0) if len(frame) == frame_bytes(rate) else None

    def _faded(self, near: bytes, rate: int) -> bytes:
        """Return `near` with what was broken off before it; once the codec has changed there is nothing any more."""
        fading, self._fading = self._fading, []
        for frame in fading:
            if len(frame) == frame_bytes(rate):
                near = _sum(near, frame)
        self._changed()
        return near

    def _follow_queue(self) -> None:
        if not self._playing and self._waiting:
            self._playing.append(self._waiting.popleft())

    def _end_all(self, reason: Literal["replaced", "closed"]) -> None:
        for playback in (*self._playing, *self._waiting):
            if reason == "replaced":
                self._fade_out(playback)
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
