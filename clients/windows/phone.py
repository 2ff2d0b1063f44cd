"""Drives the phone from Python by its window, with ctypes alone: `python phone.py dial 1001`, `status`, `events` …

`pip install offhook` gives Python programs far more (docs/python.md); this shows what a program without it can do.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from ctypes import wintypes

COMMANDS = ("dial", "hangup", "answer", "status", "activecall", "mute", "transfer", "dtmf", "volume", "quit")
"""dwData is the place in this list, from 1."""

SUBSCRIBE = 100
WM_COPYDATA = 0x4A
HWND_MESSAGE = -3

user32 = ctypes.WinDLL("user32")
WNDPROC = ctypes.WINFUNCTYPE(ctypes.c_ssize_t, wintypes.HWND, wintypes.UINT, wintypes.WPARAM, wintypes.LPARAM)


class Letter(ctypes.Structure):
    """COPYDATASTRUCT."""

    _fields_ = (("code", ctypes.c_size_t), ("size", wintypes.DWORD), ("text", ctypes.c_char_p))


class WindowClass(ctypes.Structure):
    """WNDCLASSW."""

    _fields_ = (
        ("style", wintypes.UINT), ("procedure", WNDPROC), ("class_extra", ctypes.c_int), ("window_extra", ctypes.c_int),
        ("instance", wintypes.HANDLE), ("icon", wintypes.HANDLE), ("cursor", wintypes.HANDLE), ("brush", wintypes.HANDLE),
        ("menu", wintypes.LPCWSTR), ("name", wintypes.LPCWSTR),
    )  # fmt: skip


user32.FindWindowW.argtypes, user32.FindWindowW.restype = (wintypes.LPCWSTR, wintypes.LPCWSTR), wintypes.HWND
user32.CreateWindowExW.restype = wintypes.HWND
user32.CreateWindowExW.argtypes = (
    wintypes.DWORD, wintypes.LPCWSTR, wintypes.LPCWSTR, wintypes.DWORD, *[ctypes.c_int] * 4, *[wintypes.HANDLE] * 4
)  # fmt: skip
user32.SendMessageW.restype = user32.DefWindowProcW.restype = ctypes.c_ssize_t
user32.SendMessageW.argtypes = user32.DefWindowProcW.argtypes = (
    wintypes.HWND, wintypes.UINT, wintypes.WPARAM, wintypes.LPARAM
)  # fmt: skip


class Phone:
    """The running phone. `Phone()` raises LookupError if there is none."""

    def __init__(self) -> None:
        self._phone = user32.FindWindowW("MicroSIP", None)
        if not self._phone:
            raise LookupError("no phone runs")
        self._received: list[str] = []
        self._procedure = WNDPROC(self._message)  # kept: Windows holds no reference that Python would count
        kind = WindowClass(procedure=self._procedure, name="PhoneClient")
        user32.RegisterClassW(ctypes.byref(kind))
        self._own = user32.CreateWindowExW(0, "PhoneClient", "", 0, 0, 0, 0, 0, HWND_MESSAGE, None, None, None)

    def send(self, code: int, text: str = "") -> int:
        """Return the phone's LRESULT to one command."""
        payload = text.encode()
        letter = Letter(code, len(payload), payload)
        return int(user32.SendMessageW(self._phone, WM_COPYDATA, self._own, ctypes.addressof(letter)))

    def active_call(self) -> str:
        """Return the far end's URI, "" without a call: it comes as a message while SendMessage still waits."""
        self._received.clear()
        return self._received[-1] if self.send(5) and self._received else ""

    def events(self) -> Iterator[str]:
        """Yield every event as JSON, from now on."""
        if not self.send(SUBSCRIBE):
            raise RuntimeError("the phone refuses")
        message = wintypes.MSG()
        while True:
            while self._received:
                yield self._received.pop(0)
            # Events are sent, not posted: they arrive while this looks for messages. It waits 100 ms at most.
            user32.MsgWaitForMultipleObjects(0, None, False, 100, 0xFF)
            while user32.PeekMessageW(ctypes.byref(message), None, 0, 0, 1):
                user32.DispatchMessageW(ctypes.byref(message))

    def _message(self, window: int, message: int, wparam: int, lparam: int) -> int:
        if message == WM_COPYDATA:
            letter = Letter.from_address(lparam)
            self._received.append(letter.text.decode())
            return 1
        return int(user32.DefWindowProcW(window, message, wparam, lparam))


def main(words: list[str]) -> int:
    """Carry out one command line; the exit code is the phone's answer, 9 without a phone."""
    command, text = words[0] if words else "status", " ".join(words[1:])
    try:
        phone = Phone()
    except LookupError as error:
        print(error, file=sys.stderr)
        return 9
    if command == "events":
        for event in phone.events():
            print(event, flush=True)
    if command == "activecall":
        print(phone.active_call())
        return 0
    answer = phone.send(COMMANDS.index(command) + 1, text)
    print(answer)
    return answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
