"""The clients that are handed out (clients/windows), run against the phone under Wine."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from windows_drivers import Window, WindowsPhone, compiled

from offhook.phone.commands import Answer
from offhook.testing.live import LivePhone, live_phone
from offhook.testing.windows import Windows, windows_path

pytest_plugins = ["windows_fixtures"]

pytestmark = [pytest.mark.windows, pytest.mark.timeout(240)]

CLIENTS = Path(__file__).resolve().parents[2] / "clients" / "windows"


@pytest.fixture(scope="module")
def phone(windows: Windows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsPhone]:
    """Return a phone that speaks HTTP too."""
    settings = "[phone]\nstatus_linger = 0.0\n[http]\nenabled = true\nport = 0\n"
    with WindowsPhone(windows, tmp_path_factory.mktemp("phone"), settings) as running:
        running.process.wait_for("HTTP is on")
        yield running


@pytest.fixture(params=["C", "Python"])
def client(request: pytest.FixtureRequest, windows: Windows, tmp_path: Path) -> list[str]:
    """Return the command of one of the two clients that use the window."""
    if request.param == "C":
        return [str(compiled(CLIENTS / "phone.c", tmp_path / "phone.exe"))]
    python = windows.run("-c", "import sys; print(sys.executable)").output.strip()
    return [python, windows_path(CLIENTS / "phone.py")]


async def test_clients_of_the_window(windows: Windows, phone: WindowsPhone, client: list[str]) -> None:
    async def says(*words: str) -> tuple[int, str]:
        done = await asyncio.to_thread(windows.run_program, client[0], *client[1:], *words)
        return done.code, done.output

    watcher = windows.start_program(client[0], *client[1:], "events")
    async with live_phone() as there:
        assert await says("status") == (0, "0\n")
        assert await says("dial", there.uri) == (1, "1\n")
        await there.event("call.incoming")
        there.execute(Answer())
        await there.reaches(2)
        assert await says("status") == (2, "2\n")
        assert there.uri in (await says("activecall"))[1]
        assert await says("dtmf", "12#") == (1, "1\n")
        await received(there, "12#")
        assert await says("volume", "101") == (0, "0\n")
        assert await says("hangup") == (1, "1\n")
        await there.event("call.ended")
    await asyncio.to_thread(watcher.wait_for, '"call.ended"')
    types = [json.loads(line)["type"] for line in watcher.text.splitlines()]
    watcher.stop()
    assert types.index("call.calling") < types.index("call.active") < types.index("call.ended")


async def received(there: LivePhone, wanted: str) -> None:
    await there.until(lambda: there.types.count("dtmf.received") == len(wanted))
    digits = [event.data["digit"] for event in there.events if event.type == "dtmf.received"]
    assert "".join(digits) == wanted


async def test_the_vbscript_client(windows: Windows, phone: WindowsPhone) -> None:
    """By the command line, and over HTTP."""
    python = windows.run("-c", "import sys; print(sys.executable)").output.strip()
    address = re.search(r"HTTP is on (http\S+)", phone.process.text)
    assert address
    environment = {
        **phone.environment, "MICROSIP": f"{python} -m offhook", "OFFHOOK_URL": address[1],
        "OFFHOOK_TOKEN_FILE": windows_path(next(phone.home.rglob("http-token"))),
    }  # fmt: skip

    async def says(*words: str) -> str:
        script = windows_path(CLIENTS / "phone.vbs")
        done = await asyncio.to_thread(windows.run_program, "cscript", "//nologo", script, *words, environment=environment)
        return done.output.strip()

    assert json.loads((await says("status")).removeprefix("200 "))["name"] == "IDLE"
    assert await says("run", "dtmf:12345") == "1", "there is no call"
    assert await says("run", "volume:x") == "1"
    assert await says("run", "report:status") == "0"
    assert json.loads((await says("status")).removeprefix("200 "))["name"] == "IDLE"
    async with live_phone() as there:
        dialled = await says("dial", there.uri)
        assert dialled.startswith("201 ")
        await there.event("call.incoming")
        there.execute(Answer())
        await there.reaches(2)
        assert await says("run", "dtmf:12345") == "0"
        await received(there, "12345")
        assert (await says("hangup")).startswith("200 ")
        await there.event("call.ended")
    assert (await says("dial", '1"; x')).startswith("409 "), "carried as it is, and no account for it"


def test_what_was_not_run_says_so(window: Window) -> None:
    for name in ("phone.ahk", "phone.ps1"):
        assert "Not run by offhook's own tests" in (CLIENTS / name).read_text("utf-8")
