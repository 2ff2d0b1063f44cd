"""The older interfaces as tables: 16 DDE names, 10 WM_COPYDATA codes, and the command line of existing scripts. Pure.

Text becomes steps, steps become commands. Everything is read before anything runs: one bad argument refuses the whole.
A form nobody knows is an InvalidArgument whose pointer is `/args`; a known form with a bad value points at that value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, assert_never
from urllib.parse import unquote

from msgspec import structs

from offhook.control.backend import Execute
from offhook.control.schema import to_json
from offhook.errors import CommandError, InvalidArgument, NotFound
from offhook.media.messages import DeviceInfo, DeviceKind
from offhook.phone.commands import (
    Answer,
    Command,
    Dial,
    GetAudio,
    Hangup,
    HangupAll,
    ListCalls,
    ListDevices,
    Mute,
    Quit,
    Reject,
    SelectAccount,
    SendDtmf,
    SendMessage,
    SetDevice,
    SetMicVolume,
    SetVolume,
    Status,
    ToggleHold,
    ToggleMute,
    Transfer,
    Unmute,
    VolumeDown,
    VolumeUp,
)
from offhook.phone.model import AudioView, CallView, StatusView

MAX_TEXT = 4096
"""Longest text taken, in characters; a command line or DDE string is far shorter, and window messages have no sender check."""

MAX_TARGET = 512
"""Longest number or URI taken, in characters."""

POINTS = 5
"""What micup, micdown, speakup and speakdown change, in points of 0-100."""


# --- steps: what one form asks for -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Nudge:
    """Raise or lower the loudspeaker or the microphone by `points`, kept within 0-100."""

    what: Literal["speaker", "mic"]
    points: int


@dataclass(frozen=True, slots=True)
class SpeakerMute:
    """Silence the loudspeaker, or bring its former volume back."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Window:
    """Something only a window could do; accepted, and nothing happens."""

    action: Literal["show", "hide", "minimize"]


Step: TypeAlias = Command | Nudge | SpeakerMute | Window


@dataclass(slots=True)
class SpeakerMemory:
    """The loudspeaker's volume before it was silenced: the one thing an older form has to remember."""

    volume: int | None = None


def run_steps(execute: Execute, steps: Sequence[Step], memory: SpeakerMemory | None = None) -> str:
    """Carry out `steps` in order and return what they answer, one line each. The first refusal raises and ends the row."""
    memory = memory if memory is not None else SpeakerMemory()
    answers = [_run(execute, step, memory) for step in steps]
    return "\n".join(answer for answer in answers if answer)


def _run(execute: Execute, step: Step, memory: SpeakerMemory) -> str:
    match step:
        case Command():
            return _text(execute(step).value)
        case Nudge():
            audio = _audio(execute)
            if step.what == "mic":
                execute(SetMicVolume(volume=_clamp(audio.mic_volume + step.points)))
            else:
                execute(SetVolume(volume=_clamp(audio.output_volume + step.points)))
        case SpeakerMute():
            _mute_speaker(execute, step.muted, memory)
        case Window():
            pass
        case _:
            assert_never(step)
    return ""


def _mute_speaker(execute: Execute, muted: bool, memory: SpeakerMemory) -> None:
    if muted:
        before = _audio(execute).output_volume
        execute(SetVolume(volume=0))
        memory.volume = before or memory.volume  # silencing twice keeps the first volume
    elif _audio(execute).output_volume == 0:
        execute(SetVolume(volume=100 if memory.volume is None else memory.volume))
        memory.volume = None


def _text(value: object) -> str:
    """What an older form shows of an answer; most have none."""
    match value:
        case StatusView():
            return value.name
        case tuple() | list():
            return _device_lines([device for device in value if isinstance(device, DeviceInfo)])
        case _:
            return ""


def _device_lines(devices: Sequence[DeviceInfo]) -> str:
    return "\n".join(f"{at.kind} {at.index}: {at.name} [{at.id}]{' (default)' if at.default else ''}" for at in devices)


def _clamp(points: int) -> int:
    return min(100, max(0, points))


def _audio(execute: Execute) -> AudioView:
    view = execute(GetAudio()).value
    assert isinstance(view, AudioView)
    return view


