"""What a command may hold, looked at before anything is changed."""

from __future__ import annotations

from offhook.errors import InvalidArgument
from offhook.sip.abnf import breaks_line, is_token
from offhook.sip.events import Body, Identity
from offhook.sip.uri import NameAddr, Uri


def check_target(target: Uri) -> None:
    """Refuse an address that SIP cannot reach."""
    if target.scheme not in ("sip", "sips", "tel"):
        raise InvalidArgument.field("target", "a sip:, sips: or tel: address")


def check_text(command: object) -> None:
    """Refuse text that would break out of its line or cannot be encoded."""
    for name in getattr(command, "__struct_fields__", ()):
        value = getattr(command, name)
        if isinstance(value, Identity):
            check_text(value)
        elif name != "password" and not all(fits_line(text) for text in _texts(name, value)):
            raise InvalidArgument.field(name, "text without line breaks")


def _texts(name: str, value: object) -> list[str]:
    if isinstance(value, str | Uri | NameAddr):
        return [str(value)]
    if isinstance(value, Body):
        return [value.content_type]
    if name == "headers" and isinstance(value, tuple):
        if not all(is_token(key) for key, _ in value):
            raise InvalidArgument.field(name, "header names that are one word")
        return [text for _, text in value]
    return []


def fits_line(text: str) -> bool:
    """Say whether a text can stand in a line of a message."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return not breaks_line(text)
