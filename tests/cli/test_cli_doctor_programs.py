"""What the doctor says of the programs of the hooks."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_case import case_in

from offhook.cli.doctor.programs import _fault, look_at_programs
from offhook.storage.config.sections import EventHook, HookSettings, Program


def test_nothing_is_said_where_there_is_no_hook(tmp_path: Path) -> None:
    assert list(look_at_programs(case_in(tmp_path))) == []


def test_each_program_is_looked_at(tmp_path: Path) -> None:
    case = case_in(tmp_path)
    nowhere = str(tmp_path / "nowhere" / "pop")
    case.config = replace(
        case.config, hooks=HookSettings(on_call_ring=Program((nowhere, "x")), decide=Program((sys.executable,))),
        hook=(EventHook(("call.*",), Program((sys.executable, "-c", ""))),),
    )  # fmt: skip
    missing, good = look_at_programs(case)
    assert (missing.name, missing.level, missing.text) == ("hook on_call_ring", "warning", f"there is no program {nowhere}")
    assert (good.name, good.level, good.text) == ("hooks", "ok", "2 of 3 programs can be started")


@pytest.mark.parametrize(("name", "arguments", "platform", "fault"), [
    ("pop.exe", ("100%",), "win32", ""), ("pop.bat", ("Büro",), "win32", ""), ("pop.bat", ("100%",), "win32", "is not safe"),
    ("pop.vbs", (), "win32", "is no program"), ("pop", (), "win32", ""), ("pop.sh", (), "linux", "may not be executed"),
])
def test_a_file_that_is_no_program(tmp_path: Path, name: str, arguments: tuple[str, ...], platform: str, fault: str) -> None:
    program = tmp_path / name
    program.write_text("")
    if platform != sys.platform == "win32":
        pytest.skip("there everything may be executed")
    text, advice = _fault((str(program), *arguments), platform)
    assert fault in text
    assert bool(text) == bool(advice) == bool(fault)
