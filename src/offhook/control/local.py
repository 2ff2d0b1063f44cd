"""The local socket: JSON lines, one request or pushed event a line, for programs of the same user on the same machine.

    -> {"id":1,"op":"dial","to":"1001"}
    <- {"id":1,"ok":true,"result":{"call":"c_1","operation":"op_k7q2-1","value":null}}
    -> {"id":2,"op":"subscribe","types":["call.*"],"after":"k7q2-6"}
    <- {"id":2,"ok":true,"result":{"types":["call.incoming", ...],"after":"k7q2-6"}}
    <- {"event":{"v":1,"id":"k7q2-7","type":"call.ended", ...}}
    <- {"id":3,"ok":false,"error":{"code":"not-found","detail":"...", ...}}

The fields of a command stand beside `op`, or in an object `params` (needed for a Dial that chooses its call's `id`, as `id`
beside `op` names the request). Requests of one client are answered in their order. `subscribe` gives the events from now on,
or those after the event `after`; a client that reads too slowly is let go, and goes on from its last event when it comes back.
`wait` is answered when what it waits for has happened; other requests are answered meanwhile.
`hello` gives the connection a name; `audio` turns it into a call's sound (`audio_lines.py`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections import deque
from collections.abc import Awaitable, Mapping
from typing import Any

from offhook.control.access import local_client
from offhook.control.audio_lines import AudioLines, open_audio
from offhook.control.backend import Backend, Unsubscribe
from offhook.control.channel.serving import Listener, has_gone, is_same_user
from offhook.control.feed import Reader, stream_event
from offhook.control.operations import Operations
from offhook.control.session import (
    FLUSH_SECONDS,
    MAX_REQUEST,
    MAX_UNSENT,
    STALL_SECONDS,
    Session,
    Shared,
    event_message,
    only,
    refusal,
    yield_later,
)
from offhook.errors import CommandError, InvalidArgument

MAX_LINE = MAX_REQUEST
"""Longest request in bytes."""

MAX_CLIENTS = 256
"""Most clients at once; each costs a file descriptor that a call's sound may need."""

REQUESTS_A_TURN = 32
"""Requests of one client done before others, and the calls, have their turn."""

LOOK_SECONDS = 1.0
"""How often it is looked whether a client that only listens is still there."""

NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")

_log = logging.getLogger(__name__)


