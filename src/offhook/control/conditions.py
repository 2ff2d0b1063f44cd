"""What can be waited for: conditions as clients write them, and what each says of the phone as it is and of an event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias, TypeVar, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from offhook.control.outcomes import Operation, Outcomes
from offhook.control.schema import EVENT_TYPES, to_json
from offhook.errors import CommandError, FieldError, InvalidArgument, InvalidState, NotFound, NotRegistered
from offhook.phone.commands import Accepted, Command, GetCall, ListAccounts, ListCalls
from offhook.phone.events import EVENTS, CallEvent
from offhook.phone.model import AccountView, CallState, CallView

WaitedState: TypeAlias = Literal[
    "calling", "ringing", "early", "incoming", "active", "held_local", "held_remote", "held_both", "ended", "answered"
]
"""The states of a call, and `answered`: it has been answered, whatever became of it since."""

MAX_CONDITIONS: Final = 16
"""Most conditions of one wait."""

MAX_DATA: Final = 16
"""Most fields of an event that one condition compares."""

MAX_SECONDS: Final = 86_400.0
"""Longest wait: a day. Who wants to wait longer asks again."""

WAIT_SECONDS: Final = 30.0
"""How long it is waited where nothing is said: shorter than most clients' patience."""

CALL_EVENTS: Final = tuple(event.type for event in EVENTS if issubclass(event, CallEvent) and event.type.startswith("call."))
"""The events that tell of a call's state."""

CALL_CONDITIONS: Final = (*get_args(WaitedState), *(event.type for event in EVENTS if issubclass(event, CallEvent)))
"""What can be waited for of one call, as one word."""

WITH_THE_CALL: Final = ("call.", "dtmf.", "transfer.", "vad.", "amd.", "tone.")
"""Events that do not come any more once their call has ended. (Figures and files are completed after it.)"""

Ask: TypeAlias = Callable[[Command], Accepted]
"""Carries out a command for the client that waits."""

T = TypeVar("T")


# --- as they are written -------------------------------------------------------------------------------------------


class Condition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing to wait for: one of `state`, `event`, `registered` and `operation`, and what belongs to it.

    `state`: a call is in this state (or has been answered; `ringing`: or is `early`, and rings); `call` says which, without it
    any call.
    `event`: an event of this type comes (call.ended, dtmf.*), about the call `call` if that is given, with these `data`.
    `registered`: an account is registered, named by its id or label; empty: all accounts that register.
    `operation`: what a command began is over, whether it succeeded or failed.
    """

    state: Annotated[WaitedState, Meta(description="The state of a call that is waited for.")] | UnsetType = UNSET
    event: Annotated[str, Meta(description="The type of an event: call.ended, dtmf.*, *.")] | UnsetType = UNSET
    registered: Annotated[str, Meta(description="An account's id or label; empty: all that register.")] | UnsetType = UNSET
    operation: Annotated[str, Meta(description="The id of an operation.")] | UnsetType = UNSET
    call: str | UnsetType = UNSET
    data: Annotated[dict[str, Any], Meta(
        max_length=MAX_DATA, description='Fields of the event and their values: {"digit": "#"}, {"call.muted": true}.',
    )] | UnsetType = UNSET  # fmt: skip


class WaitRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Wait for the first of some conditions. What is true already is an answer at once.

    `timeout` is seconds (over HTTP 60 at most). With `after`, an event's id, what has happened since that event counts, too.
    """

    conditions: Annotated[tuple[Condition, ...], Meta(
        min_length=1, max_length=MAX_CONDITIONS, description="The first one that is true is the answer.",
    )]  # fmt: skip
    timeout: Annotated[float, Meta(ge=0, le=MAX_SECONDS, description="Seconds to wait; over HTTP 60 at most.")] = WAIT_SECONDS
    after: Annotated[str, Meta(description="An event's id: what happened since counts, too.")] | None = None


# --- as they are watched -------------------------------------------------------------------------------------------


class Found(Struct, frozen=True, kw_only=True):
    """A condition is true, and what it is true of."""

    call: Mapping[str, Any] | None = None
    account: AccountView | None = None
    operation: Operation | None = None


Verdict: TypeAlias = Found | CommandError | None
"""It is true; it cannot become true any more, and why; it is not true yet."""


