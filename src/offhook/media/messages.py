"""What goes into and comes out of the media engine. Data only; every message can cross a process boundary.

The engine (`media.engine`) is driven by MediaCommands and answers with MediaReports; the same code runs in a thread or in a
worker process (`io.media_host`). A stream id is the call's id. Volumes are 0-100, times in milliseconds, gains in decibels.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from offhook.media.card_messages import CardCommand, VoiceFailed, VoiceReport

StreamId: TypeAlias = str
Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
DeviceKind: TypeAlias = Literal["input", "output", "ring"]
LocalToneKind: TypeAlias = Literal["none", "ringback", "busy", "congestion", "ring", "waiting"]
AudioId: TypeAlias = str
AudioRate: TypeAlias = Literal[8000, 16000, 24000, 48000]
Detection: TypeAlias = Literal["dtmf", "tones", "beep", "vad", "amd"]
ToneName: TypeAlias = Literal[
    "dial", "ringback", "busy", "congestion", "special_information", "fax_calling", "fax_answer", "beep"
]
PlayMode: TypeAlias = Literal["replace", "queue", "mix"]
RecordingFormat: TypeAlias = Literal["wav", "flac", "mp3", "opus"]
Side: TypeAlias = Literal["none", "near", "far", "both"]
"""Of a call: `near` is this phone, with whoever speaks from it; `far` the far end."""
Verdict: TypeAlias = Literal["human", "machine", "unknown"]
VerdictReason: TypeAlias = Literal["short_greeting", "long_greeting", "many_words", "fax", "no_speech", "undecided"]


class SdesKeys(Struct, frozen=True):
    """SRTP with keys from SDP (RFC 4568): the suite's name; master key and salt for what we send, and for what comes."""

    suite: str
    send: bytes
    receive: bytes

    def __repr__(self) -> str:
        return f"SdesKeys({self.suite}, …)"  # a key in a log is a key given away


class DtlsPeer(Struct, frozen=True):
    """SRTP with keys from a DTLS handshake (RFC 5764): our role, and (hash, text) of certificates the far end may show.

    `certificate` is ours with its key, as PEM.
    """

    role: Literal["client", "server"]
    fingerprints: tuple[tuple[str, str], ...]
    certificate: bytes = b""

    def __repr__(self) -> str:
        return f"DtlsPeer({self.role}, …)"


class TurnServer(Struct, frozen=True):
    """A relay (RFC 8656): its numeric address, how to speak to it, `name` for TLS to check, and who we are there."""

    address: tuple[str, int]
    username: str
    password: str
    transport: Literal["udp", "tcp", "tls"] = "udp"
    name: str = ""

    def __repr__(self) -> str:
        return f"TurnServer({self.address}, {self.transport}, …)"


class Candidate(Struct, frozen=True):
    """An address where media may be sent (RFC 8839 5.1). `related` is the address behind it, for people who look for faults."""

    foundation: str
    component: int
    priority: int
    address: str
    port: int
    kind: Literal["host", "srflx", "prflx", "relay"]
    related: tuple[str, int] | None = None


class IcePeer(Struct, frozen=True):
    """ICE (RFC 8445) as agreed: our name and password, theirs, who decides, and where the far end may be reached.

    `lite`: the far end only answers checks.
    """

    controlling: bool
    ufrag: str
    pwd: str
    remote_ufrag: str
    remote_pwd: str
    candidates: tuple[Candidate, ...]
    lite: bool = False

    def __repr__(self) -> str:
        return f"IcePeer({self.ufrag}, {self.remote_ufrag}, …)"


