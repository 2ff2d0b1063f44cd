"""A program and its arguments written as one text, taken apart once, by the rules of the system; no shell ever sees it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path


def _is_file(path: str) -> bool:
    return Path(path).is_file()


def split(text: str, *, platform: str = sys.platform, is_file: Callable[[str], bool] = _is_file) -> tuple[str, ...]:
    """Return the arguments, the program first. Raises ValueError for a quote without its partner.

    A path with blanks needs no quotes as long as there is such a file: `/opt/My Programs/ring.sh --soft` is two arguments.
    On Windows a backslash stands for itself, elsewhere it takes the meaning of the next character away.
    """
    text = text.strip()
    program = _program(text, is_file)
    if program:
        return (program, *_split(text[len(program):], platform))
    return _split(text, platform)


def _program(text: str, is_file: Callable[[str], bool]) -> str:
    """Return the longest beginning that is a file's path with blanks in it, "" if there is none."""
    if text[:1] in ("'", '"'):
        return ""
    ends = [len(text), *(found.start() for found in reversed(list(re.finditer(r"\s+", text))))]
    return next((text[:end] for end in ends if " " in text[:end] and is_file(text[:end])), "")


def _split(text: str, platform: str) -> tuple[str, ...]:
    return _split_windows(text) if platform == "win32" else tuple(shlex.split(text))


def _split_windows(text: str) -> tuple[str, ...]:
    """By the rules of CommandLineToArgvW, as far as people write them: only double quotes group, `\\"` is a quote."""
    arguments, current, quoted, begun = [], "", False, False
    for found in re.finditer(r'(?P<escaped>\\")|(?P<quote>")|(?P<blank>\s)|(?P<other>.)', text, re.DOTALL):
        if found["quote"]:
            quoted, begun = not quoted, True
        elif found["blank"] and not quoted:
            if begun:
                arguments.append(current)
            current, begun = "", False
        else:
            current, begun = current + ('"' if found["escaped"] else found[0]), True
    if quoted:
        raise ValueError("No closing quotation")
    if begun:
        arguments.append(current)
    return tuple(arguments)
