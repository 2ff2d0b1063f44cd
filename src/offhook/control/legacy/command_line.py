"""The command line of scripts written for MicroSIP: numbers and URIs, words, switches, `msip:` forms. Pure.

A form nobody knows is an InvalidArgument whose pointer is `/args`; a known form with a bad value points at that value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from offhook.control.backend import Execute
from offhook.control.legacy.arguments import (
    EXTENSION,
    IN_GROUPS,
    NOT_A_NUMBER,
    checked,
    dial_of,
    dtmf_of,
    points_of,
    target_of,
    without_slashes,
)
from offhook.control.legacy.steps import Nudge, SpeakerMemory, SpeakerMute, Step, Window, run_steps
from offhook.errors import InvalidArgument
from offhook.phone.commands import (
    Answer,
    Hangup,
    HangupAll,
    ListDevices,
    Mute,
    Quit,
    Reject,
    SelectAccount,
    SendMessage,
    SetVolume,
    Status,
    ToggleHold,
    ToggleMute,
    Transfer,
    Unmute,
)
from offhook.phone.dialplan import as_typed

POINTS = 5
"""What micup, micdown, speakup and speakdown change, in points of 0-100."""


_NUMBER = rf"(?:(?:tel|callto|dial|/dial):(?://)?[ ]*\+?[0-9 ()./-]*[0-9]|(?:/?transfer:|msip:transfer_)?[ ]*{IN_GROUPS})"
_WRITTEN_NUMBER = re.compile(rf"{_NUMBER}(?:\s*,[0-9*#A-D,\s]*)?", re.IGNORECASE)
"""A number as people write it. One without `+` or `0` in front may be an extension and a text: "1001 5" sends 1001 a 5."""

_EXTENDED_NUMBER = re.compile(_NUMBER + EXTENSION, re.IGNORECASE)
"""Kept together, so that it is refused as a whole, and its first group not sent the rest as a text."""

_COUNTRY_CODE = re.compile(r"\+[0-9]{1,3}")
"""Nobody's number (E.164 6.2): what stands behind it is the rest of one, and no text."""


@dataclass(frozen=True, slots=True)
class LegacyAction:
    """What one command line asks for. `config` and `minimized` only matter to a phone that starts with it."""

    steps: tuple[Step, ...] = ()
    config: str = ""
    minimized: bool = False


WORDS: dict[str, Step] = {
    "answer": Answer(),
    "hangup": Hangup(),
    "reject": Reject(),
    "hold": ToggleHold(),
    "mute": ToggleMute(),
    "status": Status(),
    "report:status": Status(),
    "hide": Window("hide"),
    "show": Window("show"),
    "exit": Quit(),
    "/answer": Answer(),
    "/hangupall": HangupAll(which="not_incoming"),
    "/hangupincoming": HangupAll(which="incoming"),
    "/hangupcalling": HangupAll(which="calling"),
    "/exit": Quit(),
    "--listdevices": ListDevices(),
    "msip:answer": Answer(),
    "msip:hangupall": HangupAll(which="not_incoming"),
    "msip:hold": ToggleHold(),
    "msip:micmute": Mute(),
    "msip:micunmute": Unmute(),
    "msip:micmuteclick": ToggleMute(),
    "msip:speakmute": SpeakerMute(muted=True),
    "msip:speakunmute": SpeakerMute(muted=False),
    "msip:micup": Nudge("mic", POINTS),
    "msip:micdown": Nudge("mic", -POINTS),
    "msip:speakup": Nudge("speaker", POINTS),
    "msip:speakdown": Nudge("speaker", -POINTS),
    "msip:minimize": Window("minimize"),
}
"""Every form that is one whole word; case-blind."""

PREFIXES: dict[str, Callable[[str], Step]] = {
    "dtmf:": dtmf_of,
    "/dtmf:": dtmf_of,
    "transfer:": lambda text: Transfer(to=target_of(text)),
    "/transfer:": lambda text: Transfer(to=target_of(text)),
    "msip:transfer_": lambda text: Transfer(to=target_of(text)),
    "/dial:": dial_of,
    "msip:": lambda text: dial_of(without_slashes(text)),
}
"""Every form that is a prefix and a value, longest first where one begins another; case-blind."""


