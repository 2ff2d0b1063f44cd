"""What the phone does about a WM_COPYDATA message, on its loop: the ten commands, and three codes of our own beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, NamedTuple, TypeAlias

import msgspec

from offhook.control.access import Client
from offhook.control.backend import Envelope, Execute, Unsubscribe
from offhook.control.legacy.copydata import COPYDATA, run_copydata
from offhook.control.legacy.dde_items import dde_request
from offhook.control.legacy.text import utf8_c_string
from offhook.control.operations import Operations
from offhook.control.windows.reach import REQUEST, Reach
from offhook.control.windows.subscribers import SUBSCRIBE, Subscribers

UNSUBSCRIBE: Final = 101
"""dwData: send no more events to the window in wParam."""

MAX_PAYLOAD: Final = 64 * 1024
"""Longest string taken, in bytes; anything may send to a window, and no command comes near it."""


class Answer(NamedTuple):
    """`lresult` is what SendMessage returns; `reply` goes to the sender's window before it does, unless it is empty."""

    lresult: int
    reply: bytes = b""


Answering: TypeAlias = Answer | Awaitable[Answer]


class _Verdict(msgspec.Struct):
    """The part of an answer in JSON that the LRESULT shows."""

    ok: bool


class Messages:
    """Answers the messages to one phone's window. `client` is who they count as."""

    def __init__(self, operations: Operations, client: Client, reach: Reach) -> None:
        self._operations = operations
        self._execute: Execute = lambda command: operations.execute(command, client)
        self._atom = _ActiveCallAtom(operations, self._execute, reach)
        self._subscribers = Subscribers(operations, client, reach)

    def take(self, code: int, payload: bytes, sender: int) -> Answering:
        """Carry out one message of the window `sender` (0: of nobody who says so)."""
        if code in (SUBSCRIBE, UNSUBSCRIBE, REQUEST):
            return self._request(code, utf8_c_string(payload), sender)
        result = run_copydata(self._execute, code, payload, self._operations.memory)
        if code == COPYDATA["ACTIVECALL"].code and result.lresult:
            return Answer(self._atom.name(result.text), result.text.encode() + b"\0")
        return Answer(result.lresult)

    def _request(self, code: int, payload: bytes, sender: int) -> Answering:
        if code != REQUEST:
            try:
                params = msgspec.json.decode(payload.strip() or b"{}")
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                return Answer(0)
            payload = msgspec.json.encode({"op": "subscribe" if code == SUBSCRIBE else "unsubscribe", "params": params})
        found = self._subscribers.request(sender, payload)
        if not isinstance(found, bytes):
            return self._later(found)
        return _json_answer(found, tell=code == REQUEST)

    async def _later(self, found: Awaitable[bytes]) -> Answer:
        return _json_answer(await found, tell=True)

    async def close(self) -> None:
        """Give back what is held, and push nothing any more."""
        self._atom.drop()
        await self._subscribers.close()


def _json_answer(found: bytes, *, tell: bool) -> Answer:
    return Answer(int(msgspec.json.decode(found, type=_Verdict).ok), found + b"\0" if tell else b"")


class _ActiveCallAtom:
    """The global atom that ACTIVECALL answers: one at a time, kept as long as the far end of the current call is its name."""

    def __init__(self, operations: Operations, execute: Execute, reach: Reach) -> None:
        self._backend = operations.backend
        self._execute = execute
        self._reach = reach
        self._uri = ""
        self._atom = 0
        self._unsubscribe: Unsubscribe | None = None

    def name(self, uri: str) -> int:
        """Return the atom with this name; 0 while the session has none left, which other programs may have used up."""
        if uri != self._uri or not self._atom:
            self.drop()
            self._atom = self._reach.add_atom(uri)
            self._uri = uri
            self._unsubscribe = self._backend.subscribe(self._see)
        return self._atom

    def drop(self) -> None:
        """Give the atom back, if there is one."""
        if self._atom:
            self._reach.delete_atom(self._atom)
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._uri, self._atom, self._unsubscribe = "", 0, None

    def _see(self, envelope: Envelope) -> None:
        if envelope.type.startswith("call."):
            asyncio.get_running_loop().call_soon(self._look)  # when what brought the event about is complete

    def _look(self) -> None:
        if self._uri and dde_request(self._execute, "ActiveCall") != self._uri:
            self.drop()
