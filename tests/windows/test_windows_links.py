"""`offhook desktop` writes the real registry, Windows itself finds our command there, and what was before comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from windows_drivers import Dde
from windows_scene import Scene

from offhook.testing.windows import Windows

pytest_plugins = ["windows_fixtures"]

pytestmark = [pytest.mark.windows, pytest.mark.timeout(180)]

TEL = r"HKCU\Software\Classes\tel\shell\open"


def value(windows: Windows, key: str, *what: str) -> str:
    done = windows.run_program("reg", "query", key, *(what or ("/ve",)))
    return done.output.partition("REG_SZ")[2].strip() if done.code == 0 else ""


def test_links_are_registered_and_given_back(windows: Windows) -> None:
    windows.run_program("reg", "add", rf"{TEL}\command", "/ve", "/d", "earlier.exe %1", "/f")
    assert windows.offhook("desktop", "install").code == 0
    command = value(windows, rf"{TEL}\command")
    assert command.endswith('-m offhook open --dialog -- "%1"')
    assert value(windows, r"HKCU\Software\RegisteredApplications", "/v", "offhook") == r"Software\offhook\Capabilities"
    shown = windows.offhook("desktop", "status").output.splitlines()
    assert [line.partition(":")[0] for line in shown] == ["tel", "sip", "sips", "callto"]
    assert all(line.endswith(command) for line in shown)
    assert windows.offhook("desktop", "remove").code == 0
    assert value(windows, rf"{TEL}\command") == "earlier.exe %1"
    assert windows.run_program("reg", "query", r"HKCU\Software\Classes\callto").code != 0
    assert windows.run_program("reg", "query", r"HKCU\Software\offhook").code != 0


def test_dde_is_registered_only_where_nobody_is_to_be_asked(windows: Windows) -> None:
    refused = windows.offhook("desktop", "install", "--dde")
    assert refused.code == 1
    assert "ask = false" in refused.output
    code = (
        "from offhook.cli.desktop.registry import WindowsRegistry as R; from offhook.cli.desktop.windows import Windows as W\n"
        "W(R(), ['offhook'], dde=True).install()"
    )
    assert windows.run("-c", code).code == 0
    assert value(windows, rf"{TEL}\ddeexec") == "[Dial(%1)]"
    assert (value(windows, rf"{TEL}\ddeexec\application"), value(windows, rf"{TEL}\ddeexec\topic")) == ("MicroSIP", "System")


@pytest.mark.parametrize("kind", ["ANSI", "Unicode"])
async def test_a_link_over_dde_dials_and_can_do_nothing_else(scene: Scene, another: Callable[[str], Dde], kind: str) -> None:
    shell = another(kind)
    assert await shell.does("connect MicroSIP System") == "connected"
    for text in ("[Dial(tel:1)][Close][Dial(2)]", "[Dial(sip:x@y)][Mute]", '[Dial("tel:1")][Close]', "[Dial(tel:/exit)]"):
        assert not await asyncio.to_thread(shell.execute, text), text
    assert scene.status == 0
    since = len(scene.there.events)
    assert await asyncio.to_thread(shell.execute, f"[Dial({scene.there.uri})]")
    await scene.there.event("call.incoming", since)
    assert await asyncio.to_thread(shell.execute, "[Hangup]"), "what is no link is a command as on any topic"
    await scene.reaches(0)
