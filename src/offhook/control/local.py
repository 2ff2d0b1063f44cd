"""The local socket: JSON lines, one request or pushed event a line, for programs of the same user on the same machine.

    -> {"id":1,"op":"dial","to":"1001"}
    <- {"id":1,"ok":true,"result":{"call":"c_1","operation":"op_1","value":null}}
    -> {"id":2,"op":"subscribe","types":["call.*"],"after":"k7q2-6"}
    <- {"id":2,"ok":true,"result":{"types":["call.incoming", ...],"after":"k7q2-6"}}
    <- {"event":{"v":1,"id":"k7q2-7","type":"call.ended", ...}}
    <- {"id":3,"ok":false,"error":{"code":"not-found","detail":"...", ...}}

The fields of a command stand beside `op`, or in an object `params` (needed for a Dial that chooses its call's `id`, as `id`
beside `op` names the request). Requests of one client are answered in their order. `subscribe` gives the events from now on,
or those after the event `after`; a client that reads too slowly is let go, and goes on from its last event when it comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
import socket
import stat
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from offhook.control.access import local_client
from offhook.control.backend import Backend, Cursor, Journal, Unsubscribe
from offhook.control.feed import Choice, Reader, cursor_from, event_types, stream_event
from offhook.control.operations import Operations
from offhook.control.schema import problem
from offhook.errors import CommandError, InvalidArgument, SetupError

MAX_LINE = 64 * 1024
"""Longest request in bytes: no command comes near it, and a client that sends no newline must not fill the memory."""

MAX_CLIENTS = 256
"""Most clients at once; each costs a file descriptor that a call's sound may need."""

MAX_UNSENT = 256 * 1024
"""Bytes that may wait for a client that does not read; its further events stay in the journal until it does."""

STALL_SECONDS = 30.0
"""How long a client may take nothing at all while events wait for it; then it is let go, and can come back."""

REQUESTS_A_TURN = 32
"""Requests of one client done before others, and the calls, have their turn."""

MAX_SUBJECTS = 100
"""Most subjects one subscription names."""

NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")

