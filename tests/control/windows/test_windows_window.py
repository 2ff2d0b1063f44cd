"""The window's procedure, before a Windows that only hands letters over."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from offhook.control.windows import ffi
from offhook.control.windows import window as module
from offhook.control.windows.messages import MAX_PAYLOAD, Answer
from offhook.control.windows.reach import CLASS, MARK
from offhook.control.windows.window import MAX_DEPTH, PhoneWindow
from offhook.errors import SetupError

OURS, SENDER = 100, 200


class FakeWindows:
    """One class, one window, its properties; messages nobody wanted."""

    def __init__(self) -> None:
        self.classes: list[str] = []
        self.open: list[int] = []
        self.marks: dict[str, int] = {}
        self.filtered: list[tuple[int, int]] = []
        self.left: list[int] = []
        self.refuses = ""

    def GetModuleHandleW(self, _name: object) -> int:
        return 1

    def RegisterClassW(self, kind: Any) -> int:
        if self.refuses == "class":
            return 0
        self.classes.append(kind._obj.lpszClassName)
        return 1

    def UnregisterClassW(self, name: str, _module: int) -> int:
        self.classes.remove(name)
        return 1

    def CreateWindowExW(self, *_: object) -> int | None:
        if self.refuses == "window":
            return None
        self.open.append(OURS)
        return OURS

    def DestroyWindow(self, window: int) -> int:
        self.open.remove(window)
        return 1

    def ChangeWindowMessageFilterEx(self, _window: int, message: int, action: int, _out: object) -> int:
        self.filtered.append((message, action))
        return 1

    def SetPropW(self, _window: int, name: str, value: int) -> int:
        self.marks[name] = value
        return 1

    def RemovePropW(self, _window: int, name: str) -> int:
        return self.marks.pop(name)

    def DefWindowProcW(self, _window: int, message: int, _wparam: int, _lparam: int) -> int:
        self.left.append(message)
        return 77


class Scene:
    """A window, what it was asked, what it has sent back, and how it was told to end."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bytes, int]] = []
        self.sent: list[tuple[int, int, bytes]] = []
        self.ends: list[bool] = []
        self.answer = Answer(1)
        self.window = PhoneWindow(self._take, lambda *letter: self.sent.append(letter), self.ends.append)

    def _take(self, code: int, payload: bytes, sender: int) -> Answer:
        self.asked.append((code, payload, sender))
        return self.answer

    def gets(self, message: int, wparam: int = 0, lparam: int = 0) -> int:
        return self.window._message(OURS, message, wparam, lparam)

    def letter(self, code: int, payload: bytes | None, size: int | None = None, sender: int = SENDER) -> int:
        """Send WM_COPYDATA; None is a null pointer."""
        buffer = None if payload is None else ctypes.create_string_buffer(payload, len(payload) or 1)
        length = len(payload or b"") if size is None else size
        found = ffi.COPYDATASTRUCT(code, length, ctypes.cast(buffer, ctypes.c_void_p) if buffer is not None else None)
        return self.gets(ffi.WM_COPYDATA, sender, ctypes.addressof(found))


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
    fake = FakeWindows()
    monkeypatch.setattr(module, "user32", fake)
    monkeypatch.setattr(module, "kernel32", fake)
    return fake


def test_it_is_there_and_leaves_nothing(windows: FakeWindows) -> None:
    window = Scene().window
    window._create()
    assert (windows.classes, windows.open, window.handle, windows.marks) == ([CLASS], [OURS], OURS, {MARK: 1})
    assert windows.filtered == [(ffi.WM_COPYDATA, ffi.MSGFLT_DISALLOW)]
    window._destroy()
    assert (windows.classes, windows.open, windows.marks) == ([], [], {})


@pytest.mark.parametrize("refused", ["class", "window"])
def test_a_window_that_is_refused_leaves_nothing(windows: FakeWindows, refused: str) -> None:
    windows.refuses = refused
    with pytest.raises(SetupError, match=refused):
        Scene().window._create()
    assert windows.classes == []


def test_a_letter_is_answered_and_its_text_sent_back_first(windows: FakeWindows) -> None:
    scene = Scene()
    scene.answer = Answer(0xC001, b"sip:x@h\0")
    assert scene.letter(5, b"") == 0xC001
    assert scene.letter(2**40 + 1, b"12", sender=0) == 0xC001
    assert scene.asked == [(5, b"", SENDER), (2**40 + 1, b"12", 0)]
    assert scene.sent == [(SENDER, 5, b"sip:x@h\0")], "not to nobody"
    scene.answer = Answer(1)
    scene.letter(4, b"")
    assert len(scene.sent) == 1


@pytest.mark.parametrize(("payload", "size", "asked"), [
    (b"1001", 4, True), (None, 0, True), (None, 4, False), (b"x", MAX_PAYLOAD + 1, False), (b"x", 2**32 - 1, False),
    (b"1" * MAX_PAYLOAD, MAX_PAYLOAD, True),
])
def test_what_is_no_letter_is_0_and_never_read(windows: FakeWindows, payload: bytes | None, size: int, asked: bool) -> None:
    scene = Scene()
    assert scene.letter(1, payload, size) == int(asked)
    assert bool(scene.asked) is asked
    assert scene.gets(ffi.WM_COPYDATA, SENDER, 0) == 0


def test_letters_within_letters_end(windows: FakeWindows) -> None:
    scene = Scene()
    scene.answer = Answer(1, b"again")
    scene.window._reply = lambda *_: scene.letter(5, b"")
    assert scene.letter(5, b"") == 1
    assert len(scene.asked) == MAX_DEPTH
    scene.window._reply = lambda *_: None
    assert scene.letter(5, b"") == 1, "and begin anew"


def test_closing_and_logging_off_end_the_phone(windows: FakeWindows) -> None:
    scene = Scene()
    assert scene.gets(0x0011) == 77, "WM_QUERYENDSESSION is left to Windows, which says yes"
    assert scene.gets(ffi.WM_ENDSESSION, 0) == 77, "somebody else said no"
    assert scene.ends == []
    assert scene.gets(ffi.WM_CLOSE) == scene.gets(ffi.WM_ENDSESSION, 1) == 0
    assert scene.ends == [False, True]
    assert windows.left == [0x0011, ffi.WM_ENDSESSION]


def test_what_goes_wrong_ends_no_window(windows: FakeWindows) -> None:
    scene = Scene()

    def take(code: int, payload: bytes, sender: int) -> Answer:
        raise RuntimeError

    scene.window._take = take
    assert scene.letter(1, b"1001") == 0
    assert scene.window._depth == 0