def _status(execute: Execute) -> StatusView:
    view = execute(Status()).value
    assert isinstance(view, StatusView)
    return view


def _remote_of(status: StatusView) -> str:
    """The far end of the current call; "" when idle, and also while status 4 lingers: that call is over."""
    return status.remote if status.code in (1, 2, 3) else ""


# --- values ----------------------------------------------------------------------------------------------------------

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DIGITS = re.compile(r"[0-9*#A-Da-d,]+")
_DIAL_AND_DIGITS = re.compile(r"(?P<to>[^,]+),(?P<digits>[0-9*#A-Da-d,]+)")
_POINTS = re.compile(r"[0-9]{1,3}")
_STEPS = re.compile(r"[0-9]{1,2}")
_PERCENT_SAFE = re.compile(r"%(2[Bb]|2[Dd]|2[Ee]|3[0-9]|4[1-9A-Fa-f]|5[0-9Aa]|5[Ff]|6[1-9A-Fa-f]|7[0-9Aa]|7[Ee])")


def _nothing(text: str) -> None:
    if text.strip():
        raise InvalidArgument.field("argument", "this command takes none")


def _target(text: str, name: str = "to") -> str:
    """Return the number or URI in `text`: scheme forms undone, `//` and a trailing `/` dropped, `%xx` decoded."""
    found = text.strip()
    scheme, colon, rest = found.partition(":")
    scheme = scheme.lower()
    if colon and scheme in ("tel", "callto", "dial", "dialpad"):
        found = unquote(_without_slashes(rest), errors="strict" if _is_utf8(rest) else "replace")
        found = _tel_number(found) if scheme == "tel" else found.strip(" ")
    elif colon and scheme in ("sip", "sips"):
        # RFC 3261 19.1.4: only characters that need no escape mean the same when unescaped, so only those are decoded.
        found = f"{scheme}:{_PERCENT_SAFE.sub(lambda code: unquote(code[0]), _without_slashes(rest))}"
    if not found or found in ("sip:", "sips:"):
        raise InvalidArgument.field(name, "a number or URI is needed")
    if len(found) > MAX_TARGET:
        raise InvalidArgument.field(name, f"is longer than {MAX_TARGET} characters")
    if _CONTROL.search(found) or any(character.isspace() for character in found):
        raise InvalidArgument.field(name, "has a space or a control character in it")
    return found


