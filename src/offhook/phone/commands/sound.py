"""Commands about what is heard: playing, recording, programs that hear and speak, conferences, devices."""

from __future__ import annotations

from typing import ClassVar, Literal

from offhook.media.messages import AudioRate, Detection, PlayMode, RecordingFormat, Side
from offhook.phone.commands.base import Command, Scope
from offhook.phone.model import HeaderList, StreamDialect, StreamTrack

# --- programs that hear and speak in a call ------------------------------------------------------------------------


class OpenAudio(Command, frozen=True, kw_only=True):
    """Open an audio link to a call: a program hears (`hear`) and speaks (`speak`) 16-bit PCM at `rate` Hz. Answers {audio}.

    The frames themselves do not pass through commands and events; the surface that opened the link carries them. They begin
    when the call has its sound: an incoming one when it is answered, and what was written before is said then. A call has at
    most 8 links; a link ends with its call. With `near` it hears what we send in place of what the far end says.
    """

    call: str = ""
    rate: AudioRate = 16000
    hear: bool = True
    speak: bool = True
    near: bool = False
    scope: ClassVar[Scope] = "media"


class CloseAudio(Command, frozen=True, kw_only=True):
    """Close an audio link at once."""

    audio: str
    scope: ClassVar[Scope] = "media"


class StreamAudio(Command, frozen=True, kw_only=True):
    """Connect to a program's WebSocket at `url` and carry the call's sound over it. Answers the AudioStreamView.

    `dialect` twilio: the messages Twilio documents for its Media Streams (G.711 mu-law, 8 kHz), with `parameters` as its
    customParameters; pcm: those of /v1/calls/{call}/audio at `rate` Hz (0: 16000). `track` inbound is what the far end says,
    outbound what we send. Without `speak` the program only hears. `control` lets it send digits and hang up, `end_call` hangs
    up when the stream ends by itself; both need the scope call. Clients without the scope admin may use only addresses that
    the setting `outgoing.urls` names. Succeeds when connected; is not tried again.
    """

    url: str
    call: str = ""
    dialect: StreamDialect = "twilio"
    rate: AudioRate | Literal[0] = 0
    track: StreamTrack = "inbound"
    speak: bool = True
    parameters: HeaderList = ()
    control: bool = False
    end_call: bool = False
    scope: ClassVar[Scope] = "media"


class StopAudioStream(Command, frozen=True, kw_only=True):
    """End an audio stream; the call goes on."""

    stream: str
    scope: ClassVar[Scope] = "media"


class ListAudioStreams(Command, frozen=True, kw_only=True):
    """Answer the AudioStreamViews."""

    scope: ClassVar[Scope] = "read"


# --- playing and recording -----------------------------------------------------------------------------------------


class Play(Command, frozen=True, kw_only=True):
    """Play a sound file, a tone (`tone` "440" or "350+440" Hz, `duration_ms` 0: endless) or silence into the call.

    WAV, MP3, FLAC and Ogg are played; `url` is such a file on the web, which is fetched first; clients without the scope admin
    may use only addresses that the setting `outgoing.urls` names. `mode` says what becomes of what plays already: it is
    replaced, with all that waits (replace), or waited for (queue), or both are heard (mix). A file that is not there is
    refused. Answers the playback's id. Succeeds when it has played to its end.
    """

    call: str = ""
    file: str = ""
    url: str = ""
    tone: str = ""
    duration_ms: int = 0
    loop: bool = False
    gain_db: float = 0.0
    mode: PlayMode = "replace"
    scope: ClassVar[Scope] = "media"


class StopPlay(Command, frozen=True, kw_only=True):
    """Stop what plays into the call and what waits to be played: all of it, or one `playback`."""

    call: str = ""
    playback: str = ""
    scope: ClassVar[Scope] = "media"


class PausePlay(Command, frozen=True, kw_only=True):
    """Pause what plays into the call, or go on: all of it, or one `playback`."""

    call: str = ""
    paused: bool = True
    playback: str = ""
    scope: ClassVar[Scope] = "media"


class ListPlaybacks(Command, frozen=True, kw_only=True):
    """Answer the PlaybackViews of a call ("": of all calls): what plays, what waits, and what is only being fetched."""

    call: str = ""
    scope: ClassVar[Scope] = "read"