class Watched(Protocol):
    """A condition whose names are known to mean something.

    `keys` are the subjects and types of the events it wants to see. `as_told`: it looks at what subscribers have been told,
    which may be a moment behind the journal.
    """

    keys: frozenset[str]
    as_told: bool

    def now(self) -> Verdict:
        """Look at the phone as it is."""
        ...

    def see(self, event: Mapping[str, Any]) -> Verdict:
        """Look at an event, the whole envelope as JSON-able data."""
        ...

    def __str__(self) -> str:
        """What has not happened, for a message that says so: "call c_1 was not active"."""
        ...


def watched(condition: Condition, ask: Ask, outcomes: Outcomes) -> Watched:
    """Return the condition as it is watched. Raises CommandError, fields named from here on, for what makes no sense."""
    given = [name for name in ("state", "event", "registered", "operation") if getattr(condition, name) is not UNSET]
    if len(given) != 1:
        detail = "name one of state, event, registered, operation" + (f", not {' and '.join(given)}" if given else "")
        raise InvalidArgument(detail, errors=(FieldError("", detail),))
    kind = given[0]
    for name, kinds in (("call", ("state", "event")), ("data", ("event",))):
        if getattr(condition, name) is not UNSET and kind not in kinds:
            raise InvalidArgument.field(name, f"means something only beside {' and '.join(kinds)}")
    match kind:
        case "state":
            return _State(_given(condition.state), _call(condition, ask), ask)
        case "event":
            return _Event(_given(condition.event), _call(condition, ask), condition.data or {}, ask)
        case "registered":
            return _Registered(_given(condition.registered), ask)
        case _:
            return _Operation(_given(condition.operation), outcomes)


def _given(value: T | UnsetType) -> T:
    assert not isinstance(value, UnsetType)
    return value


def _call(condition: Condition, ask: Ask) -> str:
    """Return the id of the call that is meant, "" for any."""
    if isinstance(condition.call, UnsetType):
        return ""
    word = condition.call
    found: CallView = ask(GetCall(call="" if word == "current" else word)).value
    if word == "last" and found.state is CallState.ENDED:  # what is waited for concerns a call to come
        raise NotFound("there is no call")
    return found.id


class _State:
    """A call is in a state."""

    as_told = False

    def __init__(self, state: WaitedState, call: str, ask: Ask) -> None:
        self.keys = frozenset([f"calls/{call}"] if call else CALL_EVENTS)
        self._state = state
        self._call = call
        self._ask = ask

    def now(self) -> Verdict:
        if self._call:
            return self._judge(to_json(self._ask(GetCall(call=self._call)).value))
        views = (to_json(view) for view in self._ask(ListCalls()).value)
        return next((Found(call=view) for view in views if self._is(view)), None)

    def see(self, event: Mapping[str, Any]) -> Verdict:
        return self._judge(event["data"]["call"]) if event["type"] in CALL_EVENTS else None

    def _judge(self, view: Mapping[str, Any]) -> Verdict:
        if self._is(view):
            return Found(call=view)
        if self._call and view["state"] == CallState.ENDED:
            return InvalidState(f"call {self._call} has ended, and will not be {self._state}")
        return None

    def _is(self, view: Mapping[str, Any]) -> bool:
        if self._state == "answered":
            return view["answered"] is not None
        if self._state == "ringing" and view["state"] == CallState.EARLY:
            return view["ringing"] is not None  # it rings after it was said where its sound will come from (183, then 180)
        return bool(view["state"] == self._state)

    def __str__(self) -> str:
        return f"call {self._call} was not {self._state}" if self._call else f"no call was {self._state}"


