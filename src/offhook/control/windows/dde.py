"""The DDE service MicroSIP, by Windows' DDEML: on a thread of its own it carries conversations to the phone and back."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable
from ctypes.wintypes import DWORD
from typing import Final, Protocol

from offhook.control.legacy.dde_items import ADVISED, SHELL_TOPIC, TOPICS
from offhook.control.windows import ffi
from offhook.control.windows.bridge import Busy
from offhook.control.windows.conversations import MAX_CONVERSATIONS
from offhook.control.windows.ffi import user32
from offhook.control.windows.messages import MAX_PAYLOAD
from offhook.control.windows.thread import MessageThread
from offhook.errors import SetupError

SERVICE: Final = "MicroSIP"

ENCODINGS: Final = {ffi.CF_TEXT: "mbcs", ffi.CF_UNICODETEXT: "utf-16-le"}
"""The formats of text, and how they are written; "mbcs" is the code page of the system."""

MAX_NAME: Final = 256
"""Longest name of a service, topic or item, in characters; Windows allows 255."""

_log = logging.getLogger(__name__)


class Desk(Protocol):
    """The phone's side of the conversations (`conversations.py`), as seen from the DDE thread. Each may raise Busy."""

    def begin(self, conversation: int) -> bool: ...
    def end(self, conversation: int) -> None: ...
    def run(self, conversation: int, payload: bytes, *, shell: bool = False) -> bool: ...
    def poke(self, conversation: int, item: str, payload: bytes) -> bool: ...
    def request(self, conversation: int, item: str) -> str | None: ...
    def advise(self, conversation: int, item: str) -> bool: ...
    def unadvise(self, conversation: int, item: str) -> None: ...
    def due(self, conversation: int, item: str) -> str | None: ...
    def again(self, item: str) -> None: ...


