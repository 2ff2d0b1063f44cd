"""Brings window and DDE service up for one phone and takes them down. One phone of a Windows session has them at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from typing import Final

from offhook.control.access import Client
from offhook.control.backend import Backend
from offhook.control.operations import Operations
from offhook.control.windows.bridge import Bridge, Busy
from offhook.control.windows.conversations import Conversations
from offhook.control.windows.dde import DdeServer
from offhook.control.windows.ffi import ERROR_ALREADY_EXISTS, kernel32, last_error
from offhook.control.windows.messages import Answer, Messages
from offhook.control.windows.reach import Session
from offhook.control.windows.window import PhoneWindow
from offhook.errors import SetupError
from offhook.phone.commands import Quit

MUTEX: Final = "Local\\offhook-MicroSIP"
"""Held by the phone that has window and DDE; Windows gives it back when that phone dies, however it dies."""

LOG_OFF_SECONDS: Final = 4.0
"""How long logging off waits for BYE and unregistering; Windows itself gives a program 5 s."""


class WindowsSurface:
    """Window and DDE service of one phone. `calls_per_minute` bounds what either of them may cost; 0 is no bound."""

    def __init__(self, backend: Backend, *, window: bool = True, dde: bool = True, calls_per_minute: int = 0) -> None:
        operations = Operations(backend)
        self._bridge = Bridge(asyncio.get_running_loop())
        self._operations = operations
        self._client = Client("window", calls_per_minute=calls_per_minute)
        self._reach = Session(lambda: self._window.handle if self._window else 0)
        self._messages = Messages(operations, self._client, self._reach)
        self._conversations = Conversations(
            operations, Client("dde", calls_per_minute=calls_per_minute), self._post, "mbcs"
        )
        self._window = PhoneWindow(self._take, self._reach.send, self._end) if window else None
        self._dde = DdeServer(_Desk(self._bridge, self._conversations)) if dde else None
        self._mutex = 0
        self._over = threading.Event()

    async def start(self) -> None:
        """Be there for programs. Raises SetupError if another phone is, or Windows refuses."""
        self._mutex = kernel32.CreateMutexW(None, False, MUTEX) or 0
        if not self._mutex or last_error() == ERROR_ALREADY_EXISTS:
            self._release()
            raise SetupError("another phone of this Windows session has the window and the DDE service of the name MicroSIP")
        loop = asyncio.get_running_loop()
        try:
            for part in (self._window, self._dde):
                if part is not None:
                    await loop.run_in_executor(None, part.start)
        except SetupError:
            await self.close()
            raise

    async def close(self) -> None:
        """Be gone."""
        self._over.set()
        await self._messages.close()
        self._conversations.close()
        loop = asyncio.get_running_loop()
        for part in (self._dde, self._window):
            if part is not None:
                await loop.run_in_executor(None, part.close)
        self._release()

    def _release(self) -> None:
        if self._mutex:
            kernel32.CloseHandle(self._mutex)
            self._mutex = 0

    def _post(self, item: str) -> None:
        assert self._dde is not None
        self._dde.post(item)

    # --- on the window's thread

    def _take(self, code: int, payload: bytes, sender: int) -> Answer:
        try:
            found = self._bridge.ask(lambda: self._messages.take(code, payload, sender))
            return found if isinstance(found, Answer) else self._bridge.wait(found)
        except Busy:
            return Answer(0)

    def _end(self, log_off: bool) -> None:
        """The window is closed, by a program or because the user logs off."""
        try:
            self._bridge.tell(lambda: self._operations.execute(Quit(), self._client))
        except Busy:
            return
        if log_off:
            self._over.wait(LOG_OFF_SECONDS)


class _Desk:
    """The conversations, from the DDE thread."""

    def __init__(self, bridge: Bridge, conversations: Conversations) -> None:
        self._bridge = bridge
        self._conversations = conversations

    def begin(self, conversation: int) -> bool:
        return self._bridge.ask(lambda: self._conversations.begin(conversation))

    def end(self, conversation: int) -> None:
        self._bridge.tell(lambda: self._conversations.end(conversation))

    def run(self, conversation: int, payload: bytes, *, shell: bool = False) -> bool:
        return self._bridge.ask(lambda: self._conversations.run(conversation, payload, shell=shell))

    def poke(self, conversation: int, item: str, payload: bytes) -> bool:
        return self._bridge.ask(lambda: self._conversations.poke(conversation, item, payload))

    def request(self, conversation: int, item: str) -> str | None:
        return self._text(self._bridge.ask(lambda: self._conversations.request(conversation, item)))

    def advise(self, conversation: int, item: str) -> bool:
        return self._bridge.ask(lambda: self._conversations.advise(conversation, item))

    def unadvise(self, conversation: int, item: str) -> None:
        self._bridge.tell(lambda: self._conversations.unadvise(conversation, item))

    def due(self, conversation: int, item: str) -> str | None:
        return self._text(self._bridge.ask(lambda: self._conversations.due(conversation, item)))

    def again(self, item: str) -> None:
        self._bridge.tell(lambda: self._conversations.again(item))

    def _text(self, found: str | Awaitable[str | None] | None) -> str | None:
        return found if found is None or isinstance(found, str) else self._bridge.wait(found)