class StreamConfig(Struct, frozen=True):
    """What negotiation decided for one stream.

    `codec` is a name of `media.codecs` (PCMU, L16/16000); `payload_type` what we send; `receive_types` maps every payload type
    we accept to its codec. `fmtp` are the far end's wishes about the codec we send. `telephone_event` is the payload type of
    RFC 4733 events we send, None: not negotiated; `telephone_event_in` the one we receive; `event_clock` counts their
    durations. `direction` is seen from us. `remote` is the RTP address, `remote_rtcp` its RTCP
    one; with symmetric RTP the first packets that arrive correct them. `security` None is RTP in the clear; with `rtcp_mux`
    RTCP uses the RTP port (RFC 5761). With `ice` packets take the way that its checks find, else with `relayed` that over
    the relay which GatherCandidates has found. `extended_reports` are those of RFC 3611 that the far end asks for.
    With `comfort_noise` our pauses are not sent as sound, but described (RFC 3389); the far end may do so in any case.
    """

    remote: tuple[str, int]
    remote_rtcp: tuple[str, int]
    codec: str
    payload_type: int
    receive_types: tuple[tuple[int, str], ...]
    clock_rate: int = 8000
    ptime_ms: int = 20
    telephone_event: int | None = None
    telephone_event_in: int | None = None
    event_clock: int = 8000
    fmtp: str = ""
    comfort_noise: bool = False
    direction: Direction = "sendrecv"
    security: SdesKeys | DtlsPeer | None = None
    rtcp_mux: bool = False
    ice: IcePeer | None = None
    relayed: bool = False
    extended_reports: tuple[str, ...] = ()


# --- commands ------------------------------------------------------------------------------------------------------


class PlaceStream(Struct, frozen=True):
    """All that is said about this stream is for this worker. Comes first; without it a stream is in worker 0."""

    stream: StreamId
    worker: int


class OpenStream(Struct, frozen=True):
    """Take the already bound RTP port `port` (from PortsReady; RTCP is port + 1) for a stream. It is idle until Configure."""

    stream: StreamId
    port: int
    cname: str


class ConfigureStream(Struct, frozen=True):
    """Start, or change, sending and receiving."""

    stream: StreamId
    config: StreamConfig


class GatherCandidates(Struct, frozen=True):
    """Find out under which addresses the stream can be reached: CandidatesGathered, after three seconds at most.

    `addresses` are our own (all of this machine if there are none), `stun` a server that says how we look from outside, `turn`
    relays. `ufrag` and `pwd` are for checks that come before the answer; "" without ICE.
    """

    stream: StreamId
    addresses: tuple[str, ...] = ()
    stun: tuple[str, int] | None = None
    turn: TurnServer | None = None
    ufrag: str = ""
    pwd: str = ""


class CloseStream(Struct, frozen=True):
    """Say RTCP BYE, finish recordings and playbacks, report StreamClosed; the port is closed, a new one made ready."""

    stream: StreamId


class AttachSound(Struct, frozen=True):
    """Connect the stream to the sound card (microphone out, loudspeaker in), or take it off."""

    stream: StreamId
    attached: bool


class SetLoopback(Struct, frozen=True):
    """Send back what is received (an echo line)."""

    stream: StreamId
    enabled: bool


class SetBridge(Struct, frozen=True):
    """The conference `bridge` consists of these streams (N-1 mix for each); an empty tuple ends it.

    Nobody hears those of them that are `silent`.
    """

    bridge: str
    streams: tuple[StreamId, ...]
    silent: tuple[StreamId, ...] = ()


class SetStreamMute(Struct, frozen=True):
    """Send silence in place of the microphone (playbacks and digits still go out)."""

    stream: StreamId
    muted: bool


class SendDigits(Struct, frozen=True):
    """Send digits; ',' pauses `pause_ms`. Method rtp needs telephone_event, inband makes tones.

    Outcome: DigitSent…, DigitsDone.
    """

    stream: StreamId
    request: str
    digits: str
    method: Literal["rtp", "inband"] = "rtp"
    duration_ms: int = 160
    gap_ms: int = 80
    pause_ms: int = 1000


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


class SetLevels(Struct, frozen=True):
    """Loudspeaker and microphone volume 0-100 (100 is unity), microphone mute for all calls."""

    output_volume: int
    mic_volume: int
    mic_muted: bool


