"""THE list of events. One frozen dataclass each; `CallEnded` is "call.ended" on every surface.

A call event carries the whole call after the change. `subject` names the resource ("calls/c_1").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from offhook.media.messages import DeviceInfo, StreamStats
from offhook.phone.model import AccountView, AudioView, CallView, ConferenceView, Party


class Event:
    """What every event is: immutable data with a type name."""

    __slots__ = ()
    type: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.type = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower().replace("_", ".", 1)

    @property
    def subject(self) -> str:
        """The resource this is about."""
        return "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent(Event):
    """An event about one call, with the call after the change."""

    call: CallView

    @property
    def subject(self) -> str:
        return f"calls/{self.call.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEvent(Event):
    """An event about one account, with the account after the change."""

    account: AccountView

    @property
    def subject(self) -> str:
        return f"accounts/{self.account.id}"


# --- calls ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CallIncoming(CallEvent):
    """A call comes in and rings here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCreated(CallEvent):
    """An outgoing call exists; it may wait for the registration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCalling(CallEvent):
    """The INVITE has left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRinging(CallEvent):
    """The far end rings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEarly(CallEvent):
    """The far end sends sound before the answer (early media)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(CallEvent):
    """The call was answered, by whichever side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallActive(CallEvent):
    """Both sides talk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHeld(CallEvent):
    """We hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResumed(CallEvent):
    """We do not hold any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRemoteHeld(CallEvent):
    """The far end holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRemoteResumed(CallEvent):
    """The far end does not hold any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMuted(CallEvent):
    """The microphone is silent in this call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUnmuted(CallEvent):
    """The microphone is heard again in this call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUpdated(CallEvent):
    """Something else changed: codec, address, the far end's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRedirected(CallEvent):
    """The call is sent elsewhere: the far end told us (outgoing) or we told the caller (incoming)."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHoldFailed(CallEvent):
    """The far end refused our hold or resume; the call is as before."""

    sip_status: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(CallEvent):
    """The call is over; `call.end` says by whom and why. `duration` is seconds since the answer, 0 if never answered."""

    duration: float
    stats: StreamStats | None = None


# --- transfer ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRequested(CallEvent):
    """The far end asks us to call `target` instead (REFER): answer with AcceptTransfer or RejectTransfer."""

    target: str
    referred_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferStarted(CallEvent):
    """We asked the far end to call `target`."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferProgress(CallEvent):
    """What the far end tells of its call to the target."""

    sip_status: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCompleted(CallEvent):
    """The target answered; our call ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFailed(CallEvent):
    """The transfer did not work; the call is as before."""

    sip_status: int
    reason: str


# --- programs that hear and speak in a call ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioMarkReached(CallEvent):
    """What an audio link wrote before the mark `name` has been played. `played_ms` counts from the opening of the link."""

    audio: str
    name: str
    played_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioCleared(CallEvent):
    """An audio link was silenced: `dropped_ms` of what it wrote were not played any more, nor its `marks` reached."""

    audio: str
    played_ms: int
    dropped_ms: int
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioUnderrun(CallEvent):
    """Everything an audio link wrote has been played, and nothing followed in time."""

    audio: str
    played_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioOverrun(CallEvent):
    """An audio link lost `dropped_ms`: written too far ahead (speak, also `marks`), or not taken in time (hear)."""

    audio: str
    direction: Literal["hear", "speak"]
    dropped_ms: int
    marks: int = 0


