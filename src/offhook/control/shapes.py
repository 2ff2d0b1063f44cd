"""JSON that is no dataclass of the phone, written as one: answers, requests of the surfaces' own, the history, problems.

Nothing is built from these; the descriptions are, and tests hold what the phone really sends against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from offhook.control.conditions import WaitRequest
from offhook.media.messages import AudioRate, DeviceInfo
from offhook.phone import commands as c
from offhook.phone.model import (
    AccountView,
    AudioStreamView,
    AudioView,
    CallView,
    ConferenceView,
    Contact,
    ImportedView,
    LoadView,
    PlaybackView,
    RecordingView,
    Snapshot,
    StatsView,
    StatusView,
    TapView,
    WatchView,
)
from offhook.phone.records import HistoryEntry, MessageEntry

# --- what a command's `value` holds


@dataclass(frozen=True, slots=True)
class PlaybackAnswer:
    """The playback that begins."""

    playback: str


@dataclass(frozen=True, slots=True)
class RecordingAnswer:
    """The recording, and the file on the phone's machine."""

    recording: str
    file: str


@dataclass(frozen=True, slots=True)
class MessageAnswer:
    """The text that is on its way."""

    message: str


@dataclass(frozen=True, slots=True)
class EndedAnswer:
    """How many calls were ended."""

    ended: int


@dataclass(frozen=True, slots=True)
class AudioAnswer:
    """The audio link."""

    audio: str


VALUES: Final[Mapping[type[c.Command], Any]] = {
    c.HangupAll: EndedAnswer,
    c.GetCall: CallView,
    c.CallStats: StatsView,
    c.ListCalls: tuple[CallView, ...],
    c.OpenAudio: AudioAnswer,
    c.StreamAudio: AudioStreamView,
    c.ListAudioStreams: tuple[AudioStreamView, ...],
    c.CreateConference: ConferenceView,
    c.JoinConference: ConferenceView,
    c.LeaveConference: ConferenceView,
    c.MuteMember: ConferenceView,
    c.UnmuteMember: ConferenceView,
    c.EndConference: ConferenceView,
    c.ListConferences: tuple[ConferenceView, ...],
    c.CreateWatch: WatchView,
    c.DeleteWatch: WatchView,
    c.ListWatches: tuple[WatchView, ...],
    c.SendMessage: MessageAnswer,
    c.Play: PlaybackAnswer,
    c.Record: RecordingAnswer,
    c.StopRecord: RecordingAnswer,
    c.ListPlaybacks: tuple[PlaybackView, ...],
    c.ListRecordings: tuple[RecordingView, ...],
    c.Tap: TapView,
    c.ListTaps: tuple[TapView, ...],
    c.ToggleMute: AudioView,
    c.SetVolume: AudioView,
    c.VolumeUp: AudioView,
    c.VolumeDown: AudioView,
    c.SetMicVolume: AudioView,
    c.SetDevice: AudioView,
    c.SetVoice: AudioView,
    c.ListDevices: tuple[DeviceInfo, ...],
    c.GetAudio: AudioView,
    c.AddAccount: AccountView,
    c.RegisterAccount: AccountView,
    c.UnregisterAccount: AccountView,
    c.SelectAccount: AccountView,
    c.UpdateAccount: AccountView,
    c.ListAccounts: tuple[AccountView, ...],
    c.ListContacts: tuple[Contact, ...],
    c.GetContact: Contact,
    c.AddContact: Contact,
    c.UpdateContact: Contact,
    c.ImportContacts: ImportedView,
    c.Status: StatusView,
    c.GetSnapshot: Snapshot,
    c.Mute: AudioView | None,
    c.Unmute: AudioView | None,
}
"""The type of `value` in the answer to a command; it is null for all others."""

PENDING: Final[frozenset[type[c.Command]]] = frozenset({
    c.Dial, c.Answer, c.Hold, c.Resume, c.ToggleHold, c.SetCodecs, c.SendDtmf, c.Transfer, c.TransferAttended, c.AcceptTransfer,
    c.SendInfo, c.SendMessage, c.Pickup, c.Play, c.StreamAudio, c.TestDevice, c.Quit,
})  # fmt: skip
"""Commands that may need the far end, or time: their answer names an operation unless all is done already."""

# --- problems and causes


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field that was refused: its JSON pointer, and what to write instead."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request was refused (RFC 9457). `code` is stable; `detail` is for people. `retry_after` is seconds.

    `errors` names the fields that were wrong. `instance` is the request's path, `op` the operation it meant.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldProblem, ...] = ()
    retry_after: int = 0
    instance: str = ""
    op: str = ""


