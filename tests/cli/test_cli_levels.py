"""`offhook levels`: a line for each figure, until the call or the time is over; and nothing is measured afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offhook.cli import main
from offhook.cli.render import level_line
from offhook.phone.commands import Command, MeterCall
from offhook.phone.events import CallEnded, CallLevel
from offhook.phone.model import CallState, CallView, Party, wall
from offhook.testing.backend import FakeBackend
from offhook.testing.served import served


def call(name: str) -> CallView:
    party = Party("sip:x@h")
    return CallView(name, "a", "incoming", CallState.ACTIVE, party, party, "x@y", wall(0))


LEVEL = CallLevel(call=call("c_1"), near_db=-30.0, far_db=-96.0)


def levels(path: str, *options: str) -> int:
    return main(["levels", "c_1", *options, "--socket", path])


def test_until_the_call_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backend = FakeBackend()

    def measure(command: Command) -> None:
        if isinstance(command, MeterCall) and command.seconds:
            backend.emit(CallLevel(call=call("c_2"), near_db=-1.0, far_db=-1.0))
            backend.emit(LEVEL)
            for name in ("c_2", "c_1"):
                backend.emit(CallEnded(call=call(name), duration=1.0))
    backend.on_execute = measure
    with served(backend, tmp_path / "s") as path:
        assert levels(path, "--interval", "100") == 0
    assert capsys.readouterr().out == "c_1  we send  -30.0 dB ########.......  we hear  -96.0 dB ...............\n"
    assert [each for each in backend.commands if isinstance(each, MeterCall)] == [
        MeterCall(call="c_1", interval_ms=100, seconds=3600.0), MeterCall(call="c_1", seconds=0.0),
    ]  # fmt: skip


@pytest.mark.lengthy
def test_so_many_or_so_long_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(FakeBackend(), tmp_path / "s", ticking=LEVEL) as path:
        assert levels(path, "--count", "2", "--json") == 0
        assert [json.loads(line)["data"]["near_db"] for line in capsys.readouterr().out.splitlines()] == [-30.0, -30.0]
        assert levels(path, "--timeout", "1") == 0
        assert len(capsys.readouterr().out.splitlines()) >= 1
    with served(FakeBackend(), tmp_path / "t") as path:
        assert levels(path, "--timeout", "0.1") != 0, "nothing came at all"


def test_a_bar_has_its_bounds() -> None:
    event = {"data": {"call": {"id": "c_1"}, "near_db": 0.0, "far_db": -200.0}}
    assert level_line(event) == "c_1  we send    0.0 dB ###############  we hear -200.0 dB ..............."
