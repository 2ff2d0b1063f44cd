"""Files that cannot be opened now, until the phone ends."""

from __future__ import annotations

import asyncio

import pytest

from offhook.storage import opening
from offhook.storage.opening import opened


@pytest.mark.parametrize(("when", "attempts"), [("before", 1), ("meanwhile", 1), ("between", 2)])
async def test_there_is_one_last_attempt(when: str, attempts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt may wait two seconds for a file that is locked: the end waits for no second one."""
    monkeypatch.setattr(opening, "RETRY_SECONDS", 60.0)
    ending, told, made = asyncio.Event(), list[str](), 0
    if when == "before":
        ending.set()

    async def attempt() -> object:
        nonlocal made
        made += 1
        if when == "meanwhile":
            ending.set()
        raise OSError("locked")

    def tell(error: Exception) -> None:
        told.append(str(error))
        if when == "between":
            asyncio.get_running_loop().call_soon(ending.set)

    assert await opened(attempt, ending, tell) is None
    assert (made, told) == (attempts, ["locked"])
