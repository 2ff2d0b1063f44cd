"""What operations that are no commands take and answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from offhook.phone.model import AccountView, CallView, LoadView
from offhook.phone.records import HistoryEntry, MessageEntry


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
    """What this phone is: version, name, process, since when, its SIP address, how it carries sound, and its `config` file."""

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
    config: str
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
    """Ask for past calls, newest first: at most `limit`, only those older than the entry `before`.

    What is empty asks for nothing: `direction`, only `missed` ones, the id of an `account`, what is in the far end's address or
    name (`remote`), a `tag` (its name, or name=value), the time of their beginning (RFC 3339).
    """

    limit: int = 50
    before: str = ""
    direction: Literal["", "incoming", "outgoing"] = ""
    missed: bool = False
    account: str = ""
    remote: str = ""
    tag: str = ""
    since: datetime | None = None
    until: datetime | None = None


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

    `mki` marks its packets, "1:4" for a 1 of four octets, "" if they bear no mark.
    It holds from `time` on; that of rtp is that of rtcp, too, where there is none for it.
    """

    time: datetime
    component: Literal["rtp", "rtcp"]
    direction: Literal["sent", "received"]
    suite: str
    key: str
    mki: str


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

    `ended` is null while it is pending, and so is either time where it is not known.
    """

    id: str
    command: str
    state: Literal["pending", "succeeded", "failed"]
    call: str
    sip_status: int
    reason: str
    began: datetime | None
    ended: datetime | None


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
