"""The way from ordinary code to the loop: what waits when it is closed, and what a twin is to its owner."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from offhook.api import portal as module
from offhook.api.failures import PhoneGone
from offhook.api.portal import Portal, Twin, bare, made


class Thing:
    """Stands for a class of offhook.api."""

    def __init__(self, *items: int | Exception) -> None:
        self.items = list(items)

    def __repr__(self) -> str:
        return "<Thing>"

    async def __anext__(self) -> int:
        if not self.items:
            raise StopAsyncIteration
        item = self.items.pop(0)
        if isinstance(item, Exception):
            raise item
        return item


class ThingTwin(Twin[Any]):
    def __iter__(self) -> ThingTwin:
        return self

    def __next__(self) -> Any:
        return self._next()


@pytest.fixture
def portal() -> Iterator[Portal]:
    found = Portal()
    yield found
    found.close()


def test_closing_tells_those_who_wait_in_other_threads(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_TURN", 0.01)
    waits, told = threading.Event(), []

    async def forever() -> None:
        waits.set()
        await asyncio.Event().wait()

    def waiting() -> None:
        with pytest.raises(PhoneGone, match="closed") as caught:
            portal.run(forever())
        told.append(caught.value)

    thread = threading.Thread(target=waiting)
    thread.start()
    assert waits.wait(10)
    portal.close()
    thread.join(10)
    assert len(told) == 1
    assert portal.is_closed
    portal.close()  # harmless
    with pytest.raises(PhoneGone, match="closed"):
        portal.run(forever())


def test_who_takes_his_leave_within_the_last_turn_is_not_cancelled(portal: Portal) -> None:
    left: list[str] = []

    async def leaving() -> None:
        await asyncio.sleep(0)
        left.append("by itself")

    async def farewell() -> None:
        left.append("farewell")
        running.append(asyncio.get_running_loop().create_task(leaving()))

    running: list[asyncio.Task[None]] = []
    portal.farewell = farewell
    portal.call(lambda: None)
    portal.close()
    assert left == ["farewell", "by itself"]


def test_an_iteration_ends_when_it_was_closed_on_purpose_and_raises_when_the_phone_is_gone(portal: Portal) -> None:
    assert list(made(ThingTwin, Thing(1, 2), portal)) == [1, 2]
    twin = made(ThingTwin, Thing(1, PhoneGone("it was killed")), portal)
    assert next(twin) == 1
    with pytest.raises(PhoneGone, match="killed"):
        next(twin)
    twin = made(ThingTwin, Thing(1, 2), portal)
    assert next(twin) == 1
    portal.close()
    assert list(twin) == []


def test_two_twins_of_one_thing_are_the_same_to_their_owner(portal: Portal) -> None:
    thing, other = Thing(), Thing()
    one, again = made(ThingTwin, thing, portal), made(ThingTwin, thing, portal)
    assert (one == again, one == made(ThingTwin, other, portal), one == thing) == (True, False, False)
    assert {one, again} == {one}
    assert repr(one) == "<Thing>"
    assert bare([one, again]) == (thing, thing)
    assert (bare("c_1"), bare(7)) == ("c_1", 7)
