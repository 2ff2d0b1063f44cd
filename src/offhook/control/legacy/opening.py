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
