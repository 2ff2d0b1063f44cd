"""`offhook exchange`: what it says to whoever starts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from offhook.app import practice
from offhook.exchange.directory import LINES


@contextmanager
def ended_at_once(told: Callable[[], object]) -> Iterator[None]:
    told()
    yield


async def test_an_exchange_says_whom_one_can_call_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(practice, "told_to_end", ended_at_once)
    assert await practice._run_exchange(SimpleNamespace(host="127.0.0.1", port=0, tls=False, md5=False)) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert "127.0.0.1:" in first
    assert "password practice-<number>" in first
    assert [line.split()[0] for line in others[1:]] == list(LINES)
