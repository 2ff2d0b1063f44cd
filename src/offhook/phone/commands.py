"""THE list of commands. One frozen struct each; every surface is a translation of this list.

Each class names its operation (`Dial` is "dial", `SetVolume` is "set_volume") and says what it answers: `result` is the type
of the value in the Accepted that `Phone.execute` returns. A command that cannot be done raises a CommandError and changes
nothing. A `call` is an id, or "active", "ringing", "last" or "" (the current call as STATUS sees it); see `Phone`.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal, TypeAlias

from msgspec import Struct

from offhook.media.messages import AudioRate
from offhook.phone.model import ContactDetails, HeaderList, StreamDialect, StreamTrack, WatchKind
from offhook.phone.settings import AccountSettings, AutoAnswer, Decision, DtmfMethod

Scope: TypeAlias = Literal["read", "call", "media", "record", "config", "admin"]
"""What a client must be allowed to do. They do not contain each other."""


class Accepted(Struct, frozen=True):
    """The answer to a command that was carried out, or is under way.

    `call` is the call it concerned. `operation` names work that needs the far end: an OperationSucceeded or OperationFailed
    with the same id follows ("" when all is done already). `value` is what was asked for (a view, a list …).
    """

    call: str = ""
    operation: str = ""
    value: Any = None


class Command(Struct, frozen=True):
    """What every command is: immutable data with an operation name."""

    operation: ClassVar[str]
    scope: ClassVar[Scope] = "call"

    def __init_subclass__(cls) -> None:
        cls.operation = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


# --- calls ---------------------------------------------------------------------------------------------------------


class Dial(Command, frozen=True, kw_only=True):
    """Call `to` (a number or URI). The call exists at once as `calling`; succeeds when answered.

    `hold_others` puts the active call on hold first (DDE Dial); without it the active call stays (DDE CallTo).
    `only_if_idle` refuses with line-busy while any call rings, is active or held (WM_COPYDATA DIAL).
    `digits` are sent after the answer. `ring_timeout` seconds, 0: never. `id` lets the caller choose the call's id.
    """

    to: str
    account: str = ""
    id: str = ""
    headers: HeaderList = ()
    hold_others: bool = True
    only_if_idle: bool = False
    ring_timeout: float = 0.0
    digits: str = ""
    tags: HeaderList = ()


class Answer(Command, frozen=True, kw_only=True):
    """Answer the ringing incoming call (the oldest, unless named); an active call is put on hold first."""

    call: str = ""


class Reject(Command, frozen=True, kw_only=True):
    """Refuse the ringing incoming call. `status` 300-699; 0 is the setting (486 Busy Here)."""

    call: str = ""
    status: int = 0


class Redirect(Command, frozen=True, kw_only=True):
    """Send the ringing incoming call elsewhere (302 with Diversion)."""

    to: str
    call: str = ""


class Hangup(Command, frozen=True, kw_only=True):
    """End a call: BYE, CANCEL, or 603 for an incoming one that rings."""

    call: str = ""


class HangupAll(Command, frozen=True, kw_only=True):
    """End several calls: all, only ringing incoming ones, only outgoing ones not yet answered, or all but ringing incoming."""

    which: Literal["all", "incoming", "calling", "not_incoming"] = "all"


class Hold(Command, frozen=True, kw_only=True):
    """Put the call on hold. Succeeds when the far end agrees; already held is fine."""

    call: str = ""


class Resume(Command, frozen=True, kw_only=True):
    """Take the call off our hold; another active call is put on hold first."""

    call: str = ""


class ToggleHold(Command, frozen=True, kw_only=True):
    """Hold or resume, whichever changes something (the legacy Hold)."""

    call: str = ""


class Mute(Command, frozen=True, kw_only=True):
    """Send silence in place of the microphone: in one call, or with no `call` in all calls, present and future."""

    call: str = ""


class Unmute(Command, frozen=True, kw_only=True):
    """Undo Mute."""

    call: str = ""


class ToggleMute(Command, frozen=True, kw_only=True):
    """Mute or unmute the microphone (the legacy Mute)."""


class SendDtmf(Command, frozen=True, kw_only=True):
    """Send digits `0-9 * # A-D` (case-blind), ',' pauses. Any other character refuses the whole command.

    `method` auto: RFC 4733 when negotiated, else SIP INFO, else in-band tones. Succeeds when all have gone out.
    """

    digits: str
    call: str = ""
    method: DtmfMethod | Literal[""] = ""
    duration_ms: int = 160
    gap_ms: int = 80


class Transfer(Command, frozen=True, kw_only=True):
    """Blind transfer (REFER). Succeeds, and the call ends, when the target answers; on failure the call is as before."""

    to: str
    call: str = ""


class TransferAttended(Command, frozen=True, kw_only=True):
    """Connect the far ends of two answered calls with each other: that of `call` calls that of `with_call` in our place.

    `with_call` "" is the current call, `call` "" the only other one that is answered. Succeeds, and both calls end, when the
    two talk to each other; on failure both are as before.
    """

    call: str = ""
    with_call: str = ""


class AcceptTransfer(Command, frozen=True, kw_only=True):
    """Do what the far end's REFER asks: call the target; the answer's `call` is the new one."""

    call: str = ""


class RejectTransfer(Command, frozen=True, kw_only=True):
    """Refuse the far end's REFER."""

    call: str = ""


