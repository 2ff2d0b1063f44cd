"""Programs that run when something happens: MicroSIP's eight occasions, and any event. The phone never waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from offhook.control.backend import Backend, Envelope, Unsubscribe
from offhook.control.feed import event_types
from offhook.errors import ParseError
from offhook.io.programs import Outcome, Programs, Run
from offhook.phone.events import (
    CallActive,
    CallCalling,
    CallDecided,
    CallEnded,
    CallEvent,
    CallIncoming,
    HookFailed,
    MessageReceived,
)
from offhook.sip.uri import Uri

AT_ONCE: Final = 8
"""Programs that run at the same time."""

WAITING: Final = 1000
"""Programs that wait for their turn; what comes on top is not run, and said."""

CLOSE_SECONDS: Final = 3.0
"""What the programs of the last events get when the phone ends."""

MAX_VALUE: Final = 4096
"""Characters of one environment variable."""

MAX_VARIABLES: Final = 200
MAX_JSON: Final = 16 * 1024
"""Bytes up to which the whole event is given as JSON too; Windows takes 32767 characters in a variable."""

_BUSY: Final = frozenset({486, 600, 603})


@dataclass(frozen=True, slots=True)
class Hook:
    """One program for some events. `run` is the program and its arguments; see `arguments` for what is put in.

    `types` are patterns as in a subscription. `occasion` (a key of OCCASIONS) chooses more closely; then `types` is not used.
    """

    name: str
    run: tuple[str, ...]
    types: tuple[str, ...] = ()
    occasion: str = ""
    timeout: float = 10.0


# --- when -----------------------------------------------------------------------------------------------------------


def _answered_incoming(envelope: Envelope) -> bool:
    return isinstance(envelope.event, CallActive) and envelope.event.call.direction == "incoming"


def _rings(envelope: Envelope) -> bool:
    return isinstance(envelope.event, CallIncoming | CallDecided) and envelope.event.rings


def _is_busy(envelope: Envelope) -> bool:
    end = envelope.event.call.end if isinstance(envelope.event, CallEnded) else None
    return end is not None and end.sip_status in _BUSY


OCCASIONS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Envelope], bool]]]] = {
    "on_outgoing_call": (("call.calling",), lambda envelope: isinstance(envelope.event, CallCalling)),
    "on_incoming_call": (("call.incoming",), lambda envelope: isinstance(envelope.event, CallIncoming)),
    "on_call_ring": (("call.incoming", "call.decided"), _rings),
    "on_call_answer": (("call.active",), _answered_incoming),
    # There is no video here, so this one is accepted and never comes.
    "on_call_answer_video": ((), lambda envelope: False),
    "on_call_start": (("call.active",), lambda envelope: isinstance(envelope.event, CallActive)),
    "on_call_busy": (("call.ended",), _is_busy),
    "on_call_end": (("call.ended",), lambda envelope: isinstance(envelope.event, CallEnded) and not _is_busy(envelope)),
}
"""MicroSIP's cmdOutgoingCall … cmdCallEnd: the types of events to look at, and which of them count."""


