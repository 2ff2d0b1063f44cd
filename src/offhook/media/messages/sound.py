"""What is played into a call, recorded of it, listened for in it, and who else hears it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from offhook.media.messages.vocabulary import (
    Detection,
    PlayMode,
    RecordingFormat,
    Side,
    StreamId,
    ToneName,
    Verdict,
    VerdictReason,
)


class StartPlayback(Struct, frozen=True):
    """Play into the call: a sound file, a tone (`frequencies` in Hz, for `duration_ms`, 0: endless) or silence.

    `mode` says what becomes of what plays already: it ends (PlaybackDone reason "replaced", also for what waits), it is waited
    for, or both are heard.
    """

    stream: StreamId
    playback: str
    kind: Literal["file", "tone", "silence"]
    path: str = ""
    frequencies: tuple[float, ...] = ()
    duration_ms: int = 0
    loop: bool = False
    gain_db: float = 0.0
    mode: PlayMode = "replace"


class PausePlayback(Struct, frozen=True):
    """Pause or go on."""

    stream: StreamId
    playback: str
    paused: bool


class StopPlayback(Struct, frozen=True):
    """Stop; PlaybackDone reason "stopped"."""

    stream: StreamId
    playback: str


class MeterStream(Struct, frozen=True):
    """Report StreamLevels each `interval_ms` for `duration_ms`; 0 stops it. A later one replaces the former."""

    stream: StreamId
    interval_ms: int
    duration_ms: int


class StreamLevels(Struct, frozen=True):
    """How loud what was sent (`near`) and what was heard (`far`) were since the last report, in dBov, -96 for silence."""

    stream: StreamId
    near_db: float
    far_db: float


class SetMusic(Struct, frozen=True):
    """Let the far end hear this, over and over, as long as nothing else is played (while it is on hold); none ends it.

    A file that cannot be played is PlaybackDone of the playback "hold_music".
    """

    stream: StreamId
    kind: Literal["none", "file", "tone"]
    path: str = ""
    frequencies: tuple[float, ...] = ()


class SetTap(Struct, frozen=True):
    """Let the stream `by` hear what is said on some sides of `stream`, and speak to some; none and none ends it.

    Nobody's recording of `stream` has what `by` says to the near side.
    """

    stream: StreamId
    by: StreamId
    hear: Side = "both"
    speak: Side = "none"


class StartRecording(Struct, frozen=True):
    """Record into a new file, at the stream's rate. mono mixes both sides, stereo keeps us left and the far end right.

    `max_ms` 0: no limit. What was recorded is on the disk a second later at most, whatever happens to the process.
    """

    stream: StreamId
    recording: str
    path: str
    channels: Literal["mono", "stereo"] = "mono"
    max_ms: int = 0
    beep: bool = False
    form: RecordingFormat = "wav"
    make_folder: bool = False
    """Whether the folder is made where it is missing: the phone's own is, one that somebody named may be a mistake."""


class PauseRecording(Struct, frozen=True):
    """Pause or go on."""

    stream: StreamId
    recording: str
    paused: bool


class StopRecording(Struct, frozen=True):
    """Stop; RecordingDone."""

    stream: StreamId
    recording: str


class Detect(Struct, frozen=True):
    """Listen to the far end for these things from now on, and for nothing else; () ends it.

    dtmf: digits sent as sound (DigitReceived, "inband") · tones: signals of the network and of fax machines (ToneHeard) · beep:
    any short tone (ToneHeard) · vad: speech (SpeechStarted, SpeechStopped) · amd: whether a person or a machine speaks first,
    from now on (AnswerJudged; after a machine, its beep is told as ToneHeard).
    """

    stream: StreamId
    what: tuple[Detection, ...]


class SpeechStarted(Struct, frozen=True):
    """The far end began to speak, some 80 ms ago."""

    stream: StreamId


class SpeechStopped(Struct, frozen=True):
    """The far end has been silent for a quarter of a second, after having spoken for `duration_ms` (with that)."""

    stream: StreamId
    duration_ms: int


class ToneHeard(Struct, frozen=True):
    """A signal was recognised: its frequency in Hz (the lower of two), and how long it has sounded."""

    stream: StreamId
    tone: ToneName
    frequency: int
    duration_ms: int


class Judgement(Struct, frozen=True):
    """Who answered, why that is believed, and after how many ms; the length of the greeting and its words until then."""

    verdict: Verdict
    reason: VerdictReason
    after_ms: int
    greeting_ms: int
    words: int


class AnswerJudged(Struct, frozen=True):
    """It is decided who answered."""

    stream: StreamId
    judgement: Judgement


class PlaybackStarted(Struct, frozen=True):
    """The first frame goes out."""

    stream: StreamId
    playback: str


class PlaybackDone(Struct, frozen=True):
    """The playback is over: finished, stopped, replaced, closed (with the stream) or failed (`error` says why)."""

    stream: StreamId
    playback: str
    reason: Literal["finished", "stopped", "replaced", "closed", "failed"]
    played_ms: int
    error: str = ""


class RecordingStarted(Struct, frozen=True):
    """The file exists."""

    stream: StreamId
    recording: str


class RecordingDone(Struct, frozen=True):
    """The file is complete: stopped, limit, closed (with the stream) or failed (`error` says why; what was written stays).

    `size` is its length in bytes.
    """

    stream: StreamId
    recording: str
    path: str
    reason: Literal["stopped", "limit", "closed", "failed"]
    duration_ms: int
    error: str = ""
    size: int = 0
