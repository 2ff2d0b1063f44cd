"""Events about what is heard in calls."""

from __future__ import annotations

from typing import Literal

from offhook.media.messages import CaptureEnd, RecordingFormat, StreamStats, ToneName, Verdict, VerdictReason
from offhook.phone.events.base import CallEvent, Event
from offhook.phone.model import AudioStreamView, ConferenceView, TapView

# --- programs that hear and speak in a call ------------------------------------------------------------------------


class AudioMarkReached(CallEvent, frozen=True, kw_only=True):
    """What an audio link wrote before the mark `name` has been played. `played_ms` counts from the opening of the link."""

    audio: str
    name: str
    played_ms: int


class AudioCleared(CallEvent, frozen=True, kw_only=True):
    """An audio link was silenced: `dropped_ms` of what it wrote were not played any more, nor its `marks` reached."""

    audio: str
    played_ms: int
    dropped_ms: int
    marks: tuple[str, ...] = ()


class AudioUnderrun(CallEvent, frozen=True, kw_only=True):
    """Everything an audio link wrote has been played, and nothing followed in time."""

    audio: str
    played_ms: int


class AudioOverrun(CallEvent, frozen=True, kw_only=True):
    """An audio link lost `dropped_ms`: written too far ahead (speak, also `marks`), or not taken in time (hear)."""

    audio: str
    direction: Literal["hear", "speak"]
    dropped_ms: int
    marks: int = 0


class AudioStreamStarted(CallEvent, frozen=True, kw_only=True):
    """A program's WebSocket has been connected to; it gets the call's sound."""

    stream: AudioStreamView


class AudioStreamStopped(CallEvent, frozen=True, kw_only=True):
    """An audio stream is over: stopped, or the program or the call ended it. `reason` says which."""

    stream: AudioStreamView
    reason: str
    duration: float


class AudioStreamFailed(CallEvent, frozen=True, kw_only=True):
    """An audio stream could not be connected, or broke (`duration` seconds after it was). It is not tried again."""

    stream: AudioStreamView
    reason: str
    duration: float


# --- digits and media ----------------------------------------------------------------------------------------------


class DtmfReceived(CallEvent, frozen=True, kw_only=True):
    """The far end pressed a key."""

    digit: str
    method: Literal["rtp", "info", "inband"]
    duration_ms: int


class DtmfSent(CallEvent, frozen=True, kw_only=True):
    """One digit has gone out."""

    digit: str
    method: Literal["rtp", "info", "inband"]


class DtmfSendFailed(CallEvent, frozen=True, kw_only=True):
    """The rest of the digits was not sent."""

    reason: str


class MediaStarted(CallEvent, frozen=True, kw_only=True):
    """The first sound of the far end arrived."""


class MediaStalled(CallEvent, frozen=True, kw_only=True):
    """No sound arrives although it should."""

    silent_ms: int


class MediaResumed(CallEvent, frozen=True, kw_only=True):
    """Sound arrives again."""


class MediaStats(CallEvent, frozen=True, kw_only=True):
    """Quality figures, every five seconds of a call, and once more when it is over: then they are `final`."""

    stats: StreamStats
    final: bool = False


class MediaFailed(CallEvent, frozen=True, kw_only=True):
    """The media of this call broke; the call is ended."""

    reason: str


class MediaSecurity(CallEvent, frozen=True, kw_only=True):
    """Whether the sound is encrypted is decided, or has changed. Only where encryption was offered or asked for.

    `srtp` says where the keys come from: "sdes" (the signalling), "dtls" (a handshake in the media), or "" for sound in the
    clear. `warning` says what is left to be wished for, "" if nothing.
    """

    srtp: str
    cipher: str = ""
    warning: str = ""


class MediaCandidates(CallEvent, frozen=True, kw_only=True):
    """The addresses under which the call's sound can be reached ("srflx 203.0.113.7:40000"), and which servers did not help."""

    candidates: tuple[str, ...]
    problems: tuple[str, ...] = ()


class MediaRoute(CallEvent, frozen=True, kw_only=True):
    """ICE has found, or changed, the way of the sound: the kinds of both ends ("host", "relay" …) and the far end's address."""

    local: str
    remote: str
    address: str


class PlaybackStarted(CallEvent, frozen=True, kw_only=True):
    """A playback's first frame goes out."""

    playback: str


