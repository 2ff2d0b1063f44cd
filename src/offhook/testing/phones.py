"""Whole phones on a virtual wire: a pure Phone with a stand-in for the media host, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from offhook.errors import CommandError
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.call import Call
from offhook.phone.inputs import ClockSet, PhoneInput, Started
from offhook.phone.model import CallState, CallView, Snapshot
from offhook.phone.phone import Phone
from offhook.phone.secrecy import NoCertificate, OwnCertificate
from offhook.phone.settings import AccountSettings, NatSettings, PhoneSettings, SrtpSettings
from offhook.phone.web_requests import WebRequest
from offhook.testing.ids import SeededIds
from offhook.testing.wire import Wire

EPOCH: Final = 1_700_000_000.0
"""Unix time at which every wire's clock shows zero."""
PORTS: Final = 4
"""Media ports made ready at first; each closed stream brings a fresh one, as in the real host."""
FIRST_PORT: Final = 20_000
LAST_PORT: Final = 65_534
HOST_DELAY: Final = 0.001
"""Seconds the media host takes to report."""

SIXTY_FOUR_T1: Final = 32.0
"""Seconds after which no SIP transaction lives (RFC 3261 17: timers B, F, H, J)."""

_E = TypeVar("_E", bound=e.Event)
_M = TypeVar("_M", bound=media.MediaCommand)

FIRST_EVENTS: Final = (e.CallCreated, e.CallIncoming, e.CallRedirected)
"""What the events of a call begin with; CallRedirected when it is forwarded without ringing."""