class LocalServer:
    """Serves one phone on the local socket at `path`. `start` raises SetupError if another phone already runs there."""

    def __init__(self, backend: Backend, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.operations = Operations(backend)
        self.shared = Shared(backend.journal)
        self.backend = backend
        self._clients: set[_Client] = set()
        self._listener: Listener | None = None
        self._unsubscribe: Unsubscribe | None = None
        self._gone = asyncio.Event()
        self._announced = False

    async def start(self) -> None:
        """Listen from now on."""
        listener = Listener(self.path, lambda: _Client(self))
        await listener.start()
        self._listener = listener
        self._unsubscribe = self.backend.journal.watch(self._news)

    async def close(self) -> None:
        """Stop listening, let the clients read their last lines for a moment, and take the socket away."""
        if self._listener is None:
            return
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._listener.close()
        self._listener = None
        for client in list(self._clients):
            client.close()
        while self._clients:
            self._gone.clear()
            await self._gone.wait()

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    def admit(self, client: _Client) -> bool:
        """Take a new client in, unless there are too many."""
        if len(self._clients) >= MAX_CLIENTS or self._listener is None:
            return False
        self._clients.add(client)
        return True

    def forget(self, client: _Client) -> None:
        """A client is gone."""
        self._clients.discard(client)
        self._gone.set()

    def _news(self) -> bool:
        # One turn later: what a burst of packets brought goes out in one write for each client.
        if self._clients and not self._announced:
            self._announced = True
            yield_later(self._pump)
        return bool(self._clients)

    def _pump(self) -> None:
        """Let every subscriber read on."""
        self._announced = False
        for client in tuple(self._clients):
            client.pump()


class _Client(asyncio.Protocol):
    """One connection: bytes in, requests one after another, replies and events out."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        own = {"hello": self._hello, "audio": self._open_audio}
        self._session = Session(server.operations, local_client(), self._subscription_changed, own, self._tell)
        self._audio: AudioLines | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._stall: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._partial = b""
        self._answering: asyncio.Task[None] | None = None
        self._waiting: deque[bytes] = deque()
        self._scheduled = self._full = self._no_more = self._ended = False

    # --- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.set_write_buffer_limits(high=MAX_UNSENT)
        if not is_same_user(transport):
            transport.abort()
        elif not self._server.admit(self):
            self._write(_line(refusal(None, CommandError(f"too many clients; at most {MAX_CLIENTS}"))))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._audio is not None:
            self._audio.close()
        self._waiting.clear()
        self._stop_events()
        self._session.stop_waiting()
        self._server.forget(self)

    def close(self) -> None:
        """Close after what is written; cut off a client that does not read it."""
        transport = self._transport
        if transport is not None and not self._ended:
            self._ended = True
            self._stop_events()
            self._session.stop_waiting()
            self._waiting.clear()
            transport.close()
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, transport.abort)

    def eof_received(self) -> bool:
        # A client that closed its sending side (`echo … | nc -N`) still wants its answers, and events if it subscribed.
        self._no_more = True
        session = self._session
        listens = bool(self._waiting or self._answering or session.reader or session.waits) and self._audio is None
        if listens:
            self._look()
        return listens

    def _look(self) -> None:
        """See whether a client that sends nothing more is still there: to one that waits nothing may be written for long."""
        if self._transport is None or self._ended:
            return
        if (self._session.reader or self._session.waits) and has_gone(self._transport):
            self._transport.abort()
        else:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def pause_writing(self) -> None:
        # Requests wait while their answers are not read, and events stay in the journal.
        self._full = True
        self._room.clear()
        self._stall = asyncio.get_running_loop().call_later(STALL_SECONDS, self._let_go)
        self._steer()

    def resume_writing(self) -> None:
        self._full = False
        self._room.set()
        if self._stall is not None:
            self._stall.cancel()
        self._schedule()
        self.pump()

    # --- requests

    def data_received(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            self._write(_line(refusal(None, InvalidArgument.field("line", f"is longer than {MAX_LINE} bytes"))))
            self.close()
            return
        self._waiting.extend(line for line in lines if line.strip())
        if not self._scheduled:
            self._work()

    def _schedule(self) -> None:
        if self._waiting and not (self._scheduled or self._full or self._answering):
            self._scheduled = True
            yield_later(self._work)
        self._steer()

    def _work(self) -> None:
        """Answer some of the waiting requests with one write, then let others have their turn."""
        self._scheduled = False
        replies = []
        for _ in range(min(REQUESTS_A_TURN, len(self._waiting))):
            if self._full or self._answering or self._transport is None:
                break
            line = self._waiting.popleft()
            if self._audio is not None:
                self._audio.take(line)
                continue
            answer = self._session.answer(line)
            if isinstance(answer, bytes):
                replies.append(_line(answer))
            elif answer is not None:
                self._answering = asyncio.get_running_loop().create_task(self._answer_later(answer))
        if replies:
            self._write(b"".join(replies))
        self._schedule()

    async def _answer_later(self, answer: Awaitable[bytes]) -> None:
        """Requests are answered in their order: the next ones wait for one that waits for the disk."""
        found = await answer
        self._answering = None
        self._write(_line(found))
        self._schedule()

    def _steer(self) -> None:
        """Read on only when nothing is left to do; a client that asked and closed is closed after the last answer."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._waiting or self._full or self._answering:
            transport.pause_reading()
        elif self._no_more and not (self._session.reader or self._session.waits):
            self.close()
        elif not transport.is_reading():
            transport.resume_reading()

    def _tell(self, answer: bytes) -> None:
        """Send the answer to a wait."""
        self._write(_line(answer))
        self._steer()

    def _hello(self, params: Mapping[str, Any]) -> Any:
        """Give this connection a name, which stands in audit events and causes."""
        only(params, "client")
        name = params.get("client")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InvalidArgument.field("client", "a name of 1-32 letters, digits, '.', '_' and '-'")
        self._session.client = local_client(name)
        return {"client": name}

    def _open_audio(self, params: Mapping[str, Any]) -> Any:
        """From here on the connection carries one call's sound."""
        assert self._session.client is not None
        link = open_audio(self._server.operations, self._session.client, params)
        self._audio = AudioLines(link, self._write, lambda: self._full, self.close)
        self._stop_events()
        self._session.stop_waiting()
        return {"audio": link.id, "call": link.call, "rate": link.rate}

    # --- events

    def _subscription_changed(self) -> None:
        self._stop_catching_up()
        yield_later(self.pump)

    def _stop_events(self) -> None:
        self._session.reader = None
        self._stop_catching_up()

    def _stop_catching_up(self) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()
            self._catching_up = None
        if self._stall is not None:
            self._stall.cancel()

    def pump(self) -> None:
        """Send the events behind the cursor, as far as the client takes them."""
        reader = self._session.reader
        if reader is None or self._full or self._catching_up is not None or self._transport is None:
            return
        written = self._server.shared.read(reader, _framed)
        if written is None:
            self._catching_up = asyncio.get_running_loop().create_task(self._catch_up(reader))
            return
        if written:
            self._write(written)
        if reader.behind:
            yield_later(self.pump)

    async def _catch_up(self, reader: Reader) -> None:
        """Read from the disk what memory does not hold any more, at the client's pace."""
        try:
            while lines := await reader.page():
                if self._full:
                    await self._room.wait()
                self._write(_framed(lines))
        except Exception:  # the outermost loop: a journal that cannot be read costs this client its connection, not the phone
            _log.exception("the journal could not be read")
            self._catching_up = None
            self.close()
            return
        self._catching_up = None
        self.pump()

    def _let_go(self) -> None:
        """The client has read nothing for too long: tell it where to go on, and close."""
        if self._session.reader is not None:
            note = stream_event("stream.slow_consumer", last=str(self._session.reader.cursor))
            self._write(_framed([note]))
            self.close()

    def _write(self, line: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(line)


def _line(message: bytes) -> bytes:
    return message + b"\n"


def _framed(events: list[bytes]) -> bytes:
    return b"".join([_line(event_message(event)) for event in events])
