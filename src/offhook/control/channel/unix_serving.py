"""A Unix socket for asyncio: listening where only this user gets in, and connecting."""

from __future__ import annotations

import sys

assert sys.platform != "win32"

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from offhook.control.channel.words import already_running
from offhook.errors import SetupError


class Listener:
    """Makes a protocol for each connection to the socket at `address`."""

    def __init__(self, address: str, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._path = Path(address)
        self._protocol = protocol
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises SetupError if another phone does so already, or the path cannot be used."""
        listener = _listen(self._path)
        self._server = await asyncio.get_running_loop().create_unix_server(self._protocol, sock=listener)

    def close(self) -> None:
        """Take in nobody any more, and take the socket away; connections go on."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)  # at once: a little later it could be the next phone's


def is_same_user(transport: asyncio.BaseTransport) -> bool:
    """Say whether the far end of a connection runs as this user (or as root, who may do everything anyway)."""
    uid = _peer_uid(transport.get_extra_info("socket"))
    return uid is None or uid in (0, os.geteuid())


def has_gone(transport: asyncio.BaseTransport) -> bool:
    """Say whether the far end, which will send nothing more, has closed altogether: it does not read answers either.

    macOS says of both the same, so there it is taken to read still.
    """
    if sys.platform == "darwin":
        return False
    poller = select.poll()
    poller.register(transport.get_extra_info("socket").fileno(), 0)
    return any(found & select.POLLHUP for _, found in poller.poll(0))


async def open_stream(address: str, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect; lines may have `limit` bytes. Raises OSError if no phone listens there."""
    return await asyncio.open_unix_connection(address, limit=limit)


def _listen(path: Path) -> socket.socket:
    """Return a listening socket that only this user can reach; take the place of one that a dead phone left behind."""
    try:
        _make_folder(path.parent)
        with _alone(path):
            _clear(path)
            return _bind(path)
    except OSError as error:
        hint = " (the path is too long)" if "too long" in str(error) else ""
        raise SetupError(f"cannot listen on {path}: {error}{hint}; choose another with --socket") from error


def _make_folder(folder: Path) -> None:
    """Make a folder for this user alone, and those above it, which `mkdir` leaves to the umask."""
    for each in reversed((folder, *folder.parents)):
        with contextlib.suppress(FileExistsError):
            if not each.exists():
                each.mkdir(mode=0o700)


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
    lock = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _lock(lock, path)
        yield
    finally:
        os.close(lock)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:  # as on some file systems of the network, and of user space
        why = f"the file system there has no locks ({error.strerror})"
        raise SetupError(f"cannot listen on {path}: {why}; choose a path on another one with --socket") from error


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
    raise SetupError(already_running(str(path)))


def _peer_uid(connection: socket.socket) -> int | None:
    """Return the user id of the far end; None where the system does not tell, and the socket's mode has to be enough."""
    if hasattr(socket, "SO_PEERCRED"):
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    if sys.platform == "darwin":
        # <sys/un.h>: SOL_LOCAL 0, LOCAL_PEERCRED 1; struct xucred begins with a version and the user id.
        return int(struct.unpack("2I", connection.getsockopt(0, 1, 8))[1])
    return None
