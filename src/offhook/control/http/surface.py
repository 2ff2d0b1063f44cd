"""What all requests of one HTTP surface share."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from offhook.control.backend import Backend, Journal
from offhook.control.http.guard import Guard
from offhook.control.http.idempotency import Replays, Store
from offhook.control.http.limits import MAX_STREAMS, SHARES
from offhook.control.http.metrics import Metrics
from offhook.control.http.problems import HttpRefusal
from offhook.control.operations import Operations
from offhook.control.session import Shared, yield_later
from offhook.io import clock


class Surface:
    """One running HTTP surface. `closing` is done when it ends. `requests` opens what keeps answers for their repetition."""

    def __init__(self, backend: Backend, guard: Guard, requests: Callable[[], Store] | None = None) -> None:
        self.backend = backend
        self.guard = guard
        self.operations = Operations(backend)
        self.metrics = Metrics(backend)
        self.replays = Replays(backend, time.monotonic, clock.wall, requests)
        self.shared = Shared(backend.journal)
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listeners: dict[asyncio.Event, str] = {}  # and whose they are
        self._announced = False
        self._unwatch = backend.journal.watch(self._news)

    @property
    def journal(self) -> Journal:
        """The events."""
        return self.backend.journal

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._listeners)

    @contextlib.contextmanager
    def listening(self, name: str) -> Iterator[asyncio.Event]:
        """Give an Event that is set whenever there is something new in the journal, and when the surface closes.

        `name` is the client's; "" while it has not said who it is.
        """
        if not self._has_room(name) or self.closing.done():
            raise HttpRefusal("overloaded", f"at most {MAX_STREAMS} streams, the last ones for who has few", retry_after=5)
        news = asyncio.Event()
        self._listeners[news] = name
        try:
            yield news
        finally:
            del self._listeners[news]

    def _has_room(self, name: str) -> bool:
        taken, share = len(self._listeners), MAX_STREAMS // SHARES
        return taken < MAX_STREAMS - share or (taken < MAX_STREAMS and list(self._listeners.values()).count(name) < share)

    def introduced(self, news: asyncio.Event, name: str) -> None:
        """Say whose a stream is that has told it only now."""
        self._listeners[news] = name

    def close(self) -> None:
        """Tell every stream to say its last word."""
        self._unwatch()
        self.metrics.close()
        if not self.closing.done():
            self.closing.set_result(None)
        self._wake()

    def _news(self) -> bool:
        # One turn later: what a burst of packets brought goes out in one write for each client.
        if self._listeners and not self._announced:
            self._announced = True
            yield_later(self._wake)
        return bool(self._listeners)

    def _wake(self) -> None:
        self._announced = False
        for news in self._listeners:
            news.set()