class Record(Command, frozen=True, kw_only=True):
    """Record the call into a new file, at the call's own rate. Answers {recording, file}.

    `file` "" makes a name in the recordings folder. `format` "" is what the file's suffix says (.wav .flac .mp3 .opus .ogg),
    else the setting `recording_format`. Several recordings of one call may run at once.
    """

    call: str = ""
    file: str = ""
    channels: Literal["mono", "stereo"] = "mono"
    max_seconds: float = 0.0
    beep: bool = False
    format: RecordingFormat | Literal[""] = ""
    scope: ClassVar[Scope] = "record"


class StopRecord(Command, frozen=True, kw_only=True):
    """Finish a recording of the call: the only one, or the one that is named."""

    call: str = ""
    recording: str = ""
    scope: ClassVar[Scope] = "record"


class PauseRecord(Command, frozen=True, kw_only=True):
    """Pause a recording of the call, or go on: the only one, or the one that is named."""

    call: str = ""
    paused: bool = True
    recording: str = ""
    scope: ClassVar[Scope] = "record"


class ListRecordings(Command, frozen=True, kw_only=True):
    """Answer the RecordingViews of a call ("": of all calls), the latest 100 of finished ones included."""

    call: str = ""
    scope: ClassVar[Scope] = "read"


class Capture(Command, frozen=True, kw_only=True):
    """Keep the packets of the call's sound as they are on the wire, for `trace` with `media`. The call is heard as before.

    It ends by itself after `seconds`, with 10 MB (seven minutes of G.711), and with the call. The packets stay in memory: of
    the latest captures, as many as fit in 40 MB. With `keys` those of an encrypted call are kept, too, which needs the scope
    keys, as does reading them (`capture_keys`). Once it is over (`capture.finished`) another one may take its place.
    """

    call: str = ""
    seconds: float = 600.0
    keys: bool = False
    scope: ClassVar[Scope] = "record"


class StopCapture(Command, frozen=True, kw_only=True):
    """End a capture; what there is of it can still be had."""

    call: str = ""
    scope: ClassVar[Scope] = "record"


# --- listening -----------------------------------------------------------------------------------------------------


class Detect(Command, frozen=True, kw_only=True):
    """Listen to the far end for these things from now on, and for nothing else; an empty list ends it.

    dtmf: digits sent as sound (dtmf.received) · tones: signals of the network and of fax machines (tone.detected) · beep: any
    short tone (tone.detected) · vad: speech (vad.speech_started, vad.speech_stopped) · amd: whether a person or a machine
    answered, judged by the first words (amd.result); after a machine, its beep is told, too.
    """

    what: tuple[Detection, ...]
    call: str = ""
    scope: ClassVar[Scope] = "media"


class MeterCall(Command, frozen=True, kw_only=True):
    """Tell how loud a call is (`call.level`), both ways, each `interval_ms`, for `seconds`; 0 ends it.

    Say it again to go on; a later one replaces the former. It ends with the call. At most 20 calls are metered at once.
    """

    call: str = ""
    interval_ms: int = 200
    seconds: float = 60.0
    scope: ClassVar[Scope] = "media"


class Tap(Command, frozen=True, kw_only=True):
    """Let the call `by` hear what is said on some sides of another call, and speak to some: monitor, whisper, barge in.

    `near` is this phone (the person, programs, others in a conference), `far` the far end. The call `by` is off the sound card
    meanwhile. A call taps one other at most; again changes what it hears. Two calls in one conference
    hear each other without a tap: there it is refused, and ends when they come together. Answers the TapView.
    """

    by: str
    call: str = ""
    hear: Side = "both"
    speak: Side = "none"
    scope: ClassVar[Scope] = "media"


class StopTap(Command, frozen=True, kw_only=True):
    """End the tap of the call `by`; both calls go on."""

    by: str
    scope: ClassVar[Scope] = "media"


class ListTaps(Command, frozen=True, kw_only=True):
    """Answer the TapViews."""

    scope: ClassVar[Scope] = "read"


class Loopback(Command, frozen=True, kw_only=True):
    """Send the far end's sound back to it (an echo line), or stop that."""

    call: str = ""
    enabled: bool = True
    scope: ClassVar[Scope] = "media"