# --- operations that are no commands


@dataclass(frozen=True, slots=True)
class Nothing:
    """No fields."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Past calls, newest first."""

    entries: tuple[HistoryEntry, ...]


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Texts, newest first."""

    messages: tuple[MessageEntry, ...]


@dataclass(frozen=True, slots=True)
class SnapshotNow:
    """A Snapshot's fields, and `as_of`, the event after which it is true."""


@dataclass(frozen=True, slots=True)
class AboutView:
    """What this phone is: version, name, process, since when, its SIP address, and how it carries sound."""

    version: str
    instance: str
    pid: int
    since: datetime
    sip_host: str
    sip_port: int
    sip_tcp_port: int
    sound: str
    rtp_ports: tuple[int, int]
    codecs: tuple[str, ...]
    max_calls: int
    recordings: str
    load: LoadView


@dataclass(frozen=True, slots=True)
class HelpAnswer:
    """What can be asked for: the commands with their fields, the other operations, the types of events."""

    commands: tuple[dict[str, Any], ...]
    operations: tuple[str, ...]
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """What an older interface would have shown."""

    text: str


@dataclass(frozen=True, slots=True)
class CopydataAnswer:
    """The LRESULT of a WM_COPYDATA command, and its text if it has one."""

    lresult: int
    text: str


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """Ask for past calls, newest first: at most `limit`, only those older than the entry `before`."""

    limit: int = 50
    before: str = ""


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """Ask for texts, newest first: at most `limit`, only those older than the text `before`."""

    limit: int = 50
    before: str = ""


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """Ask for the SIP messages of a call, as objects, as a ladder of text, or as a pcap file in base64.

    `media`: the file holds the captured packets of its sound, too (scope record); `opened`: those that were encrypted in the
    clear, as far as keys were captured (scope keys).
    """

    call: str = ""
    format: Literal["json", "text", "pcap"] = "json"
    media: bool = False
    opened: bool = False


@dataclass(frozen=True, slots=True)
class CaptureKeysRequest:
    """Ask for the keys of a captured call."""

    call: str = ""


@dataclass(frozen=True, slots=True)
class CapturedKey:
    """A key of encrypted sound: `key` is base64 of master key and salt, as after `inline:` in a=crypto (RFC 4568).

    It holds from `time` on; that of rtp is that of rtcp, too, where there is none for it.
    """

    time: datetime
    component: Literal["rtp", "rtcp"]
    direction: Literal["sent", "received"]
    suite: str
    key: str


@dataclass(frozen=True, slots=True)
class CaptureKeysAnswer:
    """The keys of a call's sound, a secret; `text` has them as lines of a file."""

    call: str
    keys: tuple[CapturedKey, ...]
    text: str


@dataclass(frozen=True, slots=True)
class TracedView:
    """One SIP message. Digest answers, SRTP keys and ICE passwords in `text` are masked."""

    time: datetime
    direction: Literal["sent", "received"]
    transport: str
    local: str
    remote: str
    summary: str
    text: str


@dataclass(frozen=True, slots=True)
class TraceAnswer:
    """The SIP messages of a call that are still kept, in the form that was asked for; the other forms are empty."""

    call: str
    sip_call_id: str
    messages: tuple[TracedView, ...]
    text: str
    pcap: str


@dataclass(frozen=True, slots=True)
class EntryRequest:
    """Name one past call."""

    entry: str


@dataclass(frozen=True, slots=True)
class ReloadAnswer:
    """What the file has changed: accounts by their ids, settings as section.key; `restart` are those that hold from the next
    start on."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    settings: tuple[str, ...]
    restart: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OperationView:
    """What became of something that needed the far end. `sip_status` is the far end's answer if it failed there, else 0.

    Times are RFC 3339, "" if unknown.
    """

    id: str
    command: str
    state: Literal["pending", "succeeded", "failed"]
    call: str
    sip_status: int
    reason: str
    began: str
    ended: str


@dataclass(frozen=True, slots=True)
class WaitAnswer:
    """What was waited for: `condition` counts from 0. `event` made it true; null: it was true already.

    `call`, `account` or `operation` is what it is true of, as it was then. `after` is the place in the journal to go on from.
    """

    condition: int
    event: dict[str, Any] | None
    call: CallView | None
    account: AccountView | None
    operation: OperationView | None
    after: str


@dataclass(frozen=True, slots=True)
class DdeRequest:
    """The string a DDE client would execute, such as [Dial(1001)]."""

    text: str


@dataclass(frozen=True, slots=True)
class DdeItemRequest:
    """The item a DDE client would request, such as Status or Volume."""

    item: str


@dataclass(frozen=True, slots=True)
class CopydataRequest:
    """A WM_COPYDATA message: `code` is dwData, `data` lpData; `wide`: as MicroSIP.exe sends it, UTF-16, a command line."""

    code: int
    data: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True)
class LegacyRequest:
    """A command line in MicroSIP's forms."""

    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PingAnswer:
    """The place after the latest event, to go on from there."""

    as_of: str


