"""Fixtures for the tests beside this file, which name it in `pytest_plugins`: one phone under Wine for each of these files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from windows_drivers import UNICODE, Dde, Window, WindowsPhone, compiled
from windows_scene import Scene

from offhook.phone.commands import HangupAll
from offhook.testing.live import LivePhone, live_phone, quiet_config
from offhook.testing.peers import free_port
from offhook.testing.windows import Windows

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def peer_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def programs(windows: Windows, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("programs")
    return {
        "window": compiled(HERE / "copydata_driver.c", folder / "copydata.exe"),
        "ANSI": compiled(HERE / "dde_driver.c", folder / "dde-ansi.exe"),
        "Unicode": compiled(HERE / "dde_driver.c", folder / "dde-unicode.exe", *UNICODE),
    }


@pytest.fixture(scope="module")
def window(windows: Windows, programs: dict[str, Path]) -> Iterator[Window]:
    """Return the client with a window, which outlives any phone."""
    process = windows.start_program(programs["window"])
    yield Window(process)
    process.stop()


@pytest.fixture
def another(windows: Windows, programs: dict[str, Path]) -> Iterator[Callable[[str], Dde | Window]]:
    """Return what starts a further client: "window", "ANSI" or "Unicode"."""
    made: list[Dde | Window] = []

    def start(what: str) -> Dde | Window:
        made.append((Window if what == "window" else Dde)(windows.start_program(programs[what])))
        return made[-1]

    yield start
    for each in made:
        each.process.stop()


@pytest.fixture
def dde(windows: Windows, programs: dict[str, Path], kind: str) -> Iterator[Dde]:
    """Return a new DDE client: those of Wine 8 cannot connect again when the service had ended by itself."""
    process = windows.start_program(programs[kind])
    yield Dde(process)
    process.stop()


@pytest.fixture(scope="module")
def phones(windows: Windows, tmp_path_factory: pytest.TempPathFactory, peer_port: int) -> Iterator[Callable[[], WindowsPhone]]:
    """Return what gives the running Windows phone: one for all tests, and a new one after somebody closed it."""
    running: list[WindowsPhone] = []

    def phone() -> WindowsPhone:
        if not running or not running[-1].process.alive():
            settings = "[phone]\nstatus_linger = 0.3\ndtmf_pause_ms = 50\n[windows]\ncalls_per_minute = 0\n"
            running.append(WindowsPhone(windows, tmp_path_factory.mktemp("phone"), settings, peer_port))
        return running[-1]

    yield phone
    if running:
        running[-1].stop()


@pytest.fixture
def kind() -> str:
    """Return which DDE client is at work; tests for both are parametrized."""
    return "Unicode"


@pytest.fixture
async def there(peer_port: int) -> AsyncIterator[LivePhone]:
    """Return the Linux phone, where the account of the Windows phone leads."""
    config = quiet_config(dtmf_pause_ms=50)
    async with live_phone(replace(config, sip=replace(config.sip, port=peer_port))) as phone:
        assert phone.running.transports.port == peer_port
        yield phone


@pytest.fixture
async def scene(phones: Callable[[], WindowsPhone], window: Window, dde: Dde, there: LivePhone) -> AsyncIterator[Scene]:
    """Return everybody, with no call anywhere; afterwards there is none either."""
    made = Scene(await asyncio.to_thread(phones), window, dde, there)
    assert await dde.does("connect MicroSIP control") == "connected"
    await made.reaches(0)
    yield made
    there.execute(HangupAll())
    if made.phone.process.alive():
        await made.reaches(0)
        window.request("unmute")