class SelectDevice(Struct, frozen=True):
    """Use the device with this stable id ("" is the system's default) from now on, also in running calls."""

    kind: DeviceKind
    device: str


class PlayLocalTone(Struct, frozen=True):
    """Play a signal to the person at the phone (ring on the ring device, the rest on the output); "none" stops it."""

    tone: LocalToneKind


class ListDevices(Struct, frozen=True):
    """Ask for DevicesListed (also re-enumerates)."""


# Audio links: a program hears and speaks in a call. PCM is signed 16-bit little-endian mono at the link's rate.

SPEAK_LIMIT_MS: Final = 30_000
"""What a program may have written ahead on one link; 2.9 MB at 48 kHz. More is refused, so a runaway writer costs no memory."""
MARKS_LIMIT: Final = 256
"""Marks that wait on one link: all of them may be reached in one frame, and each is a report."""


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
MediaCommand: TypeAlias = (
    PlaceStream | OpenStream | ConfigureStream | GatherCandidates | CloseStream | AttachSound | SetLoopback | SetBridge
    | SetStreamMute | SendDigits | StartPlayback | PausePlayback | StopPlayback | SetMusic | SetTap | StartRecording
    | PauseRecording | StopRecording | Detect | SetLevels | SelectDevice | PlayLocalTone | ListDevices | AudioCommand
    | CardCommand
)


# --- reports -------------------------------------------------------------------------------------------------------


class PortsReady(Struct, frozen=True):
    """These even RTP ports (with RTCP at +1) are bound by this worker and waiting for OpenStream."""

    ports: tuple[int, ...]
    worker: int = 0


class StreamFailed(Struct, frozen=True):
    """The stream could not be opened or its socket broke."""

    stream: StreamId
    reason: str


class StreamStalled(Struct, frozen=True):
    """No RTP for `silent_ms` although the far end should send."""

    stream: StreamId
    silent_ms: int


class StreamResumed(Struct, frozen=True):
    """RTP flows (again); also reported for the first packet of a stream."""

    stream: StreamId


class StreamStats(Struct, frozen=True):
    """Quality so far. Packets and bytes are counts; `loss` is the received direction's fraction 0-1; ms values are current.

    `mos` 1.0-4.5 and `rating` (R; 0-100, wideband 0-129) are the E-model's (ITU-T G.107, G.107.1) for what we hear: by codec,
    by what was lost or late, and by the delay from mouth to ear, `delay_ms`. `mos_listening` leaves the delay out. Losses that
    lie together are `bursts` (RFC 3611): `burst_ms` is their mean length, `burst_density` the share lost in them; between them
    are gaps.
    All that is `remote_` is what the far end hears of us, by its RTCP, and None until there was some: `remote_loss` since its
    last report, `remote_packets_lost` of all. `remote_mos` and `remote_rating` are its own where it sends extended reports,
    else ours by its loss; `remote_burst_density`, `remote_burst_ms`, `remote_buffer_ms` are in extended reports alone.
    """

    stream: StreamId
    packets_sent: int
    packets_received: int
    bytes_sent: int
    bytes_received: int
    packets_lost: int
    packets_late: int
    packets_duplicate: int
    loss: float
    jitter_ms: float
    buffer_ms: float
    remote_loss: float | None
    remote_jitter_ms: float | None
    rtt_ms: float | None
    mos: float
    rating: float = 0.0
    mos_listening: float = 1.0
    delay_ms: float = 0.0
    bursts: int = 0
    burst_density: float = 0.0
    burst_ms: int = 0
    gap_density: float = 0.0
    gap_ms: int = 0
    remote_packets_lost: int | None = None
    remote_mos: float | None = None
    remote_rating: float | None = None
    remote_burst_density: float | None = None
    remote_burst_ms: int | None = None
    remote_buffer_ms: int | None = None