class PlaybackFinished(CallEvent, frozen=True, kw_only=True):
    """A playback is over. `reason` is finished, stopped, replaced, or closed with its call; that may come after call.ended."""

    playback: str
    reason: str
    played_ms: int


class PlaybackFailed(CallEvent, frozen=True, kw_only=True):
    """A playback could not be done."""

    playback: str
    reason: str


class RecordingStarted(CallEvent, frozen=True, kw_only=True):
    """A recording's file exists."""

    recording: str
    file: str
    format: RecordingFormat


class RecordingPaused(CallEvent, frozen=True, kw_only=True):
    """A recording waits."""

    recording: str


class RecordingResumed(CallEvent, frozen=True, kw_only=True):
    """A recording goes on."""

    recording: str


class RecordingFinished(CallEvent, frozen=True, kw_only=True):
    """A recording's file is complete. `size` is its length in bytes."""

    recording: str
    file: str
    reason: str
    duration_ms: int
    size: int
    format: RecordingFormat


class RecordingFailed(CallEvent, frozen=True, kw_only=True):
    """A recording broke off (disk full, no such folder); what was written stays."""

    recording: str
    file: str
    reason: str


class CaptureStarted(CallEvent, frozen=True, kw_only=True):
    """The packets of the call's sound are kept from now on, for `seconds` at most; with `keys`, so are those that open them."""

    seconds: float
    keys: bool


class CaptureFinished(CallEvent, frozen=True, kw_only=True):
    """A capture is over: `packets` are kept, of `size` bytes in a pcap file."""

    reason: CaptureEnd
    packets: int
    size: int



# --- what is heard -------------------------------------------------------------------------------------------------


class VadSpeechStarted(CallEvent, frozen=True, kw_only=True):
    """The far end began to speak. Only where Detect asked for vad."""


class VadSpeechStopped(CallEvent, frozen=True, kw_only=True):
    """The far end has been silent for a quarter of a second. `duration_ms` is how long it spoke, with that."""

    duration_ms: int


class AmdResult(CallEvent, frozen=True, kw_only=True):
    """Whether a person or a machine answered, why that is believed, and how many ms of listening it took.

    `greeting_ms` and `words` are the first words as far as they were heard. Only where Detect asked for amd, once.
    """

    result: Verdict
    reason: VerdictReason
    after_ms: int
    greeting_ms: int
    words: int


class ToneDetected(CallEvent, frozen=True, kw_only=True):
    """A signal of the network, of a fax machine, or a beep: its frequency in Hz (the lower of two), how long it sounded."""

    tone: ToneName
    frequency: int
    duration_ms: int


class CallLevel(CallEvent, frozen=True, kw_only=True):
    """How loud a call is, in dB against full scale (dBov; -96 is silence): `near_db` what we send, `far_db` what we hear.

    Told while `meter_call` asks for it.
    """

    near_db: float
    far_db: float


class TapEvent(CallEvent, frozen=True, kw_only=True):
    """An event about the call that is listened to, with the tap."""

    tap: TapView


class TapStarted(TapEvent, frozen=True, kw_only=True):
    """Another call hears this one."""


class TapChanged(TapEvent, frozen=True, kw_only=True):
    """It hears other sides now, or speaks to others."""


class TapEnded(TapEvent, frozen=True, kw_only=True):
    """It hears this call no more."""


# --- conferences ---------------------------------------------------------------------------------------------------


class ConferenceEvent(Event, frozen=True, kw_only=True):
    """An event about one conference, with the conference after the change."""

    conference: ConferenceView

    @property
    def subject(self) -> str:
        return f"conferences/{self.conference.id}"


class ConferenceCreated(ConferenceEvent, frozen=True, kw_only=True):
    """A conference exists."""


class ConferenceJoined(ConferenceEvent, frozen=True, kw_only=True):
    """A call is in it."""

    call: str


class ConferenceLeft(ConferenceEvent, frozen=True, kw_only=True):
    """A call is not in it any more."""

    call: str


class ConferenceUpdated(ConferenceEvent, frozen=True, kw_only=True):
    """Who is heard has changed."""


class ConferenceEnded(ConferenceEvent, frozen=True, kw_only=True):
    """The conference is over."""