class _Event:
    """An event comes."""

    as_told = False

    def __init__(self, pattern: str, call: str, data: Mapping[str, Any], ask: Ask) -> None:
        self._types = _types(pattern)
        self._subject = f"calls/{call}" if call else ""
        self._pattern = pattern
        self._call = call
        self._ask = ask
        self._data = [(_path(name, self._types), value) for name, value in data.items()]
        self._ends = bool(call) and all(type_.startswith(WITH_THE_CALL) for type_ in self._types)
        self.keys = frozenset([self._subject]) if call else self._types

    def now(self) -> Verdict:
        if self._ends and self._ask(GetCall(call=self._call)).value.state is CallState.ENDED:
            return self._over()
        return None

    def see(self, event: Mapping[str, Any]) -> Verdict:
        if self._subject and event["subject"] != self._subject:
            return None
        if event["type"] in self._types and all(_same(_at(event["data"], path), value) for path, value in self._data):
            return Found(call=event["data"].get("call") if event["subject"].startswith("calls/") else None)
        return self._over() if self._ends and event["type"] == "call.ended" else None

    def _over(self) -> InvalidState:
        return InvalidState(f"call {self._call} has ended, and no {self._pattern} will come")

    def __str__(self) -> str:
        about = f" about call {self._call}" if self._call else ""
        return f"no {self._pattern}{about}{' with these data' if self._data else ''} came"


class _Registered:
    """An account, or all that register, are registered."""

    as_told = False
    keys = frozenset(type_ for type_ in EVENT_TYPES if type_.startswith("account."))

    def __init__(self, account: str, ask: Ask) -> None:
        self._account = account
        self._ask = ask

    def now(self) -> Verdict:
        try:
            view = settled(self._account, self._ask(ListAccounts()).value)
        except NotFound as error:
            return error
        if view is None or view.registration == "registered":
            return Found(account=view) if view else None
        said = f"{view.sip_status or ''} {view.reason}".strip()
        again = f"; the next attempt is in {view.retry_in:.0f} s" if view.retry_in is not None else ""
        return NotRegistered(f"account {view.id} is not registered: {said}{again}", retry_after=view.retry_in or 0.0)

    def see(self, event: Mapping[str, Any]) -> Verdict:
        return self.now()

    def __str__(self) -> str:
        return f"account {self._account} was not registered" if self._account else "not all accounts were registered"


def settled(account: str, views: Iterable[AccountView]) -> AccountView | None:
    """Return the account that the registrar refuses, else the first one once all that are meant are registered.

    `account` is an id or a label; "" means all that register. Raises NotFound where there is none.
    """
    wanted = [view for view in views if account in ("", view.id, view.label)]
    if not wanted:
        raise NotFound(f"there is no account {account[:64]!r}" if account else "there is no account")
    failed = next((view for view in wanted if view.registration == "failed"), None)
    register = [view for view in wanted if account or view.registration != "unregistered"]
    if failed is None and register and all(view.registration == "registered" for view in register):
        return register[0]
    return failed


class _Operation:
    """An operation is over."""

    as_told = True  # its outcome is known when subscribers are told of it

    def __init__(self, operation: str, outcomes: Outcomes) -> None:
        outcomes.get(operation)  # or NotFound
        self.keys = frozenset([f"operations/{operation}"])
        self._operation = operation
        self._outcomes = outcomes

    def now(self) -> Verdict:
        found = self._outcomes.get(self._operation)
        return Found(operation=found) if found.state != "pending" else None

    def see(self, event: Mapping[str, Any]) -> Verdict:
        return self.now()

    def __str__(self) -> str:
        return f"operation {self._operation} was not over"


# --- what an event must be -----------------------------------------------------------------------------------------


def _types(pattern: str) -> frozenset[str]:
    stem = pattern.removesuffix("*")
    if pattern == "*" or pattern.endswith(".*"):
        found = frozenset(type_ for type_ in EVENT_TYPES if type_.startswith(stem))
    else:
        found = frozenset([pattern]) & frozenset(EVENT_TYPES)
    if not found:
        raise InvalidArgument.field("event", f"there is no event {pattern[:64]!r}; `offhook help types` lists them")
    return found


def _path(name: str, types: frozenset[str]) -> Sequence[str]:
    """Return the way to a field of an event: "digit", or "call.remote.uri"."""
    first, *rest = name.split(".")
    known = {field for event in EVENTS if event.type in types for field in event.__struct_fields__}
    if first not in known:
        detail = f"these events have no such field; there are: {', '.join(sorted(known))}"
        raise InvalidArgument.field(f"data/{name[:64]}", detail)
    return (first, *rest)


def _at(data: Any, path: Sequence[str]) -> Any:
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def _same(found: Any, wanted: Any) -> bool:
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)  # to Python, True is 1
