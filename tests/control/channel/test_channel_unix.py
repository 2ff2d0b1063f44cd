"""A Unix socket: who gets in, and what becomes of one that a dead phone left behind."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has pipes instead", allow_module_level=True)

import asyncio
import errno
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

from offhook.control.channel import unix_serving
from offhook.control.channel.serving import Listener, is_same_user, open_stream
from offhook.errors import SetupError


class Taken(asyncio.Protocol):
    """Remembers its connection."""

    latest: asyncio.Future[asyncio.BaseTransport]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Taken.latest.set_result(transport)


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    """Return a path where somebody listens."""
    Taken.latest = asyncio.get_running_loop().create_future()
    found = tmp_path / "run" / "phone.sock"
    listener = Listener(str(found), Taken)
    await listener.start()
    yield found
    listener.close()


async def test_only_we_can_reach_it(path: Path) -> None:
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700


async def test_folders_above_it_are_ours_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        listener = Listener(str(tmp_path / "a" / "b" / "phone.sock"), Taken)
        await listener.start()
    finally:
        os.umask(before)
    listener.close()
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700] * 2


async def test_a_link_in_the_place_of_the_lock_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "phone.sock.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match="cannot listen"):
        await Listener(str(tmp_path / "phone.sock"), Taken).start()
    assert not (tmp_path / "elsewhere").exists()


async def test_the_far_end_is_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, writer = await open_stream(str(path), 1000)
    taken = await Taken.latest
    assert is_same_user(taken)
    monkeypatch.setattr(unix_serving, "_peer_uid", lambda connection: 0)
    assert is_same_user(taken)
    monkeypatch.setattr(unix_serving, "_peer_uid", lambda connection: os.geteuid() + 1)
    assert not is_same_user(taken)
    taken.close()
    writer.close()
    await writer.wait_closed()


async def test_that_of_a_dead_phone_is_replaced(tmp_path: Path) -> None:
    Taken.latest = asyncio.get_running_loop().create_future()
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listener = Listener(str(path), Taken)
    await listener.start()
    _, writer = await open_stream(str(path), 1000)
    (await Taken.latest).close()
    listener.close()
    assert not path.exists()
    writer.close()
    await writer.wait_closed()


async def test_a_second_one_is_refused(path: Path) -> None:
    with pytest.raises(SetupError, match="already running"):
        await Listener(str(path), Taken).start()


async def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(SetupError, match="not a socket"):
        await Listener(str(path), Taken).start()
    assert path.read_text() == "precious"


async def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--socket"):
        await Listener(str(tmp_path / ("x" * 120)), Taken).start()


async def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another path in the same folder would be no better."""

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(SetupError, match=r"there has no locks \(.*\); choose a path on another one with --socket"):
        await Listener(str(tmp_path / "s"), Taken).start()