class SendInfo(Command, frozen=True, kw_only=True):
    """Send a SIP INFO inside the call."""

    body: str
    content_type: str = "text/plain"
    call: str = ""


class SendMessage(Command, frozen=True, kw_only=True):
    """Send a text (SIP MESSAGE). Succeeds when the far end's side accepted it."""

    to: str
    text: str
    account: str = ""


class GetCall(Command, frozen=True, kw_only=True):
    """Answer a CallView (an ended call for some minutes too)."""

    call: str = ""
    scope: ClassVar[Scope] = "read"


class ListCalls(Command, frozen=True, kw_only=True):
    """Answer the running calls as CallViews, oldest first."""

    scope: ClassVar[Scope] = "read"


class Decide(Command, frozen=True, kw_only=True):
    """Say what becomes of an incoming call that waits for it (setting `decide`; 2 seconds at most).

    answer, reject (with `status`), redirect (`to`), dnd (as do not disturb would) · ring: nothing but ring, whatever the
    settings say · default: what the settings say. `call` "" is the oldest that waits.
    """

    action: Decision
    call: str = ""
    status: int = 0
    to: str = ""


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
    """Play a WAV file, a tone (`tone` "440" or "350+440" Hz, `duration_ms` 0: endless) or silence into the call.

    `url` is a WAV file on the web, which is fetched first; clients without the scope admin may use only addresses that the
    setting `outgoing.urls` names. Answers the playback's id. Succeeds when it has played to its end.
    """

    call: str = ""
    file: str = ""
    url: str = ""
    tone: str = ""
    duration_ms: int = 0
    loop: bool = False
    gain_db: float = 0.0
    scope: ClassVar[Scope] = "media"


class StopPlay(Command, frozen=True, kw_only=True):
    """Stop what plays into the call."""

    call: str = ""
    scope: ClassVar[Scope] = "media"


class PausePlay(Command, frozen=True, kw_only=True):
    """Pause what plays into the call, or go on."""

    call: str = ""
    paused: bool = True
    scope: ClassVar[Scope] = "media"


class Record(Command, frozen=True, kw_only=True):
    """Record the call into a new WAV file. `file` "" makes a name in the recordings folder. Answers {recording, file}."""

    call: str = ""
    file: str = ""
    channels: Literal["mono", "stereo"] = "mono"
    max_seconds: float = 0.0
    beep: bool = False
    scope: ClassVar[Scope] = "record"


class StopRecord(Command, frozen=True, kw_only=True):
    """Finish the recording."""

    call: str = ""
    scope: ClassVar[Scope] = "record"


