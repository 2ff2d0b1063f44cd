"""What the parts of the phone share: the calls, the accounts, the SIP endpoint below and the outbox to the outside."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, TypeAlias

from msgspec import structs

from offhook.errors import AmbiguousCall, CommandError, InvalidState, NotFound
from offhook.ids import Ids
from offhook.media.messages import DeviceInfo, MediaCommand, PlaceStream, StreamStats
from offhook.phone.call import HELD, OUTGOING_UNANSWERED, Call
from offhook.phone.events import Event, OperationFailed, OperationSucceeded
from offhook.phone.model import STATUS_NAMES, AccountFlow, AudioView, CallState, CallView, RegistrationState, StatusView
from offhook.phone.names import Names
from offhook.phone.settings import AccountSettings, PhoneSettings
from offhook.phone.web_requests import WebRequest
from offhook.phone.workers import Workers
from offhook.sip.door import Rules
from offhook.sip.endpoint import Endpoint
from offhook.sip.events import CloseFlow, Resolve, SipCommand, Transmit
from offhook.sip.timers import Timer, TimerQueue

PhoneOutput: TypeAlias = Transmit | Resolve | CloseFlow | MediaCommand | Event | WebRequest

KEPT_ENDED: Final = 100
"""Ended calls that GetCall still answers."""

UNREACHABLE: Final = frozenset({408, 500, 502, 503, 504})
"""Answers that speak of the server and not of us (RFC 3261 21.5). Silence becomes 408, a refused connection 503."""


_INCOMING: Final = frozenset({CallState.INCOMING})
_age = attrgetter("serial")


@dataclass(slots=True)
class Account:
    """An account and how its registration is."""

    settings: AccountSettings
    state: RegistrationState = "unregistered"
    expires: int = 0
    sip_status: int = 0
    reason: str = ""
    retry_at: float | None = None
    """When the next attempt is due; None where there is none."""
    bound_until: float = 0.0
    """When what the registrar granted last runs out: the registrar knows us until then, also where it could not renew that."""
    server: int = 0
    """Which of `servers` is in use."""
    looks_back: Timer | None = None
    """Runs until the next look at the first server, and is kept until that has answered."""
    flows: dict[int, AccountFlow] = field(default_factory=dict)
    """The two that it is registered over at once, by their numbers, as they were told; none where it is one."""
    flows_retry_at: dict[int, float] = field(default_factory=dict)
    """When the next attempt of those that are not there is due."""
    failed: bool = False
    """The latest attempt to register failed, even if the next one is on its way."""
    parting: Timer | None = None
    """Runs while a former address is being unregistered; what the settings say of registering is done after that."""

    def parts(self) -> bool:
        """Wait no longer for the former address; say whether it was waited for."""
        timer, self.parting = self.parting, None
        if timer is not None:
            timer.stop()
        return timer is not None

    def is_bound(self, now: float) -> bool:
        """Whether the registrar knows us still, though it did not renew the registration when it was asked to.

        That says nothing of calls, if it was for a trouble of its own; who refuses us refuses our calls as well.
        """
        return self.failed and self.sip_status in UNREACHABLE and now < self.bound_until

    @property
    def will_register(self) -> bool:
        """A registration is under way and nothing speaks against it."""
        return self.state == "registering" and not self.failed

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers to use, the preferred one first; "" is the domain's own."""
        return self.settings.proxy, *self.settings.backups


