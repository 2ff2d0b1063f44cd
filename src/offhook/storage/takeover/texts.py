"""From a file's bytes to text, whatever it says its encoding is."""

from __future__ import annotations

import codecs
import locale
import re
import sys
from typing import Final

from offhook.errors import UnreadableFile

MAX_BYTES: Final = 16 * 1024 * 1024
"""Of one file: ten times an address book of 20,000 people. What is larger is no list of contacts and no ini file."""

WESTERN: Final = "cp1252"
"""The code page of western Windows."""

_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARED: Final = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_TEXT_CODECS: Final = re.compile(
    r"utf-?(8|16|16-?le|16-?be)|us-ascii|ascii|(iso-?|latin-?)[0-9-]+|l[1-9]|(windows-?|cp)[0-9]{3,4}|koi8-[rut]|gb[k0-9]+|"
    r"big5|shift[_-]?jis|sjis|euc-(jp|kr)|mac[_-]?roman",
    re.IGNORECASE,
)
"""Encodings a file may name: Python has others, which are no text encodings, or unpack what was packed."""


def decode(data: bytes, name: str, encoding: str = "") -> str:
    """Return the text of a file. A mark at its beginning decides; then `encoding`, what XML declares, UTF-8, and `ansi`.

    `name` names the file in UnreadableFile, which is raised for what is too large or no text at all.
    """
    if len(data) > MAX_BYTES:
        raise UnreadableFile(f"{name}: larger than {MAX_BYTES // 1024 // 1024} MB: this is no list of contacts and no settings")
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return _text(data[len(mark) :], codec, name)
    if encoding:
        return _text(data, known_encoding(encoding), name)
    if _looks_like_utf16(data):
        return _text(data, "utf-16-le", name)
    declared = _DECLARED.match(data[:300].lstrip())
    chosen = declared[1].decode("ascii") if declared else "utf-8"
    if chosen.lower().startswith(("utf-16", "utf16", "ucs")):
        chosen = "utf-8"  # what says so could be read byte by byte
    for codec in (chosen, "utf-8"):
        try:
            return _whole(data.decode(known_encoding(codec)), name)
        except (UnicodeDecodeError, ValueError):  # it lies, or names what nobody knows
            continue
    return _text(data, ansi(), name)


def ansi(platform: str = sys.platform) -> str:
    """Return what a file that says nothing and is not UTF-8 is taken for: this Windows' code page, else the western one."""
    own = locale.getencoding() if platform == "win32" else ""
    return own if re.fullmatch(r"cp(125|9)[0-9]+|cp874", own) else WESTERN


def known_encoding(name: str) -> str:
    """Return the codec of that name; ValueError for what is no text encoding."""
    if not _TEXT_CODECS.fullmatch(name):
        raise ValueError(f"{name[:40]!r} is no text encoding that is known here: write utf-8, utf-16, cp1252 or the like")
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"there is no encoding {name[:40]!r}: write utf-8, utf-16, cp1252 or the like") from None


def _looks_like_utf16(data: bytes) -> bool:
    """Whether every other byte of its beginning is nought, as in western text of two bytes a character."""
    start = data[:400]
    return len(start) >= 4 and start[1::2].count(0) > len(start) // 4 and start[::2].count(0) == 0


def _text(data: bytes, codec: str, name: str) -> str:
    try:
        return _whole(data.decode(codec, "replace"), name)
    except ValueError as error:
        raise UnreadableFile(f"{name}: {error}") from None


def _whole(text: str, name: str) -> str:
    if "\0" in text:
        raise UnreadableFile(f"{name}: this is no text: there are zero bytes in it")
    return text
