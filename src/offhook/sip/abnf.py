"""The small grammar every SIP header shares: tokens, quoted strings, escapes, lists, parameters (RFC 3261 25.1)."""

from __future__ import annotations

import re
from typing import TypeAlias

from offhook.errors import ParseError

Params: TypeAlias = tuple[tuple[str, str | None], ...]
"""Parameters in order; a value is raw wire text (quotes included), None for a flag without `=`."""

WS = " \t"

_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
_TOKENS = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+(?: [A-Za-z0-9.!%*_+`'~-]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# RFC 3261 25.1: inside a quoted-pair NUL is legal (RFC 4475 3.1.1.2 sends one), anywhere else it is not.
_LINE_BREAKER = re.compile(r"[\r\n]|(?<!\\)\x00")
# RFC 3261 25.1: control characters may stand in a quoted-string only behind a backslash; CR and LF not even there.
_MUST_PAIR = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Groups are not repeated possessively: Python 3.11.2, which Debian 12 has, gets those wrong. What is repeated here can be
# read in one way only, so nothing is tried twice anyhow.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_COMMA_PIECE = re.compile(r'(?:[^,"<]++|"(?:[^"\\]|\\.)*"|<[^>]*+>)*', re.DOTALL)
_SEMICOLON_PIECE = re.compile(r'(?:[^;"]++|"(?:[^"\\]|\\.)*")*', re.DOTALL)
# Wider than gen-value (token / host / quoted-string): bare IPv6 in `received` (RFC 5118 4.5) and `=` in opaque values
# are common.
_BARE_VALUE = re.compile(r'[^\x00-\x20\x7f"<>,;]*')
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

is_token = _TOKEN.fullmatch
"""Truthy if the whole text is an RFC 3261 token."""

has_control = _CONTROL.search
"""Truthy if the text has a control character (NUL..US, DEL)."""

breaks_line = _LINE_BREAKER.search
"""Truthy if the text has CR, LF or a NUL that is not escaped: what must never be printed inside a header."""

has_broken_escape = _BROKEN_ESCAPE.search
"""Truthy if a `%` is not followed by two hexadecimal digits."""


def is_bare_display(text: str) -> bool:
    """Tell whether a display name can be printed without quotes (tokens with single spaces between)."""
    return _TOKENS.fullmatch(text) is not None


def quote(text: str) -> str:
    """Return `text` as a quoted-string."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + (_MUST_PAIR.sub(r"\\\g<0>", text) if has_control(text) else text) + '"'


def unquote(text: str) -> str:
    """Return the content of a quoted-string; any other text unchanged."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    return _QUOTED_PAIR.sub(r"\1", inner) if "\\" in inner else inner


def quoted_end(text: str) -> int:
    """Return the index behind the quoted-string `text` begins with; ParseError if it never ends."""
    match = _QUOTED.match(text)
    if match is None:
        raise ParseError("a quoted string has no end")
    return match.end()


def split_list(text: str) -> list[str]:
    """Split at the commas outside quotes and angle brackets; pieces are stripped and may be empty. ParseError if unbalanced."""
    if "," not in text:
        return [text.strip(WS)]
    if '"' not in text and "<" not in text:
        return [piece.strip(WS) for piece in text.split(",")]
    return _split(text, _COMMA_PIECE)


def _split(text: str, piece: re.Pattern[str]) -> list[str]:
    pieces: list[str] = []
    position = 0
    while True:
        match = piece.match(text, position)
        end = match.end() if match else position
        pieces.append(text[position:end].strip(WS))
        if end == len(text):
            return pieces
        if text[end] in '"<':
            raise ParseError("quotes or angle brackets are not balanced")
        position = end + 1


def parse_params(text: str) -> Params:
    """Parse `name=value;name;…` (no leading semicolon). ParseError for an empty or misspelt parameter."""
    pieces = _split(text, _SEMICOLON_PIECE) if '"' in text else text.split(";")
    # One semicolon at the very end is tolerated, deployed phones send it; two in a row are not (RFC 4475 3.1.2.1).
    if len(pieces) > 1 and not pieces[-1].strip(WS):
        pieces.pop()
    return tuple([_parse_param(piece) for piece in pieces])


def _parse_param(piece: str) -> tuple[str, str | None]:
    name, equal, value = piece.partition("=")
    name = name.strip(WS)
    if not is_token(name):
        raise ParseError(f"not a parameter: {piece[:40]!r}")
    if not equal:
        return name, None
    value = value.strip(WS)
    if value[:1] == '"':
        if quoted_end(value) != len(value):
            raise ParseError(f"text behind the quoted value of {name[:40]}")
    elif not _BARE_VALUE.fullmatch(value):
        raise ParseError(f"the value of {name[:40]} needs quotes")
    return name, value


def format_params(params: Params) -> str:
    """Print parameters, each with its leading semicolon."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in params])


def find_param(params: Params, name: str) -> str | None:
    """Return the value of the first parameter `name` (any case), '' for a flag, None if absent; quotes are taken off."""
    for key, value in params:
        if key == name or key.lower() == name:
            return unquote(value) if value else ""
    return None


def set_param(params: Params, name: str, value: str | None) -> Params:
    """Return `params` with `name` set (in its place if it is there, else last)."""
    wanted = name.lower()
    if not any(key.lower() == wanted for key, _ in params):
        return (*params, (name, value))
    return tuple((key, value) if key.lower() == wanted else (key, old) for key, old in params)


def drop_params(params: Params, names: tuple[str, ...]) -> Params:
    """Return `params` without `names`."""
    gone = {name.lower() for name in names}
    return tuple(item for item in params if item[0].lower() not in gone)


def unescape(text: str) -> str:
    """Decode %XX (as UTF-8, undecodable bytes become surrogate escapes)."""
    if "%" not in text:
        return text
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def escape(text: str, keep: frozenset[str]) -> str:
    """Encode every character outside `keep` as %XX of its UTF-8 bytes."""
    if keep.issuperset(text):
        return text
    return "".join([c if c in keep else _percent(c) for c in text])


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