class PauseRecord(Command, frozen=True, kw_only=True):
    """Pause the recording, or go on."""

    call: str = ""
    paused: bool = True
    scope: ClassVar[Scope] = "record"


class Loopback(Command, frozen=True, kw_only=True):
    """Send the far end's sound back to it (an echo line), or stop that."""

    call: str = ""
    enabled: bool = True
    scope: ClassVar[Scope] = "media"


# --- conferences ---------------------------------------------------------------------------------------------------


class CreateConference(Command, frozen=True, kw_only=True):
    """Let connected calls hear each other, mixed here. Answers the ConferenceView; `id` lets the caller choose its name."""

    id: str = ""
    calls: tuple[str, ...] = ()
    scope: ClassVar[Scope] = "media"


class JoinConference(Command, frozen=True, kw_only=True):
    """Let one more connected call in. A call is in one conference at most."""

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


# --- watching ------------------------------------------------------------------------------------------------------


class CreateWatch(Command, frozen=True, kw_only=True):
    """Watch somebody's presence or calls (a busy lamp), or a mailbox (mwi; `to` "" is the account's own).

    It lasts until DeleteWatch; what is told comes as watch.presence, watch.dialog and watch.mwi. Answers the WatchView.
    """

    kind: WatchKind
    to: str = ""
    account: str = ""
    id: str = ""


class Pickup(Command, frozen=True, kw_only=True):
    """Take the call that rings at somebody else's phone: a number, an address, or the id of a watch of its dialogs.

    What a watch tells of the ringing call is enough to take it over (Replaces); else the account's `pickup_prefix` and the
    number are dialled. Answers the call; succeeds when it is ours.
    """

    to: str
    account: str = ""


class DeleteWatch(Command, frozen=True, kw_only=True):
    """Watch no more."""

    watch: str


class ListWatches(Command, frozen=True, kw_only=True):
    """Answer the WatchViews."""

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


class TestDevice(Command, frozen=True, kw_only=True):
    """Let the loudspeaker or the ring device be heard for two seconds, while there is no call. Succeeds when it was."""

    kind: Literal["output", "ring"] = "output"
    scope: ClassVar[Scope] = "media"


class ListDevices(Command, frozen=True, kw_only=True):
    """Answer the sound devices."""

    scope: ClassVar[Scope] = "read"


class GetAudio(Command, frozen=True, kw_only=True):
    """Answer the AudioView: volumes, mute, devices."""

    scope: ClassVar[Scope] = "read"


# --- accounts and settings -----------------------------------------------------------------------------------------


class AddAccount(Command, frozen=True, kw_only=True):
    """Add an account, or replace the one with the same id; registers if it says so."""

    account: AccountSettings
    scope: ClassVar[Scope] = "config"


class RemoveAccount(Command, frozen=True, kw_only=True):
    """Unregister and forget an account. Refused while it has calls."""

    account: str
    scope: ClassVar[Scope] = "config"


class RegisterAccount(Command, frozen=True, kw_only=True):
    """Register now (also instead of waiting for the next retry)."""

    account: str
    scope: ClassVar[Scope] = "config"


class UnregisterAccount(Command, frozen=True, kw_only=True):
    """Unregister and stay so."""

    account: str
    scope: ClassVar[Scope] = "config"


class SelectAccount(Command, frozen=True, kw_only=True):
    """Make this the account that dials when none is named."""

    account: str
    scope: ClassVar[Scope] = "config"


class ListAccounts(Command, frozen=True, kw_only=True):
    """Answer the AccountViews."""

    scope: ClassVar[Scope] = "read"


class SetDnd(Command, frozen=True, kw_only=True):
    """Do not disturb: incoming calls get 486."""

    enabled: bool
    scope: ClassVar[Scope] = "config"