# --- conferences ---------------------------------------------------------------------------------------------------


class CreateConference(Command, frozen=True, kw_only=True):
    """Let connected calls hear each other, mixed here; those on hold come off it. Answers the ConferenceView.

    `id` lets the caller choose its name.
    """

    id: str = ""
    calls: tuple[str, ...] = ()
    scope: ClassVar[Scope] = "media"


class JoinConference(Command, frozen=True, kw_only=True):
    """Let one more connected call in, off hold. A call is in one conference at most."""

    conference: str
    call: str = ""
    scope: ClassVar[Scope] = "media"


class LeaveConference(Command, frozen=True, kw_only=True):
    """Take a call out of its conference; it stays connected. The conference is over when the last one leaves."""

    call: str = ""
    scope: ClassVar[Scope] = "media"


class MuteMember(Command, frozen=True, kw_only=True):
    """Keep the others in its conference from hearing this call."""

    call: str = ""
    scope: ClassVar[Scope] = "media"


class UnmuteMember(Command, frozen=True, kw_only=True):
    """Undo MuteMember."""

    call: str = ""
    scope: ClassVar[Scope] = "media"


class EndConference(Command, frozen=True, kw_only=True):
    """Take every call out of a conference; they stay connected."""

    conference: str
    scope: ClassVar[Scope] = "media"


class ListConferences(Command, frozen=True, kw_only=True):
    """Answer the ConferenceViews."""

    scope: ClassVar[Scope] = "read"


# --- audio ---------------------------------------------------------------------------------------------------------


class SetVolume(Command, frozen=True, kw_only=True):
    """Set the loudspeaker to 0-100."""

    volume: int
    scope: ClassVar[Scope] = "media"


class VolumeUp(Command, frozen=True, kw_only=True):
    """Raise the loudspeaker by 1-10 steps of 10."""

    steps: int = 1
    scope: ClassVar[Scope] = "media"


class VolumeDown(Command, frozen=True, kw_only=True):
    """Lower the loudspeaker by 1-10 steps of 10."""

    steps: int = 1
    scope: ClassVar[Scope] = "media"


class SetMicVolume(Command, frozen=True, kw_only=True):
    """Set the microphone to 0-100."""

    volume: int
    scope: ClassVar[Scope] = "media"


class SetDevice(Command, frozen=True, kw_only=True):
    """Use a sound device from now on, also in running calls.

    `device` is its stable id, its index, or a unique part of its name; "" is the system's default.
    """

    kind: Literal["input", "output", "ring"]
    device: str
    scope: ClassVar[Scope] = "media"


class SetVoice(Command, frozen=True, kw_only=True):
    """Choose what is done to the microphone from now on, also in running calls; what is left out stays as it is.

    `echo_cancellation` takes out what the microphone hears of the loudspeaker, `noise_suppression` turns the noise of the room
    down, `gain_control` brings speech to an even level. Programs that speak in a call are not touched.
    """

    echo_cancellation: bool | None = None
    noise_suppression: bool | None = None
    gain_control: bool | None = None
    scope: ClassVar[Scope] = "media"


class MeterAudio(Command, frozen=True, kw_only=True):
    """Tell how loud microphone and loudspeaker are (`audio.level`) each `interval_ms`, for `seconds`; 0 ends it.

    Say it again to go on; a later one replaces the former. Without a call the microphone is opened for it.
    """

    interval_ms: int = 200
    seconds: float = 60.0
    scope: ClassVar[Scope] = "media"


class TestDevice(Command, frozen=True, kw_only=True):
    """Let the loudspeaker or the ring device be heard for two seconds, while there is no call. Succeeds when it was.

    `input`: record the microphone for a second, tell its level (`device.tested`) and play the recording; fails if there was
    nothing to hear.
    """

    kind: Literal["input", "output", "ring"] = "output"
    scope: ClassVar[Scope] = "media"


class ListDevices(Command, frozen=True, kw_only=True):
    """Answer the sound devices."""

    scope: ClassVar[Scope] = "read"


class GetAudio(Command, frozen=True, kw_only=True):
    """Answer the AudioView: volumes, mute, devices, what is done to the microphone."""

    scope: ClassVar[Scope] = "read"