def parse_command_line(line: str | Sequence[str]) -> LegacyAction:
    """Return what a command line asks for: a list of arguments, or the raw text as Windows hands it over.

    `/account:N`, `/i:FILE` and `/minimized` may stand before or after the rest, and `/hidden` (MicroSIP 3.19 to 3.21), which
    means no more to a phone without a window. Raises InvalidArgument.
    """
    words = _split(checked(line)) if isinstance(line, str) else _flattened(line)
    switches, rest = _take_switches(words)
    steps: list[Step] = [SelectAccount(account=account) for account in switches.accounts]
    if switches.minimized and not rest:
        steps.append(Window("minimize"))
    if rest:
        steps.append(_form(rest))
    return LegacyAction(tuple(steps), switches.config, switches.minimized)


def run_command_line(execute: Execute, line: str | Sequence[str], memory: SpeakerMemory | None = None) -> str:
    """Carry out a command line in the running phone and return what it prints ("" for most). Raises CommandError."""
    return run_steps(execute, parse_command_line(line).steps, memory)


def _form(words: list[str]) -> Step:
    first, rest = words[0], " ".join(words[1:])
    key = first.lower()
    if key.startswith("msip://"):  # a browser writes msip:answer as msip://answer/
        key, first = f"msip:{without_slashes(key[5:])}", f"msip:{without_slashes(first[5:])}"
    if key == "volume":
        return SetVolume(volume=points_of(rest))
    if key in WORDS:
        if rest:
            raise InvalidArgument.field("args", f"{first[:32]!r} takes nothing after it")
        return WORDS[key]
    for prefix, parse in PREFIXES.items():
        if key.startswith(prefix):
            if rest:
                raise InvalidArgument.field("args", f"{prefix} takes one value without spaces")
            return parse(first[len(prefix) :])
    if key.startswith(NOT_A_NUMBER):
        raise InvalidArgument.field("args", f"there is no switch {first[:32]!r}{_meant(key)}")
    if rest and not _COUNTRY_CODE.fullmatch(as_typed(first)):
        return SendMessage(to=target_of(first), text=rest)
    return dial_of(f"{first} {rest}")


def _meant(key: str) -> str:
    import difflib  # only a refusal needs it

    known = [word for word in (*WORDS, *PREFIXES, "/account:", "/minimized", "/i:") if word.startswith(NOT_A_NUMBER)]
    close = difflib.get_close_matches(key[:32], known, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are: {' '.join(known)}"


@dataclass(slots=True)
class _Switches:
    accounts: list[str] = field(default_factory=list)
    config: str = ""
    minimized: bool = False

    def take(self, word: str) -> bool:
        """Note the switch `word` and return True, or return False if it is none of them."""
        name, colon, value = word.partition(":")
        match name.lower():
            case "/minimized" | "/hidden" if not colon:
                self.minimized = True
            case "/account" if value.strip():
                self.accounts = [value.strip()]
            case "/i" if value.strip():
                self.config = value.strip()
            case _:
                return False
        return True


def _take_switches(words: list[str]) -> tuple[_Switches, list[str]]:
    """Take the switches off the beginning, and off the end if nothing else stands there: a text may have /words in it."""
    switches = _Switches()
    rest = list(words)
    while rest and switches.take(rest[0]):
        del rest[0]
    behind = _Switches()
    if rest[1:] and all(behind.take(word) for word in rest[1:]):
        del rest[1:]
        switches.accounts = behind.accounts or switches.accounts
        switches.config = behind.config or switches.config
        switches.minimized = behind.minimized or switches.minimized
    return switches, rest


def _flattened(arguments: Sequence[str]) -> list[str]:
    """An argument with spaces ("1001 hello there") is the same as several, except a file name and a number."""
    words: list[str] = []
    for argument in arguments:
        text = checked(argument)
        words.extend([text] if text.lower().startswith("/i:") else _number_or_words(text))
    return words


def _number_or_words(text: str) -> list[str]:
    """Return "+49 30 1234" as one number, or its first group would be sent the others as a text; all else word by word."""
    number = as_typed(text).strip()
    if _EXTENDED_NUMBER.fullmatch(number):
        return [number]
    return ["".join(number.split())] if _WRITTEN_NUMBER.fullmatch(number) else text.split()


def _split(line: str) -> list[str]:
    """Split at spaces; quotation marks keep spaces together, a backslash is only a backslash (Windows paths)."""
    words: list[str] = []
    for found in re.finditer(r'(?:[^ \t"]|"[^"]*(?:"|$))+', line):
        word = found[0].replace('"', "")
        number = as_typed(word)
        words.append("".join(number.split()) if _WRITTEN_NUMBER.fullmatch(number) else word)
    return words
