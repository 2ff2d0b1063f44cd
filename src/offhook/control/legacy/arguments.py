"""The values that stand behind an older form's name: numbers and URIs, digits, points, steps, devices. Pure.

Each reader returns what it read, or raises InvalidArgument that names the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from offhook.errors import InvalidArgument
from offhook.media.messages import DeviceKind
from offhook.phone.commands import Command, Dial, Mute, SendDtmf, SetDevice, Unmute
from offhook.phone.dialplan import as_typed, without_trunk_zero

MAX_TEXT = 4096
"""Longest text taken, in characters; a command line or DDE string is far shorter, and window messages have no sender check."""

MAX_TARGET = 512
"""Longest number or URI taken, in characters."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
NOT_A_NUMBER = ("/", "-")
"""What begins like a switch is never dialled."""

_NORTH_AMERICAN = r"(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ ]?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"
IN_GROUPS = rf"(?:(?:\+|(?=[0(]))[0-9 ()./-]*[0-9]|{_NORTH_AMERICAN})"
"""A number as people, and programs that look after their contacts, write it: +49 (0)30 1234. Two extensions are none."""

_IN_GROUPS = re.compile(IN_GROUPS)
EXTENSION = r"\s+(?:ext\.?|extension|x|dw\.?|durchwahl)\s*:?\s*(?P<extension>[0-9]{1,8})"
_WITH_EXTENSION = re.compile(rf"(?P<number>{IN_GROUPS}){EXTENSION}", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9*#A-Da-d,]+")
_DIAL_AND_DIGITS = re.compile(r"(?P<to>[^,]+),(?P<digits>[0-9*#A-Da-d,]+)")
_POINTS = re.compile(r"[0-9]{1,3}")
_STEPS = re.compile(r"[0-9]{1,2}")
_PERCENT_SAFE = re.compile(r"%(2[Bb]|2[Dd]|2[Ee]|3[0-9]|4[1-9A-Fa-f]|5[0-9Aa]|5[Ff]|6[1-9A-Fa-f]|7[0-9Aa]|7[Ee])")


def nothing(text: str) -> None:
    if text.strip():
        raise InvalidArgument.field("argument", "this command takes none")


def target_of(text: str, name: str = "to") -> str:
    """Return the number or URI in `text`: scheme forms undone, `//` and a trailing `/` dropped, `%xx` decoded."""
    found = as_typed(text).strip()
    scheme, colon, rest = found.partition(":")
    scheme = scheme.lower()
    if colon and scheme in ("tel", "callto", "dial", "dialpad"):
        found = unquote(without_slashes(rest), errors="strict" if _is_utf8(rest) else "replace")
        found = as_typed(found).strip(" ")
        found = _tel_number(found) if scheme == "tel" or _IN_GROUPS.fullmatch(found) else found
    elif colon and scheme in ("sip", "sips"):
        # RFC 3261 19.1.4: only characters that need no escape mean the same when unescaped, so only those are decoded.
        found = f"{scheme}:{_PERCENT_SAFE.sub(lambda code: unquote(code[0]), without_slashes(rest))}"
    if _IN_GROUPS.fullmatch(found):
        found = found.replace(" ", "")
    if not found or found in ("sip:", "sips:"):
        raise InvalidArgument.field(name, "a number or URI is needed")
    if len(found) > MAX_TARGET:
        raise InvalidArgument.field(name, f"is longer than {MAX_TARGET} characters")
    if CONTROL.search(found):
        raise InvalidArgument.field(name, "has a control character in it")
    if any(character.isspace() for character in found):
        raise InvalidArgument.field(name, _why_no_space(found))
    return found


def _why_no_space(text: str) -> str:
    extended = _WITH_EXTENSION.fullmatch(text)
    if extended:
        number = re.sub(r"[^0-9+]", "", without_trunk_zero(extended["number"]))
        return f"an extension is no part of the number: write {number},,{extended['extension']} and it is sent after the answer"
    if text[:1] in ("+", "0", "("):
        return "is no number from end to end; write it alone, as +49 30 1234"
    return "has a space in it; write the number without"


def _is_utf8(escaped: str) -> bool:
    try:
        unquote(escaped, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def without_slashes(rest: str) -> str:
    return rest[2:].removesuffix("/") if rest.startswith("//") else rest.removesuffix("/")


def _tel_number(text: str) -> str:
    """RFC 3966 5.1.1: `-`, `.`, `(` and `)` (and the spaces and `/` people add) mean nothing, parameters do not dial."""
    return re.sub(r"(?<=[0-9])/(?=[0-9])", "", re.sub(r"[-.() ]", "", without_trunk_zero(text.partition(";")[0])))


def dial_of(text: str) -> Dial:
    """Return the Dial for `1001`, a URI, or `1001,12,,34` (digits after the answer)."""
    text = text.strip()
    if "," not in text:
        return Dial(to=target_of(text))
    found = _DIAL_AND_DIGITS.fullmatch(text)
    if found:
        return Dial(to=target_of(found["to"]), digits=found["digits"])
    if "@" in text.partition(",")[2]:  # RFC 3261 25.1: a comma may stand in the user part of a SIP URI
        return Dial(to=target_of(text))
    raise InvalidArgument.field("digits", "after the comma only 0-9 * # A-D and , may stand")


def dtmf_of(text: str) -> SendDtmf:
    digits = text.strip()
    if not _DIGITS.fullmatch(digits):
        raise InvalidArgument.field("digits", "only 0-9 * # A-D and , can be sent")
    return SendDtmf(digits=digits)


def points_of(text: str) -> int:
    found = text.strip()
    if not _POINTS.fullmatch(found) or int(found) > 100:
        raise InvalidArgument.field("volume", "must be a whole number from 0 to 100")
    return int(found)


def steps_of(text: str) -> int:
    found = text.strip()
    if not found:
        return 1
    if not _STEPS.fullmatch(found) or not 1 <= int(found) <= 10:
        raise InvalidArgument.field("steps", "must be a whole number from 1 to 10")
    return int(found)


_DEVICE_KINDS: dict[str, DeviceKind] = {"input": "input", "output": "output", "ring": "ring"}


def device_of(text: str) -> SetDevice:
    kind, comma, device = (part.strip() for part in text.partition(","))
    known = _DEVICE_KINDS.get(kind.lower())
    if known is None:
        raise InvalidArgument.field("kind", "must be input, output or ring")
    if not comma or not device:
        raise InvalidArgument.field("device", "write input,<id> or output,<id>")
    return SetDevice(kind=known, device=device)


def mute_word(text: str) -> Command:
    match text.strip():
        case "1":
            return Mute()
        case "0":
            return Unmute()
        case _:
            raise InvalidArgument.field("mute", 'must be "1" or "0"')


def plain(make: Callable[[], Command]) -> Callable[[str], Command]:
    """A row without an argument."""

    def parse(text: str) -> Command:
        nothing(text)
        return make()

    return parse


def checked(text: str) -> str:
    """Return `text` without the terminating NULs of C programs; refuse what is too long or has control characters in it."""
    text = text.lstrip("\ufeff").rstrip("\x00").strip()
    if len(text) > MAX_TEXT:
        raise InvalidArgument.field("text", f"is longer than {MAX_TEXT} characters")
    if CONTROL.search(text.replace("\t", " ")):
        raise InvalidArgument.field("text", "has a control character in it")
    return text
