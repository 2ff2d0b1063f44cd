"""What the phone shows of itself: accounts, calls, devices … as frozen views."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, TypeAlias

from msgspec import Struct, field, structs

from offhook.errors import ParseError
from offhook.media.messages import DeviceInfo, RecordingFormat, Side, StreamStats
from offhook.sip.uri import NameAddr

CallDirection: TypeAlias = Literal["outgoing", "incoming"]
RegistrationState: TypeAlias = Literal["unregistered", "registering", "registered", "failed"]
EndedBy: TypeAlias = Literal["local", "remote", "network"]
StreamDialect: TypeAlias = Literal["twilio", "pcm"]
StreamTrack: TypeAlias = Literal["inbound", "outbound", "both"]
WatchKind: TypeAlias = Literal["presence", "dialog", "mwi"]
HeaderList: TypeAlias = tuple[tuple[str, str], ...]


class CallState(StrEnum):
    """The states of a call. `status` gives the number of the STATUS command."""

    CALLING = "calling"
    RINGING = "ringing"
    EARLY = "early"
    INCOMING = "incoming"
    ACTIVE = "active"
    HELD_LOCAL = "held_local"
    HELD_REMOTE = "held_remote"
    HELD_BOTH = "held_both"
    ENDED = "ended"

    @property
    def status(self) -> int:
        """1 ringing, 2 active, 3 hold, 4 disconnected."""
        return _STATUS[self]


_STATUS: dict[CallState, int] = {
    CallState.CALLING: 1,
    CallState.RINGING: 1,
    CallState.EARLY: 1,
    CallState.INCOMING: 1,
    CallState.ACTIVE: 2,
    CallState.HELD_LOCAL: 3,
    CallState.HELD_REMOTE: 3,
    CallState.HELD_BOTH: 3,
    CallState.ENDED: 4,
}

STATUS_NAMES = ("IDLE", "RINGING", "ACTIVE", "HOLD", "DISCONNECTED")


def wall(seconds: float) -> datetime:
    """Return Unix `seconds` as a UTC time."""
    return datetime.fromtimestamp(seconds, UTC)


class Party(Struct, frozen=True):
    """One end of a call. `asserted` is the identity the network vouches for (P-Asserted-Identity, Remote-Party-ID) or "".

    `display` is the name to show: what the far end calls itself (`said`), else the `contact`'s name ("" if it is nobody's).
    `number` is what to look up: of the asserted identity, else of the address, decoded; "" where there is none.
    """

    uri: str
    display: str = ""
    asserted: str = ""
    said: str = ""
    contact: str = ""
    number: str = ""

    def __post_init__(self) -> None:
        try:
            number = NameAddr.parse(self.asserted or self.uri).uri.number
        except ParseError:
            number = ""
        structs.force_setattr(self, "number", number)  # it follows from the others, whoever makes a party of them


class CallEnd(Struct, frozen=True):
    """How a call ended. `sip_status` is the final status of a call that was never answered, else 0; `q850` from Reason.

    `cause` is the SIP status in a Reason header: 200 where another phone answered.
    """

    by: EndedBy
    sip_status: int = 0
    reason: str = ""
    q850: int = 0
    cause: int = 0


class Diversion(Struct, frozen=True):
    """Who sent a call on before it came to us, and why (Diversion, RFC 5806; History-Info, RFC 7044)."""

    uri: str
    display: str = ""
    reason: str = ""


class CallMedia(Struct, frozen=True):
    """The sound of a call. `direction` is seen from us; figures are None until measured.

    `mos`, `loss` (0-1) and `jitter_ms` are of what we hear, `remote_mos` of what the far end hears; `rtt_ms` is the round trip.

    `srtp` is where the keys of encrypted sound come from ("sdes", "dtls"; "" is in the clear), `cipher` its suite.
    """

    codec: str = ""
    direction: str = "inactive"
    mos: float | None = None
    loss: float | None = None
    jitter_ms: float | None = None
    rtt_ms: float | None = None
    srtp: str = ""
    cipher: str = ""
    remote_mos: float | None = None


class CallView(Struct, frozen=True):
    """A call as everyone sees it. `duration` counts seconds from the answer; `parent` is the call this one came out of.

    `headers` are those of the INVITE: ours beside the phone's own, or theirs as far as the setting `shown_headers` goes.
    `user_to_user` is what the far end has handed over last, in its INVITE, answer or BYE (RFC 7433).
    """

    id: str
    account: str
    direction: CallDirection
    state: CallState
    local: Party
    remote: Party
    sip_call_id: str
    created: datetime
    ringing: datetime | None = None
    answered: datetime | None = None
    ended: datetime | None = None
    end: CallEnd | None = None
    media: CallMedia = field(default_factory=CallMedia)
    muted: bool = False
    recording: str = ""
    headers: HeaderList = ()
    tags: HeaderList = ()
    parent: str = ""
    diverted: tuple[Diversion, ...] = ()
    user_to_user: str = ""

    @property
    def status(self) -> int:
        """The number STATUS gives for this call."""
        return self.state.status


class StatsView(Struct, frozen=True):
    """How good a call's sound is. `stats` is None until there are figures, five seconds after the sound began."""

    call: str
    state: CallState
    muted: bool
    media: CallMedia
    stats: StreamStats | None


