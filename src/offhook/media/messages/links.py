"""Audio links: a program hears and speaks in a call. PCM is signed 16-bit little-endian mono at the link's rate."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from offhook.media.messages.vocabulary import AudioId, AudioRate, StreamId

SPEAK_LIMIT_MS: Final = 30_000
"""What a program may have written ahead on one link; 2.9 MB at 48 kHz. More is refused, so a runaway writer costs no memory."""
MARKS_LIMIT: Final = SPEAK_LIMIT_MS // 20
"""Marks that wait on one link: one behind each frame of what may be ahead, as some bots have it. Each is a report."""


class OpenAudio(Struct, frozen=True):
    """Open the link `audio` on a stream: `hear` what the far end says, `speak` to it, or both. Several links may be open.

    Frames flow from the next tick on, also while the call is on hold or not yet answered (then they are silence). A link may
    be opened, and written to, before its stream is: then all begins with the stream. `near`: hear what is sent, in its stead.
    """

    stream: StreamId
    audio: AudioId
    rate: AudioRate
    hear: bool = True
    speak: bool = True
    near: bool = False


class WriteAudio(Struct, frozen=True):
    """Put PCM at the end of what the link has to say; any length, also half a sample. Nothing is played while on hold.

    `refused` are bytes its writer held back already because SPEAK_LIMIT_MS was reached; they only count in AudioOverrun.
    """

    stream: StreamId
    audio: AudioId
    pcm: bytes
    refused: int = 0


class ClearAudio(Struct, frozen=True):
    """Forget all that was written and not yet played, with its marks: AudioCleared."""

    stream: StreamId
    audio: AudioId


class MarkAudio(Struct, frozen=True):
    """Report AudioMarkReached when all that was written so far has been played."""

    stream: StreamId
    audio: AudioId
    name: str


class CloseAudio(Struct, frozen=True):
    """Close the link at once; AudioClosed."""

    stream: StreamId
    audio: AudioId


AudioCommand: TypeAlias = OpenAudio | WriteAudio | ClearAudio | MarkAudio | CloseAudio
AudioFrame: TypeAlias = tuple[AudioId, int, bytes, int]
"""A link's share of one tick: the link, the frame's number from 0, its 20 ms of PCM (b"" on a link that does not hear), and how
many of the written bytes are no longer buffered (played, cleared or refused; a running total). A tuple, because it crosses the
process boundary fifty times a second for each link."""


class AudioFrames(Struct, frozen=True):
    """What the links heard in one tick: one frame each, every 20 ms, silence and concealment included.

    A host that cannot get rid of them keeps the newest second; the numbers show what is missing.
    """

    frames: tuple[AudioFrame, ...]


class AudioMarkReached(Struct, frozen=True):
    """All that was written before the mark has been played. `played_ms`: on this link since it was opened."""

    stream: StreamId
    audio: AudioId
    name: str
    played_ms: int


class AudioCleared(Struct, frozen=True):
    """ClearAudio was obeyed: `played_ms` since the link was opened, `dropped_ms` just now, with the `marks` that waited."""

    stream: StreamId
    audio: AudioId
    played_ms: int
    dropped_ms: int
    marks: tuple[str, ...] = ()


class AudioUnderrun(Struct, frozen=True):
    """Everything written has been played and nothing followed in time; reported once each time that happens."""

    stream: StreamId
    audio: AudioId
    played_ms: int


class AudioOverrun(Struct, frozen=True):
    """Too much, so `dropped_ms` were lost since the last such report (at most one a second).

    speak: written beyond SPEAK_LIMIT_MS, or `marks` beyond MARKS_LIMIT. hear: the program did not take its frames in time.
    """

    stream: StreamId
    audio: AudioId
    direction: Literal["hear", "speak"]
    dropped_ms: int
    marks: int = 0


class AudioClosed(Struct, frozen=True):
    """The link is gone: closed, its stream was closed, or `error` says why it could not be opened."""

    stream: StreamId
    audio: AudioId
    played_ms: int = 0
    dropped_ms: int = 0
    error: str = ""


AudioReport: TypeAlias = AudioMarkReached | AudioCleared | AudioUnderrun | AudioOverrun | AudioClosed
