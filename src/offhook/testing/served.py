"""A FakeBackend behind a real local socket in its own thread, for tests of synchronous clients."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from offhook.control.channel.serving import Listener
from offhook.control.local import LocalServer
from offhook.phone.events import Event
from offhook.testing.backend import FakeBackend

TICK = 0.002
"""Seconds between two events of `ticking`."""


@contextlib.contextmanager
def served(backend: FakeBackend, path: Path, *, ticking: Event | None = None) -> Iterator[str]:
    """Serve `backend` at `path` while the block runs; gives the path as text. `on_execute` runs in the server's loop.

    `ticking` is emitted again and again, for clients that wait for something to happen.
    """
    ready = threading.Event()
    ending: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        server = LocalServer(backend, path)
        await server.start()
        end = asyncio.Event()
        ending.append((asyncio.get_running_loop(), end))
        ready.set()
        while ticking is not None and not end.is_set():
            backend.emit(ticking)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(end.wait(), TICK)
        await end.wait()
        await server.close()
        for _ in range(2):  # turns of the loop in which the closed sockets go away
            await asyncio.sleep(0)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(5), "the server did not start"
    try:
        yield str(path)
    finally:
        loop, end = ending[0]
        loop.call_soon_threadsafe(end.set)
        thread.join(5)


@contextlib.contextmanager
def answering(address: str, answer: bytes | None) -> Iterator[None]:
    """Listen on the local socket `address` for one client, send `answer` to its first words and hang up; None: say nothing."""
    ready, ended = threading.Event(), threading.Event()

    class Odd(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            if answer is not None:
                self.transport.write(answer)
                self.transport.close()

    async def serve() -> None:
        listener = Listener(address, Odd)
        await listener.start()
        ready.set()
        await asyncio.to_thread(ended.wait, 30)
        listener.close()
        await asyncio.sleep(0)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(5), "the server did not start"
    try:
        yield
    finally:
        ended.set()
        thread.join(5)