FlowState: TypeAlias = Literal["registering", "registered", "failed", "ended"]


class AccountFlow(Struct, frozen=True):
    """One of the two ways an account is registered by at the same time (RFC 5626). `number` is its reg-id.

    `server` is the one of the account's servers it goes through ("": the domain's own), `remote` the address it leads to.
    `reason` says why it is not there, `retry_in` in how many seconds the next attempt follows.
    """

    number: int
    server: str
    state: FlowState
    remote: str = ""
    reason: str = ""
    retry_in: float | None = None


class AccountView(Struct, frozen=True):
    """An account without its secrets. `server` is the one of its servers that is in use, "" while that is the domain's own.

    `flows` are there where it is registered over two at once, which it is while one of them stands. `expires` is for how many
    seconds the registrar took us; where that could not be renewed (`registration` is "failed"), what is left of it.
    """

    id: str
    label: str
    uri: str
    display_name: str
    transport: str
    registration: RegistrationState
    expires: int = 0
    sip_status: int = 0
    reason: str = ""
    retry_in: float | None = None
    default: bool = False
    server: str = ""
    flows: tuple[AccountFlow, ...] = ()


class AudioView(Struct, frozen=True):
    """Volumes 0-100, the microphone's mute for all calls, the chosen devices ("" is the system's default), and what is done to
    the microphone: echo taken out, noise turned down, speech brought to an even level.
    """

    output_volume: int
    mic_volume: int
    mic_muted: bool
    input_device: str = ""
    output_device: str = ""
    ring_device: str = ""
    echo_cancellation: bool = True
    noise_suppression: bool = False
    gain_control: bool = False


class ConferenceView(Struct, frozen=True):
    """Calls that hear each other, in the order of joining; the others do not hear the `muted` ones."""

    id: str
    members: tuple[str, ...]
    muted: tuple[str, ...] = ()