@dataclass(slots=True)
class MediaStandIn:
    """Answers media commands as a media host does, without any sound. `commands` keeps all of them.

    `refuse_ports` makes every OpenStream fail. Playbacks last `play_ms` (endless while 0); recordings until
    stopped.
    """

    report: Callable[[media.MediaReport, float], None]
    next_port: int = FIRST_PORT
    play_ms: int = 0
    refuse_ports: bool = False
    host: str = ""
    commands: list[media.MediaCommand] = field(default_factory=list)
    streams: dict[str, int] = field(default_factory=dict)
    playbacks: dict[str, str] = field(default_factory=dict)
    recordings: dict[str, tuple[str, str]] = field(default_factory=dict)
    captures: set[str] = field(default_factory=set)

    def fresh_ports(self, count: int) -> media.PortsReady:
        """Return the report of `count` ports that were not used for long: after the last one the first comes again."""
        first = self.next_port if self.next_port + 2 * count <= LAST_PORT else FIRST_PORT
        self.next_port = first + 2 * count
        return media.PortsReady(tuple(range(first, self.next_port, 2)))

    def take(self, command: media.MediaCommand) -> None:
        """Keep the command, and report what a host would."""
        self.commands.append(command)
        match command:
            case media.OpenStream(stream=stream, port=port):
                if self.refuse_ports:
                    self._say(media.StreamFailed(stream, f"port {port} is taken"))
                else:
                    self.streams[stream] = port
            case media.GatherCandidates(stream=stream) if stream in self.streams:
                self._say(media.CandidatesGathered(stream, self._candidates(self.streams[stream], command)))
            case media.CloseStream(stream=stream):
                self._close(stream)
            case media.SendDigits():
                self._digits(command)
            case media.StartPlayback():
                self._start_playback(command)
            case media.StopPlayback(playback=playback):
                self._end_playback(playback, "stopped")
            case media.StartRecording(stream=stream, recording=recording, path=path):
                self.recordings[recording] = stream, path
                self._say(media.RecordingStarted(stream, recording))
            case media.StopRecording(recording=recording):
                self._end_recording(recording, "stopped")
            case media.CaptureStream() | media.EndCapture():
                self._capture(command)
            case media.ListDevices():
                self._say(media.DevicesListed((
                    media.DeviceInfo("mic-1", "input", "Desk microphone", 0, True),
                    media.DeviceInfo("mic-2", "input", "Headset", 1, False),
                    media.DeviceInfo("spk-1", "output", "Loudspeaker", 0, True),
                ), ()))
            case _:
                pass

    def _candidates(self, port: int, command: media.GatherCandidates) -> tuple[media.Candidate, ...]:
        """Return an own address, and one seen from outside where there is a server to ask."""
        found = []
        for component in (1, 2):
            host = self.host, port + component - 1
            found.append(media.Candidate("h0", component, 2130706432 - component, *host, "host"))
            if command.stun is not None:
                found.append(media.Candidate("s", component, 1694498816 - component, "203.0.113.7", host[1], "srflx", host))
            if command.turn is not None:
                found.append(media.Candidate("r", component, 16777216 - component, "198.51.100.5", 60_000 + component, "relay"))
        return tuple(found)

    def _say(self, report: media.MediaReport) -> None:
        self.report(report, HOST_DELAY)

    def _digits(self, command: media.SendDigits) -> None:
        at = HOST_DELAY
        for digit in command.digits:
            if digit == ",":
                at += command.pause_ms / 1000
                continue
            at += command.duration_ms / 1000
            self.report(media.DigitSent(command.stream, command.request, digit), at)
            at += command.gap_ms / 1000
        self.report(media.DigitsDone(command.stream, command.request), at)

    def _start_playback(self, command: media.StartPlayback) -> None:
        stream, playback = command.stream, command.playback
        if command.mode == "replace":
            self._end_playbacks(stream, "replaced")
        self.playbacks[playback] = stream
        self._say(media.PlaybackStarted(stream, playback))
        if self.play_ms:
            self.report(media.PlaybackDone(stream, playback, "finished", self.play_ms), self.play_ms / 1000)

    def _end_playbacks(self, stream: str, reason: str) -> None:
        for playback in [playback for playback, owner in self.playbacks.items() if owner == stream]:
            self._end_playback(playback, reason)

    def _end_playback(self, playback: str, reason: str) -> None:
        stream = self.playbacks.pop(playback, "")
        if stream:
            self._say(media.PlaybackDone(stream, playback, reason, 20))  # type: ignore[arg-type]  # one of the listed reasons

    def _end_recording(self, recording: str, reason: str) -> None:
        stream, path = self.recordings.pop(recording, ("", ""))
        if stream:
            self._say(media.RecordingDone(stream, recording, path, reason, 1000))  # type: ignore[arg-type]  # as above

    def _capture(self, command: media.CaptureStream | media.EndCapture) -> None:
        if isinstance(command, media.CaptureStream):
            self.captures.add(command.stream)
        else:
            self._end_capture(command.stream, command.reason)

    def _end_capture(self, stream: str, reason: media.CaptureEnd) -> None:
        if stream in self.captures:
            self.captures.discard(stream)
            self._say(media.CaptureEnded(stream, reason, 100, 20_000))

    def _close(self, stream: str) -> None:
        self._end_capture(stream, "call ended")
        self._end_playbacks(stream, "closed")
        for recording in [recording for recording, (owner, _) in self.recordings.items() if owner == stream]:
            self._end_recording(recording, "closed")
        if self.streams.pop(stream, None) is not None:
            self._say(media.StreamClosed(stream, no_figures(stream)))
        self._say(self.fresh_ports(1))


def no_figures(stream: str) -> media.StreamStats:
    """Return the figures of a stream that never carried a packet."""
    return media.StreamStats(stream, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, None, None, None, 4.4)


