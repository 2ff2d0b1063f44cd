"""Files that cannot be opened now: they are tried again for as long as the phone lives, which goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from offhook.storage.database import RETRY_SECONDS

R = TypeVar("R")


async def opened(attempt: Callable[[], Awaitable[R]], ending: asyncio.Event, tell: Callable[[Exception], None]) -> R | None:
    """Return what `attempt` does, as soon as it raises nothing; None if that is not before the phone's end.

    `tell` is told why, once. What fails after `ending` is set was the last attempt; there is always one.
    """
    told = False
    while True:
        try:
            return await attempt()
        except Exception as error:  # a disk that cannot be used costs what is on it, not the calls
            if not told:
                tell(error)
            told = True
        if ending.is_set():
            return None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), RETRY_SECONDS)
