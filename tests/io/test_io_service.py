"""What a service manager hears of a phone it has started."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.io.service import ServiceManager
from offhook.testing.process import PhoneProcess

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has services of another kind")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        yield listening


def variables(manager: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), "PATH": "/bin", **more}


async def test_ready_alive_stopping(manager: socket.socket) -> None:
    environment = variables(manager, WATCHDOG_USEC="40000", WATCHDOG_PID=str(os.getpid()))
    service = ServiceManager(environment)
    assert environment == {"PATH": "/bin"}
    service.ready("SIP on here")
    assert manager.recv(100) == b"READY=1\nSTATUS=SIP on here"
    for _ in range(3):
        assert manager.recv(100) == b"WATCHDOG=1"
        await asyncio.sleep(0.025)
    service.stopping()
    said = []
    manager.setblocking(False)
    while b"STOPPING=1" not in said:
        said.append(manager.recv(100))
    await asyncio.sleep(0.05)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
async def test_nobody_watches(manager: socket.socket, more: dict[str, str]) -> None:
    ServiceManager(variables(manager, **more)).ready("")
    assert manager.recv(100) == b"READY=1\nSTATUS="
    await asyncio.sleep(0.05)
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


@pytest.mark.parametrize("address", ["", "nonsense", "/nowhere/at/all", "@offhook-nobody"])
async def test_there_is_no_manager(address: str) -> None:
    service = ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    service.ready("")
    service.stopping()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")
async def test_an_abstract_name() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0offhook-test-{os.getpid()}")
        listening.settimeout(10)
        ServiceManager({"NOTIFY_SOCKET": f"@offhook-test-{os.getpid()}"}).stopping()
        assert listening.recv(100) == b"STOPPING=1"


@pytest.mark.lengthy
def test_a_phone_as_a_service(manager: socket.socket, tmp_path: Path) -> None:
    phone = PhoneProcess(tmp_path / "home")
    phone.environment |= variables(manager, WATCHDOG_USEC="200000")
    phone.start()
    try:
        said = manager.recv(400).decode()
        assert said.startswith("READY=1\nSTATUS=SIP on 127.0.0.1:")
        assert manager.recv(100) == b"WATCHDOG=1"
    finally:
        phone.stop()
    manager.setblocking(False)
    last = b""
    while last != b"STOPPING=1":
        last = manager.recv(100)
