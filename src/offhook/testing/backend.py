"""A phone that only writes down what it is told: the Backend for tests of surfaces and of programs that use one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from offhook import __version__
from offhook.control.backend import (
    Accepted,
    Cause,
    Command,
    Envelope,
    EnvelopeMaker,
    Journal,
    MemoryJournal,
    WebhookBook,
)
from offhook.control.outcomes import Outcomes
from offhook.control.outgoing import OutgoingUrls
from offhook.errors import NotFound
from offhook.io.audio_link import AudioLink
from offhook.io.captures import Captured
from offhook.io.trace import TracedMessage
from offhook.media.messages import AudioRate, DeviceInfo
from offhook.phone.commands import (
    AddContact,
    CallStats,
    CreateConference,
    CreateWatch,
    Dial,
    GetAudio,
    GetCall,
    GetContact,
    GetSnapshot,
    ListAccounts,
    ListAudioStreams,
    ListCalls,
    ListConferences,
    ListContacts,
    ListDevices,
    ListPlaybacks,
    ListRecordings,
    ListTaps,
    ListWatches,
    Record,
    SetMicVolume,
    SetVolume,
    Status,
    TagCall,
    Tap,
    UpdateContact,
)
from offhook.phone.events import Event
from offhook.phone.model import (
    AccountView,
    AudioView,
    CallState,
    CallView,
    ConferenceView,
    Contact,
    LoadView,
    Party,
    PlaybackView,
    RecordingView,
    Snapshot,
    StatsView,
    StatusView,
    TapView,
    WatchView,
    WorkerView,
    wall,
)
from offhook.phone.records import ALL_CALLS, WantedCalls
from offhook.sip.events import Flow

CALL = CallView(
    "c_1", "office", "incoming", CallState.ACTIVE, Party("sip:1001@sip.example.org"), Party("sip:1002@sip.example.org"),
    "sip-1", wall(1_700_000_000), tags=(("order", "4711"),),
)  # fmt: skip
WATCH = WatchView("watch_1", "presence", "sip:1002@sip.example.org", "office", "active")


_Subscriber: TypeAlias = tuple[Callable[[Envelope], None], tuple[type[Event], ...]]


class FakeBackend:
    """A Backend that records its commands. `refuse` is raised instead; `status` and `audio` are what it answers."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.refuse: BaseException | None = None
        self.status = StatusView(code=0, name="IDLE")
        self.audio = AudioView(output_volume=60, mic_volume=50, mic_muted=False)
        self.devices = (
            DeviceInfo("usb-1", "input", "Headset (USB)", 0, True),
            DeviceInfo("hdmi", "output", "Screen", 0, False),
        )
        self.calls: tuple[CallView, ...] = ()
        self.draining = False
        self.accounts: tuple[AccountView, ...] = ()
        self.facts: dict[str, Any] = {"version": __version__, "pid": 0, "since": wall(1_700_000_000)}
        self.kept_texts: list[dict[str, Any]] = []
        self.watch = WATCH
        self.entries: list[dict[str, Any]] = [{"id": "h_2"}, {"id": "h_1"}]
        self.on_execute: Callable[[Command], None] = lambda command: None
        self._subscribers: list[_Subscriber] = []
        self.said: list[Event] = []
        self.causes: list[Cause | None] = []
        self.book: WebhookBook | None = None
        self.capture: Captured | None = None
        self.journal: Journal = MemoryJournal("t1")
        self._maker = EnvelopeMaker("t1", lambda: 1_700_000_000.25)
        self._first: list[_Subscriber] = []
        self.wanted_calls = ALL_CALLS
        self.outcomes = Outcomes(self._begin_with, lambda: 1_700_000_000.25)

    def execute(self, command: Command, cause: Cause | None = None) -> Accepted:
        self.causes.append(cause)
        if self.refuse is not None:
            raise self.refuse
        self.commands.append(command)
        self.on_execute(command)
        if type(command) in self._views():
            return Accepted(call=getattr(command, "call", ""), value=self._views()[type(command)])
        match command:
            case GetCall():
                if not self.calls:
                    raise NotFound("no such call")
                return Accepted(value=self.calls[0])
            case CallStats():
                if not self.calls:
                    raise NotFound("no such call")
                call = self.calls[0]
                return Accepted(value=StatsView(call.id, call.state, call.muted, call.media, None))
            case SetVolume(volume=volume):
                self.audio = AudioView(volume, self.audio.mic_volume, self.audio.mic_muted)
            case SetMicVolume(volume=volume):
                self.audio = AudioView(self.audio.output_volume, volume, self.audio.mic_muted)
            case CreateConference():
                return Accepted(value=ConferenceView(command.id or "conf_1", command.calls))
            case AddContact(details=details) | UpdateContact(details=details):
                return Accepted(value=Contact(id="ct_1", name=details.name, number=details.number))
            case Dial():
                return Accepted(call=command.id or "c_1", operation="op_1")
            case _:
                pass
        return Accepted(call="c_1", operation="op_2")

    def _views(self) -> dict[type[Command], Any]:
        return {
            Status: self.status,
            GetAudio: self.audio,
            ListDevices: self.devices,
            ListContacts: (Contact(id="ct_1", name="Ada", number="1001"),),
            GetContact: Contact(id="ct_1", name="Ada", number="1001"),
            ListCalls: self.calls,
            ListAccounts: self.accounts,
            ListAudioStreams: (),
            Record: {"recording": "rec_1", "file": "/rec/1.wav"},
            TagCall: CALL,
            ListPlaybacks: (PlaybackView("pb_1", "c_1", "tone", "440", "playing"),),
            ListRecordings: (RecordingView("rec_1", "c_1", "/rec/1.wav", "wav", "mono", "recording", wall(0.0)),),
            ListTaps: (TapView("c_2", "c_1", "both", "none"),),
            Tap: TapView("c_2", "c_1", "both", "none"),
            CreateWatch: self.watch,
            ListWatches: (self.watch,),
            ListConferences: (ConferenceView("conf_1", ("c_1",)),),
            GetSnapshot: Snapshot(
                self.status, self.accounts, self.calls, self.audio, self.devices, False, "", "off", draining=self.draining
            ),
        }

    def _begin_with(self, callback: Callable[[Envelope], None], *kinds: type[Event]) -> Callable[[], None]:
        self._first.append((callback, kinds))
        return lambda: None

    def subscribe(self, callback: Callable[[Envelope], None], *kinds: type[Event]) -> Callable[[], None]:
        subscriber = callback, kinds or (Event,)
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def emit(self, event: Event, cause: Cause | None = None) -> Envelope:
        envelope = self._maker.make(event, cause)
        self.journal.append([envelope])
        self.tell(envelope)
        self.journal.announce()
        return envelope

    def tell(self, envelope: Envelope) -> None:
        for callback, kinds in (*self._first, *self._subscribers):
            if isinstance(envelope.event, kinds):
                callback(envelope)

    def say(self, event: Event) -> None:
        self.said.append(event)

    def open_audio(
        self, call: str, rate: AudioRate, *, hear: bool = True, speak: bool = True, near: bool = False,
        cause: Cause | None = None,
    ) -> AudioLink:  # fmt: skip
        raise NotFound("this phone has no sound")

    def history(self, limit: int, before: str, wanted: WantedCalls = ALL_CALLS) -> list[dict[str, Any]]:
        self.wanted_calls = wanted
        return self.entries[:limit]

    async def open_webhooks(self) -> WebhookBook:
        if self.book is None:
            raise NotFound("this phone keeps no webhooks")
        return self.book

    def delete_history(self, entry: str) -> None:
        if entry not in [found["id"] for found in self.entries]:
            raise NotFound(f"no entry {entry!r}")
        self.entries = [found for found in self.entries if found["id"] != entry]

    def clear_history(self) -> None:
        self.entries = []

    def texts(self, limit: int, before: str) -> list[dict[str, Any]]:
        return self.kept_texts[:limit]

    def clear_texts(self) -> None:
        self.kept_texts = []

    def traced(self, sip_call_id: str) -> list[TracedMessage]:
        """Return two messages of any call."""
        flow = Flow("udp", ("10.0.0.1", 5060), ("10.0.0.2", 5060))
        head = f"Call-ID: {sip_call_id}\r\nCSeq: 1 INVITE\r\n\r\n".encode()
        return [TracedMessage(1.5, True, flow, b"INVITE sip:2@10.0.0.2 SIP/2.0\r\n" + head),
                TracedMessage(1.75, False, flow, b"SIP/2.0 200 OK\r\n" + head)]

    def captured(self, call: str) -> Captured | None:
        """Return the capture of any call."""
        return self.capture

    def sip_messages(self) -> tuple[int, int]:
        """Return some numbers."""
        return 7, 5

    def load(self) -> LoadView:
        """Return some figures."""
        return LoadView((WorkerView(0, 2, 2, 0.25, 12.5, 0.01, 3.5, 200, 2, False),), 0.5, 4.0)

    def dialled(self, to: str, account: str = "") -> tuple[str, ...]:
        """Return nothing: there are no accounts."""
        return ()

    def check_url(self, url: str, *, anywhere: bool, name: str = "") -> None:
        OutgoingUrls(["wss://bot.example.org/"]).check(url, anywhere=anywhere, name=name)

    def history_entry(self, entry: str) -> dict[str, Any]:
        found = next((found for found in self.entries if found["id"] == entry), None)
        if found is None:
            raise NotFound(f"no entry {entry!r}")
        return found

    async def reload(self) -> dict[str, Any]:
        return {"added": [], "changed": [], "removed": [], "settings": [], "restart": []}

    def about(self) -> dict[str, Any]:
        return self.facts

