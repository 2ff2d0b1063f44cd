"""Waiting: what is true already, what comes, what can come no more; the journal decides, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from msgspec.structs import replace

from offhook.control import waiting
from offhook.control.access import Client, local_client
from offhook.control.backend import Cursor, MemoryJournal, Page
from offhook.control.conditions import CALL_EVENTS, WaitedState
from offhook.control.operations import Operations
from offhook.errors import (
    CommandError,
    CommandTimeout,
    Forbidden,
    InvalidArgument,
    InvalidState,
    NotFound,
    NotRegistered,
)
from offhook.phone.commands import Dial, GetCall, ListAccounts
from offhook.phone.events import (
    AccountRegistered,
    AccountRegisterFailed,
    CallActive,
    CallEnded,
    CallHeld,
    CallIncoming,
    DtmfReceived,
    OperationFailed,
    OperationSucceeded,
    RecordingFinished,
    SystemReady,
)
from offhook.phone.model import AccountView, CallState, CallView, Party, wall
from offhook.testing.backend import FakeBackend


def call(state: CallState = CallState.CALLING, name: str = "c_7", *, answered: bool = False) -> CallView:
    when = wall(1.0) if answered else None
    return CallView(
        name, "a", "outgoing", state, Party("sip:me@h"), Party("sip:1001@h"), "sip-1", wall(0.0), answered=when
    )


def account(registration: Any, name: str = "a", **more: Any) -> AccountView:
    return AccountView(name, "", f"sip:{name}@h", "", "udp", registration, **more)


FILE = RecordingFinished(
    call=call(CallState.ENDED), recording="rec_1", file="/1.wav", reason="stopped", duration_ms=20, size=364, format="wav"
)


@pytest.fixture
def operations(backend: FakeBackend) -> Operations:
    backend.calls = (call(),)
    return Operations(backend)


def begin(operations: Operations, *conditions: dict[str, Any], timeout: float = 5, **more: Any) -> asyncio.Task[dict[str, Any]]:
    return operations.wait({"conditions": list(conditions), "timeout": timeout, **more}, local_client())


def nothing_is_left(operations: Operations) -> bool:
    return not operations._waits._by_key and operations._waits._unsubscribe is None


# --- what is true already


@pytest.mark.parametrize(("condition", "about"), [
    ({"state": "active", "call": "c_7"}, "call"), ({"state": "active", "call": "last"}, "call"), ({"state": "active"}, "call"),
    ({"state": "answered"}, "call"), ({"state": "answered", "call": "current"}, "call"), ({"registered": ""}, "account"),
    ({"registered": "a"}, "account"), ({"operation": "op_1"}, "operation"),
])  # fmt: skip
async def test_what_is_so_is_answered_at_once(operations: Operations, backend: FakeBackend, condition: Any, about: str) -> None:
    backend.calls = (call(CallState.ACTIVE, answered=True),)
    backend.accounts = (account("registered"), account("unregistered", "b"))
    backend.emit(OperationSucceeded(operation="op_1", command="dial"))
    found = await begin(operations, {"state": "ringing", "call": "c_7"}, condition, timeout=0)
    assert (found["condition"], found["event"], found["after"]) == (1, None, "t1-1")
    assert {name for name in ("call", "account", "operation") if found[name]} == {about}
    assert nothing_is_left(operations)


async def test_a_call_that_was_answered_stays_so(operations: Operations, backend: FakeBackend) -> None:
    backend.calls = (call(CallState.ENDED, answered=True),)
    assert (await begin(operations, {"state": "answered", "call": "c_7"}))["call"]["state"] == "ended"


@pytest.mark.parametrize(("state", "rings"), [("ringing", True), ("early", True), ("early", False), ("active", True)])
async def test_who_rings_behind_183_is_ringing(
    operations: Operations, backend: FakeBackend, state: str, rings: bool
) -> None:
    backend.calls = (replace(call(CallState(state)), ringing=wall(1.0) if rings else None),)
    waits = begin(operations, {"state": "ringing", "call": "c_7"}, timeout=0)
    if state != "active" and rings:
        assert (await waits)["call"]["state"] == state
    else:
        with pytest.raises(CommandTimeout):
            await waits


# --- what comes


@pytest.mark.parametrize(("condition", "event"), [
    ({"state": "active", "call": "c_7"}, CallActive(call=call(CallState.ACTIVE, answered=True))),
    ({"state": "answered", "call": "c_7"}, CallActive(call=call(CallState.ACTIVE, answered=True))),
    ({"state": "incoming"}, CallIncoming(call=call(CallState.INCOMING, "c_8"))),
    ({"event": "call.active"}, CallActive(call=call(CallState.ACTIVE))),
    ({"event": "dtmf.*", "call": "c_7", "data": {"digit": "#"}},
     DtmfReceived(call=call(CallState.ACTIVE), digit="#", method="rtp", duration_ms=100)),
    ({"event": "dtmf.received", "data": {"call.remote.uri": "sip:1001@h", "duration_ms": 100}},
     DtmfReceived(call=call(CallState.ACTIVE), digit="#", method="rtp", duration_ms=100)),
    ({"event": "*", "data": {}}, SystemReady(address="x")),
    ({"event": "call.ended", "call": "c_7"}, CallEnded(call=call(CallState.ENDED), duration=1.0)),
    ({"event": "recording.finished", "call": "c_7"}, FILE),
    ({"operation": "op_1"}, OperationFailed(operation="op_1", command="dial", sip_status=486, reason="Busy Here")),
])  # fmt: skip
async def test_what_comes_is_told(operations: Operations, backend: FakeBackend, condition: Any, event: Any) -> None:
    operations.execute(Dial(to="1"), local_client())  # begins op_1
    wait = begin(operations, {"state": "held_both", "call": "c_7"}, condition)
    if condition != {"event": "*", "data": {}}:
        backend.emit(OperationSucceeded(operation="op_11", command="hold"))
        backend.emit(CallHeld(call=call(CallState.HELD_LOCAL, "c_9")))
        backend.emit(DtmfReceived(call=call(CallState.HELD_LOCAL, "c_9"), digit="1", method="rtp", duration_ms=50))
    await asyncio.sleep(0)
    assert not wait.done()
    envelope = backend.emit(event)
    backend.emit(event)
    found = await wait
    assert (found["condition"], found["event"]["id"], found["after"]) == (1, envelope.id, envelope.id)
    assert found["event"] == msgspec.json.decode(envelope.json)
    if isinstance(event, OperationFailed):
        assert (found["operation"]["state"], found["operation"]["sip_status"]) == ("failed", 486)
    elif condition.get("event") != "*":
        assert found["call"] == found["event"]["data"]["call"]
    assert nothing_is_left(operations)


async def test_all_that_register(operations: Operations, backend: FakeBackend) -> None:
    backend.accounts = (account("registered"), account("registering", "b"), account("unregistered", "never"))
    wait = begin(operations, {"registered": ""})
    backend.emit(AccountRegistered(account=account("registered")))
    await asyncio.sleep(0)
    assert not wait.done()
    backend.accounts = (account("registered"), account("registered", "b"), account("unregistered", "never"))
    backend.emit(AccountRegistered(account=account("registered", "b")))
    found = await wait
    assert (found["account"]["id"], found["event"]["type"]) == ("a", "account.registered")


def test_every_state_can_be_waited_for() -> None:
    assert set(get_args(WaitedState)) == {*CallState, "answered"}
    assert {"call.active", "call.ended", "call.incoming"} <= set(CALL_EVENTS)


# --- the place in the journal


async def test_what_was_before_does_not_count_even_if_it_is_told_late(operations: Operations, backend: FakeBackend) -> None:
    """A real phone writes events down when a command has done them, and tells subscribers a turn later."""
    backend.emit(CallActive(call=call(CallState.ACTIVE)))
    stale = backend._maker.make(CallActive(call=call(CallState.ACTIVE)))
    backend.journal.append([stale])
    wait = begin(operations, {"event": "call.active", "call": "c_7"}, {"state": "active", "call": "c_7"})
    backend.tell(stale)
    await asyncio.sleep(0)
    assert not wait.done()
    fresh = backend.emit(CallActive(call=call(CallState.ACTIVE)))
    assert (await wait)["event"]["id"] == fresh.id


async def test_an_outcome_that_is_told_late_counts(operations: Operations, backend: FakeBackend) -> None:
    operations.execute(Dial(to="1"), local_client())
    outcome = backend._maker.make(OperationSucceeded(operation="op_1", command="dial"))
    backend.journal.append([outcome])
    wait = begin(operations, {"operation": "op_1"})
    backend.tell(outcome)
    assert (await wait)["operation"]["state"] == "succeeded"


async def test_from_an_event_on(operations: Operations, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PAGE", 2)
    backend.emit(DtmfReceived(call=call(), digit="0", method="rtp", duration_ms=1))
    for number in range(5):
        backend.emit(SystemReady(address=str(number)))
    second = backend.emit(DtmfReceived(call=call(), digit="1", method="rtp", duration_ms=1))
    backend.emit(DtmfReceived(call=call(), digit="2", method="rtp", duration_ms=1))
    keys = {"event": "dtmf.received", "call": "c_7"}
    found = await begin(operations, keys, after="t1-1", timeout=0)
    assert (found["event"]["data"]["digit"], found["after"]) == ("1", second.id)
    assert (await begin(operations, keys, after=found["after"]))["event"]["data"]["digit"] == "2"
    wait = begin(operations, keys, after="t1-8")
    await asyncio.sleep(0)
    backend.emit(DtmfReceived(call=call(), digit="3", method="rtp", duration_ms=1))
    assert (await wait)["event"]["data"]["digit"] == "3"


class SlowJournal(MemoryJournal):
    """One whose disk takes its time, while more happens."""

    def __init__(self) -> None:
        super().__init__("t1")
        self.meanwhile: Callable[[], None] = lambda: None

    async def read(self, after: Cursor, limit: int) -> Page:
        found = await super().read(after, limit)
        await asyncio.sleep(0)
        self.meanwhile()
        return found


async def test_nothing_falls_between_the_past_and_the_present(backend: FakeBackend) -> None:
    journal = backend.journal = SlowJournal()
    backend.calls = (call(),)
    operations = Operations(backend)
    backend.emit(SystemReady(address="x"))
    digits = iter("12")

    def press() -> None:
        digit = next(digits, "")
        if digit:
            backend.emit(DtmfReceived(call=call(), digit=digit, method="rtp", duration_ms=1))

    journal.meanwhile = press
    found = await begin(operations, {"event": "dtmf.received", "data": {"digit": "2"}}, after="t1-0")
    assert found["event"]["id"] == "t1-3"
    assert nothing_is_left(operations)


async def test_a_place_that_is_lost_is_told(operations: Operations, backend: FakeBackend) -> None:
    backend.emit(SystemReady(address="x"))
    with pytest.raises(InvalidArgument, match="not kept any more") as caught:
        await begin(operations, {"event": "*"}, after="gone-5")
    assert caught.value.errors[0].pointer == "/after"
    with pytest.raises(CommandTimeout):
        await begin(operations, {"event": "*"}, after="t1-99", timeout=0)
    assert nothing_is_left(operations)


# --- what does not come


async def test_the_time_is_up(operations: Operations) -> None:
    with pytest.raises(CommandTimeout, match=r"^call c_7 was not active, no dtmf\.\* about call c_7 came within 0\.01 s$"):
        await begin(operations, {"state": "active", "call": "last"}, {"event": "dtmf.*", "call": "c_7"}, timeout=0.01)
    assert nothing_is_left(operations)


async def test_the_last_call_that_is_over_is_not_the_one_waited_for(operations: Operations, backend: FakeBackend) -> None:
    backend.calls = (call(CallState.ENDED),)
    with pytest.raises(NotFound, match="there is no call"):
        await begin(operations, {"state": "ended", "call": "last"})
    assert nothing_is_left(operations)


@pytest.mark.parametrize("condition", [
    {"state": "active", "call": "c_7"}, {"event": "dtmf.received", "call": "c_7"}, {"event": "call.held", "call": "c_7"},
])  # fmt: skip
async def test_an_ended_call_does_nothing_more(operations: Operations, backend: FakeBackend, condition: Any) -> None:
    wait = begin(operations, condition)
    backend.emit(CallEnded(call=call(CallState.ENDED, "c_8"), duration=0.0))
    await asyncio.sleep(0)
    assert not wait.done()
    backend.emit(CallEnded(call=call(CallState.ENDED), duration=0.0))
    with pytest.raises(InvalidState, match="call c_7 has ended"):
        await wait
    backend.calls = (call(CallState.ENDED),)
    with pytest.raises(InvalidState, match="call c_7 has ended"):
        await begin(operations, condition)
    found = await begin(operations, condition, {"state": "ended", "call": "c_7"})
    assert found["condition"] == 1, "the others may still come true"
    assert nothing_is_left(operations)


async def test_files_and_figures_are_completed_after_the_call(operations: Operations, backend: FakeBackend) -> None:
    backend.calls = (call(CallState.ENDED),)
    wait = begin(operations, {"event": "recording.finished", "call": "c_7"})
    await asyncio.sleep(0)
    backend.emit(FILE)
    assert (await wait)["event"]["type"] == "recording.finished"


async def test_a_registrar_that_says_no(operations: Operations, backend: FakeBackend) -> None:
    backend.accounts = (account("registering"),)
    wait = begin(operations, {"registered": "a"})
    backend.accounts = (account("failed", sip_status=403, reason="Forbidden", retry_in=30.0),)
    backend.emit(AccountRegisterFailed(account=backend.accounts[0]))
    with pytest.raises(NotRegistered, match="403 Forbidden; the next attempt is in 30 s") as caught:
        await wait
    assert caught.value.retry_after == 30.0


async def test_who_gives_up_leaves_nothing(operations: Operations, backend: FakeBackend) -> None:
    before, after = begin(operations, {"event": "*"}), begin(operations, {"event": "*"}, {"state": "active"})
    before.cancel()  # before it has begun to run
    await asyncio.sleep(0)
    after.cancel()
    await asyncio.wait({before, after})
    assert nothing_is_left(operations)
    backend.emit(SystemReady(address="x"))


# --- what makes no sense


@pytest.mark.parametrize(("params", "pointer"), [
    ({}, "/conditions"), ({"conditions": []}, "/conditions"), ({"conditions": [{"event": "*"}] * 17}, "/conditions"),
    ({"conditions": {}}, "/conditions"), ({"conditions": [5]}, "/conditions/0"), ({"conditions": [{}]}, "/conditions/0"),
    ({"conditions": [{"event": "*"}, {"state": "moon"}]}, "/conditions/1/state"),
    ({"conditions": [{"state": "active", "registered": ""}]}, "/conditions/0"),
    ({"conditions": [{"sate": "active"}]}, "/conditions/0/sate"), ({"conditions": [{"state": None}]}, "/conditions/0/state"),
    ({"conditions": [{"event": "call.nope"}]}, "/conditions/0/event"),
    ({"conditions": [{"event": "cal*"}]}, "/conditions/0/event"),
    ({"conditions": [{"event": "stream.gap"}]}, "/conditions/0/event"),
    ({"conditions": [{"event": "dtmf.*", "data": {"digits": "1"}}]}, "/conditions/0/data/digits"),
    ({"conditions": [{"event": "*", "data": {str(number): 1 for number in range(17)}}]}, "/conditions/0/data"),
    ({"conditions": [{"registered": "", "call": "c_7"}]}, "/conditions/0/call"),
    ({"conditions": [{"state": "active", "data": {}}]}, "/conditions/0/data"),
    *(({"conditions": [{"event": "*"}], "timeout": bad}, "/timeout") for bad in (-1, 86401, "5", None)),
    ({"conditions": [{"event": "*"}], "after": "x"}, "/after"), ({"conditions": [{"event": "*"}], "for": 1}, "/for"),
])  # fmt: skip
async def test_what_is_wrong_is_pointed_at(operations: Operations, backend: FakeBackend, params: Any, pointer: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        operations.wait(params, local_client())
    assert [error.pointer for error in caught.value.errors] == [pointer]
    assert nothing_is_left(operations)
    assert all(isinstance(command, GetCall | ListAccounts) for command in backend.commands)


@pytest.mark.parametrize(
    "condition", [{"state": "active", "call": "c_0"}, {"operation": "op_99"}, {"event": "*", "call": "c_0"}]
)
async def test_what_does_not_exist_is_told_at_once(operations: Operations, backend: FakeBackend, condition: Any) -> None:
    backend.calls = ()
    with pytest.raises(NotFound) as caught:
        begin(operations, {"event": "*"}, condition)
    assert caught.value.errors[0].pointer == "/conditions/1"
    with pytest.raises(NotFound):
        await begin(operations, {"registered": "nobody"})
    assert nothing_is_left(operations)


async def test_the_scope_read_is_needed(operations: Operations) -> None:
    with pytest.raises(Forbidden):
        operations.wait({"conditions": [{"event": "*"}]}, Client("dialer", frozenset({"call"})))


async def test_true_is_not_one(operations: Operations, backend: FakeBackend) -> None:
    wait = begin(operations, {"event": "dtmf.received", "data": {"duration_ms": True}}, timeout=0.01)
    backend.emit(DtmfReceived(call=call(), digit="1", method="rtp", duration_ms=1))
    with pytest.raises(CommandError):
        await wait
