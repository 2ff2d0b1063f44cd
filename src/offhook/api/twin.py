"""Writes src/offhook/sync.py: the classes of offhook.api once more, with the same names and no `await`.

    python -m offhook.api.twin > src/offhook/sync.py

Each method runs its asynchronous twin on the loop of a background thread. What it returns is wrapped where it is one of these
classes, alone or in a tuple.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from offhook import api

CLASSES: Final[tuple[type, ...]] = (
    api.Softphone, api.CallHandle, api.Playback, api.Recording, api.Conference, api.Audio,
    api.AudioStream, api.DigitStream, api.EventStream,
    api.Stream,
)  # fmt: skip

_NAMES: Final = "|".join(found.__name__ for found in CLASSES if found is not api.Stream)
_WRAPPED: Final = re.compile(rf"(?P<many>tuple\[)?(?P<name>{_NAMES})\b(?:, \.\.\.\])?|(?P<stream>Stream)\[.*\]")
_ITEMS: Final = {
    "DigitStream": "str", "EventStream": "Event", "Audio": "bytes", "Stream": "T",
}  # fmt: skip

_HEAD: Final = '''"""The phone for programs without asyncio: the classes of `offhook` again, with the same names and no `await`.

    from offhook.sync import Softphone

    with Softphone.connect() as phone:
        call = phone.dial("1001")
        call.wait_active(timeout=30)