class VirtualPhone:
    """A phone on the wire under `host`:5060. `events` is everything it said, in order; `media` its media host."""

    def __init__(
        self, wire: Wire, name: str, host: str, settings: PhoneSettings | None = None, *,
        seed: str = "", codecs: tuple[str, ...] = ("PCMU", "PCMA"), ports: int = PORTS,
        srtp: SrtpSettings | None = None, nat: NatSettings | None = None, certificate: OwnCertificate | None = None,
    ) -> None:
        self.wire = wire
        self.name = name
        self.host = host
        self.events: list[e.Event] = []
        self.web_requests: list[WebRequest] = []
        self.on_event: Callable[[e.Event], None] | None = None
        self.media = MediaStandIn(self._report_after, host=host)
        self.phone = Phone(
            settings or PhoneSettings(), SeededIds(f"{seed}{name}"), codecs=codecs, srtp=srtp or SrtpSettings(),
            nat=nat or NatSettings(),
            certificate=certificate or NoCertificate(),
        )
        self.node = wire.add(name, self.phone, (host, 5060), on_output=self._output)
        self.node.receive(ClockSet(EPOCH))
        self.node.receive(Started(f"{host}:5060"))
        if ports:
            self.node.receive(self.media.fresh_ports(ports))

    def _output(self, output: object, _now: float) -> None:
        if isinstance(output, e.Event):
            self.events.append(output)
            if self.on_event is not None:
                self.on_event(output)
        elif isinstance(output, WebRequest):
            self.web_requests.append(output)
        else:
            self.media.take(output)  # type: ignore[arg-type]  # what is neither the wire's nor an event is a media command

    def _report_after(self, report: media.MediaReport, delay: float) -> None:
        self.wire.at(self.wire.now + delay, lambda: self.node.receive(report))

    # --- doing

    def execute(self, command: c.Command) -> c.Accepted:
        """Carry out a command now; raises CommandError. As in the engine, what it left is drained either way."""
        try:
            return self.phone.execute(command, self.wire.now)
        finally:
            self.wire.drain(self.node)

    def refuses(self, command: c.Command) -> CommandError:
        """Return the refusal of a command; AssertionError if it is carried out, or if anything has changed."""
        before, said, told = self.snapshot(), len(self.events), len(self.media.commands)
        sent = len(self.wire.sent)
        try:
            self.execute(command)
        except CommandError as error:
            assert self.snapshot() == before, command
            assert (len(self.events), len(self.media.commands), len(self.wire.sent)) == (said, told, sent), command
            return error
        raise AssertionError(f"{command} was not refused")

    def receive(self, item: PhoneInput) -> None:
        """Give it an input, such as a media report."""
        self.node.receive(item)

    def dial(self, to: VirtualPhone | str, **options: object) -> str:
        """Dial another phone or an address; returns the call's id."""
        address = to if isinstance(to, str) else f"sip:offhook@{to.host}"
        return self.execute(c.Dial(to=address, **options)).call  # type: ignore[arg-type]  # the fields of Dial

    def add_account(self, account: AccountSettings) -> None:
        """Add an account."""
        self.execute(c.AddAccount(account=account))

    # --- looking

    @property
    def calls(self) -> dict[str, Call]:
        """The running calls."""
        return self.phone.desk.calls

    @property
    def only(self) -> Call:
        """The one running call; ValueError if there is none or several."""
        (call,) = self.phone.desk.calls.values()
        return call

    @property
    def states(self) -> list[CallState]:
        """The states of the running calls, oldest first."""
        return [call.state for call in self.phone.desk.calls.values()]

    @property
    def status(self) -> int:
        """STATUS now."""
        self.phone.desk.now = self.wire.now
        return self.phone.desk.status().code

    @property
    def types(self) -> list[str]:
        """The types of all events so far."""
        return [event.type for event in self.events]

    def snapshot(self) -> Snapshot:
        """Return everything at this moment."""
        self.phone.desk.now = self.wire.now
        return self.phone.snapshot()

    def of(self, kind: type[_E], call: str = "") -> list[_E]:
        """Return the events of one type (of one call)."""
        return [ev for ev in self.events if isinstance(ev, kind) and (not call or self._call_of(ev) == call)]

    def of_call(self, call: str) -> list[str]:
        """Return the types of the events of one call."""
        return [event.type for event in self.events if self._call_of(event) == call]

    def did(self, kind: type[_M]) -> list[_M]:
        """Return the media commands of one type."""
        return [command for command in self.media.commands if isinstance(command, kind)]

    def ended(self, call: str = "") -> CallView:
        """Return the last view of the call that ended (of that one)."""
        (event,) = self.of(e.CallEnded, call)
        return event.call

    def outcome(self, operation: str) -> e.OperationSucceeded | e.OperationFailed | None:
        """Return how an operation ended, None while it is under way; AssertionError if it ended twice."""
        found = [ev for ev in self.events
                 if isinstance(ev, e.OperationSucceeded | e.OperationFailed) and ev.operation == operation]
        if len(found) > 1:
            raise AssertionError(f"operation {operation} ended {len(found)} times")
        return found[0] if found else None

    @staticmethod
    def _call_of(event: e.Event) -> str:
        return event.call.id if isinstance(event, e.CallEvent) else ""

    # --- laws

    def check_laws(self) -> None:
        """AssertionError unless the events of every call are in a legal order, and ended calls are gone."""
        for call, types in self._by_call().items():
            assert issubclass(types[0], FIRST_EVENTS), f"{self.name}: {call} begins with {types[0].type}"
            ends = [place for place, kind in enumerate(types) if kind is e.CallEnded]
            assert len(ends) == (0 if call in self.calls else 1), f"{self.name}: {call} ended {len(ends)} times"
            late = [kind.type for kind in types[ends[0] + 1:] if kind not in AFTER_END] if ends else []
            assert not late, f"{self.name}: {call} says {late} after its end"

    def check_empty(self) -> None:
        """AssertionError unless nothing of any call is left anywhere."""
        assert not self.calls, f"{self.name}: {self.calls}"
        statistics = self.phone.desk.sip.statistics()
        assert not any(statistics.values()), f"{self.name}: {statistics}"
        assert not self.media.streams, f"{self.name}: {self.media.streams}"
        phone = self.phone
        left = [part for part in (
            phone.streams._streams, phone.playing._all, phone.taps._taps,
            phone.outgoing._targets, phone.offers.routes._asked, phone.digits._runs, phone.digits._infos,
            phone.digits._inband, phone.transfers._placed_for, phone.texts.sent, phone.texts._infos, phone.audio.links,
        ) if part]
        assert not left, f"{self.name}: {left}"

    def _by_call(self) -> dict[str, list[type[e.Event]]]:
        calls: dict[str, list[type[e.Event]]] = {}
        for event in self.events:
            if isinstance(event, e.CallEvent):
                calls.setdefault(event.call.id, []).append(type(event))
        return calls