def _is_utf8(escaped: str) -> bool:
    try:
        unquote(escaped, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _without_slashes(rest: str) -> str:
    return rest[2:].removesuffix("/") if rest.startswith("//") else rest.removesuffix("/")


def _tel_number(text: str) -> str:
    """RFC 3966 5.1.1: `-`, `.`, `(` and `)` (and the spaces people add) mean nothing; parameters after `;` do not dial."""
    return re.sub(r"[-.() ]", "", text.partition(";")[0])


def _dial(text: str) -> Dial:
    """Return the Dial for `1001`, a URI, or `1001,12,,34` (digits after the answer)."""
    text = text.strip()
    if "," not in text:
        return Dial(to=_target(text))
    found = _DIAL_AND_DIGITS.fullmatch(text)
    if found:
        return Dial(to=_target(found["to"]), digits=found["digits"])
    if "@" in text.partition(",")[2]:  # RFC 3261 25.1: a comma may stand in the user part of a SIP URI
        return Dial(to=_target(text))
    raise InvalidArgument.field("digits", "after the comma only 0-9 * # A-D and , may stand")


def _dtmf(text: str) -> SendDtmf:
    digits = text.strip()
    if not _DIGITS.fullmatch(digits):
        raise InvalidArgument.field("digits", "only 0-9 * # A-D and , can be sent")
    return SendDtmf(digits=digits)


def _points(text: str) -> int:
    found = text.strip()
    if not _POINTS.fullmatch(found) or int(found) > 100:
        raise InvalidArgument.field("volume", "must be a whole number from 0 to 100")
    return int(found)


def _steps(text: str) -> int:
    found = text.strip()
    if not found:
        return 1
    if not _STEPS.fullmatch(found) or not 1 <= int(found) <= 10:
        raise InvalidArgument.field("steps", "must be a whole number from 1 to 10")
    return int(found)


_DEVICE_KINDS: dict[str, DeviceKind] = {"input": "input", "output": "output", "ring": "ring"}


def _device(text: str) -> SetDevice:
    kind, comma, device = (part.strip() for part in text.partition(","))
    known = _DEVICE_KINDS.get(kind.lower())
    if known is None:
        raise InvalidArgument.field("kind", "must be input, output or ring")
    if not comma or not device:
        raise InvalidArgument.field("device", "write input,<id> or output,<id>")
    return SetDevice(kind=known, device=device)


def _mute_word(text: str) -> Command:
    match text.strip():
        case "1":
            return Mute()
        case "0":
            return Unmute()
        case _:
            raise InvalidArgument.field("mute", 'must be "1" or "0"')


def _plain(make: Callable[[], Command]) -> Callable[[str], Command]:
    """A row without an argument."""

    def parse(text: str) -> Command:
        _nothing(text)
        return make()

    return parse


def _checked(text: str) -> str:
    """Return `text` without the terminating NULs of C programs; refuse what is too long or has control characters in it."""
    text = text.lstrip("\ufeff").rstrip("\x00").strip()
    if len(text) > MAX_TEXT:
        raise InvalidArgument.field("text", f"is longer than {MAX_TEXT} characters")
    if _CONTROL.search(text.replace("\t", " ")):
        raise InvalidArgument.field("text", "has a control character in it")
    return text


# --- DDE -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DdeRow:
    """One DDE command: its parameter as the documentation writes it, and how its text becomes a command."""

    parameter: str
    parse: Callable[[str], Command]


DDE: dict[str, DdeRow] = {
    "Dial": DdeRow("number", _dial),
    "CallTo": DdeRow("number", lambda text: structs.replace(_dial(text), hold_others=False)),
    "Hangup": DdeRow("(none)", _plain(Hangup)),
    "Answer": DdeRow("(none)", _plain(Answer)),
    "Reject": DdeRow("(none)", _plain(Reject)),
    "Hold": DdeRow("(none)", _plain(ToggleHold)),
    "Transfer": DdeRow("number", lambda text: Transfer(to=_target(text))),
    "SendDTMF": DdeRow("digits", _dtmf),
    "Mute": DdeRow("(none)", _plain(ToggleMute)),
    "VolumeUp": DdeRow("steps", lambda text: VolumeUp(steps=_steps(text))),
    "VolumeDown": DdeRow("steps", lambda text: VolumeDown(steps=_steps(text))),
    "SetVolume": DdeRow("0-100", lambda text: SetVolume(volume=_points(text))),
    "SetMicVolume": DdeRow("0-100", lambda text: SetMicVolume(volume=_points(text))),
    "SetDevice": DdeRow("input/output, deviceID", _device),
    "Status": DdeRow("(none)", _plain(Status)),
    "Close": DdeRow("(none)", _plain(Quit)),
}
"""The 16 DDE commands, by the name the documentation gives them; names are case-blind in use."""

_DDE_BY_NAME = {name.lower(): row for name, row in DDE.items()}


def parse_dde(text: str) -> tuple[Command, ...]:
    """Return the commands of one DDE execute: `[Dial(1001)][Mute]`, `[Dial("1001")]`, or the plain form `Dial 1001`."""
    text = _checked(text)
    if text.startswith("["):
        return tuple(_dde_command(name, argument) for name, argument in _brackets(text))
    return (_dde_command(*_name_and_argument(text)),)


def run_dde(execute: Execute, text: str) -> str:
    """Carry out one DDE execute string and return its answer (the status for Status, else ""). Raises CommandError."""
    return run_steps(execute, parse_dde(text))


def _dde_command(name: str, argument: str) -> Command:
    row = _DDE_BY_NAME.get(name.lower())
    if row is None:
        raise InvalidArgument.field("args", f"there is no DDE command {name[:32]!r}")
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
    part = re.compile(r'\s*(?:"((?:[^"]|"")*+)"|([^",]*+))\s*(,|$)')
    while True:
        found = part.match(argument, at)
        if not found:
            raise InvalidArgument.field("args", "the quotation marks do not fit together")
        parts.append(found[2].strip() if found[1] is None else found[1].replace('""', '"'))
        at = found.end()
        if not found[3]:
            return ",".join(parts)


# --- DDE request items -----------------------------------------------------------------------------------------------

DDE_ITEMS: dict[str, Callable[[Execute], str]] = {
    "Status": lambda execute: _status(execute).name,
    "StatusCode": lambda execute: str(_status(execute).code),
    "ActiveCall": lambda execute: _remote_of(_status(execute)),
    "Calls": lambda execute: _json_text(execute(ListCalls()).value),
    "Volume": lambda execute: str(_audio(execute).output_volume),
    "Devices": lambda execute: _device_lines(execute(ListDevices()).value),
}
"""What a DDE request can ask for (the item `Event` exists only as an advise loop)."""

_ITEM_BY_NAME = {name.lower(): read for name, read in DDE_ITEMS.items()}


def dde_request(execute: Execute, item: str) -> str:
    """Return the text of a DDE request item; raises NotFound for an item that does not exist."""
    read = _ITEM_BY_NAME.get(item.strip().lower())
    if read is None:
        raise NotFound(f"there is no item {item[:32]!r}; there are: {', '.join(DDE_ITEMS)}")
    return read(execute)


def _json_text(calls: Sequence[CallView]) -> str:
    # msgspec speaks bytes; going through the builtins keeps one translator for every surface.
    import json

    return json.dumps(to_json(calls), ensure_ascii=False, separators=(",", ":"))


# --- WM_COPYDATA -----------------------------------------------------------------------------------------------------


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
    "DIAL": CopyDataRow(1, '"sip:123@domain" or "1001"', lambda text: structs.replace(_dial(text), only_if_idle=True)),
    "HANGUP": CopyDataRow(2, "(empty)", _plain(Hangup)),
    "ANSWER": CopyDataRow(3, "(empty)", _plain(Answer)),
    "STATUS": CopyDataRow(4, "(empty)", _plain(Status)),
    "ACTIVECALL": CopyDataRow(5, "(empty)", _plain(Status)),
    "MUTE": CopyDataRow(6, '"1" or "0"', _mute_word),
    "TRANSFER": CopyDataRow(7, '"1002" or "sip:1002@pbx"', lambda text: Transfer(to=_target(text))),
    "DTMF": CopyDataRow(8, '"123#"', _dtmf),
    "VOLUME": CopyDataRow(9, '"50" (0–100)', lambda text: SetVolume(volume=_points(text))),
    "QUIT": CopyDataRow(10, "(empty)", _plain(Quit)),
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
        text, wide = _decoded(payload)
        if wide and code in _COMMAND_LINE_CODES:
            return _copied_command_line(execute, text, memory)
        return _copydata_answer(name, execute(COPYDATA[name].parse(text)).value)
    except CommandError as error:
        return CopyDataResult(0, error.detail)


def _copydata_answer(name: str, value: object) -> CopyDataResult:
    if not isinstance(value, StatusView):
        return CopyDataResult(1)
    if name == "ACTIVECALL":
        remote = _remote_of(value)
        return CopyDataResult(1 if remote else 0, remote)
    return CopyDataResult(value.code, value.name)


def _copied_command_line(execute: Execute, text: str, memory: SpeakerMemory | None) -> CopyDataResult:
    steps = [
        # DIAL over WM_COPYDATA is refused while a call exists, and so does MicroSIP with a number from a second start.
        structs.replace(step, only_if_idle=True) if isinstance(step, Dial) else step
        for step in parse_command_line(text).steps
    ]
    return CopyDataResult(1, run_steps(execute, steps, memory))


def _decoded(payload: bytes) -> tuple[str, bool]:
    """Return the text of a payload and whether it was UTF-16LE: even length, and the first character has a NUL high byte."""
    wide = len(payload) >= 2 and len(payload) % 2 == 0 and payload[0] != 0 and payload[1] == 0
    if payload[:2] == b"\xff\xfe" and len(payload) % 2 == 0:
        wide = True
    try:
        return _checked(payload.decode("utf-16-le" if wide else "utf-8")), wide
    except UnicodeDecodeError:
        raise InvalidArgument.field("text", "is neither UTF-8 nor UTF-16") from None


# --- the command line ------------------------------------------------------------------------------------------------


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
    "/minimized": Window("minimize"),
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
    "dtmf:": _dtmf,
    "/dtmf:": _dtmf,
    "transfer:": lambda text: Transfer(to=_target(text)),
    "/transfer:": lambda text: Transfer(to=_target(text)),
    "msip:transfer_": lambda text: Transfer(to=_target(text)),
    "/dial:": _dial,
    "msip:": lambda text: _dial(_without_slashes(text)),
}
"""Every form that is a prefix and a value, longest first where one begins another; case-blind."""

