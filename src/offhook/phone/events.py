"""THE list of events. One frozen struct each; `CallEnded` is "call.ended" on every surface.

A call event carries the whole call after the change. `subject` names the resource ("calls/c_1").
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from msgspec import Struct

from offhook.media.messages import DeviceInfo, StreamStats
from offhook.phone.model import (
    AccountView,
    AudioStreamView,
    AudioView,
    CallView,
    ConferenceView,
    Contact,
    Party,
    WatchView,
)
from offhook.phone.settings import Decision


class Event(Struct, frozen=True):
    """What every event is: immutable data with a type name."""

    type: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.type = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower().replace("_", ".", 1)

    @property
    def subject(self) -> str:
        """The resource this is about."""
        return "system"


class CallEvent(Event, frozen=True, kw_only=True):
    """An event about one call, with the call after the change."""

    call: CallView

    @property
    def subject(self) -> str:
        return f"calls/{self.call.id}"


class AccountEvent(Event, frozen=True, kw_only=True):
    """An event about one account, with the account after the change."""

    account: AccountView

    @property
    def subject(self) -> str:
        return f"accounts/{self.account.id}"


# --- calls ---------------------------------------------------------------------------------------------------------


class CallIncoming(CallEvent, frozen=True, kw_only=True):
    """A call comes in. `rings` is False if it is answered by itself at once, or waits for a decision (`call.decided`)."""

    rings: bool = True


class CallCreated(CallEvent, frozen=True, kw_only=True):
    """An outgoing call exists; it may wait for the registration."""


class CallCalling(CallEvent, frozen=True, kw_only=True):
    """The INVITE has left."""


class CallRinging(CallEvent, frozen=True, kw_only=True):
    """The far end rings."""


class CallEarly(CallEvent, frozen=True, kw_only=True):
    """The far end sends sound before the answer (early media)."""


class CallAnswered(CallEvent, frozen=True, kw_only=True):
    """The call was answered, by whichever side."""


class CallActive(CallEvent, frozen=True, kw_only=True):
    """Both sides talk."""


class CallHeld(CallEvent, frozen=True, kw_only=True):
    """We hold."""


class CallResumed(CallEvent, frozen=True, kw_only=True):
    """We do not hold any more."""


class CallRemoteHeld(CallEvent, frozen=True, kw_only=True):
    """The far end holds."""


class CallRemoteResumed(CallEvent, frozen=True, kw_only=True):
    """The far end does not hold any more."""


class CallMuted(CallEvent, frozen=True, kw_only=True):
    """The microphone is silent in this call."""


class CallUnmuted(CallEvent, frozen=True, kw_only=True):
    """The microphone is heard again in this call."""


class CallUpdated(CallEvent, frozen=True, kw_only=True):
    """Something else changed: codec, address, the far end's name."""


class CallRedirected(CallEvent, frozen=True, kw_only=True):
    """The call is sent elsewhere: the far end told us (outgoing) or we told the caller (incoming)."""

    target: str


class CallReplaced(CallEvent, frozen=True, kw_only=True):
    """This call has taken the place of another, `replaced`, which ends: somebody connected us with its far end."""

    replaced: str


class CallHoldFailed(CallEvent, frozen=True, kw_only=True):
    """The far end refused our hold or resume; the call is as before."""

    sip_status: int
    reason: str


class CallEnded(CallEvent, frozen=True, kw_only=True):
    """The call is over; `call.end` says by whom and why. `duration` is seconds since the answer, 0 if never answered."""

    duration: float
    stats: StreamStats | None = None


class CallDecided(CallEvent, frozen=True, kw_only=True):
    """What becomes of an incoming call that waited for a decision; "default" if none came in time.

    `rings` says whether it rings now, for somebody to answer.
    """

    action: Decision
    rings: bool


# --- transfer ------------------------------------------------------------------------------------------------------


class TransferRequested(CallEvent, frozen=True, kw_only=True):
    """The far end asks us to call `target` instead (REFER): answer with AcceptTransfer or RejectTransfer.

    `attended`: it has talked to the target already, and our call takes the place of that one.
    """

    target: str
    referred_by: str
    attended: bool = False


class TransferStarted(CallEvent, frozen=True, kw_only=True):
    """We asked the far end to call `target`; in place of our call `with_call` if it is an attended transfer."""

    target: str
    with_call: str = ""


class TransferProgress(CallEvent, frozen=True, kw_only=True):
    """What the far end tells of its call to the target."""

    sip_status: int
    reason: str


class TransferCompleted(CallEvent, frozen=True, kw_only=True):
    """The target answered; our call ends."""


class TransferFailed(CallEvent, frozen=True, kw_only=True):
    """The transfer did not work; the call is as before."""

    sip_status: int
    reason: str


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
    """Quality figures, every few seconds of a call."""

    stats: StreamStats


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
    """A playback is over."""

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


class RecordingPaused(CallEvent, frozen=True, kw_only=True):
    """A recording waits."""

    recording: str