# --- digits and media ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfReceived(CallEvent):
    """The far end pressed a key."""

    digit: str
    method: Literal["rtp", "info", "inband"]
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfSent(CallEvent):
    """One digit has gone out."""

    digit: str
    method: Literal["rtp", "info", "inband"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfSendFailed(CallEvent):
    """The rest of the digits was not sent."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStarted(CallEvent):
    """The first sound of the far end arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStalled(CallEvent):
    """No sound arrives although it should."""

    silent_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaResumed(CallEvent):
    """Sound arrives again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStats(CallEvent):
    """Quality figures, every few seconds of a call."""

    stats: StreamStats


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFailed(CallEvent):
    """The media of this call broke; the call is ended."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackStarted(CallEvent):
    """A playback's first frame goes out."""

    playback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackFinished(CallEvent):
    """A playback is over."""

    playback: str
    reason: str
    played_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackFailed(CallEvent):
    """A playback could not be done."""

    playback: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingStarted(CallEvent):
    """A recording's file exists."""

    recording: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPaused(CallEvent):
    """A recording waits."""

    recording: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingResumed(CallEvent):
    """A recording goes on."""

    recording: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFinished(CallEvent):
    """A recording's file is complete."""

    recording: str
    file: str
    reason: str
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFailed(CallEvent):
    """A recording broke off (disk full, no such folder); what was written stays."""

    recording: str
    file: str
    reason: str


# --- conferences ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceEvent(Event):
    """An event about one conference, with the conference after the change."""

    conference: ConferenceView

    @property
    def subject(self) -> str:
        return f"conferences/{self.conference.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceCreated(ConferenceEvent):
    """A conference exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceJoined(ConferenceEvent):
    """A call is in it."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceLeft(ConferenceEvent):
    """A call is not in it any more."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceUpdated(ConferenceEvent):
    """Who is heard has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceEnded(ConferenceEvent):
    """The conference is over."""


# --- accounts, messages, devices, the phone ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRegistering(AccountEvent):
    """A REGISTER has been sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRegistered(AccountEvent):
    """The registrar accepted us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRegisterFailed(AccountEvent):
    """The registrar refused or did not answer; `account.retry_in` says when the next attempt comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUnregistered(AccountEvent):
    """We are not registered any more, because we asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRemoved(AccountEvent):
    """The account is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived(Event):
    """A text came in."""

    account: str
    remote: Party
    text: str
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSent(Event):
    """The far end's side accepted our text."""

    to: str
    operation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFailed(Event):
    """Our text was refused or got no answer."""

    to: str
    operation: str
    sip_status: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationSucceeded(Event):
    """What a command began is done."""

    operation: str
    command: str
    call: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFailed(Event):
    """What a command began did not work. `sip_status` is the far end's answer, 0 if it was not the far end."""

    operation: str
    command: str
    call: str = ""
    sip_status: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioChanged(Event):
    """Volume, mute or a device was changed."""

    audio: AudioView


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceListed(Event):
    """The list of sound devices changed."""

    devices: tuple[DeviceInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceError(Event):
    """A sound device vanished or refuses to open; calls go on without it."""

    kind: str
    device: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecovered(Event):
    """A sound device works again."""

    kind: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanged(Event):
    """Do not disturb, forwarding or auto answer was changed."""

    dnd: bool
    forwarding: str
    auto_answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemReady(Event):
    """The phone takes commands."""

    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemError(Event):
    """Something on this machine is wrong; the phone goes on as far as it can."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemDraining(Event):
    """The phone takes no new calls, the running ones go on; or it takes them again (`enabled` false)."""

    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStopping(Event):
    """The phone hangs up and ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStopped(Event):
    """Everything is done; the process may end."""


# --- what is kept, and who asked -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryAdded(Event):
    """A call is over and in the history; `entry` is its record there."""

    entry: dict[str, Any]

    @property
    def subject(self) -> str:
        return f"history/{self.entry['id']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCommand(Event):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDenied(Event):
    """Somebody without a good token, or from a page that may not, was turned away at a surface. Counted, not one for each."""

    surface: str
    reason: str
    peer: str
    attempts: int


EVENTS: tuple[type[Event], ...] = (
    CallIncoming, CallCreated, CallCalling, CallRinging, CallEarly, CallAnswered, CallActive, CallHeld, CallResumed,
    CallRemoteHeld, CallRemoteResumed, CallMuted, CallUnmuted, CallUpdated, CallRedirected, CallHoldFailed, CallEnded,
    TransferRequested, TransferStarted, TransferProgress, TransferCompleted, TransferFailed,
    AudioMarkReached, AudioCleared, AudioUnderrun, AudioOverrun,
    DtmfReceived, DtmfSent, DtmfSendFailed, MediaStarted, MediaStalled, MediaResumed, MediaStats, MediaFailed,
    PlaybackStarted, PlaybackFinished, PlaybackFailed, RecordingStarted, RecordingPaused, RecordingResumed,
    RecordingFinished, RecordingFailed,
    ConferenceCreated, ConferenceJoined, ConferenceLeft, ConferenceUpdated, ConferenceEnded,
    AccountRegistering, AccountRegistered, AccountRegisterFailed, AccountUnregistered, AccountRemoved,
    MessageReceived, MessageSent, MessageFailed, OperationSucceeded, OperationFailed,
    AudioChanged, DeviceListed, DeviceError, DeviceRecovered, SettingsChanged,
    SystemReady, SystemError, SystemDraining, SystemStopping, SystemStopped, HistoryAdded, AuditCommand, AuditDenied,
)  # fmt: skip
"""Every event, in the order of the documentation."""
