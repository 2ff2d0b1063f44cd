"""A named pipe of Windows for asyncio: listening where only this user gets in, and connecting.

asyncio has pipes on Windows, though not with a security descriptor of one's own. So the pipes are made here and handed to
its event loop, as its own `start_serving_pipe` does it.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import _winapi
import asyncio
import logging
from asyncio.windows_utils import PipeHandle
from collections.abc import Callable
from typing import Any, Final

from offhook.control.channel.pipe import PREFIX, pipe_name, try_open
from offhook.control.channel.words import already_running
from offhook.errors import SetupError
from offhook.windows import pipes, security

WAITING: Final = 4
"""Instances of the pipe that wait for a client: so many may come at the same moment without waiting for a turn of the loop."""

BUFFER: Final = 65536
"""Bytes on their way in each direction, of which neither end has to know yet."""

AGAIN_AFTER: Final = 1.0
"""Seconds until an instance of the pipe is tried again that the system had no room for."""

RETRY_AFTER: Final = 0.005
"""Seconds between two attempts to connect, while all instances of the pipe are busy."""

CONNECT_WITHIN: Final = 10.0
"""Seconds until a pipe that stays busy counts as no phone."""

_log = logging.getLogger(__name__)

_FIRST: Final = 0x00080000  # FILE_FLAG_FIRST_PIPE_INSTANCE: fails if the name is taken
_BYTES_FROM_HERE: Final = 0x00000008  # PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_REJECT_REMOTE_CLIENTS

_NEEDS_PROACTOR: Final = "named pipes need asyncio's own ProactorEventLoop, Windows' usual one, and this loop is another kind"


class Listener:
    """Makes a protocol for each connection to the pipe at `address`."""

    def __init__(self, address: str, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._address = address
        self._name = pipe_name(address)
        self._protocol = protocol
        self._claim: int | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._free: set[PipeHandle] = set()

    async def start(self) -> None:
        """Listen. Raises SetupError if another phone does so already, or the name cannot be used."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, asyncio.ProactorEventLoop):
            raise SetupError(f"{_NEEDS_PROACTOR}; start with --socket none")
        try:
            self._claim = security.claim(self._name.removeprefix(PREFIX))
            if self._claim is None:
                raise SetupError(already_running(self._address))
            first = self._first_instance()
        except OSError as error:
            self.close()
            raise SetupError(f"cannot listen on {self._address}: {error}; choose another with --socket") from error
        for instance in [first, *(self._instance() for _ in range(WAITING - 1))]:
            self._tasks.append(loop.create_task(self._take_in(loop, instance)))

    def close(self) -> None:
        """Take in nobody any more; connections go on."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        for instance in self._free:
            instance.close()
        self._free.clear()
        if self._claim is not None:
            _winapi.CloseHandle(self._claim)
            self._claim = None

    def _first_instance(self) -> PipeHandle:
        """Make the pipe; where clients of a phone that is gone still hold on to it, go on with theirs, if it is ours."""
        try:
            return self._instance(_FIRST)
        except PermissionError:
            instance = self._instance()
        if not security.is_ours(instance.handle):
            self._free.discard(instance)
            instance.close()
            raise PermissionError("another user has taken the name")
        return instance

    def _instance(self, more: int = 0) -> PipeHandle:
        mine = security.OwnerOnly()
        access = _winapi.PIPE_ACCESS_DUPLEX | _winapi.FILE_FLAG_OVERLAPPED | more
        most = _winapi.PIPE_UNLIMITED_INSTANCES
        instance = PipeHandle(pipes.make_instance(self._name, access, _BYTES_FROM_HERE, most, BUFFER, mine.address))
        self._free.add(instance)
        return instance

    async def _take_in(self, loop: Any, instance: PipeHandle) -> None:
        """Wait with this instance for a client, then with another one for the next."""
        while True:
            try:
                await loop._proactor.accept_pipe(instance)
            except OSError as error:
                instance.close()
                if not isinstance(error, BrokenPipeError):  # which is a client that had gone before it was taken in
                    _log.warning("a client of the local socket could not be taken in: %s", error)
            else:
                loop._make_duplex_pipe_transport(instance, self._protocol(), extra={"addr": self._address})
            self._free.discard(instance)
            instance = await self._next_instance()

    async def _next_instance(self) -> PipeHandle:
        """Return another instance; where the system has no room for one, after a while."""
        while True:
            try:
                return self._instance()
            except OSError as error:
                _log.warning("the local socket can take in nobody for the moment: %s", error)
                await asyncio.sleep(AGAIN_AFTER)


def is_same_user(transport: asyncio.BaseTransport) -> bool:
    """Say whether the far end of a connection runs as this user. Windows lets nobody else in: see OwnerOnly."""
    return True


def has_gone(transport: asyncio.BaseTransport) -> bool:
    """Say whether the far end, which will send nothing more, has closed altogether. A pipe has no other end than that."""
    return True


async def open_stream(address: str, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect; lines may have `limit` bytes. Raises OSError if no phone listens there."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.ProactorEventLoop):
        raise OSError(_NEEDS_PROACTOR)
    deadline = loop.time() + CONNECT_WITHIN
    while (handle := try_open(address)) is None:
        if loop.time() > deadline:
            raise TimeoutError("the phone takes no more clients")
        await asyncio.sleep(RETRY_AFTER)
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    own: Any = loop
    transport = own._make_duplex_pipe_transport(PipeHandle(handle), protocol, extra={"addr": address})
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