@dataclass(frozen=True, slots=True)
class WebhookView:
    """A webhook and how it does. `disabled` says why it is off, `waiting` how many events it has still to be sent.

    `held_back` are subjects whose events wait for one that failed; `delivered` is the event up to which all has been sent.
    """

    id: str
    url: str
    types: tuple[str, ...]
    timeout: float
    description: str
    created: str
    enabled: bool
    disabled: str
    delivered: str
    waiting: int
    failing_since: str | None
    held_back: tuple[str, ...]
    last_status: int
    last_error: str


@dataclass(frozen=True, slots=True)
class WebhookWithSecret(WebhookView):
    """A webhook with its secret, which no other answer shows."""

    secret: str


@dataclass(frozen=True, slots=True)
class WebhookPage:
    """All webhooks."""

    webhooks: tuple[WebhookView, ...]


@dataclass(frozen=True, slots=True)
class WebhookTest:
    """A test is on its way; the event webhook.tested with this `test` says what came of it."""

    webhook: str
    test: str


@dataclass(frozen=True, slots=True)
class CreateWebhookRequest:
    """Post events of these types to `url`, signed with `secret` (whsec_…; empty: a new one)."""

    url: str
    types: tuple[str, ...] = ("*",)
    secret: str = ""
    timeout: float = 10.0
    description: str = ""


@dataclass(frozen=True, slots=True)
class UpdateWebhookRequest:
    """Change a webhook; `skip` leaves out what has not been delivered yet."""

    webhook: str
    url: str | None = None
    types: tuple[str, ...] | None = None
    timeout: float | None = None
    description: str | None = None
    enabled: bool | None = None
    skip: bool = False


@dataclass(frozen=True, slots=True)
class RotateWebhookRequest:
    """Give a webhook another secret (empty: a new one); the old one signs, too, for a day."""

    webhook: str
    secret: str = ""


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """Name one webhook."""

    webhook: str


# --- what the sockets know besides


@dataclass(frozen=True, slots=True)
class HelloRequest:
    """Give this connection a name, which stands in audit events and in the cause of events."""

    client: str


@dataclass(frozen=True, slots=True)
class HelloAnswer:
    """The name."""

    client: str


@dataclass(frozen=True, slots=True)
class AudioRequest:
    """Make this connection one call's sound, and nothing else: JSON lines with 16-bit PCM in base64 (docs/sockets.md)."""

    call: str = ""
    rate: AudioRate = 16000


@dataclass(frozen=True, slots=True)
class AudioOpened:
    """The audio link, its call, and the samples a second."""

    audio: str
    call: str
    rate: int


@dataclass(frozen=True, slots=True)
class AuthenticateRequest:
    """Say who you are, where no header could."""

    token: str


@dataclass(frozen=True, slots=True)
class AuthenticateAnswer:
    """Whose token it is, and what it allows."""

    client: str
    scopes: tuple[c.Scope, ...]


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    """Ask for events: of these types (call.ended, call.*, *), about these resources (calls/c_1; none: all).

    With `after` those after the event of that id, else those from now on. A second subscription adds to the first.
    """

    types: tuple[str, ...] = ("*",)
    subjects: tuple[str, ...] = ()
    after: str | None = None


@dataclass(frozen=True, slots=True)
class SubscribeAnswer:
    """The types that will come, and the event after which they begin."""

    types: tuple[str, ...]
    after: str


@dataclass(frozen=True, slots=True)
class UnsubscribeRequest:
    """Ask for no more events of these types."""

    types: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class UnsubscribeAnswer:
    """The types that still come."""

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CancelWaitRequest:
    """Wait no more: `wait` is the `id` of the request that waits."""

    wait: Any


@dataclass(frozen=True, slots=True)
class CancelWaitAnswer:
    """How many requests of that name waited; each is answered, with a refusal."""

    cancelled: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """One operation that is no command: what it is for, what it takes, what it answers."""

    summary: str
    request: type
    answer: type


