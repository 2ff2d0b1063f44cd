"""A second start and the phone's window, with a Windows that delivers or does not."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from typing import Any

import pytest

from offhook.control.windows import ffi, handover
from offhook.control.windows.handover import ask, find_phone
from offhook.errors import CommandTimeout

PHONE, OURS = 11, 12


class FakeWindows:
    """Windows by their handles; `phone` is what the phone does with a request: its LRESULT, None if it does not take it."""

    def __init__(self, phone: Callable[[bytes], int | None] = lambda text: 1, error: int = 0) -> None:
        self.phone = phone
        self.error = error
        self.own: Any = None
        self.made: list[str] = []
        self.marked = {PHONE}

    def GetModuleHandleW(self, _name: object) -> int:
        return 1

    def RegisterClassW(self, kind: Any) -> int:
        self.own = kind._obj.lpfnWndProc
        self.made.append("class")
        return 1

    def CreateWindowExW(self, *_: object) -> int:
        self.made.append("window")
        return OURS

    def DestroyWindow(self, _window: int) -> int:
        self.made.remove("window")
        return 1

    def UnregisterClassW(self, *_: object) -> int:
        self.made.remove("class")
        return 1

    def FindWindowExW(self, _parent: object, after: int | None, _class: str, _title: object) -> int | None:
        return {None: 9, 9: PHONE}.get(after)

    def GetPropW(self, window: int, _name: str) -> int:
        return int(window in self.marked)

    def answers(self, text: bytes, sender: int = PHONE) -> None:
        """Send a letter to our window."""
        buffer = ctypes.create_string_buffer(text, len(text))
        letter = ffi.COPYDATASTRUCT(102, len(text), ctypes.cast(buffer, ctypes.c_void_p))
        assert self.own(OURS, ffi.WM_COPYDATA, sender, ctypes.addressof(letter)) == 1

    def send(self, window: int, sender: int, code: int, payload: bytes, _patience: int) -> int | None:
        assert (window, sender, code) == (PHONE, OURS, 102)
        return self.phone(payload)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
    fake = FakeWindows()
    monkeypatch.setattr(handover, "user32", fake)
    monkeypatch.setattr(handover, "kernel32", fake)
    monkeypatch.setattr(handover, "send_copydata", fake.send)
    monkeypatch.setattr(handover, "last_error", lambda: fake.error)
    return fake


def test_the_phone_is_told_from_microsip_by_its_mark(windows: FakeWindows) -> None:
    assert find_phone() == PHONE
    windows.marked.clear()
    assert find_phone() == 0


def test_the_answer_comes_before_sending_returns(windows: FakeWindows) -> None:
    asked: list[bytes] = []

    def phone(text: bytes) -> int:
        asked.append(text)
        windows.answers(b'{"ok": false}', sender=13)  # somebody else's letter is no answer
        windows.answers(b'{"ok": true}\0')
        return 1

    windows.phone = phone
    assert ask(PHONE, "legacy", args=["1001"]) == {"ok": True}
    assert json.loads(asked[0]) == {"op": "legacy", "params": {"args": ["1001"]}}
    assert windows.made == [], "window and class are given back"


@pytest.mark.parametrize(("lresult", "error", "again"), [
    (0, 0, True),  # the phone was too busy, or has refused it and its answer was lost
    (None, ffi.ERROR_ACCESS_DENIED, True), (None, ffi.ERROR_INVALID_WINDOW_HANDLE, True),
    (1, 0, False), (None, 1460, False), (None, 0, False),
])
def test_what_may_have_been_done_is_not_asked_again(
    windows: FakeWindows, lresult: int | None, error: int, again: bool
) -> None:
    windows.phone, windows.error = (lambda text: lresult), error
    if again:
        assert ask(PHONE, "legacy", args=["1001"]) is None
    else:
        with pytest.raises(CommandTimeout, match="repeat it"):
            ask(PHONE, "legacy", args=["1001"])
    assert windows.made == []
