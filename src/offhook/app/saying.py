"""What a running phone prints. Its log may be on a full disk, or a pipe that nobody reads any more: calls go on without it."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections import Counter
from typing import Final, TextIO

LONGEST: Final = 1000
"""Characters of a line: with four bytes each no more than a pipe takes that has any room (PIPE_BUF)."""

_left_out: Counter[str] = Counter()
"""How many lines were not taken since the last one that was, by the name of the stream."""


def say(text: str) -> None:
    """Print a line at once."""
    _print(text, sys.stdout, "stdout")


def say_trouble(text: str) -> None:
    """Print a line to standard error at once."""
    _print(text, sys.stderr, "stderr")


def _print(text: str, stream: TextIO, name: str) -> None:
    """Print, unless that would have to wait: for a reader that hangs, or a terminal that somebody has stopped (Ctrl+S)."""
    with contextlib.suppress(OSError):
        if _waits(stream):
            _left_out[name] += 1
            return
        if missing := _left_out.pop(name, 0):
            text = f"offhook: nobody read on here: lines left out: {missing}\n{text}"
        print(text if len(text) <= LONGEST else f"{text[:LONGEST]}…", file=stream, flush=True)


def _waits(stream: TextIO) -> bool:
    """Whether nothing can be written now."""
    if sys.platform == "win32":
        return False  # where this can be asked of sockets alone
    try:
        place = stream.fileno()
    except (OSError, ValueError):
        return False  # it is none of the system's
    return not select.select([], [place], [], 0)[1]


def last_word() -> None:
    """Give up what could not be printed: the interpreter would try again at its end, and call that a failure."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