_NOT_A_NUMBER = ("/", "-")


def parse_command_line(line: str | Sequence[str]) -> LegacyAction:
    """Return what a command line asks for: a list of arguments, or the raw text as Windows hands it over.

    `/account:N`, `/i:FILE` and `/minimized` may stand before or after the rest. Raises InvalidArgument.
    """
    words = _split(_checked(line)) if isinstance(line, str) else _flattened(line)
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
        key, first = f"msip:{_without_slashes(key[5:])}", f"msip:{_without_slashes(first[5:])}"
    if key == "volume":
        return SetVolume(volume=_points(rest))
    if key in WORDS:
        if rest:
            raise InvalidArgument.field("args", f"{first[:32]!r} takes nothing after it")
        return WORDS[key]
    for prefix, parse in PREFIXES.items():
        if key.startswith(prefix):
            if rest:
                raise InvalidArgument.field("args", f"{prefix} takes one value without spaces")
            return parse(first[len(prefix) :])
    if key.startswith(_NOT_A_NUMBER):
        raise InvalidArgument.field("args", f"there is no switch {first[:32]!r}")
    return SendMessage(to=_target(first), text=rest) if rest else _dial(first)


@dataclass(slots=True)
class _Switches:
    accounts: list[str] = field(default_factory=list)
    config: str = ""
    minimized: bool = False

    def take(self, word: str) -> bool:
        """Note the switch `word` and return True, or return False if it is none of them."""
        name, _, value = word.partition(":")
        match name.lower():
            case "/minimized" if word.lower() == "/minimized":
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
    """An argument with spaces ("1001 hello there") is the same as several, except a file name."""
    words: list[str] = []
    for argument in arguments:
        checked = _checked(argument)
        words.extend([checked] if checked.lower().startswith("/i:") else checked.split())
    return words


