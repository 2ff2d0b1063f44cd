"""Programs that ask in JSON through the window, and are told of events through a window of theirs.

A subscriber is a place in the journal (`control.feed`), so a slow one costs nobody else anything, and one that was let go
because it hung comes back with the id of the last event it saw.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from offhook.control.access import Client
from offhook.control.operations import Operations
from offhook.control.session import Session
from offhook.control.windows.reach import Owner, Reach
from offhook.errors import CommandError, InvalidArgument

SUBSCRIBE: Final = 100
"""dwData of a subscription, and of every event that is pushed."""

MAX_SUBSCRIBERS: Final = 32
"""Windows that are told of events; each has a thread while something is sent to it."""

LOOK_SECONDS: Final = 30.0
"""How often it is looked whether a silent subscriber's window is still there."""


@dataclass(slots=True)
class _Subscriber:
    window: int
    owner: Owner
    session: Session
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Subscribers:
    """The windows that asked for events. Everything but the sending happens on the phone's loop."""

    def __init__(self, operations: Operations, client: Client, reach: Reach) -> None:
        self._operations = operations
        self._client = client
        self._reach = reach
        self._by_window: dict[int, _Subscriber] = {}
        self._sending: ThreadPoolExecutor | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._by_window)

    def request(self, window: int, text: bytes) -> bytes | Awaitable[bytes]:
        """Return the answer to a request as the local socket takes it. `window` is where its events go, 0 if nowhere."""
        found = self._by_window.get(window)
        if found is not None and found.owner != self._reach.owner(window):
            self._forget(found)
            found = None
        if found is not None:
            return _answer(found.session, text)
        # The session calls back only after this function has it: when it has become a subscription.
        made: list[Session] = []
        made.append(Session(self._operations, self._client, lambda: self._changed(window, made[0])))
        return _answer(made[0], text)

    async def close(self) -> None:
        """Push nothing any more."""
        self._closed = True
        tasks = [found.task for found in self._by_window.values() if found.task is not None]
        for found in tuple(self._by_window.values()):
            self._forget(found)
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._sending is not None:
            self._sending.shutdown(wait=False, cancel_futures=True)

    def _changed(self, window: int, session: Session) -> None:
        """A subscription was made, changed or ended. Raises CommandError for one that cannot be."""
        found = self._by_window.get(window)
        if found is None:
            found = self._admit(window, session)
        elif session.reader is None:
            self._forget(found)
        found.news.set()

    def _admit(self, window: int, session: Session) -> _Subscriber:
        owner = self._reach.owner(window)
        if owner is None:
            raise InvalidArgument.field("window", "wParam must be a window of the program that asks; events are sent there")
        if len(self._by_window) >= MAX_SUBSCRIBERS:
            self._look()
        if len(self._by_window) >= MAX_SUBSCRIBERS:
            raise CommandError(f"{MAX_SUBSCRIBERS} windows are told of events already, and there can be no more")
        found = self._by_window[window] = _Subscriber(window, owner, session)
        found.task = asyncio.get_running_loop().create_task(self._push(found))
        return found

    def _look(self) -> None:
        """Forget the windows that are gone."""
        for found in tuple(self._by_window.values()):
            if found.owner != self._reach.owner(found.window):
                self._forget(found)

    def _forget(self, subscriber: _Subscriber) -> None:
        if self._by_window.get(subscriber.window) is subscriber:
            del self._by_window[subscriber.window]
        subscriber.session.reader = None
        subscriber.news.set()

    async def _push(self, subscriber: _Subscriber) -> None:
        """Send the events behind the subscriber's cursor, each once the one before it was taken."""
        unwatch = self._operations.backend.journal.watch(subscriber.news.set)
        try:
            while (reader := subscriber.session.reader) is not None:
                subscriber.news.clear()
                lines = await reader.page()
                if not lines:
                    await self._wait(subscriber)
                elif not await self._send(subscriber, lines):
                    break
        finally:
            unwatch()
            self._forget(subscriber)

    async def _wait(self, subscriber: _Subscriber) -> None:
        try:
            await asyncio.wait_for(subscriber.news.wait(), LOOK_SECONDS)
        except TimeoutError:
            self._look()

    async def _send(self, subscriber: _Subscriber, lines: Sequence[bytes]) -> bool:
        if self._sending is None:
            self._sending = ThreadPoolExecutor(MAX_SUBSCRIBERS, thread_name_prefix="offhook-push")
        work = functools.partial(self._send_all, subscriber, lines)
        return await asyncio.get_running_loop().run_in_executor(self._sending, work)

    def _send_all(self, subscriber: _Subscriber, lines: Sequence[bytes]) -> bool:
        """Send some events, on a thread of their own; False as soon as the window has not taken one."""
        for line in lines:
            if self._closed or subscriber.session.reader is None:
                return False
            if subscriber.owner != self._reach.owner(subscriber.window):
                return False
            if not self._reach.send(subscriber.window, SUBSCRIBE, line + b"\0"):
                return False
        return True


def _answer(session: Session, text: bytes) -> bytes | Awaitable[bytes]:
    answer = session.answer(text)
    assert answer is not None  # nothing is waited for here: a window's message wants its answer within seconds
    return answer
