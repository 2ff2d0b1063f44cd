"""The engine: owns one Phone. One mutation, drain everything, re-arm one timer; nobody else touches the Phone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from offhook.io import clock
from offhook.io.journal import Cause, Envelope, EnvelopeMaker, Journal, MemoryJournal
from offhook.io.names import Names
from offhook.io.network import NetworkWatch
from offhook.io.resolver import Resolver
from offhook.io.subscribing import Subscriber, Unsubscribe
from offhook.io.trace import Trace
from offhook.io.transport import Transports
from offhook.media.messages import MediaCommand, MediaReport
from offhook.phone.commands import Accepted, Command
from offhook.phone.contacts import ContactsLoaded, DirectoryListed
from offhook.phone.events import Event, OperationFailed, OperationSucceeded, SystemStopped
from offhook.phone.inputs import ClockSet, Configured, PhoneInput, Started
from offhook.phone.phone import Phone
from offhook.phone.reach import NatServers
from offhook.phone.settings import PhoneSettings
from offhook.phone.web_requests import (
    ConnectStream,
    DropSound,
    FetchSound,
    LeaveStream,
    SoundFetched,
    StreamConnected,
    StreamOver,
    WebRequest,
)
from offhook.sip.events import CloseFlow, Datagram, FlowFailed, FlowUp, NetworkChanged, Resolve, StreamChunk, Transmit

CLOCK_EVERY: Final = 5.0
"""Seconds between looks whether the wall clock was set: a call is told by it."""

MAX_CAUSES: Final = 10_000
"""Operations under way whose client is remembered: far more than a phone has calls."""


class Media(Protocol):
    """What the engine asks of the media host."""

    def send(self, *commands: MediaCommand) -> None:
        """Pass commands to the media engine, all at once, which is cheaper than one by one; never blocks."""
        ...


class Engine:
    """Runs a Phone on the event loop.

    Wiring: give `transports` the method `deliver`, the media host the method `report`; then `start`. `stopped` is set when
    the phone has said its last word. `on_web_request` does what is to be done on the web, and answers by `report`.
    """

    def __init__(
        self, phone: Phone, media: Media, epoch: str, *, journal: Journal | None = None, instance: str = ""
    ) -> None:
        self._phone = phone
        self._media = media
        self._maker = EnvelopeMaker(epoch, clock.wall, instance)
        self.journal: Journal = journal or MemoryJournal(epoch)
        self._causes: dict[str, Cause] = {}
        self._subscribers: dict[object, tuple[Subscriber, tuple[type[Event], ...]]] = {}
        self._wanted_by: dict[type[Event], tuple[Subscriber, ...]] = {}  # by the kind of event, once there was one
        self._later: list[Envelope] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: float | None = None
        self._lookups: set[asyncio.Task[None]] = set()
        self._outgoing: list[Transmit | CloseFlow] = []
        self._commands: list[MediaCommand] = []
        self._commanding = False  # they are about to be sent
        self._telling = False
        self._transports: Transports | None = None
        self._resolver: Resolver | None = None
        self._watch: NetworkWatch | None = None
        self._clock_timer: asyncio.TimerHandle | None = None
        self.trace = Trace()
        self.stopped = asyncio.Event()
        self.on_web_request: Callable[[WebRequest], None] = lambda wanted: None
        self.subscribe(lambda envelope: self.stopped.set(), SystemStopped)

    # --- life

    def start(self, transports: Transports, names: Names | None = None) -> None:
        """Begin, with sockets that are open; `names` are asked instead of the system's name servers."""
        self._transports = transports
        self._resolver = Resolver(transports, names=names)
        self._watch = NetworkWatch(transports, self._network_changed)
        self._watch.start()
        self._set_clock()
        self._receive(Started(f"{transports.host}:{transports.port}"))

    async def close(self) -> None:
        """Stop the timers and look-ups. Sockets and media are closed by who opened them."""
        if self._watch is not None:
            self._watch.close()
        for timer in (self._timer, self._clock_timer):
            if timer is not None:
                timer.cancel()
        for task in self._lookups:
            task.cancel()
        if self._lookups:
            await asyncio.wait(self._lookups)

    def _set_clock(self) -> None:
        self._receive(ClockSet(clock.wall() - clock.now()))
        self._clock_timer = asyncio.get_running_loop().call_later(CLOCK_EVERY, self._set_clock)

    # --- commands and events

    def execute(self, command: Command, cause: Cause | None = None) -> Accepted:
        """Carry out a command; raises CommandError. What it sends leaves at once, its events follow after the answer.

        `cause` says who asked: it stands in the events that the command brings about at once, and in its operation's outcome.
        """
        accepted = Accepted()
        try:
            accepted = self._phone.execute(command, clock.now())
            return accepted
        finally:
            if cause is not None and accepted.operation:
                cause = replace(cause, op=accepted.operation)
                self._remember(cause)
            events: list[Event] = []
            self._drain(events)
            self._arm(self._phone.deadline())
            self._say_later(events, cause)
            self._send()
            self._command_media()

    def say(self, event: Event, cause: Cause | None = None) -> None:
        """Add an event that does not come from the phone itself (the journal's, a surface's), after those that wait."""
        self._say_later([event], cause)

    def subscribe(self, callback: Subscriber, *kinds: type[Event]) -> Unsubscribe:
        """Call `callback` with every event from now on, or with those of some kinds; the returned function ends that."""
        key = object()
        self._subscribers[key] = callback, kinds or (Event,)
        self._wanted_by = {}

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)
            self._wanted_by = {}

        return unsubscribe

    def _wanting(self, event: Event) -> tuple[Subscriber, ...]:
        kind = type(event)
        found = self._wanted_by.get(kind)
        if found is None:
            found = tuple(callback for callback, kinds in self._subscribers.values() if issubclass(kind, kinds))
            self._wanted_by[kind] = found
        return found

    def _remember(self, cause: Cause) -> None:
        self._causes[cause.op] = cause
        if len(self._causes) > MAX_CAUSES:
            del self._causes[next(iter(self._causes))]

    def _say_later(self, events: list[Event], cause: Cause | None) -> None:
        if events and not self._later and not self._telling:
            asyncio.get_running_loop().call_soon(self._flush)
        self._write_down(events, cause)

    def _write_down(self, events: list[Event], cause: Cause | None = None) -> None:
        """Number events and keep them: what a command has done is in the journal before its answer leaves."""
        if events:
            envelopes = [self._maker.make(event, self._cause(event, cause)) for event in events]
            self.journal.append(envelopes)
            self._later += envelopes

    def _flush(self) -> bool:
        """Tell of what was written down, in order: the programs that read the journal first, our own subscribers later.

        Returns whether there are such programs, and news for them.
        """
        if not self._later:
            return False
        envelopes, self._later = self._later, []
        read = self.journal.announce()  # before the others are called: those who read write in the loop's next turn, too
        if any(self._wanting(envelope.event) for envelope in envelopes):
            asyncio.get_running_loop().call_soon(self._tell_all, envelopes)
        return read

    def _tell_all(self, envelopes: list[Envelope]) -> None:
        """Tell the subscribers, a turn of the loop later: no program waits for the call history, say, to be written."""
        self._telling = True
        for envelope in envelopes:
            for callback in self._wanting(envelope.event):
                self._tell(callback, envelope)
        self._telling = False
        self._flush()  # what they have said to it

    def _cause(self, event: Event, cause: Cause | None) -> Cause | None:
        if isinstance(event, OperationSucceeded | OperationFailed):
            return self._causes.pop(event.operation, None) or Cause(event.operation)
        return cause

    def _tell(self, callback: Subscriber, envelope: Envelope) -> None:
        try:
            callback(envelope)
        except Exception as error:  # a subscriber's mistake must not cost the others their event, nor the phone its call
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"a subscriber failed at {envelope.type}", "exception": error}
            )

    # --- inputs

    def deliver(self, item: Datagram | StreamChunk | FlowUp | FlowFailed) -> None:
        """Take what arrived on a SIP socket."""
        if isinstance(item, Datagram | StreamChunk):
            self.trace.note(clock.now(), False, item.flow, item.data)
        self._receive(item)

    def _network_changed(self, reason: str) -> None:
        """Forget what was known of the ways out, then let the phone take new ones."""
        if self._transports is not None:
            self._transports.forget_addresses()
        self._receive(NetworkChanged(reason))

    def tell(self, servers: NatServers) -> None:
        """Take what was found out about the network around us."""
        self._receive(servers)

    def configure(self, settings: PhoneSettings, order: tuple[str, ...] = ()) -> None:
        """Let other settings, and another order of the accounts, hold from now on."""
        self._receive(Configured(settings, order))

    def report(self, report: MediaReport | StreamConnected | StreamOver | SoundFetched) -> None:
        """Take what the media engine says, or what became of a web request (on the event loop)."""
        self._receive(report)

    def inform(self, item: ContactsLoaded | DirectoryListed) -> None:
        """Take in contacts, in parts so small that no call waits for them."""
        self._receive(item)

    def _receive(self, item: PhoneInput) -> None:
        now = clock.now()
        phone = self._phone
        phone.receive(item, now)
        events: list[Event] = []
        self._drain(events)
        # What is due at once (answering by itself, say) needs no turn of the loop. One that is due again then waits for it.
        deadline = phone.deadline()
        if deadline is not None and deadline <= now:
            phone.timeout(now)
            self._drain(events)
            deadline = phone.deadline()
        self._arm(deadline)
        self._publish(events)

    def _timeout(self) -> None:
        self._timer = self._armed_for = None
        self._phone.timeout(clock.now())
        events: list[Event] = []
        self._drain(events)
        self._arm(self._phone.deadline())
        self._publish(events)

    def _publish(self, events: list[Event]) -> None:
        # Events of an earlier command go first: subscribers see one order.
        self._write_down(events)
        self._send()
        if self._flush():
            self._command_media()
        else:
            self.command_media()

    # --- outputs

    def _drain(self, events: list[Event]) -> None:
        """Collect what the phone wants done outside, and its events."""
        phone = self._phone
        while (item := phone.poll()) is not None:
            match item:
                case Transmit() | CloseFlow():
                    self._outgoing.append(item)
                case Event():
                    events.append(item)
                case Resolve():
                    self._resolve(item)
                case ConnectStream() | LeaveStream() | FetchSound() | DropSound():
                    self.on_web_request(item)
                case _:
                    self._commands.append(item)

    def _send(self) -> None:
        """Let the messages out, after the events are written down."""
        outgoing, transports = self._outgoing, self._transports
        if outgoing and transports is not None:
            now = clock.now()
            for item in outgoing:
                if isinstance(item, Transmit):
                    self.trace.note(now, True, item.flow, item.data)
                    transports.send(item.flow, item.data)
                else:
                    transports.close_flow(item.flow)
        outgoing.clear()

    def _command_media(self) -> None:
        """Send the commands when the programs have the events: the media's process is in a hurry and may take our core.

        A turn of the loop later the local socket's clients have them, and a second one later those whose task had to wake up.
        """
        if self._commands and not self._commanding:
            self._commanding = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._send_commands)

    def _send_commands(self) -> None:
        self._commanding = False
        self.command_media()

    def command_media(self, *more: MediaCommand) -> None:
        """Send the media engine what waits for it, and these after that."""
        commands, self._commands = [*self._commands, *more], []
        if commands:
            self._media.send(*commands)

    def _arm(self, deadline: float | None) -> None:
        if deadline == self._armed_for:
            return
        # A timer that fires early finds nothing due and is armed anew, which costs less than moving it at each message.
        if deadline is not None and self._armed_for is not None and clock.now() < self._armed_for < deadline:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = deadline
        self._timer = None
        if deadline is not None:
            delay = max(0.0, deadline - clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._timeout)

    def _resolve(self, query: Resolve) -> None:
        if self._resolver is None:
            return
        answer = self._resolver.resolve_literal(query)
        if answer is not None:
            self._phone.receive(answer, clock.now())
            return
        task = asyncio.get_running_loop().create_task(self._look_up(query))
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)

    async def _look_up(self, query: Resolve) -> None:
        resolver = self._resolver
        if resolver is not None:
            with contextlib.suppress(asyncio.CancelledError):
                self._receive(await resolver.resolve(query))