class Desk:
    """The shared state. `clock` is Unix time minus monotonic time; `now` is set at every verb.

    `run` names this run of the phone in the ids of operations: what an earlier one began is never taken for ours.
    """

    def __init__(self, settings: PhoneSettings, ids: Ids, user_agent: str, rules: Rules | None = None, run: str = "") -> None:
        self.settings = settings
        self.ids = ids
        self.user_agent = user_agent
        self.sip = Endpoint(ids, user_agent=user_agent, rules=rules)
        self.timers = TimerQueue()
        self.outbox: deque[PhoneOutput] = deque()
        self.calls: dict[str, Call] = {}
        self._by_state: dict[CallState, dict[str, Call]] = {state: {} for state in CallState}
        self.ended: dict[str, CallView] = {}
        self.on_stepped: list[Callable[[Call, CallState], None]] = []  # told of each step of a call, with the state before
        self.ended_stats: dict[str, StreamStats] = {}
        self.accounts: dict[str, Account] = {}
        self.names = Names()
        self.workers = Workers(settings.max_load)
        self.devices: tuple[DeviceInfo, ...] = ()
        self.audio = AudioView(
            settings.output_volume,
            settings.mic_volume,
            False,
            settings.input_device,
            settings.output_device,
            settings.ring_device,
            settings.echo_cancellation,
            settings.noise_suppression,
            settings.gain_control,
        )
        self.now = 0.0
        self.clock = 0.0
        self.last_ended: float | None = None
        self.draining = False  # no new calls
        self.stopping = False  # no new commands
        self._for_person: set[str] = set()  # incoming calls that ring here
        self._order = self._serial = 0
        self._operations = 0
        self._operation = f"op_{run}-" if run else "op_"

    # --- out

    def emit(self, event: Event) -> None:
        """Tell everyone."""
        self.outbox.append(event)

    def media(self, command: MediaCommand) -> None:
        """Tell the media engine."""
        self.outbox.append(command)

    def signal(self, command: SipCommand) -> None:
        """Tell the SIP endpoint."""
        self.sip.execute(command, self.now)

    def left(self, until: float | None) -> float | None:
        """Return in how many seconds something is due; None where it is not."""
        return None if until is None else max(0.0, round(until - self.now, 3))

    @property
    def wall(self) -> float:
        """Unix seconds."""
        return self.now + self.clock

    def new_name(self, kind: str, taken: Container[str]) -> str:
        """Return a name that nothing has. A program may have chosen one like ours, which it knew from an earlier run."""
        while (name := f"{kind}_{self.next_order()}") in taken:
            pass
        return name

    def next_order(self) -> int:
        """Return a number greater than all before."""
        self._order += 1
        return self._order

    # --- timers of calls

    def after(self, call: Call, name: str, seconds: float, action: Callable[[Call], None]) -> None:
        """Run `action(call)` after `seconds`, unless the call ends or the timer of that name is set again or stopped."""
        self.stop(call, name)
        call.timers[name] = self.timers.start(self.now + seconds, lambda _now: action(call))

    def stop(self, call: Call, name: str) -> None:
        """Stop the call's timer of that name, if it runs."""
        timer = call.timers.pop(name, None)
        if timer is not None:
            timer.stop()

    # --- operations

    def begin(self, command: str, call: Call | None = None, kind: str = "") -> str:
        """Return a new operation's id; with a call it is kept under `kind` until `finish`."""
        self._operations += 1
        operation = f"{self._operation}{self._operations}"
        if call is not None:
            call.operations.setdefault(kind or command, []).append((operation, command))
        return operation

    def finish(self, call: Call, kind: str, *, error: str = "", sip_status: int = 0) -> None:
        """End every operation of that kind: succeeded, or failed when `error` says why."""
        for operation, command in call.operations.pop(kind, ()):
            if error:
                self.emit(
                    OperationFailed(operation=operation, command=command, call=call.id, sip_status=sip_status, reason=error)
                )
            else:
                self.emit(OperationSucceeded(operation=operation, command=command, call=call.id))

    # --- calls

    def add(self, call: Call, beside: Call | None = None) -> None:
        """Take a new call in. The status "disconnected" of the one before is over.

        Its sound is where that of the call `beside` it (else its parent's) is, so that the two can hear each other.
        """
        near = beside or self.calls.get(call.parent)
        call.worker = self.workers.place(None if near is None else near.worker)
        if call.worker:
            self.media(PlaceStream(call.id, call.worker))
        self._serial += 1
        call.serial, call.on_step = self._serial, self._stepped
        self.calls[call.id] = self._by_state[call.state][call.id] = call
        self.last_ended = None

    def has_port(self, call: Call) -> bool:
        """Say whether a media port is ready for the call."""
        return self.workers.has_port(call.worker)

    def _stepped(self, call: Call, before: CallState) -> None:
        self._by_state[before].pop(call.id, None)
        self._for_person.discard(call.id)
        if call.id in self.calls:
            self._by_state[call.state][call.id] = call
        for follow in self.on_stepped:
            follow(call, before)

    def in_state(self, states: frozenset[CallState]) -> list[Call]:
        """Return the running calls in one of these states, oldest first. Costs what they are, however many others there are."""
        by_state = self._by_state
        found = [call for state in states for call in by_state[state].values()]
        if len(found) > 1:
            found.sort(key=_age)
        return found

    def any_in(self, states: frozenset[CallState]) -> bool:
        """Return whether a call is in one of these states."""
        return any(self._by_state[state] for state in states)

    def any_of(self, state: CallState, fits: Callable[[Call], bool]) -> bool:
        """Return whether this is so of a call in that state."""
        return any(map(fits, self._by_state[state].values()))

    def active(self) -> list[Call]:
        """Return the active calls, the latest activated last."""
        return sorted(self._by_state[CallState.ACTIVE].values(), key=lambda call: call.order)

    def incoming(self) -> list[Call]:
        """Return the ringing incoming calls, oldest first."""
        return self.in_state(_INCOMING)

    def rings(self) -> bool:
        """Return whether a call waits for a person to answer it."""
        return bool(self._for_person)

    def ring(self, call: Call) -> None:
        """Have an incoming call wait for a person, for as long as it is not answered otherwise."""
        self._for_person.add(call.id)

    def current(self) -> Call | None:
        """Return the call STATUS speaks of: the active one, else a ringing one (incoming first), else the one held last."""
        active = self.active()
        if active:
            return active[-1]
        ringing = self.incoming() or self.in_state(OUTGOING_UNANSWERED)[::-1]
        if ringing:
            return ringing[0]
        held = sorted(self.in_state(HELD), key=lambda call: call.held_order)
        return held[-1] if held else None

    def default_account(self) -> Account | None:
        """Return the account that dials where none is named: the one that was chosen, else the first."""
        return self.accounts.get(self.settings.default_account) or next(iter(self.accounts.values()), None)

    def arrange_accounts(self, order: tuple[str, ...]) -> None:
        """Put the accounts into this order; those that it does not name stay as they are, behind."""
        self.accounts = {name: self.accounts[name] for name in dict.fromkeys((*order, *self.accounts)) if name in self.accounts}

    def find(self, name: str) -> Call:
        """Return the running call for an id, "active", "ringing", "last" or "" (the current one).

        Raises NotFound, or AmbiguousCall when the word fits several.
        """
        if name == "":
            call = self.current()
            if call is None:
                raise NotFound("there is no call")
            return call
        if name in ("active", "ringing"):
            return self._only(self.active() if name == "active" else self.in_state(OUTGOING_UNANSWERED) + self.incoming(), name)
        if name == "last" and self.calls:
            return next(reversed(self.calls.values()))
        if name in self.ended:
            raise NotFound(f"call {name} is over")
        if name not in self.calls:
            raise NotFound(f"there is no call {name!r}" if name != "last" else "there is no call")
        return self.calls[name]

    def _only(self, calls: list[Call], word: str) -> Call:
        if not calls:
            raise NotFound(f"no call is {word}")
        if len(calls) > 1:
            raise AmbiguousCall(f"{len(calls)} calls are {word}: name one by its id")
        return calls[0]

    def find_connected(self, name: str) -> Call:
        """Return the call, which must be answered and not over."""
        call = self.find(name)
        if not call.is_connected:
            raise InvalidState(f"call {call.id} is {call.state}, not connected")
        return call

    def status(self) -> StatusView:
        """Return what STATUS says now."""
        call = self.current()
        if call is not None:
            code = call.state.status
            return StatusView(code, STATUS_NAMES[code], call.id, call.remote.uri, len(self.calls))
        lingering = self.last_ended is not None and self.now - self.last_ended < self.settings.status_linger
        code = 4 if lingering else 0
        return StatusView(code, STATUS_NAMES[code])

    def forget(self, call: Call) -> CallView:
        """Move an ended call from the running ones to the remembered ones; return how it ended."""
        for timer in call.timers.values():
            timer.stop()
        call.timers.clear()
        self.calls.pop(call.id, None)
        self.workers.leave(call.worker)
        self._by_state[call.state].pop(call.id, None)
        view = self.ended[call.id] = call.view()
        if call.stats is not None:
            self.ended_stats[call.id] = call.stats
        if len(self.ended) > KEPT_ENDED:
            oldest = next(iter(self.ended))
            del self.ended[oldest]
            self.ended_stats.pop(oldest, None)
        if not self.calls:
            self.last_ended = self.now
        return view

    def set_audio(self, **changes: str | int | bool) -> None:
        """Change the audio view."""
        self.audio = structs.replace(self.audio, **changes)

    def attempt(self, command: SipCommand) -> CommandError | None:
        """Tell the SIP endpoint; return its refusal instead of raising it."""
        try:
            self.signal(command)
        except CommandError as error:
            return error
        return None
