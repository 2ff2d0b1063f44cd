"""The 16 DDE commands and their grammar: `[Dial(1001)][Mute]`, `[Dial("1001")]`, `Dial 1001`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from msgspec import structs

from offhook.control.backend import Execute
from offhook.control.legacy.arguments import (
    checked,
    device_of,
    dial_of,
    dtmf_of,
    plain,
    points_of,
    steps_of,
    target_of,
)
from offhook.control.legacy.steps import run_steps
from offhook.errors import InvalidArgument
from offhook.phone.commands import (
    Answer,
    Command,
    Hangup,
    Quit,
    Reject,
    SetMicVolume,
    SetVolume,
    Status,
    ToggleHold,
    ToggleMute,
    Transfer,
    VolumeDown,
    VolumeUp,
)


@dataclass(frozen=True, slots=True)
class DdeRow:
    """One DDE command: its parameter as the documentation writes it, and how its text becomes a command."""

    parameter: str
    parse: Callable[[str], Command]


DDE: dict[str, DdeRow] = {
    "Dial": DdeRow("number", dial_of),
    "CallTo": DdeRow("number", lambda text: structs.replace(dial_of(text), hold_others=False)),
    "Hangup": DdeRow("(none)", plain(Hangup)),
    "Answer": DdeRow("(none)", plain(Answer)),
    "Reject": DdeRow("(none)", plain(Reject)),
    "Hold": DdeRow("(none)", plain(ToggleHold)),
    "Transfer": DdeRow("number", lambda text: Transfer(to=target_of(text))),
    "SendDTMF": DdeRow("digits", dtmf_of),
    "Mute": DdeRow("(none)", plain(ToggleMute)),
    "VolumeUp": DdeRow("steps", lambda text: VolumeUp(steps=steps_of(text))),
    "VolumeDown": DdeRow("steps", lambda text: VolumeDown(steps=steps_of(text))),
    "SetVolume": DdeRow("0-100", lambda text: SetVolume(volume=points_of(text))),
    "SetMicVolume": DdeRow("0-100", lambda text: SetMicVolume(volume=points_of(text))),
    "SetDevice": DdeRow("input/output, deviceID", device_of),
    "Status": DdeRow("(none)", plain(Status)),
    "Close": DdeRow("(none)", plain(Quit)),
}
"""The 16 DDE commands, by the name the documentation gives them; names are case-blind in use."""

_DDE_BY_NAME = {name.lower(): row for name, row in DDE.items()}


def parse_dde(text: str) -> tuple[Command, ...]:
    """Return the commands of one DDE execute: `[Dial(1001)][Mute]`, `[Dial("1001")]`, or the plain form `Dial 1001`."""
    text = checked(text)
    if text.startswith("["):
        return tuple(dde_command(name, argument) for name, argument in _brackets(text))
    return (dde_command(*_name_and_argument(text)),)


def run_dde(execute: Execute, text: str) -> str:
    """Carry out one DDE execute string and return its answer (the status for Status, else ""). Raises CommandError."""
    return run_steps(execute, parse_dde(text))


def dde_command(name: str, argument: str) -> Command:
    """Return what one of the 16 means with this argument. Raises InvalidArgument."""
    row = _DDE_BY_NAME.get(name.lower())
    if row is None:
        raise InvalidArgument.field("args", f"there is no DDE command {name[:32]!r}; there are: {', '.join(DDE)}")
    return row.parse(_unquoted(argument))


def _brackets(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and argument of each `[Name(argument)]`; anything between the brackets but spaces is an error."""
    at = 0
    while at < len(text):
        if text[at] != "[":
            raise InvalidArgument.field("args", f"expected [ at character {at + 1}")
        end = _bracket_end(text, at + 1)
        yield _name_and_argument(text[at + 1 : end].strip())
        at = end + 1
        while at < len(text) and text[at].isspace():
            at += 1


def _bracket_end(text: str, at: int) -> int:
    """Return where the `]` is that ends a command; one inside quotes or parentheses (an IPv6 address) does not."""
    quoted = inside = False
    while at < len(text):
        character = text[at]
        if character == '"':
            quoted = not quoted
        elif quoted:
            pass
        elif character == "(":
            inside = True
        elif character == "]" and (not inside or text[:at].rstrip().endswith(")")):
            return at
        at += 1
    raise InvalidArgument.field("args", "a ] or a quotation mark is missing at the end")


_NAME = re.compile(r"(?P<name>[A-Za-z]+)\s*(?P<rest>.*)", re.DOTALL)


def _name_and_argument(text: str) -> tuple[str, str]:
    found = _NAME.fullmatch(text)
    if not found:
        raise InvalidArgument.field("args", "a command name is missing")
    rest = found["rest"]
    if rest.startswith("("):
        if not rest.endswith(")"):
            raise InvalidArgument.field("args", "a ) is missing")
        rest = rest[1:-1]
    elif rest and not text[found.end("name")].isspace():
        raise InvalidArgument.field("args", f"cannot read {text[:32]!r}")
    return found["name"], rest


def _unquoted(argument: str) -> str:
    """Return the argument without quotation marks: `"a","b"` is `a,b`; a doubled mark inside is one."""
    argument = argument.strip()
    if '"' not in argument:
        return argument
    parts: list[str] = []
    at = 0
    part = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]*+))\s*(,|$)')
    while True:
        found = part.match(argument, at)
        if not found:
            raise InvalidArgument.field("args", "the quotation marks do not fit together")
        parts.append(found[2].strip() if found[1] is None else found[1].replace('""', '"'))
        at = found.end()
        if not found[3]:
            return ",".join(parts)
