"""A second start: it hands its command to the phone that runs, prints the result and exits; or is a second phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from windows_drivers import QUIET, Window, WindowsPhone
from windows_scene import CODES

from offhook.testing.windows import Windows, windows_path

pytest_plugins = ["windows_fixtures"]

pytestmark = [pytest.mark.windows, pytest.mark.timeout(240)]

PIPE = r"\\.\pipe\offhook-second"


def test_two_phones_started_at_once(windows: Windows, tmp_path: Path, window: Window) -> None:
    """Of one user only one starts; one with a pipe of its own runs as well, and leaves window and DDE to the other."""
    file = tmp_path / "phone.toml"
    file.write_text(QUIET, "utf-8")
    home = {"OFFHOOK_HOME": windows_path(tmp_path)}
    run = ("-m", "offhook", "run", "--config", windows_path(file))
    twins = [windows.start(*run, environment=home) for _ in range(2)]
    said = [twin.wait_for("running") for twin in twins]
    assert sorted(line.partition(" running")[0] for line in said) == ["a phone is already", "offhook is"]
    first, second = sorted(twins, key=lambda twin: "offhook is running" in twin.text, reverse=True)
    assert second.finish(20).code == 1
    other = windows.start(*run, environment={**home, "OFFHOOK_SOCKET": PIPE})
    other.wait_for("No window and no DDE: another phone of this Windows session has")
    other.wait_for("offhook is running")
    assert window.send(CODES["QUIT"]) == 1
    assert first.finish(20).code == 0
    assert other.alive()
    assert windows.offhook("quit", environment={"OFFHOOK_SOCKET": PIPE}).code == 0
    assert other.finish(20).code == 0


def test_a_phone_that_was_killed_leaves_nothing_behind(windows: Windows, tmp_path: Path, window: Window) -> None:
    for _ in range(2):
        with WindowsPhone(windows, tmp_path) as phone:
            assert window.send(CODES["STATUS"]) == 0
            assert "No window" not in phone.process.text
        assert window.ask("find").startswith("found 0")


# --- what a second start hands over


LINES: dict[tuple[str, ...], tuple[int, str]] = {
    ("status",): (0, "IDLE"),
    ("report:status",): (0, "IDLE"),
    ("volume", "80"): (0, "ok"),
    ("volume", "101"): (1, "0 to 100"),
    ("dtmf:12345",): (1, "call"),
    ("/answer",): (1, "call"),
    ("/nothing",): (2, "no switch"),
    ("msip:speakup",): (0, "ok"),
    (): (0, "runs already"),
    ("/minimized",): (0, "runs already"),
}


def test_microsip_hands_over_and_exits_with_a_code(windows: Windows, tmp_path: Path, window: Window) -> None:
    """By the window, which needs no pipe: here the pipe is a name at which nobody listens."""
    script = "import sys; from offhook.cli import microsip_main; sys.exit(microsip_main())"
    with WindowsPhone(windows, tmp_path):
        nowhere = {"OFFHOOK_HOME": "", "USERNAME": "nobody"}
        for line, (code, text) in LINES.items():
            done = windows.run("-c", script, *line, environment=nowhere)
            assert done.code == code, (line, done)
            assert text in done.output, line
        assert window.request("get_audio")["value"]["output_volume"] == 85
        missed = windows.run("-c", script, "status", environment={"OFFHOOK_SOCKET": r"\\.\pipe\offhook-none"})
        assert missed.code == 3, "who names a pipe means that one"
        assert windows.run("-c", script, "status").code == 3, "who names a home means the phone that is there"
        assert windows.offhook("dial:1001", environment=nowhere).code == 1, "no account for a bare number"
    assert windows.run("-c", script, "status", environment=nowhere).code == 3
