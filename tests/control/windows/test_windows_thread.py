"""The thread Windows sends messages to, with a Windows that is a queue."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from offhook.control.windows import ffi
from offhook.control.windows import thread as module
from offhook.control.windows.thread import MessageThread
from offhook.errors import SetupError

WITHIN = 20.0


class FakeWindows:
    """One thread's messages, each a window's (or 0) and a number. `full` is a queue that takes no `wake`."""

    def __init__(self) -> None:
        self.queue: queue.Queue[tuple[int, int]] = queue.Queue()
        self.dispatched: list[int] = []
        self.full = False

    def GetCurrentThreadId(self) -> int:
        return 1

    def PeekMessageW(self, *_: Any) -> int:
        return 0

    def PostThreadMessageW(self, _thread: int, message: int, *_: Any) -> int:
        if not self.full:
            self.queue.put((0, message))
        return int(not self.full)

    def GetMessageW(self, message: Any, *_: Any) -> int:
        window, number = self.queue.get(timeout=WITHIN)
        message._obj.hWnd, message._obj.message = window or None, number
        return int(number != 0x12)  # WM_QUIT

    def DispatchMessageW(self, message: Any) -> int:
        self.dispatched.append(message._obj.message)
        return 0


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
    fake = FakeWindows()
    monkeypatch.setattr(module, "user32", fake)
    monkeypatch.setattr(module, "kernel32", fake)
    return fake


def test_each_wake_runs_what_was_posted(windows: FakeWindows) -> None:
    ran, ended = threading.Semaphore(0), threading.Event()
    thread = MessageThread("x", lambda: None, ran.release, ended.set)
    thread.start()
    thread.wake()
    assert ran.acquire(timeout=WITHIN)
    windows.queue.put((0, 0x12))  # anybody may post WM_QUIT
    assert ran.acquire(timeout=WITHIN)
    thread.close()
    assert ended.is_set()


def test_a_wake_that_was_dropped_is_made_up_for_by_any_message(windows: FakeWindows) -> None:
    """Windows refuses more than 10,000 posted messages, and what was to be pushed would wait for ever."""
    ran = threading.Semaphore(0)
    thread = MessageThread("x", lambda: None, ran.release, lambda: None)
    thread.start()
    windows.full = True
    thread.wake()
    assert windows.queue.empty()
    windows.queue.put((500, ffi.WM_COPYDATA))
    assert ran.acquire(timeout=WITHIN)
    assert windows.dispatched == [ffi.WM_COPYDATA]
    windows.full = False
    thread.close()


def test_what_goes_wrong_in_a_message_ends_no_thread(
    windows: FakeWindows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def dispatch(_message: Any) -> int:
        raise OSError("exception: access violation reading 0x10")

    monkeypatch.setattr(windows, "DispatchMessageW", dispatch)
    ran, ended = threading.Semaphore(0), threading.Event()
    thread = MessageThread("x", lambda: None, ran.release, ended.set)
    thread.start()
    windows.queue.put((500, 0x3E8))
    thread.wake()
    assert ran.acquire(timeout=WITHIN)
    assert "access violation" in caplog.text
    assert not ended.is_set()
    thread.close()
    assert ended.is_set()


def test_what_goes_wrong_at_the_start_is_raised(windows: FakeWindows) -> None:
    def begin() -> None:
        raise SetupError("Windows refuses")

    thread = MessageThread("x", begin, lambda: None, lambda: pytest.fail("there is nothing to end"))
    with pytest.raises(SetupError, match="refuses"):
        thread.start()
    thread.close()