class Hooks:
    """Runs the hooks' programs from `start` on. What goes wrong becomes `hook.failed`."""

    def __init__(
        self, backend: Backend, hooks: Sequence[Hook], *, at_once: int = AT_ONCE, waiting: int = WAITING,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._backend = backend
        self._inherited = dict(os.environ if environment is None else environment)
        self._programs = Programs(at_once, waiting)
        self._by_type: dict[str, list[Hook]] = {}
        self._full = False
        self._unsubscribe: Unsubscribe | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        for hook in hooks:
            types = OCCASIONS[hook.occasion][0] if hook.occasion else event_types(list(hook.types))
            for type_ in types:
                self._by_type.setdefault(type_, []).append(hook)
        self._by_type.pop(HookFailed.type, None)  # a hook that fails for its own failure would never end

    def start(self) -> None:
        """Run programs from now on."""
        self._loop = asyncio.get_running_loop()
        self._unsubscribe = self._backend.subscribe(self._heard)

    async def close(self) -> None:
        """Let the last programs come to their end for a moment."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
            await asyncio.get_running_loop().run_in_executor(None, self._programs.close, CLOSE_SECONDS)

    def _heard(self, envelope: Envelope) -> None:
        for hook in self._by_type.get(envelope.type, ()):
            if not hook.occasion or OCCASIONS[hook.occasion][1](envelope):
                self._run(hook, envelope)

    def _run(self, hook: Hook, envelope: Envelope) -> None:
        taken = self._programs.start(partial(self._prepare, hook, envelope), partial(self._done, hook, envelope))
        if not taken and not self._full:
            self._backend.say(_failed(hook, envelope, Outcome(None, "too many programs wait: until there is room none is run")))
        self._full = not taken

    # --- in a helper thread

    def _prepare(self, hook: Hook, envelope: Envelope) -> Run:
        environment = {**self._inherited, **variables(envelope)}
        return Run(arguments(hook.run, envelope), environment, hook.timeout, foreign=foreign(hook.run, envelope))

    def _done(self, hook: Hook, envelope: Envelope, outcome: Outcome) -> None:
        if outcome.reason and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the phone is gone
                self._loop.call_soon_threadsafe(self._backend.say, _failed(hook, envelope, outcome))


def _failed(hook: Hook, envelope: Envelope, outcome: Outcome) -> HookFailed:
    return HookFailed(
        hook=hook.name, event=envelope.id, program=hook.run[0], reason=outcome.reason, status=outcome.status,
        complaint=outcome.complaint.strip(),
    )  # fmt: skip


# --- what a program gets --------------------------------------------------------------------------------------------

_PLACE = re.compile(r"\{([a-z_]+)\}")


def number(envelope: Envelope) -> str:
    """Return the number of the far end: the user part of its address, without parameters; "" where there is none."""
    event = envelope.event
    party = event.call.remote if isinstance(event, CallEvent) else event.remote if isinstance(event, MessageReceived) else None
    if party is None:
        return ""
    try:
        return Uri.parse(party.uri).number
    except ParseError:
        return ""


def _display(envelope: Envelope) -> str:
    return envelope.event.call.remote.display if isinstance(envelope.event, CallEvent) else ""


PLACES: Final[Mapping[str, Callable[[Envelope], str]]] = {
    "number": number,
    "name": _display,
    "uri": lambda envelope: envelope.event.call.remote.uri if isinstance(envelope.event, CallEvent) else "",
    "call": lambda envelope: envelope.event.call.id if isinstance(envelope.event, CallEvent) else "",
    "account": lambda envelope: envelope.account,
    "event": lambda envelope: envelope.type,
}
"""What `{…}` in an argument stands for."""


def arguments(run: Sequence[str], envelope: Envelope) -> tuple[str, ...]:
    """Return the program and its arguments for one event.

    `{number}` and the other PLACES are put in; where none is written, the number is the last argument, as MicroSIP gives it.
    What comes from outside is never looked at again: it stays within its argument, whatever is in it.
    """
    found = tuple(_PLACE.sub(lambda place: _put_in(place, envelope), text) for text in run[1:])
    if found == tuple(run[1:]):
        found = (*found, _without_nul(number(envelope)))
    return (run[0], *found)


def foreign(run: Sequence[str], envelope: Envelope) -> tuple[str, ...]:
    """Return what `arguments` puts in."""
    places = [place for text in run[1:] for place in _PLACE.findall(text) if place in PLACES]
    return tuple(_without_nul(PLACES[place](envelope)) for place in places or ["number"])


def _put_in(place: re.Match[str], envelope: Envelope) -> str:
    value = PLACES.get(place[1])
    return place[0] if value is None else _without_nul(value(envelope))


def _without_nul(text: str) -> str:
    return text.replace("\0", "")


def variables(envelope: Envelope) -> dict[str, str]:
    """Return the event's fields as environment variables: OFFHOOK_EVENT, OFFHOOK_CALL_REMOTE_URI, OFFHOOK_DIGIT …

    Headers and tags go by their names (OFFHOOK_CALL_HEADERS_X_QUEUE). Control characters become blanks, long values are cut;
    OFFHOOK_EVENT_JSON is the whole event, unless it is very large.
    """
    found = {
        "OFFHOOK_EVENT": envelope.type, "OFFHOOK_EVENT_ID": envelope.id, "OFFHOOK_TIME": envelope.time,
        "OFFHOOK_SUBJECT": envelope.subject, "OFFHOOK_ACCOUNT": envelope.account, "OFFHOOK_INSTANCE": envelope.instance,
        "OFFHOOK_NUMBER": number(envelope),
    }  # fmt: skip
    for name, value in _flat("OFFHOOK", envelope.data):
        if len(found) < MAX_VARIABLES and name not in _OURS:
            found.setdefault(name, value)
    found = {name: _clean(value) for name, value in found.items()}
    if len(envelope.json) <= MAX_JSON:
        found["OFFHOOK_EVENT_JSON"] = envelope.json.decode()
    return found


_OURS: Final = frozenset({"OFFHOOK_HOME", "OFFHOOK_SOCKET"})
"""Variables that tell `offhook` in a hook which phone is meant; no field may change them."""


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}_{_word(str(key))}", inner)
    elif isinstance(value, list | tuple) and value and all(_is_pair(item) for item in value):
        for key, inner in value:
            yield f"{name}_{_word(key)}", inner
    else:
        yield name, _text(value)


def _is_pair(item: object) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2 and all(isinstance(part, str) for part in item)


def _word(key: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", key[:64].upper())


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _clean(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", " ", text[:MAX_VALUE])
