r"""A named pipe of Windows: its name, whose it is, that one phone has it alone, and a client that blocks."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "win32":
    pytest.skip("only Windows has these pipes", allow_module_level=True)
assert sys.platform == "win32"

import _winapi
import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from offhook.control.channel import connect, pipe
from offhook.control.channel.pipe import Channel, pipe_name
from offhook.control.channel.pipe_serving import WAITING, Listener, open_stream
from offhook.errors import SetupError
from offhook.windows import pipes, security


class Echo(asyncio.Protocol):
    """Sends back what it gets; "bye" closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        if data == b"bye":
            self.transport.close()


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """Return an address where somebody listens."""
    found = str(tmp_path / "phone")
    listener = Listener(found, Echo)
    await listener.start()
    yield found
    listener.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("\\\\.\\pipe\\offhook-me", "\\\\.\\pipe\\offhook-me"),
        ("desk", "\\\\.\\pipe\\desk"),
        ("C:\\a b\\s", "\\\\.\\pipe\\C--a b-s"),
        ("/tmp/x", "\\\\.\\pipe\\-tmp-x"),
        ("\\\\.\\pipe\\..\\x", "\\\\.\\pipe\\..-x"),
    ],
)
def test_names(address: str, name: str) -> None:
    assert pipe_name(address) == name


async def test_a_name_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--socket"):
        await Listener(str(tmp_path / ("x" * 300)), Echo).start()


async def test_a_user_whose_name_has_an_umlaut(tmp_path: Path) -> None:
    listener = Listener("offhook-Jürgen Łuk", Echo)
    await listener.start()
    with open("\\\\.\\pipe\\offhook-Jürgen Łuk", "r+b", buffering=0):  # noqa: ASYNC230 - as a program that knows the name
        pass
    _, writer = await open_stream("offhook-Jürgen Łuk", 1000)
    writer.close()
    await writer.wait_closed()
    listener.close()


async def test_bytes_go_both_ways(address: str) -> None:
    reader, writer = await open_stream(address, 2**22)
    much = bytes(range(256)) * 4000
    writer.write(much)
    assert await reader.readexactly(len(much)) == much
    writer.close()
    await writer.wait_closed()


async def test_the_last_words_are_read_after_the_end(address: str) -> None:
    reader, writer = await open_stream(address, 1000)
    writer.write(b"bye")
    assert await reader.read() == b"bye"
    writer.close()
    await writer.wait_closed()


async def test_many_clients_at_once(address: str) -> None:
    streams = await asyncio.gather(*(open_stream(address, 1000) for _ in range(5 * WAITING)))
    for number, (_, writer) in enumerate(streams):
        writer.write(b"%d\n" % number)
    assert [await reader.readline() for reader, _ in streams] == [b"%d\n" % number for number in range(5 * WAITING)]
    for _, writer in streams:
        writer.close()
        await writer.wait_closed()


async def test_one_phone_has_it_alone(address: str) -> None:
    with pytest.raises(SetupError, match="already running"):
        await Listener(address, Echo).start()


async def test_the_next_phone_can_have_it_at_once_even_if_clients_hold_on(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    first, second = Listener(path, Echo), Listener(path, Echo)
    await first.start()
    old_reader, old = await open_stream(path, 1000)
    old.write(b"1\n")
    assert await old_reader.readline() == b"1\n"
    first.close()
    await second.start()
    reader, writer = await open_stream(path, 1000)
    writer.write(b"2\n")
    assert await reader.readline() == b"2\n"
    second.close()
    for end in (old, writer):
        end.close()
        await end.wait_closed()
    await asyncio.sleep(0)
    with pytest.raises(FileNotFoundError):
        await open_stream(path, 1000)


async def test_only_we_may_use_it(address: str) -> None:
    handle = pipe.try_open(address)
    assert handle is not None
    assert security.is_ours(handle)
    _winapi.CloseHandle(handle)


async def test_a_pipe_of_somebody_else_is_not_talked_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "is_ours", lambda handle: False)
    with pytest.raises(PermissionError, match="another user"):
        await open_stream(address, 1000)
    with pytest.raises(PermissionError, match="another user"):
        connect(address, 1.0)


def test_another_kind_of_loop_is_told_what_is_missing() -> None:
    async def both() -> None:
        with pytest.raises(SetupError, match="ProactorEventLoop"):
            await Listener("nobody", Echo).start()
        with pytest.raises(OSError, match="ProactorEventLoop"):
            await open_stream("nobody", 1000)

    loop = asyncio.SelectorEventLoop()
    loop.run_until_complete(both())
    loop.close()


def test_nobody_listens() -> None:
    with pytest.raises(FileNotFoundError):
        connect("offhook-nobody-at-all", 1.0)


# --- the client that blocks, against a pipe of its own -----------------------------------------------------------------


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[Channel, Channel]]:
    """Return the client's channel and the far end."""
    name = str(tmp_path / "pö")
    mine = security.OwnerOnly()
    flags = _winapi.PIPE_ACCESS_DUPLEX | _winapi.FILE_FLAG_OVERLAPPED
    far = Channel(pipes.make_instance(pipe_name(name), flags, 0, 1, 4096, mine.address))
    near = connect(name, 1.0)
    yield near, far
    near.close()
    far.close()


def test_a_word_and_its_answer(ends: tuple[Channel, Channel]) -> None:
    near, far = ends
    near.send(b"ping", 1.0)
    assert far.receive(1.0) == b"ping"
    far.send(b"pong", 1.0)
    assert near.receive(None) == b"pong"


def test_waiting_has_an_end_and_loses_nothing(ends: tuple[Channel, Channel]) -> None:
    near, far = ends
    with pytest.raises(TimeoutError):
        near.receive(0.01)
    far.send(b"late", 1.0)
    assert near.receive(1.0) == b"late"


def test_a_far_end_that_does_not_read(ends: tuple[Channel, Channel]) -> None:
    near, _ = ends
    with pytest.raises(TimeoutError):
        near.send(bytes(1 << 20), 0.01)


def test_the_end(ends: tuple[Channel, Channel]) -> None:
    near, far = ends
    far.send(b"last", 1.0)
    far.close()
    assert near.receive(1.0) == b"last"
    assert near.receive(1.0) == b""
    with pytest.raises(OSError, match="closed"):
        far.send(b"x", 1.0)
    with pytest.raises(OSError, match=r"(?i)pipe"):
        near.send(b"x", 1.0)


def test_no_room(ends: tuple[Channel, Channel], tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="no more clients"):
        connect(str(tmp_path / "pö"), 0.05)