class ContactDetails(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who can be called. `number`, `phone` and `mobile` are numbers or addresses; a call from any of them shows the `name`.

    `external_id` is what another system calls this contact, `info` a line of text to show with it.
    """

    name: str
    number: str = ""
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    mobile: str = ""
    email: str = ""
    address: str = ""
    city: str = ""
    state: str = ""
    zip: str = ""
    comment: str = ""
    info: str = ""
    external_id: str = ""
    presence: bool = False
    starred: bool = False


class Contact(ContactDetails, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A contact as the phone keeps it. `source` is "" for one's own, "directory" for one of the users directory.

    `status` is what the directory says of a person: offline, online, away, busy, ring, phone, or "".
    """

    id: str
    source: str = ""
    status: str = ""


class ImportedView(Struct, frozen=True):
    """What an import did, in numbers of contacts."""

    added: int
    updated: int
    unchanged: int


class AudioStreamView(Struct, frozen=True):
    """A call's sound on its way to a program's WebSocket at `url` (shown without its query)."""

    id: str
    call: str
    url: str
    dialect: StreamDialect
    rate: int
    track: StreamTrack
    state: Literal["connecting", "connected", "ended"] = "connecting"


class PlaybackView(Struct, frozen=True):
    """Something that plays into a call, or is going to. `source` is the file, the address without its query, or the tone."""

    id: str
    call: str
    kind: Literal["file", "url", "tone", "silence"]
    source: str
    state: Literal["fetching", "waiting", "playing", "paused"]
    loop: bool = False
    gain_db: float = 0.0


class RecordingView(Struct, frozen=True):
    """A recording. `size` (bytes) and `duration_ms` are known when it is over; `reason` says how it ended."""

    id: str
    call: str
    file: str
    format: RecordingFormat
    channels: Literal["mono", "stereo"]
    state: Literal["opening", "recording", "paused", "finished", "failed"]
    started: datetime
    duration_ms: int = 0
    size: int = 0
    reason: str = ""


class TapView(Struct, frozen=True):
    """The call `by` hears what is said on some sides of `call`, and speaks to some."""

    by: str
    call: str
    hear: Side
    speak: Side


class PresenceView(Struct, frozen=True):
    """How somebody is: open, busy (there, but on the phone, in a meeting …) or closed. `activities` are RFC 4480's words."""

    status: Literal["open", "busy", "closed"]
    activities: tuple[str, ...] = ()
    note: str = ""


class DialogView(Struct, frozen=True):
    """One call of somebody whose dialogs we watch. `direction` is seen from there, "" if untold; tags and Call-ID name it."""

    id: str
    state: Literal["trying", "proceeding", "early", "confirmed", "terminated"]
    direction: Literal["outgoing", "incoming", ""] = ""
    remote: str = ""
    remote_display: str = ""
    remote_target: str = ""
    local: str = ""
    sip_call_id: str = ""
    local_tag: str = ""
    remote_tag: str = ""


class SummaryView(Struct, frozen=True):
    """Which messages wait in a mailbox: voice messages new and old, and how many of these are urgent."""

    waiting: bool
    new: int = 0
    old: int = 0
    urgent_new: int = 0
    urgent_old: int = 0
    mailbox: str = ""


class WatchView(Struct, frozen=True):
    """Something we watch. `state`: asking, pending (somebody has to agree), active, waiting (to try again) or ended.

    What is known is in the field of its kind: `presence`, `dialogs` with the `line` they make (idle, ringing, busy, unknown),
    or `mwi`. `retry_in` is seconds until the next attempt.
    """

    id: str
    kind: WatchKind
    target: str
    account: str
    state: Literal["asking", "pending", "active", "waiting", "ended"] = "asking"
    presence: PresenceView | None = None
    line: Literal["unknown", "idle", "ringing", "busy"] = "unknown"
    dialogs: tuple[DialogView, ...] = ()
    mwi: SummaryView | None = None
    sip_status: int = 0
    reason: str = ""
    retry_in: float | None = None


class WorkerView(Struct, frozen=True):
    """A media worker: the `calls` placed in it, its `streams` when it was last measured (each second), and how it fared then.

    `cpu` is the share of one core that it used, `late` the share of its ticks (50 to 200 a second) that came more than 10 ms
    late, `latest_ms` the latest of them. `cpu_s`, `ticks` and `late_ticks` are totals. A worker that is `full` gets no new
    calls.
    """

    worker: int
    calls: int
    streams: int
    cpu: float
    cpu_s: float
    late: float
    latest_ms: float
    ticks: int
    late_ticks: int
    full: bool


class LoadView(Struct, frozen=True):
    """How busy the phone is. `lag_ms` is how long the latest report of a media worker waited for the phone's event loop, and
    so would a command or an event; `lag_most_ms` the longest such wait since the phone's start.
    """

    workers: tuple[WorkerView, ...]
    lag_ms: float
    lag_most_ms: float


class StatusView(Struct, frozen=True):
    """The one-glance answer: `code` 0-4 as in STATUS, its `name`, and the current call's id and remote party ("" if none)."""

    code: int
    name: str
    call: str = ""
    remote: str = ""
    calls: int = 0


class Snapshot(Struct, frozen=True):
    """Everything at one moment."""

    status: StatusView
    accounts: tuple[AccountView, ...]
    calls: tuple[CallView, ...]
    audio: AudioView
    devices: tuple[DeviceInfo, ...]
    dnd: bool
    forwarding: str
    auto_answer: str
    conferences: tuple[ConferenceView, ...] = ()
    watches: tuple[WatchView, ...] = ()
    draining: bool = False
