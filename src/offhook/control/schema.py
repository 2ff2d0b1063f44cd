"""The only translator between the phone's structs and JSON: commands in, views and errors out."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from offhook import errors
from offhook.errors import CommandError, FieldError, InvalidArgument, ParseError
from offhook.media.messages import DeviceInfo
from offhook.phone import commands as c
from offhook.phone.commands import COMMANDS, Command
from offhook.phone.events import EVENTS, Event
from offhook.phone.model import (
    AccountView,
    AudioStreamView,
    AudioView,
    CallView,
    ConferenceView,
    Contact,
    ImportedView,
    PlaybackView,
    RecordingView,
    Snapshot,
    StatsView,
    StatusView,
    TapView,
    WatchView,
)

C = TypeVar("C", bound=Command)

OPERATIONS: dict[str, type[Command]] = {command.operation: command for command in COMMANDS}
"""Every command by its operation name."""

EVENT_TYPES: tuple[str, ...] = tuple(event.type for event in EVENTS)
"""Every event type, in the order of the documentation."""

RESULTS: dict[type[Command], Any] = {
    **dict.fromkeys((c.GetCall, c.TagCall), CallView),
    c.CallStats: StatsView,
    c.ListCalls: tuple[CallView, ...],
    **dict.fromkeys((c.CreateConference, c.JoinConference, c.LeaveConference, c.MuteMember, c.UnmuteMember), ConferenceView),
    c.EndConference: ConferenceView,
    c.ListConferences: tuple[ConferenceView, ...],
    c.CreateWatch: WatchView,
    c.DeleteWatch: WatchView,
    c.ListWatches: tuple[WatchView, ...],
    **dict.fromkeys((c.Mute, c.Unmute, c.ToggleMute), AudioView | None),
    **dict.fromkeys((c.SetVolume, c.VolumeUp, c.VolumeDown, c.SetMicVolume, c.SetDevice, c.SetVoice, c.GetAudio), AudioView),
    c.ListDevices: tuple[DeviceInfo, ...],
    **dict.fromkeys(
        (c.AddAccount, c.UpdateAccount, c.RegisterAccount, c.UnregisterAccount, c.SelectAccount), AccountView | None
    ),
    c.ListAccounts: tuple[AccountView, ...],
    c.StreamAudio: AudioStreamView,
    c.ListAudioStreams: tuple[AudioStreamView, ...],
    c.ListPlaybacks: tuple[PlaybackView, ...],
    c.ListRecordings: tuple[RecordingView, ...],
    c.Tap: TapView,
    c.ListTaps: tuple[TapView, ...],
    c.ListContacts: tuple[Contact, ...],
    **dict.fromkeys((c.GetContact, c.AddContact, c.UpdateContact), Contact),
    c.ImportContacts: ImportedView,
    c.Status: StatusView,
    c.GetSnapshot: Snapshot,
}
"""What the value of a command's answer is. Those not named here answer nothing, or an object of plain values."""

_PAIRS = frozenset({"headers", "tags"})

# RFC 9457 3.1.3: `status` is the HTTP status; the sockets carry it too so that the object is the same everywhere.
_HTTP_STATUS: dict[str, int] = {
    "command-refused": 409,
    "invalid-argument": 422,
    "not-found": 404,
    "invalid-state": 409,
    "ambiguous-call": 409,
    "line-busy": 409,
    "no-account": 409,
    "not-registered": 503,
    "dial-plan-denied": 403,
    "too-many-calls": 429,
    "rate-limited": 429,
    "media-negotiation-failed": 409,
    "security-required": 409,
    "device-unavailable": 503,
    "draining": 503,
    "unauthenticated": 401,
    "forbidden": 403,
    "idempotency-mismatch": 422,
    "timeout": 504,
}

_ERROR_CLASSES: dict[str, type[CommandError]] = {
    found.code: found for found in vars(errors).values() if inspect.isclass(found) and issubclass(found, CommandError)
}


PROBLEM_STATUS: Mapping[str, int] = _HTTP_STATUS
"""Every code a refused command may have, and its HTTP status."""


# --- JSON to commands ----------------------------------------------------------------------------------------------


def command_from_json(operation: str, params: Mapping[str, Any]) -> Command:
    """Return the command `operation` with the JSON object `params` as its fields.

    Types are exact ("80" is not 80). Raises InvalidArgument, naming each bad field, for anything that does not fit.
    """
    command = OPERATIONS.get(operation)
    if command is None:
        raise InvalidArgument.field("op", f"there is no operation {operation[:64]!r}; `offhook help ops` lists them")
    found: Command = record_from_json(command, params)
    return found


def record_from_json(shape: type, params: Mapping[str, Any]) -> Any:
    """Return the struct `shape` with the JSON object `params` as its fields; raises InvalidArgument as `command_from_json`."""
    _refuse_unknown(shape, params, "")
    try:
        return msgspec.convert(_with_pairs(params), shape)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), shape) from None


