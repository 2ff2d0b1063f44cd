"""The streams themselves: opening, configuring, routes and keys, digits, how they do; and the engine as a whole."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from offhook.media.messages.vocabulary import Direction, StreamId


class SdesKeys(Struct, frozen=True):
    """SRTP with keys from SDP (RFC 4568): the suite's name; master key and salt for what we send, and for what comes.

    The packets under a key are marked with its MKI, if it has one.
    """

    suite: str
    send: bytes
    receive: bytes
    send_mki: bytes = b""
    receive_mki: bytes = b""

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
    """ICE (RFC 8445) as agreed: our name and password, theirs, who decides, and where the far end may be reached."""

    controlling: bool
    ufrag: str
    pwd: str
    remote_ufrag: str
    remote_pwd: str
    candidates: tuple[Candidate, ...]

    def __repr__(self) -> str:
        return f"IcePeer({self.ufrag}, {self.remote_ufrag}, …)"


class StreamConfig(Struct, frozen=True):
    """What negotiation decided for one stream.

    `codec` is a name of `media.codecs` (PCMU, L16/16000); `payload_type` what we send; `receive_types` maps every payload type
    we accept to its codec. `fmtp` are the far end's wishes about the codec we send. `telephone_event` is the payload type of
    RFC 4733 events we send, None: not negotiated, and `event_clock` counts their durations; `receive_events` maps those we
    accept to their clocks. `direction` is seen from us. `remote` is the RTP address, `remote_rtcp` its RTCP
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
    event_clock: int = 8000
    receive_events: tuple[tuple[int, int], ...] = ()
    fmtp: str = ""
    comfort_noise: bool = False
    direction: Direction = "sendrecv"
    security: SdesKeys | DtlsPeer | None = None
    rtcp_mux: bool = False
    ice: IcePeer | None = None
    relayed: bool = False
    extended_reports: tuple[str, ...] = ()


class PlaceStream(Struct, frozen=True):
    """All that is said about this stream is for this worker. Comes first; without it a stream is in worker 0."""

    stream: StreamId
    worker: int


class OpenStream(Struct, frozen=True):
    """Take the already bound RTP port `port` (from PortsReady; RTCP is port + 1) for a stream. It is idle until Configure.

    `sound` and `muted` are as in AttachSound and SetStreamMute.
    """

    stream: StreamId
    port: int
    cname: str
    sound: bool = False
    muted: bool = False


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
    are gaps. `packets_reordered` were overtaken, but came in time. `stretched` and `shrunk` count how often a piece of sound
    was played longer or shorter, so that the buffer follows the network; only while somebody listens.
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
    packets_reordered: int = 0
    stretched: int = 0
    shrunk: int = 0
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


class EngineTrouble(Struct, frozen=True):
    """The media engine was late by `late_ms`, or had to be restarted (then all it had, its `streams`, has failed)."""

    reason: str
    late_ms: float = 0.0
    worker: int = 0
    streams: tuple[StreamId, ...] = ()


class EngineAlive(Struct, frozen=True):
    """A worker with nothing to do goes round all the same; whoever runs it wants to know, and nobody else."""

    worker: int = 0


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
