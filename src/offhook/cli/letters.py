"""Printing does not fail for want of a letter: an older encoding (Windows' pipes, the C locale) gets it as JSON writes it."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


def lenient(stream: TextIO) -> None:
    r"""Have a stream print what its encoding lacks as \uXXXX, so that what is JSON stays JSON."""
    handler = _HANDLERS.get(getattr(stream, "errors", ""))
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None and handler is not None:
        name = f"offhook-{handler.__name__.strip('_')}"
        codecs.register_error(name, handler)
        reconfigure(errors=name)


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    text = "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
    return text, error.end


def _given_back(error: UnicodeError) -> tuple[str | bytes, int]:
    # As Python does in the C locale: a byte of a file's name that is no letter is printed as that byte (PEP 383).
    if not isinstance(error, UnicodeEncodeError):
        raise error
    error.end = error.start + 1  # one by one: what follows may be of the other kind
    letter = error.object[error.start]
    return (bytes([ord(letter) - 0xDC00]), error.end) if "\udc80" <= letter <= "\udcff" else _escaped(error)


_HANDLERS = {"strict": _escaped, "surrogateescape": _given_back}


def standard_streams() -> None:
    """Make this process's output lenient. Streams that are closed (`>&-`), or without a console (pythonw), lead nowhere."""
    if sys.stdin is None and sys.platform == "win32":
        sys.stdin = io.TextIOWrapper(io.BytesIO())  # not the null device, which Windows takes for a terminal
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # its number must not be given to another file
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process
    for stream in (sys.stdout, sys.stderr):
        lenient(stream)


def given_words() -> list[str]:
    """Return the arguments of this process. What the locale could not read is UTF-8, as everywhere today, or stays as it is."""
    return [_read_again(word) for word in sys.argv[1:]]


def _read_again(word: str) -> str:
    if word.isascii():
        return word
    with contextlib.suppress(UnicodeError):
        word.encode("utf-8")  # every letter of it was read
        return word
    with contextlib.suppress(UnicodeError):
        return os.fsencode(word).decode("utf-8")
    return word