AFTER_END: Final = (
    e.RecordingFinished, e.RecordingFailed, e.AudioStreamStopped, e.AudioStreamFailed, e.PlaybackFinished, e.PlaybackFailed,
)  # fmt: skip
"""A recording's file is complete, a program has been told, what was heard is counted a moment after the call is over."""


def two_phones(wire: Wire, seed: str = "", one: PhoneSettings | None = None,
               other: PhoneSettings | None = None) -> tuple[VirtualPhone, VirtualPhone]:
    """Put alice and bob on the wire."""
    return (VirtualPhone(wire, "alice", "10.0.0.1", one, seed=seed), VirtualPhone(wire, "bob", "10.0.0.2", other, seed=seed))


def talk(caller: VirtualPhone, callee: VirtualPhone, **options: object) -> tuple[str, str]:
    """Let one call the other, be answered, and both be active; returns the call's id on each side."""
    before = set(callee.calls)
    call = caller.dial(callee, **options)
    wire = caller.wire
    wire.run_until(lambda: bool(set(callee.calls) - before), 60)
    (there,) = set(callee.calls) - before
    wire.run_until(lambda: bool(callee.calls[there].address), 60)
    callee.execute(c.Answer(call=there))
    wire.run_until(lambda: call not in caller.calls or caller.calls[call].is_connected, 60)
    assert caller.calls[call].state is CallState.ACTIVE
    wire.run(wire.now + 4)  # the ACK, however often it was lost
    return call, there


def rings(phone: VirtualPhone) -> Callable[[], bool]:
    """Return a predicate: a call came in, and the way back to its caller is known."""
    return lambda: any(call.state is CallState.INCOMING and call.address for call in phone.calls.values())


def settle(wire: Wire, seconds: float = 20.0) -> None:
    """Let virtual time pass."""
    wire.run(wire.now + seconds)


def over(*phones: VirtualPhone) -> None:
    """Run until no call is left, then until every transaction has died; AssertionError if anything remains."""
    wire = phones[0].wire
    wire.run_until(lambda: not any(phone.calls for phone in phones), 120)
    settle(wire, 3 * SIXTY_FOUR_T1)
    for phone in phones:
        phone.check_laws()
        phone.check_empty()