class RecordingResumed(CallEvent, frozen=True, kw_only=True):
    """A recording goes on."""

    recording: str


class RecordingFinished(CallEvent, frozen=True, kw_only=True):
    """A recording's file is complete."""

    recording: str
    file: str
    reason: str
    duration_ms: int


class RecordingFailed(CallEvent, frozen=True, kw_only=True):
    """A recording broke off (disk full, no such folder); what was written stays."""

    recording: str
    file: str
    reason: str


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


# --- watching ------------------------------------------------------------------------------------------------------


class WatchEvent(Event, frozen=True, kw_only=True):
    """An event about something we watch, with all that is known of it."""

    watch: WatchView

    @property
    def subject(self) -> str:
        return f"watches/{self.watch.id}"


class WatchPresence(WatchEvent, frozen=True, kw_only=True):
    """Somebody's presence, when it is known first and when it changes."""


class WatchDialog(WatchEvent, frozen=True, kw_only=True):
    """Somebody's calls; `watch.line` says idle, ringing or busy."""


class WatchMwi(WatchEvent, frozen=True, kw_only=True):
    """Which messages wait."""


class WatchEnded(WatchEvent, frozen=True, kw_only=True):
    """Nothing is known any more: for `watch.retry_in` seconds, or for good where that is null."""


# --- accounts, messages, devices, the phone ------------------------------------------------------------------------


class AccountRegistering(AccountEvent, frozen=True, kw_only=True):
    """A REGISTER has been sent."""


class AccountRegistered(AccountEvent, frozen=True, kw_only=True):
    """The registrar accepted us."""


class AccountRegisterFailed(AccountEvent, frozen=True, kw_only=True):
    """The registrar refused or did not answer; `account.retry_in` says when the next attempt comes."""


class AccountFailover(AccountEvent, frozen=True, kw_only=True):
    """The account registers with another of its servers now (`account.server`): one failed, or the first is well again."""

    reason: str


class AccountUnregistered(AccountEvent, frozen=True, kw_only=True):
    """We are not registered any more, because we asked for it."""


class AccountRemoved(AccountEvent, frozen=True, kw_only=True):
    """The account is gone."""


class MessageReceived(Event, frozen=True, kw_only=True):
    """A text came in."""

    account: str
    remote: Party
    text: str
    content_type: str


class MessageSent(Event, frozen=True, kw_only=True):
    """The far end's side accepted our text."""

    to: str
    operation: str


class MessageFailed(Event, frozen=True, kw_only=True):
    """Our text was refused or got no answer."""

    to: str
    operation: str
    sip_status: int
    reason: str


class OperationSucceeded(Event, frozen=True, kw_only=True):
    """What a command began is done."""

    operation: str
    command: str
    call: str = ""


class OperationFailed(Event, frozen=True, kw_only=True):
    """What a command began did not work. `sip_status` is the far end's answer, 0 if it was not the far end."""

    operation: str
    command: str
    call: str = ""
    sip_status: int = 0
    reason: str = ""


class AudioChanged(Event, frozen=True, kw_only=True):
    """Volume, mute or a device was changed."""

    audio: AudioView


class DeviceListed(Event, frozen=True, kw_only=True):
    """The list of sound devices changed."""

    devices: tuple[DeviceInfo, ...]


class DeviceError(Event, frozen=True, kw_only=True):
    """A sound device vanished or refuses to open; calls go on without it."""

    kind: str
    device: str
    reason: str


class DeviceRecovered(Event, frozen=True, kw_only=True):
    """A sound device works again."""

    kind: str
    device: str


class SettingsChanged(Event, frozen=True, kw_only=True):
    """Do not disturb, forwarding or auto answer was changed."""

    dnd: bool
    forwarding: str
    auto_answer: str


class SystemReady(Event, frozen=True, kw_only=True):
    """The phone takes commands."""

    address: str


class SystemError(Event, frozen=True, kw_only=True):
    """Something on this machine is wrong; the phone goes on as far as it can."""

    reason: str


class NetworkChanged(Event, frozen=True, kw_only=True):
    """This machine's addresses or routes are others now, or it slept. Accounts register anew, calls move to the new address."""

    reason: str


class TransportEvent(Event, frozen=True, kw_only=True):
    """An event about the way to one server: a connection we make, or UDP. `remote` and `local` are addresses with ports."""

    transport: str
    remote: str
    local: str

    @property
    def subject(self) -> str:
        return f"transports/{self.transport}/{self.remote}"


class TransportUp(TransportEvent, frozen=True, kw_only=True):
    """A connection stands. `security` says how it is encrypted, "" if it is not."""

    security: str = ""


class TransportDown(TransportEvent, frozen=True, kw_only=True):
    """A connection that stood is gone."""

    reason: str


class TransportError(TransportEvent, frozen=True, kw_only=True):
    """A connection does not come about, or nothing can be sent there; `reason` says why in plain words."""

    reason: str