EXCHANGES: Final[Mapping[str, Exchange]] = {
    "ping": Exchange("See whether the phone listens, and where its journal is.", Nothing, PingAnswer),
    "about": Exchange("What this phone is.", Nothing, AboutView),
    "help": Exchange("What can be asked for.", Nothing, HelpAnswer),
    "snapshot": Exchange("Everything at one moment, and the event after which it is true.", Nothing, SnapshotNow),
    "trace": Exchange("The SIP messages of a call.", TraceRequest, TraceAnswer),
    "capture_keys": Exchange("The keys of a captured call.", CaptureKeysRequest, CaptureKeysAnswer),
    "history": Exchange("Past calls, newest first.", HistoryRequest, HistoryPage),
    "delete_history": Exchange("Forget one past call.", EntryRequest, Nothing),
    "clear_history": Exchange("Forget all past calls.", Nothing, Nothing),
    "messages": Exchange("Texts that came and went, newest first.", MessagesRequest, MessagePage),
    "clear_messages": Exchange("Forget all texts.", Nothing, Nothing),
    "reload": Exchange("Read the configuration file again.", Nothing, ReloadAnswer),
    "wait": Exchange("Wait for the first of some conditions; what is so already is answered at once.", WaitRequest, WaitAnswer),
    "dde": Exchange("Carry out a DDE string.", DdeRequest, TextAnswer),
    "dde_request": Exchange("The answer to a DDE request.", DdeItemRequest, TextAnswer),
    "copydata": Exchange("Carry out a WM_COPYDATA command.", CopydataRequest, CopydataAnswer),
    "legacy": Exchange("Carry out a command line of MicroSIP.", LegacyRequest, TextAnswer),
    "list_webhooks": Exchange("All webhooks and how they do.", Nothing, WebhookPage),
    "create_webhook": Exchange("Have events posted to a web address.", CreateWebhookRequest, WebhookWithSecret),
    "update_webhook": Exchange("Change a webhook, or switch it on or off.", UpdateWebhookRequest, WebhookView),
    "rotate_webhook": Exchange("Give a webhook another secret.", RotateWebhookRequest, WebhookWithSecret),
    "delete_webhook": Exchange("Forget a webhook.", WebhookRequest, Nothing),
    "test_webhook": Exchange("Send a test event.", WebhookRequest, WebhookTest),
}
"""The operations of `control.operations.EXTRA`."""

SOCKET_EXCHANGES: Final[Mapping[str, Exchange]] = {
    "subscribe": Exchange("Ask for events.", SubscribeRequest, SubscribeAnswer),
    "unsubscribe": Exchange("Ask for fewer events.", UnsubscribeRequest, UnsubscribeAnswer),
    "cancel_wait": Exchange("Give up a wait.", CancelWaitRequest, CancelWaitAnswer),
}
"""Those about a connection itself, on every socket."""

LOCAL_EXCHANGES: Final[Mapping[str, Exchange]] = {
    "hello": Exchange("Give this connection a name.", HelloRequest, HelloAnswer),
    "audio": Exchange("Make this connection one call's sound.", AudioRequest, AudioOpened),
}
"""Only on the local socket."""

WEB_EXCHANGES: Final[Mapping[str, Exchange]] = {
    "authenticate": Exchange("Say who you are.", AuthenticateRequest, AuthenticateAnswer)
}
"""Only on the WebSocket."""

# --- events about a subscription itself


@dataclass(frozen=True, slots=True)
class StreamGap:
    """Events are lost: those after `after` and before `next` are not kept any more. Take a snapshot."""

    after: str
    next: str


@dataclass(frozen=True, slots=True)
class StreamSlowConsumer:
    """You read too slowly, and the connection ends; come back and go on after `last`."""

    last: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The phone ends, or your token does; come back and go on after `last`."""

    last: str


@dataclass(frozen=True, slots=True)
class StreamHeartbeat:
    """Nothing has happened for a while."""


STREAM_SHAPES: Final[Mapping[str, type]] = {
    "stream.gap": StreamGap,
    "stream.slow_consumer": StreamSlowConsumer,
    "stream.ended": StreamEnded,
    "stream.heartbeat": StreamHeartbeat,
}

# --- what only HTTP answers


@dataclass(frozen=True, slots=True)
class SettingsView:
    """Do not disturb, forwarding ("" is off) and automatic answer."""

    dnd: bool
    forwarding: str
    auto_answer: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Everything this phone can be asked for, every event it may send, and the codecs it offers."""

    operations: tuple[str, ...]
    events: tuple[str, ...]
    codecs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SystemView(AboutView):
    """What this phone is, and what it can do; `epoch` names this run in the ids of events."""

    epoch: str
    capabilities: Capabilities
