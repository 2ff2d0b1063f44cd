"""The texts, kept from what the phone tells. The file is opened with the first text, or when somebody asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from offhook.control.schema import to_json
from offhook.errors import NotFound
from offhook.io.engine import Engine
from offhook.io.journal import Envelope
from offhook.phone.events import MessageFailed, MessageReceived, MessageSent
from offhook.phone.model import wall
from offhook.storage.opening import opened

if TYPE_CHECKING:
    from offhook.storage.texts import TextFile


MAX_WAITING: Final = 1000
"""Texts that may wait for a file that cannot be opened."""


class KeptTexts:
    """Writes texts down and reads them. Without a file there are none, and every question for them raises NotFound."""

    def __init__(self, engine: Engine, path: Path | None, trouble: Callable[[str], None]) -> None:
        self._engine = engine
        self._path = path
        self._trouble = trouble
        self._file: TextFile | None = None
        self._one_at_a_time = threading.Lock()  # a question opens the file on another thread
        self._opening: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._waiting: deque[Envelope] = deque(maxlen=MAX_WAITING)  # what came before the file was open

    def start(self) -> None:
        """Keep texts from now on."""
        if self._path is not None:
            self._engine.subscribe(self._see, MessageReceived, MessageSent, MessageFailed)

    async def close(self) -> None:
        """Write what is left."""
        self._ending.set()
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._file is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._file.close)

    def list(self, limit: int, before: str) -> list[dict[str, Any]]:
        """Return texts, newest first; waits for the disk. Raises NotFound where `before` is not there (any more)."""
        file = self._open()
        found = file.list(limit, before)
        if before and not found and not file.has(before):
            raise NotFound(f"there is no text {before!r}")
        return [to_json(record) for record in found]

    def clear(self) -> None:
        """Forget all texts; waits for the disk."""
        self._open().clear()

    def _open(self) -> TextFile:
        if self._path is None:
            raise NotFound("this phone keeps no texts")
        with self._one_at_a_time:
            if self._file is None:
                from offhook.storage.texts import TextFile  # most phones write no texts

                self._file = TextFile(self._path, trouble=self._trouble)
            self._write(self._file)
            return self._file

    def _see(self, envelope: Envelope) -> None:
        self._waiting.append(envelope)
        if self._file is not None:
            self._write(self._file)
        elif self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open_for_writing())

    async def _open_for_writing(self) -> None:
        """Open the file as soon as the disk can be used; what cannot be written until the phone's end is told."""

        def tell(error: Exception) -> None:
            self._trouble(f"texts are not kept: {error}; what is new waits until they can be")

        loop = asyncio.get_running_loop()
        if await opened(lambda: loop.run_in_executor(None, self._open), self._ending, tell) is None:
            self._trouble(f"{len(self._waiting)} text(s) are missing in {self._path}")

    def _write(self, file: TextFile) -> None:
        """Hand over what waits; two threads may be here at once, and each text is taken by one of them."""
        with contextlib.suppress(IndexError):
            while True:
                _keep(file, self._waiting.popleft())


def _keep(file: TextFile, envelope: Envelope) -> None:
    from offhook.phone.records import MessageEntry

    at = wall(envelope.seconds)
    match envelope.event:
        case MessageReceived() as come:
            file.add(MessageEntry(
                come.message, at, "incoming", come.account, come.remote.uri, come.remote.display, come.text, come.content_type,
                "received", 0, "",
            ))  # fmt: skip
        case MessageSent() as sent:
            file.add(MessageEntry(sent.message, at, "outgoing", sent.account, sent.to, "", sent.text, _OURS, "sent", 0, ""))
        case MessageFailed() as failed:
            file.add(MessageEntry(
                failed.message, at, "outgoing", failed.account, failed.to, "", failed.text, _OURS, "failed", failed.sip_status,
                failed.reason,
            ))  # fmt: skip


_OURS = "text/plain;charset=UTF-8"