FLUSH_SECONDS = 2.0
"""How long a closing connection may take to read its last lines."""

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class LocalServer:
    """Serves one phone on a Unix socket at `path`. `start` raises SetupError if another phone already runs there."""

    def __init__(self, backend: Backend, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.operations = Operations(backend)
        self._backend = backend
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None
        self._unsubscribe: Unsubscribe | None = None
        self._gone = asyncio.Event()
        self._announced = False

    async def start(self) -> None:
        """Listen from now on."""
        if not hasattr(socket, "AF_UNIX") or sys.platform == "win32":
            raise SetupError("the local socket needs Unix sockets, which this system does not give; start with --socket none")
        listener = _listen(self.path)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Client(self), sock=listener)
        self._unsubscribe = self._backend.journal.watch(self._news)

    async def close(self) -> None:
        """Stop listening, let the clients read their last lines for a moment, and take the socket away."""
        if self._server is None:
            return
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._server.close()
        self._server = None
        self.path.unlink(missing_ok=True)  # at once: a little later it could be the next phone's
        for client in list(self._clients):
            client.close()
        while self._clients:
            self._gone.clear()
            await self._gone.wait()

    @property
    def journal(self) -> Journal:
        """The events."""
        return self._backend.journal

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    def admit(self, client: _Client) -> bool:
        """Take a new client in, unless there are too many."""
        if len(self._clients) >= MAX_CLIENTS or self._server is None:
            return False
        self._clients.add(client)
        return True

    def forget(self, client: _Client) -> None:
        """A client is gone."""
        self._clients.discard(client)
        self._gone.set()

    def _news(self) -> None:
        # One turn later: what a burst of packets brought goes out in one write for each client.
        if not self._announced:
            self._announced = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Let every subscriber read on. Those at the same place with the same choice share the bytes."""
        self._announced = False
        shared: dict[tuple[Cursor, Choice], tuple[Cursor, bytes]] = {}
        for client in tuple(self._clients):
            client.pump(shared)


class _Client(asyncio.Protocol):
    """One connection: bytes in, requests one after another, replies and events out."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        self._client = local_client()
        self._reader: Reader | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._stall: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._partial = b""
        self._waiting: deque[bytes] = deque()
        self._scheduled = self._full = self._no_more = self._ended = False

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=MAX_UNSENT)
        if not _is_same_user(transport.get_extra_info("socket")):
            transport.abort()
        elif not self._server.admit(self):
            self._write(_failure(None, CommandError(f"too many clients; at most {MAX_CLIENTS}")))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._waiting.clear()
        self._stop_events()
        self._server.forget(self)

    def close(self) -> None:
        """Close after what is written; cut off a client that does not read it."""
        transport = self._transport
        if transport is not None and not self._ended:
            self._ended = True
            self._stop_events()
            self._waiting.clear()
            transport.close()
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, transport.abort)

    def eof_received(self) -> bool:
        # A client that closed its sending side (`echo … | nc -N`) still wants its answers, and events if it subscribed.
        self._no_more = True
        return bool(self._waiting or self._reader)

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
        self.pump({})

    # --- requests

    def data_received(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            self._write(_failure(None, InvalidArgument.field("line", f"is longer than {MAX_LINE} bytes")))
            self.close()
            return
        self._waiting.extend(line for line in lines if line.strip())
        if not self._scheduled:
            self._work()

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled and not self._full:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._work)
        self._steer()

    def _work(self) -> None:
        """Answer some of the waiting requests with one write, then let others have their turn."""
        self._scheduled = False
        replies = []
        for _ in range(min(REQUESTS_A_TURN, len(self._waiting))):
            if self._full or self._transport is None:
                break
            replies.append(self._answer(self._waiting.popleft()))
        if replies:
            self._write(b"".join(replies))
        self._schedule()

    def _steer(self) -> None:
        """Read on only when nothing is left to do; a client that asked and closed is closed after the last answer."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._waiting or self._full:
            transport.pause_reading()
        elif self._no_more and not self._reader:
            self.close()
        elif not transport.is_reading():
            transport.resume_reading()

    def _answer(self, line: bytes) -> bytes:
        name: object = None
        try:
            request = _request(line)
            name = request.pop("id", None)
            return _encode({"id": name, "ok": True, "result": self._run(request, name)}) + b"\n"
        except CommandError as error:
            return _failure(name, error)
        except Exception:
            # The outermost loop: one request that meets a mistake of ours must not end the others' connections.
            _log.exception("a request failed unexpectedly")
            return _failure(name, CommandError("something went wrong inside the phone; its log has the details"))

    def _run(self, request: dict[str, Any], name: object) -> Any:
        operation = request.pop("op", None)
        if not isinstance(operation, str):
            raise InvalidArgument.field("op", "is required and must be a string")
        params = _params(request)
        own = _OWN.get(operation)
        if own is not None:
            return own(self, params)
        request_id = str(name)[:64] if isinstance(name, str | int) else ""
        return self._server.operations.run(operation, params, self._client, request_id)

    def _hello(self, params: Mapping[str, Any]) -> Any:
        """Give this connection a name, which stands in audit events and causes."""
        _only(params, "client")
        name = params.get("client")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InvalidArgument.field("client", "a name of 1-32 letters, digits, '.', '_' and '-'")
        self._client = local_client(name)
        return {"client": name}

    # --- events

    def _subscribe(self, params: Mapping[str, Any]) -> Any:
        _only(params, "types", "subjects", "after")
        types, subjects = event_types(params.get("types", ["*"])), _subjects(params.get("subjects", []))
        after = cursor_from(params["after"]) if isinstance(params.get("after"), str) else None
        if params.get("after") is not None and after is None:
            raise InvalidArgument.field("after", "must be an event's id")
        before = self._reader
        if before is not None:
            types, subjects = types | before.choice.types, subjects | before.choice.subjects
        self._stop_events()
        place = after or (before.cursor if before is not None else None)
        self._reader = Reader(self._server.journal, Choice(types, subjects), place)
        asyncio.get_running_loop().call_soon(self.pump, {})
        return {"types": sorted(types), "after": str(self._reader.cursor)}

    def _unsubscribe(self, params: Mapping[str, Any]) -> Any:
        _only(params, "types")
        gone = event_types(params.get("types", ["*"]))
        left = self._reader.choice.types - gone if self._reader is not None else frozenset()
        if self._reader is not None:
            self._reader.choice = Choice(left, self._reader.choice.subjects)
        if not left:
            self._stop_events()
        return {"types": sorted(left)}

    def _stop_events(self) -> None:
        self._reader = None
        if self._catching_up is not None:
            self._catching_up.cancel()
            self._catching_up = None
        if self._stall is not None:
            self._stall.cancel()

    def pump(self, shared: dict[tuple[Cursor, Choice], tuple[Cursor, bytes]]) -> None:
        """Send the events behind the cursor, as far as the client takes them."""
        reader = self._reader
        if reader is None or self._full or self._catching_up is not None or self._transport is None:
            return
        place = (reader.cursor, reader.choice)
        found = shared.get(place)
        if found is None:
            lines = reader.at_once()
            if lines is None:
                self._catching_up = asyncio.get_running_loop().create_task(self._catch_up(reader))
                return
            found = shared[place] = (reader.cursor, _framed(lines))
        reader.cursor, written = found
        if written:
            self._write(written)
        if reader.behind:
            asyncio.get_running_loop().call_soon(self.pump, {})

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
        self.pump({})

    def _let_go(self) -> None:
        """The client has read nothing for too long: tell it where to go on, and close."""
        if self._reader is not None:
            note = stream_event("stream.slow_consumer", last=str(self._reader.cursor))
            self._write(_framed([note]))
            self.close()

    def _write(self, line: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(line)


_OWN: dict[str, Callable[[_Client, Mapping[str, Any]], Any]] = {
    "hello": _Client._hello,
    "subscribe": _Client._subscribe,
    "unsubscribe": _Client._unsubscribe,
}
"""Operations about the connection itself."""


def _framed(lines: list[bytes]) -> bytes:
    return b"".join([b'{"event":' + line + b"}\n" for line in lines])


def _only(params: Mapping[str, Any], *names: str) -> None:
    unknown = [name for name in params if name not in names]
    if unknown:
        raise InvalidArgument.field(unknown[0][:64], f"no such field; there are: {', '.join(names)}")


def _subjects(given: object) -> frozenset[str]:
    if not isinstance(given, list) or not all(isinstance(subject, str) for subject in given) or len(given) > MAX_SUBJECTS:
        raise InvalidArgument.field("subjects", f'must be a list of at most {MAX_SUBJECTS}, such as ["calls/c_1"]')
    return frozenset(given)


def _request(line: bytes) -> dict[str, Any]:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"the line is not a JSON object: {error}") from None


def _params(request: dict[str, Any]) -> dict[str, Any]:
    params = request.pop("params", None)
    if params is None:
        return request
    if not isinstance(params, dict) or request:
        raise InvalidArgument.field("params", "must be an object, with no other fields than id and op beside it")
    return params


def _failure(name: object, error: CommandError) -> bytes:
    return _encode({"id": name, "ok": False, "error": problem(error)}) + b"\n"


# --- the socket ------------------------------------------------------------------------------------------------------


def _listen(path: Path) -> socket.socket:
    """Return a listening socket that only this user can reach; take the place of one that a dead phone left behind."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(path):
            _clear(path)
            return _bind(path)
    except OSError as error:
        hint = " (the path is too long)" if "too long" in str(error) else ""
        raise SetupError(f"cannot listen on {path}: {error}{hint}; choose another with --socket") from error


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be right from the first moment, so it is the umask that sets it; every later file gets the usual one.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(64)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two phones that start at the same moment look one after the other whether the socket is taken."""
    import fcntl

    lock = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SetupError(f"{path} is in the way and is not a socket; move it, or choose another path with --socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        found = probe.connect_ex(str(path))
    if found in (errno.ECONNREFUSED, errno.ENOENT):
        path.unlink(missing_ok=True)
        return
    raise SetupError(f"a phone is already running at {path}; `offhook quit` ends it, --socket starts a second one elsewhere")


def _is_same_user(connection: socket.socket) -> bool:
    """Whether the far end of the socket runs as this user (or as root, who may do everything anyway)."""
    uid = _peer_uid(connection)
    return uid is None or uid in (0, os.geteuid())


def _peer_uid(connection: socket.socket) -> int | None:
    """Return the user id of the far end; None where the system does not tell, and the socket's mode has to be enough."""
    if hasattr(socket, "SO_PEERCRED"):
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    if sys.platform == "darwin":
        # <sys/un.h>: SOL_LOCAL 0, LOCAL_PEERCRED 1; struct xucred begins with a version and the user id.
        return int(struct.unpack("2I", connection.getsockopt(0, 1, 8))[1])
    return None
