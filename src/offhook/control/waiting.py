"""Waiting for the first of some conditions: the one implementation behind every surface's `wait`.

A wait hears of events from the very moment at which the phone was looked at: whatever the journal has by then is in that look
(or, with `after`, is read from the journal), whatever comes later is told. So nothing falls between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from offhook.control.access import Client
from offhook.control.backend import Backend, Cursor, Envelope, Recorded, Unsubscribe
from offhook.control.conditions import (
    MAX_SECONDS,
    Ask,
    Condition,
    Found,
    Verdict,
    WaitRequest,
    Watched,
    watched,
)
from offhook.control.feed import PAGE, cursor_from
from offhook.control.schema import record_from_json, to_json
from offhook.errors import CommandError, CommandTimeout, FieldError, InvalidArgument

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Waits:
    """The waits of one surface's clients."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._by_key: dict[str, dict[_Wait, None]] = {}
        self._unsubscribe: Unsubscribe | None = None

    def begin(
        self, params: Mapping[str, Any], client: Client, ask: Ask, *, longest: float = MAX_SECONDS
    ) -> asyncio.Task[dict[str, Any]]:
        """Return the task that waits; cancel it when nobody wants to know any more. `longest` is seconds.

        It gives a WaitAnswer, or raises CommandTimeout, or what makes the conditions impossible. What is wrong with the
        request is raised here. What is true already is known when this returns.
        """
        client.check("read")
        request: WaitRequest = record_from_json(WaitRequest, params)
        after = cursor_from(request.after) if request.after is not None else None
        alone = len(request.conditions) == 1
        conditions = [self._watched(f"/conditions/{index}", each, ask, alone) for index, each in enumerate(request.conditions)]
        wait = _Wait(self._backend, conditions, after)
        self._add(wait)
        task = asyncio.get_running_loop().create_task(wait.run(min(request.timeout, longest)))
        # Also where it is cancelled before it has begun to run.
        task.add_done_callback(lambda _: self._remove(wait))
        return task

    def _watched(self, place: str, condition: Condition, ask: Ask, alone: bool) -> Watched:
        """Return it as it is watched; the words of an error name its place where there are several."""
        try:
            return watched(condition, ask, self._backend.outcomes)
        except CommandError as error:
            found = error.errors or (FieldError("", error.detail),)
            fields = tuple(FieldError(f"{place}{each.pointer}", each.detail) for each in found)
            named = [(each.pointer if alone else f"{place}{each.pointer}", each.detail) for each in found]
            detail = "; ".join(f"{pointer[1:]}: {words}" if pointer else words for pointer, words in named)
            raise type(error)(detail, errors=fields, retry_after=error.retry_after) from None

    def _add(self, wait: _Wait) -> None:
        for key in wait.keys:
            self._by_key.setdefault(key, {})[wait] = None
        if self._unsubscribe is None:
            self._unsubscribe = self._backend.subscribe(self._hear)

    def _remove(self, wait: _Wait) -> None:
        for key in wait.keys:
            waiting = self._by_key[key]
            del waiting[wait]
            if not waiting:
                del self._by_key[key]
        if not self._by_key and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _hear(self, envelope: Envelope) -> None:
        concerned = {**self._by_key.get(envelope.type, {}), **self._by_key.get(envelope.subject, {})}
        if concerned:
            event = _decode(envelope.json)
            for wait in concerned:
                wait.hear(envelope.cursor, event)


class _Wait:
    """One wait, from the moment it is made."""

    def __init__(self, backend: Backend, conditions: list[Watched], after: Cursor | None) -> None:
        self.keys = frozenset(key for each in conditions for key in each.keys)
        self._journal = backend.journal
        self._conditions = dict(enumerate(conditions))
        self._names = ", ".join(map(str, conditions))
        self._after = after
        self._begun = backend.journal.head
        self._over: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._reads = after is not None
        if after is None:
            self._look()

    async def run(self, seconds: float) -> dict[str, Any]:
        """Return the answer."""
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            if self._after is not None:
                await self._read_past(self._after)
            async with asyncio.timeout_at(deadline):
                return await self._over
        except TimeoutError:
            raise CommandTimeout(f"{self._names} within {seconds:g} s") from None
        finally:
            self._over.cancel()

    def hear(self, cursor: Cursor, event: Mapping[str, Any]) -> None:
        """Take an event that subscribers are told of."""
        if not self._reads:  # else it stands in the journal, which is read to its end
            known = cursor.epoch == self._begun.epoch and cursor.seq <= self._begun.seq
            self._take(cursor, event, known=known)

    def _take(self, cursor: Cursor, event: Mapping[str, Any], *, known: bool = False) -> None:
        """Let the conditions see an event. One that was in the journal when we looked is known to most of them."""
        for index, each in tuple(self._conditions.items()):
            if self._over.done():
                return
            if not known or each.as_told:
                self._judge(index, each.see(event), cursor, event)

    def _look(self) -> None:
        """Let the conditions see how things are."""
        for index, each in tuple(self._conditions.items()):
            if self._over.done():
                return
            self._judge(index, each.now(), self._journal.head, None)

    def _judge(self, index: int, verdict: Verdict, place: Cursor, event: Mapping[str, Any] | None) -> None:
        if isinstance(verdict, Found):
            about = {name: to_json(getattr(verdict, name)) for name in ("call", "account", "operation")}
            self._over.set_result({"condition": index, "event": event, **about, "after": str(place)})
        elif verdict is not None:
            del self._conditions[index]
            if not self._conditions:  # nothing is left that could happen: the last reason says why
                self._over.set_exception(verdict)
                self._over.exception()  # seen, should nobody ask any more

    async def _read_past(self, after: Cursor) -> None:
        """Let the conditions see what has happened since `after`, up to this moment, and then how things are."""
        place = after
        while not self._over.done():
            head = self._journal.head
            if not head.seq or (place.epoch == head.epoch and place.seq >= head.seq):
                break
            page = await self._journal.read(place, PAGE)
            if page.lost is not None:
                detail = "events after this one are not kept any more: take a snapshot, and wait from its `as_of` on"
                raise InvalidArgument.field("after", detail)
            for event in page.events:
                self._see(event)
            if page.events:
                place = page.events[-1].cursor
            elif self._journal.head == head:
                break
        # There was no pause since the journal's end was seen: from here on we are told.
        self._reads = False
        self._look()

    def _see(self, event: Recorded) -> None:
        if not self._over.done() and (event.type in self.keys or event.subject in self.keys):
            self._take(event.cursor, _decode(event.json))

