"""Events pushed to windows: all of them, in order, from where one was; and no window that hangs or is gone costs anybody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator

import pytest
from windows_world import PATIENCE, FakeReach, until

from offhook.control.access import Client
from offhook.control.operations import Operations
from offhook.control.windows import subscribers as module
from offhook.control.windows.reach import Owner
from offhook.control.windows.subscribers import MAX_SUBSCRIBERS, SUBSCRIBE, Subscribers
from offhook.phone.events import SystemError
from offhook.testing.backend import FakeBackend


@contextlib.asynccontextmanager
async def pushing(backend: FakeBackend, reach: FakeReach) -> AsyncIterator[Subscribers]:
    made = Subscribers(Operations(backend), Client("window"), reach)
    try:
        yield made
    finally:
        await made.close()


def subscribe(to: Subscribers, window: int, **params: object) -> dict[str, object]:
    answer = to.request(window, json.dumps({"op": "subscribe", "params": params}).encode())
    assert isinstance(answer, bytes)
    found: dict[str, object] = json.loads(answer)
    return found


def told(reach: FakeReach, window: int) -> list[str]:
    assert all(code == SUBSCRIBE and payload.endswith(b"}\0") for at, code, payload in reach.sent)
    return [json.loads(payload[:-1])["data"]["reason"] for at, _, payload in reach.sent if at == window]


async def test_every_event_arrives_in_order(backend: FakeBackend) -> None:
    reach = FakeReach(7, 8)
    async with pushing(backend, reach) as to:
        backend.emit(SystemError(reason="before"))
        assert subscribe(to, 7)["ok"]
        assert subscribe(to, 8, types=["call.*"])["ok"]
        names = [str(number) for number in range(1200)]
        for name in names:
            backend.emit(SystemError(reason=name))
        await until(lambda: len(told(reach, 7)) == len(names))
        assert told(reach, 7) == names
        assert told(reach, 8) == []


async def test_one_that_comes_back_goes_on_where_it_was(backend: FakeBackend) -> None:
    reach = FakeReach(7)
    async with pushing(backend, reach) as to:
        first = backend.emit(SystemError(reason="seen"))
        backend.emit(SystemError(reason="missed"))
        subscribe(to, 7, after=first.id)
        await until(lambda: told(reach, 7) == ["missed"])
        await asyncio.sleep(0.01)
        subscribe(to, 7, after=first.id)
        await until(lambda: told(reach, 7) == ["missed", "missed"])


async def test_unsubscribing_ends_it(backend: FakeBackend) -> None:
    reach = FakeReach(7)
    async with pushing(backend, reach) as to:
        subscribe(to, 7)
        assert b'"types":[]' in bytes(to.request(7, b'{"op":"unsubscribe"}'))  # type: ignore[arg-type]  # no disk in it
        assert len(to) == 0
        backend.emit(SystemError(reason="x"))
        await asyncio.sleep(0.01)
        assert reach.sent == []


async def test_a_hung_window_is_let_go_and_others_wait_for_nothing(backend: FakeBackend) -> None:
    reach = FakeReach(7, 8)
    reach.deaf.add(7)
    async with pushing(backend, reach) as to:
        subscribe(to, 7)
        subscribe(to, 8)
        backend.emit(SystemError(reason="1"))
        backend.emit(SystemError(reason="2"))
        await until(lambda: told(reach, 8) == ["1", "2"] and len(to) == 1)
        assert told(reach, 7) == ["1"], "one attempt and no more"


async def test_a_handle_that_belongs_to_somebody_else_by_now_gets_nothing(backend: FakeBackend) -> None:
    reach = FakeReach(7)
    async with pushing(backend, reach) as to:
        subscribe(to, 7)
        reach.owners[7] = Owner(99, 1)
        backend.emit(SystemError(reason="1"))
        await until(lambda: len(to) == 0)
        assert reach.sent == []
        assert subscribe(to, 7)["ok"], "the new owner may ask for itself"


async def test_a_window_that_is_gone_is_noticed_in_silence(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    reach = FakeReach(7)
    async with pushing(backend, reach) as to:
        subscribe(to, 7)
        del reach.owners[7]
        await until(lambda: len(to) == 0)


async def test_who_may_not_be_told_is_refused(backend: FakeBackend) -> None:
    async with pushing(backend, FakeReach()) as to:
        for window in (0, 7):
            assert not subscribe(to, window)["ok"]
        assert len(to) == 0


async def test_there_can_be_so_many_and_dead_ones_make_room(backend: FakeBackend) -> None:
    reach = FakeReach(*range(1, MAX_SUBSCRIBERS + 2))
    async with pushing(backend, reach) as to:
        assert all(subscribe(to, window)["ok"] for window in range(1, MAX_SUBSCRIBERS + 1))
        assert not subscribe(to, MAX_SUBSCRIBERS + 1)["ok"]
        del reach.owners[3]
        assert subscribe(to, MAX_SUBSCRIBERS + 1)["ok"]
        assert len(to) == MAX_SUBSCRIBERS


async def test_closing_waits_for_no_window(backend: FakeBackend) -> None:
    reach = FakeReach(7)
    entered, leave = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        leave.wait(PATIENCE)

    reach.on_send = hang
    async with pushing(backend, reach) as to:
        subscribe(to, 7)
        for number in range(100):
            backend.emit(SystemError(reason=str(number)))
        await until(entered.is_set)
        closing = asyncio.ensure_future(to.close())
        await asyncio.sleep(0)
        leave.set()
        await closing
        assert len(reach.sent) == 1