def exact(command: C) -> C:
    """Return a command that a program has made, each field of the type it is written with; raises InvalidArgument otherwise.

    Python lets a program write `to=1001`: the phone would stumble over it somewhere, or tell others what is no event.
    """
    found: C = record_from_json(type(command), params_of(command))
    return found


def params_of(command: Command) -> dict[str, Any]:
    """Return the fields of a command a program has made, as JSON has them; raises InvalidArgument for what that cannot hold."""
    try:
        params: dict[str, Any] = to_json(command)
    except TypeError as error:
        raise InvalidArgument(f"{command.operation}: {error}") from None
    for name, value in params.items():
        try:
            msgspec.json.encode(value)
        except UnicodeEncodeError as error:  # a byte of a file's name or of sys.argv that was no UTF-8 (PEP 383)
            wrong = error.object[error.start : error.end]
            raise InvalidArgument.field(name, f"{wrong!r} is no character, it was a byte that is not UTF-8") from None
    return params


def _refuse_unknown(shape: type, params: Mapping[str, Any], prefix: str) -> None:
    fields = hints_of(shape)
    unknown = [name for name in params if name not in fields]
    if unknown:
        known = ", ".join(fields) or "none"
        found = tuple(FieldError(f"{prefix}/{str(name)[:64]}", f"no such field; there are: {known}") for name in unknown)
        raise InvalidArgument("; ".join(f"{error.pointer[1:]}: {error.detail}" for error in found), errors=found)
    for name, nested in fields.items():
        inner = params.get(name)
        if isinstance(nested, type) and is_record(nested) and isinstance(inner, Mapping):
            _refuse_unknown(nested, inner, f"{prefix}/{name}")


def is_record(shape: object) -> bool:
    """Whether it is a class of named fields: a struct or a dataclass."""
    return isinstance(shape, type) and (issubclass(shape, msgspec.Struct) or dataclasses.is_dataclass(shape))


@cache
def hints_of(shape: type) -> dict[str, Any]:
    """Return the fields of a struct or dataclass and their types."""
    hints = get_type_hints(shape)
    fields = dataclasses.fields(shape) if dataclasses.is_dataclass(shape) else msgspec.structs.fields(shape)
    return {field.name: hints[field.name] for field in fields}


def _with_pairs(params: Mapping[str, Any]) -> dict[str, Any]:
    """Headers and tags may be written as an object too: {"X-Queue": "2"}; and 5.0 is 5, as in JSON Schema."""
    return {name: _plain(list(value.items()) if name in _PAIRS and isinstance(value, Mapping) else value)
            for name, value in params.items()}  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return value