def _split(line: str) -> list[str]:
    """Split at spaces; quotation marks keep spaces together, a backslash is only a backslash (Windows paths)."""
    words: list[str] = []
    for found in re.finditer(r'(?:[^\s"]|"[^"]*(?:"|$))+', line):
        words.append(found[0].replace('"', ""))
    return words


# --- opening a URI from a browser ------------------------------------------------------------------------------------

_OPENABLE = re.compile(r"(?P<scheme>tel|sips?|callto):(?P<rest>.+)", re.IGNORECASE | re.DOTALL)
_SAFE_TARGET = re.compile(
    r"(?:sips?:)?[\w+*#.!~'$&=-]+(?:@[\w.-]+|@\[[0-9A-Fa-f:.]+\])?(?::[0-9]{1,5})?(?P<params>(?:;[\w-]+=[\w.-]+)*)", re.ASCII
)
_SAFE_PARAMS = frozenset({"transport", "user"})


def open_uri(text: str) -> Dial:
    """Return the Dial for a tel:, sip:, sips: or callto: URI from a browser or another program, or raise InvalidArgument.

    Nothing but a plain number or address gets through: no other scheme, verb, switch, file name, digits after the answer,
    header or control character, however it is encoded.
    """
    found = _OPENABLE.fullmatch(text.strip(" "))
    if not found or _CONTROL.search(text) or len(text) > MAX_TARGET:
        raise InvalidArgument.field("uri", "only tel:, sip:, sips: and callto: can be opened")
    target = _target(text)
    safe = _SAFE_TARGET.fullmatch(target)
    names = {part.partition("=")[0].lower() for part in safe["params"].split(";") if part} if safe else set()
    if not safe or names - _SAFE_PARAMS or target.startswith(_NOT_A_NUMBER):
        raise InvalidArgument.field("uri", "this is not a plain number or address")
    return Dial(to=target)
