"""What the phone does about DDE conversations, on its loop: commands, items, and the loops that push what changes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from offhook.control.access import Client
from offhook.control.backend import Envelope, Execute, Unsubscribe
from offhook.control.feed import Choice, Reader, event_types
from offhook.control.legacy.dde import run_dde
from offhook.control.legacy.dde_items import (
    ADVISED,
    DDE_ITEMS,
    EVENT,
    RETURN_MESSAGE,
    advised_item,
    ascii_json,
    dde_poke,
    dde_request,
)
from offhook.control.legacy.opening import from_shell
from offhook.control.legacy.text import read_c_string
from offhook.control.operations import Operations
from offhook.errors import CommandError

MAX_CONVERSATIONS: Final = 64
"""Conversations at once; a client needs one."""

MAX_WAITING: Final = 100
"""Changes of the status that wait for one client, which is told of the latest ones when it reads again."""

EVENTS_A_TIME: Final = 20
"""Events in one piece of data, a line each, for a client that is behind."""

LOOK_AGAIN_SECONDS: Final = 0.25
"""DISCONNECTED becomes IDLE by the clock alone: while it lasts, it is looked so often whether it is over."""

AGAIN_SECONDS: Final = 1.0
"""When a client that hangs is tried again."""

DISCONNECTED: Final = "DISCONNECTED"


@dataclass(slots=True)
class _Conversation:
    """What one client was answered last, and what it is to be told: changes that wait, and its places among the events.

    `asked` is for a client that is only told that there is news (a warm link) and asks for it: it has a place of its own, since
    Windows may take the news from us even so.
    """

    answer: str = ""
    waiting: dict[str, deque[str]] = field(default_factory=dict)
    pushed: Reader | None = None
    asked: Reader | None = None


class Conversations:
    """Answers the DDE clients of one phone, by the numbers Windows gives their conversations.

    `post` is called on the loop with an item of which there is news; `due` then gives each client's piece of it. `code_page` is
    how clients write that know no Unicode.
    """

    def __init__(self, operations: Operations, client: Client, post: Callable[[str], None], code_page: str = "cp1252") -> None:
        self._backend = operations.backend
        self._execute: Execute = lambda command: operations.execute(command, client)
        self._post = post
        self._code_page = code_page
        self._conversations: dict[int, _Conversation] = {}
        self._shown: dict[str, str] = {}
        self._again: asyncio.TimerHandle | None = None
        self._tries: dict[str, asyncio.TimerHandle] = {}
        self._looking = False
        self._unsubscribe: Unsubscribe | None = None
        self._unwatch: Unsubscribe | None = None

    def begin(self, conversation: int) -> bool:
        """Take a client in, unless there are too many."""
        if len(self._conversations) >= MAX_CONVERSATIONS:
            return False
        self._conversations[conversation] = _Conversation()
        return True

    def end(self, conversation: int) -> None:
        """A client is gone."""
        self._conversations.pop(conversation, None)
        self._watch()

    def close(self) -> None:
        """All are gone."""
        self._conversations.clear()
        self._watch()
        for timer in (self._again, *self._tries.values()):
            if timer is not None:
                timer.cancel()

    # --- one thing at a time

    def run(self, conversation: int, payload: bytes, *, shell: bool = False) -> bool:
        """Carry out an execute string; False if it was refused, and ReturnMessage says why.

        With `shell` it comes over the topic on which Windows hands over links: of a link only a call can come.
        """
        return self._told(conversation, lambda: self._run(read_c_string(payload, self._code_page), shell))

    def _run(self, text: str, shell: bool) -> str:
        link = from_shell(text) if shell else None
        if link is None:
            return run_dde(self._execute, text)
        self._execute(link)
        return ""

    def poke(self, conversation: int, item: str, payload: bytes) -> bool:
        """Set an item; False if it was refused."""

        def poke() -> str:
            dde_poke(self._execute, item, read_c_string(payload, self._code_page))
            return ""

        return self._told(conversation, poke)

    def request(self, conversation: int, item: str) -> str | Awaitable[str | None] | None:
        """Return an item's text; None if there is no such item."""
        name = item.strip().lower()
        if name == RETURN_MESSAGE.lower():
            return self._of(conversation).answer
        if name == EVENT.lower():
            return self._events(self._of(conversation).asked) or ""
        try:
            return dde_request(self._execute, item)
        except CommandError as error:
            self._of(conversation).answer = error.detail
            return None

    def _told(self, conversation: int, work: Callable[[], str]) -> bool:
        try:
            answer, done = work(), True
        except CommandError as error:
            answer, done = error.detail, False
        self._of(conversation).answer = answer
        return done

    def _of(self, conversation: int) -> _Conversation:
        """Return the conversation; one that Windows has just ended is made for the moment."""
        return self._conversations.get(conversation) or _Conversation()

    # --- advise loops

    def advise(self, conversation: int, item: str) -> bool:
        """Push an item to this client from now on; False if it is none that is pushed."""
        found = self._conversations.get(conversation)
        try:
            name = advised_item(item)
        except CommandError:
            return False
        if found is None:
            return False
        if name == EVENT:
            found.pushed, found.asked = (self._from_now() for _ in range(2))
        else:
            found.waiting.setdefault(name, deque(maxlen=MAX_WAITING))
        self._watch()
        return True

    def unadvise(self, conversation: int, item: str) -> None:
        """Push it no more."""
        found = self._of(conversation)
        name = advised_item(item)
        if name == EVENT:
            found.pushed = found.asked = None
        found.waiting.pop(name, None)
        self._watch()

    def due(self, conversation: int, item: str) -> str | Awaitable[str | None] | None:
        """Return the next piece of an item that this client has not had; None if it has had everything."""
        found = self._of(conversation)
        name = advised_item(item)  # Windows gives it in the letters of whoever was first to write it
        if name != EVENT:
            waiting = found.waiting.get(name)
            if not waiting:
                return None
            text = waiting.popleft()
            if waiting:
                self._post(name)
            return text
        events = self._events(found.pushed)
        if found.pushed is not None and found.pushed.behind:
            self._post(EVENT)
        return events

    def again(self, item: str) -> None:
        """Somebody could not be told of an item just now: bring it up again in a moment."""
        name = advised_item(item)
        if name not in self._tries:
            self._tries[name] = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._try, name)

    def _try(self, item: str) -> None:
        del self._tries[item]
        self._post(item)

    def _from_now(self) -> Reader:
        return Reader(self._backend.journal, Choice(event_types(["*"])), limit=EVENTS_A_TIME)

    def _events(self, reader: Reader | None) -> str | Awaitable[str | None] | None:
        """Return the next events of a reader, a line each; None if there are none."""
        if reader is None:
            return None
        lines = reader.at_once()
        return self._later(reader) if lines is None else _joined(lines)

    async def _later(self, reader: Reader) -> str | None:
        return _joined(await reader.page())

    # --- what changes

    def _watch(self) -> None:
        """Listen to the phone exactly as long as somebody wants to know."""
        watched = {name for found in self._conversations.values() for name in found.waiting}
        wanted = [name for name in ADVISED if name in watched]
        if wanted and self._unsubscribe is None:
            self._unsubscribe = self._backend.subscribe(self._see)
        elif not wanted and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._shown = {name: self._shown[name] if name in self._shown else self._now(name) for name in wanted}
        if DISCONNECTED in self._shown.values():
            self._look_later()
        readers = any(found.pushed is not None for found in self._conversations.values())
        if readers and self._unwatch is None:
            self._unwatch = self._backend.journal.watch(lambda: self._post(EVENT))
        elif not readers and self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _see(self, envelope: Envelope) -> None:
        if envelope.type.startswith("call.") and not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)  # when what brought the event about is complete

    def _look(self) -> None:
        """Tell whoever wants to know what has changed."""
        self._looking = False
        for name, before in self._shown.items():
            now = self._now(name)
            if now == before:
                continue
            self._shown[name] = now
            for found in self._conversations.values():
                if name in found.waiting:
                    found.waiting[name].append(now)
            self._post(name)
        if DISCONNECTED in self._shown.values():
            self._look_later()

    def _now(self, name: str) -> str:
        return DDE_ITEMS[name](self._execute)

    def _look_later(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = asyncio.get_running_loop().call_later(LOOK_AGAIN_SECONDS, self._look)


def _joined(lines: list[bytes]) -> str | None:
    return ascii_json(b"\n".join(lines).decode()) or None
