"""Text as Windows programs of any age send it: UTF-16, UTF-8, or the code page of their system. Pure."""

from __future__ import annotations

from offhook.control.legacy.arguments import checked
from offhook.errors import InvalidArgument

BOM = b"\xff\xfe"


def is_wide(payload: bytes) -> bool:
    """Whether these bytes are UTF-16LE: an even number of them, with a byte order mark or two first characters below 256.

    Of a single character the second is its NUL: `1`, a NUL and what lay behind them in a buffer are no UTF-16.
    """
    return len(payload) % 2 == 0 and _begins_wide(payload)


def _begins_wide(payload: bytes) -> bool:
    return payload[:2] == BOM or (payload[:1] != b"\0" and payload[1:2] == b"\0" and payload[3:4] in (b"", b"\0"))


def read_text(payload: bytes, code_page: str = "") -> str:
    """Return the checked text; what is not UTF-16 is UTF-8, and what is not UTF-8 either is read by the code page, if any.

    Raises InvalidArgument.
    """
    if is_wide(payload):
        return checked(_decoded(payload, "utf-16-le"))
    try:
        return checked(payload.decode())
    except UnicodeDecodeError:
        return checked(_decoded(payload, code_page or "utf-8"))


def _decoded(payload: bytes, encoding: str) -> str:
    try:
        return payload.decode(encoding)
    except UnicodeDecodeError:
        raise InvalidArgument.field("text", "is neither UTF-8 nor UTF-16") from None


def read_c_string(payload: bytes, code_page: str = "") -> str:
    """Return the checked text up to the first NUL: behind it, C programs send what happened to lie in their buffer."""
    return read_text(_up_to_nul(payload), code_page)


def utf8_c_string(payload: bytes) -> bytes:
    """Return the text up to the first NUL in UTF-8, unchecked; what is not UTF-16 is left as it is."""
    found = _up_to_nul(payload)
    return found.decode("utf-16-le", "replace").removeprefix("\ufeff").encode() if is_wide(found) else found


def _up_to_nul(payload: bytes) -> bytes:
    if _begins_wide(payload):
        # Without an end an odd number of bytes is UTF-16 that was cut, which is refused: its first character is another number.
        return payload[: next((at for at in range(0, len(payload), 2) if payload[at:at + 2] == b"\0\0"), len(payload))]
    return payload.partition(b"\0")[0]
