"""Who may do what: scopes, limits against toll fraud, and an audit event for every command that changes something."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final, get_args

from offhook.control.backend import Accepted, Backend, Cause, Command
from offhook.control.dial_rules import DialRules
from offhook.errors import CommandError, DialPlanDenied, Forbidden, RateLimited, TooManyCalls
from offhook.io.audio_link import AudioLink
from offhook.phone.commands import (
    AcceptTransfer,
    Answer,
    Capture,
    CreateWatch,
    Decide,
    Detect,
    Dial,
    ListCalls,
    OpenAudio,
    Pickup,
    Play,
    Record,
    Redirect,
    Scope,
    SendMessage,
    SetForwarding,
    StreamAudio,
    Transfer,
    TransferAttended,
)
from offhook.phone.events import AuditCommand, AuditDenied
from offhook.phone.recording import SUFFIXES

ALL_SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))

COSTLY: Final = (Dial, Transfer, TransferAttended, Pickup, Redirect, AcceptTransfer, SetForwarding, SendMessage)
"""What can cause a call or a text to somebody, and so a bill."""

PLACING: Final = (Dial, AcceptTransfer, Pickup)
"""What makes a new call that stays with us."""

REACHING: Final = (Play, StreamAudio)
"""What can send the phone to a web address of the client's choice."""

MAX_AUDITED: Final = 256
"""Characters of each text in an audit event: what is refused may be as long as a request, and is told to everybody."""

MINUTE: Final = 60.0

MAX_DENIALS: Final = 10
"""Wrong tokens a minute from one peer; further ones are told to wait. A good one passes always."""

MAX_PEERS: Final = 1000
"""Peers whose wrong tokens are counted."""


@dataclass(slots=True)
class Client:
    """Somebody who gives commands. `calls_per_minute` bounds what costs money, `max_calls` how many of its calls run at once; 0
    is no bound. `rules` say whom it may call.

    `name` stands in audit events and in the cause of events; it is not secret.
    """

    name: str
    scopes: frozenset[Scope] = ALL_SCOPES
    calls_per_minute: int = 0
    max_calls: int = 0
    rules: DialRules | None = None
    _costly: deque[float] = field(default_factory=deque)
    _calls: set[str] = field(default_factory=set)

    def check(self, scope: Scope) -> None:
        """Raise Forbidden if the client may not use operations of this scope."""
        if scope not in self.scopes:
            allowed = ", ".join(sorted(self.scopes)) or "nothing"
            raise Forbidden(f"this needs the scope {scope!r}; the token of {self.name!r} allows {allowed}")

    def spend(self, now: float) -> None:
        """Count one costly command; raise RateLimited beyond `calls_per_minute`."""
        while self._costly and self._costly[0] <= now - MINUTE:
            self._costly.popleft()
        if self.calls_per_minute and len(self._costly) >= self.calls_per_minute:
            wait = self._costly[0] + MINUTE - now
            detail = f"{self.name!r} may make {self.calls_per_minute} calls a minute; try again in {wait:.0f} s"
            raise RateLimited(detail, retry_after=wait)
        self._costly.append(now)

    def check_target(self, command: Command, dialled: Callable[[str, str], Iterable[str]]) -> None:
        """Raise DialPlanDenied for a command that would call somebody whom the client may not call.

        `dialled` says what the accounts make of a number: `Backend.dialled`.
        """
        if self.rules is None:
            return
        if isinstance(command, AcceptTransfer):
            raise DialPlanDenied(f"{self.name!r} has dial rules and cannot accept a transfer: the far end chooses whom to call")
        to = getattr(command, "to", "")
        if to:  # the end of a forwarding goes to nobody
            self.rules.check(to, self.name, dialled(to, getattr(command, "account", "")))

    def take_over(self, former: Client) -> None:
        """Go on counting where the same client stood before its limits were changed."""
        self._costly, self._calls = former._costly, former._calls

    def check_running(self, running: Iterable[str]) -> None:
        """Raise TooManyCalls if as many of its calls run as may; `running` are the ids of all calls."""
        self._calls.intersection_update(running)
        if len(self._calls) >= self.max_calls:
            raise TooManyCalls(f"{self.name!r} has {len(self._calls)} calls, which is the limit of its token")

    def placed(self, call: str) -> None:
        """Remember a call that it has placed."""
        if self.max_calls:
            self._calls.add(call)


def local_client(name: str = "local") -> Client:
    """Return the client that is this machine's own user, who may do everything."""
    return Client(name)


