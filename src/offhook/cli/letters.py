"""Printing does not fail for want of a letter: an older encoding (Windows' pipes, the C locale) gets it as JSON writes it."""

from __future__ import annotations

import codecs
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


def lenient(stream: TextIO) -> None:
    r"""Have a stream print what its encoding lacks as \uXXXX, so that what is JSON stays JSON."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None and getattr(stream, "errors", "") == "strict":
        codecs.register_error("offhook-as-json", _escaped)
        reconfigure(errors="offhook-as-json")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    text = "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
    return text, error.end


def standard_streams() -> None:
    """Make this process's output lenient."""
    for stream in (sys.stdout, sys.stderr):
        lenient(stream)
