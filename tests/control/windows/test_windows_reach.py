"""Other programs' windows and the session's atoms, before a Windows that is a few tables."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from offhook.control.windows import ffi
from offhook.control.windows import reach as module
from offhook.control.windows.reach import MAX_ATOM, Owner, Session, send_copydata

OWN = 7
"""Our process."""


class FakeWindows:
    """Windows by their threads and processes, processes by their sessions, and what was sent."""

    def __init__(self) -> None:
        self.windows = {1: (11, 5), 2: (12, OWN), 3: (13, 6)}
        self.sessions = {5: 1, OWN: 1, 6: 2}
        self.atoms: list[str] = []
        self.sent: list[tuple[int, int, int, bytes, int]] = []
        self.takes = True

    def GetWindowThreadProcessId(self, window: int, process: Any) -> int:
        thread, process._obj.value = self.windows.get(window, (0, 0))
        return thread

    def GetCurrentProcessId(self) -> int:
        return OWN

    def ProcessIdToSessionId(self, process: int, found: Any) -> int:
        found._obj.value = self.sessions.get(process, 0)
        return int(process in self.sessions)

    def GlobalAddAtomW(self, name: str) -> int:
        if len(name.encode("utf-16-le")) > 2 * MAX_ATOM:
            return 0
        self.atoms.append(name)
        return 0xC000 + len(self.atoms)

    def SendMessageTimeoutW(
        self, window: int, message: int, sender: int, address: int, flags: int, patience: int, result: Any
    ) -> int:
        assert (message, flags) == (ffi.WM_COPYDATA, ffi.SMTO_ABORTIFHUNG)
        letter = ffi.COPYDATASTRUCT.from_address(address)
        self.sent.append((window, sender, letter.dwData, ctypes.string_at(letter.lpData, letter.cbData), patience))
        result._obj.value = 42
        return int(self.takes)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
    fake = FakeWindows()
    monkeypatch.setattr(module, "user32", fake)
    monkeypatch.setattr(module, "kernel32", fake)
    return fake


def test_whose_a_window_is(windows: FakeWindows) -> None:
    session = Session(lambda: 9)
    assert session.owner(1) == Owner(5, 11)
    assert session.owner(2) is None, "ours"
    assert session.owner(3) is None, "of another session"
    assert session.owner(4) is session.owner(0) is None, "there is none"


def test_a_letter_is_sent_with_a_bound(windows: FakeWindows) -> None:
    assert Session(lambda: 9).send(1, 100, b"text\0")
    assert windows.sent == [(1, 9, 100, b"text\0", module.SEND_MS)]
    assert send_copydata(1, 9, 4, b"", 10) == 42, "also without a string"
    windows.takes = False
    assert not Session(lambda: 9).send(1, 100, b"text")


@pytest.mark.parametrize("text", ["sip:1001@pbx", "sip:" + "x" * 300, "sip:" + "\N{TELEPHONE RECEIVER}" * 200, "sip:\udcff"])
def test_an_atom_has_a_name_windows_takes(windows: FakeWindows, text: str) -> None:
    assert Session(lambda: 9).add_atom(text) == 0xC001
    assert text.startswith(windows.atoms[0].rstrip("?"))