class DdeServer:
    """The service. `start` and `close` from any other thread; `post` tells it that an item has news."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._callback = ffi.DDECALLBACK(self._transaction)  # Windows holds no reference that Python would count
        self._thread = MessageThread("offhook-dde", self._register, self._advise, self._unregister)
        self._instance = DWORD()
        self._names: dict[str, int] = {}
        self._news: set[str] = set()
        self._lock = threading.Lock()
        self._known: set[int] = set()
        self._answers: dict[int, Callable[..., int]] = {
            ffi.XTYP_CONNECT: self._connect,
            ffi.XTYP_WILDCONNECT: self._wild_connect,
            ffi.XTYP_CONNECT_CONFIRM: self._connected,
            ffi.XTYP_DISCONNECT: self._disconnected,
            ffi.XTYP_EXECUTE: self._execute,
            ffi.XTYP_POKE: self._poke,
            ffi.XTYP_REQUEST: self._request,
            ffi.XTYP_ADVSTART: self._advise_start,
            ffi.XTYP_ADVREQ: self._advise_request,
            ffi.XTYP_ADVSTOP: self._advise_stop,
        }

    def start(self) -> None:
        """Offer the service. Raises SetupError."""
        self._thread.start()

    def close(self) -> None:
        """End all conversations and take the service back; waits for the thread."""
        self._thread.close()

    def post(self, item: str) -> None:
        """There is news of an item: push it to whoever has an advise loop on it."""
        with self._lock:
            waiting = item in self._news
            self._news.add(item)
        if not waiting:
            self._thread.wake()

    # --- on the thread

    def _register(self) -> None:
        flags = (
            ffi.APPCLASS_STANDARD | ffi.CBF_FAIL_SELFCONNECTIONS | ffi.CBF_SKIP_REGISTRATIONS | ffi.CBF_SKIP_UNREGISTRATIONS
        )
        failed = user32.DdeInitializeW(ctypes.byref(self._instance), self._callback, flags, 0)
        if failed:
            raise SetupError(f"Windows refuses DDE (error {failed:#x})")
        for name in (SERVICE, *TOPICS, *ADVISED):
            self._names[name] = user32.DdeCreateStringHandleW(self._instance, name, ffi.CP_WINUNICODE)
        if not user32.DdeNameService(self._instance, self._names[SERVICE], None, ffi.DNS_REGISTER):
            self._unregister()
            raise SetupError(f"Windows refuses the DDE service {SERVICE}")

    def _unregister(self) -> None:
        user32.DdeNameService(self._instance, None, None, ffi.DNS_UNREGISTER)
        for name in self._names.values():
            user32.DdeFreeStringHandle(self._instance, name)
        user32.DdeUninitialize(self._instance)

    def _advise(self) -> None:
        with self._lock:
            news, self._news = self._news, set()
        if news:
            self._bury()
        for item in news:
            user32.DdePostAdvise(self._instance, None, self._names[item])

    def _bury(self) -> None:
        """End the conversations whose client has died without a word."""
        for conversation in tuple(self._known):
            if not self._owner(conversation):
                user32.DdeDisconnect(conversation)
                self._gone(conversation)

    def _transaction(
        self, kind: int, form: int, conversation: int | None, topic: int | None, item: int | None, handle: int | None,
        _data1: int, _data2: int,
    ) -> int:
        answer = self._answers.get(kind)
        if answer is None:
            return 0
        try:
            return answer(conversation or 0, topic or 0, item or 0, form, handle or 0)
        except Busy:
            return ffi.DDE_FBUSY if kind in (ffi.XTYP_EXECUTE, ffi.XTYP_POKE) else 0
        except Exception:  # the outermost loop: what one client asks must not end the service
            _log.exception("a DDE transaction failed unexpectedly")
            return 0

    # --- conversations

    def _connect(self, _conversation: int, _topic: int, service: int, *_: int) -> int:
        return int(self._name(service).lower() == SERVICE.lower())

    def _wild_connect(self, _conversation: int, topic: int, service: int, *_: int) -> int:
        if service and self._name(service).lower() != SERVICE.lower():
            return 0
        topics = [topic] if topic else [self._names[name] for name in TOPICS]
        pairs = [ffi.HSZPAIR(self._names[SERVICE], each) for each in topics] + [ffi.HSZPAIR(None, None)]
        offered = (ffi.HSZPAIR * len(pairs))(*pairs)
        return self._handle(bytes(offered), 0, 0)

    def _connected(self, conversation: int, *_: int) -> int:
        if len(self._known) >= MAX_CONVERSATIONS:
            self._bury()
        try:
            begun = self._desk.begin(conversation)
        except Busy:  # one that nobody knows would be refused each loop, and never told why
            begun = False
        if begun:
            self._known.add(conversation)
        else:
            user32.DdeDisconnect(conversation)
        return 0

    def _disconnected(self, conversation: int, *_: int) -> int:
        self._gone(conversation)
        return 0

    def _gone(self, conversation: int) -> None:
        self._known.discard(conversation)
        self._desk.end(conversation)

    # --- transactions

    def _execute(self, conversation: int, topic: int, _item: int, _form: int, handle: int) -> int:
        # Windows hands over links (ddeexec) on this topic, with whatever stands in them.
        shell = self._name(topic).casefold() == SHELL_TOPIC.casefold()
        done = self._desk.run(conversation, self._payload(handle), shell=shell)
        return ffi.DDE_FACK if done else ffi.DDE_FNOTPROCESSED

    def _poke(self, conversation: int, _topic: int, item: int, form: int, handle: int) -> int:
        done = form in ENCODINGS and self._desk.poke(conversation, self._name(item), self._payload(handle))
        return ffi.DDE_FACK if done else ffi.DDE_FNOTPROCESSED

    def _request(self, conversation: int, _topic: int, item: int, form: int, _handle: int) -> int:
        text = self._desk.request(conversation, self._name(item)) if form in ENCODINGS else None
        return self._text(text, item, form)

    def _advise_start(self, conversation: int, _topic: int, item: int, form: int, _handle: int) -> int:
        return int(form in ENCODINGS and self._desk.advise(conversation, self._name(item)))

    def _advise_request(self, conversation: int, _topic: int, item: int, form: int, _handle: int) -> int:
        name = self._name(item)
        text = None
        try:
            hung = user32.IsHungAppWindow(self._owner(conversation))
            text = None if hung else self._desk.due(conversation, name)
        except Busy:
            hung = True
        if hung:
            self._desk.again(name)  # what is due stays due, and there may be no further news to bring it up
        return self._text(text, item, form)

    def _advise_stop(self, conversation: int, _topic: int, item: int, *_: int) -> int:
        self._desk.unadvise(conversation, self._name(item))
        return 0

    # --- what Windows keeps

    def _owner(self, conversation: int) -> int:
        """Return the client's window, 0 if it is gone."""
        found = ffi.CONVINFO(cb=ctypes.sizeof(ffi.CONVINFO))
        if not user32.DdeQueryConvInfo(conversation, ffi.QID_SYNC, ctypes.byref(found)):
            return 0
        window = int(found.hwndPartner or 0)
        return window if user32.GetWindowThreadProcessId(window, None) else 0

    def _name(self, handle: int) -> str:
        buffer = ctypes.create_unicode_buffer(MAX_NAME)
        user32.DdeQueryStringW(self._instance, handle, buffer, MAX_NAME, ffi.CP_WINUNICODE)
        return buffer.value

    def _payload(self, handle: int) -> bytes:
        """Return what the client sent, cut where it is more than is taken anyway."""
        size = min(user32.DdeGetData(handle, None, 0, 0), MAX_PAYLOAD)
        buffer = ctypes.create_string_buffer(size or 1)
        user32.DdeGetData(handle, buffer, size, 0)
        return buffer.raw[:size]

    def _text(self, text: str | None, item: int, form: int) -> int:
        if text is None:
            return 0
        lines = text.replace("\n", "\r\n") + "\0"  # as the clipboard's text formats are defined
        return self._handle(lines.encode(ENCODINGS[form], "replace"), item, form)

    def _handle(self, content: bytes, item: int, form: int) -> int:
        return int(user32.DdeCreateDataHandle(self._instance, content, len(content), 0, item, form, 0) or 0)
