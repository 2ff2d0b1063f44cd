"""MicroSIP.exe, one file: built by the recipe, run as the phone, and as the command line that is printed in the source."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from windows_drivers import QUIET

from offhook.phone.commands import Answer, HangupAll
from offhook.testing.live import live_phone
from offhook.testing.windows import Windows, WindowsProcess, windows_path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))
from seed_tables import COMMAND_LINE

pytestmark = [pytest.mark.windows, pytest.mark.timeout(1200)]

RECIPE = Path(__file__).resolve().parents[2] / "packaging" / "windows" / "MicroSIP.spec"

TOOLS = ("pyinstaller", "pyinstaller-hooks-contrib", "altgraph", "pefile", "pywin32-ctypes", "packaging", "setuptools")
"""PyInstaller and what it needs on Windows, which pip would work out by the system it runs on."""

BUILD_WITHIN = 1000.0
"""Seconds; a minute and a half on a machine that has nothing else to do."""


@pytest.fixture(scope="module")
def exe(windows: Windows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program, built."""
    folder = tmp_path_factory.mktemp("exe")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target",
         str(folder / "tools"), "--platform", "win_amd64", "--python-version", "311", "--only-binary=:all:", *TOOLS],
        check=True, capture_output=True,
    )  # fmt: skip
    path = f"{windows.environment()['PYTHONPATH']};{windows_path(folder / 'tools')}"
    built = windows.run(
        "-m", "PyInstaller", "--noconfirm", "--distpath", windows_path(folder), "--workpath", windows_path(folder / "work"),
        windows_path(RECIPE), timeout=BUILD_WITHIN, environment={"PYTHONPATH": path},
    )  # fmt: skip
    assert built.code == 0, built.output[-3000:]
    return folder / "MicroSIP.exe"


@pytest.fixture
def phone(windows: Windows, exe: Path, tmp_path: Path) -> Iterator[WindowsProcess]:
    """Return the phone, started by a click on the program: it has no Python but its own."""
    (tmp_path / "offhook.toml").write_text(QUIET, "utf-8")
    process = windows.start_program(exe, environment={"OFFHOOK_HOME": windows_path(tmp_path), "PYTHONPATH": ""})
    yield process
    process.stop()


async def test_the_printed_command_line_sends_the_digits(windows: Windows, exe: Path, phone: WindowsProcess) -> None:
    name, _, form = COMMAND_LINE.partition(" ")
    assert exe.name == name
    alone = {"PYTHONPATH": "", "OFFHOOK_HOME": ""}
    await asyncio.to_thread(phone.wait_for, "offhook is running", 120)
    async with live_phone() as there:
        without = await asyncio.to_thread(windows.run_program, exe, form, environment=alone, timeout=120)
        assert without.code == 1, "only during an active call"
        dialled = await asyncio.to_thread(windows.run_program, exe, there.uri, environment=alone, timeout=120)
        assert dialled == (0, "ok\n")
        await there.event("call.incoming")
        there.execute(Answer())
        await there.reaches(2)
        sent = await asyncio.to_thread(windows.run_program, exe, form, environment=alone, timeout=120)
        assert sent == (0, "ok\n")
        await there.until(lambda: there.types.count("dtmf.received") == 5)
        digits = [event.data["digit"] for event in there.events if event.type == "dtmf.received"]
        assert digits == list("12345")
        there.execute(HangupAll())
    status = await asyncio.to_thread(windows.run_program, exe, "/exit", environment=alone, timeout=120)
    assert status.code == 0
    assert (await asyncio.to_thread(phone.finish, 60)).code == 0
    gone = await asyncio.to_thread(windows.run_program, exe, "status", environment=alone, timeout=120)
    assert gone.code == 3
