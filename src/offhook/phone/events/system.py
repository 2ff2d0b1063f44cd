"""Events about the phone itself: accounts, operations, devices, this machine, and who was told or asked."""

from __future__ import annotations

from typing import Any

from offhook.media.messages import DeviceInfo
from offhook.phone.events.base import AccountEvent, Event
from offhook.phone.model import AccountFlow, AudioView, Party

# --- accounts, messages, devices, the phone ------------------------------------------------------------------------


class AccountRegistering(AccountEvent, frozen=True, kw_only=True):
    """A REGISTER has been sent."""


class AccountRegistered(AccountEvent, frozen=True, kw_only=True):
    """The registrar accepted us."""


class AccountRegisterFailed(AccountEvent, frozen=True, kw_only=True):
    """The registrar refused or did not answer; `account.retry_in` says when the next attempt comes.

    Where it has a trouble of its own (5xx, silence) while an earlier registration has not run out, `account.expires` says for
    how many seconds that still holds: calls are placed as before till then.
    """


class AccountFailover(AccountEvent, frozen=True, kw_only=True):
    """The account registers with another of its servers now (`account.server`): one failed, or the first is well again."""

    reason: str


class AccountFlowUp(AccountEvent, frozen=True, kw_only=True):
    """One of the two flows of an account stands (RFC 5626): calls come in over it."""

    flow: AccountFlow


class AccountFlowDown(AccountEvent, frozen=True, kw_only=True):
    """One of an account's two flows is lost or does not come about.

    `flow.reason` says why, `flow.retry_in` in how many seconds it is tried again. The account stays registered while the other
    one stands. "ended": it has one registration from here on.
    """

    flow: AccountFlow


class AccountUnregistered(AccountEvent, frozen=True, kw_only=True):
    """We are not registered any more, because we asked for it."""


class AccountRemoved(AccountEvent, frozen=True, kw_only=True):
    """The account is gone."""


class MessageReceived(Event, frozen=True, kw_only=True):
    """A text came in."""

    message: str
    account: str
    remote: Party
    text: str
    content_type: str

    @property
    def subject(self) -> str:
        return f"messages/{self.message}"


class MessageSent(Event, frozen=True, kw_only=True):
    """The far end's side accepted our text."""

    message: str
    account: str
    to: str
    text: str
    operation: str

    @property
    def subject(self) -> str:
        return f"messages/{self.message}"


class MessageFailed(Event, frozen=True, kw_only=True):
    """Our text was refused or got no answer."""

    message: str
    account: str
    to: str
    text: str
    operation: str
    sip_status: int
    reason: str

    @property
    def subject(self) -> str:
        return f"messages/{self.message}"


class OperationSucceeded(Event, frozen=True, kw_only=True):
    """What a command began is done."""

    operation: str
    command: str
    call: str = ""

    @property
    def subject(self) -> str:
        return f"operations/{self.operation}"


class OperationFailed(Event, frozen=True, kw_only=True):
    """What a command began did not work. `sip_status` is the far end's answer, 0 if it was not the far end."""

    operation: str
    command: str
    call: str = ""
    sip_status: int = 0
    reason: str = ""

    @property
    def subject(self) -> str:
        return f"operations/{self.operation}"


class AudioChanged(Event, frozen=True, kw_only=True):
    """Volume, mute or a device was changed."""

    audio: AudioView


class DeviceListed(Event, frozen=True, kw_only=True):
    """The list of sound devices changed."""

    devices: tuple[DeviceInfo, ...]


class DeviceAdded(Event, frozen=True, kw_only=True):
    """A sound device was plugged in, or appeared otherwise."""

    device: DeviceInfo


class DeviceRemoved(Event, frozen=True, kw_only=True):
    """A sound device is gone; `device.error` follows where it was in use."""

    device: DeviceInfo


class DeviceChanged(Event, frozen=True, kw_only=True):
    """A sound device became the system's default or ceased to be it, or has another name. Who uses the default follows."""

    device: DeviceInfo


class DeviceTested(Event, frozen=True, kw_only=True):
    """A second of the microphone was recorded: its loudest tenth of a second in dB against full scale (-96 is silence)."""

    kind: str
    heard: bool
    level_db: float


class AudioLevel(Event, frozen=True, kw_only=True):
    """How loud microphone and loudspeaker are, in dB against full scale (dBov; 0 is as loud as can be, -96 is silence).

    Told while `meter_audio` asks for it.
    """

    input_db: float
    output_db: float


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


class SystemOverloaded(Event, frozen=True, kw_only=True):
    """The phone cannot carry another call and refuses new ones with `status`; the `calls` that run go on.

    Told with the first call that is refused. `reason` says which limit it is: the number of calls, or what the media needs.
    """

    reason: str
    calls: int
    status: int


class SystemRelieved(Event, frozen=True, kw_only=True):
    """There is room for new calls again; `refused` were refused meanwhile."""

    refused: int


class SystemStopping(Event, frozen=True, kw_only=True):
    """The phone hangs up and ends."""


class SystemStopped(Event, frozen=True, kw_only=True):
    """Everything is done; the process may end."""


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
    """Somebody was turned away at a surface. Counted, not one for each.

    Who has no good token, a page that may not, or (surface `sip`) a stranger who asked too much or for what is not there.
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