class Gate:
    """Lets a client's commands through to the phone, or not. `clock` gives monotonic seconds."""

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock

    def execute(self, command: Command, client: Client, request_id: str = "") -> Accepted:
        """Carry out a command for a client; raises CommandError (Forbidden, RateLimited, or what the phone says)."""
        with self._audited(command, client) as outcome:
            client.check(command.scope)
            if isinstance(command, Capture) and command.keys:
                client.check("keys")
            if isinstance(command, Dial | Answer):
                _check_wishes(command, client)
            if "admin" not in client.scopes:
                _check_file(command, client)
            if isinstance(command, REACHING) and command.url:
                self._check_reach(command, client)
            if isinstance(command, CreateWatch):  # whom it watches says whom a Pickup calls, and its id is the client's choice
                client.check_target(command, self._backend.dialled)
            costly = isinstance(command, COSTLY) or (isinstance(command, Decide) and command.action == "redirect")
            if costly:
                self._check_cost(command, client)
            accepted = self._backend.execute(command, Cause(client=client.name, request_id=request_id))
            if costly and isinstance(command, PLACING):
                client.placed(accepted.call)
            outcome.append(accepted.call)
        return accepted

    def _check_cost(self, command: Command, client: Client) -> None:
        client.check_target(command, self._backend.dialled)
        if client.max_calls and isinstance(command, PLACING):
            client.check_running(call.id for call in self._backend.execute(ListCalls()).value)
        client.spend(self._clock())

    def _check_reach(self, command: Play | StreamAudio, client: Client) -> None:
        self._backend.check_url(command.url, anywhere="admin" in client.scopes, name=client.name)
        if isinstance(command, StreamAudio) and (command.control or command.end_call):
            client.check("call")

    def open_audio(self, command: OpenAudio, client: Client) -> AudioLink:
        """Open an audio link for a client; raises CommandError."""
        with self._audited(command, client) as outcome:
            client.check(command.scope)
            link = self._backend.open_audio(
                command.call, command.rate, hear=command.hear, speak=command.speak, near=command.near,
                cause=Cause(client=client.name),
            )  # fmt: skip
            outcome.append(link.call)
        return link

    @contextlib.contextmanager
    def _audited(self, command: Command, client: Client) -> Iterator[list[str]]:
        """Say what became of a command; the block adds the call it concerned."""
        outcome: list[str] = []
        try:
            yield outcome
        except CommandError as error:
            self._audit(command, client, error.code, "", error.detail)
            raise
        detail = "with keys" if isinstance(command, Capture) and command.keys else ""
        self._audit(command, client, "accepted", outcome[0], detail)

    def _audit(self, command: Command, client: Client, outcome: str, call: str, detail: str = "") -> None:
        if command.scope == "read":
            return
        call, to = call or getattr(command, "call", ""), getattr(command, "to", "")
        self._backend.say(AuditCommand(
            client=client.name, command=command.operation, outcome=outcome, call=call[:MAX_AUDITED], to=to[:MAX_AUDITED],
            detail=detail[:MAX_AUDITED],
        ))  # fmt: skip


def _check_wishes(command: Dial | Answer, client: Client) -> None:
    """Raise Forbidden if the client may not do by itself what is to be done once the call is answered."""
    for wished, scope in ((command.record, Record.scope), (command.play, Play.scope), (command.detect, Detect.scope)):
        if wished:
            client.check(scope)


def _check_file(command: Command, client: Client) -> None:
    """Raise Forbidden for a file that only who may do everything may name.

    Another machine's (a UNC path) is a way into the network, and Windows logs in there. What a client says in a call is what a
    recording of it holds, byte for byte; so it is no file that another program would read as a script or as settings.
    """
    file = command.play if isinstance(command, Dial | Answer) else command.file if isinstance(command, Play | Record) else ""
    if file[:1] in ("/", "\\") and file[1:2] in ("/", "\\"):
        raise Forbidden(f"{client.name!r} may not name a file of another machine, {file[:100]!r}: this needs the scope 'admin'")
    if isinstance(command, Record) and file and PurePath(file).suffix.lower() not in SUFFIXES:
        raise Forbidden(
            f"{client.name!r} may record into files that end in {', '.join(SUFFIXES)}: any other name needs the scope 'admin'"
        )


class Denials:
    """Counts who was turned away at one surface, and says so once a minute. `clock` gives monotonic seconds."""

    def __init__(self, backend: Backend, surface: str, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._surface = surface
        self._clock = clock
        self._untold = 0
        self._next = 0.0
        self._recent: dict[str, deque[float]] = {}

    def note(self, peer: str, reason: str) -> None:
        """Count one attempt from `peer`."""
        now = self._clock()
        self._remember(peer, now)
        self._untold += 1
        if now >= self._next:
            self._backend.say(AuditDenied(surface=self._surface, reason=reason, peer=peer, attempts=self._untold))
            self._untold = 0
            self._next = now + MINUTE

    def wait(self, peer: str) -> float:
        """Return the seconds `peer` should wait before another attempt; 0 while it has not made too many."""
        found = self._recent.get(peer)
        if found is None or len(found) < MAX_DENIALS:
            return 0.0
        return max(0.0, found[0] + MINUTE - self._clock())

    def _remember(self, peer: str, now: float) -> None:
        found = self._recent.pop(peer, None) or deque(maxlen=MAX_DENIALS)
        found.append(now)
        self._recent[peer] = found  # the latest peer last: the one that was silent longest makes room
        if len(self._recent) > MAX_PEERS:
            del self._recent[next(iter(self._recent))]
