"""The 10 WM_COPYDATA commands: a number and a string become a command, its outcome a number. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import structs

from offhook.control.backend import Execute
from offhook.control.legacy.arguments import dial_of, dtmf_of, mute_word, plain, points_of, target_of
from offhook.control.legacy.command_line import parse_command_line
from offhook.control.legacy.steps import SpeakerMemory, remote_of, run_steps
from offhook.control.legacy.text import is_wide, read_c_string
from offhook.errors import CommandError, InvalidArgument
from offhook.phone.commands import Answer, Command, Dial, Hangup, Quit, SetVolume, Status, Transfer
from offhook.phone.model import StatusView


@dataclass(frozen=True, slots=True)
class CopyDataResult:
    """`lresult` is what SendMessage returns. `text`: the URI for ACTIVECALL, the status name, or why it was refused."""

    lresult: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class CopyDataRow:
    """One WM_COPYDATA command: its number in dwData, its string as documented, and how the string becomes a command."""

    code: int
    string: str
    parse: Callable[[str], Command]


COPYDATA: dict[str, CopyDataRow] = {
    "DIAL": CopyDataRow(1, '"sip:123@domain" or "1001"', lambda text: structs.replace(dial_of(text), only_if_idle=True)),
    "HANGUP": CopyDataRow(2, "(empty)", plain(Hangup)),
    "ANSWER": CopyDataRow(3, "(empty)", plain(Answer)),
    "STATUS": CopyDataRow(4, "(empty)", plain(Status)),
    "ACTIVECALL": CopyDataRow(5, "(empty)", plain(Status)),
    "MUTE": CopyDataRow(6, '"1" or "0"', mute_word),
    "TRANSFER": CopyDataRow(7, '"1002" or "sip:1002@pbx"', lambda text: Transfer(to=target_of(text))),
    "DTMF": CopyDataRow(8, '"123#"', dtmf_of),
    "VOLUME": CopyDataRow(9, '"50" (0–100)', lambda text: SetVolume(volume=points_of(text))),
    "QUIT": CopyDataRow(10, "(empty)", plain(Quit)),
}
"""The 10 WM_COPYDATA commands; the numbers are the order of the table."""

COPYDATA_NAMES: dict[int, str] = {row.code: name for name, row in COPYDATA.items()}

_COMMAND_LINE_CODES = frozenset({1, 2})  # what MicroSIP.exe itself sends: 1 waits, 2 does not


def run_copydata(execute: Execute, code: int, payload: bytes, memory: SpeakerMemory | None = None) -> CopyDataResult:
    """Carry out one WM_COPYDATA message; a refusal is lresult 0 and never an exception.

    UTF-16 text under code 1 or 2 is a command line, as MicroSIP.exe hands it over; anything else is the table's command.
    """
    try:
        name = COPYDATA_NAMES.get(code)
        if name is None:
            raise InvalidArgument.field("code", "must be 1 to 10")
        text = read_c_string(payload)
        if code in _COMMAND_LINE_CODES and is_wide(payload):
            return _copied_command_line(execute, text, memory)
        return _copydata_answer(name, execute(COPYDATA[name].parse(text)).value)
    except CommandError as error:
        return CopyDataResult(0, error.detail)


def _copydata_answer(name: str, value: object) -> CopyDataResult:
    if not isinstance(value, StatusView):
        return CopyDataResult(1)
    if name == "ACTIVECALL":
        remote = remote_of(value)
        return CopyDataResult(1 if remote else 0, remote)
    return CopyDataResult(value.code, value.name)


def _copied_command_line(execute: Execute, text: str, memory: SpeakerMemory | None) -> CopyDataResult:
    steps = [
        # DIAL over WM_COPYDATA is refused while a call exists, and so does MicroSIP with a number from a second start.
        structs.replace(step, only_if_idle=True) if isinstance(step, Dial) else step
        for step in parse_command_line(text).steps
    ]
    return CopyDataResult(1, run_steps(execute, steps, memory))
