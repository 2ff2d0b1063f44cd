"""What a link in a browser or another program may do: dial something plain, and nothing else. Pure."""

from __future__ import annotations

import re

from offhook.control.legacy.arguments import CONTROL, MAX_TARGET, NOT_A_NUMBER, target_of
from offhook.errors import InvalidArgument
from offhook.phone.commands import Dial

_OPENABLE = re.compile(r"(?P<scheme>tel|sips?|callto):(?P<rest>.+)", re.IGNORECASE | re.DOTALL)
_SAFE_TARGET = re.compile(
    r"(?:sips?:)?[\w+*#.!~'$&=-]+(?:@[\w.-]+|@\[[0-9A-Fa-f:.]+\])?(?::[0-9]{1,5})?(?P<params>(?:;[\w-]+=[\w.-]+)*)", re.ASCII
)
_SAFE_PARAMS = frozenset({"transport", "user"})


_SHELL_FORM = re.compile(r"\[Dial\((?P<uri>(?:tel|sips?|callto):.*)\)\]", re.IGNORECASE | re.DOTALL)
_SHELL_START = re.compile(r"\s*\[?\s*Dial\s*\(?\s*\"?\s*(?:tel|sips?|callto):", re.IGNORECASE)


def from_shell(text: str) -> Dial | None:
    """Return the Dial of what the Windows shell sends for a link, None if it is something else.

    The shell puts the link as it is in the place of %1 in [Dial(%1)], so all between the first and the last parenthesis is the
    link: one such as `tel:1)][Close][Dial(2` is refused, with InvalidArgument, and is no three commands.
    """
    if not _SHELL_START.match(text):
        return None
    found = _SHELL_FORM.fullmatch(text)
    if found is None:
        raise InvalidArgument.field("uri", "this is not [Dial(tel:…)]")
    return open_uri(found["uri"])


def open_uri(text: str) -> Dial:
    """Return the Dial for a tel:, sip:, sips: or callto: URI from a browser or another program, or raise InvalidArgument.

    Nothing but a plain number or address gets through: no other scheme, verb, switch, file name, digits after the answer,
    header or control character, however it is encoded.
    """
    found = _OPENABLE.fullmatch(text.strip(" "))
    if not found or CONTROL.search(text) or len(text) > MAX_TARGET:
        raise InvalidArgument.field("uri", "only tel:, sip:, sips: and callto: can be opened")
    target = target_of(text)
    safe = _SAFE_TARGET.fullmatch(target)
    names = {part.partition("=")[0].lower() for part in safe["params"].split(";") if part} if safe else set()
    if not safe or names - _SAFE_PARAMS or target.startswith(NOT_A_NUMBER):
        raise InvalidArgument.field("uri", "this is not a plain number or address")
    return Dial(to=target)
