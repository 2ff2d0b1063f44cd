"""The 16 DDE commands, the 10 WM_COPYDATA commands and the command line of the source, each mapped to what it means."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path

import pytest

from offhook.control.legacy.command_line import parse_command_line
from offhook.control.legacy.copydata import COPYDATA, run_copydata
from offhook.control.legacy.dde import DDE, parse_dde
from offhook.phone import commands as c
from offhook.phone.commands import Command
from offhook.phone.model import STATUS_NAMES, StatusView
from offhook.testing.backend import FakeBackend

sys.path.insert(0, str(Path(__file__).parent))
from seed_tables import COMMAND_LINE, COPYDATA_TABLE, DDE_TABLE

SEED = Path(__file__).resolve().parents[3] / "shared" / "spec" / "seed.txt"

DDE_MEANING: dict[str, tuple[str, Command]] = {
    "Dial": ("1001", c.Dial(to="1001", hold_others=True)),
    "CallTo": ("1001", c.Dial(to="1001", hold_others=False)),
    "Hangup": ("", c.Hangup()),
    "Answer": ("", c.Answer()),
    "Reject": ("", c.Reject()),
    "Hold": ("", c.ToggleHold()),
    "Transfer": ("1002", c.Transfer(to="1002")),
    "SendDTMF": ("12,3#", c.SendDtmf(digits="12,3#")),
    "Mute": ("", c.ToggleMute()),
    "VolumeUp": ("3", c.VolumeUp(steps=3)),
    "VolumeDown": ("10", c.VolumeDown(steps=10)),
    "SetVolume": ("80", c.SetVolume(volume=80)),
    "SetMicVolume": ("0", c.SetMicVolume(volume=0)),
    "SetDevice": ("input,usb-1", c.SetDevice(kind="input", device="usb-1")),
    "Status": ("", c.Status()),
    "Close": ("", c.Quit()),
}

COPYDATA_MEANING: dict[str, tuple[str, Command]] = {
    "DIAL": ("sip:123@domain", c.Dial(to="sip:123@domain", only_if_idle=True)),
    "HANGUP": ("", c.Hangup()),
    "ANSWER": ("", c.Answer()),
    "STATUS": ("", c.Status()),
    "ACTIVECALL": ("", c.Status()),
    "MUTE": ("1", c.Mute()),
    "TRANSFER": ("sip:1002@pbx", c.Transfer(to="sip:1002@pbx")),
    "DTMF": ("123#", c.SendDtmf(digits="123#")),
    "VOLUME": ("50", c.SetVolume(volume=50)),
    "QUIT": ("", c.Quit()),
}


def seed_text() -> str:
    if not SEED.exists():
        pytest.skip("the source, shared/spec/seed.txt, is not beside this checkout")
    return SEED.read_text("utf-8")


def seed_table(head: str) -> tuple[tuple[str, ...], ...]:
    """Return the rows of the table of the source whose header line begins with `head`."""
    lines = seed_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(head))
    rows = []
    for line, after in itertools.pairwise([*lines[start + 2 :], ""]):
        if not line.startswith("|") or after.startswith(("|--", "| :--")):  # the next table's header follows at once
            break
        rows.append(tuple(cell.strip() for cell in line.split("|")[1:4]))
    return tuple(rows)


def test_our_dde_table_is_the_source() -> None:
    assert seed_table("| DDE Command |") == DDE_TABLE


def test_our_copydata_table_is_the_source() -> None:
    assert seed_table("| Command Code |") == COPYDATA_TABLE


def test_our_command_line_is_the_source() -> None:
    assert COMMAND_LINE in seed_text()


def test_every_dde_command_is_there_in_order_with_its_parameter() -> None:
    assert [(name, row.parameter) for name, row in DDE.items()] == [(name, parameter) for name, parameter, _ in DDE_TABLE]
    assert list(DDE_MEANING) == [name for name, _, _ in DDE_TABLE]


def test_every_copydata_command_is_there_in_order_with_its_string() -> None:
    assert [(name, row.string) for name, row in COPYDATA.items()] == [(name, string) for name, string, _ in COPYDATA_TABLE]
    assert [row.code for row in COPYDATA.values()] == list(range(1, 11))
    assert list(COPYDATA_MEANING) == [name for name, _, _ in COPYDATA_TABLE]


@pytest.mark.parametrize("name", [name for name, _, _ in DDE_TABLE])
def test_dde_row_maps_to_its_command_in_every_grammar(name: str) -> None:
    argument, command = DDE_MEANING[name]
    forms = [f"[{name}({argument})]", f"{name} {argument}".strip(), f"{name.upper()}({argument})"]
    forms.append(f"[ {name.lower()} ( {argument} ) ]")
    if argument:
        quoted = ",".join(f'"{part}"' for part in argument.split(","))
        forms.append(f'[{name}({quoted})]')
        forms.append(f'{name} "{argument}"')
    else:
        forms.append(f"[{name}]")
    for form in forms:
        assert parse_dde(form) == (command,), form


@pytest.mark.parametrize("name", [name for name, _, _ in COPYDATA_TABLE])
@pytest.mark.parametrize("ending", [b"", b"\0"])
def test_copydata_row_maps_to_its_command(name: str, ending: bytes) -> None:
    text, command = COPYDATA_MEANING[name]
    backend = FakeBackend()
    run_copydata(backend.execute, COPYDATA[name].code, text.encode() + ending)
    assert backend.commands == [command]


@pytest.mark.parametrize("name", [name for name, parameter, _ in DDE_TABLE if parameter == "(none)"])
def test_dde_commands_without_parameter_refuse_one(name: str) -> None:
    with pytest.raises(Exception, match="none"):
        parse_dde(f"[{name}(1)]")


def test_the_printed_command_line_sends_the_digits() -> None:
    assert parse_command_line(COMMAND_LINE.removeprefix("MicroSIP.exe ")).steps == (c.SendDtmf(digits="12345"),)


def test_every_copydata_status_is_the_documented_integer() -> None:
    _, _, text = COPYDATA_TABLE[3]
    numbers = {int(number): name for number, name in re.findall(r"(\d)=(\w+)", text)}
    backend = FakeBackend()
    for number, name in numbers.items():
        backend.status = c_status(number, name.upper())
        result = run_copydata(backend.execute, COPYDATA["STATUS"].code, b"")
        assert (result.lresult, result.text.lower()) == (number, name)


def c_status(code: int, name: str) -> StatusView:
    assert STATUS_NAMES[code] == name
    return StatusView(code=code, name=name)
