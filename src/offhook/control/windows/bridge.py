"""From a thread that Windows calls on to the phone's loop and back: a question, its answer, and a bound on the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Final, TypeVar

T = TypeVar("T")

ANSWER_SECONDS: Final = 2.0
"""Longest a sender waits for the phone. Its loop answers within milliseconds; whoever waits longer should be told no."""


class Busy(Exception):
    """The phone did not answer in time, or is closing. What was asked has not been done and will not be."""


class Bridge:
    """Asks things of the loop `loop` from other threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float = ANSWER_SECONDS) -> None:
        self._loop = loop
        self._seconds = seconds

    def ask(self, work: Callable[[], T]) -> T:
        """Return what `work` returns on the loop, or raise what it raises; raises Busy if it could not be begun in time."""
        waiting: Future[T] = Future()
        self.tell(lambda: _do(waiting, work))
        try:
            return waiting.result(self._seconds)
        except TimeoutError:
            if waiting.done():  # it was the work's own
                raise
            if waiting.cancel():
                raise Busy("the phone does not answer") from None
            return waiting.result()  # it has begun, and nothing in it waits

    def wait(self, work: Awaitable[T]) -> T:
        """Return what an awaitable of the loop's gives; raises Busy after the bound."""
        waiting = asyncio.run_coroutine_threadsafe(_awaited(work), self._loop)
        try:
            return waiting.result(self._seconds)
        except TimeoutError:
            waiting.cancel()
            raise Busy("the phone does not answer") from None

    def tell(self, work: Callable[[], object]) -> None:
        """Let the loop do something, without waiting for it; raises Busy when the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:
            raise Busy("the phone has stopped") from None


def _do(waiting: Future[T], work: Callable[[], T]) -> None:
    if not waiting.set_running_or_notify_cancel():
        return
    try:
        waiting.set_result(work())
    except BaseException as error:
        waiting.set_exception(error)
        if not isinstance(error, Exception):
            raise


async def _awaited(work: Awaitable[T]) -> T:
    return await work