The work is done by a background thread, so the same object may be used from several threads, and at the interactive prompt
(`phone.open()` … `phone.close()`). Ctrl+C interrupts every wait. Written by `python -m offhook.api.twin`; do not edit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from offhook import api
from offhook.api.pairs import Pairs
from offhook.api.phone import ConfigSource, Event, Sound
from offhook.api.portal import Portal, Twin, bare, made
from offhook.media.messages import AudioRate, Detection, DeviceInfo, PlayMode, RecordingFormat, Side
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import (
    AccountView,
    AudioStreamView,
    AudioView,
    CallDirection,
    CallState,
    CallView,
    ConferenceView,
    Contact,
    ContactDetails,
    ImportedView,
    Party,
    PlaybackView,
    RecordingView,
    Snapshot,
    StatsView,
    StatusView,
    StreamDialect,
    StreamTrack,
    TapView,
    WatchKind,
    WatchView,
)
from offhook.phone.settings import AccountSettings, AutoAnswer, Decision, DtmfMethod

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")
'''


def source() -> str:
    """Return the text of offhook/sync.py."""
    return "\n".join((_HEAD, *(line for found in CLASSES for line in _class(found)))).rstrip() + "\n\n\n" + _end()


def _end() -> str:
    pairs = "\n".join(f"Twin.classes[api.{found.__name__}] = {found.__name__}" for found in CLASSES)
    names = "\n".join(f'    "{found.__name__}",' for found in sorted(CLASSES, key=lambda found: found.__name__))
    return f"{pairs}\n\n__all__ = [\n{names}\n]\n"


def public(found: type) -> Iterator[tuple[str, Any]]:
    """Give the public members of a class, in the order of its text."""
    for name, member in vars(found).items():
        if not name.startswith("_") and (callable(member) or isinstance(member, property | classmethod)):
            yield name, member


def _class(found: type) -> Iterator[str]:
    name = found.__name__
    base = "Twin[api.Stream[Any]], Generic[T]" if found is api.Stream else f"Twin[api.{name}]"
    yield ""
    yield f"class {name}({base}):"
    yield _doc(inspect.getdoc(found) or "", "    ")
    if found is api.Softphone:
        yield from _constructor(found)
    for attribute in _PLAIN.get(name, ()):
        yield from _getter(*attribute, "")
    for member, function in public(found):
        yield from _member(member, function)
    if name in _ITEMS:
        yield from (
            "", f"    def __iter__(self) -> Iterator[{_ITEMS[name]}]:", "        return self",
            "", f"    def __next__(self) -> {_ITEMS[name]}:",
            f"        found: {_ITEMS[name]} = self._next()", "        return found",
        )  # fmt: skip
    if "__aenter__" in vars(found):
        yield from (
            "", f"    def __enter__(self) -> {name}:", "        self._run(self._inner.__aenter__())", "        return self",
            "", "    def __exit__(self, *details: object) -> None:",
            "        self.close()" if found is api.Softphone else "        self._run(self._inner.__aexit__(*details))",
        )  # fmt: skip
    yield ""


_PLAIN: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "Playback": (("id", "str"),),
    "Recording": (("id", "str"), ("file", "Path")),
    "AudioStream": (("id", "str"),),
    "EventStream": (("cursor", "str"), ("time", "str")),
    "Audio": (("rate", "AudioRate"),),
}
"""Attributes that are set in `__init__`, which no inspection sees."""


def _constructor(found: type) -> Iterator[str]:
    signature = inspect.signature(found.__init__)  # type: ignore[misc]  # of the class itself
    yield ""
    yield f"    def __init__({_parameters(signature)}) -> None:"
    yield f"        super().__init__(api.Softphone({_arguments(signature)}), Portal())"
    yield "        self._portal.farewell = self._inner.close"


def _getter(name: str, kind: str, doc: str) -> Iterator[str]:
    yield ""
    yield "    @property"
    yield f"    def {name}(self) -> {kind}:"
    if doc:
        yield _doc(doc)
    if _WRAPPED.fullmatch(kind):
        yield f"        found: {kind} = self._wrap(self._call(lambda: self._inner.{name}))"
        yield "        return found"
    else:
        yield f"        return self._inner.{name}"


def _member(name: str, member: Any) -> Iterator[str]:
    doc = inspect.getdoc(member) or ""
    if isinstance(member, property):
        assert member.fget is not None
        yield from _getter(name, inspect.signature(member.fget).return_annotation, doc)
        return
    function: Callable[..., Any] = member.__func__ if isinstance(member, classmethod) else member
    signature = inspect.signature(function)
    kind = signature.return_annotation
    arguments = _arguments(signature)
    yield ""
    if isinstance(member, classmethod):
        yield "    @classmethod"
    yield f"    def {name}({_parameters(signature)}) -> {kind}:"
    yield _doc(doc)
    if isinstance(member, classmethod):
        yield f"        found: {kind} = made(cls, api.{kind}.{name}({arguments}), Portal())"
        yield "        found._portal.farewell = found._inner.close"
        yield "        return found"
        return
    if function is api.Softphone.close:
        yield "        self._portal.close()"
        return
    call = f"self._inner.{name}({arguments})"
    done = f"self._run({call})" if inspect.iscoroutinefunction(function) else f"self._call(lambda: {call})"
    if kind == "None":
        yield f"        {done}"
    elif _WRAPPED.fullmatch(kind):
        yield f"        found: {kind} = self._wrap({done})"
        yield "        return found"
    else:
        yield f"        return {done}"


def _doc(text: str, indent: str = "        ") -> str:
    for word in ("async with", "async for"):
        text = text.replace(word, word.removeprefix("async "))
    text = text.replace("await ", "")
    end = "\n" if "\n" in text else ""
    lines = f'"""{text}{end}"""'.split("\n")
    return "\n".join(indent + line if line else "" for line in lines)


def _parameters(signature: inspect.Signature) -> str:
    parts, keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            if not any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
                parts.append("*")
        parts.append(_parameter(parameter))
    line = ", ".join(parts)
    return line if len(line) < 90 else "\n        " + ",\n        ".join(parts) + ",\n    "


_STARS: Final[dict[object, str]] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def _parameter(parameter: inspect.Parameter) -> str:
    star = _STARS.get(parameter.kind, "")
    kind = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
    default = ""
    if parameter.default is not parameter.empty:
        value = f'"{parameter.default}"' if isinstance(parameter.default, str) else repr(parameter.default)
        default = f"{' = ' if kind else '='}{value}".replace("('*',)", '("*",)')
    return f"{star}{parameter.name}{kind}{default}"


def _arguments(signature: inspect.Signature) -> str:
    parts = []
    for parameter in signature.parameters.values():
        name = parameter.name
        if name in ("self", "cls"):
            continue
        value = f"bare({name})" if "CallHandle" in str(parameter.annotation) else name
        if star := _STARS.get(parameter.kind, ""):
            parts.append(star + value)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            parts.append(f"{name}={value}")
        else:
            parts.append(value)
    line = ", ".join(parts)
    return line if len(line) < 70 else "\n            " + ", ".join(parts) + ",\n        "


if __name__ == "__main__":
    sys.stdout.write(source())
