"""The way from ordinary code to the asynchronous classes: a background thread with a loop, and what every sync class is."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import CancelledError, Future
from typing import Any, ClassVar, Final, Generic, NoReturn, TypeVar

from offhook.api.failures import CLOSED, PhoneGone

FORKED: Final = "this Softphone belongs to the process that was forked; make or connect one in each process"

T = TypeVar("T")
R = TypeVar("R")

LAST_TURN: Final = 1.0
"""Seconds that other threads' waits may take to end by themselves when the phone is closed."""

TICK: Final = 0.2
"""Seconds after which a wait looks for Ctrl+C, which does not wake it on Windows."""


class Portal:
    """A thread with an event loop, started at the first use. It ends with `close`, at the latest with the program.

    `farewell` is what the loop does last.
    """

    def __init__(self) -> None:
        self.farewell: Callable[[], Awaitable[None]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()
        self._closed = False
        self._process = 0  # that of the thread

    def run(self, awaitable: Awaitable[R]) -> R:
        """Return the result of an awaitable; an interrupt (Ctrl+C) cancels it. Raises PhoneGone after `close` or a fork."""
        loop, errand = self._started(awaitable), _Errand(awaitable)
        try:
            return self._result(asyncio.run_coroutine_threadsafe(errand.run(), loop))
        except BaseException:
            # Ctrl+C, or what another signal's handler raises: SystemExit, a test runner's time-out. It may come as soon as the
            # loop has begun, when nothing else here knows the task yet.
            if not errand.is_over:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(errand.abandon)
            raise

    def _started(self, awaitable: Awaitable[Any]) -> asyncio.AbstractEventLoop:
        if self._is_copy:
            self._refuse(awaitable, FORKED)
        with self._lock:
            if self._closed:
                self._refuse(awaitable, CLOSED)
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._process = os.getpid()
                self._thread = threading.Thread(target=self._loop.run_forever, name="offhook-sync", daemon=True)
                self._thread.start()
                _portals.add(self)
            return self._loop

    @property
    def _is_copy(self) -> bool:
        # A fork copies no threads: nobody runs the loop there, and another thread may have held the lock for ever.
        return self._thread is not None and os.getpid() != self._process

    def _refuse(self, awaitable: Awaitable[Any], reason: str) -> NoReturn:
        if inspect.iscoroutine(awaitable):
            awaitable.close()
        raise PhoneGone(reason)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def call(self, function: Callable[[], R]) -> R:
        """Return the result of a function that must run on the loop."""

        async def calling() -> R:
            return function()

        return self.run(calling())

    def _result(self, future: Future[R]) -> R:
        # A bare lock: an interrupt in the middle of a Condition's wait comes out as "cannot release un-acquired lock".
        working = threading.Lock()
        working.acquire()
        future.add_done_callback(lambda _: working.release())
        try:
            while not working.acquire(timeout=TICK):
                pass
            return future.result()
        except CancelledError:
            raise PhoneGone(CLOSED) from None

    def close(self) -> None:
        """Say farewell, then stop the loop and the thread. Harmless when repeated, and in a forked process."""
        if self._is_copy:
            return
        with self._lock:
            loop, thread = self._loop, self._thread
            if self._closed or loop is None or thread is None:
                self._closed = True
                return
            try:
                self.run(self._tidy(loop))
            finally:
                self._closed = True
                _portals.discard(self)
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()

    async def _tidy(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is left after the farewell, and wait for the loop's own threads."""
        if self.farewell is not None:
            await self.farewell()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:  # other threads that wait are being told that it is over
            _, left = await asyncio.wait(left, timeout=LAST_TURN)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()


class _Errand(Generic[R]):
    """What the loop awaits for another thread, which may not want it any more."""

    def __init__(self, awaitable: Awaitable[R]) -> None:
        self.is_over = False
        self._awaitable = awaitable
        self._task: asyncio.Task[Any] | None = None
        self._abandoned = False

    async def run(self) -> R:
        if self._abandoned:
            if inspect.iscoroutine(self._awaitable):
                self._awaitable.close()
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        try:
            return await self._awaitable
        finally:
            self.is_over = True

    def abandon(self) -> None:
        """End it, in the loop, whether or not it has begun."""
        self._abandoned = True
        if self._task is not None:
            self._task.cancel()


_portals: set[Portal] = set()
"""Those whose thread runs. A phone that a program has forgotten runs on, and has to be closed at the end all the same."""


class Twin(Generic[T]):
    """One object of offhook.api, driven from ordinary code."""

    classes: ClassVar[dict[type, type[Twin[Any]]]] = {}
    """Which class of offhook.sync stands for which of offhook.api."""

    def __init__(self, inner: T, portal: Portal) -> None:
        self._inner = inner
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._inner)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Twin) and self._inner is other._inner

    def __hash__(self) -> int:
        return hash(self._inner)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be given to another process; make or connect one there")

    def _run(self, awaitable: Awaitable[R]) -> R:
        return self._portal.run(awaitable)

    def _call(self, function: Callable[[], R]) -> R:
        return self._portal.call(function)

    def _wrap(self, found: Any) -> Any:
        if isinstance(found, tuple):
            return tuple(self._wrap(each) for each in found)
        twin = self.classes.get(type(found))
        return found if twin is None else made(twin, found, self._portal)

    def _next(self) -> Any:
        try:
            return self._wrap(self._run(self._inner.__anext__()))  # type: ignore[attr-defined]  # where there are items
        except StopAsyncIteration:
            raise StopIteration from None
        except PhoneGone:
            if self._portal.is_closed:  # on purpose, so the iteration just ends
                raise StopIteration from None
            raise


def made(twin: type[Twin[Any]], inner: Any, portal: Portal) -> Any:
    """Return a twin of an object that exists."""
    found = twin.__new__(twin)
    Twin.__init__(found, inner, portal)
    return found


def bare(given: Any) -> Any:
    """Return the object, or objects, of offhook.api inside those of offhook.sync."""
    if isinstance(given, Twin):
        return given._inner
    if isinstance(given, Iterable) and not isinstance(given, str):
        return tuple(bare(each) for each in given)
    return given


@atexit.register
def _close_all() -> None:
    for portal in tuple(_portals):
        with contextlib.suppress(Exception):  # the program ends: what it has not closed is closed as far as it still can be
            portal.close()