_AT = re.compile(r"(?P<what>.*?) - at `\$(?P<path>.*)`", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_NO_CHOICE = "Invalid enum value"


def _invalid(text: str, shape: type) -> InvalidArgument:
    """Turn msgspec's "Expected `int`, got `str` - at `$.volume`" into an error that points at /volume."""
    found = _AT.fullmatch(text)
    what, path = (found["what"], found["path"]) if found else (text, "")
    pointer = path.replace("[...]", "/-").replace("[", "/").replace("]", "").replace(".", "/")
    missing = _MISSING.search(what)
    if missing:
        pointer, what = f"{pointer}/{missing['name']}", "is required"
    elif unknown := _UNKNOWN.search(what):
        known = ", ".join(hints_of(inner)) if is_record(inner := _at(shape, pointer)) else "none"
        pointer, what = f"{pointer}/{unknown['name'][:64]}", f"no such field; there are: {known}"
    elif what.startswith(_NO_CHOICE):
        choices = ", ".join(json.dumps(choice) for choice in _choices(_at(shape, pointer)))
        what = f"{what}; there are: {choices}"
    what = what.replace("`", "")
    return InvalidArgument(f"{pointer.lstrip('/') or 'request'}: {what}", errors=(FieldError(pointer, what),))


def _at(shape: Any, pointer: str) -> Any:
    """Return the type of what a JSON pointer leads to."""
    for name in pointer.split("/")[1:]:
        records = [part for part in _parts(shape) if is_record(part)]
        if name == "-" or name.isdecimal():  # the things in a list are of one kind
            continue
        shape = next((hints_of(part)[name] for part in records if name in hints_of(part)), object)
    return next((part for part in _parts(shape) if is_record(part)), shape)


def _parts(shape: Any) -> Iterator[Any]:
    """Yield a type and all that it is made of: `tuple[A, ...] | None` is A, too."""
    yield shape
    for inner in get_args(shape):
        yield from _parts(inner)


def _choices(shape: Any) -> list[Any]:
    enums = [list(part) for part in _parts(shape) if isinstance(part, type) and issubclass(part, Enum)]
    literals = [get_args(part) for part in _parts(shape) if get_origin(part) is Literal]
    return [choice for part in (*enums, *literals) for choice in part]


# --- views and errors to JSON --------------------------------------------------------------------------------------


def to_json(value: object) -> Any:
    """Return `value` (views, events, enumerations, times, tuples of them) as plain JSON-able data."""
    return msgspec.to_builtins(value)


def problem(error: CommandError) -> dict[str, Any]:
    """Return the RFC 9457 problem object of a refused command."""
    found: dict[str, Any] = {
        "type": f"/v1/problems/{error.code}",
        "title": _title(type(error)),
        "status": _HTTP_STATUS.get(error.code, 409),
        "detail": error.detail,
        "code": error.code,
    }
    if error.errors:
        found["errors"] = [{"pointer": field.pointer, "detail": field.detail} for field in error.errors]
    if error.retry_after:
        found["retry_after"] = math.ceil(error.retry_after)
    return found


def value_from_json(command: type[Command], value: Any) -> Any:
    """Return the value of a command's answer as the view it was; raises ParseError for what does not fit."""
    shape = RESULTS.get(command)
    if shape is None:
        return value
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise ParseError(f"the answer to {command.operation}: {error}") from None


_EVENT_CLASSES: dict[str, type[Event]] = {event.type: event for event in EVENTS}
_event_decoders: dict[str, msgspec.json.Decoder[Any]] = {}  # made at first use: most programs meet few types


def event_from_json(type_: str, data: bytes | msgspec.Raw) -> Event | None:
    """Return the event whose `type` and `data` an envelope holds, None for a type that only a newer phone knows.

    Raises ParseError for data that do not fit; fields that only a newer phone knows are left out.
    """
    event_class = _EVENT_CLASSES.get(type_)
    if event_class is None:
        return None
    decoder = _event_decoders.get(type_)
    if decoder is None:
        decoder = _event_decoders[type_] = msgspec.json.Decoder(event_class)
    try:
        event: Event = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ParseError(f"the event {type_}: {error}") from None
    return event


def error_from_problem(found: Mapping[str, Any]) -> CommandError:
    """Return the error that `problem` described; an unknown code gives a plain CommandError."""
    fields = tuple(FieldError(str(item.get("pointer", "")), str(item.get("detail", ""))) for item in found.get("errors") or ())
    error_class = _ERROR_CLASSES.get(str(found.get("code", "")), CommandError)
    retry_after = found.get("retry_after")
    return error_class(
        str(found.get("detail") or found.get("title") or "refused"), errors=fields,
        retry_after=float(retry_after) if isinstance(retry_after, int | float) else 0.0,
    )  # fmt: skip


def problem_title(code: str) -> str:
    """Return the title of the problems with this code."""
    return _title(_ERROR_CLASSES[code])


def _title(error_class: type[CommandError]) -> str:
    return (inspect.getdoc(error_class) or "").split("\n")[0].rstrip(".")


# --- documentation -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldHelp:
    """One field of a command: its type as written, its default as JSON text ("" if it must be given)."""

    name: str
    type: str
    default: str
    required: bool


@dataclass(frozen=True, slots=True)
class CommandHelp:
    """What `--help`, the documents and the schema say about one command."""

    operation: str
    scope: str
    summary: str
    text: str
    fields: tuple[FieldHelp, ...]


@cache
def command_help() -> tuple[CommandHelp, ...]:
    """Return the documentation of every command, in the order of the list."""
    return tuple(_help(command) for command in COMMANDS)


def _help(command: type[Command]) -> CommandHelp:
    text = inspect.getdoc(command) or ""
    return CommandHelp(command.operation, command.scope, text.split("\n")[0], text, fields_of(command))


@cache
def fields_of(shape: type) -> tuple[FieldHelp, ...]:
    """Return the fields of a struct or dataclass; () for what is neither."""
    if issubclass(shape, msgspec.Struct):
        return tuple(_of_struct(shape, field) for field in msgspec.structs.fields(shape))
    if dataclasses.is_dataclass(shape):
        return tuple(_of_dataclass(field) for field in dataclasses.fields(shape))
    return ()


def _of_struct(shape: type, field: msgspec.structs.FieldInfo) -> FieldHelp:
    written = next(names[field.name] for names in map(inspect.get_annotations, shape.__mro__) if field.name in names)
    if field.default_factory is not msgspec.NODEFAULT:
        return FieldHelp(field.name, str(written), _json(field.default_factory()), False)
    return FieldHelp(field.name, str(written), "" if field.required else _json(field.default), field.required)


def _of_dataclass(field: dataclasses.Field[Any]) -> FieldHelp:
    if field.default_factory is not dataclasses.MISSING:
        return FieldHelp(field.name, str(field.type), _json(field.default_factory()), False)
    required = field.default is dataclasses.MISSING
    return FieldHelp(field.name, str(field.type), "" if required else _json(field.default), required)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