class SetForwarding(Command, frozen=True, kw_only=True):
    """Forward incoming calls to `to` ("" ends it), after `delay` seconds of ringing."""

    to: str
    delay: float = 0.0
    scope: ClassVar[Scope] = "config"


class SetAutoAnswer(Command, frozen=True, kw_only=True):
    """Answer incoming calls without a person: off, header (those that ask for it) or all."""

    mode: AutoAnswer
    delay: float = 0.0
    scope: ClassVar[Scope] = "config"


# --- contacts ------------------------------------------------------------------------------------------------------


class ListContacts(Command, frozen=True, kw_only=True):
    """Answer Contacts in the order of their names: those in which every word of `search` occurs, or all.

    At most `limit` (1000) at once; `after` is the id of the last one already seen.
    """

    search: str = ""
    limit: int = 100
    after: str = ""
    scope: ClassVar[Scope] = "read"


class GetContact(Command, frozen=True, kw_only=True):
    """Answer one Contact."""

    contact: str
    scope: ClassVar[Scope] = "read"


class AddContact(Command, frozen=True, kw_only=True):
    """Add a contact. Answers it with its id."""

    details: ContactDetails
    scope: ClassVar[Scope] = "config"


class UpdateContact(Command, frozen=True, kw_only=True):
    """Replace what is known of a contact, as a whole. One of the users directory cannot be changed here."""

    contact: str
    details: ContactDetails
    scope: ClassVar[Scope] = "config"


class RemoveContact(Command, frozen=True, kw_only=True):
    """Forget a contact."""

    contact: str
    scope: ClassVar[Scope] = "config"


class ImportContacts(Command, frozen=True, kw_only=True):
    """Add up to 500 contacts, or bring them up to date: known again by `external_id`, else by name and number.

    Answers how many were added, updated, and as they were before.
    """

    contacts: tuple[ContactDetails, ...]
    scope: ClassVar[Scope] = "config"


# --- the phone -----------------------------------------------------------------------------------------------------


class Status(Command, frozen=True, kw_only=True):
    """Answer the StatusView: 0 idle, 1 ringing, 2 active, 3 hold, 4 disconnected."""

    scope: ClassVar[Scope] = "read"


class GetSnapshot(Command, frozen=True, kw_only=True):
    """Answer the Snapshot: everything at one moment."""

    scope: ClassVar[Scope] = "read"


class Drain(Command, frozen=True, kw_only=True):
    """Take no new calls (incoming ones get 503) while the running ones go on; `enabled` false takes them again."""

    enabled: bool = True
    scope: ClassVar[Scope] = "admin"


class Quit(Command, frozen=True, kw_only=True):
    """Hang up every call, unregister, stop. New commands are refused meanwhile."""

    scope: ClassVar[Scope] = "admin"


COMMANDS: tuple[type[Command], ...] = (
    Dial, Answer, Reject, Redirect, Hangup, HangupAll, Hold, Resume, ToggleHold, Mute, Unmute, ToggleMute, SendDtmf, Transfer,
    TransferAttended, AcceptTransfer, RejectTransfer, SendInfo, SendMessage, GetCall, ListCalls, Decide, OpenAudio, CloseAudio,
    StreamAudio, StopAudioStream, ListAudioStreams,
    Play, StopPlay, PausePlay, Record, StopRecord, PauseRecord, Loopback,
    CreateConference, JoinConference, LeaveConference, MuteMember, UnmuteMember, EndConference, ListConferences,
    CreateWatch, DeleteWatch, ListWatches, Pickup,
    SetVolume, VolumeUp, VolumeDown, SetMicVolume, SetDevice, TestDevice, ListDevices, GetAudio,
    AddAccount, RemoveAccount, RegisterAccount, UnregisterAccount, SelectAccount, ListAccounts,
    ListContacts, GetContact, AddContact, UpdateContact, RemoveContact, ImportContacts,
    SetDnd, SetForwarding, SetAutoAnswer, Status, GetSnapshot, Drain, Quit,
)  # fmt: skip
"""Every command, in the order of the documentation."""