class CandidatesGathered(Struct, frozen=True):
    """The addresses of the stream, the best first; `problems` say which servers were of no help."""

    stream: StreamId
    candidates: tuple[Candidate, ...]
    problems: tuple[str, ...] = ()


class StreamRouted(Struct, frozen=True):
    """ICE has found a way: kinds of both ends' candidates, and the far end's address."""

    stream: StreamId
    local: str
    remote: str
    address: str


class StreamSecured(Struct, frozen=True):
    """The handshake of DTLS-SRTP is done, with the far end whose fingerprint was agreed; `cipher` is the suite's name."""

    stream: StreamId
    cipher: str


class StreamClosed(Struct, frozen=True):
    """The stream is gone; its final figures."""

    stream: StreamId
    stats: StreamStats


class DigitReceived(Struct, frozen=True):
    """One key press of the far end."""

    stream: StreamId
    digit: str
    method: Literal["rtp", "inband"]
    duration_ms: int


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


class DigitSent(Struct, frozen=True):
    """One digit has gone out."""

    stream: StreamId
    request: str
    digit: str


class DigitsDone(Struct, frozen=True):
    """SendDigits is over; `error` is "" or says why the rest was not sent (stream closed or put on hold)."""

    stream: StreamId
    request: str
    error: str = ""


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


class DeviceInfo(Struct, frozen=True):
    """One sound device. `id` is stable across restarts as far as the system allows; `index` is its place among its kind.

    The figures are 0 while the phone does not use it: how long sound takes through its buffers and ours, how often there was
    nothing to play or to hear in the middle of something, how often sound was skipped because too much had piled up.
    """

    id: str
    kind: Literal["input", "output"]
    name: str
    index: int
    default: bool
    latency_ms: int = 0
    underruns: int = 0
    overruns: int = 0


class DevicesListed(Struct, frozen=True):
    """All devices, and the ids in use by kind ("" is the system's default)."""

    devices: tuple[DeviceInfo, ...]
    selected: tuple[tuple[DeviceKind, str], ...]


class DeviceFailed(Struct, frozen=True):
    """A device vanished or refuses to open; calls go on with silence in its place and another attempt is made by itself."""

    kind: DeviceKind
    device: str
    reason: str


class DeviceRecovered(Struct, frozen=True):
    """The device works (again)."""

    kind: DeviceKind
    device: str


class EngineTrouble(Struct, frozen=True):
    """The media engine was late by `late_ms`, or had to be restarted (then all it had, its `streams`, has failed)."""

    reason: str
    late_ms: float = 0.0
    worker: int = 0
    streams: tuple[StreamId, ...] = ()


class EngineLoad(Struct, frozen=True):
    """How a worker fared in the last second; told while it has streams, and once when it has none any more.

    `cpu` is the share of one core that its packet loop used, `late` the share of its ticks that came more than 10 ms late,
    `latest_ms` the latest of them; `cpu_s`, `ticks` and `late_ticks` are totals since the worker's start.
    """

    worker: int
    streams: int
    cpu: float = 0.0
    late: float = 0.0
    latest_ms: float = 0.0
    cpu_s: float = 0.0
    ticks: int = 0
    late_ticks: int = 0


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


CardReport: TypeAlias = DevicesListed | DeviceFailed | DeviceRecovered | VoiceFailed
AudioReport: TypeAlias = AudioMarkReached | AudioCleared | AudioUnderrun | AudioOverrun | AudioClosed
MediaReport: TypeAlias = (
    PortsReady | StreamFailed | StreamStalled | StreamResumed | StreamStats | StreamSecured | CandidatesGathered | StreamRouted
    | StreamClosed | DigitReceived | SpeechStarted | SpeechStopped | ToneHeard | AnswerJudged | DigitSent | DigitsDone
    | PlaybackStarted | PlaybackDone | RecordingStarted | RecordingDone | DevicesListed | DeviceFailed | DeviceRecovered
    | EngineTrouble | EngineLoad | AudioFrames | AudioReport | VoiceReport
)