class SystemDraining(Event, frozen=True, kw_only=True):
    """The phone takes no new calls, the running ones go on; or it takes them again (`enabled` false)."""

    enabled: bool


class SystemStopping(Event, frozen=True, kw_only=True):
    """The phone hangs up and ends."""


class SystemStopped(Event, frozen=True, kw_only=True):
    """Everything is done; the process may end."""


# --- contacts ------------------------------------------------------------------------------------------------------


class ContactChanged(Event, frozen=True, kw_only=True):
    """A contact was created, updated or deleted, one at a time."""

    change: Literal["created", "updated", "deleted"]
    contact: Contact

    @property
    def subject(self) -> str:
        return f"contacts/{self.contact.id}"


class ContactsImported(Event, frozen=True, kw_only=True):
    """Many contacts changed at once: by an import (`source` ""), or because the users directory has (`source` "directory")."""

    source: str
    added: int
    updated: int
    removed: int

    @property
    def subject(self) -> str:
        return "contacts"


# --- what is kept, and who asked -----------------------------------------------------------------------------------


class HistoryAdded(Event, frozen=True, kw_only=True):
    """A call is over and in the history; `entry` is its record there."""

    entry: dict[str, Any]

    @property
    def subject(self) -> str:
        return f"history/{self.entry['id']}"


class AuditCommand(Event, frozen=True, kw_only=True):
    """A client asked for something that changes something: `outcome` is "accepted", or the code of the refusal."""

    client: str
    command: str
    outcome: str
    call: str = ""
    to: str = ""
    detail: str = ""

    @property
    def subject(self) -> str:
        return f"clients/{self.client}"


class AuditDenied(Event, frozen=True, kw_only=True):
    """Somebody was turned away at a surface: without a good token, from a page that may not, or (surface `sip`) a stranger who
    asked too much or for what is not there. Counted, not one for each.
    """

    surface: str
    reason: str
    peer: str
    attempts: int


# --- hooks and webhooks --------------------------------------------------------------------------------------------


class HookFailed(Event, frozen=True, kw_only=True):
    """A program of a hook could not be run, failed or took too long. Hooks are not run for this event.

    `event` is the id of the event it was run for, `status` its exit status (None: not started, or ended by force),
    `complaint` the beginning of what it wrote to its standard error.
    """

    hook: str
    event: str
    program: str
    reason: str
    status: int | None = None
    complaint: str = ""

    @property
    def subject(self) -> str:
        return f"hooks/{self.hook}"


class WebhookDisabled(Event, frozen=True, kw_only=True):
    """A webhook is not delivered to any more: its receiver said so (410 Gone), or nothing could be delivered for a day."""

    webhook: str
    url: str
    reason: str

    @property
    def subject(self) -> str:
        return f"webhooks/{self.webhook}"


class WebhookTested(Event, frozen=True, kw_only=True):
    """The answer to a test of a webhook. `status` is that of HTTP, 0 if there was no answer."""

    webhook: str
    test: str
    ok: bool
    status: int
    reason: str
    duration_ms: int

    @property
    def subject(self) -> str:
        return f"webhooks/{self.webhook}"


EVENTS: tuple[type[Event], ...] = (
    CallIncoming, CallCreated, CallCalling, CallRinging, CallEarly, CallAnswered, CallActive, CallHeld, CallResumed,
    CallRemoteHeld, CallRemoteResumed, CallMuted, CallUnmuted, CallUpdated, CallRedirected, CallReplaced, CallHoldFailed,
    CallEnded, CallDecided,
    TransferRequested, TransferStarted, TransferProgress, TransferCompleted, TransferFailed,
    AudioMarkReached, AudioCleared, AudioUnderrun, AudioOverrun,
    AudioStreamStarted, AudioStreamStopped, AudioStreamFailed,
    DtmfReceived, DtmfSent, DtmfSendFailed, MediaStarted, MediaStalled, MediaResumed, MediaStats, MediaFailed,
    MediaSecurity, MediaCandidates, MediaRoute,
    PlaybackStarted, PlaybackFinished, PlaybackFailed, RecordingStarted, RecordingPaused, RecordingResumed,
    RecordingFinished, RecordingFailed,
    ConferenceCreated, ConferenceJoined, ConferenceLeft, ConferenceUpdated, ConferenceEnded,
    WatchPresence, WatchDialog, WatchMwi, WatchEnded,
    AccountRegistering, AccountRegistered, AccountRegisterFailed, AccountFailover, AccountUnregistered, AccountRemoved,
    NetworkChanged, TransportUp, TransportDown, TransportError,
    MessageReceived, MessageSent, MessageFailed, ContactChanged, ContactsImported, OperationSucceeded, OperationFailed,
    AudioChanged, DeviceListed, DeviceError, DeviceRecovered, SettingsChanged,
    SystemReady, SystemError, SystemDraining, SystemStopping, SystemStopped, HistoryAdded, AuditCommand, AuditDenied,
    HookFailed, WebhookDisabled, WebhookTested,
)  # fmt: skip
"""Every event, in the order of the documentation."""
